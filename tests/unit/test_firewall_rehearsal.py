"""A rehearsal, as far as it can be tested without a namespace: tests/firewall has the rest."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_view as firewall_view
import _dualstack_host_commands as host_commands
import pytest
from salt.exceptions import CommandExecutionError


def test_hosts_beyond_two_interfaces_are_tried_one_after_the_other() -> None:
    def expectation(source: str, interface: str) -> Any:
        return {"direction": "in", "source": source, "destination": "192.0.2.1", "interface": interface}

    tried = [expectation("a", "eth0"), expectation("a", "eth1"), expectation("b", "eth1"), expectation("a", "eth1")]
    assert firewall_rehearsal._stages(tried) == [[0, 2], [1, 3]]


def test_where_namespaces_are_not_permitted_that_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(host_commands, "PATH", str(tmp_path))
    expected: firewall_view.Expectation = {
        "family": "ipv4",
        "direction": "in",
        "protocol": "tcp",
        "source": "198.51.100.1",
        "destination": "192.0.2.1",
        "port": 22,
        "interface": "eth0",
        "verdict": "accept",
        "why": "a test",
    }
    with pytest.raises(CommandExecutionError, match="network namespaces are not permitted here: .*not permitted"):
        firewall_rehearsal.run({"ipv4": ""}, [expected], "nft")
    refusing.unlink()
    with pytest.raises(CommandExecutionError, match="unshare is not installed"):
        firewall_rehearsal.run({"ipv4": ""}, [expected], "nft")
