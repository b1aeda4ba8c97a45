"""
The services of this host and the families they answer on: seen, judged, probed, converged.

Listening is a fact, not a line of a configuration: all of this starts from the kernel's own sockets, and believes
a service only what it answers. What a service's configuration looks like is known by its plug-in, ``listen_<service>``.
"""

from __future__ import annotations

import difflib
import re
import time
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "service_listen"

FAMILIES = {"ipv4": "127.0.0.1", "ipv6": "::1"}  # each with the address by which a service on all addresses is asked
PARAMETER = "net.ipv6.bindv6only"
PROBE = 5.0  # seconds for one answer
COMMON = ("ports", "protocols", "timeout")  # the keys that every service has in the pillar
TIMEOUT = 120  # seconds for a service to stop, and as many to answer after its start
# What must not be shown where it stands near a listener, as the passwords of ejabberd's transports do.
SECRET = re.compile(r"""((?:password|passwd|secret)\w*["']?\s*[:=,]?\s*)("[^"]*"|'[^']*'|[^\s,}\])]+)""", re.IGNORECASE)


# --------------------------------------------------------------------------------------------------------------
# Seeing


def sockets() -> dict[str, Any]:
    """
    Every listening socket of this host, from the kernel's own tables.

    Returns ``sockets``, each as ``socket_diag.listening`` has it and with its ``service``, and ``unseen``: sentences
    about what this user could not see.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.sockets
    """
    found: dict[str, Any] = __salt__["socket_diag.listening"]()
    owners: dict[int, str] = {}
    for each in found["sockets"]:
        for pid in each["pids"]:
            if pid not in owners:
                owners[pid] = __salt__["service_host.owner"](__salt__["socket_diag.process"](pid))
        each["service"] = next((owners[pid] for pid in each["pids"] if owners[pid]), "")
    return found


def audit(bindv6only: int | None = None) -> dict[str, Any]:
    """
    Which services miss a family now, and which would lose one at their next start.

    bindv6only
        The value of ``net.ipv6.bindv6only`` to judge by; by default the live one.

    Returns ``{service: {...}}`` for what listens on all addresses, TCP and UDP, with these keys, each a list of
    ``tcp/PORT``: ``serves``, by families (``{"ipv4": [...], "ipv6": [...]}``); ``misses``, likewise, where the
    service serves the other family only; ``loses_ipv4``: at its next start with that value; ``collides``: it will
    not start with that value, since two of its sockets claim the same port; ``unsure``: it will serve the same
    only if the program sets ``IPV6_V6ONLY`` by itself, which is not known of it.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.audit 1
    """
    value = _bindv6only() if bindv6only is None else bindv6only
    by_service: dict[str, list[dict[str, Any]]] = {}
    for each in sockets()["sockets"]:
        by_service.setdefault(each["service"] or "unknown", []).append(each)
    judged = {}
    for name, own in sorted(by_service.items()):
        ports = __salt__["listening_verdict.by_port"](own)
        if ports:
            for service, verdict in _judge(name, ports, value).items():
                judged[service] = verdict
    return judged


def _judge(name: str, ports: dict[str, list[dict[str, Any]]], value: int) -> dict[str, Any]:
    """The verdict on one service; on systemd's sockets, one on each of its socket units."""
    configured = _configured(name)
    verdicts: dict[str, Any] = {}
    for port, own in ports.items():
        written = configured.get(port, [])
        follows = _follows(name, own, written)
        label = next((each["note"] for each in written if each["note"].endswith(".socket")), name)
        verdict = verdicts.setdefault(
            label,
            {
                "serves": {family: [] for family in FAMILIES},
                "misses": {family: [] for family in FAMILIES},
                **{key: [] for key in ("loses_ipv4", "collides", "unsure")},
            },
        )
        now = __salt__["listening_verdict.families"](own)
        for family in FAMILIES:
            verdict["serves" if family in now else "misses"][family].append(port)
        then = __salt__["listening_verdict.after_start"](own, follows is not False, value)
        if set(now) <= set(then):
            continue
        if follows is None:
            verdict["unsure"].append(port)
        elif not then:
            verdict["collides"].append(port)
        else:
            verdict["loses_ipv4"].append(port)
    return verdicts


