"""A fleet: canaries, batches, and the first failure is the end: a real master, and minions on hosts of their own."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.utils.event
import yaml

from .conftest import PILLAR, REPOSITORY
from .test_confirm import FOLDER, REPORTS, new, over

MINIONS = ("canary", "second")
ROOTS = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}


def at_work() -> psutil.Process:
    """The process of the run that is under way: it is named until the run waits for its confirmation."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            if found := re.search(r"^pid=([1-9]\d*)$", (FOLDER / "holder").read_text(), re.MULTILINE):
                return psutil.Process(int(found[1]))
        time.sleep(0.01)


@pytest.fixture(scope="module")
def pillars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The master's pillar, the same for both."""
    folder = tmp_path_factory.mktemp("pillar")
    (folder / "top.sls").write_text("base: {'*': [ipv6]}\n")
    (folder / "ipv6.sls").write_text(yaml.safe_dump(PILLAR))
    return folder


@pytest.fixture(scope="module")
def master(salt_factories: Any, pillars: Path) -> Iterator[Any]:
    """
    A master, and two minions. They share this host, so that the second one finds it as the first has left it: what is
    asked here is who is changed when, and confirmed by whom.
    """
    overrides = {
        "file_roots": ROOTS,
        "pillar_roots": {"base": [str(pillars)]},
        "open_mode": True,
        "fileserver_list_cache_time": 0,
        "pillar_source_merging_strategy": "overwrite",
    }
    daemon = salt_factories.salt_master_daemon("fleet", overrides=overrides)
    minions = [daemon.salt_minion_daemon(name, overrides={"start_event_grains": []}) for name in MINIONS]
    with ExitStack() as running:
        for each in (daemon, *minions):
            running.enter_context(each.started(start_timeout=300))
        daemon.minions = dict(zip(MINIONS, minions))
        daemon.salt_run_cli(timeout=300).run("saltutil.sync_runners")
        yield daemon


@pytest.fixture
def roll_out(master: Any, pillars: Path, host: None) -> Iterator[Callable[..., dict[str, Any]]]:
    """``salt-run ipv6_rollout.apply '*'``."""

    def run(*words: str) -> dict[str, Any]:
        done = master.salt_run_cli(timeout=400).run("ipv6_rollout.apply", "*", *words)
        print(done)
        assert (done.returncode == 0) is done.data["result"]
        return dict(done.data)

    (pillars / "ipv6.sls").write_text(yaml.safe_dump(PILLAR))
    yield run
    for each in REPORTS:
        each.unlink(missing_ok=True)


def test_one_after_the_other(roll_out: Callable[..., dict[str, Any]]) -> None:
    done = roll_out("within=100")
    nobody: dict[str, Any] = {"put back": {}, "failed": {}, "lost": {}, "not begun": [], "silent": []}
    assert done == {"result": True, "retcode": 0, "done": list(MINIONS), **nobody}
    assert new() and over()


def test_a_canary_that_fails_is_the_end(roll_out: Callable[..., dict[str, Any]]) -> None:
    broken = Path("/etc/iptables")
    broken.write_text("no folder, so that the rules cannot be saved")
    done = roll_out("within=100")
    assert (done["result"], done["done"], done["not begun"]) == (False, [], ["second"])
    assert "The firewall is up" in str(done["failed"]["canary"])
    broken.unlink()


def test_a_canary_that_is_not_reached_any_more_is_put_back(
    roll_out: Callable[..., dict[str, Any]], master: Any
) -> None:
    """The minion hears nothing after the last change, nor answers what it has heard; its job goes on."""
    daemon = psutil.Process(master.minions["canary"].pid)

    def stop() -> None:
        job = at_work()
        while not (FOLDER / "waiting").exists():
            time.sleep(0.002)  # the confirmation is on its way
        daemon.suspend()  # it begins nothing any more
        deaf = {daemon, *daemon.children(recursive=True)} - {job, *job.children(recursive=True)}
        for each in deaf:
            each.suspend()
        while not over():
            time.sleep(0.1)
        for each in deaf:
            each.resume()

    thread = threading.Thread(target=stop)
    thread.start()
    done = roll_out("within=10")
    thread.join()
    assert (done["result"], done["done"], done["not begun"]) == (False, [], ["second"])
    assert "nobody has confirmed it in time" in done["put back"]["canary"]
    assert not new() and over()


def test_the_master_is_told(master: Any, host: None) -> None:
    """Of a run that was killed the restorer tells it, of one that is kept the run itself."""
    command = master.salt_cli(timeout=300)
    with salt.utils.event.get_event("master", sock_dir=master.config["sock_dir"], opts=master.config) as bus:
        pillar = {"ipv6_confirm": {"mode": "manual", "within": 100}}
        started = command.run("--async", "state.apply", "ipv6", pillar=pillar, minion_tgt="canary")
        assert started.returncode == 0
        while not (FOLDER / "waiting").exists():
            time.sleep(0.1)
        assert command.run("ipv6.rollback", minion_tgt="canary").data["outcome"] == "put back"
        asked = "somebody has asked for it (ipv6.rollback)"
        reports: list[str] = []
        while not reports or asked not in reports[-1]:  # that of an earlier test may come late
            told = bus.get_event(wait=90, tag="dualstack/restored")
            assert told, reports
            reports.append(told["data"]["report"])
        command.run("state.apply", "ipv6", minion_tgt="canary")
        told = bus.get_event(wait=30, tag="dualstack/confirmed")
        assert sorted(told["data"]["changed"]) == ["firewall", "sysctl"]
        assert "the weaker proof" in told["data"]["how"]
    for each in REPORTS:
        each.unlink(missing_ok=True)
