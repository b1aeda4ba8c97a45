"""
Services that answer on both families.

.. code-block:: yaml

    No service is harmed by the kernel's new default:
      service_listen.unharmed:
        - bindv6only: 1

    Dovecot listens on both families:
      service_listen.dual_stack:
        - name: dovecot
        - ports: [143]

    Dovecot answers on every address of this host:
      service_listen.answering:
        - name: dovecot
        - ports: [143]
        - require:
          - Dovecot listens on both families

    Others reach Dovecot:
      service_listen.reachable:
        - prober: another-minion
        - services: {dovecot: {ports: [143]}}
        - require:
          - Dovecot answers on every address of this host
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException
from salt.state import STATE_INTERNAL_KEYWORDS

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "service_listen"


def dual_stack(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    timeout: float = 120,
    bindv6only: int | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A service is configured for both families, and answers on both.

    name
        The service: ``dovecot``, ``postfix``, ``ejabberd``, ``apache2``, ... (``service_host.names`` lists them).
    ports
        The TCP ports that have to answer. By default those that it is configured for, that are open to all, and that
        answer in one family at least.
    protocols
        What is spoken on a port, where it is not the usual one: ``{8443: https}``.
    timeout
        Seconds for the service to stop and start, and as many to answer then.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when the service starts, for a run that sets it before.
        By default the live one.

    All other arguments are the service's own, such as Postfix's ``mynetworks`` or ejabberd's ``listeners``.

    A service that answers on both families is left alone, whatever its files say. Else the words of its
    configuration that have to change are changed, the service's own checker is asked, and the service restarted. If
    it does not answer on both families then, its old files are put back and it is restarted once more. One that
    does not run is not started.
    """
    options = {key: value for key, value in kwargs.items() if key not in STATE_INTERNAL_KEYWORDS and key[:2] != "__"}
    arguments = {
        **{"ports": ports, "protocols": protocols, "timeout": timeout, "bindv6only": bindv6only},
        "options": options,
    }
    done: dict[str, Any] = __salt__["converge.run"](
        "service_listen", "dual_stack", name, arguments, {}, __opts__["test"]
    )
    return done


def unharmed(
    name: str,
    bindv6only: int = 1,
    services: dict[str, Any] | None = None,
    exceptions: list[str] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    No service of this host loses a family, or fails to start, by a value of ``net.ipv6.bindv6only``.

    name
        What the state is called in the report.
    bindv6only
        The value that is about to be set.
    services
        Those that the same run converges, with their settings as in the pillar ``ipv6:services``.
    exceptions
        The names of services for which this is accepted.

    Changes nothing. It fails, under ``test=True`` too, and names the services. Where the value holds already, now
    and at the next boot, it only warns.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
        harmed = __salt__["service_listen.harmed"](bindv6only, services, exceptions)
        already = __salt__["service_listen.bindv6only_is"](bindv6only)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    if not harmed:
        return {**ret, "result": True, "comment": f"no service is harmed by net.ipv6.bindv6only={bindv6only}"}
    advice = "Converge them in the same run (ipv6:services), or list them in ipv6:sysctl_except."
    words = f"With net.ipv6.bindv6only={bindv6only}, at its next start:"
    return {**ret, "result": already, "comment": "\n".join([words, *harmed, *([] if already else [advice])])}


def answering(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    addresses: list[str] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A service answers on this host's addresses of both families.

    name
        The service.
    ports
        TCP ports; by default those that it is configured for and that are open to all.
    protocols
        What is spoken on a port, where it is not the usual one.
    addresses
        The addresses to ask; by default all of this host but loopback and link-local ones.

    Changes nothing. Under ``test=True`` the service is not asked, since it may be changed before.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"{name} was not asked"}
        asked = addresses or __salt__["service_listen.public_addresses"]()
        answers = __salt__["service_listen.probe"](name, ports, protocols, asked)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    lines = [
        f"tcp/{each['port']} on {each['address']}: {': '.join(filter(None, (each['error'], each['banner'])))}"
        for each in answers
    ]
    return {**ret, "result": all(each["answers"] for each in answers), "comment": "\n".join(lines)}


def reachable(
    name: str,
    prober: str | None = None,
    services: dict[str, Any] | None = None,
    address: str | None = None,
    tunnel: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Another host connects to each service of this one, on the addresses of both families.

    name
        What the state is called in the report.
    prober
        The id of a minion of the same master, or ``master``. The master has to permit it (``peer``, ``peer_run``);
        where it does not, the comment says what is missing. Without a prober, nothing is proven, and the comment
        says so.
    services
        As in the pillar ``ipv6:services``.
    address
        The IPv6 address that is published; by default the one that connections through the tunnel come from, or
        without a tunnel all global ones of this host.
    tunnel
        The tunnel's interface.

    Changes nothing. Under ``test=True`` nobody is asked, since the services may be changed before.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
        if __opts__["test"] and prober is not None:
            return {**ret, "result": None, "comment": f"{prober} was not asked"}
        found = __salt__["outside_view.reach"](prober, services, address, tunnel)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    return {**ret, "result": found["holds"], "comment": found["summary"]}
