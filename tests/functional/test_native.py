"""IPv6 by the hoster on the lab's server: its eth0 has IPv4 alone, and a router at the other end of the link."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..cli_examples import REPOSITORY, called, examples
from ..lab.network import CLIENT6, FOLDER, IFSTATE, MAIN, MAIN_TEXT, ip, on, reaches, run, shadow, world

TRANSACTION = Path("/var/lib/dualstack/transaction")
RESOLVER = Path("/etc/resolv.conf")
GIVEN: dict[str, Any] = {"interface": "eth0", "address": "2001:db8:1::8/64", "gateway": "fe80::1"}
OWN = FOLDER / "eth0-ipv6"
IPV4 = MAIN_TEXT + "\nauto eth0\niface eth0 inet static\n    address 46.105.5.1/24\n    gateway 46.105.5.254\n"
OUTSIDE = "2001:db8:ff::1"  # a gateway that is in no prefix of the host's
HOSTERS = {
    "link-local": GIVEN,
    "outside": {**GIVEN, "gateway": OUTSIDE},
    "one address": {**GIVEN, "address": "2001:db8:1::8/128"},
    "several": {**GIVEN, "addresses": ["2001:db8:1::9/128"], "source": "2001:db8:1::9", "metric": 300},
}


@pytest.fixture(autouse=True)
def _hoster(_server: None) -> Iterator[None]:
    """The broker is the hoster's router as well: it routes a prefix to the link, and asks for neighbours there."""
    held = ("fe80::1/64", f"{OUTSIDE}/128")
    MAIN.write_text(IPV4)
    IFSTATE.write_text("eth0=eth0\n")
    for each in held:
        on("broker", "ip", "-6", "addr", "add", each, "dev", "server", "nodad")
    on("broker", "ip", "-6", "route", "add", "2001:db8:1::/64", "dev", "server")
    yield
    on("broker", "ip", "-6", "route", "del", "2001:db8:1::/64", "dev", "server")
    for each in held:
        on("broker", "ip", "-6", "addr", "del", each, "dev", "server")
    run("ip", "-6", "addr", "flush", "dev", "eth0", "scope", "global")


def native(states: Any, test: bool = False, **given: Any) -> Any:
    return states.ipv6.native("the hoster's", **given, test=test)


def addresses() -> dict[str, bool]:
    """The global addresses of eth0, and whether each is deprecated."""
    held = ip("-6", "addr", "show", "dev", "eth0", "scope", "global")
    return {
        f"{each['local']}/{each['prefixlen']}": bool(each.get("deprecated"))
        for link in held
        for each in link["addr_info"]
        if each  # some versions of ip(8) print what they filtered out as an empty entry
    }


def routes() -> list[tuple[str, int]]:
    return [(each["gateway"], each["metric"]) for each in ip("-6", "route", "show", "default")]


def boot() -> None:
    """What a boot does with the interface: it has nothing, and ifupdown remembers nothing."""
    for path in IFSTATE.parent.glob("*ifstate*"):
        path.unlink()
    run("ip", "addr", "flush", "dev", "eth0")
    run("ip", "link", "set", "eth0", "down")
    run("ifup", "eth0")


@pytest.mark.parametrize("given", HOSTERS.values(), ids=list(HOSTERS))
def test_the_host_is_reached_now_and_after_a_boot(states: Any, given: dict[str, Any]) -> None:
    before = world()
    predicted = native(states, test=True, **given)
    assert predicted.result is None and world() == before
    done = native(states, **given)
    assert (done.result, done.changes) == (True, predicted.changes), done.comment
    again = native(states, **given)
    assert (again.result, again.changes) == (True, {}), again.comment
    source = given.get("source", "2001:db8:1::8")
    for when in ("now", "after a boot"):
        if when != "now":
            boot()
            assert run("ip", "-6", "addr", "show", "dev", "eth0", "tentative") == "", "ifup(8) did not wait for them"
        assert reaches("client6", "2001:db8:1::8"), when
        assert ip("-6", "route", "get", CLIENT6)[0]["prefsrc"] == source, when
        assert routes() == [(given["gateway"], given.get("metric", 1024))], when
    after = native(states, **given)
    assert (after.result, after.changes) == (True, {}), after.comment
    gone = states.ipv6.native_absent("the hoster's", interface="eth0")
    assert gone.result is True, gone.comment
    assert (addresses(), routes(), OWN.exists(), MAIN.read_text()) == ({}, [], False, IPV4)


def test_each_drift_is_seen_and_repaired(states: Any) -> None:
    given = HOSTERS["several"]
    assert native(states, **given).result is True
    run("ip", "-6", "addr", "add", "2001:db8:1::77/64", "dev", "eth0", "nodad")
    run("ip", "-6", "route", "add", "2001:db8:5::/64", "via", "fe80::1", "dev", "eth0")
    good = world()
    for words in (
        "ip -6 addr del 2001:db8:1::8/64 dev eth0",
        "ip -6 addr change 2001:db8:1::9/128 dev eth0 preferred_lft 0",
        "ip -6 addr change 2001:db8:1::8/64 dev eth0 preferred_lft forever",
        "ip -6 route del default dev eth0",
        f"rm {OWN}",
        f"sed -i s/300/301/ {OWN}",
    ):
        run(*words.split())
        predicted = native(states, test=True, **given)
        assert predicted.result is None, words
        done = native(states, **given)
        assert (done.result, done.changes) == (True, predicted.changes), done.comment
        for part in ("routes", "links", "ifstate"):
            assert sorted(world()[part].splitlines()) == sorted(good[part].splitlines()), words
        assert addresses() == {"2001:db8:1::8/64": True, "2001:db8:1::9/128": False, "2001:db8:1::77/64": False}


