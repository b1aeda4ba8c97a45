"""
This host's IPv4 address at its tunnel's broker: whether the broker has it, and telling it, once.

The broker's own record decides, where it can be read; otherwise what it has answered last. A host behind NAT does not
know the address by which the broker sees it: there, the broker is told when its end of the tunnel is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_broker_answers as broker_answers
import _dualstack_broker_ask as broker_ask
import _dualstack_broker_complete as broker_complete
import _dualstack_broker_info as broker_info
import _dualstack_broker_memory as broker_memory
import _dualstack_broker_settings as broker_settings
import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_hindrances as host_hindrances
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_sit as tunnel_sit
from salt.exceptions import CommandExecutionError, SaltInvocationError

PART = "broker"  # whose lock is held
BOUND = 150.0  # seconds: two questions to the broker, and the looks at this host
SOURCE = "the address that the request comes from"  # behind NAT
ATTEMPTS = 3  # echo requests, one of which has to be answered


class Wish(NamedTuple):
    """What is wanted."""

    tunnel: dict[str, Any]  # as a user wrote it, completed
    account: broker_settings.Account
    address: str | None  # that the broker is told; `None`: that from which the request comes
    local: str  # this host's own


class Seen(NamedTuple):
    """What the broker says, when a state begins."""

    numbers: broker_info.Numbers | None
    problem: str
    when: float


def wish(tunnel: Mapping[str, Any], pillar: Mapping[str, Any]) -> Wish:
    """
    What is wanted of a tunnel's broker.

    tunnel
        As a user wrote it.
    pillar
        The whole pillar.

    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where this host has no such address.
    """
    lacking = [
        f"{key}: missing; expected {broker_settings.EXPECTED[key]}" for key in ("id", "account") if not tunnel.get(key)
    ]
    problems = lacking or [each for each in tunnel_sit.errors(tunnel) if each.partition(":")[0] in _read(tunnel)]
    if problems:
        raise SaltInvocationError("\n".join(problems))
    if tunnel.get("register") is False:
        raise SaltInvocationError("register: it is false: the broker is not told; expected true, or no such state")
    account = broker_settings.account(tunnel, pillar)
    whole = broker_complete.complete(tunnel, pillar)
    local = own_address(whole)
    return Wish(dict(whole), account, local if broker_settings.public(local) else None, local)


def _read(tunnel: Mapping[str, Any]) -> list[str]:
    """The keys that matter here, and those that nobody knows."""
    return [*broker_settings.READERS, "name", "local", "endpoint", "gateway", *(set(tunnel) - set(tunnel_sit.READERS))]


def own_address(tunnel: Mapping[str, Any]) -> str:
    """
    The IPv4 address of this host that its tunnel's packets come from.

    tunnel
        Valid, and with an endpoint.

    Raises ``CommandExecutionError`` where there is none.
    """
    local = tunnel.get("local") or "auto"
    if local != "auto":
        return str(local)
    source = tunnel_host.route_to(tunnel["endpoint"], dev=tunnel.get("dev")).get("prefsrc")
    if not source:
        raise CommandExecutionError(f"local: the route to {tunnel['endpoint']} has no source address; give one")
    return str(source)


def change(wanted: Callable[[], Wish], test: bool) -> converge.Change:
    """
    How a broker is made to have this host's address. It is asked for its record once, whatever follows.

    wanted
        Returns what is wanted, and raises for bad input.
    test
        Whether this only predicts.
    """
    seen: list[Seen] = []

    def planned() -> converge.Plan:
        this = wanted()
        if not seen:
            seen.append(look(this))
        return plan(this, seen[0], test)

    return converge.Change(PART, planned, apply, lambda _: [], lambda: BOUND)


def look(this: Wish) -> Seen:
    """
    What the broker says of the tunnel; changes nothing there.

    this
        What is wanted.
    """
    try:
        return Seen(broker_complete.read(this.tunnel, this.account), "", broker_memory.now())
    except CommandExecutionError as error:
        return Seen(None, str(error), broker_memory.now())


def plan(this: Wish, seen: Seen, test: bool) -> converge.Plan:
    """
    What the broker would be told.

    this
        What is wanted.
    seen
        What it has said at the beginning.
    test
        Whether this only predicts: what would be refused then fails at once.

    Raises ``CommandExecutionError`` where it could not be remembered, and, with ``test``, where nothing may be sent.
    """
    entry = broker_memory.recall(this.tunnel)
    host_hindrances.refuse(broker_memory.MEMORY, exists=host_files.read(broker_memory.MEMORY) is not None)
    held = _held(this, seen, entry)
    warnings = _warnings(this, seen, held)
    differs, said = (held != this.address, "") if this.address else _silent(this, entry)
    warnings += [said] if said else []
    changes = {"endpoint": {"old": held or "not known", "new": this.address or SOURCE}} if differs else {}
    refused = _refused(this, entry) if differs else ""
    if test and refused:
        raise CommandExecutionError(f"the broker is not told {this.address or SOURCE}: {refused}")
    return {"changes": changes, "warnings": warnings, "wish": this, "refused": refused}


def _held(this: Wish, seen: Seen, entry: broker_memory.Entry) -> str:
    """The address that the broker has: by the younger of what it shows, and what it has answered."""
    now = broker_memory.now()
    numbers = seen.numbers or entry.get("numbers") or {}
    shown = seen.when if seen.numbers else float(entry.get("read", 0))
    done = float(entry.get("done", 0))
    held = str(entry.get("held") or "")
    # It has just said that it has this address already: its record may be that of a moment before.
    insists = entry.get("code") == "nochg" and now - done < broker_answers.UNCHANGED and held == this.address
    if held and (shown <= done <= now or insists):
        return held
    return str(numbers.get("client") or "")


def _warnings(this: Wish, seen: Seen, held: str) -> list[str]:
    if seen.numbers is None:
        than = "what it has answered last" if held else "nothing that is known"
        return [f"the broker's own record of the tunnel could not be read: {seen.problem}; compared with {than}"]
    wrong = broker_info.problems(this.tunnel, seen.numbers, None)
    return [f"warning: {each}" for each in wrong if not each.startswith("addresses: there are none")]


def _silent(this: Wish, entry: broker_memory.Entry) -> tuple[bool, str]:
    """Whether the broker is told from behind NAT, and what to say if it is not."""
    name = str(this.tunnel.get("name") or tunnel_sit.DEFAULTS["name"])
    gateway = this.tunnel.get("gateway")
    if not gateway:
        return not entry.get("held"), "" if entry.get("held") else "there is no gateway to ask whether the tunnel works"
    if tunnel_echo.ask(str(gateway), source=name, attempts=ATTEMPTS)["answering"]:
        return (
            False,
            f"{this.local} is behind NAT; {gateway} answers through {name}, so the broker has the right address",
        )
    recent = broker_memory.waits(entry, broker_memory.LONGEST) and not entry.get("why")
    if recent and entry.get("tried") == this.local and broker_memory.same(this.account, entry.get("settings")):
        return False, (
            f"warning: {gateway} does not answer through {name}, but the broker was told just now, and holds "
            f"{entry.get('held') or 'the address of that request'}: the NAT has to pass protocol 41 on to {this.local}"
        )
    return True, ""


def _refused(this: Wish, entry: broker_memory.Entry) -> str:
    tried = (broker_memory.WHATEVER, this.address or this.local)
    return broker_memory.refusal(entry, this.account) if entry.get("tried") in tried else ""


def apply(planned: converge.Plan) -> None:
    """
    Tell the broker.

    planned
        From :py:func:`plan`.

    Raises ``CommandExecutionError`` with what it has answered, in words; also where it would be asked too often.
    """
    this: Wish = planned["wish"]
    told = this.address or SOURCE
    if planned["refused"]:
        raise CommandExecutionError(f"the broker is not told {told}: {planned['refused']}")
    query = {"hostname": this.account.id, **({"myip": this.address} if this.address else {})}
    tried = {"settings": broker_memory.digest(this.account), "tried": this.address or this.local}
    # Before it is sent: a run that is killed meanwhile counts as well.
    unknown = "what it answered the last time is not known"
    broker_memory.remember(this.tunnel, **tried, until=broker_memory.now() + broker_answers.SHORT, why=unknown)
    answer = broker_ask.ask(this.account, this.account.update, query, broker_ask.UPDATE)
    said = broker_answers.judged(answer, this.address)
    words = broker_ask.hidden(this.account, said.words)
    until = broker_memory.now() + said.wait
    if not said.done:
        if said.code == broker_answers.ABUSE:  # of whatever address: that it is told too often is what is refused
            tried["tried"] = broker_memory.WHATEVER
        broker_memory.remember(this.tunnel, **tried, until=until, why=words)
        entry = broker_memory.recall(this.tunnel)
        raise CommandExecutionError(
            f"the broker was told {told} as the address of tunnel {this.account.id}: "
            f"{broker_memory.refusal(entry, this.account)}"
        )
    done = {"told": this.address or "", "held": said.address, "code": said.code, "done": broker_memory.now()}
    broker_memory.remember(this.tunnel, **tried, **done, until=until, why="")


# --------------------------------------------------------------------------------------------------------------


def info(tunnel: Mapping[str, Any], pillar: Mapping[str, Any]) -> dict[str, Any]:
    """
    A tunnel as its broker has it, beside what is declared, as :py:func:`he_tunnel.broker_info` returns it.

    tunnel
        As a user wrote it.
    pillar
        The whole pillar.

    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where the broker does not say.
    """
    account = broker_settings.account(tunnel, pillar)
    problems = tunnel_sit.errors(tunnel)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    numbers = broker_complete.read(tunnel, account)
    try:
        local = own_address(broker_info.filled(tunnel, numbers))
    except CommandExecutionError as error:
        local, problems = "", [f"local: it is not known: {error}"]
    own = local if local and broker_settings.public(local) else None
    problems += broker_info.problems(tunnel, numbers, own)
    entry = broker_memory.recall(tunnel)
    return {
        "id": account.id,
        **numbers,
        "local": local,
        "behind_nat": bool(local) and own is None,
        "told": {key: entry[key] for key in ("held", "code", "done") if key in entry},
        "problems": problems,
        "in_sync": not problems,
    }
