"""
What else changes the firewall at the next boot, beside netfilter-persistent: other programs for firewalls, and scripts,
each with the file and the line.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import _dualstack_boot_loader as boot_loader
import _dualstack_boot_text as boot_text
import _dualstack_boot_units as boot_units
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_secrets_said as secrets_said

NFTABLES = "nftables.service"
NFTABLES_FILE = "/etc/nftables.conf"
# Programs that load rules of their own, by their units and scripts; and the line of a file without which they do not.
FIREWALLS: Mapping[str, tuple[str, str]] = {
    "ufw": ("/etc/ufw/ufw.conf", r"\s*ENABLED\s*=\s*[\"']?yes\b"),
    "ferm": ("/etc/default/ferm", r"\s*ENABLED\s*=\s*[\"']?yes\b"),
    "firehol": ("/etc/default/firehol", r"\s*START_FIREHOL\s*=\s*[\"']?yes\b"),
    **{
        name: ("", "")
        for name in (
            "firewalld shorewall shorewall6 shorewall-lite shorewall6-lite arno-iptables-firewall uruk vuurmuur csf "
            "lfd apf firestarter ipkungfu foomuuri awall"
        ).split()
    },
}
# Units and scripts whose rules are in chains of their own, which the firewall keeps; the loader; wg-quick(8).
OTHERS = re.compile(
    r"netfilter-persistent|nftables|docker|containerd|podman(?:-\w+)*|netavark[\w-]*|fail2ban(?:-client|-server)?"
    r"|libvirtd?|libvirt-guests(?:\.sh)?|virt\w+d|lxc(?:-net)?|lxd|incus\w*|k3s|kubelet|kube-proxy|sshguard"
    r"|crowdsec(?:-firewall-bouncer)?|wg-quick"
)
# Folders whose files are run when a network comes up; those that run-parts(8) runs.
FOLDERS = (
    "/etc/network/if-pre-up.d",
    "/etc/network/if-up.d",
    "/etc/networkd-dispatcher/*.d",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/NetworkManager/dispatcher.d/pre-up.d",
    "/etc/dhcp/dhclient-enter-hooks.d",
    "/etc/dhcp/dhclient-exit-hooks.d",
    "/etc/ppp/ip-up.d",
    "/etc/ppp/ipv6-up.d",
)
WIREGUARD = "/etc/wireguard/{}.conf"
IFUPDOWN = "/etc/network/"
SOURCED = "/etc/dhcp/"  # whose files need not be executable
RC_LOCAL = "/etc/rc.local"
CRON = ("/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/*")
MOST = 1 << 18  # bytes of a script that are read
SHOWN = 100  # characters of a line


class Rivals(NamedTuple):
    """What changes the firewall at boot, and what may, in sentences with the file and the line."""

    certain: list[str]
    possible: list[str]


def found(network: Mapping[str, str]) -> Rivals:
    """
    All that changes the firewall at boot, as far as it is known without trying it; but what nftables.service does.

    network
        The texts of the files that the network stack reads, by path.

    Raises ``OSError``, and ``CommandExecutionError``.
    """
    known = [*_firewalls()]
    possible = [said for starts, said in known if starts is None]
    nftables = boot_units.start([NFTABLES])
    if nftables.starts is None:
        possible.append(f"whether nftables.service is started at boot is not known: {nftables.why}")
    return Rivals([said for starts, said in known if starts] + _commanded(network), possible)


def _commanded(network: Mapping[str, str]) -> list[str]:
    """The commands that a boot runs, one by one."""
    seen: set[str] = set()
    lines: list[str] = []
    for path, text in network.items():
        lines += _commands(path, boot_text.hooks(text), seen)
    for pattern in FOLDERS:
        if pattern.startswith(IFUPDOWN) and not host_commands.which("ifup"):
            continue  # nobody runs what other packages have there
        for path in sorted(glob.glob(f"{pattern}/*")):
            if os.access(path, os.X_OK) or path.startswith(SOURCED):
                lines += _script(path, seen)
    if os.access(RC_LOCAL, os.X_OK):
        lines += _script(RC_LOCAL, seen)
    for pattern in CRON:
        for path in sorted(glob.glob(pattern)):
            lines += _commands(path, boot_text.reboots(_text(path, lambda data: True) or ""), seen)
    lines += _units(seen)
    for path in sorted(glob.glob(WIREGUARD.format("*"))):
        name = os.path.basename(path).removesuffix(".conf")
        if boot_units.start([f"wg-quick@{name}.service"]).starts:
            lines += _commands(path, boot_text.wireguard(host_files.read(path) or ""), seen)
    for path in boot_units.scripts():
        name = os.path.basename(path)
        if name not in FIREWALLS and not OTHERS.fullmatch(name):
            lines += _script(path, seen)
    return lines


def _firewalls() -> Iterator[tuple[bool | None, str]]:
    for name, (path, expression) in FIREWALLS.items():
        unit = f"{name}.service"
        if not boot_units.exists(unit) and not os.path.exists(f"{boot_units.SCRIPTS}/{name}"):
            continue
        place = boot_units.file(unit) or f"{boot_units.SCRIPTS}/{name}"
        if path:
            lines = enumerate((host_files.read(path) or "").splitlines(), 1)
            number = next((each for each, line in lines if re.match(expression, line, re.IGNORECASE)), None)
            if number is None:
                continue
            place = f"{path}:{number}"
        start = boot_units.start([unit], name)
        said = f"{place}: {name} loads rules of its own at boot"
        advice = f" ({start.why}): 'systemctl disable {name}'" if start.starts else f", or not: {start.why}"
        yield start.starts, said + advice


def _units(seen: set[str]) -> Iterator[str]:
    """What the units run that are started, and their drop-ins."""
    if boot_units.SYSTEMD not in boot_units.inits():
        return
    for unit in boot_units.linked():
        path = boot_units.file(unit)
        real = os.path.realpath(path) if path else ""
        names = {unit.partition(".")[0], os.path.basename(real).partition(".")[0]}
        if not os.path.isfile(real) or boot_units.masked(unit):
            continue
        if any(name in FIREWALLS or OTHERS.fullmatch(name) for name in names):
            continue
        drop_ins = [each for folder in boot_units.FOLDERS for each in sorted(glob.glob(f"{folder}/{unit}.d/*.conf"))]
        for each in [path, *drop_ins]:
            if each not in seen:
                seen.add(each)
                yield from _commands(each, boot_text.unit(host_files.read(each) or ""), seen)


def _commands(path: str, lines: list[boot_text.Line], seen: set[str]) -> Iterator[str]:
    """Lines with a command each: what they do themselves, and what the scripts do that they run."""
    for line in lines:
        if boot_text.command(line.text):
            yield _told(path, line)
            continue
        for program in boot_text.programs(line.text):
            name = os.path.basename(program)
            if name not in FIREWALLS and not OTHERS.fullmatch(name):
                yield from _script(program, seen)


def _script(path: str, seen: set[str]) -> Iterator[str]:
    if path in seen:
        return
    seen.add(path)
    text = _text(path, lambda data: data.startswith(b"#!") or path.startswith((SOURCED, "/etc/")))
    lines = boot_text.script(text or "")
    if lines:
        more = f" (and {len(lines) - 1} more lines of it)" if len(lines) > 1 else ""
        yield f"{_told(path, lines[0])}{more}"


def _told(path: str, line: boot_text.Line) -> str:
    said = boot_text.command(line.text)
    said = secrets_said.without(said, secrets_said.of([line.text]))
    said = said if len(said) <= SHOWN else f"{said[:SHOWN]} ..."
    return f"{path}:{line.number}: it changes the firewall at boot: `{said}`"


def _text(path: str, wanted: Callable[[bytes], bool]) -> str | None:
    """The text of a script; ``None`` for what is none, and for what is too long to be written by hand."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size <= MOST:
            data = host_files.read_bytes(path) or b""
            if wanted(data) and b"\0" not in data[:1024]:
                return data.decode("utf-8", "surrogateescape")
    return None


