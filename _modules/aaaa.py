"""
AAAA records, and the PTR record of their address: look them up at every authoritative server, publish them, withdraw
them.

A record counts as published when *every* authoritative server of its zone has it. Each server is asked directly, over
TCP; no cache is trusted. Only AAAA records of the given names are changed, and of these only those that this host has
published itself. It remembers the last address it published under each name in
``/var/lib/dualstack_aaaa/published.json``, which only root can read. Without that file, an old address of this host
counts as somebody else's: it is left in place, with a warning. ``exclusive`` also removes addresses of others. PTR
records are remembered beside it, in ``pointers.json``; an address has one, and that of somebody else is not replaced
without ``exclusive``. In how many runs in a row the proof of IPv6 has failed, where that matters, is in ``proof.json``.

Changes are made by a provider: an execution module ``aaaa_<provider>``, in a file of that name, which is part of this
project or your own. As soon as Salt finds the file, the provider can be used. It has three functions:

``about(settings)``
    What the provider can do, as a mapping with these keys, each of which may be missing:

    * ``keys``: for each key of the settings, a description of the expected value
    * ``required``: a list of the keys that have no default
    * ``withdraws``: whether it can remove records (default true)
    * ``sets_ttl``: whether it can choose the TTL (default true)
    * ``replaces``: whether it holds a single address for each name, so that a new one replaces all others (default
      false)
    * ``atomic``: whether it changes either all names or none (default false)
    * ``servers``: authoritative servers that it knows of, which are asked where this host's resolver finds none
    * ``kinds``: the types of the records that it can change (default ``["AAAA"]``), ``["AAAA", "PTR"]``; or a mapping
      of each of them to what differs for it, ``{"AAAA": {}, "PTR": {"withdraws": False}}``
    * ``zone``: the zone that it changes; a name that is in another one below it is refused

    ``settings`` may still be wrong; the function must not raise.
``errors(settings, names)``
    The errors in the values of the settings: sentences, each of which begins with the key. Unknown and missing keys,
    and a ``zone`` that does not contain the names, are reported without it. No sentence may contain a secret.
``change(credentials, edits)``
    Makes the change, with the settings that stand in ``__pillar__`` under the key ``credentials``, for example
    ``ipv6:dns:<provider>``. ``edits`` is ``{name: {"old": {...}, "new": {...}}}``, each side with ``addresses`` (a
    list) and ``ttl`` (seconds, or ``None`` where there is no record). Without ``atomic``, it is called for one name at
    a time. It has to accept a change that is already done. It raises ``CommandExecutionError`` with a description of
    the failure that contains no secret.

    PTR records come in a change of their own: the name is a reverse name, its edit also has ``kind``, ``"PTR"``, and
    each side has ``names`` in the place of ``addresses``. Their settings are under ``ipv6:dns:ptr:<provider>``; what
    lacks there is as in ``ipv6:dns:<provider>``, and ``zone`` is ``ipv6:dns:ptr:zone``.

Anybody who may call one function of a provider may call all of them. Therefore ``change`` is told where its settings
are, never what they are: otherwise it would run any command, or send any credential anywhere, for any caller. For the
same reason no secret is ever an argument, since Salt logs arguments. ``about`` and ``errors`` only judge what they are
given; they must not act on it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_dns_ask as dns_ask
    import _dualstack_dns_change as dns_change
    import _dualstack_dns_patience as dns_patience
    import _dualstack_dns_ptr_change as dns_ptr_change
    import _dualstack_dns_ptr_wish as dns_ptr_wish
    import _dualstack_dns_settings as dns_settings
    import _dualstack_dns_values as dns_values
    import _dualstack_errors as errors_room
    import _dualstack_host_lock as host_lock
    import _dualstack_plugins as plugins
if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa"

log = logging.getLogger(__name__)

EVENT = "dualstack/aaaa"  # the beginning of the tags of events
BRIEFLY = 10.0  # seconds to wait for the lock once more, when the state's own time is over


def lookup(name: str, servers: list[str] | None = None) -> dict[str, Any]:
    """
    The AAAA records of a name, as each of its authoritative servers has them now.

    name
        A host name.
    servers
        The servers to ask, each an address or ``address#port``. By default those that the zone's NS records name,
        found by this host's resolver.

    Returns ``name``; ``agree``, whether all servers say the same; ``addresses`` and ``ttl`` (seconds; ``None`` if there
    is no record), and ``alias``, the target of a CNAME, if they do; and ``servers``, for each of them ``addresses``,
    ``ttl``, ``alias``, ``error``, which is empty where it answered, and ``lasting``, whether asking again would not
    help. Raises ``SaltInvocationError`` for bad input and
    ``CommandExecutionError`` where no server is found, or where dnspython is not installed.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.lookup www.example.org
    """
    problems = dns_settings.value_errors({"names": [name], "servers": servers})
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return dns_ask.lookup(dns_values.canonical(name), servers)


def published(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    by: str | None = None,
    ttl: int | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    proof: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Publish this host's address under its names, as the state ``aaaa.published`` does.

    name, records, address, by, ttl, exclusive, servers, deadline, credentials, pillar
        As in the state.
    proof
        The outcome of the proof: ``held``, ``failed`` or ``not tried``. This run is then counted.
    test
        Only report what would change; by default as this minion is configured.

    Returns what the state returns: ``name``, ``result``, ``changes``, ``{name: {"old": [...], "new": [...]}}`` with the
    addresses, and with ``ttl`` where that differs, and ``comment``. Raises nothing: an error is in the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.published www.example.org address=2001:470:1f13:f87::77 test=True
        salt '*' aaaa.published 'The names of this host' pillar=ipv6:dns test=True
    """
    given = {
        "names": records,
        "address": address,
        "provider": by,
        "ttl": ttl,
        "exclusive": exclusive,
        "servers": servers,
        "deadline": deadline,
        "credentials": credentials,
    }
    test = converge.tested(test, __opts__)
    wish = _wish(name, given, pillar)
    change = _change(wish, dns_change.plan_published, test)
    if proof is not None:
        change = _counted(change, dns_patience.published, wish, pillar or name, proof, test)
    done = _run("published", name, change, kwargs, test)
    waits = proof is not None and done["result"] and not test and dns_patience.waits(pillar or name)
    return done if test or waits else _remembered(done, lambda: dns_change.claim(wish()))


