"""A server with a disk and systemd, whose power can be cut."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .guest import Guest, GuestError

REPOSITORY = Path(__file__).resolve().parents[2]
INSIDE = f"{sys.executable} {REPOSITORY}/tests/lab/inside.py"
SHUT = ("3306", "8443")  # ports that the server's firewall does not let anybody reach before the run
PATIENCE = 600.0  # seconds for a boot and what is done after it, on a busy machine
# The server's firewall before the first run: IPv4 only, as it was in 2011.
FIREWALL = """\
mkdir -p /etc/iptables
cat >/etc/iptables/rules.v4 <<RULES
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
RULES
"""


class Server:
    """
    The server, from boot to boot.

    folder
        Where its disk is.
    first
        What is done at its first boot before systemd begins: commands of a shell.
    patience
        Seconds for a boot and what is done after it.
    """

    def __init__(self, folder: Path, first: str = "", patience: float = PATIENCE) -> None:
        self.patience = patience
        self.first = FIREWALL + first
        self.disk = folder / "disk"
        with self.disk.open("wb") as stream:
            stream.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m0", str(self.disk)], check=True)
        self.guest: Guest | None = None

    def boot(self, *commands: str) -> None:
        """Boot, and run these commands of a shell then; the guest ends after them."""
        self.cut()
        script = "exec bash {0}/tests/lab/systemd.sh {0}\n".format(shlex.quote(str(REPOSITORY)))
        self.guest = Guest(
            ["bash", "-ec", "\n".join(commands)],
            Path(os.environ["LAB_ROOT"]),
            [REPOSITORY, Path(sys.prefix)],
            {"boot": script, "first": self.first, "knocks": "", "effects": ""},
            memory="1G",
            disk=self.disk,
        )

    def cut(self) -> None:
        """Cut the power."""
        if self.guest:
            self.guest.stop()
        self.guest = None

    def await_file(self, name: str, *others: str) -> str:
        """Wait until the guest has written one of its files in /run/control; the text."""
        wanted = (name, *others)
        self.wait(lambda: any((self.control / each).exists() for each in wanted), f"none of {wanted} was written")
        return "".join((self.control / each).read_text() for each in wanted if (self.control / each).exists())

    def wait(self, holds: Callable[[], bool], why: str) -> None:
        """Wait until something is true."""
        end = time.monotonic() + self.patience
        assert self.guest
        while not holds():
            if not self.guest.alive() or time.monotonic() > end:
                raise GuestError(f"{why}\n{self.guest.last_words()}")
            time.sleep(0.05)

    @property
    def control(self) -> Path:
        """What the guest has as /run/control."""
        assert self.guest
        return self.guest.control

    @property
    def output(self) -> str:
        """What the commands have printed."""
        return (self.control / "output").read_text(errors="replace")

    def world(self) -> dict[str, Any]:
        """The server as ``inside.py world`` has seen it last."""
        found: dict[str, Any] = json.loads(self.await_file("world"))
        return found

    def knocks(self) -> dict[str, dict[str, int]]:
        """How often somebody was let in, or not, since the boot: by address and port."""
        found: dict[str, dict[str, int]] = {}
        for line in (self.control / "knocks").read_text().splitlines():
            _, address, port, said = line.split()
            counts = found.setdefault(f"{address} {port}", {})
            counts[said] = counts.get(said, 0) + 1
        return found


class Cut(NamedTuple):
    """Where the power is cut."""

    where: str
    effect: str  # a pattern of effects/sitecustomize.py, or a number
    after: float = 0.0  # seconds for which that, and all that follows, goes on
    new: bool = False  # whether the run is complete by then, and the boot comes up new


class Row(NamedTuple):
    """What was found after the boot that followed a cut."""

    cut: Cut
    effect: str
    changed: dict[str, Any]  # what is not as it was before the run
    let_in: int  # how many knocks at ports that were shut before it
    tried: int

    @property
    def ends(self) -> str:
        """The state of the host."""
        if not self.changed:
            return "old"
        return "new" if self.cut.new and any("8443" in str(each) for each in self.changed.values()) else "mixed"

    def __str__(self) -> str:
        return f"{self.cut.where:42} {self.ends:6} {self.let_in} of {self.tried}   {self.effect[:60]}"


def after_cuts(server: Server, cuts: Sequence[Cut]) -> list[Row]:
    """
    Run the formula once for each cut, cut the power there, boot, and look.

    A cut after which the host is new is the last one.
    """
    found: list[Row] = []
    old: dict[str, Any] = {}
    effect = ""
    for number in range(len(cuts) + 1):
        commands = [f"{INSIDE} world"]
        if number < len(cuts):
            during = " LAB_CUT_DURING=1" if cuts[number].after else ""
            commands.append(f"{INSIDE} run {shlex.quote(f'LAB_CUT={cuts[number].effect}')}{during}")
        server.boot(*commands)
        world = server.world()
        if number:
            shut = [each for key, each in server.knocks().items() if key.split()[1] in SHUT]
            tried = sum(sum(each.values()) for each in shut)
            found.append(
                Row(cuts[number - 1], effect, differences(old, world), sum(each.get("in", 0) for each in shut), tried)
            )
            print(found[-1], *(f"\n  {key}: {each}" for key, each in found[-1].changed.items()), flush=True)
        else:
            old = world
        assert any(each.get("in") for each in server.knocks().values()), "nobody was let in, not even by ssh"
        if number < len(cuts):
            effect = server.await_file("reached")
            time.sleep(cuts[number].after)
        server.cut()
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not the same in two worlds."""
    keys = sorted({*before, *after})
    return {each: (before.get(each), after.get(each)) for each in keys if before.get(each) != after.get(each)}
