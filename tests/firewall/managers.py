"""Other managers of the firewall: Debian's ufw, put where its package has it and switched on by its own commands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from . import netfilter

UFW = Path("/opt/ufw")
CONF = Path("/etc/ufw/ufw.conf")
PLACES = (
    "/etc/ufw",
    "/etc/default/ufw",
    "/lib/ufw",
    "/usr/sbin/ufw",
    "/usr/share/ufw",
    "/usr/lib/python3/dist-packages/ufw",
)


def install_ufw() -> None:
    """What the package's own script makes of its files: ufw is installed, and not enabled."""
    assert UFW.is_dir(), "tests/lab/root.sh unpacks it"
    for each in ("etc", "lib", "usr"):
        netfilter.run("cp", "-a", f"{UFW}/{each}/.", f"/{each}/")
    for name in ("before.rules", "before6.rules", "after.rules", "after6.rules", "user.rules", "user6.rules"):
        shutil.copy(f"/usr/share/ufw/iptables/{name}", "/etc/ufw")
    for name in ("before.init", "after.init", "ufw.conf"):
        shutil.copy(f"/usr/share/ufw/{name}", "/etc/ufw")


def remove_ufw() -> None:
    """Nothing of it is left but chains, which ``netfilter.reset`` removes."""
    for each in PLACES:
        if Path(each).is_dir():
            shutil.rmtree(each)
        else:
            Path(each).unlink(missing_ok=True)


def ufw(*words: str) -> str:
    """One of ufw's own commands."""
    done = subprocess.run(["ufw", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


def enable_ufw(*rules: str) -> None:
    """It runs, and lets in what its rules say, such as ``allow 22/tcp``."""
    for each in rules:
        ufw(*each.split())
    ufw("--force", "enable")
