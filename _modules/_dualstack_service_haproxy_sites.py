"""
What HAProxy's frontends choose by: the names of sites, and the addresses of clients. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import _dualstack_service_haproxy as service_haproxy
import _dualstack_service_sites as service_sites
from salt.exceptions import SaltInvocationError

# Samples that are the name that a client asks for, its section 7.3, with converters; not those of a pattern (hdr_end).
ASKED = re.compile(
    r"(?:(?:(?:req\.|req_)?f?hdr|hdr_dom)\(host(?:,-?[0-9]+)?\)|(?:req\.|req_)ssl_sni|ssl_fc_sni)"
    r"(?:,[a-z0-9_]+(?:\([^)]*\))?)*",
    re.I,
)
LINES = re.compile(r"^[^#\n]*(?:\(host|ssl_sni|ssl_fc_sni|\bsrc\b).*", re.M | re.I)
HEADS = re.compile(rf"^[ \t]*(?:{'|'.join(map(re.escape, service_haproxy.SECTIONS))})(?=[ \t\r#]|$)", re.M)
EXACT = ("str", "dom", "ip")  # methods of matching that compare with the whole value, or with a domain


class Condition(NamedTuple):
    """One comparison of a sample with values."""

    section: int  # the line of its section
    line: int
    acl: str  # its name; empty for one that stands in a condition
    sample: str
    values: list[str]
    exact: bool  # whether they are compared as they are
    whole: bool  # whether they are all: others may be in a file


def conditions(text: str) -> Iterator[Condition]:
    """
    The comparisons of names that clients ask for, and of their addresses.

    text
        A file. Lines that cannot be read are left out.
    """
    heads = [match.start() for match in HEADS.finditer(text)]
    index, section, line, counted = 0, 0, 1, 0
    for match in LINES.finditer(text):
        while index < len(heads) and heads[index] <= match.start():
            section = line + text.count("\n", counted, heads[index])
            line, counted = section, heads[index]
            index += 1
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        try:
            words = [each["text"] for each in service_haproxy.words("", match[0], 0)]
        except SaltInvocationError:
            continue
        acl = words[1] if words[:1] == ["acl"] and len(words) > 2 else ""
        for place, word in enumerate(words):
            if word.lower() == "src" or ASKED.fullmatch(word):
                yield Condition(section, line, acl, word.lower(), *_values(words[place + 1 :]))


def _values(words: list[str]) -> tuple[list[str], bool, bool]:
    """What a sample is compared with, up to the end of the condition, its section 7.1.1."""
    values: list[str] = []
    exact, whole, flags = True, True, True
    rest = iter(words)
    for word in rest:
        if word in ("}", "||", "or", "if", "unless"):
            break
        if flags and word in ("-f", "-u"):
            next(rest, "")
            whole = whole and word == "-u"
        elif flags and word == "-m":
            exact = next(rest, "") in EXACT
        elif flags and word.startswith("-"):
            flags = word != "--"
        else:
            flags = False
            values.append(word)
    return values, exact, whole


def names(found: list[Condition]) -> dict[int, list[str]]:
    """
    The host names of each section, by its line.

    found
        The conditions of a file.
    """
    result: dict[int, list[str]] = {}
    for each in found:
        if each.sample != "src" and each.exact:
            result.setdefault(each.section, []).extend(each.values)
    return {section: service_sites.host_names(values) for section, values in result.items()}


def one_family(path: str, found: list[Condition]) -> Iterator[str]:
    """
    Notes on lists of clients that know IPv4 only: nobody but the administrator knows whom they mean in IPv6.

    path
        The file.
    found
        Its conditions.
    """
    lists: dict[tuple[int, str, int], list[Condition]] = {}
    for number, each in enumerate(found):
        if each.sample == "src":
            # Lines for the same name are one list.
            lists.setdefault((each.section, each.acl, 0 if each.acl else number + 1), []).append(each)
    for members in lists.values():
        values = [value for each in members for value in each.values]
        if not all(each.whole for each in members):
            continue
        place = f"{path}:{members[0].line}"
        written = " ".join([*(["acl", members[0].acl] if members[0].acl else []), "src", *members[0].values])
        if service_sites.only_ipv4(values):
            yield f"{place}: `{written}`: this list knows addresses of IPv4 only: over IPv6 nobody is on it"
        if any(value.startswith("127.") for value in values) and not any(value.startswith("::1") for value in values):
            yield f"{place}: `src` knows this host as 127.0.0.0/8 only; over IPv6 it is ::1"
