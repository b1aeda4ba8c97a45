"""
The tunnel in the configuration of Debian's ifupdown, interfaces(5). PURE: never accesses the host.

The network stacks are plug-ins: an execution module ``tunnel_<stack>`` with the functions of this one.

* How ifupdown treats a stanza was measured with 0.8.41 and 0.8.44. The form that :py:func:`files` writes has no hook
  that could fail and orphan the tunnel, and determines every source address.
* A tunnel has one file of its own, ``/etc/network/interfaces.d/<name>``. Other files are changed in two cases only:
  when none of them sources that file, and when ``adopt`` moves a stanza written by hand.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import Any

from salt.exceptions import CommandExecutionError

__virtualname__ = "tunnel_ifupdown"

MAIN = "/etc/network/interfaces"
FOLDER = "/etc/network/interfaces.d"
MARK = "# Managed by Salt (he_tunnel)"
HEADER = f"{MARK}. Changes here are overwritten: they belong in the pillar, ipv6:tunnel.\n"

# Words that end a stanza and begin another one, interfaces(5).
INCLUDES = ("source", "source-directory")
SELECTIONS = ("auto", "no-auto-down", "no-scripts")
OWN_STANZAS = ("iface", "mapping", "template", "rename", *INCLUDES, *SELECTIONS)
# Names of files that source-directory reads, run-parts(8); `source` reads whatever its pattern matches.
RUN_PARTS = r"[A-Za-z0-9_-]+"

# Options of a stanza that correspond to the tunnel's keys; anything else would be lost when it is moved.
OPTIONS = {"endpoint": str, "local": str, "gateway": str, "ttl": int, "mtu": int, "metric": int}
# The words of these files that are shown in changes.
SHOWN = (
    "auto allow-hotplug iface inet inet6 v4tunnel static manual address netmask endpoint local gateway metric ttl mtu "
    "preferred-lifetime accept_ra autoconf dad-attempts source source-directory pre-up up post-up pre-down down "
    "post-down ip -6 addr route add replace del default from via dev onlink $IFACE echo true sysctl "
    "/proc/sys/net/ipv6/conf/$IFACE/accept_ra"
).split()
EXPRESSED = {*OPTIONS, "address", "netmask", "preferred-lifetime", "accept_ra", "autoconf", "dad-attempts"}
HOOK = re.compile(
    r"(?:pre-up|up|post-up|pre-down|down|post-down)\s+(?:/\S+/)?ip\s+(?:-6\s+)?(?:"
    r"a(?:ddr(?:ess)?)?\s+(?P<verb>add|replace|del|delete)\s+(?P<address>\S+)"
    r"|r(?:oute)?\s+(?P<route>add|replace|del|delete)\s+default(?:\s+from\s+\S+)?\s+via\s+\S+(?:\s+metric\s+\d+)?"
    r")\s+dev\s+(?P<device>\S+)(?:\s+onlink)?\s*"
)
# A stanza `v4tunnel` has no option for it: ifupdown ignores an `accept_ra` there. Nothing in a hook may fail.
QUIET = "    up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || true"
BY_HAND = re.compile(
    r"(?:pre-up|up|post-up)\s+(?:"
    r"echo\s+0\s*>\s*/proc/sys/net/ipv6/conf/(?P<file>[^/\s]+)/(?:accept_ra|autoconf)"
    r"|(?:/\S+/)?sysctl\s+(?:-\S+\s+)*net\.ipv6\.conf\.(?P<name>\S+)\.(?:accept_ra|autoconf)=0"
    r")(?:\s*\|\|\s*(?:true|:))?\s*"
)


def about() -> dict[str, Any]:
    """
    How ifupdown is recognised on a host.

    Returns ``program``, which has to be there; ``arguments``, with which it identifies itself to :py:func:`recognise`;
    ``otherwise``, why another implementation of it does not work; ``mark``, what a file of this project's own begins
    with; ``words``, those of its files that are shown in changes; and ``boot``, how an interface comes up at boot.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.about
    """
    return {
        "program": "ifup",
        "arguments": ["--version"],
        "otherwise": "which reads /etc/network/interfaces differently and could lose all its interfaces because "
        "of the tunnel's stanza",
        "mark": MARK,
        "words": SHOWN,
        "boot": {
            "service": "networking",
            # Not `allow-hotplug`: no event of the kernel's precedes a tunnel.
            "selected": r"^[ \t]*(?:auto|allow-auto)[ \t](?:.*[ \t])?{}(?:[ \t]|$)",
            "unless": {
                "/etc/default/networking": r"^[ \t]*(?:CONFIGURE_INTERFACES=[\"']?no\b|EXCLUDE_INTERFACES=.*\b{}\b)"
            },
        },
    }


def recognise(version: str) -> str:
    """
    Which implementation of ifup(8) this is.

    version
        What ``ifup --version`` printed.

    Returns ``ifupdown``, ``ifupdown-ng``, ``ifupdown2`` or ``unknown``. They read the same file differently: a
    ``v4tunnel`` stanza makes every command of ifupdown-ng fail, for all interfaces.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.recognise 'ifup version 0.8.41'
    """
    for name, sign in (("ifupdown-ng", "ifupdown-ng"), ("ifupdown2", "ifupdown2"), ("ifupdown", "ifup version 0.")):
        if sign in version:
            return name
    return "unknown"


def up(name: str) -> list[str]:
    """
    The command that brings up an interface that does not exist.

    name
        The interface name.

    ``--force``, since an interface that was deleted by hand is still recorded as up.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.up he-ipv6
    """
    return ["ifup", "--force", name]


def down(name: str) -> list[str]:
    """
    The command that takes an interface down, with the configuration that it was brought up with.

    name
        The interface name.

    Its exit status means nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.down he-ipv6
    """
    return ["ifdown", "--force", name]


def roots(name: str) -> list[str]:
    """
    The files to begin reading with; :py:func:`includes` leads to the others.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.roots he-ipv6
    """
    return [MAIN, _own_file(name)]


def _own_file(name: str) -> str:
    """The one file that belongs to a tunnel."""
    return f"{FOLDER}/{name}"


def includes(path: str, text: str) -> list[list[str]]:
    """
    The files that a file includes.

    path
        The file's own path; relative patterns start in its folder.
    text
        Its content.

    Returns a list of pairs: a shell pattern for paths, and a regular expression for the last part of the path.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.includes /etc/network/interfaces 'source /etc/network/interfaces.d/*'
    """
    result = []
    for stanza in _stanzas(text):
        if stanza["keyword"] in INCLUDES:
            for word in stanza["words"][1:]:
                pattern = posixpath.normpath(posixpath.join(posixpath.dirname(path), word))
                if stanza["keyword"] == "source":
                    result.append([pattern, ".*"])
                else:
                    result.append([f"{pattern}/*", RUN_PARTS])
    return result


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """
    The files of a tunnel, as text.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.files '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, ttl: 255, mtu: 1480}'
    """  # noqa: E501
    name, source = tunnel["name"], tunnel["source"]
    lines = [
        f"auto {name}",
        f"iface {name} inet6 v4tunnel",
        f"    address {tunnel['address']}",
        f"    endpoint {tunnel['endpoint']}",
        f"    local {tunnel['local']}",
    ]
    if tunnel["routing"] == "default":
        lines += [f"    gateway {tunnel['gateway']}", f"    metric {tunnel['metric']}"]
    lines += [f"    ttl {tunnel['ttl']}", f"    mtu {tunnel['mtu']}"]
    lines += [*_deprecation(tunnel["address"], source), QUIET]
    if tunnel["routing"] == "source":
        # `ip route add` cannot be repeated, `replace` can: a hook that fails leaves an interface that ifdown ignores.
        lines += [f"    up ip -6 route replace {route} dev $IFACE onlink" for route in tunnel["routes"]]
    # Not a second `address` line: ifupdown would put both into one command.
    for address in tunnel["addresses"]:
        lines += [
            f"iface {name} inet6 static",
            f"    address {address}",
            "    accept_ra 0",
            "    dad-attempts 0",
            *_deprecation(address, source),
        ]
    return {_own_file(name): HEADER + "\n".join(lines) + "\n"}


def _deprecation(address: str, source: str) -> list[str]:
    return [] if address.partition("/")[0] == source else ["    preferred-lifetime 0"]


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str]:
    """
    The files of a host on which the tunnel is configured.

    tunnel
        In canonical form, its ``local`` an address.
    host
        The text of every file that ifupdown reads on the host, by path.
    adopt
        Move hand-written stanzas of this name here, instead of refusing.

    Returns the new text of every file that matters. Raises ``CommandExecutionError`` if the name is configured
    elsewhere and may not be moved, or if moving would lose a line.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.present '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, ttl: 255, mtu: 1480}' '{/etc/network/interfaces: ""}'
    """  # noqa: E501
    name = tunnel["name"]
    own = _own_file(name)
    result = _without_foreign(name, host, adopt)
    result.update(files(tunnel))
    main = result.get(MAIN, host.get(MAIN, ""))
    known = {**host, **result, MAIN: main}
    if not any(_matches(own, *each) for path, text in known.items() if path != own for each in includes(path, text)):
        # Only this file, not the folder: other files there have been inactive so far, and stay so.
        result[MAIN] = f"{main}{'' if main.endswith(chr(10)) or not main else chr(10)}{_source_line(name)}"
    return result


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is not configured.

    name
        The interface name.
    host
        The text of every file that ifupdown reads on the host, by path.
    adopt
        Remove hand-written stanzas of this name, too, instead of refusing.

    Returns the new text of every file that matters, ``None`` for one that is removed. Raises
    ``CommandExecutionError`` as :py:func:`present` does.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.absent he-ipv6 '{/etc/network/interfaces: ""}'
    """
    own = _own_file(name)
    result: dict[str, str | None] = {**_without_foreign(name, host, adopt)}
    if own in result or host.get(own, "").startswith(MARK):
        result[own] = None
    main = (result.get(MAIN, host.get(MAIN)) or "").splitlines(keepends=True)
    if _source_line(name) in main:
        result[MAIN] = "".join(line for line in main if line != _source_line(name))
    return result


