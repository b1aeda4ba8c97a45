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

Each can take its settings from the pillar instead, where those of all services are; named arguments take precedence:

.. code-block:: yaml

    Dovecot listens on both families, as the pillar has it:
      service_listen.dual_stack:
        - name: dovecot
        - pillar: ipv6:services
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "service_listen"


def dual_stack(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    names: list[str] | None = None,
    probe: dict[int, dict[str, Any]] | None = None,
    address: str | None = None,
    timeout: float | None = None,
    bindv6only: int | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A service is configured for both families, and answers on both.

    name
        The service: ``dovecot``, ``postfix``, ``ejabberd``, ``apache2``, ... Each has a plug-in, ``listen_<service>``.
    ports
        The TCP ports that have to answer. By default those that it is configured for, and that are open to others.
    protocols
        The protocol of a port, if it is not the usual one: ``{8443: https}``.
    names
        The host names by which it is asked; by default those of ``dns`` in the pillar, or else those that it is
        configured for.
    probe
        How a port is asked: ``{443: {path: /status, proxy: v2, seconds: 20, name: www.example.org}}``.
    address
        The IPv6 address that is published; by default as the pillar has it, or else all global ones of this host.
    timeout
        Seconds for the service to stop and start, and as many to answer then; by default 120.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when the service starts, for a run that sets it before.
        By default the live one.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: those of this one are taken from there,
        ``bindv6only`` from ``sysctl`` beside it, ``ipv6:sysctl:net.ipv6.bindv6only``, and the names and the address
        from ``dns`` and ``tunnel``.

    All other arguments are the service's own, such as Postfix's ``mynetworks`` or ejabberd's ``listeners``.

    A service that is over IPv6 what it is over IPv4 keeps its listeners, whatever its files say. Otherwise its
    configuration is changed in the words that need it, checked with the service's own checker, and the service
    restarted. If it then is not the same in both families, its old files are restored and it is restarted again. What
    one of its sites lacks, or a list of those who may relay, is always added. A service that does not run is not
    started.
    """
    asked = {"ports": ports, "protocols": protocols, "names": names, "probe": probe, "address": address}
    given = {**asked, "timeout": timeout, "bindv6only": bindv6only, "pillar": pillar}
    done: dict[str, Any] = __salt__["service_listen.dual_stack"](
        name, **given, test=_test(kwargs), __ended__=_ended(), __promised__=_promised(), **kwargs
    )
    return done


def sending(name: str, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    A mail server that listens on both families sends over IPv6 if others will take it, and over IPv4 only otherwise.

    name
        The service.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``.

    This is :py:func:`dual_stack` once more, after DNS records were published in the same run. Under ``test=True`` the
    result is ``None`` where it would change something now: what holds then is not known.
    """
    return __salt__["service_listen.sending"](name, pillar, test=_test(kwargs), __ended__=_ended(), **kwargs)


def unharmed(
    name: str,
    bindv6only: int | None = None,
    services: dict[str, Any] | None = None,
    exceptions: list[str] | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    No service of this host loses a family, or fails to start, because of a value of ``net.ipv6.bindv6only``.

    name
        The state's name in the report.
    bindv6only
        The value that is about to be set; by default 1.
    services
        Those that the same run converges, with their settings as in the pillar ``ipv6:services``.
    exceptions
        The names of services for which this is accepted.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: ``services`` are taken from there,
        ``bindv6only`` and ``exceptions`` from ``sysctl`` and ``sysctl_except`` beside it.

    Changes nothing. It fails, under ``test=True`` too, and names the services. If the value is already set, now and at
    the next boot, it only warns.
    """
    given = {"bindv6only": bindv6only, "services": services, "exceptions": exceptions, "pillar": pillar}
    done: dict[str, Any] = __salt__["service_listen.unharmed"](name, **given, test=_test(kwargs), **kwargs)
    return done


def answering(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    addresses: list[str] | None = None,
    names: list[str] | None = None,
    probe: dict[int, dict[str, Any]] | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A service answers on this host's addresses of both families, and says the same.

    name
        The service.
    ports
        TCP ports; by default those that it is configured for and that are open to all.
    protocols
        The protocol of a port, if it is not the usual one.
    addresses
        The addresses to ask; by default those of IPv4 by which others come, and the one of IPv6 that is published, or
        else all global ones of this host.
    names, probe
        The host names by which it is asked, and how, as for ``dual_stack``.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: what is not given is taken from there, the
        names and the published address from ``dns`` and ``tunnel`` beside it.

    Each name is asked in both families, and the answers are compared: the status of a page and the page itself, where
    it redirects to, certificates, greetings and capabilities, the host keys of SSH. What fails in both is told, and no
    failure.

    Changes nothing. Under ``test=True`` the service is not asked, since it may be changed before.
    """
    asked = {"ports": ports, "protocols": protocols, "addresses": addresses}
    given = {**asked, "names": names, "probe": probe, "pillar": pillar}
    done: dict[str, Any] = __salt__["service_listen.answering"](name, **given, test=_test(kwargs), **kwargs)
    return done


def reachable(
    name: str,
    prober: str | None = None,
    services: dict[str, Any] | None = None,
    address: str | None = None,
    tunnel: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Another host connects to each service of this one, on the addresses of both families.

    name
        The state's name in the report.
    prober
        The id of a minion of the same master, or ``master``. The master has to permit it (``peer_run``);
        where it does not, the comment says what is missing. Without a prober the result is ``None``: nothing is proven.
    services
        As in the pillar ``ipv6:services``.
    address
        The IPv6 address that is published; by default the one that connections through the tunnel come from, or
        without a tunnel all global ones of this host.
    tunnel
        The tunnel's interface.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: ``services`` are taken from there, and the
        others from ``verify:prober``, ``dns:address`` and ``tunnel`` beside it.

    Changes nothing. Under ``test=True`` nobody is asked, since the services may be changed before.
    """
    given = {"prober": prober, "services": services, "address": address, "tunnel": tunnel, "pillar": pillar}
    done: dict[str, Any] = __salt__["service_listen.reachable"](name, **given, test=_test(kwargs), **kwargs)
    return done


def _test(kwargs: dict[str, Any]) -> bool:
    """Whether to predict only: if the whole run does, or this state has ``- test: true``."""
    asked = kwargs.pop("test", False)
    return bool(__opts__["test"] or asked)


def _promised() -> list[str]:
    """The kernel parameters that states before this one have set, or would have, where a run only predicts."""
    before = (globals().get("__running__") or {}).items()
    return [
        each["name"]
        for tag, each in before
        if tag.startswith("ipv6_|-") and tag.endswith("_|-parameter") and each["result"] is not False
    ]


def _ended() -> bool:
    """Whether a later state ends the transaction of this run: until then, all is kept or put back together."""
    over = {each.get("__id__") for each in (globals().get("__running__") or {}).values()}
    chunks = globals().get("__lowstate__") or ()
    return any((each["state"], each["fun"]) == ("ipv6", "managed") and each["__id__"] not in over for each in chunks)
