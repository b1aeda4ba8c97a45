"""
The pillar's sets of ipset(8), as the sets of both families. PURE: never accesses the host.

A set of ipset(8) holds addresses of one family. So a set ``blocklist`` of the pillar is two: ``blocklist`` of IPv4 and
``blocklist6`` of IPv6, each with the entries of its family, and a rule that names the first names the second for IPv6.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import _dualstack_families as families
import salt.utils.json

KEYS = ("type", "entries", "family", "options")
OPTIONS = ("hashsize", "maxelem", "timeout", "counters", "comment")
ENTRY_KEYS = ("entry", "comment", "nomatch")
TYPES = {
    "hash:ip": ("ip",),
    "hash:net": ("net",),
    "hash:ip,port": ("ip", "port"),
    "hash:net,port": ("net", "port"),
    "hash:net,iface": ("net", "iface"),
    "hash:ip,port,ip": ("ip", "port", "ip"),
    "hash:ip,port,net": ("ip", "port", "net"),
}
KERNEL = {"ipv4": "inet", "ipv6": "inet6"}  # the families as ipset(8) calls them
TWIN = "6"  # at the end of the name of the set for IPv6
TWIN_OF = "twin "  # before the name of a set's twin, where it is told which family a set is for
TEMPORARY = "dualstack-new-"  # begins the name of a set that is about to take another one's place
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LONGEST = 31  # bytes of a name
MAXELEM = 65536  # the kernel's default
LONGEST_COMMENT = 255  # bytes
LIMITS = {"hashsize": (64, 1 << 24), "maxelem": (1, 1 << 28), "timeout": (0, 2147483)}
PLAIN = re.compile(r"((?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2}))(?:/([1-9]|[12][0-9]|3[01]))?")
PORT = re.compile(r"(?:(tcp|udp|sctp|udplite):)?([0-9]{1,5})", re.IGNORECASE)
INTERFACE = re.compile(r"(?:physdev:)?[^\s,/:\"']{1,15}")
ANY = {4: "0.0.0.0/1 and 128.0.0.0/1", 6: "'::/1' and '8000::/1'"}


class Entry(NamedTuple):
    """What is said of an entry besides itself."""

    comment: str = ""
    nomatch: bool = False


class Set(NamedTuple):
    """A set of the kernel's."""

    kind: str  # such as hash:net
    family: str  # inet or inet6
    options: dict[str, Any]  # maxelem, timeout, counters, comment; and others that it has
    entries: dict[str, Entry]
    hashsize: int | None = None  # with which it is made: it grows by itself

    @property
    def type(self) -> str:
        return f"{self.kind} {self.family}"


class Reading(NamedTuple):
    """The sets of the pillar, by their names in the kernel; for which family each name is; and every error."""

    sets: dict[str, Set]
    families: dict[str, str]
    origins: dict[str, str]  # their names in the pillar
    problems: list[str]


def read(firewall: Any) -> Reading:
    """
    The sets of a firewall.

    firewall
        As in the pillar ``ipv6:firewall``.

    The sets are complete only if there are no problems, sentences that begin with the key. Their families are as for
    ``firewall_rules.translate``: a set that has a twin is ``twin NAME``.
    """
    given = firewall.get("sets") if isinstance(firewall, Mapping) else None
    # The same sets are read more than once in a run. As JSON they are plain data.
    return _read_json(salt.utils.json.dumps(given, default=str))


@functools.lru_cache(maxsize=4)
def _read_json(text: str) -> Reading:
    given = salt.utils.json.loads(text)
    reading = Reading({}, {}, {}, [])
    if given is None:
        return reading
    if not isinstance(given, dict):
        reading.problems.append(f"sets: expected a mapping of sets by their names, found {given!r}")
        return reading
    for name, declared in given.items():
        if problem := _misnamed(name):
            reading.problems.append(f"sets:{name}: {problem}")
            continue
        short = declared is None or isinstance(declared, list)
        _read_set(reading, name, {"entries": declared} if short else declared)
    return reading


def _misnamed(name: str) -> str:
    if not NAME.fullmatch(name) or name.startswith(TEMPORARY):
        return "not the name of a set: letters, digits, and - _ . behind the first of them"
    longest = LONGEST - len(TWIN)
    return f"its name has {len(name)} characters, and at most {longest} are possible" if len(name) > longest else ""


