"""
One firewall for IPv4 and IPv6: rules are written once, and both families converge to them.

.. code-block:: yaml

    The firewall is up:
      dualstack_iptables.ruleset:
        - tables:
            filter:
              INPUT:
                policy: DROP
                rules:
                  - -i lo -j ACCEPT
                  - -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
                  - -p icmp -j ACCEPT
                  - {proto: tcp, dport: 22, comment: ssh, jump: ACCEPT}
                  - {proto: tcp, dport: 3306, source: [192.0.2.0/24, '2001:db8::/32'], jump: ACCEPT}
              FORWARD: {policy: DROP}
        - expect:
          - {to: tcp/22, verdict: accept}
          - {to: tcp/3306, verdict: drop}

    Munin may ask:
      dualstack_iptables.rule:
        - rule: {proto: tcp, dport: 4949, source: [192.0.2.9, '2001:db8::9'], jump: ACCEPT}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltException
from salt.state import STATE_REQUISITE_KEYWORDS

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "dualstack_iptables"

# What the errors of a container begin with that may not create namespaces.
NO_NAMESPACES = "network namespaces are not permitted here"

# What states have to have in common to be carried out as one.
SHARED = ("state", "fun", "backend", "save", "unless", "onlyif", "creates", *sorted(STATE_REQUISITE_KEYWORDS))


def ruleset(
    name: str,
    tables: dict[str, Any] | None = None,
    expect: list[dict[str, Any]] | None = None,
    preserve: list[str] | None = None,
    icmpv6_essential: bool = True,
    clamp_mss: bool = False,
    tunnel: dict[str, Any] | None = None,
    backend: str = "auto",
    save: bool = True,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The tables of both families hold exactly these rules, live and at the next boot.

    name
        Any name.
    tables
        By table and chain the ``policy`` (ACCEPT or DROP; for both families, or a mapping of one for each) and the
        ``rules``: a list, or named groups of lists, which are sorted by name. A rule is written as for iptables, or
        as a mapping with the keys of Salt's iptables state; ``dualstack_rules`` tells what it means in each family.
        A table that is not among them is left alone; of one that is, everything belongs to this state.
    expect
        What the ruleset is to do, tried with real packets before it is loaded: ``to`` (``tcp/22``), ``verdict``
        (accept, drop or reject), ``from`` and others, see ``firewall_rehearsal``.
    preserve
        Chains and interfaces of others, as patterns: such chains, and rules that lead to them or name such an
        interface, stay where they are; a pattern with a space in it is compared with whole rules. By default those
        of Docker, fail2ban, libvirt, Kubernetes and the like.
    icmpv6_essential
        Let in front of all rules pass what IPv6 does not work without (:rfc:`4890`).
    clamp_mss
        Lower the MSS of TCP connections that are routed through the tunnel to what fits it.
    tunnel
        The 6in4 tunnel, with ``name`` and ``endpoint``: its protocol 41 is let through.
    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.
    save
        Write the rules to the files that Debian's netfilter-persistent loads at boot.

    Only rules that differ are touched: the counters of all others survive, and so do all connections. Each family
    is changed by one iptables-restore; if the second fails, the first is put back.

    Source: iptables-extensions(8); :rfc:`4890`; :rfc:`7915`.
    """
    arguments = {
        "tables": tables,
        "expect": expect,
        "preserve": preserve,
        "icmpv6_essential": icmpv6_essential,
        "clamp_mss": clamp_mss,
        "tunnel": tunnel,
        "backend": backend,
        "save": save,
    }
    return __salt__["converge.run"]("dualstack_iptables", "ruleset", name, arguments, kwargs, __opts__["test"])


def proven(
    name: str,
    tables: dict[str, Any] | None = None,
    expect: list[dict[str, Any]] | None = None,
    preserve: list[str] | None = None,
    icmpv6_essential: bool = True,
    clamp_mss: bool = False,
    tunnel: dict[str, Any] | None = None,
    backend: str = "auto",
    save: bool = True,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The live rules of both families are the declared ones, and do with real packets what is expected of them.

    name
        Any name.
    tables, expect, preserve, icmpv6_essential, clamp_mss, tunnel, backend, save
        As in ``ruleset``.

    Changes nothing. Under ``test=True`` nothing is looked at, since the rules may be changed before. Where a
    container may not create namespaces, no packets are tried, and the comment says so.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    given: dict[str, Any] = {
        "tables": tables,
        "expect": expect,
        "preserve": preserve,
        "icmpv6_essential": icmpv6_essential,
        "clamp_mss": clamp_mss,
        "backend": backend,
        "save": save,
    }
    firewall = {key: value for key, value in given.items() if value is not None}
    try:
        __salt__["converge.refuse"](kwargs)
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "the live rules were not looked at"}
        tried, untried = _tried(firewall, tunnel)
        failures = [_verdict(each) for each in tried if not each["ok"]]
        if failures:
            return {**ret, "comment": "\n".join(["The rules do not do what is expected of them:", *failures])}
        different = __salt__["dualstack_iptables.diff"](firewall, tunnel)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    if different:
        return {**ret, "comment": f"what is live, or saved, is not what is declared: {', '.join(different)}"}
    lines = ["The live rules are those that are declared.", *untried, *map(_verdict, tried)]
    return {**ret, "result": True, "comment": "\n".join(lines)}


