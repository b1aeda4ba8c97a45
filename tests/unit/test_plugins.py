"""Plug-ins: how they are found, and what becomes of their mistakes."""

from __future__ import annotations

from typing import Any

import _dualstack_plugins as plugins
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

STACK = {"program": "ifup", "arguments": ["--version"], "otherwise": "is another one"}
SERVICE = dict.fromkeys(("files", "processes", "units", "init", "options", "check", "protocols"), ())


class Loader(dict[str, Any]):
    """Salt's functions, and its map of the files that they are in."""

    file_mapping = {"tunnel_one": "/x", "listen_two": "/x", "aaaa_three": "/x", "aaaa": "/x", "cmdmod": "/x"}

    def missing_fun_string(self, name: str) -> str:
        return f"'{name}' is not available."


def test_they_are_found_by_their_names() -> None:
    assert list(plugins.stacks(Loader())) == ["one"]
    assert list(plugins.services(Loader())) == ["two"]
    assert list(plugins.providers(Loader())) == ["three"]
    names = ["tunnel_b.about", "tunnel_b.up", "tunnel_a.about", "listen_c.about", "test.ping"]
    plain = dict.fromkeys(names, print)
    assert list(plugins.stacks(plain)) == ["a", "b"]
    assert list(plugins.services(plain)) == ["c"]
    assert list(plugins.providers(plain)) == []


def test_a_function_is_called_as_it_is() -> None:
    def parse(*given: Any, **named: Any) -> Any:
        return given, named

    stacks: Any = plugins.stacks(Loader({"tunnel_one.present": parse, "tunnel_one.about": lambda: STACK}))
    found = stacks["one"]
    assert found.present({"a": 1}, {}, adopt=True) == (({"a": 1}, {}), {"adopt": True})
    assert found.about() == STACK


def test_a_function_that_is_not_there() -> None:
    said = r"the module tunnel_one has no function up, or could not be loaded \('tunnel_one.up' is not available.\)"
    with pytest.raises(CommandExecutionError, match=said):
        plugins.stacks(Loader())["one"].up("x")
    with pytest.raises(CommandExecutionError, match="^the module tunnel_a has no function up, or could not be loaded$"):
        plugins.stacks({"tunnel_a.about": print})["a"].up("x")


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), ZeroDivisionError("x"), RecursionError("x")])
def test_a_mistake_in_one_is_an_error_with_its_name(error: Exception) -> None:
    """And its place, but without its message: that may hold a secret."""

    def fails(*_: Any) -> Any:
        raise error

    with pytest.raises(CommandExecutionError) as caught:
        plugins.services(Loader({"listen_two.listeners": fails}))["two"].listeners({})
    place = f"{type(error).__name__} at test_plugins.py:{fails.__code__.co_firstlineno + 1}"
    assert str(caught.value) == f"the function listeners of the module listen_two fails ({place})"


@pytest.mark.parametrize("error", [SaltInvocationError("in its words"), OSError("in its words")])
def test_an_error_in_its_own_words_stays_one(error: Exception) -> None:
    def fails(*_: Any) -> Any:
        raise error

    with pytest.raises(type(error), match="^in its words$"):
        plugins.services(Loader({"listen_two.listeners": fails}))["two"].listeners({})


@pytest.mark.parametrize(
    ("find", "function", "about"), [("stacks", "tunnel_one.about", STACK), ("services", "listen_two.about", SERVICE)]
)
def test_what_about_has_to_have(find: str, function: str, about: dict[str, Any]) -> None:
    def describe(said: Any) -> Any:
        (found,) = getattr(plugins, find)(Loader({function: lambda: said})).values()
        return found.about()

    assert describe({**about, "more": 1}) == {**about, "more": 1}
    for key in about:
        module = function.partition(".")[0]
        with pytest.raises(CommandExecutionError, match=f"^the function about of the module {module} lacks {key}$"):
            describe({each: value for each, value in about.items() if each != key})
    with pytest.raises(CommandExecutionError, match=f"lacks {', '.join(about)}$"):
        describe(None)
