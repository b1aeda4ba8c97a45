#!/usr/bin/python3
"""
Run one command as root in a throw-away User-Mode Linux guest.

The kernel of this machine may lack the ``sit`` device, and no test may change its network; the guest's kernel
has the device, and everything in the guest is gone when it ends. The guest sees its own Debian (``root.sh``
makes it) and the shared folders, all through an overlay: nothing it writes reaches the machine. It has no
network interface but its own ``lo``, so no packet leaves it (``fence.sh``).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
PR_SET_PDEATHSIG = 1


class GuestError(Exception):
    """The guest did not end by itself with an exit status; the text holds the end of its console."""


class Guest:
    """
    A running guest.

    command
        What to run, as a list of words. It runs as root in ``/``.
    root
        The guest's Debian, made by ``root.sh``.
    shares
        Folders of the machine that the guest finds under the same path.
    files
        Texts that the guest finds as ``/run/control/<name>``; what it appends to them is seen here.
    memory
        At most this much memory, in the kernel's notation (``2G``).
    disk
        A file with an ext4 file system, for what the guest writes: it is there for the next guest with this disk,
        whatever ends this one. Without, that is in memory.
    """

    def __init__(
        self,
        command: list[str],
        root: Path,
        shares: list[Path],
        files: dict[str, str] | None = None,
        memory: str = "2G",
        disk: Path | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lab."))
        self.control = self.folder / "shared"
        self.control.mkdir()
        numbered = list(enumerate(shares))
        for name in ("init.sh", "xstate.c"):
            shutil.copy(HERE / name, self.control / name)
        (self.control / "command").write_text(f"exec {shlex.join(command)}\n")
        (self.control / "output").touch()
        for name, text in (files or {}).items():
            (self.control / name).write_text(text)
        (self.control / "shares").write_text("".join(f"{n} {folder}\n" for n, folder in numbered))
        kernel = [
            *("/usr/bin/linux.uml", f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/"),
            *("ro", "init=/mnt/control/init.sh", "con=null", "con0=null,fd:1", "ssl=null", "quiet"),
            *("uml_dir=/mnt/kernel/", "umid=lab", "panic=-1", "loglevel=4", "noreboot", "seccomp=auto"),
        ]
        if disk:
            os.link(disk, self.control / "disk")
            kernel.append("ubd0=/mnt/control/disk")
        fence = ["bash", str(HERE / "fence.sh"), str(self.folder), str(root)]
        for number, folder in numbered:
            fence += [str(number), str(folder)]
        namespaces = ["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        self.console = (self.folder / "console").open("w")
        self.core, self.lock = _free_core()
        self.process = subprocess.Popen(
            ["unshare", *namespaces, "--", *fence, "--", *kernel],
            # The kernel puts its memory file into TMPDIR; it has to be on the fence's own tmpfs.
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "TMPDIR": "/dev/shm"},
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=subprocess.STDOUT,
            preexec_fn=self._in_child,
            start_new_session=True,
        )

    def _in_child(self) -> None:
        """Die with the parent, and stay on one core: User-Mode Linux is twice as fast so."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {self.core})

    def alive(self) -> bool:
        """Whether the guest's kernel still runs."""
        return self.process.poll() is None

    def status(self) -> int:
        """The exit status of the command; :class:`GuestError` where the guest ended without one."""
        try:
            return int((self.control / "exit").read_text())
        except FileNotFoundError:
            raise GuestError(f"the guest ended without a result\n{self.last_words()}") from None

    def last_words(self) -> str:
        """The end of the console and of the command's output."""
        console = (self.folder / "console").read_text(errors="replace").splitlines()[-100:]
        output = (self.control / "output").read_text(errors="replace").splitlines()[-40:]
        return "\n".join(["--- console", *console, "--- output", *output])

    def stop(self) -> None:
        """Kill the guest, if it still runs, and remove its folder."""
        if self.alive():
            self.process.kill()  # unshare --kill-child takes the whole PID namespace with it
        self.process.wait()
        self.console.close()
        if self.lock is not None:
            self.lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def follow(path: Path, guest: Guest, patience: float) -> Iterator[bytes]:
    """
    Yield what is appended to a file until the guest has ended.

    patience
        Seconds without a new byte after which :class:`GuestError` is raised.
    """
    with path.open("rb") as stream:
        heard = time.monotonic()
        while True:
            ended = not guest.alive()
            if chunk := stream.read(65536):
                heard = time.monotonic()
                yield chunk
            elif ended:
                return
            elif time.monotonic() - heard > patience:
                raise GuestError(f"the guest was silent for {patience:g} s and was killed\n{guest.last_words()}")
            else:
                time.sleep(0.02)


def _free_core() -> tuple[int, IO[str] | None]:
    """A core for the guest, and the open lock file that keeps other guests off it."""
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    for core in cores:
        lock = open(Path(tempfile.gettempdir()) / f".lab-core-{core}", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return core, lock
    return cores[0], None


def main() -> int:
    """Run a command in a guest and print what it prints."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the guest's Debian, made by root.sh")
    parser.add_argument("--share", type=Path, action="append", default=[], help="a folder for the guest")
    parser.add_argument("--patience", type=float, default=300, help="seconds of silence before it is killed")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    guest = Guest(options.command, options.root, options.share)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with contextlib.suppress(BrokenPipeError):
            for chunk in follow(guest.control / "output", guest, options.patience):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        return guest.status()
    except GuestError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 125
    finally:
        guest.stop()


if __name__ == "__main__":
    sys.exit(main())
