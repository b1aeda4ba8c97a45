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
END = "This host can still be managed"
FIREWALL, TUNNEL, PROVEN = "The firewall is up", "The tunnel is up", "IPv6 is proven"
NATIVE, NATIVE_GONE = "The hoster's IPv6 is up", "What this formula has configured of the hoster's IPv6 is gone"
RUNGS = [
    "The tunnel is as it is configured",
    "Packets leave by the tunnel",
    "IPv4 reaches the broker",
    "The broker answers through the tunnel",
    "Somebody beyond answers through the tunnel",  # beside another one, or the hoster's IPv6
]
ADDRESS = [
    "The published address is on this host",
    "What comes from the published address leaves for the IPv6 internet",
    "Somebody beyond answers to the published address",
]
BOOT, LEADING = "The next boot comes up the same", "The published names lead to this host over IPv4"
EXPECTED, OUTSIDE = "The firewall does what is expected of it", "This host is reachable from outside"
PUBLISHED, GONE, WITHDRAWN = "The AAAA records are published", "The tunnel is gone", "The AAAA records are withdrawn"
BROKEN = "The AAAA records are withdrawn once IPv6 has failed too often"
SERVICES = list(GOOD["services"])
LISTEN = [f"{name} listens on both families" for name in SERVICES]
ANSWER = [f"{name} answers on this host's addresses of both families" for name in SERVICES]
SENDS = "postfix sends over IPv6 if others will take it"
FILES = sorted(path.stem for path in (REPOSITORY / "salt" / "ipv6").glob("*.sls"))

