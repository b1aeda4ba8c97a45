"""
A host at a glance: which service listens, is let in, answers and is published, over IPv4 and over IPv6.

:py:func:`matrix` finds it out, and changes nothing; :py:func:`table` draws it. Nothing is read off a configuration:

* *listening* is what the kernel's sockets serve. What listens on loopback only is no matter of others, and left out.
* *allowed* is what the live rules of each family do with a real packet of a stranger, in a scratch network namespace.
* *answering* is what the service says on the addresses by which others reach this host.
* *published* is what the name servers say: ``/etc/hosts`` is not asked.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import itertools
import socket
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "ipv6_report"

FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
COLUMNS = ("listening", "allowed", "answering")
RECORDS = {"ipv4": "A", "ipv6": "AAAA"}
PATIENCE = 5.0  # seconds for one answer, of a service or of a name server
WORKERS = 32  # questions to name servers at the same time
# From here on the kernel gives ports to clients. A socket of UDP there is one's that asks, more often than not; one of
# TCP that knows one family only is no mistake: Erlang's distribution is one.
EPHEMERAL = 32768
UNKNOWN = "unknown"  # what the audit calls the service of a socket whose process cannot be seen
# What exists in one family only: DHCP (RFC 2131), DHCPv6 (RFC 8415), and NetBIOS (RFC 1002).
ONE_FAMILY = ("udp/67", "udp/68", "udp/546", "udp/547", "udp/137", "udp/138", "tcp/139")

# By service and port (tcp/25): the addresses, by family, of those on which others reach this host.
Listeners = dict[tuple[str, str], dict[str, list[str]]]

WIDTH = 96  # columns; Salt's nested outputter indents by 4
NAME_WIDTH = 44
GAP = "   "


# --------------------------------------------------------------------------------------------------------------
# Finding out


def matrix(
    services: dict[str, Any] | None = None,
    tunnel: dict[str, Any] | None = None,
    names: list[str] | None = None,
    servers: list[str] | None = None,
) -> dict[str, Any]:
    """
    Which service of this host listens, is let in and answers, and which name is published, in each family.

    services
        Those that are expected, as in the pillar ``ipv6:services``, which is the default. All others that are there
        for everybody are told as well.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default: IPv6 without a route is expected to come by it.
    names
        The names in the DNS that are to lead here, by default those of ``ipv6:dns:names``.
    servers
        The name servers to ask, each an address or ``address#port``, by default those of ``ipv6:dns:servers``; without
        any, this host's resolver.

    Returns plain data::

        {"host": "server.example.org",
         "ipv4": {"addresses": ["46.105.5.1"], "address": "46.105.5.1", "interface": "eth0"},
         "ipv6": {...},
         "services": [{"service": "dovecot", "transport": "tcp", "port": 143, "protocol": "imap", "declared": True,
                       "ipv4": {"listening": True, "allowed": True, "answering": True},
                       "ipv6": {"listening": False, "allowed": True}}],
         "published": [{"name": "www.example.org", "ipv4": {"published": True, "records": ["46.105.5.1"]},
                        "ipv6": {...}}],
         "notes": [{"mark": "?", "text": "..."}],
         "problems": [{"of": "dovecot", "text": "dovecot (143) does not listen over IPv6"}],
         "summary": "dovecot (143) does not listen over IPv6"}

    ``True`` is yes, ``False`` no, ``None`` that it could not be found out, which a note explains. What is not asked
    has no key. ``declared`` is whether the pillar has the service; ``port`` is ``None`` where it has one that listens
    nowhere, without its ports. Any user may ask, and is told less than root. Takes a few seconds, or as many more as
    daemons hang. Raises ``SaltInvocationError`` for a wrong pillar.

    CLI Example:

    .. code-block:: bash

        salt --out=json --static '*' ipv6_report.matrix
    """
    pillar = __pillar__.get("ipv6") or {}
    if not isinstance(pillar, dict) or not isinstance(pillar.get("dns") or {}, dict):
        raise SaltInvocationError("\n".join(__salt__["ipv6.errors"](pillar)))
    services = (pillar.get("services") if services is None else services) or {}
    tunnel = (pillar.get("tunnel") if tunnel is None else tunnel) or {}
    dns = pillar.get("dns") or {}
    names = (dns.get("names") if names is None else names) or []
    servers = (dns.get("servers") if servers is None else servers) or []
    _refuse({"services": services, "tunnel": tunnel}, names, servers)
    notes: list[dict[str, str]] = []
    host = _host(tunnel, notes)
    rows = _rows(services, host, notes)
    _try_firewall(rows, host, tunnel, notes)
    _ask(rows, notes)
    for each in rows:
        for family in FAMILIES:
            each[family].pop("at", None)
    found = {
        "host": socket.gethostname(),
        **host,
        "services": rows,
        "published": _published(names, servers, host, notes),
        "notes": notes,
    }
    problems = _problems(found)
    return {**found, "problems": problems, "summary": _summary(found, problems)}


def _refuse(given: dict[str, Any], names: Any, servers: Any) -> None:
    problems = __salt__["ipv6.errors"]({key: each for key, each in given.items() if each})
    said = __salt__["aaaa.errors"]({"servers": servers})
    problems += [f"ipv6:dns:{each}" for each in said if each.startswith("servers:")]
    if not isinstance(names, (list, dict)) or not all(isinstance(each, str) for each in names):
        problems.append(f"ipv6:dns:names: expected a list of names, found {names!r}")
    if problems:
        raise SaltInvocationError("\n".join(problems))


def _host(tunnel: dict[str, Any], notes: list[dict[str, str]]) -> dict[str, Any]:
    """By which addresses others reach this host, the one that strangers are expected to use, and where they come in."""
    six = [each for each in __salt__["network.ip_addrs6"]() if not ipaddress.ip_address(each).is_link_local]
    addresses = {"ipv4": __salt__["network.ip_addrs"](), "ipv6": six}
    ways = {}
    try:
        wishes = __salt__["firewall_rehearsal.expectations"]([{"to": "icmp", "verdict": "accept"}], tunnel)
        ways = {each["family"]: each for each in wishes if each["why"] == "expect[0]"}
    except CommandExecutionError as error:
        _note(notes, "?", f"by which interface traffic comes is not known: {error}")
    host = {}
    for family, own in addresses.items():
        way = ways.get(family, {})
        usual = way.get("destination")
        host[family] = {
            "addresses": own,
            "address": usual if usual in own else next(iter(own), None),
            "interface": way.get("interface"),
        }
    return host


def _note(notes: list[dict[str, str]], mark: str, text: str) -> None:
    notes.append({"mark": mark, "text": text})


# --------------------------------------------------------------------------------------------------------------
# Who listens, and where: that is `at` in each row until all have been asked


def _rows(services: dict[str, Any], host: dict[str, Any], notes: list[dict[str, str]]) -> list[dict[str, Any]]:
    everywhere = _everywhere(host)
    found = _with_single(everywhere, host, notes)
    clients = [key for key in found if key[1].startswith("udp/") and int(key[1][4:]) >= EPHEMERAL]
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
            if key not in found:  # where it cannot be seen whose a socket is, the pillar is believed
                found[key] = found.pop((UNKNOWN, key[1]), {})
        if not any(name == other for other, _ in found):
            found[name, ""] = {}
            declared.add((name, ""))
    rows = []
    for key, at in found.items():
        name, port = key
        row = _row(name, port, services.get(name) or {}, key in declared)
        maybe = hidden and not port and __salt__["service_host.running"](name)
        for family in FAMILIES:
            row[family] = {"at": at.get(family, [])}
            # One that binds the host's addresses, each by itself, can bind none of a family that has none.
            if family in at or key in everywhere or key in declared or host[family]["addresses"]:
                row[family]["listening"] = True if family in at else None if maybe else False
        rows.append(row)
    return sorted(rows, key=lambda row: (row["service"] == UNKNOWN, row["service"], row["port"] or 0, row["transport"]))


def _everywhere(host: dict[str, Any]) -> Listeners:
    """What listens on all addresses."""
    found: Listeners = {}
    for name, verdict in __salt__["service_listen.audit"]().items():
        for family, ports in verdict["serves"].items():
            for port in ports:
                # A socket that systemd holds for a service is the service's.
                at = found.setdefault((name.removesuffix(".socket"), port), {})
                at[family] = list(host[family]["addresses"])
    return found


def _with_single(everywhere: Listeners, host: dict[str, Any], notes: list[dict[str, str]]) -> Listeners:
    """The same with what listens on one of the addresses by which others reach this host."""
    found = {key: dict(at) for key, at in everywhere.items()}
    seen = __salt__["service_listen.sockets"]()
    for each in seen["sockets"]:
        for family in each["families"]:
            address = each["address"].removeprefix("::ffff:")
            if address in host[family]["addresses"]:
                at = found.setdefault((each["service"] or UNKNOWN, f"{each['transport']}/{each['port']}"), {})
                at[family] = list(dict.fromkeys([*at.get(family, []), address]))
    for text in seen["unseen"]:
        _note(notes, "?", text)
    return found


def _row(name: str, port: str, settings: dict[str, Any], declared: bool) -> dict[str, Any]:
    transport, _, number = port.partition("/")
    known = __salt__["service_host.about"](name)["protocols"] if f"listen_{name}.about" in __salt__ else {}
    own = {int(key): value for key, value in (settings.get("protocols") or {}).items()}
    return {
        "service": name,
        "transport": transport,
        "port": int(number) if number else None,
        "protocol": {**known, **own}.get(int(number), "tcp") if transport == "tcp" else transport,
        "declared": declared,
    }


def _try_firewall(
    rows: list[dict[str, Any]], host: dict[str, Any], tunnel: dict[str, Any], notes: list[dict[str, str]]
) -> None:
    """Whether a stranger is let in: on the usual address, or on that on which alone the service listens."""
    cells = []
    for row, family in itertools.product(rows, FAMILIES):
        at = row[family]["at"]
        everywhere = not at or host[family]["address"] in at
        literal = "" if everywhere else f"[{at[0]}]:" if family == "ipv6" else f"{at[0]}:"
        if row["port"] is not None:
            cells.append((row[family], family, f"{row['transport']}/{literal}{row['port']}"))
    targets = list(dict.fromkeys(target for _, _, target in cells))
    if not targets:
        return
    try:
        said = __salt__["dualstack_iptables.allowed"](targets, tunnel)
    except CommandExecutionError as error:
        warning = f"whether the firewalls let anybody in was not tried: {error}"
        said = {"allowed": {target: dict.fromkeys(FAMILIES) for target in targets}, "warnings": [warning]}
    for text in said["warnings"]:
        _note(notes, "?", text)
    for cell, family, target in cells:
        if family in said["allowed"][target]:  # not in a kernel without IPv6
            cell["allowed"] = said["allowed"][target][family]


def _ask(rows: list[dict[str, Any]], notes: list[dict[str, str]]) -> None:
    """Whether they answer, on all of the host's addresses on which they listen."""
    cells = [
        (row, family, address)
        for row, family in itertools.product(rows, FAMILIES)
        if row["transport"] == "tcp"
        for address in row[family]["at"]
    ]
    targets = [{"address": address, "port": row["port"], "protocol": row["protocol"]} for row, family, address in cells]
    for (row, family, _), answer in zip(cells, __salt__["service_probe.probe_all"](targets, PATIENCE)):
        cell = row[family]
        cell["answering"] = cell.get("answering", True) and answer["answers"]
        if not answer["answers"]:
            cell.setdefault("error", f"{answer['error']} on {answer['address']}")
    if any(map(_is_bare, rows)):
        _note(notes, "*", "only a connection was tried, since what is spoken there is not known")
    if any(row["transport"] == "udp" for row in rows):
        _note(notes, "-", "what is spoken over UDP is not asked")


