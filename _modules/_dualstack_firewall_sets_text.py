"""
Sets of ipset(8) as text: as ipset save and restore have it, beside the wanted ones, and in the file for the next boot.
PURE: never accesses the host.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_firewall_sets as firewall_sets

MOST = 50  # entries that are shown of a change
COMMENT = re.compile(r' comment "([^"]*)"')
TIMEOUT = re.compile(r" timeout (\d+)")
FLAGS = ("counters", "comment", "skbinfo", "forceadd")
UNSAID: dict[str, Any] = {"maxelem": firewall_sets.MAXELEM, "timeout": None, "counters": False, "comment": False}
NOT_COMPARED = ("bucketsize", "initval")


class Live(NamedTuple):
    """A set as ipset save prints it."""

    set: firewall_sets.Set
    passing: dict[str, str]  # entries that go by themselves, each with its words
    lines: list[str]


def create(name: str, of: firewall_sets.Set) -> str:
    """
    The words that make a set.

    name
        Its name.
    of
        The set.
    """
    words = ["create", name, of.kind, "family", of.family]
    words += ["hashsize", str(of.hashsize)] if of.hashsize else []
    words += ["maxelem", str(of.options["maxelem"])]
    words += ["timeout", str(of.options["timeout"])] if of.options["timeout"] is not None else []
    return " ".join([*words, *(each for each in ("counters", "comment") if of.options[each])])


def adding(name: str, of: firewall_sets.Set) -> Iterator[str]:
    """
    The lines that add its entries to a set: where entries come to an end, these do not.

    name
        Its name.
    of
        The set.
    """
    stays = " timeout 0" if of.options["timeout"] is not None else ""
    for entry, about in of.entries.items():
        yield f"add {name} {entry}{stays}{_words(about)}"


def _words(about: firewall_sets.Entry) -> str:
    return (" nomatch" if about.nomatch else "") + (f' comment "{about.comment}"' if about.comment else "")


def render(sets: Mapping[str, firewall_sets.Set]) -> str:
    """
    The text for ipset restore that makes sets.

    sets
        They, by name.
    """
    return "".join(f"{line}\n" for name, of in sets.items() for line in [create(name, of), *adding(name, of)])


def parse(text: str, names: Collection[str]) -> dict[str, Live]:
    """
    Some of the sets that are there.

    text
        As ipset save prints it.
    names
        Those that are looked for.
    """
    found: dict[str, Live] = {}
    for line in text.splitlines():
        verb, _, rest = line.partition(" ")
        name, _, rest = rest.partition(" ")
        if name not in names:
            continue
        if verb == "create":
            found[name] = Live(_header(rest), {}, [line])
        elif verb == "add" and name in found:
            found[name].lines.append(line)
            entry, _, words = rest.partition(" ")
            words = f" {words}"
            comment = COMMENT.search(words)
            plain = COMMENT.sub("", words)
            timeout = TIMEOUT.search(plain)
            if timeout and int(timeout[1]):
                found[name].passing[entry] = words
            else:
                about = firewall_sets.Entry(comment[1] if comment else "", " nomatch" in plain)
                found[name].set.entries[entry] = about
    return found


def _header(text: str) -> firewall_sets.Set:
    """The set that these words of ``create`` make, without entries."""
    words = iter(text.split())
    kind, family, hashsize = next(words, ""), "inet", None
    options = dict(UNSAID)
    for word in words:
        if word in FLAGS:
            options[word] = True
            continue
        value = next(words, "")
        if word == "family":
            family = value
        elif word == "hashsize":
            hashsize = int(value)
        elif word not in NOT_COMPARED:
            options[word] = int(value) if value.isdecimal() else value
    return firewall_sets.Set(kind, family, options, {}, hashsize)


def difference(wanted: firewall_sets.Set, live: Live | None) -> dict[str, Any]:
    """
    How a set that is there differs from the wanted one, for people; empty if it does not.

    wanted
        The set.
    live
        What is there; ``None`` for nothing.

    Entries that go by themselves are nobody's mistake, unless they are wanted.
    """
    if live is None:
        entries = {"added": _shown(map(_line, wanted.entries.items()))} if wanted.entries else {}
        return {"old": "absent", "new": wanted.type, **entries}
    found: dict[str, Any] = {}
    if live.set.type != wanted.type:
        return {"old": live.set.type, "new": wanted.type}
    if live.set.options != wanted.options:
        keys = [key for key in {**live.set.options, **wanted.options}]
        pairs = {key: (live.set.options.get(key), wanted.options.get(key)) for key in keys}
        found["options"] = {key: {"old": old, "new": new} for key, (old, new) in pairs.items() if old != new}
    there = live.set.entries
    if set(there) - set(wanted.entries):
        there = {_spelt(wanted, entry): about for entry, about in there.items()}
    missing = [each for each in wanted.entries.items() if there.get(each[0]) != each[1]]
    more = [each for each in there.items() if wanted.entries.get(each[0]) != each[1]]
    if missing:
        found["added"] = _shown(map(_line, missing))
    if more:
        found["removed"] = _shown(map(_line, more))
    return found


def _spelt(wanted: firewall_sets.Set, entry: str) -> str:
    if entry in wanted.entries:
        return entry
    try:
        return firewall_sets.canonical(wanted.kind, entry)[0]
    except ValueError:
        return entry


def _line(item: tuple[str, firewall_sets.Entry]) -> str:
    return f"{item[0]}{_words(item[1])}"


def _shown(lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    return listed if len(listed) <= MOST else [*listed[:MOST], f"and {len(listed) - MOST} more"]


def changed_lines(old: str | None, new: str | None) -> dict[str, list[str]]:
    """
    What differs in a file of sets, for people: its lines that are added and removed.

    old, new
        Its texts.
    """
    one, two = (Counter((each or "").splitlines()) for each in (old, new))
    pairs = {"added": _shown((two - one).elements()), "removed": _shown((one - two).elements())}
    return {key: lines for key, lines in pairs.items() if lines} or {"moved": ["the lines are in another order"]}


def beside(text: str, wanted: Mapping[str, firewall_sets.Set]) -> str:
    """
    The sets that there are once the wanted ones are among them.

    text
        Those that are there, as ipset save prints them.
    wanted
        The wanted ones. They come first: sets of sets may name them.
    """
    return render(wanted) + _without(text, wanted)


def _without(text: str, names: Collection[str]) -> str:
    lines = (line for line in text.splitlines(keepends=True) if not _is_of(line, names))
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _is_of(line: str, names: Collection[str]) -> bool:
    words = line.split(maxsplit=2)
    return len(words) > 1 and words[1] in names


def saved(old: str | None, wanted: Mapping[str, firewall_sets.Set], gone: Collection[str]) -> str | None:
    """
    The text of the file that the next boot loads, with the wanted sets. What it has of others stays as it is.

    old
        Its text; ``None`` where there is no such file.
    wanted
        The sets.
    gone
        Those that were wanted once.

    Where the file has these sets already, as after ``ipset save``, it stays as it is. A set that another one in the
    file names stays as well.
    """
    text = old or ""
    members = {line.split()[2] for line in text.splitlines() if line.startswith("add ") and len(line.split()) > 2}
    gone = [each for each in gone if each not in members and _without(text, [each]) != _without(text, [])]
    there = parse(text, wanted)
    if not gone and not any(difference(of, there.get(name)) for name, of in wanted.items()):
        return old
    return render(wanted) + _without(text, {*wanted, *gone})


def declared(text: str, names: Collection[str]) -> dict[str, Any]:
    """
    Sets that are there, as for the pillar.

    text
        As ipset save prints it.
    names
        Those that were declared. Where one is the twin of another, they are one set.
    """
    there = parse(text, names)
    found: dict[str, Any] = {}
    twins = {
        f"{name}{firewall_sets.TWIN}"
        for name, each in there.items()
        if _are_twins(each, there.get(f"{name}{firewall_sets.TWIN}"))
    }
    for name in (each for each in names if each in there and each not in twins):
        live = there[name].set
        both = f"{name}{firewall_sets.TWIN}" in twins
        entries = sorted(live.entries.items())
        entries += sorted(there[f"{name}{firewall_sets.TWIN}"].set.entries.items()) if both else []
        options = {key: value for key, value in live.options.items() if value != UNSAID.get(key)}
        found[name] = {
            "type": live.kind,
            **({} if both else {"family": "ipv6" if live.family == "inet6" else "ipv4"}),
            "entries": [_as_declared(entry, about) for entry, about in entries],
            **({"options": options} if options else {}),
        }
    return found


def _are_twins(one: Live, other: Live | None) -> bool:
    if not other or (one.set.family, other.set.family) != ("inet", "inet6"):
        return False
    return (one.set.kind, one.set.options) == (other.set.kind, other.set.options)


def _as_declared(entry: str, about: firewall_sets.Entry) -> Any:
    said = {"comment": about.comment, "nomatch": about.nomatch}
    return {"entry": entry, **{key: value for key, value in said.items() if value}} if any(about) else entry
