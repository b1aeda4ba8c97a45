"""
The problems of a host, and what is not known of it, derived from what the report has found: sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_families as families
import _dualstack_proof_rungs as proof_rungs
import _dualstack_report_tunnels as report_tunnels

RECORDS = {"ipv4": "A", "ipv6": "AAAA"}
# From here on the kernel assigns ports to clients. A UDP socket there usually belongs to a client; a TCP socket of one
# family only is not a mistake: Erlang's distribution, for example.
EPHEMERAL = 32768
# What exists in one family only: DHCP (RFC 2131), DHCPv6 (RFC 8415), and NetBIOS (RFC 1002).
ONE_FAMILY = ("udp/67", "udp/68", "udp/546", "udp/547", "udp/137", "udp/138", "tcp/139")
COLUMNS = ("listening", "allowed", "answering")
WORST = (converge.FAILED, converge.UNTRIED, converge.HELD)  # the worst of several outcomes comes first
# The rungs that say nothing where another has failed.
AFTER = {
    proof_rungs.ROUTE: (proof_rungs.ADDRESS,),
    proof_rungs.BEYOND: (proof_rungs.ADDRESS, proof_rungs.ROUTE),
}
SOME = 3  # services that are named


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


def failed(proof: Iterable[Mapping[str, Any]]) -> list[str]:
    """
    The rungs that were tried, and do not hold.

    proof
        The rungs.
    """
    return [each["rung"] for each in proof if each["outcome"] == converge.FAILED]


def blocked(rung: str, proof: Iterable[Mapping[str, Any]]) -> str:
    """
    The rung that has failed, and without which another says nothing; empty if there is none.

    rung
        The other one.
    proof
        The rungs.
    """
    wrong = failed(proof)
    return next((each for each in AFTER.get(rung, ()) if each in wrong), "")


def problems(found: dict[str, Any]) -> list[dict[str, str]]:
    """
    Sentences, one for all ports of a service with the same problem.

    found
        What the report has found.
    """
    proof = found["proof"]
    problems = [
        {"of": each["rung"], "text": f"{each['rung']}: {'; '.join(each['text'].splitlines())}"}
        for each in proof
        if each["outcome"] == converge.FAILED
    ]
    problems += [{"of": each["rung"], "text": said} for each in proof for said in each["warnings"]]
    lacking = [words for family, words in families.NAMES.items() if not found[family]["addresses"]]
    if lacking:
        problems.append({"of": "this host", "text": f"this host has no public {' and no '.join(lacking)} address"})
    problems += [
        {"of": each["interface"], "text": f"{report_tunnels.sentence(each)}, which may come before the tunnel's"}
        for each in found["tunnels"]
        if each["rival"]
    ]
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
    return problems + [{"of": of, "text": text} for of, text in _mail(found)]


def _mail(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for each in found["ptr"]:
        if lacks_pointer(each):
            yield "PTR", f"{each['address']} has no PTR record, which the pillar has"
    for each in found["mail"]:
        if is_refused(each):
            said = "; ".join(each["text"].splitlines())
            yield each["service"], f"mail of {each['service']} over IPv6 may be refused: {said}"


def lacks_pointer(pointer: Mapping[str, Any]) -> bool:
    """
    Whether an address has no PTR record, and should have one.

    pointer
        One of the report's ``ptr``.
    """
    return bool(pointer["expected"]) and pointer["names"] == []


def is_refused(mail: Mapping[str, Any]) -> bool:
    """
    Whether a service sends mail over IPv6 that others may refuse. Usually it sends over IPv4 then, which is no problem.

    mail
        One of the report's ``mail``.
    """
    return mail["outcome"] == converge.FAILED and mail["send"] == "both"


def port(row: dict[str, Any]) -> str:
    """
    As people write it: without TCP, the default.

    row
        The service, on one port.
    """
    if row["port"] is None:
        return ""
    return str(row["port"]) if row["transport"] == "tcp" else f"{row['port']}/{row['transport']}"


def unknown(found: dict[str, Any]) -> list[str]:
    """
    What could not be found out, although it was to be: by rungs, columns and the like.

    found
        What the report has found.
    """
    proof = found["proof"]
    untried = [each["rung"] for each in proof if each["outcome"] == converge.UNTRIED and each["needed"]]
    gaps = [each for each in untried if not blocked(each, proof)]
    for column in COLUMNS:
        of = [
            row["service"]
            for row in found["services"]
            if any(row[family].get(column, False) is None for family in families.FAMILIES)
        ]
        gaps += [f"{column} ({_some(of)})"] if of else []
    names = [
        row["name"]
        for row in found["published"]
        if any(row[family].get("published", False) is None for family in families.FAMILIES)
    ]
    gaps += [f"published ({_some(names)})"] if names else []
    gaps += ["PTR"] if any(each["names"] is None for each in found["ptr"]) else []
    mail = [each["service"] for each in found["mail"] if each["outcome"] == converge.UNTRIED]
    gaps += [f"mail ({_some(mail)})"] if mail else []
    if not gaps and any(each["mark"] == "?" for each in found["notes"]):
        gaps.append("what the lines with ? say")
    return gaps


def _some(names: Iterable[str]) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each) if len(each) <= SOME else f"{', '.join(each[:SOME])} and {len(each) - SOME} more"


def summary(found: dict[str, Any], problems: list[dict[str, str]]) -> str:
    """
    The summary, in one sentence. It is no all-clear where something is wrong, or not known.

    found
        What the report has found.
    problems
        The problems.
    """
    rungs, gaps = failed(found["proof"]), unknown(found)
    parts = [f"IPv6 is not proven: {' and '.join([', '.join(rungs[:-1])] * (len(rungs) > 1) + rungs[-1:])} failed"]
    parts = parts if rungs else []
    rest = others(found, problems)
    if len(rest) == 1:
        parts.append(rest[0]["text"])
    elif rest:
        parts.append(f"{len(rest)} things to look at: {', '.join(dict.fromkeys(each['of'] for each in rest))}")
    if gaps:
        parts += [*([] if parts else ["nothing wrong was found"]), f"not known: {', '.join(gaps)}"]
    return "; ".join(parts) or _all_clear(found)


def others(found: dict[str, Any], problems: list[dict[str, str]]) -> list[dict[str, str]]:
    """
    The problems other than rungs that have failed.

    found
        What the report has found.
    problems
        All problems, from :py:func:`problems`: those of the rungs come first.
    """
    return problems[len(failed(found["proof"])) :]


def _all_clear(found: dict[str, Any]) -> str:
    services = len({row["service"] for row in found["services"]})
    if not services:
        return "no service listens for others"
    same = all(row["ipv4"].get("listening") == row["ipv6"].get("listening") for row in found["services"])
    words = f"all {services} services are" if services > 1 else "the one service is"
    names = ", ".join(row["name"] for row in found["published"])
    unasked = _some(f"{row['service']} {port(row)}" for row in found["services"] if _is_unasked(row))
    said = "nothing wrong was found" if unasked else f"{words} {'the same' if same else 'as expected'} in both families"
    return (
        said
        + (f", and published in both: {names}" if names else "")
        + (f"; without an answer to compare: {unasked}" if unasked else "")
    )


def _is_unasked(row: dict[str, Any]) -> bool:
    """Whether a service listens, but has not said anything."""
    cells = [row[family] for family in families.FAMILIES]
    return any(each.get("listening") for each in cells) and not any("answering" in each for each in cells)


def is_bare(row: dict[str, Any]) -> bool:
    """
    Whether only a connection shows that somebody answers there.

    row
        The service, on one port.
    """
    return row["protocol"] in ("tcp", "tls") and any(row[family].get("answering") for family in families.FAMILIES)
