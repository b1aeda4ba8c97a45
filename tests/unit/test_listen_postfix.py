"""How Postfix listens: the grammar of main.cf and master.cf, and the fewest changes that make it listen on both."""

from __future__ import annotations

import random
from typing import Any

import listen_postfix
import pytest
from salt.exceptions import SaltInvocationError

MAIN, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"

# Debian 12, as debconf writes it.
DEBIAN = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version


# Debian specific:  Specifying a file name will cause the first
# line of that file to be used as the name.  The Debian default
# is /etc/mailname.
#myorigin = /etc/mailname

smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
compatibility_level = 3.6

smtpd_tls_security_level=may
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = localhost
mydestination = $myhostname, mail.example.test, localhost
relayhost = \n\
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
"""
SERVICES = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
#               (yes)   (yes)   (no)    (never) (100)
smtp      inet  n       -       y       -       -       smtpd
#smtp      inet  n       -       y       -       1       postscreen
#127.0.0.1:submission inet n -   y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
# a comment between them
  -o smtpd_tls_security_level=encrypt
pickup    unix  n       -       y       60      1       pickup
smtp      unix  -       -       y       -       -       smtp
postlog   unix-dgram n  -       n       -       1       postlogd
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
"""
SMTP = "smtp inet n - y - - smtpd\n"


def files(main: str, master: str = SMTP) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": main, "includes": []}, MASTER: {"text": master, "includes": []}}


def changed(main: str, options: dict[str, Any] | None = None) -> str:
    """The main.cf that comes of one, after a check that it does not change again."""
    result = listen_postfix.dual_stack(files(main), options or {})
    assert result["bindv6only"] is None
    assert set(result["files"]) <= {MAIN}
    text = result["files"].get(MAIN, main)
    assert isinstance(text, str)
    assert listen_postfix.dual_stack(files(text), options or {})["files"] == {}
    return text


def notes(main: str, master: str = SMTP, options: dict[str, Any] | None = None) -> list[str]:
    """The notes, of a configuration that says which Postfix it is for."""
    result = listen_postfix.dual_stack(files(f"{main}compatibility_level = 3.6\n", master), options or {})["notes"]
    assert isinstance(result, list)
    return result


def sockets(main: str, master: str = SMTP) -> list[tuple[int | None, str]]:
    return [(each["port"], each["address"]) for each in listen_postfix.listeners(files(main, master))]


def refusal(main: str, master: str = SMTP, options: dict[str, Any] | None = None) -> str:
    with pytest.raises(SaltInvocationError) as raised:
        listen_postfix.dual_stack(files(main, master), options or {})
    return str(raised.value)


