"""Names of several zones, and of several providers, in one pillar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from . import minion, servers
from .servers import put, records

ONE, TWO, THREE = "www.example.org", "www.two.example", "mail.two.example"
OURS, FOREIGN = "2001:db8:1::77", "2001:db8:2::9"
RFC2136 = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}

SCRIPT = """\
#!/bin/sh
printf 'server %s\\nzone two.example\\nupdate add %s %s AAAA %s\\nsend\\n' 127.0.0.1 "$1" "$3" "$2" |
  nsupdate -v -k "$(dirname "$0")/key"
"""


@pytest.fixture
def entries(loaders: Any, pillar: dict[str, Any], tmp_path: Path) -> list[dict[str, Any]]:
    """A pillar with two zones by dynamic update, the second with a name of its own by a command."""
    (tmp_path / "publish").write_text(SCRIPT)
    (tmp_path / "publish").chmod(0o755)
    (tmp_path / "key").write_text(f'key host1 {{ algorithm hmac-sha256; secret "{servers.KEYS["host1"]}"; }};')
    at_one = {"servers": [servers.PRIMARY]}  # the second zone's other server is not there
    found: list[dict[str, Any]] = [
        {"provider": "rfc2136", "names": [ONE], "address": OURS, "rfc2136": RFC2136},
        {"provider": "rfc2136", "names": [TWO], **at_one, "rfc2136": {**RFC2136, "zone": "two.example"}},
        {"provider": "command", "names": [THREE], "ttl": 60, **at_one, "command": {"publish": f"{tmp_path}/publish"}},
    ]
    loaders.modules.pack["__pillar__"]["ipv6"]["dns"] = found
    return found


def thrice(function: Any, key: str) -> Any:
    """With test=True, for real, and once more; what the second of these returned."""
    told = function("The names", pillar=key, test=True)
    done = function("The names", pillar=key)
    assert (told["result"], told["changes"]) == (None if done["changes"] else True, done["changes"]), told["comment"]
    assert done["result"] is True, done["comment"]
    again = function("The names", pillar=key)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]
    return done


def test_each_entry_is_published_and_withdrawn_by_itself(modules: Any, entries: Any) -> None:
    for index, name in enumerate((ONE, TWO, THREE)):
        change = {"old": [], "new": [OURS]}
        assert thrice(modules.aaaa.published, f"ipv6:dns:{index}")["changes"] == {name: change}
    assert [records(each) for each in (ONE, TWO, THREE)] == [[f"3600 {OURS}"], [f"3600 {OURS}"], [f"60 {OURS}"]]
    assert thrice(modules.aaaa.withdrawn, "ipv6:dns:1")["changes"] == {TWO: {"old": [OURS], "new": []}}
    assert [records(each) for each in (ONE, TWO, THREE)] == [[f"3600 {OURS}"], [], [f"60 {OURS}"]]
    done = modules.aaaa.withdrawn("The names", pillar="ipv6:dns:2")
    assert done["comment"].startswith("ipv6:dns[2]:provider: command cannot remove a record; remove")


def test_a_zone_that_is_refused_is_no_matter_of_the_others(modules: Any, entries: Any) -> None:
    entries[0]["rfc2136"] = {**RFC2136, "key": servers.WRONG}
    done = modules.aaaa.published("The names", pillar="ipv6:dns:0")
    assert (done["result"], done["changes"]) == (False, {})
    assert thrice(modules.aaaa.published, "ipv6:dns:1")["changes"] == {TWO: {"old": [], "new": [OURS]}}
    assert records(ONE) == []


def test_the_entry_is_named(modules: Any, entries: Any, test: bool) -> None:
    done = modules.aaaa.published("The names", pillar="ipv6:dns", test=test)
    assert done["comment"].startswith("pillar: ipv6:dns is a list in the pillar; expected the key of one entry: ")
    entries[1]["rfc2136"] = {**RFC2136, "zone": "example.org"}
    done = modules.aaaa.published("The names", pillar="ipv6:dns:1", test=test)
    assert done["comment"].startswith(f"ipv6:dns[1]:rfc2136:zone: {TWO} is not in the zone example.org")


def test_with_a_real_minion(tmp_path: Path, entries: Any) -> None:
    put(ONE, FOREIGN)
    sls = {"zones.sls": {f"Entry {index}": {"aaaa.published": [{"pillar": f"ipv6:dns:{index}"}]} for index in (0, 1)}}
    done = minion.call(tmp_path, {"ipv6": {"dns": entries}}, sls, "state.apply", "zones")
    found = [each["changes"] for each in json.loads(done.stdout)["local"].values()]
    assert found == [{ONE: {"old": [FOREIGN], "new": [OURS, FOREIGN]}}, {TWO: {"old": [], "new": [OURS]}}], done
    assert servers.KEYS["host1"] not in done.stdout + done.stderr
