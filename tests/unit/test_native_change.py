"""Changes of the hoster's IPv6: planned by what ip(8) and the files say, carried out in order, and taken back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import _dualstack_boot_native as boot_native
import _dualstack_boot_units as boot_units
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_ip as host_ip
import _dualstack_native_change as native_change
import _dualstack_tunnel_manager as tunnel_manager
import _dualstack_tunnel_scripts as tunnel_scripts
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_surroundings as tunnel_surroundings
import _dualstack_tunnel_way_back as tunnel_way_back
import pytest
import tunnel_ifupdown
from salt.exceptions import CommandExecutionError

GIVEN: dict[str, Any] = {"interface": "eth0", "address": "2001:db8:1::8/64", "gateway": "fe80::1"}
ADDRESS = {"family": "inet6", "local": "2001:db8:1::8", "prefixlen": 64, "scope": "global"}
ROUTE = {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "metric": 1024}
OWN = "/etc/network/interfaces.d/eth0-ipv6"
STANZAS = "auto eth0\niface eth0 inet dhcp\n"


class Kernel:
    """What ip(8) says of an interface, and the commands that it is given."""

    def __init__(self) -> None:
        self.addresses: list[dict[str, Any]] = []
        self.routes: list[dict[str, Any]] = []
        self.done: list[str] = []
        self.fails = ""

    def look(self, words: list[str]) -> list[dict[str, Any]]:
        if "route" in words:
            return copy.deepcopy(self.routes)
        return [{"ifname": "eth0", "mtu": 1500, "flags": ["UP"], "addr_info": copy.deepcopy(self.addresses)}]

    def output(self, words: list[str], patience: float | None = None) -> host_commands.Said:
        command = " ".join(words)
        if self.fails and self.fails in command:
            return host_commands.Said(2, "", "RTNETLINK answers: no")
        self.done.append(command)
        if "addr" in words:
            self.addresses = [ADDRESS] if "replace" in words else []
        else:
            self.routes = [ROUTE] if "add" in words else []
        return host_commands.Said(0, "", "")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    """A host whose files are in a folder, with ifupdown."""
    found = Kernel()
    main, own = tmp_path / "interfaces", tmp_path / "eth0-ipv6"
    main.write_text(STANZAS)
    monkeypatch.setattr(host_ip, "look", found.look)
    monkeypatch.setattr(host_commands, "output", found.output)
    monkeypatch.setattr(tunnel_surroundings, "check_ipv6", lambda *_: None)
    monkeypatch.setattr(tunnel_scripts, "places", lambda: [str(tmp_path / "scripts" / "*")])
    monkeypatch.setattr(tunnel_scripts, "callers", lambda: [])
    monkeypatch.setattr(tunnel_manager, "interface", lambda name: {"name": name, "index": 2})
    monkeypatch.setattr(tunnel_manager, "evidence", lambda plugin: {})
    monkeypatch.setattr(tunnel_manager, "knows", lambda plugin, which: "")
    monkeypatch.setattr(boot_units, "start", lambda *_: boot_units.Start(True, "networking.service is enabled"))

    class Plugin:
        """ifupdown, whose folder is another one."""

        about = staticmethod(tunnel_ifupdown.about)

        @staticmethod
        def there(host: dict[str, str]) -> dict[str, str]:
            """The files where ifupdown looks for them."""
            found = {OWN if path == str(own) else path: text for path, text in host.items()}
            return {**found, "/etc/network/interfaces": "source /etc/network/interfaces.d/*\n"}

        @classmethod
        def native_read(cls, native: dict[str, Any], host: dict[str, str]) -> Any:
            return tunnel_ifupdown.native_read(native, cls.there(host))

        @classmethod
        def native_files(cls, native: dict[str, Any], host: dict[str, str]) -> Any:
            edits = tunnel_ifupdown.native_files(native, cls.there(host))
            return {str(own) if path == OWN else path: text for path, text in edits.items()}

    def read(name: str, choice: str, stacks: Any) -> tunnel_stack.Configuration:
        files = {str(each): each.read_text() for each in (main, own) if each.exists()}
        return tunnel_stack.Configuration("ifupdown", Plugin(), files, None)  # type: ignore[arg-type]

    monkeypatch.setattr(tunnel_stack, "read", read)
    return found


def planned(**more: Any) -> dict[str, Any]:
    return native_change.plan_present({**GIVEN, **more}, {})


def test_a_host_without_it(kernel: Kernel, tmp_path: Path) -> None:
    plan = planned()
    (path,) = plan["changes"]["files"]
    assert plan["changes"]["files"][path]["old"] == "absent"
    assert plan["changes"]["files"][path]["new"] == plan["files"][path].new.rstrip()
    assert plan["files"][path].mode == 0o644
    (image,) = native_change.before(plan)
    assert image.words == ("link", "eth0", "yes", "yes", ":", ":"), "the link stays, and no stack is told"
    assert image.texts["link"].splitlines() == [
        "ip -6 route del default via fe80::1 metric 1024 dev eth0",
        "ip -6 addr del 2001:db8:1::8/64 dev eth0",
    ]
    native_change.apply(plan)
    assert [each.split()[2] for each in kernel.done] == ["addr", "route"]
    assert planned()["changes"] == {}
    assert native_change.before(planned()) == []
    assert boot_native.look(GIVEN, {}) == (True, "the files of ifupdown have the addresses and the route of eth0")
    for step in native_change.undo(plan):
        step()
    assert (kernel.addresses, kernel.routes) == ([], [])
    assert not (tmp_path / "eth0-ipv6").exists()


def test_what_could_not_be_done_is_taken_back(kernel: Kernel, tmp_path: Path) -> None:
    kernel.fails = "route add"
    plan = planned()
    with pytest.raises(CommandExecutionError, match="RTNETLINK answers: no"):
        native_change.apply(plan)
    for step in native_change.undo(plan):
        step()
    assert kernel.done[1:] == ["ip -6 addr del 2001:db8:1::8/64 dev eth0"]
    assert (kernel.addresses, (tmp_path / "eth0-ipv6").exists()) == ([], False)


def test_somebody_else_has_changed_the_interface_meanwhile(kernel: Kernel, tmp_path: Path) -> None:
    plan = planned()
    kernel.routes = [ROUTE]
    with pytest.raises(host_files.Moved):
        native_change.apply(plan)
    assert (kernel.done, (tmp_path / "eth0-ipv6").exists()) == ([], False)
    for step in native_change.undo(plan):
        step()
    assert kernel.done == []


def test_the_files_have_the_metric_that_is_live(kernel: Kernel) -> None:
    kernel.addresses, kernel.routes = [ADDRESS], [{**ROUTE, "metric": 256}]
    assert list(planned()["changes"]) == ["files"]
    assert "metric 256 " in str(planned()["files"])
    assert "metric 512 " in str(planned(metric=512)["files"])


def test_it_goes_as_far_as_it_is_ours(kernel: Kernel, tmp_path: Path) -> None:
    native_change.apply(planned())
    with (tmp_path / "interfaces").open("a") as stream:
        stream.write("iface eth0 inet6 static\n  address 2001:db8:1::8/64\n")
    plan = native_change.plan_absent({"interface": "eth0"}, {})
    assert {key: list(each) for key, each in plan["changes"].items()} == {
        "files": [str(tmp_path / "eth0-ipv6")],
        "routes": ["default via fe80::1 metric 1024"],
    }
    native_change.apply(plan)
    assert (kernel.addresses, kernel.routes) == ([ADDRESS], []), "somebody else has the address in a file"
    assert native_change.plan_absent({"interface": "eth0"}, {})["changes"] == {}


@pytest.mark.parametrize(
    ("theirs", "goes"),
    [
        ("up ip -6 route add default via fe80::1 dev eth0 metric 512", True),
        ("up ip -6 route add default via fe80::2 dev eth0 metric 1024", True),
        ("up ip -6 route add default via fe80::1 dev eth0 metric 1024", False),
        ("gateway fe80::1", False),
    ],
)
def test_a_route_of_others_by_the_same_gateway_stays(kernel: Kernel, tmp_path: Path, theirs: str, goes: bool) -> None:
    """Ours goes, unless it is the same one that another file has."""
    native_change.apply(planned())
    with (tmp_path / "interfaces").open("a") as stream:
        stream.write(f"iface eth0 inet6 manual\n  {theirs}\n")
    kernel.routes = [ROUTE, {**ROUTE, "metric": 512}]
    changes = native_change.plan_absent({"interface": "eth0"}, {})["changes"]
    ours = {"default via fe80::1 metric 1024": {"old": "present", "new": "absent"}}
    assert changes.get("routes", {}) == (ours if goes else {})


def test_the_way_back_is_asked_for_and_not_where_nothing_changes(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def check(*words: Any, tunnel: bool) -> list[str]:
        asked.append(words)
        return ["told"] if not tunnel else []

    monkeypatch.setattr(tunnel_way_back, "check", check)
    assert planned()["warnings"] == ["told"]
    kernel.addresses, kernel.routes = [ADDRESS], [ROUTE]
    assert planned()["warnings"] == []
    ((name, live, target, _),) = asked
    assert (name, live["addresses"], target["routes"]) == ("eth0", {}, ["default via fe80::1 metric 1024"])
    assert live["link"] == target["link"]


def test_the_next_boot(kernel: Kernel) -> None:
    found = boot_native.look(GIVEN, {})
    assert found.holds is False
    assert "does not have what eth0 is declared to have" in found.comment
    assert "eth0 is not as declared now: " in found.comment


@pytest.mark.parametrize(("starts", "said"), [(False, "nothing brings eth0 up at boot"), (None, "is not known")])
def test_a_boot_that_does_not_start_the_network(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, starts: bool | None, said: str
) -> None:
    native_change.apply(planned())
    monkeypatch.setattr(boot_units, "start", lambda *_: boot_units.Start(starts, "networking.service is so"))
    found = boot_native.look(GIVEN, {})
    assert found.holds is starts
    assert "networking.service is so" in found.comment and said in found.comment


def test_a_stack_that_does_not_say_how_it_boots(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    native_change.apply(planned())
    about = {key: value for key, value in tunnel_ifupdown.about().items() if key != "boot"}
    monkeypatch.setattr(tunnel_ifupdown, "about", lambda: about)
    found = tunnel_stack.read("x", "auto", {})
    monkeypatch.setattr(type(found.plugin), "about", staticmethod(lambda: about))
    assert boot_native.look(GIVEN, {}) == (
        None,
        "the plug-in tunnel_ifupdown does not say whether a boot brings eth0 up",
    )


def test_a_plug_in_that_cannot_say(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {**tunnel_ifupdown.about(), "offers": ["native_read"]}
    monkeypatch.setattr(tunnel_ifupdown, "about", lambda: about)

    class Plugin:
        """Of somebody who has not heard of it."""

        about = staticmethod(lambda: about)

    found = tunnel_stack.Configuration("toy", Plugin(), {}, None)  # type: ignore[arg-type]
    monkeypatch.setattr(tunnel_stack, "read", lambda *_: found)
    with pytest.raises(CommandExecutionError, match=r"^stack: toy has eth0, .*\(it lacks native_files\)"):
        planned()
    monkeypatch.setattr(tunnel_stack, "read", lambda *_: found._replace(rivals=["netplan"]))
    with pytest.raises(CommandExecutionError, match="^stack: toy and netplan could configure eth0"):
        planned()


def test_an_interface_that_is_not_there(kernel: Kernel) -> None:
    with pytest.raises(CommandExecutionError, match="^interface: this host has no interface eth1; it has eth0$"):
        planned(interface="eth1")


@pytest.fixture
def rendering(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], bool]]:
    """A stack that renders its files; what it is asked to, and whether our own file is there by then."""
    about = {**tunnel_ifupdown.about(), "offers": [*tunnel_ifupdown.about()["offers"], "native_changed"]}
    monkeypatch.setattr(tunnel_ifupdown, "about", lambda: about)
    read, done = tunnel_stack.read, []

    def reading(name: str, choice: str, stacks: Any) -> tunnel_stack.Configuration:
        found = read(name, choice, stacks)
        plugin: Any = found.plugin
        plugin.about = staticmethod(lambda: about)
        plugin.native_changed = staticmethod(lambda native, host: [["render", native["interface"]]])
        return found

    def run(words: list[str], patience: float, shown: str = "") -> host_commands.Ended:
        done.append((words, bool(planned()["changes"].get("files"))))
        return host_commands.Ended(7 if kernel.fails == "render" else 0, lambda: f"'{shown}' ended with 7")

    monkeypatch.setattr(tunnel_stack, "read", reading)
    monkeypatch.setattr(host_commands, "run", run)
    return done


def test_what_is_rendered_follows_the_files_both_ways(kernel: Kernel, rendering: list[tuple[list[str], bool]]) -> None:
    plan = planned()
    (image,) = native_change.before(plan)
    assert image.words == ("link", "eth0", "yes", "yes", ":", ":", "render eth0")
    native_change.apply(plan)
    assert rendering == [(["render", "eth0"], False)], "once the file is there"
    for step in native_change.undo(plan):
        step()
    assert rendering[1:] == [(["render", "eth0"], True)], "once it has gone"
    kernel.addresses, kernel.routes = [ADDRESS], [ROUTE]
    (image,) = native_change.before(planned())
    assert (image.words[-1], image.texts["link"]) == ("render eth0", ""), "only a file is missing"


def test_nothing_is_rendered_where_no_file_changes(kernel: Kernel, rendering: list[tuple[list[str], bool]]) -> None:
    native_change.apply(planned())
    rendering.clear()
    kernel.routes = []
    plan = planned()
    (image,) = native_change.before(plan)
    assert image.words[4:] == (":", ":")
    native_change.apply(plan)
    assert (rendering, kernel.routes) == ([], [ROUTE])


def test_a_rendering_that_fails_is_told(kernel: Kernel, rendering: list[tuple[list[str], bool]]) -> None:
    kernel.fails = "render"
    with pytest.raises(CommandExecutionError, match="^'ifupdown, which renders eth0' ended with 7$"):
        native_change.apply(planned())


def test_an_address_of_dhcp_is_asked_for_anew(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    leased = {"family": "inet", "local": "192.0.2.7", "prefixlen": 24, "valid_life_time": 3600}
    kernel.addresses = [ADDRESS, leased, {**leased, "local": "192.0.2.8", "valid_life_time": 2**32 - 1}]
    kernel.routes = [ROUTE]
    assert planned()["warnings"] == [], "ifupdown does not"
    link = {"/run/systemd/netif/links/2": "NETWORK_FILE=/etc/systemd/network/20-eth0.network\n"}
    monkeypatch.setattr(tunnel_manager, "evidence", lambda plugin: link)
    (said,) = planned()["warnings"]
    assert said.startswith("interface: 192.0.2.7 comes from DHCP: the next time that systemd-networkd reads its files")
    host_files.write(planned()["files"])
    assert planned()["warnings"] == [], "nothing has changed for it"


def test_an_address_of_router_advertisements_that_networkmanager_does_not_keep(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    advertised = {"family": "inet6", "local": "2001:db8:9::7", "prefixlen": 64, "valid_life_time": 3600}
    kernel.addresses = [ADDRESS, advertised]
    kernel.routes = [ROUTE]
    assert planned()["warnings"] == [], "ifupdown keeps it"
    path = "/run/NetworkManager/system-connections/netplan-lan.nmconnection"
    for method, count in (("ignore", 1), ("auto", 0), ("manual", 0)):
        text = f"[connection]\ninterface-name=eth0\n[ipv4]\nmethod=auto\n[ipv6]\nmethod={method}\n"
        for each, expected in ((text, count), (text.replace("eth0", "eth1"), 0)):
            monkeypatch.setattr(tunnel_manager, "evidence", lambda plugin, held={path: each}: held)
            said = planned()["warnings"]
            assert len(said) == expected and all(
                one.startswith("interface: 2001:db8:9::7 comes from router advertisements, to which NetworkManager")
                for one in said
            ), (method, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "#!/bin/sh -e\n\n/sbin/ip -6 addr add 2001:db8:1::8/64 dev eth0\n",
            "address: {}, line 3 adds 2001:db8:1::8/64",
        ),
        ("ip -6 a a 2001:DB8:1::8 dev $IFACE || true\n", "address: {}, line 1 adds 2001:db8:1::8/128 to eth0 as well"),
        ("NIC=eth0\nip -6 route add default via fe80::1 dev $NIC\n", "gateway: {}, line 2 adds a route by fe80::1"),
        ("ip -6 addr add 2001:db8:1::8/64 dev\\\n eth0\n", "address: {}, line 1 adds 2001:db8:1::8/64 to eth0"),
        ('n=eth0\nip addr add 2001:db8:1::8/64 "dev" "$n"\n', "address: {}, line 2 adds 2001:db8:1::8/64 to eth0"),
        (
            "[Unit]\n[Service]\nExecStart=/usr/bin/ip -6 route add default via fe80::1 dev eth0\n",
            "gateway: {}, line 3 adds a route by fe80::1 to eth0 as well",
        ),
        ("ip -6 addr add 2001:db8:1::8/64 dev eth1\nip -6 addr add 2001:db8:1::9/64 dev eth0\n", ""),
        ("ip -6 route add 2001:db8::/32 via fe80::1 dev eth0\nip -6 addr del 2001:db8:1::8/64 dev eth0\n", ""),
        ("# ip -6 addr add 2001:db8:1::8/64 dev eth0\nip -6 route add default via fe80::1 dev eth0 table 7\n", ""),
    ],
)
def test_a_script_that_adds_the_same_is_said(kernel: Kernel, tmp_path: Path, text: str, said: str) -> None:
    script = tmp_path / "scripts" / "rc.local"
    script.parent.mkdir()
    script.write_text(text)
    found = planned()["warnings"]
    assert [each.partition(" to eth0")[0] for each in found] == [said.format(script).partition(" to eth0")[0]][
        : len(said)
    ]
