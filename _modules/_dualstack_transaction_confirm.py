"""
Confirmation from outside: a run that waits for it, and those who confirm it, or have it put back, from other processes.

While a run waits, its transaction belongs to nobody: it can be confirmed as well after the run's ssh session has died.
One rename of ``armed`` decides. Who has had the file open before can read off its name how it was decided, even when
the folder is gone.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_lock as host_lock
import _dualstack_transaction_beat as transaction_beat
import _dualstack_transaction_launch as transaction_launch
import _dualstack_transaction_place as transaction_place
import _dualstack_transaction_proofs as transaction_proofs
import _dualstack_transaction_run as transaction_run
import _dualstack_transaction_wanted as transaction_wanted
import _dualstack_transaction_witness as transaction_witness
import salt.utils.json
from salt.exceptions import CommandExecutionError

WAITING = f"{transaction_place.FOLDER}/waiting"
END = f"{transaction_place.FOLDER}/end"  # somebody else than the run wants it put back
SAID = "/run/dualstack/confirmed"  # who has confirmed the last run that waited
PATIENCE = 10.0  # seconds
PAUSE = 0.1  # seconds between two looks
LOOK = 1.0  # seconds between two looks at who has logged in
CONFIRMED, LATE, EARLY, REFUSED, NOTHING = "confirmed", "too late", "too early", "refused", "nothing open"
PUT_BACK = "put back"
GONE = " (deleted)"  # readlink(2), of a file that is open


class Answer(NamedTuple):
    """What has come of a request, and the same in words."""

    outcome: str
    comment: str

    @property
    def data(self) -> dict[str, Any]:
        """As a door returns it."""
        return {"result": self.outcome not in (LATE, EARLY, REFUSED), **self._asdict()}


def wait(wanted: transaction_wanted.Wanted) -> converge.Finding:
    """
    Wait until somebody confirms what this run has changed; if nobody does, the restorer puts it back.

    wanted
        How many seconds it takes at most, and with which word.
    """
    try:
        return _awaited(wanted)
    except (OSError, CommandExecutionError) as error:
        back = transaction_run.roll_back("it could not wait to be confirmed")
        return converge.Finding(False, "\n".join([f"it could not wait to be confirmed: {error}", *back]))
    except BaseException:  # Ctrl-C, or the minion is stopped
        transaction_run.roll_back("it was interrupted")
        raise


def _awaited(wanted: transaction_wanted.Wanted) -> converge.Finding:
    with _watched() as watched:
        if not watched:
            return converge.Finding(False, "\n".join(transaction_run.awaited()))
        own = transaction_witness.session(os.getpid())
        since = _hand_over(wanted)
        looked = time.monotonic()
        while watched.name == "armed":
            if not transaction_place.is_watched():
                with contextlib.suppress(CommandExecutionError, OSError):
                    transaction_launch.start(transaction_run.SCRIPT, *transaction_place.run())
            if own and not wanted.token and time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                if any(transaction_witness.logins(own, since)):
                    with host_lock.held("transaction", "ipv6.managed", PATIENCE):
                        _decide(watched, f"by a new login from {own.client}")
            time.sleep(PAUSE)
        if watched.name != "committed":
            return converge.Finding(False, "\n".join(["Nobody has confirmed it.", *transaction_run.awaited()]))
        _cleaned(watched)
        took = (transaction_witness.now() - since) / os.sysconf("SC_CLK_TCK")
        return converge.Finding(True, f"Confirmed {took:.0f} s after the last change, {watched.text}.")


def confirm(token: str, force: bool, opts: Mapping[str, Any]) -> Answer:
    """
    Keep what a run has changed that waits for this.

    token
        The word that it waits for, if it waits for one.
    force
        Confirm it as well where who calls this proves nothing.
    opts
        Salt's, of this minion.
    """
    with contextlib.ExitStack() as opened:
        # Until the end of the rename: nobody begins a transaction of the same name in between.
        with host_lock.held("transaction", "ipv6.confirm", PATIENCE):
            watched = opened.enter_context(_watched())
            answer = watched and _answer(watched, token, force, opts)
        if not watched or not answer:
            return _over("too late: it")
        if answer.outcome == CONFIRMED:
            _cleaned(watched)
        return answer


def _answer(watched: _Watched, token: str, force: bool, opts: Mapping[str, Any]) -> Answer | None:
    """Confirm, or say why not; ``None`` if the restorer was quicker."""
    waiting = _waiting()
    if waiting is None:
        found = transaction_place.holder()
        who = found.said if found else "a run"
        return Answer(EARLY, f"nothing waits to be confirmed yet: {who} is not at its end")
    if not hmac.compare_digest(waiting["token"].encode(), token.encode()):
        which = "another token" if token and waiting["token"] else "a token" if waiting["token"] else "no token"
        return Answer(REFUSED, f"not confirmed: the run waits for {which}")
    found_out = transaction_witness.judge(waiting["since"], lambda: transaction_proofs.masters(opts))
    if not found_out.holds and not force:
        return Answer(REFUSED, f"not confirmed: {found_out.comment}; a new login does, or force=True")
    if not _decide(watched, found_out.comment if found_out.holds else "by force, without a new connection"):
        return None
    return Answer(CONFIRMED, "confirmed: what the run has changed is kept")


def roll_back(why: str) -> Answer:
    """
    Have the run put back whose transaction is open; if it goes on, the restorer ends it before.

    why
        For the report.
    """
    with contextlib.ExitStack() as opened:
        with host_lock.held("transaction", "ipv6.rollback", PATIENCE):
            watched = opened.enter_context(_watched())
            if watched:
                wish = transaction_place.ASKED if transaction_place.is_ours() else END
                transaction_place.put(wish, f"{why}\n")
        if not watched:
            return _over("nothing is open; the last run")._replace(outcome=NOTHING)
        if not transaction_run.settle(watched.is_gone):
            return Answer(LATE, transaction_run.STILL)
        if watched.name == "committed":
            return Answer(LATE, "it was confirmed meanwhile, and is kept")
    return Answer(PUT_BACK, transaction_place.last().text)


class _Watched:
    """The file ``armed``, open: its name says what becomes of the transaction, and its text who has confirmed it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @property
    def name(self) -> str:
        """``armed``, ``committed``, or ``restoring``: the last name that it had."""
        return os.path.basename(self._path()).removesuffix(GONE)

    def is_gone(self) -> bool:
        """Whether the transaction is over."""
        return self._path().endswith(GONE)

    def _path(self) -> str:
        return os.readlink(f"/proc/self/fd/{self.descriptor}")

    @property
    def text(self) -> str:
        """Who has confirmed it."""
        return os.pread(self.descriptor, 1 << 12, 0).decode("utf-8", "replace").strip().rpartition("\n")[2]


