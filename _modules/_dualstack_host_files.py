"""
Files of this host, read and written atomically.
"""

from __future__ import annotations

import os

import salt.utils.atomicfile
import salt.utils.files


def read(path: str) -> str | None:
    """
    A file's text; bytes that are not UTF-8 survive reading and writing.

    path
        The file's path.

    Returns ``None`` if there is no such file. Raises ``OSError``.
    """
    try:
        with salt.utils.files.fopen(path, "rb") as stream:
            text: str = stream.read().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    return text


def write(path: str, text: str | None, mode: int = 0o644) -> None:
    """
    Write a file, in one step; one that has this text already is not touched.

    path
        The file's path. If it is a link, its target is written.
    text
        The whole text, or ``None`` to remove the file.
    mode
        The permissions of a new file; one that exists keeps its own, and its owner.

    Raises ``OSError``.
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
