"""
Firewall rules, tried with real packets before they are loaded.

A candidate is loaded into a scratch network namespace, whose interfaces are named and addressed as the live ones,
beside what else filters and forwards on this host. The packets of the expectations are sent from their outer ends, and
the kernel decides on each: ``firewall_rehearsal_script`` does that. Nothing here changes the host.
"""

from __future__ import annotations

import copy
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_view as firewall_view
import _dualstack_host_commands as host_commands
import salt.utils.json
from salt.exceptions import CommandExecutionError

NAMESPACE = "/proc/self/ns/net"
# Isolated, and with this folder behind Python's own: its files must not shadow those.
START = "import sys; sys.path.append(sys.argv[1]); import _dualstack_firewall_rehearsal_script as it; it.main()"
PYTHON = [sys.executable, "-I", "-S", "-B", "-c", START, os.path.dirname(os.path.abspath(__file__))]
ACCEPT, UNKNOWN = "accept", "unknown"
EXPECTED = re.compile(r"expect\[(\d+)\]")  # by which a given expectation is found among those that were tested
FORWARDED = "forwarded to "  # how a note begins
# Rules that count packets or remember hosts, and decide by that: but not those that only log.
COUNTING = re.compile(
    r"^-A (?=.* -m (?:limit|hashlimit|connlimit|recent|connbytes|quota|rateest) |.* -j SET --add-set |.* --mode nth )"
    r"(?!.* -j (?:LOG|NFLOG|ULOG|AUDIT)(?: |$))",
    re.MULTILINE,
)
COUNTERS = ("limit", "recent", "connbytes", "quota", "rateest", "--add-set", "--mode nth")  # a quick look for them
MOST = 300_000  # lines that are loaded, where each packet has a namespace of its own: a few seconds
COUNTING_NATIVE = re.compile(r"\b(?:limit rate|ct count|meter|quota|(?:add|update) @|numgen inc)(?=[ {\w])")


class Behind(TypedDict):
    """A network that this host forwards to: by which interface, and with which address of its own."""

    family: str
    network: str
    interface: str  # lo: it is this host itself
    own: str | None


class Around(NamedTuple):
    """What else filters and forwards on this host."""

    rulesets: Sequence[tuple[str, list[str], str]] = ()  # of the other backend: family, command, text
    native: Mapping[str, str] = {}  # tables that nft(8) reads, by name
    sysctl: Mapping[str, str] = {}  # below /proc/sys/net
    behind: Sequence[Behind] = ()
    links: Sequence[str] = ()  # interfaces that have to be there
    reasons: Sequence[str] = ()  # why not all of it is known, in sentences


class Finding(TypedDict):
    """The verdict on a packet."""

    found: str  # accept, drop, reject, or unknown
    ok: bool
    note: str


class Tried(firewall_view.Expectation, Finding):
    """An expectation, and the verdict on its packet."""


def run(
    rulesets: dict[str, str],
    expectations: list[firewall_view.Expectation],
    backend: str,
    sets: str = "",
    around: Around = Around(),
) -> list[Tried]:
    """
    Try rulesets with real packets, in a scratch network namespace.

    rulesets
        For each family the text for ``iptables-restore``, with all its tables.
    expectations
        As :py:func:`firewall_view.expectations` returns them.
    backend
        ``nft`` or ``legacy``.
    sets
        Text for ``ipset restore``, for the sets that the rules refer to.
    around
        What else there is on this host.

    Returns the expectations, each with ``found`` (``accept``, ``drop`` or ``reject``), ``ok``, whether that is what was
    expected, and ``note``, a remark. A packet is accepted if it passes all chains on its way in, through or out, and
    its answer all those on the way back. Of several sources the majority counts, and the note says that they differ.
    Where not all is known that filters here, what is expected (``expect[...]``) is ``unknown``. Raises
    ``CommandExecutionError`` if the rulesets do not load, and ``NoNamespaces``, which is one, where network namespaces
    are not permitted.
    """
    wait = ["-w", str(firewall_commands.LOCK)]
    loads = [
        *around.rulesets,
        *(
            (family, [f"{firewall_commands.COMMANDS[family]}-{backend}-restore", *wait], text)
            for family, text in rulesets.items()
        ),
    ]
    job = {
        "outside": os.readlink(NAMESPACE),
        "rulesets": loads,
        "native": [(name, ["nft", "-f", "-"], text) for name, text in around.native.items()],
        "sets": sets,
        "sysctl": dict(around.sysctl),
        "behind": list(around.behind),
        "links": list(around.links),
        "apart": any(COUNTING.search(text) for _, _, text in loads if any(each in text for each in COUNTERS))
        or any(COUNTING_NATIVE.search(text) for text in around.native.values()),
    }
    every = [(index, each) for index, expectation in enumerate(expectations) for each in _sources(expectation)]
    if job["apart"] and len(every) * sum(text.count("\n") for _, _, text in loads) > MOST:
        every = list(enumerate(expectations))  # one host that stands for anywhere has to do
    results: dict[int, Finding] = {}
    reasons = list(around.reasons)
    for numbers in _stages([each for _, each in every]):
        found, unloaded = _in_namespace({**job, "expectations": [_packet(every[number][1]) for number in numbers]})
        results.update(zip(numbers, found))
        reasons += [f"the table {name} of nft(8) could not be loaded: {said}" for name, said in unloaded.items()]
    by_index: dict[int, list[tuple[str, Finding]]] = {}
    for number, (index, each) in enumerate(every):
        by_index.setdefault(index, []).append((each[_far_end(each)], results[number]))
    tried: list[Tried] = [{**each, **_joined(by_index[index])} for index, each in enumerate(expectations)]
    return [unknown(each, reasons) if reasons and EXPECTED.fullmatch(each["why"]) else each for each in tried]