def test_the_debian_configuration_listens_on_both_families() -> None:
    found = listen_postfix.listeners(files(DEBIAN, SERVICES))
    common = {"transport": "tcp", "protocol": "smtp", "file": MASTER, "note": ""}
    assert found == [
        {"port": 25, "address": "0.0.0.0", "v6only": None, "line": 3, **common},
        {"port": 25, "address": "::", "v6only": True, "line": 3, **common},
        {"port": 587, "address": "0.0.0.0", "v6only": None, "line": 6, **common},
        {"port": 587, "address": "::", "v6only": True, "line": 6, **common},
    ]
    result: dict[str, Any] = {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    assert listen_postfix.dual_stack(files(DEBIAN, SERVICES), {}) == result
    wanted = ["[::1]/128", "[::ffff:127.0.0.0]/104", "127.0.0.0/8"]
    assert listen_postfix.dual_stack(files(DEBIAN, SERVICES), {"mynetworks": wanted}, bindv6only=1) == result


def test_an_ipv4_only_configuration_changes_in_its_words_only() -> None:
    only_v4 = DEBIAN.replace("inet_protocols = all", "inet_protocols = ipv4").replace(" [::1]/128", "")
    assert sockets(only_v4, SERVICES) == [(25, "0.0.0.0"), (587, "0.0.0.0")]
    result = listen_postfix.dual_stack(files(only_v4, SERVICES), {})
    assert result["files"] == {MAIN: DEBIAN}
    assert result["notes"] == [
        "inet_protocols = all lets Postfix send over IPv6, too: the address it sends from needs a PTR record"
    ]


def test_no_files_are_no_listeners() -> None:
    assert listen_postfix.listeners({}) == []
    assert listen_postfix.dual_stack({}, {})["files"] == {}
    with pytest.raises(SaltInvocationError, match="no such file, so that mynetworks cannot be written"):
        listen_postfix.dual_stack({}, {"mynetworks": []})
    assert listen_postfix.includes(MAIN, DEBIAN) == []


# --- the grammar of main.cf


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("inet_protocols = ipv4\n", "inet_protocols = all\n"),
        ("inet_protocols=ipv4", "inet_protocols=all"),
        ("inet_protocols\t=\tipv6 \t\n# end\n", "inet_protocols\t=\tall \t\n# end\n"),
        ("inet_protocols = ipv4\r\na = b\r\n", "inet_protocols = all\r\na = b\r\n"),
        # Continuation lines, with comments and empty lines inside: these are no ends.
        ("inet_protocols =\n  ipv4\na = b\n", "inet_protocols =\n  all\na = b\n"),
        ("inet_protocols\n  = ipv4\n", "inet_protocols\n  = all\n"),
        (
            "inet_protocols =\n# only\n\n  # one\n\tipv4\n#x\na = b\n",
            "inet_protocols =\n# only\n\n  # one\n\tall\n#x\na = b\n",
        ),
        ("inet_protocols = ipv4,\n# only\n\n  ipv4\na = b\n", "inet_protocols = all\n# only\n\na = b\n"),
        ("inet_protocols = ipv4,\r\n# only\r\n  ipv4\r\na = b\r\n", "inet_protocols = all\r\n# only\r\na = b\r\n"),
        ("inet_protocols = ipv4,\n  ipv4", "inet_protocols = all\n"),
        # The last one counts, and it alone is changed.
        ("inet_protocols = ipv4\ninet_protocols = all\n", None),
        ("inet_protocols = all\ninet_protocols = ipv4\n#z", "inet_protocols = all\ninet_protocols = all\n#z"),
        # Names are case sensitive.
        ("Inet_Protocols = ipv4\n", None),
        # What has both stays as it is written.
        ("inet_protocols = ipv6 , ipv4\n", None),
        ("inet_protocols = ipv4\n ipv6\n", None),
        ("inet_protocols = all, ipv4\n", None),
        # References to what main.cf defines, in each of their forms.
        ("f = ipv4\ninet_protocols = $f\n", "f = ipv4\ninet_protocols = all\n"),
        ("f = ipv4\ng = ${f}, $(h)\nh = ipv6\ninet_protocols = $g\n", None),
        # What begins with a blank and continues nothing is ignored.
        ("# c\n  a comes first\ninet_protocols = ipv4\n", "# c\n  a comes first\ninet_protocols = all\n"),
        # Unicode's spaces are none; bytes that are no UTF-8 stay.
        ("x =\udcff\x85\u2028\n\xa0=\ninet_protocols = ipv4\n", "x =\udcff\x85\u2028\n\xa0=\ninet_protocols = all\n"),
        ("", None),
    ],
)
def test_the_protocols(old: str, new: str | None) -> None:
    assert changed(old) == (old if new is None else new)


@pytest.mark.parametrize(
    ("main", "error"),
    [
        ("a = b\n\nno sign of it\n", "main.cf:3:1: a line without `name =`"),
        ("= b\n", "main.cf:1:1: a line without `name =`"),
        ("a = b\nc\n d\n", "main.cf:2:1: a line without `name =`"),
        ("a = b\n  c\0d\n", "main.cf:2:4: a NUL character"),
        ("inet_protocols = ipv7\n", "main.cf:1:18: `ipv7` of inet_protocols is not ipv4, ipv6 or all"),
        ("inet_protocols = ALL\n", "main.cf:1:18: `ALL` of inet_protocols is not ipv4, ipv6 or all, in lower case"),
    ],
)
def test_what_postfix_refuses_is_named_with_its_place(main: str, error: str) -> None:
    assert error in refusal(main)
    with pytest.raises(SaltInvocationError):
        listen_postfix.listeners(files(main))


