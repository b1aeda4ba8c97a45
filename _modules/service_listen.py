"""
The services of this host and the families they answer on: inspecting them, and what the states ``service_listen`` do.

Read-only functions: :py:func:`sockets`, :py:func:`audit`, :py:func:`probe`, :py:func:`plan`, :py:func:`harmed`. The
others do what the state of their name does, and return what it returns.

All of this starts from the kernel's own sockets, not from configuration files, and trusts only a service's own answers.
Its plug-in, ``listen_<service>``, knows its configuration format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_dns_address as dns_address
    import _dualstack_plugins as plugins
    import _dualstack_service_audit as service_audit
    import _dualstack_service_change as service_change
    import _dualstack_service_judgement as service_judgement
    import _dualstack_service_outside as service_outside
    import _dualstack_service_pillar as service_pillar
    import _dualstack_service_place as service_place
    import _dualstack_service_questions as service_questions
    import _dualstack_service_settings as service_settings
    import _dualstack_settings as settings
    import _dualstack_settings_native as settings_native
    import _dualstack_settings_tunnels as settings_tunnels
if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

# The argument by which the state says which kernel parameters states before it would have set, if they did more than
# predict.
PROMISED = "__promised__"

__virtualname__ = "service_listen"


# --------------------------------------------------------------------------------------------------------------
# Read-only


def sockets() -> dict[str, Any]:
    """
    Every listening socket of this host, from the kernel's own tables.

    Returns ``sockets`` and ``unseen``. Each of ``sockets``, sorted::

        {"transport": "tcp", "family": "ipv6", "address": "::", "port": 25, "interface": "", "v6only": False,
         "families": ["ipv4", "ipv6"], "uid": 0, "inode": 12345, "pids": [812], "service": "postfix",
         "holder": "postfix (process 812, user root)"}

    ``families`` are those that the socket really serves, and ``service`` is the one that its process belongs to, by its
    program, user and systemd unit.
    ``unseen`` holds a sentence for all that this user could not see. Raises ``CommandExecutionError`` where a plug-in
    cannot be loaded.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.sockets
    """
    return service_audit.sockets(plugins.services(__salt__))


def audit(bindv6only: int | None = None) -> dict[str, Any]:
    """
    Which services lack a family now, and which would lose one at their next start.

    bindv6only
        The value of ``net.ipv6.bindv6only`` to judge by, 0 or 1; by default the live one.

    Returns ``{service: {...}}`` for what listens on all addresses, TCP and UDP, with these keys, each a list of
    ``tcp/PORT``: ``serves``, by families (``{"ipv4": [...], "ipv6": [...]}``); ``misses``, likewise, where the service
    serves the other family only; ``loses_ipv4``: at its next start with that value; ``collides``: it will not start
    with that value, since two of its sockets claim the same port; ``unsure``: it will serve the same only if the
    program sets ``IPV6_V6ONLY`` itself, which is not known. Raises ``CommandExecutionError`` where a plug-in cannot be
    loaded.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.audit
        salt '*' service_listen.audit 1
    """
    return service_audit.audit(plugins.services(__salt__), bindv6only)


def probe(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    addresses: list[str] | None = None,
    names: list[str] | None = None,
    settings: dict[int, dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """
    Check whether a service answers, on each family and port.

    name
        The service.
    ports
        TCP ports; by default those on which it listens for all addresses and that its configuration names.
    protocols
        The protocol of a port, if it is not the usual one: ``{8443: https}``.
    addresses
        Of this host; by default ``127.0.0.1`` and ``::1``.
    names
        The host names to ask for; by default those that it is configured for, as far as its plug-in knows them.
    settings
        How a port is asked, as ``probe`` in the pillar: ``{443: {path: /status, proxy: v2, seconds: 20}}``.

    Returns for each ``address``, ``port``, ``protocol``, ``name``, ``answers``, ``banner``, ``error``, ``seconds``, and
    ``look``: what is compared between the families, such as the status of a page, and the key of a certificate. Raises
    ``SaltInvocationError`` for wrong arguments, and ``CommandExecutionError`` where there is no port to ask.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.probe ssh '[22]'
        salt '*' service_listen.probe apache2 ports='[8443]' protocols='{8443: https}'
    """
    given = _given(ports=ports, protocols=protocols, names=names, probe=settings)
    place = service_place.at(addresses or service_place.ITSELF)
    seen = service_questions.of(plugins.services(__salt__), name, given, place)
    verdicts = service_judgement.of_service(seen)
    return [answer for each in verdicts for own in each.answers.values() for answer in own]


def plan(name: str, bindv6only: int | None = None, **options: Any) -> str:
    """
    How the configuration of a service would change so that it listens on both families.

    name
        The service.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when it starts, 0 or 1; by default the live one.
    options
        The service's own keys in the pillar, such as ``listeners=dual`` for ejabberd.

    Returns a unified diff without secrets; an empty text where nothing has to change. Unlike the state, this does not
    ask whether the service already answers. Raises ``SaltInvocationError`` for wrong arguments and for files that
    cannot be read or changed, and ``CommandExecutionError`` where the service is not installed.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.plan ssh
    """
    own = {key: each for key, each in options.items() if not converge.is_salts_own(key)}
    return service_change.diff(plugins.services(__salt__), name, own, bindv6only)


def harmed(bindv6only: int, services: dict[str, Any] | None = None, exceptions: list[str] | None = None) -> list[str]:
    """
    Which services a value of ``net.ipv6.bindv6only`` would harm at their next start.

    bindv6only
        The value, 0 or 1.
    services
        Those that are converged in the same run, with their settings as in ``ipv6:services``: their new configuration
        counts.
    exceptions
        The names of services that may be harmed.

    Returns one sentence for each. Raises ``SaltInvocationError`` for wrong settings of a service that is converged,
    and where its files cannot be changed; ``CommandExecutionError`` where it is not installed.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.harmed 1
    """
    return service_audit.harmed(plugins.services(__salt__), bindv6only, services, exceptions)


# --------------------------------------------------------------------------------------------------------------
# What the states do


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
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Configure a service for both families, as the state ``service_listen.dual_stack`` does.

    name
        The service.
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
        The key of the services' settings in the pillar, ``ipv6:services``: those of this one are taken from there, and
        ``bindv6only`` from ``sysctl`` beside it. Named arguments win.
    test
        Only report what would change; by default as Salt is configured.
    kwargs
        The service's own settings.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``. Raises nothing: what is wrong is
    in the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.dual_stack ssh test=true
    """
    known = plugins.services(__salt__)
    own = {key: each for key, each in kwargs.items() if not converge.is_salts_own(key)}
    given = {**_given(ports=ports, protocols=protocols, names=names, probe=probe, timeout=timeout), **own}
    lookups = service_pillar.lookups(__pillar__, pillar)

    def wanted() -> converge.Plan:
        value = service_pillar.bindv6only(__pillar__, pillar) if bindv6only is None else bindv6only
        settings = {**service_pillar.one(__pillar__, pillar, name, known), **given}
        service_settings.refuse({name: settings}, known)
        place = service_pillar.place(__pillar__, pillar, address)
        made = service_change.plan(known, name, settings, value, place, lookups)
        if service_audit.PARAMETER not in kwargs.get(PROMISED, [service_audit.PARAMETER]):
            service_change.refuse_what_the_kernel_does_not_bear(made)
        return made

    change = converge.Change(
        f"{service_change.PART}{name}",
        wanted,
        lambda made: service_change.apply(known, made),
        lambda made: service_change.undo(known, made),
        lambda: service_settings.bound({**service_pillar.one(__pillar__, pillar, name, known), **given}),
        lambda made: service_change.before(known, made),
    )
    salts = {key: each for key, each in kwargs.items() if converge.is_salts_own(key)}
    return converge.run(name, change, salts, converge.tested(test, __opts__))


