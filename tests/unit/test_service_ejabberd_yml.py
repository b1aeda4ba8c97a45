"""The listeners of ejabberd.yml, seen and edited. What ejabberd accepts was measured with 23.01."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_service_ejabberd_yml as service_ejabberd_yml
import pytest
import yaml
from salt.exceptions import SaltInvocationError

FIXTURES = Path(__file__).parent / "ejabberd"
PATH = "/etc/ejabberd/ejabberd.yml"


def of_kind(text: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in service_ejabberd_yml.statements(PATH, text) if each["kind"] == kind]


def listeners(text: str) -> list[dict[str, Any]]:
    return [listener for each in of_kind(text, "listen") for listener in each["listeners"]]


def edited(text: str, edits: list[list[Any]]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("port: 5222", (5222, "tcp", "0.0.0.0")),
        ("port: 05222", (5222, "tcp", "0.0.0.0")),
        ("port: +5222", (5222, "tcp", "0.0.0.0")),
        ("port: 0", (0, "tcp", "0.0.0.0")),
        ("port: 65535", (65535, "tcp", "0.0.0.0")),
        ('port: 5222, ip: "::"', (5222, "tcp", "::")),
        ("ip: '::', port: 5222", (5222, "tcp", "::")),
        ('"port": 5222, "ip": "0:0::0"', (5222, "tcp", "::")),
        ("port: 5222, ip: 0.0.0.0", (5222, "tcp", "0.0.0.0")),
        ("port: 5222, inet6: true", (5222, "tcp", "0.0.0.0")),
        ("port: 5222, ip: 127.0.0.1", (5222, "tcp", "127.0.0.1")),
        ('port: 5222, ip: "2001:DB8::1"', (5222, "tcp", "2001:db8::1")),
        ('port: 3478, ip: "::", transport: udp', (3478, "udp", "::")),
        ("port: 3478, transport: 'tcp'", (3478, "tcp", "0.0.0.0")),
    ],
)
def test_where_a_listener_listens(options: str, expected: tuple[int, str, str]) -> None:
    block = "\n   ".join(options.split(", "))
    for text in (f"listen: [{{{options}}}]", f"listen:\n - {block}\n", f"listen:\n-\n   {block}"):
        (found,) = listeners(text)
        assert (found["port"], found["transport"], found["address"]) == expected
        assert found["note"] == ""


@pytest.mark.parametrize(
    ("item", "note"),
    [
        ("LISTENER", "a macro"),
        ("{port: PORT_1}", "a macro"),
        ("{port: 5222, ip: 'INTERNAL_IP'}", "a macro"),
        ('{port: 5222, ip: "@IP@"}', "a macro"),
        ("{port: 5222, transport: TRANSPORT}", "a macro"),
        ("*a", "an alias"),
        ("&b {port: 5222}", "an anchor, alias, tag or merge key"),
        ("{port: 5222, x: {y: [&b z]}}", "an anchor, alias, tag or merge key"),
        ("{port: 5222, x: *a}", "an anchor, alias, tag or merge key"),
        ("{port: *a}", "an anchor, alias, tag or merge key"),
        ("!!map {port: 5222}", "an anchor, alias, tag or merge key"),
        ("{port: 5222, <<: {x: y}}", "an anchor, alias, tag or merge key"),
        ('{port: "unix:/run/x"}', "a unix socket"),
        ("port: 5222", "a mapping without braces"),
    ],
)
def test_what_cannot_be_known_or_repeated_is_left_alone(item: str, note: str) -> None:
    (found,) = listeners(f"x: &a y\nlisten: [{item}]\n")
    assert found["note"].startswith(note)
    assert "edits" not in found


def test_a_whole_list_may_be_a_macro_or_an_alias() -> None:
    assert [each["note"] for each in listeners("listen: LISTEN")] == ["a macro: cannot decide"]
    assert [each["note"] for each in listeners("x: &a []\nlisten: *a")] == ["an alias: left alone"]


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("listen:\n  - port: 5222\n    ip: ::\n", "3:10", "no YAML: mapping values are not allowed here"),
        ("listen:\n\t- port: 5222\n", "2:1", "no YAML: while scanning for the next token"),
        ("a: [1, 2\n", "2:1", "no YAML: while parsing a flow sequence"),
        ("a: *b\nlisten:\n", "2:8", "`listen` takes a list"),
        ("listen: {port: 5222}", "1:9", "`listen` takes a list"),
        ("- listen", "1:1", "not a mapping"),
        ("listen", "1:1", "not a mapping"),
        ("a: b\n---\nc: d\n", "3:1", "a second document"),
        ("listen:\n  - 5222\n", "2:5", "not a listener"),
        ("listen:\n  - []\n", "2:5", "not a listener"),
        ("listen:\n  -\n", "2:4", "not a listener"),
        ("listen:\n  - module: ejabberd_c2s\n", "2:5", "a listener without port"),
        ("listen:\n  - port: 1\n    port: 2\n", "3:5", "port is there twice"),
        ("listen:\n  - port: '5222'\n", "2:11", "'5222' is not a port"),
        ("listen:\n  - port: 1:30\n", "2:11", "'1:30' is not a port"),
        ("listen:\n  - port: 0x10\n", "2:11", "'0x10' is not a port"),
        ("listen:\n  - port:\n", "2:10", "'' is not a port"),
        ("listen:\n  - port: [1]\n", "2:11", "'' is not a port"),
        ("listen:\n  - port: 65536\n", "2:11", "'65536' is not a port"),
        ("listen:\n  - port: -1\n", "2:11", "'-1' is not a port"),
        ("listen:\n  - port: 1\n    ip: any\n", "3:9", "'any' is not an address"),
        ("listen:\n  - port: 1\n    ip: ['::']\n", "3:9", "'' is not an address"),
        ("listen:\n  - port: 1\n    transport: sctp\n", "3:16", "a transport is tcp or udp"),
        ("include_config_file: [[a]]", "1:23", "not a file to include"),
        ("a: b\n# \x00", "2:3", "no YAML: special characters are not allowed"),
        ("a: b\n# \udcff", "2:3", "no YAML: special characters are not allowed"),
        ("a: b\rc: d", "1:5", "a line end that is neither"),
        ("a: b # \u2028", "1:8", "a line end that is neither"),
        ("a: " + "[" * 10_000, "1:103", "nested deeper than 100 levels"),
        ("- " * 10_000, "1:201", "nested deeper than 100 levels"),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(text: str, place: str, problem: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        service_ejabberd_yml.statements(PATH, text)
    assert str(raised.value).startswith(f"{PATH}:{place}: {problem}")


def test_where_pyyaml_stumbles_itself() -> None:
    for text in ('a: "\\UFFFFFFFF"', f"%YAML 1.{'9' * 5000}\n---\na: b\n"):
        try:
            service_ejabberd_yml.statements(PATH, text)
        except SaltInvocationError as error:
            assert str(error).startswith(f"{PATH}:")


@pytest.mark.parametrize(
    ("text", "address", "expected"),
    [
        ("listen:\n  - port: 1\n    module: m\n", "::", 'listen:\n  - port: 1\n    ip: "::"\n    module: m\n'),
        ("listen:\n-\n  module: m\n  port: 1 # c\n", "::", 'listen:\n-\n  module: m\n  port: 1 # c\n  ip: "::"\n'),
        ("listen:\r\n  - port: 1  \r\n", "0.0.0.0", 'listen:\r\n  - port: 1  \r\n    ip: "0.0.0.0"\r\n'),
        ("listen:\n  - port: 1", "0.0.0.0", 'listen:\n  - port: 1\n    ip: "0.0.0.0"'),
        ("listen:\n- ? port\n  : 1\n", "::", 'listen:\n- ? port\n  : 1\n  ip: "::"\n'),
        ("listen:\n- port:\n    1\n", "::", 'listen:\n- port:\n    1\n  ip: "::"\n'),
        ("listen: [{port: 1, module: m}]", "::", 'listen: [{port: 1, ip: "::", module: m}]'),
        ("listen:\n- {module: m, port: 1}", "::", 'listen:\n- {module: m, port: 1, ip: "::"}'),
        ("listen:\n- port: 1\n  ip: '::' # c\n", "0.0.0.0", "listen:\n- port: 1\n  ip: '0.0.0.0' # c\n"),
        ("listen:\n- ip: 0.0.0.0\n  port: 1\n", "::", 'listen:\n- ip: "::"\n  port: 1\n'),
        ("listen:\n- ip: 0.0.0.0\n  port: 1\n", "0.0.0.0", "listen:\n- ip: 0.0.0.0\n  port: 1\n"),
        ('listen:\n- ip: "::0"\n  port: 1\n', "::", 'listen:\n- ip: "::0"\n  port: 1\n'),
        ("listen: [{port: 1, ip: ''}]".replace("''", '"::"'), "0.0.0.0", 'listen: [{port: 1, ip: "0.0.0.0"}]'),
    ],
)
def test_only_the_words_of_the_address_change(text: str, address: str, expected: str) -> None:
    (listener,) = listeners(text)
    assert edited(text, listener["edits"][address]) == expected
    (found,) = yaml.safe_load(expected)["listen"]
    assert found["ip"].replace("::0", "::") == address


@pytest.mark.parametrize(
    ("text", "spans", "separators"),
    [
        (
            "listen: # l\n  # one\n  - port: 1 # 1\n    module: m # m\n  # two\n\n  -\n    # 2\n    port: 2\na: b\n",
            ["- port: 1 # 1\n    module: m # m", "-\n    # 2\n    port: 2"],
            ["\n  ", "\n  "],
        ),
        ("listen:\r\n- port: 1\r\n- port: 2", ["- port: 1", "- port: 2"], ["\r\n", "\r\n"]),
        ("listen:\n- port: 1\n  x: |\n    y\n\n# c\na: b", ["- port: 1\n  x: |\n    y"], ["\n"]),
        ("listen:\n- port: 1\n  x:\n    - y\n    # c\n- {port: 2,\n   x: y} # d\n", [
            "- port: 1\n  x:\n    - y", "- {port: 2,\n   x: y} # d",
        ], ["\n", "\n"]),
        ("listen: [{port: 1}, {port: 2}]", ["{port: 1}", "{port: 2}"], [", ", ", "]),
        ("listen: [\n  {port: 1},\n  {port: 2}\n]\n", ["{port: 1}", "{port: 2}"], [",\n  ", ",\n  "]),
    ],
)  # fmt: skip
def test_what_is_repeated_and_what_stands_between(text: str, spans: list[str], separators: list[str]) -> None:
    found = listeners(text)
    assert [text[each["start"] : each["end"]] for each in found] == spans
    assert [each["separator"] for each in found] == separators


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen:\n  - port: 1 # 1\n  # c\n  - port: 2 # 2\na: b\n", "listen:\n  - port: 1 # 1\n  # c\na: b\n"),
        ("listen:\r\n- port: 1\r\n- port: 2", "listen:\r\n- port: 1"),
        ("listen: [{port: 1}, {port: 2}]", "listen: [{port: 1}]"),
        ("listen: [{port: 1}, # c, d\n {port: 2}]", "listen: [{port: 1} # c, d\n ]"),
    ],
)
def test_a_listener_is_taken_out(text: str, expected: str) -> None:
    first, second = listeners(text)
    assert first["drop"] is None
    assert edited(text, second["drop"]) == expected


def test_included_files_are_in_the_folder_of_the_process() -> None:
    text = "include_config_file: a.yml\n"
    assert [each["pattern"] for each in of_kind(text, "include")] == ["/var/lib/ejabberd/a.yml"]
    text = "include_config_file: [/etc/ejabberd/a.yml, '/b?.yml']\n"
    assert [each["pattern"] for each in of_kind(text, "include")] == ["/etc/ejabberd/a.yml", "/b[?].yml"]
    text = "include_config_file:\n  /a.yml: {disallow: [listen]}\n  /b.yml:\n    allow_only: [acl]\n"
    found = [(each["pattern"], each["allow"], each["disallow"]) for each in of_kind(text, "include")]
    assert found == [("/a.yml", None, ["listen"]), ("/b.yml", ["acl"], [])]
    both = of_kind("include_config_file:\n  /a.yml: {allow_only: [acl], disallow: [acl]}\n", "include")
    assert [(each["allow"], each["disallow"]) for each in both] == [(["acl"], [])]  # ejabberd looks at one of them only


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("ip: 127.0.0.0/8 # c", 'ip: [127.0.0.0/8, "::1/128"] # c'),
        ('ip: "127.0.0.0/8"', 'ip: ["127.0.0.0/8", "::1/128"]'),
        ("ip: [127.0.0.0/8]", 'ip: [127.0.0.0/8, "::1/128"]'),
        ("ip: ['127.0.0.0/8']", "ip: ['127.0.0.0/8', '::1/128']"),
        ("ip:\n      - 127.0.0.0/8 # c", "ip:\n      - 127.0.0.0/8 # c\n      - ::1/128"),
        ('ip:\n    -  "127.0.0.0/8"', 'ip:\n    -  "127.0.0.0/8"\n    -  "::1/128"'),
        ("- ip: 127.0.0.0/8", '- ip: [127.0.0.0/8, "::1/128"]'),
    ],
)
@pytest.mark.parametrize("where", ["", "host_config:\n x.org:\n  "])
def test_the_companion_of_an_acl(rule: str, expected: str, where: str) -> None:
    indentation = "   " if where else ""
    text = f"{where}acl:\n{indentation} a:\n{indentation}   {rule.replace(chr(10), chr(10) + indentation)}\n"
    expected = f"{where}acl:\n{indentation} a:\n{indentation}   {expected.replace(chr(10), chr(10) + indentation)}\n"
    (acl,) = of_kind(text, "acl")
    assert acl["address"] == "127.0.0.0/8"
    assert edited(text, acl["companion"]) == expected
    assert "::1/128" in str(yaml.safe_load(expected))


def test_addresses_outside_of_acls_are_only_reported() -> None:
    text = "api_permissions:\n  x:\n    who:\n      ip: 127.0.0.1/8\nmodules:\n  mod_x: {ip: 127.0.0.1}\n"
    assert [(each["line"], each["companion"]) for each in of_kind(text, "acl")] == [(4, None)]
    assert [each["companion"] for each in of_kind("acl:\n  a:\n    ip: &x 127.0.0.1\n", "acl")] == [None]
    several = "api_permissions:\n  x:\n    who:\n      - ip: [127.0.0.1/8, 10.0.0.1]\n      - ip: ::1\n"
    found = [(each["line"], each["address"]) for each in of_kind(several, "acl")]
    assert found == [(4, "127.0.0.1/8"), (4, "10.0.0.1"), (5, "::1")]
    folded = "acl:\n  a:\n    ip:\n    - >-\n      127.0.0.1\n"
    assert [(each["address"], each["companion"]) for each in of_kind(folded, "acl")] == [("127.0.0.1", None)]


def test_the_file_of_debian_12() -> None:
    text = (FIXTURES / "ejabberd.yml").read_text()
    found = listeners(text)
    assert [each["port"] for each in found] == [5222, 5223, 5269, 5443, 5280, 3478, 1883]
    assert [each["address"] for each in found] == ["::"] * 7
    assert [each["transport"] for each in found] == ["tcp"] * 5 + ["udp", "tcp"]
    assert [each["line"] for each in found] == [61, 70, 79, 84, 96, 105, 115]
    assert text[: found[5]["end"]].endswith("\n    use_turn: true")
    assert [each["address"] for each in of_kind(text, "acl")] == ["127.0.0.0/8", "::1/128", "127.0.0.1/8"]


def test_an_empty_file_says_nothing() -> None:
    for text in ("", "# only a comment\n", "\ufeff"):
        assert service_ejabberd_yml.statements(PATH, text) == []


def test_meaning_is_what_is_not_address() -> None:
    text = "listen: [{port: 1, module: m}, {module: m, port: 1, ip: '::'}, {port: 1, module: n}]"
    one, two, three = [each["meaning"] for each in listeners(text)]
    assert one == two != three
    options = ("x: {a: [b]}", "x: {a: [b]}, ip: '::'", "x: {a: [c]}", "x: {b: [b]}")
    text = f"listen: [{', '.join(f'{{port: 1, {each}}}' for each in options)}]"
    one, two, three, four = [each["meaning"] for each in listeners(text)]
    assert one == two and one != three and one != four


@pytest.mark.parametrize("section", ["access_rules", "api_permissions", "shaper_rules"])
def test_rules_that_name_addresses_are_reported(section: str) -> None:
    text = f"{section}:\n  local:\n    - allow:\n        - ip: 127.0.0.1\n"
    assert [(each["line"], each["address"], each["companion"]) for each in of_kind(text, "acl")] == [
        (4, "127.0.0.1", None)
    ]
    assert of_kind(text.replace(section, "modules"), "acl") == []
