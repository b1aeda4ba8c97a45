"""The runner with which the master tests a minion from outside: what it permits, and whom it answers."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RUNNER = Path(__file__).resolve().parents[2] / "_runners" / "outside_view.py"
FOUR, SIX, TUNNEL, PRIVATE = "192.0.2.1", "2001:db8::1", "2001:db8::2", "10.0.0.5"
PILLAR: dict[str, Any] = {
    "dns": {"address": SIX},
    "tunnel": {"address": "2001:db8:1::2/64", "addresses": ["2001:db8:2::7/64"], "source": TUNNEL, "local": PRIVATE},
    "verify": {"public_ipv4": FOUR, "prober": "ns1"},
}
OWN = [FOUR, SIX, TUNNEL, PRIVATE, "2001:db8:1::2", "2001:db8:2::7"]


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The runner as a minion ``server`` finds it, whose pillar is ``PILLAR``; what it would do is in ``begun``."""
    spec = importlib.util.spec_from_file_location("outside_view", RUNNER)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__opts__ = {"id": "server", "cachedir": str(tmp_path), "conf_file": "/nonexistent"}
    module.__salt__ = {"pillar.show_pillar": lambda minion: {"ipv6": PILLAR} if minion == "server" else {}}
    module.begun = []

    def begin(minion: str, prober: str, targets: Any, seconds: float) -> dict[str, Any]:
        module.begun.append((minion, prober, targets, seconds))
        return {"token": "t"}

    monkeypatch.setattr(module, "_begin", begin)
    monkeypatch.setattr(module, "_out_of_its_reach", lambda prober, targets: {})
    found: ModuleType = module
    return found


def test_what_the_pillar_gives_a_minion_is_tested(runner: Any) -> None:
    done = runner.connect([[each, 25] for each in OWN])
    assert done == {"answers": [], "token": "t"}
    assert runner.begun == [("server", "master", [(each, 25) for each in OWN], 5.0)]
    runner.connect([["2001:0DB8:0::1", 25], [SIX, 25]])  # one address, however it is written
    assert runner.begun[-1][2] == [(SIX, 25)]


@pytest.mark.parametrize(
    "other", ["192.0.2.2", "2001:db8::3", "2001:db8:1::1", "8.8.8.8", "10.0.0.6", "2001:db8:2::", "::2"]
)
def test_nothing_else_is(other: str, runner: Any) -> None:
    done = runner.connect([[other, 25]])
    (answer,) = done.pop("answers")
    assert (done, runner.begun) == ({"token": ""}, [])
    assert (answer["address"], answer["port"], answer["result"]) == (other, 25, None)
    key = "dns:address" if ":" in other else "verify:public_ipv4"
    assert answer["comment"] == (
        f"not tested: the pillar of server, as the master has it, does not say that {other} belongs to it; "
        f"ipv6:{key} would"
    )
    mixed = runner.connect([[other, 25], [SIX, 25]])
    assert (mixed["answers"], runner.begun[0][2]) == ([answer], [(SIX, 25)])


@pytest.mark.parametrize(
    "nobody",
    ["127.0.0.1", "::1", "0.0.0.0", "::", "fe80::1", "fe80::1%lo", "169.254.169.254", "224.0.0.1", "ff02::1"]
    + ["::ffff:127.0.0.1", f"::ffff:{FOUR}", "2001:db8::1%eth0", "localhost", "www.example.org", "", "2130706433"],
)
def test_what_is_no_address_of_a_host_is_refused_even_if_the_pillar_has_it(nobody: str, runner: Any) -> None:
    runner.__salt__["pillar.show_pillar"] = lambda _: {
        "ipv6": {"dns": {"address": nobody}, "tunnel": {"local": nobody}}
    }
    done = runner.connect([[nobody, 25]])
    assert (set(done), runner.begun) == ({"error"}, [])
    assert done["error"].startswith("targets: ")


@pytest.mark.parametrize("port", [0, -1, 65536, "25", 25.0, True, None, [25]])
def test_what_is_no_port_is_refused(port: Any, runner: Any) -> None:
    assert runner.connect([[SIX, port]]) == {"error": f"targets: {port!r} is not a port"}
    assert runner.begun == []


@pytest.mark.parametrize(
    "targets", [None, [], {}, "x", 5, [None], ["2001:db8::1"], [[SIX]], [[SIX, 25, 1]], [[25, SIX]]]
)
def test_what_is_no_list_of_pairs_is_refused(targets: Any, runner: Any) -> None:
    assert runner.connect(targets)["error"].startswith("targets: ")
    assert runner.begun == []


def test_there_is_a_most(runner: Any) -> None:
    assert "token" in runner.connect([[SIX, port] for port in range(1, 65)])
    said = "targets: there are 65 of them, and at most 64 are permitted"
    assert runner.connect([[SIX, port] for port in range(1, 66)]) == {"error": said}


@pytest.mark.parametrize(("asked", "given"), [(5, 5), (3600, 5), (float("inf"), 5), (0, 0.1), (-7, 0.1), (2.5, 2.5)])
def test_the_time_is_clamped(asked: float, given: float, runner: Any) -> None:
    runner.connect([[SIX, 25]], timeout=asked)
    assert runner.begun[0][3] == given


def test_what_is_no_time_is_refused_or_clamped(runner: Any) -> None:
    odd: list[Any] = ["5", None, True, [5]]
    for wrong in odd:
        assert runner.connect([[SIX, 25]], timeout=wrong) == {"error": f"timeout: {wrong!r} is not a number of seconds"}
    runner.connect([[SIX, 25]], timeout=float("nan"))
    assert all(0.1 <= each[3] <= 5 for each in runner.begun)