def _source_line(name: str) -> str:
    return f"source {_own_file(name)}\n"


def _matches(path: str, pattern: str, expression: str) -> bool:
    folder, name = posixpath.split(path)
    pattern_folder, pattern_name = posixpath.split(pattern)
    return (
        fnmatch.fnmatchcase(folder, pattern_folder)
        and fnmatch.fnmatchcase(name, pattern_name)
        and re.fullmatch(expression, name) is not None
    )


def _without_foreign(name: str, host: dict[str, str], adopt: bool) -> dict[str, str]:
    """The files with stanzas of this name that are not ours, without them; raises if they have to stay."""
    result, problems = {}, []
    for path, text in host.items():
        if path == _own_file(name) and text.startswith(MARK):
            continue
        stanzas = [each for each in _stanzas(text) if _declares(each, name)]
        if not stanzas:
            continue
        lines = ", ".join(str(each["first"] + 1) for each in stanzas)
        place = f"{path}, line {lines}"
        if not adopt:
            problems.append(
                f"{name} is already configured in {place}, and not by he_tunnel; "
                f"'adopt: true' lets he_tunnel take it over, from there to {_own_file(name)}"
            )
        lost = [line for each in stanzas for line in _inexpressible(each, name)]
        if adopt and lost:
            problems.append(
                f"{name} cannot be adopted from {place}: these lines would be lost: {', '.join(lost)}. "
                "Move them to a hook in /etc/network/if-up.d, or remove them"
            )
        result[path] = _without(text, name)
    own = _own_file(name)
    if own in host and not host[own].startswith(MARK) and _stanzas(result.get(own, host[own])):
        problems.append(f"{own} is not managed by he_tunnel and holds other lines; move them to another file")
    if problems:
        raise CommandExecutionError("\n".join(problems))
    return result


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares.

    name
        The interface name.
    host
        The text of every file that ifupdown reads on the host, by path.

    Returns the keys of a tunnel as far as the stanzas have them, or ``None`` if there is no such tunnel.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.parse he-ipv6 \\
            '{/etc/network/interfaces: "iface he-ipv6 inet6 v4tunnel\\n endpoint 216.66.84.42"}'
    """
    stanzas = [
        each
        for text in host.values()
        for each in _stanzas(text)
        if each["keyword"] == "iface" and each["words"][1] == name
    ]
    main = next((each for each in stanzas if each["words"][2:4] == ["inet6", "v4tunnel"]), None)
    if main is None:
        return None
    tunnel: dict[str, Any] = {"name": name, "addresses": [], "routing": "none"}
    for stanza in stanzas:
        options = dict(option["pair"] for option in stanza["options"])
        address = options.get("address", "")
        if address and "/" not in address:
            address = f"{address}/{options.get('netmask', '128')}"
        if stanza is main:
            tunnel["address"] = address
            tunnel.update({key: _typed(read, options[key]) for key, read in OPTIONS.items() if key in options})
            if "gateway" in options:
                tunnel["routing"] = "default"
        elif address:
            tunnel["addresses"].append(address)
        if address and "preferred-lifetime" not in options:
            tunnel.setdefault("source", address.partition("/")[0])
        for option in stanza["options"]:
            hook = HOOK.fullmatch(option["text"])
            if hook and hook["verb"] in ("add", "replace") and hook["address"] not in tunnel["addresses"]:
                tunnel["addresses"].append(hook["address"])
            if hook and hook["route"] in ("add", "replace"):
                words = option["text"].split()
                tunnel.update(routing="source", gateway=words[words.index("via") + 1])
                if "metric" in words:
                    tunnel["metric"] = int(words[words.index("metric") + 1])
    return tunnel


def _typed(read: type, text: str) -> Any:
    """A number if it is one; anything else stays as it is."""
    try:
        return read(text)
    except ValueError:
        return text


def _stanzas(text: str) -> list[dict[str, Any]]:
    """
    The stanzas of interfaces(5): ``keyword``, ``words``, ``first`` and ``last`` line, ``options``.

    ``last`` is the last line with an option, so that comments above the next stanza belong to that one.
    """
    result: list[dict[str, Any]] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        first, line = number, lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + lines[number].strip()
            number += 1
        words = line.split()
        if words[0] in OWN_STANZAS or words[0].startswith("allow-"):
            if words[0] == "iface":
                words += [""] * (2 - len(words))
            result.append({"keyword": words[0], "words": words, "first": first, "last": number - 1, "options": []})
        elif result:
            key, *value = line.split(maxsplit=1)
            pair = (key, "".join(value).strip())
            result[-1]["options"].append({"pair": pair, "text": " ".join(words), "first": first})
            result[-1]["last"] = number - 1
    return result


def _selects(stanza: dict[str, Any]) -> bool:
    return stanza["keyword"] in SELECTIONS or stanza["keyword"].startswith("allow-")


def _declares(stanza: dict[str, Any], name: str) -> bool:
    if stanza["keyword"] in ("iface", "mapping"):
        return bool(stanza["words"][1] == name)
    return _selects(stanza) and name in stanza["words"][1:]


def _inexpressible(stanza: dict[str, Any], name: str) -> list[str]:
    """The lines of a stanza that correspond to no key of a tunnel: their numbers and first words; no more is shown."""
    if _selects(stanza):
        return []
    words = stanza["words"]
    lost = []
    if words[0] != "iface" or (words[3:4] not in (["v4tunnel"], ["static"], ["manual"])) or words[4:]:
        lost.append(f"{stanza['first'] + 1} ({words[0]})")
    for option in stanza["options"]:
        hook = HOOK.fullmatch(option["text"])
        device = hook["device"] if hook else _quiet(option["text"])
        ours = device.strip('"') in (name, name.replace(".", "/"), "$IFACE", "${IFACE}")
        if option["pair"][0] not in EXPRESSED and not ours:
            lost.append(f"{option['first'] + 1} ({option['pair'][0]})")
    return lost


def _quiet(text: str) -> str:
    """The interface that a hook keeps from listening to router advertisements; empty if it does something else."""
    found = BY_HAND.fullmatch(text)
    return (found["file"] or found["name"]) if found else ""


def _without(text: str, name: str) -> str:
    """The text without the stanzas of one interface; every other line stays as it is."""
    lines = text.splitlines(keepends=True)
    drop: set[int] = set()
    for stanza in _stanzas(text):
        if not _declares(stanza, name):
            continue
        span = range(stanza["first"], stanza["last"] + 1)
        others = [word for word in stanza["words"][1:] if word != name] if _selects(stanza) else []
        drop.update(span)
        if others:
            lines[stanza["first"]] = f"{stanza['keyword']} {' '.join(others)}\n"
            drop.discard(stanza["first"])
    kept: list[str] = []
    for number, line in enumerate(lines):
        doubled = not line.strip() and (not kept or not kept[-1].strip()) and number - 1 in drop
        if number not in drop and not doubled:
            kept.append(line)
    while len(lines) - 1 in drop and kept and not kept[-1].strip():
        kept.pop()  # the blank line that stood before the last stanza
    return "".join(kept)
