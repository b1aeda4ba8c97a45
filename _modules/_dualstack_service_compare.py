"""
Whether users see the same of a service over IPv6 as over IPv4. PURE: never accesses the host.

IPv6 has to be as good as IPv4, and no better: what is bad over both is told, and is no difference. But a door that is
shut over IPv4 and open over IPv6 is one.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_service_probe_page as service_probe_page

Answer = Mapping[str, Any]

# How bad a failure is: nobody is there, somebody leaves, somebody speaks.
RANKS = {"refused": 0, "unreachable": 0, "timeout": 0, "closed": 1, "garbage": 2, "alert": 3}
GREETS_FIRST = ("smtp", "imap", "pop3", "ftp", "ssh", "mysql")
OF_IPV4, OF_IPV6 = "-OF-IPV4", "-OF-IPV6"  # of an address in a redirect over the other family
SETTING = "ipv6:services:NAME:probe"
WRAPPERS = "hosts.allow and hosts.deny (tcp wrappers)"
OVER_TLS = ("https", "smtps", "imaps", "pop3s", "tls")


def differences(four: Answer, six: Answer) -> list[str]:
    """
    What is worse over IPv6 than over IPv4.

    four, six
        What ``service_probe.probe`` returned for the same port, protocol and name.

    Returns sentences; none where IPv6 is as good as IPv4.
    """
    one, other = four["look"], six["look"]
    if four["answers"] and not six["answers"]:
        return ["; ".join(filter(None, (f"answers over IPv4, but not over IPv6: {six['error']}", likely(six))))]
    if four["answers"]:
        return [each for compare in COMPARISONS for each in compare(one, other)]
    if six["answers"]:
        return []
    if RANKS.get(six["reason"], 0) < RANKS.get(four["reason"], 0):
        return [f"fails otherwise over IPv6 ({six['error']}) than over IPv4 ({four['error']})"]
    return _certificate(one, other) if one.get("certificate") and other.get("certificate") else []


def told(four: Answer, six: Answer) -> list[str]:
    """
    What is bad over both: no fault of IPv6, but somebody may want to know.

    four, six
        As for :py:func:`differences`.

    Returns sentences.
    """
    if not four["answers"] and not six["answers"]:
        if four["error"] == six["error"]:
            return [f"answers neither over IPv4 nor over IPv6: {four['error']}"]
        return [f"answers neither over IPv4 ({four['error']}) nor over IPv6 ({six['error']})"]
    if not four["answers"] or not six["answers"]:
        return [] if four["answers"] else [f"answers over IPv6, but not over IPv4: {four['error']}"]
    one, other = four["look"], six["look"]
    found = []
    status = (one.get("status", 0), other.get("status", 0))
    if min(status) >= 400:
        said = (
            f"{status[0]} over IPv4 and {status[1]} over IPv6" if status[0] != status[1] else f"{status[0]} over both"
        )
        found.append(f"answers {said}")
    code = one.get("code")
    if code and code >= 400 and code == other.get("code"):
        found.append(f"answers with code {code} over both")
    found += [words.format(one[key]) for key, words in TOLD if one.get(key) and other.get(key)]
    if OF_IPV4 in other.get("location", ""):
        found.append("redirects to an address of IPv4, over IPv6, too: who has IPv6 only does not get there")
    if "fails" in one.get("starttls", "") and "fails" in other.get("starttls", ""):
        found.append(f"STARTTLS is {one['starttls']}, over both")
    shown = one.get("certificate") or {}
    if shown and not shown["fits"] and not (other.get("certificate") or {"fits": True})["fits"]:
        found.append(f"over both, the certificate {_unfit(shown)}")
    return found


def likely(answer: Answer) -> str:
    """
    The likely reason why a daemon that listens does not answer as expected.

    answer
        From ``service_probe.probe``.

    Returns words; none where it answers, or where the error says it all.
    """
    reason, protocol, error = answer["reason"], answer["protocol"], answer["error"]
    if answer["look"].get("expects") == "TLS" or reason == "garbage" and "\x15\x03" in answer["banner"]:
        return "TLS is expected on this port"
    if reason == "alert" and "certificate" in error:
        return "the server expects a certificate of the client's"
    if reason == "alert" and "unrecognized name" in error:
        if answer["name"]:
            return f"the server has no certificate for {answer['name']}, and rejects names that it does not know (SNI)"
        return "the server rejects clients that ask for no name (SNI)"
    if reason == "alert" and "TLS" in error:
        return (
            f"the server has no certificate for {answer['name'] or 'a client that asks for no name'} (SNI), "
            "expects one of the client's, or has no version or cipher in common with the probe"
        )
    if reason == "garbage" and protocol in OVER_TLS:
        return "no TLS is spoken on this port, or only after STARTTLS"
    if reason == "garbage":
        return "another protocol is spoken on this port, maybe TLS"
    if reason == "timeout" and error.startswith("no connection"):
        return "a firewall drops what comes, or the daemon hangs"
    if reason == "timeout" and protocol in GREETS_FIRST:  # libwrap waits 5 s before it closes what it refuses
        return f"the PROXY protocol or TLS is expected on this port, this address is refused by {WRAPPERS}, or it hangs"
    if reason == "timeout":
        return (
            "the PROXY protocol is expected on this port, another protocol is spoken there, this address is refused by "
            f"{WRAPPERS}, or the daemon hangs or needs more time (seconds in {SETTING})"
        )
    if reason == "closed" and protocol in OVER_TLS:
        return "the PROXY protocol is expected on this port, or no TLS is spoken, or this name or address is refused"
    if reason == "closed":
        return (
            f"the PROXY protocol or TLS is expected on this port, or this address is refused: by {WRAPPERS}, "
            "or by a limit of the daemon's"
        )
    if reason == "refused" and protocol in ("smtp", "smtps") and error.startswith("refuses with `421"):
        return f"the PROXY protocol is expected on this port, or this address is refused: by a limit, or by {WRAPPERS}"
    if reason == "refused" and error.startswith("refuses"):
        return f"this address is refused: by the daemon's own rules or a limit, or by {WRAPPERS}"
    if reason == "refused":
        return "nobody listens on this address and port, or a firewall rejects it"
    if reason == "unreachable":
        return "this host has no such address or no route to it, or a firewall rejects it"
    return ""


def _status(one: Answer, other: Answer) -> list[str]:
    """A server that fails over IPv4 (5xx) may be better over IPv6; what is forbidden over IPv4 may not."""
    four, six = one.get("status"), other.get("status")
    if four is None or six is None or _class(four) == _class(six) or (_class(four) == 5 and _class(six) < 5):
        return []
    return [f"answers {four} over IPv4 and {six} over IPv6"]


def _class(status: int) -> int:
    """That of HTTP; but each error of the client's is a class of its own: 401, 403 and 404 are three things."""
    return status if 400 <= status < 500 else status // 100


