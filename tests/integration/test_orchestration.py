"""A minion that holds no DNS key is published by one that does, with the very lines of README.md."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..dns import servers
from .conftest import PILLAR, REPOSITORY

SERVER, KEEPER = "server.example.org", "ns1.example.org"
NAME, ADDRESS, PRIMARY = "www.example.org", "2001:470:1f13:f87::77", "192.0.2.53"
KEY = servers.KEYS["host1"]
TEXT = (REPOSITORY / "README.md").read_text()


def readmes(file: str) -> str:
    """The text of a file as README.md shows it."""
    blocks = re.findall(
        r"^    # /srv/salt/(\S+?)[,:].*\n((?:    .*\n|\n(?=    ))+?)(?=\n\S|\n    # /)", TEXT, re.MULTILINE
    )
    return textwrap.dedent(dict(blocks)[file])


@pytest.fixture
def name_server(host: None, tmp_path: Path) -> Iterator[None]:
    """The zone, at the address that README.md has for it."""
    subprocess.run(["ip", "addr", "replace", f"{PRIMARY}/32", "dev", "lo"], check=True)
    folder = tmp_path / "bind"
    process = servers.start(folder, PRIMARY, servers.primary_config(folder, ("example.org",)))
    yield
    servers.stop(process)
    subprocess.run(["ip", "addr", "del", f"{PRIMARY}/32", "dev", "lo"], check=True)


@pytest.fixture
def orchestrate(salt_factories: Any, name_server: None, tmp_path: Path) -> Iterator[Callable[[], bool]]:
    """A master, the server, and the minion that holds the key; runs README's orchestration."""
    states, pillar = tmp_path / "states", tmp_path / "pillar"
    for folder in (states, pillar):
        folder.mkdir()
    for file in ("publish.sls", "orchestrate.sls"):
        (states / file).write_text(readmes(file))
    settings = {"server": PRIMARY, "zone": "example.org", "key_name": "host1", "key": KEY}
    (pillar / "ipv6.sls").write_text(yaml.safe_dump(PILLAR))
    (pillar / "zone.sls").write_text(yaml.safe_dump({"zone": {"rfc2136": settings}}))
    (pillar / "top.sls").write_text(yaml.safe_dump({"base": {SERVER: ["ipv6"], KEEPER: ["zone"]}}))
    roots = [str(states), str(REPOSITORY / "salt"), str(REPOSITORY)]
    overrides = {
        "file_roots": {"base": roots},
        "pillar_roots": {"base": [str(pillar)]},
        "open_mode": True,
        "fileserver_list_cache_time": 0,
    }
    master = salt_factories.salt_master_daemon("orchestrator", overrides=overrides)
    first, second = (master.salt_minion_daemon(name) for name in (SERVER, KEEPER))
    with master.started(start_timeout=300), first.started(start_timeout=300), second.started(start_timeout=300):

        def run() -> bool:
            done = master.salt_run_cli(timeout=400).run("state.orchestrate", "orchestrate")
            print(done)
            assert KEY not in done.stdout
            return bool(done.returncode == 0)

        yield run
        assert KEY not in str(master.salt_cli(timeout=60).run("pillar.items", minion_tgt=SERVER).data)


def test_it_is_published_only_after_its_proof(orchestrate: Callable[[], bool]) -> None:
    broken = Path("/etc/iptables")
    broken.write_text("no folder, so that the rules cannot be saved")
    assert not orchestrate()
    assert servers.records(NAME, server=PRIMARY) == []
    broken.unlink()
    assert orchestrate()
    assert servers.records(NAME, server=PRIMARY) == [f"3600 {ADDRESS}"]