def test_only_the_pillars_prober_is_asked(runner: Any) -> None:
    assert "token" in runner.connect([[SIX, 25]], "ns1")
    assert runner.begun[0][1] == "ns1"
    odd: list[Any] = ["ns2", "*", "", None, ["ns1"], "ns1,ns2"]
    for wrong in odd:
        assert runner.connect([[SIX, 25]], wrong)["error"].startswith(f"prober: {wrong!r} is not master, and not what")
    runner.__salt__["pillar.show_pillar"] = lambda _: {"ipv6": {**PILLAR, "verify": {"prober": "server"}}}
    assert runner.connect([[SIX, 25]], "server") == {"error": "prober: server is the host itself that asks"}
    assert len(runner.begun) == 1


@pytest.mark.parametrize("pillar", [None, [], "x", {"_errors": ["no such file"], "ipv6": PILLAR}])
def test_a_pillar_that_cannot_be_compiled_permits_nothing(pillar: Any, runner: Any) -> None:
    runner.__salt__["pillar.show_pillar"] = lambda _: pillar
    done = runner.connect([[SIX, 25]])
    assert done == {"error": "the master cannot compile the pillar of server, and connects to what that says only"}


def test_an_address_in_a_list_of_zones_is_the_minions(runner: Any) -> None:
    zones = [{"names": ["a.example.org"]}, 5, {"address": SIX}]
    runner.__salt__["pillar.show_pillar"] = lambda minion: {"ipv6": {"dns": zones}}
    found = runner.connect([[SIX, 22], [FOUR, 22]])
    assert [each["address"] for each in found["answers"]] == [FOUR]
    assert found["token"]


@pytest.mark.parametrize(
    "part", [None, [], "x", {"dns": None, "tunnel": [SIX], "verify": 5}, {"dns": {"address": [SIX]}}, {"tunnel": {}}]
)
def test_a_wrong_pillar_permits_nothing(part: Any, runner: Any) -> None:
    runner.__salt__["pillar.show_pillar"] = lambda _: {"ipv6": part}
    assert runner.connect([[SIX, 25]])["answers"][0]["result"] is None
    assert runner.begun == []


def test_another_minion_fetches_nothing(runner: Any) -> None:
    token = runner._noted("server", 5.0)
    assert runner.answer(token) == {"waiting": True}
    path = runner._path("server", token)
    answers = [{"address": SIX, "port": 25, "result": True, "comment": "connects"}]
    runner._write(path, {**runner._read(path), "answers": answers})
    unknown = {"error": "token: the master has no such request of this minion"}
    runner.__opts__["id"] = "evil"
    assert runner.answer(token) == unknown
    runner.__opts__["id"] = "server"
    assert runner.answer(token) == {"answers": answers}
    assert runner.answer(token) == unknown  # used up
    odd: list[Any] = ["", "../../etc/passwd", None, 5, token + "x", [token], f"{token}\n"]
    for wrong in odd:
        assert runner.answer(wrong) == {"error": "token: this is not one that the master has given"}


def test_a_request_that_nobody_answers_ends(runner: Any) -> None:
    token = runner._noted("server", -2 * runner.RETURN)
    assert runner.answer(token) == {"error": "the master has forgotten this request: was it restarted?"}


def test_what_went_wrong_is_said(runner: Any) -> None:
    for error in (OSError("no more threads"), KeyError("x"), runner._Refused("the master knows no minion ns1")):
        token = runner._noted("server", 5.0)

        def fails(*_: Any, error: Exception = error) -> Any:
            raise error

        runner._connections = fails
        runner._reach(runner._path("server", token), "master", [(SIX, 25)], 5.0, runner._slot(runner._folder()), "")
        assert runner.answer(token) == {"error": f"master could not be asked: {error}"}


def test_answers_that_nobody_fetches_are_removed(runner: Any, tmp_path: Path) -> None:
    old = runner._path("server", runner._noted("server", 5.0))
    slot = runner._slot(runner._folder())
    for each in (Path(old), tmp_path / "outside_view" / "slot0"):
        os.utime(each, (time.time() - 3600,) * 2)
    new = runner._path("server", runner._noted("server", 5.0))
    assert (os.path.exists(old), os.path.exists(new)) == (False, True)
    assert (tmp_path / "outside_view" / "slot0").exists()
    assert (tmp_path / "outside_view").stat().st_mode & 0o777 == 0o700
    slot.close()


def test_only_so_many_are_served_at_once(runner: Any) -> None:
    folder = runner._folder()
    held = [runner._slot(folder) for _ in range(runner.AT_ONCE)]
    assert all(held) and runner._slot(folder) is None
    held[3].close()
    again = runner._slot(folder)
    assert again is not None
    for each in (*held, again):
        each.close()


def test_a_prober_that_answers_oddly(runner: Any) -> None:
    odd: list[Any] = [None, "x", 5, [], {}, {"ret": None}, {"ret": "Minion did not return"}, {"ret": {"result": "yes"}}]
    for back in [*odd, {"ret": {"result": 1}}, {"ret": {"result": None, "comment": ""}}]:
        found = runner._judged((SIX, 25), "ns1", back)
        assert (found["result"], found["comment"][:16]) == (None, "not tested: ns1 ")
    found = runner._judged((SIX, 25), "ns1", {"ret": {"result": False, "comment": "Unable to connect"}})
    assert (found["result"], found["comment"]) == (False, "Unable to connect")
    assert runner._judged((SIX, 25), "ns1", {"ret": {"result": True}})["comment"] == "connects"
