"""
Files of this host: read, replaced in one step, and put back.

A file is replaced by another one of the same name, so that nobody ever reads half of it. The new one gets the owner,
the permissions, the ACL and the extended attributes of the old one; the old one stays beside it, under a hidden name,
until the change is complete: then putting it back needs no space and restores all of it.

Folders that had to be made are removed again if the change fails, unless there is something in them by then.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import _dualstack_host_attributes as host_attributes
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_leftovers as host_leftovers
import _dualstack_host_place as host_place
from salt.exceptions import CommandExecutionError


class Edit(NamedTuple):
    """A file's text as it is and as it is to be; ``None`` if there is no file."""

    old: str | None
    new: str | None
    # Of a file of our own: what its permissions may be at most. `None`: it is not ours, and keeps its own.
    mode: int | None = None
    # The present permissions, if they are more than that.
    wrong: int | None = None
    # The topmost folder that has to be made for it.
    folder: str = ""


Edits = dict[str, Edit]  # by path


class Moved(CommandExecutionError):
    """
    Something is not what it was when the plan was made: somebody else has changed it.

    thing
        What it is, in words.
    keys
        Where it is in the changes of a plan; by default, under ``thing``.
    """

    def __init__(self, thing: str, *keys: str) -> None:
        super().__init__(f"{thing} has been changed by somebody else meanwhile: that was left as it is")
        self.keys = keys or (thing,)


def read(path: str) -> str | None:
    """
    A file's text; bytes that are not UTF-8 survive reading and writing.

    path
        The file's path.

    Returns ``None`` if there is no such file. Raises ``OSError``, also for what is no file, such as a named pipe.
    """
    data = read_bytes(path)
    return None if data is None else data.decode("utf-8", "surrogateescape")


def read_bytes(path: str, start: int = 0, follow: bool = True) -> bytes | None:
    """
    As :py:func:`read`, undecoded.

    path
        The file's path.
    start
        Where to begin.
    follow
        Whether it may be a link.
    """
    try:
        descriptor = os.open(path, host_place.READING | (0 if follow else os.O_NOFOLLOW))
    except FileNotFoundError:
        return None
    return host_place.contents(descriptor, path, start)


def edit(path: str, old: str | None, new: str | None, mode: int | None = None) -> Edits:
    """
    The edit of a file, for a plan; empty where there is nothing to do.

    path
        The file's path. If it is a link, its target is meant.
    old
        Its text, as :py:func:`read` has just returned it.
    new
        The whole new text, or ``None`` to remove the file.
    mode
        Of a file of our own: what its permissions may be at most. Without, it keeps those that it has.

    Raises ``OSError``, and ``CommandExecutionError`` where it could not be replaced.
    """
    wrong = None
    if mode is not None and old is not None and new is not None:
        now = stat.S_IMODE(os.stat(path).st_mode)
        wrong = now if now & ~mode else None
    if old == new and wrong is None:
        return {}
    host_hindrances.refuse(path, exists=old is not None)
    return {path: Edit(old, new, mode, wrong, host_place.missing_folder(path))}


def mode_change(edit: Edit) -> dict[str, dict[str, str]]:
    """
    The change of a file's permissions, for the changes of a plan; empty where they are right.

    edit
        Of that file.
    """
    if edit.wrong is None:
        return {}
    return {"mode": {"old": f"{edit.wrong:04o}", "new": f"{limited(edit):04o}"}}


def write(edits: Mapping[str, Edit]) -> None:
    """
    Carry out edits, each in one step, unless somebody else has changed one of the files meanwhile.

    edits
        From :py:func:`edit`.

    Raises ``Moved`` and ``OSError``; :py:func:`restoring` then puts back those that were carried out.
    """
    for path, each in edits.items():
        if each.old == each.new:
            with _named(path):
                _limit(path, each)
            continue
        _compare(path, read(path), each.old)
        if each.new is not None:
            _put(path, each.new, each.mode, functools.partial(_keep_old, path=path, each=each))
            continue
        with _named(path), host_place.of(path) as place:
            _keep_old(place, path, each)
            host_place.remove(place, place.name)


def keep(edits: Mapping[str, Edit]) -> None:
    """
    Give each file that is about to be replaced or removed another name, :py:func:`kept`, for as long as it may have to
    be put back by somebody else. One that has it already keeps it: it is the oldest that counts.

    edits
        From :py:func:`edit`.

    Raises ``Moved`` and ``OSError``.
    """
    for path, each in edits.items():
        if each.old is None or each.old == each.new:
            continue
        with _named(path), host_place.of(path) as place:
            name = os.path.basename(kept(path))
            if host_place.read(place, name) is None:
                try:
                    host_place.keep(place, name, each.old)
                except FileNotFoundError:
                    raise Moved(path) from None


def kept(path: str) -> str:
    """
    The name that a file has beside the one that has replaced it.

    path
        The file.
    """
    folder, name = os.path.split(os.path.realpath(path))
    return os.path.join(folder, host_leftovers.beside(name, host_leftovers.KEPT))


