"""
What the next boot starts: units of systemd, and scripts of sysvinit. That is read from the files: what a running
systemd knows may be gone after the boot.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

SYSTEMD, SYSVINIT = "systemd", "sysvinit"
INIT = "/sbin/init"
RUNS = "/run/systemd/system"  # sd_booted(3)
INITTAB = "/etc/inittab"
SCRIPTS = "/etc/init.d"
# Where units are, and the links that have a unit started with another one, systemd.unit(5); not those in /run.
FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
LINKS = ("wants", "requires", "upholds")
# What a boot reaches, bootup(7); other targets count if one of these, or a unit that is started, wants them.
REACHED = re.compile(
    r"(?:sysinit|basic|sockets|timers|paths|slices|local-fs|remote-fs|network|multi-user|graphical)\.target"
)
DEFAULT = "default.target"
PATIENCE = 10.0  # seconds
YES = ("enabled", "alias")


class Start(NamedTuple):
    """Whether the next boot starts something, ``None`` where that is not known, and why."""

    starts: bool | None
    why: str


def inits() -> list[str]:
    """
    Which programs may be process 1 after the next boot, ``systemd`` or ``sysvinit``: one, where the host says which;
    both, where it has no ``/sbin/init``; none, where it is another one.
    """
    if os.path.exists(INIT):
        if "systemd" in os.path.basename(os.path.realpath(INIT)):
            return [SYSTEMD]
        return [SYSVINIT] if os.path.exists(INITTAB) else []
    if os.path.isdir(RUNS):
        return [SYSTEMD]
    there = {SYSTEMD: bool(host_commands.which("systemctl")), SYSVINIT: bool(glob.glob("/etc/rc2.d/S*"))}
    return [each for each, found in there.items() if found]


def start(units: Sequence[str], script: str = "") -> Start:
    """
    Whether the next boot starts a service.

    units
        Its units, any of which starts it: names, or patterns such as ``apache2@*.service``.
    script
        Its name in ``/etc/init.d``; empty if it has no script.

    Where it is not known which program boots the host, all that could have to agree. Raises ``CommandExecutionError``.
    """
    found = {init: _by_systemd(units, script) if init == SYSTEMD else by_sysvinit(script) for init in inits()}
    answers = {each.starts for each in found.values()}
    if len(answers) == 1:
        return next(iter(found.values()))
    if not found:
        return Start(None, f"which program boots this host is not known: {INIT} is neither systemd nor sysvinit")
    told = ", ".join(f"{init}: {each.why}" for init, each in found.items())
    return Start(None, f"which program boots this host is not known, and they differ: {told}")


def advice(name: str) -> str:
    """
    The command that has the next boot start a service.

    name
        Of its script, or of its unit.
    """
    if inits() == [SYSVINIT]:
        return f"'update-rc.d {name} defaults'"
    unit = name if "." in name else f"{name}.service"
    return f"'systemctl unmask {name}'" if masked(unit) else f"'systemctl enable {name}'"


def _by_systemd(units: Sequence[str], script: str) -> Start:
    answers = [each for unit in units for each in _asked(unit)]
    if script and not any(exists(unit) for unit in units):
        answers.append(_generated(script))
    for wanted in (True, None, False):
        for each in answers:
            if each.starts is wanted:
                return each
    return Start(False, f"there is no unit {units[0]}" if units else "it has no unit")


def _asked(unit: str) -> Iterator[Start]:
    """What is known about a unit, and about the socket that starts it."""
    if any(letter in unit for letter in "*?["):
        links = linked()
        for name in links:
            if fnmatch.fnmatchcase(name, unit) and (other := _starter(name, links)):
                yield Start(True, f"{name} is started with {other}")
        return
    if exists(unit):
        yield _state(unit)
    socket = f"{unit.removesuffix('.service')}.socket"
    if unit.endswith(".service") and exists(socket):
        yield _state(socket)


def _state(unit: str, followed: bool = False) -> Start:
    # What it prints before is about a script of the same name, which it asks for itself.
    words = ["systemctl", "--root=/", "is-enabled", unit]
    said = host_commands.output(words, PATIENCE)
    state = (said.stdout.split() or [""])[-1]
    target = os.path.basename(os.path.realpath(file(unit)))
    if state == "alias" and not followed and target not in ("", unit):
        return _state(target, True)
    if state in ("masked", "bad"):
        return Start(False, f"{unit} is {state}")
    if other := _starter(unit, linked()):
        reached = _default()
        why = f"{unit} is enabled" if state in YES else f"{unit} is started with {other}"
        return Start(True, why) if reached else Start(None, f"{why}, but the boot goes to another target than usual")
    if state in YES:  # an alias counts as well for systemctl(1)
        return Start(False, f"{unit} is {state}, but nothing that a boot starts wants it")
    if state == "disabled":
        return Start(False, f"{unit} is disabled")
    if state in ("enabled-runtime", "linked", "linked-runtime"):
        return Start(False, f"{unit} is {state}, and not enabled: the next boot does not start it")
    if state in ("static", "indirect", "generated", "transient", "masked-runtime"):
        return Start(None, f"{unit} is {state}: whether the next boot starts it depends on others")
    raise CommandExecutionError(f"'{' '.join(words)}' did not say whether it is enabled: {said.words()}")


def file(unit: str) -> str:
    """
    The file of a unit; empty where there is none.

    unit
        Its name.
    """
    name, _, kind = unit.rpartition(".")
    names = [unit, f"{name.partition('@')[0]}@.{kind}"] if "@" in name else [unit]
    paths = (f"{folder}/{each}" for each in names for folder in FOLDERS)
    return next((path for path in paths if os.path.lexists(path)), "")


def exists(unit: str) -> bool:
    """
    Whether a host has a unit, masked or not.

    unit
        Its name, without wildcards.
    """
    return bool(file(unit))


def linked() -> dict[str, list[str]]:
    """
    The units that others start, by the names of the links to them: with which others.
    """
    found: dict[str, list[str]] = {}
    for folder in FOLDERS:
        inside = _names_in(folder)
        for kind in LINKS:
            for holder in (each for each in inside if each.endswith(f".{kind}")):
                for name in _names_in(f"{folder}/{holder}"):
                    found.setdefault(name, []).append(holder.removesuffix(f".{kind}"))
    return found


def _names_in(folder: str) -> list[str]:
    """What is in a folder, if it is one and can be read, without what is hidden."""
    with contextlib.suppress(OSError):
        return sorted(each for each in os.listdir(folder) if not each.startswith("."))
    return []


def _starter(unit: str, links: Mapping[str, list[str]], known: frozenset[str] = frozenset()) -> str:
    """The unit with which a boot starts another one, by any of its names; empty if there is none."""
    names = _names(unit)
    for other in (each for name in names for each in links.get(name, ())):
        if REACHED.fullmatch(other) or other == DEFAULT:
            return other
        if other not in known and _starter(other, links, known | {*names, other}):
            return other
    return ""


def _names(unit: str) -> list[str]:
    """A unit's name, and its aliases."""
    path = file(unit)
    if not path or "@" in unit:
        return [unit]
    real = os.path.realpath(path)
    links = [each for folder in FOLDERS for each in glob.glob(f"{folder}/*.{unit.rpartition('.')[2]}")]
    return [
        unit,
        *(os.path.basename(each) for each in links if os.path.islink(each) and os.path.realpath(each) == real),
    ]


