"""What goes wrong with the firewall's files: the live rules are as before, and so is the host."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_firewall_scratch as firewall_scratch
import pytest

from ..firewall import netfilter
from . import ground

Converge = Callable[..., dict[str, Any]]

FOLDER = Path("/etc/iptables")
REGISTER = Path("/var/lib/dualstack_iptables/rules.json")
BEFORE = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}
AFTER = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-p tcp --dport 23 -j ACCEPT"]}}}


@pytest.fixture(autouse=True)
def _no_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host without rules, with a folder of its own for what is temporary."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    netfilter.reset()
    for folder in (FOLDER, REGISTER.parent):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_temporary_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """It comes from the environment of whoever has started Salt, and goes into a shell."""
    folder = tmp_path / "a b;touch owned;$(touch owned)'"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set some src -j DROP\nCOMMIT\n"
    sets = "create some hash:ip family inet hashsize 1024 maxelem 65536\n"
    loaded = firewall_scratch.load({"ipv4": text}, backend, sets)
    assert loaded.refusals == {}
    assert loaded.tables["ipv4"]["filter"]["INPUT"]["rules"] == ["-m set --match-set some src -j DROP"]
    assert not Path("/owned").exists() and not list(folder.iterdir())


@pytest.fixture
def converge(modules: Any) -> Converge:
    """Apply ``dualstack_iptables.ruleset`` as its state does."""

    def run(tables: dict[str, Any], test: bool = False) -> dict[str, Any]:
        done: dict[str, Any] = modules.dualstack_iptables.ruleset("firewall", tables=tables, backend="nft", test=test)
        return done

    return run


@pytest.fixture
def rule(modules: Any) -> Converge:
    """Apply ``dualstack_iptables.rule`` as its state does."""

    def run(text: str, test: bool = False) -> dict[str, Any]:
        given = {"rule": text, "chain": "INPUT", "backend": "nft", "test": test}
        done: dict[str, Any] = modules.dualstack_iptables.rule(text, **given)
        return done

    return run


def look(tmp_path: Path) -> tuple[Any, ...]:
    """The host: its rules, and its files."""
    files = ground.snapshot("/etc", "/var/lib", "/run", str(tmp_path))
    return files, [netfilter.save(family, "nft") for family in netfilter.COMMANDS]


def refused(action: Callable[[], dict[str, Any]], path: Path, said: str, tmp_path: Path) -> None:
    """A run that fails, says of which file and why, and changes nothing."""
    before = look(tmp_path)
    done = action()
    assert (done["result"], done["changes"]) == (False, {}), done
    assert str(path) in done["comment"] and said in done["comment"], done["comment"]
    assert "Traceback" not in done["comment"] and "bug" not in done["comment"]
    after = look(tmp_path)
    assert ground.difference(before[0], after[0]) == {}
    assert before[1] == after[1]


@pytest.mark.parametrize("fault", ground.FAULTS)
def test_the_files_of_the_boot(converge: Converge, tmp_path: Path, fault: str) -> None:
    assert converge(BEFORE)["result"] is True
    strike, said, foreseen = ground.FAULTS[fault]
    with strike(FOLDER / "rules.v6"):  # that of IPv4 is written before
        assert converge(AFTER, test=True)["result"] is (False if foreseen else None)
        refused(lambda: converge(AFTER), FOLDER, said, tmp_path)
    assert converge(AFTER)["result"] is True
    assert "dport 23" in (FOLDER / "rules.v6").read_text()
    assert converge(AFTER)["changes"] == {}


@pytest.mark.parametrize("fault", [ground.full, ground.without_inodes, ground.read_only])
def test_a_folder_where_no_file_was(converge: Converge, tmp_path: Path, fault: Any) -> None:
    with fault(FOLDER):
        refused(lambda: converge(AFTER), FOLDER / "rules.v4", "", tmp_path)
    shutil.rmtree(FOLDER)
    assert converge(AFTER)["result"] is True
    assert oct(FOLDER.stat().st_mode & 0o7777) == "0o755"


@pytest.mark.parametrize("fault", [each for each in ground.FAULTS if each != "link to /dev/null"])
def test_the_register(rule: Converge, tmp_path: Path, fault: str) -> None:
    old, new = "-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 23 -j ACCEPT"
    assert rule(old)["result"] is True
    strike, said, _ = ground.FAULTS[fault]
    with strike(REGISTER):
        refused(lambda: rule(new), REGISTER.parent, said, tmp_path)
    assert rule(new)["result"] is True
    assert "dport 23" in REGISTER.read_text()
    assert rule(new)["changes"] == {}


def test_a_full_disk_for_everything_that_we_keep(converge: Converge, tmp_path: Path) -> None:
    assert converge(BEFORE)["result"] is True
    with ground.full(Path("/var/lib/dualstack")):
        refused(lambda: converge(AFTER), Path("/var/lib/dualstack"), "No space left on device", tmp_path)
    assert converge(AFTER)["result"] is True


@pytest.mark.parametrize("path", [FOLDER / "rules.v4", FOLDER / "rules.v6", REGISTER])
@pytest.mark.parametrize("state", ["rule", "ruleset"])
def test_the_modes_are_converged(converge: Converge, rule: Converge, path: Path, state: str) -> None:
    allow = "-p tcp --dport 22 -j ACCEPT"

    def run(test: bool = False) -> dict[str, Any]:
        return rule(allow, test=test) if state == "rule" else converge(AFTER, test=test)

    assert rule(allow)["result"] is True
    assert run()["result"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o666)
    for test in (True, False):
        done = run(test)
        assert done["result"] is (None if test else True), done["comment"]
        assert done["changes"] == {str(path): {"mode": {"old": "0666", "new": "0640"}}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert run()["changes"] == {}
    path.chmod(0o600)
    assert run()["changes"] == {}


def test_a_mode_is_put_back(converge: Converge, tmp_path: Path) -> None:
    assert converge(BEFORE)["result"] is True
    (FOLDER / "rules.v4").chmod(0o666)
    with ground.mounted(FOLDER / "rules.v6"):
        refused(lambda: converge(AFTER), FOLDER / "rules.v6", "it is a mount point", tmp_path)
    with ground.full(FOLDER):
        refused(lambda: converge(AFTER), FOLDER, "No space left on device", tmp_path)
    assert converge(AFTER)["changes"][f"{FOLDER}/rules.v4"]["mode"] == {"old": "0666", "new": "0640"}


def garbage() -> dict[str, Callable[[Path], object]]:
    """What may be in the place of a file of ours."""
    texts = {
        "nothing": b"",
        "binary": bytes(range(256)),
        "half": b'{"ipv4": {"filter": {"INPUT": ["-p tcp',
        "deep": b"[" * 200_000,
        "list": b"[]",
        "number": b"1e999",
        "tables": b'{"ipv4": []}',
        "chains": b'{"ipv4": {"filter": "INPUT"}}',
        "rules": b'{"ipv4": {"filter": {"INPUT": {"0": "-j ACCEPT"}}}}',
        "rule": b'{"ipv4": {"filter": {"INPUT": [null]}}}',
        "bytes": b'{"ipv4": {"filter": {"INPUT": ["caf\xe9"]}}}',
    }
    written = {key: functools.partial(Path.write_bytes, data=text) for key, text in texts.items()}
    return {**written, "folder": Path.mkdir, "pipe": os.mkfifo, "loop": ground.loop}


@pytest.mark.parametrize("what", garbage())
def test_a_register_that_is_damaged(converge: Converge, rule: Converge, tmp_path: Path, what: str) -> None:
    assert rule("-p tcp --dport 22 -j ACCEPT")["result"] is True
    with ground.instead(REGISTER, garbage()[what]):
        refused(lambda: rule("-p tcp --dport 23 -j ACCEPT"), REGISTER, "", tmp_path)
        refused(lambda: converge(AFTER), REGISTER, "", tmp_path)
    assert rule("-p tcp --dport 23 -j ACCEPT")["result"] is True


@pytest.mark.parametrize("what", garbage())
def test_what_is_remembered_and_damaged_is_found_out_again(
    converge: Converge, loaders: Any, tmp_path: Path, what: str
) -> None:
    memory = Path(loaders.opts["cachedir"]) / "dualstack_iptables.json"
    assert converge(BEFORE)["result"] is True
    with ground.instead(memory, garbage()[what]):
        done = converge(BEFORE)
        first = done["comment"].splitlines()[0]  # what was not remembered is tried again, which warns of what it cannot
        assert (done["result"], done["changes"], first) == (True, {}, "firewall is as declared")
        assert converge(AFTER)["result"] is True


def test_what_others_may_have_written_is_not_believed(converge: Converge, loaders: Any) -> None:
    memory = Path(loaders.opts["cachedir"]) / "dualstack_iptables.json"
    assert converge(BEFORE)["result"] is True
    for mode, user in ((0o666, 0), (0o600, 1000)):
        memory.chmod(mode)
        os.chown(memory, user, 0)
        assert converge(BEFORE)["result"] is True
        assert (stat.S_IMODE(memory.stat().st_mode), memory.stat().st_uid) == (0o600, 0)
