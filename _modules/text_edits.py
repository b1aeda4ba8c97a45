"""
Edits of a text, each of which replaces one span by other words. PURE: knows no host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__virtualname__ = "text_edits"


def spliced(text: str, edits: Iterable[Sequence[Any]]) -> str:
    """
    A text with other words in place of some of its spans; all else stays as it is.

    text
        The text.
    edits
        Each is ``[start, end, words]``: what stands from offset ``start`` up to ``end`` becomes ``words``. Where the
        two are equal, something is inserted; no words take something away. In any order; those of the same span keep
        theirs. Two spans may touch, but not overlap, which is not checked: whoever finds the spans knows them.

    Returns the new text.

    CLI Example:

    .. code-block:: bash

        salt-call text_edits.spliced 'listen 80;' '[[0, 0, "# "], [7, 9, "443"]]'
    """
    parts, position = [], 0
    for start, end, words in sorted(edits, key=lambda edit: (edit[0], edit[1])):
        parts += [text[position:start], words]
        position = end
    return "".join([*parts, text[position:]])
