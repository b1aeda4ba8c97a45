"""What waits for what: the states of the formula, and those that have to have succeeded before each of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .pillars import GOOD, REPOSITORY

Low = list[dict[str, Any]]

PILLAR = "The pillar ipv6 makes sense"
TUNNEL_TOOLS, FIREWALL_TOOLS = "The tunnel's tools are installed", "The firewall's tools are installed"
IFUPDOWN, DNS_TOOLS = "ifupdown is installed", "What DNS needs is installed"
NETADDR = "netaddr is there for the Python that runs Salt"
UNHARMED, LISTENERS = "No service is harmed by the kernel's default for listeners", "net.ipv6.bindv6only is 1"
FIREWALL, TUNNEL, PROVEN = "The firewall is up", "The tunnel is up", "IPv6 is proven"
RUNGS = [
    "The tunnel is as it is configured",
    "Packets leave by the tunnel",
    "IPv4 reaches the broker",
    "The broker answers through the tunnel",
    "The published address reaches beyond the broker",
]
EXPECTED, OUTSIDE = "The firewall does what is expected of it", "This host is reachable from outside"
PUBLISHED, GONE, WITHDRAWN = "The AAAA records are published", "The tunnel is gone", "The AAAA records are withdrawn"
BROKEN = "The AAAA records are withdrawn, since IPv6 is not proven"
SERVICES = list(GOOD["services"])
LISTEN = [f"{name} listens on both families" for name in SERVICES]
ANSWER = [f"{name} answers on this host's addresses of both families" for name in SERVICES]
FILES = sorted(path.stem for path in (REPOSITORY / "salt" / "ipv6").glob("*.sls"))

# Each of these waits for those, and for all that they wait for.
BEFORE: dict[str, set[str]] = {
    **dict.fromkeys((TUNNEL_TOOLS, FIREWALL_TOOLS, DNS_TOOLS, NETADDR, UNHARMED), {PILLAR}),
    IFUPDOWN: {TUNNEL_TOOLS},
    LISTENERS: {UNHARMED},
    FIREWALL: {FIREWALL_TOOLS},
    TUNNEL: {TUNNEL_TOOLS, IFUPDOWN, FIREWALL},
    **dict.fromkeys(LISTEN, {LISTENERS, FIREWALL}),
    **dict(zip(RUNGS, ({each} for each in [TUNNEL, *RUNGS]))),
    EXPECTED: {FIREWALL},
    **{answer: {listen, TUNNEL} for answer, listen in zip(ANSWER, LISTEN)},
    OUTSIDE: {RUNGS[-1], EXPECTED, *ANSWER},
    PROVEN: {OUTSIDE},
    PUBLISHED: {PROVEN, DNS_TOOLS},
    WITHDRAWN: {DNS_TOOLS},
    GONE: {WITHDRAWN},
    "net.ipv6.bindv6only is not set at boot": {PILLAR},
}
DOES = {
    PILLAR: ("ipv6.valid", "ipv6"),
    **dict.fromkeys((TUNNEL_TOOLS, IFUPDOWN, FIREWALL_TOOLS, DNS_TOOLS, NETADDR), ("ipv6.provided", "ipv6")),
    UNHARMED: ("service_listen.unharmed", "ipv6:services"),
    LISTENERS: ("ipv6.parameter", "ipv6:sysctl"),
    FIREWALL: ("dualstack_iptables.ruleset", "ipv6:firewall"),
    TUNNEL: ("he_tunnel.present", "ipv6:tunnel"),
    **dict.fromkeys(LISTEN, ("service_listen.dual_stack", "ipv6:services")),
    **{
        rung: (f"he_tunnel.{does}", "ipv6:tunnel")
        for rung, does in zip(RUNGS, ("live", "routed", "underlaid", "answering", "reaching"))
    },
    EXPECTED: ("dualstack_iptables.proven", "ipv6:firewall"),
    **dict.fromkeys(ANSWER, ("service_listen.answering", "ipv6:services")),
    OUTSIDE: ("service_listen.reachable", "ipv6:services"),
    PROVEN: ("ipv6.proven", None),
    PUBLISHED: ("aaaa.published", "ipv6:dns"),
}
UNDOES = {
    **{each: DOES[each] for each in (PILLAR, TUNNEL_TOOLS, IFUPDOWN, FIREWALL_TOOLS, DNS_TOOLS, NETADDR)},
    WITHDRAWN: ("aaaa.withdrawn", "ipv6:dns"),
    GONE: ("he_tunnel.absent", "ipv6:tunnel"),
    "net.ipv6.bindv6only is not set at boot": ("ipv6.parameter_absent", "ipv6:sysctl"),
}


def compiled(modules: Any, sls: str, pillar: Any) -> Low:
    """The states of an SLS file, in their order."""
    found = modules.state.show_low_sls(sls, pillar={"ipv6": pillar})
    assert all(isinstance(each, dict) for each in found), found
    return sorted(found, key=lambda each: int(each["order"]))


def required(low: Low, state: dict[str, Any]) -> set[str]:
    """The IDs of those that a state requires itself; each of them has to be there."""
    found = set()
    for each in state.get("require", []):
        key, name = ("__id__", each) if isinstance(each, str) else next(iter(each.items()))
        ids = {other["__id__"] for other in low if other[{"sls": "__sls__"}.get(key, "__id__")] == name}
        assert ids, f"{state['__id__']} requires {each}, which is not there"
        found |= ids
    return found


def waits(low: Low) -> dict[str, set[str]]:
    """For each state, all that have to have succeeded before it."""
    found: dict[str, set[str]] = {}
    own = {state["__id__"]: required(low, state) for state in low}

    def of(name: str) -> set[str]:
        if name not in found:
            found[name] = own[name].union(*map(of, own[name]))
        return found[name]

    return {name: of(name) for name in own}


@pytest.fixture
def whole() -> dict[str, Any]:
    """A pillar with every part, for a host whose network ifupdown makes."""
    pillar = copy.deepcopy(GOOD)
    pillar["tunnel"]["stack"] = "ifupdown"
    pillar["sysctl"] = {"net.ipv6.bindv6only": 1}
    return pillar


def test_everything_waits_for_what_it_needs(modules: Any, whole: dict[str, Any]) -> None:
    for sls in ("ipv6", "ipv6.absent"):
        found = waits(compiled(modules, sls, whole))
        assert found.pop(PILLAR) == set()
        for name, before in found.items():
            expected = BEFORE[name].union(*(found.get(each, set()) for each in BEFORE[name]))
            assert expected <= before, (name, expected - before)
            assert PILLAR in before, name


def test_every_part_does_what_it_says_with_its_part_of_the_pillar(modules: Any, whole: dict[str, Any]) -> None:
    for sls, does in (("ipv6", DOES), ("ipv6.absent", UNDOES)):
        low = compiled(modules, sls, whole)
        assert {each["__id__"]: (f"{each['state']}.{each['fun']}", each.get("pillar")) for each in low} == does
    for each in low:
        if each["fun"] == "provided":
            need = {TUNNEL_TOOLS: "tunnel", IFUPDOWN: "ifupdown", FIREWALL_TOOLS: "firewall", NETADDR: "netaddr"}
            assert each["need"] == need.get(each["__id__"], "dns")
            assert each["reload_modules"] is True, "else a library that was installed is not found in the same run"
            assert set(each["lookup"]["packages"]) >= {"tunnel", "ifupdown", "firewall", "netaddr"}


def test_one_after_the_other(modules: Any, whole: dict[str, Any]) -> None:
    """The firewall is up before the tunnel is, services come after both, and names are published last."""
    order = [each["__id__"] for each in compiled(modules, "ipv6", whole)]
    assert order[0] == PILLAR
    assert order[-1] == PUBLISHED
    places = [order.index(each) for each in (NETADDR, LISTENERS, FIREWALL, TUNNEL, LISTEN[0], RUNGS[0], PROVEN)]
    assert places == sorted(places)
    back = [each["__id__"] for each in compiled(modules, "ipv6.absent", whole)]
    assert back.index(WITHDRAWN) < back.index(GONE)


@pytest.mark.parametrize("name", FILES)
def test_every_file_brings_what_its_states_require(modules: Any, whole: dict[str, Any], name: str) -> None:
    """Applied alone, also where the pillar has nothing but its part."""
    part = {"absent": "dns", "pillar": "verify", "verify": "services", "deps": "tunnel"}.get(name, name)
    for pillar in (whole, {part: whole[part]}) if name != "init" else (whole,):
        low = compiled(modules, "ipv6" if name == "init" else f"ipv6.{name}", pillar)
        assert all(PILLAR in before for state, before in waits(low).items() if state != PILLAR)


def test_only_what_the_pillar_has_is_managed(modules: Any, whole: dict[str, Any]) -> None:
    def ids(pillar: dict[str, Any], sls: str = "ipv6") -> list[str]:
        return [each["__id__"] for each in compiled(modules, sls, pillar)]

    last = ["This host may or may not be reachable from outside", PROVEN]
    assert ids({}) == [PILLAR, *last]
    assert ids({}, "ipv6.absent") == [PILLAR]
    assert ids({"sysctl": {"vm.swappiness": 1}}) == [PILLAR, NETADDR, "vm.swappiness is 1", *last]
    assert ids({"sysctl": whole["sysctl"]}) == [PILLAR, NETADDR, UNHARMED, LISTENERS, *last]
    assert ids({"firewall": whole["firewall"]}) == [PILLAR, FIREWALL_TOOLS, NETADDR, FIREWALL, EXPECTED, *last]
    assert ids({"services": {"ssh": {}}}) == [
        *(PILLAR, NETADDR, "ssh listens on both families"),
        *("ssh answers on this host's addresses of both families", *last),
    ]
    assert ids({"dns": whole["dns"]}) == [PILLAR, NETADDR, DNS_TOOLS, *last, PUBLISHED]
    assert ids({"dns": whole["dns"]}, "ipv6.absent") == [PILLAR, NETADDR, DNS_TOOLS, WITHDRAWN]
    tunnel = {key: value for key, value in whole["tunnel"].items() if key not in ("stack", "gateway")}
    assert ids({"tunnel": tunnel}) == [
        *(PILLAR, TUNNEL_TOOLS, NETADDR, TUNNEL, *RUNGS[:3], RUNGS[4], *last),
    ]
    assert ids({"tunnel": tunnel}, "ipv6.absent") == [PILLAR, GONE]


def test_broken_ipv6_withdraws_the_records_only_where_that_is_wished(modules: Any, whole: dict[str, Any]) -> None:
    for wish in (True, False, None, "yes", 1):
        low = compiled(modules, "ipv6", {**whole, "dns": {**whole["dns"], "withdraw_when_broken": wish}})
        found = [each for each in low if each["__id__"] == BROKEN]
        assert bool(found) is (wish is True)
        for each in found:
            assert (each["state"], each["fun"], each["pillar"]) == ("aaaa", "withdrawn", "ipv6:dns")
            assert each["onfail"] == [PROVEN]
            assert PILLAR in waits(low)[BROKEN]


# --------------------------------------------------------------------------------------------------------------
# The file of the kernel parameters

KEY = "net.ipv4.ip_forward"
OTHERS = "# net.ipv4.ip_forward = 1\nnet.ipv4.ip_forward_use_pmtu = 1\nnetxipv4.ip_forward = 1\n"


@pytest.fixture
def sysctl_file() -> Iterator[Path]:
    """One that the pillar names, in ``lookup``."""
    path = Path("/etc/sysctl.d/99-order.conf")
    yield path
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


@pytest.mark.parametrize("line", [f"{KEY} = 1\n", f"{KEY}=0\n", f"{KEY}\t=  1\n"])
def test_the_way_back_takes_out_the_line_and_leaves_the_others(modules: Any, sysctl_file: Path, line: str) -> None:
    pillar = {"sysctl": {KEY: 1}, "lookup": {"sysctl_file": str(sysctl_file)}}
    sysctl_file.write_text(f"vm.swappiness = 60\n{line}{OTHERS}")
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    for changes in (True, False):
        done = {each.id: each for each in modules.state.apply("ipv6.absent", pillar={"ipv6": pillar})}
        assert {each.result for each in done.values()} == {True}
        assert bool(done[f"{KEY} is not set at boot"].changes) is changes
        assert sysctl_file.read_text() == f"vm.swappiness = 60\n{OTHERS}"
        assert list(sysctl_file.parent.glob(f"{sysctl_file.name}?*")) == []
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_the_way_back_without_a_file(modules: Any, sysctl_file: Path) -> None:
    pillar = {"sysctl": {KEY: 1}, "lookup": {"sysctl_file": str(sysctl_file)}}
    done = modules.state.apply("ipv6.absent", pillar={"ipv6": pillar})
    assert {(each.result, str(each.changes)) for each in done} == {(True, "{}")}
    assert not sysctl_file.exists()


@pytest.mark.parametrize(("lookup", "file"), [({}, "local.conf"), ({"sysctl_file": 5}, "local.conf")])
def test_the_usual_file(modules: Any, lookup: dict[str, Any], file: str) -> None:
    for sls in ("ipv6.sysctl", "ipv6.absent"):
        low = compiled(modules, sls, {"sysctl": {KEY: 1}, "lookup": lookup})
        (found,) = (each for each in low if each["fun"].startswith("parameter"))
        assert found["config"] == f"/etc/sysctl.d/{file}"
