"""
Publishing and withdrawing records: plan, apply, undo.

A record counts as published when *every* authoritative server of its zone says so. Only AAAA records of the named names
are ever changed, and of these only those that this host has published itself, unless all others are to be removed as
well. PTR records have plans of their own, in ``_dualstack_dns_ptr_change``, and all else is the same.

A plan is plain data. It has ``edits``, for the provider; ``places``, where the servers are; and of the provider's
settings only the key of the pillar under which they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_ask as dns_ask
import _dualstack_dns_memory as dns_memory
import _dualstack_dns_settings as dns_settings
import _dualstack_dns_wildcard as dns_wildcard
import _dualstack_dns_zone as dns_zone
import _dualstack_host_files as host_files
import _dualstack_host_time as host_time
import _dualstack_plugins as plugins
from salt.exceptions import CommandExecutionError, SaltInvocationError

PART = "dns"  # whose lock is held


def plan_published(wish: dns_settings.Wish) -> converge.Plan:
    """
    What would change so that names have the address.

    wish
        From :py:func:`_dualstack_dns_settings.wish`.

    Servers that do not agree may just be processing a change: they are asked until the deadline. Raises
    ``SaltInvocationError`` without an address, and ``CommandExecutionError`` where the servers do not agree or answer,
    or where a name is an alias.
    """
    if wish.address is None:
        raise SaltInvocationError(f"{wish.place}address: missing; expected an IPv6 address")
    places, now, wildcards = look(wish, wish.address)
    dns_wildcard.refuse(wildcards, wish.address)
    refuse_aliases(wish.names, now)
    memory = dns_memory.recall()
    edits: plugins.Edits = {}
    warnings = dns_wildcard.warnings(wildcards)
    for each in wish.names:
        old = records(now[each])
        foreign = [found for found in old["addresses"] if found not in (wish.address, *memory.get(each, []))]
        kept = [] if wish.exclusive or wish.about["replaces"] else foreign
        ttl = wish.ttl if wish.about["sets_ttl"] else old["ttl"]
        edits[each] = {"old": old, "new": {"addresses": sorted([wish.address, *kept]), "ttl": ttl}}
        if kept:
            warnings.append(f"{each} also has {', '.join(kept)}, which this host has not published: it was left there")
        if not wish.about["sets_ttl"] and old["ttl"] not in (None, wish.ttl):
            warnings.append(f"{each} has a TTL of {old['ttl']} s, and {wish.provider} cannot change it to {wish.ttl} s")
    return planned(wish, places, edits, memory, {each: [wish.address] for each in edits}, warnings)


def plan_withdrawn(wish: dns_settings.Wish, held: Collection[str] = ()) -> converge.Plan:
    """
    What would change so that names no longer have an address that this host has published.

    wish
        From :py:func:`_dualstack_dns_settings.wish`; the address, if there is one, counts as published by this host.
    held
        Addresses of this host that stay published, if it is not the wish's: nothing is known against them.

    Raises ``CommandExecutionError`` as :py:func:`plan_published` does, and where the provider cannot remove records.
    """
    places, now, wildcards = look(wish)
    memory = dns_memory.recall()
    edits: plugins.Edits = {}
    warnings = dns_wildcard.warnings(wildcards)
    stays = {each: [own for own in memory.get(each, []) if own in held and own != wish.address] for each in wish.names}
    for each in wish.names:
        own = {*([wish.address] if wish.address else []), *memory.get(each, [])} - {*stays[each]}
        edits[each] = withdrawal(wish, each, records(now[each]), own, warnings, stays[each])
    return planned(wish, places, edits, memory, stays, warnings)


def look(
    wish: dns_settings.Wish, satisfied: str | None = None
) -> tuple[dns_ask.Places, dict[str, dns_ask.Answer], dns_wildcard.Wildcards]:
    """
    Where the authoritative servers of the wish's names are, what the names have of their own there, as soon as they
    agree, and the wildcards over them.

    wish
        From :py:func:`_dualstack_dns_settings.wish`.
    satisfied
        An address with which nothing else is needed, whoever gives it.

    Raises ``CommandExecutionError`` where none is found, or they do not agree until the deadline.
    """
    places = dns_ask.places(wish.names, wish.servers, wish.about["servers"], f"{wish.place}servers")
    try:
        answers = dns_ask.agreed(places, wish.deadline, kind=wish.kind)
    except CommandExecutionError:
        _refuse_zone(wish, wish.names, places)  # which explains it better
        raise
    wildcards = dns_wildcard.over(places, wish.kind)
    return places, dns_wildcard.own(answers, wildcards, satisfied), wildcards


def _refuse_zone(wish: dns_settings.Wish, names: list[str], places: dns_ask.Places) -> None:
    place = wish.place.removesuffix(":") if wish.kind == "PTR" and wish.place else wish.credentials
    dns_zone.refuse(names, wish.about["zone"], wish.about["servers"], places, place)


def refuse_aliases(names: Iterable[str], now: Mapping[str, dns_ask.Answer]) -> None:
    """
    Raise ``CommandExecutionError`` for names that are aliases.

    names
        The names that are to have records.
    now
        What the servers say about them.
    """
    aliases = [f"{each} is {dns_ask.told(now[each])}" for each in names if now[each]["alias"]]
    if aliases:
        raise CommandExecutionError(
            f"{'; '.join(aliases)}: an alias may not have other records (RFC 2181, section 10.1), and a name server "
            "may ignore the attempt without an error; publish the target instead"
        )


def withdrawal(
    wish: dns_settings.Wish,
    name: str,
    old: plugins.Records,
    own: Collection[str],
    warnings: list[str],
    stays: Collection[str] = (),
) -> plugins.Edit:
    """
    The edit that removes what this host has published under a name.

    wish
        Whose provider makes it; what others have published is removed, too, if it is ``exclusive``.
    name
        The name.
    old
        What is there.
    own
        What this host has published there.
    warnings
        Receives what is left there.
    stays
        What this host has published there as well, and is to be left.

    Raises ``CommandExecutionError`` where the provider cannot remove records.
    """
    kept = [] if wish.exclusive else [found for found in old["addresses"] if found not in own]
    foreign = [each for each in kept if each not in stays]
    if foreign:
        warnings.append(f"{name} has {', '.join(foreign)}, which this host has not published: it was left there")
    if len(foreign) < len(kept):
        before = ", ".join(each for each in kept if each in stays)
        warnings.append(f"{name} has {before}, of which nothing is known: it was left there")
    if old["addresses"] != kept and not wish.about["withdraws"]:
        raise CommandExecutionError(
            f"{wish.place}provider: {wish.provider} cannot remove a record; remove {dns_ask.told(old, wish.kind)} of "
            f"{name} by hand, or use a provider that can"
        )
    return {"old": old, "new": {**old, "addresses": kept, "ttl": old["ttl"] if kept else None}}


def records(answer: dns_ask.Answer) -> plugins.Records:
    """
    The records of an answer.

    answer
        What a server says.
    """
    found: plugins.Records = {"addresses": answer["addresses"], "ttl": answer["ttl"]}
    return {**found, "instead": answer["instead"]} if "instead" in answer else found


def planned(
    wish: dns_settings.Wish,
    places: dns_ask.Places,
    edits: plugins.Edits,
    memory: dns_memory.Addresses,
    ours: dns_memory.Addresses,
    warnings: list[str],
) -> converge.Plan:
    """
    The plan of edits.

    wish
        Whose provider makes them.
    places
        The servers of each name.
    edits
        By name; those that change nothing are left out.
    memory
        What this host has published until now, by name.
    ours
        What it has published after the change, by name.
    warnings
        Sentences for the comment.

    Raises ``CommandExecutionError`` or ``OSError`` where what is published could not be remembered.
    """
    edits = {name: edit for name, edit in edits.items() if not dns_ask.same(edit["old"], edit["new"])}
    if edits:
        dns_memory.refuse(wish.kind)
        _refuse_zone(wish, list(edits), places)
    files = dns_memory.drift(wish.kind)
    drifted = {path: host_files.mode_change(edit) for path, edit in files.items()}
    return {
        "changes": {**{name: _difference(edit) for name, edit in edits.items()}, **drifted},
        "warnings": warnings,
        "files": files,
        "kind": wish.kind,
        "edits": edits,
        "places": places,
        "deadline": wish.deadline,
        "provider": wish.provider,
        "atomic": wish.about["atomic"],
        "credentials": wish.credentials,
        "remembered": {name: memory.get(name, []) for name in edits},
        "ours": {name: ours.get(name, []) for name in edits},
    }


def _difference(edit: plugins.Edit) -> dict[str, object]:
    old, new = edit["old"], edit["new"]
    addresses: dict[str, object] = {"old": old["addresses"], "new": new["addresses"]}
    if None in (old["ttl"], new["ttl"]) or old["ttl"] == new["ttl"]:
        return addresses
    return {**addresses, "ttl": {"old": old["ttl"], "new": new["ttl"]}}


def apply(plan: converge.Plan, providers: Mapping[str, plugins.Provider]) -> None:
    """
    Carry out a plan, and wait until every authoritative server shows it.

    plan
        From :py:func:`plan_published` or :py:func:`plan_withdrawn`, made just now. The names whose change was tried
        and accepted are added to it, as ``tried`` and ``done``: while the servers lag, :py:func:`undo` cannot see that.
    providers
        From :py:func:`_dualstack_plugins.providers`.

    Raises ``CommandExecutionError`` with what the provider said, or with the servers that lag at the deadline.
    """
    edits: plugins.Edits = plan["edits"]
    plan.update(tried=[], done=[])
    host_files.write(plan["files"])
    if not edits:
        return
    # Before the change: if the run is interrupted, what was published is still known as this host's.
    known = {name: [*plan["remembered"][name], *plan["ours"][name]] for name in edits}
    dns_memory.remember(known, plan["kind"])
    _change(plan, edits, providers, lambda step: _look_again(plan, step))
    wanted = {name: edit["new"] for name, edit in edits.items()}
    dns_ask.agreed({name: plan["places"][name] for name in edits}, plan["deadline"], wanted, plan["kind"])
    dns_memory.remember(plan["ours"], plan["kind"])


def undo(plan: converge.Plan, providers: Mapping[str, plugins.Provider]) -> list[converge.Step]:
    """
    The steps that put the records back as they were when a plan was made, and the memory of them.

    plan
        A plan that was carried out, wholly or in part.
    providers
        From :py:func:`_dualstack_plugins.providers`.

    Only what was changed is put back, and not what somebody else has changed in the meantime. A refused request is not
    repeated: it would not help, and a provider may treat it as abuse. The first raises ``CommandExecutionError`` with
    what the provider said where it fails.
    """
    return [lambda: _put_back(plan, providers), *host_files.restoring(plan["files"])]


def _put_back(plan: converge.Plan, providers: Mapping[str, plugins.Provider]) -> None:
    back: plugins.Edits = {}
    for name in plan["tried"] if "tried" in plan else plan["edits"]:
        old, new = plan["edits"][name]["old"], plan["edits"][name]["new"]
        answers = dns_ask.ask({name: plan["places"][name]}, plan["kind"])[name].values()
        seen = [each for each in answers if not each["error"] and not dns_ask.holds(each, old)]
        if name in plan.get("done", []):
            back[name] = {"old": new, "new": old}
        elif seen and (not plan["atomic"] or dns_ask.holds(seen[0], new)):  # else others changed it meanwhile
            back[name] = {"old": records(seen[0]), "new": old}
    _change({**plan, "tried": [], "done": []}, back, providers)
    dns_memory.remember(plan["remembered"], plan["kind"])


def _change(
    plan: converge.Plan,
    edits: plugins.Edits,
    providers: Mapping[str, plugins.Provider],
    before: Callable[[plugins.Edits], None] = lambda step: None,
) -> None:
    steps = [edits] if plan["atomic"] else [{name: edit} for name, edit in edits.items()]
    for step in steps if edits else []:
        host_time.left(0)  # no other step is begun
        before(step)
        plan["tried"] += step
        providers[plan["provider"]].change(plan["credentials"], _told(step, plan["kind"]))
        plan["done"] += step


def _told(step: plugins.Edits, kind: str) -> Any:
    """Edits as a provider gets them: PTR records have names, and no addresses."""
    if kind == "AAAA":
        return step
    named = plugins.VALUES[kind]
    return {
        name: {
            "kind": kind,
            "old": {named: edit["old"]["addresses"], "ttl": edit["old"]["ttl"]},
            "new": {named: edit["new"]["addresses"], "ttl": edit["new"]["ttl"]},
        }
        for name, edit in step.items()
    }


def _look_again(plan: converge.Plan, step: plugins.Edits) -> None:
    """A provider that cannot compare by itself would overwrite what somebody else has published since the plan."""
    for name, edit in step.items() if not plan["atomic"] else ():
        answers = dns_ask.ask({name: plan["places"][name]}, plan["kind"])[name]
        for server, now in answers.items():
            if now["error"]:
                raise CommandExecutionError(
                    f"{name} was not changed, since {server} does not answer again: {now['error']}"
                )
            if not dns_ask.holds(now, edit["old"]):
                raise host_files.Moved(f"{name} ({dns_ask.told(now, plan['kind'])})", name)


def claim(wish: dns_settings.Wish) -> None:
    """
    Remember an address as published by this host, so that it is removed when another takes its place.

    wish
        What was asked for, and holds: some names may have had the address before this host was asked to publish it.

    Raises ``OSError``.
    """
    dns_memory.remember({name: [wish.address] if wish.address else [] for name in wish.names})
