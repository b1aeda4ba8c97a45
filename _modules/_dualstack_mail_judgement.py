"""
Whether others will take mail over IPv6 from an address. PURE: whom it asks is given to it.

The big receivers refuse mail over IPv6 that they would take over IPv4, unless the address has a PTR record that leads
back to it (forward-confirmed reverse DNS, the method ``iprev`` of RFC 8601), the host greets with a name that is its
own (RFC 5321, section 4.1.4), and the SPF record of the sender's domain covers the address (RFC 7208).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import _dualstack_dns_values as dns_values
import _dualstack_mail_spf as mail_spf

PTR, HELO, SPF = "PTR", "HELO", "SPF"


class Sender(NamedTuple):
    """Whoever sends mail: from which address, by which name, and for which domain; empty is not known."""

    address: str
    helo: str
    domain: str


class Verdict(NamedTuple):
    """What is judged; whether it holds, ``None`` if that could not be tried; and a sentence about it."""

    what: str
    holds: bool | None
    said: str


def judge(sender: Sender, ask: mail_spf.Ask) -> list[Verdict]:
    """
    What a receiver will find out about a sender.

    sender
        The sender; its address is not empty.
    ask
        Asks the DNS.

    Returns the verdicts on its PTR record, its HELO name, and its SPF record.
    """
    address = str(ipaddress.IPv6Address(sender.address))
    return [_reverse(address, ask), _greeting(address, sender.helo, ask), _policy(address, sender.domain, ask)]


def proven(verdicts: Iterable[Verdict]) -> bool:
    """
    Whether mail over IPv6 will be taken: each of some verdicts holds, and there is one.

    verdicts
        From :py:func:`judge`.
    """
    outcomes = [each.holds for each in verdicts]
    return bool(outcomes) and all(outcomes)


def lacking(verdicts: Iterable[Verdict]) -> list[str]:
    """
    What is missing, or could not be tried: a sentence for each.

    verdicts
        From :py:func:`judge`.
    """
    return [f"{each.what}: {each.said}" for each in verdicts if not each.holds]


def _reverse(address: str, ask: mail_spf.Ask) -> Verdict:
    pointer = ipaddress.IPv6Address(address).reverse_pointer
    answer = ask(pointer, "PTR")
    if answer.error:
        return Verdict(PTR, None, f"the PTR record of {address} is not known: {answer.error}")
    if not answer.records:
        return Verdict(PTR, False, f"{address} has no PTR record ({pointer})")
    back = {name: ask(name, "AAAA") for name in answer.records}
    for name, found in back.items():
        if address in found.records:
            return Verdict(PTR, True, f"the PTR record of {address} is {name}, which leads back to it")
    unknown = [f"the AAAA record of {name} is not known: {found.error}" for name, found in back.items() if found.error]
    if unknown:
        return Verdict(PTR, None, f"the PTR record of {address} is {' and '.join(back)}; {'; '.join(unknown)}")
    told = " and ".join(f"{name}, which has {_told(found.records)}" for name, found in back.items())
    return Verdict(PTR, False, f"the PTR record of {address} is {told}: it does not lead back")


def _greeting(address: str, name: str, ask: mail_spf.Ask) -> Verdict:
    if not name:
        return Verdict(HELO, None, "the name with which it greets is not known: it is made of what only it can expand")
    if not dns_values.is_host_name(name):
        return Verdict(HELO, False, f"it greets as {name}, which is not a host name with its domain")
    answer = ask(dns_values.canonical(name), "AAAA")
    if answer.error:
        return Verdict(HELO, None, f"it greets as {name}, whose AAAA record is not known: {answer.error}")
    if address in answer.records:
        return Verdict(HELO, True, f"it greets as {name}, which is {address}")
    return Verdict(HELO, False, f"it greets as {name}, which has {_told(answer.records)}, not {address}")


def _policy(address: str, domain: str, ask: mail_spf.Ask) -> Verdict:
    if not domain:
        return Verdict(SPF, None, "the domain that it sends for is not known: it is made of what only it can expand")
    if not dns_values.is_host_name(domain):
        return Verdict(SPF, False, f"it sends for {domain}, which is not a domain of the internet")
    found = mail_spf.covers(dns_values.canonical(domain), address, ask)
    return Verdict(SPF, found.holds, found.said)


def _told(addresses: Sequence[str]) -> str:
    return f"AAAA {', '.join(addresses)}" if addresses else "no AAAA record"
