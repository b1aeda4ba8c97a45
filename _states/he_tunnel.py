"""
A 6in4 tunnel to a broker, such as Hurricane Electric: configured, alive, answering.

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

    The broker answers:
      he_tunnel.answering:
        - name: he-ipv6
        - require:
          - he_tunnel: The tunnel is up
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
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}, "comment": ""}
    try:
        __salt__["converge.refuse"](kwargs)
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"{name} was not asked: test=True sends no packets"}
        answer = __salt__["he_tunnel.ping"](name, target=target, attempts=attempts, timeout=timeout)
    except SaltException as error:
        return {**ret, "comment": str(error)}
    return {**ret, "result": answer["answering"], "comment": answer["summary"]}
