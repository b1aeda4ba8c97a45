"""dyn.dns.he.net as it documents itself, on loopback, with a certificate of a test CA; it updates the real BIND."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from . import servers

HOST = "127.0.0.1"


def certificates(folder: Path) -> None:
    """A CA, ``ca.pem``, and a key and certificate of HOST, ``server.pem``."""
    subject = ["-subj", "/CN=test", "-days", "2", "-newkey", "rsa:2048", "-nodes", "-x509"]
    for name, extra in (
        ("ca", ["-addext", "basicConstraints=critical,CA:TRUE"]),
        ("other", ["-addext", "basicConstraints=critical,CA:TRUE"]),
        ("server", ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=IP:{HOST}"]),
    ):
        issuer = ["openssl", "req", *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem", *extra]
        subprocess.run(issuer, cwd=folder, check=True, capture_output=True)


def start(folder: Path, keys: dict[str, str]) -> Any:
    """
    Start the service: ``url``, ``requests`` (what it was asked), ``answer`` (what it says instead of the truth:
    status, headers, body, or a word).
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        """One request."""

        def do_POST(self) -> None:
            """An update."""
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: value[0] for key, value in urllib.parse.parse_qs(body).items()}
            server.requests.append({"path": self.path, "form": form, "headers": dict(self.headers)})
            answer: Any = server.answer or (200, {}, self._truth(form))
            if answer == "hang":
                time.sleep(2)
            elif answer == "close":
                self.connection.close()
            elif answer == "noise":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            else:
                status, headers, text = answer
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(text.encode())

        def do_GET(self) -> None:
            """Somebody has followed a redirect."""
            server.requests.append({"path": self.path, "form": {}, "headers": dict(self.headers)})

        def _truth(self, form: dict[str, str]) -> str:
            name, address = form["hostname"], form["myip"]
            if name not in keys:
                return "nohost"
            if form["password"] != keys[name]:
                return "badauth"
            found = servers.records(name)
            if not found:
                return "nohost"
            ttl = int(found[0].split()[0])
            if found == [f"{ttl} {address}"]:
                return f"nochg {address}\n"
            if server.updates:
                servers.put(name, address, ttl=ttl)
            return f"good {address}\r\n"

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    server: Any = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.requests, server.answer, server.updates = [], None, True
    server.url = f"https://{HOST}:{server.server_address[1]}/nic/update"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
