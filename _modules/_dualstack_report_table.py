"""
The matrix of a host's services and names as text for a terminal.
"""

from __future__ import annotations

import textwrap
from typing import Any

import _dualstack_families as families
import _dualstack_report_problems as report_problems

COLUMNS = ("listening", "allowed", "answering")
WIDTH = 96  # columns; Salt's nested outputter indents by 4
NAME_WIDTH = 44
GAP = "   "


def table(matrix: dict[str, Any]) -> str:
    """
    A matrix as text for a terminal, without colours and at most 96 columns wide.

    matrix
        From :py:func:`matrix`.

    Problems are in capitals, and their lines begin with ``!``. The last line sums up.
    """
    lines = [matrix["host"], *(f"  {words}  {_way(matrix[family])}" for family, words in families.NAMES.items())]
    rows = [
        (
            _cut(row["service"]),
            report_problems.port(row) or "-",
            [cell for column in COLUMNS for cell in _pair(row, column)],
            row,
        )
        for row in matrix["services"]
    ]
    wide = max([len("service"), *(len(name) for name, _, _, _ in rows)])
    far = max([len("port"), *(len(port) for _, port, _, _ in rows)])
    left = wide + 2 + far
    if rows:
        lines += [
            "",
            *_head(f"{'service':<{wide}}  {'port':>{far}}", [(column, *families.NAMES.values()) for column in COLUMNS]),
        ]
    before = ""
    for name, port, cells, row in rows:
        shown = "" if name == before else name
        lines.append(_line(any(report_problems.faults(row)), f"{shown:<{wide}}  {port:>{far}}", cells))
        before = name
    if matrix["published"]:
        left = max([left, len("published"), *(len(_cut(row["name"])) for row in matrix["published"])])
        lines += ["", *_head(f"{'published':<{left}}", [("", *report_problems.RECORDS.values())])[1:]]
        for row in matrix["published"]:
            cells = [_record_cell(row[family]) for family in families.FAMILIES]
            lines.append(_line(bool(report_problems.missing(row)), f"{_cut(row['name']):<{left}}", cells))
    for each in matrix["notes"]:
        lines += ["", *_wrapped(each["mark"], each["text"])] if each is matrix["notes"][0] else _wrapped(**each)
    lines.append("")
    if len(matrix["problems"]) > 1:
        for each in matrix["problems"]:
            lines += _wrapped("!", each["text"])
    lines += textwrap.wrap(matrix["summary"], WIDTH)
    return "\n".join(line.rstrip() for line in lines)


def _way(family: dict[str, Any]) -> str:
    if not family["address"]:
        return "-"
    through = f" through {family['interface']}" if family["interface"] else ""
    others = len(family["addresses"]) - 1
    return f"{family['address']}{through}{f', and {others} more' if others else ''}"


def _cut(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}~"


def _head(left: str, groups: list[tuple[str, ...]]) -> list[str]:
    over = GAP.join(f"{title:<10}" for title, *_ in groups)
    pairs = GAP.join(f"{first:<4}  {second:<4}" for _, first, second in groups)
    rule = GAP.join("-" * 10 for _ in groups)
    return [f"  {'':{len(left)}}{GAP}{over}", f"  {left}{GAP}{pairs}", f"  {'-' * len(left)}{GAP}{rule}"]


def _line(wrong: bool, left: str, cells: list[str]) -> str:
    pairs = GAP.join(f"{first:<4}  {second:<4}" for first, second in zip(cells[::2], cells[1::2]))
    return f"{'!' if wrong else ' '} {left}{GAP}{pairs}"


def _pair(row: dict[str, Any], column: str) -> list[str]:
    """A column's cells of both families; the wrong one is in capitals."""
    wrong = {family for family, its_column, _ in report_problems.faults(row) if its_column == column}
    cells = []
    for family in families.FAMILIES:
        word = _word(row[family].get(column, "-"))
        star = "*" * (word == "yes" and column == "answering" and report_problems.is_bare(row))
        cells.append(word.upper() if family in wrong else word + star)
    return cells


def _word(value: Any) -> str:
    return {True: "yes", False: "no", None: "?"}.get(value, "-")


def _record_cell(cell: dict[str, Any]) -> str:
    word = _word(cell.get("published", "-"))
    return word.upper() if word == "no" else word


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{mark} ", subsequent_indent="  ")
