"""The PTR record of the published address, in a reverse zone of real BIND."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_change as dns_change
import _dualstack_dns_ptr_change as dns_ptr_change
import _dualstack_dns_ptr_wish as dns_ptr_wish
import _dualstack_plugins as plugins
import pytest

from ..faults import ground
from . import minion, reverse, servers

MAIL, WWW, FOREIGN = "mail.example.org", "www.example.org", "somebody.example.net"
OURS, OLD, OTHER = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::77"
OWNER = reverse.name(OURS)
MEMORY = Path("/var/lib/dualstack_aaaa/pointers.json")
KEY = "ipv6:dns:ptr"

SCRIPT = """\
#!/bin/sh
echo "$*" >>"$(dirname "$0")/calls"
[ ! -e "$(dirname "$0")/broken" ] || { echo broken; exit 3; }
owner=$(python3 -c 'import ipaddress, sys; print(ipaddress.ip_address(sys.argv[1]).reverse_pointer)' "$2")
case $1 in
  add) change="update add $owner $4 PTR $3." ;;
  remove) change="update delete $owner PTR $3." ;;
esac
printf 'server %s\\nzone ZONE\\n%s\\nsend\\n' 127.0.0.1 "$change" | nsupdate -v -k "$(dirname "$0")/key"
"""


@pytest.fixture(autouse=True)
def primary(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The primary of the reverse zone, too, in the place of the usual one."""
    Path("/etc/resolv.conf").write_text(f"nameserver {servers.PRIMARY}\n")
    process = reverse.start(tmp_path / "primary")
    yield process
    servers.stop(process)


@pytest.fixture
def ptr(pillar: dict[str, Any]) -> dict[str, Any]:
    """The part `ptr` of a pillar that is right."""
    pillar.update(provider="rfc2136", names=[MAIL, WWW], address=OURS, ptr={"zone": reverse.ZONE})
    found: dict[str, Any] = pillar["ptr"]
    return found


@pytest.fixture
def published(modules: Any, ptr: Any) -> Callable[..., Any]:
    """Publish as the pillar has it: with test=True, for real, and once more; what the second of these returned."""
    return lambda **arguments: thrice(modules.aaaa.ptr_published, **arguments)


@pytest.fixture
def withdrawn(modules: Any, ptr: Any) -> Callable[..., Any]:
    """The same for withdrawing."""
    return lambda **arguments: thrice(modules.aaaa.ptr_withdrawn, **arguments)


def thrice(function: Any, **arguments: Any) -> Any:
    """With test=True, for real, and once more; what the second of these returned."""
    arguments = {"pillar": KEY, **arguments}
    told = function("The PTR record", test=True, **arguments)
    done = function("The PTR record", **arguments)
    assert told["changes"] == done["changes"], (told, done)
    assert told["result"] is (None if done["changes"] else True), told["comment"]
    assert done["result"] is True, done["comment"]
    again = function("The PTR record", **arguments)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]
    return done


def refused(function: Any, **arguments: Any) -> str:
    """With and without test=True nothing is changed; what it says."""
    arguments = {"pillar": KEY, **arguments}
    before = reverse.records(OURS)
    for test in (True, False):
        done = function("The PTR record", test=test, **arguments)
        assert (done["result"], done["changes"]) == (False, {}), done
    assert reverse.records(OURS) == before
    return str(done["comment"])


# --------------------------------------------------------------------------------------------------------------
# Publishing


def test_published_and_withdrawn(published: Any, withdrawn: Any, ptr: Any) -> None:
    done = published()
    assert done["changes"] == {OWNER: {"old": [], "new": [MAIL]}}
    assert done["comment"] == f"The PTR record was changed: {OWNER}"
    assert reverse.records(OURS) == [f"3600 {MAIL}."]
    assert json.loads(MEMORY.read_text()) == {OWNER: [MAIL]}
    assert MEMORY.stat().st_mode & 0o777 == 0o600
    assert withdrawn()["changes"] == {OWNER: {"old": [MAIL], "new": []}}
    assert reverse.records(OURS) == []
    assert not MEMORY.exists()


def test_by_arguments(modules: Any, ptr: Any) -> None:
    given = {"address": OURS, "credentials": "ipv6:dns:ptr:rfc2136", "pillar": None}
    assert thrice(modules.aaaa.ptr_published, host=WWW, **given)["changes"] == {OWNER: {"old": [], "new": [WWW]}}
    assert thrice(modules.aaaa.ptr_withdrawn, host=WWW, **given)["changes"] == {OWNER: {"old": [WWW], "new": []}}
    del given["credentials"]
    done = modules.aaaa.ptr_published(MAIL, address=OURS)
    assert (done["result"], done["changes"]) == (True, {OWNER: {"old": [], "new": [MAIL]}}), done["comment"]


