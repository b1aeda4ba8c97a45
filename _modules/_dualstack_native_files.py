"""
What the files of a network stack say about the IPv6 of an interface, against what is declared: what they lack, and what
contradicts it. PURE: never accesses the host.

The plug-ins of the stacks read *facts* in their own files, each a dictionary: an ``address`` with its prefix length or
a ``gateway``, empty for the other; ``place``, as in ``/etc/network/interfaces, line 7``; and whether the file is
``ours``. It may have more: the ``metric`` of a route, whether an address is ``deprecated``; or it is a line that is not
understood, whose text is ``unclear``. What others' files have is not written a second time. Their other addresses are
no concern of ours.
"""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import _dualstack_native_hooks as native_hooks
from salt.exceptions import CommandExecutionError

MARK = "# Managed by Salt (ipv6.native)"
HEADER = f"{MARK}. Changes here are overwritten: they belong in the pillar, ipv6:native.\n"
LINKS, DEVICES = "/run/systemd/netif/links/", "/run/NetworkManager/devices/"
KEYFILES = "/run/NetworkManager/system-connections/netplan-"
DEFAULT = "default"

Fact = dict[str, Any]


def fact(
    place: str, ours: bool, address: str = "", gateway: str = "", metric: int | None = None, deprecated: bool = False
) -> list[Fact]:
    """
    A fact, if it is one of IPv6; else nothing.

    place
        Where it stands.
    ours
        Whether the file is.
    address, gateway
        As the file has them; the interface behind a gateway, as in ``fe80::1%eth0``, is left out.
    metric
        Of the gateway's route; ``None`` if it is not known.
    deprecated
        Whether the address is.
    """
    try:
        found = str(ipaddress.IPv6Interface(address)) if address else ""
        router = str(ipaddress.IPv6Address(gateway.partition("%")[0])) if gateway else ""
    except ValueError:
        return []
    if not found and not router:
        return []
    more = {"deprecated": deprecated} if found else {"metric": metric}
    return [{"address": found, "gateway": router, "place": place, "ours": ours, **more}]


def unclear(place: str, ours: bool, text: str) -> list[Fact]:
    """
    A line of somebody else's that is not understood.

    place, ours
        As for :py:func:`fact`.
    text
        The line.
    """
    return [] if ours else [{"address": "", "gateway": "", "place": place, "ours": False, "unclear": text}]


def lacking(native: Mapping[str, Any], facts: Iterable[Fact]) -> dict[str, Any]:
    """
    What is left for a file of our own, beside those of others.

    native
        In canonical form.
    facts
        From the plug-in.

    Returns the part with the ``addresses`` that no other file has, and with ``gateway`` empty if one has it, with the
    declared metric if there is one. Raises ``CommandExecutionError`` for every line of another file that contradicts
    it, or may add a second time what is left.
    """
    theirs = [each for each in facts if not each["ours"]]
    hosts = {each.partition("/")[0]: each for each in native["addresses"]}
    problems, held = [], []
    for each in theirs:
        address, gateway = each["address"], each["gateway"]
        declared = hosts.get(address.partition("/")[0])
        if address and declared == address:
            held.append(address)
        elif declared is not None:
            key = "address" if declared == native["address"] else "addresses"
            problems.append(_said(key, address, each, declared))
        if gateway and gateway != native["gateway"]:
            problems.append(_said("gateway", gateway, each, native["gateway"]))
    routed = any(
        each["gateway"] and native["metric"] in (None, each.get("metric") or native["metric"]) for each in theirs
    )
    left = [each for each in native["addresses"] if each not in held]
    result = {**native, "addresses": left, "gateway": "" if routed else native["gateway"]}
    problems += [line for each in theirs if each.get("unclear") for line in _unclear(each, result)]
    if problems:
        raise CommandExecutionError("\n".join(dict.fromkeys(problems)))
    return result


def only_ours(facts: Iterable[Fact]) -> list[Fact]:
    """
    What a file of our own has, and no other one: of a gateway's routes, each metric is another one.

    facts
        From the plug-in.
    """
    facts = list(facts)
    theirs = [each for each in facts if not each["ours"]]
    return [
        each
        for each in facts
        if each["ours"]
        and not any(
            (other["address"], other["gateway"]) == (each["address"], each["gateway"])
            and (each["address"] or other.get("metric") in (None, each.get("metric")))
            for other in theirs
        )
    ]


def _unclear(where: Fact, left: Mapping[str, Any]) -> list[str]:
    """ifup(8) fails at what is there already, and leaves the interface without what would come after."""
    name, text = left["interface"], where["unclear"]
    lines = {each: f"ip -6 addr replace {each} dev {name}" for each in left["addresses"]}
    found = [each for each in lines if native_hooks.may_add(text, each.partition("/")[0])]
    said = [
        _may(where, "address" if each == left["address"] else "addresses", f"the address {each}", lines[each])
        for each in found
    ]
    if left["gateway"] and native_hooks.may_route(text):
        line = f"ip -6 route replace default via {left['gateway']} dev {name}"
        said.append(_may(where, "gateway", "an IPv6 default route", line))
    return said


