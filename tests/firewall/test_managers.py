"""Other managers of the firewall: which is active, what is refused beside it, and ufw taken over."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_firewall_managers as firewall_managers
import _dualstack_firewall_native as firewall_native
import _dualstack_firewall_nftables as firewall_nftables
import pytest
from salt.exceptions import CommandExecutionError

from . import managers, netfilter, world

RULES = ["-i lo -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]
TABLES: dict[str, Any] = {"filter": {"INPUT": {"policy": "DROP", "rules": RULES}}}
ALLOWED, SHUT = 5000, 5001  # UDP


@pytest.fixture(autouse=True)
def _nothing_native() -> Iterator[None]:
    """No table of nft(8) is left, nor anything of ufw's."""
    yield
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    managers.remove_ufw()
    for path in (Path("/etc/systemd/system/multi-user.target.wants/nftables.service"),):
        path.unlink(missing_ok=True)


@pytest.fixture
def ufw() -> Callable[..., None]:
    """Switches ufw on, with these rules."""

    def enable(*rules: str) -> None:
        managers.install_ufw()
        managers.enable_ufw(*rules)

    return enable


def nft(text: str) -> None:
    """Load a script of nft(8)."""
    netfilter.run("nft", "-f", "-", text=text)


def active() -> dict[str, firewall_managers.Manager]:
    """Which managers are active, by their names."""
    return {each.name: each for each in firewall_managers.active(firewall_native.look())}


def ruleset(modules: Any, test: bool = False, **arguments: Any) -> dict[str, Any]:
    """The state ``ruleset``, with the backend of the host's iptables."""
    done: dict[str, Any] = modules.dualstack_iptables.ruleset("firewall", tables=TABLES, **arguments, test=test)
    return done


def taken_over(modules: Any, test: bool = False, **arguments: Any) -> dict[str, Any]:
    """The state ``taken_over``."""
    given = {"tables": TABLES, "take_over": ["ufw"], **arguments}
    done: dict[str, Any] = modules.dualstack_iptables.taken_over("firewall", **given, test=test)
    return done


# --------------------------------------------------------------------------------------------------------------
# Which is active


