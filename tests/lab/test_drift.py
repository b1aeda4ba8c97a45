"""A server that was converged, and what happens to it afterwards: named by test=True, repaired by the next run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .network import NAME, OWN_FILE, PUBLISHED, RULES, firewall, forget_zone, on, run

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMETER = "net.ipv6.bindv6only is 1"
FIREWALL = "The firewall is up"
TUNNEL = "The tunnel is up"
DOVECOT = "dovecot listens on both families"
RECORDS = "The AAAA records are published"
UPDATE = "nsupdate -y hmac-sha256:server.example.org:bm90IGEgc2VjcmV0OiB0aGUga2V5IG9mIHRoZSBkZW1v"

# One or two of each part; the tests of the parts have the others. What happens, the part of the formula that is then
# applied alone, which state of it tells, and a word of that.
DRIFT = {
    "the parameter is set back": ("sysctl -qw net.ipv6.bindv6only=0", "sysctl", PARAMETER, "1"),
    "an IPv6 rule is put in": ("ip6tables -I INPUT -p tcp --dport 3306 -j ACCEPT", "firewall", FIREWALL, "3306"),
    "the saved rules are edited": (f"sed -i /icmpv6-type/d {RULES}/rules.v6", "firewall", FIREWALL, "icmpv6-type"),
    "the tunnel is deleted": (f"ip link del {NAME}", "tunnel", TUNNEL, "sit"),
    "a service forgets IPv6": (
        "echo 'listen = *' >>/etc/dovecot/dovecot.conf && service dovecot restart >/dev/null 2>&1",
        "services",
        DOVECOT,
        "tcp/143",
    ),
    "a record is deleted": (
        f"printf 'server 192.0.2.53\nupdate delete www.example.org AAAA\nsend\n' | {UPDATE}",
        "dns",
        RECORDS,
        "www.example.org",
    ),
}


@pytest.fixture
def pillar() -> Iterator[dict[str, Any]]:
    """The example's, with the one of the services that starts quickly; the zone is there."""
    whole = yaml.safe_load((REPOSITORY / "pillar.example").read_text())
    whole["ipv6"]["services"] = {"dovecot": whole["ipv6"]["services"]["dovecot"]}
    run("bash", "tests/lab/zone.sh")
    configuration = Path("/etc/dovecot/dovecot.conf")
    shipped = configuration.read_text()
    run("sh", "-c", "service dovecot start >/dev/null 2>&1")  # it would hold a pipe open
    yield whole
    run("service", "dovecot", "stop", check=False)
    configuration.write_text(shipped)
    forget_zone()


def apply(modules: Any, sls: str, pillar: dict[str, Any], test: bool = False) -> dict[str, Any]:
    """Run the formula, or a part of it; the changes of the states that have any."""
    states = list(modules.state.apply(sls, pillar=pillar, test=test))
    failed = {each.id: each.comment for each in states if each.result is False}
    assert not failed
    return {each.id: each.changes for each in states if each.changes}


def test_one_drift_after_another(modules: Any, pillar: dict[str, Any]) -> None:
    apply(modules, "ipv6", pillar)
    rules, saved, file = firewall(), (RULES / "rules.v6").read_text(), OWN_FILE.read_text()
    for name, (happens, part, state, word) in DRIFT.items():
        subprocess.run(["bash", "-c", happens], check=True, capture_output=True, timeout=60)
        predicted = apply(modules, f"ipv6.{part}", pillar, test=True)
        assert set(predicted) == {state}, name
        done = apply(modules, f"ipv6.{part}", pillar)
        assert set(done) == {state}, name
        assert word in str(done[state]), name
        assert done == predicted, name
        assert (firewall(), (RULES / "rules.v6").read_text(), OWN_FILE.read_text()) == (rules, saved, file), name
    assert apply(modules, "ipv6", pillar) == {}
    assert Path("/proc/sys/net/ipv6/bindv6only").read_text() == "1\n"
    assert on("client6", "dig", "+short", "AAAA", "www.example.org").split() == [PUBLISHED]
