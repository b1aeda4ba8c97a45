"""
The entries of Postfix's master.cf, master(5), and where they listen. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import _dualstack_service_addresses as service_addresses
import _dualstack_service_postfix as service_postfix
import _dualstack_service_postfix_networks as service_postfix_networks
import _dualstack_service_postfix_values as service_postfix_values
from salt.exceptions import SaltInvocationError

SPACE, LIST = service_postfix.SPACE, service_postfix.LIST

# Services of inet entries, since getservbyname(3) would access the host.
PORTS = {
    "smtp": 25,
    "mail": 25,
    "smtps": 465,
    "ssmtp": 465,
    "submissions": 465,
    "urd": 465,
    "submission": 587,
    "qmtp": 209,
    "qmqp": 628,
}
FIELDS = 8
WRAPPED = "smtpd_tls_wrappermode"
PORT = re.compile(r"[0-9]{1,5}")
HOST = re.compile(r"[\w.-]+")
WILDCARD = {4: service_addresses.ANY4, 6: service_addresses.ANY6}
WORDS = {"all": WILDCARD, **dict.fromkeys(("loopback-only", "localhost"), {4: "127.0.0.1", 6: "::1"})}


def address(word: str) -> str:
    """
    An address in canonical form, without its brackets; a name as it is.

    word
        As it is written.
    """
    return service_addresses.canonical(word[1:-1] if word[:1] == "[" and word[-1:] == "]" else word)


def kind(word: str) -> str:
    """
    Why a listener is left alone; "" for the wildcards.

    word
        Its address, from :py:func:`address`.
    """
    if word == "all":
        return ""
    return service_addresses.why_alone(word, name="loopback" if word in WORDS else "a host name")


def services(path: str, text: str, parameters: dict[str, dict[str, Any]], main: str) -> list[dict[str, Any]]:
    """
    The entries of a master.cf that are in use: ``name``, ``type``, ``command``, ``arguments``, ``line``, ``start``,
    ``content``.

    path
        The master.cf.
    text
        Its content.
    parameters
        Those of the main.cf beside it.
    main
        That file.

    ``start`` is the offset of an entry, and ``arguments`` have theirs from there. Raises ``SaltInvocationError`` for
    lines that Postfix refuses.
    """
    disabled = parameters.get("master_service_disable", {"value": ""})["value"]
    expanded = service_postfix_values.expanded(disabled, parameters, main) or ""
    patterns = [each for _, each in service_postfix.words(expanded, LIST)]
    result = []
    for line, start, content in service_postfix.logical_lines(path, text):
        fields = service_postfix.words(content, service_postfix.BLANK)
        if len(fields) < FIELDS:
            raise SaltInvocationError(f"{path}:{line}:1: an entry of {len(fields)} fields; it needs {FIELDS}")
        (_, name), (_, kind_of), *_, (_, command) = fields[:FIELDS]
        entry: dict[str, Any] = {"name": name, "type": kind_of, "command": command, "line": line}
        entry["arguments"] = fields[FIELDS:]
        if not _disabled(entry["name"], entry["type"], patterns):
            result.append({**entry, "start": start, "content": content})
    return result


def _disabled(name: str, kind: str, patterns: list[str]) -> bool:
    """master_service_disable: ``type``, ``name/type``, or ``name.type`` as of old. The first match decides."""
    for pattern in patterns:
        bare = pattern.lstrip("!").lower()
        if "/" not in bare:
            bare = "/".join(bare.rsplit(".", 1))
        if bare == (f"{name}/{kind}" if "/" in bare else kind).lower():
            return not service_postfix_networks.negated(pattern)
    return False


def endpoints(path: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The inet entries of a master.cf, with ``host`` ("" for those that follow inet_interfaces), ``service``, ``port``,
    ``unknown`` (why there is none), and ``note``.

    path
        The file.
    entries
        From :py:func:`services`.

    An entry for all addresses of one family has ``other``, the wildcard of the family that it lacks, else "". Raises
    ``SaltInvocationError`` for names that Postfix refuses.
    """
    found: dict[tuple[str, Any], dict[str, Any]] = {}
    for entry in entries:
        if entry["type"] != "inet":
            continue
        place = f"{path}:{entry['line']}:1"
        host, _, service = entry["name"].rpartition(":")
        host = address(host)
        if host and not service_addresses.version(host) and not HOST.fullmatch(host):
            raise SaltInvocationError(f"{place}: `{host}` is neither a host name nor an address")
        port, unknown = _port(service, place)
        # Of two entries for one endpoint the last counts, whether named smtp or 25.
        key = (host, port or service)
        found.pop(key, None)
        found[key] = {**entry, "host": host, "service": service, "port": port, "unknown": unknown, "other": ""}
    for (host, port), entry in found.items():
        entry["note"] = kind(host) if host else ""
        other = service_addresses.OTHER.get(host)
        if other and (other, port) not in found and ("", port) not in found:
            entry["other"] = other
            entry["note"] = (
                f"one family only: left alone; write `{entry['service']}` in its place, "
                f"or add an entry `{named(other, entry['service'])}`"
            )
    return list(found.values())


