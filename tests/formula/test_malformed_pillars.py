"""A malformed pillar is refused as a whole, with the key, whatever the error, and nothing is changed."""

from __future__ import annotations

import datetime
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_pillar as pillar_room
import pytest
from saltfactories.utils.functional import Loaders

from .pillars import GOOD, ODD, REPOSITORY, Place, changed, named, places

# What is odd, and means something all the same.
TRUTHS = {"true", "false"}
EMPTY_LIST, EMPTY_MAPPING = {"a list"}, {"a mapping"}
FINE: dict[str, set[str]] = {
    **dict.fromkeys(("tunnel:adopt", "services:dovecot:explicit", "dns:exclusive", "dns:withdraw_when_broken"), TRUTHS),
    **dict.fromkeys(("firewall:icmpv6_essential", "firewall:clamp_mss", "firewall:save"), TRUTHS),
    # Nothing of it: no rules, no parameters, no services.
    **dict.fromkeys(("firewall:tables", "firewall:tables:filter", "sysctl", "services", "verify"), EMPTY_MAPPING),
    **dict.fromkeys(("lookup", "lookup:packages", "services:dovecot:protocols"), EMPTY_MAPPING),
    **dict.fromkeys(("firewall:preserve", "firewall:expect", "sysctl_except", "verify:beyond"), EMPTY_LIST),
    **dict.fromkeys(("manage:allow", "manage:ignore"), EMPTY_LIST),
    **dict.fromkeys(("manage", "confirm", "firewall:sets", "tunnel:wireguard"), EMPTY_MAPPING),
    **dict.fromkeys(("services:postfix:mynetworks", "dns:servers"), EMPTY_LIST),
    **dict.fromkeys(
        [f"firewall:tables:filter:{each}" for each in ("INPUT", "FORWARD", "OUTPUT")], {"a list", "a mapping"}
    ),
    "firewall:tables:filter:INPUT:rules": {"a list", "a mapping"},
    "firewall:tables:filter:INPUT:rules:10-base": EMPTY_LIST,
    "firewall:tables:filter:INPUT:rules:50-services": EMPTY_LIST,
    "tunnel:addresses": EMPTY_LIST,  # but then the source is none of them
    "tunnel:routed": EMPTY_LIST,
    "native:addresses": EMPTY_LIST,
    # A service without settings has the defaults.
    **dict.fromkeys(
        [f"services:{each}" for each in ("apache2", "dovecot", "postfix", "ejabberd")], {"nothing", "a mapping"}
    ),
    "services:dovecot:timeout": {"a fraction"},
    "dns:deadline": {"a fraction"},
    # A pattern with a blank is for whole rules.
    **dict.fromkeys([f"firewall:preserve:{each}" for each in range(3)], {"two words"}),
    # Free text, except what spoils the file that iptables-restore reads.
    "firewall:tables:filter:INPUT:rules:50-services:0:comment": {
        *("no text", "a blank", "below zero", "a fraction", "too much", "two words"),
        *("Jinja", "a shell", "quotes", "YAML", "beyond ASCII", "a picture"),
    },
}
# What of a rule the kernel has to say: names of protocols, chains and hosts, words that are too long for it.
KERNEL = {"too much", "a line break", "beyond ASCII", "a picture", "long", "two words", "quotes", "below zero"}


def test_the_good_pillar_is_good(modules: Any, impossible: Callable[..., list[str]]) -> None:
    assert modules.ipv6.errors(GOOD) == []
    assert impossible(GOOD) == []


def test_every_kind_of_value_at_every_place_is_refused_with_its_key(modules: Any) -> None:
    count = 0
    for place, value in places():
        path = ":".join(map(str, place))
        for label, odd in ODD.items():
            if label in FINE.get(path, ()) or odd == value:
                continue
            found = modules.ipv6.errors(changed(place, odd))
            if not found and "rules" in place[:-1]:
                assert label in KERNEL, (path, label)
                continue
            assert any(re.match(re.escape(named(place)) + r"[:\[]", each) for each in found), (path, label, found)
            assert all(len(each) <= 620 and "Traceback" not in each for each in found)
            count += 1
    assert count > 3000


