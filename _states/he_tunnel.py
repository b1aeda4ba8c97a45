"""
A 6in4 tunnel to a broker, such as Hurricane Electric: configured, alive, and proven, one rung after the other.

With ``- pillar: ipv6:tunnel``, a state takes from the pillar what is not given as an argument. Arguments alone work,
too:

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
    dev: str | None = None,
    addresses: list[str] | None = None,
    routed: str | list[str] | None = None,
    source: str | None = None,
    ttl: int | None = None,
    mtu: int | None = None,
    routing: str | None = None,
    metric: int | None = None,
    carrier: str | None = None,
    wireguard: dict[str, Any] | None = None,
    stack: str | None = None,
    adopt: bool | None = None,
    id: int | str | None = None,
    account: str | None = None,
    broker: str | None = None,
    ca: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The tunnel is configured for the next boot, and the live interface is as declared.

    name
        The interface, up to 15 characters; with ``pillar``, only the state's name.
    endpoint
        The broker's IPv4 address.
    address
        This end of the tunnel, with its prefix length, which is /48 at least.
    gateway
        The broker's end of the tunnel. Not needed with ``routing: none``.
    local
        This host's IPv4 address, which may be a private one behind NAT. With ``auto``, the default, the tunnel has
        none: the kernel takes the source address of the route to ``endpoint``, which may change.
    dev
        The interface that the tunnel's packets leave by, whatever the other routes say, such as the second uplink, or
        one in a VRF: its table then has the way to ``endpoint``. By default none in particular. Not every network stack
        can bind a tunnel.
    addresses
        Further addresses out of the routed prefix, each with its prefix length.
    routed
        The prefix that the broker routes to this host, or a list; none by default. What is sent to addresses in it that
        nobody has is answered with "unreachable". A host that forwards would send it back into the tunnel, and the
        broker to the host, again and again (:rfc:`7084`, WPD-5). The ``addresses`` in it are used as /128.
    source
        The address that outgoing connections use: one of ``addresses``, by default the first, or ``address``.
        All others are marked as deprecated, which changes nothing for incoming connections (:rfc:`6724`).
    ttl
        Of the IPv4 packets, 1 to 255 hops; 255 by default.
    mtu
        Of the tunnel in bytes, 1280 to 65515, by default 1480, with ``gre`` 1476, with ``wireguard`` 1420; the broker
        has to use the same.
    routing
        ``default``: ``::/0`` goes through the tunnel. ``source``: only what comes from one of the tunnel's own
        prefixes does, so that a native IPv6 route is left alone. ``none``: no route.
    metric
        Of these routes; 1024 by default. The kernel takes the least: beside a native default route by which this host
        is managed, it has to be more than that of the native one.
    carrier
        What carries the packets: ``sit``, the default, which is 6in4 (protocol 41), ``gre`` (protocol 47), or
        ``wireguard`` (UDP), which is for ``ifupdown``.
    wireguard
        For this carrier: ``public_key``, the broker's; ``private_key_file``, the file with this host's key, which not
        everybody can read; ``port``, the broker's (51820); ``listen_port``, of this host, by default any;
        ``preshared_key_file``; ``keepalive``, in seconds, by default none; ``allowed_ips``, the prefixes that the
        broker may send from, by default ``::/0``. It has neither ``local`` nor ``ttl``.
    stack
        Which network stack configures the host, such as ``ifupdown``; ``auto``, the default, detects it.
    adopt
        Take over an interface of this name that is configured in another file; by default it is an error.
    id, account, broker, ca
        As for :py:func:`registered`. With them, ``endpoint``, ``address`` and ``gateway`` may be left to the broker.
    pillar
        The key of the pillar for settings that are not given here: ``ipv6:tunnel``. Its ``name`` is the interface, by
        default ``he-ipv6``.

    The interface belongs to this state: addresses and default routes on it that are not declared are removed; but an
    address that this host has published in DNS stays for 24 hours, deprecated (``expiring``).

    It is refused if packets to the ssh client, the master or a name server would leave by another interface than now.

    Source: :rfc:`4213`, section 3; ip-tunnel(8); interfaces(5).
    """
    return __salt__["he_tunnel.present"](
        name,
        endpoint=endpoint,
        address=address,
        gateway=gateway,
        local=local,
        dev=dev,
        addresses=addresses,
        routed=routed,
        source=source,
        ttl=ttl,
        mtu=mtu,
        routing=routing,
        metric=metric,
        carrier=carrier,
        wireguard=wireguard,
        stack=stack,
        adopt=adopt,
        id=id,
        account=account,
        broker=broker,
        ca=ca,
        pillar=pillar,
        test=_test(kwargs),
        __ended__=_ended(),
        __awaited__=_awaited(),
        **kwargs,
    )