def _tried(firewall: dict[str, Any], tunnel: dict[str, Any] | None) -> tuple[list[dict[str, Any]], list[str]]:
    """The verdict on each expectation, or why they could not be tried."""
    try:
        return __salt__["dualstack_iptables.rehearse"](firewall, tunnel), []
    except CommandExecutionError as error:
        if not str(error).startswith(NO_NAMESPACES):
            raise
        return [], [f"{error}; what is expected of the rules was not tried"]


def _verdict(tried: dict[str, Any]) -> str:
    port = f"/{tried['port']}" if tried.get("port") else ""
    packet = f"{tried['protocol']}{port} from {tried['source']} to {tried['destination']}"
    return f"{tried['why']}: {packet}: expected {tried['verdict']}, found {tried['found']}"


def rule(
    name: str,
    rule: str | dict[str, Any] | None = None,
    chain: str = "INPUT",
    table: str = "filter",
    position: str = "end",
    backend: str = "auto",
    save: bool = True,
    aggregated: list[dict[str, Any]] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A chain has this rule, in each family that it means something in. For formulas that need a port of their own.

    name
        Any name; the rule, if ``rule`` is not given.
    rule
        As in ``ruleset``.
    chain, table
        Where it stands. A chain that does not exist is made.
    position
        Where it is put if it is not there yet: ``start`` or ``end``, which is in front of a last rule for all packets.
    backend
        As in ``ruleset``.
    save
        As in ``ruleset``.
    aggregated
        Set by Salt where ``state_aggregate`` has this module: the rules of all such states, made with one
        iptables-restore for each family.

    ``ruleset`` leaves these rules where they are.
    """
    one = {"rule": rule or name, "chain": chain, "table": table, "position": position}
    return _single("rule", name, one, aggregated, {"backend": backend, "save": save}, kwargs)


def rule_absent(
    name: str,
    rule: str | dict[str, Any] | None = None,
    chain: str = "INPUT",
    table: str = "filter",
    backend: str = "auto",
    save: bool = True,
    aggregated: list[dict[str, Any]] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A chain does not have this rule, in any family that it means something in.

    name
        Any name; the rule, if ``rule`` is not given.
    rule
        As in ``ruleset``.
    chain, table
        Where it is looked for.
    backend
        As in ``ruleset``.
    save
        As in ``ruleset``.
    aggregated
        As in ``rule``.
    """
    one = {"rule": rule or name, "chain": chain, "table": table}
    return _single("rule_absent", name, one, aggregated, {"backend": backend, "save": save}, kwargs)


def _single(
    verb: str,
    name: str,
    one: dict[str, Any],
    aggregated: list[dict[str, Any]] | None,
    arguments: dict[str, Any],
    surplus: dict[str, Any],
) -> dict[str, Any]:
    """Converge one rule, or those of all states like this one; if these fail, each is left to its own state."""
    surplus.pop("aggregate", None)  # Salt's own, but Salt hands it on
    done: dict[str, Any] = {}
    for rules in (aggregated, [one]):
        if rules and done.get("result", False) is False:
            given = {"rules": rules, **arguments}
            done = __salt__["converge.run"]("dualstack_iptables", verb, name, given, surplus, __opts__["test"])
    return done


def mod_aggregate(low: dict[str, Any], chunks: list[dict[str, Any]], running: dict[str, Any]) -> dict[str, Any]:
    """
    Let the first of many single rules make them all; each of the others then finds its own there.

    low
        The state that is about to run.
    chunks
        All states of the run.
    running
        What has run already.

    Only states that wait for the same as this one are taken with it. A rule that is wrong is left out, and fails
    in its own state.
    """
    if low["fun"] not in ("rule", "rule_absent"):
        return low
    alike = [each for each in chunks if each is not low and _alike(each, low) and _makes_sense(each)]
    if alike and _makes_sense(low):
        low["aggregated"] = [_one(each) for each in (low, *alike)]
    for each in alike:
        each["__agg__"] = True
    return low


def _alike(chunk: dict[str, Any], low: dict[str, Any]) -> bool:
    return "__agg__" not in chunk and all(chunk.get(key) == low.get(key) for key in SHARED)


def _one(chunk: dict[str, Any]) -> dict[str, Any]:
    place = {"chain": "INPUT", "table": "filter", "position": "end"}
    return {"rule": chunk.get("rule") or chunk["name"], **{key: chunk.get(key, place[key]) for key in place}}


def _makes_sense(chunk: dict[str, Any]) -> bool:
    one = _one(chunk)
    try:
        __salt__["dualstack_rules.translate"](one["rule"], one["chain"], one["table"])
    except SaltException:
        return False
    return True