def _location(one: Answer, other: Answer) -> list[str]:
    """Each family may be led to an address of its own; that both are led to one of IPv4 is told."""
    four, six = (each.get("location", "").replace(OF_IPV4, "").replace(OF_IPV6, "") for each in (one, other))
    if four == six or not (four and six):
        return []
    return [f"redirects to {_shown(four)} over IPv4 and to {_shown(six)} over IPv6"]


def _page(one: Answer, other: Answer) -> list[str]:
    four, six = one.get("page"), other.get("page")
    if not four or "page" not in other:
        return []
    if _class(one["status"]) != _class(other["status"]) or one["status"] // 100 in (3, 5):
        return []
    if not six:
        return ["shows a page over IPv6 that does not come to its end, as it does over IPv4"]
    if service_probe_page.alike(four, six):
        return []
    titles = f": `{_shown(six['title'])}`, not `{_shown(four['title'])}`" if four["title"] != six["title"] else ""
    return [f"shows another page over IPv6 than over IPv4{titles}"]


def _certificate(one: Answer, other: Answer) -> list[str]:
    four, six = one.get("certificate"), other.get("certificate")
    if not four or not six:
        return ["shows a certificate over IPv4, and none over IPv6"] if four and "starttls" not in other else []
    found = []
    if four["key"] != six["key"]:
        names = (", ".join(each["names"]) or "no name" for each in (four, six))
        found.append("has another key in its certificate over IPv6 (for {1}) than over IPv4 (for {0})".format(*names))
    if four["fits"] and not six["fits"]:
        found.append(f"over IPv6, the certificate {_unfit(six)}")
    return found


