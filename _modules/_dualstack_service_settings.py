"""
The settings of services, as in the pillar ``ipv6:services``, and their errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_probe as service_probe
from salt.exceptions import SaltInvocationError

COMMON = ("ports", "protocols", "timeout")  # the keys that every service has
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


def bound(settings: Mapping[str, Any] | None) -> float:
    """
    Seconds for all that is done to a service: checks, a restart, and waiting for its answers.

    settings
        A service's.
    """
    timeout = (settings or {}).get("timeout", TIMEOUT)
    return 3 * (timeout if isinstance(timeout, (int, float)) else TIMEOUT) + CHECKS


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
    problems = [*_port_errors(settings), *_protocol_errors(settings)]
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


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
