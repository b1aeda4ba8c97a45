"""
Whether an SPF record covers an address, RFC 7208. PURE: whom it asks is given to it.

It is evaluated as a receiver would, as far as one question needs it: is mail of this domain from this address a *pass*?
What depends on the single mail is not known here: macros, and the mechanisms ``exists`` and ``ptr``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

LOOKUPS = 10  # section 4.6.4: terms of a whole evaluation that ask the DNS, and the names of one `mx`
VOID = 2  # section 4.6.4: questions to which there may be no answer
PASS, OTHER, NONE, BROKEN, UNKNOWN = "pass", "other", "none", "broken", "unknown"
QUALIFIERS = {"+": PASS, "-": OTHER, "~": OTHER, "?": OTHER}
TERM = re.compile(
    r"(?P<qualifier>[-+?~]?)(?P<name>[a-z][a-z0-9_.-]*)(?:[:](?P<domain>[^/]*))?(?P<length>(?:/.*)?)", re.IGNORECASE
)
NETWORK = re.compile(r"(?P<qualifier>[-+?~]?)(?P<name>ip[46]):(?P<network>.+)", re.IGNORECASE)
MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.IGNORECASE)
LENGTH = re.compile(r"(?:/(?P<four>[0-9]{1,2}))?(?://(?P<six>[0-9]{1,3}))?")
VERSION = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)


class Answer(NamedTuple):
    """What the DNS says of a name: the records of one type as text, or why they are not known."""

    records: tuple[str, ...] = ()
    error: str = ""


Ask = Callable[[str, str], Answer]  # with a name, and AAAA, MX (the hosts), PTR, or TXT


class Cover(NamedTuple):
    """Whether an address is covered, ``None`` if that cannot be told, and the sentence about it."""

    holds: bool | None
    said: str


class _Ended(Exception):
    """The evaluation has come to an end before that of the record."""

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result, self.why = result, why


def covers(domain: str, address: str, ask: Ask) -> Cover:
    """
    Whether the SPF record of a domain covers an address.

    domain
        The domain of the sender.
    address
        An IPv6 address.
    ask
        Asks the DNS.
    """
    evaluation = _Evaluation(ipaddress.IPv6Address(address), ask)
    try:
        result = evaluation.of(domain)
    except _Ended as end:
        if end.result == UNKNOWN:
            return Cover(None, f"whether the SPF record of {domain} covers {address} is not known: {end.why}")
        return Cover(False, f"the SPF record of {domain} is invalid: {end.why}")
    if result == NONE:
        return Cover(False, f"{domain} has no SPF record (a TXT record v=spf1 ... that has ip6:{address})")
    if result == UNKNOWN:
        why = " and ".join(dict.fromkeys(evaluation.doubts))
        return Cover(None, f"whether the SPF record of {domain} covers {address} is not known: it has {why}")
    if result == PASS:
        return Cover(True, f"the SPF record of {domain} covers {address}")
    return Cover(False, f"the SPF record of {domain} does not cover {address}: ip6:{address} is missing")


class _Evaluation:
    """One evaluation, with what it has asked so far."""

    def __init__(self, address: ipaddress.IPv6Address, ask: Ask) -> None:
        self.address, self._ask = address, ask
        self.doubts: list[str] = []  # the terms that depend on the single mail
        self._lookups = self._void = 0

    def of(self, domain: str) -> str:
        """The result for one domain: that of the record itself, of one it includes, or of the one it redirects to."""
        record = self._record(domain)
        if record is None:
            return NONE
        doubts: list[str] = []  # what those terms would mean that may match
        redirect = ""
        for term in record.split()[1:]:
            modifier = MODIFIER.fullmatch(term)
            if modifier:
                redirect = modifier["value"] if modifier["name"].lower() == "redirect" else redirect
                continue
            meaning = QUALIFIERS[term[0] if term[0] in QUALIFIERS else "+"]
            matches = self._matches(term, domain)
            if matches is None:
                doubts.append(meaning)
                self.doubts.append(f"`{term}`")
            elif matches:
                return meaning if set(doubts) <= {meaning} else UNKNOWN
        result = self._redirected(redirect) if redirect else OTHER
        return result if set(doubts) <= {result} else UNKNOWN

    def _record(self, domain: str) -> str | None:
        answer = self._asked(domain, "TXT")
        found = [each for each in answer.records if VERSION.match(each)]
        if len(found) > 1:
            raise _Ended(BROKEN, f"{domain} has {len(found)} of them")
        return found[0] if found else None

    def _redirected(self, domain: str) -> str:
        self._count()
        if "%" in domain:
            self.doubts.append(f"`redirect={domain}`")
            return UNKNOWN
        result = self.of(domain)
        if result == NONE:
            raise _Ended(BROKEN, f"`redirect={domain}`, which has no SPF record")
        return result

    def _matches(self, term: str, domain: str) -> bool | None:
        """Whether a mechanism matches; ``None`` where that depends on the mail."""
        network = NETWORK.fullmatch(term)
        if network:
            return self._in_network(term, network["name"].lower(), network["network"])
        found = TERM.fullmatch(term)
        name = found["name"].lower() if found else ""
        if found is None or name not in ("all", "a", "mx", "include", "exists", "ptr"):
            raise _Ended(BROKEN, f"`{term}` is no mechanism")
        if name == "all":
            return True
        self._count()
        if name in ("exists", "ptr") or "%" in term:
            return None
        target = found["domain"] or domain
        if name == "include":
            return self._included(term, found["domain"])
        length = LENGTH.fullmatch(found["length"])
        if length is None or int(length["six"] or 128) > 128:
            raise _Ended(BROKEN, f"`{term}` has no valid length of a prefix")
        hosts = [target] if name == "a" else self._exchangers(target, term)
        return any(self._has(host, int(length["six"] or 128)) for host in hosts)

    def _in_network(self, term: str, name: str, network: str) -> bool:
        try:
            kind = ipaddress.IPv6Network if name == "ip6" else ipaddress.IPv4Network
            return self.address in kind(network, strict=False)
        except ValueError:
            raise _Ended(BROKEN, f"`{term}` has no valid network") from None

    def _included(self, term: str, domain: str | None) -> bool | None:
        if not domain:
            raise _Ended(BROKEN, f"`{term}` has no domain")
        result = self.of(domain)
        if result == NONE:
            raise _Ended(BROKEN, f"`{term}`, which has no SPF record")
        return None if result == UNKNOWN else result == PASS

    def _exchangers(self, domain: str, term: str) -> list[str]:
        found = self._asked(domain, "MX").records
        self._note_void(found)
        if len(found) > LOOKUPS:
            raise _Ended(BROKEN, f"`{term}` has more than {LOOKUPS} hosts")
        return list(found)

    def _has(self, host: str, length: int) -> bool:
        found = self._asked(host, "AAAA").records
        self._note_void(found)
        return any(self.address in ipaddress.IPv6Network((each, length), strict=False) for each in found)

    def _asked(self, name: str, kind: str) -> Answer:
        answer = self._ask(name, kind)
        if answer.error:
            raise _Ended(UNKNOWN, answer.error)
        return answer

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > LOOKUPS:
            raise _Ended(BROKEN, f"it needs more than {LOOKUPS} lookups")

    def _note_void(self, found: tuple[str, ...]) -> None:
        self._void += not found
        if self._void > VOID:
            raise _Ended(BROKEN, f"more than {VOID} of its names have no such record")
