"""
What is shown of a configuration: only what is known to be no secret. PURE: never accesses the host.

Known are addresses, ports, brackets and the like, and the words with which a service is told to listen, or an interface
what it is. All else is shown as three asterisks, whether it looks like a secret or not.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterator

import _dualstack_secrets_tokens as secrets_tokens

HIDDEN = "***"
ABOVE = 20  # lines
NEAR = 8  # words, and what is between them
LINE = 1000  # characters of a line
RUN = re.compile(r"\*{3}(?:[ \t]*\*{3})+")

# Words that many services have in common; the plug-ins have more.
WORDS = frozenset("""
    listen listener listeners bind port ports ip address addr interface interfaces socket family inet inet6 ipv4 ipv6
    v4 v6 v4v6 v6only ipv6only v4only dual both any all default tcp udp http https http2 quic ssl tls starttls
    proxy_protocol on off yes no true false enable enabled disable disabled localhost server service module
    password passwd passphrase secret token
    """.split())

DECORATION = re.compile(r"^[#!%-]*|[:.\\]*$")
SIGNS = re.compile(r"[-.:*@#%\\/|&?!~+$]{1,3}")
DIVIDERS = (":", "\\", "-", "|", ">")  # between a name and its value
NUMBER = re.compile(r"0|[1-9][0-9]{0,4}")
HOST = r"\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9]+(?:\.[0-9]+){3})|(?P<name>\*|_default_|localhost|)"
ENDPOINT = re.compile(rf"(?:ipv[46]@)?(?:{HOST})(?::(?P<port>[0-9]{{1,5}})|/(?P<length>[0-9]{{1,3}}))?")
SIX = re.compile(r"(?:ipv6@)?(?P<address>[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(?:/[0-9]{1,3})?")
# The kernel's names of interfaces, and systemd's.
INTERFACE = re.compile(
    r"lo|(?:eth|wlan|br|bond|dummy|vlan|ppp|tun|tap|sit|wg)[0-9]{1,4}|en[opsx][0-9][0-9a-z]{0,10}|he-ipv6"
)
# What a first word may be called, where nobody has said which words a service has.
PLAIN = re.compile(r"[A-Za-z][A-Za-z_.-]{0,31}:?")
LISTENING = re.compile(r"port|listen|bind|addr", re.IGNORECASE)


def diff(path: str, old: str, new: str, words: Collection[str] | None = None) -> str:
    """
    A unified diff without secrets, and without the lines around the changes.

    path
        The file.
    old, new
        Its texts.
    words
        The words of this language that are no secrets; ``None`` where its plug-in does not say: then the first word of
        a line is taken for one.

    Lines that differ in what is hidden are shown as well, though they look alike.
    """
    olds, news = old.split("\n"), new.split("\n")
    lines = [f"--- {path}", f"+++ {path}"]
    for tag, i, j, k, m in difflib.SequenceMatcher(None, olds, news).get_opcodes():
        if tag != "equal":
            lines.append(f"@@ -{_range(i, j)} +{_range(k, m)} @@")
            lines += [f"-{line.rstrip()}" for line in span(olds, i, j, words)]
            lines += [f"+{line.rstrip()}" for line in span(news, k, m, words)]
    return "\n".join(lines).encode("utf-8", "replace").decode() if lines[2:] else ""


def span(lines: list[str], start: int, end: int, words: Collection[str] | None) -> list[str]:
    """
    Some lines of a text, of which only what is no secret is shown.

    lines
        All of them: what stands above a line may be the name of what it holds.
    start, end
        The first of those that are wanted, and the one behind the last.
    words
        As for :py:func:`diff`.
    """
    above = max(0, start - ABOVE)
    return shown("\n".join(lines[above:end]), words).split("\n")[start - above :] if end > start else []


def _range(start: int, end: int) -> str:
    """As a unified diff counts lines."""
    length = end - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def shown(text: str, words: Collection[str] | None = None) -> str:
    """
    A text of which only what is no secret is shown; it has as many lines as before.

    text
        Of a configuration file, or a part of it.
    words
        As for :py:func:`diff`.
    """
    return RUN.sub(HIDDEN, "".join(_parts(text, words, False)))


def _parts(text: str, words: Collection[str] | None, listening: bool) -> Iterator[str]:
    """
    The parts of a text. A number is a port only behind a word about listening, an address or another port, or where it
    begins a tuple of Erlang's that goes on with such a word; ``listening`` says whether that is so at the beginning.
    """
    known = WORDS if words is None else WORDS | {each.casefold() for each in words}
    found = list(secrets_tokens.tokens(text))
    position = 0
    for index, token in enumerate(found):
        position += len(token.text)
        if token.kind in ("blank", "line", "sign"):
            yield token.text
            continue
        if token.secret and token.text in DIVIDERS:
            yield token.text
        elif token.secret or token.kind == "rest":
            listening = False
            yield HIDDEN
        elif token.kind == "string":
            inside = "".join(_parts(token.content, words or (), listening))
            listening = bool(inside) and HIDDEN not in inside
            yield token.text if HIDDEN not in inside else HIDDEN
        elif NUMBER.fullmatch(token.text):
            listening = int(token.text) < 65536 and (listening or _begins_tuple(found, index, known))
            yield token.text if listening else HIDDEN
        elif SIGNS.fullmatch(token.text):
            listening = listening or "*" in token.text
            yield token.text
        elif _is_known(token.text, known):
            listening = True
            yield token.text
        elif words is None and token.first and _is_name(token.text, text, position):
            listening = bool(LISTENING.search(token.text))
            yield token.text
        else:
            listening = False
            yield HIDDEN


def _is_known(word: str, known: Collection[str]) -> bool:
    bare = DECORATION.sub("", word)
    return bare.casefold() in known or word.casefold() in known or bool(INTERFACE.fullmatch(bare)) or _is_address(word)


def _begins_tuple(found: list[secrets_tokens.Token], index: int, known: Collection[str]) -> bool:
    """Whether a number is the port in ``{5222, ejabberd_c2s, ...}``, or ``{{5222, "::"}, ejabberd_c2s, ...}``."""
    before = next(
        (each.text for each in reversed(found[max(0, index - NEAR) : index]) if each.kind not in ("blank", "line")), ""
    )
    if before != "{":
        return False
    rest = (each for each in found[index + 1 : index + NEAR] if each.kind not in ("blank", "line"))
    comma, behind = next(rest, None), next(rest, None)
    return bool(comma and behind and comma.text == "," and _is_known(behind.content, known))


def _is_name(word: str, text: str, end: int) -> bool:
    """Whether the first word of a line is a name, with a value behind it, and not a part of the line before it."""
    start = end - len(word)
    rest = text[end : end + LINE].partition("\n")[0].strip()
    above = text[max(0, start - LINE) : text.rfind("\n", 0, start) + 1]
    return bool(PLAIN.fullmatch(word) and rest and not above.rstrip().endswith(secrets_tokens.CONTINUES))


def _is_address(word: str) -> bool:
    """Whether a word is an address, with or without a port or the length of a prefix; or a port with its colon."""
    word = word.lstrip("#!")
    match = ENDPOINT.fullmatch(word)
    if match and (match["name"] != "" or match["port"]):
        host = match["bracketed"] or match["four"]
        return int(match["port"] or 0) < 65536 and (host is None or _parses(host))
    match = SIX.fullmatch(word)
    if match is None:
        return False
    host, _, port = match["address"].rpartition(":")  # HAProxy writes `:::80`
    return _parses(match["address"]) or (host == "::" and port.isdigit() and int(port) < 65536)


def _parses(address: str) -> bool:
    try:
        return bool(ipaddress.ip_address(address))
    except ValueError:
        return False
