"""A name server of www.example.org, for test_names: says that it is there, and answers until it is killed."""

from __future__ import annotations

import ipaddress
import socket
import struct

KINDS = {1: ipaddress.ip_address("192.0.2.81"), 28: ipaddress.ip_address("2001:db8::81")}
NAME = b"\3www\7example\3org\0"

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    print("here", flush=True)
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        (kind,) = struct.unpack_from("!H", query, end - 4)
        known = query[12 : end - 4].lower() == NAME and kind in KINDS
        answer = b""
        if known:
            address = KINDS[kind].packed
            answer = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(address)) + address
        header = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, known, 0, 0)
        server.sendto(header + query[12:end] + answer, client)
