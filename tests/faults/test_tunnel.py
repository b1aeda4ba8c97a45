"""What goes wrong with the files of a tunnel. Its interface needs a kernel of its own: that is tried in the guest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import ground

FOLDER = Path("/etc/network")
MAIN, OWN = FOLDER / "interfaces", FOLDER / "interfaces.d" / "he-ipv6"
ARGUMENTS = {
    **{"endpoint": "192.0.2.1", "local": "192.0.2.2", "address": "2001:db8::2/64", "gateway": "2001:db8::1"},
    "routing": "none",
}


@pytest.fixture(autouse=True)
def _configured(modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tunnel is configured, and is to be removed: for that there need not be an interface."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    aside = tmp_path / "network"
    shutil.copytree(FOLDER, aside, symlinks=True)
    OWN.parent.mkdir(exist_ok=True)
    OWN.write_text(modules.he_tunnel.render("he-ipv6", **ARGUMENTS)[str(OWN)])
    MAIN.write_text(f"auto lo\niface lo inet loopback\nsource {OWN}\n")
    yield
    shutil.rmtree(FOLDER)
    shutil.copytree(aside, FOLDER, symlinks=True)


@pytest.fixture
def absent(modules: Any) -> Callable[..., dict[str, Any]]:
    """Apply ``he_tunnel.absent`` as its state does."""

    def run(test: bool = False) -> dict[str, Any]:
        done: dict[str, Any] = modules.he_tunnel.absent("he-ipv6", stack="ifupdown", test=test)
        return done

    return run


# What is no file, ifupdown does not read.
FILES = {each for each in ground.FAULTS if each.split()[0] not in ("named", "device", "folder", "link")}
CASES = [*((MAIN, each) for each in sorted(FILES)), *((OWN, each) for each in sorted(FILES - ground.REMOVABLE))]


@pytest.mark.parametrize(("path", "fault"), CASES)
def test_a_file_in_an_impossible_place(absent: Any, tmp_path: Path, path: Path, fault: str) -> None:
    strike, said, foreseen = ground.FAULTS[fault]
    roots = ("/etc", "/var/lib", str(tmp_path))  # in /run, ifdown(8) notes that it was called
    with strike(path):
        before = ground.snapshot(*roots)
        assert absent(test=True)["result"] is (False if foreseen else None)
        done = absent()
        assert (done["result"], done["changes"]) == (False, {}), done
        assert str(path.parent) in done["comment"] and said in done["comment"], done["comment"]
        assert "bug" not in done["comment"] and "Traceback" not in done["comment"]
        assert ground.difference(before, ground.snapshot(*roots)) == {}
    assert absent()["result"] is True
    assert (OWN.exists(), MAIN.read_text()) == (False, "auto lo\niface lo inet loopback\n")
    assert absent()["changes"] == {}
