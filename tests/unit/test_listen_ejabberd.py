"""Both of ejabberd's configurations, serving both families."""

from __future__ import annotations

import copy
import fnmatch
import random
import re
from pathlib import Path
from typing import Any

import _dualstack_service_erlang as service_erlang
import listen_ejabberd
import pytest
import yaml
from salt.exceptions import SaltInvocationError

FIXTURES = Path(__file__).parent / "ejabberd"
OPT, LOCAL = "/opt/ejabberd/conf/ejabberd.yml", "/usr/local/etc/ejabberd/ejabberd.yml"
YML, CFG, PORTS = "/etc/ejabberd/ejabberd.yml", "/etc/ejabberd/ejabberd.cfg", "/etc/ejabberd/ports.cfg"
WAYS = ("split", "dual")
REAL = {"squeeze.cfg": CFG, "wheezy.cfg": CFG, "ports.cfg": CFG, "ejabberd.yml": YML}

# What the documentation of this formula shows.
BEFORE = """\
{listen,
 [
  {5222, ejabberd_c2s, [
\t\t\t{access, c2s}, % who
\t\t\tstarttls
\t\t       ]},

  %%{5223, ejabberd_c2s, []},
  {5269, ejabberd_s2s_in, [{shaper, s2s_shaper}]}

 ]}.
"""
SPLIT = """\
{listen,
 [
  {{5222, "0.0.0.0"}, ejabberd_c2s, [
\t\t\t{access, c2s}, % who
\t\t\tstarttls
\t\t       ]},
  {{5222, "::"}, ejabberd_c2s, [
\t\t\t{access, c2s}, % who
\t\t\tstarttls
\t\t       ]},

  %%{5223, ejabberd_c2s, []},
  {{5269, "0.0.0.0"}, ejabberd_s2s_in, [{shaper, s2s_shaper}]},
  {{5269, "::"}, ejabberd_s2s_in, [{shaper, s2s_shaper}]}

 ]}.
"""
DUAL = BEFORE.replace("{5222", '{{5222, "::"}').replace("{5269", '{{5269, "::"}')


