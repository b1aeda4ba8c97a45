"""
The end of a run: what it has changed is kept if this host can still be managed, and put back if not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_errors as errors
import _dualstack_transaction_confirm as transaction_confirm
import _dualstack_transaction_journal as transaction_journal
import _dualstack_transaction_place as transaction_place
import _dualstack_transaction_proofs as transaction_proofs
import _dualstack_transaction_run as transaction_run
import _dualstack_transaction_wanted as transaction_wanted

SYSCTL, SERVICE = "sysctl", "service-"  # how the parts of a host begin of which one justifies the other
BOUND = 600.0 + transaction_wanted.LONGEST  # seconds
UNTRIED = "not judged: under test=True nothing was changed"

UNASKED = "Kept without asking, as ipv6:confirm:mode: none says: whether this host can be managed was not tried."
ALONE = "No new connection has come in; what this host could try by itself is a weaker proof:"
NOBODY = "No new connection has come in, and nobody is known who manages this host: nothing is proven."

Told = Callable[[str, list[str]], object]


def managed(
    wanted: Callable[[], transaction_wanted.Wanted],
    opts: Mapping[str, Any],
    harmed: Callable[[bool], list[str]],
    tell: Told,
) -> converge.Finding:
    """
    Keep what this run has changed, if this host can still be managed.

    wanted
        Reads how it is confirmed.
    opts
        Salt's, of this minion: new connections are made as whoever manages this host does.
    harmed
        The services that the live kernel parameters harm, or, with ``False``, that those of before would harm: one
        sentence for each, which begins with its name.
    tell
        Called when it is kept, with how it was confirmed, and which parts of the host were changed.

    Where a kernel parameter was set for services that were not converged then, it is put back, with those that need it.
    What cannot be judged is put back as well: nobody else comes after this who could keep it.
    """
    transaction_place.await_parallel(BOUND)
    try:
        return _managed(wanted(), opts, harmed, tell)
    except Exception as error:  # pylint: disable=broad-except  # whatever the error, the run ends here
        if not transaction_place.is_ours():  # it is kept, or put back
            raise
        back = transaction_run.roll_back("whether this host can still be managed was not found out")
        return converge.Finding(False, "\n".join([errors.said(error), *back]))


def _managed(
    wanted: transaction_wanted.Wanted,
    opts: Mapping[str, Any],
    harmed: Callable[[bool], list[str]],
    tell: Told,
) -> converge.Finding:
    if transaction_place.is_open() and transaction_place.holder() is None:
        return converge.Finding(
            False, "A run is open on this host, and whose it is cannot be read: nothing was confirmed."
        )
    if not transaction_place.is_ours():
        return converge.Finding(True, "This run has changed nothing that would have to be put back.")
    changed = transaction_journal.parts()
    unasked = wanted.mode == transaction_wanted.NONE
    found = converge.Finding(True, UNASKED) if unasked else _tried(transaction_proofs.found(opts))
    if found.holds is False:
        back = transaction_run.roll_back("this host could not be managed any more")
        return converge.Finding(False, "\n".join([found.comment, *back]))
    back = harmed(True) if SYSCTL in changed else []
    if back:
        needing = {f"{SERVICE}{each.partition(' ')[0]}" for each in harmed(False)}
        pieces = [each for each in changed if each == SYSCTL or each in needing]
        changed = [each for each in changed if each not in pieces]
        back += transaction_run.put_back(pieces, "kernel parameters were set for services that could not be converged")
        if back[-1:] != [transaction_run.ALL]:
            back += transaction_run.roll_back("a part of it could not be put back")
            return converge.Finding(False, "\n".join(back))
    if wanted.mode == transaction_wanted.MANUAL and changed:
        found = transaction_confirm.wait(wanted)
        if not found.holds:
            return converge.Finding(False, "\n".join([*back, found.comment]))
    else:
        transaction_run.commit()
    if not unasked:
        tell(found.comment, changed)
    kept = [f"Kept for good: {', '.join(changed)}.", found.comment] if changed else []
    return converge.Finding(not back, "\n".join([*back, *kept]))


def _tried(proofs: list[converge.Finding]) -> converge.Finding:
    found = converge.together(proofs, NOBODY)
    return found._replace(comment=f"{ALONE}\n{found.comment}") if proofs else found


def told(finding: converge.Finding, test: bool) -> converge.Finding:
    """
    A finding of the next run, with what the restorer has to say about the last one.

    finding
        The finding.
    test
        Whether it is to be told once more.
    """
    report = transaction_place.report()
    if not report:
        return finding
    if not test:
        transaction_run.told()
    return finding._replace(comment=f"{finding.comment}\nAn earlier run was put back:\n{report}")
