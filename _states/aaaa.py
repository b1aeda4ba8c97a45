"""
AAAA records of this host's names, and the PTR record of its address.

A secret is never an argument: Salt logs those. ``credentials`` is the key of the pillar under which the provider's
settings are.

.. code-block:: yaml

    The names of this host have its IPv6 address:
      aaaa.published:
        - records: [www.example.org, mail.example.org]
        - address: 2001:470:1f13:f87::77
        - by: rfc2136
        - ttl: 3600
        - credentials: ipv6:dns:rfc2136

    The old name no longer has it:
      aaaa.withdrawn:
        - name: old.example.org
        - by: rfc2136

    The names of the pillar have the address of the pillar:
      aaaa.published:
        - pillar: ipv6:dns

    The address of the pillar leads back to its first name:
      aaaa.ptr_published:
        - pillar: ipv6:dns:ptr

Where ``ipv6:dns`` is a list, ``ipv6:dns:0`` is its first entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "aaaa"


def published(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    by: str | None = None,
    ttl: int | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    proof: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Names have an AAAA record with this address, and every authoritative server says so.

    name
        The host name, or the state's name in the report, where ``records`` or ``pillar`` is given.
    records
        The host names, by default ``name`` alone. Where the provider can, all are changed at once or none is.
    address
        The IPv6 address, without a prefix length.
    by
        The provider, which knows how records are changed: ``rfc2136`` (the default), ``he``, ``lexicon``, ``command``,
        or one of your own. (With an argument ``provider``, Salt itself would reload all modules.)
    ttl
        Of the records, in seconds; by default 3600. All AAAA records of a name have the same one.
    exclusive
        Remove AAAA records of these names that this host has not published, too. Else they are left there, with a
        warning.
    servers
        The authoritative servers to compare with and to read back from, each an address or ``address#port``. By
        default those that the zone's NS records name.
    deadline
        Seconds until every one of these servers has to show the change; by default 60.
    credentials
        The key of the pillar under which the provider's settings are; by default ``ipv6:dns:<by>``.
    pillar
        The key of the pillar for what the other arguments do not give, ``ipv6:dns``, or ``ipv6:dns:0`` where that is a
        list: ``names``, ``provider``, all others by their own names, and the provider's settings. If it has no
        ``address``, that of the list, or of the tunnel beside it, ``ipv6:tunnel``, is used.
    proof
        The ID of the state ``ipv6.proven`` of this run. Records that were withdrawn because IPv6 had failed are then
        published again only after ``withdraw_after`` runs in a row in which it held.

    An address that this host has published before is removed in the same change. If a server does not show the change
    in time, it is named, and the records are put back as they were.
    """
    done: dict[str, Any] = __salt__["aaaa.published"](
        name,
        records=records,
        address=address,
        by=by,
        ttl=ttl,
        exclusive=exclusive,
        servers=servers,
        deadline=deadline,
        credentials=credentials,
        pillar=pillar,
        proof=_outcome(proof),
        test=_test(kwargs),
        __awaited__=_awaited(),
        **kwargs,
    )
    return done