def host(texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The files of a host, with what their patterns match there."""
    return {
        path: {
            "text": text,
            "includes": [
                sorted(each for each in texts if fnmatch.fnmatchcase(each, pattern))
                for pattern in listen_ejabberd.includes(path, text)
            ],
        }
        for path, text in texts.items()
    }


def converge(way: str, texts: dict[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The texts afterwards, and the result; which needs no second time."""
    files = host(texts)
    given = copy.deepcopy(files)
    result = listen_ejabberd.dual_stack(files, {"listeners": way})
    assert files == given
    after = {**texts, **result["files"]}
    assert all(texts[path] != text for path, text in result["files"].items())
    again = listen_ejabberd.dual_stack(host(after), {"listeners": way}, 1)
    assert again == {**result, "files": {}, "always": {}, "notes": again["notes"]}
    assert result["missing"] == [] and set(result["always"]) <= set(result["files"])
    return after, {key: result[key] for key in ("files", "bindv6only", "notes")}


def endpoints(texts: dict[str, str]) -> list[tuple[int, str, str]]:
    found = listen_ejabberd.listeners(host(texts))
    return [(each["port"], each["transport"], each["address"]) for each in found]


def test_about() -> None:
    about = listen_ejabberd.about()
    (process,) = about["processes"]
    beam = "/usr/lib/erlang/erts-13.1.5/bin/beam.smp -W w -- -root /usr/lib/erlang"
    assert fnmatch.fnmatchcase(f"{beam} -sname ejabberd@localhost -noinput", process)
    assert fnmatch.fnmatchcase(f"{beam} -mnesia dir /var/lib/x -s ejabberd -smp auto", process)
    assert not fnmatch.fnmatchcase(f"{beam} -sname rabbit@localhost -s rabbit boot", process)
    assert about["files"] == [YML, CFG, OPT, LOCAL]
    assert list(about["options"]) == ["listeners"]
    assert about["protocols"][5222] == "xmpp" and 5280 not in about["protocols"]


def test_what_is_wrong_with_the_options() -> None:
    assert listen_ejabberd.errors({}) == []
    assert [listen_ejabberd.errors({"listeners": way}) for way in WAYS] == [[], []]
    for wrong in ("both", None, ["dual"], True, 1):
        (told,) = listen_ejabberd.errors({"listeners": wrong})
        assert told == f"listeners: {wrong!r} is not a way to serve both families; expected 'split' or 'dual'"
    with pytest.raises(SaltInvocationError, match="is not a way"):
        listen_ejabberd.dual_stack({}, {"listeners": "both"})


def test_split_writes_a_listener_for_each_family() -> None:
    assert converge("split", {CFG: BEFORE}) == ({CFG: SPLIT}, {"files": {CFG: SPLIT}, "bindv6only": 1, "notes": []})
    assert listen_ejabberd.dual_stack(host({CFG: BEFORE}), {})["files"] == {CFG: SPLIT}


def test_dual_writes_one_for_both() -> None:
    assert converge("dual", {CFG: BEFORE}) == ({CFG: DUAL}, {"files": {CFG: DUAL}, "bindv6only": 0, "notes": []})


def test_split_and_dual_lead_to_each_other() -> None:
    assert converge("dual", {CFG: SPLIT})[0] == {CFG: DUAL}
    assert converge("split", {CFG: DUAL})[0] == {CFG: SPLIT}


def test_split_and_dual_in_yaml() -> None:
    before = 'listen: # l\n  - port: 5222 # c2s\n    module: ejabberd_c2s\n  # s2s\n  - {port: 5269, ip: "::"}\na: b\n'
    split = (
        'listen: # l\n  - port: 5222 # c2s\n    ip: "0.0.0.0"\n    module: ejabberd_c2s\n'
        '  - port: 5222 # c2s\n    ip: "::"\n    module: ejabberd_c2s\n'
        '  # s2s\n  - {port: 5269, ip: "0.0.0.0"}\n  - {port: 5269, ip: "::"}\na: b\n'
    )
    dual = before.replace(" # c2s\n", ' # c2s\n    ip: "::"\n')
    assert converge("split", {YML: before}) == ({YML: split}, {"files": {YML: split}, "bindv6only": 1, "notes": []})
    assert converge("dual", {YML: before}) == ({YML: dual}, {"files": {YML: dual}, "bindv6only": 0, "notes": []})
    assert converge("dual", {YML: split})[0] == {YML: dual}
    assert converge("split", {YML: dual})[0] == {YML: split}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REAL)
def test_real_files_mean_the_same_but_for_their_listeners(name: str, way: str) -> None:
    path = REAL[name]
    text = (FIXTURES / name).read_text()
    after, result = converge(way, {path: text})
    before = [each for each in endpoints({path: text}) if not each[2].startswith("127.")]
    expected = [
        (port, transport, address)
        for port, transport, _ in before
        for address in (["0.0.0.0", "::"] if way == "split" else ["::"])
    ]
    assert [each for each in endpoints(after) if not each[2].startswith("127.")] == expected
    assert result["bindv6only"] == (1 if way == "split" else 0)
    if path == CFG:
        for one, other in zip(service_erlang.parse(text), service_erlang.parse(after[path]), strict=True):
            if one["items"][0]["value"] != "listen":
                assert service_erlang.plain(one) == service_erlang.plain(other)
                assert text[one["start"] : one["dot"]] == after[path][other["start"] : other["dot"]]
    else:
        one, other = yaml.safe_load(text), yaml.safe_load(after[path])
        assert (one.pop("listen") == other.pop("listen")) is (way == "dual")
        assert one == other


@pytest.mark.parametrize("name", REAL)
def test_every_other_byte_of_real_files_stays(name: str) -> None:
    path = REAL[name]
    text = (FIXTURES / name).read_text()
    split = converge("split", {path: text})[0][path]
    dual = converge("dual", {path: text})[0][path]
    if path == YML:
        assert dual == text
    else:
        moved = re.sub(r"^( +){([0-9]+), (?!.*inet6)", r'\1{{\2, "::"}, ', text, flags=re.MULTILINE)
        assert dual == moved.replace("{3478, udp}", '{3478, "::", udp}') != text
    # Joining what was split undoes it, but for options that an address beside the port makes needless.
    joined = converge("dual", {path: split})[0][path]
    without = text if name != "ports.cfg" else text.replace("[inet6,\n" + 30 * " ", "[").replace(", inet6,", ",")
    assert joined == re.sub(r"^( +){([0-9]+), ", r'\1{{\2, "::"}, ', without, flags=re.MULTILINE).replace(
        "{3478, udp}", '{3478, "::", udp}'
    )


