"""stunnel: where it listens, and how it comes to serve both families. What it does was measured with Debian's 5.68."""

from __future__ import annotations

import random
from typing import Any

import listen_stunnel4
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/stunnel/mail.conf"
OTHER = "/etc/stunnel/web.conf"
DUAL = "socket = a:IPV6_V6ONLY=no"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10", "192.0.2.11"], "ipv6": ["2001:db8::10"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}
# Of the shape that people write.
USUAL = """\
; what is common to all
pid = /var/run/stunnel4/mail.pid
setuid = stunnel4
cert = /etc/ssl/mail.pem
socket = l:TCP_NODELAY=1

[imaps]
accept  = 993
connect = 143

#[pop3s]
#accept = 995

[smtp-relay]
client = yes
accept = 127.0.0.1:11125
connect = smtp.example.net:465
"""


def one(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def planned(text: str, bindv6only: int = 0, site: dict[str, Any] | None = None) -> dict[str, Any]:
    done: dict[str, Any] = listen_stunnel4.dual_stack(one(text), {}, bindv6only, site)
    return done


def changed(text: str, bindv6only: int = 0, site: dict[str, Any] | None = None) -> str:
    """The text for both families; a second run must change nothing, whatever the kernel's default is then."""
    done = planned(text, bindv6only, site)
    result: str = done["files"].get(MAIN, text)
    assert planned(result, bindv6only, site)["files"] == {}
    if done["files"] and not done["notes"]:
        assert done["bindv6only"] is None
        assert planned(result, 1 - bindv6only, site)["files"] == {}
    return result


def sockets(text: str) -> list[tuple[Any, ...]]:
    return [(each["address"], each["port"], each["v6only"]) for each in listen_stunnel4.listeners(one(text))]


def test_what_people_write() -> None:
    assert listen_stunnel4.listeners(one(USUAL)) == [
        {
            **{"port": 993, "transport": "tcp", "protocol": "tls", "address": "0.0.0.0", "v6only": None},
            **{"file": MAIN, "line": 8, "note": ""},
        },
    ]
    done = planned(USUAL)
    assert done["files"] == {MAIN: USUAL.replace("accept  = 993", f"accept  = :::993\n{DUAL}")}
    assert done["notes"] == [f"{MAIN}:16: `accept = 127.0.0.1:11125`: for a client of another server: left alone"]
    assert (done["bindv6only"], done["always"], done["missing"]) == (None, {}, [])
    assert sockets(changed(USUAL)) == [("::", 993, False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("[a]\naccept = 443", [("0.0.0.0", 443, None)]),
        ("[a]\nACCEPT=*:443\r\n", [("0.0.0.0", 443, None)]),
        ("[a]\naccept = 0:443\naccept = 0.0.0.0:444", [("0.0.0.0", 443, None), ("0.0.0.0", 444, None)]),
        ("[a]\naccept = :::443\n[b]\naccept = ::0:444", [("::", 443, None), ("::", 444, None)]),
        ("[a]\naccept = https", [("0.0.0.0", None, None)]),
        ("[a]\naccept = 2001:DB8::10:443", [("2001:db8::10", 443, True)]),
        ("[a]\naccept = www.example.org:443", [("www.example.org", 443, None)]),
        ("[a]\naccept = /run/x.sock\nconnect = 80", []),
        ("[a]\nconnect = 80\n", []),
        ("client = yes\n[a]\naccept = 11125\n[b]\nclient = no\naccept = 127.0.0.1:443\n", [("127.0.0.1", 443, None)]),
        ("[a]\naccept = :::443\nsocket = a:IPV6_V6ONLY=yes", [("::", 443, True)]),
        ("[a]\naccept = :::443\nsocket = a:ipv6_v6only=0", [("::", 443, False)]),
        ("socket = a:IPV6_V6ONLY=1\n[a]\naccept = 443\n", [("::", 443, True)]),
        ("socket = a:IPV6_V6ONLY=1\n[a]\naccept = :::443\nsocket = a:IPV6_V6ONLY=no\n", [("::", 443, False)]),
        ("[a]\nsocket = a:IPV6_V6ONLY=1\n[b]\naccept = :::443\nsocket = l:IPV6_V6ONLY=no", [("::", 443, None)]),
        # The second one is there, or the first one serves IPv4 as well.
        ("[a]\naccept = :::443\naccept = 443", [("::", 443, False)]),
        ("[a]\naccept = 443\naccept = :::443", [("0.0.0.0", 443, None), ("::", 443, None)]),
    ],
)
def test_where_stunnel_listens(text: str, expected: list[tuple[Any, ...]]) -> None:
    assert sockets(text) == expected


@pytest.mark.parametrize("bindv6only", [0, 1])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[a]\naccept = 443", f"[a]\naccept = :::443\n{DUAL}"),
        ("[a]\r\n  accept=0.0.0.0:https\r\n", "[a]\r\n  accept=:::https\r\n  socket=a:IPV6_V6ONLY=no\r\n"),
        ("[a]\naccept = 1\naccept = *:2\n[b]\n", f"[a]\naccept = :::1\n{DUAL}\naccept = :::2\n[b]\n"),
        ("[a]\naccept = 443\naccept = :::443\n", f"[a]\naccept = :::443\n{DUAL}\n"),
        ("[a]\r\naccept = 443\r\naccept = 0.0.0.0:443", f"[a]\r\naccept = :::443\r\n{DUAL}\r\n"),
        ("[a]\nsocket = a:IPV6_V6ONLY=yes\naccept = 443\n", f"[a]\n{DUAL}\naccept = 443\n"),
        (
            "socket = a:IPV6_V6ONLY=yes\n[a]\naccept = :::443\n",
            f"socket = a:IPV6_V6ONLY=yes\n[a]\naccept = :::443\n{DUAL}\n",
        ),
    ],
)
def test_one_socket_for_both_families(before: str, after: str, bindv6only: int) -> None:
    assert changed(before, bindv6only) == after
    assert all(v6only is False for _, _, v6only in sockets(after))


