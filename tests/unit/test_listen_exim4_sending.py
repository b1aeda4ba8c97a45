"""Over which families Exim sends: the routers that look up hosts, and the restriction that comes and goes."""

from __future__ import annotations

from typing import Any

import listen_exim4
import pytest
from salt.exceptions import SaltInvocationError

ROOT = "/etc/exim4"
MAIN, UPDATE, TEMPLATE = f"{ROOT}/exim4.conf", f"{ROOT}/update-exim4.conf.conf", f"{ROOT}/exim4.conf.template"
HOST = {"fqdn": "mail.example.org", "mailname": "example.org"}
ROUTERS = """\
begin routers
.ifdef DCconfig_internet
dnslookup_relay_to_domains:
  debug_print = "R: dnslookup for $local_part@$domain"
  driver = dnslookup
  transport = remote_smtp
  no_more

dnslookup:
  driver = dnslookup
  # to all others
  domains = ! +local_domains
  transport = remote_smtp
.endif
.ifdef DCconfig_smarthost DCconfig_satellite
smarthost:
  driver = manualroute
  route_list = * DCsmarthost byname
  transport = remote_smtp_smarthost
.endif
local_user:
  driver = accept
"""
TRANSPORTS = """\
begin transports
remote_smtp:
  driver = smtp
.ifdef REMOTE_SMTP_INTERFACE
  interface = REMOTE_SMTP_INTERFACE
.endif
.ifdef REMOTE_SMTP_HELO_DATA
  helo_data=REMOTE_SMTP_HELO_DATA
.endif
"""
OURS = """\
  # dualstack: over IPv6 only when PTR, HELO name and SPF record are right
  ipv4_only = true
"""
DRIVER = "  driver = dnslookup\n"
RESTRICTED = ROUTERS.replace(DRIVER, DRIVER + OURS)
MACROS = "UPEX4CmacrosUPEX4C = 1\nqualify_domain = ETC_MAILNAME\n"


def whole(main: str = MACROS, routers: str = ROUTERS, kind: str = "internet", split: bool = True) -> dict[str, Any]:
    """Debian's files."""
    update = f"dc_eximconfig_configtype='{kind}'\ndc_local_interfaces=''\ndc_use_split_config='{str(split).lower()}'\n"
    texts = {UPDATE: update, TEMPLATE: main + routers + TRANSPORTS}
    if split:
        texts = {
            UPDATE: update,
            f"{ROOT}/conf.d/main/01_x": main,
            f"{ROOT}/conf.d/router/200_primary": routers,
            f"{ROOT}/conf.d/transport/30_remote": TRANSPORTS,
            TEMPLATE: "nobody reads it",
        }
    return {path: {"text": text, "includes": []} for path, text in texts.items()}


def after(files: dict[str, Any], send: str) -> dict[str, Any]:
    """The files once they are written, which is the same for one that serves both families."""
    done = listen_exim4.dual_stack(files, {"send": send})
    assert done["files"] == done["always"]
    return {path: {**each, "text": done["files"].get(path, each["text"])} for path, each in files.items()}


