"""
Kernel parameters: as they are now, and as the next boot will set them, sysctl.d(5).
"""

from __future__ import annotations

import glob
import os

import _dualstack_host_files as host_files

# A file hides those of the same name in later folders.
FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
LAST = "/etc/sysctl.conf"


def live(key: str) -> str | None:
    """
    The value that a kernel parameter has now.

    key
        Its name with dots, as in ``net.ipv6.bindv6only``.

    Returns ``None`` where this kernel has none of that name.
    """
    text = host_files.read(f"/proc/sys/{key.replace('.', '/')}")
    return None if text is None else text.strip()


def value(key: str) -> str | None:
    """
    The value that the files give a kernel parameter at the next boot; the last one counts.

    key
        Its name with dots, as in ``net.ipv6.bindv6only``.

    Returns ``None`` where no file names it. Patterns (``net.ipv4.conf.*.rp_filter``) are not looked at.
    """
    files: dict[str, str] = {}
    for folder in FOLDERS:
        for path in glob.glob(f"{folder}/*.conf"):
            files.setdefault(os.path.basename(path), path)
    found = None
    for path in [*(files[name] for name in sorted(files)), LAST]:
        for line in (host_files.read(path) or "").splitlines():
            name, sign, text = line.strip().lstrip("-").partition("=")
            if sign and not name.startswith(("#", ";")) and name.strip().replace("/", ".") == key:
                found = text.strip()
    return found
