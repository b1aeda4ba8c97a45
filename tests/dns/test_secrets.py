"""No secret of the pillar is ever shown: not in changes, comments and logs, nor to other users of this host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ..sampler import sampled
from . import dyndns, minion, servers
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, OLD = "2001:db8:1::77", "2001:db8:1::66"
TOKEN = f"hmac-sha256:host1:{servers.KEYS['host1']}"
KEY = "a key/of+he's 2011"
SECRETS = (servers.KEYS["host1"], servers.WRONG, TOKEN, KEY, "S3cretArgument")

# Salt itself logs pillars in plain files, as it renders them.
SALTS_OWN = ("salt.template", "salt.pillar", "salt.fileclient", "salt.loader", "salt.utils", "salt.minion")

RFC2136 = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}
LEXICON: dict[str, Any] = {
    "provider": "ddns",
    "zone": "example.org",
    "options": {"auth_token": TOKEN, "ddns_server": servers.PRIMARY},
}


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """What anybody but Salt has logged, and what Salt's states have."""
    return "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith(SALTS_OWN))


def is_shown(text: str) -> list[str]:
    """The secrets in a text, or the larger part of one."""
    return [each for each in SECRETS if each[:12] in text or each[-12:] in text]


@pytest.mark.parametrize(
    ("by", "settings", "result"),
    [
        ("rfc2136", RFC2136, True),
        ("rfc2136", {**RFC2136, "key": servers.WRONG}, False),
        ("rfc2136", {**RFC2136, "key": f"{servers.WRONG}*"}, False),
        ("rfc2136", {**RFC2136, "key_name": TOKEN}, False),
        ("lexicon", LEXICON, True),
        ("lexicon", {**LEXICON, "options": {**LEXICON["options"], "ddns_server": "127.0.0.9"}}, False),
        ("lexicon", {**LEXICON, "options": {"auth_token": TOKEN.replace("=", ""), "ddns_server": "127.0.0.1"}}, False),
        ("lexicon", {**LEXICON, "provider": "dreamhost"}, False),
        ("lexicon", {**LEXICON, "options": [TOKEN]}, False),
    ],
)
def test_no_credential_is_shown(
    states: Any, pillar: Any, caplog: pytest.LogCaptureFixture, by: str, settings: Any, result: bool
) -> None:
    pillar[by] = settings
    with caplog.at_level(1), sampled(*SECRETS) as seen:
        done = states.aaaa.published(WWW, address=OURS, by=by, deadline=2)
    assert done.result is result, done.comment
    assert not is_shown(f"{done.raw} {logged(caplog)}") + seen["found"]


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, "badauth"),
        (200, {}, f"unknown {KEY}"),
        (200, {}, f"{'x' * 70} {KEY}"),
        (200, {}, f"{'x' * 5000}{KEY}"),
        (200, {}, "a%20key%2Fof%2Bhe%27s%202011 a+key%2Fof%2Bhe%27s+2011"),
        (500, {}, KEY),
    ],
)
def test_no_key_of_a_record_is_shown(
    states: Any, pillar: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path, answer: Any
) -> None:
    dyndns.certificates(tmp_path)
    server = dyndns.start(tmp_path, {WWW: KEY})
    server.answer = answer
    pillar["he"] = {"keys": {WWW: KEY}, "url": server.url, "ca": str(tmp_path / "ca.pem"), "timeout": 5}
    put(WWW, OLD, ttl=300)
    try:
        with caplog.at_level(1), sampled(*SECRETS) as seen:
            done = states.aaaa.published(WWW, address=OURS, by="he", ttl=300, deadline=1)
    finally:
        server.shutdown()
        server.server_close()
    assert (done.result, len(server.requests)) == (False, 1), done.comment
    said = f"{done.raw} {logged(caplog)}"
    assert not is_shown(said) + seen["found"]
    assert not any(each in said for each in ("of%2Bhe", "of+he"))


@pytest.mark.parametrize(
    "script",
    ["import sys; sys.exit(str(sys.argv))", "import sys, time; print(sys.argv, flush=True); time.sleep(9)"],
)
def test_no_argument_of_a_command_is_repeated(
    states: Any, pillar: Any, caplog: pytest.LogCaptureFixture, script: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(script)
    publish = [sys.executable, str(program), "--token=S3cretArgument", "S3cretArgument"]
    pillar["command"] = {"publish": publish, "timeout": 1}
    with caplog.at_level(1):
        done = states.aaaa.published(WWW, address=OURS, by="command", deadline=1)
    assert (done.result, done.changes) == (False, {})
    assert f"{sys.executable} ... {WWW} {OURS}" in done.comment
    assert not is_shown(f"{done.raw} {logged(caplog)}")


def test_no_credential_is_in_the_trace_of_a_real_minion(tmp_path: Path) -> None:
    """Salt itself logs a pillar in plain files; here it has the pillar from elsewhere, as from a vault."""
    (tmp_path / "ext" / "pillar").mkdir(parents=True)
    text = f"def ext_pillar(minion_id, pillar, *args):\n    return {({'ipv6': {'dns': {'rfc2136': RFC2136}}})!r}\n"
    (tmp_path / "ext" / "pillar" / "vault.py").write_text(text)
    pillars = {"ext_pillar": [{"vault": ""}], "extension_modules": str(tmp_path / "ext")}
    words = ("-l", "trace", "state.single", "aaaa.published", WWW, f"address={OURS}", "by=rfc2136")
    with sampled(*SECRETS) as seen:
        done = minion.call(tmp_path, {}, {}, *words, "credentials=ipv6:dns:rfc2136", **pillars)
    assert records(WWW) == [f"3600 {OURS}"], done
    assert "[TRACE" in done.stderr
    assert not is_shown(done.stdout + done.stderr) + seen["found"]
