"""
Whether the names lead to this host over IPv4 as well: else a AAAA record would split a site over two machines.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import _dualstack_converge as converge
import _dualstack_dns_ask as dns_ask
import _dualstack_service_place as service_place
from salt.exceptions import CommandExecutionError

Answers = Mapping[str, dns_ask.Answer]  # of one name, by the server's label


def lead(
    names: Iterable[str],
    servers: Sequence[str] | None,
    public_ipv4: str | None,
    own: Sequence[str],
    fallback: Sequence[str] = (),
) -> converge.Finding:
    """
    Whether each name leads to this host over IPv4, or nowhere, as its authoritative name servers say.

    names
        Host names in lower case, without the dot at the end.
    servers
        The servers to ask, each an address or ``address#port``; without any, those that the zone's NS records name.
    public_ipv4
        The address by which others reach this host, if it does not have it itself.
    own
        The IPv4 addresses of this host.
    fallback
        The servers where this host's resolver finds none.

    ``None`` where no server answers, or where it cannot be known which address this host has outside.
    """
    where: dns_ask.Places = {}
    found = []
    for name in names:
        try:
            where.update(dns_ask.places([name], list(servers or []), fallback, "dns:servers"))
        except CommandExecutionError as error:
            found.append(converge.Finding(None, f"{name}: {error}"))
    try:
        answers = dns_ask.ask(where, "A") if where else {}
    except CommandExecutionError as error:  # there is no library
        return converge.Finding(None, str(error))
    found += [judge(name, said, public_ipv4, own) for name, said in answers.items()]
    return converge.together(found, "no name is given")


def judge(name: str, said: Answers, public_ipv4: str | None, own: Sequence[str]) -> converge.Finding:
    """
    Whether a name leads to this host over IPv4, or nowhere. PURE.

    name
        The host name.
    said
        What each of its servers says. One that does not answer is told; those that do decide, each of them: a client
        may ask any.
    public_ipv4, own
        As for :py:func:`lead`.
    """
    speaking = {label: answer for label, answer in said.items() if not answer["error"]}
    silent = [f"{label}: {answer['error']}" for label, answer in said.items() if answer["error"]]
    if not speaking:
        return converge.Finding(None, f"no name server says where {name} leads over IPv4: {'; '.join(silent)}")
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for label, answer in speaking.items():
        alike.setdefault((answer["alias"], tuple(sorted(answer["addresses"], key=_order))), []).append(label)
    found = []
    for (alias, addresses), labels in alike.items():
        one = _judged(name, alias, addresses, public_ipv4, own)
        by = f", says {' and '.join(labels)}" if len(alike) > 1 else ""
        found.append(converge.Finding(one.holds, f"{one.comment}{by}"))
    decided = converge.together(found, "")
    return decided._replace(comment="\n".join([decided.comment, *silent]))


def _judged(
    name: str, alias: str, addresses: Sequence[str], public_ipv4: str | None, own: Sequence[str]
) -> converge.Finding:
    if alias:
        return converge.Finding(
            None,
            f"{name} is an alias (CNAME) of {alias}, beside which it can have no AAAA record; publish {alias} instead",
        )
    if not addresses:
        return converge.Finding(True, f"{name} has no A record: over IPv4 it leads nowhere")
    ours = {*own, *([str(public_ipv4)] if public_ipv4 else [])}
    others = [each for each in addresses if each not in ours]
    here = [each for each in addresses if each in ours]
    if here:
        further = f", and also to {', '.join(others)}, which this host does not have" if others else ""
        return converge.Finding(True, f"{name} leads here over IPv4, to {', '.join(here)}{further}")
    public = [each for each in own if not service_place.private(each)]
    known = [*public, *([str(public_ipv4)] if public_ipv4 else [])]
    leads = f"{name} leads to {', '.join(others)} over IPv4, and this host has"
    if not known and own:
        return converge.Finding(
            None,
            f"{leads} only {', '.join(own)}: whether it is reached by that one is not known; "
            "ipv6:verify:public_ipv4 would say so",
        )
    return converge.Finding(
        False,
        f"{leads} {', '.join(known) or 'none'}: its AAAA record would split the site over two machines; "
        "ipv6:dns:other_ipv4: true if that is meant, and ipv6:verify:public_ipv4 if this host is reached by that one",
    )


def _order(address: str) -> int:
    return int(ipaddress.IPv4Address(address))