def withdrawn(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    by: str | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    proof: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Withdraw this host's address from names, as the state ``aaaa.withdrawn`` does.

    name, records, address, by, exclusive, servers, deadline, credentials, pillar
        As in the state.
    proof
        The outcome of the proof: ``held``, ``failed`` or ``not tried``. This run is then counted.
    test
        Only report what would change; by default as this minion is configured.

    Returns and raises as :py:func:`published` does.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.withdrawn www.example.org test=True
        salt '*' aaaa.withdrawn 'The names of this host' pillar=ipv6:dns test=True
    """
    given = {
        "names": records,
        "address": address,
        "provider": by,
        "exclusive": exclusive,
        "servers": servers,
        "deadline": deadline,
        "credentials": credentials,
    }
    test = converge.tested(test, __opts__)
    wish = _wish(name, given, pillar)
    change = _change(wish, dns_change.plan_withdrawn if proof is None else _plan_own_withdrawn, test)
    if proof is not None:
        change = _counted(change, dns_patience.withdrawn, wish, pillar or name, proof, test)
    done = _run("withdrawn", name, change, kwargs, test)
    # Who withdraws them otherwise begins anew.
    return done if test or proof is not None else _remembered(done, lambda: dns_patience.forget(pillar or name))


def ptr_published(
    name: str,
    host: str | None = None,
    address: str | None = None,
    by: str | None = None,
    ttl: int | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Publish the PTR record of this host's address, as the state ``aaaa.ptr_published`` does.

    name, host, address, by, ttl, exclusive, servers, deadline, credentials, pillar
        As in the state.
    test
        Only report what would change; by default as this minion is configured.

    Returns what the state returns: ``name``, ``result``, ``changes``, ``{reverse name: {"old": [...], "new": [...]}}``
    with the names, and with ``ttl`` where that differs, and ``comment``. Raises nothing: an error is in the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.ptr_published mail.example.org address=2001:470:1f13:f87::77 test=True
        salt '*' aaaa.ptr_published 'The PTR record' pillar=ipv6:dns:ptr test=True
    """
    given = {
        "name": host,
        "address": address,
        "provider": by,
        "ttl": ttl,
        "exclusive": exclusive,
        "servers": servers,
        "deadline": deadline,
        "credentials": credentials,
    }
    return _pointed(name, given, pillar, converge.tested(test, __opts__), kwargs)


def ptr_withdrawn(
    name: str,
    host: str | None = None,
    address: str | None = None,
    by: str | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Withdraw the PTR record of this host's address, as the state ``aaaa.ptr_withdrawn`` does.

    name, host, address, by, exclusive, servers, deadline, credentials, pillar
        As in the state.
    test
        Only report what would change; by default as this minion is configured.

    Returns and raises as :py:func:`ptr_published` does.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.ptr_withdrawn mail.example.org address=2001:470:1f13:f87::77 test=True
        salt '*' aaaa.ptr_withdrawn 'The PTR record' pillar=ipv6:dns:ptr test=True
    """
    given = {
        "name": host,
        "address": address,
        "provider": by,
        "exclusive": exclusive,
        "servers": servers,
        "deadline": deadline,
        "credentials": credentials,
    }
    return _pointed(name, given, pillar, converge.tested(test, __opts__), kwargs)


def _pointed(
    name: str, given: Mapping[str, Any], pillar: str | None, test: bool, surplus: Mapping[str, Any]
) -> dict[str, Any]:
    """Publish a PTR record, or withdraw it, which has no ``ttl``."""
    published = "ttl" in given
    wish = functools.cache(lambda: dns_ptr_wish.wish(name, given, pillar, __pillar__, plugins.providers(__salt__)))
    plan = dns_ptr_change.plan_published if published else dns_ptr_change.plan_withdrawn
    what = "ptr_published" if published else "ptr_withdrawn"
    done = _run(what, name, _change(wish, plan, test, dns_ptr_change.apply), surplus, test)
    return done if test else _remembered(done, lambda: dns_ptr_change.claim(wish(), published))


def _remembered(done: dict[str, Any], claim: Callable[[], None]) -> dict[str, Any]:
    """What a state returns, when what holds now has been remembered as well."""
    if not done["result"]:
        return done
    try:
        with host_lock.held(dns_change.PART, done["name"], BRIEFLY):
            claim()
    except (CommandExecutionError, OSError) as error:
        said = f"{done['comment']}\nIt could not be remembered: {errors_room.said(error)}"
        return {**done, "result": False, "comment": said}
    return done


def _wish(name: str, given: Mapping[str, Any], pillar: str | None) -> Callable[[], dns_settings.Wish]:
    """The wish; read once, and only in the run, whose result reports its errors."""
    return functools.cache(lambda: dns_settings.wish(name, given, pillar, __pillar__, plugins.providers(__salt__)))


def _change(
    wish: Callable[[], dns_settings.Wish],
    plan: Callable[[dns_settings.Wish], converge.Plan],
    test: bool,
    apply: Callable[[converge.Plan, Mapping[str, plugins.Provider]], None] = dns_change.apply,
) -> converge.Change:
    providers = plugins.providers(__salt__)
    return converge.Change(
        part=dns_change.PART,
        # Nobody waits for servers to agree where nothing is changed.
        plan=lambda: plan(wish()._replace(deadline=0) if test else wish()),
        apply=lambda plan: apply(plan, providers),
        undo=lambda plan: dns_change.undo(plan, providers),
        bound=lambda: converge.BOUND + wish().deadline,
    )


def _plan_own_withdrawn(wish: dns_settings.Wish) -> converge.Plan:
    """That an address has failed says nothing about others: another host's, or the one that this host had before."""
    return dns_change.plan_withdrawn(wish._replace(exclusive=False), salt.utils.network.ip_addrs6())


def _counted(
    change: converge.Change,
    plan: Callable[[dns_patience.Counted, dns_patience.Plan], converge.Plan],
    wish: Callable[[], dns_settings.Wish],
    key: str,
    outcome: str,
    test: bool,
) -> converge.Change:
    """The same change, made only after enough runs."""
    this = functools.cache(lambda: dns_patience.counted(key, outcome, wish().withdraw_after, test))
    return change._replace(
        plan=lambda: plan(this(), change.plan),
        apply=lambda made: dns_patience.apply(made, change.apply),
        undo=lambda made: dns_patience.undo(made, change.undo),
    )


def _run(what: str, name: str, change: converge.Change, surplus: Mapping[str, Any], test: bool) -> dict[str, Any]:
    """
    A run, whose result shows each internationalised name in both forms; what it has changed is told on Salt's event
    bus, where there is one.
    """
    done = converge.run(name, change, surplus, test)
    changes = {dns_values.spelt(key): each for key, each in done["changes"].items()}
    done = {**done, "changes": changes, "comment": dns_values.spelt(done["comment"])}
    if done["changes"] and not test and __opts__.get("file_client") != "local":
        told = {key: done[key] for key in ("name", "result", "changes", "comment")}
        try:
            __salt__["event.send"](f"{EVENT}/{what}", told)
        except Exception as error:  # pylint: disable=broad-except  # what was changed, was changed
            log.warning("%s: this was not told on the event bus: %s", done["name"], error)
    return done