def test_the_states_of_a_real_minion(tmp_path: Path, pillar: Any, ptr: Any) -> None:
    files = {
        f"{each}.sls": {f"The PTR record is {each}": {f"aaaa.{each}": [{"pillar": KEY}]}}
        for each in ("ptr_published", "ptr_withdrawn")
    }
    for sls, changes in (("ptr_published", {"old": [], "new": [MAIL]}), ("ptr_withdrawn", {"old": [MAIL], "new": []})):
        for test, outcome in (("True", None), ("False", True)):
            done = minion.call(tmp_path, {"ipv6": {"dns": pillar}}, files, "state.apply", sls, f"test={test}")
            (result,) = json.loads(done.stdout)["local"].values()
            assert (result["result"], result["changes"]) == (outcome, {OWNER: changes}), done
            assert servers.KEYS["host1"] not in done.stdout + done.stderr


def test_one_that_is_right_is_kept_and_is_this_hosts_from_then_on(published: Any, withdrawn: Any) -> None:
    reverse.put(OURS, MAIL)
    assert published()["changes"] == {}
    assert json.loads(MEMORY.read_text()) == {OWNER: [MAIL]}
    assert withdrawn()["changes"] == {OWNER: {"old": [MAIL], "new": []}}


def test_the_name_the_ttl_and_the_address_of_the_tunnel(loaders: Any, pillar: Any, ptr: Any, published: Any) -> None:
    reverse.put(OURS, WWW, ttl=60)
    pillar["address"] = None
    loaders.modules.pack["__pillar__"]["ipv6"]["tunnel"] = {"address": f"{OLD}/64", "addresses": [f"{OURS}/64"]}
    ptr.update(name=WWW.upper(), ttl=300)
    ttl = {"old": 60, "new": 300}
    assert published()["changes"] == {OWNER: {"old": [WWW], "new": [WWW], "ttl": ttl}}
    assert reverse.records(OURS) == [f"300 {WWW}."]


def test_another_name_of_ours_is_replaced(published: Any, ptr: Any) -> None:
    published()
    ptr["name"] = WWW
    assert published()["changes"] == {OWNER: {"old": [MAIL], "new": [WWW]}}


def test_that_of_somebody_else_is_refused_and_exclusive_replaces_it(
    modules: Any, published: Any, withdrawn: Any, ptr: Any
) -> None:
    reverse.put(OURS, FOREIGN)
    assert refused(modules.aaaa.ptr_published) == (
        f"{OURS} has a PTR record that this host has not published: {FOREIGN}; an address has one, "
        "and ipv6:dns:ptr:exclusive: true replaces it"
    )
    assert not MEMORY.exists()
    done = withdrawn()
    assert (done["changes"], "which this host has not published: it was left there" in done["comment"]) == ({}, True)
    assert reverse.records(OURS) == [f"3600 {FOREIGN}."]
    ptr["exclusive"] = True
    assert published()["changes"] == {OWNER: {"old": [FOREIGN], "new": [MAIL]}}
    assert reverse.records(OURS) == [f"3600 {MAIL}."]


def test_one_beside_ours_is_no_less_somebody_elses(modules: Any, ptr: Any) -> None:
    reverse.put(OURS, MAIL, FOREIGN)
    assert f"has not published: {FOREIGN}; an address has one" in refused(modules.aaaa.ptr_published)


def test_only_the_record_of_this_address_is_touched(published: Any, withdrawn: Any, ptr: Any) -> None:
    reverse.put(OLD, FOREIGN)
    ptr["exclusive"] = True
    published()
    withdrawn()
    assert reverse.records(OLD) == [f"3600 {FOREIGN}."]


def test_an_address_that_changes_takes_its_record_along(published: Any, pillar: Any, withdrawn: Any) -> None:
    pillar["address"] = OLD
    published()
    pillar["address"] = OURS
    done = published()
    assert done["changes"] == {
        OWNER: {"old": [], "new": [MAIL]},
        reverse.name(OLD): {"old": [MAIL], "new": []},
    }
    assert (reverse.records(OLD), reverse.records(OURS)) == ([], [f"3600 {MAIL}."])
    assert json.loads(MEMORY.read_text()) == {OWNER: [MAIL]}


