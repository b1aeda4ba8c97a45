"""
The pillar ``ipv6`` as a whole, checked before anything is changed: every error in it is reported at once.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_broker_complete as broker_complete
import _dualstack_broker_settings as broker_settings
import _dualstack_converge as converge
import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_dns_ptr as dns_ptr
import _dualstack_dns_settings as dns_settings
import _dualstack_errors as errors_room
import _dualstack_firewall_addresses as firewall_addresses
import _dualstack_firewall_managers as firewall_managers
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_wanted as firewall_wanted
import _dualstack_host_management_settings as host_management_settings
import _dualstack_native_settings as native_settings
import _dualstack_pillar_advertised as pillar_advertised
import _dualstack_pillar_parts as pillar_parts
import _dualstack_pillar_tunnels as pillar_tunnels
import _dualstack_plugins as plugins
import _dualstack_service_settings as service_settings
import _dualstack_settings as settings
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_transaction_wanted as transaction_wanted
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_words as words
from salt.exceptions import CommandExecutionError

KEY = "ipv6"  # where the formula has the pillar
PARTS = {
    "tunnel": "the tunnel's numbers",
    "tunnels": "several tunnels, by the names of their interfaces",
    "native": "the addresses and the gateway of the hoster",
    "firewall": "the firewall's tables",
    "sysctl": "kernel parameters",
    "services": "services",
    "verify": "what proves that IPv6 works",
    "dns": "where the AAAA records are published",  # or a list of such mappings
}
MAPPINGS = {
    **PARTS,
    "manage": "who manages this host",
    "confirm": "how a run is confirmed",
    "lookup": "what is called otherwise on this host",
}
KEYS = (*PARTS, "sysctl_except", "manage", "confirm", "lookup")
SUPPORTED, UNTRIED, REFUSED = "supported", "untried", "refused"  # releases
LONGEST = 600  # characters of one sentence

# Characters that files and commands do not accept: control characters and surrogates.
LOST = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
# Where keys may be whole numbers: ports, and the groups of a chain's rules.
NUMBERED = re.compile(r"ipv6:services:[^:]*:protocols|ipv6:firewall:tables:[^:]*:[^:]*:rules")
EMPTY = re.compile(r"ipv6:services:[^:]*")  # a service without settings
KINDS = {type(None): "nothing", bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class Known(NamedTuple):
    """The plug-ins that a pillar may name."""

    stacks: Mapping[str, plugins.Stack]
    services: Mapping[str, plugins.Service]
    providers: Mapping[str, plugins.Provider]


def errors(pillar: Any, known: Known) -> list[str]:
    """
    All errors in the pillar ``ipv6``, as far as this can be checked without the host.

    pillar
        As a user wrote it; it may be anything.
    known
        The plug-ins that it may name.

    Returns one sentence for each error, beginning with the key.
    """
    if not isinstance(pillar, dict):
        return [_short(f"ipv6: expected a mapping with the parts {', '.join(PARTS)}, found {pillar!r}")]
    problems = []
    wrong = set()
    for key, value in pillar.items():
        found = list(_part_errors(key, value, known))
        problems += found
        wrong.update([key] if found else [])
    if "tunnel" in pillar and "tunnels" in pillar:
        problems.append("ipv6:tunnels: there is ipv6:tunnel as well; expected one of the two, with all tunnels in it")
    elif "dns" in pillar and not wrong & {"tunnel", "tunnels", "native", "dns"}:
        problems += _address_errors(pillar["dns"], settings_native.holders(pillar))
    if "native" in pillar and "native" not in wrong:
        tunnels = list(settings_tunnels.entries(pillar).values())
        problems += [f"ipv6:native:{each}" for each in native_settings.collisions(pillar["native"], tunnels)]
    return [_short(each) for each in problems]


def _part_errors(part: Any, value: Any, known: Known) -> Iterator[str]:
    path = f"ipv6:{part}"
    if part not in KEYS:
        yield f"{path}: {words.unknown(part, KEYS)}"
    elif part in MAPPINGS and not isinstance(value, dict) and not (part == "dns" and isinstance(value, list)):
        yield f"{path}: expected a mapping of {MAPPINGS[part]}, found {_kind(value)}"
    elif odd := list(_odd(value, path)):
        yield from odd
    else:
        # Errors in a part that is a list begin with their place in it, as [0].
        said = [f"{path}{'' if each[0] in ':[' else ':'}{each}" for each in _said(part, value, known)]
        yield from said
        for place in _empty(value, path):
            if not any(each.startswith(f"{place}:") for each in said):
                yield f"{place}: expected a value, found nothing; leave the key out if none is meant"


def _said(part: str, value: Any, known: Known) -> list[str]:
    own: dict[str, Callable[[Any], Iterator[str] | list[str]]] = {
        "tunnel": lambda tunnel: tunnel_stack.errors(tunnel, known.stacks),
        "tunnels": lambda tunnels: pillar_tunnels.errors(tunnels, lambda one: tunnel_stack.errors(one, known.stacks)),
        "native": lambda native: native_settings.errors(native, known.stacks),
        "firewall": firewall_ruleset.errors,
        "services": lambda services: service_settings.errors(services, known.services),
        "dns": lambda dns: dns_settings.errors(dns, known.providers),
        "sysctl": pillar_parts.sysctl_errors,
        "verify": pillar_parts.verify_errors,
        "confirm": transaction_wanted.errors,
        "sysctl_except": pillar_parts.name_errors,
        "manage": host_management_settings.errors,
        "lookup": pillar_parts.lookup_errors,
    }
    # Libraries that Salt's Python lacks are installed later in the same run.
    return [each for each in own[part](value) if firewall_addresses.LACKS_NETADDR not in each]


def _odd(value: Any, path: str) -> Iterator[str]:
    """What the validators need not expect. No value is shown: it may be a secret."""
    if isinstance(value, str):
        if lost := LOST.search(value):
            yield f"{path}: expected text that can be printed, found the character U+{ord(lost[0]):04X} in it"
    elif isinstance(value, dict):
        kinds = {type(key) for key in value}
        if kinds == {int} and NUMBERED.fullmatch(path):
            kinds = {str}
        for key, each in value.items():
            if kinds == {str} or isinstance(key, str):
                yield from _odd(str(key), f"{path}:{key}")
            else:
                yield f"{path}:{key}: expected a key that is text, found {_kind(key)}; should it be quoted?"
            yield from _odd(each, f"{path}:{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _odd(each, f"{path}[{index}]")
    elif not isinstance(value, (type(None), int, float)):
        yield f"{path}: expected text, a number, a list or a mapping, found {_kind(value)}; should it be quoted?"


def _kind(value: Any) -> str:
    """The type of a value, without showing it."""
    for kind, name in ((dict, "a mapping"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return KINDS.get(type(value)) or f"a {type(value).__name__}"


def _empty(value: Any, path: str) -> Iterator[str]:
    """The places whose meaning is unclear: keys without a value."""
    if value is None and not EMPTY.fullmatch(path):
        yield path
    for key, each in value.items() if isinstance(value, dict) else ():
        yield from _empty(each, f"{path}:{key}")
    for index, each in enumerate(value if isinstance(value, list) else ()):
        yield from _empty(each, f"{path}[{index}]")


def _short(sentence: str) -> str:
    """A sentence, shortened: the value that was found may be of any length."""
    if len(sentence) <= LONGEST:
        return sentence
    return f"{sentence[: LONGEST // 2]} ... {sentence[-LONGEST // 2 :]}"


def _address_errors(dns: Any, tunnels: list[dict[str, Any]]) -> Iterator[str]:
    """The published address has to be one of the tunnel's or the hoster's, and in the zone of its PTR record."""
    found = dns_parts.entries(dns)
    place = next((key for key, each in found if each.get("address") is not None), found[0][0])
    address = dns_parts.address(dns)
    if not tunnels:
        if address is None:
            yield f"{settings.told(place)}:address: missing; there is no tunnel whose address could be published"
            return
    else:
        held = [each for tunnel in tunnels for each in settings_tunnels.hosts(tunnel)]
        if address is not None and str(ipaddress.IPv6Address(address)) not in held:
            yield (
                f"{settings.told(place)}:address: {address} is not one of {_whose(tunnels)} addresses "
                f"({', '.join(held)})"
            )
            return
    published = dns_address.published(dns, settings_tunnels.of(tunnels, address))
    for key, each in found:
        yield from (f"{settings.told(key)}:ptr:{said}" for said in dns_ptr.address_errors(each.get("ptr"), published))


def _whose(holders: list[dict[str, Any]]) -> str:
    tunnels = [each for each in holders if "endpoint" in each or "id" in each]
    native = " and the hoster's" if len(holders) > len(tunnels) else ""
    if not tunnels:
        return native.removeprefix(" and ")
    return ("the tunnel's" if len(tunnels) == 1 else "the tunnels'") + native


def unsupported(pillar: Any, supported: Mapping[str, list[str]], system: str, release: str) -> list[str]:
    """
    Which parts of a pillar are not supported on this host.

    pillar
        The pillar ``ipv6``.
    supported
        By the grain ``os``, the first and the last supported release.
    system, release
        The grains ``os`` and ``osrelease``.

    Returns one sentence for each part that the pillar has.
    """
    if _standing(supported, system, release) in (SUPPORTED, UNTRIED):
        return []
    expected = " or ".join(f"{name} {lowest} to {highest}" for name, (lowest, highest) in supported.items())
    used = [part for part in PARTS if isinstance(pillar, dict) and part in pillar]
    return [f"ipv6:{part} is not supported on {_host(system, release)}; expected {expected}" for part in used]


def untried(supported: Mapping[str, list[str]], system: str, release: str) -> list[str]:
    """
    A warning where this release is later than those that are supported, or says no number, as Debian testing.

    supported, system, release
        As for :py:func:`unsupported`.
    """
    if _standing(supported, system, release) != UNTRIED:
        return []
    those = f"{system} {' to '.join(supported[system])}"
    return [
        f"warning: {_host(system, release)} is not among the releases that are supported ({those}): it was not tried"
    ]


def _standing(supported: Mapping[str, list[str]], system: str, release: str) -> str:
    if system not in supported:
        return REFUSED
    first, last = supported[system]
    number = _number(release)
    if not number:
        return UNTRIED
    # A major release includes its minor ones: 13 is the last, and so is 13.1.
    later = number[: len(_number(last))] > _number(last)
    return REFUSED if number < _number(first) else UNTRIED if later else SUPPORTED


def _host(system: str, release: str) -> str:
    return (
        f"{system} {release}" if _number(release) else f"{system} without the number of a release (it says {release!r})"
    )


def _number(release: str) -> list[int]:
    found = re.match(r"\d+(\.\d+)*", release)
    return [int(each) for each in found[0].split(".")] if found else []


def impossible(pillar: Mapping[str, Any], key: str, cachedir: str) -> list[str]:
    """
    What this host's kernel rejects of a valid pillar.

    pillar
        The whole pillar.
    key
        Where ``ipv6`` is in it.
    cachedir
        Salt's folder for what is remembered, so that the rules are loaded only once in this run.

    Returns one sentence for each kernel parameter that does not and will not exist, for each rule that cannot be
    loaded, and for each other manager of the firewall that is active and not expected. Changes nothing.
    """
    absent = {name: pillar_parts.not_there(name) for name in pillar[key].get("sysctl", {})}
    problems = [f"{key}:sysctl:{name}: {said}" for name, said in absent.items() if said]
    given, native = pillar[key].get("sysctl") or {}, pillar[key].get("native") or {}
    problems += [f"{key}:sysctl:{each}" for each in pillar_advertised.lost(given, native.get("interface"))]
    if "firewall" in pillar[key]:
        problems += firewall_wanted.refused(pillar, f"{key}:firewall", cachedir)
    problems = [_short(each) for each in problems]
    if "firewall" in pillar[key]:
        problems += firewall_managers.errors(pillar, f"{key}:firewall", cachedir)
    return problems


def checked(
    pillar: Mapping[str, Any],
    key: str,
    supported: Mapping[str, list[str]],
    known: Known,
    grains: Mapping[str, Any],
    cachedir: str,
) -> converge.Finding:
    """
    Whether the pillar of a host is valid there.

    pillar
        The whole pillar.
    key
        Where ``ipv6`` is in it.
    supported
        By the grain ``os``, the first and the last supported release; any, if empty.
    known
        The plug-ins.
    grains
        The host's.
    cachedir
        As for :py:func:`impossible`.
    """
    if not isinstance(key, str):
        return converge.Finding(False, f"pillar: expected a key of the pillar, such as ipv6, found {_kind(key)}")
    if key not in pillar:
        return converge.Finding(
            False, f"{key}: there is no such pillar for this host; an empty one, {{}}, manages nothing"
        )
    given = pillar[key]
    if key != KEY and not isinstance(given, dict):  # it may be any secret, if the key is wrong
        return converge.Finding(
            False, f"{key}: expected a mapping with the parts {', '.join(PARTS)}, found {_kind(given)}"
        )
    problems = [*errors(given, known), *transaction_wanted.once_errors(pillar, key)]
    warnings = []
    if supported:
        system, release = str(grains["os"]), str(grains.get("osrelease", ""))
        problems += unsupported(given, supported, system, release)
        warnings = untried(supported, system, release) if given else []
    problems = problems or _broker_errors(pillar, key) or impossible(pillar, key, cachedir)
    return converge.Finding(not problems, "\n".join([*(problems or ["it is valid"]), *warnings]))


def _broker_errors(pillar: Mapping[str, Any], key: str) -> list[str]:
    """What is wrong with the account at a tunnel's broker, and with what that says of the tunnel, or does not say."""
    problems = []
    for place, tunnel in settings_tunnels.entries(pillar[key]).items():
        if not broker_settings.wired(tunnel):
            continue
        said = broker_settings.account_errors(tunnel, pillar)
        problems += said
        try:
            whole = tunnel if said else broker_complete.complete(tunnel, pillar)
        except (CommandExecutionError, OSError) as error:
            problems.append(_short(f"{key}:{place}:{errors_room.said(error)}"))
        else:
            problems += [] if said else [f"{key}:{place}:{each}" for each in tunnel_sit.errors(whole)]
    return problems