def test_odd_but_valid_values_are_accepted(modules: Any) -> None:
    """So that what is listed above is no more than it has to be."""
    for place, _ in places():
        for label in FINE.get(":".join(map(str, place)), ()):
            found = modules.ipv6.errors(changed(place, ODD[label]))
            assert not any(each.startswith(f"{named(place)}:") for each in found), (place, label, found)


def test_every_kind_of_value_in_one_of_several_tunnels_is_refused_with_its_key(modules: Any) -> None:
    rest = {part: value for part, value in GOOD.items() if part not in ("tunnel", "dns")}
    good = {key: value for key, value in GOOD["tunnel"].items() if key != "name"}
    assert modules.ipv6.errors({**rest, "tunnels": {"second": good}}) == []
    for label, odd in ODD.items():
        wrong: list[tuple[str, Any]] = [("ipv6:tunnels:second", {"second": odd})]
        wrong += [("ipv6:tunnels", odd)] if label not in EMPTY_MAPPING else []
        for key, value in good.items():
            if odd != value and label not in FINE.get(f"tunnel:{key}", ()):
                wrong.append((f"ipv6:tunnels:second:{key}", {"second": {**good, key: odd}}))
        for place, tunnels in wrong:
            found = modules.ipv6.errors({**rest, "tunnels": tunnels})
            assert any(each.startswith(place) for each in found), (label, place, found)
            assert all(len(each) <= 620 and "Traceback" not in each for each in found)
    assert modules.ipv6.errors({**GOOD, "tunnels": {"second": good}})[0].startswith(
        "ipv6:tunnels: there is ipv6:tunnel"
    )


def test_a_misspelt_key_is_refused_at_every_level(modules: Any) -> None:
    for place, _ in places():
        keys = [each for each in place if not isinstance(each, int)]
        if isinstance(place[-1], int) or "rules" in keys:
            continue  # the keys of rules are options of iptables, which it knows
        wrong = (*place[:-1], f"{place[-1]}x")
        found = modules.ipv6.errors(changed(wrong, GOOD["tunnel"]))
        assert any(each.startswith(named(wrong)) for each in found), (wrong, found)


def test_what_has_no_default_has_to_be_there(modules: Any) -> None:
    required: list[Place] = [("tunnel", each) for each in ("endpoint", "address", "gateway")]
    required += [("native", each) for each in ("interface", "address", "gateway")]
    required += [("firewall", "tables"), ("firewall", "expect", 0, "to"), ("firewall", "expect", 0, "verdict")]
    required += [("dns", "provider"), ("dns", "names"), ("dns", "command"), ("dns", "command", "publish")]
    for place in required:
        found = modules.ipv6.errors(changed(place, ...))
        assert any(each.startswith(f"{named(place)}:") for each in found), (place, found)


