"""
Daemons whose configuration is not read here, but whose listening sockets are judged. PURE: knows no host.

Measured on Debian 12 (see the tests): what becomes of a socket on ``::`` where ``net.ipv6.bindv6only`` changes.
"""

from __future__ import annotations

from typing import Any

__virtualname__ = "known_daemons"

# Whether the program sets IPV6_V6ONLY by itself; what is not here is unknown.
SETS_V6ONLY = {
    "named": True,
    "unbound": True,
    "postgres": True,
    "mariadbd": True,
    "mysqld": True,
    "redis-server": True,
    "memcached": True,
    "epmd": True,
    "node": True,
    "java": True,
}


def sets_v6only() -> dict[str, Any]:
    """
    The programs of which it is known whether they set ``IPV6_V6ONLY`` by themselves, whatever the kernel's default.

    Returns ``{program: bool}``. Such a program keeps its families when ``net.ipv6.bindv6only`` changes.

    CLI Example:

    .. code-block:: bash

        salt-call known_daemons.sets_v6only
    """
    return dict(SETS_V6ONLY)
