"""
What makes the next boot put back what a run was in the middle of, before a packet comes in or a parameter is set.

A unit of systemd, or a script of sysvinit, which starts the restorer and then removes itself. It is there only while a
run may have to be undone, and does nothing in the boot in which it was made: systemd starts all that ``sysinit.target``
wants again when somebody has it read the units anew and then starts any service, in the middle of the run.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re

import _dualstack_boot_units as boot_units
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_leftovers as host_leftovers
from salt.exceptions import CommandExecutionError

NAME = "dualstack-guard"
UNIT = f"/etc/systemd/system/{NAME}.service"
LINK = f"/etc/systemd/system/sysinit.target.wants/{NAME}.service"
SCRIPT = f"{boot_units.SCRIPTS}/{NAME}"
# Nothing of the first name is started any more. The last ones are what a run that was killed has not yet renamed.
PATTERNS = (
    LINK,
    UNIT,
    SCRIPT,
    f"/etc/rc?.d/[SK][0-9][0-9]{NAME}",
    *(f"{os.path.dirname(path)}/{host_leftovers.beside(os.path.basename(path), '*')}" for path in (UNIT, SCRIPT)),
)
# insserv(8) writes into these in which order startpar(8) runs scripts. It is not called for ours: it would number those
# of others anew, and while a boot runs them, none must get another name.
ORDER = f"{boot_units.SCRIPTS}/.depend.boot"
EARLIER = ("mountkernfs.sh", "mountall.sh", "mountall-bootclean.sh")
LATER = ("procps", "networking", "netfilter-persistent", "nftables")
REMOVAL = (
    f"rm -f {' '.join(PATTERNS)}; orders=$(grep -ls {NAME} {boot_units.SCRIPTS}/.depend.*); "
    f'[ ! "$orders" ] || sed -i -e /^{NAME}:/d -e "s/ {NAME}//g" $orders'
)
BOOT = "boot"  # in the folder of the transaction: in which boot it was begun
PATIENCE = 20.0  # seconds for a command
FSTAB = "/etc/fstab"
# systemd-fstab-generator(8) mounts these after the network, and with this option others as well.
REMOTE, LATE = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "ncpfs", "9p", "virtiofs"), "_netdev"

# Until sysinit.target is reached, only the file systems are there. It stays active, so that it runs once in a boot.
SYSTEMD = """\
[Unit]
Description=Put back what a run of the formula ipv6 was in the middle of
DefaultDependencies=no
RequiresMountsFor=/etc {folder}
Wants=network-pre.target
After=systemd-remount-fs.service local-fs.target
Before=network-pre.target netfilter-persistent.service nftables.service systemd-sysctl.service
Before=networking.service systemd-networkd.service NetworkManager.service sysinit.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=120
ExecStart=-/bin/sh -c {script}

[Install]
WantedBy=sysinit.target
"""

SYSVINIT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:    mountkernfs $local_fs
# Required-Stop:
# X-Start-Before:    {later}
# Default-Start:     S
# Default-Stop:
# Short-Description: Put back what a run of the formula ipv6 was in the middle of
### END INIT INFO
[ "$1" = start ] || exit 0
PATH={path}
{script}
"""

# A container's boot has the ID of the machine's, but not the start of its first process.
START = """\
now="$(cat /proc/sys/kernel/random/boot_id) $(cut -d " " -f 22 /proc/1/stat)"
if [ "$now" = "$(cat {folder}/{boot} 2>/dev/null)" ]; then exit 0; fi
if [ -e {folder}/restorer ]; then /bin/sh {folder}/restorer boot; else rm -rf {folder}; rmdir {parent} 2>/dev/null; fi
[ -e {folder} ] && exit
{removal}"""


def install(folder: str) -> str:
    """
    Have the next boot run ``restorer boot`` of a transaction, and then remove what is made here.

    folder
        That of the transaction. It has to exist; if there is a ``restorer`` in it, the next boot runs that.

    Returns why nothing can watch over the next boot of this host; empty where something does. Raises
    ``CommandExecutionError`` where it cannot be written: then nothing is left of it.
    """
    inits = boot_units.inits()
    if not inits:
        return f"a reboot in the middle would not be undone: {boot_units.INIT} is neither systemd nor sysvinit"
    if late := _mounted_late(folder):
        return f"a reboot in the middle would not be undone: {late} is mounted only when the network is up"
    try:
        remove()  # that of a run that was killed between two of its steps
        host_files.replace(f"{folder}/{BOOT}", f"{this_boot()}\n", mode=0o600)
        if boot_units.SYSTEMD in inits:
            _write(UNIT, SYSTEMD.format(folder=folder, script=_in_a_unit(_start(folder))), 0o644)
            _link()
        if boot_units.SYSVINIT in inits:
            _write(
                SCRIPT,
                SYSVINIT.format(name=NAME, later=" ".join(LATER), path=host_commands.PATH, script=_start(folder)),
                0o755,
            )
            _register()
    except (OSError, CommandExecutionError) as error:
        why = f"nothing is changed, since a reboot in the middle could not be undone: {_said(error)}"
        with contextlib.suppress(CommandExecutionError):  # without the folder, it does nothing but remove itself
            remove()
        raise CommandExecutionError(why) from None
    return ""


