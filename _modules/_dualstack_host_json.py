"""
Files of our own, in JSON, which somebody may have damaged.
"""

from __future__ import annotations

from typing import Any

import _dualstack_host_files as host_files
import salt.utils.json


def load(path: str) -> Any:
    """
    What is in a file.

    path
        The file's path.

    Returns an empty dictionary if there is no such file. Raises ``OSError``, and ``ValueError`` where it is damaged: it
    is never empty.
    """
    data = host_files.read_bytes(path)
    if data is None:
        return {}
    try:
        return salt.utils.json.loads(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def typed(value: Any, kind: type) -> Any:
    """
    A value, if it has the type that belongs at its place.

    value
        From :py:func:`load`.
    kind
        The type.

    Raises ``ValueError``.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{type(value).__name__} instead of {kind.__name__}")
    return value