def _configured(name: str) -> dict[str, list[dict[str, Any]]]:
    """What the configuration of a service says of its listeners, by port; nothing where it cannot be read."""
    if name not in __salt__["service_host.names"]():
        return {}
    try:
        files = __salt__["service_host.configuration"](name)
        found: dict[str, Any] = __salt__["listening_verdict.by_port"](__salt__[f"listen_{name}.listeners"](files))
    except (SaltException, OSError):
        return {}  # the daemon runs nevertheless; the plan of its convergence says what is wrong with its files
    return found


def _follows(name: str, own: list[dict[str, Any]], written: list[dict[str, Any]]) -> bool | None:
    """
    Whether a service leaves IPV6_V6ONLY of a port to the kernel; ``None`` if that cannot be known.

    The socket's own flag proves nothing: the parameter may have been another one when it was made.
    """
    if not any(each["address"] == "::" for each in own):
        return False
    for each in written:
        if each["address"] == "::":
            return each["v6only"] is None
    if name in __salt__["service_host.names"]():
        sets = __salt__["service_host.about"](name).get("sets_v6only")
        return None if sets is None else not sets
    programs = {__salt__["socket_diag.process"](pid)["name"] for each in own for pid in each["pids"]}
    programs.discard("")  # one that has ended since: a daemon's child holds its sockets too
    return False if programs and programs <= set(__salt__["known_daemons.sets_v6only"]()) else None


def _bindv6only() -> int:
    return int(__salt__["host_files.read"]("/proc/sys/net/ipv6/bindv6only") or 0)


def probe(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    addresses: list[str] | None = None,
) -> list[dict[str, Any]]:
    """
    Ask a service whether it answers, on each family and port.

    name
        The service.
    ports
        TCP ports; by default those on which it listens for all addresses and that its configuration names.
    protocols
        What is spoken on a port, where it is not the usual: ``{8443: https}``.
    addresses
        Of this host; by default ``127.0.0.1`` and ``::1``.

    Returns what ``service_probe.probe`` says of each: ``address``, ``port``, ``protocol``, ``answers``, ``banner``,
    ``error`` and ``seconds``. Raises ``CommandExecutionError`` where there is no port to ask.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.probe postfix
    """
    _refuse(name, {"protocols": protocols or {}, **({"ports": ports} if ports is not None else {})})
    ports = ports or _usual_ports(name, _own(name))
    if not ports:
        raise CommandExecutionError(f"{name} listens on no TCP port that is open to all")
    targets = _targets(name, ports, protocols or {}, addresses)
    answers: list[dict[str, Any]] = __salt__["service_probe.probe_all"](targets, PROBE)
    return answers


def public_addresses() -> list[str]:
    """
    The addresses of this host by which others reach it: all but those of loopback and link.

    Raises ``CommandExecutionError`` where there are none of one family.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.public_addresses
    """
    four: list[str] = __salt__["network.ip_addrs"]()
    six = [each for each in __salt__["network.ip_addrs6"]() if not each.lower().startswith("fe80:")]
    for family, found in (("IPv4", four), ("IPv6", six)):
        if not found:
            raise CommandExecutionError(f"this host has no {family} address but those of loopback and link")
    return [*four, *six]


def bindv6only_is(value: int) -> bool:
    """
    Whether ``net.ipv6.bindv6only`` has a value now, and will have it at the next boot.

    value
        0 or 1.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.bindv6only_is 1
    """
    return _bindv6only() == value == int(__salt__["boot_sysctl.value"](PARAMETER) or 0)


def _own(name: str) -> list[dict[str, Any]]:
    return [each for each in sockets()["sockets"] if each["service"] == name]


def _inodes(own: list[dict[str, Any]]) -> list[int]:
    return sorted(each["inode"] for each in own)


def _usual_ports(name: str, own: list[dict[str, Any]]) -> list[int]:
    """The TCP ports that a service is configured for, and that are open to all if it runs."""
    configured = _configured(name)
    ports = __salt__["listening_verdict.by_port"](own) if own else configured
    return [int(each.partition("/")[2]) for each in ports if each in configured and each.startswith("tcp/")]


