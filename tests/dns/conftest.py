"""Real name servers, in the enclosure's network namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_change as dns_change
import _dualstack_dns_settings as dns_settings
import _dualstack_plugins as plugins
import pytest
from saltfactories.utils.functional import Loaders

from . import servers


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """These tests start name servers on port 53, and write /etc/resolv.conf: they must not be the machine's."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"


@pytest.fixture(scope="module", autouse=True)
def _second_address() -> Iterator[None]:
    """
    BIND listens on addresses that an interface has.

    It goes again: to getaddrinfo(3) it makes a host with IPv4 and without IPv6, where Apache listens on 0.0.0.0 alone.
    """
    subprocess.run(["ip", "addr", "replace", f"{servers.SECONDARY}/32", "dev", "lo"], check=True)
    yield
    subprocess.run(["ip", "addr", "del", f"{servers.SECONDARY}/32", "dev", "lo"], check=True)


@pytest.fixture(scope="session")
def pillar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the minion has its pillar."""
    folder = tmp_path_factory.mktemp("pillar")
    (folder / "top.sls").write_text(json.dumps({"base": {"*": ["dns"]}}))
    (folder / "dns.sls").write_text("{}")
    return folder


@pytest.fixture(scope="session")
def loaders(salt_factories: Any, pillar_root: Path) -> Loaders:
    """All modules and states, of a minion that has a pillar."""
    overrides = {
        "file_client": "local",
        "fileserver_list_cache_time": 0,
        "pillar_roots": {"base": [str(pillar_root)]},
        "module_dirs": [str(Path(__file__).resolve().parents[2])],
    }
    minion = salt_factories.salt_minion_daemon("dns", overrides=overrides)
    return Loaders({**minion.config, "pillar": {}}, loaded_base_name="functional_dns")


@pytest.fixture(autouse=True)
def pillar(loaders: Loaders, pillar_root: Path) -> Iterator[dict[str, Any]]:
    """The pillar of a host that may update its records, for the test to change; nothing is remembered of others."""
    found: dict[str, Any] = loaders.modules.pack["__pillar__"]
    shutil.rmtree("/var/lib/dualstack_aaaa", ignore_errors=True)
    settings = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}
    found["ipv6"] = {"dns": {"rfc2136": settings}}
    yield found["ipv6"]["dns"]
    found.clear()


@pytest.fixture
def states(loaders: Loaders, pillar: dict[str, Any], pillar_root: Path) -> Any:
    """The states, each of which has its minion compile the pillar as the test has it then."""

    def called(function: str) -> Callable[..., Any]:
        def call(name: str, **arguments: Any) -> Any:
            (pillar_root / "dns.sls").write_text(json.dumps({"ipv6": {"dns": pillar}}))
            return getattr(loaders.states.aaaa, function)(name, **arguments)

        return call

    return types.SimpleNamespace(
        aaaa=types.SimpleNamespace(published=called("published"), withdrawn=called("withdrawn"))
    )


@pytest.fixture(autouse=True)
def primary(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The primary name server of all zones, which is the host's resolver, too."""
    Path("/etc/resolv.conf").write_text(f"nameserver {servers.PRIMARY}\n")
    folder = tmp_path / "primary"
    config = servers.primary_config(folder, ("example.org", "two.example"))
    process = servers.start(folder, servers.PRIMARY, config)
    yield process
    servers.stop(process)


@pytest.fixture
def secondary(tmp_path: Path, primary: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The second name server of `two.example`, which follows the first."""
    zone = f'zone "two.example" {{ type secondary; primaries {{ {servers.PRIMARY}; }}; file "{tmp_path}/copy"; }};'
    process = servers.start(tmp_path / "secondary", servers.SECONDARY, zone)
    yield process
    servers.stop(process)


@pytest.fixture
def stuck(tmp_path: Path, primary: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A second name server of `two.example` that never learns of a change."""
    (tmp_path / "stuck").mkdir()
    (tmp_path / "stuck" / "zone").write_text(servers.zone_of("two.example"))
    zone = 'zone "two.example" { type primary; file "zone"; };'
    process = servers.start(tmp_path / "stuck", servers.SECONDARY, zone)
    yield process
    servers.stop(process)


@pytest.fixture
def published(states: Any) -> Callable[..., Any]:
    """Apply ``aaaa.published``: a run does what one with test=True says, and the next finds nothing to do."""

    def run(name: str, **arguments: Any) -> Any:
        return thrice(states.aaaa.published, name, **arguments)

    return run


@pytest.fixture
def withdrawn(states: Any) -> Callable[..., Any]:
    """The same with ``aaaa.withdrawn``."""

    def run(name: str, **arguments: Any) -> Any:
        return thrice(states.aaaa.withdrawn, name, **arguments)

    return run


@pytest.fixture
def publishing(loaders: Loaders) -> Callable[..., converge.Change]:
    """The steps of ``aaaa.published``, for a test that comes in between."""

    def prepare(name: str, **arguments: Any) -> converge.Change:
        providers = plugins.providers(loaders.modules)
        wish = dns_settings.wish(name, arguments, None, loaders.modules.pack["__pillar__"], providers)
        return converge.Change(
            part=dns_change.PART,
            plan=lambda: dns_change.plan_published(wish),
            apply=lambda plan: dns_change.apply(plan, providers),
            undo=lambda plan: dns_change.undo(plan, providers),
        )

    return prepare


def thrice(state: Any, name: str, **arguments: Any) -> Any:
    """Apply a state with test=True, for real, and once more; what the second of these returned."""
    told = state(name, test=True, **arguments)
    done = state(name, **arguments)
    assert told.changes == done.changes, (told, done)
    assert told.result is (None if done.changes else True), told.comment
    assert done.result is True, done.comment
    again = state(name, **arguments)
    assert (again.result, again.changes) == (True, {}), again.comment
    return done