def _default() -> bool:
    """Whether the boot goes where all that is usual is started."""
    path = file(DEFAULT)
    return not path or bool(re.fullmatch(r"(?:multi-user|graphical)\.target", os.path.basename(os.path.realpath(path))))


def sockets() -> list[str]:
    """
    The socket units that are up now; none where systemd does not run.

    Raises ``CommandExecutionError``.
    """
    if not os.path.isdir(RUNS):
        return []
    words = ["systemctl", "list-units", "--type=socket", "--state=active", "--plain", "--no-legend"]
    said = host_commands.output(words, PATIENCE)
    if said.retcode:
        raise CommandExecutionError(host_commands.ended(" ".join(words), said.retcode, said.words()))
    return [line.split()[0] for line in said.stdout.splitlines() if line.strip()]


def masked(unit: str) -> bool:
    """
    Whether a unit is masked, so that nothing starts it.

    unit
        Its name.
    """
    path = file(unit)
    return bool(path) and os.path.realpath(path) == os.devnull


def _generated(script: str) -> Start:
    """systemd-sysv-generator(8) makes units of the scripts that have links in the folders of runlevels 2 to 5."""
    if not os.access(f"{SCRIPTS}/{script}", os.X_OK):
        return Start(False, f"there is no unit {script}.service, and no script {SCRIPTS}/{script}")
    links = glob.glob(f"/etc/rc[2-5].d/S[0-9][0-9]{glob.escape(script)}")
    return Start(bool(links), links[0] if links else f"{SCRIPTS}/{script} has no link in /etc/rc[2-5].d")


def by_sysvinit(script: str) -> Start:
    """
    Whether sysvinit starts a script at boot.

    script
        Its name in ``/etc/init.d``.
    """
    if not script or not os.access(f"{SCRIPTS}/{script}", os.X_OK):
        return Start(False, f"there is no {SCRIPTS}/{script}" if script else f"it has no script in {SCRIPTS}")
    folders = _runlevels()
    links = [each for folder in folders for each in glob.glob(f"{folder}/S[0-9][0-9]{glob.escape(script)}")]
    where = " and ".join(folders)
    return Start(bool(links), links[0] if links else f"{SCRIPTS}/{script} has no link in {where}")


def _runlevels() -> list[str]:
    """The folders whose scripts a boot starts: first that of the system, then that of the default runlevel."""
    level = re.search(r"^[^#:\n]*:([0-9]):initdefault:", host_files.read(INITTAB) or "", re.MULTILINE)
    return ["/etc/rcS.d", f"/etc/rc{level[1] if level else 2}.d"]


def scripts() -> list[str]:
    """
    The scripts of sysvinit that the next boot starts, by their paths: with systemd, only those without a unit.
    """
    found: set[str] = set()
    known = inits()
    if SYSVINIT in known:
        found |= {each for folder in _runlevels() for each in glob.glob(f"{folder}/S[0-9][0-9]*")}
    if SYSTEMD in known:
        for each in glob.glob("/etc/rc[2-5].d/S[0-9][0-9]*"):
            if not exists(f"{os.path.basename(each)[3:]}.service"):
                found.add(each)
    return sorted({os.path.realpath(each) for each in found if os.path.isfile(each)})
