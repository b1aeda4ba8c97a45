"""A rule's text and its words."""

from __future__ import annotations

import random

import _dualstack_firewall_words as firewall_words
import pytest
from salt.exceptions import SaltInvocationError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  -p\ttcp \n -j ACCEPT ", ["-p", "tcp", "-j", "ACCEPT"]),
        ("'two words' x", ["two words", "x"]),
        (r'"it\'s"', ["it's"]),  # as iptables-save writes it
        ('"a \\"b\\" \\\\ c"', ['a "b" \\ c']),
        (r"a\ b", ["a b"]),
        ('--x="a b"c', ["--x=a bc"]),
        ('""', [""]),
        ("a#b # the rest", ["a#b"]),
        ("a \\\n b", ["a", "b"]),
        ("'$x' \"#\"", ["$x", "#"]),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert firewall_words.split(text) == words


@pytest.mark.parametrize("text", ["'", 'a "b', "a\\"])
def test_an_open_quote_is_an_error(text: str) -> None:
    with pytest.raises(SaltInvocationError, match="not closed"):
        firewall_words.split(text)


@pytest.mark.parametrize("word", ["", "a b", "it's", 'say "x"', "back\\slash", "#", "$x", "ü", "!", "|00 01|", "`"])
def test_joined_words_are_split_again(word: str) -> None:
    assert firewall_words.split(firewall_words.join(["-m", word, "x"])) == ["-m", word, "x"]


def test_plain_words_are_joined_without_quotes() -> None:
    assert firewall_words.join(["!", "-d", "[2001:db8::1]:80", "a|b", "x=1,2/3"]) == (
        "! -d [2001:db8::1]:80 a|b x=1,2/3"
    )


def test_plain_quotes_are_read_as_any_others(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(15)
    texts = ["".join(chance.choices('""  ab\té\x85#\'$', k=chance.randint(0, 12))) for _ in range(20_000)]

    def read(text: str) -> list[str] | str:
        try:
            return firewall_words.split(text)
        except SaltInvocationError as error:
            return str(error)

    found = [read(text) for text in texts]
    assert firewall_words.split('-m comment --comment "two words" -j ACCEPT')[3] == "two words"
    monkeypatch.setattr(firewall_words, "_plainly_quoted", lambda text: None)
    assert [read(text) for text in texts] == found
