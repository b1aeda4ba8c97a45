"""
What a tunnel says about its broker: the tunnel's number there, and where the pillar has the key. PURE: never accesses
the host.

The update key is a secret. A tunnel only names the key of the pillar that holds it (``account``), and
:py:func:`account` reads it there: what goes into plans, comments and changes never has it.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_settings as settings
import _dualstack_words as words
from salt.exceptions import SaltInvocationError

# Hurricane Electric's: the first name leads to IPv4 only, so that the request comes from the address that is meant.
UPDATE = "https://ipv4.tunnelbroker.net/nic/update"
INFO = "https://tunnelbroker.net/tunnelInfo.php"
PINGER = "66.220.2.74"  # from where it pings an address before it accepts it
FILLED = ("endpoint", "address", "gateway")  # what the broker knows as well

# Where nobody of another network comes in: RFC 1918, 6598 (CGNAT), 3927, 1122, 6333.
PRIVATE = tuple(
    map(
        ipaddress.IPv4Network,
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 127.0.0.0/8 192.0.0.0/29".split(),
    )
)


class Account(NamedTuple):
    """What the broker is asked with. Nothing shows the key, not even a traceback with the values of variables."""

    id: str
    update: str  # the URL
    info: str
    ca: str | None
    user: str
    key: str

    def __repr__(self) -> str:
        return f"<account of tunnel {self.id}>"


def _id(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", text):
        raise ValueError(f"{value!r} is not {EXPECTED['id']}")
    return text


def _account(value: Any) -> str:
    if not isinstance(value, str):  # it may be the account itself, with its key
        kind = "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"
        raise ValueError(f"expected {EXPECTED['account']}, found {kind}")
    if not re.fullmatch(r"[^\s:]+(:[^\s:]+)*", value):
        raise ValueError(f"expected {EXPECTED['account']}")
    return value


def _register(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def _broker(value: Any) -> str:
    try:
        parts = urllib.parse.urlsplit(value if isinstance(value, str) else "")
        plain = parts.username is None and not parts.query and not parts.fragment and parts.port != 0
        valid = parts.scheme == "https" and bool(parts.hostname) and plain and not re.search(r"[\s\x00-\x1f]", value)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"expected {EXPECTED['broker']}")
    return value.rstrip("/")


def _ca(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{value!r} is not {EXPECTED['ca']}")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "id": _id,
    "account": _account,
    "register": _register,
    "broker": _broker,
    "ca": _ca,
}
EXPECTED = {
    "id": "the tunnel's number at the broker, as in 123456",
    "account": "the key of the pillar that has the account's user and update_key, such as tunnelbroker",
    "broker": "the https:// URL below which the broker has nic/update, without user, key or query",
    "ca": "the path of a file with the certificates to trust",
}


def wired(tunnel: Mapping[str, Any]) -> bool:
    """
    Whether a tunnel says how its broker is asked.

    tunnel
        As a user wrote it.
    """
    return tunnel.get("id") is not None and tunnel.get("account") is not None


def registers(tunnel: Mapping[str, Any]) -> bool:
    """
    Whether the broker is told this host's address.

    tunnel
        As a user wrote it.
    """
    return wired(tunnel) and tunnel.get("register") is not False


def contradictions(tunnel: Mapping[str, Any]) -> list[str]:
    """
    The errors between these keys.

    tunnel
        As a user wrote it.

    Returns sentences, each beginning with the key.
    """
    given = [key for key in READERS if tunnel.get(key) is not None]
    lacking = [key for key in ("id", "account") if key not in given]
    return [f"{key}: missing beside {given[0]}; expected {EXPECTED[key]}" for key in lacking] if given else []


def pingers(tunnel: Mapping[str, Any]) -> list[str]:
    """
    The IPv4 addresses from which the broker pings this host before it accepts its address; empty where it is not told.

    tunnel
        As a user wrote it.
    """
    endpoint = tunnel.get("endpoint")
    return list(dict.fromkeys([PINGER, *([str(endpoint)] if endpoint else [])])) if wired(tunnel) else []


def public(address: str) -> bool:
    """
    Whether others reach an IPv4 address: it is that of this host for the broker, too.

    address
        The address.
    """
    return not any(ipaddress.IPv4Address(address) in network for network in PRIVATE)


def account_errors(tunnel: Mapping[str, Any], pillar: Mapping[str, Any]) -> list[str]:
    """
    The errors in the account that a tunnel names. No value is shown: it may be a secret.

    tunnel
        Valid.
    pillar
        The whole pillar.

    Returns sentences, each beginning with the key of the pillar.
    """
    key = _account(tunnel["account"])
    found = settings.at(pillar, key)
    if not isinstance(found, Mapping):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        return [f"{key}: expected a mapping with user and update_key in the pillar, found {kind}"]
    problems = [f"{key}:{each}: {words.unknown(each, KEYS)}" for each in found if each not in KEYS]
    for each, expected in KEYS.items():
        value = found.get(each)
        if value is None:
            problems.append(f"{key}:{each}: missing; expected {expected}")
        elif not isinstance(value, str):
            problems.append(f"{key}:{each}: expected {expected}, found a {type(value).__name__}; put it in quotes")
        elif not value or not value.isprintable() or (each == "user" and ":" in value):
            problems.append(f"{key}:{each}: expected {expected}, found text that cannot be one")
    return problems


KEYS = {"user": "the name of the account", "update_key": "the tunnel's update key, from the broker's tab Advanced"}


def account(tunnel: Mapping[str, Any], pillar: Mapping[str, Any]) -> Account:
    """
    What the broker of a tunnel is asked with.

    tunnel
        As a user wrote it.
    pillar
        The whole pillar.

    Raises ``SaltInvocationError`` with everything that is wrong with it.
    """
    problems = []
    read: dict[str, Any] = {}
    for key, reader in READERS.items():
        try:
            read[key] = reader(tunnel[key]) if tunnel.get(key) is not None else None
        except ValueError as error:
            problems.append(f"{key}: {error}")
    problems += [f"{key}: missing; expected {EXPECTED[key]}" for key in ("id", "account") if tunnel.get(key) is None]
    problems += [] if problems else account_errors(tunnel, pillar)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    secret = settings.at(pillar, read["account"])
    base = read["broker"]
    urls = (f"{base}/nic/update", f"{base}/tunnelInfo.php") if base else (UPDATE, INFO)
    return Account(read["id"], *urls, read["ca"], secret["user"], secret["update_key"])


def place(tunnel: Mapping[str, Any]) -> str:
    """
    What identifies a tunnel among those of all brokers.

    tunnel
        As a user wrote it.
    """
    return f"{tunnel.get('broker') or UPDATE} {tunnel.get('id')}"
