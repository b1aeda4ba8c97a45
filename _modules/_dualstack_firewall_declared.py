"""
The declared firewall: from named arguments, from a key of the pillar, or from both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_settings as settings
from salt.exceptions import SaltInvocationError

KEY = "ipv6:firewall"  # where the pillar has it
TUNNEL = "he-ipv6"  # the tunnel's name, where the pillar has none


class Declared(NamedTuple):
    """The firewall as in the pillar ``ipv6:firewall``, the tunnel beside it, and which keys come from the pillar."""

    firewall: dict[str, Any]
    tunnel: dict[str, Any] | None
    key: str = ""  # of the pillar; the rest is named
    named: frozenset[str] = frozenset()

    def told(self, problems: list[str]) -> list[str]:
        """Errors, each beginning with a key of the firewall, with the pillar's key in front if it comes from there."""
        place = f"{self.key}:" if self.key else ""
        return [each if re.split(r"[:[]", each)[0] in self.named else f"{place}{each}" for each in problems]

    def refuse(self, problems: list[str]) -> None:
        """Raise ``SaltInvocationError`` with all problems, as :py:meth:`told`, if there are any."""
        if problems:
            raise SaltInvocationError("\n".join(self.told(problems)))


def declared(
    pillar: Mapping[str, Any], key: str | None, named: Mapping[str, Any], tunnel: dict[str, Any] | None
) -> Declared:
    """
    Combine the arguments and the pillar.

    pillar
        The whole pillar.
    key
        Where the firewall is in it, as in ``ipv6:firewall``; ``None`` for nowhere.
    named
        Keys of the firewall that are named, and override the pillar's; ``None`` in either counts as not given.
    tunnel
        The tunnel, by default the one beside the firewall in the pillar.

    Raises ``SaltInvocationError`` where the pillar has no such key.
    """
    given = _said(named)
    if key is None:
        return Declared(given, tunnel)
    part = settings.part(pillar, key)
    beside = settings.beside(pillar, key, "tunnel")
    if beside and tunnel is None:
        tunnel = {"name": TUNNEL, **beside}
    return Declared({**_said(part), **given}, tunnel, key, frozenset(given))


def asked_for(pillar: Mapping[str, Any], firewall: dict[str, Any] | None, tunnel: dict[str, Any] | None) -> Declared:
    """
    The declared firewall of a manual call: what is given, or else the pillar's.

    pillar
        The whole pillar.
    firewall, tunnel
        As in the pillar ``ipv6:firewall`` and ``ipv6:tunnel``, which are the defaults.
    """
    if tunnel is None and (beside := settings.beside(pillar, KEY, "tunnel")):
        tunnel = {"name": TUNNEL, **beside}
    return Declared(_said(firewall if firewall is not None else settings.beside(pillar, KEY, "firewall")), tunnel)


def _said(firewall: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in firewall.items() if value is not None}
