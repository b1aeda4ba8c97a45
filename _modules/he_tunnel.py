"""
The 6in4 tunnel of this host to a broker, such as Hurricane Electric: inspecting it, and what the states ``he_tunnel``
do.

Read-only functions: :py:func:`status`, :py:func:`adopt`, :py:func:`ping`, :py:func:`render`. The others do what the
state of their name does, and return what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_broker_complete as broker_complete
    import _dualstack_converge as converge
    import _dualstack_host_peers as host_peers
    import _dualstack_plugins as plugins
    import _dualstack_settings as settings
    import _dualstack_settings_tunnels as settings_tunnels
    import _dualstack_tunnel_adopt as tunnel_adopt
    import _dualstack_tunnel_change as tunnel_change
    import _dualstack_tunnel_host as tunnel_host
    import _dualstack_tunnel_ladder as tunnel_ladder
    import _dualstack_tunnel_others as tunnel_others
    import _dualstack_tunnel_settings as tunnel_settings
    import _dualstack_tunnel_sit as tunnel_sit
    import _dualstack_tunnel_stack as tunnel_stack

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "he_tunnel"


# --------------------------------------------------------------------------------------------------------------
# Read-only


def status(name: str = "he-ipv6", stack: str = "auto") -> dict[str, Any]:
    """
    The tunnel as it is live, and as the configuration of this host has it for the next boot.

    name
        The interface.
    stack
        Which network stack configures the host, such as ``ifupdown``. ``auto`` detects it.

    Returns ``name``; ``stack``, and the ``reason`` why it is this one; ``live`` (``link``, ``addresses``, ``routes``)
    and ``configured`` (the tunnel's keys), each ``None`` if there is none; ``files``, where it is configured;
    ``differences`` between the two, ``{part: {thing: {"old": ..., "new": ...}}}``; ``in_sync``, whether there are none;
    ``unread``, sentences about other stacks whose files cannot be read, so that it is not known whether they have the
    tunnel as well; and ``tunnels``: all of this host, each with ``name``, ``kind``, ``endpoint``, ``local``, ``live``,
    ``up``, ``places`` (the files that make it), ``ours``, ``warnings``, and ``collides``, the names of those that have
    the same ends.

    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where no network stack that is
    supported configures this host.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.status
    """
    seen = _look(name, stack)
    return {**tunnel_host.status(seen), "tunnels": tunnel_others.listed(tunnel_others.found(seen.links, _stacks()))}


def adopt() -> dict[str, Any]:
    """
    The 6in4 tunnels of this host as a pillar to start from: from the files of its network stacks, or as they are live.

    Returns ``ipv6``, with ``tunnel`` or, for several, ``tunnels``, without what is a default; ``adopt: true`` is in it
    where somebody else has made the tunnel. ``notes`` are sentences about what it lacks, and what is in the way of it,
    such as a script that makes the tunnel. Raises ``CommandExecutionError`` where ip(8) does not say.

    CLI Example:

    .. code-block:: bash

        salt-call --out=yaml he_tunnel.adopt
    """
    links, routes = tunnel_host.surroundings()
    return tunnel_adopt.pillar(tunnel_others.found(links, _stacks()), links, routes, _stacks())


def ping(name: str = "he-ipv6", target: str | None = None, attempts: int = 3, timeout: float = 2) -> dict[str, Any]:
    """
    Ask whether the broker's end answers through the tunnel.

    name
        The interface that the requests leave by, whatever the routes say, from this end's own address.
    target
        The IPv6 address to ask; by default the gateway of the tunnel's configuration.
    attempts
        How many ICMPv6 echo requests are sent, 0.2 s apart: up to 500.
    timeout
        Seconds to wait for the last answer, up to 30.

    Returns ``target``, ``sent``, ``received``, ``loss`` (percent), ``rtt`` (``min``, ``avg``, ``max`` in ms, or
    ``None``), ``answering`` (whether any answer came), ``reason`` (ping(8)'s error message; empty if nothing came back)
    and ``summary``, a sentence.

    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where there is no such interface, no
    address to ask, no ping(8), or no network stack that is supported.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.ping attempts=10
    """
    return tunnel_ladder.ping(_look(name, "auto"), target, attempts, timeout)


def render(name: str = "he-ipv6", stack: str = "ifupdown", **tunnel: Any) -> dict[str, str]:
    """
    The configuration files of a tunnel, as text. The host is not accessed.

    name
        The interface.
    stack
        Whose files: ``ifupdown``, or that of another plug-in.
    tunnel
        As in the state ``he_tunnel.present``.

    Returns the text of each file by its path. Raises ``SaltInvocationError`` for bad input.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.render endpoint=216.66.84.42 local=46.105.5.1 address=2001:db8::2/64 gateway=2001:db8::1
    """
    given = {key: value for key, value in tunnel.items() if not converge.is_salts_own(key)}
    wanted = tunnel_change.wanted({"name": name, "stack": stack, **given}, _stacks())
    if stack == "auto":
        said = "'auto' is for a host to find out; expected the name of a network stack, such as ifupdown"
        raise SaltInvocationError(f"stack: {said}")
    return _stacks()[stack].files(tunnel_change.filed(wanted))


# --------------------------------------------------------------------------------------------------------------
# What the states do


def present(name: str, test: bool | None = None, pillar: str | None = None, **tunnel: Any) -> converge.Result:
    """
    The tunnel is configured for the next boot, and the live interface is as declared.

    name
        The interface, up to 15 characters; with ``pillar``, only the state's name.
    test
        Only report what would change; by default as the minion is configured.
    pillar
        The key of the pillar for settings that are not given here: ``ipv6:tunnel``. Its ``name`` is the interface, by
        default ``he-ipv6``.
    tunnel
        As in the state ``he_tunnel.present``.

    Returns what a state returns: ``name``, ``result``, ``changes`` (``files``, ``link``, ``addresses``, ``routes`` and
    ``settings``, as far as they differ) and ``comment``, which holds every error. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.present he-ipv6 endpoint=216.66.84.42 address=2001:db8::2/64 gateway=2001:db8::1 test=True
    """
    given = {key: value for key, value in tunnel.items() if key in tunnel_sit.READERS}
    surplus = {key: value for key, value in tunnel.items() if key not in tunnel_sit.READERS}

    def plan_of(wanted: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Plan:
        # A run would have set these parameters by now; where it only predicts, it has not.
        predicted = pillar is not None and converge.tested(test, __opts__)
        promised = settings.beside(__pillar__, settings_tunnels.whole(str(pillar)), "sysctl") if predicted else {}
        return tunnel_change.plan_present(broker_complete.complete(wanted, __pillar__), stacks, promised, _peers)

    return _converged(plan_of, name, given, test, pillar, surplus)


def absent(
    name: str,
    stack: str | None = None,
    adopt: bool | None = None,
    test: bool | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> converge.Result:
    """
    The tunnel does not exist, neither live nor in the configuration.

    name
        The interface; with ``pillar``, only the state's name.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    adopt
        Remove it from files that ``he_tunnel.present`` did not write, too; by default not.
    test
        Only report what would change; by default as the minion is configured.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Its ``name``, ``stack`` and ``adopt`` are used.
    kwargs
        Salt's own; others are refused.

    Returns what a state returns, as :py:func:`present` does. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.absent he-ipv6 test=True
    """

    def plan_of(wanted: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Plan:
        return tunnel_change.plan_absent(wanted, stacks, _peers)

    return _converged(plan_of, name, {"stack": stack, "adopt": adopt}, test, pillar, kwargs)


def _converged(
    plan_of: Callable[[Mapping[str, Any], tunnel_stack.Stacks], converge.Plan],
    name: str,
    given: dict[str, Any],
    test: bool | None,
    pillar: str | None,
    surplus: dict[str, Any],
) -> converge.Result:
    """Plan, apply, plan again; the result under the state's name."""

    def plan() -> converge.Plan:
        return plan_of(tunnel_settings.declared(name, given, __pillar__, pillar), _stacks())

    change = converge.Change(
        tunnel_change.PART,
        plan,
        tunnel_change.apply,
        tunnel_change.undo,
        lambda: tunnel_change.BOUND,
        tunnel_change.before,
    )
    result = converge.run(
        tunnel_settings.interface(name, __pillar__, pillar), change, surplus, converge.tested(test, __opts__)
    )
    return tunnel_settings.told(result, name, given, tunnel_settings.places(__pillar__, pillar))


# The rungs of the ladder. None changes anything, and none is checked under test=True: the real run might first change
# what the rung checks.


def live(
    name: str, stack: str | None = None, test: bool | None = None, pillar: str | None = None, **kwargs: Any
) -> converge.Result:
    """
    The live interface matches its configuration, and all its addresses are usable.

    name
        The interface; with ``pillar``, only the state's name.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    test
        Inspect nothing, since the run might change it; by default as the minion is configured.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``.
    kwargs
        Salt's own; others are refused.

    Returns what a state returns: ``name``, ``result`` (``None`` if nothing was inspected), ``changes``, always empty,
    and ``comment``. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.live he-ipv6
    """
    return _rung(lambda seen, _: tunnel_ladder.live(seen), name, {"stack": stack}, test, pillar, kwargs)


def routed(
    name: str,
    beyond: list[str] | None = None,
    source: str | None = None,
    stack: str | None = None,
    test: bool | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> converge.Result:
    """
    Packets beyond the broker leave through the tunnel, from the declared source address.

    name, stack, test, kwargs
        As for :py:func:`live`.
    beyond
        IPv6 addresses; the way to the first is looked up. By default any global address.
    source
        The address that packets come from, where the tunnel has ``routing: source``; by default the tunnel's.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Beside it, ``verify:beyond`` and ``dns:address`` are used.

    Sends nothing. Returns what :py:func:`live` does. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.routed he-ipv6 beyond='["2001:4860:4860::8888"]'
    """
    return _rung(
        lambda seen, given: tunnel_ladder.routed(seen, given["beyond"], given["source"]),
        name,
        {"stack": stack, "beyond": beyond, "source": source},
        test,
        pillar,
        kwargs,
    )


def underlaid(
    name: str, stack: str | None = None, test: bool | None = None, pillar: str | None = None, **kwargs: Any
) -> converge.Result:
    """
    The tunnel's endpoint is reached over IPv4.

    name, stack, test, pillar, kwargs
        As for :py:func:`live`.

    An endpoint that does not answer pings counts as reached if the broker's end answers through the tunnel. Returns
    what :py:func:`live` does. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.underlaid he-ipv6
    """
    return _rung(lambda seen, _: tunnel_ladder.underlaid(seen), name, {"stack": stack}, test, pillar, kwargs)


def answering(
    name: str,
    target: str | None = None,
    attempts: int = 3,
    timeout: float = 2,
    stack: str | None = None,
    test: bool | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> converge.Result:
    """
    The broker's end of the tunnel answers ICMPv6 echo requests that are sent through it.

    name, stack, test, kwargs
        As for :py:func:`live`.
    target
        The IPv6 address to ask; by default the gateway of the tunnel's configuration.
    attempts
        How many requests are sent, 0.2 s apart, up to 500. One answer is enough; the loss is in the comment.
    timeout
        Seconds to wait for the last answer, up to 30.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Its ``gateway`` is the target.

    Returns what :py:func:`live` does. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.answering he-ipv6 attempts=10
    """
    return _rung(
        lambda seen, given: tunnel_ladder.answering(seen, given["gateway"], attempts, timeout),
        name,
        {"stack": stack, "gateway": target},
        test,
        pillar,
        kwargs,
    )


def reaching(
    name: str,
    beyond: list[str] | None = None,
    source: str | None = None,
    stack: str | None = None,
    test: bool | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> converge.Result:
    """
    Somebody at the other side of the tunnel answers to the published address of this host.

    name, stack, test, pillar, kwargs
        As for :py:func:`routed`.
    beyond
        IPv6 addresses that are not the broker's, one of which has to answer; by default the broker's end of the tunnel,
        whose answer comes back to an address out of the routed prefix only if the broker routes that here.
    source
        The published address; by default the tunnel's source.

    If packets of the tunnel's full MTU are lost, the comment has a warning. Returns what :py:func:`live` does. Raises
    nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.reaching he-ipv6 beyond='["2001:4860:4860::8888"]'
    """
    return _rung(
        lambda seen, given: tunnel_ladder.reaching(seen, given["beyond"], given["source"]),
        name,
        {"stack": stack, "beyond": beyond, "source": source},
        test,
        pillar,
        kwargs,
    )


def _rung(
    climb: Callable[[tunnel_host.Sight, dict[str, Any]], converge.Finding],
    name: str,
    given: dict[str, Any],
    test: bool | None,
    pillar: str | None,
    surplus: dict[str, Any],
) -> converge.Result:
    """One rung of the ladder, after inspecting the host once."""

    def asked() -> dict[str, Any]:
        return tunnel_settings.asked(name, given, __pillar__, pillar, _stacks())

    def find() -> converge.Finding:
        wanted = asked()
        return climb(_look(wanted["name"], wanted["stack"]), wanted)

    interface = tunnel_settings.interface(name, __pillar__, pillar)
    untried = f"{interface} was not asked: test=True sends no packets" if converge.tested(test, __opts__) else ""
    result = converge.look(interface, find, surplus, untried, asked)
    return tunnel_settings.told(result, name, given, tunnel_settings.places_beside(pillar))


def _look(name: str, stack: str | None) -> tunnel_host.Sight:
    tunnel_stack.check({"name": name, "stack": stack}, _stacks())
    return tunnel_host.look(name, stack or tunnel_stack.AUTO, _stacks())


def _stacks() -> tunnel_stack.Stacks:
    return plugins.stacks(__salt__)


def _peers() -> list[host_peers.Peer]:
    return host_peers.over_ipv6(__opts__)
