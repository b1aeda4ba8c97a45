"""
A report as text for a terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_values as dns_values
import _dualstack_families as families
import _dualstack_report_problems as report_problems

COLUMNS = report_problems.COLUMNS
OUTCOMES = {converge.HELD: "yes", converge.FAILED: "no", converge.UNTRIED: "?"}
WIDTH = 96  # columns; Salt's nested outputter indents by 4
NAME_WIDTH = 44
HOST_WIDTH = 80  # of a host name, which may be shown in two forms
GAP = "   "


def table(matrix: dict[str, Any]) -> str:
    """
    A report as text for a terminal, without colours and at most 96 columns wide.

    matrix
        The report as data.

    Problems are in capitals, and their lines begin with ``!``. The last line sums up.
    """
    lines = [matrix["host"], *(f"  {words}  {_way(matrix[family])}" for family, words in families.NAMES.items())]
    proof = list(_proof(matrix))
    lines += ["", *_rungs(proof)] if proof else []
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
        left = max([left, len("published"), *(len(_name(row)) for row in matrix["published"])])
        lines += ["", *_head(f"{'published':<{left}}", [("", *report_problems.RECORDS.values())])[1:]]
        for row in matrix["published"]:
            cells = [_record_cell(row[family]) for family in families.FAMILIES]
            lines.append(_line(bool(report_problems.missing(row)), f"{_name(row):<{left}}", cells))
    for each in matrix["notes"]:
        lines += ["", *_wrapped(each["mark"], each["text"])] if each is matrix["notes"][0] else _wrapped(**each)
    lines.append("")
    problems = report_problems.others(matrix, matrix["problems"])  # the rungs have their own lines
    if len(problems) > 1:
        for each in problems:
            lines += _wrapped("!", each["text"])
    lines += textwrap.wrap(dns_values.spelt(matrix["summary"]), WIDTH)
    return "\n".join(line.rstrip() for line in lines)


def _way(family: dict[str, Any]) -> str:
    if not family["address"]:
        return "-"
    through = f" through {family['interface']}" if family["interface"] else ""
    others = len(family["addresses"]) - 1
    return f"{family['address']}{through}{f', and {others} more' if others else ''}"


def _proof(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The mark, the title, the word and the text of each line about this host as a whole."""
    for each in found["proof"]:
        word = OUTCOMES[each["outcome"]]
        if word == "?" and not each["needed"]:
            yield " ", each["rung"], "-", f"not needed, as dns:without says: {each['text']}"
        else:
            yield _mark(word, True), each["rung"], word, each["text"]
    for each in found["ptr"]:
        word = "?" if each["names"] is None else "yes" if each["names"] else "no"
        told = f"is {', '.join(each['names'])}" if each["names"] else "has no PTR record"
        text = each["error"] or f"{each['address']} {told}"
        yield _mark(word, report_problems.lacks_pointer(each)), "PTR", word, text
    for each in found["mail"]:
        word = OUTCOMES[each["outcome"]]
        way = f" from {each['address']}" if each["address"] else ""
        yield _mark(word, report_problems.is_refused(each)), "mail", word, f"{each['service']}{way}: {each['text']}"


def _mark(word: str, wrong: bool) -> str:
    return "?" if word == "?" else "!" if word == "no" and wrong else " "


def _rungs(proof: list[tuple[str, str, str, str]]) -> list[str]:
    wide = max(len(title) for _, title, _, _ in proof)
    lines = []
    for mark, title, word, text in proof:
        left = f"{mark} {title:<{wide}}  {word.upper() if mark == '!' else word:<3}  "
        for line in dns_values.spelt(text).splitlines() or [""]:
            lines += textwrap.wrap(line, WIDTH, initial_indent=left, subsequent_indent=" " * len(left)) or [left]
            left = " " * len(left)
    return lines


def _cut(name: str, width: int = NAME_WIDTH) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}~"


def _name(row: dict[str, Any]) -> str:
    return _cut(dns_values.shown(row["name"]), HOST_WIDTH)


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
    return textwrap.wrap(dns_values.spelt(text), WIDTH, initial_indent=f"{mark} ", subsequent_indent="  ")
