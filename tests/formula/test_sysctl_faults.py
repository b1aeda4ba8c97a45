"""A kernel parameter is as before or as declared, whatever fails, and whoever is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_sysctl_change as sysctl_change
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "net.ipv4.ip_forward"
LIVE = Path("/proc/sys/net/ipv4/ip_forward")
OWN = "# mine\nnet.ipv4.conf.all.rp_filter = 1\nnet.ipv4.ip_forward = 0\n# more\n"
NEW = OWN.replace("forward = 0", "forward = 1")

# Sets the parameter, and is killed just before its N-th effect on anything outside of itself.
KILLED = """
import os, signal, sys
sys.path.insert(0, "_modules")
import _dualstack_converge as converge, _dualstack_sysctl_change as sysctl_change
left, effects = int(sys.argv[1]), ("os.rename", "os.link", "os.remove", "os.chmod", "os.chown", "os.mkdir")
def hook(event, arguments):
    global left
    written = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    left -= event in effects or bool(written)
    if left == 0:
        left = -1  # this hook hears of the signal, too
        os.kill(os.getpid(), signal.SIGKILL)
def plan():
    return sysctl_change.plan("net.ipv4.ip_forward", "1", "/etc/sysctl.d/local.conf")
change = converge.Change("sysctl", plan, sysctl_change.apply, sysctl_change.undo)
sys.addaudithook(hook)
done = converge.run("x", change, {}, False)
sys.exit(0 if done["result"] else done["comment"])
"""


@pytest.fixture
def file(etc: Path) -> Path:
    """The administrator's file."""
    path = etc / "local.conf"
    path.write_text(OWN)
    path.chmod(0o640)
    return path


@pytest.fixture
def mounted() -> Iterator[Callable[..., None]]:
    """Mounts something, until the test is over."""
    done: list[str] = []

    def mount(target: str, *options: str) -> None:
        subprocess.run(["mount", *options, target], check=True)
        done.append(target)

    yield mount
    for target in reversed(done):
        subprocess.run(["umount", target], check=True)


def test_whoever_is_killed_leaves_a_whole_file_and_the_next_run_ends_as_declared(modules: Any, file: Path) -> None:
    seen = set()
    for effect in range(1, 50):
        file.write_text(OWN)
        LIVE.write_text("0")
        words = [sys.executable, "-c", KILLED, str(effect)]
        with file.open() as opened:
            done = subprocess.run(words, cwd=REPOSITORY, check=False, capture_output=True)
            assert opened.read() == OWN  # whoever reads it meanwhile reads all of it: it is replaced, not rewritten
        now = (LIVE.read_text().strip(), file.read_text())
        assert now[1] in (OWN, NEW)
        again = modules.ipv6.parameter(NAME, 1)
        assert (again["result"], bool(again["changes"])) == (True, now != ("1", NEW)), again
        assert (LIVE.read_text(), file.read_text(), file.stat().st_mode & 0o777) == ("1\n", NEW, 0o640)
        assert [each.name for each in file.parent.iterdir()] == ["local.conf"]
        if done.returncode == 0:
            break
        assert done.returncode == -9, done
        seen.add((now[0], now[1] == NEW))
    else:
        raise AssertionError("it never came to its end")
    assert seen == {("0", False), ("1", False), ("1", True)}


def assert_unchanged(file: Path, done: dict[str, Any], *said: str) -> None:
    assert (done["result"], done["changes"]) == (False, {}), done
    assert not [each for each in said if each not in done["comment"]], done["comment"]
    assert "Traceback" not in done["comment"] and "bug" not in done["comment"]
    assert (LIVE.read_text(), file.read_text(), file.stat().st_mode & 0o777) == ("0\n", OWN, 0o640)
    left = [each.name for each in file.parent.iterdir() if not each.name.startswith("filler")]
    assert left == ["local.conf"]


