"""
AAAA records of this host's names.

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

    The old name has it no more:
      aaaa.withdrawn:
        - name: old.example.org
        - by: rfc2136
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
    by: str = "rfc2136",
    ttl: int = 3600,
    exclusive: bool = False,
    servers: list[str] | None = None,
    deadline: float = 60,
    credentials: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Names have an AAAA record with this address, and every authoritative server says so.

    name
        The host name, or what the state is called in the report, where ``records`` is given.
    records
        The host names, by default ``name`` alone. Where the provider can, all are changed at once or none is.
    address
        The IPv6 address, without a prefix length.
    by
        The provider, which knows how records are changed: ``rfc2136``, ``he``, ``lexicon``, ``command``, or one of your
        own. (At an argument ``provider``, Salt itself would load all modules again.)
    ttl
        Of the records, in seconds. All AAAA records of a name have the same one.
    exclusive
        Remove AAAA records of these names that this host has not published, too. Else they are left there, with a
        warning.
    servers
        The authoritative servers to compare with and to read back from, each an address or ``address#port``. By
        default those that the zone's NS records name.
    deadline
        Seconds until every one of these servers has to show the change.
    credentials
        The key of the pillar under which the provider's settings are; by default ``ipv6:dns:<by>``.

    An address that this host has published before is removed in the same change. If a server does not show the change
    in time, it is named, and the records are put back as they were.
    """
    arguments = {
        "records": records,
        "address": address,
        "provider": by,
        "ttl": ttl,
        "exclusive": exclusive,
        "servers": servers,
        "deadline": deadline,
        "credentials": credentials,
    }
    done: dict[str, Any] = __salt__["converge.run"]("aaaa", "published", name, arguments, kwargs, __opts__["test"])
    if done["result"] and not __opts__["test"]:
        try:
            __salt__["aaaa.claim"]([name] if records is None else records, address)
        except OSError as error:
            return {**done, "result": False, "comment": f"{done['comment']}\nIt could not be remembered: {error}"}
    return done


def withdrawn(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    by: str = "rfc2136",
    exclusive: bool = False,
    servers: list[str] | None = None,
    deadline: float = 60,
    credentials: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Names have no AAAA record any more that this host has published, and every authoritative server says so.

    name
        The host name, or what the state is called in the report, where ``records`` is given.
    records
        The host names, by default ``name`` alone.
    address
        The IPv6 address to remove, besides those that this host is known to have published.
    by
        The provider: ``rfc2136``, ``lexicon``, ``command``, or one of your own. ``he`` cannot remove any.
    exclusive
        Remove all AAAA records of these names, whoever has published them.
    servers
        The authoritative servers, each an address or ``address#port``; by default those that the NS records name.
    deadline
        Seconds until every one of these servers has to show the change.
    credentials
        The key of the pillar under which the provider's settings are; by default ``ipv6:dns:<by>``.
    """
    arguments = {
        "records": records,
        "address": address,
        "provider": by,
        "exclusive": exclusive,
        "servers": servers,
        "deadline": deadline,
        "credentials": credentials,
    }
    done: dict[str, Any] = __salt__["converge.run"]("aaaa", "withdrawn", name, arguments, kwargs, __opts__["test"])
    return done
