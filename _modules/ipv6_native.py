"""
IPv6 that the hoster routes to this host by itself, without a tunnel: what the states ``ipv6.native`` and
``ipv6.native_absent`` do.

These functions are called ``ipv6``, as those of the pillar and the proof: Salt puts the functions of modules that have
one virtual name together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_host_peers as host_peers
    import _dualstack_native_change as native_change
    import _dualstack_native_settings as native_settings
    import _dualstack_plugins as plugins
    import _dualstack_settings as settings
    import _dualstack_tunnel_settings as tunnel_settings

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "ipv6"


def __virtual__() -> str:
    """Salt takes the file's name otherwise."""
    return __virtualname__


def native(name: str, test: bool | None = None, pillar: str | None = None, **native: Any) -> converge.Result:
    """
    An interface has the addresses and the default route by which a hoster routes IPv6 to this host.

    name
        The name of the result; without ``interface`` and ``pillar``, the interface.
    test
        Only report what would change; by default as the minion is configured.
    pillar
        The key of the pillar for settings that are not given here: ``ipv6:native``.
    native
        As in the state ``ipv6.native``.

    Returns what a state returns: ``name``, ``result``, ``changes`` (``files``, ``addresses`` and ``routes``, as far as
    they differ) and ``comment``, which holds every error. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.native eth0 address=2001:db8:1::8/64 gateway=fe80::1 test=True
    """

    def plan_of(wanted: Mapping[str, Any]) -> converge.Plan:
        # A run would have set these parameters by now; where it only predicts, it has not.
        predicted = pillar is not None and converge.tested(test, __opts__)
        promised = settings.beside(__pillar__, str(pillar), "sysctl") if predicted else {}
        return native_change.plan_present(wanted, plugins.stacks(__salt__), promised, _peers)

    return _converged(plan_of, name, native, test, pillar)


def native_absent(
    name: str,
    interface: str | None = None,
    stack: str | None = None,
    test: bool | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> converge.Result:
    """
    Nothing is left of what ``ipv6.native`` has configured. What others have stays.

    name
        The name of the result; without ``interface`` and ``pillar``, the interface.
    interface
        The interface.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    test
        Only report what would change; by default as the minion is configured.
    pillar
        The key of the pillar, ``ipv6:native``. Its ``interface`` and ``stack`` are used.
    kwargs
        Salt's own; others are refused.

    Returns what a state returns, as :py:func:`native` does. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.native_absent eth0 test=True
    """

    def plan_of(wanted: Mapping[str, Any]) -> converge.Plan:
        return native_change.plan_absent(wanted, plugins.stacks(__salt__), _peers)

    return _converged(plan_of, name, {"interface": interface, "stack": stack, **kwargs}, test, pillar)


def _converged(
    plan_of: Callable[[Mapping[str, Any]], converge.Plan],
    name: str,
    arguments: Mapping[str, Any],
    test: bool | None,
    pillar: str | None,
) -> converge.Result:
    """Plan, apply, plan again; the result under the state's name."""
    known = native_settings.READERS
    given = {key: value for key, value in arguments.items() if key in known and value is not None}
    surplus = {key: value for key, value in arguments.items() if key not in known}

    def plan() -> converge.Plan:
        if pillar is None:
            return plan_of({"interface": name, **given})
        return plan_of({**settings.part(__pillar__, pillar), **given})

    change = converge.Change(
        native_change.PART,
        plan,
        native_change.apply,
        native_change.undo,
        before=native_change.before,
    )
    part = settings.at(__pillar__, pillar) if isinstance(pillar, str) else None
    declared = part if isinstance(part, Mapping) else {}
    title = str(given.get("interface") or declared.get("interface") or name)
    result = converge.run(title, change, surplus, converge.tested(test, __opts__))
    where = {each: f"{pillar}:{each}" for each in {**known, **declared}} if isinstance(pillar, str) else {}
    return tunnel_settings.told(result, name, given, where)


def _peers() -> list[host_peers.Peer]:
    return host_peers.over_ipv6(__opts__)
