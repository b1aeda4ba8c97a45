"""The golden pairs, loaded: what each family's kernel holds, in both backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_families as families
import _dualstack_firewall_rules as firewall_rules
import pytest
import yaml

from . import netfilter

PAIRS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "unit" / "rule_pairs.yaml").read_text())


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_kernel_holds_what_is_expected(family: str, backend: str) -> None:
    """One chain for each pair, so that one restore loads them all."""
    tables: dict[str, list[str]] = {}
    expected: dict[str, list[str]] = {}
    for number, pair in enumerate(PAIRS):
        if "error" not in pair:
            table, _, chain = pair.get("in", "filter/").partition("/")
            texts = firewall_rules.translate(pair["rule"], chain or None, table)[family]
            name = f"pair-{number:03}"
            tables.setdefault(table, []).extend([f":{name} - [0:0]", *(f"-A {name} {text}" for text in texts)])
            expected[name] = [f"-A {name} {saved}" for saved in pair.get(family, [])]
    text = "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in tables.items())
    netfilter.load(family, backend, text)
    held: dict[str, list[str]] = {name: [] for name in expected}
    for line in netfilter.run(f"{netfilter.COMMANDS[family]}-{backend}-save").splitlines():
        if line.startswith("-A pair-"):
            held[line.split()[1]].append(line)
    assert held == expected
