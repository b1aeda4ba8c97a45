"""A run waits to be confirmed, and is confirmed, put back, or forgotten: by other processes, as people do it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..firewall import netfilter
from ..lab.conftest import Salt
from .conftest import PILLAR, REPOSITORY

FOLDER = Path("/var/lib/dualstack/transaction")
REPORTS = [Path("/run/dualstack") / each for each in ("restored", "restored.told")]
END = "This host can still be managed"


@pytest.fixture(autouse=True)
def _without_reports() -> Iterator[None]:
    yield
    for each in REPORTS:
        each.unlink(missing_ok=True)


class Run:
    """A run under way, as ``salt-call --local state.apply ipv6``."""

    def __init__(self, salt: Salt, sls: str = "ipv6", **confirm: Any) -> None:
        self.salt = salt
        (salt.pillar / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": {**PILLAR["ipv6"], "confirm": confirm}}))
        script = [sys.executable, "-W", "ignore", str(Path(sys.executable).parent / "salt-call")]
        words = ("-c", str(salt.folder), "--out=json", "--log-level=warning", "--local", "state.apply", sls)
        self.began = time.monotonic()
        self.process = subprocess.Popen([*script, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_until(self, name: str) -> None:
        """Wait for a file of the transaction."""
        while not (FOLDER / name).exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() - self.began < 60
            time.sleep(0.02)

    def results(self) -> dict[str, Any]:
        """What it has returned, by the states' IDs."""
        out, errors = self.process.communicate(timeout=300)
        print(out, errors)
        found: dict[str, Any] = Salt.results(json.loads(out)["local"])
        return found


def new() -> bool:
    """Whether the rules of the pillar are live, and saved."""
    live = ["-P INPUT DROP" in netfilter.run(each, "-S", "INPUT") for each in ("iptables", "ip6tables")]
    saved = [Path(f"/etc/iptables/rules.v{each}").exists() for each in (4, 6)]
    assert len({*live, *saved}) == 1, (live, saved)
    return live[0]


def over() -> bool:
    """Whether no transaction is open any more."""
    return not FOLDER.exists()


def settled(old: bool) -> None:
    """It has ended like this."""
    end = time.monotonic() + 20
    while not over() and time.monotonic() < end:
        time.sleep(0.1)
    assert over()
    assert new() is not old


def test_it_is_kept_if_somebody_confirms(salt: Salt) -> None:
    run = Run(salt, mode="manual", within=60)
    run.wait_until("entries")
    early = salt.call("ipv6.confirm", "force=True")
    assert early["outcome"] in ("too early", "confirmed")
    if early["outcome"] == "too early":
        assert early["result"] is False
        run.wait_until("waiting")
        refused = salt.call("ipv6.confirm")
        assert (refused["outcome"], refused["result"]) == ("refused", False)
        assert "neither in an ssh session nor a master" in refused["comment"]
        assert (
            salt.call("ipv6.confirm", "12345678", "force=True")["comment"]
            == "not confirmed: the run waits for no token"
        )
        done = salt.call("ipv6.confirm", "force=True")
        assert (done["outcome"], done["result"]) == ("confirmed", True), done
    results = run.results()
    assert {each["result"] for each in results.values()} == {True}, results
    kept, confirmed = results[END]["comment"].splitlines()
    assert kept == "Kept for good: sysctl, firewall."
    assert re.fullmatch(r"Confirmed \d+ s after the last change, by force, without a new connection\.", confirmed)
    settled(old=False)
    nothing = salt.call("ipv6.confirm")
    assert (nothing["outcome"], nothing["result"]) == ("nothing open", True)
    again = salt.call("state.apply", "ipv6")
    assert [each["changes"] for each in again.values()] == [{}] * len(again)


def test_it_is_put_back_if_nobody_does(salt: Salt) -> None:
    run = Run(salt, mode="manual", within=5)
    run.wait_until("waiting")
    waits = time.monotonic()
    results = run.results()
    assert 4.5 < time.monotonic() - waits < 17
    assert results[END]["result"] is False
    for words in ("Nobody has confirmed it.", "nobody has confirmed it in time", "everything is as it was"):
        assert words in results[END]["comment"]
    settled(old=True)
    late = salt.call("ipv6.confirm", "force=True")
    assert (late["outcome"], late["result"]) == ("too late", False)
    assert late["comment"].startswith(f"too late: it was put back at {time.strftime('%Y-')}")
    assert "nobody has confirmed it in time" in late["comment"]


