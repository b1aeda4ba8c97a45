"""
One firewall for two families: what this host's is, what a change would do, and doing it.

A rule is written once and means the same for IPv4 and IPv6 (``dualstack_rules``); the pillar's chains become the
tables of both families (``dualstack_ruleset``); the kernel gives them the form in which they can be compared with
the live ones (``iptables_kernel``); only what differs is changed (``iptables_delta``). Reading changes nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import glob
import hashlib
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import salt.utils.json
from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "dualstack_iptables"

COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}

# Where Debian's netfilter-persistent loads the rules from at boot, and the part of it that does so.
SAVED = {"ipv4": "/etc/iptables/rules.v4", "ipv6": "/etc/iptables/rules.v6"}
LOADERS = "/usr/share/netfilter-persistent/plugins.d"
SAVED_MODE = 0o640
HEADER = "# Written by Salt (dualstack_iptables): it replaces the tables that it manages, and keeps all others.\n"
TABLE_TEXT = re.compile(r"^\*(\S+)\n.*?^COMMIT$", re.MULTILINE | re.DOTALL)

NO_NAMESPACES = "network namespaces are not permitted here"

# Rules that other formulas have made with the state `rule`, in the kernel's form: the ruleset leaves them alone.
REGISTER = "/var/lib/dualstack_iptables/rules.json"

# By what an expectation that was given is known in what was tried.
EXPECTED = re.compile(r"expect\[(\d+)\]")

# A rule that ends its chain for all packets, or tells of them before: what comes behind it is never reached.
LAST = re.compile(r"-j (DROP|ACCEPT|RETURN|REJECT|LOG|NFLOG)( --\S+ (\S+|\".*\"))*")

Edit = Callable[[list[str], dict[str, Any]], list[str]]

# The name of a host as a source or destination: it may mean another address tomorrow.
HOST_NAME = re.compile(r" -[sd] (?![0-9./,]+(?: |$))[^ :]+(?: |$)", re.MULTILINE)


# --------------------------------------------------------------------------------------------------------------
# Reading


def translate(rule: Any, chain: str | None = None, table: str | None = None) -> dict[str, Any]:
    """
    The words of one rule for iptables and for ip6tables.

    rule
        As iptables takes it, or a mapping with the keys of Salt's iptables state.
    chain, table
        Where it is to stand.

    Returns ``ipv4`` and ``ipv6``, lists of rules; ``reasons``, by family, why one gets none; and ``warnings``.
    Raises ``SaltInvocationError`` for a rule that can be in no family, or that would be wrong in one.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.translate rule='-p icmp --icmp-type echo-request -j ACCEPT'
        salt '*' dualstack_iptables.translate '{proto: tcp, source: [192.0.2.1, "2001:db8::1"], jump: ACCEPT}'
    """
    words: dict[str, Any] = __salt__["dualstack_rules.translate"](rule, chain, table)
    return words


def render(firewall: dict[str, Any] | None = None, tunnel: dict[str, Any] | None = None) -> dict[str, str]:
    """
    Both rulesets as text for iptables-restore and ip6tables-restore. The host is neither asked nor touched.

    firewall
        As in the pillar ``ipv6:firewall``, which is the default.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.render
    """
    given = _given(firewall, tunnel)
    tables = __salt__["dualstack_ruleset.build"](given["firewall"], given["tunnel"])["tables"]
    return {family: __salt__["iptables_save.render"](each) for family, each in tables.items()}


def diff(firewall: dict[str, Any] | None = None, tunnel: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    What a run would change: for each family and chain what is ``added``, ``removed`` and ``moved``, its policy, and
    the files for the next boot.

    firewall
        As in the pillar ``ipv6:firewall``, which is the default.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.diff
    """
    given = _given(firewall, tunnel)
    changes: dict[str, Any] = plan_ruleset("diff", given["tunnel"], **given["firewall"])["changes"]
    return changes


