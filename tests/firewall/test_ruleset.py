"""``dualstack_iptables.ruleset`` against the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import netfilter

Converge = Callable[..., dict[str, Any]]

SERVER = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": [
                "-i lo -j ACCEPT",
                "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-p icmp -j ACCEPT",
                "-p tcp --dport 22 -m comment --comment 'the \"ssh\" port, mine' -j ACCEPT",
            ],
        },
        "FORWARD": {"policy": "DROP"},
    }
}


def test_both_families_converge(converge: Converge, backend: str) -> None:
    predicted = converge(SERVER, test=True)
    assert predicted["result"] is None, predicted["comment"]
    assert netfilter.save("ipv4", backend).count("-A ") == 0
    done = converge(SERVER)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    print(netfilter.save("ipv6", backend))
    assert netfilter.rules("ipv4", backend, "INPUT")[2:] == [
        "-p icmp -j ACCEPT",
        '-p tcp -m tcp --dport 22 -m comment --comment "the \\"ssh\\" port, mine" -j ACCEPT',
    ]
    assert netfilter.rules("ipv6", backend, "INPUT")[-2] == "-p ipv6-icmp -j ACCEPT"
    again = converge(SERVER)
    assert again["result"] is True and again["changes"] == {}, again
