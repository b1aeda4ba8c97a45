"""
The pillar ``ipv6``, checked as a whole before anything is changed; what a host lacks; the host at a glance; and its
kernel parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_converge as converge
    import _dualstack_needs as needs
    import _dualstack_pillar as pillar_room
    import _dualstack_plugins as plugins
    import _dualstack_report as report_room
    import _dualstack_report_table as report_table
    import _dualstack_service_audit as service_audit
    import _dualstack_settings as settings
    import _dualstack_sysctl_change as sysctl_change
    import _dualstack_sysctl_settings as sysctl_settings
if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}
    __grains__: dict[str, Any] = {}

__virtualname__ = "ipv6"


# --------------------------------------------------------------------------------------------------------------
# Read-only commands


def report(as_data: bool = False) -> Any:
    """
    This host at a glance: which service listens, is let in, answers and is published, over IPv4 and over IPv6.

    as_data
        ``True`` for programs: plain data. By default a table, to be printed without ``--out``.

    As data it is::

        {"host": "server.example.org",
         "ipv4": {"addresses": ["46.105.5.1"], "address": "46.105.5.1", "interface": "eth0"},
         "ipv6": {...},
         "services": [{"service": "dovecot", "transport": "tcp", "port": 143, "protocol": "imap", "declared": True,
                       "ipv4": {"listening": True, "allowed": True, "answering": True},
                       "ipv6": {"listening": False, "allowed": True}}],
         "published": [{"name": "www.example.org", "ipv4": {"published": True, "records": ["46.105.5.1"]},
                        "ipv6": {...}}],
         "notes": [{"mark": "?", "text": "..."}],
         "problems": [{"of": "dovecot", "text": "dovecot (143) does not listen over IPv6"}],
         "summary": "dovecot (143) does not listen over IPv6"}

    ``True`` is yes, ``False`` no, ``None`` unknown, which a note explains. What was not checked has no key.
    ``declared`` is whether the pillar has the service; ``port`` is ``None`` if it has one without ports that does not
    listen. In the table, problems are in capitals, their lines begin with ``!``, and the last line sums up.

    Changes nothing. Any user may call it, but sees less than root. Takes a few seconds, longer if daemons hang. Raises
    ``SaltInvocationError`` for a wrong pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.report
        salt --out=json --static '*' ipv6.report as_data=True
    """
    found = report_room.of_pillar(__pillar__.get("ipv6") or {}, _known())
    return found if as_data else report_table.table(found)


def errors(pillar: Any) -> list[str]:
    """
    All errors in a pillar ``ipv6``, as far as this can be checked without its host.

    pillar
        As a user wrote it; it may be anything.

    Returns one sentence for each error, beginning with the key. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.errors '{tunnel: {endpoint: "2001:db8::1"}}'
    """
    return pillar_room.errors(pillar, _known())


def missing(need: str, pillar: str = "ipv6", lookup: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    What this host lacks for a part of the pillar.

    need
        ``tunnel``, ``ifupdown``, ``firewall``, ``netaddr`` or ``dns``.
    pillar
        The key of the pillar, whose ``lookup`` takes precedence over the argument.
    lookup
        The names of packages, as in the pillar ``ipv6:lookup``.

    Returns ``there``, a sentence if nothing is missing, else an empty text; ``lacks``, likewise what is missing; and
    what would provide it: ``packages`` of the operating system, or ``distributions`` of Python, for pip; and
    ``answers`` to what the packages ask. Raises ``SaltInvocationError`` for an unknown need, or one whose packages have
    no name, and for what is not a key; ``CommandExecutionError`` if the Python of the grain ``pythonexecutable`` cannot
    be run.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.missing firewall lookup='{packages: {firewall: [iptables, iptables-persistent]}}'
    """
    converge.refuse(kwargs)
    given = settings.at(__pillar__, pillar)
    ipv6 = given if isinstance(given, Mapping) else {}
    return needs.missing(need, lookup, ipv6, __salt__["pkg.version"], __grains__["pythonexecutable"])


