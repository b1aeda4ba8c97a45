"""
What Debian's netfilter-persistent will load at the next boot: run in a scratch network namespace, by the boot's own
commands, and read back. Its plug-ins load the sets first, then the rules of each family.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import _dualstack_boot_text as boot_text
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_scratch as firewall_scratch
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files

PROGRAM = "/usr/sbin/netfilter-persistent"
UNIT, SCRIPT = "netfilter-persistent.service", "netfilter-persistent"
PACKAGES = ("netfilter-persistent", "iptables-persistent", "ipset-persistent")
DEFAULTS = "/etc/default/netfilter-persistent"
SUMS = "/var/lib/dpkg/info/{}.md5sums"
BACKENDS = ("nft", "legacy")
PATIENCE = 10.0  # seconds for dpkg-query
# What a file of settings may hold: nothing that does anything when a shell reads it.
SETTING = re.compile(r"\s*(?:#.*|(?:export\s+)?\w+=(?:[\w./:-]*|\"[\w ./:-]*\"|'[^']*'))?\s*(?:#.*)?")
RUNS = re.compile(r"run-parts: executing (\S+) ")
WELL = ("installed", "triggers-pending", "triggers-awaited")


class Booted(NamedTuple):
    """What is loaded, as after the boot; and what the plug-ins said, by their names."""

    tables: dict[str, dict[str, firewall_save.Tables]]  # by family and backend
    sets: str  # as ipset save prints them
    said: dict[str, str]
    nft: str  # as nft list ruleset prints it, without what changes by itself
    after: dict[str, dict[str, dict[str, firewall_save.Tables]]]  # by script of nft(8): the tables after that
    nft_after: dict[str, str]  # likewise
    failures: dict[str, str]  # why a script of nft(8) could not be loaded


def plugins() -> list[str]:
    """
    The plug-ins that the boot runs, in their order: run-parts(8).
    """
    names = re.compile(r"[a-zA-Z0-9_-]+")
    paths = sorted(glob.glob(f"{firewall_boot.LOADERS}/*"))
    return [each for each in paths if names.fullmatch(os.path.basename(each)) and os.access(each, os.X_OK)]


def broken() -> list[str]:
    """
    What keeps the loader from working: it or a plug-in is missing, or one of its packages is not wholly installed.
    """
    found = [] if os.access(PROGRAM, os.X_OK) else [f"{PROGRAM}: it is missing: install netfilter-persistent"]
    if not any(each.endswith("tables") for each in plugins()):
        found.append(f"{firewall_boot.LOADERS}: it has no plug-in that loads rules: install iptables-persistent")
    if not host_commands.which("dpkg-query"):
        return found
    # It fails where one of them is unknown, and tells about the others.
    said = host_commands.output(["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *PACKAGES], PATIENCE)
    for line in said.stdout.splitlines():
        name, *_, state = line.split()
        if state not in (*WELL, "not-installed") and not (state == "config-files" and name == PACKAGES[2]):
            found.append(f"the package {name} is not wholly installed, but {state}: 'apt-get install {name}'")
    return found


def unknown() -> list[str]:
    """
    Why the loader cannot be tried without doing what nobody knows: a plug-in that no package has, or that somebody has
    edited, and settings that are more than settings.
    """
    known = {}
    for package in PACKAGES:
        for line in (host_files.read(SUMS.format(package)) or "").splitlines():
            checksum, _, path = line.partition("  ")
            known[f"/{path}"] = checksum
    found = []
    for path in [PROGRAM, *plugins()]:
        data = host_files.read_bytes(path)
        if path not in known:
            found.append(f"{path}: it is of none of the packages {', '.join(PACKAGES)}: it was not tried")
        elif data is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != known[path]:
            found.append(f"{path}: somebody has edited it, so it was not tried")
    for number, line in enumerate((host_files.read(DEFAULTS) or "").splitlines(), 1):
        if not SETTING.fullmatch(line):
            found.append(f"{DEFAULTS}:{number}: this is more than a setting, so the loader was not tried")
    return found


def backend(family: str) -> str:
    """
    The backend into which the boot loads the rules of a family; empty where there is no such command.

    family
        ``ipv4`` or ``ipv6``.
    """
    program = host_commands.which(f"{firewall_commands.COMMANDS[family]}-restore")
    name = os.path.basename(os.path.realpath(program)) if program else ""
    if not program:
        return ""
    found = re.search(r"nft|legacy", name)
    return found[0] if found else firewall_commands.backend()


def load(scripts: Sequence[str] = ()) -> Booted:
    """
    Run the loader in a scratch network namespace. Nothing live is touched.

    scripts
        Scripts of nft(8) that the boot loads as well: each after the rules, one after the other.

    Raises ``NoNamespaces`` where namespaces are not permitted, and ``CommandExecutionError`` where a command cannot be
    run, hangs, or prints what is no ruleset. Call :py:func:`unknown` before.
    """
    with tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        lines = [f"{PROGRAM} start >$said 2>&1"]
        for number, each in enumerate(["", *scripts]):
            if each:
                nft = shlex.join([host_commands.which("nft") or "nft", "-f", each])
                lines.append(f"{nft} >$folder/{number}.failed 2>&1 && rm $folder/{number}.failed")
            for name, command in _looks().items():  # a kernel may have only one backend
                lines.append(f"{command} >$folder/{number}.{name} || rm $folder/{number}.{name}")
        text = "\n".join([firewall_scratch.GUARD.format(os.getpid()), *lines, "exit 0\n"])
        # The scratch rules are private: they need not wait for the lock of the live ones.
        environment = {"XTABLES_LOCKFILE": f"{folder}/lock", "folder": folder, "said": f"{folder}/said"}
        words = firewall_commands.in_namespace(["sh", "-c", text])
        job = firewall_commands.Job(words, "", environment, f"unshare --net {PROGRAM} start")
        (ended,) = firewall_commands.together({"": job}).values()
        if isinstance(ended, host_commands.CommandFailed):
            raise ended
        after = {each: _tables(folder, number) for number, each in enumerate(scripts, 1)}
        failed = {each: host_files.read(f"{folder}/{number}.failed") for number, each in enumerate(scripts, 1)}
        return Booted(
            _tables(folder, 0),
            host_files.read(f"{folder}/0.sets") or "",
            _said(host_files.read(f"{folder}/said") or ""),
            host_files.read(f"{folder}/0.nft") or "",
            after,
            {each: host_files.read(f"{folder}/{number}.nft") or "" for number, each in enumerate(scripts, 1)},
            {each: host_commands.in_one_line(text) for each, text in failed.items() if text is not None},
        )


def _looks() -> dict[str, str]:
    """The commands that read back what was loaded, by the names of what they read."""
    found = {}
    for family in firewall_kernel.families():
        for each in BACKENDS:
            name = f"{firewall_commands.COMMANDS[family]}-{each}-save"
            if program := host_commands.which(name):
                found[f"{family}.{each}"] = program
        if f"{family}.{backend(family)}" not in found:
            found[f"{family}.{backend(family)}"] = firewall_commands.command(family, backend(family), "save")
    programs = {"sets": ("ipset", " save"), "nft": ("nft", " -s -t list ruleset")}
    for name, (program, arguments) in programs.items():
        if path := host_commands.which(program):
            found[name] = path + arguments
    return found


def _tables(folder: str, number: int) -> dict[str, dict[str, firewall_save.Tables]]:
    found: dict[str, dict[str, firewall_save.Tables]] = {}
    for name in _looks():
        family, _, kind = name.partition(".")
        if kind:
            text = host_files.read(f"{folder}/{number}.{name}")
            found.setdefault(family, {}).update({kind: firewall_save.parse(text)} if text is not None else {})
    return found


def _said(text: str) -> dict[str, str]:
    """What each plug-in said, in one line; the order of run-parts(8) tells them apart."""
    found: dict[str, list[str]] = {}
    current = SCRIPT
    for line in text.splitlines():
        if match := RUNS.match(line):
            current = os.path.basename(match[1])
        elif not line.startswith("run-parts: "):
            found.setdefault(current, []).append(line)
    return {name: host_commands.in_one_line("\n".join(lines)) for name, lines in found.items()}


def live_nft() -> str:
    """
    The live rules as nft(8) lists them, without what changes by itself; empty where there is no nft(8).

    Raises ``CommandExecutionError``.
    """
    program = host_commands.which("nft")
    return firewall_commands.run([program, "-s", "-t", "list", "ruleset"]) if program else ""


def edited_unit() -> list[str]:
    """
    Where the unit that runs the loader is not the package's: a file or a drop-in of the administrator's that has it run
    something else, or only sometimes.
    """
    found = []
    for path in [f"/etc/systemd/system/{UNIT}", *sorted(glob.glob(f"/etc/systemd/system/{UNIT}.d/*.conf"))]:
        if os.path.isfile(path):  # a mask is none
            text = host_files.read(path) or ""
            other = [line for line in boot_text.unit(text) if line.text.split() != [PROGRAM, "start"]]
            found += [f"{path}:{line.number}: it runs something else than '{PROGRAM} start'" for line in other]
            for line in boot_text.conditions(text):
                found.append(f"{path}:{line.number}: whether it runs at boot depends on `{line.text}`")
    return found