@pytest.mark.parametrize(
    ("main", "place", "reading"),
    [
        ("relayhost =\n inet_protocols = ipv4\n", "2:2", "a part of `relayhost`"),
        ("relayhost = x\n\n# c\n\tinet_interfaces=all\n", "4:2", "a part of `relayhost`"),
        ("a = 1\nmynetworks = 127.0.0.0/8\n  mynetworks = [::1]/128\nb = 2\n", "3:3", "a part of `mynetworks`"),
        ("# first\n inet_protocols = ipv4\na = b\n", "2:2", "nothing at all"),
    ],
)
def test_an_assignment_that_is_indented_by_accident_is_refused(main: str, place: str, reading: str) -> None:
    assert f"{MAIN}:{place}: " in refusal(main)
    assert f"is indented, so that Postfix takes it for {reading};" in refusal(main)


def test_an_indented_comment_is_none() -> None:
    assert changed("relayhost =\n # inet_protocols = ipv4\n") == "relayhost =\n # inet_protocols = ipv4\n"


def test_what_cannot_be_known_is_left_alone() -> None:
    for main in (
        "inet_protocols = $nowhere\n",
        "inet_interfaces = ${a?b}\n",
        "mynetworks = 127.0.0.0/8 $nowhere/n\n",
    ):
        assert changed(main) == main
        assert "cannot decide, left alone" in notes(main)[0]
    circle = "a = $b\nb = $a\ninet_protocols = $a\n"
    assert changed(circle) == circle
    bomb = "".join(f"v{each} = {f'$v{each + 1}' * 50}\n" for each in range(30)) + "v30 = x\ninet_protocols = $v0\n"
    assert changed(bomb) == bomb
    found, _ = listen_postfix.listeners(files("inet_protocols = $nowhere\n"))
    assert found["note"] == "inet_protocols: cannot decide"
    (found,) = listen_postfix.listeners(files("inet_interfaces = $nowhere\n"))
    assert (found["address"], found["note"]) == ("$nowhere", "inet_interfaces: cannot decide")


def test_protocols_that_stand_nowhere_need_the_compatibility_level() -> None:
    assert notes("") == []
    assert "before Postfix 2.9" in listen_postfix.dual_stack(files(""), {})["notes"][0]
    assert sockets("") == [(25, "0.0.0.0"), (25, "::")]


def test_no_protocol_is_a_decision() -> None:
    main = "inet_protocols =\n"
    assert changed(main) == main
    assert notes(main) == [f"{MAIN}:1: inet_protocols is empty, no network for Postfix: left alone"]
    assert sockets(main, SMTP + "host.example:26 inet n - n - - smtpd\n") == []


# --- inet_interfaces


@pytest.mark.parametrize("value", ["0.0.0.0", "::", "[::]", "0.0.0.0, [::]", "0:0:0:0:0:0:0:0", "$x"])
def test_wildcards_become_all(value: str) -> None:
    assert changed(f"x = 0.0.0.0\ninet_interfaces = {value}\ny = z\n") == "x = 0.0.0.0\ninet_interfaces = all\ny = z\n"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("all", None),
        ("loopback-only", "loopback: left alone"),
        ("localhost", "loopback: left alone"),
        ("127.0.0.1", "loopback: left alone"),
        ("127.0.0.1, [::1]", "loopback: left alone"),
        ("192.0.2.1", "a specific address: left alone"),
        ("192.0.2.1 127.0.0.1", "a specific address: left alone; loopback: left alone"),
        ("mail.example.test", "a host name: left alone"),
        ("$myhostname, localhost", "a host name: left alone; loopback: left alone"),
        ("", "no address at all"),
    ],
)
def test_addresses_of_a_users_choice_are_left_alone(value: str, why: str | None) -> None:
    main = f"myhostname = mail.example.test\ninet_interfaces = {value}\n"
    assert changed(main) == main
    found = notes(main)
    assert len(found) == (why is not None)
    assert all(each.startswith(f"{MAIN}:2: inet_interfaces = ") and each.endswith(f": {why}") for each in found)


@pytest.mark.parametrize("value", ["ALL", "all, localhost", "0.0.0.0, 192.0.2.1", "[::] 127.0.0.1"])
def test_wildcards_beside_addresses_are_refused_as_postfix_does(value: str) -> None:
    assert refusal(f"inet_interfaces = {value}\n").startswith(f"{MAIN}:1:19: Postfix refuses `")