def rehearse(firewall: dict[str, Any] | None = None, tunnel: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """
    The verdict on every expectation, from real packets in a scratch network namespace.

    firewall
        As in the pillar ``ipv6:firewall``, which is the default.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default.

    Returns the expectations, each with ``found`` and ``ok``; the connection that this host is managed by is among
    them. Raises ``CommandExecutionError`` where namespaces are not permitted.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.rehearse
    """
    given = _given(firewall, tunnel)
    backend = __salt__["iptables_kernel.backend"](given["firewall"].get("backend", "auto"))
    after = _compared(given["firewall"], given["tunnel"], backend)["after"]
    return _tried(given["firewall"].get("expect"), given["tunnel"], after, backend)


def audit(backend: str = "auto") -> list[dict[str, Any]]:
    """
    Where the live rulesets of both families disagree: open here, shut there.

    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns the differences, the gravest first: ``table``, ``chain``, ``family`` (that has the ``rule``), ``text``.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.audit
    """
    found: list[dict[str, Any]] = __salt__["dualstack_fold.audit"](**_for_folding(backend))
    return found


def adopt(backend: str = "auto") -> dict[str, Any]:
    """
    The live rules of this host as a pillar to start from: what means the same in both families is one rule.

    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns ``ipv6:firewall``; chains of others (Docker, fail2ban, ...) are left out.

    CLI Example:

    .. code-block:: bash

        salt-call --out=yaml dualstack_iptables.adopt
    """
    return {"ipv6": {"firewall": __salt__["dualstack_fold.adopt"](**_for_folding(backend))}}


def allowed(targets: list[str], tunnel: dict[str, Any] | None = None, backend: str = "auto") -> dict[str, Any]:
    """
    Whether the live rules of each family let a stranger in, from real packets in a scratch network namespace.

    targets
        What a stranger wants to reach, as an expectation's ``to``: ``tcp/22``, ``udp/53``, ``tcp/[2001:db8::1]:443``.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default: IPv6 without a route is expected to come by it.
    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns ``allowed``, by target and family: ``True``, ``False``, or ``None`` where these rules let him in and
    others are there that were not tried; and ``warnings``, sentences about those. Raises ``SaltInvocationError``
    for malformed targets, and ``CommandExecutionError`` without iptables or where namespaces are not permitted.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.allowed '[tcp/22, tcp/3306]'
    """
    backend = __salt__["iptables_kernel.backend"](backend)
    live = __salt__["iptables_kernel.read"](backend)
    warnings = __salt__["iptables_kernel.other"](backend)
    family = {"family": next(iter(live))} if len(live) == 1 else {}
    expect = [{"to": target, "verdict": "accept", **family} for target in targets]
    found: dict[str, dict[str, bool | None]] = {target: {} for target in targets}
    for each in _tried(expect, _given(None, tunnel)["tunnel"], live, backend):
        number = EXPECTED.fullmatch(each["why"])
        if number:  # those by which the host is managed are tried as well
            passes = each["found"] == "accept"
            found[targets[int(number[1])]][each["family"]] = None if passes and warnings else passes
    return {"allowed": found, "warnings": warnings}


def _for_folding(backend: str) -> dict[str, Any]:
    """The live tables without what belongs to others, and what it takes to understand them."""
    live = __salt__["iptables_kernel.read"](__salt__["iptables_kernel.backend"](backend))
    preserve = _given(None, None)["firewall"].get("preserve", __salt__["dualstack_ruleset.preserved"]()) or []
    return {
        "tables": {family: __salt__["iptables_delta.own"](tables, preserve) for family, tables in live.items()},
        "tunnel": _given(None, None)["tunnel"],
        "sets": __salt__["iptables_kernel.set_families"](__salt__["iptables_kernel.sets"]()),
    }


def _given(firewall: dict[str, Any] | None, tunnel: dict[str, Any] | None) -> dict[str, Any]:
    """What the caller gave, or else the pillar has."""
    pillar = __pillar__.get("ipv6") or {}
    return {"firewall": firewall or pillar.get("firewall") or {}, "tunnel": tunnel or pillar.get("tunnel")}


# --------------------------------------------------------------------------------------------------------------
# Planning


def plan_ruleset(name: str, tunnel: dict[str, Any] | None = None, **firewall: Any) -> dict[str, Any]:
    """
    What ``dualstack_iptables.ruleset`` would change.

    name
        For the comment only.
    tunnel
        The 6in4 tunnel, with ``name`` and ``endpoint``.
    firewall
        As in the pillar ``ipv6:firewall``.

    Returns the plan. Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` if the ruleset
    cannot be loaded or fails its rehearsal; nothing has been changed then.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.plan_ruleset firewall tables='{filter: {INPUT: {policy: DROP}}}'
    """
    firewall = {key: value for key, value in firewall.items() if value is not None}
    try:
        backend = __salt__["iptables_kernel.backend"](firewall.get("backend", "auto"))
    except CommandExecutionError:
        if not __opts__.get("test"):
            raise
        return _plan_without_iptables(firewall, tunnel)
    compared = _compared(firewall, tunnel, backend)
    wanted, live, how, after = (compared[key] for key in ("wanted", "live", "how", "after"))
    changes: dict[str, Any] = compared["changes"]
    warnings = [*wanted["warnings"], *__salt__["iptables_kernel.other"](backend)]
    warnings += _rehearsed(firewall.get("expect"), tunnel, after, backend, wanted["key"], bool(changes))
    files = _files(after, how, wanted) if firewall.get("save", True) else {}
    warnings += _loading(files)
    return _plan(changes, warnings, files, wanted["tables"], live, **how)


def _compared(firewall: dict[str, Any], tunnel: dict[str, Any] | None, backend: str) -> dict[str, Any]:
    """What is wanted, what lives, what has to change, and what will live after that."""
    wanted = _wanted(firewall, tunnel, backend)
    live = __salt__["iptables_kernel.read"](backend)
    how = {"backend": backend, "preserve": wanted["preserve"], "registered": _registered()}
    deltas = {family: _delta(live[family], wanted["tables"][family], family, how) for family in live}
    return {
        "wanted": wanted,
        "live": live,
        "how": how,
        "changes": {family: each["changes"] for family, each in deltas.items() if each["changes"]},
        "after": {family: each["after"] for family, each in deltas.items()},
    }


def _delta(live: dict[str, Any], wanted: dict[str, Any], family: str, how: dict[str, Any]) -> dict[str, Any]:
    registered = how["registered"].get(family)
    delta: dict[str, Any] = __salt__["iptables_delta.tables"](live, wanted, how["preserve"], registered)
    return delta


def _plan(
    changes: dict[str, Any],
    warnings: list[str],
    files: dict[str, Any],
    wanted: dict[str, Any],
    live: dict[str, Any],
    **how: Any,
) -> dict[str, Any]:
    """A plan, with what it takes to carry it out and to take it back."""
    for path, edit in files.items():
        if edit["old"] != edit["new"]:
            changes[path] = _lines(edit["old"], edit["new"])
    before = {
        family: {table: live[family].get(table) or __salt__["iptables_save.empty"](table) for table in tables}
        for family, tables in wanted.items()
    }
    before = {family: __salt__["iptables_delta.own"](tables, how["preserve"]) for family, tables in before.items()}
    return {"changes": changes, "warnings": warnings, "files": files, "wanted": wanted, "before": before, **how}


def _lines(old: str | None, new: str) -> dict[str, str]:
    """The lines of a file that differ; of a file that is new, only that it is: its rules are told already."""
    if old is None:
        return {"old": "absent", "new": "present"}
    diff = [line for line in difflib.unified_diff(old.split("\n"), new.split("\n"), n=0, lineterm="")][2:]
    return {
        sign: "\n".join(line[1:] for line in diff if line[0] == mark) for sign, mark in (("old", "-"), ("new", "+"))
    }


def plan_rule(name: str, rules: list[dict[str, Any]], backend: str = "auto", save: bool = True) -> dict[str, Any]:
    """
    What ``dualstack_iptables.rule`` would change.

    name
        For the comment only.
    rules
        Each with ``rule``, ``chain``, ``table`` and ``position`` (``start`` or ``end``).
    backend
        ``nft``, ``legacy`` or ``auto``.
    save
        Write them to the files for the next boot, too.

    Returns the plan. Raises ``SaltInvocationError`` and ``CommandExecutionError``.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.plan_rule munin '[{rule: "-p tcp --dport 4949 -j ACCEPT", chain: INPUT,
            table: filter, position: end}]'
    """
    return _plan_single(rules, backend, save, _with_rule)


def plan_rule_absent(
    name: str, rules: list[dict[str, Any]], backend: str = "auto", save: bool = True
) -> dict[str, Any]:
    """
    What ``dualstack_iptables.rule_absent`` would change.

    name
        For the comment only.
    rules
        Each with ``rule``, ``chain`` and ``table``.
    backend
        ``nft``, ``legacy`` or ``auto``.
    save
        Remove them from the files for the next boot, too.

    Returns the plan. Raises ``SaltInvocationError`` and ``CommandExecutionError``.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.plan_rule_absent munin '[{rule: "-p tcp --dport 4949 -j ACCEPT", chain: INPUT,
            table: filter}]'
    """
    return _plan_single(rules, backend, save, _without_rule)


def _plan_single(rules: list[dict[str, Any]], backend: str, save: bool, edit: Edit) -> dict[str, Any]:
    """Edit single rules in the live tables, in the files for the next boot, and in the register."""
    backend = __salt__["iptables_kernel.backend"](backend)
    live = __salt__["iptables_kernel.read"](backend)
    how = {"backend": backend, "preserve": __salt__["dualstack_ruleset.preserved"](), "registered": {}}
    asked, warnings = _single(rules, live, backend)
    wanted: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    files = {}
    register = _registered()
    for family, each in asked.items():
        own = __salt__["iptables_delta.own"](live[family], how["preserve"])
        wanted[family] = _edited(own, each, edit)
        delta = _delta(live[family], wanted[family], family, how)
        if delta["changes"]:
            changes[family] = delta["changes"]
        if save:
            old = __salt__["host_files.read"](SAVED[family])
            saved = __salt__["iptables_save.parse"](old or "")
            touched = {one["table"] for one in each}
            ours = {table: saved.get(table) or __salt__["iptables_save.empty"](table) for table in sorted(touched)}
            files[SAVED[family]] = {"old": old, "new": _text(old, _edited(ours, each, edit), how["preserve"])}
        for one in each:
            known = register.setdefault(family, {}).setdefault(one["table"], {}).setdefault(one["chain"], [])
            known[:] = edit([text for text in known if text not in one["texts"]], {**one, "position": "end"})
    text = salt.utils.json.dumps(register, indent=2) + "\n"
    old = __salt__["host_files.read"](REGISTER)
    warnings += [*__salt__["iptables_kernel.other"](backend), *_loading(files)]
    plan = _plan(changes, warnings, files, wanted, live, **how)
    if changes or old:  # a rule that was there before anybody asked for it is not registered
        plan["files"][REGISTER] = {"old": old, "new": text}
    return plan


def _single(
    rules: list[dict[str, Any]], live: dict[str, Any], backend: str
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """The rules in the kernel's form, for each family: with ``texts``, ``table``, ``chain`` and ``position``."""
    sets = __salt__["iptables_kernel.sets"]() if "-set" in salt.utils.json.dumps(rules, default=str) else ""
    families = __salt__["iptables_kernel.set_families"](sets)
    words = [
        __salt__["dualstack_rules.translate"](each["rule"], each["chain"], each["table"], families) for each in rules
    ]
    warnings = [warning for each in words for warning in each["warnings"]]
    # Each goes into a chain of its own, beside those that live: it may lead to one of them.
    tables: dict[str, Any] = {family: {} for family in live}
    origins: dict[str, Any] = {family: {} for family in live}
    for number, (each, said) in enumerate(zip(rules, words)):
        for family in live:
            table = tables[family].setdefault(each["table"], {})
            table[f"salt-rule-{number}"] = {"policy": None, "rules": said[family]}
            origin = {f"salt-rule-{number}": [each["rule"]] * len(said[family])}
            origins[family].setdefault(each["table"], {}).update(origin)
    chains = sorted({name for each in live.values() for table in each.values() for name in table})
    canonical = _canonical(tables, {"preserve": chains, "origins": origins}, backend, sets, warnings)
    asked: dict[str, list[dict[str, Any]]] = {family: [] for family in live}
    for number, each in enumerate(rules):
        for family in live:
            texts = canonical[family][each["table"]][f"salt-rule-{number}"]["rules"]
            if texts:
                asked[family].append({**each, "texts": texts})
    return asked, warnings


def _edited(tables: dict[str, Any], rules: list[dict[str, Any]], edit: Edit) -> dict[str, Any]:
    """The tables that the rules are in, with them or without."""
    edited: dict[str, Any] = {}
    for each in rules:
        table, chain = each["table"], each["chain"]
        chains = edited.get(table) or tables.get(table) or __salt__["iptables_save.empty"](table)
        now = chains.get(chain, {"policy": None, "rules": []})
        edited[table] = {**chains, chain: {**now, "rules": edit(now["rules"], each)}}
    return edited


def _with_rule(rules: list[str], one: dict[str, Any]) -> list[str]:
    """
    A chain's rules with one, unless it is there: at the start, or at the end.

    The end is in front of a last rule that leaves nothing to those behind it.
    """
    new = [text for text in one["texts"] if text not in rules]
    if one.get("position") == "start":
        return [*new, *rules]
    end = len(rules)
    while end and LAST.fullmatch(rules[end - 1]):
        end -= 1
    return [*rules[:end], *new, *rules[end:]]


def _without_rule(rules: list[str], one: dict[str, Any]) -> list[str]:
    return [text for text in rules if text not in one["texts"]]


def _plan_without_iptables(firewall: dict[str, Any], tunnel: dict[str, Any] | None) -> dict[str, Any]:
    """What test=True can tell of a host where iptables is yet to be installed, in the same run."""
    tables = __salt__["dualstack_ruleset.build"](firewall, tunnel)["tables"]
    changes = {
        family: __salt__["iptables_delta.tables"]({}, tables[family], [])["changes"]
        for family in __salt__["iptables_kernel.families"]()
    }
    warning = "iptables is not installed yet: the rules are shown as they are written, and were not tried"
    return {"changes": changes, "warnings": [warning]}


def apply(plan: dict[str, Any]) -> None:
    """
    Carry a plan out: one iptables-restore for each family that differs, then the files for the next boot.

    plan
        Of this module. Where connections that are older than the kernel's tracking may suffer, its ``warnings`` say so.

    Raises ``CommandExecutionError``.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_iptables.apply "$(salt-call --out=json dualstack_iptables.plan_ruleset firewall)"
    """
    try:
        __salt__["connection_tracking.enter"]()
    except CommandExecutionError as error:
        plan["warnings"].append(f"a connection that the first rule for tracked ones finds open may stall: {error}")
    _swap(plan, "wanted")
    for path, edit in plan["files"].items():
        __salt__["host_files.write"](path, edit["new"], mode=SAVED_MODE)


def undo(plan: dict[str, Any]) -> None:
    """
    Put back what was before a plan was carried out, in whole or in part.

    plan
        Of this module.

    Raises ``CommandExecutionError``.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_iptables.undo "$(salt-call --out=json dualstack_iptables.plan_ruleset firewall)"
    """
    for path, edit in plan["files"].items():
        __salt__["host_files.write"](path, edit["old"], mode=SAVED_MODE)
    _swap(plan, "before")


def _swap(plan: dict[str, Any], which: str) -> None:
    __salt__["iptables_kernel.swap"](plan[which], plan["preserve"], plan["backend"], plan["registered"])


# --------------------------------------------------------------------------------------------------------------
# For the next boot


def _files(after: dict[str, Any], how: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The files that netfilter-persistent loads: what is wanted, and not what else lives; and their other tables."""
    files = {}
    for family, tables in after.items():
        ours = {table: tables[table] for table in wanted["tables"][family]}
        old = __salt__["host_files.read"](SAVED[family])
        own = __salt__["iptables_delta.own"](ours, how["preserve"])
        files[SAVED[family]] = {"old": old, "new": _text(old, own, how["preserve"])}
    return files


def _text(old: str | None, tables: dict[str, Any], preserve: list[str]) -> str:
    """A file for the next boot: the old one with these tables in it, where they were or else at the end."""
    complete = __salt__["iptables_delta.with_stubs"](tables, preserve)
    new = {table: __salt__["iptables_save.render"]({table: chains}) for table, chains in complete.items()}
    blocks = {found[1]: f"{found[0]}\n" for found in TABLE_TEXT.finditer(old or "")}
    return "".join([HEADER, *{**blocks, **new}.values()])


def _loading(files: dict[str, Any]) -> list[str]:
    """What keeps the files from being loaded at boot."""
    if files and not glob.glob(f"{LOADERS}/*-ip*tables"):
        return ["nothing loads the rules at boot: the package iptables-persistent is not installed"]
    if any("-set " in edit["new"] for edit in files.values()) and not glob.glob(f"{LOADERS}/*-ipset"):
        return ["nothing loads the sets at boot, and no rule without them: the package ipset-persistent is missing"]
    return []


# --------------------------------------------------------------------------------------------------------------
# What is wanted, as the kernel says it


def _wanted(firewall: dict[str, Any], tunnel: dict[str, Any] | None, backend: str) -> dict[str, Any]:
    """
    The wanted tables of each family in the kernel's form, with ``preserve``, ``warnings`` and a ``key``.

    What the kernel made of a firewall is remembered, as long as nothing that it depends on is another: most runs
    find nothing to do, and should find that soon.
    """
    described = {key: value for key, value in firewall.items() if key not in ("expect", "save")}
    sets = __salt__["iptables_kernel.sets"]() if "-set" in salt.utils.json.dumps(described, default=str) else ""
    families = __salt__["iptables_kernel.set_families"](sets)
    key = _digest(described, tunnel, families, __salt__["iptables_kernel.fingerprint"](backend), _own_files())
    memory = _memory()
    if memory.get("key") == key:
        remembered: dict[str, Any] = memory["wanted"]
        return remembered
    built = __salt__["dualstack_ruleset.build"](firewall, tunnel, families)
    tables = {family: built["tables"][family] for family in __salt__["iptables_kernel.families"]()}
    wanted = {"key": key, "preserve": built["preserve"], "warnings": list(built["warnings"])}
    if len(tables) < len(built["tables"]):
        wanted["warnings"].append("this kernel was started without IPv6 (ipv6.disable): nothing was done for it")
    wanted["tables"] = _canonical(tables, built, backend, sets, wanted["warnings"])
    if not any(HOST_NAME.search(__salt__["iptables_save.render"](each)) for each in tables.values()):
        _remember(key=key, wanted=wanted)
    return wanted


def _canonical(
    tables: dict[str, Any], built: dict[str, Any], backend: str, sets: str, warnings: list[str]
) -> dict[str, Any]:
    full = {family: __salt__["iptables_delta.with_stubs"](each, built["preserve"]) for family, each in tables.items()}
    texts = {family: __salt__["iptables_save.render"](each) for family, each in full.items()}
    try:
        loaded = __salt__["iptables_kernel.canonical"](texts, backend, sets)
    except CommandExecutionError as error:
        if not str(error).startswith(NO_NAMESPACES):
            raise
        warnings.append(f"{error}; the rules were normalised in chains that nothing leads to")
        loaded = __salt__["iptables_kernel.canonical_in_place"](full, backend)
    if loaded["errors"]:
        raise CommandExecutionError(
            "\n".join(
                _blamed(family, error, full[family], built["origins"][family], backend, sets)
                for family, error in loaded["errors"].items()
            )
        )
    return {
        family: {
            table: _completed(loaded["tables"][family].get(table), table, chains) for table, chains in each.items()
        }
        for family, each in tables.items()
    }


def _completed(kernel: dict[str, Any] | None, table: str, declared: dict[str, Any]) -> dict[str, Any]:
    """A table in the kernel's form, without the stubs, and with the policies that nobody has stated."""
    chains = kernel or __salt__["iptables_save.empty"](table)
    built_in = __salt__["iptables_save.built_in"]()[table]
    complete = {}
    for chain, each in chains.items():
        if chain in declared or chain in built_in:
            policy = declared.get(chain, {"policy": ""})["policy"]
            complete[chain] = {"policy": policy, "rules": each["rules"]}
    return complete


def _blamed(
    family: str, error: dict[str, Any], tables: dict[str, Any], origins: dict[str, Any], backend: str, sets: str
) -> str:
    """Which rule of which key it is that cannot be loaded, in one sentence."""
    lines = __salt__["iptables_save.render"](tables).split("\n")
    number = error["line"]
    if not number or number > len(lines) or not lines[number - 1].startswith("-A "):
        number = _first_refused(family, lines, backend, sets)
    if not number:
        return f"{COMMANDS[family]} does not take the ruleset: {error['said']}"
    chain, _, rule = lines[number - 1][3:].partition(" ")
    before = lines[:number]
    table = next(line[1:] for line in reversed(before) if line.startswith("*"))
    start = len(before) - before[::-1].index(f"*{table}")
    place = sum(line.startswith(f"-A {chain} ") or line == f"-A {chain}" for line in before[start:]) - 1
    return f"{origins[table][chain][place]}: {COMMANDS[family]} does not take {rule!r}: {error['said']}"


def _first_refused(family: str, lines: list[str], backend: str, sets: str) -> int:
    """Some errors only come when a whole table is committed: the first line up to which it cannot be loaded."""
    rules = [number for number, line in enumerate(lines, 1) if line.startswith("-A ")]

    def refused(last: int) -> bool:
        text = "".join(
            f"{line}\n" for number, line in enumerate(lines, 1) if number <= last or not line.startswith("-A ")
        )
        return bool(__salt__["iptables_kernel.canonical"]({family: text}, backend, sets)["errors"])

    if not rules or not refused(rules[-1]) or refused(0):
        return 0
    low, high = 0, len(rules) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if refused(rules[middle]) else (middle + 1, high)
    return rules[low]


# --------------------------------------------------------------------------------------------------------------
# The rehearsal


def _rehearsed(
    expect: Any, tunnel: dict[str, Any] | None, after: dict[str, Any], backend: str, key: str, changed: bool
) -> list[str]:
    """
    Try a ruleset with real packets before it is loaded; one that is loaded already was tried then.

    Raises ``CommandExecutionError`` if it does not do what is expected.
    """
    proof = _digest(key, expect)
    if not changed and _memory().get("proof") == proof:
        return []
    try:
        results = _tried(expect, tunnel, after, backend)
    except CommandExecutionError as error:
        if not str(error).startswith(NO_NAMESPACES):
            raise
        return [f"{error}; what is expected of the ruleset was not tried"]
    failures = [_failure(each) for each in results if not each["ok"]]
    if failures:
        raise CommandExecutionError("\n".join(["The ruleset was not loaded, since it fails its rehearsal:", *failures]))
    _remember(proof=proof)
    return []


def _tried(expect: Any, tunnel: dict[str, Any] | None, after: dict[str, Any], backend: str) -> list[dict[str, Any]]:
    expectations = __salt__["firewall_rehearsal.expectations"](expect or [], tunnel)
    texts = {family: __salt__["iptables_save.render"](tables) for family, tables in after.items()}
    sets = __salt__["iptables_kernel.sets"]() if any("-set " in text for text in texts.values()) else ""
    results: list[dict[str, Any]] = []
    if expectations:
        results = __salt__["firewall_rehearsal.run"](texts, expectations, backend, sets)
    return results


def _failure(result: dict[str, Any]) -> str:
    way = "to" if result["direction"] == "out" else "from"
    peer = result["destination"] if result["direction"] == "out" else result["source"]
    port = f"/{result['port']}" if result.get("port") else ""
    note = f" ({result['note']})" if result.get("note") else ""
    return (
        f"{result['why']}: {result['protocol']}{port} {way} {peer}: "
        f"expected {result['verdict']}, found {result['found']}{note}"
    )


# --------------------------------------------------------------------------------------------------------------
# What is remembered between runs: nothing but work that need not be done again


def _memory() -> dict[str, Any]:
    try:
        found = salt.utils.json.loads(__salt__["host_files.read"](_memory_file()) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _remember(**facts: Any) -> None:
    memory = _memory() if "key" not in facts else {}
    with contextlib.suppress(OSError):
        __salt__["host_files.write"](_memory_file(), salt.utils.json.dumps({**memory, **facts}), mode=0o600)


def _memory_file() -> str:
    return os.path.join(__opts__["cachedir"], "dualstack_iptables.json")


def _registered() -> dict[str, Any]:
    """The single rules that the states ``rule`` have made, by family, table and chain."""
    found: dict[str, Any] = salt.utils.json.loads(__salt__["host_files.read"](REGISTER) or "{}")
    return found


def _own_files() -> list[Any]:
    """The modules of this project: another release may translate differently."""
    looked = [(path, os.stat(path)) for path in sorted(glob.glob(f"{os.path.dirname(__file__)}/*.py"))]
    return [[os.path.basename(path), each.st_mtime_ns, each.st_size] for path, each in looked]


def _digest(*facts: Any) -> str:
    return hashlib.sha256(salt.utils.json.dumps(facts, default=str).encode()).hexdigest()
