"""What ``test=True`` says where a run would first install something, or set a kernel parameter."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..lab.conftest import Salt
from .pillars import REPOSITORY

EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]
FOLDERS = [Path(each) for each in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")]
DEFAULT = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
# As no package of Debian's is called, so that it is missing everywhere.
MISSING = {"lookup": {"packages": {"tunnel": ["dualstack-is-missing"], "ifupdown": "dualstack-is-missing"}}}
TOOLS, TUNNEL = "The tunnel's tools are installed", "The tunnel is up"
PARAMETER = "net.ipv6.conf.default.disable_ipv6"
STACKS = "ifupdown, ifupdown2, ifupdown_ng, netplan, networkd, networkmanager"
FIRST = "; this run installs it first, and only then shows what else changes"


@pytest.fixture
def salt(tmp_path: Path) -> Iterator[Salt]:
    """A minion that has never run, on a host with one address."""
    subprocess.run(["ip", "addr", "add", "46.105.5.1/32", "dev", "lo"], check=True)
    yield Salt(tmp_path / "salt")
    subprocess.run(["ip", "addr", "del", "46.105.5.1/32", "dev", "lo"], check=True)


@pytest.fixture
def without() -> Iterator[Any]:
    """Hide programs of this host."""
    hidden: list[tuple[Path, Path]] = []

    def hide(*programs: str) -> None:
        for place in (folder / each for folder in FOLDERS for each in programs):
            if place.exists() or place.is_symlink():
                hidden.append((place, place.rename(place.with_name(f".{place.name}.hidden"))))

    yield hide
    for place, away in reversed(hidden):
        away.rename(place)


@pytest.fixture
def hardened() -> Iterator[None]:
    """New interfaces have no IPv6."""
    DEFAULT.write_text("1")
    yield
    DEFAULT.write_text("0")


def predicted(salt: Salt, sls: str, **parts: Any) -> dict[str, Any]:
    """The result and the comment of each state, as ``test=True`` has them."""
    (salt.pillar / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": parts}))
    done = salt.call("state.apply", sls, "test=True")
    return {name: (each["result"], each["comment"]) for name, each in done.items()}


def test_the_tunnels_tools_come_first(salt: Salt, without: Any) -> None:
    without("ip")
    done = predicted(salt, "ipv6.tunnel", tunnel=EXAMPLE["tunnel"], **MISSING)
    assert done[TOOLS][0] is None, done
    assert done[TUNNEL] == (None, f"ip is not installed on this host; it comes with the package iproute2{FIRST}")
    # But where no state would install it, a run would fail.
    (salt.folder / "alone").mkdir()
    state = {"up": {"he_tunnel.present": [{"name": "he-ipv6"}, {"pillar": "ipv6:tunnel"}]}}
    (salt.folder / "alone" / "alone.sls").write_text(yaml.safe_dump(state))
    salt.configure(file_roots={"base": [str(salt.folder / "alone")]})
    alone = predicted(salt, "alone", tunnel=EXAMPLE["tunnel"], **MISSING)
    assert alone["up"] == (False, "ip is not installed on this host; it comes with the package iproute2")


def test_ifupdown_comes_first_if_the_pillar_names_it(salt: Salt, without: Any) -> None:
    without("ifup")
    done = predicted(salt, "ipv6.tunnel", tunnel={**EXAMPLE["tunnel"], "stack": "ifupdown"}, **MISSING)
    assert done["ifupdown is installed"][0] is None, done
    said = f"this host has no ifup; supported network stacks: {STACKS}{FIRST}"
    assert done[TUNNEL] == (None, said)
    done = predicted(salt, "ipv6.tunnel", tunnel=EXAMPLE["tunnel"], **MISSING)
    result, said = done[TUNNEL]
    assert result is False
    assert said.startswith("this host has no ifup; ") and said.endswith(f"; supported network stacks: {STACKS}")


def test_a_wrong_tunnel_is_wrong_all_the_same(salt: Salt, without: Any) -> None:
    without("ip")
    done = predicted(salt, "ipv6.tunnel", tunnel={**EXAMPLE["tunnel"], "ttl": 300}, **MISSING)
    assert done["The pillar ipv6 makes sense"][0] is False


@pytest.mark.usefixtures("hardened")
def test_new_interfaces_without_ipv6(salt: Salt) -> None:
    """Whatever else keeps this kernel from having a tunnel, it is said only after this, or not at all."""
    said = f"IPv6 is disabled on every new interface, and so on the tunnel's ({PARAMETER}); set it to 0, as with ipv6:s"
    done = predicted(salt, "ipv6.tunnel", tunnel=EXAMPLE["tunnel"])
    assert (done[TUNNEL][0], done[TUNNEL][1][: len(said)]) == (False, said)
    # The same in a run, which changes nothing.
    before = Path("/etc/network/interfaces").read_bytes()
    run = salt.call("state.apply", "ipv6.tunnel")[TUNNEL]
    assert (run["result"], run["changes"], run["comment"][: len(said)]) == (False, {}, said)
    assert Path("/etc/network/interfaces").read_bytes() == before
    # A run that sets it first would not fail at that.
    done = predicted(salt, "ipv6.tunnel", tunnel=EXAMPLE["tunnel"], sysctl={PARAMETER: 0})
    assert done[f"{PARAMETER} is 0"][0] is None
    assert "disabled" not in done[TUNNEL][1]
    done = predicted(salt, "ipv6.tunnel", tunnel=EXAMPLE["tunnel"], sysctl={"net.ipv6.conf.all.disable_ipv6": 0})
    assert done[TUNNEL][1].startswith(said)  # which has no effect on a value that is 0 already