def absent(
    name: str, stack: str | None = None, adopt: bool | None = None, pillar: str | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    The tunnel does not exist, neither live nor in the configuration.

    name
        The interface; with ``pillar``, only the state's name.
    stack
        Which network stack configures the host, such as ``ifupdown``; ``auto``, the default, detects it.
    adopt
        Remove it from files that ``he_tunnel.present`` did not write, too; by default it is an error.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Its ``name``, ``stack`` and ``adopt`` are used.
    """
    return __salt__["he_tunnel.absent"](
        name, stack=stack, adopt=adopt, pillar=pillar, test=_test(kwargs), __ended__=_ended(), **kwargs
    )


def registered(
    name: str,
    id: int | str | None = None,
    account: str | None = None,
    endpoint: str | None = None,
    local: str | None = None,
    gateway: str | None = None,
    broker: str | None = None,
    ca: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The tunnel's broker has this host's IPv4 address. It is told only if it has another one.

    name
        The interface; with ``pillar``, only the state's name.
    id
        The tunnel's number at the broker.
    account
        The key of the pillar that has the account: ``user`` and ``update_key``, from the broker's tab "Advanced".
    endpoint
        The broker's IPv4 address; by default as the broker says.
    local
        This host's IPv4 address; ``auto``, the default, is the source address of the route to ``endpoint``. A private
        one is not told: the broker takes that from which the request comes.
    gateway
        The broker's end of the tunnel, which is asked behind NAT, where this host does not see its public address.
    broker
        The URL below which another broker has ``nic/update``; by default Hurricane Electric's.
    ca
        The path of a file with the certificates to trust; by default the system's.
    pillar
        The key of the pillar for settings that are not given here: ``ipv6:tunnel``.

    One request a run at most. After a refusal (``badauth``, ``nohost``, ``abuse`` and the like) nothing is sent until
    the settings or the address change, or 24 hours are over; after ``abuse``, another address is none the less not
    told; after another failure, nothing is sent for 5 minutes. Under ``test=True`` only the broker's record is read.

    Source: forums.he.net, topics 1994 and 3109.
    """
    return __salt__["he_tunnel.registered"](
        name,
        id=id,
        account=account,
        endpoint=endpoint,
        local=local,
        gateway=gateway,
        broker=broker,
        ca=ca,
        pillar=pillar,
        test=_test(kwargs),
        __ended__=_ended(),
        **kwargs,
    )


# --------------------------------------------------------------------------------------------------------------
# The rungs of the ladder: none changes anything, and none is checked under test=True, since the run may first change
# what the rung checks.


def live(name: str, stack: str | None = None, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The live interface matches its configuration, and all its addresses are usable.

    name
        The interface; with ``pillar``, only the state's name.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Its ``name`` and ``stack`` are used.

    Changes nothing. Under ``test=True`` the result is ``None``: it is not known.
    """
    return __salt__["he_tunnel.live"](name, stack=stack, pillar=pillar, test=_test(kwargs), **kwargs)


def routed(
    name: str,
    beyond: list[str] | None = None,
    source: str | None = None,
    stack: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Packets beyond the broker leave through the tunnel, from the declared source address.

    name
        The interface; with ``pillar``, only the state's name.
    beyond
        IPv6 addresses; the way to the first is looked up. By default any global address.
    source
        The address that packets come from, where the tunnel has ``routing: source``; by default the tunnel's.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Beside it, ``verify:beyond`` and ``dns:address`` are used.

    With ``routing: none`` there is nothing to check, and the comment says so. Changes nothing, and sends nothing.
    """
    return __salt__["he_tunnel.routed"](
        name, beyond=beyond, source=source, stack=stack, pillar=pillar, test=_test(kwargs), **kwargs
    )


def underlaid(name: str, stack: str | None = None, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The tunnel's endpoint is reached over IPv4.

    name
        The interface; with ``pillar``, only the state's name.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Its ``name`` and ``stack`` are used.

    An endpoint that does not answer pings counts as reached if the broker's end answers through the tunnel. Changes
    nothing. Under ``test=True`` nothing is sent, and the result is ``None``.
    """
    return __salt__["he_tunnel.underlaid"](name, stack=stack, pillar=pillar, test=_test(kwargs), **kwargs)


def answering(
    name: str,
    target: str | None = None,
    attempts: int = 3,
    timeout: float = 2,
    stack: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    The broker's end of the tunnel answers ICMPv6 echo requests that are sent through it.

    name
        The interface; with ``pillar``, only the state's name.
    target
        The IPv6 address to ask; by default the gateway of the tunnel's configuration.
    attempts
        How many requests are sent, up to 500. One answer is enough; the loss is in the comment.
    timeout
        Seconds to wait for the last answer, up to 30.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Its ``name``, ``stack`` and ``gateway`` are used.

    Changes nothing. Under ``test=True`` nothing is sent, and the result is ``None``: it is not known.
    """
    return __salt__["he_tunnel.answering"](
        name,
        target=target,
        attempts=attempts,
        timeout=timeout,
        stack=stack,
        pillar=pillar,
        test=_test(kwargs),
        **kwargs,
    )


def reaching(
    name: str,
    beyond: list[str] | None = None,
    source: str | None = None,
    stack: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Somebody at the other side of the tunnel answers to the published address of this host.

    name
        The interface; with ``pillar``, only the state's name.
    beyond
        IPv6 addresses that are not the broker's, one of which has to answer; by default the broker's end of the tunnel,
        whose answer comes back to an address out of the routed prefix only if the broker routes that here.
    source
        The published address; by default the tunnel's source.
    stack
        Which network stack configures the host; ``auto``, the default, detects it.
    pillar
        The key of the tunnel in the pillar: ``ipv6:tunnel``. Beside it, ``verify:beyond`` and ``dns:address`` are used.

    If packets of the tunnel's full MTU are lost, the comment has a warning. Changes nothing. Under ``test=True``
    nothing is sent, and the result is ``None``.
    """
    return __salt__["he_tunnel.reaching"](
        name, beyond=beyond, source=source, stack=stack, pillar=pillar, test=_test(kwargs), **kwargs
    )


def _test(kwargs: dict[str, Any]) -> bool:
    """Whether to predict only: if the whole run does, or this state has ``- test: true``."""
    asked = kwargs.pop("test", False)
    return bool(__opts__["test"] or asked)


def _awaited() -> list[str]:
    """What states before this one would install, where a run only predicts."""
    before = globals().get("__running__") or {}
    return [each["installs"] for each in before.values() if each.get("result") is None and each.get("installs")]


def _ended() -> bool:
    """Whether a later state ends the transaction of this run: until then, all is kept or put back together."""
    over = {each.get("__id__") for each in (globals().get("__running__") or {}).values()}
    chunks = globals().get("__lowstate__") or ()
    return any((each["state"], each["fun"]) == ("ipv6", "managed") and each["__id__"] not in over for each in chunks)
