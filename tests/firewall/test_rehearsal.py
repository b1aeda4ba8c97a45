"""What the kernel does to real packets is what the rehearsal says, and nothing of it is felt outside."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_view as firewall_view
import pytest
from salt.exceptions import CommandExecutionError

MODULES = Path(firewall_rehearsal.__file__).parent
ICMP = {"ipv4": "icmp", "ipv6": "ipv6-icmp"}
OTHERS = {"ipv4": "198.51.100.7", "ipv6": "2001:db8:1::7"}
OUTSIDE, HERE = firewall_view.OUTSIDE, firewall_view.HERE
SSH: dict[str, Any] = {"to": "tcp/22", "verdict": "accept"}
CONNTRACK = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def ruleset(*rules: str, policies: str = "DROP DROP DROP", nat: str = "") -> str:
    lines = [f":{chain} {policy}" for chain, policy in zip(("INPUT", "FORWARD", "OUTPUT"), policies.split())]
    text = "\n".join(["*filter", *lines, *rules, "COMMIT", ""])
    return f"*nat\n:PREROUTING ACCEPT\n{nat}\nCOMMIT\n{text}" if nat else text


OPEN_OUTPUT = "DROP DROP ACCEPT"


@pytest.fixture(params=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> str:
    """Each."""
    return str(request.param)


def to(family: str, protocol: str, port: int | None = None, verdict: str = "accept", **others: Any) -> Any:
    """An expectation of what comes in, from anywhere."""
    return {
        "family": family,
        "direction": "in",
        "protocol": protocol,
        "source": firewall_view.OUTSIDE[family],
        "destination": firewall_view.HERE[family],
        "port": port,
        "interface": "eth0",
        "verdict": verdict,
        "why": "a test",
        **others,
    }


def out(family: str, protocol: str, port: int | None = None, verdict: str = "accept") -> Any:
    ends = {"source": firewall_view.HERE[family], "destination": firewall_view.OUTSIDE[family]}
    return to(family, protocol, port, verdict, direction="out", **ends)


def local(family: str, protocol: str, port: int | None = None, verdict: str = "accept") -> Any:
    loopback = firewall_view.LOOPBACK[family]
    return to(family, protocol, port, verdict, interface="lo", source=loopback, destination=loopback)


def rehearse(text: str, expected: list[Any], backend: str, sets: str = "") -> list[firewall_rehearsal.Tried]:
    """In one family: the others' rules are no part of these tests."""
    return firewall_rehearsal.run({expected[0]["family"]: text}, expected, backend, sets)


def check(text: str, expected: list[Any], backend: str, sets: str = "") -> None:
    found = rehearse(text, expected, backend, sets)
    assert [(each["protocol"], each["port"], each["found"]) for each in found] == [
        (each["protocol"], each["port"], each["verdict"]) for each in expected
    ]
    assert all(each["ok"] for each in found)


# --------------------------------------------------------------------------------------------------------------
# What comes in


def test_accepted_dropped_and_rejected(family: str, backend: str) -> None:
    text = ruleset(
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A INPUT -p udp --dport 53 -j ACCEPT",
        "-A INPUT -p tcp --dport 113 -j REJECT --reject-with tcp-reset",
        "-A INPUT -p tcp --dport 114 -j REJECT",
        "-A INPUT -p udp --dport 114 -j REJECT",
        policies=OPEN_OUTPUT,
    )
    expected = [
        to(family, "tcp", 22),
        to(family, "udp", 53),
        to(family, "tcp", 53, "drop"),
        to(family, "udp", 22, "drop"),
        to(family, "tcp", 113, "reject"),
        to(family, "tcp", 114, "reject"),
        to(family, "udp", 114, "reject"),
        to(family, "icmp", verdict="drop"),
    ]
    check(text, expected, backend)


def test_everything_is_open_without_rules(family: str, backend: str) -> None:
    check("", [to(family, "tcp", 1), to(family, "udp", 1), to(family, "icmp"), out(family, "tcp", 1)], backend)


def test_echo_requests(family: str, backend: str) -> None:
    rules = [f"-A INPUT -p {ICMP[family]} -s {OTHERS[family]} -j REJECT", f"-A INPUT -p {ICMP[family]} -j ACCEPT"]
    rejected = to(family, "icmp", verdict="reject", source=OTHERS[family])
    check(ruleset(*rules, policies=OPEN_OUTPUT), [to(family, "icmp"), rejected], backend)


