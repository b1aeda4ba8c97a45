"""A provider outside this project: Salt only has its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from saltfactories.utils.functional import Loaders

from . import servers
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, FOREIGN = "2001:db8:1::77", "2001:db8:2::9"

HALF = "def about(settings):\n    return {}\n"


@pytest.fixture(scope="module")
def loaders(salt_factories: Any, pillar_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaders:
    """A minion that has further module_dirs: with the toy, with one that cannot be loaded, and with half a one."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "modules").mkdir()
    (folder / "modules" / "aaaa_broken.py").write_text("def about(settings)\n")
    (folder / "modules" / "aaaa_half.py").write_text(HALF)
    here = Path(__file__).resolve()
    overrides = {
        "file_client": "local",
        "fileserver_list_cache_time": 0,
        "pillar_roots": {"base": [str(pillar_root)]},
        "module_dirs": [str(here.parents[2]), str(here.parent / "toy"), str(folder)],
    }
    minion = salt_factories.salt_minion_daemon("toy", overrides=overrides)
    return Loaders({**minion.config, "pillar": {}}, loaded_base_name="functional_toy")


@pytest.fixture(autouse=True)
def _toy(pillar: dict[str, Any]) -> None:
    token = servers.KEYS["host1"]
    pillar.update(provider="toy", names=[WWW], toy={"zone": "example.org", "host": servers.PRIMARY, "token": token})


def test_it_publishes_and_withdraws(published: Any, withdrawn: Any) -> None:
    put(WWW, FOREIGN, ttl=60)
    changes = {WWW: {"old": [FOREIGN], "new": [OURS, FOREIGN]}}
    assert published("names", records=[WWW], address=OURS, by="toy", ttl=60).changes == changes
    assert records(WWW) == [f"60 {OURS}", f"60 {FOREIGN}"]
    assert withdrawn(WWW, by="toy").changes == {WWW: {"old": [OURS, FOREIGN], "new": [FOREIGN]}}


def test_it_fails_in_its_own_words(states: Any) -> None:
    """What is done by then is put back, name by name."""
    done = states.aaaa.published("names", records=[WWW, "forbidden.example.org"], address=OURS, by="toy")
    assert (done.result, done.changes) == (False, {})
    assert done.comment == "the toy does not like forbidden.example.org: REFUSED\nEverything was put back as it was."
    assert records(WWW) == []


def test_its_settings_are_checked(modules: Any, pillar: dict[str, Any]) -> None:
    pillar["toy"] = {"zone": "example.net", "host": "192.0.2.1", "tokn": "secret"}
    done = modules.aaaa.published("names", pillar="ipv6:dns", address=OURS)
    assert (done["result"], done["comment"].split("\n")) == (
        False,
        [
            "ipv6:dns:toy:tokn: unknown key; did you mean token?",
            "ipv6:dns:toy:token: missing; expected a secret",
            "ipv6:dns:toy:zone: www.example.org is not in the zone example.net; one change is made in one zone: "
            "write dns as a list, with an entry for each zone",
            "ipv6:dns:toy:host: it is not on loopback",
        ],
    )


def test_it_is_named_among_the_providers(modules: Any, pillar: dict[str, Any]) -> None:
    pillar.update(provider="tay", toi={})
    done = modules.aaaa.published("names", pillar="ipv6:dns", address=OURS)
    assert done["comment"].split("\n") == [
        "ipv6:dns:toi: unknown key; did you mean toy?",
        "ipv6:dns:provider: 'tay' is not a provider that is known; "
        "expected one of broken, command, half, he, lexicon, rfc2136, toy",
    ]


@pytest.mark.parametrize(("provider", "function"), [("broken", "about"), ("half", "errors")])
def test_one_that_cannot_be_used(modules: Any, pillar: dict[str, Any], provider: str, function: str) -> None:
    pillar.update({"provider": provider, provider: {}})
    done = modules.aaaa.published("names", pillar="ipv6:dns", address=OURS)
    assert (done["result"], done["comment"]) == (
        False,
        f"ipv6:dns:provider: {provider} cannot be used: "
        f"the module aaaa_{provider} has no function {function}, or could not be loaded "
        f"('aaaa_{provider}.{function}' is not available.)",  # Salt's own words
    )
    assert records(WWW) == []
