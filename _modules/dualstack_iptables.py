"""
One firewall for IPv4 and IPv6: inspecting this host's, predicting a change, and making it.

A rule is written once and means the same for both families (``firewall_rules``); the pillar's chains become the tables
of both (``firewall_ruleset``); the kernel normalises them for the comparison with the live ones
(``firewall_canonical``); they are tested with real packets (``firewall_rehearsal``); and only what differs is changed
(``firewall_delta``, ``firewall_kernel``). These are private rooms: the files ``_dualstack_<room>.py`` beside this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_firewall_adopt as firewall_adopt
    import _dualstack_firewall_commands as firewall_commands
    import _dualstack_firewall_declared as firewall_declared
    import _dualstack_firewall_delta as firewall_delta
    import _dualstack_firewall_fold as firewall_fold
    import _dualstack_firewall_ipset as firewall_ipset
    import _dualstack_firewall_kernel as firewall_kernel
    import _dualstack_firewall_managers as firewall_managers
    import _dualstack_firewall_native as firewall_native
    import _dualstack_firewall_others as firewall_others
    import _dualstack_firewall_rehearsal as firewall_rehearsal
    import _dualstack_firewall_rules as firewall_rules
    import _dualstack_firewall_ruleset as firewall_ruleset
    import _dualstack_firewall_save as firewall_save
    import _dualstack_firewall_single as firewall_single
    import _dualstack_firewall_takeover as firewall_takeover
    import _dualstack_firewall_trial as firewall_trial
    import _dualstack_firewall_whole as firewall_whole
if TYPE_CHECKING:
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "dualstack_iptables"


# --------------------------------------------------------------------------------------------------------------
# Read-only


def translate(rule: str | dict[str, Any], chain: str | None = None, table: str | None = None) -> dict[str, Any]:
    """
    The words of one rule for iptables and for ip6tables.

    rule
        As iptables takes it, or a mapping with the keys of Salt's iptables state.
    chain
        The chain that it is for: a rule that names another one is an error.
    table
        The table that it is for: a rule that names another one is an error.

    Returns ``ipv4`` and ``ipv6``, lists of rules; ``reasons``, by family, why there are none; and ``warnings``. Raises
    ``SaltInvocationError`` for a rule that is valid in no family, or would be wrong in one.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.translate rule='-p icmp --icmp-type echo-request -j ACCEPT'
        salt '*' dualstack_iptables.translate '{proto: tcp, source: [192.0.2.1, "2001:db8::1"], jump: ACCEPT}'
    """
    return firewall_rules.translate(rule, chain, table)


def render(firewall: dict[str, Any] | None = None, tunnel: dict[str, Any] | None = None) -> dict[str, str]:
    """
    Both rulesets as text for iptables-restore and ip6tables-restore. The host is not accessed.

    firewall
        As in the pillar ``ipv6:firewall``, which is the default.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default.

    Returns the text for each family, in which a policy that is not stated is ACCEPT: a run leaves it as it is. Raises
    ``SaltInvocationError`` with every error in the firewall, or where none is given and the pillar has none.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.render
    """
    declared = _declared(firewall, tunnel)
    tables = firewall_ruleset.build(declared.firewall, declared.tunnel)["tables"]
    return {family: firewall_save.render(each) for family, each in tables.items()}


def diff(firewall: dict[str, Any] | None = None, tunnel: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    What a run would change: for each family and chain the rules ``added``, ``removed`` and ``moved``, the policy, and
    the files for the next boot.

    firewall
        As in the pillar ``ipv6:firewall``, which is the default.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default.

    Every rule is listed, also those that a state's ``changes`` have as one line (:rfc:`4890`).

    Returns an empty mapping if nothing differs. Raises ``SaltInvocationError`` as ``render`` does, and
    ``CommandExecutionError`` without iptables, if the ruleset cannot be loaded or fails its rehearsal, or where another
    manager of the firewall is active.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.diff
    """
    plan = firewall_whole.change(lambda: _declared(firewall, tunnel), __opts__, test=False).plan()
    changes: dict[str, Any] = plan.get("full") or plan["changes"]
    return changes


def rehearse(
    firewall: dict[str, Any] | None = None, tunnel: dict[str, Any] | None = None
) -> list[firewall_rehearsal.Tried]:
    """
    The verdict on every expectation, from real packets in a scratch network namespace.

    firewall
        As in the pillar ``ipv6:firewall``, which is the default.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default.

    Returns the expectations, each with ``found`` and ``ok``; the connections that manage this host are among them.
    Raises ``SaltInvocationError`` as ``render`` does, and ``CommandExecutionError`` without iptables, if the ruleset
    cannot be loaded, or where namespaces are not permitted.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.rehearse
    """
    return firewall_whole.rehearsed(_declared(firewall, tunnel), __opts__)