def test_a_pair_is_left_alone_however_it_is_written() -> None:
    for pair in (
        '{5222, m, []}, {{5222, "::"}, m, [a]}',
        "{5222, m, [inet6]}, {5222, m, [{ip, {0,0,0,0}}]}",
        "{{5222, {0,0,0,0}, udp}, m, []}, {5222, m, [inet6, {proto, udp}]}",
    ):
        text = f"{{listen, [{pair}]}}."
        assert converge("split", {CFG: text}) == ({CFG: text}, {"files": {}, "bindv6only": 1, "notes": []})


def test_ports_of_different_transports_are_different() -> None:
    after, _ = converge("split", {CFG: '{listen, [{3478, m, []}, {{3478, "::", udp}, m, []}]}.'})
    assert endpoints(after) == [
        (3478, "tcp", "0.0.0.0"),
        (3478, "tcp", "::"),
        (3478, "udp", "0.0.0.0"),
        (3478, "udp", "::"),
    ]


def test_dual_joins_only_what_is_equal() -> None:
    text = '{listen, [\n {{5222, "0.0.0.0"}, m, [a]},\n {{5222, "::"}, m, [b]}]}.'
    with pytest.raises(SaltInvocationError) as raised:
        converge("dual", {CFG: text})
    assert str(raised.value).startswith(f"{CFG}:3: port 5222: cannot be joined with line 2, as their options differ")
    after, _ = converge("dual", {CFG: text.replace("[b]", "[a]")})
    assert after == {CFG: '{listen, [\n {{5222, "::"}, m, [a]}]}.'}
    text = "{listen, [{5222, m, [inet6]}, {4, m, []}, % four\n {5222, m, []}\n]}."
    after, _ = converge("dual", {CFG: text})
    assert after == {CFG: '{listen, [{5222, m, [inet6]}, {{4, "::"}, m, []} % four\n \n]}.'}


def test_what_serves_no_whole_family_is_left_alone_and_reported() -> None:
    text = (
        '{listen, [\n {{1, "127.0.0.1"}, m, []},\n {{2, "::1"}, m, []},\n {{3, "192.0.2.1"}, m, []},\n'
        " {4, m, [{ip, 'IP'}]},\n 'MORE'\n]}."
    )
    after, result = converge("split", {CFG: text})
    assert result == {
        "files": {},
        "bindv6only": None,
        "notes": [
            f"{CFG}:2: port 1: loopback: left alone",
            f"{CFG}:3: port 2: loopback: left alone",
            f"{CFG}:4: port 3: 192.0.2.1 only: left alone",
            f"{CFG}:5: port 4: a macro: cannot decide",
            f"{CFG}:6: a macro: cannot decide",
        ],
    }
    found = listen_ejabberd.listeners(host({CFG: text}))
    assert found[0] == {
        "port": 1,
        "transport": "tcp",
        "address": "127.0.0.1",
        "v6only": None,
        "file": CFG,
        "line": 2,
        "note": "loopback: left alone",
        "protocol": "tcp",
    }
    assert (found[4]["port"], found[4]["line"], found[4]["note"]) == (None, 6, "a macro: cannot decide")


@pytest.mark.parametrize(
    ("way", "wildcard", "specific"),
    [
        *(("split", "::", "127.0.0.1"), ("split", "0.0.0.0", "::1")),
        *(("dual", "0.0.0.0", "2001:db8::1"), ("dual", "0.0.0.0", "127.0.0.1")),
    ],
)
def test_no_wildcard_beside_an_address_of_its_family(way: str, wildcard: str, specific: str) -> None:
    text = f'{{listen, [{{{{1, "{wildcard}"}}, m, []}}, {{{{1, "{specific}"}}, m, []}}]}}.'
    after, result = converge(way, {CFG: text})
    assert after == {CFG: text}
    assert any(f"the listener on {specific} is in the way" in note for note in result["notes"])


