"""The change of the whole firewall, as far as it can be tested without iptables: tests/firewall has the rest."""

from __future__ import annotations

from pathlib import Path

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_whole as firewall_whole
import _dualstack_host_commands as host_commands
import pytest
from salt.exceptions import SaltInvocationError

DECLARED = firewall_declared.Declared({"tables": {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo"]}}}}, None)


@pytest.fixture(autouse=True)
def _without_iptables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_commands, "which", lambda program: "")


def test_under_test_iptables_may_yet_be_installed(tmp_path: Path) -> None:
    plan = firewall_whole.change(lambda: DECLARED, {"cachedir": str(tmp_path)}, test=True).plan()
    assert plan["changes"]["ipv4"] == {"filter INPUT": {"policy": {"old": "ACCEPT", "new": "DROP"}, "added": ["-i lo"]}}
    assert plan["warnings"] == [
        "iptables is not installed yet: the rules are shown as they are written, and were not tested"
    ]


def test_else_it_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(firewall_commands.NotInstalled, match="iptables is not installed on this host"):
        firewall_whole.change(lambda: DECLARED, {"cachedir": str(tmp_path)}, test=False).plan()


@pytest.mark.parametrize("test", [True, False])
def test_errors_are_reported_without_it(tmp_path: Path, test: bool) -> None:
    wrong = firewall_declared.Declared({"tables": {"filter": {"INPUT": ["-p"]}}, "sve": 1}, None, "ipv6:firewall")
    with pytest.raises(SaltInvocationError) as caught:
        firewall_whole.change(lambda: wrong, {"cachedir": str(tmp_path)}, test).plan()
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "ipv6:firewall:sve",
        "ipv6:firewall:tables:filter:INPUT:rules[0]",
    ]
