"""
Kernel parameters: as they are now, and as the next boot will set them, sysctl.d(5).

A parameter has its name with dots, as in ``net.ipv6.bindv6only``; a slash in it stands for a dot in the name of an
interface. Not looked at: the kernel's command line, the credential ``sysctl.extra``, and two parameters of which the
kernel makes one, such as ``net.ipv4.ip_forward`` and ``net.ipv4.conf.all.forwarding``.
"""

from __future__ import annotations

import contextlib
import errno
import os

import _dualstack_host_files as host_files
import _dualstack_host_sysctl_boot as host_sysctl_boot

# A file hides those of the same name in later folders.
FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
LAST = "/etc/sysctl.conf"  # procps reads it after all others; systemd only where a folder has a link to it
SYSTEMD = "/run/systemd/system"  # sd_booted(3)


def place(name: str) -> str:
    """
    The file in which the kernel shows a parameter.

    name
        The parameter.
    """
    return f"/proc/sys/{host_sysctl_boot.key(name)}"


def live(name: str) -> str | None:
    """
    The value that a kernel parameter has now.

    name
        The parameter.

    Returns ``None`` where this kernel has none of that name, and an empty text for a secret that was never set. Raises
    ``OSError``.
    """
    try:
        text = host_files.read(place(name))
    except OSError as error:
        if error.errno != errno.EIO:  # how the kernel says that a stable_secret is not set
            raise
        return ""
    return None if text is None else text.strip()


def refuse(name: str) -> None:
    """
    Refuse a parameter that nobody may set here, as in a container; it is opened, and not written.

    name
        The parameter.

    Raises ``OSError``.
    """
    os.close(_opened(name))


def write(name: str, old: str, new: str) -> None:
    """
    Give a kernel parameter another value, now.

    name
        The parameter.
    old
        Its value, as :py:func:`live` had it when the change was planned.
    new
        Its new one.

    Raises ``Moved`` if it has another value by now, and ``OSError``.
    """
    descriptor = _opened(name)
    try:
        if live(name) != old:
            raise host_files.Moved(place(name))
        os.write(descriptor, f"{new}\n".encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, place(name)) from None
    finally:
        os.close(descriptor)


def _opened(name: str) -> int:
    return os.open(place(name), os.O_WRONLY | os.O_CLOEXEC)


def by_systemd() -> bool:
    """
    Whether systemd sets the parameters at boot; otherwise procps does.
    """
    return os.path.isdir(SYSTEMD)


def files(new: str = "") -> list[str]:
    """
    The files that a boot reads, in this order.

    new
        One that counts as if it were there already.
    """
    found: dict[str, str] = {}
    for folder in FOLDERS:
        names = [os.path.basename(new)] if os.path.dirname(new) == folder else []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names += os.listdir(folder)
        for each in names:
            if each.endswith(".conf") and not (each.startswith(".") and by_systemd()):
                found.setdefault(each, f"{folder}/{each}")
    paths = [found[each] for each in sorted(found, key=os.fsencode)]
    return paths if by_systemd() else [*paths, LAST]


def boot(name: str, file: str = "", text: str = "") -> host_sysctl_boot.Setting | None:
    """
    The line that gives a kernel parameter its value at the next boot.

    name
        The parameter.
    file, text
        A file that counts as if it had this text.

    Returns ``None`` where there is none; one without a value says that no line does. Raises ``OSError``.
    """
    target = os.path.realpath(file)
    found = [
        each
        for path in files(file)
        for each in host_sysctl_boot.settings(text if os.path.realpath(path) == target else _text(path), path)
    ]
    decide = host_sysctl_boot.by_systemd if by_systemd() else host_sysctl_boot.by_procps
    return decide(found, host_sysctl_boot.key(name))


def _text(path: str) -> str:
    with contextlib.suppress(IsADirectoryError):  # both programs go on to the next one
        return host_files.read(path) or ""
    return ""


def value(name: str) -> str | None:
    """
    The value that the files give a kernel parameter at the next boot.

    name
        The parameter.

    Returns ``None`` where no line does. Raises ``OSError``.
    """
    found = boot(name)
    return found.value if found else None