def _is_bare(row: dict[str, Any]) -> bool:
    """Whether no more than a connection proves that somebody answers there."""
    return row["protocol"] in ("tcp", "tls") and any(row[family].get("answering") for family in FAMILIES)


# --------------------------------------------------------------------------------------------------------------
# Who is published


def _published(
    names: list[str], servers: list[str], host: dict[str, Any], notes: list[dict[str, str]]
) -> list[dict[str, Any]]:
    if not names:
        _note(notes, "-", "published: the pillar has no names (ipv6:dns:names)")
        return []
    questions = list(itertools.product(names, FAMILIES))
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        answers = dict(
            zip(questions, pool.map(lambda question: _records(question[0], question[1], servers), questions))
        )
    failures: dict[str, list[str]] = {}
    for (name, _), (_, error) in answers.items():
        if error and name not in failures.setdefault(error, []):
            failures[error].append(name)
    for error, of in failures.items():
        _note(notes, "?", f"{', '.join(of)}: {error}")
    found: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"name": name}
        for family in FAMILIES:
            records, error = answers[name, family]
            row[family] = _verdict(records, error, host[family]["addresses"])
            if records and row[family].get("published", True) is None:
                text = f"{name}: this host is behind NAT, and does not know its {FAMILIES[family]} address outside"
                _note(notes, "?", text)
        found.append(row)
    return found


