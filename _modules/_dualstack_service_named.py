"""
The grammar of named.conf: statements, blocks, and lists of addresses that are matched in order. PURE: never accesses
the host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import _dualstack_service_addresses as service_addresses
import _dualstack_service_edits as service_edits
from salt.exceptions import SaltInvocationError

TOKEN = re.compile(
    r"""[ \t\r\n\f\v]+|//[^\n]*|\#[^\n]*|/\*.*?\*/|(?P<sign>[{};!])"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|(?:[^ \t\r\n\f\v{};"/\#!]|/(?![/*]))(?:[^ \t\r\n\f\v{};"/\#]|/(?![/*]))*)""",
    re.DOTALL,
)
DEEPEST = 50  # blocks within blocks
ANY, NONE = "any", "none"
# Every address of the host is in both of these.
OURS = ("localhost", "localnets")
LOOPBACK = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}


class Word(NamedTuple):
    """A word, or a sign."""

    text: str  # without quotes
    start: int
    end: int


class Statement(NamedTuple):
    """A statement."""

    path: str
    line: int
    words: list[Word]  # outside of blocks; `!` is one
    block: list[Statement] | None  # of its first block
    inside: tuple[int, int]  # where the text in that block begins and ends
    start: int
    end: int  # behind its semicolon

    @property
    def name(self) -> str:
        """Its first word, in lower case; empty if it has none."""
        return self.words[0].text.lower() if self.words else ""


def statements(path: str, text: str) -> list[Statement]:
    """
    The statements of a file.

    path
        The file, for errors.
    text
        Its content.

    Raises ``SaltInvocationError`` with the place where it cannot be read; nothing of the text is quoted.
    """
    tokens = list(_tokens(path, text))
    position = 0

    def parsed(depth: int) -> list[Statement]:
        nonlocal position
        found: list[Statement] = []
        words: list[Word] = []
        block, inside, begin = None, (0, 0), -1
        while position < len(tokens):
            token = tokens[position]
            if token.text == "}" and token.end - token.start == 1 and text[token.start] == "}":
                break
            position += 1
            sign = text[token.start] if text[token.start] in "{};" else ""
            begin = token.start if begin < 0 and sign != ";" else begin
            if sign == ";":
                if begin >= 0:
                    line = text.count("\n", 0, begin) + 1
                    found.append(Statement(path, line, words, block, inside, begin, token.end))
                words, block, inside, begin = [], None, (0, 0), -1
            elif sign == "{":
                if depth == DEEPEST:
                    raise _error(path, text, token.start, "too many blocks within each other")
                inner = parsed(depth + 1)
                if position == len(tokens):
                    raise _error(path, text, token.start, "a `{` that is not closed")
                if block is None:
                    block, inside = inner, (token.end, tokens[position].start)
                position += 1
            else:
                words.append(token)
        if begin >= 0:
            raise _error(path, text, begin, "a statement without a `;` at its end")
        return found

    result = parsed(0)
    if position < len(tokens):
        raise _error(path, text, tokens[position].start, "a `}` too many")
    return result


def _error(path: str, text: str, offset: int, what: str) -> SaltInvocationError:
    return SaltInvocationError(f"{service_edits.place(path, text, offset)}: {what}")


def _tokens(path: str, text: str) -> Iterator[Word]:
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:
            raise _error(path, text, position, "a quote or a comment that is not closed")
        position = match.end()
        if match["sign"]:
            yield Word(match["sign"], match.start(), match.end())
        elif match["text"]:
            bare = match["text"][1:-1] if match["text"].startswith('"') else match["text"]
            yield Word(bare, match.start(), match.end())


def everywhere(found: Iterable[Statement]) -> Iterator[Statement]:
    """
    Statements, and all that stand in their blocks.

    found
        The statements.
    """
    for each in found:
        yield each
        yield from everywhere(each.block or [])


class Element(NamedTuple):
    """One element of a list that is matched in order."""

    negated: bool
    word: str  # an address, a network, `any`, ...; empty for what is none of these
    end: int  # behind its semicolon, in the text


def elements(found: Sequence[Statement], acls: Mapping[str, Sequence[Statement]], depth: int = 0) -> list[Element]:
    """
    The elements of a list, with those of named lists and of lists within it in their place.

    found
        The statements of a block.
    acls
        The blocks of the statements ``acl``, by their names.
    """
    result = []
    for each in found:
        negated = bool(each.words) and each.words[0].text == "!"
        words = [word.text for word in each.words[negated:]]
        word = words[0] if len(words) == 1 else ""
        inner = each.block if not words and each.block is not None else acls.get(word)
        if inner is None:
            known = word.lower() if word.lower() in (ANY, NONE, *OURS) else _network(word)
            result.append(Element(negated, known, each.end))
        elif depth < DEEPEST:
            # What an inner list excludes is not matched by it at all, negated or not.
            parts = [part for part in elements(inner, acls, depth + 1) if not (negated and part.negated)]
            result += [Element(negated or part.negated, part.word, each.end) for part in parts]
    return result


def _network(word: str) -> str:
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError:
        return ""
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if alone else str(network)


def addresses(found: Sequence[Element], version: int) -> list[str]:
    """
    On which addresses of a family a list makes named listen.

    found
        Its elements.
    version
        4 or 6.

    Returns the wildcard alone, if it is all of them; else addresses, networks, and ``?`` for what is not known.
    """
    wildcard = service_addresses.ANY4 if version == 4 else service_addresses.ANY6
    result: list[str] = []
    excluded = {each.word for each in found if each.negated}
    for each in found:
        everyone = each.word == ANY or each.word in OURS or each.word in ("0.0.0.0/0", "::/0")[version // 6 :][:1]
        if each.negated:
            if everyone:
                break
            continue
        if everyone:
            return [wildcard]
        own = each.word == "" or ":" in each.word and version == 6 or "." in each.word and version == 4
        if own and each.word not in excluded:
            result.append(each.word or "?")
    return list(dict.fromkeys(result))


def within(address: str, network: str) -> bool:
    """
    Whether an address is in a network.

    address, network
        As :py:func:`addresses` returns them.
    """
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def lets_in(found: Sequence[Element], version: int) -> bool | None:
    """
    Whether a list matches the loopback address of a family; ``None`` if nothing in it decides that.

    found
        Its elements.
    version
        4 or 6.
    """
    for each in found:
        if each.word == ANY or each.word in OURS:
            return not each.negated
        if each.word not in ("", NONE):
            network = ipaddress.ip_network(each.word)
            if network.version == version and LOOPBACK[version] in network:
                return not each.negated
    return None
