"""
IPv6 by the hoster on this host, as it is: live in the kernel, and in the files of the network stack that has the
interface. And whether this host can have it as declared: each check raises ``CommandExecutionError``, whose text begins
with the key that has to be changed, if any.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_host_ip as host_ip
import _dualstack_host_time as host_time
import _dualstack_native_files as native_files
import _dualstack_native_hooks as native_hooks
import _dualstack_native_interface as native_interface
import _dualstack_native_settings as native_settings
import _dualstack_tunnel_manager as tunnel_manager
import _dualstack_tunnel_others as tunnel_others
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import CommandExecutionError

OFFERS = ("native_read", "native_files")  # of a plug-in
DETECTION = 3.0  # seconds that duplicate address detection takes at most, with the kernel's settings (RFC 4862)
PAUSE = 0.2  # seconds
FOREVER = 2**32 - 1  # seconds, as the kernel says it


class Sight(NamedTuple):
    """The result of inspecting this host once."""

    native: dict[str, Any]  # as it was asked for, with the `index` of the interface
    configuration: tunnel_stack.Configuration
    host: dict[str, str]  # the texts of the stack's files, and of what shows what it has up, by path
    facts: list[native_files.Fact]
    link: dict[str, Any]  # as ip(8) reports it
    routes: list[dict[str, Any]]  # the IPv6 default routes, likewise


def look(native: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> Sight:
    """
    Inspect the interface.

    native
        In canonical form; or its ``interface`` and ``stack``.
    stacks
        The available network stacks.

    Raises ``CommandExecutionError`` where there is no such interface, where no stack configures it, and where that
    cannot be read.
    """
    name = native["interface"]
    which = tunnel_manager.interface(name)
    found, routes = link(name), default_routes()
    configuration = _configuration(which, native["stack"], stacks)
    if configuration.rivals:
        names = " and ".join([configuration.stack, *configuration.rivals])
        raise CommandExecutionError(f"stack: {names} could configure {name}; expected the name of one of them")
    plugin = configuration.plugin
    lacks = [each for each in OFFERS if each not in plugin.about().get("offers", [])]
    if lacks:
        raise CommandExecutionError(
            f"stack: {configuration.stack} has {name}, and its plug-in cannot say what its files have of IPv6 "
            f"(it lacks {', '.join(lacks)}); expected another stack"
        )
    host = {**configuration.files, **tunnel_manager.evidence(plugin)}
    whole = {**native, "index": which["index"]}
    return Sight(whole, configuration, host, plugin.native_read(whole, host), found, routes)


def _configuration(
    which: tunnel_manager.Interface, choice: str, stacks: tunnel_stack.Stacks
) -> tunnel_stack.Configuration:
    """That of the stack which has this interface up; where none has, of the one that has the host's others."""
    file = native_settings.file_name(which["name"])
    if choice != tunnel_stack.AUTO and choice not in stacks:
        expected = ", ".join([tunnel_stack.AUTO, *stacks])
        raise CommandExecutionError(f"stack: {choice!r} is not a network stack that is supported; expected {expected}")
    if choice == tunnel_stack.AUTO:
        asked: tunnel_manager.Answers = {}
        having = [
            each
            for each, plugin in stacks.items()
            if tunnel_manager.knows(plugin, which) and not tunnel_manager.refusal(each, plugin, True, asked)
        ]
        choice = having[0] if len(having) == 1 else choice
    return tunnel_stack.read(file, choice, stacks)


def link(name: str) -> dict[str, Any]:
    """
    An interface, as ip(8) reports it.

    name
        Its name.

    Raises ``CommandExecutionError`` where there is none.
    """
    every = host_ip.look(["-d", "addr", "show"])
    found = next((each for each in every if each["ifname"] == name), None)
    if found is None:
        names = ", ".join(each["ifname"] for each in every if each["ifname"] != "lo")
        raise CommandExecutionError(f"interface: this host has no interface {name}; it has {names or 'none but lo'}")
    return found


def default_routes() -> list[dict[str, Any]]:
    """The IPv6 default routes of this host, as ip(8) reports them."""
    return [each for each in host_ip.look(["-6", "route", "show", "default"]) if each.get("type") != "unreachable"]


def live(native: Mapping[str, Any]) -> native_interface.View:
    """
    What the interface has now of what is declared.

    native
        In canonical form.
    """
    return native_interface.live(native, link(native["interface"]), default_routes())


def await_addresses(native: Mapping[str, Any]) -> None:
    """
    Wait until no address is tentative, or as long as duplicate address detection takes with the kernel's settings.

    native
        In canonical form.

    Raises ``CommandExecutionError`` for one that another host has.
    """
    end = time.monotonic() + host_time.left(DETECTION)
    hosts = [each.partition("/")[0] for each in native["addresses"]]
    while True:
        held = [each for each in link(native["interface"]).get("addr_info", []) if each["local"] in hosts]
        for each in held:
            if each.get("dadfailed"):
                raise CommandExecutionError(duplicate(native, each["local"]))
        if not any(each.get("tentative") for each in held) or time.monotonic() > end:
            return
        time.sleep(PAUSE)


