"""The restorer: what a run has changed goes back, and nothing else, whatever has become of the run."""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_change as firewall_change
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_ipset as firewall_ipset
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_sets as firewall_sets
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_transaction_journal as transaction_journal
import _dualstack_transaction_place as transaction_place
import _dualstack_transaction_run as transaction_run
import pytest
from salt.exceptions import CommandExecutionError

from ..firewall import netfilter
from . import ground

FORK = multiprocessing.get_context("fork")
PARAMETER = Path("/proc/sys/net/ipv6/bindv6only")
BACKENDS = ("nft", "legacy")


@pytest.fixture(autouse=True)
def _nothing_left(folder: Path) -> Iterator[None]:
    """Each test begins and ends without a transaction."""
    yield
    over()
    end = time.monotonic() + 5  # the folder of the transaction goes first
    while Path("/var/lib/dualstack").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert list(folder.rglob("*dualstack*")) == [] and not Path("/var/lib/dualstack").exists()
    Path(transaction_place.REPORT).unlink(missing_ok=True)


def over(seconds: float = 30) -> None:
    """Wait until no transaction is open."""
    end = time.monotonic() + seconds
    while transaction_place.is_open():
        assert time.monotonic() < end, "the restorer does not come to an end"
        time.sleep(0.02)


def change(path: Path, new: str | None, then: Callable[[], None] = lambda: None) -> converge.Change:
    """The change of a file; something happens after it was applied."""

    def plan() -> converge.Plan:
        edits = host_files.edit(str(path), host_files.read(str(path)), new)
        return {"changes": dict.fromkeys(edits, {}), "files": edits}

    def apply(plan: converge.Plan) -> None:
        host_files.write(plan["files"])
        then()

    return converge.Change("faults", plan, apply, lambda plan: list(host_files.restoring(plan["files"])), before=none)


def none(_: converge.Plan) -> list[transaction_journal.Image]:
    """Nothing but files."""
    return []


