"""
The pillar ``ipv6`` as a whole, checked before anything is changed; and this host at a glance.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __grains__: dict[str, Any] = {}

__virtualname__ = "ipv6"

PARTS = {
    "tunnel": "the tunnel's numbers",
    "firewall": "the firewall's tables",
    "sysctl": "kernel parameters",
    "services": "services",
    "verify": "what proves that IPv6 works",
    "dns": "where the AAAA records are published",
}
MAPPINGS = {**PARTS, "lookup": "what is called otherwise on this host"}
VALIDATORS = {
    "tunnel": "he_tunnel.errors",
    "firewall": "dualstack_ruleset.errors",
    "services": "service_listen.errors",
    "dns": "aaaa.errors",
}
KEYS = (*PARTS, "sysctl_except", "lookup")
LONGEST = 600  # characters of one sentence

# What an SLS file cannot hold, since it gets lost between JSON and YAML. The same as in merge.jinja.
LOST = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\uffff]")
# Where keys may be whole numbers: ports, and the groups of a chain's rules.
NUMBERED = re.compile(r"ipv6:services:[^:]*:protocols|ipv6:firewall:tables:[^:]*:[^:]*:rules")
EMPTY = re.compile(r"ipv6:services:[^:]*")  # a service without settings
KINDS = {type(None): "nothing", bool: "true or false", int: "a whole number", float: "a number", str: "text"}

LISTENERS = "net.ipv6.bindv6only"
PARAMETER = r"[a-z0-9_]+(\.[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)+"  # a slash stands for a dot in a name
# Folders of which all files are there from the start, and those of which each file is for an interface.
FIXED = re.compile(r"/proc/sys(/net/(core|ipv4|ipv6)(/(conf|neigh)/[^/]+|/icmp|/route)?)?")
INTERFACES = re.compile(r"/proc/sys/net/ipv[46]/(conf|neigh)")
PACKAGES = ("ifupdown", "netaddr", "dnspython", "lexicon")
PACKAGE_LISTS = ("tunnel", "firewall")
PACKAGE = r"[a-z0-9][a-z0-9+.-]{1,100}"
SERVICE = r"[A-Za-z0-9][A-Za-z0-9@._:+-]{0,254}"
MINION = r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,254}"


def errors(pillar: Any) -> list[str]:
    """
    Everything that is wrong with the pillar ``ipv6``, as far as that can be told without a host.

    pillar
        As a user wrote it; it may be anything.

    Returns one sentence for each error, beginning with the key.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.errors '{tunnel: {endpoint: "2001:db8::1"}}'
    """
    if not isinstance(pillar, dict):
        return [_short(f"ipv6: expected a mapping with the parts {', '.join(PARTS)}, found {pillar!r}")]
    problems = []
    wrong = set()
    for key, value in pillar.items():
        found = list(_part_errors(key, value))
        problems += found
        wrong.update([key] if found else [])
    if "dns" in pillar and not wrong & {"tunnel", "dns"}:
        problems += _address_errors(pillar["dns"], pillar.get("tunnel"))
    return [_short(each) for each in problems]


def _part_errors(part: Any, value: Any) -> Iterator[str]:
    path = f"ipv6:{part}"
    if part not in KEYS:
        yield f"{path}: unknown key; {_instead(part, KEYS)}"
    elif part in MAPPINGS and not isinstance(value, dict):
        yield f"{path}: expected a mapping of {MAPPINGS[part]}, found {_kind(value)}"
    elif odd := list(_odd(value, path)):
        yield from odd
    else:
        # Those of whole parts that are lists begin with their place in it, as [0].
        said = [f"{path}{'' if each[0] in ':[' else ':'}{each}" for each in _said(part, value)]
        yield from said
        for place in _empty(value, path):
            if not any(each.startswith(f"{place}:") for each in said):
                yield f"{place}: expected a value, found nothing; leave the key out if none is meant"


def _said(part: str, value: Any) -> list[str]:
    if part in VALIDATORS:
        # What Salt's Python lacks is installed later in the same run.
        return [each for each in __salt__[VALIDATORS[part]](value) if "lacks netaddr" not in each]
    own: dict[str, Callable[[Any], Iterator[str]]] = {
        "sysctl": _sysctl_errors,
        "verify": _verify_errors,
        "sysctl_except": _name_errors,
        "lookup": _lookup_errors,
    }
    return list(own[part](value))


def _odd(value: Any, path: str) -> Iterator[str]:
    """What no validator has to reckon with, and no SLS file can hold. No value is shown: it may be a secret."""
    if isinstance(value, str):
        if lost := LOST.search(value):
            yield f"{path}: expected text that can be printed, found the character U+{ord(lost[0]):04X} in it"
    elif isinstance(value, dict):
        kinds = {type(key) for key in value}
        if kinds == {int} and NUMBERED.fullmatch(path):
            kinds = {str}
        for key, each in value.items():
            if kinds == {str} or isinstance(key, str):
                yield from _odd(str(key), f"{path}:{key}")
            else:
                yield f"{path}:{key}: expected a key that is text, found {_kind(key)}; is it to be in quotes?"
            yield from _odd(each, f"{path}:{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _odd(each, f"{path}[{index}]")
    elif not isinstance(value, (type(None), int, float)):
        yield f"{path}: expected text, a number, a list or a mapping, found {_kind(value)}; is it to be in quotes?"


def _kind(value: Any) -> str:
    """What a value is, without showing it."""
    for kind, name in ((dict, "a mapping"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return KINDS.get(type(value)) or f"a {type(value).__name__}"


def _empty(value: Any, path: str) -> Iterator[str]:
    """The places of which nobody can tell what is meant: a key with nothing behind it."""
    if value is None and not EMPTY.fullmatch(path):
        yield path
    for key, each in value.items() if isinstance(value, dict) else ():
        yield from _empty(each, f"{path}:{key}")
    for index, each in enumerate(value if isinstance(value, list) else ()):
        yield from _empty(each, f"{path}[{index}]")


def _instead(key: Any, known: Any) -> str:
    near = difflib.get_close_matches(str(key)[:LONGEST], known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"


def _short(sentence: str) -> str:
    """A sentence with the end of what was found, which may be of any length, and of what is expected."""
    if len(sentence) <= LONGEST:
        return sentence
    return f"{sentence[: LONGEST // 2]} ... {sentence[-LONGEST // 2 :]}"


def _sysctl_errors(parameters: dict[Any, Any]) -> Iterator[str]:
    for key, value in parameters.items():
        if not re.fullmatch(PARAMETER, key):
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


def _verify_errors(verify: dict[str, Any]) -> Iterator[str]:
    known = ("beyond", "prober")
    for key, value in verify.items():
        if key not in known:
            yield f"{key}: unknown key; {_instead(key, known)}"
        elif key == "prober" and not (isinstance(value, str) and re.fullmatch(MINION, value)):
            yield f"prober: {value!r} is not the id of one minion, without blanks and patterns"
        elif key == "beyond" and not isinstance(value, list):
            yield f"beyond: expected a list of IPv6 addresses, found {value!r}"
        elif key == "beyond":
            yield from (f"beyond{each}" for each in _beyond_errors(value))


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


def _name_errors(names: Any) -> Iterator[str]:
    if not isinstance(names, list):
        yield f": expected a list of services, found {names!r}"
        return
    for index, each in enumerate(names):
        if not isinstance(each, str) or not re.fullmatch(SERVICE, each):
            yield f"[{index}]: {each!r} is not the name of a service; expected a list of services, such as [vsftpd]"
        elif each in names[:index]:
            yield f"[{index}]: {each!r} is given twice"


def _lookup_errors(lookup: dict[str, Any]) -> Iterator[str]:
    for key in lookup:
        if key not in ("sysctl_file", "packages"):
            yield f"{key}: unknown key; {_instead(key, ('sysctl_file', 'packages'))}"
    file = lookup.get("sysctl_file", "/etc/sysctl.conf")
    if not isinstance(file, str) or not re.fullmatch(
        r"/etc/sysctl\.conf|/etc/sysctl\.d/[A-Za-z0-9_-][\w.-]*\.conf", file
    ):
        yield f"sysctl_file: {file!r} is not a file that is read at boot; expected the like of /etc/sysctl.d/local.conf"
    packages = lookup.get("packages", {})
    if not isinstance(packages, dict):
        yield f"packages: expected a mapping of names of packages, found {packages!r}"
        return
    for key, value in packages.items():
        names = value if key in PACKAGE_LISTS else [value]
        if key not in (*PACKAGE_LISTS, *PACKAGES):
            yield f"packages:{key}: unknown key; {_instead(key, (*PACKAGE_LISTS, *PACKAGES))}"
        elif not isinstance(names, list) or not names:
            yield f"packages:{key}: expected a list of packages, found {value!r}"
        elif not all(isinstance(each, str) and re.fullmatch(PACKAGE, each) for each in names):
            yield f"packages:{key}: {value!r} is not the name of a package, as in Debian"


def _address_errors(dns: dict[str, Any], tunnel: dict[str, Any] | None) -> Iterator[str]:
    """What is published has to be what the tunnel brings."""
    address = dns.get("address")
    if tunnel is None:
        if address is None:
            yield "ipv6:dns:address: missing; there is no tunnel whose address could be published"
        return
    held = [ipaddress.IPv6Interface(each).ip for each in [tunnel["address"], *tunnel.get("addresses", [])]]
    if address is not None and ipaddress.IPv6Address(address) not in held:
        yield f"ipv6:dns:address: {address} is none of the tunnel's addresses ({', '.join(map(str, held))})"


def unsupported(
    pillar: Any, supported: dict[str, list[str]], system: str | None = None, release: str | None = None
) -> list[str]:
    """
    Which parts of a pillar this host is not made for.

    pillar
        The pillar ``ipv6``.
    supported
        By the grain ``os`` the first and the last release that are.
    system, release
        The grains ``os`` and ``osrelease`` of another host than this one.

    Returns one sentence for each part that the pillar has.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.unsupported '{sysctl: {}}' '{Debian: ["11", "13"]}'
    """
    system = str(__grains__["os"]) if system is None else system
    release = str(__grains__.get("osrelease", "")) if release is None else release
    first, last = supported.get(system, ("", ""))
    number = _number(release)
    # A major release includes its minor ones: 13 is the last, and so is 13.1.
    if number and first and _number(first) <= number and number[: len(_number(last))] <= _number(last):
        return []
    host = f"{system} {release}" if number else f"{system} without the number of a release (it says {release!r})"
    expected = " or ".join(f"{name} {lowest} to {highest}" for name, (lowest, highest) in supported.items())
    used = [part for part in PARTS if isinstance(pillar, dict) and part in pillar]
    return [f"ipv6:{part} is not supported on {host}; expected {expected}" for part in used]


def _number(release: str) -> list[int]:
    found = re.match(r"\d+(\.\d+)*", release)
    return [int(each) for each in found[0].split(".")] if found else []


def impossible(pillar: dict[str, Any]) -> list[str]:
    """
    What of a pillar in which nothing is wrong this host's kernel does not take.

    pillar
        The pillar ``ipv6``.

    Returns one sentence for each kernel parameter that is not there and will not come, and for the first rule that
    the firewall does not load. Changes nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.impossible '{sysctl: {net.ipv6.bindv6onyl: 1}}'
    """
    problems = [f"ipv6:sysctl:{key}: {said}" for key in pillar.get("sysctl", {}) if (said := _not_there(key))]
    if "firewall" in pillar:
        try:
            __salt__["dualstack_iptables.plan_ruleset"]("ipv6", tunnel=pillar.get("tunnel"), **pillar["firewall"])
        except (SaltException, OSError) as error:
            # What does not name a rule is no fault of the pillar; it is told when the firewall's turn has come.
            problems += [f"ipv6:firewall:{each}" for each in str(error).split("\n") if each.startswith("tables:")]
    return [_short(each) for each in problems]


def _not_there(key: str) -> str:
    """Why a kernel parameter is none of this host; nothing of one that may come with a module or an interface."""
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
    return "this is no parameter, but a group of them" if os.path.isdir(folder) else ""


def report(as_data: bool = False) -> Any:
    """
    This host at a glance: which service listens, is let in, answers and is published, over IPv4 and over IPv6.

    as_data
        ``True`` for programs: the same as plain data, as ``ipv6_report.matrix`` describes it. Else it is a table,
        which wants no ``--out``.

    Changes nothing. What is wrong is in capitals, its line begins with ``!``, and the last line sums it up.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.report
        salt --out=json --static '*' ipv6.report as_data=True
    """
    found = __salt__["ipv6_report.matrix"]()
    return found if as_data else __salt__["ipv6_report.table"](found)