def duplicate(native: Mapping[str, Any], host: str) -> str:
    """
    What is said of an address that another host has as well.

    native
        In canonical form.
    host
        The address.
    """
    key = "address" if native["address"].partition("/")[0] == host else "addresses"
    return f"{key}: {host} is a duplicate: another host at {native['interface']} has it"


def check_link(seen: Sight) -> None:
    """
    The interface is up, and not a part of another one.

    seen
        From :py:func:`look`.
    """
    name = seen.native["interface"]
    if seen.link.get("linkinfo", {}).get("info_slave_kind") == "vrf":
        raise CommandExecutionError(
            f"interface: {name} is in the VRF {seen.link.get('master')}, whose table has its routes; expected one that "
            "is in none"
        )
    if "master" in seen.link:
        raise CommandExecutionError(
            f"interface: {name} is a part of {seen.link['master']}, which has the addresses; expected that"
        )
    if "UP" not in seen.link["flags"]:
        raise CommandExecutionError(f"interface: {name} is down; its network stack has to bring it up first")


def check_live(seen: Sight, now: native_interface.View, target: native_interface.View) -> None:
    """
    Nobody else has what is declared: another host an address, or another route the metric.

    seen
        From :py:func:`look`.
    now, target
        The interface as it is, and as it is to be.
    """
    for address, how in now["addresses"].items():
        if how == native_interface.DUPLICATE:
            raise CommandExecutionError(duplicate(seen.native, address.partition("/")[0]))
    if set(target["routes"]) <= set(now["routes"]):
        return
    for each in native_interface.rivals(seen.native, seen.routes, target):
        way = f"via {each['gateway']} dev {each['dev']}" if "gateway" in each else "by several next hops"
        raise CommandExecutionError(
            f"metric: this host has an IPv6 default route of metric {each['metric']} already, {way}, and the kernel "
            "has one of each metric; expected another: the least comes first"
        )


def warnings(seen: Sight, now: native_interface.View) -> list[str]:
    """
    What does not prevent it from working, but may be a mistake.

    seen
        From :py:func:`look`.
    now
        The interface as it is.
    """
    gateway, name = seen.native["gateway"], seen.native["interface"]
    advertised = [
        each
        for each in seen.routes
        if (each.get("dev"), each.get("gateway"), each.get("protocol")) == (name, gateway, native_interface.ADVERTISED)
    ]
    said = [
        f"address: {each} is the prefix itself, by which its routers are called (RFC 4291, section 2.6.1); not every "
        "hoster lets a host have it"
        for each in seen.native["addresses"]
        if native_settings.anycast(each) and each not in now["addresses"]
    ]
    said += native_files.undeprecated(seen.native, seen.facts)
    hosts = [each.partition("/")[0] for each in seen.native["addresses"]]
    said += [
        f"address: {each['local']} is there for {each['valid_life_time']} seconds only: it comes from router "
        "advertisements or DHCPv6, and goes with them"
        for each in seen.link.get("addr_info", [])
        if each["local"] in hosts and each.get("valid_life_time", FOREVER) < FOREVER
    ]
    only = len({each.split()[-1] for each in now["routes"]}) == len(advertised)
    if advertised and only:
        said.append(f"gateway: the live route via {gateway} comes from router advertisements, and goes with them")
    return said


def scripted(native: Mapping[str, Any]) -> list[str]:
    """
    The scripts that add the same as well. Nobody knows whether they run; but one that does fails there, and a
    ``/etc/rc.local`` of Debian's ends with the first command that fails.

    native
        In canonical form.
    """
    name, hosts = native["interface"], [each.partition("/")[0] for each in native["addresses"]]
    said = []
    for path, text in tunnel_others.scripts():
        for line, each in native_hooks.of_script(text, name):
            same = each.address.partition("/")[0] in hosts or each.gateway == native["gateway"]
            if same:
                key, thing = ("address", each.address) if each.address else ("gateway", f"a route by {each.gateway}")
                said.append(
                    f"{key}: {path}, line {line} adds {thing} to {name} as well, which fails where it is there "
                    "already; take it out of there"
                )
    return said


def asked_anew(seen: Sight) -> list[str]:
    """
    What a network stack lets go of when it reads another configuration of the interface: systemd-networkd what DHCP has
    given; and NetworkManager, where netplan had left IPv6 to the kernel, what router advertisements have.

    seen
        From :py:func:`look`.

    Source: link_reconfigure_impl() of systemd 252, and seen: 35 ms later, the server's answer is there. netplan's
    src/nm.c: the method is ``ignore`` without addresses, ``manual`` with some, and ``auto`` with ``dhcp6``.
    """
    held = [each for each in seen.link.get("addr_info", []) if each.get("valid_life_time", FOREVER) < FOREVER]
    if native_files.network_file(seen.native, seen.host):
        return [
            f"interface: {each['local']} comes from DHCP: the next time that systemd-networkd reads its files, as at "
            "'networkctl reload', it asks for it anew"
            for each in held
            if each["family"] == "inet"
        ]
    if not native_files.ignoring(seen.native, seen.host):
        return []
    return [
        f"interface: {each['local']} comes from router advertisements, to which NetworkManager does not listen from "
        "the next boot on: netplan's files have addresses then; expected 'dhcp6: true' there, if it is to stay"
        for each in held
        if each["family"] == "inet6"
        and each["local"] not in [host.partition("/")[0] for host in seen.native["addresses"]]
    ]