def die() -> None:
    """As the kernel ends a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed(*actions: Callable[[], object]) -> None:
    """A run that does some things, and is killed; it waits until the restorer has come to an end."""

    def run() -> None:
        for each in actions:
            each()
        die()

    process = FORK.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    over()


def in_run(this: converge.Change) -> Callable[[], object]:
    """One state of a run that goes on after it."""

    def state() -> None:
        done = converge.run("it", this, {converge.ENDED: True}, False)
        assert done["result"] is True, done

    return state


def report() -> str:
    """What the restorer has said."""
    return transaction_place.report()


# -------------------------------------------------------------------------------------------------------------
# Files


def test_files_come_back_with_all_that_they_had(folder: Path) -> None:
    replaced, removed, new = folder / "a b'c", folder / "removed", folder / "made" / "here" / "new"
    for each in (replaced, removed):
        each.write_text("old\n")
        os.chown(each, 12, 34)
        each.chmod(0o640)
        os.setxattr(each, ground.ACL, ground.acl(5, 4))
        os.setxattr(each, "user.note", b"mine")
    before = ground.snapshot(str(folder))
    killed(
        in_run(change(replaced, "new\n")),
        in_run(change(replaced, "newer\n")),
        in_run(change(new, "x\n")),
        in_run(change(removed, None)),
    )
    assert ground.difference(before, ground.snapshot(str(folder))) == {}
    assert "it has died" in report() and report().endswith("everything is as it was")


def test_what_somebody_else_has_changed_meanwhile_stays(folder: Path) -> None:
    ours, theirs = folder / "ours", folder / "theirs"
    for each in (ours, theirs):
        each.write_text("old\n")
    killed(in_run(change(ours, "new\n")), in_run(change(theirs, "new\n")), lambda: theirs.write_text("an editor's\n"))
    assert (ours.read_text(), theirs.read_text()) == ("old\n", "an editor's\n")
    assert f"{theirs} has been changed by somebody else" in report()


def test_what_a_state_has_undone_itself_is_not_touched_again(folder: Path) -> None:
    file, other = folder / "file", folder / "other"
    file.write_text("old\n")
    other.write_text("old\n")

    def fail() -> None:
        raise CommandExecutionError("no")

    def failing() -> None:
        done = converge.run("it", change(file, "bad\n", fail), {converge.ENDED: True}, False)
        assert done["result"] is False and "put back" in done["comment"]
        assert not Path(host_files.kept(str(file))).exists()
        file.write_text("somebody's\n")

    killed(in_run(change(other, "new\n")), failing, in_run(change(file, "ours\n")))
    assert (file.read_text(), other.read_text()) == ("somebody's\n", "old\n")


def test_a_full_disk_is_enough_to_put_files_back(folder: Path) -> None:
    with ground.disk(folder / "disk"):
        file = folder / "disk" / "file"
        file.write_text("old\n" * 100)
        killed(in_run(change(file, "new\n" * 100)), lambda: ground.fill(file.parent))
        assert file.read_text() == "old\n" * 100


@pytest.mark.parametrize("how", ["killed", "asked", "at its end"])
def test_a_journal_that_has_become_read_only_is_enough(folder: Path, how: str) -> None:
    file, place = folder / "file", Path("/var/lib/dualstack")
    file.write_text("old\n")

    def at_its_end() -> None:
        with pytest.raises(transaction_run.PutBack):
            transaction_run.commit()

    ends = {"killed": die, "asked": lambda: transaction_run.roll_back("somebody wants it"), "at its end": at_its_end}

    def run() -> None:
        in_run(change(file, "new\n"))()
        ground.run("mount", "-o", "remount,ro", str(place))
        ends[how]()

    with ground.disk(place):
        process = FORK.Process(target=run)
        process.start()
        process.join(120)
        assert process.exitcode == (-signal.SIGKILL if how == "killed" else 0)
        end = time.monotonic() + 30
        while file.read_text() != "old\n" or list(folder.glob(".*")):
            assert time.monotonic() < end
            time.sleep(0.05)
        ground.run("mount", "-o", "remount,rw", str(place))
        over()
    with contextlib.suppress(FileNotFoundError):  # the restorer's last step may be this one
        place.rmdir()


def test_a_disk_that_becomes_writable_while_it_is_cleaned_keeps_nothing(folder: Path) -> None:
    """What could not be taken away a moment ago is not forgotten because the rest of it can be."""
    file, place = folder / "file", Path("/var/lib/dualstack")
    record, guard = place / "faults.files", f"mount -o remount,rw {place}"
    file.write_text("old\n")

    def run() -> None:
        in_run(change(file, "new\n"))()
        kill_restorers()
        die()

    with ground.disk(place):
        process = FORK.Process(target=run)
        process.start()
        process.join(60)
        os.rename(transaction_place.ARMED, f"{transaction_place.FOLDER}/committed")
        record.write_text(f"{folder}/.file.dualstack-new\n")
        with open(transaction_place.HOLDER, "a", encoding="utf-8") as holder:
            holder.write(f"guard='{guard}'\n")
        ground.run("mount", "-o", "remount,ro", str(place))
        for left in ({record.name, "transaction"}, set()):
            subprocess.run(["sh", transaction_run.SCRIPT, "clean"], check=False)
            assert {each.name for each in place.iterdir()} == left
    place.rmdir()
    assert file.read_text() == "new\n"


def test_where_no_journal_can_be_written_nothing_is_changed(folder: Path) -> None:
    file = folder / "file"
    file.write_text("old\n")
    before = ground.snapshot("/srv", "/var/lib")
    place = Path("/var/lib/dualstack")
    for strike, said in ((ground.full, "No space left"), (ground.read_only, "read-only")):
        with strike(place):
            done = converge.run("it", change(file, "new\n"), {}, False)
            assert list(place.glob("[!b]*")) == []
        assert done["result"] is False and done["changes"] == {} and said in done["comment"], done
        place.rmdir()
    assert ground.difference(before, ground.snapshot("/srv", "/var/lib")) == {}


# -------------------------------------------------------------------------------------------------------------
# Rules, parameters, links


RULES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
:ours - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd
-A INPUT -i lo -j ACCEPT
-A INPUT -j ours
-A ours -p tcp -m tcp --dport 80 -m comment --comment "a -j b" -j ACCEPT
-A f2b-sshd -j RETURN
COMMIT
"""
WANTED: dict[str, Any] = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-j other"]},
        "FORWARD": {"policy": "DROP", "rules": []},
        "OUTPUT": {"policy": "ACCEPT", "rules": []},
        "other": {"policy": None, "rules": ["-p tcp -m tcp --dport 443 -j ACCEPT"]},
    }
}


