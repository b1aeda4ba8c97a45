"""The beacon ``he_tunnel``: it fires when something changes, and only then; it never raises."""

from __future__ import annotations

import importlib.util
import json
import stat
import types
from pathlib import Path
from typing import Any

import _dualstack_broker_watch as broker_watch
import pytest

BEACON = Path(__file__).resolve().parents[2] / "_beacons" / "he_tunnel.py"
FINE: dict[str, Any] = {
    **{"name": "he-ipv6", "gateway": "2001:db8::1", "local": "46.105.5.1", "assigned": True, "answering": True},
    **{"loss": 0.0, "rtt": 0.0123, "reason": "", "text": "# HELP\n", "up": True},
}
SILENT = {**FINE, "answering": False, "loss": 1.0, "rtt": None, "reason": "nothing came back"}
UNKNOWN = {**FINE, **dict.fromkeys(("answering", "local", "assigned", "loss", "rtt")), "reason": "no ping"}


class Host:
    """A minion with the beacon; ``facts`` is what the tunnel is like."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.facts, self.calls = folder, dict(FINE), []  # type: Any, Any, list[Any]
        self.start()

    def start(self) -> None:
        """The minion starts."""
        spec = importlib.util.spec_from_file_location("_beacon", BEACON)
        assert spec and spec.loader
        self.module: types.ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        salt = {"he_tunnel.metrics": self._metrics}
        vars(self.module).update({"__salt__": salt, "__opts__": {"cachedir": str(self.folder)}})

    def _metrics(self, *words: Any, **named: Any) -> Any:
        self.calls.append((words, named))
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts

    def look(self, *config: Any, **facts: Any) -> list[str]:
        """One look at a host that is like this: the tags of the events."""
        if facts:
            self.facts = facts
        self.events = self.module.beacon([*config, {"_beacon_name": "he_tunnel"}])
        return [each["tag"] for each in self.events]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One where all is fine."""
    return Host(tmp_path)


def test_nothing_fires_while_nothing_changes(host: Host) -> None:
    assert [host.look() for _ in range(3)] == [[], [], []]
    assert host.look(**SILENT) == ["silent"]
    assert host.events[0]["reason"] == "nothing came back" and host.events[0]["gateway"] == "2001:db8::1"
    assert [host.look() for _ in range(3)] == [[], [], []]
    assert host.look(**FINE) == ["answering"]
    assert host.events[0]["rtt"] == 0.0123
    assert host.look() == []


def test_the_first_look_fires_only_if_something_is_wrong(tmp_path: Path) -> None:
    for number, (facts, tags) in enumerate(
        ((FINE, []), (SILENT, ["silent"]), ({**FINE, "assigned": False}, ["address"]), (UNKNOWN, []))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert Host(folder).look(**facts) == tags


def test_a_restart_of_the_minion_is_no_first_look(host: Host) -> None:
    host.look(**SILENT)
    host.start()
    assert host.look() == []
    assert host.look(**FINE) == ["answering"]
    host.start()
    assert host.look(**{**FINE, "local": "46.105.5.2"}) == ["address"]


def test_another_address(host: Host) -> None:
    host.look()
    assert host.look(**{**FINE, "local": "46.105.5.2"}) == ["address"]
    assert (host.events[0]["old"], host.events[0]["new"], host.events[0]["assigned"]) == (
        "46.105.5.1",
        "46.105.5.2",
        True,
    )
    assert host.look() == []
    # The tunnel keeps it, and the host has lost it.
    assert host.look(**{**SILENT, "local": "46.105.5.2", "assigned": False}) == ["silent", "address"]
    assert host.look() == []
    assert host.look(**{**FINE, "local": "46.105.5.2"}) == ["answering"]


def test_what_is_not_known_is_no_change(host: Host) -> None:
    host.look(**SILENT)
    assert host.look(**UNKNOWN) == []
    assert host.look(**SILENT) == []
    assert host.look(**UNKNOWN) == []
    assert host.look(**FINE) == ["answering"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("he_tunnel.metrics"), OSError(28, "No space")])
