"""The states and the door, with the pillar's key instead of arguments; and what nobody gets done without the pillar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from . import minion, servers
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, OLD, FOREIGN = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::9"
MEMORY = Path("/var/lib/dualstack_aaaa/published.json")
RFC2136 = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}


def thrice(function: Any, **arguments: Any) -> Any:
    """With test=True, for real, and once more; what the second of these returned."""
    told = function("The names", pillar="ipv6:dns", test=True, **arguments)
    done = function("The names", pillar="ipv6:dns", **arguments)
    assert told["changes"] == done["changes"], (told, done)
    assert told["result"] is (None if done["changes"] else True), told["comment"]
    assert done["result"] is True, done["comment"]
    again = function("The names", pillar="ipv6:dns", **arguments)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]
    return done


def test_published_and_withdrawn(modules: Any, pillar: dict[str, Any]) -> None:
    pillar.update(provider="rfc2136", names=[WWW, "MAIL.example.org"], address=OURS, ttl=60)
    put(MAIL, FOREIGN)
    done = thrice(modules.aaaa.published)
    assert done["name"] == "The names"
    ttl = {"old": 3600, "new": 60}
    assert done["changes"] == {
        WWW: {"old": [], "new": [OURS]},
        MAIL: {"old": [FOREIGN], "new": [OURS, FOREIGN], "ttl": ttl},
    }
    assert records(WWW) == [f"60 {OURS}"]
    pillar.update(ttl="1h")  # no matter here
    assert thrice(modules.aaaa.withdrawn)["changes"] == {
        WWW: {"old": [OURS], "new": []},
        MAIL: {"old": [OURS, FOREIGN], "new": [FOREIGN]},
    }
    assert thrice(modules.aaaa.withdrawn, exclusive=True)["changes"] == {MAIL: {"old": [FOREIGN], "new": []}}
    assert records(WWW) == records(MAIL) == []


def test_the_address_is_the_tunnels(loaders: Any, modules: Any, pillar: dict[str, Any]) -> None:
    pillar.update(provider="rfc2136", names=[WWW])
    loaders.modules.pack["__pillar__"]["ipv6"]["tunnel"] = {"address": f"{OLD}/64", "addresses": [f"{OURS}/64"]}
    assert thrice(modules.aaaa.published)["changes"] == {WWW: {"old": [], "new": [OURS]}}
    MEMORY.unlink()
    assert thrice(modules.aaaa.withdrawn)["changes"] == {WWW: {"old": [OURS], "new": []}}


def test_what_was_right_already_is_this_hosts_from_then_on(modules: Any, pillar: dict[str, Any]) -> None:
    pillar.update(provider="rfc2136", names=[WWW, MAIL], address=OURS)
    put(WWW, OURS)
    assert modules.aaaa.published("names", pillar="ipv6:dns", test=True)["result"] is None
    assert modules.aaaa.published(WWW, records=[WWW], pillar="ipv6:dns", test=True)["result"] is True
    assert not MEMORY.exists()
    thrice(modules.aaaa.published)
    assert json.loads(MEMORY.read_text()) == {WWW: [OURS], MAIL: [OURS]}


def test_what_cannot_be_remembered_is_an_error(modules: Any, pillar: dict[str, Any]) -> None:
    pillar.update(provider="rfc2136", names=[WWW], address=OURS)
    put(WWW, OURS)
    MEMORY.mkdir(parents=True)
    done = modules.aaaa.published("names", pillar="ipv6:dns")
    assert (done["result"], "Is a directory" in done["comment"]) == (False, True), done


def test_errors_begin_with_the_place_in_the_pillar(modules: Any, pillar: dict[str, Any], test: bool) -> None:
    def said(function: Any, **changed: Any) -> Any:
        pillar.update(provider="rfc2136", names=[WWW], address=OURS)
        pillar.update(changed)
        done = function("names", pillar="ipv6:dns", test=test)
        assert (done["result"], done["changes"]) == (False, {})
        return done["comment"]

    published, withdrawn = modules.aaaa.published, modules.aaaa.withdrawn
    assert said(published, address=None) == "ipv6:dns:address: missing; expected an IPv6 address"
    assert said(published, names=WWW).startswith("ipv6:dns:names: expected a list of host names")
    put(WWW, OURS)
    he = {"provider": "he", "he": {"keys": {WWW: "x"}}}
    assert said(withdrawn, **he).startswith("ipv6:dns:provider: he cannot remove a record")
    Path("/etc/resolv.conf").write_text("")
    assert said(withdrawn, **he).startswith("ipv6:dns:servers: this host's resolver does not find")


def test_with_a_real_minion(tmp_path: Path) -> None:
    dns = {"provider": "rfc2136", "names": [WWW], "ttl": 60, "rfc2136": RFC2136}
    pillar = {"ipv6": {"tunnel": {"address": f"{OURS}/64"}, "dns": dns}}
    files = {
        f"{each}.sls": {f"The names are {each}": {f"aaaa.{each}": [{"pillar": "ipv6:dns"}]}}
        for each in ("published", "withdrawn")
    }
    for sls, changes in (("published", {"old": [], "new": [OURS]}), ("withdrawn", {"old": [OURS], "new": []})):
        done = minion.call(tmp_path, pillar, files, "state.apply", sls)
        (result,) = json.loads(done.stdout)["local"].values()
        assert (result["result"], result["changes"]) == (True, {WWW: changes}), done
        assert servers.KEYS["host1"] not in done.stdout + done.stderr


KEY = "expected a key of the pillar, such as ipv6:"
PUBLISHED = ["aaaa.published", WWW, "by=command", "address=2001:db8::1", f"servers=[{servers.PRIMARY}]"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["aaaa_command.change", "SETTINGS", "EDITS"], KEY),
        (["aaaa_command.change", "ipv6:dns:command", "EDITS"], "ipv6:dns:command: expected a mapping in the pillar"),
        (["aaaa_command.change", "ipv6:dns:command", "EDITS", "pillar=PILLAR"], "arguments are not valid: pillar="),
        ([*PUBLISHED, "pillar=PILLAR"], f"pillar: {KEY}"),
        ([*PUBLISHED, "credentials=SETTINGS"], f"credentials: {KEY}"),
    ],
)
def test_no_command_that_a_caller_makes_up_is_run(tmp_path: Path, words: list[str], said: str) -> None:
    """By those who may not run commands, but may call functions of this host."""
    settings = {"publish": f"/usr/bin/touch {tmp_path}/made_up"}
    made_up = {
        "SETTINGS": json.dumps(settings),
        "EDITS": json.dumps({WWW: {"old": {"addresses": []}, "new": {"addresses": ["2001:db8::1"], "ttl": 1}}}),
        "PILLAR": json.dumps({"ipv6": {"dns": {"command": settings}}}),
    }
    for key, value in made_up.items():
        words = [each.replace(key, value) for each in words]
    done = minion.call(tmp_path, {"ipv6": {"dns": {}}}, {}, *words, disable_modules=["cmdmod", "file"])
    assert said in done.stdout + done.stderr, done
    assert not list(tmp_path.glob("made_up*"))
