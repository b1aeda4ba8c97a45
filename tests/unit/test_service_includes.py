"""Files that include each other: read in the order in which a daemon reads them, and never without an end."""

from __future__ import annotations

from typing import Any

import _dualstack_service_includes as service_includes
import pytest
from salt.exceptions import SaltInvocationError


def files(**texts: str) -> dict[str, dict[str, Any]]:
    """Files with a word a line, of which `+a,b` includes the files a and b: each by a pattern of its own."""
    return {
        name: {"text": text, "includes": [[each] for word in text.split() for each in included(word)]}
        for name, text in texts.items()
    }


def included(word: str) -> list[str]:
    return word[1:].split(",") if word.startswith("+") else []


def walk(given: dict[str, dict[str, Any]], reads: list[str] | None = None) -> list[service_includes.Step[str]]:
    def read(path: str, text: str) -> list[str]:
        if reads is not None:
            reads.append(path)
        return text.split()

    steps = service_includes.walk(
        given, "main", read, lambda word: len(included(word)), lambda path, word: f"{path}:{word}"
    )
    return list(steps)


def test_what_an_include_brings_follows_it() -> None:
    steps = walk(files(main="1 +a,b 4 +a", a="2 +c", b="3", c="2.5"))
    assert [(each.path, each.statement) for each in steps] == [
        *(("main", "1"), ("main", "+a,b"), ("a", "2"), ("a", "+c"), ("c", "2.5"), ("b", "3"), ("main", "4")),
        *(("main", "+a"), ("a", "2"), ("a", "+c"), ("c", "2.5")),
    ]
    assert [each.above for each in steps if each.path == "c"] == [("+a,b", "+c"), ("+a", "+c")]
    assert [each.included for each in steps if each.path == "main"] == [[], ["a", "b"], [], ["a"]]


def test_each_file_is_read_once() -> None:
    reads: list[str] = []
    walk(files(main="+a +a +b", a="1", b="+a"), reads)
    assert sorted(reads) == ["a", "b", "main"]


def test_what_is_not_there_is_skipped() -> None:
    assert walk({}) == []
    (step,) = walk(files(main="+gone"))
    assert step.included == ["gone"]
    assert walk({"main": {"text": "+a"}})[0].included == []  # nobody says what the pattern matches


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"main": "1 +main"}, "main:+main: main is included without an end"),
        ({"main": "+a", "a": "+b", "b": "+a"}, "b:+a: a is included without an end"),
        ({"main": "+1,1", **{str(n): f"+{n + 1},{n + 1}" for n in range(1, 60)}, "60": "x"}, " is included without an"),
    ],
)
def test_what_never_ends_is_refused_at_its_place(texts: dict[str, str], said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        walk(files(**texts))
    assert said in str(raised.value)


def test_a_long_chain_is_none_that_never_ends() -> None:
    chain = {str(n): f"+{n + 1}" for n in range(1, 3000)}
    assert walk(files(main="+1", **chain, **{"3000": "end"}))[-1].statement == "end"


def test_a_circle_is_seen_at_once() -> None:
    seen = []
    steps = service_includes.walk(
        files(main="+a", a="+main"), "main", lambda _, text: text.split(), lambda _: 1, lambda path, _: path
    )
    with pytest.raises(SaltInvocationError):
        for each in steps:
            seen.append(each.path)
    assert seen == ["main", "a"]
