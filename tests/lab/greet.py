#!/usr/bin/python3
"""
Look a host up by its name, connect to each port, and print how it is greeted there: one line for each.

``greet.py FAMILY NAME PORT...``; FAMILY is 4 or 6, and nothing else is tried. Without the project's own code.
"""

from __future__ import annotations

import socket
import sys

FIRST = {80: b"HEAD / HTTP/1.0\r\n\r\n", 5222: b"<stream:stream xmlns='jabber:client' to='localhost' "}
FIRST[5222] += b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"


def greeting(family: int, name: str, port: int) -> str:
    """What the server says first, or why there is nothing."""
    connected = False
    try:
        address = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)[0][4]
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.settimeout(3)
            stream.connect(address)
            connected = True
            stream.sendall(FIRST.get(port, b""))
            said = stream.recv(200).decode("utf-8", "replace").strip()
    except OSError as error:
        return f"{'silence' if connected else 'nothing'}: {error.strerror or error}"
    return said.splitlines()[0][:60] if said else "silence: closed"


def main() -> None:
    """One line for each port."""
    family = socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET
    for port in map(int, sys.argv[3:]):
        print(port, greeting(family, sys.argv[2], port), flush=True)


if __name__ == "__main__":
    main()