INPUT = ("firewall", "tables", "filter", "INPUT")
RULES = (*INPUT, "rules", "10-base")
# Places, and values that do not belong there.
WRONG: list[tuple[Place, list[Any]]] = [
    (("tunnel", "endpoint"), ["216.66.84.42/32", "216.66.84", "2001:db8::1", "224.0.0.1", "tserv1.he", "46.105.5.1"]),
    (("tunnel", "endpoint"), [" 216.66.84.42", "216.66.84.042", "٢١٦.66.84.42", 3628225578]),
    (("tunnel", "local"), ["Auto", "0.0.0.0", "127.0.0.1", "::1", "46.105.5.1/24"]),
    (("tunnel", "address"), ["2001:470:1f12:f87::2", "2001:470:1f12:f87::2/", "2001:470:1f12:f87::/64"]),
    (("tunnel", "address"), ["2001:470:1f12:f87::2/129", "2001:470:1f12:f87::2/0", "192.0.2.1/24", "fe80::2/64"]),
    (("tunnel", "address"), ["::ffff:192.0.2.1/64", "2001:470:1f12:f87::2/64/64"]),
    (("tunnel", "gateway"), ["2001:470:1f12:f87::1/64", "2001:470:1f12:f87::2", "2001:db8::1", "ff02::1"]),
    (("tunnel", "addresses"), ["2001:470:1f13:f87::77/64", ["2001:470:1f13:f87::77"], ["192.0.2.1/24"]]),
    (("tunnel", "addresses"), [["2001:470:1f13:f87::77/64", "2001:470:1f13:f87::77/64"]]),
    (("tunnel", "source"), ["2001:470:1f13:f87::77/64", "2001:db8::1", "46.105.5.1"]),
    (("tunnel", "ttl"), [0, 256, "255", 64.0]),
    (("native", "address"), ["2001:db8:1::8", "2001:db8:1::8/16", "fe80::8/64", "fd00::8/64", "192.0.2.1/24"]),
    (("native", "gateway"), ["fe80::1%eth0", "ff02::1", "::", "192.0.2.1", "2001:db8:1::8"]),
    (("native", "interface"), ["lo", "all", "eth0:1", "-eth0", "a-name-of-16-char", "he-ipv6"]),
    (("tunnel", "mtu"), [1279, 65516, "1480"]),
    (("tunnel", "metric"), [0, 4294967296, "1024"]),
    (("tunnel", "name"), ["a-name-of-sixteen", "sit0", "all", "he ipv6", "../he", "-he", "he%d", "hé"]),
    (("tunnel", "routing"), ["Default", "yes", "::/0"]),
    (("tunnel", "stack"), ["systemd", "if up", "ifupdown "]),
    (("tunnel", "dev"), ["he-ipv6", "lo", "all", "a-name-of-sixteen", "eth 1", "-eth1", 1, ["eth1"]]),
    (("tunnel", "carrier"), ["GRE", "6in4", "WireGuard", ["sit"]]),
    (("tunnel", "wireguard"), ["x", ["::/0"], {"port": 51820}, {"private_key": "x"}]),
    (
        ("tunnel", "routed"),
        ["2001:470:1f13:f87::77/64", "2001:470:1f13:f87::", "2001:db8::/32", "0::/0", "192.0.2.0/24"],
    ),
    (
        ("tunnel", "routed"),
        [["2001:470:1f13:f87::/64", "2001:470:1f13::/48"], "2001:470:1f12:f87::/64", [[]], "fe80::/64"],
    ),
    (("tunnel", "adopt"), ["yes", 1]),
    (("firewall", "backend"), ["NFT", "nftables", 1]),
    (("firewall", "save"), ["yes", 0]),
    (("firewall", "preserve"), ["DOCKER*", ["*"], ["DOCKER*\n"], [" x"]]),
    (("firewall", "sets"), [["blocklist"], "blocklist"]),
    (("firewall", "sets", "b l"), [[]]),
    (("firewall", "sets", "b" * 31), [[]]),
    (
        ("firewall", "sets", "blocklist"),
        ["192.0.2.1", False, {"entry": []}, {"type": "hash:mac"}, {"type": "list:set"}],
    ),
    (
        ("firewall", "sets", "blocklist"),
        [["0.0.0.0/0"], ["192.0.2.1/24"], ["192.0.2.256"], ["a"], [7], ["::1", "0::1"]],
    ),
    (("firewall", "sets", "blocklist"), [{"family": "ipv4", "entries": ["::1"]}, {"options": {"forceadd": True}}]),
    (("firewall", "tables"), [{"Filter": {}}, {"fitler": {}}, {"nat ": {}}]),
    (("firewall", "tables", "filter", "IN PUT"), [[]]),
    (("firewall", "tables", "filter", "-j"), [[]]),
    (("firewall", "tables", "filter", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), [[]]),
    (("firewall", "tables", "filter", "ééééééééééééééé"), [[]]),
    (("firewall", "tables", "filter", ""), [[]]),
    (("firewall", "tables", "filter", "a\nb"), [[]]),
    (("firewall", "tables", "filter", "a'b"), [[]]),
    (("firewall", "tables", "filter", "INPTU"), [{"policy": "DROP"}]),
    (("firewall", "tables", "filter", "OWN"), [{"policy": "DROP"}]),
    ((*INPUT, "policy"), ["drop", "REJECT", {"ipv4": "DROP", "ipv5": "DROP"}, {"ipv4": "deny"}, ["DROP"]]),
    ((*INPUT, "family"), ["ipv4", "inet", 4]),
    ((*RULES, 0), ["", "-i lo -j", "-p tcp --dport 65536 -j DROP", "-p tcp --dport a b -j DROP"]),
    ((*RULES, 0), ["-s 192.0.2.256 -j DROP", "-s 192.0.2.1 -d ::1 -j DROP", "-s 192.0.2.0/33 -j DROP"]),
    ((*RULES, 0), ["-A OUTPUT -j DROP", "-I INPUT -j DROP", "-P INPUT DROP", "-p tcp --dport $SSH -j DROP"]),
    ((*RULES, 0), ["-t nat -j DROP", "-s fe80::1%eth0 -j DROP", "--comment 'x", "lo -j ACCEPT"]),
    ((*RULES, 0), ["-p tcp --dports 80,99999 -j DROP", "-p tcp --dport 80,443 -j DROP"]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "dport": 65536}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "dport": "80-90"}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "dport": -1}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "dports": [80, [81]]}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "dport": False}, {"proto": "tcp", "jump": "DROP", "source": []}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "source": "::1/129"}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "family": "ipv5"}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "family": 4}, {"proto": "tcp", "jump": "DROP", "family": ""}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "position": 1}]),
    ((*RULES, 0), [{"proto": "tcp", "jump": "DROP", "source": "192.0.2.01"}, {"proto": "tcp", "jump": "DROP", 1: 2}]),
    ((*RULES, 0), [{"dports": [80], "jump": "DROP"}, {}, {"proto": "tcp", "jump": True}, ["-j DROP"], 7]),
    (("firewall", "expect", 0, "to"), ["tpc/22", "tcp/0", "tcp/65536", "tcp/ssh", "22", 22, [], "tcp/[::1%1]:22"]),
    (("firewall", "expect", 0, "verdict"), ["ACCEPT", "allow", True]),
    (("firewall", "expect", 1, "from"), ["192.0.2.1/33", "example.org", "ff02::1", []]),
    (("firewall", "expect", 0, "address"), ["x y"]),
    (("firewall", "expect", 0, "interface"), ["x y"]),
    (("firewall", "expect", 0, "family"), ["x y"]),
    (("firewall", "expect", 0, "direction"), ["x y"]),
    (("firewall", "expect", 0, "form"), ["x y"]),
    (("sysctl", "net.ipv6.bindv6only"), [2, -1, "1", "on", True, 1.0]),
    (("sysctl", "bindv6only"), [1]),
    (("sysctl", "net..ipv6"), [1]),
    (("sysctl", "net.ipv6.bindv6only "), [1]),
    (("sysctl", "net.ipv6.*"), [1]),
    (("sysctl", "../x"), [1]),
    (("sysctl", "net/ipv6/bindv6only"), [1]),
    (("sysctl", "vm.swappiness"), ["", " 1", "1\n2", "1\n", None, [1], {"a": 1}, False, 1.5]),
    (("services", "apache"), [{"ports": [80]}]),
    (("services", "Postfix"), [{"ports": [80]}]),
    (("services", "post fix"), [{"ports": [80]}]),
    (("services", "../postfix"), [{"ports": [80]}]),
    (("services", "a\nb"), [{"ports": [80]}]),
    (("services", "__x"), [{"ports": [80]}]),
    (("services", "'"), [{"ports": [80]}]),
    (("services", "x: {"), [{"ports": [80]}]),
    (("services", "apache2", "ports"), [[0], [65536], ["80"], 80, "80", [80, 80], [80.0], [True], {"80": 1}]),
    (("services", "dovecot", "protocols"), [{143: "imap4"}, {0: "imap"}, {"imap": 143}, {"²": "imap"}]),
    (("services", "dovecot", "protocols"), [{143: ["imap"]}, {143: "imap", "143": "tcp"}, {True: "imap"}, ["imap"]]),
    (("services", "dovecot", "protocols"), ["imap"]),
    (("services", "dovecot", "timeout"), [0, 3601, "120", float("nan"), float("inf")]),
    (("services", "dovecot", "explicit"), ["yes", 1]),
    (("services", "postfix", "mynetworks"), [["127.0.0.1/8"], ["::1/128"], ["[::1]/129"], ["a b"], "127.0.0.0/8"]),
    (("services", "ejabberd", "listeners"), ["both", "Split", ["split"]]),
    (("services", "ejabberd", "port"), [1]),
    (("services", "ejabberd", "name"), [1]),
    (("services", "ejabberd", "require"), [1]),
    (("services", "ejabberd", "order"), [1]),
    (("services", "ejabberd", "fun"), [1]),
    (("services", "ejabberd", "unless"), [1]),
    (("services", "ejabberd", "__x"), [1]),
    (("sysctl_except",), ["vsftpd", {"vsftpd": 1}, [1], ["a b"], ["vsftpd", "vsftpd"], [""], [["vsftpd"]]]),
    (("manage", "allow"), ["192.0.2.7", ["x"], [7], ["::/0"], [{"port": 22}], [{"from": "192.0.2.7", "port": "22"}]]),
    (("manage", "ignore"), [["fe80::1%eth0"], ["224.0.0.1"], [{"from": "192.0.2.7"}], ["192.0.2.0/33"]]),
    (("verify", "beyond"), [["192.0.2.1"], ["2001:db8::1/64"], ["ff02::1"], ["fe80::1"], ["::1"], "2001:db8::1"]),
    (("verify", "beyond"), [["2001:db8::1", "2001:DB8:0::1"], ["::ffff:192.0.2.1"], [1], ["fe80::1%eth0"]]),
    (("verify", "prober"), ["", "*", "web?", "a b", "web1\n", 7, ["web1"], "web[12]"]),
    (("dns", "address"), ["2001:db8::1", "2001:470:1f13:f87::77/64", "192.0.2.1"]),
    (("lookup", "sysctl_file"), ["local.conf", "/etc/passwd", "/etc/sysctl.d/../x.conf", "/etc/sysctl.d/x y.conf"]),
    (("lookup", "packages", "tunnel"), [[], "iproute2", ["a b"], ["IPROUTE2"], [7], {"iproute2": 1}]),
    (("lookup", "packages", "netaddr"), [["netaddr"], "x; y", ""]),
]
CASES = [(place, value) for place, values in WRONG for value in values]


