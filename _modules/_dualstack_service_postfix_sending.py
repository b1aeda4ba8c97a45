"""
By which family Postfix sends mail: the entries of master.cf that smtp(8) serves. PURE: never accesses the host.

Measured with 3.7.11: ``-o inet_protocols=ipv4`` of such an entry has it send over IPv4 only, while the others listen on
both. ``smtp_address_preference = ipv4`` is a preference: a host of which only IPv6 answers gets the mail over IPv6.
Without ``smtp_bind_address6``, Postfix sends from the one address of IPv6 in ``inet_interfaces``, or else from the one
that the kernel chooses.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_service_addresses as service_addresses
import _dualstack_service_postfix as service_postfix
import _dualstack_service_postfix_instance as service_postfix_instance
import _dualstack_service_postfix_master as service_postfix_master
import _dualstack_service_postfix_values as service_postfix_values

OPTION = "inet_protocols"
FOUR = f"-o {OPTION}=ipv4"
MARK = "# dualstack: over IPv6 only when PTR, HELO name and SPF record are right"
# What was written here, with the end of the line before it.
OURS = re.compile(rf"\n# dualstack: [^\n]*\n[ \t]+{re.escape(FOUR)}[ \t]*\r?(?=\n|\Z)")
BOXED = re.compile(r"\[(?:ipv6:)?(?P<address>[0-9a-f:.]*:[0-9a-f:.]*)\]", re.IGNORECASE)
HOST = re.compile(r"\[(?P<name>[A-Za-z0-9.-]+)\]")
# Where mail goes to, for all entries; each may name an address of IPv6.
HOPS = ("relayhost", "smtp_fallback_relay", "fallback_relay", "default_transport", "relay_transport")
FILTER = "content_filter"  # what it names does not leave for others

Instance = service_postfix_instance.Instance


class Outgoing(NamedTuple):
    """An entry by which mail leaves."""

    entry: dict[str, Any]
    values: dict[str, dict[str, Any]]  # the parameters, with those of the entry itself
    ours: tuple[int, int] | None  # where our restriction stands
    theirs: str  # the families that its owner has written for it


def senders(instance: Instance, text: str, host: Mapping[str, str]) -> list[dict[str, Any]]:
    """
    Whoever sends over IPv6, or would if it were not for our restriction.

    instance
        One Postfix.
    text
        Its main.cf as it will be.
    host
        The ``hostname``, and the ``mailname``: what /etc/mailname has.

    Returns a dict for each with ``name``, ``place``, ``address`` (empty where the kernel chooses), ``helo``,
    ``domain``, ``kept``, why it cannot be restricted, and ``hop``, the host to which it hands all mail, if it does.
    """
    return [
        {
            "name": each.entry["name"],
            "place": f"{instance.master}:{each.entry['line']}",
            "address": _address(each.values, instance.main),
            "helo": _text(each.values, "smtp_helo_name", instance.main),
            "domain": _domain(each.values, instance.main, host),
            "kept": _kept(each, instance.main),
            "hop": _hop(_text(each.values, "relayhost", instance.main)),
        }
        for each in outgoing(instance, text, host)
        if _six(each, instance.main)
    ]


def edits(instance: Instance, text: str, send: str) -> list[list[Any]]:
    """
    The edits of a master.cf after which mail is sent by these families.

    instance
        One Postfix.
    text
        Its main.cf as it will be.
    send
        ``both`` or ``ipv4``. With ``both``, nothing but our own restriction goes.

    Returns edits as ``service_edits.spliced`` takes them.
    """
    found = []
    for each in outgoing(instance, text, {}):
        wanted = send == "ipv4" and _six(each, instance.main) and not _kept(each, instance.main)
        if wanted and not each.ours:
            start = each.entry["start"] + len(each.entry["content"])
            end = "\r" if each.entry["content"].endswith("\r") else ""
            found.append([start, start, f"\n{MARK}{end}\n  {FOUR}{end}"])
        elif each.ours and not wanted:
            found.append([*each.ours, ""])
    return found


def outgoing(instance: Instance, text: str, host: Mapping[str, str]) -> Iterator[Outgoing]:
    """
    The entries by which mail leaves this host: those of smtp(8) that are more than the way to a filter.

    instance, text, host
        As for :py:func:`senders`.
    """
    parameters = _parameters(instance, text, host)
    filters = _filters(instance, parameters)
    for entry in instance.entries:
        name = entry["name"]
        if entry["type"] not in ("unix", "fifo") or posixpath.basename(entry["command"]) != "smtp":
            continue
        if name in filters and name not in ("smtp", "relay"):
            continue
        start = entry["start"]
        match = OURS.search(instance.master_text, start, start + len(entry["content"]))
        span = match.span() if match else None
        own = {key: {"value": value} for offset, key, value in _options(entry) if not _within(span, start + offset)}
        yield Outgoing(entry, {**parameters, **own}, span, own.get(OPTION, {"value": ""})["value"])


def notes(instance: Instance, text: str) -> list[str]:
    """
    What keeps entries from being restricted to IPv4.

    instance, text
        As for :py:func:`senders`.
    """
    return [
        f"{instance.master}:{each.entry['line']}: the entry `{each.entry['name']}`: {why}"
        for each in outgoing(instance, text, {})
        for why in [_kept(each, instance.main)]
        if why and _six(each, instance.main)
    ]


def _within(span: tuple[int, int] | None, offset: int) -> bool:
    return span is not None and span[0] <= offset < span[1]


def _options(entry: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    for offset, setting in service_postfix_master.settings(entry):
        name, value = service_postfix_master.assignment(setting)
        if name:
            yield offset, name, value


def _parameters(instance: Instance, text: str, host: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The parameters, with what Postfix makes of the host's name (``mail_params.c``)."""
    own = service_postfix.parameters(text, instance.main)
    name = host.get("hostname", "")
    if name and "." not in name:
        name += f".{_text(own, 'mydomain', instance.main) or 'localdomain'}"
    known = {"myhostname": {"value": name}, **own}
    domain = _text(known, "myhostname", instance.main).partition(".")[2] or "localdomain"
    built_in = {"mydomain": domain, "myorigin": "$myhostname", "smtp_helo_name": "$myhostname"}
    return {**{key: {"value": value} for key, value in built_in.items()}, **known}


