"""
Lists of the whole host that let clients in or keep them out, and that know IPv4 only: fail2ban's ``ignoreip``, and
hosts_access(5). PURE: never accesses the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

FAIL2BAN = "/etc/fail2ban"
ALLOW, DENY = "/etc/hosts.allow", "/etc/hosts.deny"
# Patterns of the files to read.
FILES = (
    f"{FAIL2BAN}/jail.conf",
    f"{FAIL2BAN}/jail.local",
    *(f"{FAIL2BAN}/jail.d/*.{end}" for end in ("conf", "local")),
)
FILES += (ALLOW, DENY)

# 192.0.2.1, 192.0.2.0/24, 192.0.2.0/255.255.255.0, 192.0.2.
IPV4 = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9.]+)?|(?:[0-9]{1,3}\.){1,3}")
IPV6 = re.compile(r"\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?(?:/[0-9]+)?")
SHOWN = 3  # addresses of a list
SETTING = re.compile(r"(?P<name>[^=:#;\[]+)[=:](?P<value>.*)")


class _Entry(NamedTuple):
    path: str
    line: int
    name: str  # what is before the list
    words: list[str]


def notes(texts: Mapping[str, str]) -> list[str]:
    """
    What lets clients in, or keeps them out, over IPv4 only.

    texts
        The text of each file that :py:data:`FILES` match, by path.

    Returns one sentence for each list that has addresses of IPv4 and none of IPv6, as
    ``/etc/hosts.deny:3: `ALL: 192.0.2.7` knows IPv4 only: ...``. A list of fail2ban that a later file replaces does not
    count; nor does one of hosts_access(5) whose daemons have another line for IPv6.
    """
    return [*_ignored(texts), *_wrapped(texts)]


def _ignored(texts: Mapping[str, str]) -> Iterator[str]:
    """fail2ban reads jail.conf, jail.d/*.conf, jail.local, jail.d/*.local; the last value of a section counts."""
    last: dict[str, _Entry] = {}
    own = [path for path in texts if path.startswith(f"{FAIL2BAN}/")]
    for path in sorted(own, key=lambda each: (each.endswith(".local"), posixpath.dirname(each) != FAIL2BAN, each)):
        last.update(_jails(path, texts[path]))
    for entry in last.values():
        if _only_ipv4(entry.words):
            yield f"{_said(entry, ' = ')} knows IPv4 only: over IPv6, fail2ban may ban the same hosts"


def _jails(path: str, text: str) -> dict[str, _Entry]:
    """`ignoreip` of each section of a file; its value may go on in lines that are indented."""
    found: dict[str, _Entry] = {}
    section, name = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.split(r"(?:^|\s)[;#]", line, maxsplit=1)[0]
        if not bare.strip():
            continue
        if line[0] in " \t":
            if name == "ignoreip":
                found[section].words.extend(_words(bare))
            continue
        match = SETTING.fullmatch(bare)
        name = match["name"].strip().lower() if match else ""
        if bare.startswith("["):
            section = bare.strip().strip("[]")
        elif match and name == "ignoreip":
            found[section] = _Entry(path, number, name, _words(match["value"]))
    return found


def _wrapped(texts: Mapping[str, str]) -> Iterator[str]:
    for path, what in ((ALLOW, "the same clients are not let in by it"), (DENY, "the same clients are not kept out")):
        entries = list(_rules(path, texts.get(path, "")))
        six = {entry.name for entry in entries if any(map(IPV6.fullmatch, entry.words))}
        for entry in entries:
            if _only_ipv4(entry.words) and entry.name not in six:
                yield f"{_said(entry, ': ')} knows IPv4 only: over IPv6, {what}"


def _rules(path: str, text: str) -> Iterator[_Entry]:
    """The rules of a file: a list of daemons, a list of clients, and maybe options; a backslash joins lines."""
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        while line.endswith("\\"):
            line = line[:-1] + next(lines, (0, ""))[1]
        parts = re.findall(r"(?:\[[^]]*\]|[^:\[])+", "" if line.startswith("#") else line)
        if len(parts) > 1:
            yield _Entry(path, number, " ".join(_words(parts[0])), _words(parts[1]))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,]+", text)


def _only_ipv4(words: list[str]) -> bool:
    return any(map(IPV4.fullmatch, words)) and not any(map(IPV6.fullmatch, words))


def _said(entry: _Entry, sign: str) -> str:
    four = [word for word in entry.words if IPV4.fullmatch(word)]
    more = " ..." if four[SHOWN:] else ""
    return f"{entry.path}:{entry.line}: `{entry.name}{sign}{' '.join(four[:SHOWN])}{more}`"