def ruleset(backend: str, wanted: Any) -> converge.Change:
    """The change of the live rules of both families."""

    def plan() -> converge.Plan:
        live = firewall_kernel.read(backend)
        made = {"ipv4": wanted, "ipv6": wanted}
        same = all(live[each].get("filter") == wanted["filter"] for each in made)
        changes: dict[str, Any] = {} if same else {"ipv4": {}, "ipv6": {}}
        others = dict.fromkeys(live, firewall_delta.Others(["f2b-*"]))
        return firewall_change.plan(changes, [], {}, made, live, backend, others)

    return converge.Change("firewall", plan, firewall_change.apply, firewall_change.undo, before=firewall_change.before)


def swapped(backend: str, wanted: Any = WANTED) -> Callable[[], None]:
    """Change the rules as a state does, without its second plan, which others' rules would differ from."""

    def swap() -> None:
        this = ruleset(backend, wanted)
        plan = this.plan()
        assert this.before
        transaction_run.begin("firewall", "it", this.before(plan), {})
        this.apply(plan)

    return swap


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """A backend of iptables, without rules at the end."""
    netfilter.reset()
    yield request.param
    netfilter.reset()


BEFORE = """\
create blocklist hash:net family inet hashsize 1024 maxelem 65536 comment
add blocklist 10.0.0.0/8 comment "a b"
create former hash:ip family inet hashsize 1024 maxelem 65536
add former 192.0.2.1"""


@pytest.mark.parametrize("done", [True, False], ids=["when all was done", "when nothing was done"])
@pytest.mark.parametrize("kept", [False, True], ids=["", "when somebody uses a new one"])
def test_sets_come_back_with_the_rules_that_name_them(backend: str, done: bool, kept: bool) -> None:
    netfilter.run("ipset", "restore", text=f"{BEFORE}\n")
    rule = "-m set --match-set former src -j DROP"
    netfilter.load("ipv4", backend, f"*filter\n-A INPUT {rule}\nCOMMIT\n")
    declared = {"blocklist": ["192.0.2.0/24", "2001:db8::/32"]}
    named = "-m set --match-set blocklist src -j DROP"
    tables: firewall_save.Tables = {"filter": firewall_save.empty("filter")}
    tables["filter"]["INPUT"]["rules"] = [named]

    def swap() -> None:
        live = firewall_kernel.read(backend)
        wanted = {"ipv4": tables}
        sets = firewall_ipset.compared(firewall_sets.read({"sets": declared}), ["former"], live, wanted)
        assert (list(sets.wanted), sets.gone, sets.new) == (["blocklist", "blocklist6"], ["former"], ["blocklist6"])
        others = dict.fromkeys(live, firewall_delta.Others([]))
        plan = firewall_change.plan({"ipv4": {}}, [], {}, wanted, live, backend, others, sets)
        transaction_run.begin("firewall", "it", firewall_change.before(plan), {})
        if done:
            firewall_change.apply(plan)
            assert netfilter.rules("ipv4", backend, "INPUT") == [named]
            assert "former" not in netfilter.run("ipset", "list", "-n")
            if kept:
                netfilter.load("ipv6", backend, "*filter\n-A INPUT -m set --match-set blocklist6 src\nCOMMIT\n")

    killed(swap)
    assert netfilter.rules("ipv4", backend, "INPUT") == [rule]
    there = re.sub(r" bucketsize.*", "", netfilter.run("ipset", "save", "-sorted")).strip()
    if done and kept:
        assert "the set blocklist6 stays: something uses it" in report()
        there = "\n".join(line for line in there.splitlines() if "blocklist6" not in line)
    assert there == BEFORE
    assert report().endswith("everything is as it was")


