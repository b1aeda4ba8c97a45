"""A user's own command: here a script around nsupdate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import servers
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, OLD, FOREIGN = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::9"

SCRIPT = """\
#!/bin/sh
echo "$*" >>"$(dirname "$0")/calls"
case $1 in
  add) change="update add $2 $4 AAAA $3" ;;
  remove) change="update delete $2 AAAA $3" ;;
  replace) change="update delete $2 AAAA
update add $2 $4 AAAA $3" ;;
esac
printf 'server %s\\nzone example.org\\n%s\\nsend\\n' 127.0.0.1 "$change" |
  nsupdate -v -k "$(dirname "$0")/key"
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, pillar: dict[str, Any]) -> Path:
    """The script, with its credential in a file beside it."""
    path = tmp_path / "dns command"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    (tmp_path / "key").write_text(f'key host1 {{ algorithm hmac-sha256; secret "{servers.KEYS["host1"]}"; }};')
    pillar["command"] = {"publish": [str(path), "add"], "withdraw": f"'{path}' remove"}
    return path


def calls(script: Path) -> list[str]:
    found = script.with_name("calls")
    return found.read_text().splitlines() if found.exists() else []


def test_published_replaced_and_withdrawn(published: Any, withdrawn: Any, script: Path) -> None:
    put(WWW, FOREIGN, ttl=300)
    given = {"by": "command", "ttl": 300}
    assert published(WWW, address=OLD, **given).changes == {WWW: {"old": [FOREIGN], "new": [OLD, FOREIGN]}}
    assert published(WWW, address=OURS, **given).changes == {WWW: {"old": [OLD, FOREIGN], "new": [OURS, FOREIGN]}}
    assert withdrawn(WWW, by="command").changes == {WWW: {"old": [OURS, FOREIGN], "new": [FOREIGN]}}
    assert calls(script) == [
        f"add {WWW} {OLD} 300",
        f"add {WWW} {OURS} 300",
        f"remove {WWW} {OLD}",
        f"remove {WWW} {OURS}",
    ]


def test_the_ttl(published: Any) -> None:
    put(WWW, OURS, ttl=60)
    published(WWW, address=OURS, by="command", ttl=300)
    assert records(WWW) == [f"300 {OURS}"]


def test_one_that_replaces(published: Any, states: Any, pillar: Any, script: Path) -> None:
    pillar["command"] = {"publish": [str(script), "replace"]}
    put(WWW, FOREIGN)
    assert published(WWW, address=OURS, by="command").changes == {WWW: {"old": [FOREIGN], "new": [OURS]}}
    done = states.aaaa.withdrawn(WWW, by="command")
    assert (done.result, done.changes) == (False, {})
    assert done.comment.startswith(f"provider: command cannot remove a record; remove {OURS} (TTL 3600 s) of {WWW}")
    # Where there was none before, what was published cannot be put back either.
    done = states.aaaa.published("names", records=[MAIL, "forbidden.example.org"], address=OURS, by="command")
    assert done.result is False
    assert "It could not be put back: " in done.comment
    assert f"{OURS} of {MAIL} cannot be removed: there is no command 'withdraw'" in done.comment


def test_one_that_fails(states: Any, script: Path) -> None:
    names = [WWW, "forbidden.example.org"]
    done = states.aaaa.published("names", records=names, address=OURS, by="command")
    assert (done.result, done.changes) == (False, {})
    wanted = f"publish: '{script} ... forbidden.example.org {OURS} 3600' ended with 2 and said: update failed: REFUSED"
    assert done.comment == f"{wanted}\nEverything was put back as it was."
    assert records(WWW) == []
    assert calls(script)[-1] == f"remove {WWW} {OURS}"


def test_a_server_that_shows_another_record_or_none_by_now_stops_the_change(
    publishing: Any, secondary: Any, pillar: Any, script: Path
) -> None:
    """One that still shows the old one proves nothing, and one that is silent even less."""
    name = "www.two.example"
    change = publishing(name, address=OURS, provider="command")
    cases: list[tuple[Callable[[], None], str]] = [
        (lambda: put(name, FOREIGN), f"{name} .* has been changed by somebody else meanwhile"),
        (lambda: servers.stop(secondary), f"{name} was not changed, since .* does not answer again"),
    ]
    for meanwhile, said in cases:
        plan = change.plan()
        meanwhile()
        with pytest.raises(Exception, match=said):
            change.apply(plan)
        put(name)
        assert calls(script) == []


def test_what_somebody_else_publishes_meanwhile_is_not_overwritten(states: Any, pillar: Any, script: Path) -> None:
    """While the first name is changed, somebody changes the second; a command cannot compare by itself."""
    other = script.with_name("other")
    other.write_text(f'#!/bin/sh\n[ "$3" != {WWW} ] || "$1" add {MAIL} {FOREIGN} 3600\nexec "$@"\n')
    other.chmod(0o755)
    pillar["command"]["publish"] = [str(other), str(script), "add"]
    put(WWW, FOREIGN)
    done = states.aaaa.published("names", records=[WWW, MAIL], address=OURS, by="command")
    assert (done.result, done.changes) == (False, {})
    assert done.comment.splitlines() == [
        f"{MAIL} ({FOREIGN} (TTL 3600 s)) has been changed by somebody else meanwhile: that was left as it is",
        "Everything else was put back as it was.",
    ]
    assert (records(WWW), records(MAIL)) == ([f"3600 {FOREIGN}"], [f"3600 {FOREIGN}"])


@pytest.mark.parametrize(
    ("publish", "words"),
    [
        (["/nonexistent"], "publish: '/nonexistent' cannot be run: No such file or directory"),
        (["/etc/passwd"], "publish: '/etc/passwd' cannot be run: Permission denied"),
        ([sys.executable, "-c", "import time; time.sleep(9)"], "took more than 1 s and was killed"),
        (["/bin/true"], "has no AAAA record for www.example.org"),
        ("nsupdate", "command:publish: it is not a command such as /usr/local/sbin/publish"),
    ],
)
def test_one_that_cannot_work(states: Any, pillar: Any, publish: Any, words: str) -> None:
    pillar["command"].update(publish=publish, timeout=1)
    done = states.aaaa.published(WWW, address=OURS, by="command", deadline=1)
    assert (done.result, done.changes) == (False, {})
    assert words in done.comment
