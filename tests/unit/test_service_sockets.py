"""The kernel's listening sockets, against sockets that the test opens and real connections to them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import _dualstack_service_sockets as service_sockets
from salt.exceptions import SaltInvocationError

AF_INET, AF_INET6 = socket.AF_INET, socket.AF_INET6
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")

Open = Callable[..., socket.socket]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens a listening socket; closed after the test."""
    with ExitStack() as stack:

        def _open(
            address: str, port: int = 0, v6only: int | None = None, udp: bool = False, *options: tuple
        ) -> socket.socket:
            family = AF_INET6 if ":" in address else AF_INET
            found = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM))
            if v6only is not None:
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            for option in options:
                found.setsockopt(socket.SOL_SOCKET, *option)
            found.bind((address, port))
            if not udp:
                found.listen()
            return found

        yield _open


def port_of(opened: socket.socket) -> int:
    return int(opened.getsockname()[1])


def seen(*sockets: socket.socket) -> list[dict[str, Any]]:
    """What is seen of the ports of these sockets."""
    ports = [port_of(each) for each in sockets]
    return [each for each in service_sockets.listening()["sockets"] if each["port"] in ports]


def in_a_child(act: Callable[[], Any], user: int | None = None) -> Any:
    """What a function returns in a process of its own, which may be another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            os.write(writing, json.dumps(act()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return json.loads(text)


# --------------------------------------------------------------------------------------------------------------
# Sockets


def test_all_that_is_told_of_a_socket(opened: Open) -> None:
    server = opened("::", v6only=0)
    assert seen(server) == [
        {
            "transport": "tcp",
            "family": "ipv6",
            "address": "::",
            "port": port_of(server),
            "interface": "",
            "v6only": False,
            "families": ["ipv4", "ipv6"],
            "uid": os.getuid(),
            "inode": os.fstat(server.fileno()).st_ino,
            "pids": [os.getpid()],
        }
    ]


ADDRESSES = ["0.0.0.0", "127.0.0.1", "127.1.2.3", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"]


@pytest.mark.parametrize("v6only", [0, 1, None])
@pytest.mark.parametrize("address", ADDRESSES)
def test_real_connections_agree_with_the_families(opened: Open, address: str, v6only: int | None) -> None:
    if v6only is not None and ":" not in address:
        return  # an option of IPv6
    try:
        server = opened(address, v6only=v6only)
    except OSError as error:  # an address of IPv4 for a socket of IPv6 only
        assert error.errno in (errno.EINVAL, errno.EADDRNOTAVAIL) and ".0" in address
        return
    (entry,) = seen(server)
    assert entry["address"] == address
    answering = []
    for family, target in (("ipv4", address.rpartition(":")[2]), ("ipv6", "::1")):
        target = {"": "127.0.0.1", "1": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(target, target)
        with socket.socket(service_sockets.ADDRESS_FAMILIES[family]) as client:
            if client.connect_ex((target, port_of(server))) == 0:
                answering.append(family)
    assert entry["families"] == answering
    default = int(Path("/proc/sys/net/ipv6/bindv6only").read_text())
    assert service_sockets.families(address, None if v6only is None else bool(v6only), default) == answering


def test_what_the_kernel_says_of_v6only(opened: Open) -> None:
    assert [each["v6only"] for each in seen(opened("::", v6only=1))] == [True]
    assert [each["v6only"] for each in seen(opened("::", v6only=0))] == [False]
    assert [each["v6only"] for each in seen(opened("::1"))] == [True]
    assert [each["v6only"] for each in seen(opened("::ffff:127.0.0.1", v6only=0))] == [False]
    assert [each["v6only"] for each in seen(opened("127.0.0.1"))] == [None]


def test_both_families_with_a_socket_each(opened: Open) -> None:
    six = opened("::", v6only=1)
    opened("0.0.0.0", port_of(six))
    assert [(each["address"], each["families"]) for each in seen(six)] == [("0.0.0.0", ["ipv4"]), ("::", ["ipv6"])]


@pytest.mark.parametrize(
    ("address", "v6only", "families"),
    [("0.0.0.0", None, ["ipv4"]), ("127.0.0.1", None, ["ipv4"]), ("::", 0, ["ipv4", "ipv6"]), ("::", 1, ["ipv6"])],
)
def test_udp(opened: Open, address: str, v6only: int | None, families: list[str]) -> None:
    server = opened(address, 0, v6only, True)
    (entry,) = seen(server)
    assert (entry["transport"], entry["address"], entry["families"]) == ("udp", address, families)
    assert entry["pids"] == [os.getpid()]


@pytest.mark.parametrize("unknown", [0, 200], ids=["netlink", "proc"])
def test_clients_are_no_listeners(opened: Open, monkeypatch: pytest.MonkeyPatch, unknown: int) -> None:
    for transport, (protocol, state) in list(service_sockets.TRANSPORTS.items()):
        monkeypatch.setitem(service_sockets.TRANSPORTS, transport, (unknown or protocol, state))
    server, bound = opened("127.0.0.1"), opened("127.0.0.1", 0, None, True)
    with socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        bound.connect(("127.0.0.1", 9))
        assert seen(client, bound) == []
        assert len(seen(server)) == 1
        accepted.close()


def test_a_socket_that_is_bound_to_an_interface(opened: Open) -> None:
    server = opened("::", 0, 0, False, (socket.SO_BINDTODEVICE, b"lo\0"))
    assert [each["interface"] for each in seen(server)] == ["lo"]


def test_an_interface_that_is_gone_has_a_number() -> None:
    assert service_sockets._interface(123456789) == "#123456789"


def test_sockets_that_share_an_address_are_one(opened: Open) -> None:
    sharing = (socket.SO_REUSEPORT, 1)
    first = opened("127.0.0.1", 0, None, False, sharing)
    more = [opened("127.0.0.1", port_of(first), None, False, sharing) for _ in range(3)]
    (entry,) = seen(first)
    assert entry["inode"] == min(os.fstat(each.fileno()).st_ino for each in [first, *more])
    assert entry["pids"] == [os.getpid()]


def test_a_socket_has_all_its_processes(opened: Open) -> None:
    server = opened("127.0.0.1")
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        assert seen(server)[0]["pids"] == sorted([os.getpid(), child])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_hundreds_of_sockets_come_in_several_parts(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [opened(address, 0, None, udp) for address in ("127.0.0.1", "::1") for udp in (0, 1) for _ in range(200)]
    parts: list[int] = []

    def counted(part: bytes) -> Any:
        parts.append(len(part))
        return messages(part)

    messages = service_sockets._messages
    monkeypatch.setattr(service_sockets, "_messages", counted)
    found = {(each["transport"], each["address"], each["port"]) for each in seen(*servers)}
    transports = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
    assert {(transports[each.type], each.getsockname()[0], port_of(each)) for each in servers} <= found
    assert len(parts) > 8  # four dumps, and the end of each comes alone


def test_the_order_is_the_same_every_time(opened: Open) -> None:
    servers = [opened(address, 0, None, udp) for address in ("::1", "127.0.0.1") for udp in (0, 1)]
    found = seen(*servers)
    assert found == seen(*servers)
    assert [each["transport"] for each in found] == ["tcp", "tcp", "udp", "udp"]
    everything = service_sockets.listening()["sockets"]
    order = [(each["transport"], each["port"], each["family"], each["address"]) for each in everything]
    assert order == sorted(order)


# --------------------------------------------------------------------------------------------------------------
# What this user cannot see


@needs_root
def test_another_user_sees_the_sockets_and_not_the_processes(opened: Open) -> None:
    server = opened("::", v6only=0)
    found = in_a_child(service_sockets.listening, NOBODY)
    (entry,) = [each for each in found["sockets"] if each["port"] == port_of(server)]
    # The child is a process of that user, and has inherited the socket.
    assert {**entry, "pids": []} == {**seen(server)[0], "pids": []}
    assert os.getpid() not in entry["pids"]


@needs_root
def test_another_user_learns_what_they_cannot_see(opened: Open) -> None:
    server = opened("::", v6only=0)
    os.set_inheritable(server.fileno(), False)

    def look() -> Any:
        server.close()
        return service_sockets.listening()

    found = in_a_child(look, NOBODY)
    (entry,) = [each for each in found["sockets"] if each["port"] == port_of(server)]
    assert entry["pids"] == [] and entry["v6only"] is False
    (sentence,) = found["unseen"]
    assert sentence.startswith("This user may not see the process behind ")


@needs_root
def test_a_socket_without_a_process_is_reported(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    server = opened("127.0.0.1")
    monkeypatch.setattr(service_sockets, "_holders", dict)
    (sentence,) = service_sockets.listening()["unseen"]
    assert sentence.startswith("No process in sight holds ") and f"tcp/{port_of(server)}" in sentence


def test_only_so_many_ports_are_named() -> None:
    sockets = [{"transport": "tcp", "port": each, "address": "::", "v6only": None, "pids": [1]} for each in range(14)]
    (sentence,) = service_sockets._untold(sockets)
    assert sentence == (
        "It is not known whether :: also serves IPv4 for 14 sockets (tcp/0, tcp/1, tcp/2, tcp/3, tcp/4, tcp/5, tcp/6, "
        "tcp/7, tcp/8, tcp/9, and 4 more): only a connection would show it."
    )


# --------------------------------------------------------------------------------------------------------------
# Kernels that do not answer


def test_the_kernel_refuses_a_protocol_that_it_does_not_know() -> None:
    """With NLMSG_DONE for a protocol, and with NLMSG_ERROR for a family."""
    for family, protocol in ((AF_INET, 200), (250, socket.IPPROTO_TCP)):
        with pytest.raises(OSError) as caught:
            service_sockets._ask(service_sockets.REQUEST.pack(family, protocol, 1 << 10))
        assert caught.value.errno in (errno.ENOENT, errno.EINVAL)


def test_without_sock_diag_proc_tells_the_rest(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [opened(address, 0, None, udp) for address in ADDRESSES[:5] for udp in (0, 1)]
    servers += [opened("::", v6only=0), opened("::", v6only=1), opened("::ffff:127.0.0.1", v6only=0)]
    by_netlink = seen(*servers)
    monkeypatch.setattr(service_sockets, "TRANSPORTS", {"tcp": (200, 10), "udp": (201, 7)})
    assert seen(*servers) == [
        {**each, "v6only": None, "families": ["ipv6"] if each["address"] == "::" else each["families"]}
        for each in by_netlink
    ]
    tcp, udp, unsure, *_ = service_sockets.listening()["unseen"]
    assert tcp.startswith("sock_diag(7) reports nothing about tcp (")
    assert tcp.endswith(
        "): read from /proc/net/tcp and /proc/net/tcp6, which do not report IPV6_V6ONLY or the interface."
    )
    assert "/proc/net/udp6" in udp
    assert unsure.startswith("It is not known whether :: also serves IPv4 for ")


def test_one_transport_may_be_missing(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [opened("::", 0, 0, udp) for udp in (0, 1)]
    monkeypatch.setitem(service_sockets.TRANSPORTS, "udp", (200, 7))
    assert [(each["transport"], each["v6only"]) for each in seen(*servers)] == [("tcp", False), ("udp", None)]


def test_neither_netlink_nor_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(service_sockets, "_ask", refused)
    monkeypatch.setattr(service_sockets, "open", refused, raising=False)
    assert service_sockets.listening() == {
        "sockets": [],
        "unseen": [
            f"sock_diag(7) reports nothing about {each} (Permission denied), and there is no /proc/net/{each}: "
            f"no socket of {each} could be seen."
            for each in ("tcp", "udp")
        ],
    }


def test_a_kernel_without_ipv6_has_one_table_of_a_transport(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_ipv6(path: str, *given: Any, **named: Any) -> Any:
        if path.startswith("/proc/net/") and path.endswith("6"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return open(path, *given, **named)

    monkeypatch.setattr(service_sockets, "TRANSPORTS", {"tcp": (200, 10)})
    monkeypatch.setattr(service_sockets, "open", without_ipv6, raising=False)
    assert [each["address"] for each in seen(opened("127.0.0.1"), opened("::1"))] == ["127.0.0.1"]
    said = "): read from /proc/net/tcp, which does not report IPV6_V6ONLY or the interface."
    assert service_sockets.listening()["unseen"][0].endswith(said)


def test_a_table_that_changed_is_read_again(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    server = opened("127.0.0.1")
    ask = service_sockets._ask
    left = [3]

    def interrupted(request: bytes) -> tuple[list[bytes], bool]:
        left[0] -= 1
        answers, _ = ask(request)
        return answers, left[0] >= 0

    monkeypatch.setattr(service_sockets, "_ask", interrupted)
    found = service_sockets.listening()
    assert not any("changed" in each for each in found["unseen"])
    assert [each["port"] for each in found["sockets"]].count(port_of(server)) == 1
    left[0] = 1000
    assert "The kernel's table of tcp changed" in service_sockets.listening()["unseen"][0]


def test_the_flag_of_an_interrupted_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = service_sockets._messages

    def flagged(part: bytes) -> Iterator[tuple[int, int, bytes]]:
        for kind, flags, payload in messages(part):
            yield kind, flags | (service_sockets.NLM_F_DUMP_INTR if kind == service_sockets.NLMSG_DONE else 0), payload

    monkeypatch.setattr(service_sockets, "_messages", flagged)
    assert "The kernel's table of tcp changed" in service_sockets.listening()["unseen"][0]


@pytest.mark.parametrize("part", [b"\0", bytes(16), struct.pack("=IHHII", 15, 20, 0, 1, 0)])
def test_a_broken_message_does_not_loop(part: bytes) -> None:
    with pytest.raises(OSError):
        list(service_sockets._messages(part))


# --------------------------------------------------------------------------------------------------------------
# Families


@pytest.mark.parametrize(
    ("address", "v6only", "bindv6only", "families"),
    [
        ("::", None, 0, ["ipv4", "ipv6"]),
        ("::", None, 1, ["ipv6"]),
        ("::", None, "0", ["ipv4", "ipv6"]),  # as sysctl.get has it
        ("::", False, 1, ["ipv4", "ipv6"]),
        ("::", True, 0, ["ipv6"]),
        ("::%lo", False, 0, ["ipv4", "ipv6"]),
        ("0:0:0:0:0:0:0:0", None, 0, ["ipv4", "ipv6"]),
        ("fe80::1%eth0", None, 0, ["ipv6"]),
        ("2001:db8::1", False, 0, ["ipv6"]),
        ("::ffff:192.0.2.1", False, 1, ["ipv4"]),
        ("0.0.0.0", None, 1, ["ipv4"]),
    ],
)
def test_families(address: str, v6only: bool | None, bindv6only: Any, families: list[str]) -> None:
    assert service_sockets.families(address, v6only, bindv6only) == families


@pytest.mark.parametrize("address", ["", "localhost", "*", "[::]", "::1/128"])
def test_families_of_what_is_no_address(address: str) -> None:
    with pytest.raises(SaltInvocationError, match="is not an address of IPv4 or IPv6"):
        service_sockets.families(address, None)


# --------------------------------------------------------------------------------------------------------------
# Processes


def running(process: subprocess.Popen) -> int:
    """The number of a process, as soon as the kernel has its arguments."""
    while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
        time.sleep(0.001)
    return process.pid


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts sleep(1) under another name."""
    with ExitStack() as stack:

        def _start(name: str, *arguments: Any) -> int:
            program = shutil.copy(shutil.which("sleep") or "", tmp_path / name)
            process = subprocess.Popen([program, *arguments])
            stack.callback(process.wait)
            stack.callback(process.kill)
            return running(process)

        yield _start


