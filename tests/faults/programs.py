"""Programs that stand in for the host's and are broken in every way, and what is left of them."""

from __future__ import annotations

import glob
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

FIRST = Path("/usr/local/sbin")  # in the PATH of every command
MARK = "98765"  # the seconds for which the fakes sleep: how they are found again
LONG = "x" * 99

# What a program does instead of its work. `$real` is the real one.
FAULTS = {
    "fails": "echo out of luck >&2; exit 3",
    "dies by a signal": "kill -SEGV $$",
    "lies": "exit 0",
    "does it and fails": '"$real" "$@"; echo out of luck >&2; exit 3',
    "hangs": f"echo waiting; sleep {MARK}",
    "hangs and ignores signals": f"trap '' TERM INT HUP; echo waiting; sleep {MARK}; sleep {MARK}",
    "hangs with a child in a session of its own": f"setsid sleep {MARK} & echo waiting; sleep {MARK}",
    "hangs with a grandchild that is a daemon": f"(setsid sh -c 'sleep {MARK} & sleep {MARK}' &); sleep {MARK}",
    "prints bytes": r"printf '\377\376\000\033[1m\n'; exit 0",
    "prints 100 MB": f"yes {LONG} | head -c 100000000",
    "prints 100 MB of errors": f"yes {LONG} | head -c 100000000 >&2; exit 3",
    "prints for ever": f"exec yes {LONG}",
}
HANGS = [each for each in FAULTS if each.startswith("hangs")]
WORDS = {  # what a message says of each that is known to be one
    **dict.fromkeys(HANGS, "and was killed"),
    "fails": "ended with 3 and said: out of luck",
    "does it and fails": "ended with 3 and said: ",
    "dies by a signal": "was killed by SIGSEGV and said: nothing",
    "prints 100 MB": "printed more than 64 MB and was killed",
    "prints 100 MB of errors": "printed more than 64 MB and was killed",
    "prints for ever": "printed more than 64 MB and was killed",
}


@contextmanager
def broken(name: str, fault: str) -> Iterator[None]:
    """A program of the host is broken, or not there."""
    real = shutil.which(name)
    assert real, name
    if fault in ("is missing", "is not executable"):
        hidden = {}
        while each := shutil.which(name):
            hidden[each] = f"{each}.hidden"
            os.rename(each, hidden[each])
            if fault == "is not executable":
                Path(each).write_text("#!/bin/sh\n")
        try:
            yield
        finally:
            for path, aside in hidden.items():
                os.rename(aside, path)
        return
    fake = FIRST / name
    fake.write_text(f"#!/bin/sh\nreal={real}\n{FAULTS.get(fault, fault)}\n")
    fake.chmod(0o755)
    try:
        yield
    finally:
        fake.unlink()


def of_processes(name: str) -> list[Path]:
    """A file of proc(5) of each process. (``Path.glob`` raises an error for one that ends meanwhile.)"""
    return list(map(Path, glob.glob(f"/proc/[0-9]*/{name}")))


def left() -> list[str]:
    """The fakes, and what they have started, that still run."""
    found = []
    for path in of_processes("cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue
        if MARK in words or f"{FIRST}/" in words or words.startswith("yes "):
            found.append(words)
    return found


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def most_memory() -> int:
    """The most memory that this process has ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def rooms(door: str, name: str) -> list[ModuleType]:
    """The copies of a room that the copies of a door use: each of Salt's loaders has its own."""
    found: dict[int, ModuleType] = {}
    todo = [each for key, each in list(sys.modules.items()) if key.endswith(f".{door}")]
    seen = set()
    while todo:
        module = todo.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if module.__name__ == f"_dualstack_{name}":
            found[id(module)] = module
        todo += [
            each
            for each in vars(module).values()
            if isinstance(each, ModuleType) and each.__name__.startswith("_dualstack_")
        ]
    assert found, f"{door} is not loaded, or does not use {name}"
    return list(found.values())
