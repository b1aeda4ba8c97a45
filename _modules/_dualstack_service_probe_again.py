"""
What is asked once more: where a limit may have spoken instead of the daemon, and where the families differ.

A daemon that serves a few visitors at a time may refuse the many that a probe is. So after a pause those that were
refused are asked again, a few at a time, as long as that brings anything. Then pages that are not the same over both
families are asked for again, one after the other: what changes at every request is left out of what is compared.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import _dualstack_service_probe_page as service_probe_page
import _dualstack_service_probe_stream as service_probe_stream

FEW = 4  # sites at the same time
PAUSE = 1.1  # seconds; limits count by the second
LONGEST = 30.0  # seconds for all of this
AGAIN = 5  # times that a page is asked for again, where it differs between the families and changes
ENOUGH = 2  # the same, where it does not change
BUSY = (429, 503)  # of HTTP
TOO_MANY = 1040  # of MySQL: connections

Target = Mapping[str, Any]
Pair = tuple[Target, dict[str, Any]]
Probe = Callable[[Target], dict[str, Any]]


def ask(probe: Probe, targets: Sequence[Target], answers: Sequence[dict[str, Any]], end: float) -> None:
    """
    Ask again what needs it.

    probe
        Asks one target.
    targets, answers
        What has been asked; the answers are changed in place.
    end
        When nothing more may be asked, by ``time.monotonic``.
    """
    end = min(end, time.monotonic() + LONGEST)
    groups = _sites(targets, answers)
    with concurrent.futures.ThreadPoolExecutor(FEW) as pool:
        limited = [pair for group in groups for pair in group if _is_limited(pair[1])]
        while limited and time.monotonic() + PAUSE < end:
            time.sleep(PAUSE)
            list(pool.map(lambda group: _ask_limited(probe, end, group), groups[::-1]))
            before, limited = limited, [pair for pair in limited if _is_limited(pair[1])]
            if len(limited) == len(before):
                break
        list(pool.map(lambda group: _look_again(probe, end, group), groups))


def _sites(targets: Sequence[Target], answers: Sequence[dict[str, Any]]) -> list[list[Pair]]:
    """Those targets together that are one site, over both families."""

    def site(pair: Pair) -> tuple[str, ...]:
        return tuple(str(pair[0][key]) for key in ("port", "protocol", "name", "path", "proxy"))

    return [list(each) for _, each in itertools.groupby(sorted(zip(targets, answers), key=site), key=site)]


def _is_limited(answer: Mapping[str, Any]) -> bool:
    """Whether this may have been the answer of a limit."""
    look = answer["look"]
    if answer["answers"]:
        return look.get("status") in BUSY or look.get("code") == TOO_MANY or "broken" in look
    return answer["reason"] == service_probe_stream.CLOSED or answer["error"].startswith("refuses with")


def _ask_limited(probe: Probe, end: float, group: Sequence[Pair]) -> None:
    for target, answer in group[::-1]:
        if _is_limited(answer):
            again = _once_more(probe, end, target, answer)
            if again and again["answers"] and not (answer["answers"] and _is_limited(again)):
                answer.update({**again, "seconds": answer["seconds"]})


def _once_more(probe: Probe, end: float, target: Target, answer: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to the same question, if there is time for it: all of them have to come in the target's seconds."""
    rest = target["seconds"] - answer["seconds"]
    if rest <= 0 or time.monotonic() > end:
        return None
    again = probe({**target, "seconds": rest})
    answer["seconds"] = round(answer["seconds"] + again["seconds"], 3)
    return again


def _settled(group: Sequence[Pair]) -> bool:
    """Whether all answer with the same status, and show the same page; or are no pages."""
    looks: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for target, answer in group:
        if "status" in answer["look"]:
            looks[":" in target["address"]].append(answer["look"])
    return all(
        one["status"] == other["status"]
        and (
            service_probe_page.alike(one["page"], other["page"])
            if one["page"] and other["page"]
            else one["page"] is other["page"]  # neither was whole
        )
        for one in looks[True]
        for other in looks[False]
    )


def _look_again(probe: Probe, end: float, group: Sequence[Pair]) -> None:
    """Ask again, one after the other, and in the other order: there may be several servers that take turns."""
    for times in range(AGAIN):
        changing = any((answer["look"].get("page") or {}).get("changing") for _, answer in group)
        if _settled(group) or (times >= ENOUGH and not changing):
            return
        group = group[::-1]
        for target, answer in group:
            again = _once_more(probe, end, target, answer) if "status" in answer["look"] else None
            if again:
                answer["look"] = _both_looks(answer["look"], again["look"])


def _both_looks(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What is known of a page from two answers. What a limit says is nothing of it."""
    if "status" not in other or (other["status"] in BUSY and one["status"] not in BUSY):
        return one
    if one["status"] in BUSY and other["status"] not in BUSY:
        return other
    if one["status"] == other["status"] and one["page"] and other["page"]:
        return {**one, "page": service_probe_page.common(one["page"], other["page"])}
    return other if one["status"] == other["status"] and other["page"] else one
