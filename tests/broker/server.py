"""
A tunnel broker as Hurricane Electric documents itself, on loopback, with a certificate of a test CA.

It keeps one account's tunnels, counts what it is asked, and says instead of the truth whatever a test wants.
"""

from __future__ import annotations

import base64
import http.server
import ipaddress
import re
import ssl
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
USER, KEY, ID = "somebody", "Upd4te+K3y/of~the=tunnel", "123456"
NUMBERS = {
    "description": "a tunnel & its <name>",
    "serverv4": "216.66.84.42",
    "clientv4": "46.105.5.1",
    "serverv6": "2001:470:1f12:f87::1/64",
    "clientv6": "2001:470:1F12:0f87::2/64",
    "routed64": "2001:470:1f13:f87::/64",
    "routed48": "2001:470:abcd::/48",
    "rdns1": "ns1.he.net",
    "rdns2": "ns2.he.net",
}
PRIVATE = [ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


def certificates(folder: Path) -> None:
    """A CA, ``ca.pem``; what it has signed for HOST, ``server``, and for another, ``elsewhere``; two that are bad."""
    usual = ["-subj", "/CN=test", "-newkey", "rsa:2048", "-nodes", "-x509"]
    alike = ["-addext", f"subjectAltName=IP:{HOST}"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key"]
    for name, extra in (
        ("ca", ["-days", "2", "-addext", "basicConstraints=critical,CA:TRUE"]),
        ("server", ["-days", "2", *signed, *alike]),
        ("elsewhere", ["-days", "2", *signed, "-addext", "subjectAltName=DNS:elsewhere.example.org"]),
        ("selfsigned", ["-days", "2", *alike]),
        ("expired", ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z", *signed, *alike]),
    ):
        words = ["openssl", "req", *usual, "-keyout", f"{name}.key", "-out", f"{name}.pem", *extra]
        done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode and name == "expired":  # openssl req of 3.0 cannot say when
            _expired(folder)
        else:
            assert done.returncode == 0, done.stderr


def _expired(folder: Path) -> None:
    """A certificate that was valid for a day."""
    new = ["openssl", "req", "-subj", "/CN=test", "-newkey", "rsa:2048", "-nodes", "-keyout", "expired.key"]
    subprocess.run([*new, "-out", "expired.csr"], cwd=folder, check=True, capture_output=True)
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\n"
        f"x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:{HOST}\n"
    )
    words = ["openssl", "ca", "-config", "ca.cnf", "-batch", "-cert", "ca.pem", "-keyfile", "ca.key", "-create_serial"]
    words += ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext"]
    subprocess.run([*words, "-in", "expired.csr", "-out", "expired.pem"], cwd=folder, check=True, capture_output=True)


def xml(*tunnels: tuple[str, dict[str, str]]) -> str:
    """What tunnelInfo.php answers."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<tunnels>"]
    for number, numbers in tunnels:
        lines.append(f'<tunnel id="{number}">')
        for key, value in numbers.items():
            text = value.replace("&", "&amp;").replace("<", "&lt;")
            lines.append(f"<{key}>{text}</{key}>")
        lines.append("</tunnel>")
    return "\n".join([*lines, "</tunnels>", ""])


class Broker(http.server.ThreadingHTTPServer):
    """The service; ``answers`` has what it says instead of the truth, by ``update`` and ``info``."""

    daemon_threads = True

    def __init__(self, folder: Path, certificate: str = "server") -> None:
        super().__init__((HOST, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
        # The handshake is done in the request's own thread.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://{HOST}:{self.server_address[1]}"
        self.tunnels: dict[str, dict[str, str]] = {ID: dict(NUMBERS), "99": {**NUMBERS, "serverv4": "216.218.226.238"}}
        self.requests: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.source = "203.0.113.9"  # from where a request seems to come
        self.most = 5  # updates before it speaks of abuse
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def updates(self) -> list[dict[str, Any]]:
        """The requests that would change something."""
        return [each for each in self.requests if each["kind"] == "update"]

    def handle_error(self, *_: Any) -> None:
        """Who does not trust the certificate goes away; nothing is printed."""

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Broker
    timeout = 10

    def do_GET(self) -> None:
        """An update, or a question."""
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        kind = {"/nic/update": "update", "/tunnelInfo.php": "info"}.get(parts.path, "other")
        given = {"kind": kind, "path": self.path, "query": query, "headers": dict(self.headers)}
        self.server.requests.append(given)
        truth: dict[str, Any] = {"update": self._update, "info": self._info, "other": lambda _: (404, "")}
        answer = self.server.answers.get(kind) or truth[kind](query)
        if callable(answer):
            answer(self)
            return
        status, text, *headers = answer
        self.send_response(status)
        for key, value in headers[0].items() if headers else ():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def _authorised(self) -> bool:
        words = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {words}"

    def _update(self, query: dict[str, str]) -> tuple[int, str]:
        if {"username", "password"} & query.keys():
            return 400, "the key is in the URL"
        if not self._authorised():
            return 200, "badauth"
        if len(self.server.updates()) > self.server.most:
            return 200, "abuse"
        if query.get("hostname") not in self.server.tunnels:
            return 200, "nohost"
        address = query.get("myip", self.server.source)
        if not re.fullmatch(r"[0-9.]+", address):
            return 200, "badip"
        if any(ipaddress.ip_address(address) in each for each in PRIVATE):
            return 200, "-ERROR: IP is blocked. (RFC1918 Private Address Space)"
        tunnel = self.server.tunnels[query["hostname"]]
        if tunnel["clientv4"] == address:
            return 200, f"nochg {address}\r\n"
        tunnel["clientv4"] = address
        return 200, f"good {address}\n"

    def _info(self, query: dict[str, str]) -> tuple[int, str]:
        if not self._authorised():
            return 401, "badauth"
        found = self.server.tunnels.items()
        return 200, xml(*(each for each in found if query.get("tid") in (None, each[0])))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def drip(handler: Handler) -> None:
    """A byte now and then, for ever."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(200):
        handler.wfile.write(b"g")
        handler.wfile.flush()
        time.sleep(0.1)


def flood(handler: Handler) -> None:
    """Megabytes, without a length."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(64):
        handler.wfile.write(b"good 46.105.5.1 " * 65536)


def hang(handler: Handler) -> None:
    """Nothing, for a long time."""
    time.sleep(20)


def close(handler: Handler) -> None:
    """Nothing at all."""
    handler.connection.close()


def noise(handler: Handler) -> None:
    """Another protocol."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
