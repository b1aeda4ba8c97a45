"""
The single rules that other formulas have made with the state ``rule``, in the kernel's form: the ruleset leaves them
where they are.
"""

from __future__ import annotations

import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_delta as firewall_delta
import _dualstack_host_files as host_files
import salt.utils.json

PATH = "/var/lib/dualstack_iptables/rules.json"

Register = dict[str, firewall_delta.Singles]  # by family


def read() -> Register:
    """
    What is registered.
    """
    found: Register = salt.utils.json.loads(host_files.read(PATH) or "{}")
    return found


def edit(register: Register) -> firewall_boot.Edits:
    """
    The register's file with other rules in it.

    register
        The rules.
    """
    return {PATH: firewall_boot.Edit(host_files.read(PATH), salt.utils.json.dumps(register, indent=2) + "\n")}
