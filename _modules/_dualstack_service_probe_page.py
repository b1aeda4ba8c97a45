"""
What lasts of a text that a daemon sends, and whether two pages are the same site. PURE: never accesses the host.

The anchor is the test "same website on IPv6 and IPv4" of internet.nl: it removes nonces, and then allows two pages to
differ by a tenth. Here, times, addresses and tokens are removed as well, only the words that a reader sees and the
paths that a page refers to are compared, and their order counts. Of a page only a *fingerprint* is kept, which is
small: ``title`` (words of its title and first heading) and ``sketch``: the smallest hashes of its words and pairs of
words, all of them up to ``cut``. Two sketches tell how much two pages have in common (Broder, MinHash).
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Iterator
from typing import Any

Page = dict[str, Any]

ALIKE = 0.82  # of all words and pairs: nine of ten in each page are in both
SKETCH = 128  # hashes
WHOLE = 1 << 32  # no hash is as large
ENOUGH = 16384  # characters that are compared
TITLE = 100  # characters that are kept

DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
# In brackets or not: a URL needs them around one family, and software writes them around both.
IPV4 = re.compile(r"\[\d{1,3}(?:\.\d{1,3}){3}\]|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)")
IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{1,4})?(?![\w:])(?:%\w+)?", re.I
)
BRACKETED = re.compile(r"\[([0-9a-f:.]+(?:%\w+)?)\]", re.I)
CHANGING = re.compile(
    r"(?<!\w)(?:"
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|\d{4}-\d\d-\d\d(?:t[\d:.,]+(?:z|[+-]\d\d:?\d\d)?)?"
    r"|\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:z|\s?[ap]m)?|[+-]\d{4}|utc|gmt"
    rf"|(?:{DAY},?\s+)?(?:\d{{1,2}}[\s/-]+{MONTH}|{MONTH}\s+\d{{1,2}}),?(?:[\s/-]+\d{{4}})?"
    r"|(?<![.,])\d+[.,]\d+(?![.,]\d)|\d{5,}"  # measurements, counters, seconds since 1970
    r"|ipv?[46]"  # a page that says how it was reached
    r")(?!\w)",
    re.I,
)
MARKS = re.compile(r"<[^<>\s]*@[^<>\s]*>")  # of messages, APOP
TOKENS = re.compile(r"[A-Za-z0-9]{8,}")
WORDS = re.compile(r"\w+")
REFERENCES = re.compile(r"\b(?:src|href|action)\s*=\s*[\"']?([^\"'\s>?#]+)", re.I)
HTML = re.compile(r"<(?:!doctype|html|head|body|title|h1|p|div)\b", re.I)
TAG = re.compile(r"[/!]?[-\w]*")
UNSEEN = ("script", "style")
HEADINGS = ("title", "h1")


def lasting(text: str) -> str:
    """
    A text without what differs from one answer to the next: times, numbers, tokens, and everybody's addresses.

    text
        What was said.
    """
    text = IPV4.sub(" ", IPV6.sub(_unless_address, BRACKETED.sub(_unless_address, text)))
    text = CHANGING.sub(" ", MARKS.sub(" ", text))
    return " ".join(TOKENS.sub(lambda found: " " if _is_random(found[0]) else found[0], text).split())


def fingerprint(body: bytes) -> Page:
    """
    The fingerprint of a page.

    body
        HTML, another text, or anything else.
    """
    if b"\0" in body:  # an image, an archive
        return {"title": "", "sketch": [zlib.crc32(body)], "cut": WHOLE, "changing": False}
    text = body.decode("utf-8", "replace")
    seen, title = _seen(text) if HTML.search(text) else (text, "")
    words = WORDS.findall(lasting(seen[:ENOUGH]).lower())
    features = {*words, *(f"{one} {other}" for one, other in zip(words, words[1:]))}
    hashes = sorted({zlib.crc32(each.encode("utf-8", "replace")) for each in features})
    return {
        "title": " ".join(WORDS.findall(lasting(title)[:TITLE])),
        "sketch": hashes[:SKETCH],
        "cut": hashes[SKETCH] if len(hashes) > SKETCH else WHOLE,
        "changing": False,
    }


def common(one: Page, other: Page) -> Page:
    """
    What two answers over the same family have in common: what else is there changes at every request.

    one, other
        Fingerprints.

    Returns another one; its ``changing`` says whether anything did.
    """
    words = other["title"].split()
    cut = min(one["cut"], other["cut"])
    first, second = _below(one, cut), _below(other, cut)
    return {
        "title": " ".join(each for each in one["title"].split() if each in words),
        "sketch": sorted(first & second),
        "cut": cut,
        "changing": one["changing"] or first != second or one["title"] != other["title"],
    }


def alike(one: Page, other: Page) -> bool:
    """
    Whether two pages are the same site.

    one, other
        Fingerprints.
    """
    changing = one["changing"] or other["changing"]
    cut = min(one["cut"], other["cut"])
    first, second = _below(one, cut), _below(other, cut)
    titles = {*one["title"].split()}, {*other["title"].split()}
    if one["title"] != other["title"] and not (changing and (titles[0] <= titles[1] or titles[1] <= titles[0])):
        return False
    # What has changed over one family is no longer there, and may by chance not have changed over the other.
    whole = min(len(first), len(second)) if changing else 0
    return first == second or len(first & second) >= ALIKE * (whole or len(first | second))


def _below(page: Page, cut: int) -> set[int]:
    return {each for each in page["sketch"] if each < cut}


def _unless_address(found: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(found[0].strip("[]").partition("%")[0])
    except ValueError:
        return found[0]
    return " "


def _is_random(token: str) -> bool:
    """Identifiers, nonces, digests: letters and digits mixed as no word has them."""
    changes = len(re.findall(r"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])", token))
    if not changes:
        cases = len(re.findall(r"[a-z](?=[A-Z])", token))
        return len(token) >= 16 and 4 * cases >= len(token) > 0
    return changes >= 3 or len(token) >= 24 or re.fullmatch("[0-9a-f]+|[0-9A-F]+", token) is not None


def _seen(text: str) -> tuple[str, str]:
    """The text of HTML that a reader sees with the paths that it refers to, and its headings. Takes linear time."""
    seen: list[str] = []
    headings: dict[str, list[str]] = {}
    inside = until = ""
    length = 0
    for tag, words in _tags(text):
        name = TAG.match(tag.lower())[0]  # type: ignore[index]  # it always matches
        if until:  # within a script or a style
            until = "" if name == until else until
            continue
        if name in UNSEEN:
            until = f"/{name}"
        elif name in HEADINGS and name not in headings:
            inside, headings[name] = name, []
        elif inside and name == f"/{inside}":
            inside = ""
        if inside:
            headings[inside].append(words)
        seen += [words, *REFERENCES.findall(tag)]
        length += len(words)
        if length > ENOUGH:
            break
    return " ".join(seen), " ".join(" ".join(each) for each in headings.values())


def _tags(text: str) -> Iterator[tuple[str, str]]:
    """Each tag, and the words after it; comments are left out."""
    place = 0
    while place < len(text):
        start = text.find("<", place)
        if start < 0:
            start = len(text)
        if start > place:
            yield "", text[place:start]
        if text.startswith("<!--", start):
            end = text.find("-->", start)
            place = end + 3 if end >= 0 else len(text)
            continue
        end = text.find(">", start)
        if end < 0:
            return
        yield text[start + 1 : end], ""
        place = end + 1
