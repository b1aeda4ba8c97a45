"""
The master as prober: it connects to a minion that asks whether others reach it, and does nothing else.

``peer_run`` has to permit it::

    peer_run:
      .*:
        - outside_view.connect
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "outside_view"


def connect(host: str, port: int, family: str | None = None, timeout: float = 5) -> dict[str, Any]:
    """
    Connect to a TCP port, and close the connection.

    host
        An address or a name.
    port
        TCP.
    family
        ``ipv4`` or ``ipv6``; by default that of the address.
    timeout
        Seconds.

    Returns what Salt's execution function ``network.connect`` does: ``result`` and ``comment``.

    CLI Example:

    .. code-block:: bash

        salt-run outside_view.connect 2001:db8::1 25
    """
    answer: dict[str, Any] = __salt__["salt.cmd"]("network.connect", host, port, family=family, timeout=timeout)
    return answer
