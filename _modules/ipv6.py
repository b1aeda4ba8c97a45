"""
The pillar ``ipv6``, checked as a whole before anything is changed; what a host lacks; the host at a glance; and its
kernel parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_needs as needs
    import _dualstack_pillar as pillar_room
    import _dualstack_plugins as plugins
    import _dualstack_proof_ladder as proof_ladder
    import _dualstack_report_table as report_table
    import _dualstack_report_whole as report_whole
    import _dualstack_service_audit as service_audit
    import _dualstack_service_pillar as service_pillar
    import _dualstack_settings as settings
    import _dualstack_sysctl_change as sysctl_change
    import _dualstack_sysctl_settings as sysctl_settings
    import _dualstack_transaction_confirm as transaction_confirm
    import _dualstack_transaction_end as transaction_end
    import _dualstack_transaction_event as transaction_event
    import _dualstack_transaction_wanted as transaction_wanted
if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}
    __grains__: dict[str, Any] = {}

__virtualname__ = "ipv6"


# --------------------------------------------------------------------------------------------------------------
# Read-only commands


def report(as_data: bool = False) -> Any:
    """
    This host at a glance: whether IPv6 works, now and after the next boot, and which service listens, is let in,
    answers and is published, over IPv4 and over IPv6.

    as_data
        ``True`` for programs: plain data. By default a table, to be printed without ``--out``.

    As data it is::

        {"version": 1, "host": "server.example.org", "ipv6": {...},
         "ipv4": {"addresses": ["46.105.5.1"], "address": "46.105.5.1", "interface": "eth0"},
         "proof": [{"rung": "tunnel", "outcome": "held", "text": "...", "needed": True, "warnings": []}],
         "ptr": [{"address": "2001:470:1f13:f87::77", "names": ["www.example.org"], "error": "", "expected": False}],
         "mail": [{"service": "postfix", "address": "2001:...", "send": "auto", "outcome": "failed", "text": "..."}],
         "tunnels": [{"interface": "wg0", "kind": "wireguard", "local": None, "remote": None,
                      "addresses": ["2001:db8:7::1/64"], "metrics": [], "rival": False}],
         "services": [{"service": "dovecot", "transport": "tcp", "port": 143, "protocol": "imap", "declared": True,
                       "ipv4": {"listening": True, "allowed": True, "answering": True}, "ipv6": {...}}],
         "published": [{"name": "www.example.org", "ipv4": {"published": True, "records": [...]}, "ipv6": {...}}],
         "notes": [{"mark": "?", "text": "..."}], "problems": [{"of": "dovecot", "text": "..."}], "summary": "..."}

    ``version`` changes when a program that reads this has to. ``True`` is yes, ``False`` no, ``None`` unknown, which a
    note explains. What was not checked has no key. ``declared`` is whether the pillar has the service; ``port`` is
    ``None`` if it has one without ports that does not listen.

    ``proof`` has the rungs that concern the whole host, judged as the states of ``ipv6.verify`` do: ``tunnel``,
    ``published address``, ``route``, ``beyond``, ``next boot`` and ``A record``, as far as the pillar has them. Each is
    ``held``, ``failed`` or ``not tried``; one that is not ``needed`` is listed under ``dns:without``. ``warnings`` are
    what is wrong although it holds. ``ptr`` has the names of the published addresses, ``None`` if they are not known;
    ``mail`` whether others take mail over IPv6 from here; ``tunnels`` the other tunnels that are up, and whether a
    default route of one may come before the declared one's.

    In the table, problems are in capitals, their lines begin with ``!``, those of what could not be found out with
    ``?``, and the last line sums up. It is no all-clear where something is not known.

    Changes nothing. Any user may call it, but sees less than root. Takes a few seconds, longer if daemons or name
    servers hang. Raises ``SaltInvocationError`` for a wrong pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.report
        salt --out=json --static '*' ipv6.report as_data=True
    """
    found = report_whole.of_pillar(__pillar__.get("ipv6") or {}, _known())
    return found if as_data else report_table.table(found)


def errors(pillar: Any) -> list[str]:
    """
    All errors in a pillar ``ipv6``, as far as this can be checked without its host.

    pillar
        As a user wrote it; it may be anything.

    Returns one sentence for each error, beginning with the key. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.errors '{tunnel: {endpoint: "2001:db8::1"}}'
    """
    return pillar_room.errors(pillar, _known())


def missing(need: str, pillar: str = "ipv6", lookup: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    What this host lacks for a part of the pillar.

    need
        ``tunnel``, ``ifupdown``, ``firewall``, ``netaddr``, ``dns`` or ``loader``.
    pillar
        The key of the pillar, whose ``lookup`` takes precedence over the argument.
    lookup
        The names of packages, as in the pillar ``ipv6:lookup``.

    Returns ``there``, a sentence if nothing is missing, or else ``lacks``, one of what is; what provides that:
    ``packages``, or ``distributions`` for pip; ``answers`` to their questions; ``refused``, a sentence if they remove
    others; ``removes``, managers that they may remove once taken over, and ``awaits``, a sentence if one is not. Raises
    ``SaltInvocationError`` for a need or a key that is none, and ``CommandExecutionError``.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.missing firewall lookup='{packages: {firewall: [iptables, iptables-persistent]}}'
    """
    converge.refuse(kwargs)
    return needs.missing(
        need, lookup, settings.at(__pillar__, pillar), __salt__["pkg.version"], __grains__["pythonexecutable"]
    )