@pytest.mark.parametrize(("place", "value"), CASES, ids=[f"{named(place)}={value!r:.40}" for place, value in CASES])
def test_what_looks_right_and_is_not_is_refused_with_its_key(modules: Any, place: Place, value: Any) -> None:
    found = modules.ipv6.errors(changed(place, value))
    assert any(re.match(re.escape(named(place)) + r"[:\[]", each) for each in found), found


@pytest.fixture
def impossible(loaders: Any) -> Callable[[dict[str, Any]], list[str]]:
    """What of a pillar the kernel does not take."""
    return lambda pillar: pillar_room.impossible({"ipv6": pillar}, "ipv6", loaders.opts["cachedir"])


def test_the_kernel_judges_what_nobody_else_knows(modules: Any, impossible: Callable[..., list[str]]) -> None:
    first = {"proto": "tcp", "dport": 22, "jump": "ACCEPT"}
    for wrong in (
        {"proto": "tpc"},
        {"jump": "ACEPT"},
        {"jump": "accept"},
        {"dport": "no-such-port"},
        {"ctsate": "NEW"},
    ):
        pillar = changed((*RULES, 0), {**first, **wrong})
        assert modules.ipv6.errors(pillar) == []
        assert [each.startswith(f"{named((*RULES, 0))}: ") for each in impossible(pillar)][:1] == [True]
    for key, said in {
        "net.ipv6.bindv6onyl": "'bindv6onyl' in /proc/sys/net/ipv6; did you mean bindv6only?",
        "net.ipv7.bindv6only": "did you mean ipv6?",
        "foo.bar": "there is no 'foo' in /proc/sys",
        "net.ipv6.conf.all.accept_raa": "did you mean accept_ra?",
        "net.ipv6.conf": "this is not a parameter",
    }.items():
        found = impossible({"sysctl": {key: 1}})
        assert found[0].startswith(f"ipv6:sysctl:{key}: ") and said in found[0]
    later = {"net.ipv6.conf.he-ipv6.accept_ra": 0, "net.netfilter.nf_conntrack_max": 1, "net.ipv6.conf.lo.accept_ra": 0}
    assert impossible({"sysctl": later}) == []


