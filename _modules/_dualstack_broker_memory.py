"""
What a broker was told and has answered, and a tunnel's numbers as it has them, in a file that only root can read.

Without the file, the broker is asked once more; nothing else is lost. The update key is not in it: whether the settings
are those of the last time is seen by a salted digest.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any

import _dualstack_broker_info as broker_info
import _dualstack_broker_settings as broker_settings
import _dualstack_host_files as host_files
import _dualstack_host_json as host_json
import salt.utils.json
from salt.exceptions import CommandExecutionError

MEMORY = "/var/lib/dualstack_tunnel/broker.json"
MODE = 0o600
WHATEVER = ""  # the address of an attempt whose refusal is one for any address
LONGEST = 24 * 3600.0  # seconds that nothing is sent

Entry = dict[str, Any]
KINDS: dict[str, Any] = {
    "numbers": dict,  # the tunnel's, as the broker has them
    "read": (int, float),  # when these were read
    "told": str,  # the address that the broker was told last with success; empty for the request's own
    "held": str,  # the address that it has said to hold then
    "code": str,  # its word
    "done": (int, float),  # when that was
    "settings": str,  # of the last attempt
    "tried": str,  # the address of the last attempt
    "until": (int, float),  # when the same may be sent again
    "denied": str,  # the settings with which the broker does not show the numbers
    "denied_until": (int, float),  # when they may be tried again
    "why": str,  # what was wrong then; empty after a success
}


def recall(tunnel: Mapping[str, Any]) -> Entry:
    """
    What is remembered of a tunnel.

    tunnel
        As a user wrote it.

    Returns an empty entry where there is nothing. Raises ``OSError``, and ``CommandExecutionError`` where the file is
    damaged.
    """
    return _all().get(broker_settings.place(tunnel), {})


def _all() -> dict[str, Entry]:
    try:
        found: dict[str, Entry] = host_json.typed(host_json.load(MEMORY), dict)
        for entry in found.values():
            host_json.typed(entry, dict)
            for key, kind in KINDS.items():
                if key in entry and (not isinstance(entry[key], kind) or isinstance(entry[key], bool)):
                    raise ValueError(key)
            if "numbers" in entry:
                broker_info.checked(entry["numbers"])
    except ValueError:
        raise CommandExecutionError(
            f"{MEMORY} is damaged: it says what the tunnel's broker was told; remove it, and the broker is asked again"
        ) from None
    return found


def remember(tunnel: Mapping[str, Any], **facts: Any) -> None:
    """
    Remember something of a tunnel, beside what is known.

    tunnel
        As a user wrote it.
    facts
        By the names of ``KINDS``.

    Raises ``OSError``, and ``CommandExecutionError`` as :py:func:`recall` does.
    """
    before = _all()
    place = broker_settings.place(tunnel)
    text = salt.utils.json.dumps({**before, place: {**before.get(place, {}), **facts}}, indent=1, sort_keys=True)
    host_files.replace(MEMORY, text, MODE)


def digest(account: broker_settings.Account, grain: str = "") -> str:
    """
    What identifies the settings of an attempt, without giving the key away.

    account
        The settings.
    grain
        The salt; by default a new one.
    """
    grain = grain or secrets.token_hex(16)
    return f"{grain}:{hashlib.scrypt(repr(tuple(account)).encode(), salt=grain.encode(), n=1024, r=8, p=1).hex()[:32]}"


def same(account: broker_settings.Account, before: str | None) -> bool:
    """
    Whether settings are those of a digest.

    account
        The settings.
    before
        The digest; ``None`` if there is none.
    """
    return bool(before) and digest(account, str(before).partition(":")[0]) == before


def now() -> float:
    """The time of the host's clock, which may be set back: an hour that lies ahead is not believed."""
    return time.time()


def waits(entry: Entry, longest: float) -> float:
    """
    Seconds until the same may be sent again; 0 where it may be now.

    entry
        From :py:func:`recall`.
    longest
        Seconds that any wait takes at most.
    """
    left = float(entry.get("until", 0)) - now()
    return left if 0 < left <= longest else 0.0


def refusal(entry: Entry, account: broker_settings.Account) -> str:
    """
    Why nothing is sent for now: the broker has refused the same settings for good, and locks out those who go on.

    entry
        From :py:func:`recall`.
    account
        The settings of now.

    Returns what it has said, and for how long; an empty text where something may be sent.
    """
    left = waits(entry, LONGEST)
    if not left or not entry.get("why") or not same(account, entry.get("settings")):
        return ""
    what = "the settings" if entry.get("tried") == WHATEVER else "the settings or the address"
    return f"{entry['why']}; nothing is sent again for {_span(left)}, or until {what} change"


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h" if seconds >= 5400 else f"{max(1, seconds / 60):.0f} min"
