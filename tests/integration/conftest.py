"""Salt as people run it, on a host with IPv6 of its own: the firewall and the kernel parameters, without a tunnel."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..firewall import netfilter
from ..lab.conftest import Salt

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]
PILLAR = {"ipv6": {part: EXAMPLE[part] for part in ("firewall", "sysctl")}}
BINDV6ONLY = Path("/proc/sys/net/ipv6/bindv6only")
SYSCTL_FILE = Path("/etc/sysctl.d/local.conf")

Apply = Callable[..., dict[str, Any]]


def _reset() -> None:
    netfilter.reset()
    for folder in ("/etc/iptables", "/var/lib/dualstack_iptables"):
        shutil.rmtree(folder, ignore_errors=True)
    BINDV6ONLY.write_text("0")
    SYSCTL_FILE.unlink(missing_ok=True)


@pytest.fixture
def host() -> Iterator[None]:
    """The formula has never run on the host, and has left nothing on it afterwards."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh: they change the firewall"
    _reset()
    yield
    _reset()


def assert_converges(apply: Apply) -> None:
    """A run makes the host what the pillar says, in the kernel and at the next boot; another one changes nothing."""
    done = apply("ipv6")
    assert {each["result"] for each in done.values()} == {True}, done
    for command, source in (("iptables", "192.0.2.0/24"), ("ip6tables", "2001:db8:2::/48")):
        rules = netfilter.run(command, "-S", "INPUT").splitlines()
        assert "-P INPUT DROP" in rules
        assert f"-A INPUT -s {source} -p tcp -m tcp --dport 3306 -j ACCEPT" in rules
    assert sorted(path.name for path in Path("/etc/iptables").iterdir()) == ["rules.v4", "rules.v6"]
    assert BINDV6ONLY.read_text() == "1\n"
    assert "\nnet.ipv6.bindv6only = 1\n" in SYSCTL_FILE.read_text()
    again = apply("ipv6")
    assert {each["result"] for each in again.values()} == {True}, again
    assert [each["changes"] for each in again.values()] == [{}] * len(again)


@pytest.fixture
def salt(host: None, tmp_path: Path) -> Salt:
    """A minion without a master that has never run."""
    salt = Salt(tmp_path / "salt")
    (salt.pillar / "ipv6.sls").write_text(yaml.safe_dump(PILLAR))
    return salt


@pytest.fixture(scope="module")
def start(salt_factories: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts a master with these settings, and a minion of its that has never synced; returns the master."""
    pillar = tmp_path_factory.mktemp("pillar")
    (pillar / "top.sls").write_text("base: {'*': [ipv6]}\n")
    (pillar / "ipv6.sls").write_text(yaml.safe_dump(PILLAR))
    with ExitStack() as running:

        def run(**settings: Any) -> Any:
            overrides = {
                "pillar_roots": {"base": [str(pillar)]},
                "open_mode": True,
                # It looks for new files and commits when it is told to, and never by chance in the middle of a test.
                "fileserver_list_cache_time": 3600,
                "gitfs_update_interval": 3600,
                **settings,
            }
            master = salt_factories.salt_master_daemon("master", overrides=overrides)
            master.environ = {**master.environ, **os.environ}  # it has that of the moment when the session began
            running.enter_context(master.started(start_timeout=300))
            running.enter_context(master.salt_minion_daemon("native").started(start_timeout=300))
            return master

        yield run


def applier(master: Any) -> Apply:
    """``salt '*' state.apply``: the results of the one minion by their IDs."""

    def apply(*words: str) -> dict[str, Any]:
        done = master.salt_cli(timeout=300).run("state.apply", *words, minion_tgt="*")
        results: dict[str, Any] = Salt.results(done.data["native"])
        return results

    return apply


def copy_repository(target: Path) -> None:
    """Copy what git would have in its next commit: neither caches nor what a build has left."""
    # The repository need not belong to the one who runs this.
    git = ["git", "-C", str(REPOSITORY), "-c", "safe.directory=*"]
    words = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, check=True, text=True, capture_output=True).stdout.split("\0"):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)


def make_next_version(copy: Path) -> None:
    """Change two private rooms so that it shows, and add a module of each kind, and states that use them."""
    for module, old in (
        ("_modules/_dualstack_converge.py", "is as declared"),
        ("_modules/_dualstack_pillar.py", "it is valid"),
    ):
        text = (copy / module).read_text()
        assert text.count(old) == 1
        (copy / module).write_text(text.replace(old, f"{old}, says the next version"))
    (copy / "_modules" / "brand_new.py").write_text("def word():\n    return 'said by a new module'\n")
    (copy / "_states" / "brand_new.py").write_text(
        "def said(name):\n"
        "    return {'name': name, 'result': True, 'changes': {}, 'comment': __salt__['brand_new.word']()}\n"
    )
    (copy / "salt" / "ipv6" / "brand_new.sls").write_text(
        "include: [ipv6.pillar]\n"
        "A new module is used:\n"
        "  brand_new.said:\n"
        "    - require:\n"
        "      - The pillar ipv6 makes sense\n"
    )
    with (copy / "salt" / "ipv6" / "init.sls").open("a") as stream:
        stream.write("  - ipv6.brand_new\n")


def assert_next_version(done: dict[str, Any]) -> None:
    """A run has used all of :func:`make_next_version`."""
    assert {each["result"] for each in done.values()} == {True}, done
    assert "is as declared, says the next version" in done["The firewall is up"]["comment"].splitlines()[0]
    assert done["The pillar ipv6 makes sense"]["comment"] == "it is valid, says the next version"
    assert done["A new module is used"]["comment"] == "said by a new module"