# --------------------------------------------------------------------------------------------------------------
# The whole run


def world() -> dict[str, str]:
    """What must not be changed."""
    found = {}
    for folder in ("/etc/network", "/etc/sysctl.d", "/etc/iptables", "/var/lib/dualstack_aaaa"):
        for path in sorted(Path(folder).rglob("*")):
            found[str(path)] = path.read_text() if path.is_file() else ""
    found["bindv6only"] = Path("/proc/sys/net/ipv6/bindv6only").read_text()
    for words in (["ip", "addr"], ["ip", "link"], ["iptables-save"], ["ip6tables-save"], ["dpkg-query", "-W"]):
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        found[" ".join(words)] = re.sub(r"(?m)^#.*\n", "", said)
    return found


def refused(done: Any, key: str) -> None:
    """Only the pillar's state has run, and it names the key."""
    assert not isinstance(done.raw, list), done.raw
    results = {each.id: each for each in done}
    refusal = results.pop("The pillar ipv6 makes sense")
    assert refusal.result is False
    assert any(re.match(re.escape(key) + r"([:\[ ]|$)", each) for each in refusal.comment.split("\n")), refusal.comment
    end = results.pop("This host can still be managed")  # it has nothing to end, or lacks the same
    assert end.changes == {} and (end.result is True or end.comment.startswith(f"{key}: "))
    for each in results.values():
        assert each.result is False and each.changes == {} and "requisite" in each.comment, each.raw
        assert "Traceback" not in each.comment