def test_a_full_disk(modules: Any, file: Path) -> None:
    with pytest.raises(OSError), (file.parent / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    done = modules.ipv6.parameter(NAME, 1)
    assert_unchanged(file, done, f"{file}: No space left on device", "Everything was put back as it was.")
    (file.parent / "filler").unlink()
    assert modules.ipv6.parameter(NAME, 1)["result"] is True


def test_a_disk_without_inodes(modules: Any, file: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=3", file.parent], check=True)
    (file.parent / "filler").touch()
    assert_unchanged(file, modules.ipv6.parameter(NAME, 1), f"{file}: No space left on device", "'df -i'")


def test_a_disk_that_is_mounted_read_only(modules: Any, file: Path, test: bool) -> None:
    subprocess.run(["mount", "-o", "remount,ro", file.parent], check=True)
    assert_unchanged(file, modules.ipv6.parameter(NAME, 1, test=test), "mounted read-only")


def test_a_file_that_is_mounted_itself(
    modules: Any, file: Path, mounted: Callable[..., None], tmp_path: Path, test: bool
) -> None:
    mounted(str(file), "--bind", str(file))
    assert_unchanged(file, modules.ipv6.parameter(NAME, 1, test=test), f"{file}: it is a mount point")


def test_a_file_with_two_names(modules: Any, file: Path, etc: Path, test: bool) -> None:
    (etc / "filler.conf").hardlink_to(file)
    assert_unchanged(file, modules.ipv6.parameter(NAME, 1, test=test), "hard links")


def test_a_container_that_may_not_set_parameters(
    modules: Any, file: Path, mounted: Callable[..., None], test: bool
) -> None:
    mounted("/proc/sys", "--bind", "/proc/sys")
    subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys"], check=True)
    done = modules.ipv6.parameter(NAME, 1, test=test)
    assert_unchanged(
        file, done, f"{LIVE}: Read-only file system; remount it, or look why the kernel did that ('dmesg')"
    )


def test_a_link_stays_a_link(modules: Any, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "site.conf"
    target.write_text(OWN)
    file.unlink()
    file.symlink_to(target)
    assert modules.ipv6.parameter(NAME, 1)["result"] is True
    assert (file.is_symlink(), target.read_text()) == (True, NEW)


@pytest.mark.parametrize("what", ["file", "live"])
def test_what_somebody_else_changes_meanwhile_is_left_as_it_is(file: Path, what: str) -> None:
    name = "net.ipv4.conf.lo.rp_filter"
    live = Path("/proc/sys/net/ipv4/conf/lo/rp_filter")
    live.write_text("0")

    def apply(made: converge.Plan) -> None:
        if what == "file":
            file.write_text(f"{OWN}# by somebody else\n")
        else:
            live.write_text("2")
        sysctl_change.apply(made)

    change = converge.Change("sysctl", lambda: sysctl_change.plan(name, "1", str(file)), apply, sysctl_change.undo)
    done = converge.run(name, change, {}, False)
    path = file if what == "file" else live
    assert (done["result"], done["changes"]) == (False, {}), done
    assert f"{path} has been changed by somebody else meanwhile" in done["comment"]
    assert live.read_text() == ("0\n" if what == "file" else "2\n")
    assert file.read_text() == (f"{OWN}# by somebody else\n" if what == "file" else OWN)
    assert [each.name for each in file.parent.iterdir()] == ["local.conf"]


def test_what_the_kernel_takes_in_part_is_put_back(modules: Any, file: Path) -> None:
    """Of several numbers it stores those before the wrong one."""
    live = Path("/proc/sys/net/ipv4/tcp_rmem")
    before = live.read_text()
    done = modules.ipv6.parameter("net.ipv4.tcp_rmem", "5000 wrong 6291456")
    assert_unchanged(file, done, f"{live}: the kernel does not take '5000 wrong 6291456'", "Everything was put back")
    assert live.read_text() == before
