"""
What the parts of the pillar need on a host: packages of the operating system, and libraries for Salt's Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_dns_parts as dns_parts
import _dualstack_firewall_beside as firewall_beside
import _dualstack_firewall_managers as firewall_managers
import _dualstack_host_commands as host_commands
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import SaltInvocationError

IFUP = "/sbin/ifup"  # any implementation is kept

# By default, installing iptables-persistent saves the live rules for the next boot. The firewall's state decides what
# is saved.
ANSWERS = {
    "iptables-persistent": {
        "iptables-persistent/autosave_v4": "false",
        "iptables-persistent/autosave_v6": "false",
    },
    "ipset-persistent": {"ipset-persistent/autosave": "false"},
}
# Libraries: how each is imported, what it is called on PyPI, and by which key its Debian package is looked up.
LIBRARIES = {
    "netaddr": ("netaddr", "netaddr"),
    "dnspython": ("dns", "dnspython"),
    "lexicon": ("lexicon", "dns-lexicon"),
}
# What loads the rules at boot is a need of its own: where it would remove a manager of the firewall that is yet to be
# taken over, it comes after that.
NEEDS = ("tunnel", "ifupdown", "firewall", "netaddr", "dns", "loader")
PACKAGES = {"tunnel": "tunnel", "firewall": "firewall", "loader": "firewall"}  # their keys in lookup:packages
REMOVED = re.compile(r"^Remv (\S+)", re.MULTILINE)  # as apt-get -s prints it

Version = Callable[[str], str]  # pkg.version: the version of a package, empty if it is not installed


def missing(need: Any, lookup: Any, pillar: Any, version: Version, python: str) -> dict[str, Any]:
    """
    What a host lacks for a part of the pillar.

    need
        One of ``NEEDS``.
    lookup
        The names on this OS family: ``packages``.
    pillar
        ``ipv6``, whose ``lookup`` takes precedence, and whose ``dns:provider`` and tunnels' ``carrier`` decide what is
        needed.
    version
        Salt's ``pkg.version``.
    python
        The Python that runs Salt. For the system's own, as over salt-ssh and in Debian's old packages, libraries are
        packages; one with its own pip (onedir, a virtual environment) gets them from there.

    Returns ``there``, a sentence if nothing is missing, else an empty text; ``lacks``, the opposite; ``packages``,
    ``distributions`` and ``answers``; ``refused``, a sentence if the packages would remove others, which may open this
    host; ``removes``, those that they are meant to remove, and ``awaits``, a sentence if it is too early for that.
    Raises ``SaltInvocationError``, and ``CommandExecutionError`` if a command cannot be run.
    """
    ipv6 = pillar if isinstance(pillar, Mapping) else {}
    packages: dict[str, Any] = {}
    for given in (lookup, ipv6.get("lookup")):
        own = given.get("packages") if isinstance(given, Mapping) else None
        packages.update(own if isinstance(own, Mapping) else {})
    if need in tuple(PACKAGES):  # it may be anything
        names = _names(PACKAGES[need], packages)
        if need == "tunnel" and _has_keys(ipv6):
            names = [*names, *(each for each in _names("wireguard", packages) if each not in names)]
        if need != "tunnel" and _has_sets(ipv6):
            names = [*names, *(each for each in _names("sets", packages) if each not in names)]
        lacking = [each for each in names if not version(each)]
        found = _found(
            lacking, f"{', '.join(names)}", packages=names, answers=_answers(names) if need != "tunnel" else {}
        )
        taken = firewall_beside.listed(ipv6.get("firewall") or {}, "take_over") if need != "tunnel" else []
        return _without_removing(found, need, lacking, taken)
    if need == "ifupdown":
        there = os.access(IFUP, os.X_OK)
        return _found([] if there else [IFUP], IFUP, packages=_names(need, packages))
    if need in ("netaddr", "dns"):
        lexicon = any(each.get("provider") == "lexicon" for _, each in dns_parts.entries(ipv6.get("dns")))
        libraries = ["netaddr"] if need == "netaddr" else ["dnspython", *(["lexicon"] if lexicon else [])]
        return _libraries(libraries, packages, python)
    raise SaltInvocationError(f"need: {need!r} is not one of {', '.join(NEEDS)}")


def _has_sets(ipv6: Mapping[str, Any]) -> bool:
    firewall = ipv6.get("firewall")
    return isinstance(firewall, Mapping) and bool(firewall.get("sets"))


def _has_keys(ipv6: Mapping[str, Any]) -> bool:
    """Whether a tunnel has WireGuard as its carrier. The pillar need not be valid."""
    return any(each.get("carrier") == "wireguard" for each in settings_tunnels.entries(ipv6).values())


def _answers(names: list[str]) -> dict[str, Any]:
    """What is answered when packages are installed; of ipset-persistent, only where there are sets."""
    return {each: answers for each, answers in ANSWERS.items() if each in names or each == "iptables-persistent"}


def _without_removing(found: dict[str, Any], need: str, lacking: list[str], taken: list[str]) -> dict[str, Any]:
    """The same, for packages that remove others: Debian's ufw and iptables-persistent cannot be installed together."""
    gone = removed(lacking)
    if not gone:
        return found
    if not set(gone) <= set(taken):
        return {**found, "refused": _refusal(PACKAGES[need], lacking, gone)}
    if need == "loader":
        still = [each for each in gone if each == "ufw" and firewall_managers.ufw_enabled()]
        return {**found, "removes": gone, "awaits": f"{', '.join(still)} has not been taken over" if still else ""}
    later = [each for each in lacking if removed([each])]
    now = [each for each in found["packages"] if each not in later]
    first = _found([each for each in lacking if each not in later], ", ".join(now), now, answers=found["answers"])
    if first["there"]:
        first["there"] += f"; {', '.join(later)} comes once {', '.join(gone)} has been taken over"
    return first