@pytest.fixture(scope="module")
def _nothing_changes() -> Iterator[None]:
    """All runs of this module leave the host as it was."""
    before = world()
    yield
    assert world() == before


FIRST = named((*RULES, 0))
DATE = datetime.date(2026, 1, 2)
BAD_KEYS = {None: 1, True: 2, 3: 4, DATE: 5, "x": 6}
STRUCTURAL: dict[str, tuple[Any, str]] = {
    **{f"the pillar is {each!r}": (each, "ipv6") for each in (None, [["x"]], "{{ x }}", DATE)},
    "keys": (BAD_KEYS, "ipv6:None"),
    "an unknown part": ({"tunel": DATE}, "ipv6:tunel"),
    **{
        f"{part} is {label}": ({**GOOD, part: ODD[label]}, f"ipv6:{part}")
        for part, label in {
            "tunnel": "a list of lists",
            "firewall": "Jinja",
            "sysctl": "a list of lists",
            "services": "a set",
            "verify": "nothing",
            "dns": "a date",
            "lookup": "a list of lists",
            "sysctl_except": "nested",
        }.items()
    },
    "a part with odd keys": ({**GOOD, "firewall": BAD_KEYS}, "ipv6:firewall:None"),
    "Salt's own words": (
        {"tunnel": {"require": 1, "order": "x"}, "firewall": {"watch_in": {}}, "services": {"ssh": {"names": [1]}}},
        "ipv6:services:ssh:names",
    ),
    "services by number": ({"services": {1: None, 2: {}}}, "ipv6:services:1"),
    "a service of a list": ({"services": {"dovecot": [143]}}, "ipv6:services:dovecot"),
    "a service of a word": ({"services": {"dovecot": "{{ x }}"}}, "ipv6:services:dovecot"),
    "odd services": ({"services": dict.fromkeys(("a: [", "'\"", "{{ x }}", "a\nb", ""))}, "ipv6:services:a: ["),
    "a service that Salt ignores": ({"services": {"__x": None}}, "ipv6:services:__x"),
    "ports by two kinds of keys": (
        changed(("services", "dovecot", "protocols"), {143: "imap", "x": 1}),
        "ipv6:services:dovecot:protocols:143",
    ),
    "ports of a date": (changed(("services", "dovecot", "ports"), [DATE]), "ipv6:services:dovecot:ports[0]"),
    "parameters by number": ({"sysctl": {1: 1, "1": 1}}, "ipv6:sysctl:1"),
    "parameters with one name": ({"sysctl": {"net.a is b": "c", "net.a": "b is c"}}, "ipv6:sysctl:net.a is b"),
    "a parameter of a mapping": ({"sysctl": {"net.ipv6.bindv6only": {"a": [1]}}}, "ipv6:sysctl:net.ipv6.bindv6only"),
    "a parameter of lines": ({"sysctl": {"vm.swappiness": "1\n- x: {"}}, "ipv6:sysctl:vm.swappiness"),
    "a parameter that is not there": ({"sysctl": {"net.ipv6.bindv6onyl": 1}}, "ipv6:sysctl:net.ipv6.bindv6onyl"),
    "the interface is a list": (changed(("tunnel", "name"), ["x"]), "ipv6:tunnel:name"),
    "the interface is odd": (changed(("tunnel", "name"), "'\"\n- {{ x"), "ipv6:tunnel:name"),
    "the stack is a mapping": (changed(("tunnel", "stack"), {"a": 1}), "ipv6:tunnel:stack"),
    "addresses of a number": (
        {**changed(("dns", "address"), ...), "tunnel": {"addresses": 5}},
        "ipv6:tunnel:addresses",
    ),
    "no gateway": (changed(("tunnel", "gateway"), None), "ipv6:tunnel:gateway"),
    "packages of a list": (changed(("lookup", "packages"), [1]), "ipv6:lookup:packages"),
    "a package of nothing": (changed(("lookup", "packages"), {"tunnel": None}), "ipv6:lookup:packages:tunnel"),
    "an odd package": (changed(("lookup", "packages", "netaddr"), "x: {\n- y"), "ipv6:lookup:packages:netaddr"),
    "an odd file": (changed(("lookup", "sysctl_file"), "x: {\n- y"), "ipv6:lookup:sysctl_file"),
    "tables of a list": (changed(("firewall", "tables"), ["filter"]), "ipv6:firewall:tables"),
    "groups by two kinds of keys": (changed((*INPUT, "rules"), {10: [], "x": []}), f"{named(INPUT)}:rules:10"),
    "a rule of a date": (changed((*RULES, 0), DATE), FIRST),
    "half a character in a rule": (changed((*RULES, 0), "-m comment --comment \ud83d"), FIRST),
    "a chain that is not there": (changed((*RULES, 0), "-j ACEPT"), FIRST),
    "names of a text": (changed(("dns", "names"), "www.example.org"), "ipv6:dns:names"),
    "nothing to publish": ({"dns": changed(("dns", "address"), ...)["dns"]}, "ipv6:dns:address"),
    "a control character": (changed(("tunnel", "name"), "a\x7fb"), "ipv6:tunnel:name"),
}


