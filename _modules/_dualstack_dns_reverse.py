"""
Reverse names (:rfc:`3596`, section 2.5): where the PTR record of an address is. PURE: never accesses the host.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import _dualstack_dns_values as dns_values

TOP = "ip6.arpa"
EXAMPLE = "7.8.f.0.3.1.f.1.0.7.4.0.1.0.0.2.ip6.arpa"


def name(address: str) -> str:
    """
    The name of an address.

    address
        An IPv6 address.
    """
    return ipaddress.IPv6Address(address).reverse_pointer


def address(reverse: str) -> str:
    """
    The address of a name.

    reverse
        From :py:func:`name`.
    """
    digits = reverse.removesuffix(f".{TOP}").split(".")
    return str(ipaddress.IPv6Address(int("".join(reversed(digits)), 16)))


def is_name(value: Any) -> bool:
    """
    Whether something is the reverse name of an IPv6 address, in lower case.

    value
        Anything.
    """
    return isinstance(value, str) and bool(re.fullmatch(rf"([0-9a-f]\.){{32}}{re.escape(TOP)}", value))


def zone(value: Any) -> str:
    """
    The name of a reverse zone, in canonical form.

    value
        Anything. Raises ``ValueError`` with the error.
    """
    found = dns_values.canonical(value) if isinstance(value, str) else ""
    if not re.fullmatch(rf"([0-9a-f]\.){{1,32}}{re.escape(TOP)}", found):
        raise ValueError(f"{value!r} is not the name of a reverse zone, such as {EXAMPLE}")
    return found


def contains(reverse_zone: str, reverse: str) -> bool:
    """
    Whether a zone contains a name.

    reverse_zone, reverse
        Both in canonical form.
    """
    return f".{reverse}".endswith(f".{reverse_zone}")


def is_target(value: Any) -> bool:
    """
    Whether something can be what a PTR record says: that of others need not be a host name. None is a command's option.

    value
        Anything.
    """
    return isinstance(value, str) and bool(re.fullmatch(r"(?!-)[!-~]{1,1000}", value))
