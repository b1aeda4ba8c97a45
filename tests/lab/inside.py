"""
What the tests of power cuts do inside of the guest: ``inside.py world``, ``inside.py run [NAME=VALUE...]``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CONTROL = Path("/run/control")
SALT = Path("/srv/lab")  # Salt's own files
# What every boot changes, and what only systemd and the lab change.
OTHERS = re.compile(r"/etc/(machine-id.*|resolv.conf|hostname|hosts|mtab|ld.so.cache|alternatives/.*|\.pwd\.lock)")
LIVE = (
    ("iptables-save",),
    ("ip6tables-save",),
    ("ip", "-br", "-4", "address"),
    ("ip", "-br", "-6", "address", "show", "scope", "global"),
    ("ip", "-4", "route"),
    ("ip", "-6", "route", "show", "default"),
    ("sysctl", "net.ipv6.bindv6only", "net.ipv6.conf.all.accept_redirects"),
    ("systemctl", "list-units", "--plain", "--no-legend", "--failed"),
)


def world() -> dict[str, Any]:
    """The host: its files, and what is live, without counters."""
    found: dict[str, Any] = {}
    for top in ("/etc", "/var/lib/dualstack", "/var/lib/dualstack_firewall"):
        for path in sorted([Path(top), *Path(top).rglob("*")]):
            if not OTHERS.fullmatch(str(path)) and path.exists():
                text = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
                found[str(path)] = f"{path.lstat().st_mode:o} {text}"
    for words in LIVE:
        said = subprocess.run(words, check=False, text=True, capture_output=True).stdout
        lines = [re.sub(r"\[\d+:\d+\]|@if\d+|@NONE", "", line) for line in said.splitlines() if line[:1] != "#"]
        found[" ".join(words)] = sorted(" ".join(line.split()) for line in lines)
    return found


def run(environment: dict[str, str]) -> int:
    """The formula, as a minion without a master runs it."""
    pillar = yaml.safe_load((REPOSITORY / "pillar.example").read_text())
    for part in ("services", "dns", "verify", "mail"):
        pillar["ipv6"].pop(part, None)
    if "LAB_BEFORE" not in environment:
        groups = pillar["ipv6"]["firewall"]["tables"]["filter"]["INPUT"]["rules"]
        groups["60-new"] = [{"proto": "tcp", "dport": 8443, "jump": "ACCEPT"}]
        pillar["ipv6"]["tunnel"]["addresses"].append("2001:470:1f13:f87::78/64")
        pillar["ipv6"]["sysctl"]["net.ipv6.conf.all.accept_redirects"] = 0
    minion = {
        "id": "server",
        "file_client": "local",
        "root_dir": str(SALT),
        "pki_dir": str(SALT / "pki"),
        "file_roots": {"base": [str(REPOSITORY / "salt")]},
        "module_dirs": [str(REPOSITORY)],
        "pillar_roots": {"base": [str(SALT / "pillar")]},
        "enable_fqdns_grains": False,
    }
    (SALT / "pillar").mkdir(parents=True, exist_ok=True)
    (SALT / "minion").write_text(yaml.safe_dump(minion))
    (SALT / "pillar/top.sls").write_text("base: {'*': [ipv6]}\n")
    (SALT / "pillar/ipv6.sls").write_text(yaml.safe_dump(pillar))
    words = [sys.executable, "-W", "ignore", str(Path(sys.executable).parent / "salt-call"), "--local", "-c", str(SALT)]
    effects = str(Path(__file__).parent / "effects")
    return subprocess.run(
        [*words, "--state-output=terse", "--log-level=warning", "state.apply", environment.pop("LAB_STATE", "ipv6")],
        check=False,
        env={**os.environ, "PYTHONPATH": effects, **environment},
    ).returncode


def main() -> int:
    """One of both."""
    if sys.argv[1] == "world":
        (CONTROL / "world.new").write_text(json.dumps(world()))
        (CONTROL / "world.new").rename(CONTROL / "world")
        return 0
    return run(dict(each.split("=", 1) for each in sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
