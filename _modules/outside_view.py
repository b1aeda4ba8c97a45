"""
Whether others reach this host: a host cannot prove that of itself, so that another one is asked to connect to it.

The prober is a minion of the same master, or the master. A minion needs nothing: it is asked for Salt's own
``network.connect``. The master runs the runner ``outside_view.connect``, since the one that Salt has,
``salt.cmd``, would let whoever may call it run anything on the master.
"""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING, Any

import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "outside_view"

CONNECT = 5  # seconds for one connection
PATIENCE = 20  # seconds for the answer of the prober, or the master
# Addresses that nobody reaches from outside (RFC 1918, RFC 6598): a host behind NAT has another one there.
PRIVATE = [ipaddress.IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]
MASTER = "master"


def reach(
    prober: str | None = None,
    services: dict[str, Any] | None = None,
    address: str | None = None,
    tunnel: str | None = None,
) -> dict[str, Any]:
    """
    Have another host connect to each service of this one, on the addresses of both families.

    prober
        The id of a minion, or ``master``. Without one, nothing is proven, and the summary says so.
    services
        As in the pillar ``ipv6:services``: their ``ports``, by default those that they are configured for and that
        are open to all.
    address
        The IPv6 address that is published; by default the one that connections through the tunnel come from, or
        without a tunnel all global ones of this host.
    tunnel
        The tunnel's interface.

    Returns ``holds``, ``summary`` and ``answers``, each with ``service``, ``address``, ``port``, ``connects`` and
    ``said``. Raises ``CommandExecutionError`` with what to do where the prober cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt '*' outside_view.reach minion-2 '{postfix: {ports: [25]}}' 2001:db8::1
    """
    skipped = {"holds": True, "answers": []}
    if prober is None:
        words = "skipped: no prober is named; whether this host is reachable from outside is not proven"
        return {**skipped, "summary": words}
    _check(prober, address)
    if not services:
        return {**skipped, "summary": f"skipped: no service is declared that {prober} could connect to"}
    addresses, private = _addresses(address or (__salt__["tunnel_ladder.published"](tunnel) if tunnel else None))
    answers = [
        {"service": name, "address": each, "port": port, **connect(prober, each, port)}
        for name, settings in services.items()
        for port in _ports(name, settings)
        for each in addresses
    ]
    lines = [f"{each['service']}: tcp/{each['port']} on {each['address']}: {each['said']}" for each in answers]
    lines += [f"{each} is a private address, which {prober} was not asked about" for each in private]
    six = [each["connects"] for each in answers if ":" in each["address"]]
    if six and not any(six):
        lines.append(f"{prober} reaches nothing over IPv6: has it IPv6 itself?")
    holds = all(each["connects"] for each in answers)
    return {"holds": holds, "answers": answers, "summary": "\n".join([f"asked by {prober}:", *lines])}


def connect(prober: str, address: str, port: int) -> dict[str, Any]:
    """
    Have another host make one connection.

    prober
        The id of a minion, or ``master``.
    address
        Of this host.
    port
        TCP.

    Returns ``connects`` and ``said``. Raises ``CommandExecutionError`` with what to do where the prober cannot be
    asked.

    CLI Example:

    .. code-block:: bash

        salt '*' outside_view.connect minion-2 2001:db8::1 25
    """
    _check(prober, None)
    if "master_uri" not in __opts__:
        raise CommandExecutionError(f"this host has no master now, which alone could have {prober} connect to it")
    family = "ipv6" if salt.utils.network.is_ipv6(address) else "ipv4"
    # As keywords, so that no part of an address is taken for a number or a keyword.
    arguments = [{"host": address, "port": port, "family": family, "timeout": CONNECT, "__kwarg__": True}]
    answer = _ask_master(arguments) if prober == MASTER else _ask_minion(prober, arguments)
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), bool):
        raise CommandExecutionError(f"{prober} could not be asked to connect: {answer}")
    return {"connects": answer["result"], "said": "connects" if answer["result"] else answer["comment"]}


def _ask_minion(prober: str, arguments: list[Any]) -> Any:
    started = time.monotonic()
    found = __salt__["publish.publish"](prober, "network.connect", arguments, tgt_type="list", timeout=PATIENCE)
    if found is None:
        raise CommandExecutionError(f"prober: the master knows no minion {prober}, or has not accepted its key")
    if found == {} and time.monotonic() - started < PATIENCE:
        # The master does not say no, it says nothing.
        permission = f"peer:\n  {__opts__['id']}:\n    - network.connect"
        raise CommandExecutionError(
            f"the master does not let this host ask {prober}; it needs in its configuration:\n{permission}"
        )
    if found == {}:
        raise CommandExecutionError(f"{prober} did not answer within {PATIENCE} s: does it run?")
    return found.get(prober) if isinstance(found, dict) else found


def _ask_master(arguments: list[Any]) -> Any:
    found = __salt__["publish.runner"]("outside_view.connect", arguments, timeout=PATIENCE)
    if found == {}:
        permission = f"peer_run:\n  {__opts__['id']}:\n    - outside_view.connect"
        raise CommandExecutionError(
            f"the master does not let this host ask it; it needs in its configuration:\n{permission}"
        )
    if isinstance(found, str) and "is not available" in found:
        raise CommandExecutionError(
            f"the master lacks the runner: run 'salt-run saltutil.sync_runners' there ({found})"
        )
    return found


def _check(prober: Any, address: Any) -> None:
    if not isinstance(prober, str) or not prober:
        raise SaltInvocationError(f"prober: {prober!r} is not the id of a minion, or master")
    if prober == __opts__["id"]:
        raise SaltInvocationError(f"prober: {prober} is this host itself, which cannot prove that others reach it")
    if address is not None and not (isinstance(address, str) and salt.utils.network.is_ipv6(address)):
        raise SaltInvocationError(f"address: {address!r} is not an IPv6 address")


def _addresses(published: str | None) -> tuple[list[str], list[str]]:
    """The addresses of this host that others could reach it by, and those that they cannot."""
    held = __salt__["service_listen.public_addresses"]()
    four = [each for each in held if ":" not in each]
    private = [each for each in four if any(ipaddress.IPv4Address(each) in network for network in PRIVATE)]
    six = [published] if published else [each for each in held if ":" in each]
    return [*(each for each in four if each not in private), *six], private


def _ports(name: str, settings: Any) -> list[int]:
    ports = settings.get("ports") if isinstance(settings, dict) else None
    return ports or sorted({each["port"] for each in __salt__["service_listen.probe"](name)})