@pytest.mark.parametrize(
    ("main", "addresses"),
    [
        ("inet_protocols = ipv4\n", ["0.0.0.0"]),
        ("inet_protocols = ipv6\n", ["::"]),
        ("inet_interfaces = loopback-only\n", ["127.0.0.1", "::1"]),
        ("inet_interfaces = localhost\ninet_protocols = ipv4\n", ["127.0.0.1"]),
        ("inet_interfaces = [2001:DB8:0::1], 192.0.2.1\n", ["2001:db8::1", "192.0.2.1"]),
        ("inet_interfaces = mail.example.test\n", ["mail.example.test"]),
        ("inet_interfaces =\n", []),
    ],
)
def test_interfaces_and_protocols_decide_together(main: str, addresses: list[str]) -> None:
    assert sockets(main) == [(25, address) for address in addresses]


def test_an_address_of_the_excluded_family_is_a_failure_to_come() -> None:
    (found,) = listen_postfix.listeners(files("inet_interfaces = ::1\ninet_protocols = ipv4\n"))
    assert "so that Postfix does not start" in found["note"]


# --- mynetworks


@pytest.mark.parametrize(
    ("value", "new"),
    [
        ("127.0.0.0/8", "127.0.0.0/8 [::1]/128"),
        ("127.0.0.1", "127.0.0.1 [::1]/128"),
        ("127.0.0.0/8, 192.0.2.0/24", "127.0.0.0/8, 192.0.2.0/24, [::1]/128"),
        ("127.0.0.0/8,192.0.2.0/24 \t", "127.0.0.0/8,192.0.2.0/24,[::1]/128 \t"),
        ("127.0.0.0/8 ,", "127.0.0.0/8 [::1]/128 ,"),
        ("127.0.0.0/8\t10.0.0.0/8\r", "127.0.0.0/8\t10.0.0.0/8\t[::1]/128\r"),
        ("127.0.0.0/8 [::ffff:127.0.0.0]/104", "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128"),
        ("127.0.0.0/8 $lan", "127.0.0.0/8 $lan [::1]/128"),
        ("127.0.0.0/8 $config_directory/n", "127.0.0.0/8 $config_directory/n [::1]/128"),
        ("127.0.0.0/8 ${lan?{$lan}:{x}}", "127.0.0.0/8 ${lan?{$lan}:{x}} [::1]/128"),
        ("$myhostname 127.0.0.0/8", "$myhostname 127.0.0.0/8 [::1]/128"),
        ("$loopback", "$loopback [::1]/128"),
        ("127.0.0.0/8, /etc/postfix/networks", "127.0.0.0/8, /etc/postfix/networks, [::1]/128"),
        ("127.0.0.0/8 inline:{a=b, c=d}", "127.0.0.0/8 inline:{a=b, c=d} [::1]/128"),
        ("\n    127.0.0.0/8", "\n    127.0.0.0/8\n    [::1]/128"),
        ("127.0.0.0/8\n# the office,\n  192.0.2.0/24", "127.0.0.0/8\n# the office,\n  192.0.2.0/24\n  [::1]/128"),
        ("127.0.0.0/8,\n\t192.0.2.0/24", "127.0.0.0/8,\n\t192.0.2.0/24,\n\t[::1]/128"),
        # Postfix reads nothing behind a sign of a comment.
        ("127.0.0.0/8 # [::1]/128", "127.0.0.0/8 [::1]/128 # [::1]/128"),
        # There it is, or somebody decided otherwise; the first match counts.
        ("127.0.0.0/8 [::1]", None),
        ("127.0.0.0/8 [::1/128]", None),
        ("127.0.0.0/8 [0:0::1]/128", None),
        ("127.0.0.0/8 [::]/0", None),
        ("127.0.0.0/8 ![::1]", None),
        ("!127.0.0.1 127.0.0.0/8", None),
        ("192.0.2.0/24", None),
        ("example.test", None),
        ("", None),
    ],
)
def test_the_ipv6_loopback_joins_the_other_one(value: str, new: str | None) -> None:
    frame = "loopback = 127.0.0.0/8\nlan = 192.0.2.0/24\nmynetworks = {}\nmydestination = x\n"
    assert changed(frame.format(value)) == frame.format(value if new is None else new)