@pytest.mark.usefixtures("_nothing_changes")
@pytest.mark.parametrize("case", STRUCTURAL)
def test_whatever_its_shape_only_the_refusal_runs(modules: Any, case: str) -> None:
    pillar, key = STRUCTURAL[case]
    refused(modules.state.apply("ipv6", pillar={"ipv6": pillar}), key)


@pytest.mark.usefixtures("_nothing_changes")
@pytest.mark.parametrize(
    "case", ["a service of a list", "Salt's own words", "an odd file", "a chain that is not there"]
)
def test_the_same_under_test(modules: Any, case: str) -> None:
    pillar, key = STRUCTURAL[case]
    refused(modules.state.apply("ipv6", pillar={"ipv6": pillar}, test=True), key)


@pytest.mark.usefixtures("_nothing_changes")
@pytest.mark.parametrize(
    "sls", sorted({path.stem for path in (REPOSITORY / "salt" / "ipv6").glob("*.sls")} - {"managed"})
)
def test_the_same_for_every_part_alone(modules: Any, sls: str) -> None:
    pillar = {**changed(("tunnel", "ttl"), 0), "lookup": {"sysctl_file": "/x"}}
    refused(modules.state.apply(f"ipv6.{sls}", pillar={"ipv6": pillar}), "ipv6:tunnel:ttl")
    pillar["services"] = {"dovecot": [143]}
    refused(modules.state.apply(f"ipv6.{sls}", pillar={"ipv6": pillar}), "ipv6:services:dovecot")


