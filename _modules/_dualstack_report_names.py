"""
Which DNS names point to this host, according to the name servers: ``/etc/hosts`` is not used.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import itertools
from typing import Any

import _dualstack_dns_values as dns_values
import _dualstack_families as families
import _dualstack_report_problems as report_problems

PATIENCE = 5.0  # seconds for one answer of a name server
WORKERS = 32  # questions at the same time


def published(
    names: list[str], servers: list[str], host: dict[str, Any], notes: list[dict[str, str]]
) -> list[dict[str, Any]]:
    """
    Whether each name points to this host, in each family.

    names
        The names that should; an internationalised one is asked for, and called, by its ASCII form.
    servers
        The name servers to ask, each an address or ``address#port``; without any, this host's resolver.
    host
        The host's ``addresses`` of each family.
    notes
        Receives what could not be determined.

    Returns for each name and family ``published``, which may be ``None``, and ``records``.
    """
    if not names:
        notes.append({"mark": "-", "text": "published: the pillar has no names (ipv6:dns:names)"})
        return []
    names = list(dict.fromkeys(map(dns_values.canonical, names)))
    questions = list(itertools.product(names, families.FAMILIES))
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        answers = dict(
            zip(questions, pool.map(lambda question: _records(question[0], question[1], servers), questions))
        )
    failures: dict[str, list[str]] = {}
    for (name, _), (_, error) in answers.items():
        if error and name not in failures.setdefault(error, []):
            failures[error].append(name)
    for error, of in failures.items():
        notes.append({"mark": "?", "text": f"{', '.join(of)}: {error}"})
    found: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"name": name}
        for family in families.FAMILIES:
            records, error = answers[name, family]
            row[family] = _verdict(records, error, host[family]["addresses"])
            if records and row[family].get("published", True) is None:
                notes.append(_hidden(name, family))
        found.append(row)
    return found


def _hidden(name: str, family: str) -> dict[str, str]:
    text = f"{name}: this host is behind NAT, and does not know its public {families.NAMES[family]} address"
    return {"mark": "?", "text": text}


def behind_nat(rows: list[dict[str, Any]], public: str, notes: list[dict[str, str]]) -> None:
    """
    Decide what was left open since the host is behind NAT.

    rows
        From :py:func:`published`.
    public
        The IPv4 address by which others reach it.
    notes
        Loses what is known now.
    """
    for row in rows:
        note = _hidden(row["name"], "ipv4")
        if note in notes:
            notes.remove(note)
            row["ipv4"]["published"] = public in row["ipv4"]["records"]


def _records(name: str, family: str, servers: list[str]) -> tuple[list[str], str]:
    """The addresses that the name servers have for a name, or why they are not known."""
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
            f"{name}.",
            report_problems.RECORDS[family],
            lifetime=PATIENCE,
            search=False,
            raise_on_no_answer=False,
        )
        return sorted(str(ipaddress.ip_address(each.address)) for each in answer.rrset or []), ""
    except dns.resolver.NXDOMAIN:
        return [], ""
    except dns.resolver.NoResolverConfiguration:
        return [], "not looked up, since /etc/resolv.conf names no server"
    except dns.exception.Timeout:
        return [], f"no name server answered within {PATIENCE:g} s"
    except dns.resolver.NoNameservers:
        return [], "no name server had an answer"
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
    """Whether an address can be published."""
    return ipaddress.ip_address(address).is_global
