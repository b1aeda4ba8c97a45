"""
Rules tested on behalf of this host: whether they do what is expected, and whom they let in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_firewall_imitation as firewall_imitation
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_surroundings as firewall_surroundings
import _dualstack_firewall_view as firewall_view
import _dualstack_host_management as host_management
from salt.exceptions import SaltInvocationError

EXPECTED = firewall_rehearsal.EXPECTED


class Allowed(TypedDict):
    """Whether a stranger is let in, by target and family, and what was not tested."""

    allowed: dict[str, dict[str, bool | None]]
    warnings: list[str]


def tried(
    expect: list[dict[str, Any]] | None,
    tunnel: dict[str, Any] | None,
    tables: Mapping[str, firewall_save.Tables],
    backend: str,
    managed: Sequence[host_management.Connection] = (),
    asked: Sequence[host_management.Connection] = (),
    hosts: Any = None,
    sets: str | None = None,
) -> list[firewall_rehearsal.Tried]:
    """
    The verdict on every expectation, from real packets in a scratch network namespace.

    expect
        As in the pillar ``ipv6:firewall:expect``.
    tunnel
        As in the pillar ``ipv6:tunnel``: IPv6 without a route is expected to come by it.
    tables
        The rules of each family.
    backend
        ``nft`` or ``legacy``.
    managed
        The connections that this host is managed by: they are expected without being listed, and come first.
    asked
        Connections of which nothing is expected: they come next.
    hosts
        Those that stand for anywhere, as in the pillar ``ipv6:firewall:from``.
    sets
        The sets that rules may refer to, as ipset save prints them; by default those that are live.

    What depends on anything that cannot be imitated is ``unknown``. Those who manage this host are not let in by being
    sent on to another one. Raises ``SaltInvocationError`` for a malformed list, and ``CommandExecutionError``;
    ``NoNamespaces``, which is one, where namespaces are not permitted.
    """
    anywhere, problems = firewall_expectations.anywhere(hosts)
    if problems:
        raise SaltInvocationError("\n".join(f"from{each}" for each in problems))
    expectations = firewall_view.expectations(expect or [], tunnel, managed, asked, anywhere)
    if not expectations:
        return []
    texts = {family: firewall_save.render(each) for family, each in tables.items()}
    if sets is None:
        sets = firewall_kernel.sets() if any("-set " in text for text in texts.values()) else ""
    around = firewall_surroundings.look(texts, expectations, backend)
    if not any(around):  # as on most hosts
        found = firewall_rehearsal.run(texts, expectations, backend, sets)
    else:
        if not sets and any("-set " in text for _, _, text in around.rulesets):
            sets = firewall_kernel.sets()
        found = firewall_rehearsal.run(texts, expectations, backend, sets, around)
    for variant in _variants(texts, around):
        again = firewall_rehearsal.run(variant.texts, expectations, backend, sets, variant.around)
        found = [_certain(one, other, variant.reason) for one, other in zip(found, again)]
    return [_for_this_host(each) if index < len(managed) else each for index, each in enumerate(found)]


class Variant(NamedTuple):
    """The rules in another way in which they may work, and why they may."""

    texts: dict[str, str]
    around: firewall_rehearsal.Around
    reason: str


def _variants(texts: dict[str, str], around: firewall_rehearsal.Around) -> Iterator[Variant]:
    """The rules as if what cannot be imitated never held, and as if it always did."""
    written = [*texts.values(), *(text for _, _, text in around.rulesets)]
    strange = {name: text for name, text in around.native.items() if firewall_imitation.NATIVE.search(text)}
    if not strange and firewall_imitation.foreseen(written):
        return
    reasons = [] if firewall_imitation.foreseen(written) else [firewall_imitation.named(written)]
    reasons += [f"it depends on the table {name} of nft(8), part of which cannot be imitated" for name in strange]
    native = {name: text for name, text in around.native.items() if name not in strange}
    for changed in (firewall_imitation.never, firewall_imitation.always):
        rulesets = [(family, words, changed(text)) for family, words, text in around.rulesets]
        changed_texts = {family: changed(text) for family, text in texts.items()}
        yield Variant(changed_texts, around._replace(rulesets=rulesets, native=native), "; ".join(reasons))


def _certain(tried: firewall_rehearsal.Tried, again: firewall_rehearsal.Tried, reason: str) -> firewall_rehearsal.Tried:
    """
    The verdict, if the other way gives the same. Whoever manages this host is let in by these rules as they are.
    """
    same = tried["found"] in (again["found"], firewall_rehearsal.UNKNOWN)
    ours = not EXPECTED.fullmatch(tried["why"]) and tried["found"] == firewall_rehearsal.ACCEPT
    return tried if same or ours or tried["verdict"] == "any" else firewall_rehearsal.unknown(tried, [reason])


def _for_this_host(tried: firewall_rehearsal.Tried) -> firewall_rehearsal.Tried:
    elsewhere = tried["direction"] == "in" and tried["note"].startswith(firewall_rehearsal.FORWARDED)
    return {**tried, "ok": False} if elsewhere and tried["found"] == firewall_rehearsal.ACCEPT else tried


class Admitted(NamedTuple):
    """What the live rules do to the connections that manage this host, and what could not be tried, in sentences."""

    tried: list[firewall_rehearsal.Tried]
    unknown: list[str]


def admitted(managed: Sequence[host_management.Connection], choice: str = "auto") -> Admitted:
    """
    Whether the live rules still let those in, and out, who manage this host.

    managed
        The connections.
    choice
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    That a packet passes these rules is no proof that it arrives: others may filter it, here or on its way. Raises
    ``CommandExecutionError`` where the live rules cannot be read or tried.
    """
    if not managed:
        return Admitted([], ["No connection is known that would have to be let in"])
    try:
        backend = firewall_commands.backend(choice)
        found = tried(None, None, firewall_kernel.read(backend), backend, managed)
    except firewall_commands.NotInstalled as error:
        return Admitted([], [f"{error}: whether it filters was not looked at"])
    except firewall_commands.NoNamespaces as error:
        return Admitted([], [untried(error, managed)])
    return Admitted(found, firewall_kernel.other(backend))


def untried(error: Exception, managed: Sequence[host_management.Connection]) -> str:
    """
    What is not known where rules cannot be tried, in one sentence.

    error
        Why they cannot.
    managed
        The connections that this host is managed by.
    """
    who = ", ".join(dict.fromkeys(each.why for each in managed))
    return f"{error}; nothing has shown that these rules let in {who or 'whoever manages this host'}"


def verdict(tried: firewall_rehearsal.Tried) -> str:
    """
    The result for an expectation, in one sentence.

    tried
        The expectation.
    """
    port = f"/{tried['port']}" if tried["port"] else ""
    ends = {"source": tried["source"], "destination": tried["destination"]}
    if tried.get("others"):
        far = "destination" if tried["direction"] == "out" else "source"
        ends[far] = f"anywhere ({ends[far]} and {len(tried['others'])} more)"
    packet = f"{tried['protocol']}{port} from {ends['source']} to {ends['destination']}"
    note = f" ({tried['note']})" if tried["note"] else ""
    return f"{tried['why']}: {packet}: expected {tried['verdict']}, found {tried['found']}{note}"


def allowed(targets: list[str], tunnel: dict[str, Any] | None, choice: str) -> Allowed:
    """
    Whether the live rules of each family let a stranger in.

    targets
        What a stranger wants to reach, as an expectation's ``to``.
    tunnel
        As for :py:func:`tried`.
    choice
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns for each target and family ``True``, ``False``, or ``None`` where that is not known, as where other rules
    filter as well that cannot be imitated; and sentences about those. Raises as :py:func:`tried`.
    """
    backend = firewall_commands.backend(choice)
    live = firewall_kernel.read(backend)
    warnings = firewall_kernel.other(backend)
    family = {"family": next(iter(live))} if len(live) == 1 else {}
    expect = [{"to": target, "verdict": "accept", **family} for target in targets]
    found: dict[str, dict[str, bool | None]] = {target: {} for target in targets}
    for each in tried(expect, tunnel, live, backend):
        number = EXPECTED.fullmatch(each["why"])
        assert number
        unknown = each["found"] == firewall_rehearsal.UNKNOWN
        found[targets[int(number[1])]][each["family"]] = None if unknown else each["found"] == "accept"
        if unknown:
            warnings.append(verdict(each))
    return {"allowed": found, "warnings": warnings}