@pytest.mark.parametrize("used", [True, False], ids=["rules before", "never used before"])
def test_rules_of_both_families_come_back_and_bans_stay(backend: str, used: bool) -> None:
    families = list(netfilter.COMMANDS)
    for family in families:
        if used:
            netfilter.load(family, backend, RULES)
    before = {each: firewall_save.parse(netfilter.save(each, backend)) for each in families}

    def ban() -> None:
        for family, address in (("ipv4", "192.0.2.1/32"), ("ipv6", "2001:db8::1/128")):
            if used:
                netfilter.load(family, backend, f"*filter\n-A f2b-sshd -s {address} -j DROP\nCOMMIT\n")
            netfilter.load(family, backend, f"*filter\n-I INPUT -s {address} -j DROP\nCOMMIT\n")

    killed(swapped(backend), ban)
    for family, address in (("ipv4", "192.0.2.1/32"), ("ipv6", "2001:db8::1/128")):
        expected = before[family].get("filter") or firewall_save.empty("filter")
        expected["INPUT"]["rules"].insert(0, f"-s {address} -j DROP")
        if used:
            expected["f2b-sshd"]["rules"].append(f"-s {address} -j DROP")
        assert firewall_save.parse(netfilter.save(family, backend))["filter"] == expected


def test_a_chain_of_others_that_has_gone_is_no_obstacle(backend: str) -> None:
    netfilter.load("ipv4", backend, RULES)
    command = f"iptables-{backend}"

    def stop_fail2ban() -> None:
        for words in ("-D INPUT -p tcp -m tcp --dport 22 -j f2b-sshd", "-F f2b-sshd", "-X f2b-sshd"):
            netfilter.run(command, *words.split())

    killed(swapped(backend), stop_fail2ban)
    assert netfilter.rules("ipv4", backend, "INPUT") == ["-i lo -j ACCEPT", "-j ours"]
    assert len(netfilter.rules("ipv4", backend, "ours")) == 1 and report().endswith("everything is as it was")


def test_a_new_chain_to_which_others_lead_by_now_stays_with_what_it_leads_to(backend: str) -> None:
    netfilter.load("ipv4", backend, RULES)
    wanted = copy.deepcopy(WANTED)
    wanted["filter"]["other"]["rules"].insert(0, "-j further")
    wanted["filter"]["further"] = {"policy": None, "rules": ["-p tcp -m tcp --dport 444 -j ACCEPT"]}

    def lead() -> None:
        netfilter.run(f"iptables-{backend}", "-I", "FORWARD", "-j", "other")

    killed(swapped(backend, wanted), lead)
    assert report().endswith("everything is as it was")
    assert netfilter.rules("ipv4", backend, "INPUT")[-1] == "-j ours"
    assert netfilter.rules("ipv4", backend, "FORWARD") == ["-j other"]
    assert len(netfilter.rules("ipv4", backend, "further")) == 1


@contextlib.contextmanager
def broken(name: str) -> Iterator[None]:
    """A program of the system ends with an error and says nothing."""
    program = Path(name)
    aside = program.with_name(f"{program.name}.aside")
    program.rename(aside)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    try:
        yield
    finally:
        aside.rename(program)


def test_rules_that_cannot_be_compared_are_not_as_they_were() -> None:
    """Without awk(1) nothing differs, as nothing was compared."""
    netfilter.load("ipv4", "nft", RULES)
    with broken("/usr/bin/awk"):
        killed(swapped("nft"))
    assert "could not be put back: the rules of ipv4: they could not be read, or not be compared" in report()
    assert report().endswith("not everything is as it was")
    netfilter.reset()