def test_unset_networks_follow_their_style() -> None:
    assert changed("mynetworks_style = host\n") == "mynetworks_style = host\n"


def test_an_end_that_hides_what_follows_gets_nothing_appended() -> None:
    for main in ("a = 127.0.0.0/8 # x\nmynetworks = $a\n", "mynetworks = 127.0.0.0/8 inline:{\n"):
        assert changed(main) == main
        assert "its end hides what follows" in notes(main)[0]


def test_tables_may_need_the_companion() -> None:
    assert "files or tables: they need ::1" in notes("mynetworks = cidr:/etc/postfix/n.cidr\n")[0]


@pytest.mark.parametrize(
    ("value", "place", "better"),
    [
        ("127.0.0.0/8 ::1/128", "1:26", "`[::1]/128`"),
        ("127.0.0.0/8\n# c\n  2001:db8::1", "3:3", "`[2001:db8::1]/128`"),
        ("127.0.0.0/8 !::1", "1:26", "`![::1]/128`"),
        ("::1/129", "1:14", "it as `[address]/length`"),
    ],
)
def test_an_ipv6_network_without_brackets_is_an_error_unless_the_pillar_replaces_it(
    value: str, place: str, better: str
) -> None:
    main = f"mynetworks = {value}\n"
    error = refusal(main)
    assert error.startswith(f"{MAIN}:{place}: ")
    assert error.endswith(f"has no brackets, so smtpd dies for every client; write {better}")
    assert "127.0.0.0/8 [::1]/128" in " ".join(changed(main, {"mynetworks": ["127.0.0.0/8", "[::1]/128"]}).split())


def test_host_bits_of_the_file_are_noted() -> None:
    (found,) = notes("mynetworks = 127.0.0.1/8 [::1]/128\n")
    assert found == f"{MAIN}:1: `127.0.0.1/8` of mynetworks makes Postfix defer mail; write `127.0.0.0/8`"


@pytest.mark.parametrize(
    ("old", "wanted", "new"),
    [
        ("a = b\n", ["127.0.0.0/8", "[::1]"], "a = b\nmynetworks = 127.0.0.0/8 [::1]\n"),
        ("a = b", ["127.0.0.0/8"], "a = b\nmynetworks = 127.0.0.0/8\n"),
        ("a = b\r\n# c", ["127.0.0.0/8"], "a = b\r\n# c\r\nmynetworks = 127.0.0.0/8\r\n"),
        ("", ["127.0.0.0/8"], "mynetworks = 127.0.0.0/8\n"),
        ("", [], "mynetworks =\n"),
        ("mynetworks = [::1], 127.0.0.1\n", ["127.0.0.1/32", "[0::1]/128"], None),
        ("x = 127.0.0.1\nmynetworks = $x\n", ["127.0.0.1"], None),
        ("mynetworks = $unknown\n", ["127.0.0.1"], "mynetworks = 127.0.0.1\n"),
        ("mynetworks = 10.0.0.0/8, 127.0.0.1\n", ["127.0.0.1", "[::1]"], "mynetworks = 127.0.0.1, [::1]\n"),
        ("mynetworks =\n", ["127.0.0.1"], "mynetworks = 127.0.0.1\n"),
        ("mynetworks =\r\n", ["127.0.0.1"], "mynetworks = 127.0.0.1\r\n"),
        ("mynetworks = \n", ["127.0.0.1"], "mynetworks = 127.0.0.1\n"),
        ("mynetworks = 127.0.0.1\n", [], "mynetworks = \n"),
        (
            "mynetworks =\n  127.0.0.1,\n  # the office\n  192.0.2.0/24,\n  # gone\n  10.0.0.0/8\nb = c\n",
            ["127.0.0.1", "192.0.2.0/24"],
            "mynetworks =\n  127.0.0.1,\n  192.0.2.0/24\n  # the office\n  # gone\nb = c\n",
        ),
        # What Postfix fails over is not the same, though it means the same.
        ("mynetworks = 127.0.0.1/8\n", ["127.0.0.0/8"], "mynetworks = 127.0.0.0/8\n"),
        # The order matters to negations only.
        ("mynetworks = 10.0.0.0/8 !10.1.1.1\n", ["!10.1.1.1", "10.0.0.0/8"], "mynetworks = !10.1.1.1 10.0.0.0/8\n"),
        ("mynetworks = !!10.1.1.1 10.0.0.0/8\n", ["10.0.0.0/8", "10.1.1.1"], None),
        # The last one counts.
        ("mynetworks = 127.0.0.1\nmynetworks = a\n", ["127.0.0.1"], "mynetworks = 127.0.0.1\nmynetworks = 127.0.0.1\n"),
    ],
)
def test_the_networks_of_the_pillar(old: str, wanted: list[str], new: str | None) -> None:
    assert changed(old, {"mynetworks": wanted}) == (old if new is None else new)


