"""
The test from outside, for minions that ask whether others reach them: the master connects to them itself, or makes
another minion do it. It does nothing else, and to nobody else.

``peer_run`` has to permit it. Its keys, and the functions, are regular expressions of which only the beginning has to
match, so both ends are written out, and dots as ``\\.``::

    peer_run:
      ^server\\.example\\.org$:
        - ^outside_view\\.(connect|answer)$

Who asks is known: a master of Salt 3006 or 3008 lets a runner that a minion calls see the authenticated id of this
minion in place of its own. What it may have tested is what the pillar says that the master has compiled for it: the
minion itself could lie about its addresses, in its grains and in a pillar on the command line, to make the master a
scanner of other hosts. (A pillar that is a template of grains believes them; then so does this.)

No worker of the master waits for a connection: ``connect`` begins, and ``answer`` tells what has come of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import ipaddress
import json
import logging
import os
import re
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import salt.client
import salt.utils.minions
from salt.exceptions import SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

log = logging.getLogger(__name__)

__virtualname__ = "outside_view"

MASTER = "master"  # as prober
LONGEST = 5.0  # seconds for all connections of one request together: they are opened at the same time
SHORTEST = 0.1
MOST = 64  # connections of one request
AT_ONCE = 16  # requests under way
RETURN = 10.0  # seconds, beyond those of the connections, for the way to another minion and back
PAUSE = 0.2  # seconds between two looks at what another minion has returned
KEPT = 600.0  # seconds for an answer that nobody fetches
TOKEN = r"[0-9a-f]{32}"
LOCAL = ipaddress.ip_network("fc00::/7")  # RFC 4193: addresses that lead to no other network

Target = tuple[str, int]


class _Refused(Exception):
    """What was asked is not done; the text says why."""


def connect(targets: list[Any] | None = None, prober: str = MASTER, timeout: float = LONGEST) -> dict[str, Any]:
    """
    Begin to connect to TCP ports of the minion that asks; each connection is closed at once, without a word.

    targets
        Pairs of an address and a port, at most 64: ``[["2001:db8::1", 25]]``. An address is permitted if this minion's
        pillar has it, as the master compiles it: in ``ipv6:dns:address``, in ``ipv6:tunnel`` or one of
        ``ipv6:tunnels`` (``address``, ``addresses``, ``source``, ``local``), or as ``ipv6:verify:public_ipv4``.
    prober
        ``master``, or the minion that ``ipv6:verify:prober`` names in the same pillar. It runs ``network.connect``.
    timeout
        Seconds, at most 5.

    Returns at once: a ``token`` for :py:func:`answer`, empty if nothing is left to be done; and ``answers``, those that
    are known already, in the form of :py:func:`answer`. Or ``busy``, a sentence: too many ask at the same time. Or
    ``error``, a sentence. Raises nothing.

    (By hand, it shows what it answers; but who asks is the master then, to which no pillar gives an address.)

    CLI Example:

    .. code-block:: bash

        salt-run outside_view.connect '[["2001:db8::1", 25]]'
    """
    try:
        minion, seconds = str(__opts__["id"]), _seconds(timeout)
        asked = _targets(targets)
        pillar = _pillar(minion)
        _check_prober(prober, minion, pillar)
        allowed = _addresses(pillar)
        answers = [
            _answer(each, None, _not_allowed(each[0], minion))
            for each in asked
            if ipaddress.ip_address(each[0]) not in allowed
        ]
        left = [each for each in asked if ipaddress.ip_address(each[0]) in allowed]
        if prober != MASTER:
            untried = _out_of_its_reach(prober, left)
            answers += [_answer(target, None, why) for target, why in untried.items()]
            left = [each for each in left if each not in untried]
        log.info("%s asks whether %s reaches %s", minion, prober, left)
        return {"answers": answers, **(_begin(minion, prober, left, seconds) if left else {"token": ""})}
    except (_Refused, SaltException, OSError, ValueError) as error:
        return {"error": str(error)}


def answer(token: str = "") -> dict[str, Any]:
    """
    What has come of a request of the minion that asks.

    token
        From :py:func:`connect`.

    Returns ``waiting``, or ``error``, a sentence, or ``answers``, after which the token is used up: of each ``address``
    and ``port`` the ``result``, whether it was reached, ``None`` if that could not be tried, and a ``comment``. Raises
    nothing.

    CLI Example:

    .. code-block:: bash

        salt-run outside_view.answer 5d41402abc4b2a76b9719d911017c592
    """
    try:
        path = _path(str(__opts__["id"]), token)
        record = _read(path)
        answers = record["answers"]
        if answers is None and not record.get("error") and time.time() < record["until"]:
            return {"waiting": True}
        with contextlib.suppress(OSError):
            os.unlink(path)
        if record.get("error"):
            raise _Refused(record["error"])
        if answers is None:
            raise _Refused("the master has forgotten this request: was it restarted?")
        return {"answers": answers}
    except (_Refused, SaltException, OSError, ValueError) as error:
        return {"error": str(error)}


# --------------------------------------------------------------------------------------------------------------
# What is permitted


def _seconds(timeout: Any) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise _Refused(f"timeout: {timeout!r} is not a number of seconds")
    return min(LONGEST, max(SHORTEST, timeout))


def _targets(targets: Any) -> list[Target]:
    if not isinstance(targets, (list, tuple)) or not targets:
        raise _Refused("targets: expected a list of pairs of an address and a port")
    if len(targets) > MOST:
        raise _Refused(f"targets: there are {len(targets)} of them, and at most {MOST} are permitted")
    return list(dict.fromkeys(map(_target, targets)))


def _target(given: Any) -> Target:
    pair = given if isinstance(given, (list, tuple)) and len(given) == 2 else (None, None)
    address = _parsed(pair[0])
    if address is None:
        raise _Refused(f"targets: {given!r} is not a pair of an address, by its number, and a port")
    if isinstance(pair[1], bool) or not isinstance(pair[1], int) or not 0 < pair[1] < 65536:
        raise _Refused(f"targets: {pair[1]!r} is not a port")
    return str(address), pair[1]


def _parsed(value: Any) -> Address | None:
    """An address of one host, by which another could reach it. Whatever else it is, it is no target."""
    if not isinstance(value, str):
        return None
    try:
        address = ipaddress.ip_address(value.partition("/")[0].strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "scope_id", None)
    nobody = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return None if mapped or nobody else address


def _pillar(minion: str) -> Mapping[str, Any]:
    """The minion's pillar, compiled anew: a cached one may contain what the minion has passed on its command line."""
    pillar = __salt__["pillar.show_pillar"](minion)
    if not isinstance(pillar, Mapping) or pillar.get("_errors"):
        raise _Refused(f"the master cannot compile the pillar of {minion}, and connects to what that says only")
    return _part(pillar, "ipv6")