def test_an_interface_is_not_gone_since_nobody_says_that_it_is_there() -> None:
    netfilter.run("ip", "link", "add", "he-ipv6", "type", "veth", "peer", "name", "far")
    image = transaction_journal.Image(("link", "he-ipv6", "no", "no", "true", "true"), {"link": ""})
    try:
        with broken("/usr/sbin/ip"):
            killed(lambda: transaction_run.begin("tunnel", "it", [image], {}))
        assert "could not be put back: the interface he-ipv6" in report()
        assert report().endswith("not everything is as it was")
    finally:
        netfilter.run("ip", "link", "del", "he-ipv6")


def test_what_is_rendered_for_a_link_that_stays_is_made_of_the_old_files(folder: Path) -> None:
    file, rendered = folder / "it's.yaml", folder / "rendered"
    file.write_text("old\n")
    netfilter.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "far")
    try:
        render = shlex.join(["sh", "-c", 'cp -- "$1" "$2"', "render", str(file), str(rendered)])
        words = ("link", "eth7", "yes", "yes", ":", ":", render)
        image = transaction_journal.Image(words, {"link": "ip link set dev eth7 mtu 1400\n"})

        def act() -> None:
            netfilter.run("ip", "link", "set", "dev", "eth7", "mtu", "1300")
            rendered.write_text(file.read_text())

        killed(in_run(change(file, "new\n", act)._replace(before=lambda _: [image])))
        assert (file.read_text(), rendered.read_text()) == ("old\n", "old\n")
        assert "mtu 1400" in subprocess.check_output(["ip", "link", "show", "dev", "eth7"], text=True)
        assert report().endswith("everything is as it was")
    finally:
        netfilter.run("ip", "link", "del", "eth7")


def test_a_step_that_cannot_be_read_is_told_and_the_others_are_taken(folder: Path) -> None:
    one, other = folder / "one", folder / "other"
    for each in (one, other):
        each.write_text("old\n")

    def damage() -> None:
        first = Path(transaction_place.ENTRIES, "0001")
        first.unlink()
        first.mkdir()

    killed(in_run(change(one, "new\n")), in_run(change(other, "new\n")), damage)
    assert (one.read_text(), other.read_text()) == ("new\n", "old\n")
    assert "could not be put back: step 0001: it cannot be read" in report()
    assert report().endswith("not everything is as it was")
    for each in folder.glob(".*.dualstack-kept"):
        each.unlink()


def test_a_parameter_comes_back() -> None:
    old = PARAMETER.read_text()

    def set_it() -> None:
        image = transaction_journal.Image(("parameter", str(PARAMETER), old.strip()))
        transaction_run.begin("sysctl", "it", [image], {})
        PARAMETER.write_text("1\n" if old.strip() == "0" else "0\n")

    killed(set_it)
    assert PARAMETER.read_text() == old


# -------------------------------------------------------------------------------------------------------------
# The run


def test_it_ends_the_run_and_what_that_has_left_behind_but_nobody_else(folder: Path) -> None:
    file, mark = folder / "file", folder / "mark"
    file.write_text("old\n")
    bystander = subprocess.Popen(["sleep", "60"])
    daemon = folder / "daemon.pid"

    def orphan() -> None:
        host_commands.start(["sh", "-c", f"sleep 2; echo orphan >>{file}; touch {mark}"])
        host_commands.start(["sh", "-c", f"sleep 2; touch {mark}"], reads=True)
        host_commands.run(["setsid", "-f", "sh", "-c", f"echo $$ >{daemon}; exec sleep 60"])

    killed(in_run(change(file, "new\n")), orphan)
    time.sleep(2.5)
    assert file.read_text() == "old\n" and not mark.exists()
    assert bystander.poll() is None, "a process that has nothing to do with the run was killed"
    os.kill(int(daemon.read_text()), signal.SIGKILL)  # a daemon that a command has started has a session of its own
    bystander.kill()
    bystander.wait()


def test_a_run_that_hangs_is_ended_at_its_deadline(folder: Path) -> None:
    file = folder / "file"
    file.write_text("old\n")

    def hang() -> None:
        in_run(change(file, "new\n"))()
        now = float(Path("/proc/uptime").read_text().split()[0])
        Path(transaction_place.FOLDER, "deadline").write_text(f"{now + 1:.0f}\n")
        os.kill(os.getpid(), signal.SIGSTOP)

    process = FORK.Process(target=hang)
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    over()
    assert file.read_text() == "old\n" and "no progress" in report()


