"""Exim's configuration, and Debian's way to make it: where it listens, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import _dualstack_secrets_shown as secrets_shown
import listen_exim4
import pytest
from salt.exceptions import SaltInvocationError

ROOT = "/etc/exim4"
MAIN, UPDATE, DEFAULTS = f"{ROOT}/exim4.conf", f"{ROOT}/update-exim4.conf.conf", "/etc/default/exim4"
TEMPLATE, PARTS = f"{ROOT}/exim4.conf.template", f"{ROOT}/conf.d/main"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10", "2001:db8::11"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}

# Debian's own, as debconf writes it for a host that only sends.
DEBCONF = """\
# This is a Debian specific file

dc_eximconfig_configtype='internet'
dc_other_hostnames=''
dc_local_interfaces='{}'
dc_relay_nets='{}'
dc_use_split_config='{}'
"""
# Debian's, without what does not matter here.
LISTS = """\
.ifndef CONFDIR
CONFDIR = /etc/exim4
.endif

# debconf-driven macro definitions get inserted after this line
UPEX4CmacrosUPEX4C = 1
hostlist relay_from_hosts = MAIN_RELAY_NETS
.ifdef MAIN_LOCAL_INTERFACES
local_interfaces = MAIN_LOCAL_INTERFACES
.endif
"""
ACLS = "begin acl\nacl_check_rcpt:\n  accept hosts = : +relay_from_hosts\nlocal_interfaces = 127.0.0.1\n"


def one(text: str, defaults: str = "") -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}, DEFAULTS: {"text": defaults, "includes": []}}


def debian(
    interfaces: str, local: str = "", nets: str = "", defaults: str = "", split: str = "true"
) -> dict[str, dict[str, Any]]:
    texts = {
        UPDATE: DEBCONF.format(interfaces, nets, split),
        TEMPLATE: LISTS + ACLS,
        f"{PARTS}/00_local": local,
        f"{PARTS}/01_exim4-config_listmacrosdefs": LISTS,
        f"{PARTS}/01_exim4-config_listmacrosdefs.dpkg-old": "local_interfaces = 127.0.0.1\n",
        DEFAULTS: defaults,
    }
    return {path: {"text": text, "includes": []} for path, text in texts.items()}


def changed(files: dict[str, dict[str, Any]], site: dict[str, Any] | None = None) -> dict[str, str]:
    """What changes for both families; a second run must change nothing."""
    done = listen_exim4.dual_stack(files, {}, 0, site)
    result: dict[str, str] = done["files"]
    assert listen_exim4.dual_stack(afterwards(files, result), {}, 0, site)["files"] == {}
    assert set(done["always"]) <= set(result)
    return result


def afterwards(files: dict[str, dict[str, Any]], texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {path: {**file, "text": texts.get(path, file["text"])} for path, file in files.items()}


def interfaces_of(value: str, site: dict[str, Any] | None = SITE) -> str:
    """The value of dc_local_interfaces, changed."""
    new = changed(debian(value), site).get(UPDATE, DEBCONF.format(value, "", "true"))
    before, _, behind = DEBCONF.format("|", "", "true").partition("|")
    assert new.startswith(before) and new.endswith(behind)
    return new[len(before) : len(new) - len(behind)]


def sockets(files: dict[str, dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(each["address"], each["port"]) for each in listen_exim4.listeners(files)}


ANY4, ANY6 = ("0.0.0.0", 25), ("::", 25)


def test_a_mail_server_that_only_sends_stays_as_it_is() -> None:
    files = debian("127.0.0.1 ; ::1")
    assert listen_exim4.listeners(files) == [
        {
            **{"port": 25, "transport": "tcp", "address": address, "v6only": v6only, "file": UPDATE, "line": 5},
            **{"protocol": "smtp", "note": "loopback: left alone"},
        }
        for address, v6only in (("127.0.0.1", None), ("::1", True))
    ]
    assert listen_exim4.dual_stack(files, {}, 1, SITE) == {
        **{"files": {}, "bindv6only": None, "always": {}, "missing": []},
        "notes": [f"{UPDATE}:5: 127.0.0.1, ::1: loopback: left alone"],
    }


# What ss(8) shows of Exim 4.96.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {ANY4, ANY6}),
        ("0.0.0.0", {ANY4}),
        ("0.0.0.0 ; ::0", {ANY4, ANY6}),
        ("0.0.0.0;::0;", {ANY4, ANY6}),
        ("<, 0.0.0.0, ::0", {ANY4, ANY6}),
        ("::::0", {ANY6}),
        ("0.0.0.0.26", {("0.0.0.0", 26)}),
        ("[0.0.0.0]:26 ; [::0]:26", {("0.0.0.0", 26), ("::", 26)}),
        ("0.0.0.0 : 127.0.0.1", {ANY4, ("127.0.0.1", 25)}),
        ("192.0.2.10 ; 2001:DB8::10", {("192.0.2.10", 25), ("2001:db8::10", 25)}),
        ("localhost", {("localhost", 25)}),
    ],
)
def test_where_it_listens(value: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(debian(value)) == sockets(debian(value, split="false")) == expected
    text = f"local_interfaces = {'<; ' if ';' in value else ''}{value}"
    assert sockets(one(text)) == expected


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (
            "daemon_smtp_ports = 25 : 465 : submission\n",
            {(each, port) for each in ("0.0.0.0", "::") for port in (25, 465, 587)},
        ),
        ("MAIN_LOCAL_INTERFACES = 0.0.0.0\n", {ANY4}),
        ("disable_ipv6 = true\n", {ANY4}),
        ("disable_ipv6\n", {ANY4}),
        ("no_disable_ipv6\n", {ANY4, ANY6}),
        (".ifdef NOTHING\ndisable_ipv6\n.elifdef CONFDIR\n.else\n.endif\n", {ANY4, ANY6}),
        (".ifndef NOTHING\n.ifdef NOTHING\n.else\ndisable_ipv6\n.endif\n.endif\n", {ANY4}),
        ("ZZZ = 1\n.ifdef ZZZ\n.else\ndisable_ipv6\n.endif\n", {ANY4, ANY6}),
        ("A = 0.0.0.0\nB == A\nMAIN_LOCAL_INTERFACES = B\n", {ANY4}),
        ("A = 0.0.0\nMAIN_LOCAL_INTERFACES = A.0\n", {ANY4}),
        (
            "log_selector = \\\n  +all \\\n # a comment\n  -b\nMAIN_LOCAL_INTERFACES = <; \\\n  0.0.0.0 ; \\\n  ::0\n",
            {ANY4, ANY6},
        ),
    ],
)
def test_what_a_file_of_conf_d_says(local: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(debian("", local)) == expected


def test_a_macro_by_hand_goes_before_debians() -> None:
    assert sockets(debian("127.0.0.1", "MAIN_LOCAL_INTERFACES = 0.0.0.0\n")) == {ANY4}


def test_what_is_included_under_a_condition_that_does_not_hold() -> None:
    other = {f"{ROOT}/local.conf": {"text": "disable_ipv6\n", "includes": []}}
    text = f".ifdef X\n.include {ROOT}/local.conf\n.endif\n"
    assert sockets({MAIN: {"text": text, "includes": [list(other)]}, **other}) == {ANY4, ANY6}
    assert sockets({MAIN: {"text": f"X = 1\n{text}", "includes": [list(other)]}, **other}) == {ANY4}


def test_a_file_with_rul_takes_the_place_of_the_other() -> None:
    files = debian("", "disable_ipv6\n")
    assert sockets({**files, f"{PARTS}/00_local.rul": {"text": "", "includes": []}}) == {ANY4, ANY6}


def test_exim4_conf_has_the_last_word_and_includes_others() -> None:
    other = f"{ROOT}/local.conf"
    text = f".include_if_exists {other}\n.ifdef X\n.include {other}\n.endif\n" + ACLS
    files = {
        **debian("127.0.0.1"),
        MAIN: {"text": text, "includes": [[other], [other]]},
        other: {"text": "local_interfaces = 0.0.0.0\n", "includes": []},
    }
    assert listen_exim4.includes(MAIN, text) == [other, other]
    assert sockets(files) == {ANY4}
    assert changed(files) == {other: "local_interfaces = <; 0.0.0.0 ; ::0\n"}


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        (
            "SMTPLISTENEROPTIONS='-oX 25:587 -oP /run/exim4/exim.pid'",
            {(each, port) for each in ("0.0.0.0", "::") for port in (25, 587)},
        ),
        ("SMTPLISTENEROPTIONS='-oX 0.0.0.0'", {ANY4}),
        ("SMTPLISTENEROPTIONS='-oX <;0.0.0.0;::0;587'", {("0.0.0.0", 587), ("::", 587)}),
        ("QUEUERUNNER='queueonly'\n", set()),
        ("QUEUERUNNER='combined'\nQUEUEINTERVAL='30m'\n#SMTPLISTENEROPTIONS='-oX 1'\n", {ANY4, ANY6}),
    ],
)
def test_the_command_line(defaults: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(debian("", defaults=defaults)) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.0.0.0", "0.0.0.0 ; ::0"),
        ("::::0", "::0 ; 0.0.0.0"),
        ("<; ::0", "<; ::0 ; 0.0.0.0"),
        ("0.0.0.0 : 127.0.0.1", "0.0.0.0 : 127.0.0.1 : ::::0"),
        ("0.0.0.0;127.0.0.1", "0.0.0.0;127.0.0.1;::0"),
        ("0.0.0.0 ; ::", "0.0.0.0 ; ::0"),
        ("<; ::", "<; ::0 ; 0.0.0.0"),
        ("::::", "::0 ; 0.0.0.0"),
        ("[0.0.0.0]::26", "[0.0.0.0]:26 ; [::0]:26"),
        ("0.0.0.0.26 ; 0.0.0.0", "0.0.0.0.26 ; 0.0.0.0 ; [::0]:26 ; ::0"),
        ("192.0.2.10", "192.0.2.10 ; 2001:db8::10 ; 2001:db8::11"),
        ("127.0.0.1 ; ::1 ; 192.0.2.10", "127.0.0.1 ; ::1 ; 192.0.2.10 ; 2001:db8::10 ; 2001:db8::11"),
        ("127.0.0.1:192.0.2.10", "127.0.0.1:192.0.2.10:2001::db8::::10:2001::db8::::11"),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    assert interfaces_of(before) == after


@pytest.mark.parametrize(
    "value",
    [
        *("", "127.0.0.1", "127.0.0.1 ; ::1", "0.0.0.0 ; ::0", "10.0.0.5", "192.0.2.10 ; 2001:db8::11"),
        *("localhost", "0.0.0.0 ; 2001:db8::10", "x[y"),
    ],
)
def test_what_is_right_or_not_ours_stays(value: str) -> None:
    assert interfaces_of(value) == value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("local_interfaces = 0.0.0.0\n", "local_interfaces = <; 0.0.0.0 ; ::0\n"),
        ("local_interfaces=<;0.0.0.0;127.0.0.1\r\n", "local_interfaces=<;0.0.0.0;127.0.0.1;::0\r\n"),
        (
            "local_interfaces = 0.0.0.0 : \\\n  # c\n  127.0.0.1\nlog_file_path = x\n",
            "local_interfaces = 0.0.0.0 : \\\n  # c\n  127.0.0.1 : ::::0\nlog_file_path = x\n",
        ),
        ("L = 0.0.0.0\nlocal_interfaces = L\n", "L = <; 0.0.0.0 ; ::0\nlocal_interfaces = L\n"),
        ("disable_ipv6 = yes # no\n", "disable_ipv6 = yes # no\n"),
        ("disable_ipv6 = true\n", "disable_ipv6 = false\n"),
        ("\tdisable_ipv6\nx = y\n", "\tno_disable_ipv6\nx = y\n"),
        ("disable_ipv6 = true\nlocal_interfaces = 127.0.0.1\n", "disable_ipv6 = true\nlocal_interfaces = 127.0.0.1\n"),
        (
            "disable_ipv6 = true\nlocal_interfaces = 0.0.0.0\n",
            "disable_ipv6 = false\nlocal_interfaces = <; 0.0.0.0 ; ::0\n",
        ),
    ],
)
def test_a_configuration_by_hand(before: str, after: str) -> None:
    assert changed(one(before), SITE).get(MAIN, before) == after


def test_the_command_line_is_widened_without_blanks() -> None:
    files = debian("", defaults="SMTPLISTENEROPTIONS='-oX 0.0.0.0 -oP /x'\n")
    assert changed(files) == {DEFAULTS: "SMTPLISTENEROPTIONS='-oX <;0.0.0.0;::0 -oP /x'\n"}


def test_a_value_without_quotes_gets_them() -> None:
    files = debian("")
    files[UPDATE]["text"] = files[UPDATE]["text"].replace("interfaces=''", "interfaces=0.0.0.0")
    assert "\ndc_local_interfaces='0.0.0.0 ; ::0'\n" in changed(files)[UPDATE]


def test_what_is_made_of_macros_is_told() -> None:
    done = listen_exim4.dual_stack(debian("", "A = 0.0.0\nMAIN_LOCAL_INTERFACES = A.0\n"), {})
    assert (done["files"], done["notes"]) == ({}, [f"{PARTS}/00_local:2: made of macros: left alone; add ::0"])


def test_a_published_address_without_ipv6_is_missing() -> None:
    done = listen_exim4.dual_stack(debian("192.0.2.10", "daemon_smtp_ports = 25 : 587\n"), {}, 0, NO_SIX)
    said = f"{UPDATE}:5: 192.0.2.10 is published, and no IPv6 address of this host is known to listen on beside it"
    said += "; add one"
    assert (done["files"], done["missing"]) == (
        {},
        [{"names": [], "port": 25, "said": said}, {"names": [], "port": 587, "said": said}],
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("127.0.0.1", "<; 127.0.0.1 ; ::1"),
        ("127.0.0.1 : 192.0.2.0/24", "127.0.0.1 : 192.0.2.0/24 : ::::1"),
        ("<; 127.0.0.0/8", "<; 127.0.0.0/8 ; ::1"),
        *((each, each) for each in ("127.0.0.1 : ::::1", "<; 127.0.0.1 ; ::1", "localhost : 127.0.0.1", "@[]", "")),
        *((each, each) for each in ("192.0.2.0/24", "127.0.0.1 : ${lookup{x}}", "*")),
    ],
)
def test_where_127_0_0_1_may_relay_1_may(before: str, after: str) -> None:
    whole = "hostlist   relay_from_hosts = {}\n" + ACLS
    files = one(whole.format(before))
    assert changed(files).get(MAIN, whole.format(before)) == whole.format(after)
    assert listen_exim4.dual_stack(files, {})["always"] == changed(files)


def test_one_that_only_sends_relays_for_whom_it_did() -> None:
    text = "local_interfaces = 127.0.0.1\nhostlist relay_from_hosts = 127.0.0.1\n"
    assert changed(one(text), SITE) == {}
    assert changed(one(text.replace("= 127.0.0.1\nh", "= 192.0.2.10 : 127.0.0.1\nh")), SITE) != {}


def test_debians_own_list_of_relays_has_both() -> None:
    assert changed(debian("", nets="127.0.0.1")) == {}
    done = listen_exim4.dual_stack(debian("", nets="192.0.2.0/24"), {})
    assert done["notes"] == [f"{UPDATE}:6: who may relay knows no network of IPv6: add it beside 192.0.2.0/24"]


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:2:1: {MAIN} is included without an end"):
        listen_exim4.listeners({MAIN: {"text": f"\n.include {MAIN}", "includes": [[MAIN]]}})
    assert sockets({}) == {ANY4, ANY6}


def test_a_diff_shows_what_changes_and_no_secret() -> None:
    text = "local_interfaces = 0.0.0.0\nhide pgsql_servers = localhost/a/b/hunter2\n"
    said = secrets_shown.diff(MAIN, text, changed(one(text))[MAIN], listen_exim4.about()["words"])
    assert "+local_interfaces = <; 0.0.0.0 ; ::0" in said and "hunter2" not in said
    text = DEBCONF.format("0.0.0.0", "", "true")
    said = secrets_shown.diff(UPDATE, text, changed(debian("0.0.0.0"))[UPDATE], listen_exim4.about()["words"])
    assert "+dc_local_interfaces='0.0.0.0 ; ::0'" in said


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = (
        "A = 0.0.0.0\n.ifdef A\nlocal_interfaces = A : 127.0.0.1\n.else\nlocal_interfaces = <; 0.0.0.0 ; [::]:26 \\\n"
        " ; 1.2.3.4\n.endif\ndisable_ipv6\nhostlist relay_from_hosts = 127.0.0.1\n.include x\nbegin acl\n"
    )
    signs = [
        "\\",
        '"',
        "'",
        "\n",
        "\r\n",
        "<",
        "\0",
        "\udcff",
        "#",
        ":",
        "{",
        ";",
        "::",
        "²",
        "٣",
        ".",
        "A",
        "9" * 5000,
    ]
    for _ in range(1500):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        for files in (one(text, text), {**debian(text.replace("'", ""), text, text)}):
            try:
                listen_exim4.includes(MAIN, text)
                assert sockets(files) <= sockets(afterwards(files, changed(files, SITE)))
            except SaltInvocationError as error:
                assert MAIN in str(error) and "\n" not in str(error)
