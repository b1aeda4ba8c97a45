"""How the formula and a tunnel get to two hosts from a master. Other ways in: test_salt_ssh.py, tests/integration."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import REPOSITORY, Salt
from .network import PUBLISHED, on, reaches, run

ROOTS = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}


@pytest.fixture
def native(tmp_path: Path) -> Iterator[Path]:
    """
    Another host, with IPv6 of its own: what acts there for the Python that runs Salt.

    It has the network namespace ``native``. Its /etc, beside this script, is a copy of the server's; its /var/lib is
    what Debian has installed.
    """
    run("ip", "netns", "add", "native")
    run("ip", "link", "add", "native", "type", "veth", "peer", "name", "eth0", "netns", "native")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "native")
    run("ip", "link", "set", "native", "up")
    for words in ("link set lo up", "link set eth0 up", "address add 192.0.2.2/24 dev eth0"):
        run("ip", "-n", "native", *words.split())
    for words in ("address add 2001:db8:a::2/64 dev eth0 nodad", "route add default via 2001:db8:a::1"):
        run("ip", "-n", "native", "-6", *words.split())
    shutil.copytree("/etc", tmp_path / "etc", symlinks=True)
    for folder in ("debian", "upper", "work"):
        (tmp_path / folder).mkdir()
    run("mount", "-t", "hostfs", "-o", "ro,/var/lib", "none", str(tmp_path / "debian"))
    script = tmp_path / "python-on-native"
    script.write_text(f"""#!/bin/sh
        exec ip netns exec native sh -ec '
          mount --bind {tmp_path}/etc /etc
          mount -t tmpfs tmpfs /run
          mkdir /run/lock
          cd {tmp_path}
          mount -t overlay -o lowerdir=debian,upperdir=upper,workdir=work overlay /var/lib
          cd /
          exec "$@"' sh {sys.executable} "$@"
        """)
    script.chmod(0o755)
    yield script
    run("umount", str(tmp_path / "debian"))
    run("ip", "netns", "del", "native")


@pytest.fixture
def apply(salt_factories: Any, salt: Salt, native: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """A master on the server, and a minion on each host that has never synced; applies the formula to both."""
    example = yaml.safe_load((salt.pillar / "ipv6.sls").read_text())["ipv6"]
    only = {"ipv6": {part: example[part] for part in ("firewall", "sysctl")}}
    (salt.pillar / "native.sls").write_text(yaml.safe_dump(only))
    (salt.pillar / "top.sls").write_text("base: {'server': [ipv6], 'native': [native]}\n")
    master = salt_factories.salt_master_daemon(
        "master",
        defaults={"fileserver_list_cache_time": 0},
        overrides={
            "interface": "0.0.0.0",
            "worker_threads": 3,
            "log_level_logfile": "warning",
            "file_roots": ROOTS,
            "pillar_roots": {"base": [str(salt.pillar)]},
            "open_mode": True,
        },
    )
    ports = [master.config["publish_port"], master.config["ret_port"]]
    rule = {"proto": "tcp", "dports": ports, "source": "192.0.2.0/24", "jump": "ACCEPT"}
    example["firewall"]["tables"]["filter"]["INPUT"]["rules"]["60-master"] = [rule]
    (salt.pillar / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": example}, sort_keys=False))
    quiet = {"log_level_logfile": "warning"}  # every line takes its time in the guest
    first = master.salt_minion_daemon("server", overrides=quiet)
    second = master.salt_minion_daemon("native", overrides={**quiet, "master": "192.0.2.1"})
    second.python_executable = str(native)
    with master.started(start_timeout=300), first.started(start_timeout=300), second.started(start_timeout=300):

        def run_both() -> dict[str, Any]:
            """``salt '*' state.apply ipv6``: the results of each minion by their IDs."""
            returned = master.salt_cli(timeout=600).run("state.apply", "ipv6", minion_tgt="*")
            print(returned)
            return {minion: Salt.results(results) for minion, results in returned.data.items()}

        yield run_both


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, and what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_master_and_two_different_minions_that_never_synced(
    apply: Callable[[], dict[str, Any]], native: Path
) -> None:
    def network() -> str:
        return on("native", "sh", "-c", "ip -d link; ip address; ip -4 route; ip -6 route")

    network_before, files_before = network(), files(native.parent / "etc")
    done = apply()
    assert sorted(done) == ["native", "server"]
    for results in done.values():
        assert {each["result"] for each in results.values()} == {True}, results
    assert reaches("client6", PUBLISHED)

    # Each has its own, and nothing of the other's.
    assert "The tunnel is up" in done["server"]
    assert "The tunnel is up" not in done["native"]
    assert network() == network_before
    files_after = files(native.parent / "etc")
    changed = {path for path in files_after | files_before if files_after.get(path) != files_before.get(path)}
    assert changed == {"iptables/rules.v4", "iptables/rules.v6", "sysctl.d/local.conf"}
    assert on("native", "sysctl", "-n", "net.ipv6.bindv6only") == "1\n"
    for family in ("", "6"):
        rules = on("native", f"ip{family}tables", "-S", "INPUT")
        assert "-P INPUT DROP" in rules
        assert "-p ipv6 " not in rules and "-p 41 " not in rules  # no tunnel's
    assert "-s 192.0.2.0/24 -p tcp -m multiport" in run("iptables", "-S", "INPUT")
    assert "multiport --dports 25" in on("native", "ip6tables", "-S", "INPUT")

    again = apply()
    assert sorted(again) == ["native", "server"]
    for results in again.values():
        assert {each["result"] for each in results.values()} == {True}, results
        assert [each["changes"] for each in results.values()] == [{}] * len(results)
