"""What counts as a difference between the families, what is only told, and what is likely."""

from __future__ import annotations

from typing import Any

import _dualstack_service_compare as service_compare
import _dualstack_service_probe_page as service_probe_page
import pytest


def answer(**look: Any) -> dict[str, Any]:
    return {
        **{"address": "192.0.2.1", "port": 443, "protocol": "https", "name": "a.example", "answers": True},
        **{"banner": "", "error": "", "reason": "", "seconds": 0.1, "look": look},
    }


def silence(reason: str, error: str = "said so", **more: Any) -> dict[str, Any]:
    return {**answer(), "answers": False, "reason": reason, "error": error, **more}


def page(text: str, status: int = 200) -> dict[str, Any]:
    return answer(status=status, location="", page=service_probe_page.fingerprint(text.encode()))


def tls(key: str = "k", fits: bool = True, names: tuple[str, ...] = ("a.example",), expires: str = "2999-01-01") -> Any:
    return {"key": key, "fits": fits, "names": list(names), "expires": expires}


@pytest.mark.parametrize(
    ("four", "six", "said"),
    [
        (answer(), answer(), []),
        (
            answer(),
            silence("refused", "connection refused"),
            [
                "answers over IPv4, but not over IPv6: connection refused; "
                "nobody listens on this address and port, or a firewall rejects it"
            ],
        ),
        (
            answer(),
            silence("alert", "does not serve this host (host-unknown)", protocol="xmpp"),
            ["answers over IPv4, but not over IPv6: does not serve this host (host-unknown)"],
        ),
        (
            answer(),
            silence("closed", "closed the connection", protocol="ssh"),
            [
                "answers over IPv4, but not over IPv6: closed the connection; the PROXY protocol or TLS is expected on "
                "this port, or this address is refused: by hosts.allow and hosts.deny (tcp wrappers), or by a limit of "
                "the daemon's"
            ],
        ),
        (silence("alert", look={"certificate": tls()}), silence("alert", look={"certificate": tls()}), []),
        (silence("alert", look={"certificate": tls()}), silence("alert"), []),
        (
            silence("timeout", look={"certificate": tls()}),
            silence("timeout", look={"certificate": tls("other")}),
            ["has another key in its certificate over IPv6 (for a.example) than over IPv4 (for a.example)"],
        ),
        (answer(requires="a certificate of the client's"), answer(requires="a certificate of the client's"), []),
        (
            answer(status=200, page=None),
            answer(requires="a certificate of the client's"),
            ["requires a certificate of the client's over IPv6 only"],
        ),
        (
            answer(requires="a certificate of the client's"),
            answer(status=200, page=None),
            ["requires a certificate of the client's over IPv4 only"],
        ),
        (silence("refused"), answer(), []),
        (silence("refused"), silence("refused"), []),
        (silence("timeout"), silence("refused"), []),
        (silence("refused"), silence("timeout"), []),
        (silence("refused"), silence("closed"), []),
        (silence("alert", "x"), silence("alert", "y"), []),
        (
            silence("alert", "speaks TLS"),
            silence("refused", "connection refused"),
            ["fails otherwise over IPv6 (connection refused) than over IPv4 (speaks TLS)"],
        ),
        (page("x"), page("x"), []),
        (page("x", 200), page("x", 204), []),
        (page("x", 200), page("x", 403), ["answers 200 over IPv4 and 403 over IPv6"]),
        (page("x", 200), page("x", 502), ["answers 200 over IPv4 and 502 over IPv6"]),
        (page("x", 301), page("x", 200), ["answers 301 over IPv4 and 200 over IPv6"]),
        (page("x", 401), page("x", 403), ["answers 401 over IPv4 and 403 over IPv6"]),
        (page("x", 403), page("x", 200), ["answers 403 over IPv4 and 200 over IPv6"]),
        (page("x", 404), page("x", 502), ["answers 404 over IPv4 and 502 over IPv6"]),
        (page("x", 502), page("x", 200), []),
        (page("x", 502), page("y", 503), []),
        (page("shop", 200), page("blog", 200), ["shows another page over IPv6 than over IPv4"]),
        (page("shop", 404), page("blog", 404), ["shows another page over IPv6 than over IPv4"]),
        (page("shop", 502), page("blog", 502), []),
        (page("shop", 301), page("blog", 301), []),
        (
            page("<title>Shop</title>"),
            page("<title>Blog\x1b</title>"),
            ["shows another page over IPv6 than over IPv4: `Blog`, not `Shop`"],
        ),
        (answer(status=200, page=None), page("blog"), []),
        (answer(status=200, page=None), answer(status=200, page=None), []),
        (
            page("shop"),
            answer(status=200, page=None),
            ["shows a page over IPv6 that does not come to its end, as it does over IPv4"],
        ),
        (page("shop"), answer(status=502, page=None), ["answers 200 over IPv4 and 502 over IPv6"]),
        (page("shop", 302), answer(status=302, page=None), []),
        (page("shop"), answer(expects="HTTP/2"), ["speaks nothing but HTTP/2 over IPv6 only"]),
        (answer(status=301, location="a"), answer(status=302, location="a"), []),
        (
            answer(status=301, location="a"),
            answer(status=301, location="b"),
            ["redirects to a over IPv4 and to b over IPv6"],
        ),
        (
            answer(status=301, location="http://ADDRESS/a"),
            answer(status=301, location="http://ADDRESS-OF-IPV4/b"),
            ["redirects to http://ADDRESS/a over IPv4 and to http://ADDRESS/b over IPv6"],
        ),
        (
            answer(code=220, greeting="x", starttls="offered", capabilities=["a"], certificate=tls()),
            answer(code=554, greeting="y", starttls="", capabilities=[]),
            ["answers with code 220 over IPv4 and 554 over IPv6"],
        ),
        (answer(certificate=tls()), answer(certificate=tls()), []),
        (
            answer(certificate=tls()),
            answer(certificate=tls("other", names=())),
            ["has another key in its certificate over IPv6 (for no name) than over IPv4 (for a.example)"],
        ),
        (answer(certificate=tls(fits=False)), answer(certificate=tls(fits=False)), []),
        (answer(certificate=tls(fits=False)), answer(certificate=tls()), []),
        (
            answer(certificate=tls()),
            answer(certificate=tls(fits=False, expires="2020-01-01")),
            ["over IPv6, the certificate has expired on 2020-01-01"],
        ),
        (answer(certificate=tls()), answer(certificate={}), ["shows a certificate over IPv4, and none over IPv6"]),
        (answer(keys=["a"]), answer(keys=["a"]), []),
        (answer(keys=[]), answer(keys=["a"]), []),
        (answer(keys=["a"]), answer(keys=["b"]), ["has the host key b over IPv6 and a over IPv4"]),
        (answer(keys=["a"]), answer(keys=[]), ["has the host key of nobody over IPv6 and a over IPv4"]),
        (answer(code=220, greeting="x"), answer(code=220, greeting="x"), []),
        (
            answer(code=220, greeting="x"),
            answer(code=220, greeting="y"),
            ["greets with `x` over IPv4 and `y` over IPv6"],
        ),
        (
            answer(code=220, greeting="x"),
            answer(code=554, greeting="y"),
            ["answers with code 220 over IPv4 and 554 over IPv6"],
        ),
        (answer(code=554, greeting="x"), answer(code=220, greeting="y"), []),
        (
            answer(code=554, greeting="x"),
            answer(code=421, greeting="y"),
            ["answers with code 554 over IPv4 and 421 over IPv6"],
        ),
        (
            answer(code=0, greeting="x"),
            answer(code=1130, greeting=""),
            ["answers with code 0 over IPv4 and 1130 over IPv6"],
        ),
        (answer(code=5), answer(code=0), []),
        (answer(capabilities=["a", "b"]), answer(capabilities=["b", "a", "c"]), []),
        (answer(capabilities=["a", "b", "c"]), answer(capabilities=["b"]), ["lacks over IPv6: a, c"]),
        (answer(starttls="offered"), answer(starttls="offered"), []),
        (answer(starttls=""), answer(starttls="offered"), []),
        (answer(starttls="required"), answer(starttls="offered"), []),
        (answer(starttls="offered"), answer(starttls=""), ["STARTTLS is offered over IPv4 and not offered over IPv6"]),
        (
            answer(starttls="offered"),
            answer(starttls="required"),
            ["STARTTLS is offered over IPv4 and required over IPv6"],
        ),
        (answer(starttls="offered, fails: x"), answer(starttls="offered, fails: x"), []),
        (answer(starttls="offered, fails: x"), answer(starttls=""), []),
        (
            answer(starttls="offered", certificate=tls()),
            answer(starttls="offered, fails: x"),
            ["STARTTLS is offered, fails: x over IPv6, and works over IPv4"],
        ),
        (answer(broken="x"), answer(broken="x"), []),
        (answer(), answer(broken="closed the connection"), ["answers over IPv6, but then: closed the connection"]),
    ],
)
def test_differences(four: dict[str, Any], six: dict[str, Any], said: list[str]) -> None:
    assert service_compare.differences(four, six) == said