def removed(packages: list[str]) -> list[str]:
    """
    The packages that apt would remove to install others; none where it does not say, or there is no apt. (What is
    installed is installed with ``APT::Get::Remove`` switched off.)

    packages
        Those that are to be installed.

    Raises ``CommandExecutionError``.
    """
    if not packages or not host_commands.which("apt-get"):
        return []
    said = host_commands.output(["apt-get", "-s", "-q", "--no-install-recommends", "install", *packages])
    return sorted({each.partition(":")[0] for each in REMOVED.findall(said.stdout)}) if not said.retcode else []


def _refusal(key: str, lacking: list[str], gone: list[str]) -> str:
    others = ", ".join(gone)
    said = f"to install {', '.join(lacking)} would remove {others}, so nothing was installed"
    if gone == ["ufw"]:
        return (
            f"{said}: where ufw manages the firewall, say ipv6:firewall:take_over: [ufw]; where it is not used, "
            "remove it first ('apt-get remove ufw'); where it is to stay, name what can be beside it in "
            f"ipv6:lookup:packages:{key}"
        )
    return f"{said}: remove it first where it is not needed, or name other packages in ipv6:lookup:packages:{key}"


def _libraries(libraries: list[str], packages: Mapping[str, Any], python: str) -> dict[str, Any]:
    imports = [LIBRARIES[each][0] for each in libraries]
    script = f"try: import {', '.join(imports)}\nexcept Exception as error: raise SystemExit(error)"
    failure = host_commands.failure([python, "-c", script], shown=f"{python} -c import {', '.join(imports)}")
    ours = python.startswith("/usr/bin/")
    return _found(
        [failure] if failure else [],
        f"{', '.join(imports)} for {python}",
        packages=[name for each in libraries for name in _names(each, packages)] if ours else [],
        distributions=[] if ours else [LIBRARIES[each][1] for each in libraries],
    )


def _names(need: str, packages: Mapping[str, Any]) -> list[str]:
    names = packages.get(need)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(each, str) for each in names):
        raise SaltInvocationError(f"lookup:packages:{need}: expected the names of packages, found {names!r}")
    return names


def _found(
    lacking: list[str],
    what: str,
    packages: list[str] | None = None,
    distributions: list[str] | None = None,
    answers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "there": "" if lacking else f"installed: {what}",
        "lacks": f"still missing: {'; '.join(lacking)}" if lacking else "",
        "packages": packages or [],
        "distributions": distributions or [],
        "answers": dict(answers or {}),
        "refused": "",
        "removes": [],
        "awaits": "",
    }
