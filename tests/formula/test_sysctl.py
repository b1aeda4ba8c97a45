"""Kernel parameters: whatever the check of the pillar takes, the formula sets, live and for the next boot."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import _dualstack_pillar_parts as pillar_parts
import _dualstack_sysctl_change as sysctl_change
import pytest
from salt.exceptions import CommandExecutionError

TEXTS = ["1024\t65000", "4096  131072 6291456", "a: b # c", "'\"\\", "{{ 1 }}", "|/usr/sbin/dump %p", 1, -1]
LONG = ",".join(map(str, range(8000, 8400)))
REFUSED = ["pr\u00fcfung", "\U0001f600", "a\nb", " a", 1.5, True, None, [1]]
KEY = "net.ipv4.ip_local_reserved_ports"  # any will do: the values are not looked at under test=True

NAME = "net.ipv4.ip_forward"
LIVE = Path("/proc/sys/net/ipv4/ip_forward")
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# User 3 may read it too, acl(5): version, then tag, permissions and number of each entry.
ENTRIES = [(1, 6, -1), (2, 4, 3), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *each) for each in ENTRIES)
OWN = "# mine\nvm.swappiness = 10  \r\n\nnet/ipv4/ip_forward=0 \n# more\n"


@pytest.mark.parametrize("value", [*TEXTS, LONG], ids=lambda each: str(each)[:20])
def test_what_is_right_is_set(modules: Any, value: Any) -> None:
    assert list(pillar_parts.sysctl_errors({KEY: value})) == []
    done = modules.state.apply("ipv6.sysctl", pillar={"ipv6": {"sysctl": {KEY: value}}}, test=True)
    (state,) = (each for each in done if each.full_return["name"] == KEY)
    assert state.result is None, state
    assert {each["new"] for each in state.changes.values()} == {str(value), f"{KEY} = {value}"}


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_what_the_formula_leaves_out_is_refused(value: Any) -> None:
    assert len(list(pillar_parts.sysctl_errors({KEY: value}))) == 1


@pytest.mark.parametrize("part", [{"sysctl": {f"net.{'x' * 2000}": 1}}, {"services": {"x" * 2000: None}}], ids=list)
def test_a_name_beyond_measure_is_refused_by_the_check(modules: Any, part: Any) -> None:
    """And is no error of rendering: a key of YAML has at most 1024 characters."""
    for sls in ("ipv6", "ipv6.absent"):
        (done,) = (
            each
            for each in modules.state.apply(sls, pillar={"ipv6": part}, test=True)
            if "ipv6.valid" in each.id or each.id == "The pillar ipv6 makes sense"
        )
        assert (done.result, done.comment[:5]) == (False, "ipv6:"), done


def applied(modules: Any, sls: str, sysctl: dict[str, Any], test: bool = False, **parts: Any) -> dict[str, Any]:
    """What the states of a part of the formula return, by their names."""
    done = modules.state.apply(sls, pillar={"ipv6": {"sysctl": sysctl, **parts}}, test=test)
    return {each.full_return["name"]: each for each in done}


def test_the_formula_there_and_back(modules: Any, etc: Path, loader: str) -> None:
    sysctl = {NAME: 1, "net.ipv4.ip_local_port_range": "1024   65000"}
    predicted = applied(modules, "ipv6.sysctl", sysctl, test=True)
    assert list(etc.iterdir()) == [] and LIVE.read_text() == "0\n"
    done = applied(modules, "ipv6.sysctl", sysctl)
    assert {each.result for each in done.values()} == {True}, done
    assert done[NAME].changes == predicted[NAME].changes != {}
    assert (LIVE.read_text(), RANGE.read_text()) == ("1\n", "1024\t65000\n")
    text = (etc / "local.conf").read_text()
    assert text.splitlines()[1:] == [f"{NAME} = 1", "net.ipv4.ip_local_port_range = 1024   65000"]
    again = applied(modules, "ipv6.sysctl", sysctl)
    assert [each.changes for each in again.values()] == [{}] * len(again)
    gone = applied(modules, "ipv6.absent", sysctl)
    assert {each.result for each in gone.values()} == {True}
    assert list(etc.iterdir()) == [] and LIVE.read_text() == "1\n"
    again = applied(modules, "ipv6.absent", sysctl)
    assert [each.changes for each in again.values()] == [{}] * len(again)


def attributes(file: Path) -> dict[str, bytes]:
    return {each: os.getxattr(file, each) for each in os.listxattr(file)}


def test_only_the_lines_of_the_parameter_are_touched(modules: Any, etc: Path) -> None:
    file = etc / "site.conf"
    file.write_text(OWN, newline="")
    file.chmod(0o640)
    os.chown(file, 1, 2)
    os.setxattr(file, "system.posix_acl_access", ACL)
    os.setxattr(file, "trusted.mine", b"x")
    before = (file.stat().st_mode, file.stat()[4:6], attributes(file))
    done = applied(modules, "ipv6.sysctl", {NAME: 1}, lookup={"sysctl_file": str(file)})[NAME]
    assert done.changes == {
        str(LIVE): {"old": "0", "new": "1"},
        str(file): {"old": "net/ipv4/ip_forward=0", "new": "net/ipv4/ip_forward=1"},
    }
    assert file.read_bytes().decode() == OWN.replace("ip_forward=0", "ip_forward=1")
    assert (file.stat().st_mode, file.stat()[4:6], attributes(file)) == before
    assert applied(modules, "ipv6.absent", {NAME: 1}, lookup={"sysctl_file": str(file)})[NAME].result is True
    assert file.read_bytes().decode() == OWN.replace("net/ipv4/ip_forward=0 \n", "")
    assert [each.name for each in etc.iterdir()] == ["site.conf"]


@pytest.mark.parametrize("drifts", ["live", "boot"])
def test_what_drifts_is_set_again_and_nothing_else(modules: Any, etc: Path, drifts: str) -> None:
    file = etc / "local.conf"
    assert modules.ipv6.parameter(NAME, 1)["result"] is True
    number = file.stat().st_ino
    if drifts == "live":
        LIVE.write_text("0")
    else:
        file.write_text(f"{NAME} = 0\n")
    predicted = modules.ipv6.parameter(NAME, 1, test=True)
    assert set(predicted["changes"]) == {str(LIVE if drifts == "live" else file)}
    done = modules.ipv6.parameter(NAME, 1)
    assert (done["result"], done["changes"]) == (True, predicted["changes"])
    assert (drifts == "live") == (file.stat().st_ino == number)
    assert LIVE.read_text() == "1\n" and f"{NAME} = 1\n" in file.read_text()


def test_what_the_kernel_shows_in_its_own_way_is_as_declared(modules: Any, etc: Path) -> None:
    assert modules.ipv6.parameter(KEY, f"9000,{LONG}")["result"] is True
    assert Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text() == "8000-8399,9000\n"
    assert modules.ipv6.parameter(KEY, f"9000,{LONG}")["changes"] == {}


def test_a_file_that_has_the_last_word_is_named(modules: Any, etc: Path, loader: str, test: bool) -> None:
    (etc / "zz.conf").write_text(f"# of a package\n{NAME} = 0\n")
    done = modules.ipv6.parameter(NAME, 1, test=test)
    assert (done["result"], done["changes"], LIVE.read_text()) == (False, {}, "0\n")
    assert f"{NAME}: at boot, {etc}/zz.conf:2 would set it to '0', after {etc}/local.conf: remove" in done["comment"]
    assert [each.name for each in etc.iterdir()] == ["zz.conf"]


def test_a_pattern_does_not_have_the_last_word(modules: Any, etc: Path, loader: str) -> None:
    (etc / "zz.conf").write_text("net.ipv4.conf.*.rp_filter = 2\n")
    assert modules.ipv6.parameter("net.ipv4.conf.lo.rp_filter", 1)["result"] is True
    assert (etc / "local.conf").read_text().endswith("net.ipv4.conf.lo.rp_filter = 1\n")


def test_what_another_file_sets_already_is_not_set_twice(modules: Any, etc: Path, loader: str) -> None:
    (etc / "10-a.conf").write_text(f"{NAME} = 1\n")
    assert modules.ipv6.parameter(NAME, 1)["changes"] == {str(LIVE): {"old": "0", "new": "1"}}
    assert [each.name for each in etc.iterdir()] == ["10-a.conf"]


@pytest.mark.parametrize("booted", ["", "linked"])
def test_a_file_that_the_boot_does_not_read_is_refused(modules: Any, etc: Path, loader: str, booted: str) -> None:
    if booted:
        (etc / "99-sysctl.conf").symlink_to("../sysctl.conf")
    done = modules.ipv6.parameter(NAME, 1, config="/etc/sysctl.conf")
    assert done["result"] is bool(booted or loader == "procps"), done
    assert done["result"] or "/etc/sysctl.conf: systemd-sysctl does not read it at boot" in done["comment"]


def test_a_masked_file_is_refused(modules: Any, etc: Path, test: bool) -> None:
    (etc / "local.conf").symlink_to("/dev/null")
    done = modules.ipv6.parameter(NAME, 1, test=test)
    assert (done["result"], LIVE.read_text()) == (False, "0\n")
    assert f"{etc}/local.conf: it is masked" in done["comment"]
    assert Path("/dev/null").is_char_device()


def test_what_comes_with_a_module_is_set_for_the_boot(modules: Any, etc: Path) -> None:
    name = "net.nonsense.of_a_module"
    done = modules.ipv6.parameter(name, 1)
    assert (done["result"], list(done["changes"])) == (True, [f"{etc}/local.conf"])
    assert "/proc/sys/net/nonsense/of_a_module is not there yet" in done["comment"]
    again = modules.ipv6.parameter(name, 1)
    assert (again["result"], again["changes"]) == (True, {})
    assert "is not there yet" in again["comment"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("net.ipv4.ip_forwrad", 1, "net.ipv4.ip_forwrad: there is no 'ip_forwrad' in /proc/sys/net/ipv4; did you mean"),
        ("net.ipv4", 1, "net.ipv4: this is not a parameter, but a group"),
        ("net.ipv6.bindv6only", "on", "net.ipv6.bindv6only: 'on' is not 0 or 1"),
        ("../etc", 1, "../etc: not the name of a kernel parameter"),
        (NAME, None, f"{NAME}: expected the value of this parameter, found nothing"),
        (NAME, "no", f"{LIVE}: the kernel does not take 'no': Invalid argument"),
        ("net.ipv4.ip_local_port_range", "9 1", f"{RANGE}: the kernel does not take '9 1': Invalid argument"),
        (5, 1, "name: expected the name of a kernel parameter, found a int"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_changed(
    modules: Any, etc: Path, name: Any, value: Any, said: str
) -> None:
    before = LIVE.read_text(), RANGE.read_text()
    done = modules.ipv6.parameter(name, value)
    assert (done["result"], done["changes"], done["comment"][: len(said)]) == (False, {}, said)
    assert list(etc.iterdir()) == [] and (LIVE.read_text(), RANGE.read_text()) == before


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"sysctl": {}}, f"ipv6:sysctl:{NAME}: expected the value of this parameter, found nothing"),
        ({"sysctl": {NAME: True}}, f"ipv6:sysctl:{NAME}: True is not a number or a text"),
        ({"sysctl": [1]}, "ipv6:sysctl: expected a mapping in the pillar, found a list"),
        ({"sysctl": {NAME: 1}, "lookup": {"sysctl_file": "/etc/passwd"}}, "ipv6:lookup:sysctl_file: '/etc/passwd' is"),
    ],
)
def test_the_key_of_a_wrong_pillar_is_named(loaders: Any, modules: Any, etc: Path, part: Any, said: str) -> None:
    loaders.modules.pack["__pillar__"]["ipv6"] = part
    done = modules.ipv6.parameter(NAME, pillar="ipv6:sysctl")
    assert (done["result"], done["comment"][: len(said)]) == (False, said)


def test_a_secret_is_not_shown(modules: Any, etc: Path) -> None:
    name, secret = "net.ipv6.conf.lo.stable_secret", "2001:db8::5ec"
    pillar = {name: secret}
    for done in (applied(modules, "ipv6.sysctl", pillar, test=True), applied(modules, "ipv6.sysctl", pillar)):
        assert done[name].changes, done
        assert "5ec" not in str([each.full_return for each in done.values()])
        assert "5ec" not in str([each.id for each in done.values()])
    assert modules.ipv6.parameter(name, "2001:0db8:0::5ec")["changes"] == {}, "the kernel writes it in full"


def test_a_secret_that_the_kernel_does_not_forget(modules: Any, etc: Path) -> None:
    """It had no value before: that cannot be put back, and is said."""
    made = sysctl_change.plan("net.ipv6.conf.default.stable_secret", "2001:db8::5ec", str(etc / "local.conf"))
    sysctl_change.apply(made)
    first, *others = sysctl_change.undo(made)
    with pytest.raises(CommandExecutionError, match="stable_secret: it had no value, and keeps this one until the"):
        first()
    for step in others:
        step()
    assert list(etc.iterdir()) == []


def test_a_file_that_no_boot_reads_is_refused(modules: Any, etc: Path, test: bool) -> None:
    for function in (modules.ipv6.parameter, modules.ipv6.parameter_absent):
        done = function(NAME, config="/etc/passwd", test=test)
        assert (done["result"], done["changes"]) == (False, {})
        assert done["comment"].startswith("config: '/etc/passwd' is not a file that is read at boot")


def test_a_parameter_on_which_a_daemon_depends_stays_at_boot(modules: Any, etc: Path, test: bool) -> None:
    """Two listeners on one port, as some daemons have them: with the kernel's default they would collide."""
    name, file = "net.ipv6.bindv6only", etc / "local.conf"
    assert modules.ipv6.parameter(name, 1)["result"] is True
    with socket.create_server(("0.0.0.0", 4949)), socket.socket(socket.AF_INET6) as other:
        other.bind(("::", 4949))
        other.listen()
        done = applied(modules, "ipv6.absent", {name: 1}, test=test)[name]
        assert (done.result, done.changes) == (True, {}), done
        assert done.comment.startswith(f"{name} stays in {file}. With the kernel's own 0, at its next start:\n")
        assert "tcp/4949" in done.comment and f"{name} = 1\n" in file.read_text()
    assert applied(modules, "ipv6.absent", {name: 1}, test=test)[name].changes