def test_what_follows_the_kernel_is_written_out_where_it_would_lose_ipv4() -> None:
    text = "[a]\naccept = :::443\n"
    assert planned(text)["files"] == {}
    assert planned(text)["bindv6only"] == 0
    assert changed(text, 1) == text + DUAL + "\n"
    assert planned(text, 1)["bindv6only"] is None


@pytest.mark.parametrize("bindv6only", [0, 1])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[a]\naccept = 127.0.0.1:443\n[b]\naccept = localhost:25\n",
        "[a]\naccept = 192.0.2.10:443\n",
        f"[a]\naccept = :::443\n{DUAL}\n",
        "[a]\naccept = :::443\naccept = 443\n",
        "[a]\naccept = 0.0.0.0:443\n[b]\naccept = :::443\nsocket = a:IPV6_V6ONLY=yes\n",
        "[a]\nclient = yes\naccept = 11125\naccept = 192.0.2.10:11126\n",
        "client = yes\n[a]\naccept = 11125\n[b]\naccept = 0.0.0.0:25\n",
        "[a]\naccept = 443\n[b]\naccept = 2001:db8::5:443\n",
        "[a]\naccept = 443\naccept = 192.0.2.1:444\n",
    ],
)
def test_what_is_right_or_cannot_be_decided_stays(text: str, bindv6only: int) -> None:
    assert changed(text, bindv6only) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[a]\naccept = 443\n[b]\naccept = 2001:db8::5:443\n",
            ":2: `accept = 443` was left alone: `accept = 2001:db8::5:443` "
            f"({MAIN}:4) has the port in the other family",
        ),
        (
            "[a]\naccept = 443\naccept = 192.0.2.1:444\n",
            ":2: `accept = 443` was left alone: its section has `accept = 192.0.2.1:444` as well, which fails beside a "
            "socket for both families; give it a section of its own",
        ),
        (
            "[a]\naccept = 443\nprotocol = proxy\n",
            ":2: `protocol = proxy`: addresses of IPv4 are passed on as ::ffff:192.0.2.1",
        ),
    ],
)
def test_what_is_told(text: str, said: str) -> None:
    assert planned(text)["notes"][0] == MAIN + said