def test_a_verdict_is_of_a_source(family: str, backend: str) -> None:
    text = ruleset(f"-A INPUT -s {OTHERS[family]} -p tcp --dport 3306 -j ACCEPT", policies=OPEN_OUTPUT)
    expected = [to(family, "tcp", 3306, "drop"), to(family, "tcp", 3306, source=OTHERS[family])]
    check(text, expected, backend)


def test_a_verdict_is_of_an_address(family: str, backend: str) -> None:
    text = ruleset(f"-A INPUT -d {OTHERS[family]} -p tcp --dport 22 -j ACCEPT", policies=OPEN_OUTPUT)
    check(text, [to(family, "tcp", 22, "drop"), to(family, "tcp", 22, destination=OTHERS[family])], backend)


def test_a_verdict_is_of_an_interface(family: str, backend: str) -> None:
    """Also the same host's packets by two interfaces."""
    text = ruleset("-A INPUT -i he-ipv6 -p tcp --dport 22 -j ACCEPT", policies=OPEN_OUTPUT)
    elsewhere = [to(family, "tcp", 22, "drop", interface=name) for name in ("eth0", "eth0.100")]
    check(text, [to(family, "tcp", 22, interface="he-ipv6"), *elsewhere], backend)


def test_an_answer_leaves_by_the_same_interface(family: str, backend: str) -> None:
    expected = [to(family, "tcp", 22, interface=name) for name in ("eth0", "he-ipv6")]
    found = rehearse(ruleset("-A INPUT -j ACCEPT", "-A OUTPUT -o he-ipv6 -j ACCEPT"), expected, backend)
    assert [each["found"] for each in found] == ["drop", "accept"]


def test_redirected_ports(family: str, backend: str) -> None:
    nat = "\n".join(f"-A PREROUTING -p {each} --dport 80 -j REDIRECT --to-ports 8080" for each in ("tcp", "udp"))
    rules = [f"-A INPUT -p {each} --dport 8080 -j ACCEPT" for each in ("tcp", "udp")]
    rules += ["-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT"]
    check(
        ruleset(*rules, nat=nat), [to(family, "tcp", 80), to(family, "udp", 80), to(family, "tcp", 81, "drop")], backend
    )


def test_sets(family: str, backend: str) -> None:
    kind = "inet6" if family == "ipv6" else "inet"
    sets = f"create friends hash:ip family {kind}\nadd friends {OTHERS[family]}\n"
    text = ruleset("-A INPUT -m set --match-set friends src -j ACCEPT", policies=OPEN_OUTPUT)
    check(text, [to(family, "tcp", 22, "drop"), to(family, "tcp", 22, source=OTHERS[family])], backend, sets)


def test_a_reverse_path_filter_lets_them_pass(family: str, backend: str) -> None:
    raw = "*raw\n:PREROUTING ACCEPT\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n"
    text = raw + ruleset(policies="ACCEPT ACCEPT ACCEPT")
    check(text, [to(family, "tcp", 22), to(family, "udp", 53, interface="eth1", source=OTHERS[family])], backend)


def test_the_loopback(family: str, backend: str) -> None:
    text = ruleset(
        "-A INPUT -i lo -p tcp --dport 3306 -j ACCEPT",
        "-A INPUT -i lo -p tcp --dport 1 -j REJECT --reject-with tcp-reset",
        CONNTRACK,
        "-A OUTPUT -p tcp --dport 25 -j DROP",
        "-A INPUT -i lo -p udp --dport 53 -j ACCEPT",
        policies=OPEN_OUTPUT,
    )
    expected = [
        local(family, "tcp", 3306),
        local(family, "tcp", 1, "reject"),
        local(family, "tcp", 2, "drop"),
        local(family, "tcp", 25, "drop"),
        local(family, "udp", 53),
        to(family, "tcp", 3306, "drop"),
    ]
    check(text, expected, backend)


