"""What a host lacks, by what is installed on it."""

from __future__ import annotations

import os
import sys
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_managers as firewall_managers
import _dualstack_host_commands as host_commands
import _dualstack_needs as needs
import pytest
from salt.exceptions import SaltInvocationError

LOOKUP = {
    "packages": {
        "tunnel": ["iproute2", "iputils-ping"],
        "ifupdown": "ifupdown",
        "firewall": ["iptables", "iptables-persistent"],
        "sets": ["ipset", "ipset-persistent"],
        "wireguard": "wireguard-tools",
        "netaddr": "python3-netaddr",
        "dnspython": "python3-dnspython",
        "lexicon": "python3-lexicon",
    }
}
OURS, ONEDIR = "/usr/bin/python3", "/opt/saltstack/salt/bin/python3"
NOTHING: dict[str, Any] = {
    "there": "", "lacks": "", "packages": [], "distributions": [], "answers": {}, "refused": "", "removes": [],
    "awaits": "",
}  # fmt: skip


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed: packages, and what a Python can import, by its command as it is shown."""
    found: dict[str, str] = {}

    def failure(words: list[str], shown: str) -> str:
        assert shown.rpartition(" -c ")[2] in words[-1]
        return "" if shown in found else f"{words[0]} said: no module"

    monkeypatch.setattr(host_commands, "failure", failure)
    monkeypatch.setattr(os, "access", lambda path, mode: path in found and mode == os.X_OK)
    return found


def missing(host: dict[str, str], need: Any, ipv6: Any = None, lookup: Any = None, python: str = ONEDIR) -> Any:
    return needs.missing(
        need, LOOKUP if lookup is None else lookup, ipv6 or {}, lambda name: host.get(name, ""), python
    )


@pytest.mark.parametrize("need", ["tunnel", "firewall"])
def test_packages_of_tools(host: dict[str, str], need: str) -> None:
    names = LOOKUP["packages"][need]
    assert isinstance(names, list)
    found = missing(host, need)
    assert (found["there"], found["lacks"]) == ("", f"still missing: {'; '.join(names)}")
    assert (found["packages"], found["distributions"]) == (names, [])
    host[names[0]] = "1.0"
    assert missing(host, need)["lacks"] == f"still missing: {names[1]}"
    host[names[1]] = "1.0"
    assert (missing(host, need)["there"], missing(host, need)["lacks"]) == (f"installed: {', '.join(names)}", "")


def test_sets_need_packages_of_their_own(host: dict[str, str]) -> None:
    names = ["iptables", "iptables-persistent", "ipset", "ipset-persistent"]
    for need in ("firewall", "loader"):
        assert missing(host, need, {"firewall": {"sets": {"blocklist": []}}})["packages"] == names
        others: list[Any] = [{"firewall": {"sets": {}}}, {"firewall": {"sets": None}}, {"firewall": None}, {}]
        for without in others:
            assert missing(host, need, without)["packages"] == names[:2]
    found = missing(host, "firewall", {"firewall": {"sets": {"blocklist": []}}})
    assert found["answers"]["ipset-persistent"] == {"ipset-persistent/autosave": "false"}
    assert "iptables-persistent" in found["answers"] and "ipset-persistent" not in missing(host, "firewall")["answers"]
    assert (
        missing(host, "tunnel", {"firewall": {"sets": {"blocklist": []}}})["packages"] == LOOKUP["packages"]["tunnel"]
    )


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What apt would remove for a package; the fixture ``host`` has no apt."""
    removes: dict[str, str] = {}

    def output(words: list[str]) -> host_commands.Said:
        assert words[:2] == ["apt-get", "-s"]
        found = [f"Remv {removes[each]} [1.0]\n" for each in words if each in removes]
        return host_commands.Said(100 if "broken" in words else 0, "Reading\n" + "".join(found) + "Inst x\n", "")

    monkeypatch.setattr(host_commands, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(host_commands, "output", output)
    return removes


def test_packages_that_would_remove_others_are_refused(host: dict[str, str], apt: dict[str, str]) -> None:
    assert missing(host, "firewall")["refused"] == ""
    apt["iptables-persistent"] = "ufw:all"
    for need, ipv6 in (("firewall", {}), ("loader", {}), ("firewall", {"firewall": {"take_over": ["firewalld"]}})):
        found = missing(host, need, ipv6)
        assert found["refused"].startswith("to install iptables, iptables-persistent would remove ufw, so nothing was")
        assert found["removes"] == []
    apt["iputils-ping"] = "inetutils-ping"
    said = missing(host, "tunnel", {"firewall": {"take_over": ["ufw"]}})["refused"]
    assert said.endswith("or name other packages in ipv6:lookup:packages:tunnel")
    host["iputils-ping"] = "1.0"
    assert missing(host, "tunnel")["refused"] == "", "what is installed removes nothing"


def test_what_removes_a_manager_waits_until_it_has_been_taken_over(
    host: dict[str, str], apt: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    apt["iptables-persistent"] = "ufw"
    ipv6 = {"firewall": {"take_over": ["ufw"]}}
    found = missing(host, "firewall", ipv6)
    assert (found["refused"], found["packages"], found["lacks"]) == ("", ["iptables"], "still missing: iptables")
    host["iptables"] = "1.8"
    later = "installed: iptables; iptables-persistent comes once ufw has been taken over"
    assert missing(host, "firewall", ipv6)["there"] == later
    for enabled, awaits in ((True, "ufw has not been taken over"), (False, "")):
        monkeypatch.setattr(firewall_managers, "ufw_enabled", lambda enabled=enabled: enabled)
        found = missing(host, "loader", ipv6)
        assert (found["refused"], found["removes"], found["awaits"]) == ("", ["ufw"], awaits)
    host["iptables-persistent"] = "1.0"
    assert missing(host, "loader", ipv6)["there"] == "installed: iptables, iptables-persistent"


def test_an_apt_that_does_not_know_refuses_nothing(host: dict[str, str], apt: dict[str, str]) -> None:
    """It is asked again when it installs, with the same condition."""
    apt["broken"] = "ufw"
    assert missing(host, "tunnel", lookup={"packages": {"tunnel": ["broken"]}})["refused"] == ""


def test_nobody_is_asked_whether_the_live_rules_are_saved(host: dict[str, str]) -> None:
    """The installation of iptables-persistent would otherwise save what is there, Docker's rules as well."""
    questions = {f"iptables-persistent/autosave_{version}": "false" for version in ("v4", "v6")}
    (answers,) = missing(host, "firewall")["answers"].values()
    assert answers == questions
    for need in ("tunnel", "ifupdown", "netaddr", "dns"):
        assert missing(host, need)["answers"] == {}


def test_ifupdown_is_its_command(host: dict[str, str]) -> None:
    """Debian has other packages that bring it."""
    assert missing(host, "ifupdown") == {**NOTHING, "lacks": "still missing: /sbin/ifup", "packages": ["ifupdown"]}
    host["/sbin/ifup"] = ""
    assert missing(host, "ifupdown")["there"] == "installed: /sbin/ifup"


@pytest.mark.parametrize(
    ("need", "ipv6", "imports", "packages", "distributions"),
    [
        ("netaddr", {"dns": {"provider": "lexicon"}}, "netaddr", ["python3-netaddr"], ["netaddr"]),
        ("dns", {"dns": {"provider": "he"}}, "dns", ["python3-dnspython"], ["dnspython"]),
        ("dns", {"dns": 5}, "dns", ["python3-dnspython"], ["dnspython"]),
        ("dns", {}, "dns", ["python3-dnspython"], ["dnspython"]),
        (
            *("dns", {"dns": {"provider": "lexicon"}}, "dns, lexicon"),
            *(["python3-dnspython", "python3-lexicon"], ["dnspython", "dns-lexicon"]),
        ),
    ],
)
def test_libraries_of_the_python_that_runs_salt(
    host: dict[str, str], need: str, ipv6: Any, imports: str, packages: list[str], distributions: list[str]
) -> None:
    """The system's own gets them as packages, any other by its own pip."""
    for python, expected in (
        (OURS, {"packages": packages, "distributions": []}),
        (ONEDIR, {"packages": [], "distributions": distributions}),
    ):
        lacks = f"still missing: {python} said: no module"
        assert missing(host, need, ipv6, python=python) == {**NOTHING, "lacks": lacks, **expected}
        host[f"{python} -c import {imports}"] = ""
        assert missing(host, need, ipv6, python=python)["there"] == f"installed: {imports} for {python}"
        assert missing(host, need, ipv6, python=python)["lacks"] == ""


def test_a_library_that_cannot_be_imported_is_one_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the Python that runs this; what it says is one line, and no traceback."""
    monkeypatch.setitem(needs.LIBRARIES, "netaddr", ("json", "json"))
    found = missing({}, "netaddr", python=sys.executable)
    assert (found["there"], found["lacks"]) == (f"installed: json for {sys.executable}", "")
    monkeypatch.setitem(needs.LIBRARIES, "netaddr", ("no_such_library", "x"))
    shown = f"'{sys.executable} -c import no_such_library' ended with 1"
    lacks = f"still missing: {shown} and said: No module named 'no_such_library'"
    assert missing({}, "netaddr", python=sys.executable)["lacks"] == lacks


def test_the_pillar_says_what_packages_are_called_otherwise(host: dict[str, str]) -> None:
    ipv6 = {"lookup": {"packages": {"tunnel": ["iproute"], "ifupdown": ["ifupdown-ng"]}}}
    assert missing(host, "tunnel", ipv6)["packages"] == ["iproute"]
    assert missing(host, "ifupdown", ipv6)["packages"] == ["ifupdown-ng"]
    assert missing(host, "firewall", ipv6)["packages"] == ["iptables", "iptables-persistent"]
    for odd in (None, 5, {"packages": 5}, {"packages": None}):
        assert missing(host, "tunnel", {"lookup": odd})["packages"] == ["iproute2", "iputils-ping"]


@pytest.mark.parametrize("names", [None, [], 5, {"a": 1}, ["a", 1]])
def test_names_that_are_none_are_refused(host: dict[str, str], names: Any) -> None:
    for need in ("tunnel", "firewall", "ifupdown"):
        with pytest.raises(SaltInvocationError) as caught:
            missing(host, need, lookup={"packages": {need: names}})
        assert str(caught.value) == f"lookup:packages:{need}: expected the names of packages, found {names!r}"


def test_a_need_that_is_none_is_refused(host: dict[str, str]) -> None:
    for need in ("dnspython", None, 5):
        with pytest.raises(SaltInvocationError) as caught:
            missing(host, need)
        assert str(caught.value) == f"need: {need!r} is not one of tunnel, ifupdown, firewall, netaddr, dns, loader"


@pytest.mark.parametrize(
    ("need", "awaited", "test", "result"),
    [
        ("dns", ["tunnel", "dns"], True, None),
        ("dns", ["dns"], False, False),  # a run that gets here has not installed it
        ("dns", ["tunnel"], True, False),
        ("dns", [], True, False),
    ],
)
def test_what_this_run_would_install_first(need: str, awaited: list[str], test: bool, result: bool | None) -> None:
    def plan() -> converge.Plan:
        raise host_commands.NotInstalled("there is no such library", need)

    change = converge.Change("x", plan, lambda _: None, lambda _: [])
    done = converge.run("x", change, {converge.AWAITED: awaited}, test)
    later = "; this run installs it first, and only then shows what else changes" if result is None else ""
    assert (done["result"], done["changes"], done["comment"]) == (result, {}, f"there is no such library{later}")


def test_wireguard_needs_its_own_program(host: dict[str, str]) -> None:
    usual = LOOKUP["packages"]["tunnel"]
    wireguard: dict[str, Any] = {"carrier": "wireguard"}
    for pillar in ({"tunnel": wireguard}, {"tunnels": {"a": {}, "b": wireguard}}):
        assert missing(host, "tunnel", pillar)["packages"] == [*usual, "wireguard-tools"]
        assert "wireguard-tools" not in missing(host, "firewall", pillar)["packages"]
    others: tuple[Any, ...] = (
        {"tunnel": {"carrier": "gre"}},
        {"tunnels": [wireguard]},
        {"tunnel": "wireguard"},
        {"tunnel": None},
    )
    for other in others:
        assert missing(host, "tunnel", other)["packages"] == usual