def _six(each: Outgoing, main: str) -> bool:
    """Whether it may send over IPv6, but for our restriction."""
    value = each.values.get(OPTION, {"value": "all"})["value"]
    expanded = service_postfix_values.expanded(value, each.values, main)
    return expanded is None or bool({"all", "ipv6"} & {word for _, word in _words(expanded)})


def _words(value: str) -> list[tuple[int, str]]:
    return service_postfix.words(value, service_postfix.LIST)


def _kept(each: Outgoing, main: str) -> str:
    """Why it cannot be restricted; empty if it can."""
    if each.theirs:
        return f"`-o {OPTION}={each.theirs}` is yours, and stays: it sends over IPv6"
    for hop in (*HOPS, FILTER):
        value = _text(each.values, hop, main)
        transport = value.partition(":")[0] if not value.startswith("[") else ""
        if BOXED.search(value) and (hop != FILTER or transport == each.entry["name"]):
            return f"{hop} = {value} is an address of IPv6: it sends over IPv6"
    return ""


def _hop(relay: str) -> str:
    """The host of a relayhost that is no domain."""
    match = HOST.match(relay)
    return match["name"] if match else ""


def _filters(instance: Instance, parameters: dict[str, dict[str, Any]]) -> set[str]:
    """The entries that lead to a filter of mail."""
    values = [parameters[FILTER]["value"]] if FILTER in parameters else []
    values += [value for entry in instance.entries for _, name, value in _options(entry) if name == FILTER]
    return {each.partition(":")[0].strip() for each in values}


def _text(values: dict[str, dict[str, Any]], name: str, main: str) -> str:
    """The value of a parameter; empty if it is not known."""
    if name not in values:
        return ""
    found = (service_postfix_values.expanded(values[name]["value"], values, main) or "").strip()
    return "" if "$" in found else found


def _domain(values: dict[str, dict[str, Any]], main: str, host: Mapping[str, str]) -> str:
    """The domain that mail of this host is from: a file's first line, or a name."""
    value = _text(values, "myorigin", main)
    if value.startswith("/"):
        return host.get("mailname", "") if value == "/etc/mailname" else ""
    return value


def _address(values: dict[str, dict[str, Any]], main: str) -> str:
    bound = service_postfix_master.address(_text(values, "smtp_bind_address6", main))
    if service_addresses.version(bound) == 6:
        return bound
    found = [service_postfix_master.address(word) for _, word in _words(_text(values, "inet_interfaces", main))]
    six = [each for each in found if service_addresses.version(each) == 6]
    return six[0] if len(six) == 1 and not ipaddress.ip_address(six[0]).is_loopback else ""
