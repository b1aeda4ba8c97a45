"""A user's own network stack, in a module directory of theirs, works like ifupdown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

from ..lab.network import MAIN, MAIN_TEXT, NAME, OWN_FILE, PUBLISHED, STACKS, TUNNEL, ip, reaches, run, world

UNITS = ("systemd-networkd.service or NetworkManager", "systemd-networkd", "NetworkManager")
TOY_FILE = Path("/etc/toy") / NAME
TOYUP = """\
#!/bin/sh -e
case "$1" in --version) echo 'toy 1.0'; exit;; esac
. "/etc/toy/$1"
ip tunnel add "$1" mode sit remote "$endpoint" local "$local" ttl "$ttl"
ip link set dev "$1" up mtu "$mtu"
for each in $address $addresses; do
  case "$each" in "$source"/*) lifetime=forever;; *) lifetime=0;; esac
  ip -6 addr add "$each" dev "$1" preferred_lft "$lifetime" nodad
done
ip -6 route add default via "$gateway" metric "$metric" dev "$1" onlink
echo "$1" >>/run/toy
"""
TOYDOWN = """\
#!/bin/sh
ip link del dev "$1"
echo "$1 down" >>/run/toy
"""


@pytest.fixture
def toy(shadows: Path) -> Iterator[Path]:
    """The toy's programs are installed; the file is what they have written down."""
    for name, text in (("toyup", TOYUP), ("toydown", TOYDOWN)):
        (shadows / name).write_text(text)
        (shadows / name).chmod(0o755)
    record = Path("/run/toy")
    yield record
    record.unlink(missing_ok=True)
    shutil.rmtree(TOY_FILE.parent, ignore_errors=True)


@pytest.fixture
def no_ifup() -> Iterator[None]:
    """The host has no ifup(8)."""
    run("mount", "--bind", "/dev/null", "/sbin/ifup")
    yield
    run("umount", "/sbin/ifup")


@pytest.fixture(params=[True, False], ids=["auto", "named"])
def chosen(request: pytest.FixtureRequest, toy: Path) -> Iterator[dict[str, Any]]:
    """The arguments by which the toy is chosen: by its name beside ifupdown, or none where it is alone."""
    if not request.param:
        yield {"stack": "toy"}
        return
    request.getfixturevalue("no_ifup")
    yield {}


def test_a_tunnel_of_another_stack(states: Any, modules: Any, chosen: dict[str, Any], toy: Path) -> None:
    predicted = states.he_tunnel.present(**TUNNEL, **chosen, test=True)
    assert (predicted.result, TOY_FILE.exists()) == (None, False)
    done = states.he_tunnel.present(**TUNNEL, **chosen)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert done.changes["files"][str(TOY_FILE)]["old"] == "absent"
    assert toy.read_text() == f"{NAME}\n"
    assert (OWN_FILE.exists(), MAIN.read_text()) == (False, MAIN_TEXT)
    assert reaches("client6", PUBLISHED)
    again = states.he_tunnel.present(**TUNNEL, **chosen)
    assert (again.result, again.changes) == (True, {})
    status = modules.he_tunnel.status(**chosen)
    assert (status["stack"], status["files"], status["in_sync"]) == ("toy", [str(TOY_FILE)], True)
    assert states.he_tunnel.live(NAME, **chosen).result is True
    gone = states.he_tunnel.absent(NAME, **chosen)
    assert gone.result is True, gone.comment
    assert toy.read_text() == f"{NAME}\n{NAME} down\n"
    assert (TOY_FILE.exists(), ip("link", "show", "dev", NAME)) == (False, [])


def test_drift_is_repaired_in_its_file_and_live(states: Any, chosen: dict[str, Any]) -> None:
    assert states.he_tunnel.present(**TUNNEL, **chosen).result is True
    run("sed", "-i", "s/ttl=255/ttl=64/", str(TOY_FILE))
    run("ip", "link", "set", NAME, "mtu", "1400")
    done = states.he_tunnel.present(**TUNNEL, **chosen)
    assert done.result is True, done.comment
    assert done.changes == {
        "files": {str(TOY_FILE): {"old": "ttl=64", "new": "ttl=255"}},
        "link": {"mtu": {"old": 1400, "new": 1480}},
    }


def test_of_two_stacks_the_one_that_has_the_tunnel_is_meant(states: Any, modules: Any, toy: Path) -> None:
    before = world()
    refused = states.he_tunnel.present(**TUNNEL)
    assert (refused.result, refused.changes, world()) == (False, {}, before)
    assert refused.comment == "stack: ifupdown and toy could configure this host; expected the name of one of them"
    assert states.he_tunnel.absent(NAME).comment == f"{NAME} is as declared"
    assert states.he_tunnel.present(**TUNNEL, stack="toy").result is True
    assert modules.he_tunnel.status()["stack"] == "toy"
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    assert states.he_tunnel.routed(NAME).result is True
    assert states.he_tunnel.absent(NAME).result is True
    assert states.he_tunnel.present(**TUNNEL, stack="ifupdown").result is True
    assert modules.he_tunnel.status()["stack"] == "ifupdown"
    TOY_FILE.write_text(modules.he_tunnel.render(**TUNNEL, stack="toy")[str(TOY_FILE)])
    with pytest.raises(CommandExecutionError, match=f"stack: ifupdown and toy have {NAME} in their files"):
        modules.he_tunnel.status()


def test_a_stack_that_this_host_has_not_is_refused(states: Any, test: bool) -> None:
    before = world()
    done = states.he_tunnel.present(**TUNNEL, stack="toy", test=test)
    assert (done.result, done.changes, world()) == (False, {}, before)
    assert done.comment == f"this host has no toyup; supported network stacks: {STACKS}"


def test_a_program_of_that_name_that_is_anothers_is_refused(states: Any, toy: Path, shadows: Path) -> None:
    (shadows / "toyup").write_text("#!/bin/sh\necho work 2.0\n")
    done = states.he_tunnel.present(**TUNNEL, stack="toy", test=True)
    assert done.comment.startswith("the toyup of this host is earnest, which is no toy; ")
    assert states.he_tunnel.present(**TUNNEL, test=True).changes["files"].keys() == {str(OWN_FILE)}


def test_where_there_is_none_all_are_reported(states: Any, no_ifup: None) -> None:
    runs = [f"{unit}.service does not run on this host" for unit in UNITS]
    said = f"this host has no ifup; {'; '.join(runs)}; this host has no toyup; supported network stacks: {STACKS}"
    assert states.he_tunnel.present(**TUNNEL, test=True).comment == said


def test_its_files_can_be_rendered(modules: Any, states: Any, toy: Path) -> None:
    rendered = modules.he_tunnel.render(**TUNNEL, stack="toy")
    assert states.he_tunnel.present(**TUNNEL, stack="toy").result is True
    assert rendered == {str(TOY_FILE): TOY_FILE.read_text()}


def test_it_is_among_those_that_are_expected(modules: Any) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        modules.he_tunnel.render(**TUNNEL, stack="tyo")
    said = f"stack: 'tyo' is not a network stack that is supported; expected one of auto, {STACKS}"
    assert str(raised.value) == said
