"""Salt as people run it, on the lab's server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import network

REPOSITORY = Path(__file__).resolve().parents[2]


class Salt:
    """
    A minion without a master, and the commands of Salt with its configuration.

    folder
        Where its configuration, cache and pillar are; it begins with nothing synced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pillar = folder / "pillar"
        self.pillar.mkdir(parents=True)
        (self.pillar / "top.sls").write_text("base: {'*': [ipv6]}\n")
        self.declare()
        self.configure()

    def declare(self, whole: bool = False) -> None:
        """Write the pillar: pillar.example, by default without what takes long to start in the guest."""
        pillar = yaml.safe_load((REPOSITORY / "pillar.example").read_text())
        for part in () if whole else ("services", "dns", "verify"):
            del pillar["ipv6"][part]
        (self.pillar / "ipv6.sls").write_text(yaml.safe_dump(pillar, sort_keys=False))

    def configure(self, **settings: Any) -> None:
        """Write the minion's configuration: the README's, and what differs."""
        minion = {
            "id": "server",
            "file_client": "local",
            "root_dir": str(self.folder),
            "pki_dir": str(self.folder / "pki"),
            "file_roots": {"base": [str(REPOSITORY / "salt")]},
            "module_dirs": [str(REPOSITORY)],
            "pillar_roots": {"base": [str(self.pillar)]},
            "fileserver_list_cache_time": 0,
            **settings,
        }
        (self.folder / "minion").write_text(yaml.safe_dump(minion))

    def command(self, program: str, *words: str, **environment: str) -> Any:
        """Run one of Salt's programs; what it returns, parsed."""
        script = [sys.executable, "-W", "ignore", str(Path(sys.executable).parent / program)]
        words = ("-c", str(self.folder), "--out=json", "--log-level=warning", *words)
        done = subprocess.run([*script, *words], text=True, capture_output=True, env={**os.environ, **environment})
        print(done.stdout, done.stderr)
        return json.loads(done.stdout)

    def call(self, *words: str, **environment: str) -> Any:
        """``salt-call --local``: the return of an execution function, or the results of states by their IDs."""
        return self.results(self.command("salt-call", "--local", *words, **environment)["local"])

    @staticmethod
    def results(returned: Any) -> Any:
        """The results of a state run by their IDs; any other return as it is."""
        if isinstance(returned, dict) and all("_|-" in key for key in returned):
            ordered = sorted(returned.values(), key=lambda each: each["__run_num__"])
            return {each["__id__"]: each for each in ordered}
        return returned


@pytest.fixture
def salt(tmp_path: Path) -> Salt:
    """A minion that has never run."""
    return Salt(tmp_path / "salt")


@pytest.fixture(autouse=True)
def _server() -> Iterator[None]:
    """The server is IPv4-only when a test begins."""
    network.reset()
    yield
