"""
The problems of a host, derived from the matrix of its services and names: sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import _dualstack_families as families

RECORDS = {"ipv4": "A", "ipv6": "AAAA"}
# From here on the kernel assigns ports to clients. A UDP socket there usually belongs to a client; a TCP socket of one
# family only is not a mistake: Erlang's distribution, for example.
EPHEMERAL = 32768
# What exists in one family only: DHCP (RFC 2131), DHCPv6 (RFC 8415), and NetBIOS (RFC 1002).
ONE_FAMILY = ("udp/67", "udp/68", "udp/546", "udp/547", "udp/137", "udp/138", "tcp/139")


def faults(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """
    The family, the column and the message of each cell of a service that is not as it should be.

    row
        The service, on one port.
    """
    four, six = (row[family] for family in families.FAMILIES)
    port = f"{row['transport']}/{row['port']}"
    expected = row["declared"] or (port not in ONE_FAMILY and (row["port"] or 0) < EPHEMERAL)
    nowhere = not any(row[family].get("listening") for family in families.FAMILIES)
    for family, words in families.NAMES.items():
        cell = row[family]
        if cell.get("listening") is False and expected:
            yield family, "listening", "does not listen" if nowhere else f"does not listen over {words}"
        if cell.get("differs"):
            yield family, "answering", f"is not over IPv6 what it is over IPv4: {cell['differs']}"
        elif cell.get("answering") is False:
            yield family, "answering", f"does not answer over {words}: {cell['error']}"
    if (
        six.get("listening")
        and None not in (four.get("allowed"), six.get("allowed"))
        and four["allowed"] != six["allowed"]
    ):
        ways = ("IPv6", "IPv4") if six["allowed"] else ("IPv4", "IPv6")
        yield "ipv6", "allowed", "is open over {} and closed over {}".format(*ways)


def missing(row: dict[str, Any]) -> list[str]:
    """
    The families in which a name does not point here.

    row
        The name.
    """
    return [family for family in families.FAMILIES if row[family].get("published") is False]


def _name_words(row: dict[str, Any]) -> str:
    elsewhere = [f"{RECORDS[each]} {', '.join(row[each]['records'])}" for each in missing(row) if row[each]["records"]]
    none = [f"no {RECORDS[each]}" for each in missing(row) if not row[each]["records"]]
    words = [f"has {' and '.join(none)}"] * bool(none) + [f"points elsewhere by {' and '.join(elsewhere)}"] * bool(
        elsewhere
    )
    return f"{row['name']} {' and '.join(words)}"


def problems(found: dict[str, Any]) -> list[dict[str, str]]:
    """
    Sentences, one for all ports of a service with the same problem.

    found
        The matrix.
    """
    lacking = [words for family, words in families.NAMES.items() if not found[family]["addresses"]]
    problems = []
    if lacking:
        problems.append({"of": "this host", "text": f"this host has no public {' and no '.join(lacking)} address"})
    ports: dict[tuple[str, str], list[str]] = {}
    for row in found["services"]:
        for words in dict.fromkeys(words for _, _, words in faults(row)):
            ports.setdefault((row["service"], words), []).append(port(row))
    for (name, words), each in ports.items():
        told = ", ".join(port for port in each if port)
        problems.append({"of": name, "text": f"{name} ({told}) {words}" if told else f"{name} {words}"})
    for row in found["published"]:
        if missing(row):
            problems.append({"of": row["name"], "text": _name_words(row)})
    return problems


def port(row: dict[str, Any]) -> str:
    """
    As people write it: without TCP, the default.

    row
        The service, on one port.
    """
    if row["port"] is None:
        return ""
    return str(row["port"]) if row["transport"] == "tcp" else f"{row['port']}/{row['transport']}"


def summary(found: dict[str, Any], problems: list[dict[str, str]]) -> str:
    """
    The summary, in one sentence.

    found
        The matrix.
    problems
        The problems.
    """
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


def is_bare(row: dict[str, Any]) -> bool:
    """
    Whether only a connection shows that somebody answers there.

    row
        The service, on one port.
    """
    return row["protocol"] in ("tcp", "tls") and any(row[family].get("answering") for family in families.FAMILIES)
