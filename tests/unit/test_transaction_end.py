"""The end of a run, where it is not known whose transaction is open."""

from __future__ import annotations

import _dualstack_transaction_end as transaction_end
import _dualstack_transaction_place as transaction_place
import _dualstack_transaction_wanted as transaction_wanted
import pytest


@pytest.mark.parametrize(("is_open", "holds"), [(False, True), (True, False)])
def test_what_cannot_be_read_is_not_nothing(monkeypatch: pytest.MonkeyPatch, is_open: bool, holds: bool) -> None:
    monkeypatch.setattr(transaction_place, "is_open", lambda: is_open)
    monkeypatch.setattr(transaction_place, "holder", lambda: None)
    wanted = transaction_wanted.Wanted(transaction_wanted.AUTO, 60, "")
    found = transaction_end.managed(lambda: wanted, {}, lambda now: [], lambda comment, parts: None)
    assert found.holds is holds
