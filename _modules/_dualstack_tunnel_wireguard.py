"""
WireGuard as the carrier of a tunnel: its part of the definition, the words of wg(8), and what wg(8) says of a live
interface. PURE: never accesses the host.

No secret passes through here. The private key, and the preshared key where there is one, stand in files of their own;
only their names are known, and wg(8) reads them itself. A live private key is known by the public key that belongs to
it, a preshared key by a digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

import _dualstack_words as words
from salt.exceptions import CommandExecutionError

CARRIER = "wireguard"
HEADER = 60  # bytes that it adds: 20 of IPv4, 8 of UDP, 32 of its own
PORT = 51820
DEFAULTS: dict[str, Any] = {
    "port": PORT,
    "preshared_key_file": "",
    "listen_port": 0,  # one that the kernel chooses
    "keepalive": 0,  # none
    "allowed_ips": ["::/0"],
}
REQUIRED = ("public_key", "private_key_file")
SECRETS = ("private_key", "preshared_key")
EXPECTED = "a mapping with public_key, private_key_file and port"
NONE = "none"
FREE = ("listen_port", "own_key", "preshared_key")  # of the live interface: anything, where they are not declared
INTERNET = ipaddress.IPv6Network("2000::/3")  # what is assigned of it
ZERO = base64.b64encode(bytes(32)).decode()  # what stands for no key
NOTHING = ("(none)", "off", "")  # what wg(8) prints for nothing
KEY_LINE = re.compile(r"[A-Za-z0-9+/]{43}=\Z")
# A file's name stands in a hook of ifup's as it is.
FILE = re.compile(r"/[A-Za-z0-9._/@+-]{1,200}")


def read(value: Any) -> dict[str, Any]:
    """
    The part ``wireguard`` of a tunnel, complete; an empty one is none.

    value
        As a user wrote it.

    Raises ``ValueError`` with all errors in it. None of its values is in there that could be a key.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"expected {EXPECTED}")
    if not value:
        return {}
    problems = []
    result: dict[str, Any] = {}
    for key in [each for each in value if each not in READERS]:
        if key in SECRETS:
            problems.append(f"{key}: no key stands in the pillar; write it into a file, and its name into {key}_file")
        else:
            problems.append(f"{key}: {words.unknown(key, READERS)}")
    for key, reader in READERS.items():
        given = value.get(key)
        if given is None:
            if key in REQUIRED:
                problems.append(f"{key}: missing")
            else:
                result[key] = DEFAULTS[key]
            continue
        try:
            result[key] = reader(given)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return result


