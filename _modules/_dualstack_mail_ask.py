"""
What the DNS says of a host that sends mail: A, AAAA, MX, PTR and TXT records.

A receiver asks its own resolver, which may soon know more than this host's: that one keeps the answer that there is no
record, for as long as the zone says, when the record has long been published. So the zone's own servers are asked where
they are known, and whenever the resolver knows of nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import _dualstack_dns_ask as dns_ask
import _dualstack_dns_values as dns_values
import _dualstack_host_time as host_time
import _dualstack_mail_spf as mail_spf
from salt.exceptions import CommandExecutionError

QUERY = 5.0  # seconds for one answer
AGAIN = 1.0  # seconds for one, when another has not come in time
ALL = 30.0  # seconds for all questions about one service
ALIASES = 8  # CNAME records in a row

Answer = mail_spf.Answer
Follow = Callable[[str], Answer]


class Lookups:
    """
    Questions to the DNS, each asked once: what a plan rests on is the same when it is made again.

    servers
        Authoritative name servers, each an address or ``address#port``, which are asked first; for what they are not
        authoritative for, and without any, this host's resolver is.
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = [each for each in servers if _is_server(each)]  # who is to blame for others is told elsewhere
        self._silent: set[str] = set()  # those that have not answered once: they are not waited for again
        self._known: dict[tuple[str, str], Answer] = {}
        self._spent = 0.0
        self._patience = QUERY

    def __call__(self, name: str, kind: str) -> Answer:
        """
        The records of a name.

        name
            Without the dot at the end.
        kind
            ``A``, ``AAAA``, ``MX`` (the hosts), ``PTR``, or ``TXT``.

        Returns no records where there are none, and an error where that could not be asked.
        """
        key = (dns_values.canonical(name), kind)
        if key not in self._known:
            start = time.monotonic()
            self._known[key] = Answer()  # of an alias that leads back to itself
            self._known[key] = self._found(*key) if self._spent < ALL else Answer(error="the time for it was over")
            taken = time.monotonic() - start
            self._spent += taken
            if self._known[key].error and taken > self._patience / 2:
                self._patience = AGAIN
        return self._known[key]

    def _found(self, name: str, kind: str) -> Answer:
        try:
            library = dns_ask.dnspython()
            owner = library.name.from_text(name)
        except CommandExecutionError as error:
            return Answer(error=str(error))
        except Exception:  # pylint: disable=broad-except  # dnspython has many errors for a text that is no name
            return Answer(error=f"{name!r} is no name")

        def follow(target: str) -> Answer:
            return self(target, kind)

        own = self._direct(library, self._servers, owner, kind, follow)
        if own is not None:
            return own
        said = _resolved(library, owner, kind, self._patience)
        if said.records or said.error:
            return said
        return self._direct(library, _authorities(name), owner, kind, follow) or said

    def _direct(self, library: Any, servers: Sequence[str], owner: Any, kind: str, follow: Follow) -> Answer | None:
        """
        What all authoritative servers have, of those that answer: a receiver may ask any of them. ``None`` where none
        is authoritative.
        """
        answers = []
        for each in servers:
            try:
                found = None if each in self._silent else _asked(library, each, owner, kind, self._patience, follow)
            except (library.exception.DNSException, OSError, EOFError):
                self._silent.add(each)
                continue
            answers += [set(found)] if found is not None else []
        return Answer(tuple(sorted(set.intersection(*answers)))) if answers else None


def _is_server(value: Any) -> bool:
    try:
        return bool(dns_values.server(value))
    except ValueError:
        return False


def _authorities(name: str) -> list[str]:
    try:
        return list(dns_ask.places([name], None, ())[name].values())
    except CommandExecutionError:
        return []


def _asked(library: Any, server: str, owner: Any, kind: str, patience: float, follow: Follow) -> list[str] | None:
    """
    The records that one server has of a name, by its own authority, ``None`` without it; what an alias leads to
    elsewhere is asked for there. Raises what dnspython does for a server that does not answer.
    """
    address, port = dns_values.server(server)
    question = library.message.make_query(owner, kind, flags=0)  # no recursion is desired
    answer = library.query.tcp(question, address, timeout=host_time.left(patience), port=port)
    if library.rcode.to_text(answer.rcode()) not in ("NOERROR", "NXDOMAIN") or not answer.flags & library.flags.AA:
        return None
    name = owner
    for _ in range(ALIASES):
        found = _records(library, answer.answer, name, kind)
        target = _records(library, answer.answer, name, "CNAME")
        if found or not target:
            break
        name = library.name.from_text(target[0])
    if found or name == owner:
        return found
    elsewhere = follow(dns_values.canonical(name.to_text()))  # in a zone that this server may not have
    return None if elsewhere.error else list(elsewhere.records)


def _records(library: Any, section: Any, owner: Any, kind: str) -> list[str]:
    wanted = library.rdatatype.from_text(kind)
    return [_text(each, kind) for rrset in section if rrset.name == owner and rrset.rdtype == wanted for each in rrset]


def _text(record: Any, kind: str) -> str:
    if kind == "TXT":  # RFC 7208, section 3.3: without a space between its strings
        return b"".join(record.strings).decode("ascii", "replace")
    if kind in ("A", "AAAA"):
        return str(record.address)
    target = record.exchange if kind == "MX" else record.target
    return dns_values.canonical(target.to_text())


def _resolved(library: Any, owner: Any, kind: str, patience: float) -> Answer:
    """What this host's resolver says."""
    name = owner.to_text(omit_final_dot=True)
    try:
        found = dns_ask.resolver(patience).resolve(owner, kind)
    except (library.resolver.NXDOMAIN, library.resolver.NoAnswer):
        return Answer()
    except (library.exception.DNSException, OSError) as error:
        return Answer(error=f"the {kind} record of {name} could not be asked: {dns_ask.said(error)}")
    return Answer(tuple(sorted(_text(each, kind) for each in found)))