def test_the_token_counts(salt: Salt) -> None:
    run = Run(salt, mode="manual", within=60, token="only-this-one")
    run.wait_until("waiting")
    for words, said in (([], "a token"), (["another-one"], "another token")):
        refused = salt.call("ipv6.confirm", "force=True", *words)
        assert refused["comment"] == f"not confirmed: the run waits for {said}"
    assert salt.call("ipv6.confirm", "only-this-one", "force=True")["outcome"] == "confirmed"
    assert run.results()[END]["result"] is True
    settled(old=False)


def test_a_run_that_waits_is_confirmed_after_its_death(salt: Salt) -> None:
    run = Run(salt, mode="manual", within=60)
    run.wait_until("waiting")
    run.process.kill()
    run.process.wait()
    time.sleep(1)
    assert not over()
    assert salt.call("ipv6.confirm", "force=True")["outcome"] == "confirmed"
    settled(old=False)


def test_rollback_of_a_run_that_waits(salt: Salt) -> None:
    assert salt.call("ipv6.rollback")["outcome"] == "nothing open"
    run = Run(salt, mode="manual", within=60)
    run.wait_until("waiting")
    done = salt.call("ipv6.rollback")
    assert (done["outcome"], done["result"]) == ("put back", True)
    assert "somebody has asked for it" in done["comment"]
    assert run.results()[END]["result"] is False
    settled(old=True)


def test_rollback_of_a_run_in_its_middle(salt: Salt) -> None:
    """It is ended, with what it has started."""
    folder = salt.folder / "states"
    folder.mkdir()
    slow = {
        "include": ["ipv6"],
        "It takes its time": {
            "cmd.run": [
                {"name": f"touch {folder}/begun; exec sleep 321"},
                {"require": ["The firewall is up"]},
                {"require_in": [END]},
            ]
        },
    }
    (folder / "slow.sls").write_text(yaml.safe_dump(slow))
    salt.configure(file_roots={"base": [str(folder), str(REPOSITORY / "salt")]})
    run = Run(salt, sls="slow", mode="auto")
    while not (folder / "begun").exists():
        assert run.process.poll() is None
        time.sleep(0.1)
    assert new()
    done = salt.call("ipv6.rollback")
    assert (done["outcome"], done["result"]) == ("put back", True), done
    assert run.process.wait(timeout=30) == -9
    assert subprocess.run(["pgrep", "-f", "^sleep 321"], check=False).returncode == 1
    settled(old=True)
    valid = salt.call("state.apply", "ipv6.pillar")["The pillar ipv6 makes sense"]
    assert "somebody has asked for it (ipv6.rollback)" in valid["comment"]


def test_kept_without_asking(salt: Salt) -> None:
    results = Run(salt, mode="none").results()
    assert "Kept without asking" in results[END]["comment"]
    settled(old=False)


def test_auto_says_what_is_proven(salt: Salt) -> None:
    results = Run(salt, mode="auto").results()
    assert results[END]["result"] is True
    assert "No new connection has come in" in results[END]["comment"]
    settled(old=False)


def test_one_rename_decides_at_the_very_deadline(salt: Salt) -> None:
    """Both sides say the same, and it is true."""
    outcomes = []
    for early in (0.35, 0.2, 0.05, -0.1):
        run = Run(salt, mode="manual", within=5)
        run.wait_until("waiting")
        deadline = float((FOLDER / "deadline").read_text())
        script = (
            "import sys, time; sys.path.insert(0, sys.argv[1])\n"
            "import _dualstack_transaction_confirm as confirm\n"
            "time.sleep(max(0, float(sys.argv[2]) - float(open('/proc/uptime').read().split()[0])))\n"
            "print(confirm.confirm('', True, {}).outcome)"
        )
        words = [sys.executable, "-W", "ignore", "-c", script, str(REPOSITORY / "_modules"), str(deadline - early)]
        said = subprocess.run(words, check=True, text=True, capture_output=True).stdout.strip()
        result = run.results()[END]
        outcomes.append(said)
        assert (said == "confirmed") is result["result"], (said, result)
        settled(old=said != "confirmed")
        netfilter.reset()
        for each in (4, 6):
            Path(f"/etc/iptables/rules.v{each}").unlink(missing_ok=True)
    print(outcomes)
    assert set(outcomes) <= {"confirmed", "too late"}
