"""Host names in rules, chains that are not there, and the errors of rules where no namespace may be made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import netfilter

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTS = Path("/etc/hosts")
Converge = Callable[..., dict[str, Any]]
NAMES = """
192.0.2.77 mail.example.net
192.0.2.76 mail.example.net
2001:db8::77 mail.example.net
192.0.2.80 four.example.net
"""


@pytest.fixture
def _names() -> Iterator[None]:
    before = HOSTS.read_text()
    HOSTS.write_text(before + NAMES)
    yield
    HOSTS.write_text(before)


@pytest.fixture
def name_server(shadows: Path, tmp_path: Path) -> Iterator[None]:
    """One that this namespace can reach, and a scratch one cannot."""
    server = Path(__file__).with_name("names.py")
    before = Path("/etc/resolv.conf").read_text()
    with subprocess.Popen([sys.executable, str(server)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            yield
        finally:
            Path("/etc/resolv.conf").write_text(before)
            process.kill()


def tables(*rules: Any, **chains: Any) -> dict[str, Any]:
    return {"filter": {"INPUT": {"policy": "ACCEPT", "rules": list(rules)}, **chains}}


@pytest.mark.usefixtures("_names")
def test_names_of_hosts(converge: Converge, backend: str) -> None:
    comment = '-m comment --comment "not -s four.example.net here"'
    given = tables(
        f"-s mail.example.net -p tcp --dport 25 {comment} -j ACCEPT",
        {"family": "ipv4", "rule": "-d mail.example.net/24,198.51.100.7 -j DROP"},
        {"family": "ipv4", "rule": "! -s four.example.net -j ACCEPT"},
    )
    for test in (True, False):
        done = converge(given, test=test, icmpv6_essential=False)
        assert done["result"] is (None if test else True), done["comment"]
        for hosts in ("192.0.2.76, 192.0.2.77", "2001:db8::77"):
            said = (
                f"tables:filter:INPUT:rules[0]: the name mail.example.net means {hosts} now, and may mean another host"
            )
            assert said in done["comment"]
    written = f"-p tcp -m tcp --dport 25 {comment} -j ACCEPT"
    assert netfilter.rules("ipv4", backend, "INPUT") == [
        f"-s 192.0.2.76/32 {written}",
        f"-s 192.0.2.77/32 {written}",
        "-d 192.0.2.0/24 -j DROP",
        "-d 192.0.2.0/24 -j DROP",
        "-d 198.51.100.7/32 -j DROP",
        "! -s 192.0.2.80/32 -j ACCEPT",
    ]
    assert netfilter.rules("ipv6", backend, "INPUT")[0] == f"-s 2001:db8::77/128 {written}"
    again = converge(given, icmpv6_essential=False)
    assert (again["result"], again["changes"]) == (True, {})


@pytest.mark.usefixtures("name_server")
def test_names_that_only_a_name_server_knows(converge: Converge, backend: str) -> None:
    """Also where iptables would have to be asked in a namespace that has none."""
    done = converge(tables("-s www.example.org -j DROP"), icmpv6_essential=False)
    assert done["result"] is True, done["comment"]
    assert netfilter.rules("ipv4", backend, "INPUT") == ["-s 192.0.2.81/32 -j DROP"]
    assert netfilter.rules("ipv6", backend, "INPUT") == ["-s 2001:db8::81/128 -j DROP"]


@pytest.mark.usefixtures("_names")
def test_a_name_without_an_address(converge: Converge) -> None:
    for test in (True, False):
        done = converge(tables("-j ACCEPT", "-s nobody.example.net -j DROP", "-s four.example.net -j DROP"), test=test)
        assert done["result"] is False and done["changes"] == {}
        lines = [line.partition(", as far")[0] for line in done["comment"].splitlines()]
        place = "tables:filter:INPUT:rules"
        assert sorted(lines) == [
            f"{place}[1]: the host nobody.example.net has no address of IPv4",
            f"{place}[1]: the host nobody.example.net has no address of IPv6",
            f"{place}[2]: the host four.example.net has no address of IPv6",
        ]


def test_a_chain_of_others_that_is_not_there(converge: Converge, backend: str) -> None:
    """Both say so: not the prediction alone that all is well."""
    given = tables("-p tcp -j ACCEPT", "-p tcp --dport 22 -j f2b-sshd", FORWARD=["-j DOCKER-USER"])
    netfilter.load("ipv6", backend, "*filter\n:f2b-sshd - [0:0]\nCOMMIT\n")
    for test in (True, False):
        done = converge(given, test=test)
        assert (done["result"], done["changes"]) == (False, {})
        lines = [line.partition("; ")[0] for line in done["comment"].splitlines()]
        told = "it leads to the chain DOCKER-USER, which is not in the table filter"
        assert sorted(lines) == [
            f"tables:filter:FORWARD:rules[0]: {told} (ipv4)",
            f"tables:filter:FORWARD:rules[0]: {told} (ipv6)",
            "tables:filter:INPUT:rules[1]: it leads to the chain f2b-sshd, which is not in the table filter (ipv4)",
        ]
    for family in netfilter.COMMANDS:
        netfilter.load(family, backend, "*filter\n:f2b-sshd - [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n")
    assert converge(given)["result"] is True


def test_a_chain_of_ones_own_that_is_not_there(converge: Converge) -> None:
    for test in (True, False):
        done = converge(tables("-p tcp -j ACCEPT", "-j nowhere"), test=test)
        assert done["result"] is False
        assert "tables:filter:INPUT:rules[1]: iptables does not take '-j nowhere'" in done["comment"]


@pytest.mark.parametrize(("rule", "said"), [("-j MASQUERADE", "line"), ("-j nowhere", "nowhere")])
def test_the_error_of_a_rule_without_namespaces(tmp_path: Path, backend: str, rule: str, said: str) -> None:
    """The rule is named, and what the kernel or the command says of it; and nothing of our own is left."""
    settings = {"file_client": "local", "root_dir": str(tmp_path), "module_dirs": [str(REPOSITORY)], "id": "contained"}
    (tmp_path / "minion").write_text(json.dumps(settings))
    words = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-W", "ignore"]
    words += [str(Path(sys.executable).with_name("salt-call")), "-c", str(tmp_path), "--local", "--out=json"]
    words += ["state.single", "dualstack_iptables.ruleset", "name=x", f"backend={backend}"]
    given = tables("-p tcp -j ACCEPT", rule, "-p udp -j ACCEPT", own=["-j RETURN"])
    words += [f"tables={json.dumps(given)}", "icmpv6_essential=False"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    (result,) = json.loads(done.stdout)["local"].values()
    assert (result["result"], result["changes"]) == (False, {})
    first = result["comment"].splitlines()[0]
    assert first.startswith("tables:filter:INPUT:rules[1]: iptables does not take '"), result["comment"]
    assert rule.split()[-1] in first and said in first and "salt-scratch" not in result["comment"]
    for family in netfilter.COMMANDS:
        assert "salt-scratch" not in netfilter.save(family, backend)
