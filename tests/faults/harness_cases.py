"""The faults that the harness tries, made from what a run without a fault does."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator
from typing import Any

Fault = dict[str, Any]

# Commands that only look, and network traffic: a run that ends there has nothing half done by it. Some are struck.
LOOKING = re.compile(
    r"run (ip (-\S+ )*(link|addr|route|rule)?\s?(show|get)|(ldconfig|file|uname|which|lsb_release|dpkg|git|lsc|lspci)\b"
    r"|systemd-detect"
    r"|systemctl (--\S+ )*(is-|show|cat|list|--version|status)|python -c|ifup --version|dpkg-query|unshare )"
    r"|send |connect "
    r"|(write|rename) /var/lib/dualstack/transaction/deadline"
)
# What makes a change visible, or decides how it ends.
VISIBLE = re.compile(r"rename (/etc|\S*/armed)|run (service|ip |\S*-restore|ifup|setsid|systemd-run)|write /proc")
# sshd is its own checker, and is called by its whole path.
WITHOUT_FAULTS = ("unshare", "python", "python3", "sshd")
FEW = 60  # effects by default
WHENS = ("before", "torn", "after")
HOWS = ("kill", "tree", "term", "int", "stop")
COMMAND_FAULTS = ("fails", "lies", "does it and fails", "hangs", "is missing")
MANAGING = re.compile(
    r"(service|systemctl|ip6?tables\S*-restore|ifup|ifdown|sysctl|postconf|sshd|haproxy|doveconf|nginx)$"
)
SHOWN = 90


def label(fault: Fault) -> str:
    """One line about a fault."""
    words = [
        f"{fault[key]}" for key in ("how", "when", "program", "service", "folder", "fault", "then") if key in fault
    ]
    if "at" in fault:
        words.append(f"{fault['at'][:SHOWN]} #{fault['count']}")
    if "call" in fault:
        words.append(f"{'at' if fault.get('once') else 'from'} its call {fault['call']}")
    return ", ".join([fault["kind"], *words])


def kind(fault: Fault) -> str:
    """The row of the table."""
    if fault["kind"] == "strike":
        return f"Salt: {dict(zip(HOWS, NAMES))[fault['how']]}"
    return {
        "command": f"a command {fault.get('fault')}",
        "disk": f"a file system {fault.get('fault')}",
        "service": "a service does not come back",
        "restorer": "the restorer is killed",
        "two ways": "two ways in at once",
        "confirmed": "the deadline is over at the end",
    }[fault["kind"]]


NAMES = (
    "SIGKILL",
    "SIGKILL, with its children",
    "SIGTERM",
    "SIGINT",
    "SIGSTOP (it hangs)",
)


def changing(effects: list[Fault]) -> list[Fault]:
    """The effects of a run that change something, in their order."""
    named = [each for each in effects if "name" in each]
    start = next(number for number, each in enumerate(named) if each["name"].startswith("mkdir /run/dualstack"))
    return [each for each in named[start:] if not LOOKING.match(each["name"])]


def spread(found: list[Any], number: int) -> list[Any]:
    """So many of a list, at equal distances."""
    return found if len(found) <= number else [found[int((each + 0.5) * len(found) / number)] for each in range(number)]


def strikes(effects: list[Fault], every: bool = False) -> Iterator[Fault]:
    """Salt is struck: each effect before, torn, and after; the ways of striking take turns, or each is tried."""
    found = changing(effects)
    if not every:
        # The visible ones in any case, and the rest at equal distances.
        must = [each for each in found if VISIBLE.match(each["name"])]
        rest = [each for each in found if each not in must]
        chosen = must + spread(rest, max(10, FEW - len(must)))
        found = [each for each in found if each in chosen]
    turn = 0
    for effect in found:
        torn = effect["name"].startswith(("write", "run"))
        for when in WHENS if torn else ("before", "after"):
            for how in HOWS if every else (HOWS[turn % len(HOWS)],):
                yield {"kind": "strike", "at": effect["name"], "count": effect["count"], "when": when, "how": how}
            turn += 1


def commands(effects: list[Fault]) -> Iterator[Fault]:
    """Each command that a run uses fails in every way: always, and for those that change something, once."""
    calls = collections.Counter(
        each["name"].split(" ")[1] for each in changing(effects) if each["name"].startswith("run ")
    )
    programs = [each for each in calls if each not in WITHOUT_FAULTS]
    for program in programs:
        for fault in COMMAND_FAULTS:
            yield {"kind": "command", "program": program, "fault": fault, "call": 1}
            if MANAGING.search(program) and fault != "is missing":
                for call in range(1, min(calls[program], 4) + 1):
                    yield {"kind": "command", "program": program, "fault": fault, "call": call, "once": True}
                if calls[program] > 1:
                    yield {"kind": "command", "program": program, "fault": fault, "call": 2}


def disks(effects: list[Fault]) -> Iterator[Fault]:
    """The file system of each folder that a run writes to is full or read-only: from the beginning, or from then on."""
    writes = [each for each in changing(effects) if each["name"].startswith(("write /", "mkdir /var/lib"))]
    folders: dict[str, list[Fault]] = {}
    for each in writes:
        folder = each["name"].split(" ")[1].rpartition("/")[0]
        folder = "/var/lib" if folder.startswith("/var/lib") else folder  # the run makes its own there
        if not folder.startswith(("/proc", "/sys", "/run")):
            folders.setdefault(folder, []).append(each)
    for fault in ("is full", "is read-only"):
        for folder, found in folders.items():
            yield {"kind": "disk", "folder": folder, "fault": fault}
            for each in found:
                how = {"at": each["name"], "count": each["count"], "when": "before"}
                yield {"kind": "disk", "folder": folder, "fault": fault, **how}


def services(names: tuple[str, ...]) -> Iterator[Fault]:
    """A service does not come back from its restart: not this time, or not as long as it is told to restart."""
    for name in names:
        for then in ("exit 0", "exit 1", "sleep 98765"):
            yield {"kind": "service", "service": name, "then": then}
        yield {"kind": "service", "service": name, "then": "exit 1", "always": True}


def others(effects: list[Fault]) -> Iterator[Fault]:
    """The restorer is killed, two runs at once, a deadline that is over when all is done."""
    found = [each for each in changing(effects) if re.match(r"run service|rename /etc|run \S*-restore", each["name"])]
    for number, each in enumerate(spread(found, 6)):
        struck = {"at": each["name"], "count": each["count"]}
        for after in (0.0, 0.3, 1.5):
            how = "tree" if number % 2 else "kill"
            yield {"kind": "restorer", **struck, "when": "after", "how": how, "after": after, "sure": True}
    for each in spread(found, 4):
        yield {"kind": "two ways", "at": each["name"], "count": each["count"]}
    commit = [
        each for each in changing(effects) if "/transaction/" in each["name"] and each["name"].endswith("committed")
    ]
    for each in commit:
        for before, after in ((0.0, 0.0), (0.0, 0.3), (0.0, 1.0), (0.0, 3.0), (0.2, 0.0)):
            struck = {"at": each["name"], "count": each["count"], "when": "before"}
            yield {"kind": "confirmed", **struck, "before": before, "after": after, "sure": True}
        yield {
            "kind": "confirmed",
            "at": each["name"],
            "count": each["count"],
            "when": "after",
            "before": 0,
            "after": 1,
        }


def every(effects: list[Fault], names: tuple[str, ...], whole: bool = False) -> list[Fault]:
    """All faults."""
    return [
        *strikes(effects, whole),
        *commands(effects),
        *disks(effects),
        *services(names),
        *others(effects),
    ]


def sample(effects: list[Fault], names: tuple[str, ...], size: int) -> list[Fault]:
    """A few of each row, always the same ones."""
    rows: dict[str, list[Fault]] = {}
    for each in every(effects, names):
        rows.setdefault(kind(each), []).append(each)
    weights = {row: 4 if row.startswith("Salt: SIGKILL") else 2 for row in rows}
    total = sum(weights.values())
    return [each for row, found in rows.items() for each in spread(found, max(1, size * weights[row] // total))]
