"""
What a broker answers to an update, in the protocol of Dyn ("dyndns2") as Hurricane Electric speaks it, in words. PURE:
never accesses the host.
"""

from __future__ import annotations

import http.client
import ipaddress
from typing import NamedTuple

import _dualstack_broker_ask as broker_ask

# Seconds until the same may be sent again: after a refusal that stays one until something else changes; after any other
# failure; and after "nothing has changed" to a host that cannot see by itself whether something has.
LONG, SHORT, UNCHANGED = 24 * 3600.0, 300.0, 3600.0

BADAUTH = "the user or the update key is wrong; the key is on the tunnel's tab Advanced (badauth)"
ABUSE = "abuse"
REFUSALS = {
    "badauth": BADAUTH,
    "nohost": "the account has no tunnel of this id (nohost)",
    "notfqdn": "it does not take this for the id of a tunnel (notfqdn)",
    "!yours": "the tunnel belongs to another account (!yours)",
    ABUSE: "the tunnel is blocked since it was updated too often; look at the broker's web site (abuse)",
    "badagent": "it does not accept this client (badagent)",
    "badip": "it does not accept the address (badip)",
    "numhost": "it is asked about too many tunnels (numhost)",
}
FAILURES = {
    "badsys": "it does not understand the request (badsys)",
    "interval": "the last update was too recent (interval)",
    "dnserr": "it reports an internal error (dnserr)",
    "911": "it is out of order (911)",
}
ERROR = "-ERROR:"


class Said(NamedTuple):
    """What came of an update."""

    done: bool
    code: str  # the answer's first word, or what kind of failure it was
    address: str  # that the broker holds now, if it says so
    words: str  # what went wrong
    wait: float  # seconds until the same may be sent again


def judged(answer: broker_ask.Answer, wanted: str | None) -> Said:
    """
    What an answer means.

    answer
        The broker's.
    wanted
        The address that it was told; ``None`` where it was to take the one that the request came from.
    """
    if answer.problem:
        return _failed("unanswered", answer.problem)
    code, _, rest = answer.text.partition(" ")
    if code in REFUSALS:
        return _failed(code, REFUSALS[code], LONG)
    if answer.status == 401:
        return _failed("badauth", BADAUTH, LONG)
    if code in FAILURES:
        return _failed(code, FAILURES[code])
    if answer.text.startswith(ERROR):
        return _error(answer.text.removeprefix(ERROR).strip())
    if answer.status != 200:
        return _failed("status", f"it answers {answer.status} {http.client.responses.get(answer.status, '')}".strip())
    if code in ("good", "nochg"):
        return _done(code, rest.strip(), wanted)
    return _failed("unknown", unknown(answer.text))


def unknown(text: str) -> str:
    """
    What an answer is that is none.

    text
        The answer.
    """
    if not text:
        return "its answer is empty"
    if text.startswith("<"):
        return "it answers with a web page; a captive portal may be in between"
    return f"it answers something unknown: {text[:80]!r}"


def _failed(code: str, words: str, wait: float = SHORT) -> Said:
    return Said(False, code, "", words, wait)


def _done(code: str, rest: str, wanted: str | None) -> Said:
    wait = UNCHANGED if code == "nochg" else SHORT
    if not rest:
        return Said(True, code, wanted or "", "", wait)
    try:
        held = str(ipaddress.IPv4Address(rest))
    except ValueError:
        return _failed("unknown", unknown(f"{code} {rest}"))
    if wanted and held != wanted:
        return _failed("another", f"it has set another address: {held}")
    return Said(True, code, held, "", wait)


def _error(text: str) -> Said:
    lower = text.lower()
    if "pingable" in lower or "icmp" in lower:
        advice = (
            "it could not ping this host: ICMP echo requests from 66.220.2.74 have to be let in, here and by every "
            "firewall on the way"
        )
        return _failed("unpingable", f"{advice} (it says: {text[:200]})")
    if "already associated" in lower:
        return Said(True, "nochg", "", "", UNCHANGED)
    if "blocked" in lower or "rfc1918" in lower:
        return _failed("badip", f"it does not accept the address (it says: {text[:200]})", LONG)
    return _failed("error", f"it says: {text[:200]}" if text else "it reports an error without a word")