def audit(backend: str = "auto") -> list[dict[str, str]]:
    """
    Where the live rulesets of the two families disagree: open in one, closed in the other.

    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns the differences, the gravest first: ``table``, ``chain``, ``family`` (that has the ``rule``), ``text``.
    Raises ``CommandExecutionError`` without iptables, or where the live rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.audit
    """
    return firewall_fold.audit(**_live(backend))


def adopt(backend: str = "auto") -> dict[str, Any]:
    """
    The live rules of this host as a pillar to start from: what means the same in both families is one rule.

    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Where IPv6 has no rules of its own, IPv4's are proposed for both families. For IPv4 the pillar then gives exactly
    what is live, as the kernel says; rules that cannot be for IPv6 stay IPv4's, and are listed.

    Returns ``ipv6:firewall``, and for such a proposal ``notes``, sentences about what it changes for IPv6; chains of
    others (Docker, fail2ban, ...) are left out. Raises ``SaltInvocationError`` with every rule that the pillar cannot
    express, and ``CommandExecutionError`` without iptables, where the live rules cannot be read (also where
    nft(8) has written some of them, which iptables-save misreads), or where IPv4 would not stay as it is.

    CLI Example:

    .. code-block:: bash

        salt-call --out=yaml dualstack_iptables.adopt
    """
    live = _live(backend)
    return firewall_adopt.adopt(live["tables"], live["tunnel"], firewall_kernel.sets(), backend)


def allowed(targets: list[str], tunnel: dict[str, Any] | None = None, backend: str = "auto") -> firewall_trial.Allowed:
    """
    Whether the live rules of each family let a stranger in, from real packets in a scratch network namespace.

    targets
        What a stranger wants to reach, as an expectation's ``to``: ``tcp/22``, ``udp/53``, ``tcp/[2001:db8::1]:443``.
    tunnel
        As in the pillar ``ipv6:tunnel``, which is the default: IPv6 without a route is expected to come by it.
    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns ``allowed``, by target and family: ``True``, ``False``, or ``None`` where these rules accept and others
    exist that were not tested; and ``warnings``, sentences about those. Raises ``SaltInvocationError`` for malformed
    targets, and ``CommandExecutionError`` without iptables or where namespaces are not permitted.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.allowed '[tcp/22, tcp/3306]'
    """
    return firewall_trial.allowed(targets, _declared({}, tunnel).tunnel, backend)


def _declared(firewall: dict[str, Any] | None, tunnel: dict[str, Any] | None) -> firewall_declared.Declared:
    """The caller's values, or else the pillar's."""
    return firewall_declared.asked_for(__pillar__, firewall, tunnel)


def _live(backend: str) -> dict[str, Any]:
    """The live tables without what belongs to others, and the context needed to interpret them."""
    backend = firewall_commands.backend(backend)
    firewall_native.refuse_misread(backend)
    live = firewall_kernel.read(backend)
    declared = firewall_declared.asked_for(__pillar__, None, None)
    others = firewall_delta.Others(firewall_others.preserved(declared.firewall, live))
    return {
        "tables": {family: firewall_delta.own(tables, others) for family, tables in live.items()},
        "tunnel": declared.tunnel,
        "sets": firewall_ipset.holding(firewall_kernel.sets()),
    }


# --------------------------------------------------------------------------------------------------------------
# What the states do


def ruleset(
    name: str,
    tunnel: dict[str, Any] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **firewall: Any,
) -> dict[str, Any]:
    """
    Do what the state ``dualstack_iptables.ruleset`` does: the tables of both families hold exactly these rules.

    name
        The name of the result.
    tunnel, pillar
        As in the state.
    test
        Only report what would change; by default as Salt is configured.
    firewall
        The other arguments of the state.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``, which has the errors. Raises
    nothing that a user can cause.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.ruleset firewall tables='{filter: {INPUT: {policy: ACCEPT}}}' test=True
    """
    return _converged(firewall_whole.change, name, firewall, tunnel, pillar, test)


def taken_over(
    name: str,
    tunnel: dict[str, Any] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **firewall: Any,
) -> dict[str, Any]:
    """
    Do what the state ``dualstack_iptables.taken_over`` does: as ``ruleset``, and in the same step the managers under
    ``take_over`` end, after these rules are live.

    name
        The name of the result.
    tunnel, pillar
        As in the state.
    test
        Only report what would change; by default as Salt is configured.
    firewall
        The other arguments of the state.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``, which has the errors. Raises
    nothing that a user can cause.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.taken_over firewall pillar=ipv6:firewall take_over='[ufw]' test=True
    """
    return _converged(firewall_takeover.change, name, firewall, tunnel, pillar, test)


def saved(
    name: str,
    tunnel: dict[str, Any] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **firewall: Any,
) -> dict[str, Any]:
    """
    Do what the state ``dualstack_iptables.saved`` does: the rules that the next boot loads are these.

    name
        The name of the result.
    tunnel, pillar
        As in the state.
    test
        Only report what would change; by default as Salt is configured.
    firewall
        The other arguments of the state.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``, which has the errors. Raises
    nothing that a user can cause.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.saved firewall pillar=ipv6:firewall test=True
    """
    return _converged(firewall_takeover.saving, name, firewall, tunnel, pillar, test)


