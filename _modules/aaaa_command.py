"""
AAAA records, and PTR records, by a user's own command.

It is called for one record at a time, as ``PUBLISH NAME ADDRESS TTL`` and ``WITHDRAW NAME ADDRESS``, and for PTR
records as ``PUBLISH_PTR ADDRESS NAME TTL`` and ``WITHDRAW_PTR ADDRESS NAME``, without a shell, and exits with 0 on
success. It has to accept being called again for a change that is already done. The authoritative servers are asked
before, for the records to change, and afterwards, for the result.

It manages its own credential, for example in a file that only root can read. None is passed as an argument, since every
user of the host can see arguments.

Without ``withdraw``, the command replaces the address of a name, as many dynamic DNS services do; without
``withdraw_ptr``, the name of an address.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_dns_provider as dns_provider
    import _dualstack_dns_reverse as dns_reverse
    import _dualstack_host_commands as host_commands
    import _dualstack_plugins as plugins
    import _dualstack_secrets_said as secrets_said
if TYPE_CHECKING:
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa_command"

TIMEOUT = 60.0  # seconds


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """
    What this provider can do, and the keys of its settings.

    settings
        Those of the pillar; the capabilities depend on whether there is ``withdraw``.

    Returns the mapping that is described in the module ``aaaa``.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_command.about '{publish: /usr/local/sbin/publish}'
    """
    return {
        "keys": {
            "publish": "a command, which gets the words NAME ADDRESS TTL",
            "withdraw": "a command, which gets the words NAME ADDRESS",
            "publish_ptr": "a command, which gets the words ADDRESS NAME TTL",
            "withdraw_ptr": "a command, which gets the words ADDRESS NAME",
            "timeout": f"seconds for one call ({TIMEOUT:g})",
        },
        "sets_ttl": True,
        "atomic": False,
        "servers": [],
        **_able("publish", "withdraw", settings),
        "kinds": {"AAAA": {}, "PTR": _able("publish_ptr", "withdraw_ptr", settings)},
    }


def _able(publish: str, withdraw: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"required": [publish], "withdraws": withdraw in settings, "replaces": withdraw not in settings}


def errors(settings: dict[str, Any], names: list[str]) -> list[str]:
    """
    The errors in the values of the settings.

    settings
        Those of the pillar that are given and known.
    names
        The host names.

    Returns sentences that begin with the key. Runs nothing.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_command.errors '{publish: 1}' '[www.example.org]'
    """
    problems = []
    for key in ("publish", "withdraw", "publish_ptr", "withdraw_ptr"):
        if key in settings and not _words(settings[key]):
            problems.append(f"{key}: it is not a command such as /usr/local/sbin/{key} or [/usr/local/sbin/dns, {key}]")
    timeout = settings.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        problems.append(f"timeout: {timeout!r} is not a number of seconds up to 3600")
    return problems


def _words(command: Any) -> list[str]:
    """The words of a command, or none if it cannot be run without a shell and without a PATH."""
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


def change(credentials: str, edits: plugins.Edits) -> None:
    """
    Change the records of some names by the commands: new ones first, so that there is always one.

    credentials
        The key of the pillar under which the settings are. They are read only from there.
    edits
        ``{name: {"old": {"addresses": [...], "ttl": ...}, "new": {...}}}``, or of PTR records, as the module ``aaaa``
        describes them

    Raises ``SaltInvocationError`` for wrong settings or edits, and ``CommandExecutionError`` with what a command
    said where it fails.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_command.change ipv6:dns:command '{}'
    """
    settings = dns_provider.checked(__pillar__, credentials, edits, about, errors)
    pointer = dns_provider.kind_of(edits) == "PTR"
    publish, withdraw = ("publish_ptr", "withdraw_ptr") if pointer else ("publish", "withdraw")
    for name, edit in dns_provider.plain(edits).items():
        owner = dns_reverse.address(name) if pointer else name
        old, new = edit["old"]["addresses"], edit["new"]["addresses"]
        for each in new:
            if each not in old or edit["old"]["ttl"] != edit["new"]["ttl"]:
                _run(settings, publish, [owner, each, str(edit["new"]["ttl"])])
        gone = [each for each in old if each not in new]
        if gone and withdraw not in settings and not new:
            raise CommandExecutionError(
                f"{', '.join(gone)} of {owner} cannot be removed: there is no command '{withdraw}'"
            )
        for each in gone if withdraw in settings else []:
            _run(settings, withdraw, [owner, each])


def _run(settings: dict[str, Any], which: str, arguments: list[str]) -> None:
    words = _words(settings[which])
    # Its own arguments may be secret, though they should not be: every user of the host can see them.
    shown = " ".join([words[0], *(["..."] if words[1:] else []), *arguments])
    secrets = secrets_said.known(each.rpartition("=")[2] for each in words[1:] if each[:1] != "-" or "=" in each)

    def hide(said: str) -> str:
        return secrets_said.without(said, secrets)

    try:
        failure = host_commands.failure([*words, *arguments], settings.get("timeout", TIMEOUT), shown, hide)
    except CommandExecutionError as error:
        raise CommandExecutionError(f"{which}: {error}") from None
    if failure:
        raise CommandExecutionError(f"{which}: {failure}")
