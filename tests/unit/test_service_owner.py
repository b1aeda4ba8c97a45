"""Whose a socket is, and which program a process runs: by real processes and files, and by made up families of them."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import _dualstack_service_host as service_host
import _dualstack_service_owner as service_owner
import _dualstack_service_program as service_program
import _dualstack_service_sockets as service_sockets
import pytest

NOBODY = 65534
SLEEP = os.path.realpath(shutil.which("sleep") or "")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
Start = Callable[..., dict[str, Any]]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts a program; returns what is known of its process."""
    with ExitStack() as stack:

        def _start(program: Any, *arguments: str, user: int | None = None, **given: Any) -> dict[str, Any]:
            process = subprocess.Popen(
                [str(program), *arguments],
                user=user,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **given,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            found: dict[str, Any] = {}
            while not found.get("arguments", None) and process.poll() is None:
                found = service_sockets.process(process.pid)
            return found

        yield _start


def services(**about: Any) -> dict[str, service_host.Daemon]:
    """A service `web`, whose plug-in says this of itself."""
    plugin: Any = SimpleNamespace()
    return {"web": service_host.Daemon("web", plugin, {"units": ["web.service"], "processes": ["*"], **about})}


# --------------------------------------------------------------------------------------------------------------
# Whether only root can change a program


@needs_root
def test_a_program_of_the_system_is_roots(started: Start) -> None:
    assert service_program.roots_own(started(SLEEP, "60"))
    assert service_program.roots_own(started(SLEEP, "60", user=NOBODY))


@needs_root
@pytest.mark.parametrize("writable", ["file", "folder", "above", "owner", "none"])
def test_one_that_others_can_change_is_not(started: Start, writable: str) -> None:
    root = Path("/usr/local/dualstack-test")  # all above it is root's
    program = root / "above" / "folder" / "file"
    try:
        program.parent.mkdir(parents=True)
        shutil.copy(SLEEP, program)
        for each in (program, program.parent, program.parent.parent, root):
            each.chmod(0o755)
        if writable == "owner":
            os.chown(program, NOBODY, 0)
        elif writable != "none":
            next(each for each in (program, *program.parents) if each.name == writable).chmod(0o775)
        process = started(program, "60")
        assert service_program.roots_own(process) == (writable == "none")
        # Upgraded meanwhile: the file that runs is judged, and the place that it had.
        program.unlink()
        process = service_sockets.process(process["pid"])
        assert process["deleted"] and process["exe"] == str(program)
        assert service_program.roots_own(process) == (writable == "none")
    finally:
        shutil.rmtree(root)


@needs_root
def test_one_in_a_folder_of_anybodys_is_not(started: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    program = shutil.copy(SLEEP, tmp_path / "beam.smp")
    assert not service_program.roots_own(started(program, "60"))


@needs_root
def test_what_another_host_has_in_that_place_is_not(started: Start) -> None:
    """A process with files of its own has mounted another program over that of the system."""
    script = f"mount --bind {os.path.realpath(sys.executable)} {SLEEP} && exec {SLEEP} -c 'input()' x"
    process = started(shutil.which("unshare"), "--mount", "sh", "-c", script)
    while process["exe"] != SLEEP:
        process = service_sockets.process(process["pid"])
        assert process["name"], "it has ended"
    assert not service_program.roots_own(process)


@needs_root
def test_a_removed_program_of_a_container_is_not(started: Start) -> None:
    program = Path("/usr/local/dualstack-test")
    shutil.copy(SLEEP, program)
    try:
        contained = started(shutil.which("unshare"), "--pid", "--fork", "--kill-child", str(program), "60")
        found: list[dict[str, Any]] = []
        while not found:
            assert service_sockets.process(contained["pid"])["name"], "it has ended"
            every = [service_sockets.process(int(pid)) for pid in os.listdir("/proc") if pid.isdigit()]
            found = [each for each in every if each["exe"] == str(program)]
        assert service_program.roots_own(found[0])
    finally:
        program.unlink()
    found = [service_sockets.process(found[0]["pid"])]
    assert found[0]["deleted"] and found[0]["exe"] == str(program)
    assert not service_program.roots_own(found[0])


def test_a_process_that_has_ended_has_no_program() -> None:
    gone = service_sockets.process(2**22 + 1)
    assert not service_program.roots_own(gone)
    assert not service_program.roots_own({**gone, "exe": SLEEP})


# --------------------------------------------------------------------------------------------------------------
# Who is whose


@needs_root
def test_a_process_is_known_by_its_program_its_user_and_its_arguments(started: Start) -> None:
    def owner(process: Any, roots: bool = False, **about: Any) -> str:
        return service_owner.owner(process, services(**about), roots)

    web: dict[str, Any] = {"executables": [SLEEP], "users": [pwd.getpwuid(NOBODY).pw_name, "no-such-user"]}
    roots, nobodys = started(SLEEP, "60"), started(SLEEP, "60", user=NOBODY)
    daemons = started(SLEEP, "60", user=1)
    assert owner(roots, **web) == owner(nobodys, **web) == "web"
    assert owner(daemons, **web) == "sleep"
    assert owner(nobodys, **{**web, "users": []}) == "sleep"
    # A configuration may name any user for a daemon whose sockets root has opened.
    assert owner(daemons, True, **web) == "web"
    # Arguments count in addition; without a program and users, as in old plug-ins, those of the pattern do.
    assert owner(roots, **web, processes=["* 61"]) == "sleep"
    assert owner(roots, **web, processes=["*sleep 6*"]) == "web"
    assert owner(roots, **web, processes=[]) == "web"
    assert owner(roots, processes=[]) == "sleep"
    assert owner(daemons, processes=["*sleep *"]) == owner(daemons, processes=[f"{SLEEP}*"]) == "web"
    assert owner(daemons, processes=["*sle *"]) == "sleep"
    assert owner({**roots, "uids": [1, 0]}, **web) == owner({**roots, "uids": [0, 1]}, **web) == "sleep"
    assert owner({**roots, "uids": []}, **web) == "sleep"


@needs_root
@pytest.mark.parametrize("words", ["/usr/sbin/webd", "x.py /usr/sbin/webd", "-x /usr/sbin/webd", "webd"])
def test_words_make_no_service(started: Start, words: str, tmp_path: Path) -> None:
    """Whoever starts a program chooses its name and its arguments."""
    known = services(processes=["/usr/sbin/webd", "/usr/sbin/webd *", "*python* /usr/sbin/webd"])
    copy = shutil.copy("/bin/sh", tmp_path / "webd")
    assert service_owner.owner(started(copy, "-c", "read x", *words.split()), known) == "webd"
    lie = started("/bin/sh", "-c", "read x", *words.split(), user=NOBODY)
    assert service_owner.owner(lie, known) != "web"


@needs_root
def test_a_stranger_never_has_the_name_of_a_service(started: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    known = services(executables=["/usr/sbin/webd"])
    for name in ("web", "web.socket"):
        program = shutil.copy(SLEEP, tmp_path / name)
        assert service_owner.owner(started(program, "60"), known) == str(program)
    process = {**started(SLEEP, "60", user=NOBODY), "unit": "web.service"}
    assert service_owner.owner(process, services(executables=["/x"], users=[])) == "sleep"
    assert service_owner.owner({**process, "unit": "web.scope"}, known) == "sleep"
    assert service_owner.owner({**process, "unit": "other.service"}, known) == "other"
    assert service_owner.owner({**process, "unit": "", "name": "a\n\x1b[1mb"}, known) == "a??[1mb"
    assert service_owner.owner({**process, "exe": ""}, known) == ""
    assert service_owner.owner({**process, "exe": "", "unit": "other.service"}, known) == "other"


@needs_root
def test_a_unit_has_the_processes_of_its_users(started: Start) -> None:
    web = services(executables=["/opt/web"], users=[pwd.getpwuid(NOBODY).pw_name])

    def owner(**given: Any) -> str:
        return service_owner.owner({**started(SLEEP, "60", **given), "unit": "web.service"}, web)

    assert owner() == owner(user=NOBODY) == "web"
    assert owner(user=1) == "sleep"


def test_a_process_in_words() -> None:
    process = {"pid": 812, "uids": [0, 0]}
    assert service_owner.holder(process, "webd") == "webd (process 812, user root)"
    assert service_owner.holder({**process, "uids": [0, 4_000_000_000]}, "x") == "x (process 812, user 4000000000)"


# --------------------------------------------------------------------------------------------------------------
# Who has opened a socket: processes by number, each with its parent, its start and its name


@pytest.mark.parametrize(
    ("pids", "family", "expected"),
    [
        ([], {}, 0),
        ([7], {}, 7),
        ([7, 8], {}, 0),  # both have ended
        ([5, 7], {5: (7, 2, "helper"), 7: (1, 1, "web")}, 7),  # its child has it too, by whatever number
        ([5, 7], {5: (7, 2, "web"), 7: (1, 1, "helper")}, 7),  # a supervisor has opened it for the service
        ([5, 7], {5: (6, 3, "web"), 6: (7, 2, "sh"), 7: (1, 1, "helper")}, 7),  # with one in between
        ([5, 7], {5: (1, 2, "web"), 7: (1, 1, "helper")}, 5),  # a stranger was given it
        ([5, 7], {5: (1, 2, "one"), 7: (1, 1, "two")}, 7),  # the oldest
        ([5, 7], {5: (1, 1, ""), 7: (1, 2, "two")}, 7),
        ([1, 7], {7: (1, 2, "web"), 1: (0, 1, "systemd")}, 1),  # for whom systemd listens
        ([5, 7], {5: (7, 2, "one"), 7: (5, 1, "two")}, 0),  # numbers that were given again meanwhile
    ],
)
def test_who_has_opened_a_socket(pids: list[int], family: dict[int, Any], expected: int) -> None:
    def look(pid: int) -> dict[str, Any]:
        parent, started, name = family.get(pid, (0, 0, ""))
        return {"pid": pid, "parent": parent, "started": started, "name": name or ("?" if pid in family else "")}

    found = service_owner.opener(pids, look, lambda pid: family[pid][2], ["web"])
    assert found == expected


@needs_root
def test_the_service_remains_the_owner_of_what_a_stranger_inherits(started: Start) -> None:
    """And the stranger has it for itself when the service has ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(server.fileno(), True)
        stranger = started(SLEEP, "60", pass_fds=[server.fileno()])
        own = service_sockets.process(os.getpid())
        known = {stranger["pid"]: "sleep", own["pid"]: "web"}
        look, names = service_sockets.process, known.__getitem__
        assert service_owner.opener(sorted(known), look, names, ["web"]) == own["pid"]
        assert service_owner.opener([stranger["pid"]], look, names, ["web"]) == stranger["pid"]


# --------------------------------------------------------------------------------------------------------------
# Programs that set IPV6_V6ONLY by themselves


def elf(bits: int, order: str, *segments: tuple[int, int, bytes]) -> bytes:
    """A file with these segments: type, flags, and content."""
    wide = bits == 64
    head, size = (64, 56) if wide else (52, 32)
    table, data = b"", b""
    start = 64 + size * len(segments)
    for kind, flags, content in segments:
        at, length = start + len(data), len(content)
        form = f"{order}IIQQQQQQ" if wide else f"{order}IIIIIIII"
        words = (kind, flags, at, 0, 0, length, length, 4) if wide else (kind, at, 0, 0, length, length, flags, 4)
        table += struct.pack(form, *words)
        data += content
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    form = f"{order}HHIQQQIHHHHHH" if wide else f"{order}HHIIIIIHHHHHH"
    first = ident + struct.pack(form, 2, 62, 1, 0, 64, 0, 0, head, size, len(segments), 0, 0, 0)
    return first.ljust(64, b"\0") + table + data


def note(name: bytes, kind: int, text: bytes = b"xyz") -> bytes:
    """One of the notes in elf(5)."""
    return b"".join(
        [
            struct.pack("=III", len(name), len(text), kind),
            name.ljust(-(-len(name) // 4) * 4, b"\0"),
            text.ljust(4, b"\0"),
        ]
    )


GNU, GO = note(b"GNU\0", 3), note(b"Go\0\0", 4)
LOAD, NOTE, READ, WRITE = 1, 4, 4, 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (elf(64, "<", (NOTE, READ, GO)), True),
        (elf(32, "<", (NOTE, READ, GO)), True),
        (elf(32, "<", (LOAD, WRITE, b"\xff Go buildinf:")), True),
        (elf(64, "<", (LOAD, READ, b"x"), (NOTE, READ, GNU + GO)), True),
        (elf(64, "<", (LOAD, WRITE, bytes(32) + b"\xff Go buildinf:")), True),
        (elf(64, ">", (LOAD, WRITE, bytes(32) + b"\xff Go buildinf:")), True),
        (elf(64, "<", (LOAD, READ, b"\xff Go buildinf:")), False),  # a text that it prints, as this test does
        (elf(64, "<", (LOAD, WRITE, bytes(1 << 16) + b"\xff Go buildinf:")), False),
        (elf(64, "<", (NOTE, READ, GNU)), False),
        (elf(64, "<", (NOTE, READ, note(b"Go\0\0", 3))), False),
        (elf(64, "<", (NOTE, READ, struct.pack("=III", 2**32 - 1, 2**32 - 1, 4) + b"Go\0\0")), False),
        (elf(64, "<"), False),
        (elf(64, "<", (NOTE, READ, GO))[:100], False),
        (elf(64, "<", (NOTE, READ, GO)).replace(b"\x7fELF", b"#!/b"), False),
        (b"\x7fELF" + b"\2\1" + b"\xff" * 90, False),
        (b"\x7fELF" + b"\2\1" + bytes(90), False),
        (b"\x7fELF" + b"\7\7" + bytes(90), False),
        (b"", False),
    ],
)
def test_programs_of_go_are_known_by_what_their_linker_leaves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: bytes, expected: bool
) -> None:
    file = tmp_path / "program"
    file.write_bytes(text)
    opened = []

    def instead(path: str, mode: str) -> Any:
        opened.append(path)
        return open(file, mode)

    monkeypatch.setattr(service_program, "open", instead, raising=False)
    read: dict[tuple[int, int], bool] = {}
    assert service_program._is_go(7, read) is expected
    assert opened == ["/proc/7/exe"] and list(read.values()) == [expected]
    file.write_bytes(b"")
    assert service_program._is_go(7, read) is expected  # each file is read once


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["-m", "http.server"], "http.server"),
        (["-mhttp.server", "8000"], "http.server"),
        (["-Bum", "http.server"], "http.server"),
        (["-X", "dev", "-Wignore", "-m", "http.server", "-m", "x"], "http.server"),
        (["--check-hash-based-pycs", "always", "-m", "http.server"], "http.server"),
        (["-m"], ""),
        ([], ""),
        (["fake.py", "-m", "http.server"], ""),
        (["-", "-m", "http.server"], ""),
        (["", "-m", "http.server"], ""),
        (["-c", "-m", "http.server"], ""),
        (["-uc", "pass", "-m", "http.server"], ""),
        (["-X", "-m", "http.server"], ""),
        (["-W", "-m", "-m", "other"], "other"),
    ],
)
def test_the_module_that_python_runs(arguments: list[str], module: str) -> None:
    assert service_program._module(arguments) == module


@needs_root
def test_a_module_counts_only_in_pythons_own_program(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = {**started(SLEEP, "60"), "exe": "/usr/bin/python3.11", "arguments": ["-m", "http.server"]}
    for roots in (True, False):
        monkeypatch.setattr(service_program, "roots_own", lambda process, roots=roots: roots)
        assert service_program.sets_v6only(process, "tcp", {}) is (True if roots else None)
        assert service_program.sets_v6only({**process, "exe": "/usr/bin/perl"}, "tcp", {}) is None
        assert service_program.sets_v6only(process, "udp", {}) is None


@needs_root
def test_who_inherits_a_socket_has_not_set_its_options(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_program, "roots_own", lambda process: True)
    script = "LISTEN_FDS=1 LISTEN_PID=$$ exec sleep 60"
    for command, expected in ((script, None), (script.replace("$$", "1"), True)):
        process = started("/bin/sh", "-c", command, "x")
        while process["name"] != "sleep":
            process = service_sockets.process(process["pid"])
        assert service_program.sets_v6only({**process, "exe": "/usr/bin/node"}, "tcp", {}) is expected
