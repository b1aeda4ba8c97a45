"""Real iptables of both backends, in the network namespace of the enclosure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import netfilter


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """These tests change the firewall: it must not be the machine's."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"


@pytest.fixture(autouse=True)
def _host() -> Iterator[None]:
    """A host without any rule when a test begins, and when it is over: others start daemons here and talk to them."""
    yield
    netfilter.reset()
    for folder in ("/etc/iptables", "/var/lib/dualstack_iptables"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["nft", "legacy"])
def backend(request: pytest.FixtureRequest) -> str:
    """The test runs with both backends."""
    return str(request.param)


@pytest.fixture
def converge(modules: Any, backend: str) -> Callable[..., dict[str, Any]]:
    """Apply ``dualstack_iptables.ruleset`` as its state does: the tables, other arguments, ``test``."""

    def run(tables: dict[str, Any], test: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"tables": tables, "backend": backend, **arguments}
        done: dict[str, Any] = modules.dualstack_iptables.ruleset("firewall", **given, test=test)
        return done

    return run
