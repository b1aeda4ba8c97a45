"""
Which services of this host serve which families, now and after their next start.

This starts from the kernel's own sockets, not from configuration files. Those are read only to determine whether a
program leaves ``IPV6_V6ONLY`` to the kernel.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import _dualstack_families as families
import _dualstack_host_sysctl as host_sysctl
import _dualstack_plugins as plugins
import _dualstack_service_edits as service_edits
import _dualstack_service_host as service_host
import _dualstack_service_owner as service_owner
import _dualstack_service_program as service_program
import _dualstack_service_settings as service_settings
import _dualstack_service_sockets as service_sockets
import _dualstack_service_verdict as service_verdict
from salt.exceptions import SaltException

SYSTEMD = "systemd"  # the plug-in of those sockets that systemd holds for others
PARAMETER = "net.ipv6.bindv6only"
ADDRESSES = "/proc/net/if_inet6"  # all of IPv6 that this host has, in 32 digits each
LOOPBACK = "1".zfill(32)

Sockets = list[dict[str, Any]]  # live ones, or listeners of a configuration
Ports = dict[str, Sockets]  # those on all addresses, by `tcp/PORT`
Look = Callable[[int], dict[str, Any]]  # the facts about a process


def bindv6only() -> int:
    """
    The live value of ``net.ipv6.bindv6only``.
    """
    return int(host_sysctl.live(PARAMETER) or 0)


def bindv6only_at_boot() -> int:
    """
    What ``net.ipv6.bindv6only`` will be after the next boot; what the kernel would not take leaves it at 0.
    """
    return int((host_sysctl.value(PARAMETER) or "0") == "1")


def bindv6only_is(value: int) -> bool:
    """
    Whether ``net.ipv6.bindv6only`` has a value now, and will have it at the next boot.

    value
        0 or 1.
    """
    return bindv6only() == value == bindv6only_at_boot()


def loopback6() -> bool:
    """
    Whether ``::1`` is an address of this host. Without it (``disable_ipv6`` of ``lo``), asking there proves nothing.
    """
    try:
        with open(ADDRESSES, encoding="ascii") as stream:
            return any(line.startswith(LOOPBACK) for line in stream)
    except FileNotFoundError:
        return False  # a kernel without IPv6


def sockets(known: Mapping[str, plugins.Service]) -> dict[str, Any]:
    """
    Every listening socket of this host, from the kernel's own tables.

    known
        All plug-ins, by the names of their services.

    Returns ``sockets``, each as ``service_sockets.listening`` has it, with its ``service`` and its ``holder`` in
    words, ``nginx (process 812, user root)``; those that systemd holds for others with their ``unit``; and ``unseen``:
    sentences about what this user could not see.
    """
    services = service_host.daemons(known)
    found = _sockets(services, functools.cache(service_sockets.process))
    lent = [each for each in found["sockets"] if each["service"] == SYSTEMD]
    if lent:
        units = _socket_units(services[SYSTEMD])
        for each in lent:
            each["unit"] = units.get((each["transport"], each["port"]), "")
    return found


def audit(known: Mapping[str, plugins.Service], value: int | None = None) -> dict[str, Any]:
    """
    Which services lack a family now, and which would lose one at their next start.

    known
        All plug-ins, by the names of their services.
    value
        The value of ``net.ipv6.bindv6only`` to judge by; by default the live one.

    Returns ``{service: {...}}`` for what listens on all addresses, TCP and UDP, with these keys, each a list of
    ``tcp/PORT``: ``serves``, by families (``{"ipv4": [...], "ipv6": [...]}``); ``misses``, likewise, where the service
    serves the other family only; ``loses_ipv4``: at its next start with that value; ``collides``: it will not start
    with that value, since two of its sockets claim the same port; ``unsure``: it will serve the same only if the
    program sets ``IPV6_V6ONLY`` itself, which is not known.
    """
    return _audit(service_host.daemons(known), bindv6only() if value is None else value, {})


def harmed(
    known: Mapping[str, plugins.Service],
    value: int,
    converged: Mapping[str, Any] | None = None,
    exceptions: Sequence[str] | None = None,
) -> list[str]:
    """
    Which services a value of ``net.ipv6.bindv6only`` would harm at their next start.

    known
        All plug-ins, by the names of their services.
    value
        The value, 0 or 1.
    converged
        The services that are converged in the same run, with their settings: their new configuration counts.
    exceptions
        The names of services that may be harmed.

    Returns one sentence for each. Where a plug-in refuses to say what the new configuration of such a service is, the
    live sockets count. Raises ``SaltException`` where the settings of one are wrong.
    """
    converged = converged or {}
    services = service_host.daemons(known)
    read: dict[str, plugins.Files] = {}
    sentences = []
    for name, verdict in _audit(services, value, read).items():
        harms = [
            f"{name} {words.format(', '.join(verdict[key]))}"
            for key, words in (
                ("loses_ipv4", "would lose IPv4 on {}"),
                ("collides", "would not start, since its listeners on {} collide"),
                ("unsure", "may lose a family on {}: its program is not known to set IPV6_V6ONLY by itself"),
            )
            if verdict[key]
        ]
        if not harms or name in (exceptions or []):
            continue
        if name in converged:
            service_settings.refuse({name: converged[name]}, known)
            if _withstands(services[name], read.get(name), service_settings.own(converged[name]), value):
                continue
        sentences += harms
    return sentences


def configured(service: service_host.Daemon, files: plugins.Files) -> Ports:
    """
    A service's configured listeners, by port; empty if its files cannot be read.

    service
        The service.
    files
        Its files.
    """
    return service_verdict.by_port(service_host.told(service, files))


def follows(
    service: service_host.Daemon | None, live: Sockets, written: Sockets, sets: bool | None = None
) -> bool | None:
    """
    Whether a service leaves ``IPV6_V6ONLY`` of a port to the kernel; ``None`` if unknown.

    service
        The service, or ``None`` for one without a plug-in.
    live
        Its sockets on that port.
    written
        Its configured listeners on that port.
    sets
        For one without a plug-in: whether its program sets the option by itself, ``None`` if that is not known.

    The socket's own flag proves nothing: the parameter may have had another value when it was opened.
    """
    if not any(each["address"] == "::" for each in live):
        return False
    for each in written:
        if each["address"] == "::":
            return each["v6only"] is None
    if service:
        sets = service.about.get("sets_v6only")
    return None if sets is None else not sets


def _sockets(services: Mapping[str, service_host.Daemon], look: Look) -> dict[str, Any]:
    @functools.cache
    def named(pids: tuple[int, ...], roots: bool) -> tuple[int, str]:
        pid = service_owner.opener(pids, look, lambda pid: name(pid, roots), services)
        return pid, name(pid, roots) if pid else ""

    name = functools.cache(lambda pid, roots: service_owner.owner(look(pid), services, roots))
    found = service_sockets.listening()
    hidden = []
    for each in found["sockets"]:
        pid, each["service"] = named(tuple(each["pids"]), each["uid"] == 0)
        each["holder"] = service_owner.holder(look(pid), each["service"]) if each["service"] else ""
        if pid and look(pid)["name"] and not look(pid)["exe"]:
            hidden.append(each)
    if hidden:
        said = f"This user may not see which program holds {service_sockets.ports(hidden)}."
        found["unseen"] = [*found["unseen"], said]
    return found


def _socket_units(systemd: service_host.Daemon) -> dict[tuple[str, int], str]:
    """The socket units, by transport and port."""
    try:
        told = service_host.listeners(systemd, service_host.configuration(systemd))
    except (SaltException, OSError):
        return {}
    return {(each["transport"], each["port"]): each["note"].partition(":")[0] for each in told if each["port"]}


def _audit(
    services: Mapping[str, service_host.Daemon], value: int, read: dict[str, plugins.Files]
) -> dict[str, dict[str, Any]]:
    """The verdicts; `read` keeps the configurations that were read for them."""
    look = functools.cache(service_sockets.process)
    go: dict[tuple[int, int], bool] = {}
    program = functools.cache(lambda transport, pid: service_program.sets_v6only(look(pid), transport, go))

    @functools.cache
    def sets(transport: str, pids: tuple[int, ...]) -> bool | None:
        """Whether the programs of these processes, a daemon and its children, set the option by themselves."""
        known = [program(transport, pid) for pid in pids if look(pid)["name"]]  # the others have ended since
        return True if known and all(known) else None

    by_service: dict[str, Sockets] = {}
    for each in _sockets(services, look)["sockets"]:
        by_service.setdefault(each["service"] or "unknown", []).append(each)
    judged = {}
    for name, own in sorted(by_service.items()):
        ports = service_verdict.by_port(own)
        if ports:
            judged.update(_judge(name, services.get(name), ports, value, read, sets))
    return judged


def _judge(
    name: str,
    service: service_host.Daemon | None,
    ports: Ports,
    value: int,
    read: dict[str, plugins.Files],
    sets: Callable[[str, tuple[int, ...]], bool | None],
) -> dict[str, dict[str, Any]]:
    """The verdict on one service; on systemd's sockets, one on each of its socket units."""
    if service:
        with contextlib.suppress(SaltException, OSError):  # as in `configured`
            read[name] = service_host.configuration(service)
    told = configured(service, read[name]) if service and name in read else {}
    verdicts: dict[str, dict[str, Any]] = {}
    for port, own in ports.items():
        written = told.get(port, [])
        six = {pid for each in own if each["address"] == "::" for pid in each["pids"]}
        left = follows(service, own, written, None if service else sets(port.partition("/")[0], tuple(sorted(six))))
        label = next((each["note"] for each in written if each["note"].endswith(".socket")), name)
        verdict = verdicts.setdefault(
            label,
            {
                "serves": {family: [] for family in families.FAMILIES},
                "misses": {family: [] for family in families.FAMILIES},
                **{key: [] for key in ("loses_ipv4", "collides", "unsure")},
            },
        )
        now = service_verdict.served(own)
        for family in families.FAMILIES:
            verdict["serves" if family in now else "misses"][family].append(port)
        shares = service is not None and _shares(service)
        then = service_verdict.after_start(own, left, value, shares)
        if set(now) <= set(then):
            continue
        if left is None:
            verdict["unsure"].append(port)
        elif not then:
            verdict["collides"].append(port)
        else:
            verdict["loses_ipv4"].append(port)
    return verdicts


def _shares(service: service_host.Daemon) -> bool:
    """Whether its sockets may overlap, since it sets SO_REUSEPORT by itself."""
    return bool(service.about.get("shares_ports"))


def _withstands(service: service_host.Daemon, files: plugins.Files | None, options: dict[str, Any], value: int) -> bool:
    """Whether that value harms no listener of a service that is converged in this run."""
    try:
        files = files or service_host.installed(service)
        dual = service_host.dual_stack(service, files, options, value)
        listeners = service_host.listeners(service, service_edits.afterwards(files, dual["files"]))
    except (SaltException, OSError):
        return False  # its own state says why
    return dual["bindv6only"] in (None, value) and all(
        # Under either value, it would serve no more.
        set(service_verdict.served(each)) <= set(service_verdict.served(each, value))
        and (_shares(service) or not service_verdict.collide(each, value))
        for each in service_verdict.by_port(listeners).values()
    )
