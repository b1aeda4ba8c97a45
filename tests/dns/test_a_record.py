"""Whether a name leads to this host over IPv4, as real name servers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_proof_names as proof_names
import pytest

from . import servers

WWW, HERE, OTHER = "www.example.org", "192.0.2.80", "203.0.113.9"  # www has HERE in the zone
BOTH = [servers.PRIMARY, servers.SECONDARY]


def lead(*names: str, own: tuple[str, ...] = (HERE,), ask: Any = None, public: Any = None, fallback: Any = ()) -> Any:
    """Where names lead, as the servers say that the resolver finds, or these."""
    return proof_names.lead(list(names), ask, public, list(own), fallback)


@pytest.mark.parametrize("ask", [None, [servers.PRIMARY], [f"{servers.PRIMARY}#53"]])
def test_a_name_that_leads_here_and_one_that_does_not(ask: Any) -> None:
    assert lead(WWW, ask=ask) == (True, f"{WWW} leads here over IPv4, to {HERE}")
    done = lead(WWW, own=(OTHER,), ask=ask)
    assert done.holds is False
    assert done.comment.startswith(
        f"{WWW} leads to {HERE} over IPv4, and this host has {OTHER}: its AAAA record would "
    )
    assert lead(WWW, own=("10.0.0.5",), ask=ask).holds is None
    assert lead(WWW, own=("10.0.0.5",), public=HERE, ask=ask).holds is True
    assert lead(WWW, own=("10.0.0.5",), public=OTHER, ask=ask).holds is False


def test_a_name_without_an_address_and_one_that_is_not_there() -> None:
    for name in ("example.org", "nothing.example.org"):
        assert lead(name) == (True, f"{name} has no A record: over IPv4 it leads nowhere")


def test_several_addresses() -> None:
    servers.put(WWW, HERE, OTHER, kind="A")
    done = lead(WWW)
    assert done == (True, f"{WWW} leads here over IPv4, to {HERE}, and also to {OTHER}, which this host does not have")


def test_an_alias() -> None:
    done = lead("alias.example.org", WWW)
    assert done.holds is None
    assert done.comment.splitlines()[0] == (
        f"alias.example.org is an alias (CNAME) of {WWW}, beside which it can have no AAAA record; "
        f"publish {WWW} instead"
    )


def test_servers_of_another_zone_refuse() -> None:
    done = lead("www.example.com", ask=[servers.PRIMARY])
    assert done.holds is None
    assert f"{servers.PRIMARY}: it answers REFUSED" in done.comment
    done = lead(WWW, "www.example.com", ask=[servers.PRIMARY], own=(OTHER,))
    assert done.holds is False


def test_servers_that_are_not_there() -> None:
    done = lead(WWW, ask=["127.0.0.9"])
    assert done.holds is None
    assert done.comment.startswith(f"no name server says where {WWW} leads over IPv4: 127.0.0.9: ")
    done = lead(WWW, ask=[servers.PRIMARY, "127.0.0.9"])
    assert (done.holds, done.comment.splitlines()[0]) == (True, f"{WWW} leads here over IPv4, to {HERE}")
    assert done.comment.splitlines()[1].startswith("127.0.0.9: ")


def test_a_resolver_that_is_not_there() -> None:
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.9\n")
    done = lead(WWW)
    assert done.holds is None
    assert done.comment.startswith(f"{WWW}: dns:servers: this host's resolver does not find the authoritative servers")
    assert lead(WWW, fallback=[servers.PRIMARY]).holds is True


@pytest.mark.usefixtures("stuck")
def test_a_secondary_that_lags_sends_half_of_the_world_elsewhere() -> None:
    name = "www.two.example"
    assert lead(name).holds is True
    servers.put(name, OTHER, kind="A")
    done = lead(name)
    assert done.holds is False
    wrong, right = done.comment.splitlines()
    assert wrong.startswith(f"{name} leads to {OTHER} over IPv4") and "says ns1.two.example (127.0.0.1)" in wrong
    assert right == f"{name} leads here over IPv4, to {HERE}, says ns2.two.example (127.0.0.2)"