def limited(each: Edit) -> int:
    """
    The permissions that a file of our own gets which has more than it may.

    each
        Its edit.
    """
    return host_attributes.limited(each.wrong or 0, each.mode or 0)


def _compare(path: str, now: str | None, *expected: str | None) -> None:
    if now not in expected:
        raise Moved(path)


def restoring(edits: Mapping[str, Edit]) -> list[Callable[[], None]]:
    """
    The steps that put files back as they were, for an undo.

    edits
        Those that :py:func:`write` has carried out, wholly or in part.

    A file that somebody else has changed meanwhile is left as it is: the step raises ``Moved``. Others raise
    ``OSError``.
    """
    return [functools.partial(_restore, path, each) for path, each in edits.items()]


def _restore(path: str, each: Edit) -> None:
    if each.old == each.new:
        with _named(path):
            _widen(path, each)
        return
    now = read(path)
    _compare(path, now, each.old, each.new)
    with _named(path):
        if now != each.old:
            _put_back(path, each)
        host_place.remove_folders(path, each.folder)


def _put_back(path: str, each: Edit) -> None:
    with host_place.of(path) as place:
        kept = host_leftovers.beside(place.name, host_leftovers.OLD)
        if each.old is None:
            host_place.remove(place, place.name)
        elif _holds(place, kept, each.old):
            if each.mode is None and each.new is not None and not host_place.alike(place, kept):
                raise Moved(path)  # its owner or its permissions: to put the old ones back might show it to others
            host_place.rename(place, kept)
        else:  # somebody has removed it
            _swap(place, each.old, None)


def _holds(place: host_place.Place, name: str, text: str) -> bool:
    with contextlib.suppress(OSError):
        return host_place.read(place, name) == text
    return False


def _limit(path: str, each: Edit) -> None:
    """Take away permissions that a file of our own must not have."""
    with _mode_of(path, each.wrong or 0) as descriptor:
        os.fchmod(descriptor, limited(each))
        os.fsync(descriptor)


def _widen(path: str, each: Edit) -> None:
    with _mode_of(path, each.wrong or 0, limited(each)) as descriptor:
        os.fchmod(descriptor, each.wrong or 0)


@contextlib.contextmanager
def _mode_of(path: str, *expected: int) -> Iterator[int]:
    """A file, open, if nobody else has changed its permissions meanwhile."""
    try:
        with host_place.of(path) as place, host_place.opened(place) as descriptor:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) not in expected:
                raise Moved(path)
            yield descriptor
    except FileNotFoundError:
        raise Moved(path) from None


def replace(path: str, text: str, mode: int | None = None) -> None:
    """
    Write a whole file in one step, whatever is there.

    path
        The file's path. If it is a link, its target is written.
    text
        The whole text.
    mode
        Of a file of our own: what its permissions may be at most. Else one that exists keeps its own.

    Raises ``OSError``; then it is as it was.
    """
    _put(path, text, mode)


def remove(path: str) -> None:
    """
    Remove a file of our own, and its folder, unless there is something else in it.

    path
        The file's path.

    Raises ``OSError``.
    """
    with _named(path):
        with host_place.of(path) as place:
            host_place.remove(place, place.name)
        host_place.remove_folders(path, os.path.dirname(os.path.realpath(path)))


Before = Callable[[host_place.Place], None]  # called just before a file is replaced


def _put(path: str, text: str, mode: int | None, before: Before = lambda place: None) -> None:
    with _named(path):
        made = host_place.make_folders(path)
        try:
            with host_place.of(path) as place:
                _swap(place, text, mode, before)
        except BaseException:
            with contextlib.suppress(OSError):
                host_place.remove_folders(path, made)
            raise


def _swap(place: host_place.Place, text: str, mode: int | None, before: Before = lambda place: None) -> None:
    new = host_leftovers.beside(place.name, host_leftovers.NEW)
    host_leftovers.note(os.path.join(os.path.dirname(place.path), new))
    try:
        host_place.make(place, new, text, mode)
        before(place)
        host_place.rename(place, new)
    except BaseException:
        with contextlib.suppress(OSError):
            host_place.remove(place, new)
        raise


def _keep_old(place: host_place.Place, path: str, each: Edit) -> None:
    """Give the file that is about to be replaced or removed a second, hidden name."""
    if each.old is not None:
        kept = host_leftovers.beside(place.name, host_leftovers.OLD)
        host_leftovers.note(os.path.join(os.path.dirname(place.path), kept))
        try:
            host_place.keep(place, kept, each.old)
        except FileNotFoundError:
            raise Moved(path) from None
    _compare(path, host_place.read(place, place.name), each.old)  # again: making the new one takes a while


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Errors in this context are about a file, by the path that its owner knows."""
    try:
        yield
    except OSError as error:
        known = isinstance(error.filename, str) and os.path.isabs(error.filename)
        raise OSError(error.errno, error.strerror, error.filename if known else path) from None