# Each of these waits for those, and for all that they wait for.
BEFORE: dict[str, set[str]] = {
    **dict.fromkeys((TUNNEL_TOOLS, FIREWALL_TOOLS, DNS_TOOLS, NETADDR, UNHARMED), {PILLAR}),
    IFUPDOWN: {TUNNEL_TOOLS},
    LISTENERS: {UNHARMED},
    FIREWALL: {FIREWALL_TOOLS},
    TUNNEL: {TUNNEL_TOOLS, IFUPDOWN, FIREWALL},
    NATIVE: {TUNNEL_TOOLS, FIREWALL},
    **dict.fromkeys(LISTEN, {LISTENERS, FIREWALL}),
    **dict(zip(RUNGS, ({each} for each in [TUNNEL, *RUNGS]))),
    RUNGS[0]: {TUNNEL, END},
    ADDRESS[0]: {TUNNEL, NATIVE, END},
    ADDRESS[1]: {ADDRESS[0]},
    ADDRESS[2]: {ADDRESS[1]},
    EXPECTED: {FIREWALL, END},
    **dict.fromkeys(ANSWER, {TUNNEL, NATIVE, END}),  # what could not be converged is looked at as it is
    **dict.fromkeys((BOOT, LEADING), {PILLAR, END}),
    PROVEN: {PILLAR},  # the proof is a matter of the outcomes, not of requisites
    OUTSIDE: {*RUNGS, *ADDRESS, EXPECTED, *ANSWER, BOOT, LEADING},
    PUBLISHED: {PROVEN, DNS_TOOLS, END, *LISTEN},
    SENDS: {PUBLISHED, "postfix listens on both families"},
    WITHDRAWN: {DNS_TOOLS},
    GONE: {WITHDRAWN},
    NATIVE_GONE: {WITHDRAWN},
    "net.ipv6.bindv6only is not set at boot": {PILLAR},
}
DOES = {
    PILLAR: ("ipv6.valid", "ipv6"),
    END: ("ipv6.managed", "ipv6"),
    **dict.fromkeys((TUNNEL_TOOLS, IFUPDOWN, FIREWALL_TOOLS, DNS_TOOLS, NETADDR), ("ipv6.provided", "ipv6")),
    UNHARMED: ("service_listen.unharmed", "ipv6:services"),
    LISTENERS: ("ipv6.parameter", "ipv6:sysctl"),
    FIREWALL: ("dualstack_iptables.ruleset", "ipv6:firewall"),
    TUNNEL: ("he_tunnel.present", "ipv6:tunnel"),
    NATIVE: ("ipv6.native", "ipv6:native"),
    **dict.fromkeys(LISTEN, ("service_listen.dual_stack", "ipv6:services")),
    **{
        rung: (f"he_tunnel.{does}", "ipv6:tunnel")
        for rung, does in zip(RUNGS, ("live", "routed", "underlaid", "answering", "reaching"))
    },
    **{rung: (f"ipv6.{does}", "ipv6") for rung, does in zip(ADDRESS, ("assigned", "leaving", "reaching"))},
    BOOT: ("ipv6.next_boot", "ipv6"),
    LEADING: ("ipv6.leading", "ipv6"),
    EXPECTED: ("dualstack_iptables.proven", "ipv6:firewall"),
    **dict.fromkeys(ANSWER, ("service_listen.answering", "ipv6:services")),
    OUTSIDE: ("service_listen.reachable", "ipv6:services"),
    PROVEN: ("ipv6.proven", "ipv6"),
    PUBLISHED: ("aaaa.published", "ipv6:dns"),
    SENDS: ("service_listen.sending", "ipv6:services"),
}
UNDOES = {
    **{each: DOES[each] for each in (PILLAR, END, TUNNEL_TOOLS, IFUPDOWN, FIREWALL_TOOLS, DNS_TOOLS, NETADDR)},
    WITHDRAWN: ("aaaa.withdrawn", "ipv6:dns"),
    GONE: ("he_tunnel.absent", "ipv6:tunnel"),
    NATIVE_GONE: ("ipv6.native_absent", "ipv6:native"),
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
        assert (found.pop(PILLAR), found.pop(END)) == (set(), set())
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
    """
    The firewall is up before the tunnel is, services come after both, and names are published last. The end of the
    changes has no place of its own: it comes last, or as soon as something requires it.
    """
    order = [each["__id__"] for each in compiled(modules, "ipv6", whole)]
    assert order[0] == PILLAR
    assert order[-3:] == [PUBLISHED, SENDS, END]
    places = [order.index(each) for each in (NETADDR, LISTENERS, FIREWALL, TUNNEL, NATIVE, LISTEN[0], RUNGS[0], PROVEN)]
    assert places == sorted(places)
    (proof,) = (each for each in compiled(modules, "ipv6", whole) if each["__id__"] == PROVEN)
    assert set(proof["rungs"]) == {*RUNGS, *ADDRESS, EXPECTED, *ANSWER, BOOT, LEADING, OUTSIDE}
    assert max(map(order.index, proof["rungs"])) < order.index(PROVEN)
    back = [each["__id__"] for each in compiled(modules, "ipv6.absent", whole)]
    assert back.index(WITHDRAWN) < back.index(GONE)


@pytest.mark.parametrize("name", FILES)
def test_every_file_brings_what_its_states_require(modules: Any, whole: dict[str, Any], name: str) -> None:
    """Applied alone, also where the pillar has nothing but its part."""
    part = {
        "absent": "dns",
        "pillar": "verify",
        "verify": "services",
        "deps": "tunnel",
        "mail": "services",
        "managed": "verify",
    }.get(name, name)
    for pillar in (whole, {part: whole[part]}) if name != "init" else (whole,):
        low = compiled(modules, "ipv6" if name == "init" else f"ipv6.{name}", pillar)
        assert all(PILLAR in before for state, before in waits(low).items() if state not in (PILLAR, END))


def test_mail_is_judged_again_only_where_records_have_changed(modules: Any, whole: dict[str, Any]) -> None:
    (sends,) = (each for each in compiled(modules, "ipv6", whole) if each["__id__"] == SENDS)
    assert sends["onchanges"] == [PUBLISHED]


def test_only_what_the_pillar_has_is_managed(modules: Any, whole: dict[str, Any]) -> None:
    def ids(pillar: dict[str, Any], sls: str = "ipv6") -> list[str]:
        *found, end = [each["__id__"] for each in compiled(modules, sls, pillar)]
        assert end == END
        return found

    last = [BOOT, PROVEN]
    assert ids({}) == [PILLAR, PROVEN]
    assert ids({}, "ipv6.absent") == [PILLAR]
    assert ids({"sysctl": {"vm.swappiness": 1}}) == [PILLAR, NETADDR, "vm.swappiness is 1", *last]
    assert ids({"sysctl": whole["sysctl"]}) == [PILLAR, NETADDR, UNHARMED, LISTENERS, *last]
    assert ids({"firewall": whole["firewall"]}) == [PILLAR, FIREWALL_TOOLS, NETADDR, FIREWALL, EXPECTED, *last]
    assert ids({"services": {"ssh": {}}}) == [
        *(PILLAR, NETADDR, "ssh listens on both families"),
        *("ssh answers on this host's addresses of both families", *last),
    ]
    assert ids({"dns": whole["dns"]}) == [PILLAR, NETADDR, DNS_TOOLS, *ADDRESS, LEADING, PROVEN, PUBLISHED]
    assert ids({"dns": whole["dns"]}, "ipv6.absent") == [PILLAR, NETADDR, DNS_TOOLS, WITHDRAWN]
    tunnel = {key: value for key, value in whole["tunnel"].items() if key not in ("stack", "gateway")}
    assert ids({"tunnel": tunnel}) == [
        *(PILLAR, TUNNEL_TOOLS, NETADDR, TUNNEL, *RUNGS[:3], *ADDRESS, *last),
    ]
    assert ids({"tunnel": tunnel}, "ipv6.absent") == [PILLAR, GONE]
    alone = waits(compiled(modules, "ipv6", {"tunnel": whole["tunnel"]}))
    assert RUNGS[-1] not in alone and alone[ADDRESS[2]] >= {*RUNGS[:-1], ADDRESS[1]}, "its address is the published one"
    native = {"native": whole["native"]}
    assert ids(native) == [PILLAR, TUNNEL_TOOLS, NETADDR, NATIVE, *ADDRESS, *last]
    assert ids(native, "ipv6.absent") == [PILLAR, NATIVE_GONE]
    by_name = {"native": {**whole["native"], "stack": "ifupdown"}, "sysctl": {"net.ipv6.conf.all.disable_ipv6": 0}}
    switched = waits(compiled(modules, "ipv6", by_name))[NATIVE]
    assert switched >= {IFUPDOWN, "net.ipv6.conf.all.disable_ipv6 is 0"}


def test_each_of_several_tunnels_has_its_states(modules: Any, whole: dict[str, Any]) -> None:
    tunnel = {key: value for key, value in whole["tunnel"].items() if key not in ("name", "stack")}
    several = {
        **{part: value for part, value in whole.items() if part != "tunnel"},
        "tunnels": {"he-ipv6": tunnel, "second": {**tunnel, "stack": "ifupdown"}, "third": {"endpoint": "x"}},
    }
    names = ("he-ipv6", "second", "third")
    low = compiled(modules, "ipv6", several)
    found = waits(low)
    does = {each["__id__"]: (f"{each['state']}.{each['fun']}", each.get("pillar")) for each in low}
    assert TUNNEL not in found and not found.keys() & set(RUNGS)
    for name in names:
        own = [
            f"The tunnel {name} is as it is configured",
            f"Packets leave by the tunnel {name}",
            f"IPv4 reaches the broker of {name}",
            f"The broker answers through the tunnel {name}",
            f"Somebody beyond answers through the tunnel {name}",
        ]
        if name == "third":
            own = [each for each in own if "gateway" in several["tunnels"][name] or "broker answers" not in each]
        up = f"The tunnel {name} is up"
        assert found[up] >= {PILLAR, TUNNEL_TOOLS, FIREWALL}
        assert (IFUPDOWN in found[up]) is (name == "second")
        assert found[own[0]] >= {up, END} and all(one in found[two] for one, two in zip(own, own[1:]))
        others = {each for each in found if any(f" {other}" in each for other in names if other != name)}
        assert not found[own[-1]] & others, "one that does not work is no matter for another"
        pillar = f"ipv6:tunnels:{name}"
        assert does[up] == ("he_tunnel.present", pillar)
        looks = ["live", "routed", "underlaid", *(["answering"] if len(own) == 5 else []), "reaching"]
        assert [does[each] for each in own] == [(f"he_tunnel.{look}", pillar) for look in looks]
        (proof,) = (each for each in low if each["__id__"] == PROVEN)
        assert all(proof["rungs"][each] == "tunnel" for each in own)
        assert found[ADDRESS[0]] >= {up} and all(found[each] >= {up} for each in ANSWER)
        assert found[PUBLISHED] >= {PROVEN}
    back = compiled(modules, "ipv6.absent", several)
    gone = {f"The tunnel {name} is gone": ("he_tunnel.absent", f"ipv6:tunnels:{name}") for name in names}
    assert (
        gone.items()
        <= {each["__id__"]: (f"{each['state']}.{each['fun']}", each.get("pillar")) for each in back}.items()
    )
    assert all(waits(back)[each] >= {WITHDRAWN, PILLAR} for each in gone)


@pytest.mark.parametrize(
    "odd", [None, 5, "x", [], ["he-ipv6"], {}, {"x y": {}}, {"a: b": {"stack": "ifupdown"}}, {1: {}}]
)
def test_what_are_no_tunnels_has_no_states(modules: Any, odd: Any) -> None:
    for sls in ("ipv6", "ipv6.absent"):
        assert not [each for each in compiled(modules, sls, {"tunnels": odd}) if each["state"] == "he_tunnel"]


def test_broken_ipv6_withdraws_the_records_only_where_that_is_wished(modules: Any, whole: dict[str, Any]) -> None:
    for wish in (True, False, None, "yes", 1):
        low = compiled(modules, "ipv6", {**whole, "dns": {**whole["dns"], "withdraw_when_broken": wish}})
        found = [each for each in low if each["__id__"] == BROKEN]
        assert bool(found) is (wish is True)
        for each in found:
            assert (each["state"], each["fun"], each["pillar"]) == ("aaaa", "withdrawn", "ipv6:dns")
            assert each["proof"] == PROVEN
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
