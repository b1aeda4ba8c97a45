"""Small servers for probes: what they do with a connection is a function."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import _dualstack_service_probe as service_probe
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

WAIT = 0.4  # seconds, for probes that have to wait in vain
LATE = 5  # seconds that none of them may last, on the busiest machine

Act = Callable[[socket.socket], object]
Serve = Callable[..., int]


def certificate(file: Path, *names: str, days: int = 30, common: str = "elsewhere.example.org") -> ssl.SSLContext:
    """What a server needs to speak TLS: a key and a certificate that nobody trusts; the file gets both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=365))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # as servers that log such an end
    return context


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that does something with every connection, and returns its port."""
    with ExitStack() as stack:

        def _serve(act: Act, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", port: int = 0) -> int:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = stack.enter_context(socket.create_server((address, port), family=family, backlog=1000))

            def _run() -> None:
                with suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        threading.Thread(target=_attend, args=(connection,), daemon=True).start()

            def _attend(connection: socket.socket) -> None:
                with connection, suppress(OSError):
                    connection.settimeout(2)
                    if not tls:
                        act(connection)
                        return
                    with tls.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as secure:
                        act(secure)

            threading.Thread(target=_run, daemon=True).start()
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return int(listener.getsockname()[1])

        yield _serve


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that has expired, and is for nobody."""
    return certificate(tmp_path_factory.mktemp("tls") / "server.pem", days=-1)


def says(text: str) -> Act:
    """Says something, and closes the connection when the other side has spoken or gone."""

    def _act(connection: socket.socket) -> None:
        connection.sendall(text.encode())
        connection.recv(4096)

    return _act


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def closes(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def dribbles(text: bytes) -> Act:
    """A byte every few milliseconds, and for ever."""

    def _act(connection: socket.socket) -> None:
        for each in text + b"x" * 1000:
            connection.sendall(bytes([each]))
            time.sleep(0.02)

    return _act


def converses(heard: list[bytes], greeting: str, answers: dict[str, str], tls: ssl.SSLContext | None = None) -> Act:
    """Answers each line by its first words, until there is no answer; after one that ends with `TLS`, by TLS."""

    def _act(connection: socket.socket) -> None:
        connection.sendall(greeting.encode())
        while line := _line(connection):
            heard.append(line)
            answer = next((said for asked, said in answers.items() if line.startswith(asked.encode())), "")
            connection.sendall(answer.removesuffix("TLS").encode())
            if answer.endswith("TLS") and tls:
                connection = tls.wrap_socket(connection, server_side=True)
                heard.append(b"TLS")
            elif not answer:
                break
        connection.close()

    return _act


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith((b"\n", b">")):
        piece = connection.recv(1)
        if not piece:
            break
        line += piece
    return line


def probe(
    address: str, port: int, protocol: str = "tcp", timeout: float | None = None, name: str = "", **more: Any
) -> dict[str, Any]:
    """``service_probe.probe`` of a target that is written in one line."""
    target = {"address": address, "port": port, "protocol": protocol, "name": name, **more}
    return service_probe.probe(target, timeout)