def _may(where: Fact, key: str, thing: str, line: str) -> str:
    return (
        f"{key}: {where['place']} seems to add {thing}, in a way that is not understood here; if it does, write "
        f"'{line}' there instead, or else take {'the route' if key == 'gateway' else 'the address'} out of that line"
    )


def _said(key: str, found: str, where: Fact, has: str) -> str:
    return (
        f"{key}: {found} in {where['place']}, and the pillar has {has}: write it into ipv6:native:{key}, or take that "
        "line away"
    )


def undeprecated(native: Mapping[str, Any], facts: Iterable[Fact]) -> list[str]:
    """
    What others' files have of the addresses, and say otherwise about the source of connections: sentences.

    native
        In canonical form.
    facts
        From the plug-in.
    """
    said = []
    for each in facts:
        address = each["address"]
        if each["ours"] or address not in native["addresses"] or native["source"] is None:
            continue
        if each.get("deprecated", deprecated(native, address)) != deprecated(native, address):
            state = "deprecated" if each["deprecated"] else "not deprecated"
            said.append(
                f"source: {address} is {state} in {each['place']}: from a boot on until the next run, connections may "
                f"come from another address than {native['source']}"
            )
    return said


def is_default(destination: str) -> bool:
    """
    Whether a route's destination is all of IPv6, or all of the gateway's family.

    destination
        As a file has it.
    """
    try:
        return destination == DEFAULT or ipaddress.IPv6Network(destination, strict=False).prefixlen == 0
    except ValueError:
        return False


def nothing(native: Mapping[str, Any]) -> dict[str, Any]:
    """
    The part for which there is no file of our own.

    native
        In canonical form.
    """
    return {**native, "addresses": [], "gateway": ""}


def is_empty(native: Mapping[str, Any]) -> bool:
    """
    Whether there is nothing to write.

    native
        From :py:func:`lacking` or :py:func:`nothing`.
    """
    return not native["addresses"] and not native["gateway"]


def own(path: str, text: str | None, host: Mapping[str, str]) -> dict[str, str | None]:
    """
    The change of a file of our own.

    path
        The file.
    text
        What is to be in it; ``None`` for nothing.
    host
        The texts of the host's files, by path.

    Raises ``CommandExecutionError`` where somebody else has a file of this name.
    """
    if path in host and not host[path].startswith(MARK):
        if text is None:
            return {}
        raise CommandExecutionError(f"{path} is not managed by ipv6.native, which would write there; rename it")
    return {path: text} if text is not None or path in host else {}


def deprecated(native: Mapping[str, Any], address: str) -> bool:
    """
    Whether an address is not to be the source of connections.

    native
        In canonical form.
    address
        One of its addresses.
    """
    return native["source"] is not None and address.partition("/")[0] != native["source"]


def assigned(text: str) -> dict[str, str]:
    """
    The assignments of a file of evidence.

    text
        Its content.
    """
    return dict(line.partition("=")[::2] for line in text.splitlines())


def network_file(native: Mapping[str, Any], host: Mapping[str, str]) -> str:
    """
    The ``.network`` file by which systemd-networkd has an interface; empty if it has it by none.

    native
        With its ``index``.
    host
        The texts of the host's files and of the evidence, by path.
    """
    return assigned(host.get(f"{LINKS}{native['index']}", "")).get("NETWORK_FILE", "")


def ignoring(native: Mapping[str, Any], host: Mapping[str, str]) -> bool:
    """
    Whether netplan has NetworkManager leave the IPv6 of an interface to the kernel.

    native
        With its ``interface``.
    host
        The texts of the host's files and of the evidence, by path.
    """
    rendered = [text.splitlines() for path, text in host.items() if path.startswith(KEYFILES)]
    return any({f"interface-name={native['interface']}", "method=ignore"} <= set(lines) for lines in rendered)


def sharing(native: Mapping[str, Any], host: Mapping[str, str]) -> list[str]:
    """
    The indexes of other interfaces that systemd-networkd has by the same file.

    native, host
        As for :py:func:`network_file`.
    """
    file = network_file(native, host)
    others = {path: text for path, text in host.items() if posixpath.dirname(path) == LINKS.rstrip("/")}
    return sorted(
        posixpath.basename(path)
        for path, text in others.items()
        if path != f"{LINKS}{native['index']}" and assigned(text).get("NETWORK_FILE") == file
    )


def by_hand(stack: str, native: Mapping[str, Any], path: str, lines: Sequence[str]) -> CommandExecutionError:
    """
    The refusal of a stack whose files are not written here: it says what to write.

    stack
        Its name.
    native
        From :py:func:`lacking`.
    path
        The file that has the interface; or what kind of file would.
    lines
        What is to be in it.
    """
    said = ", ".join(f"'{each}'" for each in lines)
    return CommandExecutionError(
        f"stack: {stack} has {native['interface']}, and its files are not written by ipv6.native; write into {path}: "
        f"{said}. Then this state verifies it"
    )