def proven(
    name: str,
    tunnel: dict[str, Any] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **firewall: Any,
) -> dict[str, Any]:
    """
    Do what the state ``dualstack_iptables.proven`` does: check that the live rules are the declared ones, and do with
    real packets what is expected of them. Nothing is changed.

    name
        The name of the result.
    tunnel, pillar
        As in the state.
    test
        Inspect nothing; by default as Salt is configured.
    firewall
        The other arguments of the state.

    Returns what a state returns: ``name``, ``result``, ``changes`` (none) and ``comment``, which has the errors.
    Raises nothing that a user can cause.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.proven firewall tables='{filter: {INPUT: {policy: ACCEPT}}}'
    """
    declare, surplus = _declaration(firewall, tunnel, pillar)
    return converge.look(
        name,
        lambda: firewall_whole.proven(declare(), __opts__),
        surplus,
        "the live rules were not checked" if converge.tested(test, __opts__) else "",
        declare,
    )


def _converged(
    change: Callable[[firewall_whole.Declare, dict[str, Any], bool], converge.Change],
    name: str,
    given: dict[str, Any],
    tunnel: dict[str, Any] | None,
    pillar: str | None,
    test: bool | None,
) -> dict[str, Any]:
    """Make a change towards the firewall that is asked for, or only report it."""
    predicted = converge.tested(test, __opts__)
    declare, surplus = _declaration(given, tunnel, pillar)
    return converge.run(name, change(declare, __opts__, predicted), surplus, predicted)


def _declaration(
    given: dict[str, Any], tunnel: dict[str, Any] | None, pillar: str | None
) -> tuple[firewall_whole.Declare, dict[str, Any]]:
    """The firewall that is asked for, and the arguments that are not part of it."""
    named = {key: value for key, value in given.items() if key in firewall_ruleset.KEYS}
    surplus = {key: value for key, value in given.items() if key not in firewall_ruleset.KEYS}
    return lambda: firewall_declared.declared(__pillar__, pillar, named, tunnel), surplus


def rule(
    name: str,
    rule: str | dict[str, Any] | None = None,
    chain: str = "INPUT",
    table: str = "filter",
    position: str = "end",
    backend: str = "auto",
    save: bool = True,
    aggregated: list[dict[str, Any]] | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Do what the state ``dualstack_iptables.rule`` does: a chain has this rule.

    name
        The name of the result; the rule, if ``rule`` is not given.
    rule, chain, table, position, backend, save, aggregated
        As in the state.
    test
        Only report what would change; by default as Salt is configured.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``, which has the errors. Raises
    nothing that a user can cause.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.rule munin rule='-p tcp --dport 4949 -s 192.0.2.9 -j ACCEPT' test=True
    """
    one = {"rule": rule or name, "chain": chain, "table": table, "position": position}
    return _single(
        name, one, aggregated, backend, save, firewall_single.with_rule, kwargs, converge.tested(test, __opts__)
    )


def rule_absent(
    name: str,
    rule: str | dict[str, Any] | None = None,
    chain: str = "INPUT",
    table: str = "filter",
    backend: str = "auto",
    save: bool = True,
    aggregated: list[dict[str, Any]] | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Do what the state ``dualstack_iptables.rule_absent`` does: a chain does not have this rule.

    name
        The name of the result; the rule, if ``rule`` is not given.
    rule, chain, table, backend, save, aggregated
        As in the state.
    test
        Only report what would change; by default as Salt is configured.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``, which has the errors. Raises
    nothing that a user can cause.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_iptables.rule_absent munin rule='-p tcp --dport 4949 -s 192.0.2.9 -j ACCEPT' test=True
    """
    one = {"rule": rule or name, "chain": chain, "table": table}
    return _single(
        name, one, aggregated, backend, save, firewall_single.without_rule, kwargs, converge.tested(test, __opts__)
    )


def _single(
    name: str,
    one: dict[str, Any],
    aggregated: list[dict[str, Any]] | None,
    backend: str,
    save: bool,
    edit: firewall_single.Edit,
    surplus: dict[str, Any],
    test: bool,
) -> dict[str, Any]:
    """Converge one rule, or those of all states like this one; if these fail, each is handled in its own state."""

    def change(rules: list[dict[str, Any]]) -> converge.Change:
        made = firewall_single.change(rules, backend, save, edit, __opts__)
        tables = sorted({str(each.get("table", "filter")) for each in rules})
        return made._replace(plan=firewall_managers.before(made.plan, tables, backend, __pillar__))

    if aggregated:
        began = time.monotonic()
        done = converge.run(name, change(aggregated), surplus, test)
        left = converge.BOUND - (time.monotonic() - began)
        if done["result"] is not False or left <= 0:  # both together have the time of one state
            return done
        return converge.run(name, change([one])._replace(bound=lambda: left), surplus, test)
    return converge.run(name, change([one]), surplus, test)
