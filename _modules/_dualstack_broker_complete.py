"""
A tunnel of which only the id and the account are declared, completed by what its broker knows.

The broker is asked once; what it says is remembered, so that later runs do not need its web site.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_broker_ask as broker_ask
import _dualstack_broker_info as broker_info
import _dualstack_broker_memory as broker_memory
import _dualstack_broker_settings as broker_settings
from salt.exceptions import CommandExecutionError

DENIED = "the broker does not show the tunnel's numbers to this user with this update key"


def recalled(tunnel: Any) -> Any:
    """
    A tunnel with what is remembered of its broker.

    tunnel
        As a user wrote it; it may be anything.

    Returns it as it is where nothing is missing, or nothing is known. Asks nobody, and raises nothing.
    """
    if not _lacking(tunnel):
        return tunnel
    try:
        entry = broker_memory.recall(tunnel)
    except (CommandExecutionError, OSError):
        return tunnel
    return broker_info.filled(tunnel, entry["numbers"]) if "numbers" in entry else tunnel


def complete(tunnel: Any, pillar: Mapping[str, Any]) -> Any:
    """
    A tunnel with what it leaves to the broker: ``endpoint``, ``address`` and ``gateway``.

    tunnel
        As a user wrote it; it may be anything.
    pillar
        The whole pillar, which has the account.

    Returns it as it is where nothing is missing, or where it has no id and account. The broker is asked only if nothing
    is remembered. Raises ``SaltInvocationError`` for an account that makes no sense, ``CommandExecutionError`` where
    the broker does not answer, and ``OSError`` where the answer cannot be remembered.
    """
    lacking = _lacking(tunnel)
    if not lacking:
        return tunnel
    entry = broker_memory.recall(tunnel)
    if "numbers" not in entry:
        account = broker_settings.account(tunnel, pillar)
        try:
            entry = {"numbers": read(tunnel, account)}
        except CommandExecutionError as error:
            raise CommandExecutionError(
                f"{lacking[0]}: missing, and the broker, which knows it, does not say: {error}; try again later, or "
                f"write {', '.join(lacking)} into the pillar"
            ) from None
    return broker_info.filled(tunnel, entry["numbers"])


def _lacking(tunnel: Any) -> list[str]:
    if not isinstance(tunnel, Mapping) or not broker_settings.wired(tunnel):
        return []
    return [key for key in broker_settings.FILLED if tunnel.get(key) is None]


def read(tunnel: Mapping[str, Any], account: broker_settings.Account) -> broker_info.Numbers:
    """
    Ask a tunnel's broker for its numbers, and remember them.

    tunnel
        As a user wrote it.
    account
        As whom.

    Raises ``CommandExecutionError`` with what is wrong with the answer, in words, and where the broker has refused
    these settings before: it locks out clients that ask again and again. And ``OSError``.
    """
    entry = broker_memory.recall(tunnel)
    refused = broker_memory.refusal(entry, account)
    if refused:
        raise CommandExecutionError(refused)
    left = entry.get("denied_until", 0) - broker_memory.now()
    if 0 < left <= broker_memory.LONGEST and broker_memory.same(account, entry.get("denied")):
        raise CommandExecutionError(f"{DENIED}; it is not asked again today, unless they change")
    answer = broker_ask.ask(account, account.info, {"tid": account.id}, broker_ask.INFO)
    try:
        if not answer.problem and _is_denial(answer):
            until = broker_memory.now() + broker_memory.LONGEST
            broker_memory.remember(tunnel, denied=broker_memory.digest(account), denied_until=until)
            raise CommandExecutionError(DENIED)
        if answer.problem or answer.status != 200:
            raise CommandExecutionError(answer.problem or f"it answers {answer.status} for the tunnel's numbers")
        numbers = broker_info.parse(answer.text, account.id)
    except CommandExecutionError as error:
        raise CommandExecutionError(broker_ask.hidden(account, str(error))) from None
    broker_memory.remember(tunnel, numbers=numbers, read=broker_memory.now())
    return numbers


def _is_denial(answer: broker_ask.Answer) -> bool:
    return answer.status in (401, 403) or answer.text.lower().startswith(("badauth", "abuse", "!yours"))
