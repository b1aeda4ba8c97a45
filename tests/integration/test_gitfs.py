"""The formula straight from a git repository, with the very lines that README.md gives for it."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from salt.config import DEFAULT_MASTER_OPTS

from ..lab.conftest import Salt
from .conftest import REPOSITORY, applier, assert_converges, assert_next_version, copy_repository, make_next_version


def git(folder: Path, *words: str) -> str:
    """Run git in a folder; what it prints."""
    return subprocess.run(["git", "-C", str(folder), *words], check=True, text=True, capture_output=True).stdout


def settings() -> dict[str, Any]:
    """README's lines for gitfs."""
    blocks = re.findall(r"(?:^ {4}.+\n)+", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    (block,) = (each for each in blocks if "gitfs_remotes" in each)
    lines: dict[str, Any] = yaml.safe_load(textwrap.dedent(block))
    return lines


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone of this repository, as it is now, and the address of README.md to push it to."""
    folder = tmp_path_factory.mktemp("git")
    (address,) = {url for remote in settings()["gitfs_remotes"] for url in remote}
    config = folder / "config"
    config.write_text(
        f'[url "file://{folder}/upstream.git"]\n\tinsteadOf = {address}\n'
        "[user]\n\tname = someone\n\temail = someone@example.org\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        git(folder, "init", "-q", "--bare", "--initial-branch=main", "upstream.git")
        git(folder, "clone", "-q", address, "clone")
        copy_repository(folder / "clone")
        publish(folder / "clone")
        yield folder / "clone"


def publish(clone: Path) -> None:
    """Commit everything, and push it."""
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "as it is now")
    git(clone, "push", "-q", "origin", "main")


@pytest.fixture(scope="module")
def master(clone: Path, salt_factories: Any, start: Callable[..., Any]) -> Any:
    """A master with no files but the repository's."""
    return start(**settings())


def test_a_minion_that_never_synced_and_then_a_new_commit(master: Any, host: None, clone: Path) -> None:
    apply = applier(master)
    assert_converges(apply)
    served = master.salt_run_cli().run("fileserver.file_list").data
    assert {name.partition("/")[0] for name in served} == {"ipv6"} | {path.name for path in clone.glob("_*")}
    make_next_version(clone)
    publish(clone)
    for runner in ("fileserver.update", "fileserver.clear_file_list_cache"):
        master.salt_run_cli().run(runner)
    assert_next_version(apply("ipv6"))


def test_how_often_a_master_fetches_is_what_readme_says() -> None:
    assert DEFAULT_MASTER_OPTS["gitfs_update_interval"] == 60


def test_without_a_master(salt: Salt, clone: Path) -> None:
    salt.configure(file_roots={"base": []}, module_dirs=[], **settings())
    assert_converges(lambda *words: salt.call("state.apply", *words))
    assert list(salt.folder.rglob("extmods/modules/dualstack_iptables.py"))
