"""The code matches docs/architecture.md: which rooms exist, who imports whom, and what no room may contain."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "_dualstack_"
FILES = sorted((REPOSITORY / "_modules").glob("*.py"))
ROOMS = {path.stem.removeprefix(PREFIX): path for path in FILES if path.stem.startswith(PREFIX)}
PUBLIC = {path.stem: path for path in FILES if not path.stem.startswith(PREFIX)}
MAP = (REPOSITORY / "docs" / "architecture.md").read_text()
LONGEST = 500  # lines

# What Salt puts into the modules that it loads, and into nothing else.
DUNDERS = ("__salt__", "__opts__", "__pillar__", "__grains__", "__states__", "__context__", "__utils__")


def imports(path: Path) -> set[str]:
    """The rooms that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found.update(each.removeprefix(PREFIX) for each in names if each.startswith(PREFIX))
    return found


def drawn() -> dict[str, set[str]]:
    """Who imports whom, by the tables of docs/architecture.md: ``| `name` | job | `room`, `room` |``."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \|$", MAP, re.MULTILINE)
    assert len(rows) == len({name for name, _ in rows}), "a room is drawn twice"
    return {name: set(re.findall(r"`(\w+)`", others)) for name, others in rows}


def test_the_map_matches_the_code() -> None:
    house = {name: imports(path) for name, path in {**PUBLIC, **ROOMS}.items()}
    assert drawn() == house


def test_the_picture_of_the_wings_matches_the_code() -> None:
    def wing(name: str) -> str:
        return name.partition("_")[0] if name in ROOMS else name

    house = {(wing(name), wing(each)) for name, path in ROOMS.items() for each in imports(path)}
    doors = {name for name in PUBLIC if not re.match(r"(tunnel|listen|aaaa)_", name)}
    house |= {(f"{name}.py", wing(each)) for name in doors for each in imports(PUBLIC[name])}
    arrows = re.findall(r"^    ([\w.]+) --> (.+)$", MAP, re.MULTILINE)
    shown = {(one, other) for one, others in arrows for other in others.split(" & ")}
    assert shown == {(one, other) for one, other in house if one != other}


def test_nobody_goes_in_circles() -> None:
    left = {name: imports(path) for name, path in ROOMS.items()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("name", [*ROOMS, *PUBLIC])
def test_a_room_is_small(name: str) -> None:
    assert len({**PUBLIC, **ROOMS}[name].read_text().splitlines()) < LONGEST


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_is_plain_python(name: str) -> None:
    tree = ast.parse(ROOMS[name].read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names.isdisjoint(DUNDERS)
    inner = [each for node in tree.body if isinstance(node, ast.FunctionDef) for each in ast.walk(node)]
    late = [each for each in inner if isinstance(each, (ast.Import, ast.ImportFrom))]
    assert not [each for each in late if PREFIX in ast.unparse(each)], "Salt has the folder on the path only meanwhile"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_imports_its_rooms_anew(name: str) -> None:
    tree = ast.parse(PUBLIC[name].read_text())
    at_once = {each.name for node in tree.body if isinstance(node, ast.Import) for each in node.names}
    assert {each for each in at_once if each.startswith(PREFIX)} <= {f"{PREFIX}rooms"}
    fresh = [node for node in tree.body if isinstance(node, ast.With) and "rooms.fresh(__file__)" in ast.unparse(node)]
    assert len(fresh) == bool(imports(PUBLIC[name]))


@pytest.mark.parametrize("name", [*ROOMS, *PUBLIC])
def test_a_room_is_called_by_its_own_name(name: str) -> None:
    """``import _dualstack_host_files as host_files``: so that a search for a call finds the room."""
    for node in ast.walk(ast.parse({**PUBLIC, **ROOMS}[name].read_text())):
        for each in node.names if isinstance(node, ast.Import) else ():
            if each.name.startswith(PREFIX) and each.name != f"{PREFIX}rooms":
                assert each.asname in (each.name.removeprefix(PREFIX), f"{each.name.removeprefix(PREFIX)}_room")


def test_no_room_hides_a_module_of_pythons() -> None:
    assert not {path.stem for path in FILES} & sys.stdlib_module_names
