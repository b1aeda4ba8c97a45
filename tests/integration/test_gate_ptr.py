"""The whole formula with names of two zones, and with a PTR record, on a host without a tunnel."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..dns import reverse, servers
from . import native
from .test_gate import ADDRESS, NAME, PROOF, apply, pillar_of

OTHER = "www.two.example"
OWNER = ipaddress.ip_address(ADDRESS).reverse_pointer
ZONE = OWNER.split(".", 16)[16]
ONE, TWO = " (ipv6:dns:0)", " (ipv6:dns:1)"
RECORDS, PTR = "The AAAA records are published", "The PTR record is published"


@pytest.fixture
def _zones(host: None, tmp_path: Path) -> Iterator[None]:
    """Both zones, and the reverse zone of the host's address."""
    folder = tmp_path / "bind"
    process = reverse.start(folder, served=(ZONE,))
    yield
    servers.stop(process)
    shutil.rmtree("/var/lib/dualstack_aaaa", ignore_errors=True)


def changes(done: dict[str, Any]) -> dict[str, Any]:
    """Which of the states of DNS has changed what."""
    return {name: each.changes for name, each in done.items() if each.changes}


@pytest.mark.usefixtures("_zones")
def test_two_zones_and_a_ptr_record(modules: Any) -> None:
    one = pillar_of(ptr={"zone": ZONE, "servers": [servers.PRIMARY]})
    two = pillar_of(names=[OTHER])["dns"]
    two["rfc2136"]["zone"] = "two.example"
    pillar = {**one, "dns": [one["dns"], two]}
    expected = {
        RECORDS + ONE: {NAME: {"old": [], "new": [ADDRESS]}},
        RECORDS + TWO: {OTHER: {"old": [], "new": [ADDRESS]}},
        PTR + ONE: {OWNER: {"old": [], "new": [NAME]}},
    }
    with native.host():
        assert changes(apply(modules, "ipv6", pillar, test=True)) == expected
        done = apply(modules, "ipv6", pillar)
        assert {each.result for each in done.values()} == {True}, [each.comment for each in done.values()]
        assert changes(done) == expected
        assert reverse.records(ADDRESS) == [f"3600 {NAME}."]
        assert changes(apply(modules, "ipv6", pillar)) == {}
        back = changes(apply(modules, "ipv6.absent", pillar))
        assert list(back) == [
            "The PTR record is withdrawn" + ONE,
            *(f"The AAAA records are withdrawn{n}" for n in (ONE, TWO)),
        ]
        assert servers.records(NAME) == servers.records(OTHER) == reverse.records(ADDRESS) == []
        assert changes(apply(modules, "ipv6.absent", pillar)) == {}


@pytest.mark.usefixtures("_zones")
def test_a_reverse_zone_that_is_not_ours_keeps_nothing_else(modules: Any) -> None:
    above = ZONE.partition(".")[2]
    pillar = pillar_of(ptr={"zone": above, "servers": [servers.PRIMARY]})
    with native.host():
        done = apply(modules, "ipv6", pillar)
        assert (done[PROOF].result, done[RECORDS].result, done[PTR].result) == (True, True, False)
        assert done[PTR].comment.startswith(f"ipv6:dns:ptr:zone: {OWNER} is in the zone {ZONE}, below {above}: ")
        assert servers.records(NAME) == [f"3600 {ADDRESS}"]
        done = apply(modules, "ipv6.absent", pillar)
        assert done["The PTR record is withdrawn"].result is True, "there is none"
        assert servers.records(NAME) == []
