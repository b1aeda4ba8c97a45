"""A service's own checker, and what of its words keeps a new configuration from being used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_service_change as service_change
import _dualstack_service_host as service_host
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def service(tmp_path: Path) -> Any:
    """Makes a service whose checker says something, and ends with a status; 2 is for complaints."""

    def make(said: str, status: int) -> service_host.Daemon:
        script = tmp_path / "check"
        script.write_text(f"#!/bin/sh\necho '{said}'\nexit {status}\n")
        script.chmod(0o755)
        return service_host.Daemon("toy", None, {"files": [], "check": [str(script)], "warns": [2]})  # type: ignore

    return make


def test_what_a_checker_has_found(service: Any) -> None:
    assert service_host.check(service("fine", 0)) == ("", frozenset())
    assert service_host.check(service("old\nodd", 2)) == ("", frozenset(("old", "odd", "")))
    broken = service_host.check(service("no such option", 1))
    assert broken.error.endswith("ended with 1 and said: no such option") and not broken.complaints


def test_a_checker_that_is_not_there_is_none_that_is_content(service: Any) -> None:
    absent = service("", 0)
    absent.about["check"] = ["no-such-checker", "-t"]
    with pytest.raises(
        CommandExecutionError, match="^toy: its configuration cannot be checked: no-such-checker is not"
    ):
        service_host.check(absent)


def test_a_complaint_counts_if_it_is_new(service: Any) -> None:
    plan: Any = {"complaints": service_host.check(service("old", 2)).complaints}
    service_change._refuse_a_bad_configuration(service("old", 2), plan)
    service_change._refuse_a_bad_configuration(service("fine", 0), plan)
    with pytest.raises(CommandExecutionError, match="^the new configuration is refused: odd$"):
        service_change._refuse_a_bad_configuration(service("old\nodd", 2), plan)
    with pytest.raises(CommandExecutionError, match="^the new configuration is refused: .*ended with 1 and said: bad$"):
        service_change._refuse_a_bad_configuration(service("bad", 1), plan)


def test_a_service_with_commands_of_its_own_is_restarted_by_them(tmp_path: Path) -> None:
    """As socket units are."""
    mark = tmp_path / "mark"

    class Toy:
        @staticmethod
        def restart(files: Any, options: dict[str, Any]) -> list[list[str]]:
            return [["touch", f"{mark}-{each}"] for each in options["units"]]

    facts: dict[str, Any] = {"files": [], "init": "", "restarts": True}
    service_host.restart(service_host.Daemon("toy", Toy, facts), 5, {"units": ["a", "b"]})  # type: ignore[arg-type]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mark-a", "mark-b"]
    with pytest.raises(CommandExecutionError, match="^toy is not a service that could be started$"):
        facts["restarts"] = False
        service_host.restart(service_host.Daemon("toy", Toy, facts), 5, {})  # type: ignore[arg-type]
