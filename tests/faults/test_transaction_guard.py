"""The guard of the next boot: its files, whatever happens while they are written. tests/power boots with it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _dualstack_boot_units as boot_units
import _dualstack_transaction_guard as guard
import pytest
from salt.exceptions import CommandExecutionError

from .. import booted

ETC = Path("/etc")
FOLDER = Path("/var/lib/dualstack/transaction")
BOTH = ["systemd", "sysvinit"]
# It says that it was run, and takes the folder away, as a whole one does that has put everything back.
RESTORER = 'echo "$*" >>/run/told; [ -e {0}/stays ] || rm -r {0}\n'.format(FOLDER)


@pytest.fixture(autouse=True)
def _host() -> Iterator[None]:
    """A host with a transaction that is about to begin."""
    FOLDER.mkdir(parents=True)
    (FOLDER / "restorer").write_text(RESTORER)
    yield
    guard.remove()
    Path("/run/told").unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", FOLDER.parent], check=True)


@pytest.fixture(params=[["systemd"], ["sysvinit"], BOTH], ids=["systemd", "sysvinit", "either"])
def inits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What may boot this host."""
    monkeypatch.setattr(boot_units, "inits", lambda: request.param)
    return request.param


def files() -> dict[str, Any]:
    """All in /etc, but for times."""
    return {
        str(path): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes(),
        )
        for path in ETC.rglob("*")
    }


def told() -> str:
    """What the restorer has been told."""
    path = Path("/run/told")
    return path.read_text() if path.exists() else ""


def boot(inits: list[str], another: bool = True) -> None:
    """Do what a boot does with the guard."""
    if another:
        (FOLDER / "boot").write_text("another one\n")
    if "systemd" in inits:
        line = re.search("^ExecStart=-(.*)$", Path(guard.UNIT).read_text(), re.MULTILINE)
        assert line
        words = shlex.split(line[1].replace("$$", "$").replace("%%", "%"))
    else:
        words = ["/etc/rcS.d/S01dualstack-guard", "start"]
    assert subprocess.run(words, check=False, capture_output=True).stderr == b""


def test_it_comes_and_goes(inits: list[str]) -> None:
    before = files()
    assert "\n" not in guard.removal(), "whoever reads the holder of a transaction reads it line by line"
    assert guard.install(str(FOLDER)) == ""
    made = {path for path in files() if path not in before}
    unit = {guard.UNIT, guard.LINK} if "systemd" in inits else set()
    script = {guard.SCRIPT, "/etc/rcS.d/S01dualstack-guard"} if "sysvinit" in inits else set()
    assert made == unit | script == set(guard.paths())
    for path, mode in ((guard.UNIT, 0o644), (guard.SCRIPT, 0o755)):
        assert not os.path.exists(path) or stat.S_IMODE(os.stat(path).st_mode) == mode
    assert not unit or os.path.samefile(guard.UNIT, guard.LINK)
    guard.remove()
    assert files() == before
    guard.remove()
    assert files() == before


@pytest.mark.parametrize("before", ["none", "empty"])
def test_the_folder_of_the_link_stays_where_it_was(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_units, "inits", lambda: ["systemd"])
    folder = Path(guard.LINK).parent
    with booted.kept(tmp_path, ETC / "systemd"):
        shutil.rmtree(folder)
        if before == "empty":
            folder.mkdir()
        by_the_restorer = guard.removal()
        ways = [
            guard.remove,
            lambda: boot(["systemd"]),
            lambda: subprocess.run(["sh", "-c", by_the_restorer], check=True),
        ]
        for number, remove in enumerate(ways):
            FOLDER.mkdir(parents=True, exist_ok=True)
            guard.install(str(FOLDER))
            remove()  # type: ignore[no-untyped-call]
            assert not guard.paths()
            assert folder.exists() == (before == "empty"), number


def test_the_next_boot_runs_the_restorer_and_nothing_is_left(inits: list[str]) -> None:
    before = files()
    guard.install(str(FOLDER))
    boot(inits)
    assert told() == "boot\n"
    assert files() == before


def test_in_the_boot_of_the_run_it_does_nothing(inits: list[str]) -> None:
    """With ``systemctl daemon-reload``, and then any service's start, systemd starts it in the middle of the run."""
    guard.install(str(FOLDER))
    made = guard.paths()
    boot(inits, another=False)
    assert told() == ""
    assert guard.paths() == made


