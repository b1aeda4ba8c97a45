"""The proof: a service answers on the addresses by which others reach this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import daemons

FOUR, SIX = "192.0.2.1", "2001:db8::1"


@pytest.fixture(autouse=True)
def _addresses() -> Iterator[None]:
    """The host has an address of each family besides loopback's."""
    for address in (f"{FOUR}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "add", address, "dev", "lo")
    yield
    for address in (f"{FOUR}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "del", address, "dev", "lo", check=False)


def test_each_address_is_asked(ipv4_only: Any, converge: Any, states: Any) -> None:
    ipv4_only("dovecot")
    before = states.service_listen.answering("dovecot", ports=[143])
    assert before.result is False
    assert f"tcp/143 on {FOUR}: * OK " in before.comment
    assert f"tcp/143 on {SIX}: connection refused" in before.comment
    assert converge("dovecot", ports=[143])["result"] is True
    after = states.service_listen.answering("dovecot", ports=[143])
    assert (after.result, after.changes) == (True, {})
    assert f"tcp/143 on {SIX}: * OK " in after.comment


def test_under_test_nothing_is_asked(states: Any) -> None:
    done = states.service_listen.answering("dovecot", ports=[143], test=True)
    assert (done.result, done.comment) == (None, "dovecot was not asked")


def test_a_host_without_an_address_of_one_family(states: Any) -> None:
    daemons.run("ip", "addr", "del", f"{SIX}/128", "dev", "lo")
    done = states.service_listen.answering("dovecot", ports=[143])
    assert (done.result, done.comment) == (False, "this host has no IPv6 address but those of loopback and link")


def test_a_service_that_does_not_run(states: Any) -> None:
    done = states.service_listen.answering("dovecot", ports=[143])
    assert done.result is False
    assert f"tcp/143 on {FOUR}: connection refused" in done.comment
    unknown = states.service_listen.answering("dovecot", prots=[143])
    assert (unknown.result, unknown.comment) == (False, "unknown argument: prots")


def test_a_service_that_speaks_another_protocol(ipv4_only: Any, states: Any) -> None:
    ipv4_only("dovecot")
    done = states.service_listen.answering("dovecot", ports=[143], protocols={143: "smtp"}, addresses=[FOUR])
    assert done.result is False
    assert "* OK" in done.comment
