"""
The tunnel of the next boot beside the live one: whether the files describe it, and whether a boot brings it up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_boot_units as boot_units
import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
import _dualstack_tunnel_change as tunnel_change
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_words as words

ENDS = re.compile(r"\\\n[ \t]*")


def look(tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Finding:
    """
    Whether the next boot brings the tunnel up as it is live.

    tunnel
        The pillar ``ipv6:tunnel``.
    stacks
        The available network stacks.

    Changes nothing. Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where no stack
    configures this host, or ip(8) does not say.
    """
    complete = tunnel_change.wanted(tunnel, stacks)
    seen = tunnel_host.look(complete["name"], complete["stack"], stacks)
    name, plugin, stack = seen.name, seen.configuration.plugin, seen.configuration.stack
    reached = tunnel_stack.texts(plugin)
    if plugin.parse(name, reached) is None:
        own = [path for path, text in seen.configuration.files.items() if plugin.parse(name, {path: text}) is not None]
        why = (
            f"{own[0]}: no file that {stack} reads at boot includes it"
            if own
            else f"{stack} has no {name} in its files"
        )
        return boot_verdict.of("", [why])
    problems = [f"the files of {stack} and the live tunnel differ: {each}" for each in _differences(seen)]
    boot = plugin.about().get("boot")
    problems += _left_out(name, boot, reached, stack) if boot else []
    why, missing, untried = started(boot, name, stack)
    return boot_verdict.of(f"{stack} brings {name} up as it is live ({why})", [*problems, *missing], untried)


def started(boot: plugins.Boot | None, name: str, stack: str) -> tuple[str, list[str], list[str]]:
    """
    Whether the next boot starts the network stack that brings an interface up.

    boot
        As the stack's plug-in says it, if it does.
    name
        The interface.
    stack
        The stack.

    Returns by what it is started, what is wrong, and what is not known.
    """
    if boot is None:
        return "", [], [f"the plug-in tunnel_{stack} does not say whether a boot brings {name} up"]
    service = boot["service"]
    generator = next((each for each in boot.get("generators", []) if os.access(each, os.X_OK)), "")
    start = boot_units.start([f"{service}.service"], service)
    if generator and boot_units.inits() == [boot_units.SYSTEMD]:
        start = boot_units.Start(True, f"{generator} starts what its files need")
    advice = boot_units.advice(service)
    problems = [f"{start.why}: nothing brings {name} up at boot: {advice}"] if start.starts is False else []
    untried = [f"whether the boot brings {name} up is not known: {start.why}"] if start.starts is None else []
    return start.why, problems, untried


def _differences(seen: tunnel_host.Sight) -> list[str]:
    if seen.live is None:
        return [f"{seen.name} is not up now"]
    # What a stack remembers of this boot is gone by the next.
    found = {part: each for part, each in tunnel_host.differences(seen).items() if part != tunnel_host.RECORD}
    return words.differences(found)


def _left_out(name: str, boot: plugins.Boot, reached: Mapping[str, str], stack: str) -> Iterator[str]:
    selected = re.compile(boot["selected"].format(re.escape(name)), re.MULTILINE)
    if not any(selected.search(ENDS.sub(" ", text)) for text in reached.values()):
        files = ", ".join(path for path, text in reached.items() if name in text)
        yield f"{files}: {name} is not among what {stack} brings up at boot"
    for path, expression in boot["unless"].items():
        for number, line in enumerate((host_files.read(path) or "").splitlines(), 1):
            if re.search(expression.format(re.escape(name)), line):
                yield f"{path}:{number}: with this line, {stack} does not bring {name} up at boot"
