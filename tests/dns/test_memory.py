"""The file in which this host remembers what it has published, and what may be wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_dns_memory as dns_memory
import pytest

from ..faults import ground
from .servers import records

WWW, OURS, OLD = "www.example.org", "2001:db8:1::77", "2001:db8:1::66"
MEMORY = Path(dns_memory.MEMORY)


def refused(states: Any, said: str) -> None:
    """A run that fails, says which file and why, and changes neither a record nor a file."""
    before = records(WWW), ground.snapshot("/etc", "/var/lib", "/run")
    done = states.aaaa.published(WWW, address=OURS, by="rfc2136")
    assert (done.result, done.changes) == (False, {})
    assert str(MEMORY.parent) in done.comment and said in done.comment, done.comment
    assert "bug" not in done.comment and "Traceback" not in done.comment
    assert (records(WWW), ground.snapshot("/etc", "/var/lib", "/run")) == before


# It is replaced without the old one being kept, and an empty one is damaged.
@pytest.mark.parametrize("fault", sorted(ground.FAULTS.keys() - {"one inode", "link to /dev/null"}))
def test_a_memory_in_an_impossible_place(states: Any, published: Any, fault: str) -> None:
    published(WWW, address=OLD, by="rfc2136")
    strike, said, _ = ground.FAULTS[fault]
    with strike(MEMORY):
        refused(states, said)
    assert published(WWW, address=OURS, by="rfc2136").changes
    assert dns_memory.recall() == {WWW: [OURS]}


def test_a_memory_that_is_damaged(states: Any, published: Any) -> None:
    published(WWW, address=OLD, by="rfc2136")
    with ground.instead(MEMORY, lambda path: path.write_text("{")):
        refused(states, "is damaged: it names the addresses that this host has published")
    assert published(WWW, address=OURS, by="rfc2136").changes


def test_a_memory_that_others_can_read(published: Any) -> None:
    published(WWW, address=OURS, by="rfc2136")
    MEMORY.chmod(0o644)
    done = published(WWW, address=OURS, by="rfc2136")
    assert done.changes == {str(MEMORY): {"mode": {"old": "0644", "new": "0600"}}}
    MEMORY.chmod(0o644)
    assert published(WWW, address=OLD, by="rfc2136").changes[str(MEMORY)]
    assert MEMORY.stat().st_mode & 0o777 == 0o600


def test_nothing_stays_of_a_change_that_is_refused(states: Any, pillar: dict[str, Any]) -> None:
    pillar["rfc2136"]["key"] = "AAAA"
    before = ground.snapshot("/etc", "/var/lib", "/run")
    assert states.aaaa.published(WWW, address=OURS, by="rfc2136").result is False
    assert ground.snapshot("/etc", "/var/lib", "/run") == before