def test_nobody_on_a_plain_host(modules: Any) -> None:
    netfilter.load("ipv4", "nft", "*filter\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    assert active() == {}
    assert ruleset(modules)["result"] is True


def test_ufw_that_runs(ufw: Any) -> None:
    ufw("allow 22/tcp", "allow from 192.0.2.0/24 to any port 3306 proto tcp")
    found = active()["ufw"]
    assert found.evidence == ["its chains are live in iptables-nft", "ENABLED=yes in /etc/ufw/ufw.conf"]
    assert found.holds.startswith("3 rules of its users, ")
    live = sum(len(netfilter.run(f"{each}-nft", "-S").split("\n-A ufw")) - 1 for each in ("iptables", "ip6tables"))
    assert found.holds.endswith(f", {live} live rules in all")
    for word in ("adopt", "take_over", "beside", "taken_over"):
        assert word in found.advice


def test_ufw_that_is_enabled_and_does_not_run_yet() -> None:
    managers.install_ufw()
    assert active() == {}
    for line in ("ENABLED=yes", 'ENABLED="YES"', " ENABLED='yes' # now"):
        managers.CONF.write_text(f"# ENABLED=no\n{line}\nLOGLEVEL=low\n")
        assert active()["ufw"].evidence == ["ENABLED=yes in /etc/ufw/ufw.conf"], line
    for line in ("#ENABLED=yes", "ENABLED=no", "NOT_ENABLED=yes", "ENABLED=yes2"):
        managers.CONF.write_text(f"{line}\n")
        assert active() == {}, line


def test_ufw_that_is_switched_off_leaves_empty_chains(ufw: Any, modules: Any) -> None:
    """It is not active, and they are in nobody's way."""
    ufw("allow 22/tcp")
    managers.ufw("disable")
    assert "-A INPUT -j ufw-before-input" in netfilter.save("ipv4", "nft")
    assert active() == {}
    assert ruleset(modules)["result"] is True


def test_a_configuration_without_the_program_enables_nothing() -> None:
    """As a package leaves it that was removed."""
    managers.CONF.parent.mkdir()
    managers.CONF.write_text("ENABLED=yes\n")
    assert active() == {}


def test_chains_that_the_pillar_calls_like_ufws_are_the_pillars(modules: Any) -> None:
    """As ``adopt`` calls them."""
    tables = {"filter": {"INPUT": {"rules": ["-j ufw-user-input"]}, "ufw-user-input": {"rules": RULES}}}
    assert modules.dualstack_iptables.ruleset("f", tables=tables, test=False)["result"] is True
    assert modules.dualstack_iptables.ruleset("f", tables=tables, test=False)["changes"] == {}
    assert "ufw" in active(), "for anybody else they are ufw's"


def test_ufw_in_the_other_backend() -> None:
    netfilter.load("ipv6", "legacy", "*filter\n:ufw6-user-input -\n-A ufw6-user-input -j ACCEPT\nCOMMIT\n")
    found = active()["ufw"]
    assert found.evidence == ["its chains are live in iptables-legacy"]
    assert found.holds.endswith(", 1 live rules in all")


def test_firewalld() -> None:
    nft("table inet firewalld {\nchain filter_INPUT {\ntype filter hook input priority 10\nreject\n}\n}\n")
    assert list(active()) == ["firewalld"]
    assert active()["firewalld"].evidence == ["its table inet firewalld is live"]
    nft("delete table inet firewalld")
    program = subprocess.Popen(["bash", "-c", "exec -a /usr/sbin/firewalld sleep 60"])
    try:
        Path("/run/firewalld.pid").write_text(f"{program.pid}\n")
        while b"firewalld" not in Path(f"/proc/{program.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        assert active()["firewalld"].evidence == ["it runs"]
    finally:
        program.kill()
        program.wait()
    assert active() == {}, "its file is older than it"
    Path("/run/firewalld.pid").unlink()


NATIVE = {
    "a policy": "chain input {\ntype filter hook input priority 0; policy drop\ntcp dport 22 accept\n}\n",
    "a rule": "chain input {\ntype filter hook input priority 0\ntcp dport 3306 drop\n}\n",
    "a reject": "chain forward {\ntype filter hook forward priority 0\nreject with tcp reset\n}\n",
    "a chain that is led to": (
        "chain bad {\ndrop\n}\nchain prerouting {\ntype filter hook prerouting priority -300\n"
        "iifname lo jump bad\n}\n"
    ),
    "a map": "chain input {\ntype filter hook input priority 0\ntcp dport vmap { 22 : accept, 23 : drop }\n}\n",
}
HARMLESS = {
    "only accepts": "chain input {\ntype filter hook input priority 0; policy accept\ntcp dport 22 accept\n}\n",
    "no hook": "chain input {\ndrop\n}\n",
    "only counts": "set s {\ntype ipv4_addr\n}\nchain x {\ntype filter hook input priority 0\nip saddr @s counter\n}\n",
    "NAT": "chain x {\ntype nat hook postrouting priority 100\nmasquerade\n}\n",
}


@pytest.mark.parametrize("family", ["inet", "ip", "ip6"])
@pytest.mark.parametrize("case", NATIVE)
def test_native_tables_that_drop(family: str, case: str, modules: Any) -> None:
    nft(f"table {family} mine {{\n{NATIVE[case]}}}\n")
    assert list(active()) == ["nftables"]
    assert f"the table {family} mine (" in active()["nftables"].evidence[0]
    for test in (True, False):
        refused = ruleset(modules, test)
        assert refused["result"] is False
        assert refused["comment"].startswith("nftables is active (the table"), refused["comment"]
        assert "beside" in refused["comment"] and "'nft delete table" in refused["comment"]
    assert netfilter.rules("ipv4", "nft", "INPUT") == []


@pytest.mark.parametrize("case", HARMLESS)
def test_native_tables_that_do_not(case: str, modules: Any) -> None:
    family = "ip" if case == "NAT" else "inet"
    nft(f"table {family} mine {{\n{HARMLESS[case]}}}\n")
    assert active() == {}
    assert ruleset(modules)["result"] is True


def test_a_table_of_a_device() -> None:
    nft(
        "table netdev mine {\nchain i {\ntype filter hook ingress device lo priority 0\nip saddr 192.0.2.3 drop\n}\n}\n"
    )
    assert "the table netdev mine" in active()["nftables"].evidence[0]


@pytest.mark.parametrize("name", ["f2b-table", "crowdsec", "libvirt_network", "netavark", "lxd", "kube-proxy"])
def test_neighbours_drop_only_what_is_theirs(name: str, modules: Any) -> None:
    """They are told of, and nothing is refused because of them."""
    nft(f"table inet {name} {{\n{NATIVE['a rule']}}}\n")
    assert active() == {}
    done = ruleset(modules)
    assert done["result"] is True
    assert f"nf_tables also filters here: the table inet {name} (1 of its 1 rules drop" in done["comment"]
    assert f"table inet {name} " in netfilter.run("nft", "list", "ruleset"), "and they stay"


def test_nftables_that_comes_at_the_next_boot() -> None:
    script = Path("/etc/nftables.conf")
    before = script.read_text()
    link = Path("/etc/systemd/system/multi-user.target.wants/nftables.service")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/lib/systemd/system/nftables.service")
    try:
        assert active() == {}, "Debian's own file drops nothing"
        script.write_text("table inet filter {\nchain input {\ntype filter hook input priority 0; policy drop\n}\n}\n")
        assert active()["nftables"].evidence == [
            "the next boot may load /etc/nftables.conf, which has rules that drop or reject"
        ]
        script.write_text("# drop\n")
        assert active() == {}
    finally:
        script.write_text(before)


def test_what_cannot_be_looked_at_is_not_nothing(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without the right to see them."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _dualstack_firewall_native as native\n"
        "try: print(native.look())\nexcept Exception as error: print(type(error).__name__, error)"
    )
    words = [sys.executable, "-c", code, str(Path(firewall_native.__file__).parent)]
    said = subprocess.run(
        ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", *words], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("Unseen what nf_tables filters on this host could not be read (EPERM)"), said

    def unseen(_: str) -> Any:
        raise firewall_nftables.Unseen("no")

    monkeypatch.setattr(firewall_native, "look", unseen)
    pillar = {"ipv6": {"firewall": {"tables": TABLES}}}
    found = firewall_managers.errors(pillar, "ipv6:firewall")
    assert found == ["ipv6:firewall: whether another manager of the firewall is active could not be seen: no"]


def test_what_takes_long_is_looked_at_again_only_when_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = "".join(f"-A INPUT -s 192.0.2.{number % 250} -p tcp --dport {number} -j ACCEPT\n" for number in range(500))
    netfilter.load("ipv4", "nft", f"*filter\n{rules}COMMIT\n")
    monkeypatch.setattr(firewall_native, "QUICK", 0.0)
    nothing = firewall_native.Seen([], {})
    assert firewall_native.look(str(tmp_path)) == nothing
    with monkeypatch.context() as patch:
        patch.setattr(firewall_native, "_look", None)
        assert firewall_native.look(str(tmp_path)) == nothing
    netfilter.run("nft", "add", "rule", "ip", "filter", "INPUT", "ip", "ttl", "5", "counter", "accept")
    assert firewall_native.look(str(tmp_path)).written
    assert firewall_native.look(str(tmp_path)).written, "what was found is not remembered"


# --------------------------------------------------------------------------------------------------------------
# What is refused, and what is not


@pytest.mark.parametrize("test", [True, False])
def test_beside_ufw_nothing_is_changed(ufw: Any, modules: Any, test: bool) -> None:
    ufw("allow 22/tcp")
    before = {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS}
    for done in (
        ruleset(modules, test),
        ruleset(modules, test, take_over=["ufw"]),  # that is for the other state
        modules.dualstack_iptables.rule("munin", rule="-p tcp --dport 4949 -j ACCEPT", test=test),
        modules.dualstack_iptables.rule_absent("munin", rule="-p tcp --dport 4949 -j ACCEPT", test=test),
        modules.dualstack_iptables.proven("firewall", tables=TABLES, test=False),
    ):
        assert done["result"] is False
        assert done["comment"].startswith("ufw is active (its chains are live in iptables-nft; ENABLED=yes"), done
        assert done["changes"] == {}
    assert {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS} == before
    assert not Path("/etc/iptables").exists()


def test_ufw_that_stays_keeps_its_chains(ufw: Any, modules: Any) -> None:
    ufw("allow 22/tcp")

    def chains() -> list[str]:
        saved = "\n".join(netfilter.save(family, "nft") for family in netfilter.COMMANDS)
        return [line for line in saved.split("\n") if "ufw" in line]

    before = chains()
    done = ruleset(modules, beside=["ufw"])
    assert done["result"] is True, done["comment"]
    assert chains() == before
    assert ruleset(modules, beside=["ufw"])["changes"] == {}


def test_native_tables_that_stay_are_part_of_the_proof(modules: Any, shadows: Path) -> None:
    """What they drop is dropped in the rehearsal, too; and without nft(8) to read them, that is not known."""
    nft(f"table inet mine {{\n{NATIVE['a policy']}}}\n")
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": [*RULES, "-p tcp --dport 25 -j ACCEPT"]}}}
    given: dict[str, Any] = {"beside": ["nftables"], "tables": tables}
    done = modules.dualstack_iptables.ruleset("firewall", **given, test=False)
    assert done["result"] is True, done["comment"]
    assert "nf_tables also filters here: the table inet mine (policy drop in input" in done["comment"]

    def proven(to: str) -> dict[str, Any]:
        expect = [{"to": to, "verdict": "accept"}]
        found: dict[str, Any] = modules.dualstack_iptables.proven("firewall", expect=expect, test=False, **given)
        return found

    assert (found := proven("tcp/22"))["result"] is True, found
    assert (found := proven("tcp/25"))["result"] is False and "found drop" in found["comment"], found
    hidden = shadows / "nft"
    hidden.write_text("#!/bin/sh\nexit 1\n")
    hidden.chmod(0o755)
    found = proven("tcp/25")
    assert (found["result"], found["outcome"]) == (None, "not tried"), found
    hidden.unlink()
    nft("delete table inet mine")
    assert (found := proven("tcp/25"))["result"] is True, found


MISREAD = {
    "a set": ("INPUT", "ip saddr { 192.0.2.1, 192.0.2.2 } accept", "it has a set or a map"),
    "no counter": ("INPUT", "tcp dport 22 accept", "1 of its 1 rules have no counter"),
    "a part of the packet": (
        "INPUT",
        "ip ttl 5 counter accept",
        "its rules compare 1 bytes at 8 of the network header",
    ),
    "an expression": ("INPUT", "ct state established counter accept", "its rules use ct"),
    "an interface's number": ("INPUT", "iif lo counter accept", "its rules compare what iptables does not"),
    "a chain of its own": ("mine", "counter accept", "its chain mine has the hook input"),
}


@pytest.mark.parametrize("case", MISREAD)
def test_tables_that_nft_wrote_are_neither_adopted_nor_changed(case: str, modules: Any) -> None:
    chain, rule, why = MISREAD[case]
    nft(f"table ip filter {{\nchain {chain} {{\ntype filter hook input priority 0; policy drop\n{rule}\n}}\n}}\n")
    before = netfilter.run("nft", "list", "ruleset")
    if case == "a set":
        assert "-A INPUT -j ACCEPT" in netfilter.save("ipv4", "nft"), "this is why"
    said = f"the table filter (ipv4) was written by nft(8), not by iptables ({why}"
    for function in ("adopt", "audit"):
        with pytest.raises(CommandExecutionError) as error:
            getattr(modules.dualstack_iptables, function)()
        assert str(error.value).startswith(said)
    for done in (
        ruleset(modules),
        ruleset(modules, beside=["nftables"]),
        modules.dualstack_iptables.rule("munin", rule="-p tcp --dport 4949 -j ACCEPT", test=False),
    ):
        assert done["result"] is False
        assert done["comment"].startswith(said), done["comment"]
    assert netfilter.run("nft", "list", "ruleset") == before


def test_a_table_that_nft_wrote_is_not_in_the_way_of_another_one(modules: Any) -> None:
    nft("table ip mangle {\nchain INPUT {\ntype filter hook input priority -150\nip saddr { 192.0.2.1 } accept\n}\n}\n")
    assert ruleset(modules)["result"] is True
    assert "192.0.2.1" in netfilter.run("nft", "list", "table", "ip", "mangle")


def test_what_iptables_wrote_is_no_bodys_else(modules: Any) -> None:
    """Rules of many kinds: none of them counts as written by nft(8)."""
    netfilter.load(
        "ipv4",
        "nft",
        "*filter\n:x -\n:y -\n-A INPUT -s 10.0.0.0/9 ! -d 192.0.2.0/25 -i eth+ -p tcp --dport 1:100 -j x\n"
        "-A x -f -j DROP\n-A x -p tcp --syn -m multiport --dports 1,2,3 -m limit --limit 1/s -j LOG\n"
        '-A x -p icmp --icmp-type 8 -m comment --comment "a counter of nft" -j REJECT\n-A x -m mark --mark 1/2 -g y\n'
        "COMMIT\n*raw\n-A PREROUTING -j TRACE\nCOMMIT\n*nat\n-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE\nCOMMIT\n",
    )
    netfilter.load(
        "ipv6", "nft", "*filter\n-A INPUT -s fe80::/10 -d 2001:db8::/47 -p udp ! --sport 53 -j ACCEPT\nCOMMIT\n"
    )
    assert firewall_native.look() == firewall_native.Seen([], {})
    modules.dualstack_iptables.adopt()


# --------------------------------------------------------------------------------------------------------------
# ufw, taken over


PILLAR: dict[str, Any] = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": ["-i lo -j ACCEPT", f"-p udp --dport {ALLOWED} -j ACCEPT", "-p icmp -j ACCEPT"],
        },
        "FORWARD": {"policy": "DROP"},
    }
}