def test_a_published_address_gets_those_of_ipv6_in_its_own_section() -> None:
    before = "[a]\n\taccept=192.0.2.10:443\nconnect = 80\nsni = x\n[b]\nsni = a:www.example.org\nconnect = 81\n"
    assert changed(before) == before
    after = before.replace(":443\n", ":443\n\taccept=2001:db8::10:443\n")
    assert changed(before, 0, SITE) == after
    assert planned(before, 1, SITE)["files"] == {MAIN: after}
    # In a section of its own it is as good.
    two = "[a]\naccept = 192.0.2.10:443\nconnect = 80\n[a6]\naccept = 2001:db8::10:443\nconnect = 80\n"
    assert planned(two, 0, SITE) == {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    foreign = "[a]\naccept = 198.51.100.1:443\n"
    assert changed(foreign, 0, SITE) == foreign
    client = "[a]\nclient = yes\naccept = 192.0.2.10:11125\n"
    assert changed(client, 0, SITE) == client


def test_what_cannot_be_added_is_missing() -> None:
    (gap,) = planned("[a]\naccept = 192.0.2.10:443\n", 0, NO_SIX)["missing"]
    assert gap["port"] == 443
    assert gap["said"].startswith(f"{MAIN}:2: `accept = 192.0.2.10:443`: 192.0.2.10 is published, and no IPv6 address")
    # Two servers with one port, and one address of IPv6 for them: it is told at every run.
    both = "[a]\naccept = 192.0.2.10:443\nconnect = 80\n[b]\naccept = 192.0.2.11:443\nconnect = 81\n"
    for text in (both, changed(both, 0, SITE)):
        (gap,) = planned(text, 0, SITE)["missing"]
        assert "`accept = 192.0.2.11:443`: another section has the port over IPv6" in gap["said"]
    (gap,) = planned("[a]\naccept = 192.0.2.10:443\n[b]\naccept = :::443\nconnect = 80\n", 0, SITE)["missing"]
    assert "another section has the port over IPv6" in gap["said"]


def test_each_file_is_a_process_and_folders_are_included() -> None:
    part = "/etc/stunnel/conf.d/a"
    files: dict[str, dict[str, Any]] = {
        MAIN: {"text": "include = /etc/stunnel/conf.d\n", "includes": [[part]]},
        OTHER: {"text": "socket = a:IPV6_V6ONLY=yes\n[w]\naccept = :::443\n", "includes": []},
        part: {"text": "[a]\naccept = 993\n", "includes": []},
    }
    assert listen_stunnel4.includes(MAIN, files[MAIN]["text"]) == ["/etc/stunnel/conf.d/*"]
    done = listen_stunnel4.dual_stack(files, {})
    assert done["files"] == {
        OTHER: files[OTHER]["text"] + DUAL + "\n",
        part: f"[a]\naccept = :::993\n{DUAL}\n",
    }
    # A pair of two processes, one for each family, is right.
    files[part]["text"] = "[a]\naccept = 0.0.0.0:443\n"
    assert listen_stunnel4.dual_stack(files, {}, 1)["files"] == {}
    # A part of two processes is changed once.
    files = {MAIN: files[MAIN], OTHER: files[MAIN], part: {"text": "[a]\naccept = :::993\n", "includes": []}}
    assert listen_stunnel4.dual_stack(files, {}, 1)["files"] == {part: f"[a]\naccept = :::993\n{DUAL}\n"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\naccept\n", ":2:1: neither a section nor NAME = VALUE"),
        ("[a\n", ":1:1: neither a section nor NAME = VALUE"),
    ],
)
def test_errors_have_their_place(text: str, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_stunnel4.listeners(one(text))
    assert str(raised.value) == MAIN + said


def test_a_folder_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:1:1: {MAIN} is included without an end"):
        listen_stunnel4.listeners({MAIN: {"text": "include = /etc/stunnel", "includes": [[MAIN]]}})


def test_no_text_whatever_is_a_traceback_or_changes_twice() -> None:
    dice = random.Random(4)
    whole = USUAL + "socket = a:IPV6_V6ONLY=yes\n[x]\naccept = 192.0.2.10:1\naccept = :::2\naccept = 2\n"
    signs = ["\\", "\n", "\r\n", "\t", "\0", "\udcff", "#", "=", "[a]\n", "]", ":::", "²", "accept = 1\n", "9" * 5000]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        try:
            listen_stunnel4.includes(MAIN, text)
            listen_stunnel4.listeners(one(changed(text, dice.randrange(2), SITE)))
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)
