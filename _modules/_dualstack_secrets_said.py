"""
The secrets in a configuration, and the words of programs without them. PURE: never accesses the host.

A checker, an init script or a log may quote what it has read. What they say has to stay of use, so it is not masked as
a configuration is, by what may be shown, but by what may not: whatever stands in a file behind the name of a secret, or
looks like one, and whatever looks like one in the words themselves.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import _dualstack_secrets_shown as secrets_shown
import _dualstack_secrets_tokens as secrets_tokens

HIDDEN = secrets_shown.HIDDEN
SHORTEST = 3  # characters of a secret
WHOLE = 8  # one that is shorter is only masked as a word of its own
PIECE = re.compile(r"[^\s\"'`]{6,}")  # a program may have cut off the rest

# What looks like a secret, wherever it stands; the secret itself is the first group.
SHAPES = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"\b(?:basic|bearer|digest|negotiate)\s+([A-Za-z0-9+/=._~-]{6,})",  # HTTP's Authorization
        r"://[^\s/:@\"']*:([^\s/@\"']+)@",  # a URL
        r"(\{[A-Z0-9.-]+\}[A-Za-z0-9+/=$.]{8,})",  # a hash of LDAP's, or of Dovecot's
        r"(\$[0-9a-z]{1,8}\$[A-Za-z0-9+/=$.,-]{8,})",  # a hash of crypt(3)
        # base64 or hexadecimal digits
        r"((?<![\w/+.-])(?!/)(?=[A-Za-z/+]*[0-9])(?=[0-9/+]*[A-Za-z])[A-Za-z0-9+/]{24,}={0,2}(?![\w/+.-]))",
        r"^[ \t#;]*([A-Za-z0-9+/]{40,}={0,2})[ \t]*$",  # a line of base64
        r"(\beyJ[\w-]+\.[\w-]+\.[\w-]+)",  # a token of JSON
        r"(\b(?:ghp|gho|glpat|xox[bp])[_-][\w-]{16,})",  # tokens of well-known services
        r"(\bAKIA[0-9A-Z]{16}\b)",
    )
)
ASSIGNED = re.compile(
    r"""((?:pass(?:word|wd|phrase)?|pwd?|pw|secret|token|api[_-]?key|access_?key|credentials?|"""
    r"""community|psk|cookie)["']?\s*[:=]\s*|--(?:password|token|secret)[= ])"""
    r"""("[^"]*"|'[^']*'|[^\s,;}\])]+)""",
    re.IGNORECASE,
)
QUOTED = re.compile(r"`[^`\n]+`|(?<!\w)'[^'\n]+'(?!\w)")
PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)(?:-----END \1-----|\Z)", re.DOTALL)

# What may stand in the place of a secret, and is none: to mask it would only take the sense from what a program says.
PATH = re.compile(r"[<@]?(?:[a-z_]+:)?/(?:etc|usr|var|run|srv|home|opt|tmp|dev|lib|root|proc|sys|bin|sbin)/[\w./-]*")
ADDRESS = re.compile(r"[0-9A-Fa-f:.]+")
SIMPLE = re.compile(r"[a-z][a-z_.-]*|[A-Z][A-Z_.-]*|[0-9]{1,2}")
ORDINARY = secrets_shown.WORDS | frozenset("""
    admin auth authorization basic bearer digest plain login cram-md5 md5 sha1 sha256 sha512 crypt optional required
    file files static mysql pgsql mssql odbc sqlite sql ldap ldaps pam dovecot postfix ejabberd nginx apache apache2
    haproxy lighttpd prosody ssh sshd vsftpd root user users www-data nobody http-request set-header realm path home
    lang the internal external anonymous relaxed cyrus unix type shared require valid-user
    a an and are as at be by can ended for from has if in is it killed may more must not of only or said see should than
    that then this to took use used was when where will with without
    """.split())


class Secrets(NamedTuple):
    """The secrets of some texts."""

    each: list[str]  # the longest first
    all: str  # one a line


def of(texts: Iterable[str]) -> Secrets:
    """
    The secrets in a configuration.

    texts
        Of all its files.
    """
    return known(each for text in texts for each in _candidates(text))


def known(values: Iterable[str]) -> Secrets:
    """
    Secrets that are known to be some.

    values
        The secrets. What is too short, or is an everyday word, is left out.
    """
    found = {form for each in set(values) if not _is_ordinary(each) for form in _forms(each)}
    longest = sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)
    return Secrets(longest, "\n".join(longest))