def test_ufw_is_taken_over(ufw: Any, modules: Any) -> None:
    ufw("allow 22/tcp")
    conf = managers.CONF.read_text()
    predicted = taken_over(modules, test=True)
    assert predicted["result"] is None, predicted["comment"]
    assert managers.CONF.read_text() == conf
    assert "ufw" in active()

    done = taken_over(modules)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    assert done["changes"]["/etc/ufw/ufw.conf"] == {"old": "ENABLED=yes", "new": "ENABLED=no"}
    assert "/etc/ufw/sysctl.conf: what of it is to stay" in done["comment"]
    assert managers.CONF.read_text() == conf.replace("ENABLED=yes", "ENABLED=no")
    assert active() == {}
    for family in netfilter.COMMANDS:
        assert "ufw" not in netfilter.save(family, "nft")
    assert "Status: inactive" in managers.ufw("status")
    before = netfilter.save("ipv4", "nft")
    netfilter.run("/lib/ufw/ufw-init", "start")
    netfilter.run("/lib/ufw/ufw-init", "stop")  # what its unit does when it stops, and its package when it goes
    assert netfilter.save("ipv4", "nft") == before

    assert taken_over(modules)["changes"] == {}
    assert ruleset(modules)["changes"] == {}


def test_what_adopt_prints_of_ufw_can_take_over(ufw: Any, modules: Any) -> None:
    """Its chains are the pillar's then, and mean what they did."""
    ufw("allow 22/tcp")
    adopted = modules.dualstack_iptables.adopt()["ipv6"]["firewall"]
    before = {family: netfilter.tables(netfilter.save(family, "nft")) for family in netfilter.COMMANDS}
    done = taken_over(modules, **adopted)
    assert done["result"] is True, done["comment"]
    assert set(done["changes"]) == {"/etc/ufw/ufw.conf", "/etc/iptables/rules.v4", "/etc/iptables/rules.v6"}
    assert {family: netfilter.tables(netfilter.save(family, "nft")) for family in netfilter.COMMANDS} == before
    assert taken_over(modules, **adopted)["changes"] == {}


