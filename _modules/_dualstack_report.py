"""
The services and names of a host at a glance: which listens, is let in, answers and is published, in each family.

Changes nothing, and does not rely on configuration files:

* *listening* is what the kernel's sockets serve. What listens on loopback only does not concern others, and is left
  out.
* *allowed* is the verdict of each family's live rules on a stranger's real packet, in a scratch network namespace.
* *answering* is whether the service answers on the addresses by which others reach this host.
* *published* is what the name servers say (``report_names``).

``report_whole`` adds the proof and the problems to it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import glob
import ipaddress
import itertools
import socket
from collections.abc import Iterable, Mapping
from typing import Any

import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_dns_settings as dns_settings
import _dualstack_families as families
import _dualstack_firewall_trial as firewall_trial
import _dualstack_firewall_view as firewall_view
import _dualstack_pillar as pillar
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
import _dualstack_report_names as report_names
import _dualstack_report_problems as report_problems
import _dualstack_service_allowed as service_allowed
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_judgement as service_judgement
import _dualstack_service_place as service_place
import _dualstack_service_probe_udp as service_probe_udp
import _dualstack_service_questions as service_questions
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError

UDP = service_probe_udp.udp_protocols()
WORKERS = 32  # questions over UDP at the same time
UNKNOWN = "unknown"  # the audit's name for the service of a socket whose process cannot be seen

# By service and port (tcp/25): its addresses, by family, among those on which others reach this host.
Listeners = dict[tuple[str, str], dict[str, list[str]]]
Notes = list[dict[str, str]]  # each a `mark` and a `text`


def of_pillar(ipv6: Any, known: pillar.Known) -> dict[str, Any]:
    """
    The report on a host whose pillar says what is expected of it.

    ipv6
        The pillar ``ipv6``.
    known
        The plug-ins.

    Returns and raises as :py:func:`matrix` does.
    """
    if not isinstance(ipv6, Mapping) or not _is_dns(ipv6.get("dns") or {}):
        raise SaltInvocationError("\n".join(pillar.errors(ipv6, known)))
    dns = ipv6.get("dns") or {}
    _refuse({key: ipv6.get(key) for key in (settings_tunnels.SEVERAL,)}, [], [], known)
    tunnels = list(settings_tunnels.entries(ipv6).values())
    tunnel = settings_tunnels.of(tunnels, dns_parts.address(dns)) or ipv6.get("tunnel") or {}
    expected = ipv6.get("services") or {}, tunnel
    holder = tunnel or settings_tunnels.of(settings_native.holders(ipv6), None)
    published = dns_address.published(dns, holder if isinstance(holder, Mapping) else {})
    if isinstance(dns, Mapping):
        return matrix(*expected, dns.get("names") or [], dns.get("servers") or [], known, published)
    problems = [each for key, entry in dns_parts.entries(dns) for each in _dns_errors(key, entry)]
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return matrix(*expected, dns_parts.names(dns), dns_parts.servers(dns), known, published)


def _is_dns(dns: Any) -> bool:
    return isinstance(dns, Mapping) or (isinstance(dns, list) and all(isinstance(each, Mapping) for each in dns))


def matrix(
    services: dict[str, Any],
    tunnel: dict[str, Any],
    names: list[str],
    servers: list[str],
    known: pillar.Known,
    published: str | None = None,
) -> dict[str, Any]:
    """
    Which service of this host listens, is let in and answers, and which name is published, in each family.

    services
        Those that are expected, as in the pillar ``ipv6:services``. All others that are open to everybody are reported
        as well.
    tunnel
        As in the pillar ``ipv6:tunnel``: IPv6 without a route is expected to come by it.
    names
        The DNS names that should point here.
    servers
        The name servers to ask, each an address or ``address#port``; without any, this host's resolver.
    known
        The plug-ins.
    published
        The IPv6 address that is published; by default all global ones of this host.

    Returns plain data: of what the door's ``ipv6.report`` describes, ``host``, both families, ``services``,
    ``published`` and ``notes``. Raises ``SaltInvocationError`` for a wrong pillar.
    """
    _refuse({"services": services, "tunnel": tunnel}, names, servers, known)
    notes: Notes = []
    host = _host(tunnel, notes)
    rows = _rows(services, host, known.services, notes)
    _try_firewall(rows, host, tunnel, notes)
    place = service_place.here([each for each in names if isinstance(each, str)], published)
    _ask(rows, services, place, known.services, notes)
    for text in service_allowed.notes(_texts(service_allowed.FILES)):
        _note(notes, "-", text)
    for each in rows:
        for family in families.FAMILIES:
            each[family].pop("at", None)
    return {
        "host": socket.gethostname(),
        **host,
        "services": rows,
        "published": report_names.published(names, servers, host, notes),
        "notes": notes,
    }


def _texts(patterns: Iterable[str]) -> dict[str, str]:
    """The files that match, as far as this user may read them."""
    found = {}
    for path in (each for pattern in patterns for each in sorted(glob.glob(pattern))):
        with contextlib.suppress(OSError):
            found[path] = host_files.read(path) or ""
    return found


def _refuse(given: dict[str, Any], names: Any, servers: Any, known: pillar.Known) -> None:
    problems = pillar.errors({key: each for key, each in given.items() if each}, known)
    problems += _dns_errors(dns_parts.KEY, {"names": names, "servers": servers})
    if problems:
        raise SaltInvocationError("\n".join(problems))


def _dns_errors(key: str, entry: Mapping[str, Any]) -> list[str]:
    """What is wrong with the two values that are used here."""
    names = entry.get("names") or []
    problems = [f"{key}:{each}" for each in dns_settings.value_errors({"servers": entry.get("servers") or []})]
    if not isinstance(names, (list, dict)) or not all(isinstance(each, str) for each in names):
        problems.append(f"{key}:names: expected a list of names, found {names!r}")
    return problems


def _host(tunnel: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """The addresses by which others reach this host, the one that strangers usually use, and its interface."""
    six = [each for each in salt.utils.network.ip_addrs6() if not ipaddress.ip_address(each).is_link_local]
    addresses = {"ipv4": salt.utils.network.ip_addrs(), "ipv6": six}
    ways: dict[str, firewall_view.Expectation] = {}
    try:
        wishes = firewall_view.expectations([{"to": "icmp", "verdict": "accept"}], tunnel)
        ways = {each["family"]: each for each in wishes}
    except CommandExecutionError as error:
        _note(notes, "?", f"the interface that traffic arrives on is not known: {error}")
    host = {}
    for family, own in addresses.items():
        way = ways.get(family)
        usual = way and way["destination"]
        host[family] = {
            "addresses": own,
            "address": usual if usual in own else next(iter(own), None),
            "interface": way and way["interface"],
        }
    return host


def _note(notes: Notes, mark: str, text: str) -> None:
    notes.append({"mark": mark, "text": text})


def _rows(
    services: dict[str, Any], host: dict[str, Any], known: Mapping[str, plugins.Service], notes: Notes
) -> list[dict[str, Any]]:
    everywhere = _everywhere(host, known)
    found = _with_single(everywhere, host, known, notes)
    clients = [key for key in found if key[1].startswith("udp/") and int(key[1][4:]) >= report_problems.EPHEMERAL]
    if clients:
        told = ", ".join(f"{name} {port}" for name, port in sorted(clients))
        _note(notes, "-", f"left out, since they seem to be sockets of clients: {told}")
    found = {key: at for key, at in found.items() if key not in clients}
    hidden = any(name == UNKNOWN for name, _ in found)
    declared = set()
    for name, settings in services.items():
        for port in (settings or {}).get("ports") or []:
            key = name, f"tcp/{port}"
            declared.add(key)
            if key not in found:  # if the owner of a socket cannot be seen, the pillar is trusted
                found[key] = found.pop((UNKNOWN, key[1]), {})
        if not any(name == other for other, _ in found):
            found[name, ""] = {}
            declared.add((name, ""))
    rows = []
    for key, at in found.items():
        name, port = key
        daemon = service_host.daemon(known, name) if name in known else None
        row = _row(name, port, services.get(name) or {}, key in declared, daemon)
        maybe = hidden and not port and daemon is not None and service_host.running(daemon)
        for family in families.FAMILIES:
            row[family] = {"at": at.get(family, [])}
            # A service that binds each of the host's addresses can bind none of a family without addresses.
            if family in at or key in everywhere or key in declared or host[family]["addresses"]:
                row[family]["listening"] = True if family in at else None if maybe else False
        rows.append(row)
    return sorted(rows, key=lambda row: (row["service"] == UNKNOWN, row["service"], row["port"] or 0, row["transport"]))


def _everywhere(host: dict[str, Any], known: Mapping[str, plugins.Service]) -> Listeners:
    """What listens on all addresses."""
    found: Listeners = {}
    for name, verdict in service_audit.audit(known).items():
        for family, ports in verdict["serves"].items():
            for port in ports:
                # A socket that systemd holds for a service is the service's.
                at = found.setdefault((name.removesuffix(".socket"), port), {})
                at[family] = list(host[family]["addresses"])
    return found


def _with_single(
    everywhere: Listeners, host: dict[str, Any], known: Mapping[str, plugins.Service], notes: Notes
) -> Listeners:
    """The same, plus what listens on one of the addresses by which others reach this host."""
    found = {key: dict(at) for key, at in everywhere.items()}
    seen = service_audit.sockets(known)
    for each in seen["sockets"]:
        for family in each["families"]:
            address = each["address"].removeprefix("::ffff:")
            if address in host[family]["addresses"]:
                at = found.setdefault((each["service"] or UNKNOWN, f"{each['transport']}/{each['port']}"), {})
                at[family] = list(dict.fromkeys([*at.get(family, []), address]))
    for text in seen["unseen"]:
        _note(notes, "?", text)
    return found


def _row(
    name: str, port: str, settings: dict[str, Any], declared: bool, daemon: service_host.Daemon | None
) -> dict[str, Any]:
    transport, _, number = port.partition("/")
    known = daemon.about["protocols"] if daemon else {}
    own = {int(key): value for key, value in (settings.get("protocols") or {}).items()}
    return {
        "service": name,
        "transport": transport,
        "port": int(number) if number else None,
        "protocol": ({**known, **own} if transport == "tcp" else UDP).get(int(number or 0), transport or "tcp"),
        "declared": declared,
    }


def _try_firewall(rows: list[dict[str, Any]], host: dict[str, Any], tunnel: dict[str, Any], notes: Notes) -> None:
    """Whether a stranger is let in: on the usual address, or on the only one on which the service listens."""
    cells = []
    for row, family in itertools.product(rows, families.FAMILIES):
        at = row[family]["at"]
        everywhere = not at or host[family]["address"] in at
        literal = "" if everywhere else f"[{at[0]}]:" if family == "ipv6" else f"{at[0]}:"
        if row["port"] is not None:
            cells.append((row[family], family, f"{row['transport']}/{literal}{row['port']}"))
    targets = list(dict.fromkeys(target for _, _, target in cells))
    if not targets:
        return
    try:
        said = firewall_trial.allowed(targets, tunnel, "auto")
    except CommandExecutionError as error:
        warning = f"whether the firewalls let anybody in was not tested: {error}"
        said = {"allowed": {target: dict.fromkeys(families.FAMILIES) for target in targets}, "warnings": [warning]}
    for text in said["warnings"]:
        _note(notes, "?", text)
    for cell, family, target in cells:
        if family in said["allowed"][target]:  # not in a kernel without IPv6
            cell["allowed"] = said["allowed"][target][family]


def _ask(
    rows: list[dict[str, Any]],
    services: dict[str, Any],
    place: service_place.Place,
    known: Mapping[str, plugins.Service],
    notes: Notes,
) -> None:
    """Whether they answer, on all of the host's addresses on which they listen, and the same in both families."""
    by_service: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["transport"] == "tcp" and row["port"] is not None:
            by_service.setdefault(row["service"], []).append(row)
    for name, own in by_service.items():
        found = _verdicts(name, own, services.get(name) or {}, place, known)
        unknown = service_judgement.alike(each for verdicts in found for each in verdicts)
        for row, verdicts in zip(own, found):
            for family in families.FAMILIES:
                if row[family]["at"] and verdicts and row["port"] not in unknown:
                    row[family].update(_cell(family, verdicts))
    _ask_udp(rows)
    if any(map(report_problems.is_bare, rows)):
        _note(notes, "*", "only a connection was tried, since what is spoken there is not known")
    if any(row["transport"] == "udp" and row["protocol"] == "udp" for row in rows):
        _note(notes, "-", "what is spoken over UDP was not asked where its protocol is not known")