@pytest.mark.parametrize(("wildcard", "specific"), [("::", "::1"), ("0.0.0.0", "127.0.0.1")])
def test_an_address_of_the_other_family_is_in_nobodys_way(wildcard: str, specific: str) -> None:
    text = f'{{listen, [{{{{1, "{wildcard}"}}, m, []}}, {{{{1, "{specific}"}}, m, []}}]}}.'
    after, _ = converge("split", {CFG: text})
    assert [each[2] for each in endpoints(after)] == ["0.0.0.0", "::", specific]


def test_dual_cannot_be_where_an_ipv4_address_has_a_listener() -> None:
    text = '{listen, [{{1, "::"}, m, []}, {{1, "127.0.0.1"}, m, []}]}.'
    with pytest.raises(SaltInvocationError, match="the listener on 127.0.0.1 is in the way of one on :: for both"):
        listen_ejabberd.dual_stack(host({CFG: text}), {"listeners": "dual"})


def test_the_second_of_two_equal_listeners_is_left_alone() -> None:
    text = "{listen, [{1, m, []},\n {1, m, []}]}."
    after, result = converge("split", {CFG: text})
    assert endpoints(after) == [(1, "tcp", "0.0.0.0"), (1, "tcp", "::"), (1, "tcp", "0.0.0.0")]
    assert result["notes"] == [f"{CFG}:2: port 1: is there twice on 0.0.0.0, and the second was left alone"]
    with pytest.raises(SaltInvocationError, match="port 1: is there twice on 0.0.0.0; remove one of them by hand"):
        converge("dual", {CFG: text})


def test_listeners_in_an_included_file_are_edited_there() -> None:
    main = '{include_config_file, "ports.cfg"}.\n{loglevel, 4}.\n'
    after, result = converge("split", {CFG: main, PORTS: BEFORE})
    assert after == {CFG: main, PORTS: SPLIT}
    assert {each["file"] for each in listen_ejabberd.listeners(host(after))} == {PORTS}
    assert listen_ejabberd.includes(CFG, main) == [PORTS]
    assert converge("split", {CFG: main})[1]["notes"] == [f"{CFG}: no `listen` there, so ejabberd listens on no port"]


@pytest.mark.parametrize("options", ["[{disallow, [listen]}]", "[{allow_only, [acl]}]"])
def test_listeners_that_may_not_be_included_do_not_count(options: str) -> None:
    main = f'{{include_config_file, "ports.cfg", {options}}}.\n'
    assert converge("split", {CFG: main, PORTS: BEFORE})[0] == {CFG: main, PORTS: BEFORE}
    assert listen_ejabberd.listeners(host({CFG: main, PORTS: BEFORE})) == []


def test_in_erlang_the_last_list_wins_wherever_it_stands() -> None:
    first, last = "{listen, [{1, m, []}]}.\n", "{listen, [{2, m, []}]}.\n"
    include = '{include_config_file, "ports.cfg"}.\n'
    after, result = converge("split", {CFG: include + first, PORTS: last})
    assert after[PORTS] == last and endpoints(after) == [(1, "tcp", "0.0.0.0"), (1, "tcp", "::")]
    assert result["notes"] == [f"{PORTS}:1: this `listen` counts for nothing, a later one does"]
    after, _ = converge("split", {CFG: first + include, PORTS: last})
    assert endpoints(after) == [(2, "tcp", "0.0.0.0"), (2, "tcp", "::")]


def test_in_yaml_the_lists_add_up() -> None:
    more = "/etc/ejabberd/more.yml"
    main = f"listen:\n- port: 1\nlisten:\n- port: 2\ninclude_config_file: {more}\n"
    after, _ = converge("split", {YML: main, more: "listen:\n- port: 3\n"})
    assert endpoints(after) == [(port, "tcp", address) for port in (1, 2, 3) for address in ("0.0.0.0", "::")]
    texts = {YML: main.replace("port: 2", 'port: 3\n  ip: "::"'), more: "listen:\n- port: 3\n"}
    with pytest.raises(SaltInvocationError, match=f"^{more}:2: port 3: cannot be joined with line 4 of {YML}"):
        listen_ejabberd.dual_stack(host(texts), {"listeners": "dual"})


