"""
The firewall of the next boot beside the live one: what netfilter-persistent will load, and whether anything else does.

Compared are the tables that the pillar has, without the chains of others: these come back by themselves.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_boot_loader as boot_loader
import _dualstack_boot_rivals as boot_rivals
import _dualstack_boot_text as boot_text
import _dualstack_boot_units as boot_units
import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_others as firewall_others
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

SETS = firewall_boot.SETS
PLUGINS = {"ipv4": "ip4tables", "ipv6": "ip6tables"}  # parts of their names
SET = re.compile(r"(?:^| )--(?:match-set|add-set|del-set|map-set) (\S+)", re.MULTILINE)
CREATED = re.compile(r"^create (\S+) (\S+)(.*)$", re.MULTILINE)
VOLATILE = re.compile(r" (?:packets|bytes) \d+")
NOT_SAVED = (
    "not saved, as the pillar says (firewall:save): what the boot loads is not this formula's, and was not tried"
)


class Live(NamedTuple):
    """The live rules, and which of them the pillar manages."""

    backend: str
    tables: dict[str, firewall_save.Tables]  # by family
    managed: dict[str, list[str]]  # the names of tables, by family
    others: dict[str, firewall_delta.Others]


def look(ipv6: Mapping[str, Any], network: Mapping[str, str]) -> converge.Finding:
    """
    Whether the next boot loads the rules that are live.

    ipv6
        The pillar ``ipv6``, valid, with the part ``firewall``.
    network
        The texts of the files that the network stack reads, by path.

    Changes nothing. Raises ``SaltInvocationError`` for a wrong pillar, and ``CommandExecutionError``.
    """
    declared = firewall_declared.declared({"ipv6": ipv6}, firewall_declared.KEY, {}, None)
    if not declared.firewall.get("save", True):
        return converge.Finding(None, NOT_SAVED)
    built = firewall_ruleset.read(declared.firewall, declared.tunnel)
    backend = firewall_commands.backend(declared.firewall.get("backend", "auto"))
    managed = {family: list(tables) for family, tables in built["tables"].items()}
    tables = firewall_kernel.read(backend)
    others = firewall_others.of(declared.firewall, {}, tables)
    live = Live(backend, tables, managed, others)
    problems, untried = _loader()
    rivals = boot_rivals.found(network)
    problems += rivals.certain
    untried += rivals.possible
    kinds = {family: boot_loader.backend(family) for family in live.tables}
    scripts = []
    for script in boot_rivals.nft_scripts():
        flushes = boot_rivals.flushes(script, kinds)
        problems += flushes
        scripts += [] if flushes else [script]
    unknown = boot_loader.unknown()
    if unknown:
        return boot_verdict.of("", problems, [*untried, *unknown])
    try:
        booted = boot_loader.load(scripts)
    except CommandExecutionError as error:  # not of a file: that is in what the loader said
        return boot_verdict.of("", problems, [*untried, f"the rules of the next boot could not be loaded: {error}"])
    for family in live.tables:
        if kinds[family] == backend and backend not in booted.tables[family]:
            untried.append(f"{firewall_boot.SAVED[family]}: what the boot loads could not be read back")
        else:
            problems += _different(live, booted, family, kinds[family])
    problems += [*_sets(live, booted), *_others(live, booted)]
    for script in scripts:
        if script in booted.failures:
            untried.append(f"{script}: nftables.service loads it, and here it cannot be: {booted.failures[script]}")
        else:
            problems += _beside(script, booted)
    names = {name for tables in managed.values() for name in tables}
    fine = f"{boot_loader.SCRIPT} loads the live rules of {' and '.join(live.tables)} ({', '.join(sorted(names))})"
    return boot_verdict.of(f"{fine}, and nothing else loads any", problems, untried)


def _loader() -> tuple[list[str], list[str]]:
    """What is wrong with the program that loads the rules, and what is not known about it."""
    start = boot_units.start([boot_loader.UNIT], boot_loader.SCRIPT)
    problems = boot_loader.broken()
    if start.starts is False:
        problems.append(f"{start.why}: nothing loads the rules at boot: {boot_units.advice(boot_loader.SCRIPT)}")
    untried = [] if start.starts is not None else [f"whether the boot loads the rules is not known: {start.why}"]
    return problems, [*untried, *boot_loader.edited_unit()]


def _different(live: Live, booted: boot_loader.Booted, family: str, kind: str) -> Iterator[str]:
    """How the rules of a family differ, and what the loader said about its file."""
    path, command = firewall_boot.SAVED[family], firewall_commands.COMMANDS[family]
    if kind != live.backend:
        yield (
            f"{path}: at boot, {command}-restore is {kind or 'missing'}, and the live rules are in {live.backend}: "
            f"'update-alternatives --set {command} /usr/sbin/{command}-{live.backend}'"
        )
        return
    found = [*_chains(live, booted.tables[family][kind], family), *_registered(live, booted, family)]
    if not found:
        return
    said = next((text for name, text in booted.said.items() if PLUGINS[family] in name), "")
    text = firewall_boot.saved(family)
    if text is None:
        found = ["there is no such file, and nothing is loaded"]
    elif not text.strip():
        found = ["it is empty, and nothing is loaded", *found]
    elif said:
        found = [f"the boot cannot load it: {said}", *found]
    for each in found:
        yield f"{path}: {each}"


def _chains(live: Live, boots: firewall_save.Tables, family: str) -> Iterator[str]:
    now = _own(live.tables[family], live.managed[family], live.others[family])
    then = _own(boots, live.managed[family], live.others[family])
    for table, chains in now.items():
        for chain in firewall_save.different(chains, then[table]):
            yield f"{chain} of the table {table}: {_told(chains.get(chain), then[table].get(chain))}"


def _own(tables: firewall_save.Tables, names: Sequence[str], others: firewall_delta.Others) -> firewall_save.Tables:
    complete = {name: tables.get(name) or firewall_save.empty(name) for name in names}
    return firewall_delta.own(complete, others)


def _told(now: firewall_save.Chain | None, then: firewall_save.Chain | None) -> str:
    """How a chain of the boot differs from the live one."""
    if then is None or now is None:
        rules = len((now or then or {"rules": []})["rules"])
        return f"the boot does not make it (it has {rules} rules)" if now else f"it is not live ({rules} rules)"
    said = []
    if now["policy"] != then["policy"]:
        said.append(f"the boot sets the policy {then['policy']}, and {now['policy']} is live")
    missing = list((Counter(now["rules"]) - Counter(then["rules"])).elements())
    more = list((Counter(then["rules"]) - Counter(now["rules"])).elements())
    if missing:
        said.append(f"the boot does not load {len(missing)} of {len(now['rules'])} live rules, as `{missing[0]}`")
    if more:
        said.append(f"the boot loads {len(more)} rules that are not live, as `{more[0]}`")
    return "; ".join(said) or "the boot loads its rules in another order"


def _registered(live: Live, booted: boot_loader.Booted, family: str) -> Iterator[str]:
    """The single rules of other formulas, in tables that the pillar does not have."""
    boots = booted.tables[family][live.backend]
    for table, chains in firewall_register.read().get(family, {}).items():
        for chain, rules in chains.items() if table not in live.managed[family] else ():
            there = boots.get(table, {}).get(chain, {"policy": None, "rules": []})["rules"]
            for rule in rules:
                if rule in live.tables[family].get(table, {}).get(chain, {"policy": None, "rules": []})["rules"]:
                    if rule not in there:
                        yield f"{chain} of the table {table}: the boot does not load `{rule}`"


def _sets(live: Live, booted: boot_loader.Booted) -> Iterator[str]:
    """How the sets differ that the live rules use."""
    rules = [
        rule
        for family, tables in live.tables.items()
        for chains in _own(tables, live.managed[family], live.others[family]).values()
        for each in chains.values()
        for rule in each["rules"]
    ]
    used = sorted(set(SET.findall("\n".join(rules))))
    if not used:
        return
    yield from firewall_boot.warnings(["-set "], firewall_commands.backend())
    now, then = _contents(firewall_kernel.sets()), _contents(booted.sets)
    for name in used:
        if name not in now:
            continue
        if name not in then:
            lacks = "there is no such file, and the rules use" if host_files.read(SETS) is None else "it does not make"
            yield f"{SETS}: {lacks} the set {name}: 'ipset save >{SETS}'"
        elif now[name].kind != then[name].kind:
            yield f"{SETS}: it makes the set {name} as {then[name].kind}, and {now[name].kind} is live"
        elif not now[name].changes and now[name].entries != then[name].entries:
            missing, more = now[name].entries - then[name].entries, then[name].entries - now[name].entries
            yield (
                f"{SETS}: the set {name} lacks {len(missing)} of {len(now[name].entries)} live entries, and has "
                f"{len(more)} others: 'ipset save >{SETS}'"
            )


class Set(NamedTuple):
    """A set of ipset(8): its type and family, its entries, and whether these come and go by themselves."""

    kind: str
    entries: frozenset[str]
    changes: bool


def _contents(text: str) -> dict[str, Set]:
    entries: dict[str, set[str]] = {}
    for line in text.splitlines():
        verb, _, rest = line.partition(" ")
        name, _, entry = rest.partition(" ")
        if verb == "add":
            entries.setdefault(name, set()).add(VOLATILE.sub("", entry))
    found = {}
    for name, kind, options in CREATED.findall(text):
        family = re.search(r" family (\S+)", options)
        shown = f"{kind} {family[1]}" if family else kind
        found[name] = Set(shown, frozenset(entries.get(name, ())), " timeout " in f"{options} ")
    return found


def _others(live: Live, booted: boot_loader.Booted) -> Iterator[str]:
    """What the unused backend filters now, and will not after the boot, or the other way round."""
    unused = next(each for each in boot_loader.BACKENDS if each != live.backend)
    now: dict[str, firewall_save.Tables] = {}
    if firewall_kernel.other(live.backend):
        with contextlib.suppress(CommandExecutionError):  # it cannot be read, so it filters nothing
            now = firewall_kernel.read(unused)
    for family in live.tables:
        then = booted.tables[family].get(unused, {})
        if boot_loader.backend(family) == unused:
            continue  # that is told
        names = sorted({*now.get(family, {}), *then})
        one, other = (_own(each, names, live.others[family]) for each in (now.get(family, {}), then))
        for table in names:
            kept = now.get(family, {}).get(table) or firewall_save.empty(table)
            for chain in firewall_save.different(one[table], other[table]):
                mine, theirs = one[table].get(chain), other[table].get(chain)
                alone = mine and theirs and mine["rules"] == theirs["rules"]
                if alone and mine and len(kept[chain]["rules"]) > len(mine["rules"]):
                    continue  # whose rules are in it also sets its policy
                said = _told(mine, theirs)
                yield f"{firewall_commands.COMMANDS[family]}-{unused}: {chain} of the table {table}: {said}"


def _beside(script: str, booted: boot_loader.Booted) -> Iterator[str]:
    """What a script of nft(8) changes when it is loaded after the rules."""
    if booted.after[script] != booted.tables:
        yield f"{script}: nftables.service loads it, and it changes the rules that {boot_loader.SCRIPT} has loaded"
        return
    before, after = boot_text.nft_tables(booted.nft), boot_text.nft_tables(booted.nft_after[script])
    live = boot_text.nft_tables(boot_loader.live_nft())
    for name, text in after.items():
        if before.get(name) != text and live.get(name) != text:
            yield f"{script}: nftables.service loads its table {name}, which is not live so"