def test_a_pillar_that_trusts_one_loopback_address_only_is_noted() -> None:
    assert "trusts 127.0.0.1, and not ::1" in notes("", options={"mynetworks": ["127.0.0.0/8"]})[0]
    assert notes("", options={"mynetworks": ["127.0.0.0/8", "![::1]"]}) == []


def test_good_options_have_no_errors() -> None:
    good = ["127.0.0.0/8", "[::1]/128", "[::ffff:127.0.0.0]/104", "[::1]", "!192.0.2.1", "/etc/postfix/networks"]
    good += [
        "hash:/etc/postfix/networks",
        "!cidr:$config_directory/n",
        "inline:{127.0.0.1=ok, 10.1.1.1=ok}",
        "0.0.0.0/0",
    ]
    assert listen_postfix.errors({}) == []
    assert listen_postfix.errors({"mynetworks": []}) == []
    assert listen_postfix.errors({"mynetworks": good}) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("::1/128", "'[::1]/128'"),
        ("!2001:db8::/32", "'![2001:db8::]/32'"),
        ("127.0.0.1/8", "'127.0.0.0/8'"),
        ("[2001:db8::1]/64", "'[2001:db8::]/64'"),
        ("127.0.0.0/33", "'127.0.0.0/8', '[::1]/128', '/file/name' or 'type:table'"),
        ("127.0.0.0/255.0.0.0", "'type:table'"),
        ("127.0.0.0/", "'type:table'"),
        ("127.0.0", "'type:table'"),
        ("[::1", "'type:table'"),
        ("[fe80::1%eth0]", "'type:table'"),
        ("localhost", "'type:table'"),
        ("!", "'type:table'"),
        ("", "without blanks and commas, such as '127.0.0.0/8'"),
        ("127.0.0.0/8 [::1]/128", "without blanks and commas, such as '127.0.0.0/8'"),
        ("127.0.0.0/8,", "without blanks and commas, such as '127.0.0.0/8'"),
        ("127.0.0.0/8\nrelayhost = x", "without blanks and commas, such as '127.0.0.0/8'"),
        ("inline:{a=b,\nrelayhost = x}", "without blanks and commas, such as '127.0.0.0/8'"),
        ("inline:{a", "without blanks and commas, such as '127.0.0.0/8'"),
        ("#x", "without blanks and commas, such as '127.0.0.0/8'"),
        (["::1"], "in quotes, such as '[::1]/128'"),
        (None, "in quotes, such as '[::1]/128'"),
    ],
)
def test_bad_networks_of_the_pillar(entry: Any, expected: str) -> None:
    (error,) = listen_postfix.errors({"mynetworks": ["127.0.0.0/8", entry]})
    assert error.startswith(f"mynetworks: {entry!r} is not ")
    assert error.endswith(expected)
    assert error in refusal(DEBIAN, options={"mynetworks": [entry]})


def test_networks_that_are_no_list() -> None:
    assert listen_postfix.errors({"mynetworks": "127.0.0.0/8"}) == [
        "mynetworks: '127.0.0.0/8' is not a list; expected a list of networks, such as ['127.0.0.0/8']",
    ]


# --- master.cf


