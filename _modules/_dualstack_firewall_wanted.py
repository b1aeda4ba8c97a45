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
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_memory as firewall_memory
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save
import salt.utils.json
from salt.exceptions import SaltException, SaltInvocationError

APART = ("expect", "save")  # keys that do not affect the tables

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
    tunnel = {key: (declared.tunnel or {}).get(key) for key in ("name", "endpoint")}
    sets = firewall_kernel.sets() if "-set" in salt.utils.json.dumps(described, default=str) else ""
    holding = firewall_kernel.set_families(sets)
    facts = [described, tunnel, holding, declared.key, sorted(declared.named)]
    key = firewall_memory.digest(*facts, firewall_kernel.fingerprint(backend), firewall_memory.rooms())
    memory = firewall_memory.recall(cachedir)
    proof = str(memory.get("proof", ""))
    if memory.get("key") == key:
        return Wanted(**memory["wanted"], backend=backend, key=key, lasting=True, proof=proof)
    built = firewall_ruleset.read(declared.firewall, tunnel, holding)
    declared.refuse(built["problems"])
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