def test_files_that_include_each_other_are_an_error() -> None:
    include = '{include_config_file, "ejabberd.cfg"}.'
    with pytest.raises(SaltInvocationError, match=f"^{CFG}:1: {CFG} is included without an end"):
        listen_ejabberd.listeners(host({CFG: include}))
    twice = {f"/etc/ejabberd/{n or 'ejabberd'}.cfg": 2 * f'{{include_config_file, "{n + 1}.cfg"}}. ' for n in range(60)}
    with pytest.raises(SaltInvocationError, match="is included without an end"):
        listen_ejabberd.listeners(host(twice))


def test_of_two_configurations_the_modern_one_is_read() -> None:
    after, result = converge("split", {YML: "listen:\n- port: 1\n", CFG: BEFORE})
    assert after[CFG] == BEFORE and [each[0] for each in endpoints(after)] == [1, 1]
    assert result["notes"] == [f"{CFG}: ignored, as {YML} is there and is what ejabberd reads"]
    assert listen_ejabberd.listeners({}) == []
    assert listen_ejabberd.dual_stack({}, {})["files"] == {}


def test_rules_for_the_loopback_of_ipv4_learn_that_of_ipv6() -> None:
    text = '{listen, []}.\n{acl, local, {ip, "127.0.0.0/8"}}. % me\n{acl, lan, {ip, "192.0.2.0/24"}}.\n'
    expected = text.replace("% me\n", '% me\n{acl, local, {ip, "::1/128"}}.\n')
    assert converge("dual", {CFG: text}) == (
        {CFG: expected},
        {"files": {CFG: expected}, "bindv6only": None, "notes": []},
    )
    for there in ("::1", "::/0", "::1/128"):
        both = f'{text}{{acl, local, {{ip, "{there}"}}}}.\n'
        assert converge("dual", {CFG: both})[0] == {CFG: both}
    text = "listen: []\nacl:\n  local:\n    ip:\n      - 127.0.0.1/8\n"
    assert converge("split", {YML: text})[0] == {YML: f"{text}      - ::1/128\n"}


def test_other_rules_are_only_reported() -> None:
    _, result = converge("split", {YML: (FIXTURES / "ejabberd.yml").read_text()})
    assert result["notes"] == [f"{YML}:188: names 127.0.0.1/8 but not ::1: left alone, add it if it may"]


@pytest.mark.parametrize(("path", "text"), [(CFG, "{listen, [}."), (YML, "listen: [")])
def test_what_cannot_be_read_is_an_error_with_a_place(path: str, text: str) -> None:
    for call in (
        lambda: listen_ejabberd.includes(path, text),
        lambda: listen_ejabberd.listeners({path: {"text": text, "includes": []}}),
        lambda: listen_ejabberd.dual_stack({path: {"text": text, "includes": []}}, {}),
    ):
        with pytest.raises(SaltInvocationError, match=rf"^{path}:1:\d+: "):
            call()


@pytest.mark.parametrize("name", ["ports.cfg", "ejabberd.yml"])
def test_anything_gives_a_result_or_an_error_in_words(name: str) -> None:
    chance = random.Random(7)
    path = REAL[name]
    whole = (FIXTURES / name).read_text()
    start = whole.index("\nlisten:") if path == YML else 0
    text = whole[start : start + 1500]
    words = [*"{}[](),.|\"'$#<>=:;-+/\\%@_ \n\r\t\x00\udcff&*!?0", "\r\n", "::", "inet6", "ip: ", "'M'", "<<", "- "]
    for _ in range(60):
        mutant = text[: chance.choice([len(text), chance.randrange(len(text))])]
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(mutant) + 1)
            mutant = mutant[:at] + chance.choice(words) + mutant[at + chance.choice([0, 0, 1, 8]) :]
        for way in WAYS:
            try:
                converge(way, {path: mutant})
            except SaltInvocationError as error:
                assert "\n" not in str(error)


