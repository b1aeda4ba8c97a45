"""What lasts of a text, and which pages are the same site."""

from __future__ import annotations

import random
import time
import uuid
import zlib

import _dualstack_service_probe_page as service_probe_page
import pytest

WORDS = [f"{one}{other}" for one in "bdfgklmnprstvw" for other in ("ale", "ine", "oard", "ust", "esk", "ilo", "und")]


@pytest.mark.parametrize(
    ("text", "lasting"),
    [
        ("mail.example.org ESMTP Exim 4.96 Fri, 27 Nov 2026 14:22:11 +0000", "mail.example.org ESMTP Exim"),
        ("mail ESMTP Postfix (Debian/GNU)", "mail ESMTP Postfix (Debian/GNU)"),
        ("(vsFTPd 3.0.3)", "(vsFTPd 3.0.3)"),
        ("+OK ready <1896.697170952@dbc.mtview.ca.us>", "+OK ready"),
        ("ProFTPD Server (Debian) [::ffff:127.0.0.1]", "ProFTPD Server (Debian)"),
        ("ProFTPD Server (Debian) [127.0.0.1]", "ProFTPD Server (Debian)"),
        ("Index of [2001:db8::10]:8080/x and [fe80::1%eth0]", "Index of :8080/x and"),
        ("Index of 192.0.2.10:8080/x and [one:two]", "Index of :8080/x and [one:two]"),
        ("from 192.0.2.1, 2001:db8::1 and fe80::1%eth0.", "from , and ."),
        ("at 2026-11-27T14:22:11Z, 12:03 pm, Nov 27 2026", "at , ,"),
        ("you use IPv6", "you use"),
        ("you use IPv4", "you use"),
        ("in 0.123 s, 1795789659.042, visitor 123456", "in s, , visitor"),
        (f"id {uuid.UUID(int=5 << 100)} 5f3a9c2b771e dGhpc0lzQVZlcnlMb25nVG9rZW4", "id"),
        (
            "std::string site17 customer2024 item 5 JavaScriptFramework",
            "std::string site17 customer2024 item 5 JavaScriptFramework",
        ),
    ],
)
def test_what_lasts(text: str, lasting: str) -> None:
    assert service_probe_page.lasting(text) == lasting


def page(title: str, text: str) -> dict[str, object]:
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>"
    return service_probe_page.fingerprint(html.encode())


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("shop\n", "shop\n", True),
        ("shop\n", "default\n", False),
        ("site 1", "site 2", False),
        ("", "shop", False),
        ("", "", True),
        ("7d3f9a1c2b4e5f60", "0a1b2c3d4e5f6071", True),
        ("hello 192.0.2.1 at 12:00:01", "hello 2001:db8::1 at 12:00:02", True),
        ("<p>hello</p><script nonce=a>one</script>", "<p>hello</p><script nonce=b>two</script>", True),
        ("<p>hello</p><!-- one > two -->", "<p>hello</p><!-- three -->", True),
        ("<p>a<input name=csrf value=Zm9v>", "<p>a<input name=csrf value=YmFy>", True),
        ("<html><script src=/shop.js></script>", "<html><script src=/blog.js></script>", False),
        ("<html><script src=/shop.js?v=1></script>", "<html><script src=/shop.js?v=2></script>", True),
        ('{"name": "shop"}', '{"name": "blog"}', False),
        ("\0\1", "\0\2", False),
    ],
)
def test_pages(one: str, other: str, alike: bool) -> None:
    first, second = (service_probe_page.fingerprint(each.encode()) for each in (one, other))
    assert service_probe_page.alike(first, second) is service_probe_page.alike(second, first) is alike


@pytest.mark.parametrize("title", ["Index of {}", "{} - Index of", "Index of {}/"])
def test_a_title_with_an_address(title: str) -> None:
    """As a server writes it that was asked without a name."""
    one, other = (page(title.format(each), "some text") for each in ("192.0.2.10", "[2001:db8::10]"))
    assert one == other and one["title"] == "Index of Index of"


def test_a_tenth_may_differ() -> None:
    text = random.Random(1).choices(WORDS, k=400)
    few, many = [*text], [*text]
    for place in range(0, 400, 40):
        few[place] = "other"
    for place in range(0, 400, 4):
        many[place] = "other"
    one = page("Shop", " ".join(text))
    assert service_probe_page.alike(one, page("Shop", " ".join(few)))
    assert not service_probe_page.alike(one, page("Shop", " ".join(many)))
    assert not service_probe_page.alike(one, page("Blog", " ".join(text)))
    assert not service_probe_page.alike(one, page("Shop", " ".join(sorted(text))))


def test_what_changes_over_one_family_is_left_out() -> None:
    text = "one two three four five six"
    samples = [page("Shop", f"{text} {each}") for each in ("apple", "pear", "plum", "cherry")]
    four, six = service_probe_page.common(*samples[:2]), service_probe_page.common(*samples[2:])
    assert four["changing"] and service_probe_page.alike(four, six)
    assert service_probe_page.alike(samples[0], service_probe_page.common(samples[0], samples[1]))
    assert not service_probe_page.alike(
        four, service_probe_page.common(page("Shop", "seven eight"), page("Shop", "seven"))
    )
    still = service_probe_page.common(samples[0], samples[0])
    assert still == samples[0] and not still["changing"]


def test_a_fingerprint_is_small_and_the_same_everywhere() -> None:
    found = page("Shop", " ".join(f"word{each}x" for each in range(10000)))
    assert len(found["sketch"]) == service_probe_page.SKETCH  # type: ignore[arg-type]
    assert service_probe_page.fingerprint(b"shop")["sketch"] == [zlib.crc32(b"shop")]


@pytest.mark.parametrize(
    "bad",
    [
        "<script>",
        "<",
        "<!--",
        "1",
        "1.",
        "a:",
        "<title>",
        "a1",
        "<a href=",
        "jan ",
        "mon, ",
        "<@",
        "a@",
        "::",
        "0:",
        "-",
        "\xff",
    ],
)
def test_hostile_pages_take_no_longer(bad: str) -> None:
    began = time.monotonic()
    service_probe_page.fingerprint((f"<html>{bad * 300000}")[: 256 * 1024].encode())
    assert time.monotonic() - began < 1
