"""What a broker has refused is not sent again: without a broker, by what it would have answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_broker_ask as broker_ask
import _dualstack_broker_change as broker_change
import _dualstack_broker_complete as broker_complete
import _dualstack_broker_memory as broker_memory
import _dualstack_broker_settings as broker_settings
import pytest
from salt.exceptions import CommandExecutionError

PILLAR = {"tunnelbroker": {"user": "anna", "update_key": "s3cret-k3y"}}
TUNNEL: dict[str, Any] = {
    **{"id": 12345, "account": "tunnelbroker", "endpoint": "216.66.84.42"},
    **{"address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::1"},
}


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The answers that are left; each update takes one."""
    answers: list[str] = []
    monkeypatch.setattr(broker_memory, "MEMORY", str(tmp_path / "broker.json"))
    monkeypatch.setattr(broker_ask, "ask", lambda *_: broker_ask.Answer(200, answers.pop()))

    def silent(*_: Any) -> Any:
        raise CommandExecutionError("it is not asked for its record")

    monkeypatch.setattr(broker_complete, "read", silent)
    return answers


def tell(address: str) -> str:
    """The broker is told an address; what went wrong."""
    account = broker_settings.account(TUNNEL, PILLAR)
    this = broker_change.Wish({**TUNNEL, "local": address}, account, address, address)
    try:
        broker_change.apply(broker_change.plan(this, broker_change.look(this), False))
    except CommandExecutionError as error:
        return str(error)
    return ""


def test_after_abuse_no_other_address_is_told(sent: list[str]) -> None:
    sent[:] = ["good 46.105.5.2", "abuse"]
    assert "nothing is sent again for 24 h, or until the settings change" in tell("46.105.5.1")
    for address in ("46.105.5.2", "46.105.5.1", "46.105.5.3"):
        assert "the broker is not told" in tell(address)
    assert sent == ["good 46.105.5.2"]


def test_after_another_refusal_another_address_is_told(sent: list[str]) -> None:
    sent[:] = ["good 46.105.5.2", "badip"]
    assert "or until the settings or the address change" in tell("46.105.5.1")
    assert "the broker is not told" in tell("46.105.5.1")
    assert tell("46.105.5.2") == "" and sent == []
