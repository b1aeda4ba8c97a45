"""Who holds a transaction: written for the restorer's shell, and read back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import _dualstack_transaction_place as transaction_place
import pytest

STRANGE = "a 'name' of\nseveral \"lines\" with $HOME, `id`, \\ and ="


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_place, "HOLDER", str(tmp_path / "holder"))


def test_the_shell_and_we_read_the_same() -> None:
    written = transaction_place.Holder(12, 345, "20261127231900123456", 1.5, STRANGE, STRANGE, STRANGE)
    path = Path(transaction_place.HOLDER)
    path.write_text(written.shell)
    assert transaction_place.holder() == written
    for key in ("pid", "start", "name", "guard", "event"):
        script = f'. "$0"; printf %s "${key}"'
        done = subprocess.run(["sh", "-c", script, str(path)], capture_output=True, text=True, check=True)
        assert done.stdout == str(getattr(written, key))


@pytest.mark.parametrize("text", ["", "pid=1\n", "pid='", "pid=x\nstart=1\nsince=1\njid=\nname=\nguard=\nevent=\n"])
def test_what_is_torn_names_nobody(text: str) -> None:
    Path(transaction_place.HOLDER).write_text(text)
    assert transaction_place.holder() is None


def test_who_it_is_in_words() -> None:
    assert "process 12, job 7, for 'it', since" in transaction_place.Holder(12, 3, "7", 1.0, "it").said
    assert "waits to be confirmed" in transaction_place.Holder(0, 0, "", 1.0, "it").said