def withdrawn(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    by: str | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    proof: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Names no longer have an AAAA record that this host has published, and every authoritative server says so.

    name
        The host name, or the state's name in the report, where ``records`` or ``pillar`` is given.
    records
        The host names, by default ``name`` alone.
    address
        The IPv6 address to remove, besides those that this host is known to have published.
    by
        The provider: ``rfc2136`` (the default), ``lexicon``, ``command``, or one of your own. ``he`` cannot remove any.
    exclusive
        Remove all AAAA records of these names, whoever has published them.
    servers
        The authoritative servers, each an address or ``address#port``; by default those that the NS records name.
    deadline
        Seconds until every one of these servers has to show the change; by default 60.
    credentials
        The key of the pillar under which the provider's settings are; by default ``ipv6:dns:<by>``.
    pillar
        The key of the pillar for what the other arguments do not give, as in :py:func:`published`. An invalid ``ttl``
        there does not matter.
    proof
        The ID of the state ``ipv6.proven`` of this run. Then the records are withdrawn only if something was tried and
        failed, in ``withdraw_after`` runs in a row (by default 3). Each is counted, and told in ``changes``. What
        others have published stays, ``exclusive`` or not: their IPv6 was not tried.
    """
    done: dict[str, Any] = __salt__["aaaa.withdrawn"](
        name,
        records=records,
        address=address,
        by=by,
        exclusive=exclusive,
        servers=servers,
        deadline=deadline,
        credentials=credentials,
        pillar=pillar,
        proof=_outcome(proof),
        test=_test(kwargs),
        __awaited__=_awaited(),
        **kwargs,
    )
    return done


def ptr_published(
    name: str,
    host: str | None = None,
    address: str | None = None,
    by: str | None = None,
    ttl: int | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    An address has a PTR record with this host name, and every authoritative server of the reverse zone says so.

    name
        The host name, or the state's name in the report, where ``host`` or ``pillar`` is given.
    host
        The host name, by default ``name``.
    address
        The IPv6 address, without a prefix length.
    by
        The provider: ``rfc2136`` (the default), ``command``, or one of your own that can change PTR records.
    ttl
        Of the record, in seconds; by default 3600.
    exclusive
        Replace a PTR record that this host has not published. Else the state fails, and names it: an address has one.
    servers
        The authoritative servers to compare with and to read back from, each an address or ``address#port``. By
        default those that the NS records of the reverse zone name.
    deadline
        Seconds until every one of these servers has to show the change; by default 60.
    credentials
        The key of the pillar under which the provider's settings are; by default ``ipv6:dns:ptr:<by>``: what lacks
        there is as in ``ipv6:dns:<by>``, and the zone is ``ipv6:dns:ptr:zone``.
    pillar
        The key of the pillar for what the other arguments do not give, ``ipv6:dns:ptr``: ``name`` (by default the first
        of the ``names`` around it), ``zone``, ``provider`` (by default that around it), all others by their own names.
        The address is the one that is published.

    The PTR record of another address that this host has published for the same name is removed in the same change, if
    it is in the same zone. Nothing is published where the zone does not contain the address.
    """
    done: dict[str, Any] = __salt__["aaaa.ptr_published"](
        name,
        host=host,
        address=address,
        by=by,
        ttl=ttl,
        exclusive=exclusive,
        servers=servers,
        deadline=deadline,
        credentials=credentials,
        pillar=pillar,
        test=_test(kwargs),
        __awaited__=_awaited(),
        **kwargs,
    )
    return done


def ptr_withdrawn(
    name: str,
    host: str | None = None,
    address: str | None = None,
    by: str | None = None,
    exclusive: bool | None = None,
    servers: list[str] | None = None,
    deadline: float | None = None,
    credentials: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    An address no longer has a PTR record that this host has published, and every authoritative server says so.

    name
        The host name, or the state's name in the report, where ``host`` or ``pillar`` is given.
    host
        The host name to remove, besides those that this host is known to have published; by default ``name``.
    address
        The IPv6 address, without a prefix length.
    by
        The provider: ``rfc2136`` (the default), ``command``, or one of your own that can change PTR records.
    exclusive
        Remove all PTR records of this address, whoever has published them.
    servers
        The authoritative servers, each an address or ``address#port``; by default those that the NS records name.
    deadline
        Seconds until every one of these servers has to show the change; by default 60.
    credentials
        The key of the pillar under which the provider's settings are, as in :py:func:`ptr_published`.
    pillar
        The key of the pillar for what the other arguments do not give, as in :py:func:`ptr_published`. An invalid
        ``ttl`` there does not matter.
    """
    done: dict[str, Any] = __salt__["aaaa.ptr_withdrawn"](
        name,
        host=host,
        address=address,
        by=by,
        exclusive=exclusive,
        servers=servers,
        deadline=deadline,
        credentials=credentials,
        pillar=pillar,
        test=_test(kwargs),
        __awaited__=_awaited(),
        **kwargs,
    )
    return done


def _outcome(proof: Any) -> Any:
    """What the proof came to earlier in this run: Salt has its result."""
    if proof is None:
        return None
    done = [each for each in globals().get("__running__", {}).values() if each.get("__id__") == proof]
    return done[0].get("outcome", "not tried") if done else "not tried"


def _test(kwargs: dict[str, Any]) -> bool:
    """Whether to predict only: if the whole run does, or this state has ``- test: true``."""
    asked = kwargs.pop("test", False)
    return bool(__opts__["test"] or asked)


def _awaited() -> list[str]:
    """What states before this one would install, where a run only predicts."""
    before = globals().get("__running__") or {}
    return [each["installs"] for each in before.values() if each.get("result") is None and each.get("installs")]