def test_it_is_put_back_where_the_second_half_fails(ufw: Any, modules: Any) -> None:
    """The rules are live by then, and go back to ufw's."""
    ufw("allow 22/tcp")
    before = {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS}
    conf = managers.CONF.read_text()
    netfilter.run("mount", "--bind", str(managers.CONF), str(managers.CONF))  # nothing can take its place
    try:
        refused = taken_over(modules)
    finally:
        netfilter.run("umount", str(managers.CONF))
    assert refused["result"] is False
    assert "/etc/ufw/ufw.conf" in refused["comment"]
    assert {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS} == before
    assert managers.CONF.read_text() == conf
    assert "ufw" in active()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"take_over": None}, "take_over: missing; expected the managers that are taken over: [ufw]"),
        ({"take_over": []}, "take_over: missing; expected the managers that are taken over: [ufw]"),
        ({"take_over": ["shorewall"]}, "take_over: 'shorewall' is not a manager of a firewall that is known"),
        ({"take_over": ["firewalld"]}, "take_over: firewalld cannot be taken over, only ufw"),
        ({"beside": ["ufw"]}, "take_over: ufw is also under beside: it either stays or goes"),
        ({"beside": "ufw"}, "beside: expected a list of ufw, firewalld, nftables, found 'ufw'"),
        ({"preserve": ["ufw-*"]}, "take_over: preserve keeps ufw-after-forward, "),
        ({"tables": {"nat": {}}}, "take_over: ufw filters in the table filter, and the pillar has no"),
    ],
)
def test_what_cannot_be_taken_over(ufw: Any, modules: Any, given: dict[str, Any], said: str) -> None:
    ufw("allow 22/tcp")
    before = netfilter.save("ipv4", "nft")
    for test in (True, False):
        refused = taken_over(modules, test, **given)
        assert refused["result"] is False
        assert said in refused["comment"]
    assert netfilter.save("ipv4", "nft") == before
    assert firewall_managers.ufw_enabled()


