"""
Kernel parameters as the next boot will set them, sysctl.d(5).
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "boot_sysctl"

# The first folder that has a file of some name hides those of the same name in the later ones.
FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
LAST = "/etc/sysctl.conf"


def value(key: str) -> str | None:
    """
    The value that the files give a kernel parameter; the last one counts.

    key
        Its name with dots, as in ``net.ipv6.bindv6only``.

    Returns ``None`` where no file names it. Patterns (``net.ipv4.conf.*.rp_filter``) are not looked at.

    CLI Example:

    .. code-block:: bash

        salt '*' boot_sysctl.value net.ipv6.bindv6only
    """
    files: dict[str, str] = {}
    for folder in FOLDERS:
        for path in glob.glob(f"{folder}/*.conf"):
            files.setdefault(os.path.basename(path), path)
    found = None
    for path in [*(files[name] for name in sorted(files)), LAST]:
        for line in (__salt__["host_files.read"](path) or "").splitlines():
            name, sign, text = line.strip().lstrip("-").partition("=")
            if sign and not name.startswith(("#", ";")) and name.strip().replace("/", ".") == key:
                found = text.strip()
    return found
