"""What the next boot starts and sets: units, scripts of sysvinit, services, kernel parameters, and the tunnel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import _dualstack_boot_judgement as boot_judgement
import _dualstack_boot_units as boot_units
import _dualstack_converge as converge
import _dualstack_plugins as plugins
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_ifupdown
from saltfactories.utils.functional import Loaders

from .. import booted
from ..firewall import netfilter
from . import daemons

UNITS = Path("/etc/systemd/system")
APACHE = booted.WANTS / "apache2.service"
NAME = "net.ipv6.conf.lo.hop_limit"
SYSCTL = Path("/etc/sysctl.d/local.conf")


@pytest.fixture(autouse=True)
def _etc(tmp_path: Path) -> Iterator[None]:
    """A Debian that systemd boots; afterwards its files are as they were."""
    with booted.kept(tmp_path, Path("/etc")):
        yield


class Known:
    """The plug-ins, from Salt's loader."""

    def __init__(self, loaders: Loaders) -> None:
        functions = loaders.modules
        self.stacks = plugins.stacks(functions)
        self.services = plugins.services(functions)


@pytest.fixture
def known(loaders: Loaders) -> Known:
    return Known(loaders)


# ------------------------------------------------------------------------------------------------------------
# Units and scripts


def unit(name: str, text: str = "", wanted: str = "") -> Path:
    """A unit of this host's administrator, and the one that it is started with."""
    path = UNITS / name
    path.write_text(text or "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    if wanted:
        folder = UNITS / f"{wanted}.wants"
        folder.mkdir(exist_ok=True)
        (folder / name).symlink_to(path)
    return path


def test_a_unit_that_is_enabled_disabled_masked_or_gone() -> None:
    assert boot_units.start(["apache2.service"], "apache2") == (True, "apache2.service is enabled")
    APACHE.unlink()
    assert boot_units.start(["apache2.service"], "apache2") == (False, "apache2.service is disabled")
    (UNITS / "apache2.service").symlink_to("/dev/null")
    assert boot_units.start(["apache2.service"], "apache2") == (False, "apache2.service is masked")
    (UNITS / "apache2.service").unlink()
    assert boot_units.start(["nothing.service"]) == (False, "there is no unit nothing.service")


def test_a_link_to_a_unit_that_was_removed_starts_nothing() -> None:
    (booted.WANTS / "gone.service").symlink_to("/lib/systemd/system/gone.service")
    assert boot_units.start(["gone.service"]).starts is False


def test_a_unit_by_its_other_name_and_by_its_socket() -> None:
    assert boot_units.start(["bind9.service"]) == (True, "named.service is enabled")
    assert boot_units.start(["ssh.service"]).starts is True
    (booted.WANTS / "ssh.service").unlink()
    assert boot_units.start(["ssh.service"]).starts is False  # its alias sshd.service is still there
    (UNITS / "sockets.target.wants" / "ssh.socket").symlink_to("/lib/systemd/system/ssh.socket")
    assert boot_units.start(["ssh.service"]) == (True, "ssh.socket is enabled")


def test_a_unit_counts_if_something_starts_it_that_is_started() -> None:
    unit("one.service", wanted="two.service")
    assert boot_units.start(["one.service"]).starts is False
    unit("two.service", wanted="three.target")
    assert boot_units.start(["one.service"]).starts is False
    unit("three.target", "[Unit]\nDescription=x\n", wanted="multi-user.target")
    assert boot_units.start(["one.service"]).starts is True
    unit("four.service", "[Service]\nExecStart=/bin/true\n")
    assert boot_units.start(["four.service"]) == (
        None,
        "four.service is static: whether the next boot starts it depends on others",
    )
    unit("one.service", wanted="one.service")  # in a circle
    assert boot_units.start(["one.service"]).starts is True


def test_an_instance_counts_by_its_pattern() -> None:
    assert boot_units.start(["apache2@*.service"]).starts is False
    (booted.WANTS / "apache2@one.service").symlink_to("/lib/systemd/system/apache2@.service")
    assert boot_units.start(["apache2@*.service"]) == (True, "apache2@one.service is started with multi-user.target")


def test_a_boot_that_goes_elsewhere() -> None:
    (UNITS / "default.target").symlink_to("/lib/systemd/system/rescue.target")
    assert boot_units.start(["apache2.service"]).starts is None


def test_a_script_without_a_unit_with_systemd() -> None:
    assert boot_units.start(["mumble-server.service"], "mumble-server").starts is True
    for each in Path("/etc").glob("rc?.d/S*mumble-server"):
        each.unlink()
    assert boot_units.start(["mumble-server.service"], "mumble-server") == (
        False,
        "/etc/init.d/mumble-server has no link in /etc/rc[2-5].d",
    )


def test_with_sysvinit_scripts_count_in_the_default_runlevel() -> None:
    booted.INIT.unlink()
    booted.INIT.write_text("#!/bin/sh\n")
    inittab = Path("/etc/inittab")
    inittab.write_text("# id:5:initdefault:\nid:3:initdefault:\n")
    APACHE.unlink()
    assert boot_units.start(["apache2.service"], "apache2") == (True, "/etc/rc3.d/S01apache2")
    Path("/etc/rc3.d/S01apache2").unlink()
    assert boot_units.start(["apache2.service"], "apache2") == (
        False,
        "/etc/init.d/apache2 has no link in /etc/rcS.d and /etc/rc3.d",
    )
    inittab.write_text("")
    assert boot_units.start(["apache2.service"], "apache2") == (True, "/etc/rc2.d/S01apache2")
    assert boot_units.start(["epmd.service"]).starts is False


# ------------------------------------------------------------------------------------------------------------
# Services


@pytest.fixture
def apache(request: pytest.FixtureRequest) -> None:
    """Apache runs."""
    request.addfinalizer(lambda: daemons.stop("apache2", 80))
    daemons.start("apache2", 80)


def services(known: Known, **given: Any) -> converge.Finding:
    return boot_judgement.parts({"services": given}, known)["services"]


@pytest.mark.usefixtures("apache")
def test_a_service_that_runs_has_to_be_started_at_boot(known: Known) -> None:
    assert services(known, apache2=None) == (True, "the boot starts apache2")
    APACHE.unlink()
    assert services(known, apache2={"ports": [80]}, dovecot=None) == (
        False,
        "apache2: it runs now, and the boot does not start it: apache2.service is disabled: 'systemctl enable apache2'",
    )


def test_a_service_that_does_not_run_need_not_be_started(known: Known) -> None:
    APACHE.unlink()
    assert services(known, apache2=None) == (
        True,
        "apache2 does not run now, and the boot does not start it (apache2.service is disabled)",
    )


@pytest.mark.usefixtures("apache")
def test_a_service_of_which_it_is_not_known(known: Known) -> None:
    APACHE.unlink()
    unit("apache2.service", "[Service]\nExecStart=/bin/true\n")
    found = services(known, apache2=None)
    assert (found.holds, "apache2.service is static" in found.comment) == (None, True)


def test_socket_units_of_the_pillar_and_of_its_ports(known: Known) -> None:
    assert services(known, systemd={"units": ["epmd.socket"]}) == (True, "the boot starts epmd.socket")
    assert services(known, systemd={"ports": [22]}) == (
        False,
        "ssh.socket: the pillar has it, and the boot does not start it: ssh.socket is disabled: "
        "'systemctl enable ssh.socket'",
    )
    assert services(known, systemd={"ports": [2222]}) == (None, "systemd: no unit listens on its ports in the pillar")
    assert services(known, systemd=None) == (True, "systemd listens for nothing now")


def test_socket_units_that_are_up(known: Known, shadows: Path, request: pytest.FixtureRequest) -> None:
    """As if systemd were process 1."""
    folder = Path("/run/systemd/system")
    folder.mkdir(parents=True)
    request.addfinalizer(folder.rmdir)
    units = "dbus.socket loaded active running D-Bus\nssh.socket loaded active listening SSH"
    program = shadows / "systemctl"
    program.write_text(
        f"#!/bin/sh\ncase $1 in list-units) echo '{units}' ;; *) exec /usr/bin/systemctl \"$@\" ;; esac\n"
    )
    program.chmod(0o755)
    said = "ssh.socket: it is up now, and the boot does not start it: ssh.socket is disabled"
    found = services(known, systemd=None)
    assert (found.holds, found.comment.startswith(said)) == (False, True)
    (UNITS / "sockets.target.wants" / "ssh.socket").symlink_to("/lib/systemd/system/ssh.socket")
    assert services(known, systemd={}) == (True, "the boot starts ssh.socket")
    program.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    found = services(known, systemd=None)
    assert (found.holds, "Failed to connect to bus" in found.comment) == (None, True)


def test_listeners_that_change_with_a_kernel_parameter(known: Known) -> None:
    daemons.BINDV6ONLY.write_text("1")
    found = services(known, apache2=None)
    assert found == (
        False,
        "net.ipv6.bindv6only is 1 now, and 0 after the boot (no file sets it): daemons may listen in another way then",
    )
    SYSCTL.write_text("net.ipv6.bindv6only = 1\n")
    assert services(known, apache2=None).holds is True
    daemons.BINDV6ONLY.write_text("0")
    found = services(known, apache2=None)
    assert (found.holds, f"0 now, and 1 after the boot ({SYSCTL}:1)" in found.comment) == (False, True)


# ------------------------------------------------------------------------------------------------------------
# Kernel parameters


def parameters(known: Known, value: Any = 33) -> converge.Finding:
    return boot_judgement.parts({"sysctl": {NAME: value}}, known)["sysctl"]


@pytest.fixture
def hops() -> Iterator[None]:
    """The parameter is live, and a file sets it."""
    live = Path("/proc/sys") / NAME.replace(".", "/")
    before = live.read_text()
    live.write_text("33")
    SYSCTL.write_text(f"# ours\n{NAME} = 33\n")
    yield
    live.write_text(before)


@pytest.mark.usefixtures("hops")
def test_a_parameter_that_a_file_sets(known: Known) -> None:
    assert parameters(known) == (True, f"the files set what is live: {NAME}")
    SYSCTL.unlink()
    assert parameters(known) == (False, f"{NAME}: no file sets it at boot, expected 33")


@pytest.mark.usefixtures("hops")
def test_a_parameter_that_a_later_file_sets_to_something_else(known: Known) -> None:
    later = Path("/etc/sysctl.d/zz.conf")
    later.write_text(f"\n\n{NAME}=34\n")
    # systemd does not run here, so that the files are read as procps reads them.
    assert parameters(known) == (
        False,
        f"{later}:3: it sets {NAME} to 34 at boot, expected 33\n"
        f"{later}:3: {NAME} is 33 now, and not what this line sets at boot",
    )
    assert parameters(known, 34).comment == f"{later}:3: {NAME} is 33 now, and not what this line sets at boot"


def test_a_parameter_that_is_not_there_yet(known: Known) -> None:
    name = "net.ipv6.conf.he-ipv6.accept_ra"
    SYSCTL.write_text(f"{name} = 0\n")
    found = boot_judgement.parts({"sysctl": {name: 0}}, known)["sysctl"]
    assert found == (True, f"the files set what is live; {name} is not there now: {name}")


def test_a_boot_without_ipv6(known: Known) -> None:
    pillar = {"sysctl": {"net.ipv6.conf.all.forwarding": 0}}
    SYSCTL.write_text("net.ipv6.conf.all.forwarding = 0\n")
    assert boot_judgement.look(pillar, known).holds is True
    for name in ("all", "default", "lo"):
        SYSCTL.write_text(f"net.ipv6.conf.all.forwarding = 0\nnet.ipv6.conf.{name}.disable_ipv6 = 1\n")
        assert boot_judgement.look(pillar, known) == (
            False,
            f"kernel: {SYSCTL}:2: it sets net.ipv6.conf.{name}.disable_ipv6 to 1 at boot: "
            "IPv6 is there now, and not then\n"
            "sysctl: the files set what is live: net.ipv6.conf.all.forwarding",
        )
    SYSCTL.write_text("net.ipv6.conf.all.forwarding = 0\nnet.ipv6.conf.he-ipv6.disable_ipv6 = 1\n")
    assert boot_judgement.look(pillar, known).holds is True
    assert boot_judgement.parts({**pillar, "tunnel": TUNNEL}, known)["kernel"].holds is False
    SYSCTL.write_text("net.ipv6.conf.all.forwarding = 0\n")
    grub = Path("/etc/default/grub")
    grub.write_text('#\n#GRUB_CMDLINE_LINUX="ipv6.disable=1"\nGRUB_CMDLINE_LINUX="quiet ipv6.disable=1"\n')
    found = boot_judgement.look(pillar, known)
    assert (found.holds, f"kernel: {grub}:3: the kernel starts without IPv6" in found.comment) == (False, True)


# ------------------------------------------------------------------------------------------------------------
# The tunnel, whose interface needs a kernel of its own: here only its files are real

TUNNEL: dict[str, Any] = {
    **{"endpoint": "192.0.2.1", "local": "192.0.2.2", "address": "2001:db8::2/64", "gateway": "2001:db8::1"},
}
MAIN, OWN = Path("/etc/network/interfaces"), Path("/etc/network/interfaces.d/he-ipv6")


@pytest.fixture
def tunnel(known: Known, monkeypatch: pytest.MonkeyPatch) -> Any:
    """It is up, and configured as the state does it."""
    complete = tunnel_sit.canonical(TUNNEL)
    live: Any = tunnel_interface.wanted(complete)
    monkeypatch.setattr(tunnel_interface, "parse", lambda name, links, routes: live)
    MAIN.write_text("auto lo\niface lo inet loopback\n")
    OWN.parent.mkdir(exist_ok=True)
    for path, text in tunnel_ifupdown.present(complete, {str(MAIN): MAIN.read_text()}).items():
        Path(path).write_text(text)
    return lambda: boot_judgement.parts({"tunnel": TUNNEL}, known)["tunnel"]


def test_a_tunnel_that_comes_up(tunnel: Any) -> None:
    assert tunnel() == (True, "ifupdown brings he-ipv6 up as it is live (networking.service is enabled)")


def test_a_tunnel_whose_file_nobody_reads(tunnel: Any) -> None:
    MAIN.write_text("auto lo\niface lo inet loopback\n")
    assert tunnel() == (False, f"{OWN}: no file that ifupdown reads at boot includes it")
    OWN.unlink()
    assert tunnel() == (False, "ifupdown has no he-ipv6 in its files")


def test_a_tunnel_that_is_not_brought_up(tunnel: Any) -> None:
    text = OWN.read_text()
    said = f"{MAIN}, {OWN}: he-ipv6 is not among what ifupdown brings up at boot"
    for line in ("", "allow-hotplug he-ipv6", "#auto he-ipv6", "auto he-ipv60", "no-auto-down he-ipv6"):
        OWN.write_text(text.replace("auto he-ipv6", line))
        assert tunnel() == (False, said), line
    for line in ("auto eth0 he-ipv6", "allow-auto he-ipv6 eth0", "auto eth0 \\\n  he-ipv6"):
        OWN.write_text(text.replace("auto he-ipv6", line))
        assert tunnel().holds is True, line
    defaults = Path("/etc/default/networking")
    for line in ("CONFIGURE_INTERFACES=no", 'EXCLUDE_INTERFACES="eth1 he-ipv6"'):
        defaults.write_text(f"#\n{line}\n")
        assert tunnel() == (False, f"{defaults}:2: with this line, ifupdown does not bring he-ipv6 up at boot")


def test_a_tunnel_that_is_configured_otherwise(tunnel: Any) -> None:
    OWN.write_text(OWN.read_text().replace("mtu 1480", "mtu 1400"))
    found = tunnel()
    assert found.holds is False
    assert found.comment.startswith("the files of ifupdown and the live tunnel differ: ")


def test_a_tunnel_that_is_not_up(tunnel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_interface, "parse", lambda name, links, routes: None)
    assert tunnel() == (False, "the files of ifupdown and the live tunnel differ: he-ipv6 is not up now")


def test_a_network_that_no_boot_brings_up(tunnel: Any) -> None:
    (UNITS / "networking.service").symlink_to("/dev/null")
    assert tunnel() == (
        False,
        "networking.service is masked: nothing brings he-ipv6 up at boot: 'systemctl unmask networking'",
    )


def test_a_host_with_another_ifup(tunnel: Any, known: Known, shadows: Path) -> None:
    other = shadows / "ifup"
    other.write_text("#!/bin/sh\necho ifupdown-ng 0.12\n")
    other.chmod(0o755)
    assert tunnel() == (False, "ifupdown_ng has no he-ipv6 in its files")
    known.stacks = {"ifupdown": known.stacks["ifupdown"]}
    found = tunnel()
    assert (found.holds, found.comment.startswith("this could not be found out: ")) == (None, True)


def test_a_stack_that_does_not_say_how_it_boots(tunnel: Any, known: Known) -> None:
    about = {key: value for key, value in tunnel_ifupdown.about().items() if key not in ("boot", "offers")}
    names = ("recognise", "roots", "includes", "parse")
    toy = SimpleNamespace(about=lambda: about, **{name: getattr(tunnel_ifupdown, name) for name in names})
    known.stacks = cast(Any, {"ifupdown": toy})
    assert tunnel() == (None, "the plug-in tunnel_ifupdown does not say whether a boot brings he-ipv6 up")


@pytest.mark.usefixtures("apache")
def test_a_host_as_a_whole(tunnel: Any, known: Known, modules: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(netfilter.reset)
    assert tunnel().holds is True
    firewall = {"tables": {"filter": {"INPUT": {"rules": ["-i lo -j ACCEPT"]}}}}
    done = modules.dualstack_iptables.ruleset("firewall", test=False, **firewall)
    assert done["result"] is True, done["comment"]
    SYSCTL.write_text("net.ipv6.conf.all.forwarding = 0\n")
    sysctl = {"net.ipv6.conf.all.forwarding": 0}
    pillar = {"tunnel": TUNNEL, "firewall": firewall, "sysctl": sysctl, "services": {"apache2": None}}
    found = boot_judgement.look(pillar, known)
    assert found.holds is True, found.comment
    assert [line.partition(":")[0] for line in found.comment.split("\n")] == [*pillar, "kernel"]
    APACHE.unlink()
    assert boot_judgement.look(pillar, known).holds is False
    found = boot_judgement.look({**pillar, "firewall": {**firewall, "save": False}, "services": {}}, known)
    assert found.holds is None
    assert found.comment.startswith("firewall: not saved, as the pillar says")  # what is not so comes first


def test_nothing_to_look_at_is_no_proof(known: Known) -> None:
    found = boot_judgement.look({"dns": {"names": ["www.example.org"]}}, known)
    assert (found.holds, "nothing was looked at" in found.comment) == (None, True)
