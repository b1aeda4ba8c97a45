"""Asks services from outside, and prints what each says; run in the namespace of whoever comes from there."""

from __future__ import annotations

import concurrent.futures
import json
import re
import socket
import sys

QUESTIONS = {80: b"GET / HTTP/1.0\r\n\r\n", 8080: b"GET / HTTP/1.0\r\n\r\n"}


def ask(address: str, port: int) -> str:
    """The beginning of an answer; with a dash if there is none."""
    said = b""
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            connection.settimeout(5)
            connection.sendall(QUESTIONS.get(port, b""))
            while len(said) < 12 and (more := connection.recv(100)):
                said += more
    except OSError as error:
        return f"- {type(error).__name__}"
    return re.sub(r"\s+", " ", said.decode("ascii", "replace"))[:12] or "- nothing"


def main() -> None:
    """Ask all ports on all addresses at once."""
    addresses, ports = json.loads(sys.argv[1])
    asked = [(family, port) for family in addresses for port in ports]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        said = pool.map(lambda each: ask(addresses[each[0]], each[1]), asked)
        print(json.dumps({f"port {port} {family}": answer for (family, port), answer in zip(asked, said)}))


if __name__ == "__main__":
    main()
