"""A host with two uplinks and an sshd, and the others in a network namespace of their own; all of it real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .netfilter import run

CLIENT, BEYOND, SECOND = "192.0.2.7", "198.51.100.20", "203.0.113.9"
CLIENT6 = "2001:db8:e0::7"
OWN, OWN_SECOND, OWN6 = "192.0.2.1", "203.0.113.1", "2001:db8:e0::1"
HOST = f"""
link add eth0 type veth peer name far0 netns others
link add eth1 type veth peer name far1 netns others
addr add {OWN}/24 dev eth0
addr add {OWN_SECOND}/24 dev eth1
addr add {OWN6}/64 dev eth0 nodad
link set eth0 up
link set eth1 up
route add default via {CLIENT}
route add default via {CLIENT6}
"""
OTHERS = f"""
addr add {CLIENT}/24 dev far0
addr add {BEYOND}/32 dev far0
addr add {SECOND}/24 dev far1
addr add {CLIENT6}/64 dev far0 nodad
link set lo up
link set far0 up
link set far1 up
"""


@contextlib.contextmanager
def networks() -> Iterator[None]:
    """The networks; nothing of them is left."""
    run("ip", "netns", "add", "others")
    try:
        run("ip", "-batch", "-", text=HOST)
        run("ip", "-n", "others", "-batch", "-", text=OTHERS)
        yield
    finally:
        for name in ("eth0", "eth1"):
            run("ip", "link", "del", name)
        run("ip", "netns", "del", "others")


def await_listener(port: int, namespace: str = "") -> None:
    """Wait until something listens on a port of TCP."""
    words = ["ip", "netns", "exec", namespace] if namespace else []
    deadline = time.monotonic() + 10
    while not run(*words, "ss", "-Htln", f"sport = :{port}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Sshd:
    """An sshd, with a key that lets root in."""

    def __init__(self, folder: Path, port: int = 22) -> None:
        self.folder, self.port = folder, port
        for name in ("host", "mine"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        (folder / "allowed").write_bytes((folder / "mine.pub").read_bytes())
        folder.chmod(0o755)
        (folder / "config").write_text(
            f"Port {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/allowed\nStrictModes no\n"
            f"PidFile {folder}/pid\nUsePAM no\nPermitRootLogin yes\nAllowTcpForwarding yes\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
        )
        self._await(lambda: " on ::" in self._log())

    def words(self, source: str, own: str) -> list[str]:
        """The command of a client, from one of the others' addresses to one of this host's."""
        options = ["-b", source, "-p", str(self.port), "-i", str(self.folder / "mine"), "-o", "BatchMode=yes"]
        options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return ["ip", "netns", "exec", "others", "ssh", *options, f"root@{own}"]

    def says(self, source: str, own: str, command: str) -> str:
        """What a command prints that a client runs here."""
        return run(*self.words(source, own), command)

    @contextlib.contextmanager
    def session(self, source: str, own: str, *options: str, command: str = "echo in; cat") -> Iterator[None]:
        """A client that is logged in."""
        words = [*self.words(source, own), *options, *([command] if command else [])]
        before = self._log().count("Accepted")
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            try:
                self._await(lambda: self._log().count("Accepted") > before)
                if command:
                    assert client.stdout and client.stdout.readline() == b"in\n", self._log()
                yield
            finally:
                client.kill()

    def end_sessions(self) -> None:
        """They end: not all have heard that their client is gone."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for each in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(each), signal.SIGKILL)
        self._await(lambda: not children.read_text())

    def end(self) -> None:
        """It ends."""
        self.end_sessions()
        self.process.terminate()
        self.process.wait()

    def _log(self) -> str:
        return (self.folder / "log").read_text()

    def _await(self, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not there():
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.02)
