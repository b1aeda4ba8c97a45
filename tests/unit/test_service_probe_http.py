"""Probes in HTTP, against small servers."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import _dualstack_service_compare as service_compare
import _dualstack_service_probe as service_probe
import _dualstack_service_probe_http as service_probe_http
import _dualstack_service_probe_page as service_probe_page
import pytest

from .servers import LATE, WAIT, Act, Serve, certificate, probe


def replies(*pieces: bytes, heard: list[bytes] | None = None, pause: float = 0, stay: bool = False) -> Act:
    def _act(connection: socket.socket) -> None:
        request = connection.recv(4096)
        if heard is not None:
            heard.append(request)
        for each in pieces:
            connection.sendall(each)
            time.sleep(pause)
        if stay:
            connection.recv(4096)

    return _act


SHOP = service_probe_page.fingerprint(b"shop")


@pytest.mark.parametrize(
    ("address", "name", "host"),
    [("127.0.0.1", "", "127.0.0.1"), ("::1", "", "[::1]"), ("::1", "a.example", "a.example")],
)
def test_it_asks_as_a_browser(serve: Serve, address: str, name: str, host: str) -> None:
    heard: list[bytes] = []
    port = serve(replies(b"HTTP/1.0 200 OK\r\n\r\n", heard=heard), None, address)
    assert probe(address, port, "http", name=name, path="/a?b")["answers"]
    lines = heard[0].decode().split("\r\n")
    assert lines[:2] == ["GET /a?b HTTP/1.1", f"Host: {host}:{port}"]
    assert "Connection: close" in lines and any(each.startswith("User-Agent: Mozilla/5.0 (") for each in lines)
    assert lines[-2:] == ["", ""]


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n\r\nshop",
        b"HTTP/1.1 200\r\n\r\nshop",
        b"HTTP/1.1 200 OK\n\nshop",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nshop",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nshop",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nsh\r\n2\r\nop\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nshop\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"shop"),
    ],
)
def test_a_page(serve: Serve, reply: bytes) -> None:
    for pieces in ((reply,), [bytes([each]) for each in reply]):
        found = probe("127.0.0.1", serve(replies(*pieces)), "http")
        assert (found["answers"], found["error"], found["seconds"] < LATE) == (True, "", True)
        assert found["look"] == {"status": 200, "location": "", "page": SHOP}


@pytest.mark.parametrize(
    "end", [b"Content-Length: 4\r\n\r\nshop", b"Transfer-Encoding: chunked\r\n\r\n4\r\nshop\r\n0\r\n\r\n"]
)
def test_a_server_that_does_not_close(serve: Serve, end: bytes) -> None:
    found = probe("127.0.0.1", serve(replies(b"HTTP/1.1 200 OK\r\n" + end, stay=True)), "http")
    assert found["look"]["page"] == SHOP and found["seconds"] < 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshop",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nshop\r\n",
    ],
)
def test_a_page_that_is_cut_is_not_compared(serve: Serve, reply: bytes) -> None:
    found = probe("127.0.0.1", serve(replies(reply)), "http")
    assert found["answers"] and found["look"]["page"] is None


def test_a_page_that_never_ends(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(replies(b"HTTP/1.1 200 OK\r\n\r\n", b"data: 1\n\n", stay=True)), "http", WAIT)
    assert found["answers"] and found["look"]["page"] is None and WAIT <= found["seconds"] < LATE


def both(one: Act, other: Act, serve: Serve, **more: Any) -> list[dict[str, Any]]:
    port = serve(one)
    serve(other, None, "::1", port)
    return service_probe.probe_all(
        [{"address": each, "port": port, "protocol": "http", **more} for each in ("127.0.0.1", "::1")]
    )


PART = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsho"


@pytest.mark.parametrize("stay", [False, True])
def test_a_page_that_comes_whole_over_ipv4_only(serve: Serve, stay: bool) -> None:
    whole, part = replies(b"HTTP/1.1 200 OK\r\n\r\nshop"), replies(PART, stay=stay)
    answers = both(whole, part, serve, seconds=WAIT)
    said = ["shows a page over IPv6 that does not come to its end, as it does over IPv4"]
    assert service_compare.differences(*answers) == said
    assert service_compare.differences(*answers[::-1]) == []
    assert service_compare.differences(*both(part, part, serve, seconds=WAIT)) == []


def test_a_page_that_was_cut_once(serve: Serve) -> None:
    whole, asked = replies(b"HTTP/1.1 200 OK\r\n\r\nshop"), [0]

    def act(connection: socket.socket) -> None:
        asked[0] += 1
        (replies(PART) if asked[0] == 1 else whole)(connection)

    assert service_compare.differences(*both(whole, act, serve)) == [] and asked == [2]


SETTINGS = b"\0\0\x06\x04\0\0\0\0\0" + b"\0\x03\0\0\0d"


@pytest.mark.parametrize("said", [b"", SETTINGS, SETTINGS + b"\0\0\x08\x07" + bytes(12) + b"\x01"])
def test_http2_only(serve: Serve, said: bytes) -> None:
    def modern(connection: socket.socket) -> None:
        if connection.recv(4096).startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"):
            connection.sendall(SETTINGS)
            connection.recv(4096)
        else:
            connection.sendall(said)

    old = replies(b"HTTP/1.1 200 OK\r\n\r\nshop")
    four, six = both(modern, modern, serve)
    assert (six["answers"], six["look"], six["banner"]) == (True, {"expects": "HTTP/2"}, "")
    assert service_compare.differences(four, six) == [] and service_compare.likely(six) == ""
    assert service_compare.told(four, six) == ["speaks nothing but HTTP/2 on this port"]
    assert service_compare.differences(*both(old, modern, serve)) == ["speaks nothing but HTTP/2 over IPv6 only"]
    assert service_compare.differences(*both(modern, old, serve)) == ["speaks nothing but HTTP/2 over IPv4 only"]


def test_http2_is_agreed_on_in_tls(serve: Serve, tmp_path: Path) -> None:
    context = certificate(tmp_path / "x.pem", "a.example")
    context.set_alpn_protocols(["h2"])

    def act(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        if connection.selected_alpn_protocol() == "h2":
            replies(SETTINGS, stay=True)(connection)

    found = probe("127.0.0.1", serve(act, context), "https", name="a.example")
    assert found["look"].pop("certificate")["fits"] and found["look"] == {"expects": "HTTP/2"}


def test_a_huge_page(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(replies(b"HTTP/1.1 200 OK\r\n\r\n", *[b"shop " * 20000] * 100)), "http")
    assert found["answers"] and found["look"]["page"]["sketch"] and found["seconds"] < LATE


def test_a_length_that_makes_no_sense(serve: Serve) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nshop"
    assert probe("127.0.0.1", serve(replies(reply)), "http")["look"]["page"] == SHOP


@pytest.mark.parametrize("status", [204, 304])
def test_no_page(serve: Serve, status: int) -> None:
    found = probe("127.0.0.1", serve(replies(f"HTTP/1.1 {status} x\r\n\r\n".encode(), stay=True)), "http")
    assert found["look"]["status"] == status and found["seconds"] < 1


@pytest.mark.parametrize(
    "text", [b"SSH-2.0-x\r\n", b"HTTP/1.1 OK\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28\n", b"<html>\n"]
)
def test_what_is_no_http(serve: Serve, text: bytes) -> None:
    found = probe("127.0.0.1", serve(replies(text)), "http")
    assert (found["answers"], found["reason"], found["look"]) == (False, "garbage", {})


def test_an_endless_head(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(replies(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n" * 1000] * 100)), "http")
    assert (found["answers"], found["reason"]) == (False, "garbage")


@pytest.mark.parametrize(
    "body",
    [
        b"<center>The plain HTTP request was sent to HTTPS port</center>",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.",
        b"Client sent an HTTP request to an HTTPS server.\n",
    ],
)
def test_tls_is_expected(serve: Serve, body: bytes) -> None:
    found = probe("127.0.0.1", serve(replies(b"HTTP/1.0 400 Bad Request\r\n\r\n" + body)), "http")
    assert found["look"]["expects"] == "TLS" and service_compare.likely(found) == "TLS is expected on this port"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://192.0.2.1/", "http://[2001:db8::1]/", True),
        ("http://192.0.2.1/", "http://192.0.2.1/", False),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]/", False),
        ("http://192.0.2.1:8080/x", "http://[2001:db8::1]:8080/x", True),
        ("http://192.0.2.1/", "https://[2001:db8::1]/", False),
        ("/login", "/logout", False),
        ("https://a.example/", "https://b.example/", False),
        ("/?state=5f3a9c2b771e", "/?state=0a1b2c3d4e5f", True),
        ("/s/5f3a9c2b771e/x", "/s/0a1b2c3d4e5f/x", True),
        ("/?next=a", "/?next=b", False),
        ("http://[x/", "http://[x/", True),
        ("", "", True),
    ],
)
def test_redirects(one: str, other: str, same: bool) -> None:
    four, six = service_probe_http.redirect(one, "192.0.2.1"), service_probe_http.redirect(other, "2001:db8::1")
    assert (four == six) is same


def test_a_redirect_to_an_address_of_ipv4_over_both(serve: Serve) -> None:
    act = replies(b"HTTP/1.1 301 Moved\r\nLocation: https://192.0.2.10/\r\n\r\n")
    port = serve(act)
    serve(act, None, "::1", port)
    four, six = (probe(address, port, "http") for address in ("127.0.0.1", "::1"))
    assert (four["look"]["location"], six["look"]["location"]) == ("https://ADDRESS/", "https://ADDRESS-OF-IPV4/")
    assert service_compare.differences(four, six) == []
    assert service_compare.told(four, six) == [
        "redirects to an address of IPv4, over IPv6, too: who has IPv6 only does not get there"
    ]


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(replies(b"HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\n\r\n")), "http")
    assert (found["look"]["status"], found["look"]["location"]) == (301, "http://ADDRESS:1/")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_proxy_protocol_comes_first(serve: Serve, address: str, version: str, tmp_path: Path) -> None:
    heard: list[Any] = []

    def act(connection: socket.socket) -> None:
        heard.append(connection.getpeername()[1])
        heard.append(connection.recv(16 if version == "v2" else 5))
        if version == "v2":
            heard.append(connection.recv(heard[1][15]))
        else:
            while not heard[-1].endswith(b"\r\n"):
                heard[-1] += connection.recv(1)
        context = certificate(tmp_path / "x.pem", "a.example")
        with context.wrap_socket(connection, server_side=True) as secure:
            replies(b"HTTP/1.1 200 OK\r\n\r\nshop")(secure)

    port = serve(act, None, address)
    found = probe(address, port, "https", name="a.example", proxy=version)
    assert found["look"]["page"] == SHOP and found["look"]["certificate"]["fits"]
    source = heard[0]
    if version == "v1":
        family = "TCP6" if ":" in address else "TCP4"
        assert heard[1] == f"PROXY {family} {address} {address} {source} {port}\r\n".encode()
    else:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        assert heard[1][:14] == b"\r\n\r\n\0\r\nQUIT\n\x21" + (b"\x21" if ":" in address else b"\x11")
        assert heard[2] == packed * 2 + source.to_bytes(2, "big") + port.to_bytes(2, "big")


def test_a_page_that_differs_is_asked_for_again(serve: Serve) -> None:
    """Servers that take turns, of which each family saw another one."""
    asked: list[int] = []
    turns = [b"served by one", b"served by two"]

    def act(connection: socket.socket) -> None:
        asked.append(1)
        replies(b"HTTP/1.1 200 OK\r\n\r\n" + turns[len(asked) % 2])(connection)

    port = serve(act)
    serve(act, None, "::1", port)
    targets = [{"address": each, "port": port, "protocol": "http"} for each in ("127.0.0.1", "::1")]
    assert service_compare.differences(*service_probe.probe_all(targets)) == []
    assert len(asked) in (4, 6)  # both are asked at the same time first, so either may be first


def test_a_page_that_stays_different(serve: Serve) -> None:
    heard: list[bytes] = []
    port = serve(replies(b"HTTP/1.1 200 OK\r\n\r\nshop", heard=heard))
    serve(replies(b"HTTP/1.1 200 OK\r\n\r\ndefault", heard=heard), None, "::1", port)
    targets = [{"address": each, "port": port, "protocol": "http"} for each in ("127.0.0.1", "::1")]
    four, six = service_probe.probe_all(targets)
    assert service_compare.differences(four, six) == ["shows another page over IPv6 than over IPv4"]
    assert len(heard) == 6  # after twice more it is sure that nothing changes here


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_of_the_servers_passes(serve: Serve, status: int) -> None:
    asked: list[int] = []

    def limited(connection: socket.socket) -> None:
        asked.append(1)
        answer = f"HTTP/1.1 {status} x\r\n\r\nlater" if len(asked) == 1 else "HTTP/1.1 200 OK\r\n\r\nshop"
        replies(answer.encode())(connection)

    port = serve(replies(b"HTTP/1.1 200 OK\r\n\r\nshop"))
    serve(limited, None, "::1", port)
    targets = [{"address": each, "port": port, "protocol": "http"} for each in ("127.0.0.1", "::1")]
    assert service_compare.differences(*service_probe.probe_all(targets)) == [] and len(asked) == 2


def test_a_status_that_stays_different(serve: Serve) -> None:
    port = serve(replies(b"HTTP/1.1 200 OK\r\n\r\nshop"))
    serve(replies(b"HTTP/1.1 503 x\r\n\r\n"), None, "::1", port)
    targets = [{"address": each, "port": port, "protocol": "http"} for each in ("127.0.0.1", "::1")]
    assert service_compare.differences(*service_probe.probe_all(targets)) == ["answers 200 over IPv4 and 503 over IPv6"]


def test_hundreds_are_asked_quickly(serve: Serve, tls: ssl.SSLContext) -> None:
    port = serve(replies(b"HTTP/1.1 200 OK\r\n\r\nshop", stay=False))
    targets = [
        {"address": "127.0.0.1", "port": port, "protocol": "http", "name": f"s{each}.example"} for each in range(400)
    ]
    began = time.monotonic()
    found = service_probe.probe_all(targets)
    assert time.monotonic() - began < 3 and all(each["look"]["page"] == SHOP for each in found)
