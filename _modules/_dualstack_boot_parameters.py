"""
The kernel parameters of the next boot beside the live ones, from all files that a boot reads, in their order.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_sysctl as host_sysctl
import _dualstack_pillar_parts as pillar_parts
import _dualstack_sysctl_values as sysctl_values

CONF = "/proc/sys/net/ipv6/conf"  # one folder for each interface
PASSING = re.compile(r"veth|docker|br-|tap|vnet")  # interfaces that come and go, and others make
DISABLED = "net.ipv6.conf.{}.disable_ipv6"
# Of the boot loader: what makes the kernel's command line, in its order. Comments and menus of others are no harm.
GRUB = ("/etc/default/grub", "/etc/default/grub.d/*.cfg")
WITHOUT_IPV6 = re.compile(r"^[ \t]*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=.*\bipv6\.disable=1\b")


def look(parameters: Mapping[str, Any]) -> converge.Finding:
    """
    Whether the next boot gives each parameter the value that it has, and that it is to have.

    parameters
        The pillar ``ipv6:sysctl``.

    Changes nothing. Raises ``OSError``.
    """
    problems: list[str] = []
    notes: list[str] = []
    for name, value in parameters.items():
        live, boot = host_sysctl.live(name), host_sysctl.boot(name)
        shown = sysctl_values.shown(name, str(value))
        if boot is None or boot.value is None:
            where = f"{boot.file}:{boot.line}: " if boot else ""
            problems.append(f"{where}{name}: no file sets it at boot, expected {shown}")
        elif not sysctl_values.same(boot.value, str(value)):
            problems.append(
                f"{boot.file}:{boot.line}: it sets {name} to {sysctl_values.shown(name, boot.value)} at boot, expected "
                f"{shown}"
            )
        if live is None:
            notes.append(f"{name} is not there now")
        elif boot and boot.value is not None and not sysctl_values.same(boot.value, live):
            now = sysctl_values.shown(name, live)
            problems.append(f"{boot.file}:{boot.line}: {name} is {now} now, and not what this line sets at boot")
    said = "; ".join(["the files set what is live", *notes])
    return boot_verdict.of(f"{said}: {', '.join(parameters)}", problems)


def kernel(interfaces: Iterable[str] = ()) -> converge.Finding:
    """
    Whether IPv6 is still there after the next boot, as it is now.

    interfaces
        Those that may not be there now, but need it then.

    A kernel that has none now says nothing about the next one. Changes nothing. Raises ``OSError``.
    """
    untried = [] if os.path.isdir(CONF) else ["this kernel has no IPv6 now: whether the next one has is not known"]
    fine = "it starts with IPv6, and no file takes it from an interface"
    return boot_verdict.of(fine, _without_ipv6(interfaces), untried)


def _without_ipv6(interfaces: Iterable[str]) -> Iterator[str]:
    here = sorted(os.listdir(CONF)) if os.path.isdir(CONF) else []
    lasting = [each for each in here if not PASSING.match(each)]
    for each in dict.fromkeys(["all", "default", *lasting, *interfaces] if here else []):
        name = DISABLED.format(each.replace(".", "/"))
        boot = host_sysctl.boot(name)
        # That of `default` counts for an interface that is not there yet, as a tunnel is not at boot.
        if boot and boot.value not in (None, "0") and host_sysctl.live(name) in ("0", None):
            yield f"{boot.file}:{boot.line}: it sets {name} to {boot.value} at boot: IPv6 is there now, and not then"
    for pattern in GRUB:
        for path in sorted(glob.glob(pattern)):
            for number, line in enumerate((host_files.read(path) or "").splitlines(), 1):
                if WITHOUT_IPV6.search(line):
                    yield f"{path}:{number}: the kernel starts without IPv6 (ipv6.disable=1)"


def listeners() -> Iterator[str]:
    """
    Where ``net.ipv6.bindv6only`` has another value now than after the next boot: then daemons listen in another way.

    Yields a sentence, if there is one. Raises ``OSError``.
    """
    name = pillar_parts.LISTENERS
    live, boot = host_sysctl.live(name), host_sysctl.boot(name)
    value = boot.value if boot and boot.value is not None else "0"
    if live is not None and not sysctl_values.same(live, value):
        where = f"{boot.file}:{boot.line}" if boot else "no file sets it"
        yield f"{name} is {live} now, and {value} after the boot ({where}): daemons may listen in another way then"
