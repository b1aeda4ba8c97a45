#!/usr/bin/python3
"""
Knock at ports again and again, and write down where somebody opens: ``knock.py ADDRESS...``.

``knock.py listen`` is who opens. Each knock is one line of ``/run/control/knocks``: the seconds of uptime, the address,
the port, and ``in``, ``refused`` or ``silence``.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
import time
from pathlib import Path

OPEN, SHUT, OTHER = 22, 3306, 8443  # ssh, which everybody may reach; the database, which nobody may; and one more
PORTS = (OPEN, SHUT, OTHER)
LOG = Path("/run/control/knocks")
PATIENCE = 0.15  # seconds


def listen() -> None:
    """Open to everybody, by both families."""
    streams = []
    for port in PORTS:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            stream = socket.socket(family)
            if family == socket.AF_INET6:
                stream.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            stream.bind((address, port))
            stream.listen(64)
            streams.append(stream)
    while True:
        for stream in select.select(streams, [], [])[0]:
            stream.accept()[0].close()


def knock(address: str, port: int) -> str:
    """What somebody hears who knocks."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as stream:
        stream.settimeout(PATIENCE)
        try:
            stream.connect((address, port))
        except OSError as error:
            return "refused" if error.errno == errno.ECONNREFUSED else "silence"
    return "in"


def main() -> None:
    """Knock until the end."""
    if sys.argv[1] == "listen":
        listen()
    with LOG.open("a", buffering=1) as log:
        while True:
            for address in sys.argv[1:]:
                for port in PORTS:
                    said = knock(address, port)
                    log.write(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.2f} {address} {port} {said}\n")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
