"""
What may be written in the pillar ``ipv6:dns``, value by value.

Each function returns the value in its canonical form, or raises ``ValueError`` with the error.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

try:
    import idna
except ImportError:  # as in salt-ssh's thin Python; Salt's own has it, by `requests`
    idna = None  # type: ignore[assignment]

NAMES = "a list of host names"
PORT = 53
GLOBAL = ipaddress.IPv6Network("2000::/3")  # RFC 4291, section 2.4; and 2.6.1 for the address of a prefix itself
LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"  # RFC 1123, section 2.1


LENGTH = 253  # of a name, without the dot at the end
# IDNA 2003, all that Python itself has, makes other names of these: ß, ς, and the two joiners.
AMBIGUOUS = "\u00df\u03c2\u200c\u200d"


def canonical(name: str) -> str:
    """
    A name as it is compared: in lower case, without the dot at the end, an internationalised one in its ASCII form.

    name
        A host name, or the name of a zone.
    """
    try:
        return _ascii(name)
    except ValueError:
        return name.lower().removesuffix(".")


def _ascii(name: str) -> str:
    """
    The same, by :rfc:`5891` and the mapping of UTS 46; ``ValueError`` where a name has no such form.

    What is ASCII already is not judged: there are registered names that IDNA 2008 no longer allows.
    """
    if name.isascii():
        return name.lower().removesuffix(".")
    if len(name) > LENGTH + 1:  # the ASCII form is never shorter
        raise ValueError("it is too long")
    if idna is not None:
        found: bytes = idna.encode(name, uts46=True)
    elif any(each in name for each in AMBIGUOUS):
        raise ValueError(
            "this Python has no package idna; write the name in its ASCII form, as in xn--bcher-kva.example"
        )
    else:
        found = name.encode("idna")
    return found.decode("ascii").lower().removesuffix(".")


def shown(name: str) -> str:
    """
    A name as a user reads it: an internationalised one in both forms.

    name
        A name in canonical form.

    Returns for example ``bücher.example (xn--bcher-kva.example)``.
    """
    if not re.search(r"(^|\.)xn--", name):
        return name
    try:
        text = str(idna.decode(name) if idna is not None else name.encode("ascii").decode("idna"))
    except ValueError:
        return name
    return f"{text} ({name})"


def spelt(text: str) -> str:
    """
    A text in which each internationalised name is shown in both forms.

    text
        A text with names in canonical form.
    """
    return re.sub(rf"(?<![\w.(-])(?:{LABEL}\.)*xn--[a-z0-9-]+(?:\.{LABEL})*", lambda found: shown(found[0]), text)


def is_host_name(value: Any) -> bool:
    """
    Whether something is the name of a host, with its domain.

    value
        Anything.
    """
    if not isinstance(value, str):
        return False
    name = canonical(value)
    return len(name) <= LENGTH and bool(re.fullmatch(rf"({LABEL}\.)+(?!\d+$){LABEL}", name))


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
            raise ValueError(f"{each!r} is not a host name with its domain, as in www.example.org{_reason(each)}")
    found = [canonical(each) for each in value]
    for name in found:
        if found.count(name) > 1:
            raise ValueError(f"{name!r} is listed twice")
    return found


def _reason(value: Any) -> str:
    """Why an internationalised name is none, if that is so."""
    try:
        _ascii(value if isinstance(value, str) else "")
    except ValueError as error:
        return f" ({error})"
    return ""


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
    if found.scope_id or found not in GLOBAL:  # loopback, link, fc00::/7 and the like: nobody else comes by them
        raise ValueError(f"{value!r} is not a global IPv6 unicast address")
    if not int(found) % 2**64:
        raise ValueError(
            f"{value!r} is a prefix, and as an address that of any of its routers; expected an address of this host, "
            f"such as {found}1"
        )
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


def runs(value: Any) -> int:
    """
    A number of runs.

    value
        Anything.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise ValueError(f"{value!r} is not a whole number of runs from 1 to 1000")
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
