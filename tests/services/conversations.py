"""Conversations with real daemons over both families."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_service_compare as service_compare
import _dualstack_service_probe as service_probe
import _dualstack_service_probe_udp as service_probe_udp
import pytest

from . import daemons

FOUR, SIX = "192.0.2.10", "2001:db8::10"
LATE = 5  # seconds that no answer takes, but postscreen's

Answers = tuple[dict[str, Any], dict[str, Any]]
Start = Callable[..., None]
Run = Callable[..., Path]


@contextlib.contextmanager
def addresses() -> Iterator[None]:
    """The host has an address of each family besides loopback's."""
    for address in (f"{FOUR}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "add", address, "dev", "lo")
    yield
    for address in (f"{FOUR}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "del", address, "dev", "lo")


def starter(request: pytest.FixtureRequest) -> Start:
    """Starts a service; when the test ends, it is stopped, and the configuration is Debian's again."""

    def _start(name: str, *ports: int, folder: str = "") -> None:
        request.addfinalizer(lambda: _restore(folder or f"/etc/{name}"))
        request.addfinalizer(lambda: daemons.stop(name, *ports))
        daemons.start(name, *ports)

    return _start


def runner(request: pytest.FixtureRequest, folder: Path) -> Run:
    """Runs a daemon in the background without its service; it is stopped when the test ends. Returns its output."""

    def _run(*words: str) -> Path:
        output = folder / "output"
        with output.open("w") as file:
            null = os.open(os.devnull, os.O_RDONLY)
            actions = [(os.POSIX_SPAWN_DUP2, null, 0), *((os.POSIX_SPAWN_DUP2, file.fileno(), each) for each in (1, 2))]
            pid = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
            os.close(null)

        def _stop() -> None:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)

        request.addfinalizer(_stop)
        return output

    return _run


def _restore(folder: str) -> None:
    daemons.run("rm", "-rf", folder)
    daemons.run("cp", "-a", f"{daemons.ROOT}{folder}", folder)


def both(port: int, protocol: str, **more: Any) -> Answers:
    four, six = service_probe.probe_all(
        [{"address": address, "port": port, "protocol": protocol, **more} for address in (FOUR, SIX)]
    )
    return four, six


def same(answers: Answers) -> dict[str, Any]:
    """Both answer, nothing differs, and nothing is told; returns what is seen."""
    four, six = answers
    assert (four["error"], six["error"]) == ("", "")
    assert four["answers"] and six["answers"] and max(four["seconds"], six["seconds"]) < LATE
    assert service_compare.differences(four, six) == []
    look: dict[str, Any] = six["look"]
    return look


def both_udp(port: int, protocol: str) -> Answers:
    """Until a daemon that has just been started answers over IPv4."""
    deadline = time.monotonic() + 20
    while not (four := service_probe_udp.probe_udp(FOUR, port, protocol, 2))["answers"]:
        assert time.monotonic() < deadline, four
        time.sleep(0.1)
    return four, service_probe_udp.probe_udp(SIX, port, protocol, 2)


def certificate(name: str, folder: Path) -> tuple[str, str]:
    """A certificate for a name, and its key: their files."""
    made = [str(folder / f"{name.replace('*', 'all')}.{end}") for end in ("crt", "key")]
    daemons.run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3"),
        *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-out", made[0], "-keyout", made[1]),
    )
    for each in made:
        os.chmod(each, 0o644)
    return made[0], made[1]
