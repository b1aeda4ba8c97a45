"""
The settings of services, as in the pillar ``ipv6:services``, and their errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_dns_values as dns_values
import _dualstack_plugins as plugins
import _dualstack_service_probe as service_probe
from salt.exceptions import SaltInvocationError

COMMON = ("ports", "protocols", "names", "probe", "timeout")  # the keys that every service has
PROBE = {  # the keys of `probe`, for one port: what is expected
    "seconds": "a number of seconds up to 300",
    "name": "the name of a host",
    "path": "the path of a page, such as /status",
    "proxy": "v1 or v2, the version of the PROXY protocol",
}
TIMEOUT = 120  # seconds for a service to stop, and as many to answer after its start
CHECKS = 120  # seconds for looking at a service, and for its own checker
NUMBER = re.compile("[0-9]{1,5}")


def errors(services: Mapping[Any, Any], known: Mapping[str, plugins.Service]) -> list[str]:
    """
    The errors in settings, as far as this can be checked without the host.

    services
        ``{service: {key: value}}``, as a user wrote it; ``None`` in place of a service's settings means no settings.
    known
        All plug-ins, by the names of their services.

    Returns sentences that begin with the key.
    """
    problems = []
    for name, settings in services.items():
        if name not in known:
            problems.append(f"{name}: not a service that is known; expected one of {', '.join(known)}")
        elif settings is not None and not isinstance(settings, dict):
            problems.append(f"{name}: expected a mapping, found {settings!r}")
        else:
            problems += [f"{name}:{each}" for each in _service_errors(known[name], settings or {})]
    return problems


def refuse(services: Mapping[Any, Any], known: Mapping[str, plugins.Service], place: str = "") -> None:
    """
    Raise ``SaltInvocationError`` with all errors in settings, if there are any.

    services, known
        As for :py:func:`errors`.
    place
        Where the settings come from, to begin each sentence with: ``ipv6:services:``.
    """
    problems = errors(services, known)
    if problems:
        raise SaltInvocationError("\n".join(f"{place}{each}" for each in problems))


def ports(settings: Mapping[str, Any] | None) -> list[int]:
    """
    The declared TCP ports.

    settings
        A service's; valid.
    """
    return list((settings or {}).get("ports") or [])


def names(settings: Mapping[str, Any] | None) -> list[str]:
    """
    The names by which a service is asked, if it has its own.

    settings
        A service's; valid.
    """
    return [dns_values.canonical(each) for each in (settings or {}).get("names") or []]


def probe(settings: Mapping[str, Any] | None, port: int) -> dict[str, Any]:
    """
    How one port is asked: ``seconds``, ``name``, ``path`` and ``proxy``, as far as they were declared.

    settings
        A service's; valid.
    port
        TCP.
    """
    declared = (settings or {}).get("probe") or {}
    return dict(declared.get(port) or declared.get(str(port)) or {})


def bound(settings: Mapping[str, Any] | None) -> float:
    """
    Seconds for all that is done to a service: checks, a restart, and waiting for its answers.

    settings
        A service's.
    """
    timeout = (settings or {}).get("timeout", TIMEOUT)
    return 3 * (timeout if isinstance(timeout, (int, float)) else TIMEOUT) + CHECKS + 3 * _longest(settings or {})


def _longest(settings: Mapping[str, Any]) -> float:
    """The longest time that an answer may take, by the settings, which may be wrong."""
    declared = settings.get("probe")
    each = (
        [found.get("seconds") for found in declared.values() if isinstance(found, dict)]
        if isinstance(declared, dict)
        else []
    )
    return max((float(found) for found in each if isinstance(found, (int, float))), default=0.0)


def protocols(settings: Mapping[str, Any] | None) -> dict[int, str]:
    """
    The declared protocols of ports.

    settings
        A service's; valid.
    """
    return {int(port): protocol for port, protocol in ((settings or {}).get("protocols") or {}).items()}


def own(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    The settings that belong to a service's plug-in.

    settings
        A service's.
    """
    return {key: each for key, each in (settings or {}).items() if key not in COMMON}


def _service_errors(plugin: plugins.Service, settings: dict[Any, Any]) -> list[str]:
    problems = [
        *_port_errors(settings),
        *_protocol_errors(settings),
        *_name_errors(settings.get("names")),
        *_probe_errors(settings.get("probe")),
    ]
    timeout = settings.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        problems.append(f"timeout: {timeout!r} is not a number of seconds up to 3600")
    options = plugin.about()["options"]
    expected = ", ".join([*COMMON, *options])
    unknown = [key for key in settings if key not in (*COMMON, *options)]
    problems += [f"{key}: unknown key; expected one of {expected}" for key in unknown]
    if options:
        problems += plugin.errors({key: settings[key] for key in options if key in settings})
    return problems


def _port_errors(settings: dict[Any, Any]) -> list[str]:
    found = settings.get("ports")
    if found is None:
        return []
    if not isinstance(found, list) or not found or not all(map(_is_port, found)):
        return [f"ports: {found!r} is not a list of TCP ports, such as [25, 587]"]
    if len(set(found)) < len(found):
        return [f"ports: {found!r} has a port twice; expected each once"]
    return []


def _protocol_errors(settings: dict[Any, Any]) -> list[str]:
    found = settings.get("protocols")
    if found is None:
        return []
    if not isinstance(found, dict):
        return [f"protocols: expected a mapping such as {{8443: https}}, found {found!r}"]
    spoken = service_probe.protocols()
    # JSON turns a key that is a number into text.
    numbers = [int(each) if isinstance(each, str) and NUMBER.fullmatch(each) else each for each in found]
    problems = [
        f"protocols: {port!r}: {protocol!r} is not a port and its protocol; expected {', '.join(spoken)}"
        for number, (port, protocol) in zip(numbers, found.items())
        if not _is_port(number) or protocol not in spoken
    ]
    if not problems and len(set(numbers)) < len(numbers):
        problems.append(f"protocols: {found!r} has a port twice; expected each once")
    return problems


def _name_errors(found: Any) -> list[str]:
    if found is None or (isinstance(found, list) and found and all(map(dns_values.is_host_name, found))):
        return []
    return [f"names: {found!r} is not a list of names of hosts, such as [www.example.org]"]


def _probe_errors(found: Any) -> list[str]:
    if found is None:
        return []
    if not isinstance(found, dict):
        return [f"probe: expected a mapping such as {{443: {{path: /status}}}}, found {found!r}"]
    problems = []
    for port, options in found.items():
        number = int(port) if isinstance(port, str) and NUMBER.fullmatch(port) else port
        if not _is_port(number):
            problems.append(f"probe: {port!r} is not a port; expected a number from 1 to 65535")
        elif not isinstance(options, dict):
            problems.append(f"probe:{port}: expected a mapping of {', '.join(PROBE)}, found {options!r}")
        else:
            problems += [f"probe:{port}:{each}" for each in _option_errors(options)]
    return problems


def _option_errors(options: dict[Any, Any]) -> list[str]:
    valid: dict[str, Callable[[Any], Any]] = {
        "seconds": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 300,
        "name": dns_values.is_host_name,
        "path": lambda value: isinstance(value, str) and re.fullmatch(r"/[!-~]{0,1000}", value),
        "proxy": lambda value: value in ("v1", "v2"),
    }
    problems = [f"{key}: unknown key; expected one of {', '.join(PROBE)}" for key in options if key not in PROBE]
    return problems + [
        f"{key}: {value!r} is not {PROBE[key]}"
        for key, value in options.items()
        if key in PROBE and not valid[key](value)
    ]


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
