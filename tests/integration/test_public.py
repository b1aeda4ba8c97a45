"""What others can call through Salt: each function has a reason, and none runs what it is given."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from salt.utils.args import parse_input
from saltfactories.utils.functional import Loaders

from ..cli_examples import door, doors, plugins
from .test_cli_examples import DNS

REPOSITORY = Path(__file__).resolve().parents[2]
MAP = (REPOSITORY / "docs" / "architecture.md").read_text()

# What no argument may be called: a command, a file to write, a plan, a function. (`path` is one that a plug-in only
# names in its errors.)
FORBIDDEN = re.compile(r"words|command|cmd|program|file|mode|plan|module|verb|fun(ction)?|apply|undo|script")


@pytest.fixture(scope="module")
def cautious(salt_factories: Any, tmp_path_factory: pytest.TempPathFactory) -> Loaders:
    """A minion whose owner has taken the modules away that run commands and write files."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    minion = salt_factories.salt_minion_daemon(
        "cautious",
        overrides={
            "file_client": "local",
            "module_dirs": [str(REPOSITORY)],
            "disable_modules": ["cmdmod", "file"],
        },
    )
    return Loaders(minion.config.copy(), loaded_base_name="functional_cautious")


def ours(loaders: Loaders) -> dict[str, Callable[..., Any]]:
    """Every function of ours that Salt lists, the runners' too."""
    names = [door(path) for path in (REPOSITORY / "_modules").glob("[!_]*.py")]
    listed = loaders.modules.sys.list_functions(*names)
    assert all(loaders.modules.sys.list_functions(name) for name in names), "a module is not loaded"
    return {name: loaders.modules[name] for name in listed}


def reasons() -> dict[str, str]:
    """The table of docs/architecture.md: ``| `he_tunnel.status` | look: ... |``; ``listen_*.about`` is for each."""
    return dict(re.findall(r"^\| `([\w*]+\.\w+)` \| (.+) \|$", MAP, re.MULTILINE))


def test_each_public_function_is_there_for_a_reason(cautious: Loaders) -> None:
    kinds = {re.sub(r"^(tunnel|listen|aaaa)_\w+\.", r"\1_*.", name) for name in ours(cautious)}
    runners = {
        f"{path.stem}.{name}"
        for path in (REPOSITORY / "_runners").glob("*.py")
        for name in re.findall(r"^def ([a-z]\w*)", path.read_text(), re.MULTILINE)
    }
    assert kinds | runners == set(reasons())


def test_nothing_private_is_listed(cautious: Loaders) -> None:
    everything = cautious.modules.sys.list_functions()
    assert not [name for name in everything if "dualstack_" in name and not name.startswith("dualstack_iptables.")]


def test_no_argument_is_a_command_a_file_or_a_plan(cautious: Loaders) -> None:
    for name, function in ours(cautious).items():
        for argument in inspect.signature(function).parameters:
            if name.split(".")[0].startswith(("tunnel_", "listen_")) and argument == "files":
                continue  # texts, by their paths: these know no host
            assert not FORBIDDEN.fullmatch(argument), (name, argument)


def hostile(marker: Path) -> Iterator[Any]:
    """What might be run, or written, if anything did: as a command, a plan, the settings of a plug-in."""
    words = ["/bin/sh", "-c", f"touch {marker}"]
    command = f"/bin/sh -c 'touch {marker}'"
    yield from (words, command, f"$(touch {marker})", f"; touch {marker}", str(marker))
    yield {"publish": command, "withdraw": command, "command": {"publish": command}}
    yield {"files": {str(marker): {"old": None, "new": "x"}}, "changes": {"x": 1}, "live": None, "target": None}
    yield {"www.example.org": {"old": {"addresses": [], "ttl": None}, "new": {"addresses": ["2001:db8::1"], "ttl": 9}}}
    yield {str(marker): {"text": "x", "includes": []}}


def test_nothing_runs_what_a_caller_gives_it(cautious: Loaders, tmp_path: Path) -> None:
    """Each argument of each CLI example is replaced, one at a time, and all at once; the rest stays as it is."""
    marker = tmp_path / "owned"
    assert not {"cmd", "file"} & set(cautious.modules.sys.list_modules()), "they should be disabled"
    cautious.modules.pack["__pillar__"]["ipv6"] = {"dns": {**DNS, "provider": "command", "names": ["www.example.org"]}}
    count = 0
    for words in [*doors(), *plugins()]:
        positional, named = parse_input(words[1:], condition=False)
        acting = "test" in inspect.signature(cautious.modules[words[0]]).parameters
        named.update({"test": True} if acting else {})
        for value in hostile(marker):
            changes: list[tuple[Any, list[Any], dict[str, Any]]] = [
                (at, positional[:at] + [value] + positional[at + 1 :], named) for at in range(len(positional))
            ]
            changes += [(key, positional, {**named, key: value}) for key in named if key != "test"]
            changes += [("all", [value] * len(positional), named), ("more", positional, {**named, "more": value})]
            for what, arguments, keywords in changes:
                with contextlib.suppress(Exception):  # refused, in whatever way
                    cautious.modules[words[0]](*arguments, **keywords)
                count += 1
                assert not marker.exists(), (words, what, value)
    assert count > 1500
