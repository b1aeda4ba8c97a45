"""
Router advertisements through the tunnel, to which this host does not listen: one from the broker's side would give it
an address, a default route before its own, and a source address for its connections.

What the kernel does with them is ``net.ipv6.conf.<interface>.accept_ra``. Without it nothing else in them counts, such
as ``autoconf``. A new interface has the value of ``net.ipv6.conf.default.accept_ra``; the files of the network stack
set it to 0 when the interface comes up.

Source: Linux, ip-sysctl.rst; :rfc:`4861`, section 6.3.4.
"""

from __future__ import annotations

from typing import Any

import _dualstack_host_sysctl as host_sysctl

PARAMETER = "net.ipv6.conf.{}.accept_ra"
IGNORED = "0"


def parameter(interface: str) -> str:
    """
    The kernel parameter of an interface.

    interface
        Its name.
    """
    return PARAMETER.format(interface.replace(".", "/"))


def differences(interface: str) -> dict[str, Any]:
    """
    The parameter, if the kernel listens.

    interface
        Its name; one that does not exist listens to nothing.

    Returns ``{}``, or ``{parameter: {"old": ..., "new": "0"}}``. Raises ``OSError``.
    """
    name = parameter(interface)
    found = host_sysctl.live(name)
    return {} if found in (None, IGNORED) else {name: {"old": found, "new": IGNORED}}


def refused(interface: str) -> str:
    """
    Why nobody may set it here, as in a container; empty if it can be set.

    interface
        The name of one that exists.
    """
    name = parameter(interface)
    try:
        host_sysctl.refuse(name)
    except OSError as error:
        said = f"{host_sysctl.place(name)}: {error.strerror}"
        return f"router advertisements through {interface} stay accepted, {name} cannot be set: {said}"
    return ""


def settle(changes: dict[str, Any]) -> None:
    """
    Have the kernel listen no more.

    changes
        From :py:func:`differences`.

    Raises ``Moved`` if it has another value by now, and ``OSError``.
    """
    for name, change in changes.items():
        host_sysctl.write(name, change["old"], change["new"])


def unsettle(changes: dict[str, Any]) -> None:
    """
    The reverse of :py:func:`settle`.

    changes
        From :py:func:`differences`.

    Raises as that does.
    """
    for name, change in changes.items():
        if host_sysctl.live(name) == change["new"]:
            host_sysctl.write(name, change["new"], change["old"])
