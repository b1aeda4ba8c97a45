"""
Over which families a service of this host sends mail: the judgement of the addresses that it sends from, and what
follows from it for its configuration.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_host_files as host_files
import _dualstack_host_routes as host_routes
import _dualstack_mail_ask as mail_ask
import _dualstack_mail_judgement as mail_judgement
import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import _dualstack_service_place as service_place
import _dualstack_service_settings as service_settings
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import SaltException

AUTO, BOTH, IPV4 = "auto", "both", "ipv4"
HOSTS, MAILNAME = "/etc/hosts", "/etc/mailname"
ADDRESS = "address"  # what is judged first: whether there is one
NO_ADDRESS = "this host has no address from which it would send to the IPv6 internet yet: nothing could be judged"


class Judged(NamedTuple):
    """One way by which mail leaves, and what was found out about it."""

    names: list[str]  # the entries of the configuration
    address: str  # empty if there is none
    verdicts: list[mail_judgement.Verdict]
    kept: list[str]  # why some of them send over IPv6 in any case
    hops: list[str]  # the hosts to which it hands all mail

    @property
    def proven(self) -> bool:
        """Whether its mail over IPv6 will be taken."""
        return mail_judgement.proven(self.verdicts)


class Sending(NamedTuple):
    """The families over which mail is to be sent, ``both`` or ``ipv4``, and what is to be said of it."""

    send: str
    lines: list[str]


def decided(
    service: service_host.Daemon,
    files: plugins.Files,
    settings: Mapping[str, Any],
    place: service_place.Place,
    lookups: mail_ask.Lookups,
) -> Sending | None:
    """
    Over which families a service has to send.

    service
        The service.
    files
        Its configuration.
    settings
        Its settings, as in the pillar: ``send`` is ``auto`` (the default), ``both`` or ``ipv4``.
    place
        Where others find this host: from its published IPv6 address a service is taken to send where there is no route
        yet.
    lookups
        Asks the DNS.

    Returns ``None`` where it does not send mail, or its files cannot be read, which others report.
    """
    if not service.about.get("sends"):
        return None
    asked = settings.get("send", AUTO)
    if asked == IPV4:
        return Sending(IPV4, [])
    try:
        found = judged(service, files, place, lookups)
    except SaltException:
        return None if asked == AUTO else Sending(asked, [])
    lacking = list(dict.fromkeys(each for one in found for each in mail_judgement.lacking(one.verdicts)))
    if not lacking:
        return Sending(BOTH, [])
    key = f"ipv6:services:{service.name}:send"
    if asked == BOTH:
        return Sending(BOTH, [f"It sends mail over IPv6 ({key}: both), though others may refuse that:", *lacking])
    if why := _only_six(found, place, lookups):
        return Sending(BOTH, [f"It sends mail over IPv6, though others may refuse that: {why}", *lacking])
    unanswered = all(each.holds is not False and each.what != ADDRESS for one in found for each in one.verdicts)
    if unanswered and _sends_both(service, files, settings, place):
        # No answer is no reason to change anything: it would be changed back, and restarted twice.
        return Sending(
            BOTH, ["It goes on sending mail over IPv6: not all that others look at could be asked:", *lacking]
        )
    return Sending(IPV4, [f"It sends mail over IPv4 only ({key}: auto), as others may refuse it over IPv6:", *lacking])


def _sends_both(
    service: service_host.Daemon, files: plugins.Files, settings: Mapping[str, Any], place: service_place.Place
) -> bool:
    """Whether its files, as they are, have it listen and send over both families."""
    options = {**service_settings.own(settings), "send": BOTH}
    site = {"names": place.names, "addresses": place.addresses}
    return not service_host.dual_stack(service, files, options, 0, site)["files"]


def _only_six(found: Sequence[Judged], place: service_place.Place, lookups: mail_ask.Lookups) -> str:
    """Why mail goes over IPv6, whatever others say: by its owner's will, or as over IPv4 none would go; or empty."""
    if all(len(each.kept) == len(each.names) for each in found):
        return " and ".join(dict.fromkeys(each for way in found for each in way.kept))
    public = [each for each in place.held["ipv4"] if not service_place.private(each)]
    if not public and not host_routes.to(service_place.BEYOND).source:
        return "this host has no way to the IPv4 internet"
    for hop in dict.fromkeys(each for way in found for each in way.hops):
        if lookups(hop, "AAAA").records and lookups(hop, "A") == mail_ask.Answer():
            return f"{hop}, to which it hands all mail, has no IPv4 address"
    return ""