def _unfit(certificate: Mapping[str, Any]) -> str:
    expires = certificate["expires"]
    if expires and expires < datetime.datetime.now(datetime.timezone.utc).date().isoformat():
        return f"has expired on {expires}"
    return f"is for {_shown(', '.join(certificate['names'])) or 'no name'} and not for this one, or is not valid yet"


def _keys(one: Answer, other: Answer) -> list[str]:
    four, six = one.get("keys"), other.get("keys")
    if not four or four == six:
        return []
    return [f"has the host key {', '.join(six or ()) or 'of nobody'} over IPv6 and {', '.join(four)} over IPv4"]


def _greeting(one: Answer, other: Answer) -> list[str]:
    if one.get("code") != other.get("code"):
        if one.get("code") not in (0, 220, None) and other.get("code") in (0, 220):
            return []  # better
        return [f"answers with code {one.get('code')} over IPv4 and {other.get('code')} over IPv6"]
    four, six = one.get("greeting", ""), other.get("greeting", "")
    if four == six or not six:
        return []
    if not four:  # XMPP greets without words, or with an error
        return [f"answers with {_shown(six)} over IPv6 only"]
    return [f"greets with `{_shown(four)}` over IPv4 and `{_shown(six)}` over IPv6"]


def _capabilities(one: Answer, other: Answer) -> list[str]:
    if one.get("code") != other.get("code"):  # that is told, and nothing was asked after it
        return []
    lacking = [each for each in one.get("capabilities", ()) if each not in other.get("capabilities", ())]
    return [f"lacks over IPv6: {_shown(', '.join(lacking))}"] if lacking else []


def _starttls(one: Answer, other: Answer) -> list[str]:
    four, six = one.get("starttls", ""), other.get("starttls", "")
    if one.get("code") != other.get("code"):
        return []
    if "fails" in six and four and "fails" not in four:
        return [f"STARTTLS is {six} over IPv6, and works over IPv4"]
    if (four and not six and "fails" not in four) or (six == "required" and four == "offered"):
        return [f"STARTTLS is {four} over IPv4 and {six or 'not offered'} over IPv6"]
    return []


def _requires(one: Answer, other: Answer) -> list[str]:
    """A door that is shut over one family; and HTTP/2, of which nothing more is seen, where the other has HTTP/1.1."""
    found = []
    for shut, family, open_ in ((one, "IPv4", other), (other, "IPv6", one)):
        if shut.get("requires") and not open_.get("requires"):
            found.append(f"requires {shut['requires']} over {family} only")
        if shut.get("expects") == "HTTP/2" != open_.get("expects"):
            found.append(f"speaks nothing but HTTP/2 over {family} only")
    return found


def _broken(one: Answer, other: Answer) -> list[str]:
    return [f"answers over IPv6, but then: {other['broken']}"] if other.get("broken") and not one.get("broken") else []


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:200])


COMPARISONS: tuple[Callable[[Answer, Answer], list[str]], ...] = (
    _status,
    _location,
    _page,
    _certificate,
    _keys,
    _greeting,
    _starttls,
    _capabilities,
    _requires,
    _broken,
)
TOLD = (
    ("broken", "answers over both, but then: {}"),
    ("expects", "speaks nothing but {} on this port"),
    ("requires", "requires {} over both: no more is seen"),
)
