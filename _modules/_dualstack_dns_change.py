"""
Publishing and withdrawing records: plan, apply, undo.

A record counts as published when *every* authoritative server of its zone says so. Only AAAA records of the named names
are ever changed, and of these only those that this host has published itself, unless all others are to be removed as
well.

A plan is plain data. It has ``edits``, for the provider; ``places``, where the servers are; and of the provider's
settings only the key of the pillar under which they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import _dualstack_converge as converge
import _dualstack_dns_ask as dns_ask
import _dualstack_dns_memory as dns_memory
import _dualstack_dns_settings as dns_settings
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
    places, now = _look(wish)
    aliases = [f"{each} is {dns_ask.told(now[each])}" for each in wish.names if now[each]["alias"]]
    if aliases:
        raise CommandExecutionError(
            f"{'; '.join(aliases)}: an alias may not have other records (RFC 2181, section 10.1), and a name server "
            "may ignore the attempt without an error; publish the target instead"
        )
    memory = dns_memory.recall()
    edits: plugins.Edits = {}
    warnings = []
    for each in wish.names:
        old = _records(now[each])
        foreign = [found for found in old["addresses"] if found not in (wish.address, *memory.get(each, []))]
        kept = [] if wish.exclusive or wish.about["replaces"] else foreign
        ttl = wish.ttl if wish.about["sets_ttl"] else old["ttl"]
        edits[each] = {"old": old, "new": {"addresses": sorted([wish.address, *kept]), "ttl": ttl}}
        if kept:
            warnings.append(f"{each} also has {', '.join(kept)}, which this host has not published: it was left there")
        if not wish.about["sets_ttl"] and old["ttl"] not in (None, wish.ttl):
            warnings.append(f"{each} has a TTL of {old['ttl']} s, and {wish.provider} cannot change it to {wish.ttl} s")
    return _plan(wish, places, edits, memory, [wish.address], warnings)


def plan_withdrawn(wish: dns_settings.Wish) -> converge.Plan:
    """
    What would change so that names no longer have an address that this host has published.

    wish
        From :py:func:`_dualstack_dns_settings.wish`; the address, if there is one, counts as published by this host.

    Raises ``CommandExecutionError`` as :py:func:`plan_published` does, and where the provider cannot remove records.
    """
    places, now = _look(wish)
    memory = dns_memory.recall()
    edits: plugins.Edits = {}
    warnings = []
    for each in wish.names:
        old = _records(now[each])
        own = (wish.address, *memory.get(each, []))
        kept = [] if wish.exclusive else [found for found in old["addresses"] if found not in own]
        edits[each] = {"old": old, "new": {"addresses": kept, "ttl": old["ttl"] if kept else None}}
        if kept:
            warnings.append(f"{each} has {', '.join(kept)}, which this host has not published: it was left there")
        if old["addresses"] != kept and not wish.about["withdraws"]:
            raise CommandExecutionError(
                f"{wish.place}provider: {wish.provider} cannot remove a record; remove {dns_ask.told(old)} of {each} "
                "by hand, or use a provider that can"
            )
    return _plan(wish, places, edits, memory, [], warnings)


def _look(wish: dns_settings.Wish) -> tuple[dns_ask.Places, dict[str, dns_ask.Answer]]:
    places = dns_ask.places(wish.names, wish.servers, wish.about["servers"], f"{wish.place}servers")
    return places, dns_ask.agreed(places, wish.deadline)


def _records(answer: dns_ask.Answer) -> plugins.Records:
    return {"addresses": answer["addresses"], "ttl": answer["ttl"]}


def _plan(
    wish: dns_settings.Wish,
    places: dns_ask.Places,
    edits: plugins.Edits,
    memory: dns_memory.Addresses,
    ours: list[str],
    warnings: list[str],
) -> converge.Plan:
    edits = {name: edit for name, edit in edits.items() if not dns_ask.same(edit["old"], edit["new"])}
    if edits:
        dns_memory.refuse()
    files = dns_memory.drift()
    drifted = {path: host_files.mode_change(edit) for path, edit in files.items()}
    return {
        "changes": {**{name: _difference(edit) for name, edit in edits.items()}, **drifted},
        "warnings": warnings,
        "files": files,
        "edits": edits,
        "places": places,
        "deadline": wish.deadline,
        "provider": wish.provider,
        "atomic": wish.about["atomic"],
        "credentials": wish.credentials,
        "remembered": {name: memory.get(name, []) for name in edits},
        "ours": ours,
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
    dns_memory.remember({name: [*plan["remembered"][name], *plan["ours"]] for name in edits})
    _change(plan, edits, providers, lambda step: _look_again(plan, step))
    wanted = {name: edit["new"] for name, edit in edits.items()}
    dns_ask.agreed({name: plan["places"][name] for name in edits}, plan["deadline"], wanted)
    dns_memory.remember({name: plan["ours"] for name in edits})


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
        answers = dns_ask.ask({name: plan["places"][name]})[name].values()
        seen = [each for each in answers if not each["error"] and not dns_ask.holds(each, old)]
        if name in plan.get("done", []):
            back[name] = {"old": new, "new": old}
        elif seen and (not plan["atomic"] or dns_ask.holds(seen[0], new)):  # else others changed it meanwhile
            back[name] = {"old": _records(seen[0]), "new": old}
    _change({**plan, "tried": [], "done": []}, back, providers)
    dns_memory.remember(plan["remembered"])


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
        providers[plan["provider"]].change(plan["credentials"], step)
        plan["done"] += step


def _look_again(plan: converge.Plan, step: plugins.Edits) -> None:
    """A provider that cannot compare by itself would overwrite what somebody else has published since the plan."""
    for name, edit in step.items() if not plan["atomic"] else ():
        answers = dns_ask.ask({name: plan["places"][name]})[name]
        for server, now in answers.items():
            if now["error"]:
                raise CommandExecutionError(
                    f"{name} was not changed, since {server} does not answer again: {now['error']}"
                )
            if not dns_ask.holds(now, edit["old"]):
                raise host_files.Moved(f"{name} ({dns_ask.told(now)})", name)


def claim(wish: dns_settings.Wish) -> None:
    """
    Remember an address as published by this host, so that it is removed when another takes its place.

    wish
        What was asked for, and holds: some names may have had the address before this host was asked to publish it.

    Raises ``OSError``.
    """
    dns_memory.remember({name: [wish.address] if wish.address else [] for name in wish.names})
