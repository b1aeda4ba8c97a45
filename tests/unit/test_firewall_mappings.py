"""A rule as a mapping is what Salt's own state for iptables makes of it."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_mappings as firewall_mappings
import pytest
from salt.exceptions import SaltInvocationError
from salt.modules import iptables

SHORT = {"--jump": "-j", "--j": "-j"}
# The options that Salt writes behind the target.
BEHIND: tuple[str, ...] = next(
    each for each in iptables.build_rule.__code__.co_consts if isinstance(each, tuple) and "log-prefix" in each
)


def salts(rule: dict[str, Any]) -> list[str]:
    """The words that Salt's own state would use."""
    return [SHORT.get(word, word.strip('"')) for word in iptables.build_rule(**rule).split()]


def error(rule: dict[Any, Any]) -> str:
    with pytest.raises(SaltInvocationError) as caught:
        firewall_mappings.words(rule)
    return str(caught.value)


@pytest.mark.parametrize("option", [each for each in BEHIND if each not in ("j", "jump")])
def test_what_belongs_to_the_target_stands_behind_it(option: str) -> None:
    rule = {option: "1", "jump": "X", "source": "a"}
    assert firewall_mappings.words(rule) == salts(rule) == ["--source", "a", "-j", "X", f"--{option}", "1"]


@pytest.mark.parametrize("option", ["log-macdecode", "nflog-size"])
def test_so_does_what_salt_does_not_know(option: str) -> None:
    rule = {option: "1", "jump": "X"}
    assert firewall_mappings.words(rule) == ["-j", "X", f"--{option}", "1"]


@pytest.mark.parametrize(
    "rule",
    [
        {"proto": "tcp", "dport": 22, "sport": "!5", "connstate": "NEW", "if": "lo", "of": "eth0", "jump": "ACCEPT"},
        {"proto": "tcp", "dports": [1, 2], "sports": "3,4", "match": "limit", "target": "X", "comment": "it"},
        {"match": ["tcp", "recent"], "name_": "q", "jump": "X"},
        {"match": "pknock", "name_": "q", "j": "X"},
        {"match": "quota2", "name_": "q"},
        {"match": "policy", "proto": "esp", "protocol": "tcp"},
        {"protocol": "udp", "match": "udp", "dport": "53"},
        {"match-set": ["a src", "b dst"], "jump": "DROP"},
        {"match-set": "a src", "jump": "DROP"},
        {"set": "a src", "jump": "DROP"},
        {"p": "tcp", "goto": "OWN", "s": "192.0.2.1", "d": "!192.0.2.2"},
        {"source": "not 192.0.2.1", "destination": "! 192.0.2.2", "if": "!lo"},
        {"match": "tcp", "proto": "tcp", "connstate": "NEW", "dports": "1,2"},
        {"proto": "tcp", "match": "multiport", "dports": "1,2"},
        {"proto": "tcp", "match": "comment", "comment": "it"},
    ],
    ids=str,
)
def test_the_words_are_salts(rule: dict[str, Any]) -> None:
    assert firewall_mappings.words(dict(rule)) == salts(dict(rule))


@pytest.mark.parametrize(
    "key", ["state", "name", "save", "chain", "table", "family", "fun", "order", "__id__", "__sls__"]
)
def test_what_salt_keeps_to_itself_is_left_out(key: str) -> None:
    found = firewall_mappings.words({"jump": "DROP", key: "x"})
    assert found == {"chain": ["-A", "x", "-j", "DROP"], "table": ["-t", "x", "-j", "DROP"]}.get(key, ["-j", "DROP"])


@pytest.mark.parametrize("key", ["position", "command", "full"])
def test_a_place_is_refused(key: str) -> None:
    assert error({"jump": "DROP", key: 1}) == f"`{key}`: the order of the rules is that of the list"


