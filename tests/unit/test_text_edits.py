"""Some words change, and nothing else does."""

from __future__ import annotations

import pytest
import text_edits

TEXT = "listen 80;\r\n\udcff"


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], TEXT),
        ([[7, 9, "443"]], "listen 443;\r\n\udcff"),
        ([(7, 9, "443"), (0, 0, "# ")], "# listen 443;\r\n\udcff"),
        # Those of one place keep their order, and an insertion stands before what begins there.
        ([[10, 10, " b"], [10, 10, " a"]], "listen 80; b a\r\n\udcff"),
        ([[7, 9, "443"], [7, 7, "[::]:"]], "listen [::]:443;\r\n\udcff"),
        ([[0, 7, ""], [7, 9, ""]], ";\r\n\udcff"),
        ([[len(TEXT), len(TEXT), "!"]], f"{TEXT}!"),
    ],
)
def test_edits_of_a_text(edits: list[list[object]], expected: str) -> None:
    assert text_edits.spliced(TEXT, edits) == expected
