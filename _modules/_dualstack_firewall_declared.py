"""
The declared firewall: from named arguments, from a key of the pillar, or from both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_broker_complete as broker_complete
import _dualstack_broker_settings as broker_settings
import _dualstack_settings as settings
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import SaltInvocationError

KEY = "ipv6:firewall"  # where the pillar has it


class Declared(NamedTuple):
    """
    The firewall as in the pillar ``ipv6:firewall``, the tunnel beside it (of several the first, with the ``others`` in
    it), and which keys come from the pillar.
    """

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

    Raises ``SaltInvocationError`` where the pillar has no such key, and ``CommandExecutionError`` where the tunnel's
    endpoint is left to a broker that does not say it.
    """
    given = _said(named)
    if key is None:
        return Declared(given, tunnel)
    part = settings.part(pillar, key)
    if tunnel is None:
        tunnel = _tunnels(pillar, key)
    return Declared({**_said(part), **given}, tunnel, key, frozenset(given))


def asked_for(pillar: Mapping[str, Any], firewall: dict[str, Any] | None, tunnel: dict[str, Any] | None) -> Declared:
    """
    The declared firewall of a manual call: what is given, or else the pillar's.

    pillar
        The whole pillar.
    firewall, tunnel
        As in the pillar ``ipv6:firewall`` and ``ipv6:tunnel``, which are the defaults.
    """
    if tunnel is None:
        tunnel = _tunnels(pillar, KEY)
    return Declared(_said(firewall if firewall is not None else settings.beside(pillar, KEY, "firewall")), tunnel)


def _said(firewall: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in firewall.items() if value is not None}


def _tunnels(pillar: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """The tunnels beside the firewall, with what they leave to their brokers, and from where these ping this host."""
    found = [broker_complete.complete(each, pillar) for each in settings_tunnels.beside(pillar, key)]
    for each in found:
        pingers = broker_settings.pingers(each)
        each.update({"pingers": pingers} if pingers else {})
    return settings_tunnels.together(found)
