"""
Postfix's ``mynetworks``: who may relay. PURE: never accesses the host.

A client on ::1 may not relay until it names ``[::1]/128``, though one on 127.0.0.1 may.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import _dualstack_service_postfix as service_postfix
import _dualstack_service_postfix_values as service_postfix_values
from salt.exceptions import SaltInvocationError

LOOPBACK = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}
COMPANION = "[::1]/128"
BRACKETED = re.compile(r"\[([^\[\]]*)\](/.*)?")
PREFIX_LENGTH = re.compile(r"[0-9]{1,3}")
ELSEWHERE = re.compile(r"/.|[a-z]+:.")
# Other lists that let in whom they name.
ACCESS = re.compile(
    r"(?:smtpd|postscreen|qmqpd|permit)_\w*(?:restrictions|access_list|authorized_\w+|exceptions|networks)"
)
LOOPBACK_WORD = re.compile(r"(?<![\w.:])127\.[0-9.]*[0-9](?:/[0-9]+)?(?![\w.:])")


def fault(entry: Any) -> str:
    """
    Why an entry of the pillar's mynetworks is invalid, and what was expected; empty for a valid one.

    entry
        As a user wrote it; it may be anything.
    """
    if not isinstance(entry, str):
        return "text; expected a network in quotes, such as '[::1]/128'"
    # A word after it shows that it ends where it seems to: an open brace would include what follows.
    words = [each for _, each in service_postfix.words(f"{entry} x", service_postfix.LIST)]
    if words != [entry, "x"] or entry.startswith("#") or not (entry.isascii() and entry.isprintable()):
        return "one entry; expected a network without blanks and commas, such as '127.0.0.0/8'"
    network, better = _network(entry)
    if better:
        return f"what Postfix takes; expected '{better}'"
    if network is None and not ELSEWHERE.match(entry.lstrip("!")):
        return "a network; expected for example '127.0.0.0/8', '[::1]/128', '/file/name' or 'type:table'"
    return ""


def with_networks(text: str, wanted: list[str], path: str = service_postfix.MAIN) -> tuple[str, list[str]]:
    """
    The text whose mynetworks is exactly the pillar's, and notes.

    text
        The content of a main.cf.
    wanted
        The networks.
    path
        The file.

    Raises ``SaltInvocationError`` for lines that Postfix refuses.
    """
    notes = []
    if _trusts(wanted, 4) and _trusts(wanted, 6) is None:
        notes.append(f"mynetworks of the pillar trusts 127.0.0.1, and not ::1: a client there needs '{COMPANION}'")
    parameters = service_postfix.parameters(text, path)
    parameter = parameters.get("mynetworks")
    if parameter is None:
        line_end = service_postfix.line_end(text)
        gap = line_end if text and not text.endswith("\n") else ""
        return f"{text}{gap}{' '.join(['mynetworks =', *wanted])}{line_end}", notes
    expanded = service_postfix_values.expanded(parameter["value"], parameters, path)
    if expanded is not None and _canonical([each for _, each in _entries(expanded)]) == _canonical(wanted):
        return text, notes
    return service_postfix.replaced(text, parameter, _separator(text, parameter).join(wanted)), notes


def with_companion(text: str, path: str = service_postfix.MAIN) -> tuple[str, list[str]]:
    """
    The text whose mynetworks trusts ::1 if it trusts 127.0.0.1, and notes.

    text
        The content of a main.cf.
    path
        The file.

    Unset, mynetworks follows mynetworks_style, which knows the families. Raises ``SaltInvocationError`` for lines that
    Postfix refuses, and for entries that make smtpd die.
    """
    parameters = service_postfix.parameters(text, path)
    parameter = parameters.get("mynetworks")
    if parameter is None:
        return text, []
    expanded = service_postfix_values.expanded(parameter["value"], parameters, path)
    if expanded is None:
        return text, [service_postfix.undecided(parameter)]
    entries = [each for _, each in _entries(expanded)]
    notes = _network_notes(text, parameter, entries)
    if _trusts(entries, 6) is not None:
        return text, notes
    place = f"{path}:{parameter['line']}"
    if _trusts(entries, 4):
        new = with_entries(text, parameter, [COMPANION])
        # This fails if the value ends in a reference to a comment, or in an open brace.
        parameters = service_postfix.parameters(new, path)
        again = service_postfix_values.expanded(parameters["mynetworks"]["value"], parameters, path)
        if again is not None and _trusts([each for _, each in _entries(again)], 6):
            return new, notes
        notes.append(f"{place}: mynetworks is left alone, since its end hides what follows; add {COMPANION} to it")
    elif any(ELSEWHERE.match(each.lstrip("!")) for each in entries):
        notes.append(f"{place}: mynetworks refers to files or tables: they need ::1 where they have 127.0.0.1")
    return text, notes


def with_entries(text: str, parameter: dict[str, Any], words: list[str], alone: str = " ") -> str:
    """
    The text with more words at the end of a list, divided as the others are.

    text
        The content of a main.cf.
    parameter
        The list, from ``service_postfix.parameters``.
    words
        The words.
    alone
        What divides them from a single one.
    """
    start, last = (_entries(parameter["value"]) or [(0, "")])[-1]
    end = parameter["start"] + start + len(last)
    between = _separator(text, parameter, alone)
    return f"{text[:end]}{''.join(f'{between}{word}' for word in words)}{text[end:]}"


def _network_notes(text: str, parameter: dict[str, Any], entries: list[str]) -> list[str]:
    """Warnings about the entries of mynetworks; raises for those that make smtpd die."""
    notes = []
    for entry in entries:
        bare = entry.lstrip("!")
        network, better = _network(entry)
        # Postfix treats everything with a colon and no bracket as a table.
        if ":" in bare and bare[0] not in "[/" and (network or not ELSEWHERE.match(bare)):
            offset = next((start for start, each in _entries(parameter["value"]) if each == entry), 0)
            place = service_postfix.place(text, parameter["start"] + offset, parameter["file"])
            raise SaltInvocationError(
                f"{place}: `{entry}` of mynetworks has no brackets, "
                f"so smtpd dies for every client; write {f'`{better}`' if better else 'it as `[address]/length`'}"
            )
        if better:
            place = f"{parameter['file']}:{parameter['line']}"
            notes.append(f"{place}: `{entry}` of mynetworks makes Postfix defer mail; write `{better}`")
    return notes


def _entries(value: str) -> list[tuple[int, str]]:
    """The entries of mynetworks. Postfix ignores what follows a word that begins with `#`."""
    words = service_postfix.words(value, service_postfix.LIST)
    return words[: next((number for number, (_, word) in enumerate(words) if word.startswith("#")), len(words))]


def _network(entry: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network | None, str]:
    """
    The network of an entry of mynetworks, and how it should be written if Postfix rejects it.

    Files, tables and names give ``(None, "")``.
    """
    signs = entry[: len(entry) - len(entry.lstrip("!"))]
    bare = entry[len(signs) :]
    match = BRACKETED.fullmatch(bare)
    address, slash, length = (match[1] + (match[2] or "") if match else bare).partition("/")
    try:
        first = ipaddress.ip_address(address)
    except ValueError:
        return None, ""
    if "%" in address or slash and not (PREFIX_LENGTH.fullmatch(length) and int(length) <= first.max_prefixlen):
        return None, ""
    network = ipaddress.ip_network(f"{first}/{length or first.max_prefixlen}", strict=False)
    if network.network_address == first and (network.version == 4 or match):
        return network, ""
    ends = ("[", "]") if network.version == 6 else ("", "")
    return network, f"{signs}{ends[0]}{network.network_address}{ends[1]}/{network.prefixlen}"


def _trusts(entries: list[str], family: int) -> bool | None:
    """Whether mynetworks trusts the loopback address of a family; the first match decides. None if none matches."""
    for entry in entries:
        network, _ = _network(entry)
        if network is not None and network.version == family and LOOPBACK[family] in network:
            return not negated(entry)
    return None


def negated(entry: str) -> bool:
    """
    Whether an entry of a list excludes what it names.

    entry
        As it is written.
    """
    return (len(entry) - len(entry.lstrip("!"))) % 2 == 1


def _canonical(entries: list[str]) -> list[str]:
    """A form in which equivalent lists are equal. The order matters only if an entry is negated."""
    result = []
    for entry in entries:
        network, better = _network(entry)
        # What Postfix fails over is the same as no network.
        name = repr(network) if network and not better else entry.lstrip("!")
        result.append(f"!{name}" if negated(entry) else name)
    return result if any(map(negated, entries)) else sorted(set(result))


def _separator(text: str, parameter: dict[str, Any], alone: str = " ") -> str:
    """The separator between the entries of a list: as before the last one."""
    entries = _entries(parameter["value"])
    if not entries:
        return " "
    last = entries[-1][0]
    between = alone
    if len(entries) > 1:
        offset, word = entries[-2]
        between = parameter["value"][offset + len(word) : last]
    line = text[text.rfind("\n", 0, parameter["start"] + last) + 1 : parameter["start"] + last]
    if not line.strip(service_postfix.SPACE + service_postfix.LIST):  # it begins its line: one entry on each
        return f"{',' if ',' in between and ',' not in line else ''}{service_postfix.line_end(text)}{line}"
    return between


def deaf_lists(parameters: dict[str, dict[str, Any]]) -> list[str]:
    """
    Notes about other lists that name IPv4's loopback, and not that of IPv6.

    parameters
        From ``service_postfix.parameters``.
    """
    result = []
    for name, each in parameters.items():
        found = LOOPBACK_WORD.search(each["value"]) if ACCESS.fullmatch(name) else None
        if found and "::1" not in each["value"]:
            words = f"{name} names `{found[0]}`, and not ::1: left alone, add it if it may"
            result.append(f"{each['file']}:{each['line']}: {words}")
    return result
