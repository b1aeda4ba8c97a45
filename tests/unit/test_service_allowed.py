"""Lists of the whole host that know IPv4 only: fail2ban's ignoreip, hosts.allow and hosts.deny."""

from __future__ import annotations

import fnmatch
import random

import _dualstack_service_allowed as service_allowed
import pytest

LOCAL = "/etc/fail2ban/jail.local"
ALLOW, DENY = "/etc/hosts.allow", "/etc/hosts.deny"
BANS = "knows IPv4 only: over IPv6, fail2ban may ban the same hosts"
NOT_IN = "knows IPv4 only: over IPv6, the same clients are not let in by it"
NOT_OUT = "knows IPv4 only: over IPv6, the same clients are not kept out"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[DEFAULT]\nignoreip = 127.0.0.1/8 192.0.2.0/24\n", [f"2: `ignoreip = 127.0.0.1/8 192.0.2.0/24` {BANS}"]),
        ("[DEFAULT]\nignoreip = 127.0.0.1/8\n", [f"2: `ignoreip = 127.0.0.1/8` {BANS}"]),
        ("[sshd]\nignoreip: 192.0.2.1,mail.example.org\n", [f"2: `ignoreip = 192.0.2.1` {BANS}"]),
        ("[a]\nignoreip=1.2.3.4 1.2.3.5,1.2.3.6 1.2.3.7\n", [f"2: `ignoreip = 1.2.3.4 1.2.3.5 1.2.3.6 ...` {BANS}"]),
        ("[DEFAULT]\nignoreip = 127.0.0.1/8 ::1\n", []),
        ("[DEFAULT]\nignoreip = 127.0.0.1/8\n  # home\n  2001:db8::/32\n", []),
        (
            "[DEFAULT]\nignoreip =\n\t192.0.2.1\n\t192.0.2.2 ; ::1\nbantime = 1h\n",
            [f"2: `ignoreip = 192.0.2.1 192.0.2.2` {BANS}"],
        ),
        ("[DEFAULT]\n#ignoreip = 127.0.0.1/8\nignoreip =\nbanaction = x\n    192.0.2.1\n", []),
        ("[DEFAULT]\nignoreip = mail.example.org\nignorecommand = 192.0.2.1\n", []),
        (
            "[DEFAULT]\nignoreip = 192.0.2.1\nignoreip = ::1\n[sshd]\nignoreip = 192.0.2.2\n",
            [f"5: `ignoreip = 192.0.2.2` {BANS}"],
        ),
    ],
)
def test_whom_fail2ban_ignores(text: str, said: list[str]) -> None:
    assert service_allowed.notes({LOCAL: text}) == [f"{LOCAL}:{each}" for each in said]


def test_the_file_that_fail2ban_reads_last_counts() -> None:
    four, six = "[DEFAULT]\nignoreip = 192.0.2.1\n", "[DEFAULT]\nignoreip = 192.0.2.1 2001:db8::1\n"
    order = ["jail.conf", "jail.d/a.conf", "jail.d/b.conf", "jail.local", "jail.d/a.local"]
    paths = [f"/etc/fail2ban/{each}" for each in order]
    for number, path in enumerate(paths):
        before = dict.fromkeys(paths[:number], six)
        assert service_allowed.notes({path: four, **before}) == [f"{path}:2: `ignoreip = 192.0.2.1` {BANS}"]
        behind = dict.fromkeys(paths[number + 1 :], six)
        assert service_allowed.notes({**behind, path: four}) == ([] if behind else service_allowed.notes({path: four}))
        assert any(fnmatch.fnmatch(path, each) for each in service_allowed.FILES)
    assert service_allowed.FILES[-2:] == (ALLOW, DENY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# comment: 192.0.2.1\nALL: 127.0.0.1\n", ["2: `ALL: 127.0.0.1` "]),
        ("ALL: 127.0.0.1 [::1]\nALL:LOCAL\nsshd : ALL\n", []),
        (
            "sshd, vsftpd : 192.0.2., 10.0.0.0/255.0.0.0 : spawn echo 192.0.2.1\n",
            ["1: `sshd vsftpd: 192.0.2. 10.0.0.0/255.0.0.0` "],
        ),
        ("sshd: \\\n  192.0.2.0/24 \\\n .example.org\nvsftpd: [2001:db8::]/32\n", ["1: `sshd: 192.0.2.0/24` "]),
        ("sshd: 192.0.2.0/24\nsshd: [2001:db8::]/32\n", []),
        ("ALL: ALL EXCEPT 192.0.2.7\n", ["1: `ALL: 192.0.2.7` "]),
        ("sshd: 192.0.2.1\nnot a rule 192.0.2.1\n\\", ["1: `sshd: 192.0.2.1` "]),
        ("sshd: .example.org 1x.2\n", []),
    ],
)
def test_tcp_wrappers(text: str, said: list[str]) -> None:
    assert service_allowed.notes({ALLOW: text}) == [f"{ALLOW}:{each}{NOT_IN}" for each in said]
    assert service_allowed.notes({DENY: text}) == [f"{DENY}:{each}{NOT_OUT}" for each in said]


def test_both_at_once_and_neither() -> None:
    texts = {
        DENY: "ALL: 192.0.2.7\n",
        LOCAL: "[a]\nignoreip=192.0.2.1\n",
        ALLOW: "ALL: 192.0.2.1\n",
        "/etc/x": "192.0.2.1",
    }
    assert [each.partition(":")[0] for each in service_allowed.notes(texts)] == [LOCAL, ALLOW, DENY]
    assert service_allowed.notes({}) == []


def test_no_text_whatever_is_a_traceback() -> None:
    dice = random.Random(4)
    whole = "[a]\nignoreip = 192.0.2.1 \\\n  ::1\nsshd: 192.0.2. [::1] : deny\n# x\n"
    signs = ["\\", "\n", "\r\n", "\t", "\0", "\udcff", "#", "=", "[", "]", ":", "²", "9" * 5000, "ignoreip\n", " "]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        for path in (LOCAL, ALLOW, DENY):
            assert all(each.startswith(path) and "\n" not in each for each in service_allowed.notes({path: text}))