def _targets(
    name: str, ports: list[int], protocols: dict[Any, str], addresses: list[str] | None = None
) -> list[dict[str, Any]]:
    known = {**__salt__["service_host.about"](name)["protocols"], **{int(k): v for k, v in protocols.items()}}
    return [
        {"address": address, "port": port, "protocol": known.get(port, "tcp")}
        for port in ports
        for address in addresses or FAMILIES.values()
    ]


def harmed(bindv6only: int, services: dict[str, Any] | None = None, exceptions: list[str] | None = None) -> list[str]:
    """
    Which services a value of ``net.ipv6.bindv6only`` would harm at their next start.

    bindv6only
        The value, 0 or 1.
    services
        Those that are converged in the same run, with their settings as in ``ipv6:services``: they count as what
        they will be then.
    exceptions
        The names of services that may be harmed.

    Returns one sentence for each.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.harmed 1 exceptions='[vsftpd]'
    """
    services = services or {}
    sentences = []
    for name, verdict in audit(bindv6only).items():
        if name in (exceptions or []) or (name in services and _withstands(name, services[name] or {}, bindv6only)):
            continue
        for key, words in (
            ("loses_ipv4", "would lose IPv4 on {}"),
            ("collides", "would not start, since its listeners on {} collide"),
            ("unsure", "may lose a family on {}: its program is not known to set IPV6_V6ONLY by itself"),
        ):
            if verdict[key]:
                sentences.append(f"{name} {words.format(', '.join(verdict[key]))}")
    return sentences


def _withstands(name: str, settings: dict[str, Any], value: int) -> bool:
    """Whether a service that is converged in this run serves what it should with that value."""
    own = {key: each for key, each in settings.items() if key not in COMMON}
    _refuse(name, settings)
    files = _files(name)
    dual = __salt__[f"listen_{name}.dual_stack"](files, own, value)
    listeners = __salt__[f"listen_{name}.listeners"](_afterwards(files, dual))
    ports = __salt__["listening_verdict.by_port"](listeners)
    return dual["bindv6only"] in (None, value) and all(
        __salt__["listening_verdict.families"](each, value) == list(FAMILIES)
        and not __salt__["listening_verdict.collide"](each, value)
        for each in ports.values()
    )


# --------------------------------------------------------------------------------------------------------------
# Planning


def errors(services: dict[Any, Any]) -> list[str]:
    """
    What is wrong with the pillar ``ipv6:services``, as far as that can be told without a host.

    services
        ``{service: {key: value}}``.

    Returns sentences that begin with the key.

    CLI Example:

    .. code-block:: bash

        salt-call service_listen.errors '{postfix: {ports: [smtp]}}'
    """
    problems = []
    known = __salt__["service_host.names"]()
    for name, settings in services.items():
        if name not in known and f"listen_{name}.about" not in __salt__:
            problems.append(f"{name}: not a service that is known; expected one of {', '.join(known)}")
        elif settings is not None and not isinstance(settings, dict):
            problems.append(f"{name}: expected a mapping, found {settings!r}")
        else:
            problems += [f"{name}:{each}" for each in _setting_errors(name, dict(settings or {}))]
    return problems


