"""
The settings of the states of kernel parameters: from their arguments, and, with the argument ``pillar``, from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_pillar_parts as pillar_parts
import _dualstack_settings as settings
from salt.exceptions import SaltInvocationError

FILE = "/etc/sysctl.d/local.conf"
LOOKUP = "lookup:sysctl_file"


def value(pillar: Mapping[str, Any], key: str | None, name: Any, given: Any) -> str:
    """
    The value that a parameter is to have.

    pillar
        The whole pillar.
    key
        Where the parameters are in it: ``ipv6:sysctl``.
    name
        The parameter.
    given
        The argument, which takes precedence.

    Raises ``SaltInvocationError`` with the key.
    """
    part = _part(pillar, key)
    _refuse("", name, 0)
    place = f"{key}:" if given is None and key is not None else ""
    found = part.get(name) if given is None else given
    if found is None:
        raise SaltInvocationError(f"{place}{name}: expected the value of this parameter, found nothing")
    _refuse(place, name, found)
    return str(found)


def file(pillar: Mapping[str, Any], key: str | None, name: Any, given: Any) -> str:
    """
    The file in which a parameter gets its value for the next boot.

    pillar, key, name
        As for :py:func:`value`.
    given
        The argument, which takes precedence; else it is ``lookup:sysctl_file`` beside the parameters.

    Raises ``SaltInvocationError`` with the key.
    """
    _part(pillar, key)
    _refuse("", name, 0)
    place, found = "config", given
    if given is None and key is not None:
        place, found = settings.place_beside(key, LOOKUP), settings.value_beside(pillar, key, LOOKUP)
    if found is None:
        return FILE
    for error in pillar_parts.lookup_errors({"sysctl_file": found}):
        raise SaltInvocationError(f"{place}{error.removeprefix('sysctl_file')}")
    return str(found)


def _refuse(place: str, name: Any, found: Any) -> None:
    if not isinstance(name, str):
        raise SaltInvocationError(f"name: expected the name of a kernel parameter, found a {type(name).__name__}")
    for error in pillar_parts.sysctl_errors({name: found}):
        raise SaltInvocationError(f"{place}{error}")


def _part(pillar: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    return {} if key is None else settings.part(pillar, key)
