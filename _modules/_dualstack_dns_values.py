"""
What may be written in the pillar ``ipv6:dns``, value by value.

Each function returns the value in its canonical form, or raises ``ValueError`` with the error.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

NAMES = "a list of host names"
PORT = 53
LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"  # RFC 1123, section 2.1


def canonical(name: str) -> str:
    """
    A name as it is compared: in lower case, without the dot at the end.

    name
        A host name, or the name of a zone.
    """
    return name.lower().removesuffix(".")


def is_host_name(value: Any) -> bool:
    """
    Whether something is the name of a host, with its domain.

    value
        Anything.
    """
    if not isinstance(value, str):
        return False
    name = canonical(value)
    return len(name) <= 253 and bool(re.fullmatch(rf"({LABEL}\.)+(?!\d+$){LABEL}", name))


def is_zone(value: Any) -> bool:
    """
    Whether something is the name of a zone.

    value
        Anything.
    """
    return isinstance(value, str) and bool(re.fullmatch(rf"{LABEL}(\.{LABEL})*", canonical(value)))


def names(value: Any) -> list[str]:
    """
    A list of host names.

    value
        Anything.
    """
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected {NAMES}, such as [www.example.org], found {value!r}")
    for each in value:
        if not is_host_name(each):
            raise ValueError(f"{each!r} is not a host name with its domain, as in www.example.org")
    found = [canonical(each) for each in value]
    for name in found:
        if found.count(name) > 1:
            raise ValueError(f"{name!r} is listed twice")
    return found


def address(value: Any) -> str:
    """
    An address that can be published.

    value
        Anything.
    """
    try:
        found = ipaddress.IPv6Address(value if isinstance(value, str) else repr(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv6 address; expected one without a prefix length") from None
    unfit = (found.is_multicast, found.is_loopback, found.is_unspecified, found.is_link_local)
    if any(unfit) or found.ipv4_mapped or found.scope_id:
        raise ValueError(f"{value!r} is not a global IPv6 unicast address")
    return str(found)


def server(value: Any) -> tuple[str, int]:
    """
    A name server: its address and its port.

    value
        ``address`` or ``address#port``, or anything else.
    """
    host, mark, port = value.partition("#") if isinstance(value, str) else ("", "", "")
    try:
        found = str(ipaddress.ip_address(host))
    except ValueError:
        found = ""
    if not found or (mark and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536)):
        raise ValueError(f"{value!r} is not the address of a name server, such as 192.0.2.53 or 192.0.2.53#5353")
    return found, int(port or PORT)


def servers(value: Any) -> list[str]:
    """
    A list of name servers.

    value
        Anything.
    """
    if not isinstance(value, list):
        raise ValueError(f"expected a list of addresses, found {value!r}")
    for each in value:
        server(each)
    return value


def ttl(value: Any) -> int:
    """
    How long a record may be kept in caches, in seconds.

    value
        Anything.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:  # RFC 2181, section 8
        raise ValueError(f"{value!r} is not a whole number of seconds from 0 to 2147483647")
    return value


def deadline(value: Any) -> float:
    """
    A time in seconds.

    value
        Anything.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 3600:
        raise ValueError(f"{value!r} is not a number of seconds up to 3600")
    return value


def truth(value: Any) -> bool:
    """
    True or false.

    value
        Anything.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def kind(value: Any) -> str:
    """
    The type of a value that may itself be secret.

    value
        Anything.
    """
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
