"""One writer at a time, whatever becomes of the one before."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_lock as host_lock
import _dualstack_host_time as host_time
import pytest
from salt.exceptions import CommandExecutionError

from ..conftest import REPOSITORY
from ..firewall import netfilter
from ..services import daemons

FOLDER = Path(host_lock.FOLDER)
LOCK = FOLDER / "firewall.lock"
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _enclosed() -> Iterator[None]:
    """These tests change the firewall, and the folder of the locks."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    yield
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(["rm", "-rf", str(FOLDER)], check=True)


def hold(name: str, ready: Any, seconds: float) -> None:
    """Hold the lock for some time, in a process of its own."""
    with host_lock.held("firewall", name):
        ready.set()
        time.sleep(seconds)


@contextlib.contextmanager
def holder(seconds: float, name: str = "the other state") -> Iterator[Any]:
    """A process that holds the lock."""
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(name, ready, seconds))
    process.start()
    assert ready.wait(10)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def taken(patience: float = 0.2) -> str:
    """Why the lock cannot be taken; nothing if it can."""
    try:
        with host_lock.held("firewall", "this state", patience):
            return ""
    except CommandExecutionError as error:
        return str(error)


def test_who_waits_gets_it_when_the_holder_ends() -> None:
    with holder(0.5):
        began = time.monotonic()
        assert taken(10) == ""
        assert 0.2 < time.monotonic() - began < 5


def test_who_waits_in_vain_says_for_whom() -> None:
    with holder(30) as process:
        time.sleep(1)
        assert taken() == (
            f"the firewall of this host is being changed by process {process.pid}, for 'the other state', since 1 s: "
            "it was not waited for any longer; run this again when that has ended"
        )


def test_who_waits_has_no_more_time_than_its_state() -> None:
    with holder(30):
        began = time.monotonic()
        with host_time.within(0.5):
            assert "the other state" in taken(300)
        assert time.monotonic() - began < 2


def test_a_holder_that_is_killed_frees_it() -> None:
    with holder(30) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert taken(5) == ""


def test_threads_of_one_process_exclude_each_other() -> None:
    inside, most = [], []

    def work() -> None:
        with host_lock.held("firewall", "a thread"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == [1] * 5


def test_a_command_does_not_inherit_it() -> None:
    with host_lock.held("firewall", "this state"):
        found = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False
        )
        assert "firewall.lock" not in found.stdout


@pytest.mark.parametrize(
    "text",
    [b"", b"\377\376", b"{}", b"null", b"[1]", b"[" * 60000, b'{"pid": "x", "name": 5, "since": "y"}', b"7" * 99],
)
def test_a_file_with_anything_in_it_is_a_lock_as_well(text: bytes) -> None:
    with holder(30):
        LOCK.write_bytes(text)
        assert "is being changed by another process: it was not waited for" in taken()
    assert taken() == ""


def test_the_name_of_a_state_is_one_short_line() -> None:
    with holder(30, "a name\nof lines " + "x" * 99999):
        assert "for 'a name; of lines xxx" in taken() and len(taken()) < 999


def forget() -> None:
    """There is no folder."""
    subprocess.run(["rm", "-rf", str(FOLDER)], check=True)


def linked() -> None:
    """A link to another folder."""
    Path("/run/elsewhere").mkdir(exist_ok=True)
    FOLDER.symlink_to("/run/elsewhere")


def of_somebody_else() -> None:
    """A folder of another user's."""
    FOLDER.mkdir()
    os.chown(FOLDER, 33, 33)


def open_to_all() -> None:
    """A folder that others can write to."""
    FOLDER.mkdir()
    FOLDER.chmod(0o777)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (linked, "is no folder"),
        (FOLDER.touch, "is no folder"),
        (of_somebody_else, "belongs to the user with the number 33"),
        (open_to_all, "can be written by others (its mode is 0777)"),
    ],
)
def test_a_folder_that_others_could_change_is_refused(plant: Callable[[], None], said: str) -> None:
    forget()
    plant()
    assert taken() == (
        f"/run/dualstack {said}: locks would be worth nothing there; find out who has made it, and remove it"
    )
    assert not Path("/run/elsewhere").exists() or not list(Path("/run/elsewhere").iterdir())


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    forget()
    FOLDER.mkdir(mode=0o700)
    (tmp_path / "precious").write_text("precious")
    LOCK.symlink_to(tmp_path / "precious")
    change = converge.Change("firewall", lambda: {"changes": {}}, lambda plan: None, lambda plan: [])
    done = converge.run("this state", change, {}, test=False)
    assert done["result"] is False
    assert done["comment"] == f"{LOCK}: Too many levels of symbolic links"
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_full_disk_is_no_reason_not_to_lock() -> None:
    forget()
    FOLDER.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", str(FOLDER)], check=True)
    try:
        with contextlib.suppress(OSError):
            (FOLDER / "ballast").write_bytes(b"x" * 9999)
        with holder(30):
            assert "is being changed by another process" in taken()
    finally:
        subprocess.run(["umount", str(FOLDER)], check=True)