def test_this_process() -> None:
    arguments = Path("/proc/self/cmdline").read_text().split("\0")[1:-1]
    exe = os.readlink("/proc/self/exe")
    found = service_sockets.process(os.getpid())
    assert {**found, "unit": ""} == {
        "pid": os.getpid(),
        "exe": exe,
        "deleted": False,
        "arguments": arguments,
        "command": " ".join([exe, *arguments]),
        "name": Path("/proc/self/comm").read_text().strip(),
        "uids": [os.getuid(), os.geteuid()],
        "unit": "",
        "parent": os.getppid(),
        "started": found["started"],
    }
    with subprocess.Popen(["sleep", "60"]) as younger:
        assert service_sockets.process(younger.pid)["started"] >= found["started"] > 0
        younger.kill()


def test_a_daemon_whose_program_was_upgraded(started: Callable[..., int], tmp_path: Path) -> None:
    pid = started("daemon", "60")
    assert service_sockets.process(pid)["deleted"] is False
    (tmp_path / "daemon").unlink()
    found = service_sockets.process(pid)
    assert (found["command"], found["deleted"]) == (f"{tmp_path}/daemon 60", True)


def test_a_name_with_blanks_and_parentheses(started: Callable[..., int], tmp_path: Path) -> None:
    found = service_sockets.process(started("a) S (b", "60"))
    assert (found["name"], found["parent"]) == ("a) S (b", os.getpid())


