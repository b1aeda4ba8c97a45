"""The broker by way of Salt itself: the state and the functions, the formula's order, the hook and its salt-call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import LOCAL, REPOSITORY, renumbered
from .server import ID, KEY

SALT_CALL = Path(sys.executable).parent / "salt-call"


class Minion:
    """A minion without a master."""

    def __init__(self, folder: Path, pillar: dict[str, Any]) -> None:
        self.folder = folder
        settings = {
            "root_dir": str(folder),
            "id": "host",
            "file_client": "local",
            "file_roots": {"base": [str(REPOSITORY / "salt"), str(folder / "own")]},
            "pillar_roots": {"base": [str(folder / "pillar")]},
            "module_dirs": [str(REPOSITORY)],
        }
        (folder / "minion").write_text(yaml.safe_dump(settings))
        for each in ("pillar", "own"):
            (folder / each).mkdir()
        state = {"The broker knows": {"he_tunnel.registered": [{"pillar": "ipv6:tunnel"}]}}
        (folder / "own" / "told.sls").write_text(yaml.safe_dump(state))
        (folder / "pillar" / "top.sls").write_text("base: {'*': [ipv6]}\n")
        (folder / "pillar" / "ipv6.sls").write_text(yaml.safe_dump(pillar))

    def words(self, *words: str) -> list[str]:
        """The command line."""
        return [str(SALT_CALL), "--local", f"--config-dir={self.folder}", *words]

    def call(self, *words: str, retcode: int = 0) -> Any:
        """What a function returns; the key is in nothing that it says."""
        command = self.words("--out=json", "--retcode-passthrough", *words)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        logged = "".join(each.read_text() for each in self.folder.glob("var/log/salt/*"))
        assert KEY not in done.stdout + done.stderr + logged
        assert done.returncode == retcode, done
        return json.loads(done.stdout)["local"]


@pytest.fixture
def minion(tmp_path: Path, pillar: dict[str, Any]) -> Minion:
    """A minion with the pillar of the broker's tests."""
    return Minion(tmp_path, pillar)


def test_the_state_and_the_function(minion: Minion, broker: Any) -> None:
    broker.tunnels[ID]["clientv4"] = "198.51.100.9"
    change = {"endpoint": {"old": "198.51.100.9", "new": LOCAL}}
    state = ("state.apply", "told")
    for words, expected, count in (
        ((*state, "test=True"), (None, change), 0),
        (state, (True, change), 1),
        (state, (True, {}), 1),
        (("he_tunnel.registered", "x", "pillar=ipv6:tunnel"), (True, {}), 1),
    ):
        found = minion.call(*words)
        done = next(iter(found.values())) if words[0] == "state.apply" else found
        assert (done["result"], done["changes"]) == expected, done
        assert len(broker.updates()) == count
    assert minion.call("he_tunnel.broker_info")["in_sync"] is False  # there are no addresses yet
    renumbered("46.105.5.9")
    broker.answers["update"] = (200, "badauth")
    for _ in range(2):
        (done,) = minion.call(*state, retcode=2).values()
        assert done["result"] is False and "update key is wrong" in done["comment"]
    assert len(broker.updates()) == 2


def test_named_arguments_are_enough(minion: Minion, broker: Any, pillar: dict[str, Any]) -> None:
    tunnel = pillar["ipv6"]["tunnel"]
    words = [f"{key}={tunnel[key]}" for key in ("id", "account", "broker", "ca")]
    (done,) = minion.call("state.single", "he_tunnel.registered", "six", *words).values()
    assert (done["result"], done["comment"]) == (True, "six is as declared")
    (done,) = minion.call("state.single", "he_tunnel.registered", "six", *words, "acount=x", retcode=2).values()
    assert done["comment"] == "unknown argument: acount"


@pytest.mark.parametrize("register", [True, False])
def test_the_formula_tells_the_broker_after_the_tunnel_is_up(
    tmp_path: Path, pillar: dict[str, Any], register: bool
) -> None:
    pillar["ipv6"]["tunnel"]["register"] = register
    found = Minion(tmp_path, pillar).call("state.show_sls", "ipv6.verify")
    name = "The broker knows this host's address"
    assert (name in found) is register
    if register:
        assert {"pillar": "ipv6:tunnel"} in found[name]["he_tunnel"]
        order = {
            each: next(part["order"] for part in found[each]["he_tunnel"] if "order" in part)
            for each in found
            if "he_tunnel" in found[each]
        }
        assert order["The tunnel is up"] < order[name] < order["The tunnel is as it is configured"]
    assert "The broker answers through the tunnel" in found


def test_the_hook_with_a_real_minion(minion: Minion, broker: Any, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    defaults = tmp_path / "defaults"
    text = (REPOSITORY / "examples" / "hooks" / "dualstack-tunnel").read_text()
    hook.write_text(text.replace("/run/", f"{tmp_path}/").replace("/etc/default/dualstack-tunnel", str(defaults)))
    defaults.write_text(f'CALL="{" ".join(minion.words())}"\n')
    broker.tunnels[ID]["clientv4"] = "198.51.100.9"
    told = tmp_path / "dualstack-tunnel.address"
    for _ in range(2):
        env = {"IFACE": "eth0", "MODE": "start", "ADDRFAM": "inet", "PATH": os.environ["PATH"]}
        subprocess.run(["sh", hook], env=env, check=True, timeout=10)
        for _ in range(600):
            if told.exists():
                break
            time.sleep(0.1)
        assert told.read_text() == f"{LOCAL}\n"
    assert [each["query"]["myip"] for each in broker.updates()] == [LOCAL]


def test_the_kernel_has_the_rules_for_the_brokers_pings(tmp_path: Path, pillar: dict[str, Any]) -> None:
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]}}}
    pillar["ipv6"]["firewall"] = {"tables": tables, "save": False}
    minion = Minion(tmp_path, pillar)
    state = {"The rules": {"dualstack_iptables.ruleset": [{"pillar": "ipv6:firewall"}]}}
    (tmp_path / "own" / "told.sls").write_text(yaml.safe_dump(state))
    (done,) = minion.call("state.apply", "told").values()
    assert done["result"] is True, done["comment"]
    live = subprocess.run(["iptables-save", "-t", "filter"], check=True, capture_output=True, text=True).stdout
    for source in ("66.220.2.74", "216.66.84.42"):
        assert f"-A INPUT -s {source}/32 -p icmp -m icmp --icmp-type 8 -j ACCEPT\n" in live
    (again,) = minion.call("state.apply", "told").values()
    assert (again["result"], again["changes"]) == (True, {})
    for command in ("iptables", "ip6tables"):
        for words in (["-P", "INPUT", "ACCEPT"], ["-F"]):
            subprocess.run([command, *words], check=True)