def _ask_udp(rows: list[dict[str, Any]]) -> None:
    """The same over UDP, where the protocol has a question that a stranger may ask."""
    cells = [
        (row, family, address)
        for row, family in itertools.product(rows, families.FAMILIES)
        if row["transport"] == "udp" and row["protocol"] != "udp"
        for address in row[family]["at"]
    ]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        said = pool.map(lambda cell: service_probe_udp.probe_udp(cell[2], cell[0]["port"], cell[0]["protocol"]), cells)
        for (row, family, _), answer in zip(cells, said):
            cell = row[family]
            cell["answering"] = cell.get("answering", True) and answer["answers"]
            if not answer["answers"]:
                cell.setdefault("error", f"{answer['error']} on {answer['address']}")
    for row in rows:
        silent = not any(row[family].get("answering") for family in families.FAMILIES)
        for family in families.FAMILIES if row["transport"] == "udp" and silent else ():
            row[family].pop("answering", None)  # it may not answer everybody, which is no fault of a family


def _verdicts(
    name: str,
    rows: list[dict[str, Any]],
    settings: dict[str, Any],
    place: service_place.Place,
    known: Mapping[str, plugins.Service],
) -> list[list[service_judgement.Verdict]]:
    """What is judged of each port of a service, as its state does."""
    at = [
        {
            family: [each for each in row[family]["at"] if each in place.held[family]] or row[family]["at"]
            for family in families.FAMILIES
        }
        for row in rows
    ]
    if name not in known:
        asked = [
            service_questions.Question(row["port"], row["protocol"], "", addresses, {})
            for row, addresses in zip(rows, at)
        ]
        return [[each] for each in service_judgement.judge(asked)]
    service = service_host.daemon(known, name)
    try:
        files = service_host.configuration(service)
    except (OSError, SaltException):  # the names in it are not known then, and those of the pillar remain
        files = {}
    ports = {**settings, "ports": [row["port"] for row in rows]}
    seen = service_questions.view(service, files, [], ports, place)
    found = service_judgement.of_service(seen, {row["port"]: addresses for row, addresses in zip(rows, at)})
    return [[each for each in found if each.question.port == row["port"]] for row in rows]


def _cell(family: str, verdicts: list[service_judgement.Verdict]) -> dict[str, Any]:
    heard = [each for each in verdicts if each.families]
    for each in heard or verdicts:
        silent = [answer for answer in each.answers[family] if not answer["answers"]]
        named = f" ({each.question.name})" if each.question.name else ""
        if silent and (not named or family not in each.families):  # a name may be served on one address only
            return {"answering": False, "error": f"{silent[0]['error']} on {silent[0]['address']}{named}"}
        if family == "ipv6" and each.wrong:
            return {"answering": False, "differs": f"{service_judgement.title(each.question)} {each.wrong[0]}"}
    return {"answering": True}
