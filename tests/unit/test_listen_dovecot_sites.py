"""Dovecot on published addresses, and the lists in braces of Dovecot 2.4."""

from __future__ import annotations

from typing import Any

import listen_dovecot
import pytest

from .test_listen_dovecot import MAIN, VERSION, block, host, one, sockets


def braces(*lines: str) -> str:
    return "\n".join(["listen {", *(f"  {line}" for line in lines), "}", ""])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # It adds to the list before it, and takes away from it. Measured with 2.4.1.
        ("listen = *\n" + braces("192.0.2.1 = yes"), "listen = *, [::]\n" + braces("192.0.2.1 = yes")),
        (braces(":: = no"), braces(":: = yes")),
        (braces("* = no", ":: = no", "0.0.0.0 = yes"), braces("* = no", ":: = yes", "0.0.0.0 = yes")),
        ("listen = * ::\n" + braces(":: = no"), "listen = * ::\n" + braces(":: = yes")),
        ("listen =\n" + braces("0.0.0.0 = yes # x"), "listen =[::]\n" + braces("0.0.0.0 = yes # x")),
        (braces(":: = no") + "listen = * ::\n", None),
        (braces("192.0.2.1 = yes"), None),
    ],
)
def test_a_list_in_braces(old: str, new: str | None) -> None:
    assert one(VERSION + old) == VERSION + (old if new is None else new)


def inner(*lines: str) -> str:
    return "\n".join(["service imap-login {", "  inet_listener imap {", *lines, "  }", "}", ""])


@pytest.mark.parametrize("close", ["", "\r"])
def test_a_nested_list_in_braces(close: str) -> None:
    start = VERSION + "protocols = imap\nssl = no\n"
    old = start + inner("    listen {", "      * = no", "      :: = no", f"      0.0.0.0 = yes{close}", "    }")
    assert sockets(old) == [(143, "0.0.0.0")]
    new = one(old)
    assert new == old.replace(":: = no", ":: = yes") and sorted(sockets(new)) == [(143, "0.0.0.0"), (143, "::")]
    alone = (
        start
        + "listen = 127.0.0.1\n"
        + inner("    listen {", "      127.0.0.1 = no", f"      0.0.0.0 = yes{close}", "    }")
    )
    assert sockets(alone) == [(143, "0.0.0.0")]
    assert one(alone) == alone.replace(f"0.0.0.0 = yes{close}\n", f"0.0.0.0 = yes{close}\n      :: = yes{close}\n")
    service = start + "listen = 127.0.0.1\nservice imap-login {\n  listen {\n    192.0.2.1 = yes\n  }\n}\n"
    assert sockets(service) == [(143, "127.0.0.1"), (143, "192.0.2.1")]


# --- published addresses

SITE = {"names": ["mail.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::10"]}}
SERVICE = "service x {\n}\n"