def _part(pillar: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = pillar.get(key)
    return part if isinstance(part, Mapping) else {}


def _addresses(pillar: Mapping[str, Any]) -> set[Address]:
    tunnels = [_part(pillar, "tunnel"), *_part(pillar, "tunnels").values()]  # one, or several
    dns = pillar.get("dns")
    entries = dns if isinstance(dns, list) else [dns]  # one for each zone
    given = [
        *(each.get("address") for each in entries if isinstance(each, Mapping)),
        _part(pillar, "verify").get("public_ipv4"),
        *(each for tunnel in tunnels if isinstance(tunnel, Mapping) for each in _of_tunnel(tunnel)),
    ]
    return {address for address in map(_parsed, given) if address}


def _of_tunnel(tunnel: Mapping[str, Any]) -> list[Any]:
    further = tunnel.get("addresses")
    own = [tunnel.get(key) for key in ("address", "source", "local")]
    return [*own, *(further if isinstance(further, list) else [further])]


def _not_allowed(address: str, minion: str) -> str:
    key = "dns:address" if ":" in address else "verify:public_ipv4"
    return (
        f"not tested: the pillar of {minion}, as the master has it, does not say that {address} belongs to it; "
        f"ipv6:{key} would"
    )


def _check_prober(prober: Any, minion: str, pillar: Mapping[str, Any]) -> None:
    named = _part(pillar, "verify").get("prober")
    if prober == minion != MASTER:
        raise _Refused(f"prober: {prober} is the host itself that asks")
    if not isinstance(prober, str) or (prober != MASTER and prober != named):
        raise _Refused(
            f"prober: {prober!r} is not {MASTER}, and not what this minion's pillar, as the master has it, "
            f"says in ipv6:verify:prober: {named!r}"
        )


# --------------------------------------------------------------------------------------------------------------
# Connecting


def _begin(minion: str, prober: str, targets: list[Target], seconds: float) -> dict[str, Any]:
    """
    Have the connections opened by a thread beside the worker that was asked.

    (To make another minion connect takes another worker of the master: if all of them waited for one, none would come.)
    """
    slot = _slot(_folder())
    if slot is None:
        return {"busy": f"the master already has {AT_ONCE} such requests"}
    token = _noted(minion, seconds)
    given = (_path(minion, token), prober, targets, seconds, slot, __opts__["conf_file"])
    threading.Thread(target=_reach, args=given, name="outside_view").start()
    return {"token": token}


def _reach(path: str, prober: str, targets: list[Target], seconds: float, slot: IO[str], conf_file: str) -> None:
    """Connect, and note what has come of it."""
    with slot:
        try:
            by_master = prober == MASTER
            answers = _connections(targets, seconds) if by_master else _returned(prober, targets, seconds, conf_file)
            _write(path, {**_read(path), "answers": answers})
        except Exception as error:  # pylint: disable=broad-except  # nobody else would say so
            log.exception("outside_view")
            with contextlib.suppress(_Refused, OSError, ValueError):
                _write(path, {**_read(path), "error": f"{prober} could not be asked: {error}"})


def _connections(targets: list[Target], seconds: float) -> list[dict[str, Any]]:
    """Open TCP connections at the same time, and close them; the seconds are for all of them together."""
    found: dict[Target, dict[str, Any]] = {}
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
        for target in targets:
            untried = _no_way(target[0])
            if untried:
                found[target] = _answer(target, None, untried)
                continue
            family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
            stream = opened.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            code = stream.connect_ex(target)
            if code == errno.EINPROGRESS:
                selector.register(stream, selectors.EVENT_WRITE, target)
            else:
                found[target] = _outcome(target, code)
        end = time.monotonic() + seconds
        while selector.get_map() and time.monotonic() < end:
            for key, _ in selector.select(max(0.0, end - time.monotonic())):
                selector.unregister(key.fileobj)
                code = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # type: ignore[union-attr]
                found[key.data] = _outcome(key.data, code)
        for key in selector.get_map().values():
            found[key.data] = _answer(key.data, False, f"no answer within {seconds:g} s")
    return [found[target] for target in targets]


def _no_way(address: str) -> str:
    """Why the master cannot find out anything about an address; empty if it can. No packet is sent."""
    family, target = ("IPv6", socket.AF_INET6) if ":" in address else ("IPv4", socket.AF_INET)
    try:
        with socket.socket(target, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            source = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
    except OSError as error:
        return f"not tested: the master has no {family} itself by which it could get there ({error.strerror})"
    if source == ipaddress.ip_address(address):
        return "not tested: this is an address of the master itself, which is not outside"
    if source.is_link_local or (source in LOCAL and ipaddress.ip_address(address) not in LOCAL):
        return f"not tested: the master has no global {family} address itself"
    return ""


def _outcome(target: Target, code: int) -> dict[str, Any]:
    return _answer(target, not code, "connects" if not code else os.strerror(code))


def _answer(target: Target, result: bool | None, comment: str) -> dict[str, Any]:
    return {"address": target[0], "port": target[1], "result": result, "comment": comment}


# --------------------------------------------------------------------------------------------------------------
# Another minion connects


def _out_of_its_reach(prober: str, targets: list[Target]) -> dict[Target, str]:
    """What a minion cannot find out, by its grains that the master has cached: no answer of its own would show it."""
    grains = salt.utils.minions.get_minion_data(prober, __opts__)[1] or {}
    own: dict[str, list[Address]] = {"ipv4": [], "ipv6": []}
    for family, held in own.items():
        given = grains.get(family)
        held += filter(None, map(_parsed, given if isinstance(given, list) else []))
    known = isinstance(grains.get("ipv6"), list)
    without_ipv6 = known and not [each for each in own["ipv6"] if each not in LOCAL]
    found = {}
    for target in targets:
        address = ipaddress.ip_address(target[0])
        if address in own["ipv4"] + own["ipv6"]:
            found[target] = f"not tested: this is an address of {prober} itself, which is not outside"
        elif address.version == 6 and without_ipv6 and address not in LOCAL:
            found[target] = f"not tested: {prober} has no IPv6 itself"
    return found


def _returned(prober: str, targets: list[Target], seconds: float, conf_file: str) -> list[dict[str, Any]]:
    """Make another minion open the connections, each as a job of its own, and wait for them."""
    end = time.monotonic() + seconds + RETURN
    found: dict[Target, dict[str, Any]] = {}
    with salt.client.get_local_client(conf_file) as client:
        jobs = {}
        for target in targets:
            family = "ipv6" if ":" in target[0] else "ipv4"
            given = {"host": target[0], "port": target[1], "family": family, "timeout": seconds}
            jobs[target] = client.cmd_async(prober, "network.connect", kwarg=given, tgt_type="list")
            if not jobs[target]:
                raise _Refused(f"the master knows no minion {prober}, or has not accepted its key")
        while len(found) < len(jobs):
            for target in jobs.keys() - found.keys():
                back = client.get_cache_returns(jobs[target])
                if prober in back or time.monotonic() > end:
                    found[target] = _judged(target, prober, back.get(prober))
            time.sleep(PAUSE)
    return [found[target] for target in targets]


def _judged(target: Target, prober: str, back: Any) -> dict[str, Any]:
    if back is None:
        return _answer(target, None, f"not tested: {prober} did not answer; does it run?")
    said = back.get("ret") if isinstance(back, Mapping) else back
    if not isinstance(said, Mapping) or not isinstance(said.get("result"), bool):
        return _answer(target, None, f"not tested: {prober} said {str(said)[:200]!r}")
    return _answer(target, said["result"], "connects" if said["result"] else str(said.get("comment"))[:200])


# --------------------------------------------------------------------------------------------------------------
# What is under way


def _folder() -> str:
    folder = os.path.join(__opts__["cachedir"], "outside_view")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def _path(minion: str, token: Any) -> str:
    """Where a request is noted. Its name depends on the minion's, so that nobody fetches what another has asked."""
    if not isinstance(token, str) or not re.fullmatch(TOKEN, token):
        raise _Refused("token: this is not one that the master has given")
    return os.path.join(_folder(), f"{hashlib.sha256(minion.encode()).hexdigest()}.{token}")


def _noted(minion: str, seconds: float) -> str:
    for path in _old(_folder()):
        with contextlib.suppress(OSError):
            os.unlink(path)
    token = secrets.token_hex(16)
    _write(_path(minion, token), {"until": time.time() + seconds + 2 * RETURN, "answers": None})
    return token


def _old(folder: str) -> Iterator[str]:
    for each in os.scandir(folder):
        with contextlib.suppress(OSError):
            if not each.name.startswith("slot") and each.stat().st_mtime < time.time() - KEPT:
                yield each.path


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        raise _Refused("token: the master has no such request of this minion") from None


def _write(path: str, record: Mapping[str, Any]) -> None:
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8") as file:
        json.dump(record, file)
    os.replace(new, path)


def _slot(folder: str) -> IO[str] | None:
    """A file whose lock this request holds until it is closed, whatever becomes of the process."""
    for number in range(AT_ONCE):
        file = open(os.path.join(folder, f"slot{number}"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            file.close()
    return None
