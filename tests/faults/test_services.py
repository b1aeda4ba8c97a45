"""What goes wrong with the files of a service: it answers as before, and the host is as it was."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..services import daemons
from . import ground

FOLDER = Path("/etc/postfix")
CONF = FOLDER / "main.cf"
# Where there is no file, there is no service; Postfix itself suffers from most of these for a minute.
NO_FILE = {"named pipe", "device", "folder", "link to itself", "link to /dev/null"}


@pytest.fixture(autouse=True)
def _postfix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Postfix serves IPv4 only, and does so after each fault as well."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    daemons.BINDV6ONLY.write_text("0")
    daemons.only_ipv4("postfix")
    daemons.start("postfix", 25)
    yield
    daemons.stop("postfix", 25)
    daemons.restore("postfix")


def settle() -> None:
    """Postfix runs anew: where its files were not there for a moment, it does not greet anybody for a minute."""
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)


@pytest.fixture
def converge(modules: Any) -> Callable[..., dict[str, Any]]:
    """Apply ``service_listen.dual_stack`` as its state does."""

    def run(test: bool = False) -> dict[str, Any]:
        done: dict[str, Any] = modules.service_listen.dual_stack("postfix", ports=[25], timeout=30, test=test)
        return done

    return run


@pytest.mark.parametrize("fault", sorted(ground.FAULTS.keys() - NO_FILE))
def test_a_file_in_an_impossible_place(converge: Any, tmp_path: Path, fault: str) -> None:
    strike, said, foreseen = ground.FAULTS[fault]
    roots = ("/etc", "/run", "/var/lib", str(tmp_path))
    with strike(CONF):
        settle()
        before = ground.snapshot(*roots)
        predicted = converge(test=True)
        assert predicted["result"] is (False if foreseen else None), predicted
        done = converge()
        assert (done["result"], done["changes"]) == (False, {}), done
        assert str(FOLDER) in done["comment"] and said in done["comment"], done["comment"]
        assert "bug" not in done["comment"] and "Traceback" not in done["comment"]
        assert ground.difference(before, ground.snapshot(*roots)) == {}
        assert daemons.families(25) == ["ipv4"]
    settle()
    done = converge()
    assert done["result"] is True, done
    assert daemons.families(25) == ["ipv4", "ipv6"]
    assert converge()["changes"] == {}


@pytest.mark.parametrize("fault", ["named pipe", "link to itself"])
def test_something_else_in_its_place(converge: Any, tmp_path: Path, fault: str) -> None:
    roots = ("/etc", "/run", "/var/lib", str(tmp_path))
    with ground.FAULTS[fault][0](CONF):
        before = ground.snapshot(*roots)
        done = converge()
        assert (done["result"], done["changes"]) == (False, {}), done
        assert "bug" not in done["comment"] and "Traceback" not in done["comment"]
        assert ground.difference(before, ground.snapshot(*roots)) == {}
        assert daemons.families(25) == ["ipv4"]
    settle()
    done = converge()
    assert done["result"] is True, done


def test_attributes_that_a_person_has_given_survive(converge: Any) -> None:
    os.setxattr(CONF, ground.ACL, ground.acl(1234, 4))
    os.setxattr(CONF, "user.mine", b"mine")
    before = ground.facts(str(CONF))
    done = converge()
    assert done["result"] is True, done
    assert ground.facts(str(CONF))[:-1] == before[:-1]