def test_arguments_that_are_no_utf8() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", b"\xff\xfe"], stdin=subprocess.PIPE) as process:
        assert service_sockets.process(running(process))["command"].endswith("-c input() \ufffd\ufffd")
        process.communicate(b"\n")


def test_a_process_that_has_ended() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert service_sockets.process(process.pid) == {
        "pid": process.pid,
        "exe": "",
        "deleted": False,
        "arguments": [],
        "command": "",
        "name": "",
        "uids": [],
        "unit": "",
        "parent": 0,
        "started": 0,
    }


@needs_root
def test_a_process_of_another_user_is_known_by_what_it_calls_itself(started: Callable[..., int]) -> None:
    pid = started("daemon", "60")
    own, other = service_sockets.process(pid), in_a_child(lambda: service_sockets.process(pid), NOBODY)
    assert other == {**own, "exe": ""}


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/system.slice/dovecot.service\n", "dovecot.service"),
        ("0::/system.slice/system-postfix.slice/postfix@-.service\n", "postfix@-.service"),
        ("0::/web.slice/web-front.slice/nginx.service\n", "nginx.service"),
        ("0::/machine.slice/docker-1f.scope/system.slice/nginx.service\n", "docker-1f.scope"),
        # what its user may have made: below one's own manager, and below a unit of which one has the cgroup
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", ""),
        ("0::/system.slice/app.service/nginx.service\n", "app.service"),
        ("0::/nginx.service\n", ""),
        ("0::/docker/1f/system.slice/nginx.service\n", ""),
        ("0::/system.slice/named.service/workers\n", "named.service"),
        ("12:pids:/system.slice/x.service\n1:name=systemd:/system.slice/ssh.service\n0::/\n", "ssh.service"),
        ("0::/system.slice/a:b.service\n", "a:b.service"),
        ("0::/../../system.slice/nginx.service\n", ""),
        ("0::/\n", ""),
        ("4:memory:/system.slice/x.service\n", ""),
        ("nonsense\n\n", ""),
        ("", ""),
    ],
)
def test_the_unit(cgroups: str, unit: str) -> None:
    assert service_sockets._unit(cgroups) == unit


def test_a_kernel_that_does_not_tell_leaves_it_unknown() -> None:
    """Those before 2015 say nothing of ``IPV6_V6ONLY``."""

    def attribute(kind: int, value: bytes) -> bytes:
        return service_sockets.RTATTR.pack(service_sockets.RTATTR.size + len(value), kind) + value

    answer = bytes([socket.AF_INET6]).ljust(service_sockets.ANSWER.size, b"\0")
    for attributes, v6only in (
        (b"", None),
        (attribute(service_sockets.INET_DIAG_SKV6ONLY + 1, b"\1"), None),
        (attribute(service_sockets.INET_DIAG_SKV6ONLY, b"\1"), True),
        (attribute(service_sockets.INET_DIAG_SKV6ONLY, b"\0"), False),
    ):
        assert service_sockets._row(answer + attributes)[4] is v6only
