"""
The single rules that other formulas have made with the state ``rule``, in the kernel's form: the ruleset leaves them
where they are.
"""

from __future__ import annotations

import os

import _dualstack_firewall_delta as firewall_delta
import _dualstack_host_files as host_files
import _dualstack_host_json as host_json
import salt.utils.json
from salt.exceptions import CommandExecutionError

PATH = "/var/lib/dualstack_iptables/rules.json"

MODE = 0o640

Register = dict[str, firewall_delta.Singles]  # by family


def read() -> Register:
    """
    What is registered.

    Raises ``CommandExecutionError`` where the register is damaged: without it, the rules of others would be removed;
    ``OSError`` where it cannot be read.
    """
    try:
        found = host_json.typed(host_json.load(PATH), dict)
        for tables in found.values():
            for chains in host_json.typed(tables, dict).values():
                for rules in host_json.typed(chains, dict).values():
                    for rule in host_json.typed(rules, list):
                        host_json.typed(rule, str)
    except ValueError:
        raise CommandExecutionError(
            f"{PATH} is damaged: it names the single rules that the ruleset keeps; restore it from a backup, or remove "
            "it and run the states `dualstack_iptables.rule` again"
        ) from None
    registered: Register = found
    return registered


def exists() -> bool:
    """
    Whether there is a register.
    """
    return os.path.exists(PATH)


def edit(register: Register) -> host_files.Edits:
    """
    The edit that puts other rules into the register, for a plan.

    register
        The rules.

    Raises ``CommandExecutionError`` where it could not be replaced.
    """
    text = salt.utils.json.dumps(register, indent=2) + "\n"
    return host_files.edit(PATH, host_files.read(PATH), text, MODE)


def drift() -> host_files.Edits:
    """
    The edit that gives the register its permissions back, for a plan; empty where they are right.

    Raises ``CommandExecutionError`` where it could not be changed.
    """
    text = host_files.read(PATH)
    return host_files.edit(PATH, text, text, MODE)
