"""he_tunnel.absent leaves neither link nor file, and changes nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from ..lab.network import IFSTATE, MAIN, MAIN_TEXT, NAME, OWN_FILE, PUBLISHED, TUNNEL, boot, ip, reaches, run, world


def test_neither_link_nor_file_is_left(states: Any, tunnel: None) -> None:
    before = world()
    predicted = states.he_tunnel.absent(NAME, test=True)
    assert predicted.result is None
    assert world() == before
    done = states.he_tunnel.absent(NAME)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert done.changes["files"][str(OWN_FILE)]["new"] == "absent"
    assert done.changes["link"]["kind"] == {"old": "sit", "new": "absent"}
    assert not OWN_FILE.exists()
    assert ip("link", "show", "dev", NAME) == []
    assert NAME not in IFSTATE.read_text()
    assert MAIN.read_text() == MAIN_TEXT
    assert not reaches("client6", PUBLISHED)
    boot()
    assert ip("link", "show", "dev", NAME) == []


def test_a_second_run_changes_nothing(states: Any, tunnel: None, test: bool) -> None:
    assert states.he_tunnel.absent(NAME).result is True
    before = world()
    again = states.he_tunnel.absent(NAME, test=test)
    assert (again.result, again.changes) == (True, {})
    assert world() == before


@pytest.mark.parametrize(
    ("happens", "left"),
    [
        (f"ip link del {NAME}", {"files", "record"}),
        (f"rm {OWN_FILE}", {"link", "addresses", "routes"}),
        (f"rm {OWN_FILE} /run/network/ifstate*", {"link", "addresses", "routes"}),
        (f"ifdown {NAME}", {"files"}),
    ],
)
def test_what_is_left_is_removed(states: Any, tunnel: None, happens: str, left: set[str]) -> None:
    run("sh", "-ec", happens)
    done = states.he_tunnel.absent(NAME)
    assert done.result is True, done.comment
    assert set(done.changes) == left
    assert not OWN_FILE.exists()
    assert ip("link", "show", "dev", NAME) == []


def test_it_can_come_back(states: Any, tunnel: None) -> None:
    assert states.he_tunnel.absent(NAME).result is True
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert reaches("client6", PUBLISHED)


def test_what_a_user_wrote_stays_unless_it_is_adopted(states: Any, test: bool) -> None:
    MAIN.write_text(f"{MAIN_TEXT}\nauto {NAME}\niface {NAME} inet6 v4tunnel\n    endpoint 216.66.84.42\n")
    before = world()
    result = states.he_tunnel.absent(NAME, test=test)
    assert (result.result, result.changes) == (False, {})
    assert f"already configured in {MAIN}" in result.comment
    assert world() == before
    if not test:
        assert states.he_tunnel.absent(NAME, adopt=True).result is True
        assert MAIN.read_text() == MAIN_TEXT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("eth0", "eth0 is an interface of this host"),
        ("sit0", "name: 'sit0' is reserved"),
        ("../../etc/passwd", "has 16 characters"),
    ],
)
def test_other_interfaces_are_refused(states: Any, name: str, said: str, test: bool) -> None:
    before = world()
    result = states.he_tunnel.absent(name, test=test)
    assert (result.result, result.changes) == (False, {})
    assert said in result.comment
    assert world() == before


def test_unknown_arguments_are_named(states: Any, test: bool) -> None:
    result = states.he_tunnel.absent(NAME, adapt=True, test=test)
    assert result.result is False
    assert "unknown argument: adapt" in result.comment