@pytest.mark.usefixtures("_nothing_changes")
def test_no_pillar_is_not_an_empty_one(modules: Any) -> None:
    refused(modules.state.apply("ipv6", pillar={"ipv4": {}}), "ipv6")
    done = {each.id: each for each in modules.state.apply("ipv6.pillar", pillar={"ipv6": {}})}
    assert done["The pillar ipv6 makes sense"].result is True


# --------------------------------------------------------------------------------------------------------------
# Other hosts


@pytest.fixture
def on(salt_factories: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The execution modules on a host with other grains."""

    def load(**grains: str) -> Any:
        overrides = {
            "file_client": "local",
            "file_roots": {"base": [str(REPOSITORY / "salt")]},
            "module_dirs": [str(REPOSITORY)],
            "grains": grains,
        }
        minion = salt_factories.salt_minion_daemon(f"on-{grains['os']}-{len(grains)}", overrides=overrides)
        return Loaders(minion.config.copy(), loaded_base_name=f"functional_{grains['os']}").modules

    return load


@pytest.mark.usefixtures("_nothing_changes")
@pytest.mark.parametrize(
    ("grains", "host"),
    [
        ({"os": "Debian", "os_family": "Debian", "osrelease": "10", "osmajorrelease": "10"}, "Debian 10"),
        ({"os": "Rocky", "os_family": "RedHat", "osrelease": "9.4", "osmajorrelease": "9"}, "Rocky 9.4"),
    ],
    ids=["release", "family"],
)
def test_each_part_is_refused_on_another_host(on: Callable[..., Any], grains: dict[str, str], host: str) -> None:
    pillar = {each: GOOD[each] for each in ("tunnel", "sysctl")}
    done = on(**grains).state.apply("ipv6", pillar={"ipv6": pillar})
    for part in pillar:
        refused(done, f"ipv6:{part} is not supported on {host}; expected Debian 11 to 13 or Ubuntu 22.04 to 24.04")