def contradictions(carrier: Any, given: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """
    Errors between this part and others of a tunnel.

    carrier
        The tunnel's.
    given
        The tunnel with its defaults.
    result
        What of it could be read.
    """
    if carrier != CARRIER:
        return [] if not given.get(CARRIER) else [f"{CARRIER}: only for 'carrier: {CARRIER}'"]
    problems = [f"{CARRIER}: missing; expected {EXPECTED}"] if given.get(CARRIER) in (None, {}) else []
    if result.get("local", "auto") != "auto":
        problems.append(f"local: {CARRIER} has no local address, it takes that of the route; leave it out")
    if result.get("ttl", 255) != 255:
        problems.append(f"ttl: {CARRIER} has none of its own; leave it out")
    if result.get("dev"):
        problems.append(f"dev: {CARRIER} is bound to no device, its packets go by the route; leave it out")
    if isinstance(result.get("mtu"), int) and result["mtu"] > 65535 - HEADER:
        problems.append(f"mtu: {result['mtu']} is not a whole number from 1280 to {65535 - HEADER}")
    allowed = map(ipaddress.IPv6Network, (result.get(CARRIER) or {}).get("allowed_ips", ["::/0"]))
    if result.get("routing", "default") != "none" and not any(map(INTERNET.subnet_of, _joined(allowed))):
        problems.append(
            f"{CARRIER}: allowed_ips: the kernel lets no packets to or from other prefixes through, and the tunnel has "
            "a default route; expected '::/0', or 'routing: none'"
        )
    return problems


def _joined(networks: Iterable[ipaddress.IPv6Network]) -> Iterable[ipaddress.IPv6Network]:
    return ipaddress.collapse_addresses(networks)


def _port(lowest: int) -> Any:
    def reader(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= 65535:
            raise ValueError(f"not a whole number from {lowest} to 65535")
        return value

    return reader


def _key(value: Any) -> str:
    if not isinstance(value, str) or not is_key(value):
        raise ValueError("not a key of WireGuard: 44 characters of base64, as 'wg pubkey' prints it")
    return value


def is_key(text: str) -> bool:
    """
    Whether a text is a key of WireGuard.

    text
        Of the key.
    """
    try:
        return bool(KEY_LINE.match(text)) and len(base64.b64decode(text, validate=True)) == 32
    except binascii.Error:
        return False


def _file(value: Any) -> str:
    if not isinstance(value, str) or not FILE.fullmatch(value) or posixpath.normpath(value) != value:
        raise ValueError("not the path of a file, as in /etc/wireguard/route64.key")
    return value


def _networks(value: Any) -> list[str]:
    found = []
    for each in [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [None]:
        try:
            found.append(str(ipaddress.IPv6Network(each if isinstance(each, str) else repr(each))))
        except ValueError:
            raise ValueError("not a list of IPv6 prefixes, as in ::/0") from None
    if not found:
        raise ValueError("expected an IPv6 prefix at least, as in ::/0")
    return sorted(dict.fromkeys(found))


READERS: dict[str, Any] = {
    "port": _port(1),
    "public_key": _key,
    "private_key_file": _file,
    "preshared_key_file": lambda value: "" if value == "" else _file(value),
    "listen_port": _port(0),
    "keepalive": _port(0),
    "allowed_ips": _networks,
}

# --------------------------------------------------------------------------------------------------------------
# The words of wg(8)


def said(name: str, endpoint: str, part: Mapping[str, Any]) -> str:
    """
    The command that makes an interface what the definition says, as a line of shell: its words need no quotes.

    name
        The interface, or ``$IFACE``.
    endpoint
        The other end's IPv4 address.
    part
        From :py:func:`read`.
    """
    line = ["wg", "set", name, "private-key", part["private_key_file"]]
    line += ["listen-port", str(part["listen_port"])] if part["listen_port"] else []
    line += ["peer", part["public_key"]]
    line += ["preshared-key", part["preshared_key_file"]] if part["preshared_key_file"] else []
    line += ["endpoint", f"{endpoint}:{part['port']}", "allowed-ips", ",".join(part["allowed_ips"])]
    line += ["persistent-keepalive", str(part["keepalive"])] if part["keepalive"] else []
    return " ".join(line)


def understood(line: list[str]) -> tuple[str, str, dict[str, Any]]:
    """
    The opposite of :py:func:`said`: the interface, the endpoint, and the part.

    line
        The words behind ``wg``.

    Raises ``ValueError`` for a command that says anything else, or not all of it.
    """
    if line[:1] != ["set"] or len(line) < 2 or len(line) % 2:
        raise ValueError("another command")
    names = {
        **{"private-key": "private_key_file", "preshared-key": "preshared_key_file", "peer": "public_key"},
        **{"listen-port": "listen_port", "persistent-keepalive": "keepalive", "allowed-ips": "allowed_ips"},
    }
    part: dict[str, Any] = {}
    endpoint = ""
    for word, value in zip(line[2::2], line[3::2]):
        if word == "endpoint" and not endpoint:
            endpoint, _, port = value.rpartition(":")
            part["port"] = _number(port)
        elif word in names and names[word] not in part:
            key = names[word]
            part[key] = _number(value) if key in ("listen_port", "keepalive") else value
        else:
            raise ValueError("another word")
    if "allowed_ips" in part:
        part["allowed_ips"] = part["allowed_ips"].split(",")
    return line[1], str(ipaddress.IPv4Address(endpoint)), read(part)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0 if text == "off" else -1


# --------------------------------------------------------------------------------------------------------------
# The live interface, as `tunnel_interface` describes it: this is what its part `link` has more


def wanted(part: Mapping[str, Any]) -> dict[str, Any]:
    """
    What of the live interface follows from the definition alone.

    part
        From :py:func:`read`.
    """
    listening = {"listen_port": part["listen_port"]} if part["listen_port"] else {}
    return {
        "port": part["port"],
        "public_key": part["public_key"],
        "allowed_ips": ", ".join(part["allowed_ips"]),
        "keepalive": part["keepalive"],
        **listening,
    }


def dumped(text: str) -> dict[str, dict[str, Any]]:
    """
    What ``wg show all dump`` says of each interface, without its private key, and with a digest of preshared ones.

    text
        What it printed. Of several peers of an interface, the first counts, and all are named.

    Returns for each ``remote`` and ``local``, as ip(8) would say them of another tunnel, and ``wireguard``, the rest.
    Raises ``CommandExecutionError`` for anything else, without a word of it.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) == 5 and fields[3].isdecimal():
            name, _, own, listening, _ = fields
            found[name] = {
                "local": "any",
                "remote": "any",
                "wireguard": {
                    **{"port": 0, "public_key": NONE, "allowed_ips": NONE, "keepalive": 0},
                    **{"listen_port": int(listening), "own_key": NONE if own in NOTHING else own},
                    "preshared_key": NONE,
                },
            }
        elif len(fields) == 9 and fields[0] in found:
            _peer(found[fields[0]], fields[1:])
        else:
            raise CommandExecutionError("'wg show all dump' printed something else than wg(8) describes")
    return found


def _peer(interface: dict[str, Any], fields: list[str]) -> None:
    key, preshared, endpoint, allowed, *_, keepalive = fields
    held = interface["wireguard"]
    if held["public_key"] != NONE:
        held["public_key"] += f" {key}"
        return
    host, _, port = endpoint.rpartition(":")
    if host:
        interface["remote"], held["port"] = host.strip("[]"), int(port)
    held["public_key"] = key
    held["allowed_ips"] = NONE if allowed in NOTHING else ", ".join(sorted(allowed.split(",")))
    held["keepalive"] = 0 if keepalive in NOTHING else int(keepalive)
    held["preshared_key"] = NONE if preshared in NOTHING else digest(preshared)


def digest(key: str) -> str:
    """
    What is shown of a preshared key: it has 256 random bits, of which this tells nothing.

    key
        As base64.
    """
    return NONE if key == ZERO else f"sha256:{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def commands(name: str, old: Mapping[str, Any], new: Mapping[str, Any], keys: Mapping[str, str]) -> list[list[str]]:
    """
    The commands of wg(8) that change one interface to the other.

    name
        The interface.
    old, new
        The part ``link`` of each.
    keys
        The files of the new one's keys, ``private`` and ``preshared``; empty where only the interface is known.
    """
    differing = {key for key in new if old.get(key) != new[key]}
    if not differing & {
        "endpoint",
        "own_key",
        "preshared_key",
        *wanted({**DEFAULTS, "public_key": "", "listen_port": 1}),
    }:
        return []
    peers = str(new.get("public_key", NONE)).split()
    steps = [
        ["wg", "set", name, "peer", each, "remove"]
        for each in str(old.get("public_key", NONE)).split()
        if each != NONE and each not in peers
    ]
    line = ["private-key", keys["private"]] if "own_key" in differing and keys.get("private") else []
    line += ["listen-port", str(new["listen_port"])] if "listen_port" in differing else []
    if peers and peers[0] != NONE:
        line += ["peer", peers[0]]
        if "preshared_key" in differing and keys:
            line += ["preshared-key", keys.get("preshared") or "/dev/null"]
        if new["endpoint"] != "any":
            line += ["endpoint", f"{new['endpoint']}:{new['port']}"]
        allowed = "" if new["allowed_ips"] == NONE else new["allowed_ips"].replace(" ", "")
        line += ["persistent-keepalive", str(new["keepalive"]), "allowed-ips", allowed]
    return [*steps, ["wg", "set", name, *line]] if line else steps