def test_what_is_configured_already_is_only_verified(states: Any) -> None:
    text = f"{IPV4}iface eth0 inet6 static\n    address 2001:db8:1::8/64\n    gateway fe80::1\n"
    MAIN.write_text(text)
    done = native(states, **GIVEN)
    assert done.result is True and set(done.changes) == {"addresses", "routes"}
    before = world()
    assert native(states, **GIVEN).changes == {}
    assert states.ipv6.native_absent("the hoster's", interface="eth0").changes == {}
    assert world() == before


def test_what_says_otherwise_is_refused(states: Any, test: bool) -> None:
    MAIN.write_text(f"{IPV4}iface eth0 inet6 static\n    address 2001:db8:1::8/64\n    gateway fe80::2\n")
    before = world()
    done = native(states, test=test, **GIVEN)
    assert (done.result, done.changes) == (False, {})
    line = len(MAIN.read_text().splitlines())
    assert done.comment.startswith(f"gateway: fe80::2 in {MAIN}, line {line}, and the pillar has fe80::1")
    run("ip", "-6", "route", "add", "default", "via", "fe80::3", "dev", "eth0", "metric", "1024")
    MAIN.write_text(IPV4)
    done = native(states, test=test, **GIVEN)
    assert done.result is False and done.comment.startswith(
        "metric: this host has an IPv6 default route of metric 1024"
    )
    assert world()["addresses"] == before["addresses"]


def test_an_address_of_another_host_is_given_back(states: Any) -> None:
    on("broker", "ip", "-6", "addr", "add", "2001:db8:1::8/128", "dev", "server", "nodad")
    try:
        before = world()
        done = native(states, **GIVEN)
        assert done.result is False and done.changes == {}
        assert done.comment.splitlines() == [
            "address: 2001:db8:1::8 is a duplicate: another host at eth0 has it",
            "Everything was put back as it was.",
        ]
        assert world() == before
    finally:
        on("broker", "ip", "-6", "addr", "del", "2001:db8:1::8/128", "dev", "server")


def test_the_pillar_has_it(modules: Any) -> None:
    pillar = {"ipv6": {"native": GIVEN}}
    done = {each.id: each for each in modules.state.apply("ipv6.native", pillar=pillar)}
    state = done["The hoster's IPv6 is up"]
    assert state.result is True and set(state.changes) == {"files", "addresses", "routes"}, state.comment
    assert OWN.exists()
    gone = {each.id: each for each in modules.state.apply("ipv6.absent", pillar=pillar)}
    assert {each.result for each in gone.values()} == {True}, gone
    assert (addresses(), routes(), OWN.exists()) == ({}, [], False)


@pytest.mark.parametrize("last", ["addr replace 2001:db8:1::8/64", "route add default"])
def test_a_run_that_is_killed_has_never_begun(states: Any, shadows: Path, last: str) -> None:
    """Its last command has worked: the address, and the route, are there when it dies."""
    shadow(shadows, "ip", f'*"{last}"*', '/sbin/ip "$@"; touch /run/killed; kill -KILL $PPID; exit')
    before = world()
    process = multiprocessing.get_context("fork").Process(target=native, args=(states,), kwargs=GIVEN)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and Path("/run/killed").exists()
    Path("/run/killed").unlink()
    end = time.monotonic() + 30
    while TRANSACTION.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (addresses(), routes(), OWN.exists(), TRANSACTION.exists()) == ({}, [], False, False)
    after = world()
    assert {path: each[:2] for path, each in after["files"].items()} == {
        path: each[:2] for path, each in before["files"].items()
    }
    for part in ("addresses", "routes", "ifstate"):
        assert sorted(after[part].splitlines()) == sorted(before[part].splitlines()), part
    (shadows / "ip").unlink()
    assert native(states, **GIVEN).result is True


@pytest.fixture
def uplink() -> Iterator[None]:
    """The host has IPv6 by another interface, and a name server there."""
    for words in (
        "ip link add uplink type dummy",
        "ip link set uplink up",
        "ip -6 addr add 2001:db8:5::5/64 dev uplink nodad",
        "ip -6 route add default via 2001:db8:5::1 dev uplink metric 2048",
    ):
        run(*words.split())
    before = RESOLVER.read_text()
    RESOLVER.write_text("nameserver 2001:db8:53::53\n")
    yield
    RESOLVER.write_text(before)
    run("ip", "link", "del", "uplink")


def test_what_takes_somebodys_way_is_refused(states: Any, uplink: None, test: bool) -> None:
    before = world()
    done = native(states, test=test, **GIVEN)
    assert (done.result, done.changes) == (False, {})
    lost = "the name server 2001:db8:53::53: packets there leave by uplink from 2001:db8:5::5, and with this change"
    assert done.comment == (
        f"metric: {lost} they would leave by eth0 from 2001:db8:1::8: this host has an IPv6 default route of its own, "
        "of metric 2048, and the least comes first; expected more than 2048"
    )
    assert world() == before
    helped = native(states, test=test, **GIVEN, metric=2049)
    assert helped.result is (None if test else True), helped.comment


@pytest.mark.parametrize("words", examples(REPOSITORY / "_modules" / "ipv6_native.py"), ids=" ".join)
def test_an_example_works(modules: Any, words: list[str]) -> None:
    before = world()
    assert called(modules, words)["result"] in (None, True)
    assert world() == before
