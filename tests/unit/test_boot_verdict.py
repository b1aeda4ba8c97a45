"""What many findings about a boot are together."""

from __future__ import annotations

from typing import Any

import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import pytest

TRUE, FALSE, NONE = (converge.Finding(holds, str(holds)) for holds in (True, False, None))


@pytest.mark.parametrize(
    ("problems", "untried", "finding"),
    [
        ([], [], (True, "fine")),
        ([], ["u"], (None, "u")),
        (["p"], [], (False, "p")),
        (["p", "q", "p"], ["u"], (False, "p\nq\nu")),
    ],
)
def test_one_part(problems: list[str], untried: list[str], finding: Any) -> None:
    assert boot_verdict.of("fine", problems, untried) == finding


@pytest.mark.parametrize(
    ("parts", "holds"),
    [
        ([TRUE, TRUE], True),
        ([TRUE, NONE], None),
        ([NONE, FALSE, TRUE], False),
        ([], None),
    ],
)
def test_all_parts(parts: list[Any], holds: bool | None) -> None:
    assert boot_verdict.whole({str(number): each for number, each in enumerate(parts)}).holds is holds


def test_each_line_has_the_name_of_its_part() -> None:
    found = boot_verdict.whole({"a": FALSE._replace(comment="x\ny"), "b": TRUE})
    assert found == (False, "a: x\na: y\nb: True")