def test_several_differences_are_all_said() -> None:
    four = answer(status=200, page=None, certificate=tls())
    six = answer(status=404, page=None, certificate=tls("other", fits=False))
    assert len(service_compare.differences(four, six)) == 3


@pytest.mark.parametrize(
    ("four", "six", "said"),
    [
        (answer(), answer(), []),
        (page("x", 200), page("x", 502), []),
        (page("x", 503), page("x", 503), ["answers 503 over both"]),
        (page("x", 502), page("x", 503), ["answers 502 over IPv4 and 503 over IPv6"]),
        (
            silence("refused", "connection refused"),
            silence("timeout", "no connection"),
            ["answers neither over IPv4 (connection refused) nor over IPv6 (no connection)"],
        ),
        (silence("alert", "x"), silence("alert", "x"), ["answers neither over IPv4 nor over IPv6: x"]),
        (
            answer(status=301, location="http://ADDRESS/"),
            answer(status=301, location="http://ADDRESS-OF-IPV4/"),
            ["redirects to an address of IPv4, over IPv6, too: who has IPv6 only does not get there"],
        ),
        (
            answer(requires="a certificate of the client's"),
            answer(requires="a certificate of the client's"),
            ["requires a certificate of the client's over both: no more is seen"],
        ),
        (silence("refused", "x"), answer(), ["answers over IPv6, but not over IPv4: x"]),
        (answer(), silence("refused"), []),
        (answer(code=554), answer(code=554), ["answers with code 554 over both"]),
        (answer(code=220), answer(code=220), []),
        (
            answer(certificate=tls(fits=False, expires="2020-01-01")),
            answer(certificate=tls(fits=False, expires="2020-01-01")),
            ["over both, the certificate has expired on 2020-01-01"],
        ),
        (
            answer(certificate=tls(fits=False)),
            answer(certificate=tls(fits=False)),
            ["over both, the certificate is for a.example and not for this one, or is not valid yet"],
        ),
        (answer(certificate=tls(fits=False)), answer(certificate=tls()), []),
        (
            answer(starttls="offered, fails: x"),
            answer(starttls="offered, fails: x"),
            ["STARTTLS is offered, fails: x, over both"],
        ),
        (answer(broken="x"), answer(broken="y"), ["answers over both, but then: x"]),
        (answer(expects="TLS"), answer(expects="TLS"), ["speaks nothing but TLS on this port"]),
    ],
)
def test_what_is_told(four: dict[str, Any], six: dict[str, Any], said: list[str]) -> None:
    assert service_compare.told(four, six) == said
    assert not said or service_compare.differences(four, six) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (answer(), ""),
        (answer(expects="TLS"), "TLS is expected on this port"),
        (silence("garbage", protocol="imap", banner="\x15\x03\x01"), "TLS is expected on this port"),
        (silence("garbage", protocol="imap", banner="220 x"), "another protocol is spoken"),
        (silence("garbage"), "no TLS is spoken on this port, or only after STARTTLS"),
        (answer(expects="HTTP/2"), ""),
        (
            silence("alert", "speaks TLS, but refuses the name a.example: alert unrecognized name"),
            "no certificate for a.example, and rejects names that it does not know (SNI)",
        ),
        (
            silence("alert", "speaks TLS, but refuses the name a.example: alert handshake failure"),
            "no certificate for a.example (SNI), expects one of the client's, or has no version",
        ),
        (silence("alert", "does not serve this host (host-unknown)"), ""),
        (silence("alert", "speaks TLS, but refuses: alert certificate required"), "a certificate of the client's"),
        (
            silence("alert", "speaks TLS, but refuses: alert unrecognized name", name=""),
            "rejects clients that ask for no name (SNI)",
        ),
        (silence("timeout", "no connection within 5 s"), "a firewall drops what comes"),
        (silence("timeout", "no banner within 5 s", protocol="smtp"), "the PROXY protocol or TLS is expected"),
        (silence("timeout", "no banner within 5 s"), "the PROXY protocol is expected"),
        (silence("timeout", "no banner within 5 s"), "needs more time (seconds in ipv6:services:NAME:probe)"),
        (silence("timeout", "no TLS handshake within 5 s", protocol="imaps"), "hosts.deny"),
        (silence("closed", "closed the connection in the TLS handshake"), "the PROXY protocol is expected"),
        (silence("closed", "closed the connection", protocol="ssh"), "hosts.allow"),
        (silence("refused", "connection refused"), "nobody listens"),
        (silence("refused", "refuses with `* BYE too many connections`", protocol="imap"), "own rules"),
        (silence("refused", "refuses with `421 4.3.0 x`", protocol="smtp"), "the PROXY protocol is expected"),
        (silence("refused", "refuses with `421 too many`", protocol="ftp"), "own rules"),
        (silence("unreachable", "no route to host"), "no route"),
    ],
)
def test_what_is_likely(found: dict[str, Any], words: str) -> None:
    assert words in service_compare.likely(found) and bool(words) is bool(service_compare.likely(found))
