"""Real daemons, in the enclosure's network namespace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import daemons


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """These tests start daemons: they must not be the machine's."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"


@pytest.fixture(autouse=True)
def _host() -> Iterator[None]:
    """No daemon runs when a test begins, and every configuration is Debian's."""
    daemons.BINDV6ONLY.write_text("0")
    Path("/etc/sysctl.d/local.conf").unlink(missing_ok=True)
    yield


@pytest.fixture
def ipv4_only(request: pytest.FixtureRequest) -> Callable[[str], list[int]]:
    """Make a service one that runs and serves IPv4 only; returns its ports."""

    def prepare(name: str) -> list[int]:
        request.addfinalizer(lambda: daemons.restore(name))
        request.addfinalizer(lambda: daemons.stop(name, *daemons.PORTS[name]))
        daemons.only_ipv4(name)
        daemons.start(name, *daemons.PORTS[name])
        assert [daemons.families(port) for port in daemons.PORTS[name]] == [["ipv4"]] * len(daemons.PORTS[name])
        return daemons.PORTS[name]

    return prepare


@pytest.fixture
def converge(modules: Any) -> Callable[..., dict[str, Any]]:
    """Apply ``service_listen.dual_stack`` as its state does."""

    def run(name: str, test: bool = False, **given: Any) -> dict[str, Any]:
        done: dict[str, Any] = modules.service_listen.dual_stack(name, test=test, **{"timeout": 30, **given})
        return done

    return run