def test_what_others_have_put_at_the_old_address_stays(published: Any, pillar: Any, ptr: Any) -> None:
    pillar["address"] = OLD
    published()
    reverse.put(OLD, FOREIGN)
    pillar["address"] = OURS
    ptr["exclusive"] = True
    assert published()["changes"] == {OWNER: {"old": [], "new": [MAIL]}}
    assert reverse.records(OLD) == [f"3600 {FOREIGN}."]
    assert json.loads(MEMORY.read_text()) == {OWNER: [MAIL]}


def test_an_old_address_in_another_zone_is_told(published: Any, ptr: Any) -> None:
    MEMORY.parent.mkdir(exist_ok=True)
    MEMORY.write_text(json.dumps({reverse.name(OTHER): [MAIL]}))
    done = published()
    assert f"has also published {MAIL} for {OTHER}, which is not in the zone {reverse.ZONE}" in done["comment"]
    assert json.loads(MEMORY.read_text()) == {OWNER: [MAIL], reverse.name(OTHER): [MAIL]}


def test_a_wildcard_is_nobodys_record_of_this_address(published: Any, withdrawn: Any) -> None:
    """As in the zones of many providers."""
    reverse.put_wildcard("unnamed.example.net")
    done = withdrawn()
    assert (done["changes"], "a wildcard answers unnamed.example.net for it" in done["comment"]) == ({}, True)
    done = published()
    assert done["changes"] == {OWNER: {"old": [], "new": [MAIL]}}
    assert reverse.records(OURS) == [f"3600 {MAIL}."]
    assert withdrawn()["changes"] == {OWNER: {"old": [MAIL], "new": []}}
    assert reverse.records(OURS) == ["3600 unnamed.example.net."]


# --------------------------------------------------------------------------------------------------------------
# What fails


def test_an_address_that_is_not_in_the_zone_is_refused(modules: Any, pillar: Any, ptr: Any) -> None:
    pillar["address"] = OTHER
    said = f"{reverse.ZONE} does not contain {OTHER}, whose reverse name is {reverse.name(OTHER)}"
    assert refused(modules.aaaa.ptr_published) == f"ipv6:dns:ptr:zone: {said}"


def test_a_zone_that_is_not_delegated(modules: Any, pillar: Any, ptr: Any) -> None:
    pillar["address"], ptr["zone"] = OTHER, reverse.OUTSIDE
    for function in (modules.aaaa.ptr_published, modules.aaaa.ptr_withdrawn):
        assert refused(function).startswith(
            f"ipv6:dns:ptr:zone: {reverse.OUTSIDE} is not delegated: in the DNS, {OTHER} belongs to the zone ip6.arpa"
        )


def test_servers_that_are_listed_are_believed_and_what_others_see_is_told(
    modules: Any, pillar: Any, ptr: Any, primary: Any, tmp_path: Path
) -> None:
    servers.stop(primary)
    started = [
        reverse.start(tmp_path / "primary", served=(reverse.OUTSIDE,)),
        reverse.start(tmp_path / "resolver", served=(reverse.TOP,), address=servers.SECONDARY),
    ]
    Path("/etc/resolv.conf").write_text(f"nameserver {servers.SECONDARY}\n")
    pillar["address"] = OTHER
    ptr.update(zone=reverse.OUTSIDE, servers=[servers.PRIMARY])
    try:
        done = thrice(modules.aaaa.ptr_published)
    finally:
        for each in started:
            servers.stop(each)
    assert done["changes"] == {reverse.name(OTHER): {"old": [], "new": [MAIL]}}
    assert f"ipv6:dns:ptr:zone: {reverse.OUTSIDE} is not delegated: in the DNS, {OTHER} belongs to" in done["comment"]


def test_a_zone_that_nobody_serves(modules: Any, pillar: Any, ptr: Any, primary: Any, tmp_path: Path) -> None:
    servers.stop(primary)
    process = reverse.start(tmp_path / "primary", served=())
    try:
        said = refused(modules.aaaa.ptr_published)
        ptr["servers"] = [servers.PRIMARY]
        listed = refused(modules.aaaa.ptr_published)
        done = modules.aaaa.published("The names", pillar="ipv6:dns")
    finally:
        servers.stop(process)
    for each in (said, listed):
        assert "it answers REFUSED" in each
        assert each.endswith(
            f"ipv6:dns:ptr:zone: the zone {reverse.ZONE} has to be served by these name servers, be delegated to them, "
            "and take PTR records"
        )
    assert done["result"] is True, "the AAAA records are no matter of the reverse zone"


