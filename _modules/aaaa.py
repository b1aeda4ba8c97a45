"""
AAAA records: looked up at every authoritative server, published, withdrawn.

A record counts as published when *every* authoritative server of its zone says so, asked one by one over TCP; no
cache is believed. Only AAAA records of the named names are ever changed, and of these only what this host has
published itself: what it has published last under each name is remembered in
``/var/lib/dualstack_aaaa/published.json``, which only root can read. Without that file, an old address of this host
counts as somebody else's, and is left where it is, with a warning; nothing else is lost. ``exclusive`` removes what
others have put there as well.

How a change is made is known by a plug-in, ``aaaa_<provider>``. It has to offer three functions:

``about(settings)``
    What it can do, as a mapping. ``keys``: each key of its settings, with what is expected there in words.
    ``required``: those without a default. ``withdraws``: whether it can remove a record. ``sets_ttl``: whether it can
    choose the TTL. ``replaces``: whether it knows one address for each name, so that a new one takes the place of
    whatever was there. ``atomic``: whether it changes all names or none. ``servers``: authoritative servers that it
    knows of, used where this host's resolver finds none. ``settings`` may still be wrong: this must not raise.
``errors(settings, names)``
    What is wrong with the values of its settings: sentences, each beginning with its key. Unknown and missing keys,
    and ``zone``, are looked after here. No sentence may show a secret.
``change(settings, edits)``
    Do it. ``edits`` is ``{name: {"old": {...}, "new": {...}}}``, each side with ``addresses`` (a list) and ``ttl``
    (seconds, or ``None`` where there is no record). Raises ``CommandExecutionError`` in words, without a secret.

The settings, which hold the credential, never travel: a plan has only the pillar key under which they are.
"""

from __future__ import annotations

import concurrent.futures
import difflib
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import salt.utils.json
from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa"

PROVIDERS = ("command", "he", "lexicon", "rfc2136")  # those of this project; a user's own are found by the loader
REQUIRED = {"provider": f"one of {', '.join(PROVIDERS)}", "names": "a list of host names"}
MEMORY = "/var/lib/dualstack_aaaa/published.json"
QUERY = 5.0  # seconds for one answer of a name server
PORT = 53
LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"  # RFC 1123, section 2.1

Answer = dict[str, Any]


# --------------------------------------------------------------------------------------------------------------
# Seeing


def lookup(name: str, servers: list[str] | None = None) -> dict[str, Any]:
    """
    The AAAA records of a name, as each of its authoritative servers has them now.

    name
        A host name.
    servers
        The servers to ask, each an address or ``address#port``. By default those that the zone's NS records name,
        found by this host's resolver.

    Returns ``name``; ``agree``, whether all servers say the same; ``addresses`` and ``ttl`` (seconds; ``None`` if there
    is no record), and ``alias``, the target of a CNAME, if they do; and ``servers``, for each of them ``addresses``,
    ``ttl``, ``alias`` and ``error``, which is empty where it answered. Raises ``SaltInvocationError`` for bad input and
    ``CommandExecutionError`` where no server is found.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.lookup www.example.org
        salt '*' aaaa.lookup www.example.org servers='[192.0.2.53, "127.0.0.1#5353"]'
    """
    problems = _value_errors({"names": [name], "servers": servers})
    if problems:
        raise SaltInvocationError("\n".join(problems))
    name = _canonical(name)
    answers = _ask(_places([name], servers, []))[name]
    agree = not _lagging({name: answers})
    common = next(iter(answers.values())) if agree else {"addresses": [], "ttl": None, "alias": ""}
    summary = {key: common[key] for key in ("addresses", "ttl", "alias")}
    return {"name": name, "agree": agree, **summary, "servers": answers}