def published(text: str, site: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    plan = listen_dovecot.dual_stack(host(text), {}, 0, site or SITE)
    after = plan["files"].get(MAIN, text)
    assert listen_dovecot.dual_stack(host(after), {}, 0, site or SITE)["files"] == {}
    return after, plan


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("listen = 192.0.2.1\n" + SERVICE, "listen = 192.0.2.1, 2001:db8::10\n" + SERVICE),
        ("listen = 192.0.2.1\n", "listen = 192.0.2.1, [2001:db8::10]\n"),  # Dovecot 1 wants brackets
        ("listen = 127.0.0.1 192.0.2.1\n" + SERVICE, "listen = 127.0.0.1 192.0.2.1 2001:db8::10\n" + SERVICE),
        (block("address = 192.0.2.1"), block("address = 192.0.2.1, 2001:db8::10")),
        ("listen = 192.0.2.1, 2001:DB8:0::10\n" + SERVICE, None),
        ("listen = 192.0.2.1, ::\n" + SERVICE, None),
        ("listen = 192.0.2.9\n" + SERVICE, None),
        ("listen = *, ::1\n" + SERVICE, "listen = *, ::1, 2001:db8::10\n" + SERVICE),
        ("listen = *, 2001:db8::10\n" + SERVICE, None),
        (
            "protocols = imap\nssl = no\nlisten = *\n" + block("address = ::1", "port = 143", name="local"),
            "protocols = imap\nssl = no\nlisten = *, 2001:db8::10\n"
            + block("address = ::1", "port = 143", name="local"),
        ),
        (
            VERSION + "protocols = imap\nlisten = 192.0.2.1\n",
            VERSION + "protocols = imap\nlisten = 192.0.2.1, 2001:db8::10\n",
        ),
        (
            VERSION + "protocols = imap\nlisten = 127.0.0.1\n" + braces("192.0.2.1 = yes"),
            VERSION + "protocols = imap\nlisten = 127.0.0.1, 2001:db8::10\n" + braces("192.0.2.1 = yes"),
        ),
        (
            VERSION + "protocols = imap\n" + braces("* = no", ":: = no", "192.0.2.1 = yes"),
            VERSION + "protocols = imap\n" + braces("* = no", ":: = no", "192.0.2.1 = yes", "2001:db8::10 = yes"),
        ),
        (
            VERSION
            + "protocols = imap\nlisten = 127.0.0.1\n"
            + inner("    listen {", "      192.0.2.1 = yes", "    }"),
            VERSION
            + "protocols = imap\nlisten = 127.0.0.1\n"
            + inner("    listen {", "      192.0.2.1 = yes", "      2001:db8::10 = yes", "    }"),
        ),
    ],
)
def test_a_list_with_a_published_address_gets_those_of_ipv6(old: str, new: str | None) -> None:
    after, plan = published(old)
    assert after == (old if new is None else new)
    assert plan["missing"] == [] and (new is None or "192.0.2.1" not in str(plan["notes"]))


@pytest.mark.parametrize(
    ("text", "six", "said"),
    [
        ("listen = 192.0.2.1\n" + SERVICE, [], "`192.0.2.1`: this address is published, and no address of IPv6"),
        ("protocol imap {\n  listen = 192.0.2.1:143\n}\n", ["2001:db8::10"], "it has its port beside it"),
        (
            "protocols = imap\nlisten = 192.0.2.1\n" + block("address = ::", "port = 143", name="six"),
            ["2001:db8::10"],
            "another block has IPv6 on some of its ports",
        ),
    ],
)
def test_what_cannot_get_an_address_is_missing(text: str, six: list[str], said: str) -> None:
    after, plan = published(text, {"names": ["mail.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": six}})
    (missing,) = plan["missing"]
    assert after == text and missing["names"] == ["mail.example.org"]
    assert said in missing["said"] and missing["said"].startswith(f"{MAIN}:")


def test_trusted_networks_stand_on_their_own() -> None:
    text = "listen = *\nlogin_trusted_networks = 127.0.0.0/8\n"
    plan = listen_dovecot.dual_stack(host(text), {})
    assert plan["always"] == {MAIN: text.replace("/8", "/8, ::1")}
    assert plan["files"] == {MAIN: "listen = *, [::]\nlogin_trusted_networks = 127.0.0.0/8, ::1\n"}


def test_other_lists_that_know_one_loopback_are_told() -> None:
    text = (
        "haproxy_trusted_networks = 127.0.0.1 192.0.2.0/24\n"
        "passdb {\n  driver = static\n  args = password=x allow_nets=127.0.0.0/8,192.0.2.1\n}\n"
        "userdb {\n  args = allow_nets=127.0.0.1,::1\n}\n"
    )
    said = "names IPv4's loopback, and not ::1: left alone, add it if it may"
    assert listen_dovecot.dual_stack(host(text), {})["notes"] == [
        f"{MAIN}:1: haproxy_trusted_networks {said}",
        f"{MAIN}:4: args {said}",
    ]