def test_a_zone_from_which_that_of_the_address_is_delegated(modules: Any, ptr: Any) -> None:
    above = reverse.ZONE.partition(".0.0.0.")[2]
    ptr.update(zone=above, servers=[servers.PRIMARY])
    assert refused(modules.aaaa.ptr_published).startswith(
        f"ipv6:dns:ptr:zone: {OWNER} is in the zone {reverse.ZONE}, below {above}: "
    )


def test_a_zone_that_takes_no_updates(modules: Any, ptr: Any, primary: Any, tmp_path: Path) -> None:
    servers.stop(primary)
    process = reverse.start(tmp_path / "primary", policy="")
    try:
        done = modules.aaaa.ptr_published("The PTR record", pillar=KEY)
    finally:
        servers.stop(process)
    assert (done["result"], done["changes"]) == (False, {})
    assert "REFUSED: it refuses: the key host1 may not change PTR records of these names" in done["comment"]
    assert f"ipv6:dns:ptr:zone: the zone {reverse.ZONE} has to be served by these name servers" in done["comment"]


def test_an_update_that_is_refused_is_told_and_nothing_is_remembered(modules: Any, pillar: Any, ptr: Any) -> None:
    ptr["rfc2136"] = {"key": servers.WRONG}
    done = modules.aaaa.ptr_published("The PTR record", pillar=KEY)
    assert (done["result"], done["changes"]) == (False, {})
    assert "BADSIG" in done["comment"] and "Everything was put back as it was." in done["comment"]
    for secret in (*servers.KEYS.values(), servers.WRONG):
        assert secret not in str(done)
    assert not MEMORY.exists()


def test_settings_of_its_own(pillar: Any, ptr: Any, published: Any) -> None:
    pillar["rfc2136"]["server"] = "127.0.0.9"
    ptr["rfc2136"] = {"server": servers.PRIMARY}
    assert published()["changes"] == {OWNER: {"old": [], "new": [MAIL]}}


def change(loaders: Any, provider: str | None = None) -> converge.Change:
    """The steps of `aaaa.ptr_published`, for a test that comes in between."""
    providers = plugins.providers(loaders.modules)
    given = {"ttl": None, "provider": provider}
    wish = dns_ptr_wish.wish("The PTR record", given, KEY, loaders.modules.pack["__pillar__"], providers)
    return converge.Change(
        part=dns_change.PART,
        plan=lambda: dns_ptr_change.plan_published(wish),
        apply=lambda plan: dns_ptr_change.apply(plan, providers),
        undo=lambda plan: dns_change.undo(plan, providers),
    )


@pytest.mark.parametrize("exclusive", [False, True])
def test_what_somebody_else_publishes_meanwhile_is_left_alone(loaders: Any, ptr: Any, exclusive: bool) -> None:
    ptr["exclusive"] = exclusive
    steps = change(loaders)
    plan = steps.plan()
    reverse.put(OURS, FOREIGN)
    with pytest.raises(Exception, match="somebody has added records in the meantime"):
        steps.apply(plan)
    for step in steps.undo(plan):
        step()
    assert reverse.records(OURS) == [f"3600 {FOREIGN}."]
    assert not MEMORY.exists()


def test_undo_puts_back_what_was_there(loaders: Any, ptr: Any) -> None:
    ptr["exclusive"] = True
    reverse.put(OURS, FOREIGN, ttl=60)
    steps = change(loaders)
    plan = steps.plan()
    steps.apply(plan)
    assert reverse.records(OURS) == [f"3600 {MAIL}."]
    for step in steps.undo(plan):
        step()
    assert reverse.records(OURS) == [f"60 {FOREIGN}."]
    assert not MEMORY.exists()


@pytest.mark.parametrize("fault", ["full disk", "immutable", "read-only disk"])
def test_what_could_not_be_remembered_is_not_published(modules: Any, published: Any, ptr: Any, fault: str) -> None:
    published()
    ptr["name"] = WWW
    strike, said, _ = ground.FAULTS[fault]
    with strike(MEMORY):
        done = modules.aaaa.ptr_published("The PTR record", pillar=KEY)
    assert (done["result"], done["changes"]) == (False, {})
    assert str(MEMORY.parent) in done["comment"] and said in done["comment"], done["comment"]
    assert reverse.records(OURS) == [f"3600 {MAIL}."]
    assert published()["changes"] == {OWNER: {"old": [MAIL], "new": [WWW]}}


