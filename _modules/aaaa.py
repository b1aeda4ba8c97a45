"""
AAAA records: look them up at every authoritative server, publish them, withdraw them.

A record counts as published when *every* authoritative server of its zone has it. Each server is asked directly, over
TCP; no cache is trusted. Only AAAA records of the given names are changed, and of these only those that this host has
published itself. It remembers the last address it published under each name in
``/var/lib/dualstack_aaaa/published.json``, which only root can read. Without that file, an old address of this host
counts as somebody else's: it is left in place, with a warning. ``exclusive`` also removes addresses of others.

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

Anybody who may call one function of a provider may call all of them. Therefore ``change`` is told where its settings
are, never what they are: otherwise it would run any command, or send any credential anywhere, for any caller. For the
same reason no secret is ever an argument, since Salt logs arguments. ``about`` and ``errors`` only judge what they are
given; they must not act on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError, SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_dns_ask as dns_ask
    import _dualstack_dns_change as dns_change
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
    ``ttl``, ``alias`` and ``error``, which is empty where it answered. Raises ``SaltInvocationError`` for bad input and
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
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Publish this host's address under its names, as the state ``aaaa.published`` does.

    name, records, address, by, ttl, exclusive, servers, deadline, credentials, pillar
        As in the state.
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
    done = converge.run(name, _change(wish, dns_change.plan_published), kwargs, test)
    if done["result"] and not test:
        try:
            with host_lock.held(dns_change.PART, name, BRIEFLY):
                dns_change.claim(wish())
        except (CommandExecutionError, OSError) as error:
            said = f"{done['comment']}\nIt could not be remembered: {errors_room.said(error)}"
            return {**done, "result": False, "comment": said}
    return done


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
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Withdraw this host's address from names, as the state ``aaaa.withdrawn`` does.

    name, records, address, by, exclusive, servers, deadline, credentials, pillar
        As in the state.
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
    wish = _wish(name, given, pillar)
    return converge.run(name, _change(wish, dns_change.plan_withdrawn), kwargs, converge.tested(test, __opts__))


def _wish(name: str, given: Mapping[str, Any], pillar: str | None) -> Callable[[], dns_settings.Wish]:
    """The wish; read once, and only in the run, whose result reports its errors."""
    return functools.cache(lambda: dns_settings.wish(name, given, pillar, __pillar__, plugins.providers(__salt__)))


def _change(
    wish: Callable[[], dns_settings.Wish], plan: Callable[[dns_settings.Wish], converge.Plan]
) -> converge.Change:
    providers = plugins.providers(__salt__)
    return converge.Change(
        part=dns_change.PART,
        plan=lambda: plan(wish()),
        apply=lambda plan: dns_change.apply(plan, providers),
        undo=lambda plan: dns_change.undo(plan, providers),
        bound=lambda: converge.BOUND + wish().deadline,
    )
