"""Some words change, and nothing else does."""

from __future__ import annotations

from typing import Any

import _dualstack_service_edits as service_edits
import pytest

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
    assert service_edits.spliced(TEXT, edits) == expected


FILES: dict[str, dict[str, Any]] = {
    "/a": {"text": "listen 80;\n", "includes": [["/b"]]},
    "/b": {"text": "", "includes": []},
}


def test_only_files_that_change_are_rewritten() -> None:
    assert service_edits.rewritten(FILES, {"/a": [(7, 9, "81")], "/b": []}) == {"/a": "listen 81;\n"}
    assert service_edits.rewritten(FILES, {"/a": {7: (7, 9, "81")}.values()}) == {"/a": "listen 81;\n"}


def test_files_as_they_will_be() -> None:
    later = service_edits.afterwards(FILES, {"/a": "x"})
    assert later == {"/a": {"text": "x", "includes": [["/b"]]}, "/b": FILES["/b"]}
    assert FILES["/a"]["text"] == "listen 80;\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x\ny\n"),
        ("a\n", "a\nx\ny\n"),
        ("a", "a\nx\ny\n"),
        ("a\r\n", "a\r\nx\r\ny\r\n"),
        ("a\r\nb", "a\r\nb\r\nx\r\ny\r\n"),
    ],
)
def test_more_lines_end_as_the_others_do(text: str, expected: str) -> None:
    assert service_edits.with_lines(text, ["x", "y"]) == expected


@pytest.mark.parametrize(("offset", "expected"), [(0, "/a:1:1"), (2, "/a:1:3"), (3, "/a:2:1"), (5, "/a:2:3")])
def test_the_place_of_an_offset(offset: int, expected: str) -> None:
    assert service_edits.place("/a", "ab\ncd", offset) == expected