@pytest.mark.parametrize(
    ("name", "port", "addresses"),
    [
        ("25", 25, ["0.0.0.0", "::"]),
        (":25", 25, ["0.0.0.0", "::"]),
        ("smtps", 465, ["0.0.0.0", "::"]),
        ("submissions", 465, ["0.0.0.0", "::"]),
        ("127.0.0.1:10025", 10025, ["127.0.0.1"]),
        ("localhost:10025", 10025, ["127.0.0.1", "::1"]),
        ("[::1]:587", 587, ["::1"]),
        ("::1:587", 587, ["::1"]),
        ("[::]:smtp", 25, ["::"]),
        ("0.0.0.0:smtp", 25, ["0.0.0.0"]),
        ("mail.example.test:qmqp", 628, ["mail.example.test"]),
        ("amavis", None, ["0.0.0.0", "::"]),
    ],
)
def test_the_endpoints_of_inet_entries(name: str, port: int | None, addresses: list[str]) -> None:
    found = listen_postfix.listeners(files("", f"{name} inet n - y - - smtpd\n"))
    assert [(each["port"], each["address"]) for each in found] == [(port, address) for address in addresses]
    assert all(each["v6only"] == (True if ":" in each["address"] else None) for each in found)
    assert all(("/etc/services" in each["note"]) == (port is None) for each in found)


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ("127.0.0.1:10025", "loopback: left alone"),
        ("[::1]:587", "loopback: left alone"),
        ("192.0.2.1:25", "a specific address: left alone"),
        ("host.test:25", "a host name: left alone"),
        ("0.0.0.0:26", "one family only: left alone; write `26` in its place, or add an entry `[::]:26`"),
        ("[::]:smtps", "one family only: left alone; write `smtps` in its place, or add an entry `0.0.0.0:smtps`"),
        ("0.0.0.0:smtp", None),
    ],
)
def test_entries_with_a_host_are_noted_and_never_changed(entry: str, note: str | None) -> None:
    master = f"{SMTP}{entry} inet n - y - - smtpd\n"
    expected = [] if note is None else [f"{MASTER}:2: the entry `{entry}`: {note}"]
    assert notes("", master) == expected
    assert listen_postfix.listeners(files("", master))[-1]["note"] == (note or "")


def test_two_wildcards_side_by_side_need_no_note() -> None:
    assert notes("", "0.0.0.0:smtp inet n - y - - smtpd\n[::]:25 inet n - y - - smtpd\n") == []


def test_overrides_of_an_entry_are_noted() -> None:
    master = """\
127.0.0.1:10025 inet n - n - - smtpd
  -o mynetworks=127.0.0.0/8 -o syslog_name=x
# comment
  -oinet_interfaces=127.0.0.1
relay unix - - y - - smtp
  -o { inet_protocols = ipv4 }
  -o syslog_name=inet_protocols=x -o
"""
    loopback, *overrides = notes("", master)
    assert "loopback: left alone" in loopback
    assert overrides == [
        f"{MASTER}:2: `-o mynetworks=127.0.0.0/8` of the entry `127.0.0.1:10025`: left alone",
        f"{MASTER}:4: `-o inet_interfaces=127.0.0.1` of the entry `127.0.0.1:10025`: left alone",
        f"{MASTER}:6: `-o {{ inet_protocols = ipv4 }}` of the entry `relay`: left alone",
    ]


@pytest.mark.parametrize(
    ("pattern", "ports"),
    [
        ("", [25, 587]),
        ("inet", []),
        ("smtp/inet", [587]),
        ("smtp.inet", [587]),
        ("!smtp/inet, inet", [25]),
        ("unix", [25, 587]),
    ],
)
def test_disabled_services_do_not_listen(pattern: str, ports: list[int]) -> None:
    found = sockets(f"master_service_disable = {pattern}\ninet_protocols = ipv4\n", SERVICES)
    assert [port for port, _ in found] == ports


def test_of_two_entries_for_one_endpoint_the_last_counts() -> None:
    master = f"{SMTP}26 inet n - y - - smtpd\n25 inet n - y - - smtpd -v\n"
    found = listen_postfix.listeners(files("inet_protocols = ipv4\n", master))
    assert [(each["port"], each["line"]) for each in found] == [(26, 2), (25, 3)]


