"""The records follow the proof: published when all of it holds, withdrawn when it has failed often enough."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..dns import servers
from ..firewall.netfilter import run
from ..services import daemons
from . import native

NAME, ADDRESS = "www.example.org", native.ADDRESS
PUBLISHED = [f"3600 {ADDRESS}"]
PROOF = "IPv6 is proven"
PUBLISH = "The AAAA records are published"
WITHDRAW = "The AAAA records are withdrawn once IPv6 has failed too often"
FAILED, HELD = "runs in a row in which IPv6 failed", "runs in a row in which IPv6 held again"


@pytest.fixture
def zone(host: None, tmp_path: Path) -> Iterator[Path]:
    """The zone, of which this host may change some AAAA records. Its `www` has the address 192.0.2.80."""
    folder = tmp_path / "bind"
    process = servers.start(folder, servers.PRIMARY, servers.primary_config(folder, ("example.org",)))
    yield folder
    servers.stop(process)
    shutil.rmtree("/var/lib/dualstack_aaaa", ignore_errors=True)


def pillar_of(**dns: Any) -> dict[str, Any]:
    """A host without a tunnel whose name may be published."""
    settings = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}
    given = {"provider": "rfc2136", "names": [NAME], "address": ADDRESS, "servers": [servers.PRIMARY], **dns}
    return {"verify": {"beyond": [native.BEYOND]}, "dns": {**given, "rfc2136": settings}}


def apply(modules: Any, sls: str, pillar: dict[str, Any], test: bool = False) -> dict[str, Any]:
    """Apply a part of the formula; the results by their IDs."""
    done = modules.state.apply(sls, pillar={"ipv6": pillar}, test=test)
    assert not isinstance(done, list), done
    return {each.id: each for each in done}


@pytest.mark.usefixtures("zone")
def test_a_native_host_is_published_when_it_is_proven(modules: Any) -> None:
    pillar = pillar_of()
    with native.host():
        predicted = apply(modules, "ipv6", pillar, test=True)
        assert predicted[PROOF].result is None
        assert predicted[PUBLISH].changes == {NAME: {"old": [], "new": [ADDRESS]}}
        assert servers.records(NAME) == []
        done = apply(modules, "ipv6", pillar)
        assert (done[PROOF].result, done[PUBLISH].result) == (True, True), (done[PROOF].comment, done[PUBLISH].comment)
        assert servers.records(NAME) == PUBLISHED
        assert [each.changes for each in apply(modules, "ipv6", pillar).values() if each.changes] == []
        done = apply(modules, "ipv6.absent", pillar)
        assert done["The AAAA records are withdrawn"].changes == {NAME: {"old": [ADDRESS], "new": []}}
        assert servers.records(NAME) == []
        assert {each.result for each in apply(modules, "ipv6.absent", pillar).values()} == {True}


def refused(modules: Any, pillar: dict[str, Any]) -> str:
    """What the proof says of a host that is not published."""
    done = apply(modules, "ipv6", pillar)
    assert (done[PROOF].result, done[PUBLISH].result) == (False, False)
    assert servers.records(NAME) == []
    return str(done[PROOF].comment)


@pytest.mark.usefixtures("zone")
def test_what_is_not_so_is_not_published(modules: Any) -> None:
    typo = pillar_of(address="2001:db8:dead::1")
    said = refused(modules, typo)  # nothing but lo
    assert "failed: published address: 2001:db8:dead::1 is not an" in said
    assert "not tried: route" in said and "not tried: beyond" in said
    with native.host():
        assert "failed: published address" in refused(modules, typo)
        native.silence(native.BEYOND)
        assert f"failed: beyond: {native.BEYOND}" in refused(modules, pillar_of())
    with native.host(route=False):
        assert "failed: route" in refused(modules, pillar_of())
    with native.host():
        nobody = {**pillar_of(), "verify": {}}  # and no name server with IPv6
        assert "not tried: beyond" in refused(modules, nobody)
        forgiven = pillar_of(without=["beyond"])
        assert apply(modules, "ipv6", {**forgiven, "verify": {}})[PUBLISH].result is True
        servers.put(NAME)
        native.silence(native.BEYOND)
        assert "failed: beyond" in refused(modules, forgiven)  # what has failed is not forgiven
        own = {**pillar_of(), "verify": {"beyond": [ADDRESS]}}
        assert f"not tried: beyond: {ADDRESS} is an address of" in (refused(modules, own))


@pytest.mark.usefixtures("zone")
def test_a_neighbour_is_not_the_internet(modules: Any) -> None:
    """The router answers, and so does whoever else is on the same link; where no way leads on, that proves nothing."""
    pillar = {**pillar_of(), "verify": {"beyond": [native.ROUTER]}}
    with native.host(route=False):
        said = refused(modules, pillar)
        assert "failed: route: packets from 2001:db8:1::8 to the IPv6 internet have no route" in said
        run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::99", "dev", "eth0")  # nobody is there
        assert f"not tried: beyond: {native.ROUTER} is a neighbour of this host" in refused(modules, pillar)
        pillar["verify"]["beyond"].append(native.BEYOND)
        assert f"{native.BEYOND} does not answer to" in refused(modules, pillar)
        run("ip", "-6", "route", "replace", "default", "via", native.ROUTER, "dev", "eth0")
        assert apply(modules, "ipv6", pillar)[PUBLISH].result is True


@pytest.mark.usefixtures("zone")
def test_withdrawn_after_several_failures_and_published_after_as_many_successes(modules: Any) -> None:
    pillar = pillar_of(withdraw_when_broken=True)
    with native.host():
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes == {}
        assert servers.records(NAME) == PUBLISHED
        native.silence(native.BEYOND)
        assert apply(modules, "ipv6", pillar, test=True)[WITHDRAW].changes == {}  # nothing was tried
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes == {FAILED: {"old": 0, "new": 1}}
        native.answer(native.BEYOND)
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes == {FAILED: {"old": 1, "new": 0}}
        native.silence(native.BEYOND)
        for count in (1, 2):
            assert apply(modules, "ipv6", pillar)[WITHDRAW].changes == {FAILED: {"old": count - 1, "new": count}}
            assert servers.records(NAME) == PUBLISHED
        # A wrong pillar, and a change that is refused, are no failures of IPv6: the third is still to come.
        refused = apply(modules, "ipv6", {**pillar, "sysctl": 5})
        assert [key for key, each in refused.items() if each.result] == ["This host can still be managed"]
        done = apply(modules, "ipv6", pillar)[WITHDRAW]
        gone = {NAME: {"old": [ADDRESS], "new": []}}
        assert done.changes == {
            **gone,
            FAILED: {"old": 2, "new": 3},
            "withdrawn because IPv6 failed": {"old": False, "new": True},
        }
        assert servers.records(NAME) == []
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes == {}
        native.answer(native.BEYOND)
        for count in (1, 2):
            done = apply(modules, "ipv6", pillar)
            assert (done[PUBLISH].result, done[PUBLISH].changes[HELD]) == (True, {"old": count - 1, "new": count})
            assert (done[WITHDRAW].result, done[WITHDRAW].changes, servers.records(NAME)) == (True, {}, [])
        done = apply(modules, "ipv6", pillar)
        assert done[PUBLISH].changes[NAME] == {"old": [], "new": [ADDRESS]}
        assert servers.records(NAME) == PUBLISHED
        assert [each.changes for each in apply(modules, "ipv6", pillar).values() if each.changes] == []


@pytest.mark.usefixtures("zone")
def test_a_refused_change_withdraws_nothing(modules: Any) -> None:
    pillar = pillar_of(withdraw_when_broken=True, withdraw_after=1)
    firewall = {"tables": {"filter": {"INPUT": {"policy": "ACCEPT"}}}}
    with native.host():
        assert apply(modules, "ipv6", pillar)[PUBLISH].result is True
        expect = [{"to": "tcp/22", "verdict": "drop"}]
        done = apply(modules, "ipv6", {**pillar, "firewall": {**firewall, "expect": expect}})
        assert (done["The firewall is up"].result, done[PROOF].result) == (False, False)
        assert "not tried: firewall" in done[PROOF].comment
        assert (done[WITHDRAW].result, done[WITHDRAW].changes) == (True, {})
        # Nor does a name server that does not answer.
        done = apply(modules, "ipv6", {**pillar, "dns": {**pillar["dns"], "servers": ["127.0.0.9"], "deadline": 1}})
        assert done[WITHDRAW].changes == {}
        assert servers.records(NAME) == PUBLISHED
        # A duplicate of the address is a failure.
        run("ip", "addr", "del", f"{ADDRESS}/64", "dev", "eth0")
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes[NAME] == {"old": [ADDRESS], "new": []}
        assert servers.records(NAME) == []


@pytest.mark.usefixtures("zone")
def test_a_service_that_has_lost_ipv6_and_cannot_get_it_back_is_withdrawn(
    modules: Any, request: pytest.FixtureRequest
) -> None:
    name = "vsftpd"
    request.addfinalizer(lambda: daemons.stop(name, 21))
    daemons.start(name, 21)
    pillar = {**pillar_of(withdraw_when_broken=True, withdraw_after=1), "services": {name: {"ports": [21]}}}
    with native.host():
        assert apply(modules, "ipv6", pillar)[PUBLISH].result is True
        run("ip6tables", "-A", "INPUT", "-p", "tcp", "--dport", "21", "-j", "REJECT")
        done = apply(modules, "ipv6", pillar)
        assert done[f"{name} listens on both families"].result is False
        assert "failed: services: " in done[PROOF].comment
        assert done[WITHDRAW].changes[NAME] == {"old": [ADDRESS], "new": []}
        assert servers.records(NAME) == []


@pytest.mark.usefixtures("zone")
def test_who_takes_the_place_of_a_broken_host_stays(modules: Any) -> None:
    pillar = pillar_of(withdraw_when_broken=True, withdraw_after=1, exclusive=True)
    other = "2001:db8:9::9"
    with native.host():
        assert apply(modules, "ipv6", pillar)[PUBLISH].result is True
        native.silence(native.BEYOND)
        servers.put(NAME, ADDRESS, other)
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes[NAME] == {"old": [ADDRESS, other], "new": [other]}
        assert apply(modules, "ipv6", pillar)[WITHDRAW].changes == {}
        assert servers.records(NAME) == [f"3600 {other}"]


@pytest.mark.usefixtures("zone")
def test_a_typo_withdraws_nothing_that_works(modules: Any) -> None:
    right = pillar_of(withdraw_when_broken=True, withdraw_after=1)
    wrong = pillar_of(withdraw_when_broken=True, withdraw_after=1, address="2001:db8:1::9")
    with native.host():
        assert apply(modules, "ipv6", right)[PUBLISH].result is True
        done = apply(modules, "ipv6", wrong)
        assert done[PROOF].result is False
        assert NAME not in done[WITHDRAW].changes
        assert f"{NAME} has {ADDRESS}, of which nothing is known: it was left there" in done[WITHDRAW].comment
        assert servers.records(NAME) == PUBLISHED
        run("ip", "addr", "del", f"{ADDRESS}/64", "dev", "eth0")  # now it leads nowhere
        assert apply(modules, "ipv6", wrong)[WITHDRAW].changes[NAME] == {"old": [ADDRESS], "new": []}
        assert servers.records(NAME) == []


@pytest.mark.usefixtures("zone")
def test_the_key_is_in_no_result(modules: Any) -> None:
    pillar = pillar_of()
    with native.host():
        done = apply(modules, "ipv6", pillar)
        assert done[PUBLISH].result is True
        assert servers.KEYS["host1"] not in str([each.raw for each in done.values()])
        pillar["dns"]["rfc2136"]["key"] = servers.WRONG
        servers.put(NAME)
        done = apply(modules, "ipv6", pillar)
        assert "BADSIG" in done[PUBLISH].comment
        assert servers.WRONG not in str([each.raw for each in done.values()])