@pytest.mark.parametrize("answers", ["-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A OUTPUT -j REJECT"])
def test_whether_the_answer_gets_out(family: str, backend: str, answers: str) -> None:
    expected = [to(family, "tcp", 22), to(family, "udp", 53), to(family, "icmp")]
    found = rehearse(ruleset("-A INPUT -j ACCEPT", answers), expected, backend)
    if "ESTABLISHED" in answers:
        assert [(each["found"], each["ok"], each["note"]) for each in found] == [("accept", True, "")] * 3
    else:
        note = "INPUT lets it pass, but OUTPUT holds the answer back"
        assert [(each["found"], each["ok"], each["note"]) for each in found] == [("drop", False, note)] * 3


def test_neighbour_discovery(backend: str) -> None:
    solicited = to("ipv6", "nd", source="fe80::1")
    floor = [
        f"-A {chain} -p ipv6-icmp --icmpv6-type {kind} -j ACCEPT" for chain, kind in (("INPUT", 135), ("OUTPUT", 136))
    ]
    check(ruleset(*floor), [solicited], backend)
    check(ruleset(CONNTRACK, policies=OPEN_OUTPUT), [{**solicited, "verdict": "drop"}], backend)
    assert rehearse(ruleset(floor[0]), [solicited], backend)[0]["note"]


def test_both_families_and_hundreds_of_probes_at_once(backend: str) -> None:
    """Also more refusals than the kernel sends at a time by itself."""
    rules = ["-A INPUT -p tcp --dport 1000:1199 -j ACCEPT", "-A INPUT -p tcp --dport 1200:1299 -j REJECT"]
    verdicts = ["accept"] * 200 + ["reject"] * 100 + ["drop"] * 50
    expected = [
        to(family, "tcp", port, verdict) for family in OTHERS for port, verdict in enumerate(verdicts, start=1000)
    ]
    texts = {family: ruleset(*rules, policies=OPEN_OUTPUT) for family in OTHERS}
    found = firewall_rehearsal.run(texts, expected, backend)
    assert [each for each in found if not each["ok"]] == []
    assert [each["port"] for each in found] == [each["port"] for each in expected]


# --------------------------------------------------------------------------------------------------------------
# What goes out


def test_connections_of_this_host(family: str, backend: str) -> None:
    text = ruleset(
        CONNTRACK,
        "-A OUTPUT -p tcp --dport 4505:4506 -j ACCEPT",
        "-A OUTPUT -p udp --dport 53 -j ACCEPT",
        f"-A OUTPUT -p {ICMP[family]} -j ACCEPT",
        "-A INPUT -i lo -j ACCEPT",
        "-A OUTPUT -o lo -j ACCEPT",
        "-A OUTPUT -p tcp --dport 25 -j REJECT --reject-with tcp-reset",
        "-A OUTPUT -p udp --dport 25 -j REJECT",
    )
    expected = [
        out(family, "tcp", 4505),
        out(family, "tcp", 4506),
        out(family, "udp", 53),
        out(family, "icmp"),
        out(family, "tcp", 80, "drop"),
        out(family, "udp", 80, "drop"),
        out(family, "tcp", 25, "reject"),
        out(family, "udp", 25, "reject"),
        to(family, "tcp", 4506, "drop"),
    ]
    check(text, expected, backend)


def test_whether_the_answer_gets_in(family: str, backend: str) -> None:
    expected = [out(family, "tcp", 4506), out(family, "udp", 53), out(family, "icmp")]
    note = "OUTPUT lets it pass, but INPUT holds the answer back"
    for each in rehearse(ruleset(policies=OPEN_OUTPUT), expected, backend):
        assert (each["found"], each["ok"], each["note"]) == ("drop", False, note)


def test_masqueraded_connections(family: str, backend: str) -> None:
    text = "*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-2047\nCOMMIT\n"
    check(text + ruleset(CONNTRACK, policies=OPEN_OUTPUT), [out(family, "tcp", 443)], backend)


# --------------------------------------------------------------------------------------------------------------
# The verdict, failures, the outside


@pytest.mark.parametrize(
    ("verdict", "ok"),
    [("accept", [True, False, False]), ("drop", [False, True, False]), ("reject", [False, False, True])]
    + [("deny", [False, True, True])],
)
def test_what_is_as_expected(family: str, backend: str, verdict: str, ok: list[bool]) -> None:
    rules = ["-A INPUT -p tcp --dport 1 -j ACCEPT", "-A INPUT -p tcp --dport 3 -j REJECT"]
    expected = [to(family, "tcp", port, verdict) for port in (1, 2, 3)]
    found = rehearse(ruleset(*rules, policies=OPEN_OUTPUT), expected, backend)
    assert [each["ok"] for each in found] == ok
    assert [each["found"] for each in found] == ["accept", "drop", "reject"]