def nft_scripts() -> list[str]:
    """
    The scripts of nft(8) that nftables.service loads at boot; none if that is not known to be started.

    Raises ``CommandExecutionError``.
    """
    if not boot_units.start([NFTABLES]).starts:
        return []
    text = host_files.read(boot_units.file(NFTABLES)) or ""
    commands = [line.text.split() for line in boot_text.unit(text)]
    named = [words[words.index("-f") + 1] for words in commands if "-f" in words[:-1]]
    return list(dict.fromkeys(named)) or [NFTABLES_FILE]


def flushes(script: str, backends: Mapping[str, str]) -> list[str]:
    """
    The lines of a script of nft(8), and of what it includes, that take the rules of a family away.

    script
        Its path.
    backends
        The backend of each family at boot: only the rules of ``nft`` are there for nft(8).
    """
    families = {
        family.replace("ipv4", "ip").replace("ipv6", "ip6") for family, kind in backends.items() if kind == "nft"
    }
    todo, known, lines = [script], set[str](), []
    while todo:
        path = todo.pop(0)
        text = _text(path, lambda data: True) if path not in known else None
        known.add(path)
        if text is None:
            continue
        for line, family in boot_text.flushes(text):
            if families if not family else family in families:
                lines.append(
                    f"{path}:{line.number}: `flush ruleset`: nftables.service is enabled, and takes away what "
                    f"{boot_loader.SCRIPT} has loaded, or is before it by chance: 'systemctl disable nftables'"
                )
        todo += [each for pattern in boot_text.included(text) for each in sorted(glob.glob(pattern))]
    return lines
