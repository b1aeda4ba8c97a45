"""
A 6in4 tunnel to a broker, such as Hurricane Electric: configured, alive, and proven, one rung after the other.

.. code-block:: yaml

    The tunnel is up:
      he_tunnel.present:
        - name: he-ipv6
        - endpoint: 216.66.84.42
        - local: 46.105.5.1
        - address: 2001:470:1f12:f87::2/64
        - gateway: 2001:470:1f12:f87::1
        - addresses:
          - 2001:470:1f13:f87::77/64

    The tunnel is as it is configured:
      he_tunnel.live:
        - name: he-ipv6
        - require:
          - The tunnel is up

    Packets leave by the tunnel:
      he_tunnel.routed:
        - name: he-ipv6
        - require:
          - The tunnel is as it is configured

    IPv4 reaches the broker:
      he_tunnel.underlaid:
        - name: he-ipv6
        - require:
          - Packets leave by the tunnel

    The broker answers:
      he_tunnel.answering:
        - name: he-ipv6
        - require:
          - IPv4 reaches the broker

    The published address reaches beyond the broker:
      he_tunnel.reaching:
        - name: he-ipv6
        - beyond: ['2001:db8::1']
        - require:
          - The broker answers
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "he_tunnel"


def present(
    name: str,
    endpoint: str | None = None,
    address: str | None = None,
    gateway: str | None = None,
    local: str | None = None,
    addresses: list[str] | None = None,
    source: str | None = None,
    ttl: int | None = None,
    mtu: int | None = None,
    routing: str | None = None,
    metric: int | None = None,
    stack: str = "auto",
    adopt: bool = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The tunnel is configured for the next boot, and the live interface is what is declared.

    name
        The interface, up to 15 characters.
    endpoint
        The broker's IPv4 address.
    address
        This end of the tunnel, with its prefix length.
    gateway
        The broker's end of the tunnel. Not needed with ``routing: none``.
    local
        This host's IPv4 address, which may be a private one behind NAT; ``auto``, the default, is the source
        address of the route to ``endpoint``.
    addresses
        Further addresses out of the routed prefix, each with its prefix length.
    source
        The address that outgoing connections use: one of ``addresses``, by default the first, or ``address``.
        All others are marked as deprecated, which changes nothing for incoming connections (:rfc:`6724`).
    ttl
        Of the IPv4 packets, 1 to 255 hops; 255 by default.
    mtu
        Of the tunnel in bytes, 1280 to 65515, by default 1480; the broker has to use the same.
    routing
        ``default``: ``::/0`` goes through the tunnel. ``source``: only what comes from one of the tunnel's own
        prefixes does, so that a native IPv6 route is left alone. ``none``: no route.
    metric
        Of these routes; 1024 by default.
    stack
        Which network stack configures the host: ``auto`` or ``ifupdown``.
    adopt
        Take over an interface of this name that is configured in another file.

    The interface belongs to this state: addresses and default routes on it that are not declared are removed.

    Source: :rfc:`4213`, section 3; ip-tunnel(8); interfaces(5).
    """
    arguments = {
        "endpoint": endpoint,
        "address": address,
        "gateway": gateway,
        "local": local,
        "addresses": addresses,
        "source": source,
        "ttl": ttl,
        "mtu": mtu,
        "routing": routing,
        "metric": metric,
        "stack": stack,
        "adopt": adopt,
    }
    return __salt__["converge.run"]("he_tunnel", "present", name, arguments, kwargs, __opts__["test"])


def absent(name: str, stack: str = "auto", adopt: bool = False, **kwargs: Any) -> dict[str, Any]:
    """
    There is no such tunnel, neither live nor in the configuration.

    name
        The interface.
    stack
        Which network stack configures the host: ``auto`` or ``ifupdown``.
    adopt
        Remove it from files that ``he_tunnel.present`` did not write, too.
    """
    arguments = {"stack": stack, "adopt": adopt}
    return __salt__["converge.run"]("he_tunnel", "absent", name, arguments, kwargs, __opts__["test"])


# --------------------------------------------------------------------------------------------------------------
# The rungs of the ladder: none changes anything, and under test=True none is tried, since the run may change what it
# looks at.


def live(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    The live interface is what its configuration says, and every address of it can be used.

    name
        The interface.

    Changes nothing. Under ``test=True`` the result is ``None``: it is not known.
    """
    return _rung("device", name, {}, kwargs)


def routed(name: str, beyond: list[str] | None = None, source: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    What goes beyond the broker leaves by the tunnel, and comes from the declared source address.

    name
        The interface.
    beyond
        IPv6 addresses; the way to the first is looked up. By default any global address.
    source
        The address that packets come from, where the tunnel has ``routing: source``; by default the tunnel's.

    With ``routing: none`` there is nothing to hold, and the comment says so. Changes nothing, and sends nothing.
    """
    return _rung("route", name, {"beyond": beyond, "source": source}, kwargs)


def underlaid(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    The tunnel's endpoint is reached over IPv4.

    name
        The interface.

    An endpoint that answers no pings is reached where the broker's end answers through the tunnel. Changes nothing.
    Under ``test=True`` nothing is sent, and the result is ``None``.
    """
    return _rung("endpoint", name, {}, kwargs)


def answering(
    name: str, target: str | None = None, attempts: int = 3, timeout: float = 2, **kwargs: Any
) -> dict[str, Any]:
    """
    The broker's end of the tunnel answers ICMPv6 echo requests that are sent through it.

    name
        The interface.
    target
        The IPv6 address to ask; by default the gateway of the tunnel's configuration.
    attempts
        How many requests are sent. One answer is enough; the loss is in the comment.
    timeout
        Seconds to wait for the last answer.

    Changes nothing. Under ``test=True`` nothing is sent, and the result is ``None``: it is not known.
    """
    return _rung("broker", name, {"target": target, "attempts": attempts, "timeout": timeout}, kwargs)


def reaching(name: str, beyond: list[str] | None = None, source: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Something beyond the broker answers to the address of this host that is published.

    name
        The interface.
    beyond
        IPv6 addresses that are not the broker's, of which one has to answer. Without any, nothing is proven, and the
        comment says so.
    source
        The published address; by default the tunnel's source.

    Packets of the tunnel's full MTU that get lost are a warning in the comment. Changes nothing. Under ``test=True``
    nothing is sent, and the result is ``None``.
    """
    return _rung("beyond", name, {"targets": beyond, "source": source}, kwargs)


def _rung(rung: str, name: str, arguments: dict[str, Any], surplus: dict[str, Any]) -> dict[str, Any]:
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}, "comment": ""}
    try:
        __salt__["converge.refuse"](surplus)
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"{name} was not asked: test=True sends no packets"}
        found = __salt__[f"tunnel_ladder.{rung}"](name, **arguments)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    return {**ret, "result": found["holds"], "comment": "\n".join([found["summary"], *found["warnings"]])}
