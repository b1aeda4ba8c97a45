"""
The lines of one kernel parameter in a file of sysctl.d(5), all others as they are. PURE: never accesses the host.
"""

from __future__ import annotations

import _dualstack_host_sysctl_boot as host_sysctl_boot
import _dualstack_sysctl_values as sysctl_values

HEADER = "# Kernel parameters, sysctl.d(5)\n"  # of a file that did not exist


def with_value(text: str | None, name: str, value: str) -> str:
    """
    A text in which a parameter has a value.

    text
        Of the file; ``None`` if there is none.
    name
        The parameter.
    value
        Its value.

    If several lines set it, the last is the one that counts, and gets the value; those before it do no harm, and stay.
    """
    lines = host_sysctl_boot.lines(HEADER if text is None else text)
    found = _of(lines, name)
    if found and found[-1].value is not None:
        if not sysctl_values.same(found[-1].value, value):
            at = found[-1].line - 1
            start, _, end = _parts(lines[at])
            lines[at] = f"{start}{value}{end}"
        return "".join(lines)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    return "".join([*lines, f"{name} = {value}{end}"])


def without(text: str, name: str) -> str | None:
    """
    A text that gives a parameter no value.

    text
        Of the file.
    name
        The parameter.

    Returns ``None`` where nothing is left of a file that this project made.
    """
    gone = {each.line for each in _of(host_sysctl_boot.lines(text), name) if each.value is not None}
    if not gone:
        return text
    left = "".join(line for number, line in enumerate(host_sysctl_boot.lines(text), 1) if number not in gone)
    return None if left == HEADER else left


def said(text: str | None, name: str) -> list[str]:
    """
    The lines that give a parameter its value, for a message.

    text
        Of the file; ``None`` if there is none.
    name
        The parameter.
    """
    lines = host_sysctl_boot.lines(text or "")
    shown = []
    for each in _of(lines, name):
        if each.value is not None:
            start = _parts(lines[each.line - 1])[0].lstrip()
            shown.append(f"{start}{sysctl_values.shown(name, each.value)}".rstrip())
    return shown


def _of(lines: list[str], name: str) -> list[host_sysctl_boot.Setting]:
    key = host_sysctl_boot.key(name)
    return [each for each in host_sysctl_boot.settings("".join(lines)) if each.key == key]


def _parts(line: str) -> tuple[str, str, str]:
    """A line up to its value, the value, and the end."""
    start, _, rest = line.partition("=")
    body = rest.lstrip(" \t")
    value = body.rstrip(host_sysctl_boot.BLANKS)
    return f"{start}={rest[: len(rest) - len(body)]}", value, body[len(value) :]