# --------------------------------------------------------------------------------------------------------------
# As the states do


def valid(
    name: str,
    pillar: str = "ipv6",
    supported: dict[str, list[str]] | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Check the pillar of this host, as the state ``ipv6.valid`` does.

    name
        The name of the result.
    pillar
        The key of the pillar.
    supported
        By the grain ``os``, the first and the last supported release; by default any.
    test
        Has no effect: nothing is ever changed.

    Returns what the state returns; its ``comment`` has every error. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.valid 'my pillar'
    """
    return converge.look(
        name,
        lambda: pillar_room.checked(__pillar__, pillar, supported or {}, _known(), __grains__, __opts__["cachedir"]),
        kwargs,
    )


def proven(name: str, test: bool | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Report that everything that a state requires holds, as the state ``ipv6.proven`` does.

    name
        The name of the result.
    test
        Nothing was tested then, so the result is ``None``; by default as this minion is configured.

    Returns what the state returns. It is meaningful only in a state run. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.proven 'IPv6 is proven' test=True
    """
    return converge.look(
        name,
        lambda: converge.Finding(True, "everything that was tested holds; skipped tests report that themselves"),
        kwargs,
        "not proven: under test=True nothing was tested" if converge.tested(test, __opts__) else "",
    )


def parameter(
    name: str,
    value: int | str | None = None,
    config: str | None = None,
    pillar: str | None = None,
    test: bool | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Give a kernel parameter a value, live and for the next boot, as the state ``ipv6.parameter`` does.

    name
        The parameter, with dots: ``net.ipv6.bindv6only``.
    value
        Its value; several words are compared whatever is between them.
    config
        The file that sets it at boot: ``/etc/sysctl.conf``, or one in ``/etc/sysctl.d``; by default its ``local.conf``.
    pillar
        The key of the parameters in the pillar, ``ipv6:sysctl``: what is not given is taken from there, and from
        ``lookup:sysctl_file`` beside it.
    test
        Only predict; by default as this minion is configured.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``. Raises nothing: what is wrong is in
    the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.parameter net.ipv6.bindv6only 1 test=True
    """

    def wanted() -> converge.Plan:
        file = sysctl_settings.file(__pillar__, pillar, name, config)
        return sysctl_change.plan(name, sysctl_settings.value(__pillar__, pillar, name, value), file)

    change = _parameter_change(wanted)
    return converge.run(name, change, kwargs, converge.tested(test, __opts__))


def parameter_absent(
    name: str, config: str | None = None, pillar: str | None = None, test: bool | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    Let a file no longer set a kernel parameter at boot, as the state ``ipv6.parameter_absent`` does.

    name
        The parameter, with dots.
    config, pillar, test
        As for :py:func:`parameter`.

    Returns what a state returns: ``name``, ``result``, ``changes`` and ``comment``. Raises nothing: what is wrong is in
    the comment.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.parameter_absent net.ipv6.bindv6only test=True
    """

    def file() -> str:
        return sysctl_settings.file(__pillar__, pillar, name, config)

    def harmed(bindv6only: int) -> list[str]:
        return service_audit.harmed(plugins.services(__salt__), bindv6only)

    kept = converge.look(name, lambda: sysctl_change.kept(name, file(), harmed), kwargs, bound=sysctl_change.BOUND)
    if kept["comment"]:
        return kept
    change = _parameter_change(lambda: sysctl_change.plan_absent(name, file()))
    return converge.run(name, change, kwargs, converge.tested(test, __opts__))


def _parameter_change(plan: Callable[[], converge.Plan]) -> converge.Change:
    return converge.Change(
        sysctl_change.PART, plan, sysctl_change.apply, sysctl_change.undo, lambda: sysctl_change.BOUND
    )


def _known() -> pillar_room.Known:
    """The plug-ins that a pillar may name."""
    return pillar_room.Known(plugins.stacks(__salt__), plugins.services(__salt__), plugins.providers(__salt__))
