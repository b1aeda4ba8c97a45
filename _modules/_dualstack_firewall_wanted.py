"""
A declared firewall in the form of this host's kernel.

The kernel's form of a firewall is remembered as long as nothing that it depends on changes: most runs have nothing to
do, and should find that out quickly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_firewall_canonical as firewall_canonical
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_ipset as firewall_ipset
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_memory as firewall_memory
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_sets as firewall_sets
import _dualstack_firewall_sets_text as firewall_sets_text
import _dualstack_settings_tunnels as settings_tunnels
import salt.utils.json
from salt.exceptions import SaltException, SaltInvocationError

TUNNEL = ("name", "endpoint", "carrier", "wireguard", "pingers")  # what the rules depend on
APART = ("expect", "save", "sets")  # keys that do not affect the tables

SPLIT = ("DROP", "ACCEPT")  # IPv4's policy, and IPv6's

# A host name as source or destination: it may have another address tomorrow.
HOST_NAME = re.compile(r" -[sd] (?![0-9./,]+(?: |$))[^ :]+(?: |$)", re.MULTILINE)


class Wanted(NamedTuple):
    """The tables of each family in the kernel's form, the names of others, and messages."""

    tables: dict[str, firewall_save.Tables]
    preserve: list[str]
    warnings: list[str]
    backend: str  # of the host's iptables
    key: str  # identifies all of this
    lasting: bool  # whether it is still valid in later runs
    proof: str  # of what was tested with real packets, in this run or before


def wanted(declared: firewall_declared.Declared, cachedir: str) -> Wanted:
    """
    The tables of a firewall on this host.

    declared
        The firewall.
    cachedir
        Salt's folder for what is remembered.

    Nothing is changed. Raises ``SaltInvocationError`` with every error in the firewall, ``NotInstalled`` where there is
    no iptables, ``Refused`` for rules that the kernel rejects, and ``CommandExecutionError``.
    """
    if firewall_ruleset.problems(declared.firewall):  # the quick check; if it fails, every error is reported at once
        declared.refuse(firewall_ruleset.read(declared.firewall)["problems"])
    backend = firewall_commands.backend(declared.firewall.get("backend", "auto"))
    described = {key: value for key, value in declared.firewall.items() if key not in APART}
    tunnel = settings_tunnels.together(
        [{key: each.get(key) for key in TUNNEL} for each in settings_tunnels.apart(declared.tunnel)]
    )
    own = firewall_sets.read(declared.firewall)
    if own.sets:
        firewall_ipset.available()
    naming = own.sets or "-set" in salt.utils.json.dumps(described, default=str)
    sets = firewall_sets_text.beside(firewall_kernel.sets(), own.sets) if naming else ""
    holding = {**firewall_kernel.set_families(sets), **own.families}
    facts = [described, tunnel, holding, declared.key, sorted(declared.named)]
    key = firewall_memory.digest(*facts, firewall_kernel.fingerprint(backend), firewall_memory.rooms())
    memory = firewall_memory.recall(cachedir)
    proof = str(memory.get("proof", ""))
    if memory.get("key") == key:
        return Wanted(**memory["wanted"], backend=backend, key=key, lasting=True, proof=proof)
    built = firewall_ruleset.read(declared.firewall, tunnel, holding)
    declared.refuse(built["problems"] or firewall_ipset.missing(built["tables"], built["origins"], holding))
    families = firewall_kernel.families()
    tables = {family: built["tables"][family] for family in families}
    warnings = declared.told(built["warnings"])
    if len(families) < len(built["tables"]):
        warnings.append("this kernel was started without IPv6 (ipv6.disable): nothing was done for it")
    try:
        canonical, said = firewall_canonical.canonical(tables, built["origins"], built["preserve"], backend, sets)
    except firewall_canonical.Refused as error:
        raise firewall_canonical.Refused(declared.told(error.rules), error.others) from None
    lasting = not any(HOST_NAME.search(firewall_save.render(each)) for each in tables.values())
    made = Wanted(canonical, built["preserve"], [*warnings, *said], backend, key, lasting, proof)
    if lasting:
        remember(made, cachedir)
    return made


def remember(wanted: Wanted, cachedir: str) -> None:
    """
    Remember what the kernel made of a firewall, and what was tried.

    wanted
        Of that firewall.
    cachedir
        Salt's folder for what is remembered.
    """
    made = {"tables": wanted.tables, "preserve": wanted.preserve, "warnings": wanted.warnings}
    facts = {"key": wanted.key, "wanted": made} if wanted.lasting else {}
    firewall_memory.keep(cachedir, {**facts, "proof": wanted.proof})


def settled(
    declared: firewall_declared.Declared,
    wanted: Mapping[str, firewall_save.Tables],
    live: Mapping[str, firewall_save.Tables],
) -> tuple[dict[str, firewall_save.Tables], list[str]]:
    """
    The wanted tables with every policy stated: what is not said stays as it is.

    declared
        The firewall.
    wanted, live
        The tables of each family, in the kernel's form.

    Returns the tables, and warnings about chains that stay open for IPv6 and shut for IPv4. Raises
    ``SaltInvocationError`` where IPv4 is to be shut and IPv6 would be left open without a word.
    """

    def now(family: str, table: str, chain: str) -> str | None:
        return live.get(family, {}).get(table, {}).get(chain, {"policy": "ACCEPT", "rules": []})["policy"]

    found: dict[str, firewall_save.Tables] = {
        family: {
            table: {
                chain: each if each["policy"] != firewall_save.UNSAID else {**each, "policy": now(family, table, chain)}
                for chain, each in chains.items()
            }
            for table, chains in tables.items()
        }
        for family, tables in wanted.items()
    }
    problems, warnings = [], []
    for table, chains in wanted.get("ipv6", {}).items():
        for chain, each in chains.items():
            four = found["ipv4"].get(table, {}).get(chain, {"policy": None, "rules": []})["policy"]
            if each["policy"] != firewall_save.UNSAID or (four, found["ipv6"][table][chain]["policy"]) != SPLIT:
                continue
            place = f"tables:{table}:{chain}:policy"
            if now("ipv4", table, chain) == four:
                warnings.append(f"{place}: not said for IPv6, so it stays ACCEPT there; for IPv4 it is DROP")
            else:
                problems.append(
                    f"{place}: IPv4's would become DROP, and IPv6's is not said and stays ACCEPT; expected DROP, or "
                    "{ipv4: DROP, ipv6: ACCEPT} where that is meant"
                )
    declared.refuse(problems)
    return found, declared.told(warnings)


def refused(pillar: Mapping[str, Any], key: str, cachedir: str) -> list[str]:
    """
    The rules of a valid firewall that this host's kernel rejects.

    pillar
        The whole pillar.
    key
        Where the firewall is in it, as in ``ipv6:firewall``.
    cachedir
        Salt's folder for what is remembered, so that the rules are loaded only once in this run.

    Returns a sentence for each, which begins with the rule's key in the pillar. Other obstacles are not errors in the
    rules; the firewall's own state reports them. Changes nothing.
    """
    declared = firewall_declared.declared(pillar, key, {}, None)
    try:
        wanted(declared, cachedir)
    except firewall_canonical.Refused as error:
        return error.rules
    except SaltInvocationError as error:
        return str(error).split("\n")
    except (SaltException, OSError):
        return []
    return []
