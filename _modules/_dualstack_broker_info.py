"""
A tunnel's numbers as its broker has them, and how they differ from what is declared. PURE: never accesses the host.

Source: ``tunnelInfo.php`` of Hurricane Electric, forums.he.net, topic 3109.
"""

from __future__ import annotations

import ipaddress
import re
import xml.parsers.expat
from collections.abc import Mapping
from typing import Any

import _dualstack_broker_answers as broker_answers
import _dualstack_broker_settings as broker_settings
from salt.exceptions import CommandExecutionError

FIELDS = {
    "serverv4": "endpoint",
    "clientv4": "client",
    "serverv6": "gateway",
    "clientv6": "address",
    "routed64": "routed64",
    "routed48": "routed48",
    "description": "description",
    "mtu": "mtu",
}
NEEDED = ("serverv4", "serverv6", "clientv6")
ROUTED = {"routed64": 64, "routed48": 48}  # and their usual prefix lengths
SERVER = re.compile(r"rdns[0-9]+")
MOST = 500  # tunnels; an account has a handful

Numbers = dict[
    str, Any
]  # endpoint, client, gateway, address with its length, routed64, routed48, description, mtu, rdns


def parse(text: str, number: str) -> Numbers:
    """
    The numbers of one tunnel.

    text
        What the broker answers: XML. A document type, with which entities could be declared, is refused.
    number
        The tunnel's id.

    Returns ``endpoint`` and ``client`` (IPv4; ``None`` where the broker has no address of this host), ``gateway``,
    ``address`` (with its prefix length), ``routed64`` and ``routed48`` (``None`` if there is none), ``description``,
    ``mtu`` (``None`` where it does not say), and ``rdns``, the name servers of the reverse zone. Raises
    ``CommandExecutionError`` for anything else.
    """
    tunnels = _tunnels(text)
    raw = tunnels.get(number)
    if raw is None:
        found = ", ".join(list(tunnels)[:20]) or "none"
        raise CommandExecutionError(f"the account has no tunnel {number}; it has: {found}")
    return _numbers(raw)


def _tunnels(text: str) -> dict[str, dict[str, str]]:
    """What is in each tunnel, by its id."""
    found: dict[str, dict[str, str]] = {}
    path: list[str] = []
    values: list[str] = []
    now: dict[str, str] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal now
        path.append(name)
        values.clear()
        if path == ["tunnels", "tunnel"]:
            if len(found) >= MOST:
                raise CommandExecutionError(f"it answers with more than {MOST} tunnels")
            now = found.setdefault(attributes.get("id", "").strip(), {})

    def end(name: str) -> None:
        if len(path) == 3 and path[:2] == ["tunnels", "tunnel"]:
            now[name] = "".join(values).strip()
        path.pop()
        values.clear()

    def refuse(*_: Any) -> None:
        raise CommandExecutionError("its answer declares a document type, which is refused")

    parser = xml.parsers.expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = values.append
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    root = re.match(r"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<([A-Za-z!][^\s>/]*)", text, re.DOTALL)
    if not root or root[3] not in ("tunnels", "!DOCTYPE"):
        raise CommandExecutionError(broker_answers.unknown(text))
    if root[3] == "!DOCTYPE" and re.match(r"(?i)\s*<!doctype\s+html", text):
        raise CommandExecutionError(broker_answers.unknown(text))
    try:
        parser.Parse(text.encode(), True)
    except xml.parsers.expat.ExpatError as error:
        raise CommandExecutionError(f"its answer is broken XML: {error}") from None
    return found


def _numbers(raw: Mapping[str, str]) -> Numbers:
    lacking = [each for each in NEEDED if not raw.get(each)]
    if lacking:
        raise CommandExecutionError(f"its answer lacks {', '.join(lacking)}")
    found: Numbers = {key: raw.get(field) or None for field, key in FIELDS.items()}
    for field, key in FIELDS.items():
        if found[key] is None or key == "description":
            continue
        try:
            found[key] = _read(key, found[key])
        except ValueError:
            raise CommandExecutionError(f"its {field} is {found[key][:80]!r}, which cannot be one") from None
    found["rdns"] = [value for field, value in sorted(raw.items()) if SERVER.fullmatch(field) and value]
    return checked(found)


def _read(key: str, value: str) -> Any:
    host, _, length = value.partition("/")
    if key in ("endpoint", "client"):
        return str(ipaddress.IPv4Address(host))
    if key == "mtu":
        return int(value)
    if key == "gateway":
        return str(ipaddress.IPv6Address(host))
    if key == "address":
        return str(ipaddress.IPv6Interface(f"{host}/{length or 64}"))
    return str(ipaddress.IPv6Network(f"{host}/{length or ROUTED[key]}", strict=False))


