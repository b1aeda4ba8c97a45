"""
The grammar of Postfix's main.cf, postconf(5), and master.cf, master(5). PURE: never accesses the host.

How Postfix reads a file was measured with 3.7.11 and read in its source (``readlline.c``, ``match_list.c``,
``master_ent.c``).
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_edits as service_edits
from salt.exceptions import SaltInvocationError

MAIN = "/etc/postfix/main.cf"
MASTER = "/etc/postfix/master.cf"

# isspace(3) of the C locale; str.strip() and \s would take Unicode's spaces, too.
SPACE = " \t\n\v\f\r"
# Between the words of a list, and between the fields of master.cf.
LIST = ", \t\r\n"
BLANK = " \t\r\n"
ASSIGNMENT = re.compile(rf"(?P<name>[^{SPACE}=]+)[{SPACE}]*=")


def text_of(files: plugins.Files, path: str) -> str:
    """
    The text of a file; empty if the file does not exist.

    files
        All files, by path.
    path
        The file.
    """
    return str(files.get(path, {}).get("text", ""))


def place(text: str, offset: int, path: str = MAIN) -> str:
    """
    Where something stands.

    text
        The text of a file.
    offset
        In the text.
    path
        The file.
    """
    return service_edits.place(path, text, offset)


def logical_lines(path: str, text: str) -> list[tuple[int, int, str]]:
    """
    The logical lines: number of the first line, offset, content.

    path
        The file.
    text
        Its content.

    A line that begins with white space continues the one before, across comments and empty lines; without one, it is
    ignored. The content has a blank for every skipped character, so that offsets in it are offsets in the text. Raises
    ``SaltInvocationError`` for a NUL character.
    """
    found: list[tuple[int, int, list[str]]] = []
    offset = gap = 0
    for number, line in enumerate(text.split("\n"), 1):
        gap += 1  # the end of the line before
        bare = line.strip(SPACE)
        if not bare or bare.startswith("#"):
            gap += len(line)
        elif line[0] not in SPACE:
            found.append((number, offset, [line]))
            gap = 0
        elif found:
            found[-1][2].append(" " * gap + line)
            gap = 0
        offset += len(line) + 1
    result = []
    for number, offset, pieces in found:
        content = "".join(pieces)
        if "\0" in content:
            where = place(text, offset + content.index("\0"), path)
            raise SaltInvocationError(f"{where}: a NUL character, behind which Postfix reads nothing")
        result.append((number, offset, content))
    return result


def assignments(text: str, path: str = MAIN) -> list[dict[str, Any]]:
    """
    The lines of a main.cf: ``name``, ``value``, ``start`` (the value's offset, or that behind the sign), ``line``, and
    the ``file``.

    text
        The file's content.
    path
        The file.

    Raises ``SaltInvocationError`` for lines that Postfix refuses.
    """
    result = []
    for line, offset, content in logical_lines(path, text):
        match = ASSIGNMENT.match(content)
        if match is None:
            raise SaltInvocationError(f"{path}:{line}:1: a line without `name =`, which Postfix refuses")
        value = content[match.end() :].strip(SPACE)
        start = content.index(value, match.end())
        result.append({"name": match["name"], "value": value, "start": offset + start, "line": line, "file": path})
    return result


def parameters(text: str, path: str = MAIN) -> dict[str, dict[str, Any]]:
    """
    The assignments that count, by name: the last one of each name.

    text, path
        As for :py:func:`assignments`, which also says what is raised.
    """
    return {each["name"]: each for each in assignments(text, path)}


def undecided(parameter: dict[str, Any]) -> str:
    """
    The note about a parameter that only Postfix itself could expand.

    parameter
        From :py:func:`parameters`.
    """
    value = " ".join(parameter["value"].split())
    return (
        f"{parameter['file']}:{parameter['line']}: {parameter['name']} = {value} refers to what is not defined there: "
        "cannot decide, left alone"
    )


def words(value: str, separators: str) -> list[tuple[int, str]]:
    """
    The words of a list, each with its offset. Braces group the words between them.

    value
        The list.
    separators
        The separators between words: ``LIST`` or ``BLANK``.
    """
    result, depth, start = [], 0, -1
    for offset, sign in enumerate(value):
        if sign in separators and not depth:
            if start >= 0:
                result.append((start, value[start:offset]))
            start = -1
            continue
        start = offset if start < 0 else start
        depth = depth + 1 if sign == "{" else max(depth - 1, 0) if sign == "}" else depth
    return result + ([(start, value[start:])] if start >= 0 else [])


def line_end(text: str) -> str:
    """
    How the lines of a file end.

    text
        Its content.
    """
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def replaced(text: str, parameter: dict[str, Any], new: str) -> str:
    """
    The text with another value, in place of the old one. Comments between the lines of the old one stay.

    text
        The content of main.cf.
    parameter
        From :py:func:`parameters`.
    new
        The other value.
    """
    value, start = parameter["value"], parameter["start"]
    if not value:
        begin = start
        while text[start : start + 1] in (" ", "\t"):
            start += 1
        return f"{text[:start]}{'' if start > begin else ' '}{new}{text[start:]}"
    head, tail = text[:start], text[start + len(value) :]
    first, *more = text[start : start + len(value)].split("\n")
    if not more:
        return f"{head}{new}{tail}"
    blanks = first[len(first.rstrip(SPACE)) :]
    comments = [line for line in more if line.strip(SPACE)[:1] in ("", "#")]
    # The last line of the value goes as a whole, with its end.
    return "\n".join([f"{head}{new}{blanks}", *comments, tail.partition("\n")[2]])
