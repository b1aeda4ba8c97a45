"""The records follow the proof: published when it holds, kept or withdrawn when it fails, withdrawn on the way back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..dns import servers

NAME, ADDRESS = "www.example.org", "2001:470:1f13:f87::77"
PUBLISHED = [f"3600 {ADDRESS}"]
PROOF = "IPv6 is proven"
PUBLISH = "The AAAA records are published"
WITHDRAW = "The AAAA records are withdrawn, since IPv6 is not proven"


@pytest.fixture
def pillar(host: None, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A host without a tunnel whose name may be published; the zone is there."""
    folder = tmp_path / "bind"
    process = servers.start(folder, servers.PRIMARY, servers.primary_config(folder, ("example.org",)))
    settings = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}
    yield {
        "dns": {
            **{"provider": "rfc2136", "names": [NAME], "address": ADDRESS, "servers": [servers.PRIMARY]},
            "rfc2136": settings,
        }
    }
    servers.stop(process)
    shutil.rmtree("/var/lib/dualstack_aaaa", ignore_errors=True)


def apply(modules: Any, sls: str, pillar: dict[str, Any], test: bool = False) -> dict[str, Any]:
    """Apply a part of the formula; the results by their IDs."""
    return {each.id: each for each in modules.state.apply(sls, pillar={"ipv6": pillar}, test=test)}


def test_published_withdrawn_and_published_again(modules: Any, pillar: dict[str, Any]) -> None:
    # A service that does not run does not answer, and is not started.
    broken = {**pillar, "services": {"dovecot": {"ports": [143]}}}
    done = apply(modules, "ipv6", broken)
    assert (done[PROOF].result, done[PUBLISH].result) == (False, False)
    assert servers.records(NAME) == []

    predicted = apply(modules, "ipv6", pillar, test=True)
    assert predicted[PROOF].result is None
    assert predicted[PUBLISH].changes == {NAME: {"old": [], "new": [ADDRESS]}}
    assert servers.records(NAME) == []
    assert apply(modules, "ipv6", pillar)[PUBLISH].result is True
    assert servers.records(NAME) == PUBLISHED

    done = apply(modules, "ipv6", broken)
    assert done[PUBLISH].result is False
    assert WITHDRAW not in done
    assert servers.records(NAME) == PUBLISHED

    flighty = {"withdraw_when_broken": True}
    done = apply(modules, "ipv6", {**broken, "dns": {**pillar["dns"], **flighty}})
    assert (done[WITHDRAW].result, done[WITHDRAW].changes) == (True, {NAME: {"old": [ADDRESS], "new": []}})
    assert servers.records(NAME) == []

    done = apply(modules, "ipv6", {**pillar, "dns": {**pillar["dns"], **flighty}})
    assert (done[PUBLISH].result, done[WITHDRAW].changes) == (True, {})
    assert servers.records(NAME) == PUBLISHED

    # A wrong pillar is no reason to withdraw anything.
    wrong = {**broken, "dns": {**pillar["dns"], **flighty}, "sysctl": 5}
    assert {each.result for each in apply(modules, "ipv6", wrong).values()} == {False}
    assert servers.records(NAME) == PUBLISHED

    done = apply(modules, "ipv6.absent", pillar)
    assert done["The AAAA records are withdrawn"].changes == {NAME: {"old": [ADDRESS], "new": []}}
    assert servers.records(NAME) == []
    assert {each.result for each in apply(modules, "ipv6.absent", pillar).values()} == {True}


def test_the_key_is_in_no_result(modules: Any, pillar: dict[str, Any]) -> None:
    done = apply(modules, "ipv6", pillar)
    assert done[PUBLISH].result is True
    assert servers.KEYS["host1"] not in str([each.raw for each in done.values()])
    pillar["dns"]["rfc2136"]["key"] = servers.WRONG
    pillar["dns"]["address"] = "2001:470:1f13:f87::78"
    done = apply(modules, "ipv6", pillar)
    assert "BADSIG" in done[PUBLISH].comment
    assert servers.WRONG not in str([each.raw for each in done.values()])
