"""Whether an SPF record covers an address, RFC 7208."""

from __future__ import annotations

import _dualstack_mail_spf as mail_spf
import pytest

ADDRESS = "2001:db8:1::25"
ZONE: dict[tuple[str, str], tuple[str, ...]] = {
    ("mail.example.org", "AAAA"): (ADDRESS, "2001:db8:9::1"),
    ("near.example.org", "AAAA"): ("2001:db8:1::99",),
    ("example.org", "AAAA"): ("2001:db8:9::1",),
    ("example.org", "MX"): ("mx1.example.org", "mail.example.org"),
    ("mx1.example.org", "AAAA"): ("2001:db8:9::2",),
    ("good.example.net", "TXT"): ("v=spf1 ip6:2001:db8:1::/64 -all",),
    ("bad.example.net", "TXT"): ("v=spf1 -all",),
    ("hoster.example.net", "TXT"): ("v=spf1 include:good.example.net ~all",),
    ("macro.example.net", "TXT"): ("v=spf1 exists:%{i}.example.net -all",),
    ("loop.example.net", "TXT"): ("v=spf1 include:loop.example.net -all",),
    ("ring.example.net", "TXT"): ("v=spf1 redirect=ring.example.net",),
    ("many.example.net", "MX"): tuple(f"mx{each}.example.net" for each in range(11)),
}


def covered(*texts: str) -> tuple[bool | None, str]:
    """The judgement of the TXT records of example.org."""

    def ask(name: str, kind: str) -> mail_spf.Answer:
        if name == "slow.example.org":
            return mail_spf.Answer(error="it timed out")
        return mail_spf.Answer({**ZONE, ("example.org", "TXT"): texts}.get((name, kind), ()))

    found = mail_spf.covers("example.org", ADDRESS, ask)
    return found.holds, found.said


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 ip6:2001:db8:1::25 -all",
        "v=spf1 ip4:192.0.2.1 ip6:2001:db8:1::/48 ~all",
        "V=SPF1 +IP6:2001:DB8:1::/48",
        "v=spf1 +all",
        "v=spf1 -ip4:0.0.0.0/0 all",
        "v=spf1 a:mail.example.org -all",
        "v=spf1 a:near.example.org/24//64 -all",
        "v=spf1 a:near.example.org//64 -all",
        "v=spf1 mx -all",
        "v=spf1 mx:example.org//128 -all",
        "v=spf1 include:good.example.net -all",
        "v=spf1 include:hoster.example.net -all",
        "v=spf1 include:bad.example.net ip6:2001:db8:1::25 -all",
        "v=spf1 redirect=good.example.net",
        "v=spf1 exp=explain.example.org unknown=x ip6:2001:db8:1::25 -all",
        "v=spf1 exists:%{i}.example.org ip6:2001:db8:1::25 -all",  # whatever it says, the next one passes
        "v=spf1 ptr +all",
        "v=spf1  a   mx  -all",
    ],
)
def test_it_covers_the_address(record: str) -> None:
    assert covered(record, "something else") == (True, f"the SPF record of example.org covers {ADDRESS}")


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1",
        "v=spf1 -all",
        "v=spf1 ~all",
        "v=spf1 ?all",
        "v=spf1 -ip6:2001:db8:1::25 +all",
        "v=spf1 ip6:2001:db8:2::/48 ip4:192.0.2.0/24 -all",
        "v=spf1 a -all",
        "v=spf1 a:near.example.org -all",
        "v=spf1 a:near.example.org/16 -all",  # a length for IPv4
        "v=spf1 include:bad.example.net -all",
        "v=spf1 ip4:192.0.2.1 redirect=bad.example.net",
        "v=spf1 -all redirect=good.example.net",  # of no effect
        "v=spf1 -exists:%{i}.example.org -all",
        "v=spf1 -all ip6:2001:db8:1::25",
    ],
)
def test_it_does_not_cover_the_address(record: str) -> None:
    said = f"the SPF record of example.org does not cover {ADDRESS}: ip6:{ADDRESS} is missing"
    assert covered(record) == (False, said)


def test_without_one_nothing_is_covered() -> None:
    for texts in ((), ("v=spf10 all",), ("spf1 all",), ("v=spf2.0/mfrom all",)):
        holds, said = covered(*texts)
        assert (holds, said) == (
            False,
            f"example.org has no SPF record (a TXT record v=spf1 ... that has ip6:{ADDRESS})",
        )


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (("v=spf1 all", "v=spf1 -all"), "example.org has 2 of them"),
        (("v=spf1 ipv6:2001:db8::1",), "`ipv6:2001:db8::1` is no mechanism"),
        (("v=spf1 ip6:2001:db8::1/129",), "`ip6:2001:db8::1/129` has no valid network"),
        (("v=spf1 ip4:2001:db8::1",), "`ip4:2001:db8::1` has no valid network"),
        (("v=spf1 ip6: all",), "`ip6:` is no mechanism"),
        (("v=spf1 a//129",), "`a//129` has no valid length of a prefix"),
        (("v=spf1 a/x",), "`a/x` has no valid length of a prefix"),
        (("v=spf1 include",), "`include` has no domain"),
        (("v=spf1 include:nothing.example.net",), "`include:nothing.example.net`, which has no SPF record"),
        (("v=spf1 redirect=nothing.example.net",), "`redirect=nothing.example.net`, which has no SPF record"),
        (("v=spf1 include:loop.example.net",), "it needs more than 10 lookups"),
        (("v=spf1 redirect=ring.example.net",), "it needs more than 10 lookups"),
        ((f"v=spf1 {'a ' * 11}all",), "it needs more than 10 lookups"),
        (("v=spf1 mx:many.example.net",), "`mx:many.example.net` has more than 10 hosts"),
        (
            ("v=spf1 a:x.example.org a:y.example.org a:z.example.org all",),
            "more than 2 of its names have no such record",
        ),
    ],
)
def test_an_invalid_one_covers_nothing(texts: tuple[str, ...], why: str) -> None:
    assert covered(*texts) == (False, f"the SPF record of example.org is invalid: {why}")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("v=spf1 exists:%{i}.example.org -all", "it has `exists:%{i}.example.org`"),
        ("v=spf1 ptr -all", "it has `ptr`"),
        ("v=spf1 ptr", "it has `ptr`"),
        ("v=spf1 -ptr +all", "it has `-ptr`"),
        ("v=spf1 include:%{d}.example.org -all", "it has `include:%{d}.example.org`"),
        ("v=spf1 include:macro.example.net -all", "it has `exists:%{i}.example.net` and `include:macro.example.net`"),
        ("v=spf1 redirect=%{d}.example.org", "it has `redirect=%{d}.example.org`"),
        ("v=spf1 a:slow.example.org -all", "it timed out"),
    ],
)
def test_what_depends_on_the_mail_or_does_not_answer_is_not_known(record: str, why: str) -> None:
    assert covered(record) == (None, f"whether the SPF record of example.org covers {ADDRESS} is not known: {why}")