def remove() -> None:
    """
    Remove all that :py:func:`install` makes outside of the transaction's folder, or as much of it as there is.

    Raises ``CommandExecutionError`` where something of it stays.
    """
    if not paths():
        return
    said = host_commands.output(["/bin/sh", "-c", removal()], PATIENCE).words()
    if left := paths():
        raise CommandExecutionError(f"the guard of the next boot cannot be removed ({', '.join(left)}): {said}")


def removal() -> str:
    """
    The commands of sh(1) by which the restorer does what :py:func:`remove` does, in one line.
    """
    empty, unit = f"rmdir {os.path.dirname(LINK)} 2>/dev/null || :", None
    with contextlib.suppress(OSError):
        unit = host_files.read(UNIT)
    made = not os.path.isdir(os.path.dirname(LINK)) or empty in (unit or "")
    return f"{REMOVAL}; {empty}" if made else REMOVAL


def paths() -> list[str]:
    """
    What there is of a guard, outside of the transaction's folder.
    """
    return [path for pattern in PATTERNS for path in glob.glob(pattern)]


def this_boot() -> str:
    """
    What no other boot of this host, or of this container, has.
    """
    return " ".join([_text("/proc/sys/kernel/random/boot_id").strip(), _text("/proc/1/stat").split(" ")[21]])


def _text(path: str) -> str:
    text = host_files.read(path)
    if text is None:
        raise CommandExecutionError(f"{path} cannot be read: is /proc mounted?")
    return text


def _start(folder: str) -> str:
    return START.format(folder=folder, parent=os.path.dirname(folder), boot=BOOT, removal=removal())


def _in_a_unit(script: str) -> str:
    """A script without apostrophes and backslashes as one word of a unit's command line, systemd.service(5)."""
    line = "; ".join(script.splitlines())
    return "'" + line.replace("%", "%%").replace("$", "$$") + "'"


def _write(path: str, text: str, mode: int) -> None:
    host_hindrances.refuse(path, exists=False)
    host_files.replace(path, text, mode)


def _link() -> None:
    """The unit is started with ``sysinit.target``."""
    os.makedirs(os.path.dirname(LINK), mode=0o755, exist_ok=True)
    os.symlink(f"../{NAME}.service", LINK)
    _settle(os.path.dirname(LINK), os.path.dirname(UNIT))


def _register() -> None:
    """Have the script run where insserv(8) would have it run, by its header."""
    later = [path for name in LATER for path in glob.glob(f"/etc/rcS.d/S[0-9][0-9]{name}")]
    number = min((os.path.basename(path)[1:3] for path in later), default="99")
    os.symlink(f"../init.d/{NAME}", f"/etc/rcS.d/S{number}{NAME}")
    _settle("/etc/rcS.d")
    order = host_files.read(ORDER)
    if order is not None:
        host_files.replace(ORDER, _ordered(order))


def _ordered(order: str) -> str:
    """The order of the scripts, with this one."""
    late = re.sub(rf"^(TARGETS =|(?:{'|'.join(LATER)}):).*", rf"\g<0> {NAME}", order, flags=re.MULTILINE)
    early = [each for each in EARLIER if re.search(rf"^TARGETS =.* {re.escape(each)}( |$)", order, re.MULTILINE)]
    return f"{late}{NAME}: {' '.join(early)}\n"


def _settle(*paths: str) -> None:
    """Have what is in files and folders on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mounted_late(folder: str) -> str:
    """The mount point of a folder, where systemd-fstab-generator(8) has it wait for the network; empty elsewhere."""
    found = "/", ""
    for line in (host_files.read(FSTAB) or "").splitlines():
        words = line.split()
        if len(words) > 3 and not words[0].startswith("#"):
            point = words[1].rstrip("/") or "/"
            if len(point) > len(found[0]) and f"{folder}/".startswith(f"{point}/"):
                found = point, point if words[2] in REMOTE or LATE in words[3].split(",") else ""
    return found[1]


def _said(error: Exception) -> str:
    return f"{error.filename2 or error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
