"""The CLI examples that need no tunnel; the others are tried at the end of the mission (tests/lab)."""

from __future__ import annotations

from typing import Any

import pytest
import salt.config
import salt.loader

from ..cli_examples import REPOSITORY, called, examples, plugins

# Where each provider has its settings.
DNS = {
    "command": {"publish": "/usr/local/sbin/publish"},
    "he": {"keys": {"www.example.org": "s3cret"}},
    "lexicon": {"provider": "gandi", "zone": "example.org", "options": {"auth_token": "s3cret"}},
    "rfc2136": {"server": "192.0.2.53", "zone": "example.org", "key_name": "server", "key": "bm90IGEgc2VjcmV0"},
}


@pytest.mark.parametrize("words", plugins(), ids=" ".join)
def test_an_example_of_a_plug_in_works(loaders: Any, words: list[str]) -> None:
    loaders.modules.pack["__pillar__"]["ipv6"] = {"dns": DNS}
    answer = called(loaders.modules, words)
    # A provider that has nothing to change says nothing.
    assert (answer is None) == words[0].endswith(".change")


def test_an_example_of_the_runner_works(loaders: Any) -> None:
    master = {**salt.config.master_config(None), **{key: loaders.opts[key] for key in ("cachedir", "sock_dir")}}
    master.update(runner_dirs=[str(REPOSITORY / "_runners")], file_client="local")
    runners = salt.loader.runner(master)
    connect, answer = (called(runners, words) for words in examples(REPOSITORY / "_runners" / "outside_view.py"))
    assert connect["token"] == ""  # who is no minion has no address
    assert "does not say that 2001:db8::1 belongs to it" in connect["answers"][0]["comment"]
    assert answer == {"error": "token: the master has no such request of this minion"}
