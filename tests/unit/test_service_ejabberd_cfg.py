"""The listeners of ejabberd.cfg, seen and edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_service_ejabberd_cfg as service_ejabberd_cfg
import pytest
from salt.exceptions import SaltInvocationError

FIXTURES = Path(__file__).parent / "ejabberd"
PATH = "/etc/ejabberd/ejabberd.cfg"


def of_kind(text: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in service_ejabberd_cfg.statements(PATH, text) if each["kind"] == kind]


def listeners(text: str) -> list[dict[str, Any]]:
    return [listener for each in of_kind(text, "listen") for listener in each["listeners"]]


def edited(text: str, edits: list[list[Any]]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def moved(listener: str, address: str) -> str:
    """One listener that is alone in its list, moved to an address."""
    text = f"{{listen, [{listener}]}}."
    return edited(text, listeners(text)[0]["edits"][address])[len("{listen, [") : -len("]}.")]


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        ("{5222, m, []}", (5222, "tcp", "0.0.0.0")),
        ("{16#1466, m, []}", (5222, "tcp", "0.0.0.0")),
        ("{0, m, []}", (0, "tcp", "0.0.0.0")),
        ("{65535, m, []}", (65535, "tcp", "0.0.0.0")),
        ("{5222, m, [inet6]}", (5222, "tcp", "::")),
        ("{5222, m, [{ip, {127, 0, 0, 1}}]}", (5222, "tcp", "127.0.0.1")),
        ("{5222, m, [inet6, {ip, {0,0,0,0}}]}", (5222, "tcp", "0.0.0.0")),
        ("{5222, m, [{ip, {0,0,0,0,0,0,0,0}}, {ip, {127,0,0,1}}]}", (5222, "tcp", "::")),
        ("{3478, m, [{proto, udp}]}", (3478, "udp", "0.0.0.0")),
        ("{{3478, udp}, m, [inet6]}", (3478, "udp", "::")),
        ("{{3478, sctp}, m, []}", (3478, "tcp", "0.0.0.0")),
        ('{{5222, "::"}, m, [{ip, {127,0,0,1}}]}', (5222, "tcp", "::")),
        ('{{5222, "0.0.0.0/0"}, m, [inet6]}', (5222, "tcp", "0.0.0.0")),
        ('{{5222, "0:0:0:0:0:0:0:0"}, m, []}', (5222, "tcp", "::")),
        ('{{5222, <<"::1">>}, m, []}', (5222, "tcp", "::1")),
        ("{{5222, {192, 0, 2, 1}}, m, []}", (5222, "tcp", "192.0.2.1")),
        ("{{5222, {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}}, m, []}", (5222, "tcp", "2001:db8::1")),
        ('{{3478, "::", udp}, m, []}', (3478, "udp", "::")),
        ("{{3478, {0,0,0,0}, tcp}, m, [{proto, udp}]}", (3478, "tcp", "0.0.0.0")),
        ("{{5222, \"::\"}, m, 'OPTIONS'}", (5222, "tcp", "::")),
        ("{5222, m, [{certfile, 'CERT'}]}", (5222, "tcp", "0.0.0.0")),
    ],
)
def test_where_a_listener_listens(listener: str, expected: tuple[int, str, str]) -> None:
    (found,) = listeners(f"{{listen, [{listener}]}}.")
    assert (found["port"], found["transport"], found["address"]) == expected
    assert found["note"] == ""


@pytest.mark.parametrize(
    "listener",
    [
        "'LISTENER'",
        "{use_macro, 'LISTENER', {5222, m, []}}",
        "{'PORT', m, []}",
        "{{use_macro, 'PORT', 5222}, m, []}",
        "{{5222, 'ADDRESS'}, m, []}",
        "{{5222, \"::\", 'TRANSPORT'}, m, []}",
        "{5222, m, 'OPTIONS'}",
        "{5222, m, [tls, 'OPTION']}",
        "{5222, m, [{ip, 'ADDRESS'}]}",
        "{5222, m, [{proto, 'TRANSPORT'}]}",
    ],
)
def test_what_a_macro_says_is_not_guessed(listener: str) -> None:
    (found,) = listeners(f"{{listen, [{listener}]}}.")
    assert found["note"] == "a macro: cannot decide"
    assert "edits" not in found
    assert found["port"] in (None, 5222)


def test_a_whole_list_may_be_a_macro() -> None:
    for text in ("{listen, 'LISTEN'}.", "{listen, {use_macro, 'LISTEN', []}}."):
        assert [each["note"] for each in listeners(text)] == ["a macro: cannot decide"]


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("{listen, tcp}.", "1:10", "`listen` takes a list"),
        ("{listen, [{5222, m, []} | [a]]}.", "1:27", "a list of listeners is not continued"),
        ("{listen,\n [{5222, m}]}.", "2:3", "not a listener"),
        ("{listen, [m]}.", "1:11", "not a listener"),
        ("{listen, [{5222, m, tls}]}.", "1:21", "the options of a listener are a list"),
        ('{listen, [{5222, m, "a"}]}.', "1:21", "the options of a listener are a list"),
        ("{listen, [{5222, m, [a|b]}]}.", "1:21", "the options of a listener are a list"),
        ('{listen, [{"5222", m, []}]}.', "1:12", "not a port"),
        ("{listen, [{65536, m, []}]}.", "1:12", "not a port"),
        ("{listen, [{{5222}, m, []}]}.", "1:12", "not a port"),
        ("{listen, [{{1,2,3,4}, m, []}]}.", "1:12", "not a port"),
        ('{listen, [{{5222, "nowhere"}, m, []}]}.', "1:19", "not an address"),
        ("{listen, [{{5222, {1,2,3}}, m, []}]}.", "1:19", "not an address"),
        ("{listen, [{{5222, {1,2,3,256}}, m, []}]}.", "1:19", "not an address"),
        ("{listen, [{{5222, {1,2,3,a}}, m, []}]}.", "1:19", "not an address"),
        ("{listen, [{5222, m, [{ip, any}]}]}.", "1:27", "not an address"),
        ("{include_config_file, ports}.", "1:23", "a file is included by its name"),
        ("{listen, [{5222, m, []},]}.", "1:25", "syntax error before: ']'"),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(text: str, place: str, problem: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        service_ejabberd_cfg.statements(PATH, text)
    assert str(raised.value).startswith(f"{PATH}:{place}: {problem}")


@pytest.mark.parametrize(
    ("listener", "on_ipv4", "on_ipv6"),
    [
        ("{5222, m, []}", '{{5222, "0.0.0.0"}, m, []}', '{{5222, "::"}, m, []}'),
        ("{(16#1466) , m, []}", '{{(16#1466), "0.0.0.0"} , m, []}', '{{(16#1466), "::"} , m, []}'),
        ("{{3478, udp}, m, []}", '{{3478, "0.0.0.0", udp}, m, []}', '{{3478, "::", udp}, m, []}'),
        ('{{5222, "::"}, m, []}', '{{5222, "0.0.0.0"}, m, []}', '{{5222, "::"}, m, []}'),
        ("{{1,{0,0,0,0},tcp}, m, []}", "{{1,{0,0,0,0},tcp}, m, []}", '{{1,"::",tcp}, m, []}'),
        ("{1, m, [inet6]}", '{{1, "0.0.0.0"}, m, []}', '{{1, "::"}, m, []}'),
        ("{1, m, [inet6, a]}", '{{1, "0.0.0.0"}, m, [a]}', '{{1, "::"}, m, [a]}'),
        ("{1, m, [a, inet6]}", '{{1, "0.0.0.0"}, m, [a]}', '{{1, "::"}, m, [a]}'),
        ("{1, m, [a, inet6,\n b]}", '{{1, "0.0.0.0"}, m, [a,\n b]}', '{{1, "::"}, m, [a,\n b]}'),
        ("{1, m, [a,\n inet6,\n b]}", '{{1, "0.0.0.0"}, m, [a,\n b]}', '{{1, "::"}, m, [a,\n b]}'),
        ("{1, m, [inet6, {ip, {0,0,0,0}}, a]}", '{{1, "0.0.0.0"}, m, [a]}', '{{1, "::"}, m, [a]}'),
        ("{1, m, [a, inet6, {ip, {0,0,0,0}}]}", '{{1, "0.0.0.0"}, m, [a]}', '{{1, "::"}, m, [a]}'),
        ("{1, m, [inet6,a,{ip,{0,0,0,0}},b,inet6]}", '{{1, "0.0.0.0"}, m, [a,b]}', '{{1, "::"}, m, [a,b]}'),
        ("{1, m, [inet6 % a,b\n, a]}", '{{1, "0.0.0.0"}, m, [ % a,b\n a]}', '{{1, "::"}, m, [ % a,b\n a]}'),
        ("{1, m, [a % no, really\n, inet6]}", '{{1, "0.0.0.0"}, m, [a % no, really\n ]}', None),
    ],
)
def test_only_the_words_of_the_address_change(listener: str, on_ipv4: str, on_ipv6: str | None) -> None:
    assert moved(listener, "0.0.0.0") == on_ipv4
    assert moved(listener, "::") == (on_ipv6 or on_ipv4.replace("0.0.0.0", "::"))
    for address in ("0.0.0.0", "::"):
        (found,) = listeners(f"{{listen, [{moved(listener, address)}]}}.")
        assert found["address"] == address
        assert found["meaning"] == listeners(f"{{listen, [{listener}]}}.")[0]["meaning"]


def test_copies_stand_below_each_other_unless_all_stand_beside() -> None:
    text = "{listen,\r\n\t[{1, m, []}, {2, m, []},\r\n\t {3, m, []}]}."
    assert [each["separator"] for each in listeners(text)] == [",\r\n\t ", ", ", ",\r\n\t "]


def test_a_listener_is_taken_out_with_its_comma() -> None:
    text = "{listen, [\n {1, m, []},\n {2, m, []}, % two\n {3, m, []}\n]}."
    first, second, third = listeners(text)
    assert first["drop"] is None
    assert edited(text, second["drop"]) == "{listen, [\n {1, m, []}, % two\n {3, m, []}\n]}."
    assert edited(text, third["drop"]) == "{listen, [\n {1, m, []},\n {2, m, []} % two\n \n]}."


def test_meaning_is_what_is_not_address() -> None:
    text = '{listen, [{1, m, [inet6, a, "b"]}, {{1, "::"}, m, [a,"b"]}, {1, m, [a]}, {1, n, [a, "b"]}]}.'
    one, two, three, four = [each["meaning"] for each in listeners(text)]
    assert one == two and one != three and one != four


def test_included_files_are_beside_the_main_file() -> None:
    text = (
        '{include_config_file, "ports.cfg"}.\n'
        '{include_config_file, "/srv/x*.cfg", [{allow_only, [listen, hosts]}]}.\n'
        '{include_config_file, "../acl.cfg", [{disallow, [listen]}]}.\n'
    )
    found = [(each["pattern"], each["allow"], each["disallow"]) for each in of_kind(text, "include")]
    assert found == [
        ("/etc/ejabberd/ports.cfg", None, []),
        ("/srv/x[*].cfg", ["listen", "hosts"], []),
        ("/etc/acl.cfg", None, ["listen"]),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{acl, a, {ip, "127.0.0.0/8"}}.', '{acl, a, {ip, "127.0.0.0/8"}}.\n{acl, a, {ip, "::1/128"}}.'),
        (
            ' {acl,a,{ip,"127.0.0.1"}}. % me, {x}\r\n{b}.',
            ' {acl,a,{ip,"127.0.0.1"}}. % me, {x}\r\n {acl,a,{ip,"::1/128"}}.\r\n{b}.',
        ),
        ('{acl, a, {ip, "127.0.0.1"}}. {b}.', '{acl, a, {ip, "127.0.0.1"}}. {acl, a, {ip, "::1/128"}}. {b}.'),
        ('{acl, "a", {ip, <<"127.1">>}}.', '{acl, "a", {ip, <<"127.1">>}}.\n{acl, "a", {ip, <<"::1/128">>}}.'),
    ],
)
def test_the_companion_of_an_acl(text: str, expected: str) -> None:
    (acl,) = of_kind(text, "acl")
    assert acl["name"] == "a" and acl["address"].startswith("127.")
    assert edited(text, acl["companion"]) == expected


def test_other_acls_are_none_of_its_business() -> None:
    assert of_kind('{acl, admin, {user, "a"}}. {acl, all, all}. {acl, b, {ip, any}}.', "acl") == []
    assert of_kind((FIXTURES / "squeeze.cfg").read_text(), "acl") == []


def test_the_real_file_of_jabber_at() -> None:
    found = [
        (each["port"], each["transport"], each["address"]) for each in listeners((FIXTURES / "ports.cfg").read_text())
    ]
    assert found[:9] == [
        (3478, "udp", "0.0.0.0"),
        (3478, "tcp", "0.0.0.0"),
        (5349, "tcp", "0.0.0.0"),
        (4560, "tcp", "127.0.0.1"),
        (5222, "tcp", "::"),
        (5223, "tcp", "::"),
        (5269, "tcp", "::"),
        (5280, "tcp", "0.0.0.0"),
        (5281, "tcp", "127.0.0.1"),
    ]


def test_terms_that_set_nothing_are_passed_over() -> None:
    assert service_ejabberd_cfg.statements(PATH, '{}.\n{1, 2}.\n{"listen", []}.\n[listen].\nlisten.\n') == []
