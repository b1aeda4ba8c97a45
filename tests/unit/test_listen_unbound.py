"""unbound: where it listens, and how it comes to serve both families. What it does was measured with Debian's 1.17."""

from __future__ import annotations

import random
from typing import Any

import listen_unbound
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/unbound/unbound.conf"
EXTRA = "/etc/unbound/unbound.conf.d/a.conf"
DEBIAN = """\
# Unbound configuration file for Debian.
#
# See the unbound.conf(5) man page.
include-toplevel: "/etc/unbound/unbound.conf.d/*.conf"
"""
REMOTE = "remote-control:\n  control-enable: yes\n  control-interface: /run/unbound.ctl\n"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}


def one(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def server(lines: str) -> str:
    return "server:\n" + "".join(f"    {line}\n" for line in lines.splitlines())


def debian(extra: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": DEBIAN, "includes": [[EXTRA]]}, EXTRA: {"text": extra, "includes": []}}


def planned(text: str, site: dict[str, Any] | None = None) -> dict[str, Any]:
    done: dict[str, Any] = listen_unbound.dual_stack(one(text), {}, 0, site)
    assert done["bindv6only"] is None
    assert done == listen_unbound.dual_stack(one(text), {}, 1, site)
    return done


def changed(text: str, site: dict[str, Any] | None = None) -> str:
    """The text for both families; a second run must change nothing."""
    result: str = planned(text, site)["files"].get(MAIN, text)
    again = planned(result, site)
    assert (again["files"], again["always"]) == ({}, {})
    return result


def sockets(text: str, transport: str = "tcp") -> set[tuple[Any, ...]]:
    found = listen_unbound.listeners(one(text))
    return {(each["address"], each["port"]) for each in found if each["transport"] == transport}


def test_debians_own_is_on_loopback_and_stays_there() -> None:
    files = debian(REMOTE)
    assert listen_unbound.includes(MAIN, DEBIAN) == ["/etc/unbound/unbound.conf.d/*.conf"]
    assert listen_unbound.listeners(files) == [
        {
            **{"port": 53, "transport": transport, "address": address, "v6only": v6only, "file": MAIN, "line": 0},
            **{"note": "loopback: left alone", **spoken},
        }
        for address, v6only in (("127.0.0.1", None), ("::1", True))
        for transport, spoken in (("tcp", {"protocol": "dns"}), ("udp", {}))
    ]
    done = listen_unbound.dual_stack(files, {}, 0, SITE)
    assert done == {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (server("interface: 0.0.0.0"), {("0.0.0.0", 53)}),
        (server("ip-address: 0.0.0.0@5353\nport: 54\ninterface: ::0"), {("0.0.0.0", 5353), ("::", 54)}),
        (server("interface: ::0\ninterface: 0.0.0.0\ndo-ip6: no"), {("0.0.0.0", 53)}),
        (server("interface: ::0\ninterface: 0.0.0.0\ndo-ip4: no"), {("::", 53)}),
        (server("do-ip6: no\ninterface: 0::0\ndo-ip6: yes"), {("::", 53)}),
        (server("interface: 0.0.0.0\ndo-tcp: no"), set()),
        (server("interface-automatic: yes\ninterface: 127.0.0.1"), {("0.0.0.0", 53), ("::", 53)}),
        (
            server('interface-automatic: yes\ninterface-automatic-ports: "53 5353"\ndo-ip6: no'),
            {("0.0.0.0", 53), ("0.0.0.0", 5353)},
        ),
        ("server: interface: 0.0.0.0 do-ip6: no port: 54", {("0.0.0.0", 54)}),
        ("server:\n interface:0.0.0.0", {("0.0.0.0", 53)}),
        ("server:\n interface:\n  0.0.0.0 # all\n", {("0.0.0.0", 53)}),
        ("server:\n interface: \"0.0.0.0\"\n interface: '::0'\n", {("0.0.0.0", 53), ("::", 53)}),
        ("server:\n#interface: 0.0.0.0\n", {("127.0.0.1", 53), ("::1", 53)}),
        (REMOTE + "  interface: 0.0.0.0\n", {("127.0.0.1", 53), ("::1", 53)}),
        (server("interface: lo"), {("lo", 53)}),
        (server("interface: 0.0.0.0@x"), {("0.0.0.0", None)}),
    ],
)
def test_where_unbound_listens(text: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(text) == expected


def test_udp_is_seen_without_tcp() -> None:
    assert sockets(server("interface: 0.0.0.0\ndo-tcp: no"), "udp") == {("0.0.0.0", 53)}
    assert sockets(server("interface: 0.0.0.0\ndo-udp: no"), "udp") == set()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("server:\n\tinterface: 0.0.0.0\t# all", "server:\n\tinterface: 0.0.0.0\t# all\n\tinterface: ::0"),
        ("server:\r\n  ip-address:  0.0.0.0\r\n", "server:\r\n  ip-address:  0.0.0.0\r\n  ip-address:  ::0\r\n"),
        (server("interface: ::"), server("interface: ::\ninterface: 0.0.0.0")),
        (
            server("interface: 0.0.0.0@853\ninterface: 0.0.0.0\ninterface: ::0"),
            server("interface: 0.0.0.0@853\ninterface: ::0@853\ninterface: 0.0.0.0\ninterface: ::0"),
        ),
        (server("do-ip6: no # off\ninterface: 0.0.0.0\ninterface: ::0"),) * 2,
        (
            "server: interface: 0.0.0.0 do-ip6: no\nremote-control: control-interface: 0.0.0.0\n",
            "server: interface: 0.0.0.0 interface: ::0 do-ip6: yes\nremote-control: control-interface: 0.0.0.0\n",
        ),
        (
            server("interface: 0.0.0.0\ndo-ip6: yes\ndo-ip6: no"),
            server("interface: 0.0.0.0\ninterface: ::0\ndo-ip6: yes\ndo-ip6: yes"),
        ),
        (server("interface: 0.0.0.0\ninterface: ::1"), server("interface: 0.0.0.0\ninterface: ::0\ninterface: ::1")),
        (server("interface: ::0\ndo-ip4: no"), server("interface: ::0\ninterface: 0.0.0.0\ndo-ip4: yes")),
        (server("interface-automatic: yes\ndo-ip6: no"), server("interface-automatic: yes\ndo-ip6: yes")),
        ("server:\n interface:\n  0.0.0.0\n", "server:\n interface:\n  0.0.0.0 interface: ::0\n"),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    after = after.replace("do-ip6: no # off", "do-ip6: yes # off")
    assert changed(before) == after
    assert sockets(before) < sockets(after)


@pytest.mark.parametrize(
    "text",
    [
        "",
        server("port: 5353\ndo-ip6: no"),
        server("interface: 0.0.0.0\ninterface: ::0"),
        server("interface: 127.0.0.1\ninterface: 10.0.0.1\ninterface: eth0\ndo-ip6: no"),
        server("interface: 0.0.0.0\ninterface: 2001:db8::5"),
        server("interface: 0.0.0.0\ninterface: ::1\nso-reuseport: no"),
        server("interface: 127.0.0.1\ninterface: ::0"),
        server("interface-automatic: yes"),
        server(
            "interface: 0.0.0.0@53\ninterface: ::0@53\naccess-control: 0.0.0.0/0 refuse\n"
            "access-control: 127.0.0.0/8 allow"
        ),
        REMOTE + "  control-interface: 0.0.0.0\n",
    ],
)
def test_what_is_right_or_cannot_be_decided_stays(text: str) -> None:
    assert changed(text) == text


def test_a_published_address_gets_those_of_ipv6() -> None:
    before = server("interface: 127.0.0.1\ninterface: 192.0.2.10\ninterface: 192.0.2.10@853\ndo-ip6: no")
    assert changed(before) == before
    assert changed(before, SITE) == server(
        "interface: 127.0.0.1\ninterface: 192.0.2.10\ninterface: 2001:db8::10\n"
        "interface: 192.0.2.10@853\ninterface: 2001:db8::10@853\ndo-ip6: yes"
    )
    dual = server("interface: 192.0.2.10\ninterface: 2001:db8::10")
    assert planned(dual, SITE)["notes"] == []
    assert changed(dual, SITE) == dual
    assert planned(before, SITE)["notes"] == [f"{MAIN}:2: `interface: 127.0.0.1`: loopback: left alone"]
    others = server("interface: 192.0.2.11")
    assert changed(others, SITE) == others


def test_a_published_address_without_one_of_ipv6_is_missing() -> None:
    (gap,) = planned(server("interface: 192.0.2.10@5353"), NO_SIX)["missing"]
    assert gap["port"] == 5353
    assert gap["said"].startswith(f"{MAIN}:2: `interface: 192.0.2.10@5353`: 192.0.2.10 is published, and no IPv6")


@pytest.mark.parametrize(
    ("access", "added"),
    [
        ("access-control: 0.0.0.0/0   allow", "access-control: ::/0   allow"),
        ("access-control: 0.0.0.0/0 refuse", ""),
        ("access-control: 127.0.0.0/8 allow", ""),
        ("access-control: 127.0.0.0/8 allow_snoop # dig +norec", "access-control: ::1 allow_snoop"),
        ("access-control: 127.0.0.1/32 refuse", "access-control: ::1 refuse"),
        ("access-control: 0.0.0.0/0 allow\naccess-control: ::0/0 refuse", ""),
        ("access-control: ::1 allow\naccess-control: 127.0.0.1 deny", ""),
    ],
)
def test_whoever_may_over_ipv4_may_over_ipv6(access: str, added: str) -> None:
    before = server(f"interface: 0.0.0.0\ninterface: ::0\n{access}")
    after = before + (f"    {added}\n" if added else "")
    assert changed(before) == after
    # Also where both families answer already.
    assert planned(before)["always"] == ({MAIN: after} if added else {})


def test_companions_alone_where_listeners_change_as_well() -> None:
    before = server("interface: 0.0.0.0\naccess-control: 0.0.0.0/0 allow")
    done = planned(before)
    assert done["always"] == {MAIN: before + "    access-control: ::/0 allow\n"}
    assert done["files"] == {
        MAIN: server("interface: 0.0.0.0\ninterface: ::0\naccess-control: 0.0.0.0/0 allow\naccess-control: ::/0 allow")
    }
    # On loopback nobody else asks.
    assert planned(server("access-control: 0.0.0.0/0 allow"))["always"] == {}


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (
            "access-control: 10.0.0.0/8 allow",
            "`access-control: 10.0.0.0/8 allow` knows IPv4 only: the same clients are refused over IPv6",
        ),
        (
            "access-control: 192.0.2.7 deny",
            "`access-control: 192.0.2.7 deny` knows IPv4 only: the same clients are not kept out over IPv6",
        ),
        (
            "access-control: 10.0.0.0/8 allow\naccess-control: ::1 allow",
            "`access-control: 10.0.0.0/8 allow` knows IPv4 only: the same clients are refused over IPv6",
        ),
        ("access-control: 10.0.0.0/8 allow\naccess-control: fd00::/8 allow", ""),
        ("access-control: 127.0.0.0/8 allow", ""),
    ],
)
def test_networks_of_ipv4_are_told(access: str, said: str) -> None:
    notes = planned(server(f"interface: 0.0.0.0\n{access}"))["notes"]
    assert notes == ([f"{MAIN}:3: {said}"] if said else [])