def test_it_never_raises(host: Host, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    host.look(**SILENT)
    host.facts = error
    assert host.look() == []
    assert "the beacon he_tunnel found nothing out" in caplog.text
    host.facts = SILENT
    assert host.look() == []


def test_a_disk_that_cannot_be_written_stops_no_event(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.folder = host.folder / "nowhere"
    host.start()
    metrics = {"metrics": "/nowhere/at/all.prom"}
    assert host.look(metrics, **SILENT) == ["silent"]
    assert host.look(metrics) == []
    assert "could not write /nowhere/at/all.prom" in caplog.text
    (host.folder.parent / "dualstack_beacon_he-ipv6.json").write_text("{")
    host.folder = host.folder.parent
    host.start()
    assert host.look() == ["silent"]


def test_the_metrics_are_written_in_one_step(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "dualstack.prom"
    for text in ("# one\n", "# two\n"):
        host.look({"metrics": str(path)}, {"name": "six"}, {"attempts": 7}, {"timeout": 0.5}, **{**FINE, "text": text})
        assert path.read_text() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert host.calls[-1] == (("six",), {"attempts": 7, "timeout": 0.5, "as_data": True})
    assert json.loads((tmp_path / "dualstack_beacon_six.json").read_text())["answering"] is True
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dualstack.prom", "dualstack_beacon_six.json"]


def test_its_configuration_is_checked(host: Host) -> None:
    valid_ones: list[Any] = [[], [{"interval": 60}], {"name": "six"}, [{"metrics": "/var/lib/x.prom"}, {"attempts": 1}]]
    for config in valid_ones:
        assert host.module.validate(config) == (True, "Valid beacon configuration")
    wrong: list[tuple[Any, str]] = [
        ([{"nmae": "x"}], "nmae: unknown key"),
        ([{"name": "../x"}], "name: '../x' is not the name of an interface"),
        ([{"attempts": 0}], "attempts: 0 is not"),
        ([{"timeout": "2"}], "timeout: '2' is not"),
        ([{"metrics": "/etc/passwd"}], "metrics: '/etc/passwd' is not the path of a file that ends in .prom"),
        ([{"metrics": "x.prom"}], "metrics: 'x.prom' is not"),
        (["name"], "expected a list of settings"),
        (7, "expected a list of settings"),
    ]
    for config, words in wrong:
        valid, said = host.module.validate(config)
        assert (valid, words in said) == (False, True), said


def test_the_text_for_prometheus() -> None:
    facts = {
        **{"name": 'a"b\\c', "up": True, "in_sync": None, "answering": False, "assigned": True, "rtt": 0.0123456789},
        **{"loss": 0.25, "rx_errors": 3, "tx_errors": None, "registered": 1764349000.5},
    }
    lines = broker_watch.text(facts).split("\n")
    assert lines[:3] == [
        "# HELP dualstack_tunnel_up Whether the interface exists and is up.",
        "# TYPE dualstack_tunnel_up gauge",
        r'dualstack_tunnel_up{interface="a\"b\\c"} 1',
    ]
    assert lines[-1] == "" and len(lines) == 7 * 3 + 1
    assert not [each for each in lines if "in_sync" in each or "transmit" in each]  # not known is neither 0 nor 1
    values = {each.split("{")[0]: each.split()[-1] for each in lines if each and each[0] != "#"}
    assert values == {
        "dualstack_tunnel_up": "1",
        "dualstack_tunnel_broker_answering": "0",
        "dualstack_tunnel_local_assigned": "1",
        "dualstack_tunnel_rtt_seconds": "0.012346",
        "dualstack_tunnel_loss_ratio": "0.25",
        "dualstack_tunnel_receive_errors_total": "3",
        "dualstack_tunnel_registered_timestamp_seconds": "1764349000.5",
    }
    assert "# TYPE dualstack_tunnel_receive_errors_total counter" in lines
