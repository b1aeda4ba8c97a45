"""Erlang terms, as file:consult/1 reads them. What it accepts and says was recorded from OTP 25."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import _dualstack_service_erlang as service_erlang
import pytest
from salt.exceptions import SaltInvocationError

FIXTURES = Path(__file__).parent / "ejabberd"


def meaning(text: str) -> list[Any]:
    return [service_erlang.plain(term) for term in service_erlang.parse(text, "x.cfg")]


def atom(name: str) -> list[str]:
    return ["atom", name]


def string(text: str) -> list[Any]:
    return ["list", *map(ord, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("% only a comment", []),
        ("a.", [atom("a")]),
        ("a. b.%c\nd.\r\n", [atom("a"), atom("b"), atom("d")]),
        ("\x00{a}.\x00", [["tuple", atom("a")]]),
        ("a.\u00a0b.", [atom("a"), atom("b")]),
        ("\u00e9.", [atom("\u00e9")]),
        ("''.", [atom("")]),
        ("'a\nb'.", [atom("a\nb")]),
        ("'a\\x{41}'.", [atom("aA")]),
        ("{maybe, else_, a@b_C1}.", [["tuple", atom("maybe"), atom("else_"), atom("a@b_C1")]]),
        ("(((a))).", [atom("a")]),
        ('"a" %c\n "b".', [string("ab")]),
        ('"""a""".', [string("a")]),
        ('"\\^a\\x41\\x{42}\\101\\s\\e\\d\\q".', [string("\x01ABA \x1b\x7fq")]),
        ('"a\\\nb% no comment".', [string("a\nb% no comment")]),
        ("$a. $ . $\\n. $\\s. $\\^a. $\\x{41}. $\\101. $%.", [97, 32, 10, 32, 1, 65, 65, 37]),
        ("1. 1_000. 16#ff. 36#Zz. 1_6#1_f. 2.5. 1.5e3. 1.0E-2. 1.5_0.", [1, 1000, 255, 1295, 31, 2.5, 1500, 0.01, 1.5]),
        ("- 5. -(5). +$a. -1.5. (-5).", [-5, -5, 97, -1.5, -5]),
        ("[]. [1,2|[3]]. [1,2|\"ab\"].", [["list"], ["list", 1, 2, 3], ["list", 1, 2, 97, 98]]),
        ("[1|2].", [["improper", ["list", 1], 2]]),
        ("{}. {a,{b}}.", [["tuple"], ["tuple", atom("a"), ["tuple", atom("b")]]]),
        ("#{}. #{a=>1,a=>2}. # {a => 1}.", [["map"], ["map", [atom("a"), 2]], ["map", [atom("a"), 1]]]),
        ("<<>>. <<-1>>.", [["binary"], ["binary", [-1, None, ""]]]),
        ('<<"a":16,2:4/integer-little>>.', [["binary", [97, 16, ""], [2, 4, "integer-little"]]]),
        ('{a,<<"x"/utf8>>}.', [["tuple", atom("a"), ["binary", [120, None, "utf8"]]]]),
        ("<<<<1>>/binary>>. <<1:8/unit:2>>. <<1.5:64/float>>.", None),
        ("<<<<1>>/bytes>>. <<<<1>>/bitstring>>. <<<<1>>/bits>>. <<<<1>>/little-binary>>.", None),
        ("<<-1.5/float>>. <<+1.5:64/float>>.", None),
        ("<<$a>>. <<$a, 1, \"b\">>.", None),
    ],
)  # fmt: skip
def test_what_consult_accepts(text: str, expected: list[Any] | None) -> None:
    assert meaning(text) == expected or expected is None


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("{a, b", "1:6", "syntax error before the end of the file"),
        ("{a}. b", "1:7", "syntax error before the end of the file"),
        ("{a,\n  ]}.", "2:3", "syntax error before: ']'"),
        ("{a}.{b}.", "1:4", "syntax error before: '.'"),
        ("a..", "1:2", "syntax error before: '..'"),
        (".", "1:1", "syntax error before: ."),
        ("{end, 1}.", "1:2", "syntax error before: 'end'"),
        ("[a|b|c].", "1:5", "syntax error before: '|'"),
        ("[a|b,c].", "1:5", "syntax error before: ','"),
        ("[a,].", "1:4", "syntax error before: ']'"),
        ("[a b].", "1:4", "syntax error before: `b`"),
        ("{a;b}.", "1:3", "syntax error before: ';'"),
        ("1e5.", "1:2", "syntax error before: `e5`"),
        ("16#fg.", "1:5", "syntax error before: `g`"),
        ("'a b'c.", "1:6", "syntax error before: `c`"),
        ("16#FG.", "1:5", "bad term: the variable `G`"),
        ("\\.", "1:1", "syntax error before: '\\\\'"),
        ("@.", "1:1", "syntax error before: '@'"),
        ("a ++ b.", "1:3", "syntax error before: '++'"),
        ("lists:map.", "1:6", "syntax error before: ':'"),
        ("fun lists:map/2.", "1:1", "syntax error before: 'fun'"),
        ("#rec{}.", "1:2", "syntax error before: `rec`"),
        ("#{a:=1}.", "1:4", "syntax error before: ':='"),
        ("{a, B}.", "1:5", "bad term: the variable `B`"),
        ("_.", "1:1", "bad term: the variable `_`"),
        ("- -5.", "1:1", "bad term"),
        ('-"a".', "1:1", "bad term"),
        ("<<a>>.", "1:3", "bad term"),
        ("<<<<1>>>>.", "1:3", "bad term"),
        ("<<<<1>>/integer>>.", "1:3", "bad term"),
        ("<<1.5>>.", "1:3", "bad term"),
        ("<<-1.5>>.", "1:3", "bad term"),
        ("<<1:a>>.", "1:5", "syntax error before: `a`"),
        ("<<1/2>>.", "1:5", "syntax error before: `2`"),
        ('{a, "abc}.', "1:5", "unterminated string"),
        ('"\\^".', "1:1", "unterminated string"),
        ("{a, 'abc}.", "1:5", "unterminated atom"),
        ("$", "1:1", "unterminated character"),
        ("$\\x{}.", "1:1", "illegal character"),
        ("$\\", "1:1", "illegal character"),
        ('"\\x{110000}".', "1:1", "illegal character"),
        ('"\\x{d800}".', "1:1", "illegal character"),
        ('"\\xZ".', "1:1", "illegal character"),
        ("\u4e2d.", "1:1", "illegal character"),
        ("\udcff.", "1:1", "illegal character"),
        ("1.0e.", "1:1", "illegal float"),
        ("1.0E.", "1:1", "illegal float"),
        ("1.0e400.", "1:1", "illegal float"),
        ("99#1.", "1:1", "illegal base '99'"),
        ("16#.", "1:1", "illegal integer"),
        ("2#2.", "1:1", "illegal integer"),
        ("a" * 256 + ".", "1:1", "illegal atom"),
        ("9" * 5000 + ".", "1:1", "an integer of more than 4000 digits"),
    ],
)
def test_what_consult_refuses(text: str, place: str, problem: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        service_erlang.parse(text, "x.cfg")
    assert str(raised.value).startswith(f"x.cfg:{place}: {problem}")


@pytest.mark.parametrize("opening", ["[", "{", "(", "<<", "#{a=>", "- ", "[a|"])
@pytest.mark.parametrize("closing", ["", "a."])
def test_depth_is_an_error_in_words(opening: str, closing: str) -> None:
    with pytest.raises(SaltInvocationError, match=r"^x\.cfg:1:\d+: nested deeper than 100 levels$"):
        service_erlang.parse(opening * 10_000 + closing, "x.cfg")
    assert service_erlang.parse("[" * 90 + "]" * 90 + ".")


def test_a_file_with_a_comma_too_many_is_refused_where_erlang_refuses_it() -> None:
    text = (FIXTURES / "ports.cfg").read_text()
    assert len(service_erlang.parse(text)) == 8
    text = text.replace("]}\n\n    % Note", "]},\n\n    % Note")
    with pytest.raises(SaltInvocationError, match=r"^/etc/ports\.cfg:69:1: syntax error before: ']'$"):
        service_erlang.parse(text, "/etc/ports.cfg")


@pytest.mark.parametrize("name", ["squeeze.cfg", "wheezy.cfg"])
def test_the_files_of_debian(name: str) -> None:
    text = (FIXTURES / name).read_text()
    terms = service_erlang.parse(text, name)
    names = [term["items"][0]["value"] for term in terms]
    assert (names[:4], names[-1], len(names)) == (["acl", "hosts", "loglevel", "listen"], "modules", 25)
    for term in terms:
        assert text[term["start"]] == "{" and text[term["end"] - 1 : term["dot"]] == "}."
        assert text.count("\n", 0, term["start"]) + 1 == term["line"]


def test_every_term_knows_its_place() -> None:
    text = '{a, "x" "y",\n [$b | -1], #{c => <<"d">>}} .'
    (term,) = service_erlang.parse(text)
    word, listing, mapping = term["items"][1:]
    assert [text[each["start"] : each["end"]] for each in (term, word, listing, mapping)] == [
        text[:-2],
        '"x" "y"',
        "[$b | -1]",
        '#{c => <<"d">>}',
    ]
    assert text[listing["tail"]["start"] : listing["tail"]["end"]] == "-1"
    assert (listing["line"], listing["column"]) == (2, 2)
    binary = mapping["items"][0][1]
    assert binary["items"][0]["value"]["value"] == "d"


def test_bytes_that_are_no_utf_8_may_stand_in_comments_and_quotes() -> None:
    assert meaning('% \udce9\n{a, "\udce9"}.') == [["tuple", atom("a"), ["list", 0xDCE9]]]


def test_anything_gives_terms_or_an_error_with_a_place() -> None:
    chance = random.Random(5)
    text = (FIXTURES / "squeeze.cfg").read_text()
    dense = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("%"))
    signs = [*"{}[]()<>,.|\"'$#=:\\%^ \n\r\t\x00\udcffB1", "<<", "#{", "16#", "\\x{"]
    for _ in range(300):
        start = chance.randrange(len(dense))
        piece = list(dense[start : start + 300])
        for _ in range(chance.randrange(4)):
            piece[chance.randrange(len(piece))] = chance.choice(signs)
        try:
            service_erlang.parse("".join(piece), "x.cfg")
        except SaltInvocationError as error:
            assert str(error).startswith("x.cfg:")


@pytest.mark.parametrize("piece", ["{a, [1, 2]}. ", "\\^", "% x", '"a" ', "\n", "$a", "'a' "])
def test_the_time_grows_no_faster_than_the_text(piece: str) -> None:
    started = time.monotonic()
    for text in (piece * 20_000, f'"{piece * 20_000}'):
        try:
            service_erlang.parse(text)
        except SaltInvocationError:
            pass
    assert time.monotonic() - started < 10


def test_the_limits_themselves_are_allowed() -> None:
    assert meaning("a" * 255 + ".") == [atom("a" * 255)]
    assert meaning("9" * 4000 + ".") == [10**4000 - 1]
    assert meaning("36#Z. 2#1.") == [35, 1]
    assert meaning("$\\x{10FFFF}. $\\x{D7FF}. $\\x{E000}.") == [0x10FFFF, 0xD7FF, 0xE000]