def test_what_is_open_is_never_taken_for_dropped(family: str, backend: str) -> None:
    for each in (to, out, local):
        for protocol, port in (("tcp", 22), ("udp", 53), ("icmp", None)):
            (found,) = rehearse("", [each(family, protocol, port, "drop")], backend)
            assert (found["found"], found["ok"]) == ("accept", False)


def test_through_the_loader_of_salt(modules: Any, backend: str) -> None:
    expect = [{**SSH, "from": "203.0.113.9"}]
    shut = {chain: {"policy": "DROP"} for chain in ("INPUT", "FORWARD", "OUTPUT")}
    (expected,) = firewall_view.expectations(expect)
    (found,) = modules.dualstack_iptables.rehearse({"tables": {"filter": shut}, "backend": backend, "expect": expect})
    assert found == {**expected, "found": "drop", "ok": False, "note": ""}


def test_a_ruleset_that_the_kernel_refuses(family: str, backend: str) -> None:
    with pytest.raises(CommandExecutionError, match=f"{backend}-restore"):
        rehearse(ruleset("-A INPUT -p udp -j REJECT --reject-with tcp-reset"), [to(family, "tcp", 22)], backend)


def test_a_set_that_is_refused(family: str, backend: str) -> None:
    with pytest.raises(CommandExecutionError, match="ipset"):
        rehearse("", [to(family, "tcp", 22)], backend, "create friends hash:nonsense\n")


