"""A user's own service plug-in, in a module directory of theirs, works like those of this project."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from saltfactories.utils.functional import Loaders

from . import daemons

TOY = Path(__file__).parent / "toy"
REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM, INIT, MAIN = Path("/usr/local/sbin/toyd"), Path("/etc/init.d/toy"), Path("/etc/toy.conf")
PORT = 2525


@pytest.fixture(scope="module")
def toy_loaders(salt_factories: Any) -> Loaders:
    """All modules of this project, and those of a user."""
    minion = salt_factories.salt_minion_daemon(
        "toy", overrides={"file_client": "local", "module_dirs": [str(REPOSITORY), str(TOY)]}
    )
    return Loaders(minion.config.copy(), loaded_base_name="toy")


@pytest.fixture
def states(toy_loaders: Loaders) -> Any:
    """The states."""
    return toy_loaders.states


@pytest.fixture
def modules(toy_loaders: Loaders) -> Any:
    """The execution modules."""
    return toy_loaders.modules


@pytest.fixture
def toyd() -> Iterator[None]:
    """The daemon runs, over IPv4 only."""
    for source, target in ((TOY / "toyd", PROGRAM), (TOY / "init", INIT)):
        shutil.copy(source, target)
        target.chmod(0o755)
    MAIN.write_text(f"greeting hello\nlisten 0.0.0.0 {PORT}\n")
    daemons.start("toy", PORT)
    yield
    daemons.stop("toy", PORT)
    for path in (PROGRAM, INIT, MAIN):
        path.unlink()


def test_its_settings_are_known_and_judged(states: Any, toyd: None) -> None:
    def refused(**given: Any) -> str:
        done = states.service_listen.dual_stack("toy", **given)
        assert (done.result, done.changes) == (False, {})
        return str(done.comment)

    assert refused(greeting="two words") == "toy:greeting: 'two words' is not a word"
    expected = "expected one of ports, protocols, names, probe, timeout, greeting"
    assert refused(greting="hi") == f"toy:greting: unknown key; {expected}"


def test_it_is_seen_and_its_sockets_are_its_own(modules: Any, toyd: None) -> None:
    (socket,) = (each for each in modules.service_listen.sockets()["sockets"] if each["port"] == PORT)
    assert (socket["service"], socket["families"]) == ("toy", ["ipv4"])
    verdict = modules.service_listen.audit(1)["toy"]
    assert (verdict["serves"]["ipv4"], verdict["misses"]["ipv6"]) == ([f"tcp/{PORT}"], [f"tcp/{PORT}"])
    four, six = modules.service_listen.probe("toy")
    assert (four["banner"], six["error"]) == ("220 hello", "connection refused")
    assert f"+listen :: {PORT}" in modules.service_listen.plan("toy").splitlines()


def test_it_is_converged(states: Any, modules: Any, toyd: None) -> None:
    predicted = states.service_listen.dual_stack("toy", greeting="hi", test=True)
    assert (predicted.result, daemons.families(PORT)) == (None, ["ipv4"])
    done = states.service_listen.dual_stack("toy", greeting="hi")
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert done.changes["listening"] == {"old": {f"tcp/{PORT}": "ipv4"}, "new": {f"tcp/{PORT}": "ipv4 and ipv6"}}
    assert [each["banner"] for each in modules.service_listen.probe("toy")] == ["220 hi", "220 hi"]
    again = states.service_listen.dual_stack("toy", greeting="hi")
    assert (again.result, again.changes) == (True, {}), again.comment


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (
            "def about():\n    raise ValueError('boom')\n",
            "the function about of the module listen_ill fails (ValueError at listen_ill.py:2)",
        ),
        (
            "def about():\n    return {'files': []}\n",
            "the function about of the module listen_ill lacks processes, units, ",
        ),
        (
            "def about():\n    return None\n",
            "the function about of the module listen_ill lacks files, processes, units, ",
        ),
    ],
)
def test_one_that_is_broken_is_named(salt_factories: Any, tmp_path: Path, plugin: str, said: str) -> None:
    (tmp_path / "_modules").mkdir()
    (tmp_path / "_modules" / "listen_ill.py").write_text(plugin)
    overrides = {"file_client": "local", "module_dirs": [str(REPOSITORY), str(tmp_path)]}
    minion = salt_factories.salt_minion_daemon(tmp_path.name, overrides=overrides)
    states = Loaders(minion.config.copy(), loaded_base_name=f"ill_{tmp_path.name}").states
    for function, name in (("dual_stack", "ill"), ("dual_stack", "ssh"), ("unharmed", "x")):
        done = getattr(states.service_listen, function)(name)
        assert (done.result, done.comment[: len(said)]) == (False, said)


def test_its_own_checker_is_asked(states: Any, toyd: None) -> None:
    text = f"{MAIN.read_text()}nonsense\n"
    MAIN.write_text(text)
    done = states.service_listen.dual_stack("toy")
    assert done.result is False
    assert done.comment.startswith("toy: its present configuration is invalid: '/usr/local/sbin/toyd --check' ended")
    assert MAIN.read_text() == text