def test_what_ufw_has_in_other_tables_is_not_lost(ufw: Any, modules: Any) -> None:
    """Its file of rules has them, not its commands."""
    ufw("allow 22/tcp")
    with Path("/etc/ufw/before.rules").open("a") as stream:
        stream.write("*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE\nCOMMIT\n")
    refused = taken_over(modules)
    assert refused["comment"].startswith("take_over: /etc/ufw/before.rules also has rules of the table nat, which")
    nat = {"POSTROUTING": {"rules": ["-s 10.0.0.0/8 -j MASQUERADE"]}}
    assert taken_over(modules, tables={**TABLES, "nat": nat})["result"] is True


def test_ufw_in_the_other_backend_is_not_taken_over(ufw: Any, modules: Any) -> None:
    """Its chains would stay there."""
    ufw("allow 22/tcp")
    refused = taken_over(modules, backend="legacy")
    assert "ufw's chains are in iptables-nft, and the pillar's rules go to iptables-legacy" in refused["comment"]


def test_rules_for_the_boot_wait_for_what_loads_them(ufw: Any, modules: Any) -> None:
    """Debian's iptables-persistent would load them while it is installed, and take others' rules away."""
    ufw("allow 22/tcp")
    plugins = "/usr/share/netfilter-persistent/plugins.d"
    netfilter.run("mount", "-t", "tmpfs", "tmpfs", plugins)
    try:
        done = taken_over(modules)
        assert done["result"] is True, done["comment"]
        assert "nothing loads the rules at boot: the package iptables-persistent is not installed" in done["comment"]
        assert not Path("/etc/iptables").exists()
        assert taken_over(modules)["changes"] == {}
    finally:
        netfilter.run("umount", plugins)
    assert set(ruleset(modules)["changes"]) == {"/etc/iptables/rules.v4", "/etc/iptables/rules.v6"}


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import _dualstack_converge as converge
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_takeover as firewall_takeover
import _dualstack_host_files as host_files

