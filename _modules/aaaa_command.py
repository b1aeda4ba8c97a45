"""
AAAA records by a command of the user's own.

It is called for one record at a time, as ``PUBLISH NAME ADDRESS TTL`` and ``WITHDRAW NAME ADDRESS``, without a shell,
and ends with 0 if it has worked. It must not mind being called again for what is done already. Which record there is to
change is found out before, from the authoritative servers; whether it has worked, afterwards.

Its credential is its own affair: arguments can be seen by every user of the host, so that none is ever given there.
A file that only root can read is the place for it.

A command without ``withdraw`` is one that replaces the address of a name, as many services of dynamic DNS do.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "aaaa_command"

TIMEOUT = 60.0  # seconds


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """
    What this provider can do, and the keys of its settings.

    settings
        Those of the pillar; what can be done depends on whether there is ``withdraw``.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_command.about '{publish: /usr/local/sbin/publish}'
    """
    return {
        "keys": {
            "publish": "a command, which gets the words NAME ADDRESS TTL",
            "withdraw": "a command, which gets the words NAME ADDRESS",
            "timeout": f"seconds for one call ({TIMEOUT:g})",
        },
        "required": ["publish"],
        "withdraws": "withdraw" in settings,
        "sets_ttl": True,
        "replaces": "withdraw" not in settings,
        "atomic": False,
        "servers": [],
    }


def errors(settings: dict[str, Any], names: list[str]) -> list[str]:
    """
    What is wrong with the values of the settings.

    settings
        Those of the pillar that are given and known.
    names
        The host names.

    Returns sentences that begin with the key.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_command.errors '{publish: 1}' '[www.example.org]'
    """
    problems = []
    for key in ("publish", "withdraw"):
        if key in settings and not _words(settings[key]):
            problems.append(f"{key}: it is not a command, as /usr/local/sbin/{key} or [/usr/local/sbin/dns, {key}]")
    timeout = settings.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        problems.append(f"timeout: {timeout!r} is not a number of seconds up to 3600")
    return problems


def _words(command: Any) -> list[str]:
    """The words of a command, or none if it is not one that can be run without a shell and without a PATH."""
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError:  # a quote is not closed
        return []
    if (
        not isinstance(words, list)
        or not words
        or not all(isinstance(each, str) and "\0" not in each for each in words)
    ):
        return []
    return words if os.path.isabs(words[0]) else []


def change(settings: dict[str, Any], edits: dict[str, Any]) -> None:
    """
    Have the commands change the records of some names: new ones first, so that there is always one.

    settings
        Those of the pillar.
    edits
        ``{name: {"old": {"addresses": [...], "ttl": ...}, "new": {...}}}``

    Raises ``CommandExecutionError`` with what a command said where it fails.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_command.change "$settings" "$edits"
    """
    removes = about(settings)["withdraws"]
    for name, edit in edits.items():
        old, new = edit["old"], edit["new"]
        for address in new["addresses"]:
            if address not in old["addresses"] or old["ttl"] != new["ttl"]:
                _run(settings, "publish", [name, address, str(new["ttl"])])
        gone = [address for address in old["addresses"] if address not in new["addresses"]]
        if gone and not removes and not new["addresses"]:
            raise CommandExecutionError(
                f"{', '.join(gone)} of {name} cannot be removed: there is no command 'withdraw'"
            )
        for address in gone if removes else []:
            _run(settings, "withdraw", [name, address])


def _run(settings: dict[str, Any], which: str, arguments: list[str]) -> None:
    words = [*_words(settings[which]), *arguments]
    try:
        failure = __salt__["host_commands.failure"](words, settings.get("timeout", TIMEOUT))
    except OSError as error:
        raise CommandExecutionError(f"{which}: '{words[0]}' cannot be run: {error.strerror}") from None
    if failure:
        raise CommandExecutionError(f"{which}: {failure}")