def without(text: str, secrets: Secrets) -> str:
    """
    What a program said, without secrets.

    text
        All of it: what has been cut out of a longer one may have half a secret at its ends.
    secrets
        Those of the service's configuration.
    """
    text = PEM.sub(lambda match: f"-----BEGIN {match[1]}-----{_hidden_lines(match[2])}", text)
    if secrets.each:
        text = _without_whole(text, secrets)
        text = PIECE.sub(lambda match: HIDDEN if _is_piece(match[0], secrets) else match[0], text)
    text = ASSIGNED.sub(rf"\1{HIDDEN}", text)
    for shape in SHAPES:
        text = shape.sub(_hide_group, text)
    return text


def _without_whole(text: str, secrets: Secrets) -> str:
    for each in secrets.each:  # most are written as in the file, and there may be thousands
        if len(each) >= WHOLE:
            text = text.replace(each, HIDDEN)
    lower = text.lower()
    left = [each for each in secrets.each if each.lower() in lower]
    patterns = [re.escape(each) if len(each) >= WHOLE else rf"(?<!\w){re.escape(each)}(?!\w)" for each in left]
    return re.sub("|".join(patterns), HIDDEN, text, flags=re.IGNORECASE) if patterns else text


def quoted(text: str, words: Collection[str] | None, secrets: Secrets) -> str:
    """
    What a plug-in says about a configuration, without secrets: what it quotes is shown as that in a diff is.

    text
        A sentence; quotations are between backticks, or in Python's quotes.
    words
        As for :py:func:`_dualstack_secrets_shown.diff`.
    secrets
        Those of the service's configuration.
    """
    return without(
        QUOTED.sub(lambda match: match[0][0] + secrets_shown.shown(match[0][1:-1], words or ()) + match[0][-1], text),
        secrets,
    )


def _hide_group(match: re.Match[str]) -> str:
    start, end = (each - match.start() for each in match.span(1))
    return f"{match[0][:start]}{HIDDEN}{match[0][end:]}"


def _hidden_lines(text: str) -> str:
    return re.sub(r"[^\s;]+", HIDDEN, text)


def _is_piece(word: str, secrets: Secrets) -> bool:
    return not SIMPLE.fullmatch(word) and not PATH.fullmatch(word) and word in secrets.all


def _candidates(text: str) -> Iterator[str]:
    """What may be secrets in a text."""
    for match in PEM.finditer(text):
        yield from match[2].split()
    for shape in SHAPES:
        yield from (match[1] for match in shape.finditer(text))
    for strength, value in _values(text):
        for each in set(_parts(value)):
            if strength == "strong" or not SIMPLE.fullmatch(each):
                yield each


def _values(text: str) -> Iterator[tuple[str, str]]:
    """What stands behind the names of secrets: each word, each string, and what white space divides."""
    chunk, strength = "", ""
    for token in secrets_tokens.tokens(text):
        if token.kind in ("blank", "line") or token.kind == "sign" and not chunk:
            if chunk:
                yield strength, chunk
            chunk, strength = "", ""
        elif token.kind == "sign":
            chunk += token.text
        elif token.secret:
            yield token.secret, token.content
            chunk, strength = chunk + token.text, token.secret
    if chunk:
        yield strength, chunk


def _parts(value: str) -> Iterator[str]:
    value = value.strip("{}[]()<>;,=\"'")
    yield value
    for separators in (r"\s+", r"[\s:@]+", r"[\s:@;,&=]+"):
        yield from re.split(separators, value)


def _is_ordinary(value: str) -> bool:
    bare = value.strip("$%#!:.").casefold()
    return bare in ORDINARY or bool(PATH.fullmatch(value)) or bool(ADDRESS.fullmatch(value) and _parses(value))


def _parses(address: str) -> bool:
    try:
        return bool(ipaddress.ip_address(address))
    except ValueError:
        return False


def _forms(value: str) -> Iterator[str]:
    """A secret as it stands there, as it is meant, and as programs write it."""
    for each in (value, re.sub(r"\\(.)", r"\1", value)):
        yield each
        yield each.replace("\\", "\\\\").replace('"', '\\"')
        for quoted in (urllib.parse.quote, urllib.parse.quote_plus):
            yield quoted(each, safe="", errors="surrogateescape")  # an old file may not be UTF-8
