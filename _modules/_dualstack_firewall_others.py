"""
What of this host's rules belongs to others, beside a declared ruleset: by their names, by what other formulas have
made, and by what this one is known to have made itself.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_programs as firewall_programs
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save


def of(
    firewall: Mapping[str, Any],
    wanted: Mapping[str, firewall_save.Tables],
    live: Mapping[str, firewall_save.Tables],
) -> dict[str, firewall_delta.Others]:
    """
    What belongs to others, by family.

    firewall
        As in the pillar ``ipv6:firewall``.
    wanted
        The declared tables of each family, in the kernel's form.
    live
        The live tables of each family of this host.

    Raises ``CommandExecutionError`` where what is remembered is damaged.
    """
    memory, single = firewall_register.made(), firewall_register.read()
    preserve = preserved(firewall, live)
    found = {}
    for family in live:
        others = firewall_register.others(family, preserve, wanted.get(family, {}), memory, single)
        # Where others' rules are kept in the files, too, these do not tell what is ours.
        known = {} if firewall_register.ALL in memory else firewall_boot.known(family, preserve)
        found[family] = others._replace(known=known, keep=keeps(firewall))
    return found


def preserved(firewall: Mapping[str, Any], live: Mapping[str, firewall_save.Tables]) -> list[str]:
    """
    The patterns of what belongs to others: of programs that are known, of the pillar, the bridges of this host that a
    program has made under a name that somebody has chosen, and the chains that those of others lead to.

    firewall
        As in the pillar ``ipv6:firewall``.
    live
        The live tables of each family.
    """
    named = firewall_ruleset.preserved(dict(firewall))
    ours = {str(chain) for chains in (firewall.get("tables") or {}).values() for chain in chains or ()}
    for family in live:
        ours.update(chain for chains in (firewall_boot.known(family, named) or {}).values() for chain in chains)
    names = firewall_programs.led_to(live, named, ours)
    if firewall.get("preserve_only") is None:
        there = [path.parent.name for path in Path("/sys/class/net").glob("*/bridge")]
        names += firewall_programs.bridges(live, there)
    return [*named, *map(glob.escape, names)]


def keeps(firewall: Mapping[str, Any]) -> bool:
    """
    Whether rules that nobody of us has made stay in the tables of the pillar.

    firewall
        As in the pillar ``ipv6:firewall``.
    """
    return firewall.get("foreign") == "keep"