def test_permissions_that_have_drifted(published: Any) -> None:
    published()
    MEMORY.chmod(0o644)
    assert published()["changes"] == {str(MEMORY): {"mode": {"old": "0644", "new": "0600"}}}


def test_an_alias_has_no_ptr_record(modules: Any, ptr: Any) -> None:
    """As where a provider has delegated addresses one by one (RFC 2317)."""
    reverse.put(OURS, WWW, kind="CNAME")
    assert refused(modules.aaaa.ptr_published).startswith(
        f"{OWNER} is an alias (CNAME) of {WWW}: an alias may not have"
    )


def test_who_cannot_change_ptr_records(modules: Any, ptr: Any) -> None:
    for provider in ("he", "lexicon"):
        ptr["provider"] = provider
        assert refused(modules.aaaa.ptr_published) == (
            f"ipv6:dns:ptr:provider: {provider} cannot be used: it cannot change PTR records; "
            "expected one of command, rfc2136"
        )


# --------------------------------------------------------------------------------------------------------------
# A command of the user's own


@pytest.fixture
def script(tmp_path: Path, pillar: dict[str, Any], ptr: Any) -> Path:
    """The script, with its credential in a file beside it."""
    path = tmp_path / "ptr"
    path.write_text(SCRIPT.replace("ZONE", reverse.ZONE))
    path.chmod(0o755)
    (tmp_path / "key").write_text(f'key host1 {{ algorithm hmac-sha256; secret "{servers.KEYS["host1"]}"; }};')
    ptr.update(provider="command", command={"publish_ptr": [str(path), "add"], "withdraw_ptr": [str(path), "remove"]})
    return path


def calls(script: Path) -> list[str]:
    """What it was called with."""
    found = script.with_name("calls")
    return found.read_text().splitlines() if found.exists() else []


def test_a_command(published: Any, withdrawn: Any, script: Path, ptr: Any) -> None:
    reverse.put(OURS, FOREIGN)
    ptr.update(exclusive=True, ttl=300)
    assert published()["changes"] == {OWNER: {"old": [FOREIGN], "new": [MAIL], "ttl": {"old": 3600, "new": 300}}}
    assert reverse.records(OURS) == [f"300 {MAIL}."]
    withdrawn()
    assert reverse.records(OURS) == []
    assert calls(script) == [f"add {OURS} {MAIL} 300", f"remove {OURS} {FOREIGN}", f"remove {OURS} {MAIL}"]


def test_a_command_that_fails(modules: Any, script: Path) -> None:
    script.with_name("broken").touch()
    done = modules.aaaa.ptr_published("The PTR record", pillar=KEY)
    assert (done["result"], done["changes"]) == (False, {})
    said = f"publish_ptr: '{script} ... {OURS} {MAIL} 3600' ended with 3 and said: broken"
    assert done["comment"] == f"{said}\nEverything was put back as it was."


def test_a_command_that_can_only_publish(modules: Any, ptr: Any, script: Path, published: Any) -> None:
    del ptr["command"]["withdraw_ptr"]
    reverse.put(OURS, FOREIGN)
    assert "an address has one" in refused(modules.aaaa.ptr_published)
    reverse.put(OURS)
    published()
    assert refused(modules.aaaa.ptr_withdrawn).startswith("ipv6:dns:ptr:provider: command cannot remove a record")


def test_a_command_for_aaaa_records_alone(modules: Any, pillar: Any, ptr: Any) -> None:
    pillar.update(provider="command", command={"publish": "/bin/true"})
    assert refused(modules.aaaa.ptr_published) == (
        "ipv6:dns:command:publish_ptr: missing; expected a command, which gets the words ADDRESS NAME TTL"
    )


def test_what_a_command_is_never_called_with(modules: Any, script: Path, ptr: Any) -> None:
    edit = {"kind": "PTR", "old": {"names": ["--option"], "ttl": 1}, "new": {"names": [], "ttl": None}}
    with pytest.raises(Exception, match="expected names, a list of host names"):
        modules.aaaa_command.change(f"{KEY}:command", {OWNER: edit})
    with pytest.raises(Exception, match="is not the reverse name of an IPv6 address"):
        modules.aaaa_command.change(f"{KEY}:command", {WWW: {**edit, "old": {"names": [], "ttl": None}}})
    assert calls(script) == []