# --------------------------------------------------------------------------------------------------------------
# Salt itself


@pytest.fixture
def minion(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start ``salt-call`` with these words, masterless, as the minion of this name; it prints JSON."""
    config = {
        "id": "locked",
        "file_client": "local",
        "file_roots": {"base": [str(tmp_path)]},
        "module_dirs": [str(REPOSITORY)],
    }
    call = [sys.executable, "-W", "ignore", str(Path(sys.executable).with_name("salt-call"))]

    def start(*words: str, name: str = "one") -> subprocess.Popen[str]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "minion").write_text(json.dumps({**config, "root_dir": str(folder)}))
        return subprocess.Popen(
            [*call, "-c", str(folder), "--local", "--out=json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def results(process: subprocess.Popen[str]) -> list[Any]:
    """The results of a run, after its end."""
    said, errors = process.communicate(timeout=200)
    found = json.loads(said)["local"]
    assert isinstance(found, dict), (found, errors)
    return list(found.values())


@pytest.fixture
def clean_firewall() -> Iterator[None]:
    """No rules when the test is over."""
    yield
    netfilter.reset()
    subprocess.run(["rm", "-rf", "/etc/iptables", "/var/lib/dualstack_iptables"], check=True)


PORTS = range(2001, 2009)


def test_states_in_parallel_all_have_their_rule(minion: Any, tmp_path: Path, clean_firewall: None) -> None:
    states = {
        f"port {port}": {"dualstack_iptables.rule": [{"rule": f"-p tcp --dport {port} -j ACCEPT"}, {"parallel": True}]}
        for port in PORTS
    }
    (tmp_path / "many.sls").write_text(json.dumps(states))
    done = results(minion("state.apply", "many"))
    assert [each["result"] for each in done] == [True] * len(PORTS), done
    register = Path("/var/lib/dualstack_iptables/rules.json").read_text()
    for family in ("ipv4", "ipv6"):
        saved = Path(f"/etc/iptables/rules.v{family[-1]}").read_text()
        live = " ".join(netfilter.rules(family, "nft", "INPUT"))
        for port in PORTS:
            assert all(f"--dport {port} " in each for each in (live, saved)), (family, port)
            assert f"--dport {port} " in register


def test_two_runs_at_once(minion: Any, clean_firewall: None) -> None:
    """Salt itself lets one minion run one state after the other, but not a minion and salt-ssh."""
    runs = [
        minion(
            "state.single",
            "dualstack_iptables.rule",
            "two",
            f"rule=-p tcp --dport {port} -j ACCEPT",
            name=f"minion{port}",
        )
        for port in PORTS[:2]
    ]
    for each in runs:
        (done,) = results(each)
        assert done["result"] is True, done
    for family in ("ipv4", "ipv6"):
        assert len(netfilter.rules(family, "nft", "INPUT")) == 2


def test_a_daemon_that_was_restarted_does_not_hold_it(modules: Any) -> None:
    try:
        daemons.only_ipv4("dovecot")
        daemons.start("dovecot", 143)
        done = modules.service_listen.dual_stack("dovecot", ports=[143], timeout=30, test=False)
        assert (done["result"], bool(done["changes"])) == (True, True), done
        assert daemons.families(143) == ["ipv4", "ipv6"]
        with host_lock.held("service-dovecot", "this state", 1):
            pass
        holding = subprocess.run(["sh", "-c", "ls -l /proc/[0-9]*/fd"], capture_output=True, text=True, check=False)
        held = holding.stdout.replace("/memfd:dualstack", "").replace("/run/dualstack/restorer", "")  # which is going
        assert "dualstack" not in held
    finally:
        daemons.stop("dovecot", 143)
        daemons.restore("dovecot")
