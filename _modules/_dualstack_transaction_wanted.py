"""
How a run has to be confirmed, from the pillar: ``ipv6:confirm``, and ``ipv6_confirm`` for one run.

PURE: no access to the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_settings as settings
import _dualstack_words as words
from salt.exceptions import SaltInvocationError

AUTO, MANUAL, NONE = "auto", "manual", "none"
MODES = (AUTO, MANUAL, NONE)
DEFAULTS: dict[str, Any] = {"mode": AUTO, "within": 60}
KEYS = ("mode", "within", "token")
SHORTEST, LONGEST = 5, 3600  # seconds
TOKEN = r"[A-Za-z0-9._:-]{8,128}"


class Wanted(NamedTuple):
    """How a run is confirmed, in how many seconds, and with which word; empty for any."""

    mode: str
    within: int
    token: str


def errors(part: Mapping[str, Any]) -> Iterator[str]:
    """
    The errors in the part ``confirm``.

    part
        The part.

    Yields sentences that begin with the key. The token is not shown.
    """
    for key in part:
        if key not in KEYS:
            yield f"{key}: {words.unknown(key, KEYS)}"
    mode, within, token = (part.get(key, DEFAULTS.get(key)) for key in KEYS)
    if mode not in MODES:
        yield f"mode: {mode!r} is not one of {', '.join(MODES)}"
    if isinstance(within, bool) or not isinstance(within, int) or not SHORTEST <= within <= LONGEST:
        yield f"within: {within!r} is not a whole number of seconds from {SHORTEST} to {LONGEST}"
    if token is not None and not (isinstance(token, str) and re.fullmatch(TOKEN, token)):
        yield "token: expected 8 to 128 letters, digits and characters of ._:-, found something else"
    elif token is not None and mode in (AUTO, NONE):
        yield f"token: nobody is asked for it with the mode {mode}; expected mode: {MANUAL}"


def once(key: str) -> str:
    """
    The key of the pillar with what counts for one run only: beside the part itself, so that it is never merged into it.

    key
        Where ``ipv6`` is in the pillar.
    """
    return f"{key}_confirm"


def once_errors(pillar: Mapping[str, Any], key: str) -> list[str]:
    """
    The errors in what counts for one run only.

    pillar
        The whole pillar.
    key
        Where ``ipv6`` is in it.

    Returns sentences that begin with the key.
    """
    place = once(key)
    if place not in pillar:
        return []
    part = pillar[place]
    if not isinstance(part, Mapping):
        return [f"{place}: expected a mapping with the keys {', '.join(KEYS)}, found a {type(part).__name__}"]
    return [f"{place}:{each}" for each in errors(part)]


def asked(pillar: Mapping[str, Any], key: str | None) -> Wanted:
    """
    How this run is confirmed, as a state is told to find out.

    pillar
        The whole pillar.
    key
        Where ``ipv6`` is in it. If it is given, it has to be there; of what shape it is, another state says.

    Raises ``SaltInvocationError`` where that is wrong.
    """
    if key is not None and settings.at(pillar, key) is None and key.partition(":")[0] not in pillar:
        settings.part(pillar, key)  # which raises
    return read(pillar, "ipv6" if key is None else key)


def read(pillar: Mapping[str, Any], key: str) -> Wanted:
    """
    How this run is confirmed.

    pillar
        The whole pillar.
    key
        Where ``ipv6`` is in it.

    Raises ``SaltInvocationError`` where that is wrong.
    """
    parts = {f"{key}:confirm": settings.at(pillar, f"{key}:confirm"), once(key): pillar.get(once(key))}
    found: dict[str, Any] = {**DEFAULTS, "token": None}
    for place, part in parts.items():
        wrong = list(errors(part)) if isinstance(part, Mapping) else [] if part is None else ["expected a mapping"]
        if wrong:
            raise SaltInvocationError(f"{place}:{wrong[0]}")
        found.update(part or {})
    return Wanted(found["mode"], found["within"], found["token"] or "")