def _places(names: list[str], servers: list[str] | None, fallback: list[str]) -> dict[str, dict[str, str]]:
    """The authoritative servers of each name: what to call each, and where it is (``address#port``)."""
    if servers:
        return {name: {each: each for each in servers} for name in names}
    dns = _dnspython()
    found: dict[str, dict[str, str]] = {}
    zones: dict[Any, dict[str, str]] = {}
    for name in names:
        try:
            resolver = dns.resolver.Resolver()
            zone = dns.resolver.zone_for_name(name, resolver=resolver)
            if zone not in zones:
                zones[zone] = _name_servers(dns, resolver, zone)
            found[name] = zones[zone]
        except (dns.exception.DNSException, OSError) as error:
            if not fallback:
                raise CommandExecutionError(
                    f"servers: this host's resolver does not find the authoritative servers of {name} "
                    f"({_said(error)}); list them"
                ) from None
            found[name] = {each: each for each in fallback}
    return found


def _name_servers(dns: Any, resolver: Any, zone: Any) -> dict[str, str]:
    """
    The servers that the NS records of a zone name, at each of their IPv4 addresses.

    IPv6 addresses are used only of a server that has no other: it is the same server, and this host may not have
    IPv6 yet.
    """
    servers = {}
    for host in sorted(each.target.to_text() for each in resolver.resolve(zone, "NS")):
        for kind in ("A", "AAAA"):
            try:
                addresses = sorted(each.address for each in resolver.resolve(host, kind))
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                continue
            servers.update({f"{host.rstrip('.')} ({address})": address for address in addresses})
            break
        else:
            raise dns.exception.DNSException(f"its name server {host} has no address")
    return servers


def _ask(places: dict[str, dict[str, str]]) -> dict[str, dict[str, Answer]]:
    """What each server says of each name now."""
    dns = _dnspython()
    questions = [(name, label, where) for name, servers in places.items() for label, where in servers.items()]
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(lambda each: _ask_one(dns, each[0], each[2]), questions))
    asked: dict[str, dict[str, Answer]] = {name: {} for name in places}
    for (name, label, _), answer in zip(questions, answers):
        asked[name][label] = answer
    return asked


def _ask_one(dns: Any, name: str, where: str) -> Answer:
    address, port = _endpoint(where)
    silence: Answer = {"addresses": [], "ttl": None, "alias": "", "error": ""}
    try:
        # No recursion is desired, and TCP has no answer that is cut off or forged.
        question = dns.message.make_query(name, "AAAA", flags=0)
        answer = dns.query.tcp(question, address, timeout=QUERY, port=port)
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return {**silence, "error": _said(error)}
    code = dns.rcode.to_text(answer.rcode())
    if code not in ("NOERROR", "NXDOMAIN"):
        return {**silence, "error": f"it answers {code}"}
    if not answer.flags & dns.flags.AA:
        return {**silence, "error": f"it is not authoritative for {name}"}
    found = {**silence}
    owner = dns.name.from_text(name)
    for rrset in answer.answer:
        if rrset.name == owner and rrset.rdtype == dns.rdatatype.AAAA:
            found.update(addresses=sorted(str(ipaddress.IPv6Address(each.address)) for each in rrset), ttl=rrset.ttl)
        elif rrset.name == owner and rrset.rdtype == dns.rdatatype.CNAME:
            found["alias"] = rrset[0].target.to_text(omit_final_dot=True)
    return found


def _agreed(
    places: dict[str, dict[str, str]], deadline: float, wanted: dict[str, Answer] | None = None
) -> dict[str, Answer]:
    """What all servers say of each name, as soon as they say the same, or what is wanted. Raises at the deadline."""
    end = time.monotonic() + deadline
    pause = 0.2
    while True:
        answers = _ask(places)
        lagging = _lagging(answers, wanted)
        if not lagging:
            return {name: next(iter(found.values())) for name, found in answers.items()}
        if time.monotonic() + pause > end:
            raise CommandExecutionError("\n".join(f"{each} (after {deadline:g} s)" for each in lagging))
        time.sleep(pause)
        pause = min(2 * pause, 5)


