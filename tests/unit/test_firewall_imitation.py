"""Rules of which a rehearsal knows that it cannot imitate them, with and without."""

from __future__ import annotations

import _dualstack_firewall_imitation as firewall_imitation
import pytest

MAC = "-A INPUT -s 192.0.2.7/32 -m mac ! --mac-source 02:00:00:00:00:01 -p tcp -m tcp --dport 22 -j ACCEPT"


@pytest.mark.parametrize(
    ("rule", "never", "always"),
    [
        (MAC, "", "-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT"),
        ("-A OUTPUT -m owner --uid-owner 0-99 -j ACCEPT", "", "-A OUTPUT -j ACCEPT"),
        ("-A OUTPUT -m owner ! --socket-exists", "", "-A OUTPUT"),
        ('-A INPUT -m comment --comment "a -m b" -m time --timestart 08:00:00 --datestop 2038-01-19T03:14:07 -j DROP',
         "", '-A INPUT -m comment --comment "a -m b" -j DROP'),
        ("-A INPUT -p tcp -j NFQUEUE --queue-num 3 --queue-bypass", "-A INPUT -p tcp -j ACCEPT",
         "-A INPUT -p tcp -j DROP"),
        ("-A KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-Y", "",
         "-A KUBE-SVC-X -j KUBE-SEP-Y"),
    ],
)  # fmt: skip
def test_what_cannot_be_imitated(rule: str, never: str, always: str) -> None:
    text = f"*filter\n:INPUT DROP [0:0]\n{rule}\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
    assert not firewall_imitation.foreseen(["", text])
    expected = text.replace(f"{rule}\n", f"{never}\n" if never else "")
    assert firewall_imitation.never(text) == expected
    assert firewall_imitation.always(text) == text.replace(rule, always)
    assert firewall_imitation.named(["", text]) == f"it depends on what cannot be imitated: '{rule}'"


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p tcp -m tcp --dport 22 -m recent --rcheck --name x -j ACCEPT",
        '-A INPUT -m comment --comment "see -m mac --mac-source x" -j ACCEPT',
        '-A INPUT -m comment --comment "x -j NFQUEUE y" -j ACCEPT',
        "-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j LOG",
        ":QUEUE - [0:0]",
    ],
)
def test_what_can_be_imitated(rule: str) -> None:
    assert firewall_imitation.foreseen([f"*filter\n{rule}\nCOMMIT\n"])
    assert firewall_imitation.never(rule) == firewall_imitation.always(rule) == rule


def test_many_such_rules_are_counted() -> None:
    said = firewall_imitation.named([f"{MAC}\n" * 5])
    assert said.count("mac-source") == 3 and said.endswith(" and 2 more")