def _records(name: str, family: str, servers: list[str]) -> tuple[list[str], str]:
    """The addresses that the name servers have for a name, or why that is not known."""
    try:
        import dns.exception
        import dns.resolver
    except ImportError:
        return [], "not looked up, since the Python that runs Salt has no dnspython"
    try:
        resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            places = [each.partition("#") for each in servers]
            resolver.nameservers = [address for address, _, _ in places]
            resolver.nameserver_ports = {address: int(port) for address, _, port in places if port}
        answer = resolver.resolve(
            f"{name.rstrip('.')}.", RECORDS[family], lifetime=PATIENCE, search=False, raise_on_no_answer=False
        )
        return sorted(str(ipaddress.ip_address(each.address)) for each in answer.rrset or []), ""
    except dns.resolver.NXDOMAIN:
        return [], ""
    except dns.resolver.NoResolverConfiguration:
        return [], "not looked up, since /etc/resolv.conf names no server"
    except dns.exception.Timeout:
        return [], f"no name server answered within {PATIENCE:g} s"
    except dns.resolver.NoNameservers:
        return [], "no name server could tell"
    except dns.exception.DNSException as error:
        return [], f"not looked up: {error}"


def _verdict(records: list[str], error: str, addresses: list[str]) -> dict[str, Any]:
    if error:
        return {"published": None, "records": []}
    if not records and not addresses:
        return {"records": []}  # nothing to publish
    here = bool(set(records) & set(addresses))
    if not here and records and addresses and not any(map(_is_outside, addresses)):
        return {"published": None, "records": records}
    return {"published": here, "records": records}


