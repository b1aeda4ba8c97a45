"""Over which families Postfix sends: the entries of master.cf that do, and the restriction that comes and goes."""

from __future__ import annotations

from typing import Any

import listen_postfix
import pytest
from salt.exceptions import SaltInvocationError

MAIN, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"
HOST = {"hostname": "mail.example.org", "mailname": "example.org"}
INET = "smtp inet n - y - - smtpd\n"
SENDS = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
  -o content_filter=filter:[127.0.0.1]:10024
smtp      unix  -       -       y       -       -       smtp
# between them
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
#       -o smtp_helo_timeout=5 -o smtp_connect_timeout=5
lmtp      unix  -       -       y       -       -       lmtp
filter    unix  -       -       n       -       2       smtp
retry     unix  -       -       y       -       -       error
"""
MARK = "# dualstack: over IPv6 only when PTR, HELO name and SPF record are right\n"
OURS = f"{MARK}  -o inet_protocols=ipv4\n"
RESTRICTED = SENDS.replace("smtp\n# between", f"smtp\n{OURS}# between").replace(
    "$service_name\n", "$service_name\n" + OURS
)
BOTH = "inet_protocols = all\n"


def files(main: str, master: str = SENDS) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": main, "includes": []}, MASTER: {"text": master, "includes": []}}


def master(main: str, text: str, send: str) -> str:
    """The master.cf, once written and once predicted for one that serves both families already."""
    done = listen_postfix.dual_stack(files(main, text), {"send": send})
    found = {done[key].get(MASTER, text) for key in ("files", "always")}
    assert len(found) == 1
    again = listen_postfix.dual_stack(files(main, found.copy().pop()), {"send": send})
    assert MASTER not in again["files"]
    return found.pop()


def senders(main: str, text: str = SENDS, **host: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = listen_postfix.senders(files(main, text), {**HOST, **host})
    return found


def test_only_the_entries_that_send_to_others_are_restricted_and_set_free() -> None:
    assert master(BOTH, SENDS, "ipv4") == RESTRICTED
    assert master(BOTH, RESTRICTED, "ipv4") == RESTRICTED
    assert master(BOTH, RESTRICTED, "both") == SENDS
    assert master(BOTH, SENDS, "both") == SENDS
    for text in (SENDS, RESTRICTED):
        assert master(BOTH, text, "auto") == text


@pytest.mark.parametrize(
    "text",
    [
        "smtp unix - - y - - smtp",
        "smtp unix - - y - - smtp\n",
        "smtp unix - - y - - smtp\r\nlmtp unix - - y - - lmtp\r\n",
        "smtp unix - - y - - smtp\n\n# the end",
        "smtp unix - - y - - smtp -v\n  -o smtp_helo_timeout=5\n # a comment\n\n  -o { smtp_helo_name = x }\n",
        "smtp unix - - y - - /usr/lib/postfix/sbin/smtp\n  # and nothing else",
    ],
)
def test_what_was_there_comes_back_to_the_byte(text: str) -> None:
    restricted = master("", text, "ipv4")
    assert restricted.count("-o inet_protocols=ipv4") == 1
    assert "\r" not in text or restricted.replace("\r\n", "").count("\n") == 0
    assert master("", restricted, "both") == text


def test_options_that_are_added_below_ours_do_not_hide_it() -> None:
    more = RESTRICTED.replace("lmtp ", "  -o smtp_helo_timeout=9\nlmtp ")
    assert master(BOTH, more, "ipv4") == more
    assert master(BOTH, more, "both") == SENDS.replace("lmtp ", "  -o smtp_helo_timeout=9\nlmtp ")


@pytest.mark.parametrize(
    "own",
    [
        "  -o inet_protocols=ipv4\n",
        "  -o { inet_protocols = ipv4 }\n",
        "  -oinet_protocols=ipv4\n",
        "# my own: no IPv6\n  -o inet_protocols=ipv4\n",
    ],
)
def test_a_restriction_of_the_user_stays(own: str) -> None:
    text = f"smtp unix - - y - - smtp\n{own}"
    for send in ("ipv4", "both"):
        assert master(BOTH, text, send) == text
    assert senders(BOTH, text) == []


def test_an_entry_that_the_user_has_opened_stays_and_is_told() -> None:
    text = "smtp unix - - y - - smtp\n  -o inet_protocols=all\n"
    assert master(BOTH, text, "ipv4") == text
    said = f"{MASTER}:1: the entry `smtp`: `-o inet_protocols=all` is yours, and stays: it sends over IPv6"
    assert said in listen_postfix.dual_stack(files(BOTH, text), {"send": "ipv4"})["notes"]
    assert [each["kept"] for each in senders(BOTH, text)] == [
        "`-o inet_protocols=all` is yours, and stays: it sends over IPv6"
    ]


@pytest.mark.parametrize(
    ("main", "kept"),
    [
        ("relayhost = [2001:db8::1]:587\n", {"smtp", "relay"}),
        ("relayhost = [ipv6:2001:db8::1]\n", {"smtp", "relay"}),
        ("six = 2001:db8::1\nsmtp_fallback_relay = [$six]\n", {"smtp", "relay"}),
        ("default_transport = smtp:[2001:db8::1]\n", {"smtp", "relay"}),
        ("content_filter = smtp:[::1]:10025\n", {"smtp"}),
        ("relayhost = [192.0.2.1]\n", set()),
        ("content_filter = filter:[::1]:10025\n", set()),
    ],
)
def test_what_is_to_go_to_an_address_of_ipv6_is_not_kept_from_it(main: str, kept: set[str]) -> None:
    assert {each["name"] for each in senders(main) if each["kept"]} == kept
    text = master(main, SENDS, "ipv4")
    assert text.count("-o inet_protocols=ipv4") == 2 - len(kept)


def test_who_has_ipv4_only_sends_over_ipv4_only() -> None:
    private = "inet_protocols = ipv4\ninet_interfaces = loopback-only\n"
    assert senders(private) == []
    assert master(private, SENDS, "ipv4") == SENDS
    assert master(private, RESTRICTED, "ipv4") == SENDS  # it needs no words of ours
    assert len(senders("inet_protocols = ipv4\n")) == 2  # it is about to listen, and to send, over both
    assert master("inet_interfaces = loopback-only\n", SENDS, "ipv4") == RESTRICTED


def test_for_one_that_listens_on_both_nothing_but_who_may_relay_and_what_sends_is_changed() -> None:
    done = listen_postfix.dual_stack(files("mynetworks = 127.0.0.0/8\ninet_protocols = ipv4\n"), {"send": "ipv4"})
    assert done["always"][MAIN] == "mynetworks = 127.0.0.0/8 [::1]/128\ninet_protocols = ipv4\n"
    assert done["files"] == {MAIN: "mynetworks = 127.0.0.0/8 [::1]/128\ninet_protocols = all\n", MASTER: RESTRICTED}
    assert "PTR" not in str(done["notes"])  # whoever has decided tells more
    assert "PTR" in str(listen_postfix.dual_stack(files("inet_protocols = ipv4\n"), {})["notes"])


@pytest.mark.parametrize(
    ("main", "host", "helo", "domain"),
    [
        ("", {}, "mail.example.org", "mail.example.org"),
        ("", {"hostname": "vm"}, "vm.localdomain", "vm.localdomain"),
        ("myhostname = a.example.net\n", {}, "a.example.net", "a.example.net"),
        ("myhostname = a.example.net\nmyorigin = $mydomain\n", {}, "a.example.net", "example.net"),
        ("mydomain = example.net\n", {"hostname": "vm"}, "vm.example.net", "vm.example.net"),
        ("mydomain = example.net\nmyorigin = $mydomain\n", {}, "mail.example.org", "example.net"),
        ("myorigin = /etc/mailname\n", {}, "mail.example.org", "example.org"),
        ("myorigin = /etc/other\n", {}, "mail.example.org", ""),
        ("smtp_helo_name = out.$mydomain\n", {}, "out.example.org", "mail.example.org"),
        ("smtp_helo_name = $nothing\n", {}, "", "mail.example.org"),
    ],
)
def test_the_names_by_which_it_sends(main: str, host: dict[str, str], helo: str, domain: str) -> None:
    assert {(each["helo"], each["domain"]) for each in senders(main, **host)} == {(helo, domain)}


def test_each_entry_has_its_own_name_and_address() -> None:
    text = "smtp unix - - y - - smtp\n  -o smtp_bind_address6=2001:DB8::7\n  -o smtp_helo_name=seven.example.org\n"
    found = senders("smtp_bind_address6 = [2001:db8::1]\n", text + "relay unix - - y - - smtp\n")
    assert [(each["name"], each["address"], each["helo"]) for each in found] == [
        ("smtp", "2001:db8::7", "seven.example.org"),
        ("relay", "2001:db8::1", "mail.example.org"),
    ]
    assert [each["place"] for each in found] == [f"{MASTER}:1", f"{MASTER}:4"]


@pytest.mark.parametrize(
    ("interfaces", "address"),
    [
        ("all", ""),
        ("127.0.0.1, [::1]", ""),
        ("192.0.2.1 2001:db8::1", "2001:db8::1"),
        ("2001:db8::1 2001:db8::2", ""),
        ("mail.example.org", ""),
    ],
)
def test_postfix_sends_from_the_one_address_that_it_listens_on(interfaces: str, address: str) -> None:
    assert {each["address"] for each in senders(f"inet_interfaces = {interfaces}\n")} == {address}


def test_the_relay_is_told_that_gets_all_mail() -> None:
    for value, hop in (("[mx.example.net]:587", "mx.example.net"), ("example.net", ""), ("", "")):
        assert {each["hop"] for each in senders(f"relayhost = {value}\n")} == {hop}


def test_a_further_instance_sends_too() -> None:
    main = {"text": "multi_instance_directories = /etc/postfix-out\n", "includes": []}
    out = {"text": "multi_instance_enable = yes\nsmtp_bind_address6 = 2001:db8::9\n", "includes": []}
    own = {"text": "smtp unix - - y - - smtp\n", "includes": []}
    every = {MAIN: main, MASTER: own, "/etc/postfix-out/main.cf": out, "/etc/postfix-out/master.cf": own}
    assert [each["address"] for each in listen_postfix.senders(every, HOST)] == ["", "2001:db8::9"]
    done = listen_postfix.dual_stack(every, {"send": "ipv4"})
    assert set(done["always"]) == {MASTER, "/etc/postfix-out/master.cf"}


def test_what_may_stand_in_the_pillar() -> None:
    for send in ("auto", "both", "ipv4"):
        assert listen_postfix.errors({"send": send}) == []
    for wrong in ("ipv6", "", None, True, ["both"], 4):
        assert listen_postfix.errors({"send": wrong}) == [f"send: {wrong!r} is not auto, both or ipv4"]
    with pytest.raises(SaltInvocationError, match="send: 'x' is not"):
        listen_postfix.dual_stack(files(BOTH), {"send": "x"})