@contextlib.contextmanager
def _watched() -> Iterator[_Watched | None]:
    """The transaction, if one is open that has not been decided yet."""
    try:
        descriptor = os.open(transaction_place.ARMED, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield _Watched(descriptor)
    finally:
        os.close(descriptor)


def _decide(watched: _Watched, who: str) -> bool:
    """Confirm, unless the restorer was quicker. (As long as one is open no other can begin, which takes the lock.)"""
    os.write(watched.descriptor, f"{who}\n".encode())
    try:
        if watched.name != "armed":
            return False
        transaction_place.commit()
    except FileNotFoundError:
        return False
    return True


def _hand_over(wanted: transaction_wanted.Wanted) -> int:
    """From here on the transaction is nobody's, and only the time counts; since when, in ticks."""
    transaction_beat.arm(False)
    holder = transaction_place.holder()
    assert holder is not None
    since = transaction_witness.now()
    seconds = transaction_beat.uptime() + wanted.within
    transaction_place.put(f"{transaction_place.FOLDER}/deadline", f"{seconds:.0f}\n")
    transaction_place.put(transaction_place.HOLDER, holder._replace(pid=0, start=0).shell)
    transaction_place.put(WAITING, salt.utils.json.dumps({"since": since, "token": wanted.token}))
    return since


def _waiting() -> Mapping[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = salt.utils.json.loads(host_files.read(WAITING) or "")
        return found
    return None


def _cleaned(watched: _Watched) -> None:
    """Wait until the restorer has taken away what the transaction needed, or do it where that has died."""
    transaction_run.settle(watched.is_gone)
    transaction_run.forget()
    with contextlib.suppress(OSError):
        transaction_place.put(SAID, watched.text)


def _over(which: str) -> Answer:
    """What has become of a transaction that is not open any more."""
    transaction_run.settle()
    last = transaction_place.last()
    if last.text:
        return Answer(LATE, f"{which} was put back at {_clock(last.when)}:\n{last.text}")
    nothing = "nothing is open: no run waits to be confirmed, or could be put back"
    with contextlib.suppress(OSError):
        who, when = host_files.read(SAID) or "", os.stat(SAID).st_mtime
        nothing += f"; the last one that has waited was confirmed at {_clock(when)}, {who}"
    return Answer(NOTHING, nothing)


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(when))