def judged(
    service: service_host.Daemon, files: plugins.Files, place: service_place.Place, lookups: mail_ask.Lookups
) -> list[Judged]:
    """
    What others will find out about each way by which mail leaves over IPv6, or would if it were not restricted by us.

    service, files, place, lookups
        As for :py:func:`decided`.

    Raises ``SaltException`` as the plug-in does for files that it cannot read, and where ip(8) does not say.
    """
    ways: dict[mail_judgement.Sender, Judged] = {}
    site = {"names": place.names, "addresses": place.addresses}
    for each in service.plugin.senders(files, _host(), site):
        sender = mail_judgement.Sender(each["address"] or _source(place), each["helo"], each["domain"])
        if sender not in ways:
            ways[sender] = Judged([], sender.address, _verdicts(sender, lookups), [], [])
        ways[sender].names.append(each["name"])
        ways[sender].kept.extend([each["kept"]] if each["kept"] else [])
        ways[sender].hops.extend([each["hop"]] if each.get("hop") else [])
    return list(ways.values())


def _verdicts(sender: mail_judgement.Sender, lookups: mail_ask.Lookups) -> list[mail_judgement.Verdict]:
    if not sender.address:
        return [mail_judgement.Verdict(ADDRESS, None, NO_ADDRESS)]
    return mail_judgement.judge(sender, lookups)


def judge(
    ipv6: Mapping[str, Any], known: Mapping[str, plugins.Service], servers: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """
    The judgement of all services of the pillar that send mail, for a report.

    ipv6
        The part ``ipv6`` of the pillar, valid.
    known
        All plug-ins, by the names of their services.
    servers
        Authoritative name servers, which are asked first; by default those of the pillar, as :py:func:`servers_of`.

    Returns a dict for each way by which mail leaves over IPv6, or would: ``service``, ``entries`` (of its
    configuration), ``address`` (``None`` if there is none), ``send`` (of the pillar), ``proven``, ``verdicts``, each a
    dict of ``what`` (``PTR``, ``HELO``, ``SPF``; ``address`` where there is none), ``outcome`` (``held``, ``failed``,
    ``not tried``) and ``said``; and ``lines``, all of that for people. A service that sends over IPv4 only, by its
    owner's own configuration, has none; one whose files cannot be read has a verdict ``files`` that was not tried.
    """
    lookups = mail_ask.Lookups(servers_of(ipv6.get("dns")) if servers is None else servers)
    published = dns_address.published(ipv6.get("dns"), settings_tunnels.of(settings_native.holders(ipv6), None))
    place = service_place.here((), published)
    found = []
    for name, settings in (ipv6.get("services") or {}).items():
        if name not in known or not known[name].about().get("sends"):
            continue
        service = service_host.daemon(known, name)
        try:
            ways = judged(service, service_host.configuration(service), place, lookups)
        except (SaltException, OSError):
            unread = mail_judgement.Verdict("files", None, f"the configuration of {name} cannot be read")
            ways = [Judged([], "", [unread], [], [])]
        send = (settings or {}).get("send", AUTO)
        found += [_told(name, send, each) for each in ways]
    return found


def _told(name: str, send: str, way: Judged) -> dict[str, Any]:
    verdicts = [
        {"what": each.what, "outcome": converge.OUTCOMES[each.holds], "said": each.said} for each in way.verdicts
    ]
    return {
        "service": name,
        "entries": way.names,
        "address": way.address or None,
        "send": send,
        "proven": way.proven,
        "verdicts": verdicts,
        "lines": [f"{each['what']}: {each['outcome']}: {each['said']}" for each in verdicts],
    }


def servers_of(dns: Any) -> list[str]:
    """
    The name servers that a pillar names: ``servers`` of ``dns``, of each of a list of such parts, and of its ``ptr``.

    dns
        The part of the pillar, which need not be valid.
    """
    parts = [entry for _, entry in dns_parts.entries(dns)]
    parts += [_mapping(each.get("ptr")) for each in parts]
    given = [each.get("servers") for each in parts]
    return list(dict.fromkeys(one for each in given if isinstance(each, list) for one in each if isinstance(one, str)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _source(place: service_place.Place) -> str:
    """The address from which the kernel sends to the IPv6 internet; the published one where there is no route yet."""
    source = host_routes.to(host_routes.ANYWHERE).source
    published = place.addresses["ipv6"] if place.chosen else []
    return next((each for each in (source, *published) if each and _is_global(each)), "")


def _is_global(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_link_local or parsed.is_loopback or service_place.private(address))


def _host() -> dict[str, str]:
    """What programs make the name of this host of."""
    hostname = socket.gethostname()
    mailname = (host_files.read(MAILNAME) or "").strip().partition("\n")[0].strip()
    return {"hostname": hostname, "mailname": mailname, "fqdn": _canonical(hostname)}


def _canonical(hostname: str) -> str:
    """The name with its domain, as hosts(5) has it; what the DNS says of it may take too long to ask."""
    if "." in hostname:
        return hostname
    for line in (host_files.read(HOSTS) or "").splitlines():
        names = re.sub("#.*", "", line).split()[1:]
        if hostname in names:
            return next((each for each in names if "." in each), hostname)
    return hostname
