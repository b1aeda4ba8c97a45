"""How a run has to be confirmed, and who proves by a call that this host can be managed."""

from __future__ import annotations

import os
from typing import Any

import _dualstack_converge as converge
import _dualstack_pillar as pillar_room
import _dualstack_transaction_place as place
import _dualstack_transaction_wanted as wanted
import _dualstack_transaction_witness as witness
import pytest
from salt.exceptions import SaltInvocationError

TOKEN = "0123456789abcdef"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "yes"}, "mode: 'yes' is not one of auto, manual, none"),
    ({"mode": True}, "mode: True is not one of auto, manual, none"),
    ({"within": "60"}, "within: '60' is not a whole number of seconds from 5 to 3600"),
    ({"within": True}, "within: True is not a whole number of seconds from 5 to 3600"),
    ({"within": 4}, "within: 4 is not a whole number of seconds from 5 to 3600"),
    ({"within": 3601}, "within: 3601 is not a whole number of seconds from 5 to 3600"),
    ({"withn": 60}, "withn: unknown key; did you mean within?"),
    ({"token": TOKEN}, "token: nobody is asked for it with the mode auto; expected mode: manual"),
    (
        {"mode": "manual", "token": "a secret"},
        "token: expected 8 to 128 letters, digits and characters of ._:-, found something else",
    ),
]


@pytest.mark.parametrize(("part", "said"), WRONG, ids=lambda each: str(each)[:30])
def test_what_is_wrong_is_said_with_its_key(part: dict[str, Any], said: str) -> None:
    assert list(wanted.errors(part)) == [said]
    assert pillar_room.errors({"confirm": part}, pillar_room.Known({}, {}, {})) == [f"ipv6:confirm:{said}"]
    for pillar in ({"ipv6": {"confirm": part}}, {"ipv6_confirm": part}):
        with pytest.raises(SaltInvocationError) as error:
            wanted.read(pillar, "ipv6")
        assert str(error.value).endswith(f"confirm:{said}")
    assert wanted.once_errors({"ipv6_confirm": part}, "ipv6") == [f"ipv6_confirm:{said}"]


def test_what_counts_for_one_run_takes_precedence() -> None:
    assert wanted.read({}, "ipv6") == ("auto", 60, "")
    assert wanted.read({"ipv6": {"confirm": {"mode": "none"}}}, "ipv6") == ("none", 60, "")
    both = {"ipv6": {"confirm": {"within": 30}}, "ipv6_confirm": {"mode": "manual", "token": TOKEN}}
    assert wanted.read(both, "ipv6") == ("manual", 30, TOKEN)
    assert wanted.once_errors({"ipv6_confirm": ["x"]}, "ipv6") == [
        "ipv6_confirm: expected a mapping with the keys mode, within, token, found a list"
    ]
    assert wanted.once_errors({}, "ipv6") == []


def test_who_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job needs new connections to the master; a session has to be younger than the last change."""
    held, failed = (converge.Finding(each, "a connection") for each in (True, False))
    monkeypatch.setattr(place, "job", lambda: "20261128000000000000")
    assert witness.judge(5, lambda: [held]) == (True, "by the master (job 20261128000000000000); a connection")
    assert witness.judge(5, lambda: [held, failed]).holds is False
    assert witness.judge(5, list).holds is False  # none was tried
    monkeypatch.setattr(place, "job", str)
    for session, holds, said in (
        (None, False, "neither in an ssh session nor a master"),
        (witness.Session(5, "192.0.2.1", 0), False, "the ssh client 192.0.2.1 is older than the last change"),
        (witness.Session(6, "192.0.2.1", 0), True, "by a new connection of the ssh client 192.0.2.1"),
        (witness.Session(6, "127.0.0.1", 0), False, "the ssh client 127.0.0.1 is this host itself"),
        (witness.Session(6, "UNKNOWN", 0), True, "by a new connection of the ssh client UNKNOWN"),
    ):
        monkeypatch.setattr(witness, "session", lambda _, session=session: session)
        found = witness.judge(5, lambda: [failed])
        assert (found.holds, said in found.comment) == (holds, True), found


def test_the_time_is_the_one_of_processes() -> None:
    assert 0 <= witness.now() - place.started(os.getpid()) < 100 * 3600 * 24
    assert place.started(os.getpid()) <= witness.now()
