"""No state takes longer than it may, however slow its commands, servers and services are."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_ask as dns_ask
import _dualstack_firewall_commands as firewall_commands
import _dualstack_host_commands as host_commands
import _dualstack_host_lock as host_lock
import _dualstack_host_time as host_time
import _dualstack_service_judgement as service_judgement
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import _dualstack_service_settings as service_settings
import _dualstack_tunnel_change as tunnel_change
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_manager as tunnel_manager
import _dualstack_tunnel_surroundings as tunnel_surroundings
import pytest
from salt.exceptions import CommandExecutionError

from ..dns import dyndns
from . import programs

HOST = "127.0.0.1"
MARGIN = 10.0  # seconds by which a bound may be passed


def slowly(times: int) -> None:
    """Many commands, none of which takes long."""
    for _ in range(times):
        assert host_commands.output(["sleep", "0.2"]).retcode == 0


def run(apply: Callable[[], None], undo: Callable[[], None], bound: float) -> tuple[dict[str, Any], float]:
    """A change that takes its time, and the seconds that it took."""
    began = time.monotonic()
    change = converge.Change(
        "a-test", lambda: {"changes": {"a": "b"}}, lambda plan: apply(), lambda plan: [undo], lambda: bound
    )
    return converge.run("slow", change, {}, test=False), time.monotonic() - began


def test_many_slow_commands_are_too_many() -> None:
    done, seconds = run(lambda: slowly(1000), lambda: slowly(2), 1.5)
    assert done["result"] is False
    assert done["comment"].startswith("the 1.5 s that this state may take are over") or "took more than" in (
        done["comment"]
    )
    assert done["comment"].endswith("Everything was put back as it was.")
    assert 1.5 < seconds < 1.5 + MARGIN


def test_what_is_undone_has_as_much_time_again_and_no_more() -> None:
    done, seconds = run(lambda: slowly(1000), lambda: slowly(1000), 1.5)
    assert "It could not be put back: " in done["comment"]
    assert 3 < seconds < 3 + MARGIN
    assert programs.left() == []


def test_a_look_is_limited_as_well() -> None:
    began = time.monotonic()

    def find() -> converge.Finding:
        slowly(1000)
        return converge.Finding(True, "")

    done = converge.look("slow", find, {}, bound=1.0)
    assert done["result"] is False
    assert time.monotonic() - began < MARGIN


def test_a_command_has_what_is_left() -> None:
    with host_time.within(0.5), pytest.raises(host_commands.TooMuch, match="took more than 0.5 s and was killed"):
        host_commands.output(["sleep", programs.MARK], 60)
    with host_time.within(0), pytest.raises(host_time.Over, match="the 0 s that this state may take are over"):
        host_commands.output(["true"])
    assert host_time.left(7) == 7


# --------------------------------------------------------------------------------------------------------------
# Servers and services that never come to an end


@contextlib.contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Somebody who accepts every connection; gives the port."""
    listening = socket.create_server((HOST, 0), backlog=500)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    def quietly(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            talk(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def silent(connection: socket.socket) -> None:
    """Say nothing."""
    while connection.recv(4096):
        pass


def dripping(connection: socket.socket, beginning: bytes = b"") -> None:
    """A byte now and then, so that there is always some."""
    connection.sendall(beginning)
    while True:
        connection.sendall(b"x")
        time.sleep(0.1)


def flooding(connection: socket.socket, beginning: bytes = b"") -> None:
    """100 MB."""
    connection.sendall(beginning)
    for _ in range(100):
        connection.sendall(b"x" * (1 << 20))


TALKS = [silent, dripping, flooding]


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("protocol", ["smtp", "http", "xmpp", "imaps"])
def test_a_service_that_never_ends_its_greeting(talk: Any, protocol: str) -> None:
    with server(talk) as port:
        target = {"address": HOST, "port": port, "protocol": protocol}
        began = time.monotonic()
        with pytest.raises(CommandExecutionError, match="^it did not answer as it should within 1.5 s: tcp/"):
            service_judgement.wait_for([target] * 40, 1.5)
        assert time.monotonic() - began < 1.5 + 4
        with host_time.within(0.5):
            (answer,) = service_probe.probe_all([target])
        assert answer["answers"] is False and answer["seconds"] < 2


def test_many_silent_services_are_not_waited_for_one_after_the_other() -> None:
    with server(silent) as port:
        target = {"address": HOST, "port": port, "protocol": "smtp"}
        began = time.monotonic()
        with host_time.within(1):
            answers = service_probe.probe_all([target] * 200, 5)
        assert time.monotonic() - began < 3
        assert {each["answers"] for each in answers} == {False}


@pytest.mark.parametrize("talk", TALKS)
def test_a_name_server_that_never_answers(talk: Any) -> None:
    with server(talk) as port:
        where = {f"n{number}.example.org": {"server": f"{HOST}#{port}"} for number in range(60)}
        began = time.monotonic()
        with host_time.within(1), pytest.raises(CommandExecutionError, match="has no answer for n0.example.org"):
            dns_ask.agreed(where, 600)
        assert time.monotonic() - began < 1 + 3


EDITS = {
    "www.example.org": {
        "old": {"addresses": ["2001:db8::2"], "ttl": 60},
        "new": {"addresses": ["2001:db8::1"], "ttl": 60},
    }
}


@pytest.fixture
def provider(modules: Any) -> Iterator[Callable[..., None]]:
    """Have a provider change a record: it fails in these words, within its time."""

    def change(name: str, settings: dict[str, Any], said: str, bound: float) -> None:
        modules.pack["__pillar__"]["ipv6"] = {"dns": {name: settings}}
        before, began = programs.most_memory(), time.monotonic()
        with pytest.raises(CommandExecutionError) as caught:
            getattr(modules, f"aaaa_{name}").change(f"ipv6:dns:{name}", EDITS)
        assert said in str(caught.value)
        assert time.monotonic() - began < bound + 3
        assert programs.most_memory() - before < 50

    yield change
    modules.pack["__pillar__"].pop("ipv6")


HE = {"keys": {"www.example.org": "s3cret-key"}, "timeout": 1}
ANSWERS = [
    b"",
    b"HTTP/1.1 200 OK\r\nX: ",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
]


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("beginning", ANSWERS)
def test_a_dyndns_service_that_never_ends_its_answer(
    provider: Any, tmp_path: Path, talk: Any, beginning: bytes
) -> None:
    dyndns.certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    def encrypted(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            talk(stream, *([beginning] if talk is not silent else []))

    with server(encrypted) as port:
        settings = {**HE, "url": f"https://{HOST}:{port}/", "ca": str(tmp_path / "ca.pem")}
        # Only the beginning of 100 MB is looked at.
        said = "something unknown: '" if talk is flooding and beginning in ANSWERS[2:] else "no answer"
        provider("he", settings, said, 1)


@pytest.mark.parametrize("talk", TALKS)
def test_a_dyndns_service_that_never_ends_its_handshake(provider: Any, talk: Any) -> None:
    with server(talk) as port:
        provider("he", {**HE, "url": f"https://{HOST}:{port}/"}, "no answer", 1)


@pytest.mark.parametrize("talk", TALKS)
def test_a_primary_server_that_never_ends_its_answer(
    provider: Any, modules: Any, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert modules["aaaa_rfc2136.about"]
    with server(talk) as port:
        settings = {"server": HOST, "port": port, "zone": "example.org", "key_name": "k", "key": "bm90IGEgc2VjcmV0"}
        with host_time.within(1):
            provider("rfc2136", settings, "the update of www.example.org at", 1)


@pytest.mark.parametrize("talk", TALKS)
def test_a_hoster_that_never_ends_its_answer(provider: Any, talk: Any) -> None:
    """Lexicon's `powerdns` asks whom it is told to, and has no limit of its own."""
    with server(talk) as port:
        options = {"auth_token": "s3cret", "pdns_server": f"http://{HOST}:{port}"}
        with host_time.within(2):
            provider("lexicon", {"provider": "powerdns", "zone": "example.org", "options": options}, "failed: ", 2)


# --------------------------------------------------------------------------------------------------------------
# The bounds themselves


def test_every_bound_is_what_is_documented() -> None:
    assert (converge.BOUND, tunnel_change.BOUND, host_lock.PATIENCE) == (300, 360, 300)
    assert (host_commands.PATIENCE, host_commands.LONG, host_commands.MOST) == (60, 120, 64 << 20)
    assert (firewall_commands.PATIENCE, firewall_commands.LOCK) == (90, 60)
    assert (service_host.STATUS, service_host.CHECK, service_settings.TIMEOUT) == (30, 60, 120)
    assert (tunnel_manager.VERSION, tunnel_surroundings.MODPROBE, tunnel_change.PATIENCE) == (10, 10, 120)
    assert (tunnel_echo.ATTEMPTS, tunnel_echo.TIMEOUT, tunnel_echo.PATIENCE) == (500, 30, 10)


def test_the_parts_fit_into_the_whole() -> None:
    """Each command may take all its time once, and the state is still not over."""
    ping = tunnel_echo.ATTEMPTS * tunnel_echo.INTERVAL + tunnel_echo.TIMEOUT + tunnel_echo.PATIENCE
    assert 2 * ping <= converge.BOUND  # the broker's end, then its endpoint
    assert 3 * firewall_commands.PATIENCE <= converge.BOUND  # the scratch namespace, the rehearsal, the swap
    assert tunnel_manager.VERSION + tunnel_surroundings.MODPROBE + 2 * tunnel_change.PATIENCE <= tunnel_change.BOUND
    for timeout in (1, 120, 3600):
        bound = service_settings.bound({"timeout": timeout})
        # A check before and after, a restart, and the wait for the answers.
        assert 2 * service_host.CHECK + 2 * timeout <= bound
