"""
Connections of NetworkManager, as its keyfiles have them, nm-settings-keyfile(5). PURE: never accesses the host.

What counts was read in its source and tried with ``nmcli --offline`` of 1.42: of a key that is given twice the last
value; an address or a route ends at ``/``, ``;`` or ``,`` alike; a number may be hexadecimal; a file with a line that
is neither a section, nor a key, nor a comment is not read at all.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
import uuid
from collections.abc import Iterator
from typing import NamedTuple

ETC = "/etc/NetworkManager/system-connections"
RUN = "/run/NetworkManager/system-connections"
LIB = "/usr/lib/NetworkManager/system-connections"
SUFFIX = ".nmconnection"

# NMIPTunnelMode: the number in the file, and what ip(8) calls it.
MODES = ("", "ipip", "gre", "sit", "isatap", "vti", "ip6ip6", "ipip6", "ip6gre", "vti6", "gretap", "ip6gretap")
METRIC = 675  # NetworkManager's own for a route through an IP tunnel
IPV6, DEFAULT = "ipv6", "::/0"
# The namespace of the identifiers that NetworkManager gives to connections without one.
NAMELESS = uuid.UUID("b425e9fb-7598-44b4-9e3b-5a2e3aaa4905")
ESCAPES = {"s": " ", "t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
PEER = "wireguard-peer."


class Entry(NamedTuple):
    section: str
    key: str
    value: str
    line: int  # from 1


class Profile(NamedTuple):
    """One connection."""

    path: str
    entries: list[Entry]  # without those that a later one takes the place of
    strange: list[int]  # the lines for which NetworkManager does not read the file

    def entry(self, section: str, key: str) -> Entry | None:
        """What the file has for a key."""
        return next((each for each in self.entries if (each.section, each.key) == (section, key)), None)

    def value(self, section: str, key: str) -> str:
        """Its value; empty if it has none."""
        found = self.entry(section, key)
        return found.value if found else ""

    @property
    def interface(self) -> str:
        """The name of the interface that the connection is for."""
        return self.value("connection", "interface-name")

    @property
    def uuid(self) -> str:
        """The identifier of the connection, or the one that NetworkManager gives it for its file."""
        base = posixpath.basename(self.path)
        return self.value("connection", "uuid") or str(uuid.uuid3(NAMELESS, f"keyfile\0{ETC}/{base}\0"))

    @property
    def kind(self) -> str:
        """``sit``, ``gre``, ``wireguard`` and so on; empty if it is no tunnel."""
        sections = {each.section for each in self.entries}
        given = self.value("connection", "type")
        if given == "wireguard" or (not given and "wireguard" in sections):
            return "wireguard"
        if given not in ("", "ip-tunnel") or "ip-tunnel" not in sections:
            return ""
        mode = self.value("ip-tunnel", "mode")
        found = number(mode)
        if found is None:
            return mode if mode in MODES else ""
        return MODES[found] if found < len(MODES) else ""

    @property
    def generated(self) -> bool:
        """
        Whether NetworkManager has only written down what somebody else has configured. What it has generated of its
        own accord, as "Wired connection 1" for an Ethernet without a connection, is neither of these.
        """
        return any(truth(self.value(".nmmeta", each)) for each in ("volatile", "external"))

    @property
    def netplan(self) -> bool:
        """Whether netplan has made the file, of its own configuration."""
        return posixpath.dirname(self.path) == RUN and posixpath.basename(self.path).startswith("netplan-")


class Address(NamedTuple):
    address: str  # with its prefix length
    gateway: str  # empty if there is none
    entry: Entry


class Route(NamedTuple):
    destination: str
    gateway: str  # empty if there is none
    metric: int | None
    options: dict[str, str]
    entry: Entry


def loads(path: str) -> bool:
    """
    Whether NetworkManager reads a file of this name.

    path
        The file's.

    In /etc it does without the suffix, for the sake of old files; there it leaves out those of editors and of other
    programs, and keys.
    """
    folder, name = posixpath.split(path)
    if name.startswith(".") or folder not in (ETC, RUN, LIB):
        return False
    if name.endswith(SUFFIX):
        return name != SUFFIX
    left_out = name.endswith("~") or re.search(r"\.[A-Za-z0-9]{6}\Z|(?i:\.pem|\.der)\Z", name)
    return folder == ETC and not left_out


def read(path: str, text: str) -> Profile:
    """
    What NetworkManager finds in a keyfile.

    path
        Where it is.
    text
        Its content.
    """
    entries: dict[tuple[str, str], Entry] = {}
    strange: list[int] = []
    section = ""
    for number_, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        header = re.fullmatch(r"\[([^\[\]]+)\]", stripped)
        key, equals, value = stripped.partition("=")
        if header:
            section = header[1]
        elif not section or not equals or not key.strip():
            strange.append(number_)
        else:
            entries[section, key.strip()] = Entry(section, key.strip(), _unescaped(value.strip()), number_)
    return Profile(path, list(entries.values()), strange)


def _unescaped(value: str) -> str:
    return re.sub(r"\\([stnr\\])", lambda found: ESCAPES[found[1]], value)


def number(text: str) -> int | None:
    """
    A number as NetworkManager reads it; ``None`` if it is none.

    text
        Its digits.
    """
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    if not re.fullmatch(r"[0-9]+", text):
        return None
    return int(text, 8) if re.fullmatch(r"0[0-7]+", text) else int(text)


def truth(text: str) -> bool:
    """
    Whether a switch is on.

    text
        Its value.
    """
    return text.strip().lower() in ("true", "1", "yes")


def addresses(profile: Profile) -> list[Address]:
    """
    The IPv6 addresses of a connection, in its order.

    profile
        The connection.

    What is none is left out, as NetworkManager does.
    """
    result = []
    for entry in _numbered(profile, "address", "addresses"):
        host, length, beside, *_ = [*_fields(entry.value), "", "", ""]
        found = _interface(host, length or "64")
        if found:
            result.append(Address(str(found), address(beside), entry))
    return result


def routes(profile: Profile) -> list[Route]:
    """
    The IPv6 routes of a connection, in its order; the one that its gateway stands for is not among them.

    profile
        The connection.
    """
    result = []
    for entry in _numbered(profile, "route", "routes"):
        fields = _fields(entry.value)
        destination, length, hop, metric, *_ = [*fields, "", "", ""]
        if len([each for each in fields if each]) == 3 and number(hop) is not None:
            hop, metric = "", hop  # as 0.9 wrote it
        found = _interface(destination, length or "128")
        if found:
            options = dict(_pairs(profile.value(IPV6, f"{entry.key}_options")))
            result.append(Route(str(found.network), address(hop), number(metric), options, entry))
    return result


def gateway(profile: Profile) -> str:
    """
    The IPv6 gateway of a connection; empty if it has none, or may have none.

    profile
        The connection.
    """
    if truth(profile.value(IPV6, "never-default")):
        return ""
    beside = [each.gateway for each in addresses(profile) if each.gateway]
    return address(profile.value(IPV6, "gateway")) or (beside[0] if beside else "")


def _numbered(profile: Profile, *names: str) -> list[Entry]:
    """The entries ``address``, ``address1``, ``addresses1`` and so on, by their numbers."""
    found = []
    for entry in profile.entries:
        for rank, name in enumerate(names):
            match = re.fullmatch(rf"{name}(0|[1-9][0-9]*)?", entry.key)
            if match and entry.section == IPV6:
                found.append((int(match[1] or -1), rank, entry))
    return [entry for _, _, entry in sorted(found, key=lambda each: each[:2])]


def _fields(value: str) -> list[str]:
    """An address, the length of its prefix, and what follows; as old files have it, the length may be left out."""
    host, *rest = [each.strip() for each in re.split(r"[/;,]", value)]
    return [host, *rest] if not rest or number(rest[0]) is not None or not rest[0] else [host, "", *rest]


def _pairs(options: str) -> Iterator[tuple[str, str]]:
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key.strip():
            yield key.strip(), value.strip()


def _interface(host: str, length: str) -> ipaddress.IPv6Interface | None:
    try:
        return ipaddress.IPv6Interface(f"{host}/{length}")
    except ValueError:
        return None


def address(text: str) -> str:
    """
    An IPv6 address in its canonical form; empty if it is none, or stands for none.

    text
        As it was written.
    """
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    return "" if found.is_unspecified else str(found)


def peers(profile: Profile) -> list[Entry]:
    """
    Where the peers of a WireGuard connection are: address and port.

    profile
        The connection.
    """
    return [each for each in profile.entries if each.section.startswith(PEER) and each.key == "endpoint"]
