"""Which name servers are witnesses of IPv6; the resolver and the servers are exchanged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import _dualstack_proof_beyond as proof_beyond
import dns.resolver
import pytest

OWN, ONE, OTHER = "2001:db8:1::8", "2001:db8:c::53", "2001:db8:d::53"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of the zone's name servers; each is silent over IPv6, and over IPv4 the zone answers."""
    hosts: dict[str, list[str]] = {}

    class Resolver:
        lifetime = 0.0

        def resolve(self, name: Any, kind: str) -> Any:
            if kind == "NS":
                return [SimpleNamespace(target=SimpleNamespace(to_text=lambda each=each: each)) for each in hosts]
            return [SimpleNamespace(address=each) for each in hosts[name]]

    monkeypatch.setattr(dns.resolver, "Resolver", Resolver)
    monkeypatch.setattr(dns.resolver, "zone_for_name", lambda name, resolver: "example.org.")
    monkeypatch.setattr(proof_beyond, "_is_near", lambda server: False)
    monkeypatch.setattr(proof_beyond, "_question", lambda *_: "timed out")
    monkeypatch.setattr(proof_beyond, "_answer_over_ipv4", lambda *_: True)
    return hosts


def test_one_silent_server_is_one_witness_however_often_it_is_named(zone: dict[str, list[str]]) -> None:
    zone["ns1.example.org."] = [ONE]
    assert proof_beyond.asked(OWN, ["www.example.org"], [ONE]).holds is None
    assert proof_beyond.asked(OWN, ["www.example.org"], [f"{ONE}#53"]).holds is None
    zone["ns2.example.org."] = [ONE]
    assert proof_beyond.asked(OWN, ["www.example.org"]).holds is None
    zone["ns2.example.org."] = [OTHER]
    assert proof_beyond.asked(OWN, ["www.example.org"]).holds is False