@pytest.mark.parametrize("state", ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "RELATED,ESTABLISHED"])
def test_salts_own_word_for_the_state_of_a_connection(state: str) -> None:
    assert (
        error({"jump": "DROP", "state": state}) == f"`state: {state}`: Salt leaves this key out; expected `connstate`"
    )


VALUED = """
    proto protocol p source src s destination dst d dport sport dports sports if of in-interface out-interface i o
    jump target j goto g match connstate ctstate match-set
    """


@pytest.mark.parametrize("key", VALUED.split())
def test_what_says_nothing_without_a_value_has_one(key: str) -> None:
    for value in (True, False, 1.5):
        assert error({"rule": "-p tcp", key: value}) == f"`{key}: {value}`: expected text or a whole number"


def test_a_comment_is_any_text_and_may_be_nothing() -> None:
    for value, text in ((5, "5"), (1.5, "1.5"), ("!x", "!x"), ("a, b", "a, b")):
        found = firewall_mappings.words({"jump": "DROP", "comment": value})
        assert found == ["-m", "comment", "--comment", text, "-j", "DROP"]
    assert firewall_mappings.words({"jump": "DROP", "comment": None}) == ["-j", "DROP"]
    assert error({"jump": "DROP", "comment": True}) == "`comment: True`: expected text or a whole number"
    for several in (["a"], ("a",)):
        assert error({"jump": "DROP", "comment": several}) == f"`comment: {several!r}`: expected text"


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_values(kind: Any) -> None:
    words = firewall_mappings.words
    assert words({"source": kind(["a", " b "]), "jump": "X"}) == ["--source", "a,b", "-j", "X"]
    assert words({"source": kind(["!a", "not b"]), "jump": "X"}) == ["!", "--source", "a,b", "-j", "X"]
    assert words({"match": kind(["tcp", " udp"])}) == ["-m", "tcp", "-m", "udp"]
    assert words({"proto": "tcp", "dports": kind([1, 2])}) == "-p tcp -m multiport --dports 1,2".split()
    assert error({"source": kind(["a", "!b"])}) == "`source: a, !b`: negate all of the list, or nothing"
    for empty in ([], ["a", ""], [" "]):
        assert error({"source": kind(empty)}) == "`--source`: an empty list; it never means *any*"
    for odd in (None, True, 1.5, ["a"], {"a": 1}):
        assert error({"source": kind(["a", odd])}).startswith("`source`: expected text or a whole number in the list")
    assert error({"match": kind(["tcp", ""])}) == "`match`: an empty name"


def test_flags() -> None:
    rule = {"proto": "tcp", "syn": "!", "random": True, "jump": "X", "persistent": None, "random-fully": False}
    assert firewall_mappings.words(rule) == "-p tcp ! --syn -j X --persistent --random".split()


def test_several_ports_need_a_protocol() -> None:
    for key in ("dports", "sports"):
        assert error({key: "1,2", "jump": "X"}) == f"`{key}`: needs `proto`"
        assert firewall_mappings.words({"rule": "-p tcp", key: "1, 2"}) == f"-p tcp -m multiport --{key} 1,2".split()


def test_text_keeps_what_stands_in_its_quotes() -> None:
    for key, option in (("log-prefix", "--log-prefix"), ("nflog-prefix", "--nflog-prefix"), ("string", "--string")):
        for value, text in (
            ('"a, b"', "a, b"),
            ("'a'", "a"),
            ('"a', '"a'),
            ("a 'b'", "a 'b'"),
            ('"', '"'),
            ("-s", "-s"),
        ):
            assert [option, text] == firewall_mappings.words({key: value})[-2:]
    assert firewall_mappings.words({"jump": "X", "to": "a b"}) == ["-j", "X", "--to", "a", "b"]


def test_what_is_no_key() -> None:
    assert error({5: "x"}) == "`5`: a key is a word"
    assert error({"rule": ["-j", "X"]}) == "`rule: ['-j', 'X']`: expected words"
