"""What a receiver finds out about a host that sends mail over IPv6."""

from __future__ import annotations

import _dualstack_mail_judgement as mail_judgement
import _dualstack_mail_spf as mail_spf
import pytest

ADDRESS, NAME, DOMAIN = "2001:db8:1::25", "mail.example.org", "example.org"
POINTER = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
GOOD = {
    (POINTER, "PTR"): (NAME,),
    (NAME, "AAAA"): (ADDRESS,),
    (DOMAIN, "TXT"): (f"v=spf1 ip6:{ADDRESS} -all",),
}
SILENT = "it timed out"


def judged(
    helo: str = NAME, domain: str = DOMAIN, address: str = ADDRESS, **changed: tuple[str, ...] | None
) -> list[mail_judgement.Verdict]:
    """The verdicts where these records are otherwise: by their types; ``None`` if they cannot be asked."""
    other = {key: changed.get(key[1], value) for key, value in GOOD.items()}

    def ask(name: str, kind: str) -> mail_spf.Answer:
        found = other.get((name, kind), ())
        return mail_spf.Answer(error=SILENT) if found is None else mail_spf.Answer(found)

    return mail_judgement.judge(mail_judgement.Sender(address, helo, domain), ask)


def test_all_is_right() -> None:
    for found in (judged(), judged(helo="Mail.Example.org."), judged(address="2001:DB8:1:0::25")):
        assert [each.what for each in found] == ["PTR", "HELO", "SPF"]
        assert mail_judgement.proven(found)
        assert mail_judgement.lacking(found) == []


@pytest.mark.parametrize(
    ("changed", "holds", "said"),
    [
        ({"PTR": ()}, False, [f"PTR: {ADDRESS} has no PTR record ({POINTER})"]),
        ({"PTR": None}, None, [f"PTR: the PTR record of {ADDRESS} is not known: {SILENT}"]),
        (
            {"PTR": ("other.example.net",)},
            False,
            [f"PTR: the PTR record of {ADDRESS} is other.example.net, which has no AAAA record: it does not lead back"],
        ),
        ({"PTR": ("other.example.net", NAME)}, True, []),
        (
            {"AAAA": ("2001:db8:2::1",)},
            False,
            [
                f"PTR: the PTR record of {ADDRESS} is {NAME}, which has AAAA 2001:db8:2::1: it does not lead back",
                f"HELO: it greets as {NAME}, which has AAAA 2001:db8:2::1, not {ADDRESS}",
            ],
        ),
        (
            {"AAAA": None},
            None,
            [
                f"PTR: the PTR record of {ADDRESS} is {NAME}; the AAAA record of {NAME} is not known: {SILENT}",
                f"HELO: it greets as {NAME}, whose AAAA record is not known: {SILENT}",
            ],
        ),
        ({"helo": "vm"}, False, ["HELO: it greets as vm, which is not a host name with its domain"]),
        (
            {"helo": ""},
            None,
            ["HELO: the name with which it greets is not known: it is made of what only it can expand"],
        ),
        (
            {"helo": "other.example.net"},
            False,
            [f"HELO: it greets as other.example.net, which has no AAAA record, not {ADDRESS}"],
        ),
        ({"domain": "localdomain"}, False, ["SPF: it sends for localdomain, which is not a domain of the internet"]),
        (
            {"domain": ""},
            None,
            ["SPF: the domain that it sends for is not known: it is made of what only it can expand"],
        ),
        (
            {"TXT": None},
            None,
            [f"SPF: whether the SPF record of {DOMAIN} covers {ADDRESS} is not known: {SILENT}"],
        ),
    ],
)
def test_what_is_missing_or_not_known_is_told(changed: dict[str, object], holds: bool | None, said: list[str]) -> None:
    found = judged(**changed)  # type: ignore[arg-type]
    assert mail_judgement.lacking(found) == said
    assert mail_judgement.proven(found) is bool(holds)
    assert {each.holds for each in found} == {True, holds}


def test_nothing_that_was_judged_proves_nothing() -> None:
    assert not mail_judgement.proven([])