def checked(found: Any) -> Numbers:
    """
    Numbers that were remembered, if they are whole.

    found
        Anything.

    Raises ``ValueError``.
    """
    if not isinstance(found, dict) or not {*FIELDS.values(), "rdns"} <= found.keys():
        raise ValueError("no numbers of a tunnel")
    for key in FIELDS.values():
        value = found[key]
        if key != "description" and value is not None and _read(key, str(value)) != value:
            raise ValueError(key)
    return {key: found[key] for key in (*FIELDS.values(), "rdns")}


# --------------------------------------------------------------------------------------------------------------


def problems(tunnel: Mapping[str, Any], numbers: Numbers, local: str | None) -> list[str]:
    """
    Where a tunnel is declared otherwise than its broker has it.

    tunnel
        As a user wrote it, valid as far as it goes.
    numbers
        The broker's.
    local
        This host's own IPv4 address, if it is a public one.

    Returns a sentence for each, beginning with the key.
    """
    found = [*_ends(tunnel, numbers), *_addresses(tunnel, numbers)]
    if local and numbers["client"] != local:
        held = numbers["client"] or "no address of this host"
        found.append(f"local: it is {local}, and the broker has {held}: he_tunnel.registered tells it")
    mtu = tunnel.get("mtu")
    if numbers["mtu"] and mtu and numbers["mtu"] != mtu:
        found.append(f"mtu: it is {mtu}, and the broker has {numbers['mtu']}")
    return found


def _ends(tunnel: Mapping[str, Any], numbers: Numbers) -> list[str]:
    found = []
    endpoint = tunnel.get("endpoint")
    if endpoint and endpoint != numbers["endpoint"]:
        whose = ", which is this host's own address there" if endpoint == numbers["client"] else ""
        found.append(f"endpoint: it is {endpoint}{whose}; the broker's end is {numbers['endpoint']}")
    own = _host(numbers["address"])
    for key, right, other in (("address", own, numbers["gateway"]), ("gateway", numbers["gateway"], own)):
        given = _host(tunnel.get(key))
        if given is None or given == right:
            continue
        if given == other:
            whose = "its own end" if key == "address" else "this host's end"
            said = f", and the broker says that this is {whose}"
        else:
            said = _whereabouts(given, numbers)
        shown = numbers["address"] if key == "address" else right
        found.append(f"{key}: it is {given}{said}; expected {shown}")
    return found


def _whereabouts(address: str, numbers: Numbers) -> str:
    """In which of the broker's prefixes an address is, where it is not the right one."""
    for key in ROUTED:
        if numbers[key] and ipaddress.IPv6Address(address) in ipaddress.IPv6Network(numbers[key]):
            return f", which is in {numbers[key]}, the prefix that is routed to this host"
    if ipaddress.IPv6Address(address) in ipaddress.IPv6Interface(numbers["address"]).network:
        return ", which nobody has: of this prefix the broker uses only the two ends"
    return ""


def _addresses(tunnel: Mapping[str, Any], numbers: Numbers) -> list[str]:
    routed = [numbers[key] for key in ROUTED if numbers[key]]
    further = tunnel.get("addresses") or []
    if not further:
        if not routed:
            return []
        example = ipaddress.IPv6Network(routed[0])[1]
        return [f"addresses: there are none; the broker routes {' and '.join(routed)} to this host: as in {example}/64"]
    found = []
    link = ipaddress.IPv6Interface(numbers["address"]).network
    for each in further:
        address = ipaddress.IPv6Address(_host(each) or "::")
        if any(address in ipaddress.IPv6Network(prefix) for prefix in routed):
            continue
        where = f"in {link}, the tunnel's own prefix, of which only the two ends are used" if address in link else ""
        expected = f"; expected one out of {' or '.join(routed)}" if routed else ""
        found.append(f"addresses: {address} is {where or 'in no prefix that the broker routes to this host'}{expected}")
    prefix = tunnel.get("routed")
    for each in [prefix] if isinstance(prefix, str) else prefix if isinstance(prefix, list) else []:
        try:
            asked = ipaddress.IPv6Network(each)
        except ValueError:
            continue
        if not any(asked.subnet_of(ipaddress.IPv6Network(one)) for one in routed):
            found.append(
                f"routed: the broker does not route {asked} to this host, but {' and '.join(routed) or 'none'}"
            )
    return found


def _host(value: Any) -> str | None:
    """An address without its prefix length, in canonical form; ``None`` for what is none."""
    try:
        return str(ipaddress.ip_address(str(value).partition("/")[0])) if value else None
    except ValueError:
        return None


def filled(tunnel: Mapping[str, Any], numbers: Numbers) -> dict[str, Any]:
    """
    A tunnel with what it leaves to the broker.

    tunnel
        As a user wrote it.
    numbers
        The broker's.
    """
    return {**tunnel, **{key: numbers[key] for key in broker_settings.FILLED if tunnel.get(key) is None}}
