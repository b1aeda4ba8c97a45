"""What the next boot does with the firewall: Debian's own loader, on a Debian whose files are changed for each case."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _dualstack_boot_firewall as boot_firewall
import _dualstack_boot_judgement as boot_judgement
import _dualstack_converge as converge
import pytest

from .. import booted
from . import netfilter

RULES = {"ipv4": Path("/etc/iptables/rules.v4"), "ipv6": Path("/etc/iptables/rules.v6")}
SETS = Path("/etc/iptables/ipsets")
PLUGINS = Path("/usr/share/netfilter-persistent/plugins.d")
ENABLED = Path("/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service")
NFTABLES = Path("/etc/systemd/system/sysinit.target.wants/nftables.service")
VENDOR = Path("/lib/systemd/system")

TABLES: dict[str, Any] = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]},
        "FORWARD": {"policy": "DROP"},
    }
}
WITH_SET: dict[str, Any] = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -m set --match-set admins src -j ACCEPT"]}}
}


@pytest.fixture(autouse=True)
def _etc(tmp_path: Path) -> Iterator[None]:
    """A Debian that systemd boots; afterwards its files are as they were."""
    with booted.kept(tmp_path, Path("/etc"), PLUGINS):
        yield


def look(tables: dict[str, Any], **firewall: Any) -> converge.Finding:
    """What is found out about the firewall of the next boot."""
    found = boot_judgement.parts({"firewall": {"tables": tables, **firewall}}, booted.Stacks())
    return found["firewall"]


def comes_up(modules: Any, tables: dict[str, Any], **firewall: Any) -> None:
    """Rules that are live and saved, and a boot that loads them."""
    done = modules.dualstack_iptables.ruleset("firewall", tables=tables, test=False, **firewall)
    assert done["result"] is True, done["comment"]
    found = look(tables, **firewall)
    assert found.holds is True, found.comment


def live() -> list[str]:
    return [netfilter.save(family, backend) for family in netfilter.COMMANDS for backend in ("nft", "legacy")]


def test_what_is_saved_and_loaded_comes_up(modules: Any) -> None:
    comes_up(modules, TABLES)
    before = live()
    assert look(TABLES) == (
        True,
        "netfilter-persistent loads the live rules of ipv4 and ipv6 (filter), and nothing else loads any",
    )
    assert live() == before


def test_with_sysvinit_it_is_the_script_that_counts(modules: Any) -> None:
    booted.INIT.unlink()
    booted.INIT.write_text("#!/bin/sh\n")
    Path("/etc/inittab").write_text("id:2:initdefault:\n")
    comes_up(modules, TABLES)
    ENABLED.unlink()
    assert look(TABLES).holds is True
    for link in Path("/etc/rcS.d").glob("S*netfilter-persistent"):
        link.unlink()
    found = look(TABLES)
    assert found == (
        False,
        "/etc/init.d/netfilter-persistent has no link in /etc/rcS.d and /etc/rc2.d: nothing loads the rules at boot: "
        "'update-rc.d netfilter-persistent defaults'",
    )


def test_an_unknown_init_is_told(modules: Any) -> None:
    comes_up(modules, TABLES)
    booted.INIT.unlink()
    assert look(TABLES).holds is True  # whichever it is
    ENABLED.unlink()
    found = look(TABLES)
    assert found.holds is None
    assert "which program boots this host is not known" in found.comment
    booted.INIT.write_text("#!/bin/sh\n")
    found = look(TABLES)
    assert (found.holds, "is neither systemd nor sysvinit" in found.comment) == (None, True)


def test_a_loader_that_is_disabled(modules: Any) -> None:
    comes_up(modules, TABLES)
    netfilter.run("systemctl", "--root=/", "disable", "netfilter-persistent")
    assert look(TABLES) == (
        False,
        "netfilter-persistent.service is disabled: nothing loads the rules at boot: "
        "'systemctl enable netfilter-persistent'",
    )


def test_a_loader_that_is_masked(modules: Any) -> None:
    comes_up(modules, TABLES)
    netfilter.run("systemctl", "--root=/", "mask", "netfilter-persistent")
    found = look(TABLES)
    assert found.holds is False
    assert found.comment == (
        "netfilter-persistent.service is masked: nothing loads the rules at boot: "
        "'systemctl unmask netfilter-persistent'"
    )


def test_a_unit_that_runs_something_else(modules: Any) -> None:
    comes_up(modules, TABLES)
    folder = Path("/etc/systemd/system/netfilter-persistent.service.d")
    folder.mkdir()
    (folder / "own.conf").write_text("[Service]\nExecStart=\nExecStart=/usr/local/sbin/walls\n")
    assert look(TABLES) == (
        None,
        f"{folder}/own.conf:3: it runs something else than '/usr/sbin/netfilter-persistent start'",
    )
    (folder / "own.conf").write_text("[Unit]\nConditionPathExists=/etc/firewall\n")
    assert look(TABLES) == (
        None,
        f"{folder}/own.conf:2: whether it runs at boot depends on `ConditionPathExists=/etc/firewall`",
    )


@pytest.mark.parametrize("family", RULES)
def test_files_that_say_something_else(modules: Any, family: str) -> None:
    comes_up(modules, TABLES)
    path = RULES[family]
    text = path.read_text()
    rule = "-p tcp -m tcp --dport 22 -j ACCEPT"
    cases = {
        text.replace(f"-A INPUT {rule}\n", ""): f"the boot does not load 1 of .* live rules, as `{rule}`",
        text.replace(":INPUT DROP", ":INPUT ACCEPT"): "the boot sets the policy ACCEPT, and DROP is live",
        text.replace("COMMIT", "-A INPUT -j ACCEPT\nCOMMIT"): "the boot loads 1 rules that are not live",
        text.replace("COMMIT", ":mine - [0:0]\n-A mine -j DROP\nCOMMIT"): r"mine of .*: it is not live \(1 rules\)",
        text.replace("-A INPUT -i lo -j ACCEPT\n", "").replace(
            "COMMIT", "-A INPUT -i lo -j ACCEPT\nCOMMIT"
        ): "the boot loads its rules in another order",
        "": "it is empty, and nothing is loaded",
        text.replace("--dport 22", "--dport nothing"): "the boot cannot load it: .*(port|line|nothing)",
        text.replace("COMMIT\n", ""): "the boot cannot load it: ",
    }
    for new, said in cases.items():
        assert new != text
        path.write_text(new)
        found = look(TABLES)
        assert found.holds is False
        assert re.search(f"^{path}: .*{said}", found.comment), (new, found.comment)
    path.unlink()
    assert look(TABLES) == (False, f"{path}: there is no such file, and nothing is loaded")
    path.write_text(text)
    assert look(TABLES).holds is True


def test_a_table_of_the_pillar_that_is_not_saved(modules: Any) -> None:
    tables = {**TABLES, "mangle": {"PREROUTING": {"rules": ["-p tcp --dport 22 -j MARK --set-mark 1"]}}}
    comes_up(modules, tables)
    text = RULES["ipv4"].read_text()
    RULES["ipv4"].write_text(text[: text.index("*mangle")] if text.index("*mangle") > text.index("*filter") else "")
    found = look(tables)
    assert found.holds is False
    assert "/etc/iptables/rules.v4: PREROUTING of the table mangle: the boot does not load 1 of 1 live rules" in (
        found.comment
    )


def test_a_live_rule_that_nobody_has_saved_and_a_table_that_is_not_the_pillars(modules: Any) -> None:
    comes_up(modules, TABLES)
    netfilter.load("ipv6", "nft", "*mangle\n-A INPUT -j ACCEPT\nCOMMIT\n")  # somebody else's table
    assert look(TABLES).holds is True
    netfilter.load("ipv6", "nft", "*filter\n-A INPUT -p tcp --dport 25 -j ACCEPT\nCOMMIT\n")
    found = look(TABLES)
    assert found.holds is False
    assert "as `-p tcp -m tcp --dport 25 -j ACCEPT`" in found.comment


def test_the_chains_of_others_come_back_by_themselves(modules: Any) -> None:
    comes_up(modules, TABLES)
    for family in netfilter.COMMANDS:
        netfilter.load(family, "nft", "*filter\n:f2b-ssh -\n-A f2b-ssh -j RETURN\n-I INPUT 1 -j f2b-ssh\nCOMMIT\n")
    assert look(TABLES).holds is True
    assert look(TABLES, preserve_only=["DOCKER*"]).holds is False


def test_a_single_rule_of_another_formula(modules: Any) -> None:
    comes_up(modules, TABLES)
    for save, holds in ((True, True), (False, False)):
        for table, chain in (("filter", "INPUT"), ("mangle", "PREROUTING")):
            rule = f"-p tcp --dport {4949 + save} -j ACCEPT"
            done = modules.dualstack_iptables.rule("munin", rule=rule, table=table, chain=chain, save=save, test=False)
            assert done["result"] is True, done["comment"]
        found = look(TABLES)
        assert found.holds is holds, found.comment
    for table in ("INPUT of the table filter", "PREROUTING of the table mangle"):
        assert f"/etc/iptables/rules.v6: {table}: the boot does not load" in found.comment


def test_rules_that_are_not_saved_are_not_tried(modules: Any) -> None:
    done = modules.dualstack_iptables.ruleset("firewall", tables=TABLES, save=False, test=False)
    assert done["result"] is True, done["comment"]
    assert look(TABLES, save=False) == (None, boot_firewall.NOT_SAVED)
    assert look(TABLES).holds is False


# ------------------------------------------------------------------------------------------------------------
# Sets


@pytest.fixture
def admins(modules: Any) -> None:
    """A set that the rules use, and that the boot restores."""
    netfilter.run("ipset", "create", "admins", "hash:ip")
    netfilter.run("ipset", "add", "admins", "192.0.2.7")
    SETS.parent.mkdir(exist_ok=True)
    SETS.write_text(netfilter.run("ipset", "save"))
    comes_up(modules, WITH_SET)


@pytest.mark.usefixtures("admins")
def test_a_set_that_the_boot_does_not_restore() -> None:
    SETS.unlink()
    found = look(WITH_SET)
    assert found.holds is False
    assert f"{SETS}: there is no such file, and the rules use the set admins: 'ipset save >{SETS}'" in found.comment
    assert "/etc/iptables/rules.v4: the boot cannot load it: " in found.comment
    assert "the boot sets the policy ACCEPT, and DROP is live" in found.comment
    SETS.write_text("create others hash:ip\n")
    assert f"{SETS}: it does not make the set admins" in look(WITH_SET).comment


@pytest.mark.usefixtures("admins")
def test_a_set_that_the_boot_makes_otherwise() -> None:
    SETS.write_text("create admins hash:net\nadd admins 192.0.2.0/24\n")
    assert f"{SETS}: it makes the set admins as hash:net inet, and hash:ip inet is live" in look(WITH_SET).comment
    SETS.write_text("create admins hash:ip\n")
    found = look(WITH_SET)
    assert found == (
        False,
        f"{SETS}: the set admins lacks 1 of 1 live entries, and has 0 others: 'ipset save >{SETS}'",
    )


@pytest.mark.usefixtures("admins")
def test_sets_without_the_plug_in_that_loads_them() -> None:
    for each in PLUGINS.glob("*-ipset"):
        each.unlink()
    found = look(WITH_SET)
    assert found.holds is False
    assert "nothing loads the sets at boot, and no rule without them: the package ipset-persistent is missing" in (
        found.comment
    )


def test_entries_that_come_and_go_by_themselves_are_not_compared(modules: Any) -> None:
    netfilter.run("ipset", "create", "admins", "hash:ip", "timeout", "300")
    SETS.parent.mkdir(exist_ok=True)
    SETS.write_text(netfilter.run("ipset", "save"))
    netfilter.run("ipset", "add", "admins", "192.0.2.7")
    comes_up(modules, WITH_SET)


# ------------------------------------------------------------------------------------------------------------
# The loader


def test_plug_ins_that_are_missing(modules: Any) -> None:
    comes_up(modules, TABLES)
    (PLUGINS / "25-ip6tables").chmod(0o644)  # run-parts runs no such file
    found = look(TABLES)
    assert found.holds is False
    assert "/etc/iptables/rules.v6: INPUT of the table filter: the boot sets the policy ACCEPT" in found.comment
    assert "rules.v4" not in found.comment
    (PLUGINS / "15-ip4tables").unlink()
    assert f"{PLUGINS}: it has no plug-in that loads rules: install iptables-persistent" in look(TABLES).comment


def test_what_nobody_knows_is_not_tried(modules: Any, tmp_path: Path) -> None:
    comes_up(modules, TABLES)
    foreign, ran = PLUGINS / "90-mine", tmp_path / "ran"
    foreign.write_text(f"#!/bin/sh\ntouch {ran}\n")
    foreign.chmod(0o755)
    found = look(TABLES)
    assert found.holds is None
    assert found.comment.startswith(f"{foreign}: it is of none of the packages netfilter-persistent, ")
    foreign.unlink()
    plugin = PLUGINS / "15-ip4tables"
    plugin.write_text(plugin.read_text() + f"touch {ran}\n")
    assert look(TABLES) == (None, f"{plugin}: somebody has edited it, so it was not tried")
    shutil.copy2(tmp_path / str(plugin)[1:], plugin)
    defaults = Path("/etc/default/netfilter-persistent")
    defaults.write_text(f"FLUSH_ON_STOP=0\nX=$(touch {ran})\n")
    assert look(TABLES) == (None, f"{defaults}:2: this is more than a setting, so the loader was not tried")
    assert not ran.exists()


def test_the_settings_of_the_loader_count(modules: Any) -> None:
    """Without a trial before, a broken file is loaded up to nothing as well: iptables-restore takes all or nothing."""
    comes_up(modules, TABLES)
    Path("/etc/default/netfilter-persistent").write_text("IPTABLES_TEST_RULESET=no\nIP6TABLES_TEST_RULESET='no' # x\n")
    assert look(TABLES).holds is True
    RULES["ipv6"].write_text(RULES["ipv6"].read_text().replace("--dport 22", "--dport nothing"))
    found = look(TABLES)
    assert found.holds is False
    assert "rules.v6: the boot cannot load it" in found.comment


def test_a_package_that_is_half_removed(modules: Any) -> None:
    comes_up(modules, TABLES)
    status = Path("/var/lib/dpkg/status")
    before = status.read_text()
    head, name, rest = before.partition("Package: iptables-persistent\n")
    try:
        status.write_text(head + name + rest.replace("install ok installed", "deinstall ok half-configured", 1))
        found = look(TABLES)
    finally:
        status.write_text(before)
    assert found == (
        False,
        "the package iptables-persistent is not wholly installed, but half-configured: "
        "'apt-get install iptables-persistent'",
    )


def test_a_loader_that_is_gone(modules: Any) -> None:
    comes_up(modules, TABLES)
    program = Path("/usr/sbin/netfilter-persistent")
    program.chmod(0o644)
    try:
        found = look(TABLES)
    finally:
        program.chmod(0o755)
    assert found.holds is False
    assert found.comment.startswith(f"{program}: it is missing: install netfilter-persistent")


def test_another_backend_at_boot(modules: Any) -> None:
    comes_up(modules, TABLES)
    for command in ("ip6tables", "iptables"):
        netfilter.run("update-alternatives", "--set", command, f"/usr/sbin/{command}-legacy")
        found = look(TABLES, backend="nft")
        assert found.holds is False
        assert (
            f"{RULES['ipv6']}: at boot, ip6tables-restore is legacy, and the live rules are in nft: "
            "'update-alternatives --set ip6tables /usr/sbin/ip6tables-nft'"
        ) in found.comment
        assert (str(RULES["ipv4"]) in found.comment) is (command == "iptables")
    assert look(TABLES).comment  # whatever is live in legacy
    for command in ("ip6tables", "iptables"):
        netfilter.run("update-alternatives", "--auto", command)


def test_legacy_live_and_at_boot(modules: Any) -> None:
    for command in ("ip6tables", "iptables"):
        netfilter.run("update-alternatives", "--set", command, f"/usr/sbin/{command}-legacy")
    try:
        comes_up(modules, TABLES)
        RULES["ipv6"].write_text(RULES["ipv6"].read_text().replace(":INPUT DROP", ":INPUT ACCEPT"))
        assert look(TABLES).holds is False
    finally:
        for command in ("ip6tables", "iptables"):
            netfilter.run("update-alternatives", "--auto", command)


def test_what_the_other_backend_filters_now_and_not_after_the_boot(modules: Any) -> None:
    comes_up(modules, TABLES)
    netfilter.load("ipv6", "legacy", "*filter\n-A INPUT -p tcp --dport 25 -j DROP\nCOMMIT\n")
    found = look(TABLES)
    assert found.holds is False
    assert found.comment.startswith("ip6tables-legacy: INPUT of the table filter: the boot does not load 1 of 1 ")
    netfilter.load("ipv6", "legacy", "*filter\n-F INPUT\n:DOCKER -\n-A FORWARD -j DOCKER\n-P FORWARD DROP\nCOMMIT\n")
    assert look(TABLES).holds is True  # Docker's, which comes back by itself


def test_without_namespaces_nothing_is_known(modules: Any, shadows: Path) -> None:
    comes_up(modules, TABLES)
    refusing = shadows / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    found = look(TABLES)
    assert (found.holds, "network namespaces are not permitted here" in found.comment) == (None, True)
    ENABLED.unlink()
    assert look(TABLES).holds is False  # what is known without them is told


# ------------------------------------------------------------------------------------------------------------
# What else loads rules


def test_nftables_that_flushes(modules: Any) -> None:
    comes_up(modules, TABLES)
    NFTABLES.symlink_to(VENDOR / "nftables.service")  # with Debian's own file
    found = look(TABLES)
    assert found.holds is False
    assert found.comment.startswith("/etc/nftables.conf:3: `flush ruleset`: nftables.service is enabled")
    Path("/etc/nftables.d").mkdir()
    Path("/etc/nftables.d/a.nft").write_text("flush ruleset ip6\n")
    Path("/etc/nftables.conf").write_text('include "/etc/nftables.d/*.nft"\n')
    assert look(TABLES).comment.startswith("/etc/nftables.d/a.nft:1: `flush ruleset`")
    Path("/etc/nftables.d/a.nft").write_text("flush ruleset inet\n# flush ruleset\n")
    assert look(TABLES).holds is True


def test_nftables_that_does_not_flush_is_tried(modules: Any) -> None:
    comes_up(modules, TABLES)
    NFTABLES.symlink_to(VENDOR / "nftables.service")
    script = Path("/etc/nftables.conf")
    cases = {
        "table inet mine { chain b { type filter hook input priority 0; policy drop; }; }\n": (
            False,
            f"{script}: nftables.service loads its table inet mine, which is not live so",
        ),
        "table ip6 filter\ndelete table ip6 filter\n": (
            False,
            f"{script}: nftables.service loads it, and it changes the rules that netfilter-persistent has loaded",
        ),
        "add rule ip filter INPUT accept\n": (
            False,
            f"{script}: nftables.service loads it, and it changes the rules that netfilter-persistent has loaded",
        ),
        "": (True, ""),
        "table inet a { chain b { type filter hook input priority 0; iif eth7 drop; }; }\n": (None, "it cannot be: "),
    }
    for text, (holds, said) in cases.items():
        script.write_text(text)
        found = look(TABLES)
        assert found.holds is holds, (text, found.comment)
        assert said in found.comment
    script.write_text(next(iter(cases)))
    netfilter.run("nft", "-f", str(script))
    try:
        assert look(TABLES).holds is True  # it is live, too
    finally:
        netfilter.run("nft", "delete", "table", "inet", "mine")


def unit(name: str) -> None:
    """A unit of a package that is installed and enabled."""
    Path(f"/etc/systemd/system/{name}.service").write_text(f"[Service]\nExecStart=/bin/true {name}\n")
    link = Path(f"/etc/systemd/system/multi-user.target.wants/{name}.service")
    link.symlink_to(f"/etc/systemd/system/{name}.service")


@pytest.mark.parametrize("name", ["firewalld", "shorewall"])
def test_other_firewalls(modules: Any, name: str) -> None:
    comes_up(modules, TABLES)
    unit(name)
    found = look(TABLES)
    assert found == (
        False,
        f"/etc/systemd/system/{name}.service: {name} loads rules of its own at boot ({name}.service is "
        f"enabled): 'systemctl disable {name}'",
    )
    Path(f"/etc/systemd/system/multi-user.target.wants/{name}.service").unlink()
    assert look(TABLES).holds is None  # static: whatever starts it


def test_ufw_counts_if_it_is_switched_on(modules: Any) -> None:
    comes_up(modules, TABLES)
    unit("ufw")
    switch = Path("/etc/ufw/ufw.conf")
    switch.parent.mkdir(exist_ok=True)
    switch.write_text("# ENABLED=yes\nENABLED=no\n")
    assert look(TABLES).holds is True
    switch.write_text("# ENABLED=yes\nLOGLEVEL=low\nENABLED=yes\n")
    found = look(TABLES)
    assert found.holds is False
    assert found.comment.startswith("/etc/ufw/ufw.conf:3: ufw loads rules of its own at boot")


def test_a_line_of_2011(modules: Any) -> None:
    comes_up(modules, TABLES)
    interfaces = Path("/etc/network/interfaces")
    interfaces.write_text(
        "auto eth0\niface eth0 inet static\n  address 192.0.2.1\n  pre-up iptables-restore < /etc/iptables.up.rules\n"
    )
    assert look(TABLES) == (
        False,
        "/etc/network/interfaces:4: it changes the firewall at boot: `iptables-restore < /etc/iptables.up.rules`",
    )
    interfaces.write_text(interfaces.read_text().replace("/etc/iptables.up.rules", "/etc/iptables/rules.v4"))
    assert look(TABLES).holds is True
    script = Path("/etc/network/walls.sh")
    script.write_text("#!/bin/sh\n# iptables -F\niptables -F\nIPT=iptables\n$IPT -A INPUT -j ACCEPT\n")
    interfaces.write_text(f"auto eth0\niface eth0 inet dhcp\n  up sh {script}\nsource /etc/network/interfaces.d/*\n")
    assert look(TABLES) == (
        False,
        f"{script}:3: it changes the firewall at boot: `iptables -F` (and 1 more lines of it)",
    )


SCRIPTS = {
    "/etc/network/if-pre-up.d/iptables": "#!/bin/sh\niptables-restore </etc/firewall\n",
    "/etc/network/if-up.d/walls": "#!/bin/sh\nip6tables -P INPUT ACCEPT\n",
    "/etc/networkd-dispatcher/routable.d/50-walls": "#!/bin/sh\nip6tables -P INPUT ACCEPT\n",
    "/etc/NetworkManager/dispatcher.d/walls": "#!/bin/sh\nip6tables -P INPUT ACCEPT\n",
    "/etc/rc.local": "#!/bin/sh\niptables -A INPUT -j ACCEPT\nexit 0\n",
    "/etc/cron.d/walls": "#\n@reboot root curl -u me:s3cret https://192.0.2.1/ && /sbin/iptables -F\n",
}


@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_that_a_boot_runs(modules: Any, path: str) -> None:
    comes_up(modules, TABLES)
    script = Path(path)
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(SCRIPTS[path])
    if "cron" not in path:
        assert look(TABLES).holds is True  # nobody runs what is not executable
        script.chmod(0o755)
    found = look(TABLES)
    assert found.holds is False
    assert found.comment.startswith(f"{path}:2: it changes the firewall at boot: `ip")
    assert "s3cret" not in found.comment


def test_a_unit_and_a_script_of_the_administrators(modules: Any) -> None:
    comes_up(modules, TABLES)
    Path("/etc/walls").write_text("#!/bin/sh\n\niptables -F\n")
    own = Path("/etc/systemd/system/walls.service")
    own.write_text("[Service]\nExecStart=/etc/walls start\n[Install]\nWantedBy=multi-user.target\n")
    assert look(TABLES).holds is True  # not enabled
    netfilter.run("systemctl", "--root=/", "enable", "walls.service")
    assert look(TABLES).comment.startswith("/etc/walls:3: it changes the firewall at boot: `iptables -F`")
    own.write_text("[Service]\nExecStart=/bin/sh -c 'iptables -F'\n[Install]\nWantedBy=multi-user.target\n")
    assert look(TABLES).comment.startswith(f"{own}:2: it changes the firewall at boot: `iptables -F`")
    netfilter.run("systemctl", "--root=/", "disable", "walls.service")
    assert look(TABLES).holds is True


def test_a_line_of_wireguard(modules: Any) -> None:
    comes_up(modules, TABLES)
    folder = Path("/etc/wireguard")
    folder.mkdir(exist_ok=True)
    text = "[Interface]\nPrivateKey = secret\nPostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -L\n"
    (folder / "wg0.conf").write_text(text)
    assert look(TABLES).holds is True  # not started
    (booted.WANTS / "wg-quick@wg0.service").symlink_to("/lib/systemd/system/wg-quick@.service")
    Path("/etc/systemd/system/wg-quick@.service").write_text("[Service]\nExecStart=/usr/bin/wg-quick up %i\n")
    assert look(TABLES) == (
        False,
        "/etc/wireguard/wg0.conf:3: it changes the firewall at boot: " "`iptables -A FORWARD -i %i -j ACCEPT`",
    )


def test_a_script_of_sysvinit(modules: Any) -> None:
    comes_up(modules, TABLES)
    script = Path("/etc/init.d/firewall")
    script.write_text('#!/bin/sh\ncase "$1" in start) iptables -F ;; esac\n')
    script.chmod(0o755)
    assert look(TABLES).holds is True
    Path("/etc/rc2.d/S01firewall").symlink_to("../init.d/firewall")
    found = look(TABLES)
    assert found.holds is False
    assert found.comment.startswith(f"{script}:2: it changes the firewall at boot: ")
