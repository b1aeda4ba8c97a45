"""
The procedure that every state of this project follows: plan, gate, apply, plan again.

A :class:`Change` is three functions: one that only reads and makes a plan, one that carries out a plan, and one that
restores the previous state. A plan is plain data. This room reads two of its keys, ``changes`` and ``warnings``; the
rest belongs to its author.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_errors as errors
import _dualstack_host_files as host_files
import _dualstack_host_lock as host_lock
import _dualstack_host_time as host_time
import _dualstack_transaction_journal as transaction_journal
import _dualstack_transaction_run as transaction_run
import _dualstack_words as words
from salt.exceptions import CommandExecutionError, SaltInvocationError
from salt.state import STATE_INTERNAL_KEYWORDS

log = logging.getLogger(__name__)

HELD, FAILED, UNTRIED = "held", "failed", "not tried"  # the outcomes of inspecting the host
OUTCOMES = {True: HELD, False: FAILED, None: UNTRIED}
WORST = (False, None, True)  # the worst first
AWAITED = "__awaited__"  # the argument by which a state says what states before it would install
ENDED = "__ended__"  # the one by which it says whether a later state ends the run's transaction
SINGLE = "sls_id"  # Salt's function that calls states by their ID
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BOUND = 300.0  # seconds for a state as a whole, and as many to put everything back

Plan = dict[str, Any]
Result = dict[str, Any]  # what a state returns: name, result, changes, comment; of `look` also the outcome
Step = Callable[[], None]


class Change(NamedTuple):
    """How something is converged."""

    part: str  # of the host, which nobody else of us may change meanwhile
    plan: Callable[[], Plan]
    apply: Callable[[Plan], None]
    undo: Callable[[Plan], list[Step]]  # in their order; each is taken, even if one before it has failed
    bound: Callable[[], float] = lambda: BOUND
    # How everything was, but for the files, for the restorer. `None`: this is not put back with the rest of a run.
    before: Callable[[Plan], list[transaction_journal.Image]] | None = None


class Finding(NamedTuple):
    """The result of inspecting the host: whether the requirement holds, ``None`` if it could not be tried, and why."""

    holds: bool | None
    comment: str


def together(findings: Iterable[Finding], nothing: str) -> Finding:
    """
    Several findings as one: it holds only if each does, and what could not be tried is better than what has failed.

    findings
        The findings. What is said of the worst of them comes first.
    nothing
        What is said if there is none: then nothing was tried.
    """
    worst = sorted(findings, key=lambda each: WORST.index(each.holds))
    if not worst:
        return Finding(None, nothing)
    return Finding(worst[0].holds, "\n".join(each.comment for each in worst))


class Judgement(NamedTuple):
    """The same about what others have found out: the result does not say all of the outcome."""

    holds: bool | None
    comment: str
    outcome: str


def run(name: str, change: Change, surplus: Mapping[str, Any], test: bool) -> Result:
    """
    Do what a state does, and return what a state returns.

    name
        The state's name.
    change
        The functions that plan, apply and undo.
    surplus
        Keyword arguments that the state does not know. Salt's own are ignored, any other is an error.
    test
        Only report what would change. Where that cannot be told since something is missing that states before this one
        install (``__awaited__`` in ``surplus``), the result is ``None`` as well.

    After the plan was applied, it is made again and has to be empty. If it is not, or if applying it fails, it is
    undone, and a new plan then has to equal the first one. Nobody else of us changes this part of the host meanwhile.
    What cannot be undone, or is interrupted, is put back by the restorer, with all that this run has changed before.

    The change is kept for good at the end of the state, unless a later one of the run ends its transaction
    (``__ended__`` in ``surplus``).

    Raises ``KeyboardInterrupt`` and ``SystemExit`` if it is interrupted; what was changed is put back before.
    """
    ret: Result = {"name": name, "result": False, "changes": {}, "comment": ""}
    try:
        refuse(surplus)
        with host_time.within(change.bound()):
            with contextlib.nullcontext() if test else _held(change.part, name):
                ret = _converged(ret, change, test, bool(surplus.get(ENDED)) and not _is_single())
    except Exception as error:  # pylint: disable=broad-except  # Salt would show a traceback, and nothing else
        ret["comment"] = errors.said(error)
        if test and getattr(error, "need", "") in surplus.get(AWAITED, ()):
            said = f"{error}; this run installs it first, and only then shows what else changes"
            ret.update(result=None, comment=said)
    return _printable(ret)


def _is_single() -> bool:
    """Whether Salt calls a state by its ID, and none after it: it shows a state the whole run then, too."""
    frame = inspect.currentframe()
    while frame and frame.f_code.co_name != SINGLE:
        frame = frame.f_back
    return frame is not None


@contextlib.contextmanager
def _held(part: str, name: str) -> Iterator[None]:
    """Hold the lock, and let a terminal that goes away be an interruption as Ctrl-C is: Salt does not heed it."""
    heeded = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    if heeded:
        signal.signal(signal.SIGHUP, _hung_up)
    try:
        with host_lock.held(part, name):
            yield
    finally:
        if heeded:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _hung_up(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _converged(ret: Result, change: Change, test: bool, ended: bool) -> Result:
    if not test and change.before:
        transaction_run.await_others()  # what it has changed may be put back yet, even if nothing differs here
    name, plan = ret["name"], change.plan()
    changes = plan["changes"]
    parts = ", ".join(changes)
    if not changes:
        return {**ret, "result": True, "comment": _comment(f"{name} is as declared", plan)}
    if test:
        host_lock.refuse()
        transaction_run.refuse()
        comment = _comment(f"{name} would be changed: {parts}", plan)
        return {**ret, "changes": changes, "result": None, "comment": comment}
    step = _begun(change, plan, name)
    failure = _attempt(change, plan)
    if failure is None:
        if step is not None:
            transaction_run.go_on() if ended else transaction_run.commit()
        comment = _comment(f"{name} was changed: {parts}", plan, *([step.warning] if step and step.warning else []))
        return {**ret, "changes": changes, "result": True, "comment": comment}
    with _uninterrupted():
        back = _put_back(change, plan, failure)
        restored = _settled(step, back, failure, ended)
    comment = "\n".join([failure.said, *back.moved, *(back.lost or [back.said]), *restored])
    if failure.interruption:
        log.warning("%s: %s", name, comment.replace("\n", " | "))
        raise failure.interruption
    same = back.same or restored[-1:] == [transaction_run.ALL]
    return {**ret, "changes": {} if same else changes, "comment": comment}


def _begun(change: Change, plan: Plan, name: str) -> transaction_run.Step | None:
    """Write down how everything was: the step, if it is one of a transaction."""
    if change.before is None:
        return None
    return transaction_run.begin(change.part, name, change.before(plan), plan.get("files", {}))


def _settled(step: transaction_run.Step | None, back: _Back, failure: _Failure, ended: bool) -> list[str]:
    """After an undo: what it has put back needs no restorer. If it has not, or the run ends here, all goes back."""
    if step is None:
        return []
    if back.lost:
        return transaction_run.roll_back("a change could not be undone")
    transaction_run.undone(step)
    if failure.interruption:
        return transaction_run.roll_back("it was interrupted")
    transaction_run.go_on() if ended else transaction_run.commit()
    return []


class _Failure(NamedTuple):
    """Why a change has to be undone."""

    said: str
    interruption: BaseException | None = None
    moved: tuple[str, ...] = ()  # what somebody else has changed meanwhile, by its keys in the changes


def _attempt(change: Change, plan: Plan) -> _Failure | None:
    """Apply a plan, and plan again."""
    try:
        change.apply(plan)
        left = change.plan()["changes"]
    except host_files.Moved as error:
        return _Failure(str(error), moved=error.keys)
    except Exception as error:  # pylint: disable=broad-except  # whatever the error, no host may stay half changed
        return _Failure(errors.said(error))
    except BaseException as interruption:  # pylint: disable=broad-except  # Ctrl-C, or the minion is stopped
        return _Failure("This was interrupted.", interruption)
    return _Failure("\n".join(["After the change, this still differs:", *words.differences(left)])) if left else None


class _Back(NamedTuple):
    """What an undo could not put back, and what it has left to those who have changed it meanwhile."""

    lost: list[str]
    moved: list[str]
    said: str  # if nothing is lost
    same: bool  # whether a new plan equals the first one, whatever the steps said


def _put_back(change: Change, plan: Plan, failure: _Failure) -> _Back:
    """Undo a plan, and check that the host is as it was."""
    lost: list[str] = []
    moved: list[str] = []
    keys: set[str] = set(failure.moved)

    def take(step: Callable[[], list[Step] | None]) -> list[Step]:
        try:
            return step() or []
        except host_files.Moved as error:
            keys.update(error.keys)
            moved.extend({str(error)} - {failure.said})
        except Exception as error:  # pylint: disable=broad-except  # the other steps are as important
            lost.append(f"It could not be put back: {errors.said(error)}")
        except BaseException:  # pylint: disable=broad-except
            lost.append("It could not be put back: this was interrupted.")
        return []

    with host_time.within(change.bound()):
        for step in take(lambda: change.undo(plan)):
            take(step)
        failed = len(lost)
        take(lambda: _compare(change, plan, keys))
    same = len(lost) == failed
    said = f"Everything {'else ' if keys else ''}{'is' if lost else 'was put back'} as it was."
    return _Back([*lost, said] if lost and same else lost, moved, said, same)


def _compare(change: Change, plan: Plan, moved: Collection[str]) -> None:
    now, before = (_without(each, moved) for each in (change.plan()["changes"], plan["changes"]))
    if now != before:
        lines, known = words.differences(now), words.differences(before)
        new = [each for each in lines if each not in known]
        raise CommandExecutionError("\n".join(["now this differs:", *(new or lines)]))


def _without(changes: Any, moved: Collection[str]) -> Any:
    """Changes without those of what somebody else has changed meanwhile."""
    if not isinstance(changes, Mapping):
        return changes
    return {key: _without(each, moved) for key, each in changes.items() if key not in moved}


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and the minion's stop in this context: half an undo would be worse than either."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals do not come here
        yield
        return
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in INTERRUPTS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        for number in came[:1]:
            signal.raise_signal(number)


def look(
    name: str,
    find: Callable[[], Finding | Judgement],
    surplus: Mapping[str, Any],
    untried: str = "",
    asked: Callable[[], object] = dict,
    bound: float = BOUND,
) -> Result:
    """
    Do what a state does that changes nothing, and return what a state returns.

    name
        The state's name.
    find
        Inspects the host.
    surplus
        As for :py:func:`run`.
    untried
        Why the host is not inspected, as under ``test=True``, where the run might change it first. The result is then
        ``None``: unknown.
    asked
        Raises ``SaltInvocationError`` if the arguments are wrong, whatever the host is like. Called if the host is not
        inspected.
    bound
        Seconds that it may take.

    Beside what a state returns it has the ``outcome``, which Salt keeps for later states of the run: ``held``,
    ``failed``, or ``not tried``. An error is no outcome: then the result is ``False``, but nothing was found out about
    the host.
    """
    ret: Result = {"name": name, "result": False, "changes": {}, "comment": "", "outcome": UNTRIED}
    try:
        refuse(surplus)
        with host_time.within(bound):
            if untried:
                asked()
                ret.update(result=None, comment=untried)
            else:
                found = find()
                ret.update(
                    result=found.holds, comment=found.comment, outcome=getattr(found, "outcome", OUTCOMES[found.holds])
                )
    except Exception as error:  # pylint: disable=broad-except  # as in `run`
        ret["comment"] = errors.said(error)
    return _printable(ret)


def _printable(ret: Result) -> Result:
    return {**ret, "changes": words.printable(ret["changes"]), "comment": words.printable(ret["comment"])}


def tested(test: bool | None, opts: Mapping[str, Any]) -> bool:
    """
    Whether a door only predicts.

    test
        What its caller says; ``None`` for nothing.
    opts
        The minion's configuration, which then decides.
    """
    return bool(opts.get("test")) if test is None else test


def refuse(surplus: Mapping[str, Any]) -> None:
    """
    Refuse keyword arguments that neither the state nor Salt knows.

    surplus
        What the state got besides its own arguments.

    Salt would abort the whole run at such an argument if the state had no ``**kwargs``, and ignore it silently
    if it had. Raises ``SaltInvocationError`` with the names.
    """
    unknown = sorted(key for key in surplus if not is_salts_own(key))
    if unknown:
        raise SaltInvocationError(f"unknown argument: {', '.join(unknown)}")


def is_salts_own(key: str) -> bool:
    """
    Whether Salt itself adds, or takes, a keyword argument.

    key
        Its name.
    """
    return key in STATE_INTERNAL_KEYWORDS or key.startswith("__")


def _comment(text: str, plan: Plan, *lines: str) -> str:
    return "\n".join([text, *plan.get("warnings", []), *lines])
