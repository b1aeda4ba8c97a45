"""
By which names the published addresses are known, and whether others will take mail over IPv6 from this host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_parts as dns_parts
import _dualstack_mail_ask as mail_ask
import _dualstack_pillar as pillar
import _dualstack_report_problems as report_problems
import _dualstack_service_sending as service_sending


def pointers(addresses: Sequence[str], dns: Any) -> list[dict[str, Any]]:
    """
    The PTR records of some addresses.

    addresses
        The published ones, of IPv6.
    dns
        The pillar ``ipv6:dns``: its name servers are asked first. An address whose record it has is to have one.

    Returns for each its ``address``; its ``names``, ``None`` if they are not known; the ``error`` then; and whether one
    is ``expected``. Raises nothing.
    """
    ask = mail_ask.Lookups(service_sending.servers_of(dns))
    expected = any(entry.get("ptr") for _, entry in dns_parts.entries(dns))
    found = []
    for each in addresses:
        reverse = ipaddress.IPv6Address(each).reverse_pointer
        answer = ask(reverse, "PTR")
        names, error = None if answer.error else list(answer.records), answer.error.replace(reverse, each)
        found.append({"address": each, "names": names, "error": error, "expected": expected})
    return found


def sending(
    ipv6: Mapping[str, Any], known: pillar.Known, asked: Iterable[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """
    Whether others will take mail over IPv6 from the services of a pillar that send any.

    ipv6
        The pillar ``ipv6``.
    known
        The plug-ins.
    asked
        From :py:func:`pointers`: where a PTR record could not be asked, nobody else is, who would not answer either.

    Returns for each way by which mail leaves the ``service``; the ``address`` that it is sent from, if it is known;
    what the pillar says of it, ``send``; the ``outcome``; and a ``text``. Raises ``SaltException``, as the judgement
    does.
    """
    unknown = [each["address"] for each in asked if each["error"]]
    services = {name: each for name, each in (ipv6.get("services") or {}).items() if _sends(known, name)}
    if unknown:
        settings = {name: (each or {}).get("send", service_sending.AUTO) for name, each in services.items()}
        return [_untried(name, send, unknown[0]) for name, send in settings.items() if send != service_sending.IPV4]
    judged = service_sending.judge({**ipv6, "services": services}, known.services) if services else []
    return [_told(each) for each in judged if each["send"] != service_sending.IPV4]


def _sends(known: pillar.Known, name: str) -> bool:
    return name in known.services and bool(known.services[name].about().get("sends"))


def _untried(name: str, send: str, address: str) -> dict[str, Any]:
    text = f"not asked, since the PTR record of {address} is not known"
    return {"service": name, "address": None, "send": send, "outcome": converge.UNTRIED, "text": text}


def _told(way: Mapping[str, Any]) -> dict[str, Any]:
    verdicts = way["verdicts"]
    lacking = [each for each in verdicts if each["outcome"] != converge.HELD]
    outcomes = [each["outcome"] for each in verdicts]
    outcome = next((each for each in report_problems.WORST if each in outcomes), converge.UNTRIED)
    lines = [f"{each['what']}: {each['said']}" for each in lacking or verdicts]
    return {
        **{key: way[key] for key in ("service", "address", "send")},
        "outcome": outcome,
        "text": "\n".join(lines),
    }
