"""
What the parts of the pillar need on a host: packages of the operating system, and libraries for Salt's Python.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_dns_parts as dns_parts
import _dualstack_host_commands as host_commands
from salt.exceptions import SaltInvocationError

IFUP = "/sbin/ifup"  # any implementation is kept

# By default, installing iptables-persistent saves the live rules for the next boot. The firewall's state decides what
# is saved.
ANSWERS = {
    "iptables-persistent": {
        "iptables-persistent/autosave_v4": "false",
        "iptables-persistent/autosave_v6": "false",
    }
}
# Libraries: how each is imported, what it is called on PyPI, and by which key its Debian package is looked up.
LIBRARIES = {
    "netaddr": ("netaddr", "netaddr"),
    "dnspython": ("dns", "dnspython"),
    "lexicon": ("lexicon", "dns-lexicon"),
}
NEEDS = ("tunnel", "ifupdown", "firewall", "netaddr", "dns")

Version = Callable[[str], str]  # pkg.version: the version of a package, empty if it is not installed


def missing(need: Any, lookup: Any, pillar: Any, version: Version, python: str) -> dict[str, Any]:
    """
    What a host lacks for a part of the pillar.

    need
        One of ``NEEDS``.
    lookup
        The names on this OS family: ``packages``.
    pillar
        ``ipv6``, whose ``lookup`` takes precedence, and whose ``dns:provider`` decides which libraries are needed.
    version
        Salt's ``pkg.version``.
    python
        The Python that runs Salt. For the system's own, as over salt-ssh and in Debian's old packages, libraries are
        packages; one with its own pip (onedir, a virtual environment) gets them from there.

    Returns ``there``, a sentence if nothing is missing, else an empty text; ``lacks``, the opposite; ``packages``,
    ``distributions`` and ``answers``. Raises ``SaltInvocationError``.
    """
    ipv6 = pillar if isinstance(pillar, Mapping) else {}
    packages: dict[str, Any] = {}
    for given in (lookup, ipv6.get("lookup")):
        own = given.get("packages") if isinstance(given, Mapping) else None
        packages.update(own if isinstance(own, Mapping) else {})
    if need in ("tunnel", "firewall"):
        names = _names(need, packages)
        lacking = [each for each in names if not version(each)]
        return _found(lacking, f"{', '.join(names)}", packages=names, answers=ANSWERS if need == "firewall" else {})
    if need == "ifupdown":
        there = os.access(IFUP, os.X_OK)
        return _found([] if there else [IFUP], IFUP, packages=_names(need, packages))
    if need in ("netaddr", "dns"):
        lexicon = any(each.get("provider") == "lexicon" for _, each in dns_parts.entries(ipv6.get("dns")))
        libraries = ["netaddr"] if need == "netaddr" else ["dnspython", *(["lexicon"] if lexicon else [])]
        return _libraries(libraries, packages, python)
    raise SaltInvocationError(f"need: {need!r} is not one of {', '.join(NEEDS)}")


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
    }