def senders(files: dict[str, Any], **host: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = listen_exim4.senders(files, {**HOST, **host})
    return found


@pytest.mark.parametrize("split", [True, False])
def test_the_routers_that_look_up_hosts_are_restricted_and_set_free(split: bool) -> None:
    free, restricted = whole(split=split), whole(routers=RESTRICTED, split=split)
    assert after(free, "ipv4") == after(restricted, "ipv4") == restricted
    assert after(restricted, "both") == after(free, "both") == free
    for files in (free, restricted):
        assert after(files, "auto") == files
        assert [each["name"] for each in senders(files)] == ["dnslookup_relay_to_domains", "dnslookup"]


def test_a_configuration_of_ones_own_is_restricted_too() -> None:
    text = "primary_hostname = a.example.net\nbegin routers\nout:\n  driver = dnslookup\n  transport = t\n"
    text += "begin transports\n"
    files: dict[str, Any] = {
        MAIN: {"text": f"{text}t:\n  driver = smtp\n  interface = <; 192.0.2.1 ; 2001:DB8::1", "includes": []}
    }
    (found,) = senders(files)
    assert (found["address"], found["helo"], found["domain"]) == ("2001:db8::1", "a.example.net", "a.example.net")
    assert (found["name"], found["place"], found["kept"]) == ("out", f"{MAIN}:4", "")
    done = after(files, "ipv4")
    assert done[MAIN]["text"] == files[MAIN]["text"].replace(DRIVER, DRIVER + OURS)
    assert after(done, "both") == files


@pytest.mark.parametrize("end", ["", "\n", " \n", "\r\n", "\n\n# the end\n"])
def test_what_was_there_comes_back_to_the_byte(end: str) -> None:
    files = {MAIN: {"text": f"begin routers\nout:\n  transport = t\n  driver = dnslookup{end}", "includes": []}}
    done = after(files, "ipv4")
    assert "ipv4_only = true" in done[MAIN]["text"]
    assert after(done, "ipv4") == done
    assert after(done, "both") == files


def test_what_the_user_has_written_stays() -> None:
    for own in ("  ipv4_only = true\n", "  ipv4_only = yes\n", "  ignore_target_hosts = <; 192.0.2.0/24 ; ::0/0\n"):
        files = whole(routers=ROUTERS.replace(DRIVER, DRIVER + own))
        for send in ("ipv4", "both"):
            assert after(files, send) == files
        assert senders(files) == []
    files = whole(routers=ROUTERS.replace(DRIVER, DRIVER + "  ipv4_only = no\n"))
    assert after(files, "ipv4") == files
    assert {each["kept"] for each in senders(files)} == {"`ipv4_only = no` is yours, and stays: it sends over IPv6"}
    assert "the router dnslookup: `ipv4_only = no` is yours" in str(
        listen_exim4.dual_stack(files, {"send": "ipv4"})["notes"]
    )


def test_a_macro_that_ignores_all_of_ipv6_is_the_users_restriction() -> None:
    routers = ROUTERS.replace(DRIVER, DRIVER + "  ignore_target_hosts = ROUTER_IGNORE\n")
    for value, count in (("<; 10.0.0.0/8 ; ::1/128", 2), ("<; 10.0.0.0/8 ; ::/0", 0)):
        assert len(senders(whole(main=f"ROUTER_IGNORE = {value}\n{MACROS}", routers=routers))) == count


def test_who_has_no_ipv6_or_sends_to_a_smarthost_is_not_judged() -> None:
    for files in (
        whole(kind="smarthost"),
        whole(kind="local"),
        whole(main=f"{MACROS}dns_ipv4_lookup = *\n"),
    ):
        assert senders(files) == []
        assert after(files, "ipv4") == files
    local = whole(main=f"disable_ipv6 = true\n{MACROS}local_interfaces = 127.0.0.1\n")
    assert senders(local) == []
    assert after(local, "ipv4") == local
    assert len(senders(whole(main=f"disable_ipv6 = true\n{MACROS}"))) == 2  # it is about to have IPv6


@pytest.mark.parametrize(
    ("main", "host", "found"),
    [
        ("", {}, ("", "mail.example.org", "mail.example.org")),
        ("qualify_domain = ETC_MAILNAME\n", {}, ("", "mail.example.org", "example.org")),
        ("qualify_domain = example.net\n", {}, ("", "mail.example.org", "example.net")),
        ("NAME = a.example.net\nprimary_hostname = NAME\n", {}, ("", "a.example.net", "a.example.net")),
        ("REMOTE_SMTP_HELO_DATA = out.example.net\n", {}, ("", "out.example.net", "mail.example.org")),
        ("REMOTE_SMTP_HELO_DATA = $primary_hostname\n", {}, ("", "mail.example.org", "mail.example.org")),
        ("REMOTE_SMTP_HELO_DATA = ${lookup dnsdb {ptr=x}}\n", {}, ("", "", "mail.example.org")),
        ("REMOTE_SMTP_INTERFACE = <; 192.0.2.1;2001:db8::1\n", {"fqdn": "vm"}, ("2001:db8::1", "vm", "vm")),
        ("REMOTE_SMTP_INTERFACE = 192.0.2.1\n", {}, ("", "mail.example.org", "mail.example.org")),
    ],
)
def test_the_names_and_the_address_by_which_it_sends(main: str, host: dict[str, str], found: tuple[str, ...]) -> None:
    files = whole(main=f"UPEX4CmacrosUPEX4C = 1\n{main}")
    assert {(each["address"], each["helo"], each["domain"]) for each in senders(files, **host)} == {found}


def test_what_may_stand_in_the_pillar() -> None:
    for send in ("auto", "both", "ipv4"):
        assert listen_exim4.errors({"send": send}) == []
    for wrong in ("ipv6", None, True):
        assert listen_exim4.errors({"send": wrong}) == [f"send: {wrong!r} is not auto, both or ipv4"]
    with pytest.raises(SaltInvocationError, match="send: 'x' is not"):
        listen_exim4.dual_stack(whole(), {"send": "x"})
