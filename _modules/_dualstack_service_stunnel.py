"""
The language of stunnel's configuration, stunnel(8): sections, and the addresses that they accept connections on. PURE:
never accesses the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_addresses as service_addresses
import _dualstack_service_includes as service_includes
from salt.exceptions import SaltInvocationError

FOLDER = "/etc/stunnel"

LINE = re.compile(r"\s*(?:[;#].*|\[(?P<section>[^\]]*)\]\s*|(?P<name>[^=\[;#\s][^=]*)=(?P<value>.*)|)")
V6ONLY = re.compile(r"a:IPV6_V6ONLY=(?P<value>.*)", re.IGNORECASE)
NO = ("no", "0")


class Option(NamedTuple):
    path: str
    line: int
    name: str  # in small letters; empty for the beginning of a section
    value: str  # the name of the section, if this is its beginning
    span: tuple[int, int]  # of the value
    start: int  # of the line
    end: int  # of the line, without its line end


class Accept(NamedTuple):
    option: Option
    port: str
    address: str  # as the kernel shows it, or a host name

    @property
    def wildcard(self) -> bool:
        """Whether it is for all addresses of a family."""
        return self.address in service_addresses.OTHER


class Section(NamedTuple):
    name: str
    accepts: list[Accept]
    v6only: bool | None  # of its sockets; None for the kernel's default
    sets: Option | None  # the option of this section that says so
    client: bool  # of another server: what it accepts is for this host, or those around it
    target: tuple[str, ...]  # where its connections go
    tells: str  # the option by which whatever it serves learns the client's address; empty if there is none


def options(path: str, text: str) -> list[Option]:
    """
    The options of one file, and the beginnings of its sections.

    path, text
        The file.

    Raises ``SaltInvocationError`` for a line that is neither.
    """
    found, start = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        match = LINE.fullmatch(line)
        if not match:
            raise SaltInvocationError(f"{path}:{number}:1: neither a section nor NAME = VALUE")
        group = "section" if match["name"] is None else "value"
        if match[group] is not None:
            value = match[group].strip()
            at = start + match.end(group) - len(match[group].lstrip())
            name = (match["name"] or "").strip().lower()
            end = start + len(line.rstrip("\r"))
            found.append(Option(path, number, name, value, (at, at + len(value)), start, end))
        start += len(line) + 1
    return found


def patterns(path: str, text: str) -> list[str]:
    """
    The patterns of paths that a file includes: all files of a folder, in the order of their names.

    path, text
        The file.

    Raises as :py:func:`options` does.
    """
    return [posixpath.join("/", each.value, "*") for each in options(path, text) if each.name == "include"]


def sections(files: plugins.Files) -> Iterator[Section]:
    """
    The sections of all processes: stunnel runs once for each file in /etc/stunnel that ends in .conf.

    files
        All files, by path.

    Raises as :py:func:`options` does, and for a file that includes itself.
    """
    for path in files:
        if posixpath.dirname(path) == FOLDER and path.endswith(".conf"):
            yield from _process(files, path)


def _process(files: plugins.Files, main: str) -> Iterator[Section]:
    parts: list[tuple[str, list[Option]]] = [("", [])]
    for step in service_includes.walk(
        files, main, options, lambda each: int(each.name == "include"), lambda path, each: f"{path}:{each.line}:1"
    ):
        each = step.statement
        if each.name:
            parts[-1][1].append(each)
        else:
            parts.append((each.value, []))
    # What stands above all sections counts for each.
    usual, usually = _v6only(parts[0][1], None)[0], _client(parts[0][1], False)
    for name, own in parts[1:]:
        v6only, sets = _v6only(own, usual)
        accepts = [found for each in own if each.name == "accept" if (found := _accept(each, v6only))]
        target = tuple(each.value for each in own if each.name in ("connect", "exec", "execargs"))
        tells = next(
            (
                f"{each.name} = {each.value}"
                for each in own
                if (each.name, each.value.lower()) == ("protocol", "proxy") or each.name == "transparent"
            ),
            "",
        )
        yield Section(name, accepts, v6only, sets, _client(own, usually), target, tells)


def _v6only(own: list[Option], usual: bool | None) -> tuple[bool | None, Option | None]:
    sets = [each for each in own if each.name == "socket" and V6ONLY.fullmatch(each.value)]
    match = V6ONLY.fullmatch(sets[-1].value) if sets else None
    return (match["value"].lower() not in NO, sets[-1]) if match else (usual, None)


def _client(own: list[Option], usual: bool) -> bool:
    said = [each.value.lower() for each in own if each.name == "client"]
    return said[-1] == "yes" if said else usual


def _accept(option: Option, v6only: bool | None) -> Accept | None:
    """Where an `accept` listens; nothing for a UNIX socket, and for what stunnel refuses."""
    host, _, port = option.value.rpartition(":")
    if option.value.startswith("/") or not port:
        return None
    if host in ("", "*"):  # 0.0.0.0, or else `::`; the first one cannot have an option of IPv6
        return Accept(option, port, service_addresses.ANY4 if v6only is None else service_addresses.ANY6)
    return Accept(option, port, service_addresses.ANY4 if host == "0" else service_addresses.canonical(host))


def below(text: str, option: Option, name: str, value: str) -> tuple[int, int, str]:
    """
    The edit that adds an option below another one, in its fashion.

    text
        Of its file.
    option
        The other one.
    name, value
        What is added.

    Returns what ``service_edits.spliced`` takes.
    """
    before = text[option.start : option.span[0]]
    indent = before[: len(before) - len(before.lstrip(" \t"))]
    sign = " = " if re.search(r"[ \t]=", before) else "="
    newline = "\r\n" if text[option.end : option.end + 1] == "\r" else "\n"
    return option.end, option.end, f"{newline}{indent}{name}{sign}{value}"
