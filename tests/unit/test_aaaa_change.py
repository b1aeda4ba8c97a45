"""What a provider does for any caller: only what the pillar has, with names and addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aaaa_command
import aaaa_he
import aaaa_lexicon
import aaaa_rfc2136
import pytest
from salt.exceptions import SaltException, SaltInvocationError

PROVIDERS = {"command": aaaa_command, "he": aaaa_he, "lexicon": aaaa_lexicon, "rfc2136": aaaa_rfc2136}
NAME, ADDRESS = "www.example.org", "2001:db8::1"
NOTHING: Any = {"addresses": [], "ttl": None}


def edits(name: Any = NAME, address: Any = ADDRESS, ttl: Any = 60) -> dict[Any, Any]:
    """The record is to be published."""
    return {name: {"old": NOTHING, "new": {"addresses": [address], "ttl": ttl}}}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each call of the pillar's command; `made_up` is what a caller would like to be run."""
    found = tmp_path / "calls"
    for name in ("publish", "made_up"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{found}\n')
        (tmp_path / name).chmod(0o755)
    command = {"publish": str(tmp_path / "publish")}
    parts = {"dns": {"command": command}, "other": {**command, "key": "x"}, "text": str(tmp_path / "publish")}
    monkeypatch.setattr(aaaa_command, "__pillar__", {"ipv6": parts}, raising=False)
    return found


def test_the_pillars_command_is_run(calls: Path) -> None:
    aaaa_command.change("ipv6:dns:command", edits())
    assert calls.read_text() == f"publish {NAME} {ADDRESS} 60\n"


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("form", ["one", "list"])
def test_no_command_that_is_made_up_is_run(calls: Path, form: str, as_text: bool) -> None:
    made_up = str(calls.with_name("made_up"))
    settings: Any = {"publish": made_up if form == "one" else [made_up]}
    settings["withdraw"] = settings["publish"]
    aaaa_command.about(settings)
    assert aaaa_command.errors(settings, [NAME]) == []
    given = json.dumps(settings) if as_text else settings
    with pytest.raises(SaltInvocationError):
        aaaa_command.change(given, edits())
    assert not calls.exists()


@pytest.mark.parametrize(
    "key", ["", "ipv6", "ipv6:dns", "ipv6:dns:command:publish", "ipv6:other", "ipv6:text", None, 5]
)
def test_no_other_part_of_the_pillar_is_taken_for_settings(calls: Path, key: Any) -> None:
    with pytest.raises(SaltInvocationError):
        aaaa_command.change(key, edits())
    assert not calls.exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (edits(name="--option"), "edits: '--option' is not a host name"),
        (edits(name="WWW.example.org"), "edits: 'WWW.example.org' is not a host name"),
        (edits(name="$(id).example.org"), "edits: '$(id).example.org' is not a host name"),
        (edits(name=5), "edits: 5 is not a host name"),
        (edits(address="-x"), f"edits:{NAME}:new: expected addresses, a list of IPv6 addresses, and their ttl in s"),
        (edits(address="2001:DB8::1"), f"edits:{NAME}:new: expected addresses"),
        (edits(address=1), f"edits:{NAME}:new: expected addresses"),
        (edits(ttl="-1"), f"edits:{NAME}:new: expected addresses"),
        (edits(ttl=True), f"edits:{NAME}:new: expected addresses"),
        (edits(ttl=None), f"edits:{NAME}:new: expected addresses"),
        ({NAME: {"new": NOTHING}}, f"edits:{NAME}:old: expected addresses"),
        ({NAME: None}, f"edits:{NAME}:old: expected addresses"),
        ([NAME], "edits: expected a mapping of host names, found a list"),
        ("{}", "edits: expected a mapping of host names, found a str"),
        (None, "edits: expected a mapping of host names, found nothing"),
    ],
)
def test_edits_that_are_none(calls: Path, wrong: Any, words: str) -> None:
    with pytest.raises(SaltInvocationError) as error:
        aaaa_command.change("ipv6:dns:command", wrong)
    assert str(error.value).startswith(words)
    assert not calls.exists()


def test_what_others_have_published_is_no_matter(calls: Path) -> None:
    """Of whatever kind their addresses are, and whatever the TTL was."""
    old: Any = {"addresses": ["::1", "fe80::1"], "ttl": 0}
    aaaa_command.change("ipv6:dns:command", {NAME: {"old": old, "new": {"addresses": ["::1", ADDRESS], "ttl": 0}}})
    assert calls.read_text() == f"publish {NAME} {ADDRESS} 0\n"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_settings_that_are_given_are_neither_used_nor_shown(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = PROVIDERS[provider]
    monkeypatch.setattr(module, "__pillar__", {"ipv6": {"dns": {}}}, raising=False)
    secret = "c2VjcmV0"
    for given in (dict.fromkeys(module.about({})["keys"], secret), f"ipv6:dns:{provider}"):
        with pytest.raises(SaltInvocationError) as error:
            module.change(given, edits())
        assert secret not in str(error.value)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_settings_that_are_wrong_are_not_used(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = PROVIDERS[provider]
    monkeypatch.setattr(module, "__pillar__", {"ipv6": {"dns": {provider: {"tokn": "c2VjcmV0"}}}}, raising=False)
    with pytest.raises(SaltException) as error:
        module.change(f"ipv6:dns:{provider}", edits())
    lines = str(error.value).split("\n")
    assert lines[0].startswith(f"ipv6:dns:{provider}:tokn: unknown key; ")
    assert len(lines) == 1 + len(module.about({})["required"])
    assert "c2VjcmV0" not in str(error.value)
