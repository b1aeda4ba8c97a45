"""The CLI examples of the public functions, as the command line would call them."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

from salt.utils.args import parse_input

REPOSITORY = Path(__file__).resolve().parents[1]
PLUGINS = re.compile(r"(tunnel|listen|aaaa)_\w+")


def door(path: Path) -> str:
    """The name by which Salt calls a module: that of its file, or the virtual one that it returns."""
    text = path.read_text()
    found = re.search(r'^__virtualname__ = "(\w+)"$', text, re.MULTILINE)
    return found[1] if found and "\ndef __virtual__" in text else path.stem


def examples(path: Path) -> list[list[str]]:
    """The words behind ``salt '*'`` or ``salt-call`` of each example in a file: the function, and its arguments."""
    functions = [each for each in ast.parse(path.read_text()).body if isinstance(each, ast.FunctionDef)]
    found = []
    for function in (each for each in functions if not each.name.startswith("_")):
        _, _, example = (ast.get_docstring(function) or "").partition("CLI Example:\n\n.. code-block:: bash\n\n")
        commands = [each for each in re.sub(r"\\\n\s*", "", example).splitlines() if each.strip()]
        assert commands, f"{path.stem}.{function.name} has no CLI example"
        for command in commands:
            program, *words = shlex.split(command)
            assert program in ("salt", "salt-call", "salt-run"), command
            words = [each for each in words if not each.startswith("--") and each != "*"]
            assert words[0] == f"{door(path)}.{function.name}", command
            found.append(words)
    return found


def plugins() -> list[list[str]]:
    """The examples of the plug-ins, which know no host."""
    paths = sorted((REPOSITORY / "_modules").glob("[!_]*.py"))
    return [each for path in paths if PLUGINS.fullmatch(path.stem) for each in examples(path)]


def doors() -> list[list[str]]:
    """The examples of all else."""
    paths = sorted((REPOSITORY / "_modules").glob("[!_]*.py"))
    return [each for path in paths if not PLUGINS.fullmatch(path.stem) for each in examples(path)]


def called(modules: Any, words: list[str]) -> Any:
    """What a function returns to the command line."""
    arguments, named = parse_input(words[1:], condition=False)
    return modules[words[0]](*arguments, **named)
