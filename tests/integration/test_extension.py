"""The Salt Extension: the modules come from a wheel, and nothing else of the repository is needed but ``salt/``."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ..lab.conftest import Salt
from .conftest import assert_converges, copy_repository


def pip(*words: str) -> None:
    """Run pip, which may not ask for anything that is not here."""
    words = (
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        *words,
        "--no-index",
        "--no-deps",
    )
    done = subprocess.run(words, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository: a build writes into its source."""
    folder = tmp_path_factory.mktemp("copy")
    copy_repository(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(copy: Path) -> Path:
    """The extension's wheel."""
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(copy / "dist"), str(copy))
    (path,) = (copy / "dist").iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--target", str(folder), str(wheel))
    return folder


def test_the_wheel_holds_every_module_and_nothing_that_salt_would_trip_over(wheel: Path, copy: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {"saltext/dualstack/__init__.py"}
    for path in copy.glob("_*/*.py"):
        expected.add(f"saltext/dualstack/{path.parent.name.lstrip('_')}/{path.name}")
    assert packed == expected


def test_its_metadata_say_what_it_needs_and_where_salt_finds_it(installed: Path) -> None:
    (folder,) = installed.glob("*.dist-info")
    distribution = PathDistribution(folder)
    assert distribution.metadata["Name"] == "saltext-dualstack"
    assert distribution.metadata.get_all("Provides-Extra") == ["dns", "test"]
    requirements = [Requirement(line) for line in distribution.requires or []]
    assert {each.name: str(each.specifier) for each in requirements if not each.marker} == {
        "salt": ">=3006",
        "netaddr": "",
    }
    dns = {each.name for each in requirements if each.marker and each.marker.evaluate({"extra": "dns"})}
    assert dns == {"dnspython", "dns-lexicon"}
    (entry,) = distribution.entry_points
    assert (entry.group, entry.name, entry.value) == ("salt.loader", "dualstack", "saltext.dualstack")


def test_the_formula_runs_with_it(salt: Salt, copy: Path, installed: Path) -> None:
    salt.configure(file_roots={"base": [str(copy / "salt")]}, module_dirs=[])
    assert salt.call("sys.list_functions", "he_tunnel") == []
    assert_converges(lambda *words: salt.call("state.apply", *words, PYTHONPATH=str(installed)))
    assert not list(salt.folder.rglob("extmods/modules/*.py"))