def _read_set(reading: Reading, name: str, declared: Any) -> None:
    place, problems = f"sets:{name}", reading.problems
    if not isinstance(declared, dict):
        problems.append(f"{place}: expected a list of entries, or a mapping with entries, found {declared!r}")
        return
    problems += [
        f"{place}:{key}: unknown key; expected one of {', '.join(KEYS)}" for key in declared if key not in KEYS
    ]
    said = {key: value for key, value in declared.items() if value is not None}
    kind, family = said.get("type", "hash:net"), said.get("family", "both")
    if kind not in tuple(TYPES):
        problems.append(f"{place}:type: {kind!r} is not a type that is possible here; expected {', '.join(TYPES)}")
        return
    if family not in (*families.FAMILIES, "both"):
        problems.append(f"{place}:family: {family!r}: expected ipv4, ipv6 or both")
        return
    names = {each: name for each in families.FAMILIES if family in (each, "both")}
    if family == "both":
        names["ipv6"] = f"{name}{TWIN}"
    for each in names.values():
        if each in reading.sets:
            problems.append(f"{place}: its set of the kernel's, {each}, is also that of another one under sets")
            return
    options = _options(reading, place, declared.get("options"))
    made = {
        each: Set(kind, KERNEL[each], {**options, "maxelem": options["maxelem"] or MAXELEM}, {}, options["hashsize"])
        for each in names
    }
    for one in made.values():
        del one.options["hashsize"]
    _entries(reading, place, declared.get("entries"), made)
    for each, found in made.items():
        if len(found.entries) > found.options["maxelem"]:
            count = f"{len(found.entries)} entries of {families.NAMES[each]} are declared"
            problems.append(f"{place}:options:maxelem: {count}, and {found.options['maxelem']} are possible; raise it")
        reading.sets[names[each]] = found
        reading.families[names[each]] = found.family
        reading.origins[names[each]] = name
    if family == "both":
        reading.families[name] = f"{TWIN_OF}{names['ipv6']}"


def _options(reading: Reading, place: str, given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"hashsize": None, "maxelem": None, "timeout": None, "counters": False, "comment": False}
    if given is not None and not isinstance(given, dict):
        reading.problems.append(f"{place}:options: expected a mapping, found {given!r}")
        return found
    for key, value in (given or {}).items():
        if key not in OPTIONS:
            expected = f"expected one of {', '.join(OPTIONS)}"
            reading.problems.append(f"{place}:options:{key}: unknown option; {expected}")
        elif key in LIMITS:
            low, high = LIMITS[key]
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                expected = f"expected a whole number from {low} to {high}"
                reading.problems.append(f"{place}:options:{key}: {value!r}: {expected}")
            else:
                found[key] = value
        elif not isinstance(value, bool):
            reading.problems.append(f"{place}:options:{key}: {value!r} is neither true nor false")
        else:
            found[key] = value
    return found


def _entries(reading: Reading, place: str, given: Any, made: dict[str, Set]) -> None:
    """Put each entry into the set of its family."""
    if given is not None and not isinstance(given, list):
        reading.problems.append(f"{place}:entries: expected a list, found {given!r}")
        return
    first: dict[str, int] = {}
    some = next(iter(made.values()))
    for index, each in enumerate(given or []):
        try:
            text, about = _entry(each, some)
            entry, family = canonical(some.kind, text)
            if entry in first:
                raise ValueError(f"{entry} is there already, as entries[{first[entry]}]")
            if family not in made:
                raise ValueError(f"{entry} is of {families.NAMES[family]}, and the set is not")
        except ValueError as error:
            reading.problems.append(f"{place}:entries[{index}]: {error}")
            continue
        first[entry] = index
        made[family].entries[entry] = about


