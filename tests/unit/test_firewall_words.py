"""A rule's text and its words."""

from __future__ import annotations

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