def _lagging(answers: dict[str, dict[str, Answer]], wanted: dict[str, Answer] | None = None) -> list[str]:
    """The servers that do not answer, and those that do not say what is wanted, or what the first of them says."""
    sentences = []
    for name, found in answers.items():
        speaking = {label: answer for label, answer in found.items() if not answer["error"]}
        sentences += [
            f"{each} does not tell of {name}: {found[each]['error']}" for each in found if found[each]["error"]
        ]
        first = next(iter(speaking), "")
        for label, answer in speaking.items():
            if wanted and not _same(answer, wanted[name]):
                sentences.append(f"{label} has {_words(answer)} for {name}, not {_words(wanted[name])}")
            elif not wanted and not _same(answer, speaking[first]):
                sentences.append(
                    f"the servers of {name} do not agree: {first} has {_words(speaking[first])}, "
                    f"{label} has {_words(answer)}"
                )
    return sentences


def _same(one: Answer, other: Answer) -> bool:
    """Whether two answers are the same. A TTL that nobody has chosen is any."""
    ttls = {one["ttl"], other["ttl"]} - {None}
    return one["addresses"] == other["addresses"] and len(ttls) < 2 and one.get("alias", "") == other.get("alias", "")


def _words(answer: Answer) -> str:
    if answer.get("alias"):
        return f"an alias (CNAME) of {answer['alias']}"
    if not answer["addresses"]:
        return "no AAAA record"
    ttl = "" if answer["ttl"] is None else f" (TTL {answer['ttl']} s)"
    return ", ".join(answer["addresses"]) + ttl


def _dnspython() -> Any:
    """The library, which is needed only where there are records, and may be missing elsewhere."""
    try:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.name
        import dns.query
        import dns.rcode
        import dns.rdatatype
        import dns.resolver
    except ImportError:
        raise CommandExecutionError(
            "the Python that runs Salt has no dnspython; install it with 'salt-pip install dnspython', or, where Salt "
            "runs on the system's Python, the package python3-dnspython"
        ) from None
    return dns


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --------------------------------------------------------------------------------------------------------------
# The pillar


def errors(dns: Any) -> list[str]:
    """
    Everything that is wrong with the pillar ``ipv6:dns``, as far as that can be told without a host.

    dns
        As a user wrote it; it may be anything.

    Returns sentences that begin with the key; none shows the value of a provider's settings.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa.errors '{provider: bind, names: [www.example.org]}'
    """
    if not isinstance(dns, dict):
        return [f"expected a mapping with {', '.join(READERS)}, found {_kind(dns)}"]
    provider: Any = dns.get("provider")
    own = [provider] if _is_provider(provider) else []
    problems = _unknown(dns, list(dict.fromkeys([*READERS, *PROVIDERS, *own])))
    problems += [f"{key}: missing; expected {words}" for key, words in REQUIRED.items() if dns.get(key) is None]
    problems += _value_errors(dns)
    return [*problems, *(_settings_errors(provider, dns) if own else [])]