REGISTER = """\
{modules, [
  {mod_register, [
    {ip_access, [{allow, "127.0.0.0/8"}, % here
                 {deny, "0.0.0.0/0"}]},
    {access, register}
  ]}
]}.
"""


@pytest.mark.parametrize(
    ("way", "allowed"),
    [("split", '{allow, "::1/128"}'), ("dual", '{allow, "::ffff:127.0.0.0/104"}, {allow, "::1/128"}')],
)
@pytest.mark.parametrize("frame", ["{}", '{{host_config, "a.example", [{}]}}.\n'])
def test_who_may_register_over_ipv4_only_may_not_do_so_over_ipv6(frame: str, way: str, allowed: str) -> None:
    text = frame.format(REGISTER if frame == "{}" else REGISTER.rstrip(".\n"))
    expected = text.replace('"127.0.0.0/8"}', f'"127.0.0.0/8"}}, {allowed}')
    expected = expected.replace('"0.0.0.0/0"}', '"0.0.0.0/0"}, {deny, "::/0"}')
    files = host({CFG: text})
    done = listen_ejabberd.dual_stack(files, {"listeners": way})
    assert done["files"] == {CFG: expected}
    assert listen_ejabberd.dual_stack(host(done["files"]), {"listeners": way})["files"] == {}


@pytest.mark.parametrize("rule", ['{deny, "::/0"}', '{allow, "2001:db8::/32"}'])
def test_who_may_register_is_left_alone_where_somebody_thought_of_ipv6(rule: str) -> None:
    text = REGISTER.replace('{deny, "0.0.0.0/0"}', f'{{deny, "0.0.0.0/0"}}, {rule}')
    assert listen_ejabberd.dual_stack(host({CFG: text}), {})["files"] == {}


@pytest.mark.parametrize(
    "rules",
    [
        "[]",
        "'ACCESS'",
        "[a | b]",
        '[{allow, "127.0.0.0/8"} | b]',
        "[{allow}, {}]",
        '[{allow, "nonsense"}, {x}]',
        '[{allow, "192.0.2.0/24"}]',
    ],
)
def test_what_is_no_list_of_ipv4_networks_is_left_alone(rules: str) -> None:
    text = f"{{modules, [{{mod_register, [{{ip_access, {rules}}}]}}]}}.\n"
    assert listen_ejabberd.dual_stack(host({CFG: text}), {})["files"] == {}


def test_what_an_included_file_is_written_in_follows_from_its_name() -> None:
    for name in ("more.yml", "more.yaml"):
        path = f"/etc/ejabberd/{name}"
        texts = {YML: f"include_config_file: {path}\n", path: "listen:\n- port: 1\n"}
        assert endpoints(texts) == [(1, "tcp", "0.0.0.0")]


def test_an_access_list_in_a_file_is_changed_there() -> None:
    main, more = '{include_config_file, "ports.cfg"}.\n', '\n{acl, local, {ip, "127.0.0.1"}}.\n'
    done = listen_ejabberd.dual_stack(host({CFG: main, PORTS: more}), {})
    assert done["files"] == {PORTS: f'{more}{{acl, local, {{ip, "::1/128"}}}}.\n'}


@pytest.mark.parametrize("networks", [["127.0.0.0/8", "10.0.0.0/8"], ["127.0.0.1", "127.0.0.2"]])
def test_one_rule_for_the_loopback_is_enough(networks: list[str]) -> None:
    text = "".join(f'{{acl, local, {{ip, "{each}"}}}}.\n' for each in networks)
    after = converge("split", {CFG: text})[0][CFG]
    assert after.count("::1/128") == 1
    assert after.index("::1/128") > after.index(networks[0])


def test_a_listener_that_is_a_macro_is_shown_without_a_port() -> None:
    for texts in ({YML: "listen: [LISTENER]\n"}, {YML: "listen:\n- LISTENER\n"}, {CFG: "{listen, ['LISTENER']}.\n"}):
        (found,) = listen_ejabberd.listeners(host(texts))
        assert (found["port"], found["transport"], found["address"]) == (None, "tcp", "")
        assert found["note"] == "a macro: cannot decide"
