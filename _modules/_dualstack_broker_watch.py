"""
How a tunnel does, for who watches it: the beacon ``he_tunnel``, and Prometheus.

What could not be found out is ``None``, and is never taken for fine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_broker_complete as broker_complete
import _dualstack_broker_memory as broker_memory
import _dualstack_broker_settings as broker_settings
import _dualstack_host_files as host_files
import _dualstack_host_ip as host_ip
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_ladder as tunnel_ladder
from salt.exceptions import CommandExecutionError

# By the fact: the metric's name, its type, and its help.
METRICS = {
    "up": ("up", "gauge", "Whether the interface exists and is up."),
    "in_sync": ("in_sync", "gauge", "Whether the live interface is as its configuration says."),
    "answering": ("broker_answering", "gauge", "Whether the broker's end answers through the tunnel."),
    "assigned": ("local_assigned", "gauge", "Whether the tunnel's local IPv4 address is one of this host's."),
    "rtt": ("rtt_seconds", "gauge", "The average round trip to the broker's end."),
    "loss": ("loss_ratio", "gauge", "The share of echo requests to the broker's end that were lost."),
    "rx_errors": ("receive_errors_total", "counter", "Packets that were received with an error."),
    "tx_errors": ("transmit_errors_total", "counter", "Packets that could not be sent."),
    "registered": ("registered_timestamp_seconds", "gauge", "When the broker was last told this host's address."),
}
PREFIX = "dualstack_tunnel_"
COUNTERS = "/sys/class/net/{name}/statistics/{counter}"

Facts = dict[str, Any]


def look(
    name: str,
    find: Callable[[], tunnel_host.Sight],
    declared: Mapping[str, Any],
    attempts: int = 3,
    timeout: float = 2,
) -> Facts:
    """
    Look at a tunnel once.

    name
        The interface.
    find
        Inspects the tunnel and its configuration; it may raise ``CommandExecutionError``.
    declared
        The tunnel as in the pillar; empty where it is not there.
    attempts, timeout
        As for :py:func:`tunnel_echo.ask`.

    Returns ``name``, ``gateway``, ``local``, ``reason``, the facts of ``METRICS``, and the ``text`` for Prometheus.
    Raises ``SaltInvocationError`` for bad input.
    """
    own = broker_complete.recalled(declared)
    facts: Facts = {"name": name, "gateway": own.get("gateway"), "local": None, "reason": "", **dict.fromkeys(METRICS)}
    try:
        seen: tunnel_host.Sight | None = find()
    except CommandExecutionError as error:
        seen, facts["reason"] = None, str(error)
    live = seen.live if seen else tunnel_host.live(name)
    facts["up"] = bool(live and live["link"]["up"])
    if seen:
        facts["gateway"] = (seen.configuration.tunnel or {}).get("gateway") or facts["gateway"]
        facts["in_sync"] = live is not None and not tunnel_host.differences(seen)
    facts.update(_local(own, live))
    facts.update(_answer(name, live, facts["gateway"], attempts, timeout, seen))
    for key in ("rx_errors", "tx_errors"):
        facts[key] = _counter(name, key)
    facts["registered"] = _registered(own)
    return {**facts, "text": text(facts)}


def _answer(
    name: str,
    live: Any,
    gateway: Any,
    attempts: int,
    timeout: float,
    seen: tunnel_host.Sight | None,
) -> Facts:
    if live is None:
        return {"answering": False, "loss": 1.0, "reason": f"{name} does not exist on this host"}
    if not gateway:
        return {"reason": f"no gateway of {name} is known that could be asked"}
    try:
        if seen and (seen.configuration.tunnel or {}).get("gateway") == gateway:
            answer = tunnel_ladder.ping(seen, None, attempts, timeout)
        else:
            answer = tunnel_echo.ask(gateway, source=name, attempts=attempts, timeout=timeout)
    except CommandExecutionError as error:  # no ping(8), or it may not send any: nothing is known
        return {"reason": str(error)}
    rtt = answer["rtt"]["avg"] / 1000 if answer["rtt"] else None
    silence = "" if answer["answering"] else answer["reason"] or "nothing came back"
    return {"answering": answer["answering"], "loss": answer["loss"] / 100, "rtt": rtt, "reason": silence}


def _local(declared: Mapping[str, Any], live: Any) -> Facts:
    """The IPv4 address that the tunnel's packets come from, and whether this host has it."""
    local = live["link"]["local"] if live else declared.get("local") or "any"
    endpoint = live["link"]["endpoint"] if live else declared.get("endpoint") or "any"
    dev = live["link"].get("dev") if live else declared.get("dev")
    try:
        if local in ("any", "auto"):
            local = None if endpoint == "any" else tunnel_host.route_to(endpoint, dev=dev).get("prefsrc")
        return {"local": local, "assigned": tunnel_host.assigned(local) if local else None}
    except (CommandExecutionError, host_ip.Nothing):
        return {}


def _counter(name: str, counter: str) -> int | None:
    try:
        return int(host_files.read(COUNTERS.format(name=name, counter=counter)) or "")
    except (OSError, ValueError):
        return None


def _registered(declared: Mapping[str, Any]) -> float | None:
    try:
        return broker_memory.recall(declared).get("done") if broker_settings.wired(declared) else None
    except (CommandExecutionError, OSError):
        return None


def text(facts: Facts) -> str:
    """
    Facts in the text format of Prometheus. PURE.

    facts
        From :py:func:`look`.
    """
    label = facts["name"].replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    lines = []
    for fact, (name, kind, words) in METRICS.items():
        value = facts.get(fact)
        if value is None:
            continue
        lines += [
            f"# HELP {PREFIX}{name} {words}",
            f"# TYPE {PREFIX}{name} {kind}",
            f'{PREFIX}{name}{{interface="{label}"}} {_number(value)}',
        ]
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    return repr(round(float(value), 6)).removesuffix(".0")
