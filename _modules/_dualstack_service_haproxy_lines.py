"""
What HAProxy makes of the addresses of a line, and the edits that give one its counterpart. PURE: never accesses the
host.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import _dualstack_service_addresses as service_addresses
import _dualstack_service_haproxy as service_haproxy
from salt.exceptions import SaltInvocationError

SINGLE = "one address: left alone"


def edits(statement: dict[str, Any], covered: set[tuple]) -> list[tuple[int, int, str]]:
    """
    The changes to one line, as spans of the file and what replaces them.

    statement
        A line.
    covered
        All addresses that wildcards of any line are on, each with its socket.

    Raises ``SaltInvocationError`` where the line cannot say it.
    """
    result = []
    for item in wildcards(statement):
        shared = [(other(item), *socket) in covered for socket in sockets(statement, item)]
        if any(shared) and not all(shared):
            raise SaltInvocationError(
                f"{place(statement, item)}: another line has some of the ports of `{item['text']}` "
                "in the other family; write a line of its own for those"
            )
        if not any(shared):
            result.append(_twin(statement, item))
    if result and statement["single"]:
        raise SaltInvocationError(
            f"{place(statement)}: `id` allows one address only; take it away, or write :::PORT v4v6 in the place of "
            "the address"
        )
    # After the counterparts: insertions at the same place keep this order.
    if result or any(item["address"] == "::" for item in wildcards(statement)):
        result += _v6only_edits(statement)
    if result and statement["keyword"] not in ("bind", "dgram-bind"):
        raise SaltInvocationError(
            f"{place(statement)}: an address on a `{statement['keyword']}` line has no place for v6only; "
            "move it to a `bind` line of its own"
        )
    return result


def _twin(statement: dict[str, Any], item: dict[str, Any]) -> tuple[int, int, str]:
    """The same port of the other family, after a wildcard and within its quotes."""
    port = item["text"].rpartition(":")[2]
    last = item["spots"][-1]
    # After the first character of an escape is the middle of it.
    if statement["text"][last - statement["offset"]] != port[-1]:
        raise SaltInvocationError(f"{place(statement, item)}: write the port of `{item['text']}` without escapes")
    if item["address"] == "0.0.0.0":
        return last + 1, last + 1, f",{item['prefix'].replace('4@', '6@')}:::{port}"
    return last + 1, last + 1, f",{item['prefix'].replace('6@', '4@')}*:{port}"


def _v6only_edits(statement: dict[str, Any]) -> list[tuple[int, int, str]]:
    """The changes that bring ``v6only`` into force, for the whole line."""
    flags = statement["flags"]
    if "v6only" in flags:
        return []
    for item in statement["items"]:
        if reason(statement, item) and _heeds_v6only(item):
            raise SaltInvocationError(
                f"{place(statement, item)}: the line needs v6only, which could take IPv4 from `{item['text']}`; "
                "write a line of its own for that"
            )
    if "v4v6" in flags:
        return [(*flags["v4v6"], "v6only")]
    return [(statement["end"], statement["end"], " v6only")]


def _heeds_v6only(item: dict[str, Any]) -> bool:
    """Whether ``v6only`` could change what an address that is left alone serves."""
    if item["transport"] == "unix" or item["family"] in service_haproxy.INHERITED:
        return False
    host, colon, _ = item["text"].rpartition(":")
    # The value of a variable is unknown, unless it is only the port.
    if "$" in item["text"] and ("$" in host or not colon):
        return True
    return item["address"] == "::" or _is_mapped(item["address"])


def also(item: dict[str, Any], address: str) -> tuple[int, int, str]:
    """
    The same port on another address, behind the first one and within its quotes.

    item
        The first one.
    address
        The other one, of IPv6.
    """
    last = item["spots"][-1] + 1
    return last, last, f",{item['prefix'].replace('4@', '6@')}[{address}]:{item['text'].rpartition(':')[2]}"


def serves_both(statement: dict[str, Any], covered: set[tuple]) -> bool:
    """
    Whether ``v4v6`` is in force, meets no IPv4 address of its port, and no address lacks its counterpart.

    statement
        A line.
    covered
        All addresses that wildcards of any line are on, each with its socket.
    """
    found = wildcards(statement)
    return any(v6only(statement, item) is False for item in found) and all(
        # ``::`` must not have a counterpart, ``*`` must have one.
        ((other(item), *socket) in covered) == (item["address"] == "0.0.0.0")
        for item in found
        for socket in sockets(statement, item)
    )


def place(statement: dict[str, Any], item: dict[str, Any] | None = None) -> str:
    """
    Where a line stands, or an address in it.

    statement
        The line.
    item
        The address.
    """
    place = f"{statement['path']}:{statement['line']}"
    return f"{place}:{item['spots'][0] - statement['offset'] + 1}" if item else place


def v6only(statement: dict[str, Any], item: dict[str, Any]) -> bool | None:
    """
    What IPV6_V6ONLY is set to; ``None`` if it is not.

    statement
        A line.
    item
        An address of it.
    """
    if ":" not in item["address"]:
        return None
    return True if "v6only" in statement["flags"] else False if "v4v6" in statement["flags"] else None


def protocol(statement: dict[str, Any], item: dict[str, Any], port: int | None) -> str:
    """
    What is spoken there, as the probe calls it. Empty for datagrams, and where only the port says it: what is passed
    on through a port of the web.

    statement
        A line.
    item
        An address of it.
    port
        A port of that.
    """
    proxy = statement["section"].get("keyword") in ("frontend", "listen")
    if item["transport"] != "tcp":
        return ""
    if proxy and statement["section"]["mode"] == "http":
        return "https" if statement["ssl"] else "http"
    if proxy and port in (80, 443):
        return ""
    return "tls" if statement["ssl"] else "tcp"


def wildcards(statement: dict[str, Any]) -> list[dict[str, Any]]:
    """
    The addresses of a statement that are to serve both families.

    statement
        A line.
    """
    return [item for item in statement["items"] if not reason(statement, item)]


def other(item: dict[str, Any]) -> str:
    """
    The wildcard of the other family.

    item
        A wildcard.
    """
    return "::" if item["address"] == "0.0.0.0" else "0.0.0.0"


def sockets(statement: dict[str, Any], item: dict[str, Any]) -> list[tuple]:
    """
    What two sockets have to share to collide: those bound to different interfaces do not.

    statement
        A line.
    item
        An address of it.
    """
    return [(item["transport"], port, *statement["scope"]) for port in item["ports"]]


def reason(statement: dict[str, Any], item: dict[str, Any]) -> str:
    """
    Why an address is left alone; empty for a wildcard that is not.

    statement
        A line.
    item
        An address of it.
    """
    if item["transport"] == "unix":
        return "a Unix socket: left alone"
    if item["family"] in service_haproxy.INHERITED:
        return "a socket that is inherited: cannot decide"
    if "$" in item["text"]:
        return "a variable: cannot decide"
    if not item["ports"]:
        return "no port that HAProxy knows: left alone"
    if statement["section"]["disabled"]:
        return "a disabled section: nothing listens"
    if statement["keyword"] == "stats":
        return "the administrator's socket: left alone"
    if item["family"].startswith("quic"):
        return "QUIC: left alone"
    if _is_mapped(item["address"]):
        return "an IPv4 address in the form of IPv6: serves IPv4 only, left alone"
    return service_addresses.why_alone(item["address"], single=SINGLE.partition(":")[0])


def _is_mapped(address: str) -> bool:
    try:
        return ipaddress.IPv6Address(address).ipv4_mapped is not None
    except ValueError:
        return False