def sending(name: str, pillar: str | None = None, test: bool | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Let a mail server send over IPv6 if others will take it, as the state ``service_listen.sending`` does.

    name
        The service.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``.
    test
        Only report what would change; by default as Salt is configured.
    kwargs
        Salt's own; others are refused.

    Returns what the state returns. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.sending postfix pillar=ipv6:services
    """
    predicted = converge.tested(test, __opts__)
    refused = converge.look(name, lambda: converge.Finding(True, ""), kwargs)
    done = dual_stack(name, pillar=pillar, test=predicted) if refused["result"] else refused
    if predicted and done["changes"]:
        said = "over which families it sends is judged once the records of this run are published: not known before"
        return {**done, "changes": {}, "comment": f"{name}: {said}"}
    return done


def unharmed(
    name: str,
    bindv6only: int | None = None,
    services: dict[str, Any] | None = None,
    exceptions: list[str] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Check whether a value of ``net.ipv6.bindv6only`` harms a service, as the state ``service_listen.unharmed`` does.

    name
        The name of the result.
    bindv6only
        The value that is about to be set, 0 or 1; by default 1.
    services
        Those that the same run converges, with their settings as in the pillar ``ipv6:services``.
    exceptions
        The names of services for which this is accepted.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: what is not given is taken from there, and
        from ``sysctl`` and ``sysctl_except`` beside it.
    test
        Has no effect: nothing is changed.

    Returns what a state returns: ``name``, ``result``, ``changes`` (none) and ``comment``. Raises nothing: what is
    wrong is in the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.unharmed 'No service is harmed'
    """
    known = plugins.services(__salt__)

    def find() -> converge.Finding:
        declared = service_pillar.bindv6only(__pillar__, pillar)
        value = next((each for each in (bindv6only, declared) if each is not None), 1)
        converged = service_pillar.every(__pillar__, pillar, known) if services is None else services
        excepted = service_pillar.exceptions(__pillar__, pillar) if exceptions is None else exceptions
        harms = service_audit.harmed(known, value, converged, excepted)
        parameter = f"{service_audit.PARAMETER}={value}"
        if not harms:
            return converge.Finding(True, f"no service is harmed by {parameter}")
        already = service_audit.bindv6only_is(value)
        advice = "Converge them in the same run (ipv6:services), or list them in ipv6:sysctl_except."
        lines = [f"With {parameter}, at its next start:", *harms, *([] if already else [advice])]
        return converge.Finding(already, "\n".join(lines))

    return converge.look(name, find, kwargs)


def answering(
    name: str,
    ports: list[int] | None = None,
    protocols: dict[int, str] | None = None,
    addresses: list[str] | None = None,
    names: list[str] | None = None,
    probe: dict[int, dict[str, Any]] | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Ask a service on this host's addresses of both families, as the state ``service_listen.answering`` does.

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
        The host names by which it is asked, and how, as for :py:func:`dual_stack`.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: what is not given is taken from there, the
        names and the published address from ``dns`` and ``tunnel`` beside it.
    test
        Do not ask; by default as Salt is configured.

    Returns what a state returns: ``name``, ``result``, ``changes`` (none) and ``comment``. Raises nothing: what is
    wrong is in the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.answering ssh ports='[22]'
    """
    known = plugins.services(__salt__)

    def asked() -> dict[str, Any]:
        return service_pillar.one(__pillar__, pillar, name, known)

    def find() -> converge.Finding:
        wanted = {**asked(), **_given(ports=ports, protocols=protocols, names=names, probe=probe)}
        place = service_pillar.place(__pillar__, pillar)
        if addresses:
            place = service_place.at(addresses, place.names)
        else:
            service_place.refuse_one_family(place)
        verdicts = service_judgement.of_service(service_questions.of(known, name, wanted, place))
        wrong = service_judgement.faults(verdicts)
        # What is wrong first: it is the line that the proof repeats.
        lines = [*wrong, *service_judgement.heard(verdicts), *service_judgement.remarks(verdicts)]
        return converge.Finding(not wrong, "\n".join(lines))

    return converge.look(name, find, kwargs, f"{name} was not asked" if converge.tested(test, __opts__) else "", asked)


def reachable(
    name: str,
    prober: str | None = None,
    services: dict[str, Any] | None = None,
    address: str | None = None,
    tunnel: str | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Make another host connect to each service of this one, as the state ``service_listen.reachable`` does.

    name
        The name of the result.
    prober
        The id of a minion of the same master, or ``master``. Without one, nothing is proven: the result is ``None``.
    services
        As in the pillar ``ipv6:services``.
    address
        The IPv6 address that is published; by default the one that connections through the tunnel come from, or
        without a tunnel all global ones of this host.
    tunnel
        The tunnel's interface.
    pillar
        The key of the services' settings in the pillar, ``ipv6:services``: what is not given is taken from there, and
        from ``verify:prober``, ``dns:address`` and ``tunnel`` beside it.
    test
        Do not ask anybody; by default as Salt is configured.

    Returns what a state returns: ``name``, ``result``, ``changes`` (none) and ``comment``. Raises nothing: what is
    wrong is in the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' service_listen.reachable 'From outside' prober=master services='{ssh: {ports: [22]}}'
    """
    known = plugins.services(__salt__)
    asked = service_pillar.prober(__pillar__, pillar) if prober is None else prober

    def declared() -> dict[str, Any]:
        service_pillar.refuse_outside(__pillar__, pillar, __opts__["id"])
        return service_pillar.every(__pillar__, pillar, known) if services is None else services

    def find() -> converge.Finding:
        wanted = declared()
        published = _published(pillar, tunnel) if address is None and asked is not None and wanted else address
        master = service_outside.Master(__salt__["publish.runner"], __opts__)
        return service_outside.reach(known, master, asked, wanted, published)

    untried = f"{asked} was not asked" if converge.tested(test, __opts__) and asked is not None else ""
    return converge.look(name, find, kwargs, untried, declared)


# --------------------------------------------------------------------------------------------------------------
# Arguments


def _given(**arguments: Any) -> dict[str, Any]:
    """Those arguments that were given."""
    return {key: each for key, each in arguments.items() if each is not None}


def _published(pillar: str | None, tunnel: str | None) -> str | None:
    """The published address, if it is not given: from the tunnel's configuration, or from the pillar."""
    if tunnel:
        return dns_address.published({}, __salt__["he_tunnel.status"](tunnel)["configured"] or {})
    if pillar:
        dns = settings.value_beside(__pillar__, pillar, "dns")
        return dns_address.published(dns, settings_tunnels.of(settings_native.beside(__pillar__, pillar), None))
    return None
