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

    The firewall of the pillar is up:
      dualstack_iptables.ruleset:
        - pillar: ipv6:firewall

    The firewall of the pillar has taken over:
      dualstack_iptables.taken_over:
        - pillar: ipv6:firewall
        - take_over: [ufw]

    Munin may ask:
      dualstack_iptables.rule:
        - rule: {proto: tcp, dport: 4949, source: [192.0.2.9, '2001:db8::9'], jump: ACCEPT}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException
from salt.state import STATE_REQUISITE_KEYWORDS

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "dualstack_iptables"

# What states have to share to be carried out as one.
SHARED = ("state", "fun", "backend", "save", "unless", "onlyif", "creates", *sorted(STATE_REQUISITE_KEYWORDS))


def ruleset(
    name: str,
    tables: dict[str, Any] | None = None,
    expect: list[dict[str, Any]] | None = None,
    preserve: list[str] | None = None,
    preserve_only: list[str] | None = None,
    foreign: str | None = None,
    icmpv6_essential: bool | None = None,
    clamp_mss: bool | None = None,
    tunnel: dict[str, Any] | None = None,
    backend: str | None = None,
    save: bool | None = None,
    beside: list[str] | None = None,
    sets: dict[str, Any] | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The tables of both families hold exactly these rules, live and at the next boot.

    name
        Any name.
    tables
        By table and chain the ``policy`` (ACCEPT or DROP; for both families, or a mapping of one for each; one that is
        not stated stays as it is) and the
        ``rules``: a list, or groups of lists, which are sorted: numbers first, in their order, then names. A rule is
        written as for iptables, or as a mapping with the keys of Salt's iptables state; what it means in each family is
        described at the top of ``_modules/_dualstack_firewall_rules.py``. A table that is not listed is left alone; one
        that is belongs to this state completely.
    expect
        What the ruleset has to do, tested with real packets before it is loaded: ``to`` (``tcp/22``), ``verdict``
        (accept, drop or reject), ``from``, ``via: forward`` (to a container, say) and others: see
        ``_modules/_dualstack_firewall_expectations.py``. ``from`` beside it are the hosts that stand for anywhere.
    preserve
        Chains, interfaces and sets of other programs, as patterns: such chains, and rules that lead to them or name
        such an interface or set, stay where they are; a pattern with a space in it is compared with whole rules. They
        are added to those of Docker, fail2ban, libvirt, Kubernetes and the like, which are known
        (``_modules/_dualstack_firewall_programs.py``). What these states declare is theirs, whatever it is called.
    preserve_only
        The same, instead of those that are known.
    foreign
        What becomes of rules in these tables that this state has not made, and that are of no such program: ``remove``,
        the default, where each is shown as ``foreign``; or ``keep``, where they are, live and in the files.
    icmpv6_essential
        Accept, before all other rules, what IPv6 does not work without (:rfc:`4890`); the default. In other tables
        than filter that is before the first rule that drops. Pings are left to the rules that name them, another type
        is accepted after the rules that drop it, and router advertisements through the tunnel are dropped.
    clamp_mss
        Lower the MSS of TCP connections that are routed through the tunnel to what fits it; not by default.
    tunnel
        The 6in4 tunnel, with ``name`` and ``endpoint``: its protocol 41 is let through.
    backend
        ``nft``, ``legacy``, or ``auto``, the default: that of the host's command iptables.
    save
        Write the rules to the files that Debian's netfilter-persistent loads at boot; the default.
    beside
        Other managers of the firewall that stay: ``ufw``, ``firewalld``, ``nftables``. Where one is active that is not
        named here, the state fails, and says what to do.
    sets
        Sets of ipset(8) that rules may name, by name: ``type`` (``hash:net``, the default, ``hash:ip``,
        ``hash:ip,port``, ...), ``entries``, ``options`` (``maxelem``, ``hashsize``, ``timeout``, ``counters``,
        ``comment``) and ``family``. Its entries of IPv6 are in a set of their own, whose name has a 6 at its end:
        ``--match-set NAME`` names that for IPv6. A set has exactly these entries, and those that others have put into
        it for a while (``timeout``). One that is no longer declared goes, unless something else uses it.
    pillar
        The key of all this in the pillar, such as ``ipv6:firewall``. Named arguments take precedence. The tunnel is the
        one beside it, ``ipv6:tunnel``, whose name is he-ipv6 by default.

    Only rules that differ are touched: the counters of all others survive, and so do all connections. Each family
    is changed by one iptables-restore; if the second fails, the first is put back.

    Source: iptables-extensions(8); :rfc:`4890`; :rfc:`7915`.
    """
    return __salt__["dualstack_iptables.ruleset"](
        name,
        tables=tables,
        expect=expect,
        preserve=preserve,
        preserve_only=preserve_only,
        foreign=foreign,
        icmpv6_essential=icmpv6_essential,
        clamp_mss=clamp_mss,
        tunnel=tunnel,
        backend=backend,
        save=save,
        beside=beside,
        sets=sets,
        pillar=pillar,
        test=_test(kwargs),
        __ended__=_ended(),
        **kwargs,
    )


def taken_over(
    name: str, take_over: list[str] | None = None, pillar: str | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    The tables of both families hold exactly these rules, and another manager of the firewall has ended, in one step
    without a moment in which the host is open or closed.

    name
        Any name.
    take_over
        The managers that end: ``ufw``. Its rules have to be in ``tables`` by then, as far as they are to stay:
        ``dualstack_iptables.adopt`` prints them.
    pillar
        As in ``ruleset``, like all other arguments.

    First the rules are live: one iptables-restore for each family, which also takes ufw's chains away. Then ufw is
    switched off (``ENABLED=no`` in ``/etc/ufw/ufw.conf``); its unit and its package stay. If either fails, both are as
    before. Where ufw is not active, this is ``ruleset``; but without something that loads rules at boot, none are
    saved: Debian's iptables-persistent, which cannot be installed beside ufw, would load them while it is installed.

    Source: ufw-framework(8).
    """
    return __salt__["dualstack_iptables.taken_over"](
        name, take_over=take_over, pillar=pillar, test=_test(kwargs), __ended__=_ended(), **kwargs
    )


def saved(name: str, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The next boot loads these rules; the live ones stay as they are.

    name
        Any name.
    pillar
        As in ``ruleset``, like all other arguments.

    ``ruleset`` does this as well. This is for after ``taken_over``, when what loads them has come.
    """
    return __salt__["dualstack_iptables.saved"](name, pillar=pillar, test=_test(kwargs), __ended__=_ended(), **kwargs)


def proven(name: str, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The live rules of both families are the declared ones, and do with real packets what is expected of them.

    name
        Any name.
    pillar
        As in ``ruleset``, like all other arguments.

    Changes nothing. Under ``test=True`` nothing is checked, since the rules may be changed before. If a container may
    not create namespaces, no packets are sent: what is expected was not tried, and the comment says so.
    """
    return __salt__["dualstack_iptables.proven"](name, pillar=pillar, test=_test(kwargs), **kwargs)


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
    A chain has this rule, in each family to which it applies. For formulas that need a port of their own.

    name
        Any name; the rule, if ``rule`` is not given.
    rule
        As in ``ruleset``.
    chain, table
        Where it belongs. A chain that does not exist is created.
    position
        Where it is put if it is not there yet: ``start`` or ``end``, which is before a last rule that matches all
        packets.
    backend
        As in ``ruleset``.
    save
        As in ``ruleset``.
    aggregated
        Set by Salt where ``state_aggregate`` has this module: the rules of all such states, applied with one
        iptables-restore for each family.

    ``ruleset`` leaves these rules where they are.
    """
    return __salt__["dualstack_iptables.rule"](
        name,
        rule=rule,
        chain=chain,
        table=table,
        position=position,
        backend=backend,
        save=save,
        aggregated=aggregated,
        test=_test(kwargs),
        __ended__=_ended(),
        **_surplus(kwargs),
    )


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
    A chain does not have this rule, in any family to which it applies.

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
    return __salt__["dualstack_iptables.rule_absent"](
        name,
        rule=rule,
        chain=chain,
        table=table,
        backend=backend,
        save=save,
        aggregated=aggregated,
        test=_test(kwargs),
        __ended__=_ended(),
        **_surplus(kwargs),
    )


def _surplus(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Unknown arguments, without ``aggregate``: it is Salt's own, but Salt passes it on."""
    return {key: value for key, value in kwargs.items() if key != "aggregate"}


def mod_aggregate(low: dict[str, Any], chunks: list[dict[str, Any]], running: dict[str, Any]) -> dict[str, Any]:
    """
    Let the first of many single rules create them all; each of the others then finds its own in place.

    low
        The state that is about to run.
    chunks
        All states of the run.
    running
        What has run already.

    Only states with the same requirements as this one are included. A wrong rule is left out, and fails in its own
    state.
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
        __salt__["dualstack_iptables.translate"](one["rule"], one["chain"], one["table"])
    except SaltException:
        return False
    return True


def _test(kwargs: dict[str, Any]) -> bool:
    """Whether to predict only: if the whole run does, or this state has ``- test: true``."""
    asked = kwargs.pop("test", False)
    return bool(__opts__["test"] or asked)


def _ended() -> bool:
    """Whether a later state ends the transaction of this run: until then, all is kept or put back together."""
    over = {each.get("__id__") for each in (globals().get("__running__") or {}).values()}
    chunks = globals().get("__lowstate__") or ()
    return any((each["state"], each["fun"]) == ("ipv6", "managed") and each["__id__"] not in over for each in chunks)