declared = firewall_declared.Declared({"tables": {"filter": {"INPUT": {"policy": "DROP"}}}, "take_over": ["ufw"]}, None)
if sys.argv[3] == "before":
    host_files.write = lambda files: os.kill(os.getpid(), signal.SIGKILL)
else:
    write = host_files.write
    host_files.write = lambda files: [write(files), os.kill(os.getpid(), signal.SIGKILL)]
print(converge.run("it", firewall_takeover.change(lambda: declared, {"cachedir": sys.argv[2]}, False), {}, False))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_it_is_put_back_if_it_is_killed(ufw: Any, tmp_path: Path, moment: str) -> None:
    """With the rules live, before ufw is switched off, and after that: ufw is as it was."""
    ufw("allow 22/tcp")
    before = {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS}
    conf = managers.CONF.read_text()
    words = [sys.executable, "-c", KILLED, str(Path(firewall_native.__file__).parent), str(tmp_path), moment]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done
    deadline = time.monotonic() + 60
    while Path("/var/lib/dualstack/transaction").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS} == before
    assert managers.CONF.read_text() == conf
    assert "ufw" in active()


class Probes:
    """Packets from outside to an allowed and to a shut port, in both families, each from a port of its own."""

    SENDER = """
import socket, sys, time
targets = [(socket.AF_INET, sys.argv[1]), (socket.AF_INET6, sys.argv[2])]
ports = [int(each) for each in sys.argv[3:]]
number = 0
sys.stdin.close()
while True:
    began = time.monotonic()
    for family, address in targets:
        for port in ports:
            with socket.socket(family, socket.SOCK_DGRAM) as one:
                one.sendto(b"%d" % number, (address, port))
    number += 1
    print(number, flush=True)
    time.sleep(max(0, 0.002 - (time.monotonic() - began)))
"""

    def __init__(self) -> None:
        import socket

        self.sockets = {}
        for port in (ALLOWED, SHUT):
            for family, kind in (("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)):
                one = socket.socket(kind, socket.SOCK_DGRAM)
                if kind == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
                one.bind(("", port))
                one.settimeout(0.2)
                self.sockets[family, port] = one
        words = ["ip", "netns", "exec", "others", sys.executable, "-c", self.SENDER, world.OWN, world.OWN6]
        self.sender = subprocess.Popen(
            [*words, str(ALLOWED), str(SHUT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.sent = 0
        self.reader = threading.Thread(target=self._count, daemon=True)
        self.reader.start()

    def _count(self) -> None:
        for line in self.sender.stdout or ():
            self.sent = int(line)

    def await_more(self, number: int) -> None:
        """Until so many more have been sent."""
        until = self.sent + number
        while self.sent < until:
            assert self.sender.poll() is None
            time.sleep(0.01)

    def end(self) -> dict[tuple[str, int], set[int]]:
        """The numbers of those that came in, by family and port."""
        import signal

        self.sender.send_signal(signal.SIGTERM)
        self.sender.wait()
        self.reader.join()
        found: dict[tuple[str, int], set[int]] = {}
        for key, one in self.sockets.items():
            found[key] = set()
            try:
                while True:
                    found[key].add(int(one.recv(64)))
            except TimeoutError:
                one.close()
        return found


@pytest.fixture
def probes() -> Iterator[Callable[[], Probes]]:
    """Starts them."""
    with world.networks():
        yield Probes


def test_no_moment_is_open_and_none_closed(ufw: Any, modules: Any, probes: Callable[[], Probes]) -> None:
    ufw(f"allow {ALLOWED}/udp")
    sending = probes()
    sending.await_more(50)
    done = taken_over(modules, tables=PILLAR)
    sending.await_more(50)
    arrived = sending.end()
    assert done["result"] is True, done["comment"]
    assert active() == {}
    for family in netfilter.COMMANDS:
        assert arrived[family, SHUT] == set(), family
        assert {*range(sending.sent)} - arrived[family, ALLOWED] == set(), family
    assert sending.sent > 150


def test_by_ufws_own_command_the_host_is_open_meanwhile(ufw: Any, modules: Any, probes: Callable[[], Probes]) -> None:
    """The same packets see it, so that they would see it above as well."""
    ufw(f"allow {ALLOWED}/udp")
    sending = probes()
    sending.await_more(50)
    managers.ufw("disable")
    assert ruleset(modules)["result"] is True
    arrived = sending.end()
    assert arrived["ipv4", SHUT] and arrived["ipv6", SHUT]