# --------------------------------------------------------------------------------------------------------------
# As the states do


def valid(
    name: str,
    pillar: str = "ipv6",
    supported: dict[str, list[str]] | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Check the pillar of this host, as the state ``ipv6.valid`` does.

    name
        The name of the result.
    pillar
        The key of the pillar.
    supported
        By the grain ``os``, the first and the last supported release; by default any.
    test
        Has no effect: nothing is ever changed.

    Returns what the state returns; its ``comment`` has every error. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.valid 'my pillar'
    """

    transaction_event.prepare(__opts__)

    def find() -> converge.Finding:
        found = pillar_room.checked(__pillar__, pillar, supported or {}, _known(), __grains__, __opts__["cachedir"])
        return transaction_end.told(found, converge.tested(test, __opts__))

    return converge.look(name, find, kwargs)


def managed(name: str, pillar: str | None = None, test: bool | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Keep what this run has changed if this host can still be managed, as the state ``ipv6.managed`` does.

    name
        The name of the result.
    pillar
        The key of the pillar, ``ipv6``.
    test
        Nothing was changed then; by default as this minion is configured.

    Returns what the state returns. Raises nothing: where everything had to be put back, the comment says why and how.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.managed 'the end of a run'
    """

    def harmed(now: bool) -> list[str]:
        exceptions = service_pillar.exceptions(__pillar__, f"{pillar}:services" if pillar else None)
        value = service_audit.bindv6only() if now else 1 - service_audit.bindv6only()
        return service_audit.harmed(plugins.services(__salt__), value, None, exceptions)

    wanted = functools.partial(transaction_wanted.asked, __pillar__, pillar)

    def find() -> converge.Finding:
        tell = functools.partial(transaction_event.confirmed, __opts__, __salt__)
        return transaction_end.managed(wanted, __opts__, harmed, tell)

    untried = transaction_end.UNTRIED if converge.tested(test, __opts__) else ""
    done = converge.look(name, find, kwargs, untried, wanted, transaction_end.BOUND)
    return {**done, "result": True} if untried and done["result"] is None else done


def confirm(token: str = "", force: bool = False) -> dict[str, Any]:
    """
    Keep what a run has changed that waits for this, as one with ``ipv6:confirm:mode: manual`` does.

    token
        The word that the run waits for, if its pillar has one.
    force
        Confirm it as well where this proves nothing.

    What counts is a connection made after the last change: a call by salt-ssh, or ``salt-call --local ipv6.confirm`` in
    a new login. In the session that runs the state, one as old, or a console, nothing is proven: refused. For a job of
    the master the minion first makes new connections to it, which have to succeed.

    Returns ``result``; ``outcome``: ``confirmed``, ``nothing open``, ``too early`` (the run still changes this host),
    ``refused``, or ``too late``; and a ``comment``, with the restorer's report if it was too late.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.confirm
    """
    return transaction_confirm.confirm(str(token), force, __opts__).data


def rollback() -> dict[str, Any]:
    """
    Put back what a run has changed that waits to be confirmed, or goes on: that is ended first. Returns as
    :py:func:`confirm` does; the outcome is ``put back``, with the report, ``nothing open`` or ``too late``.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.rollback
    """
    return transaction_confirm.roll_back("somebody has asked for it (ipv6.rollback)").data


def assigned(
    name: str, address: str | None = None, pillar: str | None = None, test: bool | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    Check whether the published address is on this host, as the state ``ipv6.assigned`` does.

    name
        The name of the result.
    address
        The IPv6 address, without a prefix length.
    pillar
        The key of the pillar, ``ipv6``, for an address that is not given.
    test
        Do not look, since the run might change it; by default as this minion is configured.

    Returns what the state returns, and ``outcome``: ``held``, ``failed``, or ``not tried``. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.assigned 'our address' pillar=ipv6
    """
    return _look(name, lambda: _asked(pillar, address=address), proof_ladder.assigned, kwargs, test)


def leaving(
    name: str,
    address: str | None = None,
    beyond: list[str] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Check whether what comes from the published address leaves this host, as the state ``ipv6.leaving`` does.

    name, address, pillar, test
        As for :py:func:`assigned`.
    beyond
        IPv6 addresses; the way to the first is looked up.

    Returns and raises as :py:func:`assigned` does. Sends nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.leaving 'our way out' pillar=ipv6
    """
    return _look(name, lambda: _asked(pillar, address=address, beyond=beyond), proof_ladder.leaving, kwargs, test)


def reaching(
    name: str,
    address: str | None = None,
    beyond: list[str] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Ask whether somebody beyond answers to the published address, as the state ``ipv6.reaching`` does.

    name, address, pillar, test
        As for :py:func:`assigned`.
    beyond
        IPv6 addresses, one of which has to answer a ping.

    Returns and raises as :py:func:`assigned` does.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.reaching 'somebody' pillar=ipv6
    """

    def find(this: proof_ladder.Asked) -> converge.Finding:
        return proof_ladder.reaching(this, plugins.stacks(__salt__))

    return _look(name, lambda: _asked(pillar, address=address, beyond=beyond), find, kwargs, test)


def leading(name: str, pillar: str | None = None, test: bool | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Ask whether the published names lead to this host over IPv4, as the state ``ipv6.leading`` does.

    name, pillar, test
        As for :py:func:`assigned`.

    Returns and raises as :py:func:`assigned` does.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.leading 'our names' pillar=ipv6
    """
    return _look(name, lambda: _asked(pillar), proof_ladder.leading, kwargs, test)


def next_boot(name: str, pillar: str | None = None, test: bool | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Check whether the next boot comes up as this host is now, as the state ``ipv6.next_boot`` does.

    name, pillar, test
        As for :py:func:`assigned`.

    Returns and raises as :py:func:`assigned` does.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.next_boot 'the next boot' pillar=ipv6
    """
    return _look(name, lambda: _asked(pillar), lambda this: proof_ladder.next_boot(this, _known()), kwargs, test)


def proven(
    name: str,
    rungs: list[dict[str, str]] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Judge what rungs prove together, as the state ``ipv6.proven`` does. It looks at nothing itself.

    name
        The name of the result.
    rungs
        What was looked at: ``rung``, ``title``, ``outcome`` (``held``, ``failed``, ``not tried``) and ``why``.
    pillar
        The key of the pillar, ``ipv6``, whose ``dns:without`` lists rungs that need not have been tried.
    test
        Nothing was tested then, so the result is ``None``; by default as this minion is configured.

    Returns what the state returns, and ``outcome``. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.proven 'IPv6 is proven' '[{rung: route, title: way out, outcome: held, why: by eth0}]'
    """
    untried = "not proven: under test=True nothing was tested" if converge.tested(test, __opts__) else ""
    find, asked = lambda: proof_ladder.together(_asked(pillar), rungs), lambda: _asked(pillar)
    return converge.look(name, find, kwargs, untried, asked)


def _look(
    name: str,
    asked: Callable[[], proof_ladder.Asked],
    find: Callable[[proof_ladder.Asked], converge.Finding],
    surplus: Mapping[str, Any],
    test: bool | None,
) -> dict[str, Any]:
    """One rung; under ``test=True`` only what it would look at is checked."""
    untried = "not looked at" if converge.tested(test, __opts__) else ""
    return converge.look(name, lambda: find(asked()), surplus, untried, asked)


def _asked(pillar: str | None, **given: Any) -> proof_ladder.Asked:
    return proof_ladder.asked(__pillar__, pillar, given)


def parameter(
    name: str,
    value: int | str | None = None,
    config: str | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Give a kernel parameter a value, live and for the next boot, as the state ``ipv6.parameter`` does.

    name
        The parameter, with dots: ``net.ipv6.bindv6only``.
    value
        Its value; several words are compared whatever is between them.
    config
        The file that sets it at boot: ``/etc/sysctl.conf``, or one in ``/etc/sysctl.d``; by default its ``local.conf``.
    pillar
        The key of the parameters in the pillar, ``ipv6:sysctl``: what is not given is taken from there, and from
        ``lookup:sysctl_file`` beside it.
    test
        Only predict; by default as this minion is configured.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``. Raises nothing: what is wrong is in
    the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.parameter net.ipv6.bindv6only 1 test=True
    """

    def wanted() -> converge.Plan:
        file = sysctl_settings.file(__pillar__, pillar, name, config)
        return sysctl_change.plan(name, sysctl_settings.value(__pillar__, pillar, name, value), file)

    return converge.run(name, sysctl_change.change(wanted), kwargs, converge.tested(test, __opts__))


def parameter_absent(
    name: str, config: str | None = None, pillar: str | None = None, test: bool | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    Let a file no longer set a kernel parameter at boot, as the state ``ipv6.parameter_absent`` does.

    name
        The parameter, with dots.
    config, pillar, test
        As for :py:func:`parameter`.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``. Raises nothing: what is wrong is in
    the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.parameter_absent net.ipv6.bindv6only test=True
    """

    file = functools.partial(sysctl_settings.file, __pillar__, pillar, name, config)

    def harmed(bindv6only: int) -> list[str]:
        return service_audit.harmed(plugins.services(__salt__), bindv6only)

    kept = converge.look(name, lambda: sysctl_change.kept(name, file(), harmed), kwargs, bound=sysctl_change.BOUND)
    if kept["comment"]:
        return kept
    change = sysctl_change.change(lambda: sysctl_change.plan_absent(name, file()))
    return converge.run(name, change, kwargs, converge.tested(test, __opts__))


def _known() -> pillar_room.Known:
    """The plug-ins that a pillar may name."""
    return pillar_room.Known(plugins.stacks(__salt__), plugins.services(__salt__), plugins.providers(__salt__))
