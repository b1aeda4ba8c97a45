"""
The broker of this host's 6in4 tunnel: its numbers of it, what the state ``he_tunnel.registered`` does, and how the
tunnel does, for who watches it.

These functions are called ``he_tunnel``, as those of the tunnel itself: Salt puts the functions of modules that have
one virtual name together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_broker_change as broker_change
    import _dualstack_broker_watch as broker_watch
    import _dualstack_converge as converge
    import _dualstack_plugins as plugins
    import _dualstack_settings as settings
    import _dualstack_settings_tunnels as settings_tunnels
    import _dualstack_tunnel_host as tunnel_host
    import _dualstack_tunnel_settings as tunnel_settings
    import _dualstack_tunnel_sit as tunnel_sit
    import _dualstack_tunnel_stack as tunnel_stack

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "he_tunnel"


def __virtual__() -> str:
    """Salt takes the file's name otherwise."""
    return __virtualname__


def broker_info(pillar: str = "ipv6:tunnel") -> dict[str, Any]:
    """
    The tunnel's numbers as its broker has them, and how they differ from the pillar's. Nothing is changed there.

    pillar
        The key of the tunnel in the pillar, which has its ``id``, and with ``account`` the key of the account.

    Returns ``id``; the broker's ``endpoint``, ``client`` (this host's address there), ``gateway``, ``address``,
    ``routed64``, ``routed48``, ``description``, ``mtu`` and ``rdns``, ``None`` for what it does not say; ``local``,
    this host's own address, and whether that is ``behind_nat``; what the broker was ``told`` last; ``problems``, in
    words; and ``in_sync``, whether there are none.

    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where the broker does not say.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.broker_info
    """
    return broker_change.info(settings.part(__pillar__, pillar), __pillar__)


def metrics(name: str = "he-ipv6", attempts: int = 3, timeout: float = 2, as_data: bool = False) -> Any:
    """
    How the tunnel does, for Prometheus: text for node_exporter's textfile collector.

    name
        The interface.
    attempts, timeout
        As for :py:func:`ping`.
    as_data
        Return it as data, with the ``text``, as the beacon needs it.

    What could not be found out is left out of the text, and ``None`` in the data. Raises as :py:func:`ping` does.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.metrics
    """
    tunnels = {each["name"]: each for each in settings_tunnels.beside(__pillar__, "ipv6:tunnel")}
    declared = tunnels.get(name, {})
    found = broker_watch.look(name, lambda: _look(name), declared, attempts, timeout)
    return found if as_data else found["text"]


def registered(name: str, test: bool | None = None, pillar: str | None = None, **tunnel: Any) -> converge.Result:
    """
    The tunnel's broker has this host's IPv4 address.

    name
        The interface; with ``pillar``, only the state's name.
    test
        Only report what would change; by default as the minion is configured.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``.
    tunnel
        As in the state ``he_tunnel.registered``.

    Returns what a state returns, as :py:func:`present` does; the change is the broker's ``endpoint`` for this tunnel.
    Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt-call he_tunnel.registered he-ipv6 pillar=ipv6:tunnel
    """
    given = {key: value for key, value in tunnel.items() if key in tunnel_sit.READERS}
    surplus = {key: value for key, value in tunnel.items() if key not in tunnel_sit.READERS}
    predicts = converge.tested(test, __opts__)

    def wish() -> broker_change.Wish:
        return broker_change.wish(tunnel_settings.declared(name, given, __pillar__, pillar), __pillar__)

    interface = tunnel_settings.interface(name, __pillar__, pillar)
    result = converge.run(interface, broker_change.change(wish, predicts), surplus, predicts)
    return tunnel_settings.told(result, name, given, tunnel_settings.places(__pillar__, pillar))


def _look(name: str) -> tunnel_host.Sight:
    stacks = plugins.stacks(__salt__)
    tunnel_stack.check({"name": name}, stacks)
    return tunnel_host.look(name, tunnel_stack.AUTO, stacks)
