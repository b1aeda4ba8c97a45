"""Which addresses stand for a whole family, and why the others are left alone."""

from __future__ import annotations

import _dualstack_service_addresses as service_addresses
import pytest


@pytest.mark.parametrize(
    ("address", "canonical", "version", "why"),
    [
        ("0.0.0.0", "0.0.0.0", 4, ""),
        ("::", "::", 6, ""),
        ("0:0::0", "::", 6, ""),
        ("127.8.0.1", "127.8.0.1", 4, "loopback: left alone"),
        ("::1", "::1", 6, "loopback: left alone"),
        ("192.0.2.1", "192.0.2.1", 4, "a specific address: left alone"),
        ("2001:DB8::1", "2001:db8::1", 6, "a specific address: left alone"),
        ("www.example.org", "www.example.org", None, "a host name: left alone"),
        ("*", "*", None, "a host name: left alone"),
    ],
)
def test_addresses(address: str, canonical: str, version: int | None, why: str) -> None:
    assert service_addresses.canonical(address) == canonical
    assert service_addresses.version(address) == version
    assert service_addresses.why_alone(address) == why
    assert bool(why) == (canonical not in service_addresses.OTHER)


def test_a_service_has_its_own_words() -> None:
    assert service_addresses.why_alone("192.0.2.1", single="one address") == "one address: left alone"
    assert service_addresses.why_alone("x", name="no address") == "no address: left alone"
