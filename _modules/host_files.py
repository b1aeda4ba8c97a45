"""
Files of this host, read and written so that nobody ever sees half of one.
"""

from __future__ import annotations

import os

import salt.utils.atomicfile
import salt.utils.files

__virtualname__ = "host_files"


def read(path: str) -> str | None:
    """
    A file's text; bytes that are no UTF-8 survive reading and writing.

    path
        The file's path.

    Returns ``None`` if there is no such file. Raises ``OSError``.

    CLI Example:

    .. code-block:: bash

        salt-call host_files.read /etc/network/interfaces
    """
    try:
        with salt.utils.files.fopen(path, "rb") as stream:
            text: str = stream.read().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    return text


def write(path: str, text: str | None, mode: int = 0o644) -> None:
    """
    Make a file what it is to be, in one step; one that is so already is not touched.

    path
        The file's path. Where it is a link, the file that it leads to is written.
    text
        The whole text, or ``None``: there is no such file.
    mode
        The permissions of a new file; one that exists keeps its own, and its owner.

    Raises ``OSError``.

    CLI Example:

    .. code-block:: bash

        salt-call host_files.write /etc/network/interfaces.d/he-ipv6 'auto he-ipv6'
    """
    path = os.path.realpath(path)
    if text == read(path):
        return
    if text is None:
        os.remove(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    new = not os.path.exists(path)
    with salt.utils.atomicfile.atomic_open(path, "wb") as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))
    if new:
        os.chmod(path, mode)
