"""
The whole report on a host: its services and names, the proof, and what of it all is a problem or not known.

Changes nothing. ``report_problems`` lists the problems, ``report_table`` draws the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_errors as errors
import _dualstack_pillar as pillar
import _dualstack_report as report
import _dualstack_report_mail as report_mail
import _dualstack_report_names as report_names
import _dualstack_report_problems as report_problems
import _dualstack_report_proof as report_proof
import _dualstack_report_threads as report_threads
import _dualstack_report_tunnels as report_tunnels
import _dualstack_words as words
from salt.exceptions import SaltException

VERSION = 1  # of the format; what is only added does not change it


class Mail(NamedTuple):
    """What was found out about PTR records and mail."""

    pointers: list[dict[str, Any]]
    sending: list[dict[str, Any]]
    notes: report.Notes


def of_pillar(ipv6: Any, known: pillar.Known) -> dict[str, Any]:
    """
    The report on a host whose pillar says what is expected of it.

    ipv6
        The pillar ``ipv6``.
    known
        The plug-ins.

    Returns plain data, as the door's ``ipv6.report`` describes it. Raises ``SaltInvocationError`` for a wrong pillar.
    """
    found = report.of_pillar(ipv6, known)
    verify = ipv6.get("verify")
    public = verify.get("public_ipv4") if isinstance(verify, Mapping) else None
    if isinstance(public, str):
        report_names.behind_nat(found["published"], public, found["notes"])
    this = report_proof.about(ipv6, found["ipv6"]["address"])
    proof, mail = report_threads.both(
        lambda: report_proof.climb(this, known),
        lambda: _mail(ipv6, known, this.addresses if this.tunnels or this.native or this.promised else []),
    )
    tunnels, unseen = _tunnels(this.tunnels)
    found = {
        "version": VERSION,
        **found,
        "proof": proof,
        "ptr": mail.pointers,
        "mail": mail.sending,
        "tunnels": tunnels,
        "notes": [*found["notes"], *mail.notes, *unseen],
    }
    problems = report_problems.problems(found)
    whole: dict[str, Any] = words.printable(
        {**found, "problems": problems, "summary": report_problems.summary(found, problems)}
    )
    return whole


def _mail(ipv6: Any, known: pillar.Known, addresses: list[str]) -> Mail:
    pointers: list[dict[str, Any]] = []
    try:
        pointers = report_mail.pointers(addresses, ipv6.get("dns"))
        return Mail(pointers, report_mail.sending(ipv6, known, pointers), [])
    except Exception as error:  # pylint: disable=broad-except  # no part of a report is worth the rest of it
        text = f"PTR records, and whether others take mail over IPv6, are not known: {errors.said(error)}"
        return Mail(pointers, [], [{"mark": "?", "text": text}])


def _tunnels(ours: Any) -> tuple[Any, report.Notes]:
    try:
        found = report_tunnels.others(ours)
    except SaltException as error:
        return [], [{"mark": "?", "text": f"whether there are other tunnels is not known: {errors.said(error)}"}]
    return found, [{"mark": "-", "text": report_tunnels.sentence(each)} for each in found if not each["rival"]]
