"""
Arguments of a state that come from the pillar: ``- pillar: ipv6:tunnel``.

A state reads them there itself, so that they need not pass through Jinja, YAML and JSON, where numbers become text and
some characters get lost. A *part* is a mapping of the pillar; other parts stand beside it. It may also be in a list:
``ipv6:dns:0`` is the first mapping of the list ``ipv6:dns``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from salt.exceptions import SaltInvocationError

INDEX = r":([0-9]{1,4})(?![^:])"  # a word of a key that is the place in a list


def part(pillar: Mapping[str, Any], key: str) -> dict[str, Any]:
    """
    A part of the pillar, as plain data.

    pillar
        The whole pillar: ``__pillar__``. (Not ``pillar.get``: Salt 3008 masks what that returns to a state.)
    key
        Where the part is, with colons: ``ipv6:tunnel``.

    Raises ``SaltInvocationError`` where there is no such mapping, or the key is not text.
    """
    found = at(pillar, key)
    if not isinstance(found, Mapping):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        raise SaltInvocationError(f"{key}: expected a mapping in the pillar, found {kind}")
    return dict(found)


def beside(pillar: Mapping[str, Any], key: str, other: str) -> dict[str, Any]:
    """
    Another part of the pillar, beside a given one: ``ipv6:tunnel`` beside ``ipv6:firewall``.

    pillar
        The whole pillar.
    key
        The given one.
    other
        The other one's name.

    Returns an empty mapping where there is no such part.
    """
    found = value_beside(pillar, key, other)
    return dict(found) if isinstance(found, Mapping) else {}


def value_beside(pillar: Mapping[str, Any], key: str, other: str) -> Any:
    """
    A value of any type beside a part of the pillar: ``ipv6:sysctl_except``, a list, beside ``ipv6:services``.

    pillar
        The whole pillar.
    key
        The given part.
    other
        The other one's name, or several with colons: ``dns:address``.

    Returns ``None`` where there is nothing.
    """
    return at(pillar, place_beside(key, other))


def place_beside(key: str, other: str) -> str:
    """
    The key of something beside a part of the pillar: ``ipv6:sysctl`` beside ``ipv6:services``, ``ipv6:tunnel`` beside
    ``ipv6:dns:0``.

    key
        The given part.
    other
        The other one's name.

    Raises ``SaltInvocationError`` where the key is no text.
    """
    return f"{whole(key).rpartition(':')[0]}:{other}".removeprefix(":")


def whole(key: str) -> str:
    """
    The key of the list in which a part stands: ``ipv6:dns`` for ``ipv6:dns:0``; the part's own key where it is in none.

    key
        The part.

    Raises ``SaltInvocationError`` where the key is no text.
    """
    _refuse(key)
    return re.sub(INDEX + r"\Z", "", key)


def told(key: str) -> str:
    """
    A key of the pillar, as errors name it: ``ipv6:dns[0]`` for ``ipv6:dns:0``.

    key
        The key.
    """
    return re.sub(INDEX, r"[\1]", key)


def at(pillar: Mapping[str, Any], key: str) -> Any:
    """
    The value of a key in the pillar; ``None`` if there is none.

    pillar
        The whole pillar.
    key
        The key, with colons; in a list, an element's place counts from 0.

    Raises ``SaltInvocationError`` where the key is not text. It is not shown, as it may be misplaced settings.
    """
    _refuse(key)
    found: Any = pillar
    for word in key.split(":"):
        found = found.get(word) if isinstance(found, Mapping) else _element(found, word)
    return found


def _element(found: Any, word: str) -> Any:
    listed = found if isinstance(found, list) and re.fullmatch("[0-9]{1,4}", word) else []
    return listed[int(word)] if listed and int(word) < len(listed) else None


def _refuse(key: Any) -> None:
    """Refuse what is no key. It may be settings in the wrong place: it is not shown."""
    if not isinstance(key, str):
        raise SaltInvocationError(f"expected a key of the pillar, such as ipv6:tunnel, found a {type(key).__name__}")