def test_the_next_run_does_what_a_restorer_that_was_killed_has_left(folder: Path) -> None:
    file, other = folder / "file", folder / "other"
    file.write_text("old\n")
    other.write_text("old\n")

    def strike() -> None:
        in_run(change(file, "new\n"))()
        kill_restorers()
        die()

    process = FORK.Process(target=strike)
    process.start()
    process.join()
    assert transaction_place.is_open() and file.read_text() == "new\n"
    assert converge.run("it", change(other, "new\n"), {}, False)["result"] is True
    assert (file.read_text(), other.read_text()) == ("old\n", "new\n")
    assert "so has its restorer" in report()


def kill_restorers() -> None:
    """Whatever starts it again is killed first."""
    for _ in range(3):
        found = subprocess.run(
            ["pgrep", "-f", "/dualstack.*/restorer watch"], capture_output=True, text=True, check=False
        )
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)


def test_the_second_run_names_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = folder / "file", folder / "other"
    file.write_text("old\n")
    ready, go = FORK.Event(), FORK.Event()

    def first() -> None:
        in_run(change(file, "new\n"))()
        ready.set()
        go.wait(30)
        transaction_run.commit()

    process = FORK.Process(target=first)
    process.start()
    assert ready.wait(20)
    monkeypatch.setattr(transaction_run, "PATIENCE", 0.3)
    done = converge.run("second", change(other, "x\n"), {}, False)
    assert done["result"] is False and f"process {process.pid}, for 'it', since" in done["comment"], done
    assert converge.run("second", change(other, "x\n"), {}, True)["result"] is None
    go.set()
    process.join()
    assert (file.read_text(), other.exists()) == ("new\n", False)


def test_whoever_is_told_to_roll_back_is_not_killed(folder: Path) -> None:
    file = folder / "file"
    file.write_text("old\n")
    in_run(change(file, "new\n"))()
    lines = transaction_run.roll_back("that is why")
    assert file.read_text() == "old\n"
    assert lines[0].endswith("is put back: that is why") and lines[-1] == "everything is as it was"
    assert report() == ""


def test_without_a_later_end_each_state_is_kept(folder: Path) -> None:
    file = folder / "file"
    file.write_text("old\n")

    def state() -> None:
        assert converge.run("it", change(file, "new\n"), {}, False)["result"] is True
        assert not transaction_place.is_open()

    killed(state)
    assert (file.read_text(), report()) == ("new\n", "")


def test_nothing_to_change_arms_nothing(folder: Path) -> None:
    file = folder / "file"
    file.write_text("same\n")
    before = ground.snapshot("/var/lib", "/run")
    assert converge.run("it", change(file, "same\n"), {converge.ENDED: True}, False)["result"] is True
    assert ground.difference(before, ground.snapshot("/var/lib", "/run")) == {}


def seen() -> dict[str, tuple[Any, ...]]:
    """All files that a run may leave; one that vanishes meanwhile has the look begin anew."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return ground.snapshot("/srv", "/var/lib", "/etc")


@pytest.mark.parametrize("moment", range(1, 40, 3))
def test_a_kill_while_it_is_armed_leaves_nothing(folder: Path, moment: int) -> None:
    file = folder / "file"
    file.write_text("old\n")
    before = seen()

    def strike() -> None:
        count = 0

        def audit(event: str, _: Any) -> None:
            nonlocal count
            if event in ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "subprocess.Popen", "os.posix_spawn"):
                count += 1
                if count == moment:
                    die()

        sys.addaudithook(audit)
        converge.run("it", change(file, "new\n"), {converge.ENDED: True}, False)
        die()

    process = FORK.Process(target=strike)
    process.start()
    process.join()
    end = time.monotonic() + 20
    while (found := ground.difference(before, seen())) and time.monotonic() < end:
        time.sleep(0.1)
    assert found == {}, moment