@pytest.mark.parametrize(
    ("master", "error"),
    [
        ("# c\nsmtp inet n - y -\n", "master.cf:2:1: an entry of 6 fields; it needs 8"),
        ("*:25 inet n - y - - smtpd\n", "master.cf:1:1: `*` is neither a host name nor an address"),
        ("[::1:25 inet n - y - - smtpd\n", "is neither a host name nor an address"),
        ("[::1] inet n - y - - smtpd\n", "is neither a host name nor an address"),
        ("25x inet n - y - - smtpd\n", "master.cf:1:1: `25x` is not a port from 1 to 65535"),
        ("host:70000 inet n - y - - smtpd\n", "`70000` is not a port from 1 to 65535"),
        ("host: inet n - y - - smtpd\n", "an inet entry without a service"),
        (SMTP + "a\0b unix n - y - - smtpd\n", "master.cf:2:2: a NUL character"),
    ],
)
def test_broken_entries_are_named_with_their_place(master: str, error: str) -> None:
    assert error in refusal("", master)


# --- as a whole


def test_everything_else_is_kept_byte_by_byte() -> None:
    old = (
        DEBIAN.replace("= all\n", "= 0.0.0.0\n", 1)
        .replace("protocols = all", "protocols = ipv4")
        .replace(" [::1]/128", "")
    )
    new = changed(old)
    pairs = list(zip(old.split("\n"), new.split("\n"), strict=True))
    assert [after for before, after in pairs if before != after] == [
        "mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128",
        "inet_interfaces = all",
        "inet_protocols = all",
    ]


def test_about_is_plain_data() -> None:
    about = listen_postfix.about()
    assert about["files"] == [MAIN, MASTER]
    assert about["protocols"][25] == "smtp"
    assert (list(about["options"]), about["always"]) == (["mynetworks", "send"], ["mynetworks"])
    assert "*/postfix/sbin/master *" in about["processes"]
    assert "/usr/lib*/postfix/master" in about["processes"]


def test_no_text_whatever_ends_in_a_traceback() -> None:
    dice = random.Random(25)
    values = ["127.0.0.0/8", "[::1]/128", "::1", "ipv4", "ipv6", "all", "0.0.0.0", "$a", "${", "#", "{", "}", "!", "["]
    values += [" ", ", ", "\n  ", "\n# c\n\t", "\r\n ", "\x85", "\udcfe"]
    names = ["inet_protocols", "inet_interfaces", "mynetworks", "a", "master_service_disable"]
    entries = [SMTP, "[::]:25 inet n - y - - smtpd", "::25 inet", "\n", "\n  ", " - - - -", "-o {", "\0", "\udcfe", "#"]
    good = 0
    for number in range(1500):
        text = DEBIAN[: dice.randrange(len(DEBIAN))] if number % 3 == 0 else ""
        for _ in range(dice.randrange(6)):
            words = [dice.choice(values) for _ in range(dice.randrange(5))]
            text += (
                f"{dice.choice(names)} ={''.join(words)}{dice.choice(['', chr(10), chr(13) + chr(10), ' ' + chr(10)])}"
            )
        text = text[: -dice.randrange(1, 9)] if number % 5 == 0 else text
        text += "\0" if number % 100 == 0 else ""
        master = SMTP + ("".join(dice.choice(entries) for _ in range(dice.randrange(5))) if number % 2 else "")
        options = {"mynetworks": ["127.0.0.0/8"]} if number % 4 == 0 else {}
        try:
            listen_postfix.listeners(files(text, master))
            result = listen_postfix.dual_stack(files(text, master), options)
            for new in result["files"].values():
                assert listen_postfix.dual_stack(files(new, master), options)["files"] == {}, text
            good += 1
        except SaltInvocationError as error:
            assert "\n" not in str(error)
    assert good > 300


def test_a_big_file_takes_linear_time() -> None:
    main = "mynetworks = 127.0.0.0/8\n" + " 10.0.0.1\n# c\n" * 5_000 + "a = b\n" * 5_000
    assert changed(main).count("[::1]/128") == 1
    master = "".join(f"192.0.2.1:{port} inet n - y - - smtpd\n" for port in range(1, 5_000))
    assert len(sockets("", master)) == 4_999