def _value_errors(dns: dict[Any, Any]) -> list[str]:
    problems = []
    for key, read in READERS.items():
        try:
            if dns.get(key) is not None:
                read(dns[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    return problems


def _settings_errors(provider: str, dns: dict[Any, Any]) -> list[str]:
    """What is wrong with the settings of a provider. Their values may be secret: none is shown here."""
    settings = dns.get(provider)
    about = __salt__[f"aaaa_{provider}.about"](settings if isinstance(settings, dict) else {})
    if not isinstance(settings, dict):
        expected = f"expected a mapping with {', '.join(about['keys'])}"
        return [f"{provider}: {'missing; ' if settings is None else ''}{expected}, found {_kind(settings)}"]
    problems = _unknown(settings, list(about["keys"]))
    for key in about["required"]:
        if settings.get(key) is None:
            problems.append(f"{key}: missing; expected {about['keys'][key]}")
    given = dns.get("names")
    names = [_canonical(each) for each in given if _is_host_name(each)] if isinstance(given, list) else []
    if "zone" in about["keys"] and settings.get("zone") is not None:
        problems += _zone_errors(settings["zone"], names)
    given = {key: value for key, value in settings.items() if key in about["keys"] and value is not None}
    problems += __salt__[f"aaaa_{provider}.errors"](given, names)
    return [f"{provider}:{each}" for each in problems]


def _zone_errors(zone: Any, names: list[str]) -> list[str]:
    if not isinstance(zone, str) or not re.fullmatch(rf"{LABEL}(\.{LABEL})*", _canonical(zone)):
        return [f"zone: {zone!r} is not the name of a zone, as in example.org"]
    outside = [each for each in names if not f".{each}".endswith(f".{_canonical(zone)}")]
    return [f"zone: {each} is not in the zone {_canonical(zone)}; one change is made in one zone" for each in outside]


def _unknown(given: Iterable[Any], known: list[str]) -> list[str]:
    problems = []
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            problems.append(f"{key}: unknown key; {hint}")
    return problems


def _kind(value: Any) -> str:
    """What a value is, where it may be secret itself."""
    return "nothing" if value is None else f"a {type(value).__name__}"


def _is_provider(value: Any) -> bool:
    """Whether there is a plug-in of that name. (To list them would load every module that Salt has.)"""
    return isinstance(value, str) and value.isidentifier() and f"aaaa_{value}.change" in __salt__


def _provider(value: Any) -> str:
    if not _is_provider(value):
        found = repr(value) if isinstance(value, str) else _kind(value)  # settings in the wrong place may be secret
        raise ValueError(f"{found} is not a provider that is known; expected {REQUIRED['provider']}")
    return str(value)


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_host_name(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    name = _canonical(value)
    return len(name) <= 253 and bool(re.fullmatch(rf"({LABEL}\.)+(?!\d+$){LABEL}", name))


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected {REQUIRED['names']}, as [www.example.org], found {value!r}")
    for each in value:
        if not _is_host_name(each):
            raise ValueError(f"{each!r} is not a host name with its domain, as in www.example.org")
    names = [_canonical(each) for each in value]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is listed twice")
    return names


def _address(value: Any) -> str:
    try:
        address = ipaddress.IPv6Address(value if isinstance(value, str) else repr(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv6 address; expected one without a prefix length") from None
    unfit = (address.is_multicast, address.is_loopback, address.is_unspecified, address.is_link_local)
    if any(unfit) or address.ipv4_mapped or address.scope_id:
        raise ValueError(f"{value!r} is not a global IPv6 unicast address")
    return str(address)


def _endpoint(value: Any) -> tuple[str, int]:
    """The address and the port of ``address`` or ``address#port``."""
    host, mark, port = value.partition("#") if isinstance(value, str) else ("", "", "")
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        address = ""
    if not address or (mark and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536)):
        raise ValueError(f"{value!r} is not the address of a name server, as 192.0.2.53 or 192.0.2.53#5353")
    return address, int(port or PORT)


def _servers(value: Any) -> None:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of addresses, found {value!r}")
    for each in value:
        _endpoint(each)


def _ttl(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:  # RFC 2181, section 8
        raise ValueError(f"{value!r} is not a whole number of seconds from 0 to 2147483647")


def _deadline(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 3600:
        raise ValueError(f"{value!r} is not a number of seconds up to 3600")


def _truth(value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")


READERS: dict[str, Callable[[Any], Any]] = {
    "provider": _provider,
    "names": _names,
    "address": _address,
    "ttl": _ttl,
    "exclusive": _truth,
    "withdraw_when_broken": _truth,
    "servers": _servers,
    "deadline": _deadline,
}


def _settings(provider: str, credentials: str | None) -> dict[str, Any]:
    """A provider's settings. Not by ``pillar.get``, which masks values since Salt 3008; the pillar is no ``dict``."""
    found: Any = __pillar__
    for key in (credentials or f"ipv6:dns:{provider}").split(":"):
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise SaltInvocationError(
            f"credentials: the pillar has {_kind(found)} under {credentials or f'ipv6:dns:{provider}'}; "
            f"expected the settings of {provider}, a mapping"
        )
    return {key: value for key, value in found.items() if value is not None}


# --------------------------------------------------------------------------------------------------------------
# Plans


def plan_published(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    provider: str = "rfc2136",
    ttl: int = 3600,
    exclusive: bool = False,
    servers: list[str] | None = None,
    deadline: float = 60,
    credentials: str | None = None,
) -> dict[str, Any]:
    """
    What ``aaaa.published`` would change. Changes nothing.

    name
        The host name, where ``records`` is not given.
    records, address, provider, ttl, exclusive, servers, deadline, credentials
        The other arguments of the state.

    Returns ``changes``, ``{name: {"old": [...], "new": [...]}}`` with the addresses, and with ``ttl`` where that
    differs; ``warnings``; and what :py:func:`apply` and :py:func:`undo` need, without any secret. Servers that do not
    agree may just be busy with a change: they are asked until the deadline. Raises ``SaltInvocationError`` for bad
    input and ``CommandExecutionError`` where the servers do not agree or answer, or the name is an alias.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.plan_published www.example.org address=2001:470:1f13:f87::77
    """
    given = {"address": address, "ttl": ttl, "exclusive": exclusive, "servers": servers, "deadline": deadline}
    names, about = _checked(name, records, provider, credentials, given)
    if address is None:
        raise SaltInvocationError("address: missing; expected an IPv6 address")
    wanted = _address(address)
    places = _places(names, servers, about["servers"])
    now = _agreed(places, deadline)
    aliases = [f"{each} is {_words(now[each])}" for each in names if now[each]["alias"]]
    if aliases:
        raise CommandExecutionError(
            f"{'; '.join(aliases)}: no other record may stand beside one (RFC 2181, section 10.1), and a name server "
            "may ignore the attempt without an error; publish the target instead"
        )
    memory = _memory()
    edits, warnings = {}, []
    for each in names:
        foreign = [found for found in now[each]["addresses"] if found not in (wanted, *memory.get(each, []))]
        kept = [] if exclusive or about["replaces"] else foreign
        new = {"addresses": sorted([wanted, *kept]), "ttl": ttl if about["sets_ttl"] else now[each]["ttl"]}
        edits[each] = {"old": now[each], "new": new}
        if kept:
            warnings.append(f"{each} also has {', '.join(kept)}, which this host has not published: it was left there")
        if not about["sets_ttl"] and now[each]["ttl"] not in (None, ttl):
            warnings.append(f"{each} has a TTL of {now[each]['ttl']} s, and {provider} cannot change it to {ttl} s")
    plan = {"provider": provider, "credentials": credentials, "places": places, "deadline": deadline}
    return _plan(plan, edits, memory, [wanted], warnings)


def plan_withdrawn(
    name: str,
    records: list[str] | None = None,
    address: str | None = None,
    provider: str = "rfc2136",
    exclusive: bool = False,
    servers: list[str] | None = None,
    deadline: float = 60,
    credentials: str | None = None,
) -> dict[str, Any]:
    """
    What ``aaaa.withdrawn`` would change. Changes nothing.

    name
        The host name, where ``records`` is not given.
    records, address, provider, exclusive, servers, deadline, credentials
        The other arguments of the state.

    Returns and raises as :py:func:`plan_published` does; raises too where the provider cannot remove records.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.plan_withdrawn www.example.org
    """
    given = {"address": address, "exclusive": exclusive, "servers": servers, "deadline": deadline}
    names, about = _checked(name, records, provider, credentials, given)
    places = _places(names, servers, about["servers"])
    now = _agreed(places, deadline)
    memory = _memory()
    edits, warnings = {}, []
    for each in names:
        own = [*memory.get(each, []), *([_address(address)] if address else [])]
        kept = [] if exclusive else [found for found in now[each]["addresses"] if found not in own]
        edits[each] = {"old": now[each], "new": {"addresses": kept, "ttl": now[each]["ttl"] if kept else None}}
        if kept:
            warnings.append(f"{each} has {', '.join(kept)}, which this host has not published: it was left there")
        if now[each]["addresses"] != kept and not about["withdraws"]:
            raise CommandExecutionError(
                f"provider: {provider} cannot remove a record; remove {_words(now[each])} of {each} by hand, "
                "or use a provider that can"
            )
    plan = {"provider": provider, "credentials": credentials, "places": places, "deadline": deadline}
    return _plan(plan, edits, memory, [], warnings)


def _checked(
    name: str, records: list[str] | None, provider: str, credentials: str | None, given: dict[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The names, and what the provider can do; raises with everything that is wrong."""
    names = [name] if records is None else records
    dns = {"provider": provider, "names": names, **given}
    if _is_provider(provider):
        dns[provider] = _settings(provider, credentials)
    problems = errors(dns)
    if problems:
        # In a state they are called `records`, since `names` is a word of Salt's own there.
        key = "name" if records is None else "records"
        raise SaltInvocationError("\n".join(re.sub("^names:", f"{key}:", each) for each in problems))
    about: dict[str, Any] = __salt__[f"aaaa_{provider}.about"](dns[provider])
    return [_canonical(each) for each in names], about


def _plan(
    plan: dict[str, Any],
    edits: dict[str, dict[str, Answer]],
    memory: dict[str, list[str]],
    ours: list[str],
    warnings: list[str],
) -> dict[str, Any]:
    sides = {
        name: {which: {key: edit[which][key] for key in ("addresses", "ttl")} for which in ("old", "new")}
        for name, edit in edits.items()
    }
    sides = {name: side for name, side in sides.items() if not _same(side["old"], side["new"])}
    changes: dict[str, Any] = {}
    for name, side in sides.items():
        changes[name] = {which: side[which]["addresses"] for which in side}
        ttls = {which: side[which]["ttl"] for which in side}
        if None not in ttls.values() and ttls["old"] != ttls["new"]:
            changes[name]["ttl"] = ttls
    remembered = {name: memory.get(name, []) for name in sides}
    return {**plan, "changes": changes, "warnings": warnings, "edits": sides, "remembered": remembered, "ours": ours}


# --------------------------------------------------------------------------------------------------------------
# Doing


def publish(
    name: str,
    address: str,
    provider: str = "rfc2136",
    ttl: int = 3600,
    exclusive: bool = False,
    servers: list[str] | None = None,
    deadline: float = 60,
    credentials: str | None = None,
) -> dict[str, Any]:
    """
    Publish an address under a name, as the state ``aaaa.published`` does.

    name
        The host name.
    address, provider, ttl, exclusive, servers, deadline, credentials
        As in the state.

    Returns the changes, ``{name: {"old": [...], "new": [...]}}``, empty if there was nothing to do. Raises
    ``CommandExecutionError`` with the reason where it fails; then all is as before.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.publish www.example.org 2001:470:1f13:f87::77
    """
    arguments = {
        **{"address": address, "provider": provider, "ttl": ttl, "exclusive": exclusive, "servers": servers},
        **{"deadline": deadline, "credentials": credentials},
    }
    changes = _converged("published", name, arguments)
    claim([name], address)
    return changes


def withdraw(
    name: str,
    address: str | None = None,
    provider: str = "rfc2136",
    exclusive: bool = False,
    servers: list[str] | None = None,
    deadline: float = 60,
    credentials: str | None = None,
) -> dict[str, Any]:
    """
    Withdraw this host's address from a name, as the state ``aaaa.withdrawn`` does.

    name
        The host name.
    address, provider, exclusive, servers, deadline, credentials
        As in the state.

    Returns and raises as :py:func:`publish` does.

    CLI Example:

    .. code-block:: bash

        salt '*' aaaa.withdraw www.example.org
    """
    arguments = {
        **{"address": address, "provider": provider, "exclusive": exclusive, "servers": servers},
        **{"deadline": deadline, "credentials": credentials},
    }
    return _converged("withdrawn", name, arguments)


def _converged(verb: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    done = __salt__["converge.run"]("aaaa", verb, name, arguments, {}, False)
    if not done["result"]:
        raise CommandExecutionError(done["comment"])
    changes: dict[str, Any] = done["changes"]
    return changes


def apply(plan: dict[str, Any]) -> None:
    """
    Carry out a plan, and wait until every authoritative server shows it.

    plan
        From :py:func:`plan_published` or :py:func:`plan_withdrawn`, made just now. The names whose change was tried
        and accepted are added to it, as ``tried`` and ``done``: while the servers lag, :py:func:`undo` cannot see that.

    Raises ``CommandExecutionError`` with what the provider said, or with the servers that lag at the deadline.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa.apply "$plan"
    """
    edits = plan["edits"]
    plan.update(tried=[], done=[])
    # Before the change: whatever happens in between, what is out there is known as this host's.
    _remember({name: [*plan["remembered"][name], *plan["ours"]] for name in edits})
    _change(plan, edits)
    _agreed(
        {name: plan["places"][name] for name in edits}, plan["deadline"], {name: edits[name]["new"] for name in edits}
    )
    _remember({name: plan["ours"] for name in edits})


def undo(plan: dict[str, Any]) -> None:
    """
    Put the records back as they were when a plan was made.

    plan
        A plan that was carried out, wholly or in part.

    Only what was changed is put back, and not what somebody else has changed in the meantime. To ask once more what was
    just refused would help nobody, and a provider may take it for abuse. Raises ``CommandExecutionError`` with what the
    provider said where that fails.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa.undo "$plan"
    """
    atomic = __salt__[f"aaaa_{plan['provider']}.about"]({})["atomic"]
    back = {}
    for name in plan.get("tried", plan["edits"]):
        old, new = plan["edits"][name]["old"], plan["edits"][name]["new"]
        answers = _ask({name: plan["places"][name]})[name].values()
        seen = [each for each in answers if not each["error"] and not _same(each, old)]
        if name in plan.get("done", []):
            back[name] = {"old": new, "new": old}
        elif seen and (not atomic or _same(seen[0], new)):  # else it was somebody else in the meantime
            back[name] = {"old": {key: seen[0][key] for key in ("addresses", "ttl")}, "new": old}
    _change({**plan, "tried": [], "done": []}, back)
    _remember(plan["remembered"])


def _change(plan: dict[str, Any], edits: dict[str, Any]) -> None:
    settings = _settings(plan["provider"], plan["credentials"])
    about = __salt__[f"aaaa_{plan['provider']}.about"](settings)
    steps = [edits] if about["atomic"] else [{name: edit} for name, edit in edits.items()]
    for step in steps if edits else []:
        plan["tried"] += step
        __salt__[f"aaaa_{plan['provider']}.change"](settings, step)
        plan["done"] += step


# --------------------------------------------------------------------------------------------------------------
# What this host has published


def claim(records: list[str], address: str) -> None:
    """
    Remember an address as published by this host, so that it is removed when another takes its place.

    records
        The host names.
    address
        The IPv6 address.

    For a record that was right already when it was declared. Raises ``OSError``.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa.claim '[www.example.org]' 2001:470:1f13:f87::77
    """
    _remember({_canonical(name): [_address(address)] for name in records})


def _memory() -> dict[str, list[str]]:
    try:
        found = salt.utils.json.loads(__salt__["host_files.read"](MEMORY) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _remember(addresses: dict[str, list[str]]) -> None:
    memory = {**_memory(), **addresses}
    kept = {name: sorted(set(each)) for name, each in sorted(memory.items()) if each}
    if kept != _memory():
        __salt__["host_files.write"](MEMORY, salt.utils.json.dumps(kept, indent=1), mode=0o600)