def _setting_errors(name: str, settings: dict[Any, Any]) -> list[str]:
    problems = []
    ports = settings.pop("ports", None)
    if ports is not None and (not isinstance(ports, list) or not ports or not all(map(_is_port, ports))):
        problems.append(f"ports: {ports!r} is not a list of TCP ports, as [25, 587]")
    elif ports is not None and len(set(ports)) < len(ports):
        problems.append(f"ports: {ports!r} has a port twice; expected each once")
    protocols = settings.pop("protocols", None)
    protocols = {} if protocols is None else protocols
    known = __salt__["service_probe.protocols"]()
    if not isinstance(protocols, dict):
        problems.append(f"protocols: expected a mapping as {{8443: https}}, found {protocols!r}")
    else:
        for port, protocol in protocols.items():
            # Jinja's json makes a text of a key that is a number.
            number = int(port) if isinstance(port, str) and re.fullmatch("[0-9]{1,5}", port) else port
            if not _is_port(number) or protocol not in known:
                found = f"{port!r}: {protocol!r}"
                problems.append(f"protocols: {found} is not a port and its protocol; expected {', '.join(known)}")
    timeout = settings.pop("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        problems.append(f"timeout: {timeout!r} is not a number of seconds up to 3600")
    own = __salt__["service_host.about"](name)["options"]
    expected = ", ".join([*COMMON, *own])
    problems += [f"{key}: unknown key; expected one of {expected}" for key in settings if key not in own]
    if own:
        problems += __salt__[f"listen_{name}.errors"]({key: settings[key] for key in own if key in settings})
    return problems


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def plan(name: str, bindv6only: int | None = None, **options: Any) -> str:
    """
    How the configuration of a service would change so that it listens on both families.

    name
        The service.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when it starts; by default the live one.
    options
        The service's own keys in the pillar.

    Returns a unified diff; an empty text where nothing has to change. Unlike the state, this does not ask whether
    the service already answers.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.plan dovecot
    """
    own = {key: value for key, value in options.items() if not key.startswith("__")}
    _refuse(name, own)
    files = _files(name)
    value = _bindv6only() if bindv6only is None else bindv6only
    wanted = __salt__[f"listen_{name}.dual_stack"](files, own, value)
    return "\n".join(_diff(path, files[path]["text"], text) for path, text in wanted["files"].items())


def plan_dual_stack(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[Any, str] | None = None,
    timeout: float = TIMEOUT,
    bindv6only: int | None = None,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    What has to happen so that a service answers on both families. Changes nothing.

    name
        The service.
    ports
        The TCP ports that have to answer; by default those for all addresses that it is configured for, and that
        answer in one family at least.
    protocols
        What is spoken on a port, if it is not the usual: ``{8443: https}``.
    timeout
        Seconds for the service to stop and start, and as many to answer then.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when the service starts; by default the live one.
    options
        The service's own keys.

    Returns a plan for :py:func:`apply` and :py:func:`undo`. A service that answers on both families, and will do so
    after its next start, is left alone, whatever its files say; but options that are no matter of listening, such
    as Postfix's ``mynetworks``, always hold. One that does not run is not started: its files are converged. Raises
    ``SaltException`` where it cannot be done.

    CLI Example:

    .. code-block:: bash

        salt-call service_listen.plan_dual_stack dovecot '[143]'
    """
    options, protocols = options or {}, protocols or {}
    given = {} if ports is None else {"ports": ports}
    _refuse(name, {**options, **given, "timeout": timeout, "protocols": protocols})
    files = _files(name)
    value = _bindv6only() if bindv6only is None else bindv6only
    now = _observe(name, ports, protocols, value)
    result: dict[str, Any] = {
        **{"name": name, "changes": {}, "warnings": [], "files": {}, "demand": None, "restart": False},
        **{key: now[key] for key in ("targets", "answered", "sockets")},
        "timeout": timeout,
    }
    serving = bool(now["state"]) and all(each == list(FAMILIES) for each in now["state"].values())
    always = set(options) & set(__salt__["service_host.about"](name).get("always", []))
    if serving and not always:
        return result
    dual = __salt__[f"listen_{name}.dual_stack"](files, options, value)
    result.update({"demand": dual["bindv6only"], "warnings": list(dual["notes"])})
    if dual["bindv6only"] not in (None, value):
        raise CommandExecutionError(
            f"{name}: it would not serve both families, or not start, where {PARAMETER} is {value}; "
            f"this needs {dual['bindv6only']}"
        )
    _refuse_what_is_left_out(name, _afterwards(files, dual), now["ports"], value, dual["notes"])
    result["files"] = {path: {"old": files[path]["text"], "new": text} for path, text in dual["files"].items()}
    if result["files"]:
        problem = __salt__["service_host.check"](name)
        if problem:
            raise CommandExecutionError(f"{name}: its configuration is in error as it is: {problem}")
        result["changes"] = {path: _diff(path, edit["old"], edit["new"]) for path, edit in result["files"].items()}
    if not now["up"]:
        result["warnings"].append(f"{name} does not run, and was not started: only its files are looked after.")
        return result
    if not now["ports"]:
        result["warnings"].append(f"{name} listens on no TCP port that is open to all.")
    elif not serving:
        if not result["files"]:
            _refuse_silence(name, now)
        _refuse_taken_ports(name, now["ports"])
        result["changes"]["listening"] = {
            "old": {port: _words(found) for port, found in now["state"].items()},
            "new": {port: _words(list(FAMILIES)) for port in now["state"]},
        }
    result["restart"] = bool(result["changes"])
    return result


def _observe(name: str, ports: list[int] | None, protocols: dict[Any, str], value: int) -> dict[str, Any]:
    """
    What a service does now.

    Whether it is ``up``; the ``ports`` that matter; the ``targets`` to ask, their ``answers``, and those that have
    ``answered``; the families whose sockets are there and will be after the next start, ``lasting``, and of these those
    that answer, ``state``, by port; the inodes of its ``sockets``.
    """
    own = _own(name)
    up = bool(own) or __salt__["service_host.running"](name)
    wanted = ports or _usual_ports(name, own)
    answers = __salt__["service_probe.probe_all"](_targets(name, wanted, protocols), PROBE) if up else []
    alive = {(each["address"], each["port"]) for each in answers if each["answers"]}
    if (
        ports is None and alive
    ):  # one that nobody has declared, and that is dead in both families, is no matter of these
        wanted = [port for port in wanted if any(number == port for _, number in alive)]
        answers = [each for each in answers if each["port"] in wanted]
    lasting = {port: _lasting(name, f"tcp/{port}", own, value) for port in wanted}
    return {
        **{"up": up, "ports": wanted, "targets": _targets(name, wanted, protocols), "answers": answers},
        "answered": [
            {key: each[key] for key in ("address", "port", "protocol")} for each in answers if each["answers"]
        ],
        "lasting": lasting,
        "state": {
            f"tcp/{port}": [family for family in found if (FAMILIES[family], port) in alive]
            for port, found in lasting.items()
            if up
        },
        "sockets": _inodes(own),
    }


def _lasting(name: str, port: str, own: list[dict[str, Any]], value: int) -> list[str]:
    """The families whose sockets are there, and will be after the next start."""
    live = __salt__["listening_verdict.by_port"](own).get(port, [])
    follows = _follows(name, live, _configured(name).get(port, [])) is not False
    then: list[str] = __salt__["listening_verdict.after_start"](live, follows, value)
    return [family for family in __salt__["listening_verdict.families"](live) if family in then]


def _refuse_silence(name: str, now: dict[str, Any]) -> None:
    """Where sockets and files are as they should be and nobody answers, a restart is no cure to try at every run."""
    if all(found == list(FAMILIES) for found in now["lasting"].values()):
        said = "; ".join(_said(each) for each in now["answers"] if not each["answers"])
        raise CommandExecutionError(f"{name} listens on both families, but does not answer: {said}")


def _said(answer: dict[str, Any]) -> str:
    return f"tcp/{answer['port']} on {answer['address']}: {answer['error']}"


def _afterwards(files: dict[str, Any], dual: dict[str, Any]) -> dict[str, Any]:
    return {path: {**file, "text": dual["files"].get(path, file["text"])} for path, file in files.items()}


def _refuse(name: str, settings: dict[str, Any]) -> None:
    problems = errors({name: settings})
    if problems:
        raise SaltInvocationError("\n".join(problems))


def _files(name: str) -> dict[str, Any]:
    found: dict[str, Any] = __salt__["service_host.configuration"](name)
    if not found:
        expected = " or ".join(__salt__["service_host.about"](name)["files"])
        raise CommandExecutionError(f"{name} is not installed on this host: there is no {expected}")
    return found


def _words(families: list[str]) -> str:
    return " and ".join(families) or "none that would last"


def _refuse_what_is_left_out(name: str, files: dict[str, Any], wanted: list[int], value: int, notes: list[str]) -> None:
    """Say so before anything is changed where the new configuration would still not do."""
    configured = __salt__["listening_verdict.by_port"](__salt__[f"listen_{name}.listeners"](files))
    problems = []
    for number in wanted:
        listeners = configured.get(f"tcp/{number}", [])
        served = __salt__["listening_verdict.families"](listeners, value)
        missing = [family for family in FAMILIES if family not in served]
        if missing:
            problems.append(f"{name}: no listener on tcp/{number} is for all addresses of {' and '.join(missing)}")
        elif __salt__["listening_verdict.collide"](listeners, value):
            places = " and ".join(f"{each['file']}:{each['line']}" for each in listeners)
            problems.append(f"{name}: the listeners on tcp/{number} collide where {PARAMETER} is {value}: {places}")
    if problems:
        raise CommandExecutionError("\n".join([*problems, *notes]))


def _refuse_taken_ports(name: str, wanted: list[int]) -> None:
    for each in sockets()["sockets"]:
        if each["transport"] == "tcp" and each["port"] in wanted and each["service"] not in (name, ""):
            pids = ", ".join(map(str, each["pids"]))
            raise CommandExecutionError(
                f"{name}: tcp/{each['port']} on {each['address']} is taken by {each['service']} (process {pids})"
            )


def _diff(path: str, old: str, new: str) -> str:
    """A unified diff without secrets; a byte that is no UTF-8 is shown as a question mark."""
    before, after = ([_masked(line) for line in text.splitlines()] for text in (old, new))
    lines = difflib.unified_diff(before, after, fromfile=path, tofile=path, lineterm="")
    return "\n".join(lines).encode("utf-8", "replace").decode()


def _masked(line: str) -> str:
    return SECRET.sub(r"\1***", line)


# --------------------------------------------------------------------------------------------------------------
# Doing


def apply(plan: dict[str, Any]) -> None:
    """
    Write the files of a plan, have them checked, restart the service and wait until it answers on both families.

    plan
        From :py:func:`plan_dual_stack`.

    Raises ``CommandExecutionError`` with what the checker, the service or its log said, or ``OSError``.

    CLI Example:

    .. code-block:: bash

        salt-call service_listen.apply "$plan"
    """
    name = plan["name"]
    _meet_demand(plan)
    mark = __salt__["service_host.log_mark"](name)
    _write(plan, "new")
    problem = __salt__["service_host.check"](name) if plan["files"] else ""
    if problem:
        raise CommandExecutionError(f"the new configuration is refused: {problem}")
    if not plan["restart"]:
        return
    try:
        __salt__["service_host.restart"](name, plan["timeout"])
        _await(plan["targets"], plan["timeout"])
    except CommandExecutionError as error:
        lines = __salt__["service_host.log_since"](name, mark)
        logged = ["Its log says:", *map(_masked, lines)] if lines else []
        raise CommandExecutionError("\n".join([f"{name}: {error}", *logged])) from None


def undo(plan: dict[str, Any]) -> None:
    """
    Put the files of a plan back, and have the service answer as it did before.

    plan
        A plan that was carried out, wholly or in part.

    Raises ``CommandExecutionError`` where the service does not answer any more where it did.

    CLI Example:

    .. code-block:: bash

        salt-call service_listen.undo "$plan"
    """
    _write(plan, "old")
    if not plan["restart"] or plan["sockets"] == _inodes(_own(plan["name"])):
        return  # the very same sockets: it was never stopped
    __salt__["service_host.restart"](plan["name"], plan["timeout"])
    _await(plan["answered"], plan["timeout"])


def _write(plan: dict[str, Any], which: str) -> None:
    for path, edit in plan["files"].items():
        __salt__["host_files.write"](path, edit[which])


def _meet_demand(plan: dict[str, Any]) -> None:
    """What holds now and what will hold after a reboot have to be what the new listeners need."""
    demand = plan["demand"]
    if demand is None:
        return
    boot = __salt__["boot_sysctl.value"](PARAMETER)
    for when, value in (("now", _bindv6only()), ("at the next boot", int(boot or 0))):
        if value != demand:
            raise CommandExecutionError(
                f"{plan['name']}: {PARAMETER} is {value} {when}, and has to be {demand}: else the service would lose a "
                "family, or not start. Nothing was changed."
            )


def _await(targets: list[dict[str, Any]], timeout: float) -> None:
    """Wait until all answer."""
    deadline = time.monotonic() + timeout
    while True:
        answers = __salt__["service_probe.probe_all"](targets, PROBE)
        silent = [each for each in answers if not each["answers"]]
        if not silent:
            return
        if time.monotonic() > deadline:
            said = "; ".join(map(_said, silent))
            raise CommandExecutionError(f"it did not answer within {timeout} s: {said}")
        time.sleep(0.2)
