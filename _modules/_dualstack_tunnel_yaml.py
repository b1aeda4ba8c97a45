"""
The YAML of netplan, netplan-yaml(5): several files are one configuration. Each value knows its file and its line. PURE:
never accesses the host.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from salt.exceptions import CommandExecutionError

# Of two files of one name, that in the first of these folders is read.
FOLDERS = ("/run/netplan", "/etc/netplan", "/usr/lib/netplan", "/lib/netplan")
SUFFIX = ".yaml"
YES, NO = ("true", "on", "yes", "y"), ("false", "off", "no", "n")
NOTHING = ("", "~", "null")


class Place(NamedTuple):
    """Where something stands: the lines begin with 1."""

    path: str
    line: int


class Value(NamedTuple):
    """A text, a list of values, or a mapping of them."""

    data: Any  # str, list[Value], dict[str, Value]
    place: Place


class Leaf(NamedTuple):
    """A text, with the keys that lead to it; an item of a list has none of its own."""

    keys: tuple[str, ...]
    text: str
    place: Place


def read(host: Mapping[str, str]) -> Value:
    """
    The configuration of a host: mappings of several files are merged, lists go on, of texts the last one counts.

    host
        The texts of the host's files, by path.

    Raises ``CommandExecutionError`` for a file that netplan could not read either.
    """
    whole = Value({}, Place("", 0))
    for path in order(host):
        whole = _merged(whole, tree(path, host[path]))
    return whole


def order(host: Mapping[str, str]) -> list[str]:
    """
    The files that count, in the order in which they are read: by their names, whatever their folders.

    host
        The texts of the host's files, by path.
    """
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for path in sorted(host):
            if posixpath.dirname(path) == folder and path.endswith(SUFFIX):
                found.setdefault(posixpath.basename(path), path)
    return [path for _, path in sorted(found.items())]


def tree(path: str, text: str) -> Value:
    """
    The values of one file.

    path
        The file's.
    text
        Its content.

    Raises ``CommandExecutionError`` where it is no YAML, or no mapping.
    """
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        found = _value(path, node) if node is not None else Value({}, Place(path, 1))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it is not YAML"
        raise CommandExecutionError(f"{path}{where}: netplan cannot read this: {why}") from None
    if not isinstance(found.data, dict):
        if found.data in NOTHING:
            return Value({}, found.place)
        raise CommandExecutionError(f"{path}, line {found.place.line}: expected a mapping, such as 'network:'")
    return found


def _value(path: str, node: yaml.Node, above: tuple[int, ...] = ()) -> Value:
    place = Place(path, node.start_mark.line + 1)
    if id(node) in above:
        raise yaml.YAMLError("an alias within its own anchor")
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        data: dict[str, Value] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(problem="a key is no text", problem_mark=key.start_mark)
            data[key.value] = _value(path, value, above)._replace(place=Place(path, key.start_mark.line + 1))
        return Value(data, place)
    if isinstance(node, yaml.SequenceNode):
        return Value([_value(path, each, above) for each in node.value], place)
    return Value(str(node.value), place)


def _merged(old: Value, new: Value) -> Value:
    if isinstance(old.data, dict) and isinstance(new.data, dict):
        data = dict(old.data)
        for key, value in new.data.items():
            data[key] = _merged(data[key], value) if key in data else value
        return Value(data, old.place if old.place.path else new.place)
    if isinstance(old.data, list) and isinstance(new.data, list):
        return Value([*old.data, *new.data], old.place)
    return new


def mapping(value: Value | None, *keys: str) -> dict[str, Value]:
    """
    What a value has under some keys; empty if that is no mapping.

    value
        Where to begin.
    keys
        One in the other.
    """
    for key in keys:
        value = value.data.get(key) if value is not None and isinstance(value.data, dict) else None
    return value.data if value is not None and isinstance(value.data, dict) else {}


def items(value: Value | None) -> list[Value]:
    """
    The items of a list; none if it is none.

    value
        The list.
    """
    return value.data if value is not None and isinstance(value.data, list) else []


def text(value: Value | None) -> str:
    """
    A text; empty if it is none.

    value
        Which.
    """
    return value.data if value is not None and isinstance(value.data, str) and value.data not in NOTHING else ""


def leaves(value: Value, keys: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """
    All texts in a value.

    value
        Which.
    keys
        That lead to it.
    """
    if isinstance(value.data, dict):
        for key, each in value.data.items():
            yield from leaves(each, (*keys, key))
    elif isinstance(value.data, list):
        for each in value.data:
            yield from leaves(each, keys)
    else:
        yield Leaf(keys, value.data, value.place)


def plain(value: Value) -> Any:
    """
    The same without its places.

    value
        Which.
    """
    if isinstance(value.data, dict):
        return {key: plain(each) for key, each in value.data.items()}
    return [plain(each) for each in value.data] if isinstance(value.data, list) else value.data


def without(path: str, content: str, keys: tuple[str, ...]) -> str | None:
    """
    The text of a file without one entry of a mapping, and without the mappings that are empty then; all other lines
    stay as they are.

    path
        The file's.
    content
        Its text.
    keys
        That lead to the entry.

    Returns ``None`` if nothing but ``version`` is left. Raises ``CommandExecutionError`` where the entry shares its
    lines with others.
    """
    root: Any = yaml.compose(content, Loader=yaml.BaseLoader)
    entry = keys
    while len(entry) > 1 and len(mapping(tree(path, content), *entry[:-1])) == 1:
        entry = entry[:-1]
    first, last = _span(root, entry)
    kept = content.splitlines(keepends=True)
    kept = kept[:first] + kept[last + 1 :]
    result = "".join(kept)
    expected = plain(tree(path, content))
    inner = expected
    for key in entry[:-1]:
        inner = inner[key]
    del inner[entry[-1]]
    try:
        left = plain(tree(path, result))
    except CommandExecutionError:
        left = None
    if left != expected:
        raise CommandExecutionError(
            f"{path}, line {first + 1}: {keys[-1]} shares its lines with others, or is named elsewhere in this file; "
            "take it out by hand"
        )
    return result if set(left.get("network", {})) - {"version"} or set(left) - {"network"} else None


def _span(node: yaml.Node, keys: tuple[str, ...]) -> tuple[int, int]:
    """The first and the last line of an entry."""
    for key, value in node.value:
        if key.value == keys[0]:
            if len(keys) > 1:
                return _span(value, keys[1:])
            return key.start_mark.line, max(key.end_mark.line, _last(value))
    raise CommandExecutionError(f"there is no {keys[0]}")


def _last(node: yaml.Node) -> int:
    """The last line of a node; the end that the parser tells of is behind the comments that follow."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False):
        end = node.end_mark
        return int(end.line if end.column else max(end.line - 1, node.start_mark.line))
    inner = [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
    return max([node.start_mark.line, *map(_last, inner)])
