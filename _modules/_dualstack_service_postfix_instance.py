"""
One Postfix of this host: a main.cf and the master.cf beside it, where they make it listen, and how it serves both
families. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_addresses as service_addresses
import _dualstack_service_edits as service_edits
import _dualstack_service_postfix as service_postfix
import _dualstack_service_postfix_master as service_postfix_master
import _dualstack_service_postfix_networks as service_postfix_networks
import _dualstack_service_postfix_values as service_postfix_values
import _dualstack_service_published as service_published
from salt.exceptions import SaltInvocationError

MAIN, MASTER, SPACE = service_postfix.MAIN, service_postfix.MASTER, service_postfix.SPACE
OWN = ("inet_interfaces", "inet_protocols", "mynetworks")
SWALLOWED = re.compile(rf"^[ \t\v\f\r]+(?P<all>(?:{'|'.join(OWN)})[ \t]*=[^\r\n]*)", re.MULTILINE)
WILDCARD = {4: service_addresses.ANY4, 6: service_addresses.ANY6}
PROTOCOLS = {"ipv4": {4}, "ipv6": {6}, "all": {4, 6}}
SENDS = "inet_protocols = all lets Postfix send over IPv6, too: the address it sends from needs a PTR record"


class Instance(NamedTuple):
    """One Postfix."""

    main: str  # the path of its main.cf
    text: str
    master: str
    master_text: str
    entries: list[dict[str, Any]]  # of its master.cf that are in use
    endpoints: list[dict[str, Any]]  # of these, those that listen


def folders(text: str) -> list[str]:
    """
    The folders of further instances, which the first one names.

    text
        Its main.cf.

    Raises ``SaltInvocationError`` for lines that Postfix refuses.
    """
    parameters = service_postfix.parameters(text)
    written = parameters.get("multi_instance_directories", {"value": ""})["value"]
    expanded = service_postfix_values.expanded(written, parameters) or ""
    found = [each.rstrip("/") for _, each in service_postfix.words(expanded, service_postfix.LIST)]
    return [each for each in dict.fromkeys(found) if each.startswith("/") and f"{each}/main.cf" != MAIN]


def instances(files: plugins.Files) -> list[Instance]:
    """
    Every Postfix that is started with the first one, which comes first.

    files
        All files, by path.

    Raises ``SaltInvocationError`` for lines that Postfix refuses.
    """
    result = [_instance(files, MAIN, MASTER)]
    for folder in folders(result[0].text):
        main = f"{folder}/main.cf"
        parameters = service_postfix.parameters(service_postfix.text_of(files, main), main)
        enabled = parameters.get("multi_instance_enable", {"value": "no"})["value"]
        if enabled.lower() == "yes":
            result.append(_instance(files, main, f"{folder}/master.cf"))
    return result


def _instance(files: plugins.Files, main: str, master: str) -> Instance:
    text, master_text = (service_postfix.text_of(files, path) for path in (main, master))
    entries = service_postfix_master.services(master, master_text, service_postfix.parameters(text, main), main)
    return Instance(main, text, master, master_text, entries, service_postfix_master.endpoints(master, entries))


def sockets(instance: Instance) -> list[dict[str, Any]]:
    """
    Where one Postfix listens.

    instance
        From :py:func:`instances`.

    Returns and raises as ``listen_postfix.listeners`` does.
    """
    parameters = service_postfix.parameters(instance.text, instance.main)
    protocols = _protocols(instance, parameters)
    interfaces = _interfaces(instance, parameters)
    words = service_postfix_master.WORDS
    result = []
    for entry in instance.endpoints:
        for address, note in [(entry["host"], entry["note"])] if entry["host"] else interfaces:
            for each in words.get(address, {0: address}).values():
                family = service_addresses.version(each)
                excluded = protocols is not None and family is not None and family not in protocols
                # Of `all` and similar, the other family remains; a single address makes Postfix fail.
                if protocols == set() or excluded and address in words:
                    continue
                notes = [
                    note,
                    "inet_protocols: cannot decide" if protocols is None else "",
                    "inet_protocols excludes its family, so that Postfix does not start" if excluded else "",
                    entry["unknown"],
                ]
                result.append(
                    {
                        "port": entry["port"],
                        "transport": "tcp",
                        "protocol": service_postfix_master.protocol(entry, parameters, instance.main),
                        "address": each,
                        "v6only": True if family == 6 else None,
                        "file": instance.master,
                        "line": entry["line"],
                        "note": "; ".join(filter(None, notes)),
                    }
                )
    return result


class Ground(NamedTuple):
    """What all instances share."""

    site: service_published.Site | None
    published: dict[str, list[str]]
    used: dict[Any, set[str]]  # the addresses that somebody listens on, by port


def ground(found: list[Instance], site: service_published.Site | None) -> Ground:
    """
    What all instances share: the addresses of this host, and those that are in use.

    found
        From :py:func:`instances`.
    site
        What is known of the names and addresses.
    """
    used: dict[Any, set[str]] = {}
    for instance in found:
        for key, addresses in _by_port(instance).items():
            used.setdefault(key, set()).update(addresses)
    return Ground(site, service_published.addresses(site), used)


def _by_port(instance: Instance) -> dict[Any, set[str]]:
    """The addresses of each port, or of each service whose port is not known."""
    interfaces = [each for each, _ in _interfaces(instance, service_postfix.parameters(instance.text, instance.main))]
    result: dict[Any, set[str]] = {}
    for entry in instance.endpoints:
        own = [entry["host"]] if entry["host"] else interfaces
        result.setdefault(_key(entry), set()).update(own)
    return result


def _key(entry: dict[str, Any]) -> Any:
    return entry["port"] or entry["service"]


class Change(NamedTuple):
    """How one Postfix serves both families."""

    files: dict[str, str]  # with all edits, of what changes
    always: dict[str, str]  # with those of mynetworks only
    notes: list[str]
    missing: list[dict[str, Any]]


def converged(instance: Instance, wanted: list[str] | None, shared: Ground) -> Change:
    """
    How one Postfix serves both families.

    instance
        From :py:func:`instances`.
    wanted
        Its ``mynetworks``; ``None``: those that it has, and the companion of IPv4's loopback.
    shared
        From :py:func:`ground`; what is added here is added to it.

    Raises ``SaltInvocationError`` for lines that Postfix refuses, or that do not mean what they seem to.
    """
    _refuse_swallowed(instance)
    open_on = {each["address"] for each in sockets(instance)}
    private = bool(open_on) and all(_is_loopback(each) for each in open_on)
    change = Change({}, {}, [], [])
    text = instance.text if private else _with_protocols(instance, change)
    text = _with_interfaces(instance._replace(text=text), shared, change)
    if wanted is not None or not private or "::1" in open_on:
        always, notes = _with_networks(instance.text, wanted, instance.main)
        text, _ = _with_networks(text, wanted, instance.main)
        change.notes.extend(notes)
        if always != instance.text:
            change.always[instance.main] = always
    if text != instance.text:
        change.files[instance.main] = text
    master = _with_entries(instance, shared, change)
    if master != instance.master_text:
        change.files[instance.master] = master
    change.notes.extend(service_postfix_master.overrides(instance.master, instance.master_text, instance.entries, OWN))
    if not private:
        parameters = service_postfix.parameters(instance.text, instance.main)
        change.notes.extend(service_postfix_networks.deaf_lists(parameters))
    return change


def _with_networks(text: str, wanted: list[str] | None, path: str) -> tuple[str, list[str]]:
    if wanted is None:
        return service_postfix_networks.with_companion(text, path)
    return service_postfix_networks.with_networks(text, wanted, path)


def _is_loopback(address: str) -> bool:
    return service_addresses.why_alone(address, name="").startswith("loopback")


def _with_protocols(instance: Instance, change: Change) -> str:
    """The main.cf with both families."""
    text = instance.text
    parameters = service_postfix.parameters(text, instance.main)
    protocols = _protocols(instance, parameters)
    parameter = parameters.get("inet_protocols")
    if parameter is None:
        if "compatibility_level" not in parameters:
            change.notes.append(
                "inet_protocols stands nowhere: that is IPv4 only before Postfix 2.9, and both families since"
            )
        return text
    if protocols is None:
        change.notes.append(service_postfix.undecided(parameter))
        return text
    if not protocols:
        place = f"{instance.main}:{parameter['line']}"
        change.notes.append(f"{place}: inet_protocols is empty, no network for Postfix: left alone")
        return text
    if protocols == {4, 6}:
        return text
    change.notes.append(SENDS)
    return service_postfix.replaced(text, parameter, "all")


def _with_interfaces(instance: Instance, shared: Ground, change: Change) -> str:
    """The main.cf with all addresses, or with those of IPv6 that are published beside one of IPv4 that is."""
    text = instance.text
    parameters = service_postfix.parameters(text, instance.main)
    parameter = parameters.get("inet_interfaces")
    if parameter is None:
        return text
    if service_postfix_values.expanded(parameter["value"], parameters, instance.main) is None:
        change.notes.append(service_postfix.undecided(parameter))
        return text
    interfaces = _interfaces(instance, parameters)
    addresses = [address for address, _ in interfaces]
    if addresses == ["all"]:
        return text
    # Postfix takes wildcards only from master.cf: here it says "no local interface found", and does not start.
    if addresses and set(addresses) <= set(WILDCARD.values()):
        return service_postfix.replaced(text, parameter, "all")
    for address in addresses:
        if address.lower() == "all" or address in WILDCARD.values():
            raise SaltInvocationError(
                f"{service_postfix.place(text, parameter['start'], instance.main)}: Postfix refuses `{address}` here; "
                "write inet_interfaces = all, or nothing but addresses of this host"
            )
    place = f"{instance.main}:{parameter['line']}"
    said = f"{place}: inet_interfaces = `{' '.join(addresses)}`"
    added, problem = _beside_interfaces(instance, addresses, parameters, shared)
    if problem:
        change.missing.append(service_published.missing(shared.site, _only_port(instance), f"{said}: {problem}"))
    if added:
        for key in _following(instance):
            shared.used[key].update(added)
        return service_postfix_networks.with_entries(text, parameter, added, ", ")
    unknown = [] if problem else _names(instance, addresses, shared)
    if unknown:
        said = f"{place}: inet_interfaces: `{'`, `'.join(unknown)}`"
        change.missing.append(service_published.unknown(shared.site, _only_port(instance), said))
        return text
    why = "; ".join(dict.fromkeys(note for _, note in interfaces)) or "no address at all"
    change.notes.append(f"{said} is left alone: {why}")
    return text


def _following(instance: Instance) -> list[Any]:
    """The ports of the entries that follow inet_interfaces."""
    return list(dict.fromkeys(_key(entry) for entry in instance.endpoints if not entry["host"]))


def _only_port(instance: Instance) -> int | None:
    """The port of the entries that follow inet_interfaces, if there is one only."""
    keys = _following(instance)
    return keys[0] if len(keys) == 1 and isinstance(keys[0], int) else None


def _names(instance: Instance, addresses: list[str], shared: Ground) -> list[str]:
    """The host names in inet_interfaces, if a port may have IPv4 only by them."""
    own = _by_port(instance)
    return [
        each
        for each in addresses
        if shared.site is not None and any(_is_name(each, own[key], shared) for key in _following(instance))
    ]


def _is_name(address: str, beside: set[str], shared: Ground) -> bool:
    known = address in service_postfix_master.WORDS
    return not known and service_published.named(address, beside, shared.published)


def _beside_interfaces(
    instance: Instance, addresses: list[str], parameters: dict[str, dict[str, Any]], shared: Ground
) -> tuple[list[str], str]:
    """The addresses that inet_interfaces lacks; or why it lacks some that cannot be added."""
    keys = _following(instance)
    own = _by_port(instance)
    found = [
        [service_published.lacking(each, own[key], shared.published) for each in addresses if each in own[key]]
        for key in keys
    ]
    if not any(one is not None for each in found for one in each):
        return [], ""
    if not shared.published["ipv6"]:
        return [], service_published.UNKNOWN
    if _protocols(instance, parameters) != {4, 6}:
        return [], "an address of IPv6 would keep Postfix from starting, as inet_protocols does not have both families"
    free = [each for each in shared.published["ipv6"] if not any(each in shared.used[key] for key in keys)]
    if not free:
        words = ", ".join(shared.published["ipv6"])
        return [], f"on some of its ports another entry or instance has {words}; give each its addresses by hand"
    return free, ""


def _with_entries(instance: Instance, shared: Ground, change: Change) -> str:
    """The master.cf with a copy of each entry on a published address of IPv4, or on all addresses of one family."""
    edits = []
    own = _by_port(instance)
    for entry in instance.endpoints:
        key, host = _key(entry), entry["host"]
        lacking = service_published.lacking(host, own[key], shared.published)
        place = f"{instance.master}:{entry['line']}: the entry `{entry['name']}`"
        added: list[str] = []
        if lacking is not None:
            added = [each for each in lacking if each not in shared.used[key]]
            if not added:
                problem = "another instance has the published ones of IPv6" if lacking else service_published.UNKNOWN
                change.missing.append(service_published.missing(shared.site, entry["port"], f"{place}: {problem}"))
        elif entry["other"] and shared.site is not None:
            published = shared.published["ipv6"] if entry["other"] == service_addresses.ANY6 else []
            if any(each in own[key] for each in published):
                continue  # it has IPv6 where that is published
            added = published if _of_family(own[key], entry["other"]) else [entry["other"]]
        elif shared.site is not None and _is_name(host, own[key], shared):
            change.missing.append(service_published.unknown(shared.site, entry["port"], f"{place}: `{host}`"))
            continue
        if added:
            edits.append(service_postfix_master.copies(instance.master_text, entry, added))
            shared.used[key].update(added)
            own[key].update(added)
        elif entry["note"]:
            change.notes.append(f"{place}: {entry['note']}")
    return service_edits.spliced(instance.master_text, edits)


def _of_family(addresses: set[str], wildcard: str) -> bool:
    """Whether one of some addresses is in the way of a wildcard; a name may have either family."""
    return any(service_addresses.version(each) in (service_addresses.version(wildcard), None) for each in addresses)


# --- the meaning of the parameters


def _protocols(instance: Instance, parameters: dict[str, dict[str, Any]]) -> set[int] | None:
    """The families of inet_protocols; None if only Postfix can determine them."""
    parameter = parameters.get("inet_protocols", {"value": "all"})
    expanded = service_postfix_values.expanded(parameter["value"], parameters, instance.main)
    if expanded is None:
        return None
    result: set[int] = set()
    for _, word in service_postfix.words(expanded, service_postfix.LIST):
        if word not in PROTOCOLS:
            place = service_postfix.place(instance.text, parameter["start"], instance.main)
            raise SaltInvocationError(f"{place}: `{word}` of inet_protocols is not ipv4, ipv6 or all, in lower case")
        result |= PROTOCOLS[word]
    return result


def _interfaces(instance: Instance, parameters: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """The addresses of inet_interfaces, in canonical form, or names; each with a note."""
    value = parameters.get("inet_interfaces", {"value": "all"})["value"]
    expanded = service_postfix_values.expanded(value, parameters, instance.main)
    if expanded is None:
        found = service_postfix.words(value, service_postfix.LIST)
        return [(each, "inet_interfaces: cannot decide") for _, each in found]
    found = service_postfix.words(expanded, service_postfix.LIST)
    addresses = [service_postfix_master.address(each) for _, each in found]
    return [(each, service_postfix_master.kind(each)) for each in addresses]


def _refuse_swallowed(instance: Instance) -> None:
    """A parameter of ours that is indented by accident has no effect, and corrupts the value that it continues."""
    match = SWALLOWED.search(instance.text)
    if match:
        start = match.start("all")
        place = service_postfix.place(instance.text, start, instance.main)
        found = service_postfix.assignments(instance.text, instance.main)
        owner = [each["name"] for each in found if each["start"] <= start]
        reading = f"a part of `{owner[-1]}`" if owner else "nothing at all"
        raise SaltInvocationError(
            f"{place}: `{match['all'].rstrip(SPACE)}` is indented, so that Postfix takes it "
            f"for {reading}; remove the white space before it, or the line"
        )
