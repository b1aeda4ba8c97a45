"""
The host that the harness strikes: real daemons that serve IPv4, other people's rules, a real sshd, and whoever comes
from outside, in a namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..integration import native

REPOSITORY = Path(__file__).resolve().parents[2]
SALT = Path("/srv/salt")  # where Salt keeps its own
KEY = Path("/root/.ssh/harness")
SSH = ["ssh", "-i", str(KEY), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=5"]
SSH += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
FROM_OUTSIDE = ["ip", "netns", "exec", native.NAMESPACE]
ADDRESSES = {"ipv4": native.IPV4, "ipv6": native.ADDRESS}

# Each service: its port, its processes, and its configuration of 2011.
SERVICES: dict[str, tuple[int, str, str]] = {
    "dovecot": (143, "dovecot", r"sed -i 's/^#listen = \*, ::$/listen = */' /etc/dovecot/dovecot.conf"),
    "ssh": (22, "sshd", "echo 'ListenAddress 0.0.0.0' >/etc/ssh/sshd_config.d/local.conf"),
    # It would lose IPv4 with net.ipv6.bindv6only, if it were left as it is.
    "haproxy": (
        8080,
        "haproxy",
        r"""printf '\nfrontend web\n\tbind :::8080\n\tmode http\n\thttp-request return status 200 """
        r"""content-type text/plain string "hello"\n' >>/etc/haproxy/haproxy.cfg""",
    ),
    "nginx": (80, "nginx", r"sed -i '/listen \[::\]:80/d' /etc/nginx/sites-available/default"),
    "postfix": (25, "master", "postconf -e 'inet_protocols = ipv4' 'mynetworks = 127.0.0.0/8'"),
}
QUICK = ("dovecot", "ssh", "haproxy")

RULES = {
    "iptables-restore": """
        *nat
        :PREROUTING ACCEPT
        :DOCKER -
        -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:9000
        COMMIT
        *filter
        :INPUT DROP
        :FORWARD DROP
        :DOCKER -
        :f2b-sshd -
        -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
        -A INPUT -i lo -j ACCEPT
        -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -p icmp -j ACCEPT
        -A INPUT -p tcp -m multiport --dports 22,25,80,143,8080 -j ACCEPT
        -A FORWARD -o docker0 -j DOCKER
        -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 9000 -j ACCEPT
        -A f2b-sshd -s 198.51.100.66/32 -j REJECT --reject-with icmp-port-unreachable
        -A f2b-sshd -j RETURN
        COMMIT
        """,
    "ip6tables-restore": """
        *filter
        :INPUT ACCEPT
        :f2b-sshd -
        -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
        -A f2b-sshd -s 2001:db8:bad::66/128 -j REJECT --reject-with icmp6-port-unreachable
        -A f2b-sshd -j RETURN
        COMMIT
        """,
}


def pillar(services: tuple[str, ...], tunnel: bool) -> dict[str, Any]:
    """What the host is to become."""
    ports = [SERVICES[each][0] for each in SERVICES]
    accepted = [
        "-i lo -j ACCEPT",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-p icmp -j ACCEPT",
        {"proto": "tcp", "dports": ports, "jump": "ACCEPT"},
    ]
    tables = {"INPUT": {"policy": "DROP", "rules": accepted}, "FORWARD": {"policy": "DROP"}, "OUTPUT": {}}
    expected = [{"to": "tcp/22", "verdict": "accept"}, {"to": "tcp/3306", "verdict": "drop"}]
    wanted: dict[str, Any] = {
        "sysctl": {"net.ipv6.bindv6only": 1, "net.ipv6.conf.all.accept_redirects": 0},
        "firewall": {"tables": {"filter": tables}, "expect": expected},
        "services": {each: {"ports": [SERVICES[each][0]], "timeout": 20} for each in services},
    }
    if "postfix" in services:
        wanted["services"]["postfix"]["send"] = "ipv4"
    if tunnel:
        wanted["tunnel"] = {
            "endpoint": "192.0.2.1",
            "local": native.IPV4,
            "address": "2001:db8:5::2/64",
            "routing": "source",
        }
    return {"ipv6": wanted}


def shell(command: str) -> str:
    """What a shell prints; the command has to succeed."""
    done = subprocess.run(["sh", "-ec", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def host(services: tuple[str, ...], tunnel: bool = False) -> Iterator[None]:
    """The host as it was in 2011, and running."""
    assert "ENCLOSED" in os.environ, "run this with tests/enclosure.sh"
    with native.host():
        os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"  # not what is put in the place of a program
        Path("/etc/iptables").mkdir()
        for command, text in RULES.items():
            text = re.sub("^ +", "", text.lstrip(), flags=re.MULTILINE)
            subprocess.run([command], input=text, text=True, check=True)
            Path("/etc/iptables", "rules.v6" if "6" in command else "rules.v4").write_text(text)
        Path("/etc/sysctl.d/local.conf").write_text("# What we have set.\nnet.ipv4.tcp_syncookies = 1\n")
        Path("/proc/sys/net/ipv6/bindv6only").write_text("0\n")
        KEY.parent.mkdir(mode=0o700, exist_ok=True)
        shell(f"ssh-keygen -q -t ed25519 -N '' -f {KEY}; cp {KEY}.pub {KEY.parent}/authorized_keys")
        for name in services:
            shell(f"{SERVICES[name][2]}; service {name} start >/dev/null 2>&1")
        configure(services, tunnel)
        while shell("ip -6 addr show tentative"):  # their routes come when nobody else has the address
            time.sleep(0.05)
        yield


def configure(services: tuple[str, ...], tunnel: bool) -> None:
    """A minion without a master, and a second one with a cache of its own."""
    for folder in (SALT, SALT.with_name("salt2")):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "pillar").mkdir(parents=True)
        minion = {
            "id": "server",
            "file_client": "local",
            "root_dir": str(folder),
            "file_roots": {"base": [str(REPOSITORY / "salt")]},
            "module_dirs": [str(REPOSITORY)],
            "pillar_roots": {"base": [str(SALT / "pillar")]},
            "enable_fqdns_grains": False,
            "enable_gpu_grains": False,
        }
        (folder / "minion").write_text(json.dumps(minion))
    (SALT / "pillar" / "top.sls").write_text(json.dumps({"base": {"*": ["ipv6"]}}))
    (SALT / "pillar" / "ipv6.sls").write_text(json.dumps(pillar(services, tunnel), indent=1))


class Session:
    """Somebody who is logged in, from outside."""

    def __init__(self) -> None:
        words = [*FROM_OUTSIDE, *SSH, f"root@{native.IPV4}", "cat"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.answers(), "nobody can log in"

    def answers(self) -> bool:
        """Whether it is still there."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin and stdout
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            stdin.write(b"there?\n")
            done = subprocess.run(
                ["timeout", "6", "head", "-n", "1"], stdin=stdout, capture_output=True, check=False, timeout=10
            )
            return done.stdout == b"there?\n"
        return False


def logs_in(family: str) -> bool:
    """Whether somebody can log in anew."""
    words = [*FROM_OUTSIDE, *SSH, f"root@{ADDRESSES[family]}", "true"]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30).returncode == 0