def test_the_hosts_lock_does_not_matter() -> None:
    with open("/run/xtables.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        check(ruleset(policies="ACCEPT ACCEPT ACCEPT"), [to("ipv4", "tcp", 22)], "legacy")
    assert time.monotonic() - began < 30  # its own wait for a lock is twice as long


def test_nothing_is_felt_outside(backend: str) -> None:
    def world() -> list[str]:
        commands = ["ip -d addr", "ip route show table all", "ip -6 route show table all", "ip neigh"]
        commands += [f"{name}-{backend}-save -t filter" for name in ("iptables", "ip6tables")]
        said = [subprocess.run(each.split(), capture_output=True, text=True, check=True).stdout for each in commands]
        kept = [line for text in said for line in text.splitlines() if not line.startswith("#")]
        return [line.partition("[")[0] for line in kept]

    before = world()
    check(ruleset(policies=OPEN_OUTPUT), [to("ipv4", "tcp", 22, "drop"), to("ipv4", "udp", 1, "drop")], backend)
    assert world() == before


# --------------------------------------------------------------------------------------------------------------
# What the live host knows


HOST = """
set -e
ip link set lo up
for name in eth0 eth1 he-ipv6; do
  ip link add $name type veth peer name p-$name
  ip link set $name addrgenmode none up
  ip link set p-$name addrgenmode none up
done
ip addr add 192.0.2.1/24 dev eth0
ip route add default via 192.0.2.254
ip addr add 203.0.113.1/24 dev eth1
ip -6 addr add 2001:db8:e1::1/64 dev eth1 nodad
while ip -6 addr show tentative | grep -q .; do sleep 0.01; done
"""
TUNNEL = """
ip -6 addr add 2001:db8:77::2/64 dev he-ipv6 nodad
while ip -6 addr show tentative | grep -q .; do sleep 0.01; done
ip -6 route add default via 2001:db8:77::1 dev he-ipv6
"""
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import _dualstack_firewall_view as firewall_view
import _dualstack_host_management as host_management
job = json.loads(sys.argv[2])
managed = host_management.connections(job["opts"])
print(json.dumps(firewall_view.expectations(job["expect"], job["tunnel"], managed)))
"""


def on_host(
    *expect: dict[str, Any],
    setup: str = HOST,
    tunnel: dict[str, Any] | None = None,
    opts: dict[str, Any] | None = None,
    ssh: str = "",
) -> list[Any]:
    """The expectations of a host in a network namespace of its own; its Salt has no SSH_CONNECTION, an ancestor has."""
    job = json.dumps({"expect": expect, "tunnel": tunnel, "opts": opts or {}})
    script = f'{setup}\nSSH_CONNECTION="{ssh}" sh -c \'env -u SSH_CONNECTION "$@"; exit\' - "$@"'
    words = ["env", "-u", "SSH_CONNECTION", "unshare", "--net", "sh", "-c", script, "-"]
    words += [sys.executable, "-c", ASK, str(MODULES), job]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    found: list[Any] = json.loads(said.stdout)
    return found


def summary(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(each["family"], each["source"], each["destination"], each["interface"]) for each in found]


def test_from_anywhere_is_by_the_default_route() -> None:
    assert on_host({**SSH, "family": "ipv4"}) == [
        {
            "others": list(firewall_view.ANYWHERE["ipv4"][1:]),
            "family": "ipv4",
            "direction": "in",
            "protocol": "tcp",
            "source": OUTSIDE["ipv4"],
            "destination": "192.0.2.1",
            "port": 22,
            "interface": "eth0",
            "verdict": "accept",
            "why": "expect[0]",
        }
    ]


@pytest.mark.parametrize(
    ("setup", "tunnel", "destination", "interface"),
    [
        (HOST + TUNNEL, None, "2001:db8:77::2", "he-ipv6"),
        (HOST, {"name": "six", "source": "2001:db8:66::2"}, "2001:db8:66::2", "six"),
        (HOST, {"addresses": ["2001:db8:66::3/64"], "address": "2001:db8:66::2/64"}, "2001:db8:66::3", "he-ipv6"),
        (HOST, {"address": "2001:db8:66::2/64"}, "2001:db8:66::2", "he-ipv6"),
        (HOST, None, HERE["ipv6"], "eth0"),
        ("", None, HERE["ipv6"], "eth0"),
    ],
    ids=["live", "planned", "planned with addresses", "planned with one", "none", "nothing"],
)
def test_the_way_of_ipv6(setup: str, tunnel: dict[str, Any] | None, destination: str, interface: str) -> None:
    found = on_host({**SSH, "family": "ipv6"}, {"to": "nd", "verdict": "accept"}, setup=setup, tunnel=tunnel)
    assert summary(found) == [
        ("ipv6", OUTSIDE["ipv6"], destination, interface),
        ("ipv6", "fe80::1", destination, interface),
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"from": "203.0.113.9"}, [("ipv4", "203.0.113.9", "203.0.113.1", "eth1")]),
        ({"from": "2001:db8:e1::/64"}, [("ipv6", "2001:db8:e1::1", "2001:db8:e1::1", "lo")]),
        ({"from": "2001:db8:e1::9"}, [("ipv6", "2001:db8:e1::9", "2001:db8:e1::1", "eth1")]),
        ({"from": "127.0.0.1"}, [("ipv4", "127.0.0.1", "127.0.0.1", "lo")]),
        ({"from": "::1"}, [("ipv6", "::1", "::1", "lo")]),
        (
            {"interface": "lo"},
            [("ipv4", "127.0.0.1", "127.0.0.1", "lo"), ("ipv6", "::1", "::1", "lo")],
        ),
        (
            {"interface": "eth1"},
            [
                ("ipv4", OUTSIDE["ipv4"], "203.0.113.1", "eth1"),
                ("ipv6", OUTSIDE["ipv6"], "2001:db8:e1::1", "eth1"),
            ],
        ),
        ({"to": "tcp/203.0.113.1:22"}, [("ipv4", OUTSIDE["ipv4"], "203.0.113.1", "eth0")]),
        (
            {"direction": "out", "address": ["203.0.113.53", "192.0.2.1"]},
            [("ipv4", "203.0.113.1", "203.0.113.53", "eth1"), ("ipv4", "192.0.2.1", "192.0.2.1", "lo")],
        ),
    ],
)
def test_the_way_of_a_host(entry: dict[str, Any], expected: list[tuple[str, ...]]) -> None:
    assert summary(on_host({**SSH, **entry})) == expected


@pytest.mark.parametrize(
    ("connection", "found"),
    [
        ("203.0.113.9 50000 203.0.113.1 2222", [("ipv4", "203.0.113.9", "203.0.113.1", "eth1")]),
        ("2001:db8:e1::9 50000 2001:db8:e1::1 2222", [("ipv6", "2001:db8:e1::9", "2001:db8:e1::1", "eth1")]),
        ("fe80::9%eth1 50000 fe80::1%eth1 2222", [("ipv6", "fe80::9", "fe80::1", "eth1")]),
        ("127.0.0.1 50000 127.0.0.1 2222", [("ipv4", "127.0.0.1", "127.0.0.1", "lo")]),
        ("203.0.113.9 50000 198.51.100.99 2222", []),
    ],
    ids=["ipv4", "ipv6", "link-local", "loopback", "not this host's"],
)
def test_the_ssh_client_of_an_ancestor(connection: str, found: list[tuple[str, ...]]) -> None:
    expected = on_host(ssh=connection)
    assert summary(expected) == found
    for each in expected:
        assert (each["direction"], each["protocol"], each["port"], each["verdict"]) == ("in", "tcp", 2222, "accept")
        assert each["why"] == f"the ssh client {each['source']}, who is logged in"


def test_the_masters_of_a_minion() -> None:
    opts = {
        "file_client": "remote",
        "master_ip": "198.51.100.53",
        "master_uri": "tcp://198.51.100.53:4506",
        "master_uri_list": ["tcp://198.51.100.53:4506", "tcp://[2001:db8:e1::53]:44506"],
        "publish_port": 4505,
    }
    found = on_host(opts=opts)
    assert [(each["destination"], each["port"], each["source"], each["interface"]) for each in found] == [
        ("198.51.100.53", 4505, "192.0.2.1", "eth0"),
        ("198.51.100.53", 4506, "192.0.2.1", "eth0"),
        ("2001:db8:e1::53", 4505, "2001:db8:e1::1", "eth1"),
        ("2001:db8:e1::53", 44506, "2001:db8:e1::1", "eth1"),
    ]
    assert {each["direction"] for each in found} == {"out"} and found[0]["why"] == "the Salt master 198.51.100.53"
    assert on_host(opts={"file_client": "remote"}) == []


def test_what_the_host_expects_can_be_tried(backend: str) -> None:
    opts = {"file_client": "remote", "master_ip": "198.51.100.53", "master_uri": "tcp://198.51.100.53:4506"}
    entries: list[dict[str, Any]] = [
        SSH,
        {"to": ["udp/53", "icmp"], "verdict": "deny"},
        {**SSH, "from": ["127.0.0.1", "::1"]},
    ]
    entries += [{**SSH, "interface": "eth1"}, {**SSH, "from": "fe80::7", "interface": "eth1"}]
    expected = on_host(*entries, opts=opts, setup=HOST + TUNNEL, ssh="fe80::9%eth1 50000 fe80::1%eth1 22")
    text = ruleset(CONNTRACK, "-A INPUT -p tcp --dport 22 -j ACCEPT", policies=OPEN_OUTPUT)
    found = firewall_rehearsal.run({"ipv4": text, "ipv6": text}, expected, backend)
    assert [each for each in found if not each["ok"]] == []
    without = ruleset(CONNTRACK)
    found = firewall_rehearsal.run({"ipv4": without, "ipv6": without}, expected, backend)
    assert {each["why"] for each in found if not each["ok"]} == {
        "the ssh client fe80::9, who is logged in",
        "the Salt master 198.51.100.53",
        *(f"expect[{index}]" for index in (0, 2, 3, 4)),
    }


def test_a_connection_is_more_than_its_first_packet(family: str, backend: str) -> None:
    """Rules that accept the first packet alone let nobody log in."""
    first = "-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT"
    others = f"{first}\n{first.replace('22', '25')}"
    expected = [to(family, "tcp", 22), to(family, "tcp", 25, source=OTHERS[family]), to(family, "tcp", 23, "drop")]
    check(ruleset(CONNTRACK, others, policies=OPEN_OUTPUT), expected, backend)
    found = rehearse(ruleset(others, policies=OPEN_OUTPUT), expected, backend)
    assert [(each["found"], each["note"]) for each in found] == [
        ("drop", "INPUT lets the first packet pass, but not those that follow"),
        ("drop", "INPUT lets the first packet pass, but not those that follow"),
        ("drop", ""),
    ]
