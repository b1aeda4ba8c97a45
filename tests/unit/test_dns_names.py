"""Internationalised names: what is taken, what is sent, what is shown; with the package idna, and with Python alone."""

from __future__ import annotations

from typing import Any

import _dualstack_dns_settings as dns_settings
import _dualstack_dns_values as dns_values
import pytest


@pytest.fixture(params=["idna", "python"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Salt's own Python has idna; that of salt-ssh has nothing but itself."""
    if request.param == "python":
        monkeypatch.setattr(dns_values, "idna", None)
    return request.param


@pytest.mark.parametrize(
    ("written", "canonical", "shown"),
    [
        ("www.example.org", "www.example.org", "www.example.org"),
        ("WWW.Example.ORG.", "www.example.org", "www.example.org"),
        ("bücher.example", "xn--bcher-kva.example", "bücher.example (xn--bcher-kva.example)"),
        ("WWW.BÜCHER.example.", "www.xn--bcher-kva.example", "www.bücher.example (www.xn--bcher-kva.example)"),
        ("bu\u0308cher.example", "xn--bcher-kva.example", "bücher.example (xn--bcher-kva.example)"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example", "bücher.example (xn--bcher-kva.example)"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah", "例え.テスト (xn--r8jz45g.xn--zckzah)"),
        ("a.xn--a.example", "a.xn--a.example", "a.xn--a.example"),
    ],
)
def test_both_forms(written: str, canonical: str, shown: str) -> None:
    assert dns_values.is_host_name(written)
    assert dns_values.names([written]) == [canonical]
    assert dns_values.canonical(written) == canonical
    assert dns_values.shown(canonical) == shown
    assert dns_values.is_zone(written)


def test_one_name_in_two_forms_is_one_name() -> None:
    with pytest.raises(ValueError, match="'xn--bcher-kva.example' is listed twice"):
        dns_values.names(["bücher.example", "xn--bcher-kva.example"])


@pytest.mark.parametrize(
    "wrong", ["b☃cher_.example", "büch er.example", f"{'ü' * 63}.example", "ü" * 300, "bücher", "ü..ä"]
)
def test_what_is_no_name(wrong: str) -> None:
    assert not dns_values.is_host_name(wrong)
    with pytest.raises(ValueError, match="is not a host name with its domain, as in www.example.org"):
        dns_values.names([wrong])


def test_the_sharp_s_is_not_ss(library: str) -> None:
    """As it is to Python alone, in whose IDNA 2003 straße.example is another name: strasse.example."""
    if library == "idna":
        assert dns_values.names(["Straße.example"]) == ["xn--strae-oqa.example"]
        with pytest.raises(ValueError, match=r"'b☃.example' is not a host name .* \(Codepoint U\+2603 "):
            dns_values.names(["b☃.example"])
    else:
        with pytest.raises(ValueError, match=r"\(this Python has no package idna; write the name in its ASCII form"):
            dns_values.names(["Straße.example"])


def test_a_text_with_names() -> None:
    both = "bücher.example (xn--bcher-kva.example)"
    text = (
        "ns1.xn--bcher-kva.example (192.0.2.1) has no AAAA record for xn--bcher-kva.example, not 2001:db8::1; a-xn--b"
    )
    spelt = dns_values.spelt(text)
    assert spelt == (
        "ns1.bücher.example (ns1.xn--bcher-kva.example) (192.0.2.1) has no AAAA record for "
        f"{both}, not 2001:db8::1; a-xn--b"
    )
    assert dns_values.spelt(spelt) == spelt
    assert dns_values.spelt(f"{both}.") == f"{both}."


def test_in_the_pillar() -> None:
    """The names and the zone, in either form; and the error has both."""
    provider: Any = type("", (), {"about": lambda _: {"keys": {"zone": "a zone"}}, "errors": lambda *_: []})
    dns = {"provider": "own", "names": ["www.bücher.example"], "own": {"zone": "BÜCHER.example"}}
    assert dns_settings.errors(dns, {"own": provider}) == []
    dns["own"] = {"zone": "büch.example"}
    (error,) = dns_settings.errors(dns, {"own": provider})
    assert error.startswith(
        "own:zone: www.bücher.example (www.xn--bcher-kva.example) is not in the zone xn--bch-hoa.example; one change "
    )
