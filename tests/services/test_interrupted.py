"""Ctrl-C, and a run that is killed, in the middle of a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import REPOSITORY
from . import daemons

CONF = Path("/etc/dovecot/dovecot.conf")
INIT = Path("/etc/init.d/dovecot")
HANGS = Path("/run/dovecot.hangs")


@pytest.fixture(autouse=True)
def _dovecot(ipv4_only: Any) -> Iterator[None]:
    """Dovecot serves IPv4 only, and its next restart hangs when it has been stopped."""
    ipv4_only("dovecot")
    real = INIT.read_text()
    Path("/etc/init.d/dovecot.real").write_text(real)
    os.chmod("/etc/init.d/dovecot.real", 0o755)
    once = f"[ ! -e {HANGS} ] && {{ echo $$ >{HANGS}; /etc/init.d/dovecot.real stop; sleep 1000 & wait; }}"
    INIT.write_text(f'#!/bin/sh\n[ "$1" != restart ] || {{ {once}; }}\nexec /etc/init.d/dovecot.real "$@"\n')
    yield
    INIT.write_text(real)
    for path in (HANGS, Path("/etc/init.d/dovecot.real")):
        path.unlink(missing_ok=True)


@pytest.fixture
def started(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """A run of its own, as a user starts it, which waits for the restart that hangs."""

    def start() -> subprocess.Popen[str]:
        minion = {"file_client": "local", "root_dir": str(tmp_path), "module_dirs": [str(REPOSITORY)], "id": "server"}
        (tmp_path / "minion").write_text(json.dumps(minion))
        salt_call = [str(Path(sys.executable).parent / "salt-call"), "-c", str(tmp_path), "--local"]
        state = ["state.single", "service_listen.dual_stack", "dovecot", "ports=[143]", "timeout=100"]
        process = subprocess.Popen(
            [*salt_call, *state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        end = time.monotonic() + 60
        while not (HANGS.exists() and "143" not in daemons.run("ss", "-Htln")):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.1)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_an_interrupted_run_puts_everything_back(started: Any, number: signal.Signals) -> None:
    before = CONF.read_bytes()
    process = started()
    assert CONF.read_bytes() != before
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert "This was interrupted. | Everything was put back as it was." in said
    assert "Traceback" not in said
    assert CONF.read_bytes() == before
    assert daemons.families(143) == ["ipv4"]
    assert not list(CONF.parent.glob(".*")) and "sleep 1000" not in daemons.run("ps", "axww")


def test_a_run_that_was_killed_is_put_back_and_the_next_one_ends_as_usual(started: Any, converge: Any) -> None:
    before = CONF.read_bytes()
    process = started()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 60
    while Path("/var/lib/dualstack").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert CONF.read_bytes() == before and daemons.families(143) == ["ipv4"]
    assert not list(CONF.parent.glob(".*")) and "sleep 1000" not in daemons.run("ps", "axww")
    assert converge("dovecot", ports=[143])["result"] is True
    assert not list(CONF.parent.glob(".*")) and not Path("/var/lib/dualstack").exists()
    assert daemons.families(143) == ["ipv4", "ipv6"]
