"""
The firewall that this host's kernel holds: read, normalised in a scratch network namespace, swapped in one step.

Everything here speaks to the iptables commands of one backend, ``nft`` or ``legacy``. *Tables* are those of
``iptables_save``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "iptables_kernel"

FAMILIES = {"ipv4": "iptables", "ipv6": "ip6tables"}
# A login shell of Debian's `su` has no sbin in its PATH, and salt-call inherits it.
PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
PATIENCE = 60  # seconds: for the lock that all iptables-legacy commands share, and for names to be resolved
NAMES_OF_THE_HOST = ("services", "protocols", "hosts", "passwd", "group")  # below /etc: rules may hold such names
SCRATCH = "salt-scratch-"  # chains that nothing leads to, where namespaces are not permitted
NO_NAMESPACES = "network namespaces are not permitted here"  # in some containers; firewall_rehearsal says the same


def backend(choice: str = "auto") -> str:
    """
    The backend of iptables that is used on this host.

    choice
        ``nft``, ``legacy``, or ``auto``: that of the host's command ``iptables``.

    Raises ``CommandExecutionError`` if it is not installed.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.backend
    """
    program = _which("iptables" if choice == "auto" else f"iptables-{choice}")
    if not program and choice != "auto":
        program = _which("iptables")  # a distribution that has only one, without alternatives
    if not program:
        raise CommandExecutionError("iptables is not installed on this host")
    found = re.search(r"nft|legacy", os.path.basename(os.path.realpath(program)))
    kind = found[0] if found else _kind(program)
    if choice not in ("auto", kind):
        raise CommandExecutionError(f"iptables-{choice} is not installed on this host: its iptables is {kind}")
    return kind


def _kind(program: str) -> str:
    return "nft" if "nf_tables" in _run([program, "--version"]) else "legacy"


def families() -> list[str]:
    """
    The families that this host's kernel has: ``ipv4``, and ``ipv6`` unless it was started with ``ipv6.disable=1``.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.families
    """
    return ["ipv4", "ipv6"] if os.path.isdir("/proc/sys/net/ipv6") else ["ipv4"]


def read(backend: str) -> dict[str, Any]:
    """
    The live tables of both families.

    backend
        ``nft`` or ``legacy``.

    Raises ``CommandExecutionError``.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.read nft
    """
    runs = {family: _start([_command(family, backend, "save")]) for family in families()}
    texts = {family: _finish(run) for family, run in runs.items()}
    return {family: __salt__["iptables_save.parse"](text) for family, text in texts.items()}


def other(backend: str) -> list[str]:
    """
    What the backend that is not used filters: the tables of it that hold anything.

    backend
        The one that is used.

    Returns sentences; the kernel lets a packet pass only if both backends do.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.other nft
    """
    unused = "legacy" if backend == "nft" else "nft"
    found = []
    for family in families():
        program = _which(f"{FAMILIES[family]}-{unused}-save")
        if not program or (unused == "legacy" and not _legacy_tables(family)):
            continue
        with contextlib.suppress(CommandExecutionError):  # a kernel that has no such backend has nothing in it
            tables = __salt__["iptables_save.parse"](_run([program]))
            for table, chains in tables.items():
                count = sum(len(each["rules"]) for each in chains.values())
                if chains != __salt__["iptables_save.empty"](table):
                    found.append(
                        f"{FAMILIES[family]}-{unused} also filters here: its table {table} has {count} rules, "
                        f"and a packet has to pass those of both backends"
                    )
    return found


def _legacy_tables(family: str) -> str:
    """The tables that legacy has in use; asking its commands would load the modules for it."""
    names = "/proc/net/ip6_tables_names" if family == "ipv6" else "/proc/net/ip_tables_names"
    text: str = __salt__["host_files.read"](names) or ""
    return text


def sets() -> str:
    """
    The sets of ipset(8) on this host, as ipset save prints them; empty where there is no ipset.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.sets
    """
    program = _which("ipset")
    return _run([program, "save"]) if program else ""


def set_families(text: str) -> dict[str, str]:
    """
    For which family each set is: ``inet``, ``inet6`` or ``both``.

    text
        As ipset save prints it.

    CLI Example:

    .. code-block:: bash

        salt-call iptables_kernel.set_families 'create blocked hash:net family inet6'
    """
    found = {}
    for name, kind, options in re.findall(r"^create (\S+) (\S+)(.*)$", text, re.MULTILINE):
        family = re.search(r" family (\S+)", options)
        found[name] = "both" if kind == "list:set" else family[1] if family else "inet"
    return found


def fingerprint(backend: str) -> list[Any]:
    """
    What the kernel's form of a rule depends on, besides the rule: the commands, the kernel, and the names of
    services, users and the like.

    backend
        ``nft`` or ``legacy``.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.fingerprint nft
    """
    files = [_command("ipv4", backend, "restore"), *(f"/etc/{name}" for name in NAMES_OF_THE_HOST)]
    looked = [os.stat(path) for path in files if os.path.exists(path)]
    return [backend, os.uname().release, families(), *([each.st_mtime_ns, each.st_size] for each in looked)]


# --------------------------------------------------------------------------------------------------------------
# Normalising


def canonical(texts: dict[str, str], backend: str, sets: str = "") -> dict[str, Any]:
    """
    Rulesets in the form that the kernel gives them, from a scratch network namespace. The live ones stay untouched.

    texts
        For each family what iptables-restore is to load.
    backend
        ``nft`` or ``legacy``.
    sets
        What ipset restore is to load before.

    Returns ``tables`` by family, and ``errors`` by family for those that cannot be loaded: ``said``, and ``line``,
    its number if that is known. Raises ``CommandExecutionError`` where namespaces are not permitted.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.canonical '{ipv4: "*filter\\n-A INPUT -s 1.2.3.4 -j ACCEPT\\nCOMMIT\\n"}' nft
    """
    tables: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        __salt__["host_files.write"](f"{folder}/sets", _headers(sets))
        runs = {}
        for family, text in texts.items():
            load = f"{_command(family, backend, 'restore')} && exec {_command(family, backend, 'save')}"
            if sets:
                load = f"{_which('ipset')} restore <{folder}/sets && {load}"
            # The scratch rules are nobody else's: they need not wait for the lock of the live ones.
            lock = {"XTABLES_LOCKFILE": f"{folder}/{family}.lock"}
            runs[family] = _start(["unshare", "--net", "sh", "-c", load], text, lock)
        for family, run in runs.items():
            try:
                tables[family] = __salt__["iptables_save.parse"](_finish(run))
            except CommandExecutionError as error:
                if str(error).startswith("unshare: "):
                    raise CommandExecutionError(f"{NO_NAMESPACES}: {error}") from None
                number = re.search(r"\bline:? (\d+)", str(error))
                errors[family] = {"said": str(error), "line": int(number[1]) if number else None}
    return {"tables": tables, "errors": errors}


def _headers(sets: str) -> str:
    """The sets without what is in them, which no rule depends on."""
    return "".join(f"{line}\n" for line in sets.split("\n") if line.startswith("create "))


def canonical_in_place(tables: dict[str, Any], backend: str) -> dict[str, Any]:
    """
    The same as :py:func:`canonical` where namespaces are not permitted: in chains that nothing leads to.

    tables
        Of each family.
    backend
        ``nft`` or ``legacy``.

    The chains are in the live tables for a moment, and no packet comes to them. A rule that the kernel takes there
    but not in its own chain, or a loop of chains, is only found when the ruleset is swapped in.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.canonical_in_place '{ipv4: {filter: {INPUT: {policy: DROP, rules: []}}}}' nft
    """
    found: dict[str, Any] = {"tables": {}, "errors": {}}
    for family, each in tables.items():
        try:
            found["tables"][family] = _in_place(family, each, backend)
        except CommandExecutionError as error:
            found["errors"][family] = {"said": str(error), "line": None}
    return found


def _in_place(family: str, tables: dict[str, Any], backend: str) -> dict[str, Any]:
    restore = [_command(family, backend, "restore"), "--noflush", "-w", str(PATIENCE)]
    scratch = {table: {chain: f"{SCRATCH}{n}" for n, chain in enumerate(each)} for table, each in tables.items()}
    names = {table: __salt__["iptables_delta.renamed"](each, scratch[table]) for table, each in tables.items()}
    load = __salt__["iptables_save.render"](names)
    _finish(_start(restore, load))
    try:
        live = __salt__["iptables_save.parse"](_run([_command(family, backend, "save")]))
    finally:
        away = [
            line
            for table, each in scratch.items()
            for line in (
                f"*{table}",
                *(f"-F {n}" for n in each.values()),
                *(f"-X {n}" for n in each.values()),
                "COMMIT",
            )
        ]
        _finish(_start(restore, "".join(f"{line}\n" for line in away)))
    found = {}
    for table, each in scratch.items():
        back = {name: chain for chain, name in each.items()}
        mine = {name: live[table][name] for name in each.values()}
        chains = __salt__["iptables_delta.renamed"](mine, back)
        empty = __salt__["iptables_save.empty"](table)
        found[table] = {
            **empty,
            **{chain: {**one, "policy": tables[table][chain]["policy"]} for chain, one in chains.items()},
        }
    return found


# --------------------------------------------------------------------------------------------------------------
# Swapping


def swap(wanted: dict[str, Any], preserve: list[str], backend: str, registered: dict[str, Any] | None = None) -> None:
    """
    Make the live tables what they are to be, with one iptables-restore for each family that differs.

    wanted
        The tables of each family, in the form that the kernel gives them; a table that is not there is left alone.
    preserve
        The chains of others, as in ``iptables_delta.tables``.
    backend
        ``nft`` or ``legacy``.
    registered
        Single rules of others in each family, as in ``iptables_delta.tables``.

    Each table is changed in one step, and of it only what differs. Raises ``CommandExecutionError`` if a family could
    not be changed; the other one may have been.

    CLI Example:

    .. code-block:: bash

        salt '*' iptables_kernel.swap '{ipv4: {filter: {INPUT: {policy: ACCEPT, rules: []}}}}' '[]' nft
    """
    with _lock(backend) as environment:
        live = read(backend)
        runs = []
        for family, tables in wanted.items():
            rules = (registered or {}).get(family)
            script = __salt__["iptables_delta.tables"](live[family], tables, preserve, rules)["script"]
            if script:
                words = [_command(family, backend, "restore"), "--noflush", "-w", str(PATIENCE)]
                runs.append(_start(words, script, environment))
        failures = [failure for run in runs if (failure := _failure(run))]
    if failures:
        raise CommandExecutionError("; ".join(failures))


def _failure(run: Any) -> str:
    try:
        _finish(run)
    except CommandExecutionError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _lock(backend: str) -> Iterator[dict[str, str]]:
    """
    Hold the lock that all iptables-legacy commands share, from the reading to the writing: rules are named by
    number, and no other may come between. iptables-nft has no lock; the kernel refuses a change to what has changed.

    Gives the environment for the command that runs meanwhile, which must not wait for it.
    """
    if backend == "nft":
        yield {}
        return
    path = os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock")
    with open(path, "ab") as stream, tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CommandExecutionError(f"another program has held {path} for {PATIENCE} s") from None
                time.sleep(0.1)
        yield {"XTABLES_LOCKFILE": f"{folder}/lock"}


# --------------------------------------------------------------------------------------------------------------
# Commands


def _which(program: str) -> str:
    path: str = __salt__["host_commands.which"](program)
    return path


def _command(family: str, backend: str, verb: str) -> str:
    program = _which(f"{FAMILIES[family]}-{backend}-{verb}") or _which(f"{FAMILIES[family]}-{verb}")
    if not program:
        raise CommandExecutionError(f"{FAMILIES[family]}-{verb} is not installed on this host")
    return program


def _start(words: list[str], text: str = "", environment: dict[str, str] | None = None) -> Any:
    """Start a command and give it its input, so that those of both families run side by side."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PATH": PATH, "LC_ALL": "C", **(environment or {})},
        encoding="utf-8",
        errors="surrogateescape",
    )
    with contextlib.suppress(BrokenPipeError), process.stdin or contextlib.nullcontext() as stream:
        if stream:
            stream.write(text)
    return process


def _finish(process: Any) -> str:
    process.stdin = None
    try:
        output, errors = process.communicate(timeout=2 * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise CommandExecutionError(f"{' '.join(process.args)} did not end in {2 * PATIENCE} s") from None
    if process.returncode:
        said = "; ".join(line.strip() for line in errors.splitlines() if line.strip() and "--help" not in line)
        raise CommandExecutionError(said or f"{' '.join(process.args)} ended with {process.returncode}")
    return str(output)


def _run(words: list[str]) -> str:
    return _finish(_start(words))
