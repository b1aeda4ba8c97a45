"""The guest keeps its promises to the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..lab.guest import Guest, GuestError, follow

ROOT = Path(os.environ.get("LAB_ROOT", "/nonexistent"))  # bin/test makes it


@pytest.fixture
def boot() -> Iterator[Callable[..., Guest]]:
    """Starts guests, and stops them afterwards."""
    guests: list[Guest] = []

    def start(script: str, *shares: Path) -> Guest:
        guests.append(Guest(["sh", "-c", script], ROOT, list(shares)))
        return guests[-1]

    yield start
    for guest in guests:
        guest.stop()


def output(guest: Guest, patience: float = 60) -> str:
    return b"".join(follow(guest.control / "output", guest, patience)).decode()


def test_output_and_exit_status_come_back(boot: Callable[..., Guest]) -> None:
    guest = boot("echo one; echo two >&2; seq 100000; exit 7")
    said = output(guest)
    assert said == "one\ntwo\n" + "".join(f"{n}\n" for n in range(1, 100001))
    assert guest.status() == 7


def test_nothing_that_the_guest_does_reaches_the_machine(boot: Callable[..., Guest], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("as it was")
    before = sorted(str(path) for path in (ROOT / "etc").rglob("*"))
    guest = boot(f"cd {tmp_path}; echo changed >kept; touch new; ls; rm -rf /etc/*; ls /etc; exit 0", tmp_path)
    assert output(guest).split() == ["kept", "new"]
    assert guest.status() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "as it was"
    assert sorted(str(path) for path in (ROOT / "etc").rglob("*")) == before


def test_no_packet_leaves_the_guest(boot: Callable[..., Guest]) -> None:
    guest = boot("ls /sys/class/net; ip route get 192.0.2.1")
    said = output(guest)
    assert said.splitlines()[0] == "lo"
    assert "unreachable" in said
    assert guest.status() == 2


def test_a_silent_guest_is_reported_and_killed(boot: Callable[..., Guest]) -> None:
    guest = boot("echo last words; sleep 1000")
    with pytest.raises(GuestError, match="silent for 20 s and was killed(?s:.*)last words"):
        output(guest, patience=20)
    guest.stop()
    assert not guest.alive()
    assert not guest.folder.exists()


def test_a_guest_that_dies_is_reported(boot: Callable[..., Guest]) -> None:
    guest = boot("echo last words; echo c >/proc/sysrq-trigger")
    output(guest)
    with pytest.raises(GuestError, match="ended without a result(?s:.*)Kernel panic(?s:.*)last words"):
        guest.status()