def _port(service: str, place: str) -> tuple[int | None, str]:
    """The port of a service, and a note."""
    if not service:
        raise SaltInvocationError(f"{place}: an inet entry without a service")
    if service[0] in "0123456789":
        if not PORT.fullmatch(service) or not 0 < int(service) < 65536:
            raise SaltInvocationError(f"{place}: `{service}` is not a port from 1 to 65535")
        return int(service), ""
    return PORTS.get(service), "" if service in PORTS else f"the port of `{service}` is known to /etc/services only"


def named(host: str, service: str) -> str:
    """
    The name of an entry for an address.

    host, service
        Address, and name or number of the port.
    """
    return f"[{host}]:{service}" if ":" in host else f"{host}:{service}"


def copies(text: str, entry: dict[str, Any], hosts: list[str]) -> list[Any]:
    """
    The edit that puts copies of an entry below it, for other addresses, with all its options.

    text
        The master.cf.
    entry
        From :py:func:`endpoints`.
    hosts
        The addresses.

    Returns an edit as ``service_edits.spliced`` takes it.
    """
    end = entry["start"] + len(entry["content"])
    first, *more = text[entry["start"] + len(entry["name"]) : end].split("\n")
    # The comments between its lines are the first one's. A line keeps the CR at its end.
    rest = "\n".join([first, *(line for line in more if line.strip(SPACE)[:1] not in ("", "#"))])
    return [end, end, "".join(f"\n{named(host, entry['service'])}{rest}" for host in hosts)]


def overrides(path: str, text: str, entries: list[dict[str, Any]], names: tuple[str, ...]) -> Iterator[str]:
    """
    Notes about entries with settings of their own: ``-o name=value``.

    path
        The master.cf.
    text
        Its content.
    entries
        From :py:func:`services`.
    names
        The parameters that matter.

    These apply inside the service; master(8) decides where it listens before it runs.
    """
    for entry in entries:
        for offset, setting in settings(entry):
            if assignment(setting)[0] in names:
                line = entry["line"] + text.count("\n", entry["start"], entry["start"] + offset)
                yield f"{path}:{line}: `-o {setting}` of the entry `{entry['name']}`: left alone"


def settings(entry: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """
    What an entry has behind each ``-o``, with its offset; empty for other words.

    entry
        From :py:func:`services`.
    """
    arguments = entry["arguments"]
    for (_, before), (offset, word) in zip([(0, ""), *arguments], arguments):
        yield offset, word if before == "-o" else word[2:] if word.startswith("-o") else ""


def assignment(setting: str) -> tuple[str, str]:
    """
    Name and value of ``name=value`` or ``{ name = value }``.

    setting
        From :py:func:`settings`.
    """
    name, _, value = setting.strip("{}" + SPACE).partition("=")
    return name.rstrip(SPACE), value.strip(SPACE)


def protocol(entry: dict[str, Any], parameters: dict[str, dict[str, Any]], main: str) -> str:
    """
    What is spoken at an entry, as the probe names it: SMTP, at once over TLS or not; ``tcp`` for anything else.

    entry
        From :py:func:`endpoints`.
    parameters
        Those of the main.cf beside it.
    main
        That file.
    """
    if entry["command"] not in ("smtpd", "postscreen"):
        return "tcp"
    wrapped = parameters.get(WRAPPED, {"value": "no"})["value"]
    own = [value for name, value in (assignment(setting) for _, setting in settings(entry)) if name == WRAPPED]
    found = service_postfix_values.expanded([wrapped, *own][-1], parameters, main) or ""
    return "smtps" if entry["command"] == "smtpd" and found.strip(SPACE).lower() == "yes" else "smtp"