def _is_outside(address: str) -> bool:
    """Whether an address is one that the internet may know."""
    return ipaddress.ip_address(address).is_global


# --------------------------------------------------------------------------------------------------------------
# What is wrong


def _faults(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The family, the column and the words of each cell of a service that is not as it should be."""
    four, six = (row[family] for family in FAMILIES)
    port = f"{row['transport']}/{row['port']}"
    expected = row["declared"] or (port not in ONE_FAMILY and (row["port"] or 0) < EPHEMERAL)
    nowhere = not any(row[family].get("listening") for family in FAMILIES)
    for family, words in FAMILIES.items():
        cell = row[family]
        if cell.get("listening") is False and expected:
            yield family, "listening", "does not listen" if nowhere else f"does not listen over {words}"
        if cell.get("answering") is False:
            yield family, "answering", f"does not answer over {words}: {cell['error']}"
    if (
        six.get("listening")
        and None not in (four.get("allowed"), six.get("allowed"))
        and four["allowed"] != six["allowed"]
    ):
        ways = ("IPv6", "IPv4") if six["allowed"] else ("IPv4", "IPv6")
        yield "ipv6", "allowed", "is open over {} and shut over {}".format(*ways)


def _missing(row: dict[str, Any]) -> list[str]:
    """The families in which a name does not lead here."""
    return [family for family in FAMILIES if row[family].get("published") is False]


def _name_words(row: dict[str, Any]) -> str:
    elsewhere = [f"{RECORDS[each]} {', '.join(row[each]['records'])}" for each in _missing(row) if row[each]["records"]]
    none = [f"no {RECORDS[each]}" for each in _missing(row) if not row[each]["records"]]
    words = [f"has {' and '.join(none)}"] * bool(none) + [f"leads elsewhere by {' and '.join(elsewhere)}"] * bool(
        elsewhere
    )
    return f"{row['name']} {' and '.join(words)}"


def _problems(found: dict[str, Any]) -> list[dict[str, str]]:
    """Sentences, one for all ports of a service with which the same is wrong."""
    missing = [words for family, words in FAMILIES.items() if not found[family]["addresses"]]
    problems = []
    if missing:
        problems.append({"of": "this host", "text": f"this host has no public {' and no '.join(missing)} address"})
    ports: dict[tuple[str, str], list[str]] = {}
    for row in found["services"]:
        for words in dict.fromkeys(words for _, _, words in _faults(row)):
            ports.setdefault((row["service"], words), []).append(_port(row))
    for (name, words), each in ports.items():
        told = ", ".join(port for port in each if port)
        problems.append({"of": name, "text": f"{name} ({told}) {words}" if told else f"{name} {words}"})
    for row in found["published"]:
        if _missing(row):
            problems.append({"of": row["name"], "text": _name_words(row)})
    return problems


def _port(row: dict[str, Any]) -> str:
    """As people write it: TCP goes without saying."""
    if row["port"] is None:
        return ""
    return str(row["port"]) if row["transport"] == "tcp" else f"{row['port']}/{row['transport']}"


def _summary(found: dict[str, Any], problems: list[dict[str, str]]) -> str:
    if len(problems) == 1:
        return problems[0]["text"]
    if problems:
        return f"{len(problems)} things to look at: {', '.join(dict.fromkeys(each['of'] for each in problems))}"
    services = len({row["service"] for row in found["services"]})
    if not services:
        return "no service listens for others"
    same = all(row["ipv4"].get("listening") == row["ipv6"].get("listening") for row in found["services"])
    words = f"all {services} services are" if services > 1 else "the one service is"
    names = ", ".join(row["name"] for row in found["published"])
    return (
        ("as far as could be found out, " if any(each["mark"] == "?" for each in found["notes"]) else "")
        + f"{words} {'the same' if same else 'as expected'} in both families"
        + (f", and published in both: {names}" if names else "")
    )


# --------------------------------------------------------------------------------------------------------------
# Drawing


def table(matrix: dict[str, Any]) -> str:
    """
    A matrix as text for a terminal, without colours and at most 96 columns wide.

    matrix
        From :py:func:`matrix`.

    What is wrong is in capitals, and its line begins with ``!``. The last line sums it up.

    CLI Example:

    .. code-block:: bash

        salt-call ipv6_report.table "$(salt-call --out=json ipv6_report.matrix)"
    """
    lines = [matrix["host"], *(f"  {words}  {_way(matrix[family])}" for family, words in FAMILIES.items())]
    rows = [
        (_cut(row["service"]), _port(row) or "-", [cell for column in COLUMNS for cell in _pair(row, column)], row)
        for row in matrix["services"]
    ]
    wide = max([len("service"), *(len(name) for name, _, _, _ in rows)])
    far = max([len("port"), *(len(port) for _, port, _, _ in rows)])
    left = wide + 2 + far
    if rows:
        lines += [
            "",
            *_head(f"{'service':<{wide}}  {'port':>{far}}", [(column, *FAMILIES.values()) for column in COLUMNS]),
        ]
    before = ""
    for name, port, cells, row in rows:
        shown = "" if name == before else name
        lines.append(_line(any(_faults(row)), f"{shown:<{wide}}  {port:>{far}}", cells))
        before = name
    if matrix["published"]:
        left = max([left, len("published"), *(len(_cut(row["name"])) for row in matrix["published"])])
        lines += ["", *_head(f"{'published':<{left}}", [("", *RECORDS.values())])[1:]]
        for row in matrix["published"]:
            cells = [_record_cell(row[family]) for family in FAMILIES]
            lines.append(_line(bool(_missing(row)), f"{_cut(row['name']):<{left}}", cells))
    for each in matrix["notes"]:
        lines += ["", *_wrapped(each["mark"], each["text"])] if each is matrix["notes"][0] else _wrapped(**each)
    lines.append("")
    if len(matrix["problems"]) > 1:
        for each in matrix["problems"]:
            lines += _wrapped("!", each["text"])
    lines += textwrap.wrap(matrix["summary"], WIDTH)
    return "\n".join(line.rstrip() for line in lines)


def _way(family: dict[str, Any]) -> str:
    if not family["address"]:
        return "-"
    through = f" through {family['interface']}" if family["interface"] else ""
    others = len(family["addresses"]) - 1
    return f"{family['address']}{through}{f', and {others} more' if others else ''}"


def _cut(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}~"


def _head(left: str, groups: list[tuple[str, ...]]) -> list[str]:
    over = GAP.join(f"{title:<10}" for title, *_ in groups)
    pairs = GAP.join(f"{first:<4}  {second:<4}" for _, first, second in groups)
    rule = GAP.join("-" * 10 for _ in groups)
    return [f"  {'':{len(left)}}{GAP}{over}", f"  {left}{GAP}{pairs}", f"  {'-' * len(left)}{GAP}{rule}"]


def _line(wrong: bool, left: str, cells: list[str]) -> str:
    pairs = GAP.join(f"{first:<4}  {second:<4}" for first, second in zip(cells[::2], cells[1::2]))
    return f"{'!' if wrong else ' '} {left}{GAP}{pairs}"


def _pair(row: dict[str, Any], column: str) -> list[str]:
    """A column's cells of both families; the finger is on the one that is wrong."""
    wrong = {family for family, its_column, _ in _faults(row) if its_column == column}
    cells = []
    for family in FAMILIES:
        word = _word(row[family].get(column, "-"))
        star = "*" * (word == "yes" and column == "answering" and _is_bare(row))
        cells.append(word.upper() if family in wrong else word + star)
    return cells


def _word(value: Any) -> str:
    return {True: "yes", False: "no", None: "?"}.get(value, "-")


def _record_cell(cell: dict[str, Any]) -> str:
    word = _word(cell.get("published", "-"))
    return word.upper() if word == "no" else word


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{mark} ", subsequent_indent="  ")
