"""
What in rules a rehearsal cannot imitate: a hardware address, a user, the time of day, what a program decides. PURE:
never accesses the host.

A verdict that such a rule does not change is certain nevertheless. So the rules are tried twice more: as if none of
these matches held, and as if each did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MATCHES = ("mac", "physdev", "owner", "cgroup", "time", "statistic", "osf", "socket", "helper", "devgroup")
TARGETS = ("NFQUEUE", "QUEUE", "SYNPROXY", "TARPIT", "DELUDE", "CHAOS")
WORD = r'(?:"(?:[^"\\]|\\.)*"|[^" ]\S*)'
MATCH = re.compile(rf" -m ({'|'.join(MATCHES)})((?: (?!-[mjgpsdio] ){WORD})*)")
TARGET = re.compile(rf" -j ({'|'.join(TARGETS)})(?= |$)(?: (?!-[mjgpsdio] ){WORD})*")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
ENOUGH = 3  # rules that are named
# The words of nft(8) for the same.
NATIVE = re.compile(
    r"\b(?:queue|ether [sd]addr|meta (?:skuid|skgid|cgroup|time|hour|day|ibrname)|socket|synproxy|xt (?:match|target))"
    r"\b"
)


def foreseen(texts: Iterable[str]) -> bool:
    """
    Whether rules have nothing that cannot be imitated.

    texts
        For iptables-restore.
    """
    likely = (text for text in texts if any(f" {each}" in text for each in (*MATCHES, *TARGETS)))
    return not any(_is_beyond(line) for text in likely for line in text.split("\n"))


def never(text: str) -> str:
    """
    The rules as if no such match held, and as if programs let everything pass.

    text
        For iptables-restore.
    """
    lines = (TARGET.sub(" -j ACCEPT", line) if _is_beyond(line) else line for line in text.split("\n"))
    return "\n".join(line for line in lines if not (_is_beyond(line) and MATCH.search(line)))


def always(text: str) -> str:
    """
    The rules as if each such match held, and as if programs let nothing pass.

    text
        For iptables-restore.
    """
    return "\n".join(
        TARGET.sub(" -j DROP", MATCH.sub("", line)) if _is_beyond(line) else line for line in text.split("\n")
    )


def named(texts: Iterable[str]) -> str:
    """
    The first of the rules that cannot be imitated, in words.

    texts
        For iptables-restore.
    """
    found = [line for text in texts for line in text.split("\n") if _is_beyond(line)]
    more = f" and {len(found) - ENOUGH} more" if len(found) > ENOUGH else ""
    return "it depends on what cannot be imitated: " + ", ".join(f"'{line}'" for line in found[:ENOUGH]) + more


def _is_beyond(line: str) -> bool:
    if not line.startswith("-A ") or not (MATCH.search(line) or TARGET.search(line)):
        return False
    bare = QUOTED.sub('""', line)  # a comment may say anything
    if re.search(r" -j (?:LOG|NFLOG|ULOG|AUDIT)(?: |$)", bare):
        return False
    return bool(MATCH.search(bare) or TARGET.search(bare))
