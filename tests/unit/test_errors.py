"""Errors in words."""

from __future__ import annotations

import errno
import os

import _dualstack_errors as errors
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError


@pytest.mark.parametrize("number", errors.ADVICE, ids=lambda each: errno.errorcode[each])
def test_an_error_of_a_file_says_which_and_what_helps(number: int) -> None:
    said = errors.said(OSError(number, os.strerror(number), "/etc/x"))
    assert said == f"/etc/x: {os.strerror(number)}; {errors.ADVICE[number]}"


def test_for_what_fails_on_a_host_there_is_advice() -> None:
    wanted = ("ENOSPC", "EDQUOT", "EROFS", "EPERM", "EACCES", "EBUSY", "EIO")
    assert {errno.errorcode[each] for each in errors.ADVICE} == set(wanted)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SaltInvocationError("ipv6:x: wrong"), "ipv6:x: wrong"),
        (CommandExecutionError("'x' ended with 1 and said: y"), "'x' ended with 1 and said: y"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", b"/etc/\xff"), "/etc/\udcff: Too many levels of"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; the disk has an error ('dmesg')"),
        (TimeoutError("timed out"), "timed out"),
        (TimeoutError(), "TimeoutError"),
        (MemoryError(), "this host has not enough memory for it"),
        (KeyError("s3cret"), "this is a bug in the dualstack modules, not on this host: KeyError; please report it"),
    ],
    ids=repr,
)
def test_whose_error_it_is(error: Exception, said: str) -> None:
    assert errors.said(error).startswith(said)