def unknown(tried: Tried, reasons: Sequence[str]) -> Tried:
    """
    The same expectation, of which nothing is known.

    tried
        With the verdict that may be wrong.
    reasons
        Why it may be.
    """
    note = "; ".join(dict.fromkeys([*reasons, f"without that it would be {tried['found']}"]))
    return {**tried, "found": UNKNOWN, "ok": False, "note": note}


def _far_end(expectation: firewall_view.Expectation) -> Literal["source", "destination"]:
    return "destination" if expectation["direction"] == "out" else "source"


def _sources(expectation: firewall_view.Expectation) -> list[firewall_view.Expectation]:
    """The same packet from (or to) each host that stands for anywhere."""
    found = [expectation]
    for each in expectation.get("others", ()):
        found.append(copy.copy(expectation))
        found[-1][_far_end(expectation)] = each
    return found


def _joined(findings: list[tuple[str, Finding]]) -> Finding:
    """What most of the sources found; of as many, what is not as expected."""
    count = Counter(each["found"] for _, each in findings)
    most = max(count.values())
    most_of_them = [each for _, each in findings if count[each["found"]] == most]
    verdict = next((each for each in most_of_them if not each["ok"]), most_of_them[0])
    if len(count) == 1:
        return verdict
    said = "; ".join(
        f"{found} from {', '.join(source for source, each in findings if each['found'] == found)}" for found in count
    )
    note = "; ".join(filter(None, [verdict["note"], f"it differs by the source: {said}"]))
    return {**verdict, "note": note}


def _stages(expectations: list[firewall_view.Expectation]) -> list[list[int]]:
    """Which expectations share a namespace: in each, a host is behind one interface only."""
    stages: list[tuple[dict[str, str], list[int]]] = []
    for index, each in enumerate(expectations):
        remote = _remote(each)
        for beyond, indices in stages:
            if beyond.get(remote, each["interface"]) == each["interface"]:
                break
        else:
            beyond, indices = {}, []
            stages.append((beyond, indices))
        beyond[remote] = each["interface"]
        indices.append(index)
    return [indices for _, indices in stages]


def _remote(expectation: firewall_view.Expectation) -> str:
    return expectation[_far_end(expectation)]


def _packet(expectation: firewall_view.Expectation) -> dict[str, object]:
    own = expectation["source"] if expectation["direction"] == "out" else expectation["destination"]
    return {**expectation, "own": expectation.get("behind") or own, "remote": _remote(expectation)}


def _in_namespace(job: dict[str, Any]) -> tuple[list[Finding], dict[str, str]]:
    try:
        said = firewall_commands.run(firewall_commands.in_namespace(PYTHON), salt.utils.json.dumps(job))
    except firewall_commands.NoNamespaces:
        raise
    except CommandExecutionError as error:
        raise CommandExecutionError(f"the rehearsal of the firewall failed: {error}") from None
    answer = _parsed(said)
    if isinstance(answer.get("error"), str):
        raise CommandExecutionError(f"the rehearsal of the firewall failed: {answer['error']}")
    results = answer.get("results")
    if not isinstance(results, list) or len(results) != len(job["expectations"]) or not all(map(_is_finding, results)):
        printed = host_commands.in_one_line(said)
        raise CommandExecutionError(f"the rehearsal of the firewall failed: it printed no verdicts, but: {printed}")
    return results, answer.get("unloaded") or {}


def _parsed(said: str) -> dict[str, Any]:
    try:
        found = salt.utils.json.loads(said)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _is_finding(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and each.keys() == {"found", "ok", "note"}
        and isinstance(each["ok"], bool)
        and all(isinstance(each[key], str) for key in ("found", "note"))
    )