def test_obstacles_and_names_are_told() -> None:
    notes = planned(server("interface: 0.0.0.0\ninterface: 2001:db8::5\ninterface: eth0@54"))["notes"]
    assert notes == [
        f"{MAIN}:3: `interface: 2001:db8::5`: a specific address: left alone",
        f"{MAIN}:2: `interface: 0.0.0.0`: left alone, since `2001:db8::5` has the port in the other family",
        f"{MAIN}:4: `interface: eth0@54`: an interface by its name, with all its addresses: left alone",
    ]


def test_clauses_and_files() -> None:
    files = debian(server("interface: 0.0.0.0"))
    done = listen_unbound.dual_stack(files, {})
    assert done["files"] == {EXTRA: server("interface: 0.0.0.0\ninterface: ::0")}
    # `include` reads on in the same clause, `include-toplevel` begins anew.
    for word, expected in (("include", {("0.0.0.0", 53)}), ("include-toplevel", {("127.0.0.1", 53), ("::1", 53)})):
        inside: dict[str, dict[str, Any]] = {
            MAIN: {"text": f"server:\n {word}: {EXTRA}\n", "includes": [[EXTRA]]},
            EXTRA: {"text": "interface: 0.0.0.0", "includes": []},
        }
        found = listen_unbound.listeners(inside)
        assert {(each["address"], each["port"]) for each in found} == expected
    assert listen_unbound.includes(MAIN, "include: a\nserver: directory: '/x'\ninclude:\"b*\"") == ["/a", "/x/b*"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('server:\n  port: "53\n', ':2:9: a `"` that is not closed'),
        (server("do-ip6: maybe"), ":2: do-ip6 is neither yes nor no"),
    ],
)
def test_errors_have_their_place(text: str, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_unbound.listeners(one(text))
    assert str(raised.value) == MAIN + said


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = server(
        'interface: 0.0.0.0@5 # c\ndo-ip6: no\ninterface: 192.0.2.10\naccess-control: 0.0.0.0/0 allow\nlogfile: ""'
    )
    signs = ["\\", '"', "'", "\n", "\r\n", "\t", "\0", "\udcff", "#", "@", ":", "::", "²", "9" * 5000, "server:", "/"]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        try:
            listen_unbound.includes(MAIN, text)
            assert sockets(text) <= sockets(changed(text, SITE))
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)