def test_where_the_restorer_did_not_end_the_guard_stays(inits: list[str]) -> None:
    (FOLDER / "stays").touch()
    guard.install(str(FOLDER))
    made = guard.paths()
    boot(inits)
    assert told() == "boot\n"
    assert guard.paths() == made


@pytest.mark.parametrize("left", ["nothing", "all but the restorer"])
def test_where_the_transaction_had_ended_it_removes_itself(inits: list[str], left: str) -> None:
    before = files()
    guard.install(str(FOLDER))
    (FOLDER / "restorer").unlink()
    if left == "nothing":
        (FOLDER / "boot").unlink()
        FOLDER.rmdir()
        FOLDER.parent.rmdir()
        FOLDER.mkdir(parents=True)
    boot(inits)
    assert not FOLDER.parent.exists()
    assert files() == before


def test_what_it_has_of_an_earlier_one_is_replaced(inits: list[str]) -> None:
    before = files()
    guard.install(str(FOLDER))
    made = files()
    for path in guard.paths():
        if not os.path.islink(path):
            Path(path).write_text("torn")
            Path(path).chmod(0o600)
    guard.install(str(FOLDER))
    assert files() == made
    guard.remove()
    assert files() == before


@pytest.mark.parametrize("step", range(7))
def test_killed_after_any_step_the_rest_of_it_can_be_removed(
    inits: list[str], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files()
    child = os.fork()
    if not child:
        left = [step]

        def count(event: str, _: object) -> None:
            if event in ("os.rename", "os.symlink", "subprocess.Popen", "os.remove"):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(count)
        guard.install(str(FOLDER))
        os._exit(0)
    os.waitpid(child, 0)
    if step % 2:
        guard.remove()
    else:
        subprocess.run(["sh", "-c", guard.removal()], check=True)
    assert files() == before


# As insserv 1.24 has written it on a Debian 12 with sysvinit, shortened; and after it was told of the guard.
ORDER = """\
TARGETS = mountkernfs.sh checkroot.sh kmod mountall.sh mountall-bootclean.sh networking netfilter-persistent urandom \
procps
INTERACTIVE = checkroot.sh
checkroot.sh: mountkernfs.sh
kmod: checkroot.sh
mountall.sh: checkroot.sh
mountall-bootclean.sh: mountall.sh
networking: mountall.sh mountkernfs.sh mountall-bootclean.sh urandom procps
netfilter-persistent: mountall.sh mountkernfs.sh mountall-bootclean.sh
urandom: mountall.sh mountall-bootclean.sh
procps: mountall.sh mountkernfs.sh mountall-bootclean.sh
"""
WITH_IT = """\
TARGETS = mountkernfs.sh checkroot.sh kmod mountall.sh mountall-bootclean.sh networking netfilter-persistent urandom \
procps dualstack-guard
INTERACTIVE = checkroot.sh
checkroot.sh: mountkernfs.sh
kmod: checkroot.sh
mountall.sh: checkroot.sh
mountall-bootclean.sh: mountall.sh
networking: mountall.sh mountkernfs.sh mountall-bootclean.sh urandom procps dualstack-guard
netfilter-persistent: mountall.sh mountkernfs.sh mountall-bootclean.sh dualstack-guard
urandom: mountall.sh mountall-bootclean.sh
procps: mountall.sh mountkernfs.sh mountall-bootclean.sh dualstack-guard
dualstack-guard: mountkernfs.sh mountall.sh mountall-bootclean.sh
"""


def test_sysvinit_runs_it_before_the_first_that_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the numbers of the links, and by the order that insserv has written for startpar."""
    monkeypatch.setattr(boot_units, "inits", lambda: ["sysvinit"])
    with booted.kept(tmp_path, ETC / "init.d", ETC / "rcS.d"):
        for old, new in (("S01procps", "S08procps"), ("S01networking", "S09networking")):
            (ETC / "rcS.d" / old).rename(ETC / "rcS.d" / new)
        (ETC / "rcS.d/S01netfilter-persistent").rename(ETC / "rcS.d/S12netfilter-persistent")
        Path(guard.ORDER).write_text(ORDER)
        before = files()
        guard.install(str(FOLDER))
        assert Path(guard.ORDER).read_text() == WITH_IT
        assert sorted(set(files()) - set(before)) == ["/etc/init.d/dualstack-guard", "/etc/rcS.d/S08dualstack-guard"]
        guard.remove()
        assert files() == before


@pytest.mark.parametrize("where", ["/etc/systemd/system", "/etc/systemd/system/sysinit.target.wants"])
def test_where_a_folder_is_read_only_nothing_is_left(inits: list[str], where: str) -> None:
    if "systemd" not in inits:
        where = "/etc/init.d"
    before = files()
    subprocess.run(["mount", "--bind", where, where], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", where], check=True)
    try:
        with pytest.raises(CommandExecutionError, match=f"nothing is changed.*{where}.*[Rr]ead-only"):
            guard.install(str(FOLDER))
    finally:
        subprocess.run(["umount", where], check=True)
    assert files() == before


def test_where_the_disk_is_full_nothing_is_left(inits: list[str]) -> None:
    where = "/etc/systemd/system" if "systemd" in inits else "/etc/init.d"
    before = files()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", where], check=True)
    try:
        (Path(where) / "large").write_bytes(b"x" * 4096)
        with pytest.raises(CommandExecutionError, match=f"nothing is changed.*{where}.*No space left on device"):
            guard.install(str(FOLDER))
        assert os.listdir(where) == ["large"]
    finally:
        subprocess.run(["umount", where], check=True)
    assert files() == before


@pytest.mark.parametrize("thing", ["a mask", "a folder"])
def test_what_is_no_file_of_ours_is_left(thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_units, "inits", lambda: ["systemd"])
    if thing == "a mask":
        os.symlink("/dev/null", guard.UNIT)
    else:
        os.mkdir(guard.UNIT)
    null = os.stat("/dev/null").st_ino
    try:
        if thing == "a mask":
            assert guard.install(str(FOLDER)) == "", "whoever masked it has masked what is there during runs only"
            assert not os.path.islink(guard.UNIT)
        else:
            with pytest.raises(CommandExecutionError, match="nothing is changed.*cannot be removed.*Is a directory"):
                guard.install(str(FOLDER))
    finally:
        if thing == "a folder":
            os.rmdir(guard.UNIT)
    assert os.stat("/dev/null").st_ino == null


def test_where_nobody_knows_how_it_boots_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_units, "inits", lambda: [])
    before = files()
    assert "a reboot in the middle would not be undone: /sbin/init is neither" in guard.install(str(FOLDER))
    assert files() == before


@pytest.mark.parametrize(
    "line, late",
    [
        ("server:/var /var nfs4 defaults 0 0", "/var"),
        ("/dev/sdb1 /var/lib/ ext4 nofail,_netdev 0 2", "/var/lib"),
        ("/dev/sdb1 /var ext4 defaults 0 2", ""),
        ("server:/ / nfs defaults 0 0", ""),
        ("server:/v /var/libation nfs defaults 0 0", ""),
        ("#server:/var /var nfs4 defaults 0 0", ""),
        ("server:/var /var nfs 0 0\n/dev/sdb1 /var/lib ext4 defaults 0 2", ""),
        ("/dev/sdb1 /var/lib ext4 defaults 0 2\nserver:/var /var nfs 0 0", ""),
    ],
)
def test_where_the_folder_is_there_too_late_that_is_said(
    line: str, late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fstab").write_text(f"# <file system>\n{line}\n")
    monkeypatch.setattr(guard, "FSTAB", str(tmp_path / "fstab"))
    said = guard.install(str(FOLDER))
    assert said == (
        late and f"a reboot in the middle would not be undone: {late} is mounted only when the network is up"
    )


def test_systemd_finds_no_fault_and_no_circle(tmp_path: Path) -> None:
    """With all that this Debian starts, and what others may have."""
    with booted.kept(tmp_path, ETC / "systemd"):
        for name in ("nftables", "systemd-networkd", "ssh", "networking", "netfilter-persistent"):
            subprocess.run(["systemctl", "--root=/", "--quiet", "enable", name], check=True)
        guard.install(str(FOLDER))
        words = ["systemd-analyze", "verify", "--man=no", "default.target", guard.UNIT]
        said = subprocess.run(words, check=False, text=True, capture_output=True)
        guard.remove()
    about = [line for line in said.stderr.splitlines() if "dualstack" in line or "cycle" in line]
    assert about == [], said.stderr


def test_its_files_are_on_the_disk_before_it_is_said_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen here is that each is settled; tests/power cuts the power."""
    monkeypatch.setattr(boot_units, "inits", lambda: BOTH)
    settled: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        settled.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    guard.install(str(FOLDER))
    for path in guard.paths():
        assert os.path.dirname(path) in settled
