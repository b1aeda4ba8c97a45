"""
The formula ipv6 on a fleet: canaries first, then batches; each minion is confirmed by a job that has reached it after
its last change, and the first failure is the end of it.

.. code-block:: bash

    salt-run ipv6_rollout.apply '*' canaries=1 batch=10%

Each run waits for a word that only its own rollout knows. It is passed in the pillar ``ipv6_confirm``, which is beside
the minion's own ``ipv6`` and not merged into it, whatever ``pillar_source_merging_strategy`` is. A minion that cannot
be reached any more is not confirmed, and puts everything back by itself.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import salt.client
import salt.utils.minions
from salt.exceptions import SaltInvocationError

if TYPE_CHECKING:
    __opts__: dict[str, Any] = {}
    __context__: dict[str, Any] = {}

log = logging.getLogger(__name__)

__virtualname__ = "ipv6_rollout"

END = ("ipv6", "managed")  # the state that keeps what a run has changed, or says that it was put back
PAUSE = 3.0  # seconds between two attempts to confirm
LOST = 150.0  # seconds without an answer after which a minion is given up
PING = 15  # seconds

Returns = dict[str, Any]


def apply(
    tgt: str,
    tgt_type: str = "glob",
    canaries: int | list[str] = 1,
    batch: int | str = "10%",
    within: int = 60,
    sls: str = "ipv6",
    timeout: int = 1800,
) -> dict[str, Any]:
    """
    Apply the formula to minions, some at a time, and confirm each.

    tgt, tgt_type
        The minions, as for ``salt``.
    canaries
        How many come first, by their names; or which ones.
    batch
        How many of the rest at a time: a number, or a percentage of all, as ``10%``.
    within
        Seconds in which a minion has to be reached after its last change; otherwise it puts everything back.
    sls
        What is applied; it has to end with the state ``ipv6.managed``, as ``ipv6`` does.
    timeout
        Seconds for one run, at most.

    Returns ``result``, whether all are done; ``done``, the minions on which everything has succeeded; ``put back``,
    those that are as before, and ``failed``, those that keep something though a state has failed, each with the reason;
    ``lost``, those that have not returned: each puts everything back by itself unless it was confirmed, which is said;
    ``not begun``; ``silent``, those that did not answer at the beginning and were left out; and the ``retcode`` of
    ``salt-run``. Raises ``SaltInvocationError`` for arguments that make no sense.

    CLI Example:

    .. code-block:: bash

        salt-run ipv6_rollout.apply '*' canaries='[web1, db1]' batch=5
    """
    with salt.client.get_local_client(__opts__["conf_file"]) as client:
        known = sorted(salt.utils.minions.CkMinions(__opts__).check_minions(tgt, tgt_type)["minions"])
        if not known:
            raise SaltInvocationError(f"tgt: no minion is known that {tgt!r} means")
        there = sorted(client.cmd(known, "test.ping", tgt_type="list", timeout=PING)) if known else []
        waves = list(_waves(there, canaries, batch))
        told: dict[str, Any] = {"done": [], "put back": {}, "failed": {}, "lost": {}, "not begun": []}
        failed = False
        for wave in waves:
            if failed:
                told["not begun"] += wave
                continue
            for minion, (kind, why) in _run(client, wave, sls, within, timeout).items():
                if kind == "done":
                    told["done"].append(minion)
                else:
                    told[kind][minion] = why
                    failed = True
        silent = sorted(set(known) - set(there))
    result = not failed and not silent
    __context__["retcode"] = int(not result)  # for an orchestration; salt-run takes it from what is returned
    return {"result": result, "retcode": int(not result), **told, "silent": silent}


def _waves(minions: list[str], canaries: Any, batch: Any) -> Iterator[list[str]]:
    """The minions that are changed at the same time."""
    if isinstance(canaries, list):
        unknown = sorted(set(canaries) - set(minions))
        if unknown:
            raise SaltInvocationError(f"canaries: {', '.join(unknown)}: not among the minions that answer")
        first = sorted(canaries)
    elif isinstance(canaries, int) and not isinstance(canaries, bool) and canaries >= 0:
        first = minions[:canaries]
    else:
        raise SaltInvocationError(f"canaries: {canaries!r} is neither a number of minions nor a list of them")
    size = _size(batch, len(minions))
    rest = [each for each in minions if each not in first]
    if first:
        yield first
    for start in range(0, len(rest), size):
        yield rest[start : start + size]


def _size(batch: Any, of: int) -> int:
    text = str(batch)
    number = text.removesuffix("%")
    if isinstance(batch, bool) or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise SaltInvocationError(f"batch: {batch!r} is neither a number of minions nor a percentage, as 10%")
    return max(1, of * int(number) // 100) if text.endswith("%") else int(number)


def _run(
    client: salt.client.LocalClient, minions: list[str], sls: str, within: int, timeout: int
) -> dict[str, tuple[str, str]]:
    """Apply the formula to some minions at the same time: what has become of each, and why."""
    token = secrets.token_hex(16)
    pillar = {"ipv6_confirm": {"mode": "manual", "within": within, "token": token}}
    job = client.cmd_async(minions, "state.apply", [sls], tgt_type="list", kwarg={"pillar": pillar, "queue": True})
    if not job:
        return {each: ("lost", "the job could not be published") for each in minions}
    log.info("%s is applied to %s by job %s", sls, ", ".join(minions), job)
    begun = time.monotonic()
    heard = dict.fromkeys(minions, begun)
    confirmed: set[str] = set()
    asked: list[str] = []
    while True:
        now = time.monotonic()
        back = {each: _return(value) for each, value in client.get_cache_returns(job).items()}
        for minion, said in _answers(client, asked):
            heard[minion] = now
            if said == "confirmed":
                confirmed.add(minion)
        left = [each for each in minions if each not in back]
        left = [each for each in left if now - heard[each] < LOST and now - begun < timeout]
        if not left:
            return {each: _judged(back.get(each), each in confirmed) for each in minions}
        waiting = [each for each in left if each not in confirmed] or left
        asked = [*asked[-9:], client.cmd_async(waiting, "ipv6.confirm", tgt_type="list", kwarg={"token": token})]
        time.sleep(PAUSE)


def _answers(client: salt.client.LocalClient, jobs: list[Any]) -> Iterator[tuple[str, str]]:
    for job in filter(None, jobs):
        for minion, value in client.get_cache_returns(job).items():
            said = _return(value)
            yield minion, str(said.get("outcome")) if isinstance(said, Mapping) else ""


def _return(value: Any) -> Any:
    return value.get("ret") if isinstance(value, Mapping) and "ret" in value else value


def _judged(back: Any, confirmed: bool) -> tuple[str, str]:
    """What has become of a minion, by what it has returned."""
    if back is None:
        kept = "it was confirmed, and keeps what it has changed" if confirmed else "it puts everything back by itself"
        return "lost", f"it has not returned; {kept}"
    if not isinstance(back, Mapping) or not back or not all(isinstance(each, Mapping) for each in back.values()):
        return "put back", f"nothing was changed: {_short(back)}"
    wrong = [f"{each.get('__id__')}: {_short(each.get('comment'))}" for each in back.values() if _failed(each)]
    end = [each for key, each in back.items() if (key.partition("_|-")[0], key.rpartition("_|-")[2]) == END]
    if not end:
        return "failed", "it has no state ipv6.managed, which would end with a confirmation"
    if _failed(end[0]):
        return "put back", "; ".join(wrong)
    return ("failed", "; ".join(wrong)) if wrong else ("done", "")


def _failed(state: Mapping[str, Any]) -> bool:
    return state.get("result") is False


def _short(text: Any) -> str:
    line = "; ".join(str(text).splitlines())
    return line if len(line) <= 1000 else f"{line[:500]} ... {line[-500:]}"