def _entry(given: Any, of: Set) -> tuple[str, Entry]:
    about = given if isinstance(given, dict) else {"entry": given}
    text = about.get("entry")
    if unknown := [key for key in about if key not in ENTRY_KEYS]:
        raise ValueError(f"{unknown[0]}: unknown key; expected {', '.join(ENTRY_KEYS)}")
    if not isinstance(text, str):
        raise ValueError(f"expected text, such as {_example(of.kind)}, found {text!r}")
    said = {key: value for key, value in about.items() if value is not None}
    comment, nomatch = said.get("comment", ""), said.get("nomatch", False)
    if not isinstance(comment, str) or not comment.isprintable() or '"' in comment or "\\" in comment:
        raise ValueError(f"comment: expected a text in one line without quotation marks, found {comment!r}")
    if len(comment.encode()) > LONGEST_COMMENT:
        raise ValueError(f"comment: it has {len(comment.encode())} bytes, and {LONGEST_COMMENT} are possible")
    if comment and not of.options["comment"]:
        raise ValueError("comment: the set keeps none without options: {comment: true}")
    if not isinstance(nomatch, bool):
        raise ValueError(f"nomatch: {nomatch!r} is neither true nor false")
    if nomatch and "net" not in TYPES[of.kind]:
        raise ValueError(f"nomatch: only networks have it, and {of.kind} has none")
    return text, Entry(comment, nomatch)


def _example(kind: str) -> str:
    parts = {"ip": "192.0.2.1", "net": "192.0.2.0/24", "port": "tcp:80", "iface": "eth0"}
    return ",".join(parts[each] for each in TYPES[kind])


def canonical(kind: str, text: str) -> tuple[str, str]:
    """
    An entry in one spelling, and its family.

    kind
        The type of the set.
    text
        The entry, as in the pillar or as ipset save prints it.

    Raises ``ValueError`` with a sentence.
    """
    parts = text.split(",")
    components = TYPES[kind]
    if len(parts) != len(components):
        raise ValueError(f"{text!r} is no entry of {kind}; expected one such as {_example(kind)}")
    found, versions = [], set()
    for component, part in zip(components, parts):
        if component in ("ip", "net"):
            words, version = _address(component, part, kind)
            versions.add(version)
        elif component == "port":
            words = _port(part, text)
        else:
            words = part
            if not INTERFACE.fullmatch(part):
                raise ValueError(f"{part!r} is not the name of an interface")
        found.append(words)
    if len(versions) > 1:
        raise ValueError(f"{text!r} has addresses of both families")
    return ",".join(found), f"ipv{versions.pop()}"


def _address(component: str, text: str, kind: str) -> tuple[str, int]:
    if found := PLAIN.fullmatch(text):  # as nearly all are: the rest of this is slow
        length = int(found[2]) if found[2] else 32
        if max(octets := [int(each) for each in found[1].split(".")]) < 256:
            a, b, c, d = octets
            if length == 32:
                return text, 4
            if component == "net" and not ((a << 24) + (b << 16) + (c << 8) + d) & ((1 << 32 - length) - 1):
                return text, 4
    what = "an address" if component == "ip" else "an address or a network"
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {what}, as {kind} has them") from None
    network, whole = interface.network, interface.max_prefixlen
    if "%" in text or re.search(r"/\d+\.", text):
        raise ValueError(f"{text!r} is not {what}, as {kind} has them")
    if network.prefixlen == whole:
        return str(interface.ip), interface.version
    if component == "ip":
        raise ValueError(f"{text!r} is a network, and {kind} holds addresses; expected a type with net")
    if interface.ip != network.network_address:
        raise ValueError(f"{text!r} has bits beyond its length; expected {network}")
    if not network.prefixlen and kind != "hash:net,iface":
        raise ValueError(f"{text!r}: a set cannot hold a network of length 0; expected {ANY[network.version]}")
    return str(network), interface.version


def _port(part: str, text: str) -> str:
    found = PORT.fullmatch(part)
    if not found or int(found[2]) > 65535:
        raise ValueError(f"{part!r} in {text!r} is not a port such as 80, tcp:80, udp:53")
    return f"{(found[1] or 'tcp').lower()}:{int(found[2])}"


def twins(holding: Mapping[str, str], declared: Collection[str]) -> dict[str, str]:
    """
    For which family each set is, with the twins among those that were declared.

    holding
        The family of each set of this host, as ``firewall_kernel.set_families`` returns it.
    declared
        The names of those that were declared.
    """
    pairs = {name: f"{name}{TWIN}" for name in declared if f"{name}{TWIN}" in declared}
    both = {name: twin for name, twin in pairs.items() if (holding.get(name), holding.get(twin)) == ("inet", "inet6")}
    return {**holding, **{name: f"{TWIN_OF}{twin}" for name, twin in both.items()}}
