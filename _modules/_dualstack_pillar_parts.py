"""
The parts of the pillar without a wing of their own: kernel parameters, the proof, names that differ on this host.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator
from typing import Any

import _dualstack_pillar_advertised as pillar_advertised
import _dualstack_service_place as service_place
import _dualstack_words as words

LISTENERS = "net.ipv6.bindv6only"
PARAMETER = r"[a-z0-9_]+(\.[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)+"  # a slash stands for a dot in a name
LONGEST = 150  # characters of a parameter's name that map.jinja accepts
# Folders whose files all exist from the start, and those with one file for each interface.
FIXED = re.compile(r"/proc/sys(/net/(core|ipv4|ipv6)(/(conf|neigh)/[^/]+|/icmp|/route)?)?")
INTERFACES = re.compile(r"/proc/sys/net/ipv[46]/(conf|neigh)")
PACKAGES = ("wireguard", "ifupdown", "netaddr", "dnspython", "lexicon")
PACKAGE_LISTS = ("tunnel", "firewall", "sets")
PACKAGE = r"[a-z0-9][a-z0-9+.-]{1,100}"
SERVICE = r"[A-Za-z0-9][A-Za-z0-9@._:+-]{0,254}"
MINION = r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,254}"


def sysctl_errors(parameters: dict[Any, Any]) -> Iterator[str]:
    """
    The errors in kernel parameters, as far as this can be checked without the host.

    parameters
        The part ``sysctl``.

    Yields sentences that begin with the key.
    """
    for key, value in parameters.items():
        if len(key) > LONGEST:
            yield f"{key}: not the name of a kernel parameter, which has at most {LONGEST} characters"
        elif not re.fullmatch(PARAMETER, key):
            dots = key.replace("/", ".")
            better = f"; expected {dots}" if re.fullmatch(PARAMETER, dots) else f", as in {LISTENERS}"
            yield f"{key}: not the name of a kernel parameter{better}"
        elif key == LISTENERS:
            if isinstance(value, bool) or value not in (0, 1) or not isinstance(value, int):
                yield f"{key}: {value!r} is not 0 or 1" + (", without quotes" if value in ("0", "1") else "")
        elif isinstance(value, bool) or not isinstance(value, (int, str)):
            yield f"{key}: {value!r} is not a number or a text; true and false are written 1 and 0"
        elif not re.fullmatch(r"\S+([ \t]+\S+)*", str(value)):
            yield f"{key}: {value!r} is not a value in one line, without blanks at its ends"
        elif not str(value).isascii():  # map.jinja takes no other
            yield f"{key}: {value!r} has characters that are not ASCII"
    yield from (f"{key}: {said}" for key, said in pillar_advertised.together(parameters))


def not_there(key: str) -> str:
    """
    Why a kernel parameter does not exist on this host; empty for one that may come with a module or an interface.

    key
        The parameter's name.
    """
    folder = "/proc/sys"
    for part in key.translate(str.maketrans("./", "/.")).split("/"):
        path = f"{folder}/{part}"
        if not os.path.exists(path):
            near = [] if INTERFACES.fullmatch(folder) else difflib.get_close_matches(part, os.listdir(folder), 1, 0.75)
            if not near and not FIXED.fullmatch(folder):
                return ""
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"there is no {part!r} in {folder}{hint}"
        folder = path
    return "this is not a parameter, but a group of them" if os.path.isdir(folder) else ""


def verify_errors(verify: dict[str, Any]) -> Iterator[str]:
    """
    The errors in the part ``verify``.

    verify
        The part.

    Yields sentences that begin with the key.
    """
    known = ("beyond", "prober", "public_ipv4")
    for key, value in verify.items():
        if key not in known:
            yield f"{key}: {words.unknown(key, known)}"
        elif key == "prober" and not (isinstance(value, str) and re.fullmatch(MINION, value)):
            yield f"prober: {value!r} is not the id of one minion, without blanks and patterns"
        elif key == "public_ipv4":
            yield from (f"public_ipv4: {each}" for each in _public_ipv4_errors(value))
        elif key == "beyond" and not isinstance(value, list):
            yield f"beyond: expected a list of IPv6 addresses, found {value!r}"
        elif key == "beyond":
            yield from (f"beyond{each}" for each in _beyond_errors(value))


def _public_ipv4_errors(value: Any) -> Iterator[str]:
    try:
        address = ipaddress.IPv4Address(value if isinstance(value, str) else repr(value))
    except ValueError:
        yield f"{value!r} is not an IPv4 address"
        return
    nobody = address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved
    if nobody or service_place.private(value):
        yield f"{value} is not a public IPv4 address, by which hosts of other networks reach this one"


def _beyond_errors(addresses: list[Any]) -> Iterator[str]:
    seen = []
    for index, each in enumerate(addresses):
        try:
            address = ipaddress.IPv6Address(each if isinstance(each, str) else repr(each))
        except ValueError:
            yield f"[{index}]: {each!r} is not an IPv6 address"
            continue
        if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local:
            yield f"[{index}]: {each!r} is not a global IPv6 unicast address"
        elif address.ipv4_mapped or address.scope_id:
            yield f"[{index}]: {each!r} is not a global IPv6 unicast address"
        elif address in seen:
            yield f"[{index}]: {each!r} is given twice"
        seen.append(address)


def name_errors(names: Any) -> Iterator[str]:
    """
    The errors in ``sysctl_except``.

    names
        A list of services.

    Yields sentences that begin with the place in the list.
    """
    if not isinstance(names, list):
        yield f": expected a list of services, found {names!r}"
        return
    for index, each in enumerate(names):
        if not isinstance(each, str) or not re.fullmatch(SERVICE, each):
            yield f"[{index}]: {each!r} is not the name of a service; expected a list of services, such as [vsftpd]"
        elif each in names[:index]:
            yield f"[{index}]: {each!r} is given twice"


def lookup_errors(lookup: dict[str, Any]) -> Iterator[str]:
    """
    The errors in ``lookup``.

    lookup
        The part.

    Yields sentences that begin with the key.
    """
    for key in lookup:
        if key not in ("sysctl_file", "packages"):
            yield f"{key}: {words.unknown(key, ('sysctl_file', 'packages'))}"
    file = lookup.get("sysctl_file", "/etc/sysctl.conf")
    if not isinstance(file, str) or not re.fullmatch(
        r"/etc/sysctl\.conf|/etc/sysctl\.d/[A-Za-z0-9_-][\w.-]*\.conf", file
    ):
        yield f"sysctl_file: {file!r} is not a file that is read at boot; expected for example /etc/sysctl.d/local.conf"
    packages = lookup.get("packages", {})
    if not isinstance(packages, dict):
        yield f"packages: expected a mapping of names of packages, found {packages!r}"
        return
    for key, value in packages.items():
        names = value if key in PACKAGE_LISTS else [value]
        if key not in (*PACKAGE_LISTS, *PACKAGES):
            yield f"packages:{key}: {words.unknown(key, (*PACKAGE_LISTS, *PACKAGES))}"
        elif not isinstance(names, list) or not names:
            yield f"packages:{key}: expected a list of packages, found {value!r}"
        elif not all(isinstance(each, str) and re.fullmatch(PACKAGE, each) for each in names):
            yield f"packages:{key}: {value!r} is not the name of a package, as in Debian"
