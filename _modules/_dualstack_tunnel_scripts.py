"""
Tunnels that are made by scripts: which ones any shell text would create. PURE: never accesses the host.

A text is split into simple commands as sh(1) would do it, with the variables that it sets itself; nothing is run. What
only a run would tell (a command's output, an argument, a variable that is set elsewhere) is ``?``. A branch that may
not be taken counts: what is asked is what the text could make.
"""

from __future__ import annotations

import functools
import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_tunnel_shell as tunnel_shell

ANY = "any"
UNKNOWN = tunnel_shell.UNKNOWN
# What ip-tunnel(8) calls the kinds, and ip-link(8).
MODES = {
    **{"sit": "sit", "ipv6/ip": "sit", "isatap": "isatap", "ipip": "ipip", "ip/ip": "ipip", "gre": "gre"},
    **{"gre/ip": "gre", "vti": "vti", "ip6ip6": "ip6tnl", "ipv6/ipv6": "ip6tnl", "ipip6": "ip6tnl", "ip4ip6": "ip6tnl"},
    **{"ip/ipv6": "ip6tnl", "any": "any", "ip6gre": "ip6gre", "gre/ipv6": "ip6gre", "vti6": "vti6"},
}
TYPES = ("sit", "gre", "ipip", "ip6tnl", "ip6gre", "gretap", "ip6gretap", "vti", "vti6", "wireguard")
# Keywords of both that have a value, and those that have none.
VALUED = (
    *("mode", "remote", "local", "dev", "ttl", "hoplimit", "hlim", "tos", "tclass", "dsfield", "key", "ikey", "okey"),
    *(
        "encaplimit",
        "flowlabel",
        "fwmark",
        "link",
        "mtu",
        "txqueuelen",
        "address",
        "numtxqueues",
        "alias",
        "type",
        "name",
    ),
    *("encap", "encap-sport", "encap-dport", "external", "6rd-prefix", "6rd-relay_prefix", "master", "group", "netns"),
)
TOOLS = ("ip", "iptunnel", "ifconfig", "sh", "bash", "dash", "ash")
# Commands that only speak of others, or run them elsewhere.
SPEAKERS = (
    *("echo", "printf", "ssh", "grep", "sed", "awk", "logger", "log", "cat", "die", "man", "which", "type", "command"),
    *(
        "expr",
        "test",
        "[",
        "[[",
        "for",
        "select",
        "case",
        "alias",
        "trap",
        "pkill",
        "pgrep",
        "read",
        "docker",
        "lxc-attach",
    ),
)
PROGRAMS = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/proc/", "/sys/", "/dev/", "/run/", "/lib/", "/usr/lib/")
WRAPPERS = 5  # words that may stand before the program: sudo -n, nice -n 5, a function of the script's own
PLACES = (
    *(
        "/etc/rc.local",
        "/etc/rc.d/*",
        "/etc/rc.d/init.d/*",
        "/etc/init.d/*",
        "/etc/conf.d/local.start",
        "/etc/local.d/*",
    ),
    *("/etc/boot.d/*", "/etc/network/if-*.d/*", "/etc/systemd/system/*.service", "/etc/systemd/system/*.d/*.conf"),
    *("/lib/systemd/system/*.service",),  # where people put theirs, too
    *("/usr/local/lib/systemd/system/*.service", "/etc/cron.d/*", "/etc/crontab", "/var/spool/cron/crontabs/*"),
    *("/var/spool/cron/*", "/etc/NetworkManager/dispatcher.d/*", "/etc/NetworkManager/dispatcher.d/*/*"),
    *("/etc/networkd-dispatcher/*/*", "/etc/ppp/ip-up.d/*", "/etc/ppp/ip-up.local", "/etc/ppp/ipv6-up.d/*"),
    *("/etc/dhcp/dhclient-exit-hooks.d/*", "/etc/dhcp/dhclient-enter-hooks.d/*", "/etc/dhcpcd.exit-hook"),
    *("/lib/dhcpcd/dhcpcd-hooks/*", "/etc/aiccu.conf", "/etc/aiccu/*.conf", "/etc/gogoc/gogoc.conf", "/etc/gw6c.conf"),
    *("/etc/gw6c/gw6c.conf", "/etc/miredo.conf", "/etc/miredo/miredo.conf", "/etc/ayiya.conf"),
)
UNIT = re.compile(
    r"^[ \t]*(?:Environment|Exec(?:Start|StartPre|StartPost|Reload|Condition))[ \t]*=[ \t]*[-@:+!|]*", re.MULTILINE
)
SERVICE, EXEC = re.compile(r"^\[Service\]", re.MULTILINE), re.compile(r"[ \t]*(?:Exec|Environment)|[ \t]+\S")
UNIT_STOP = re.compile(r"^[ \t]*Exec(?:Stop|StopPost)[ \t]*=.*$", re.MULTILINE)
CRON = re.compile(r"^[ \t]*(?:@[a-z]+|(?:[\d*][\d*/,-]*[ \t]+){4}[\d*][\d*/,A-Za-z-]*)[ \t]+(?=\S)", re.MULTILINE)
# What a text has to have that makes a tunnel, and one that runs a script of somebody's: most have neither.
QUICK = re.compile(
    r"tunnel|\btunl?\b|\btype\s+(?:%s)|\bmode\s+[\"'$]?(?:\w|\{|/)*(?:sit|gre|ip|vti|any|tap|MODE)" % "|".join(TYPES),
    re.IGNORECASE,
)
CALL = re.compile(r"/(?:root|home|opt|usr/local|srv|data|scripts?)/|/etc/network/|/etc/[\w.-]+\.(?:sh|conf)\b|\.sh\b")


class Tunnel(NamedTuple):
    """A command that makes or changes a tunnel."""

    name: str
    kind: str
    endpoint: str
    local: str
    options: dict[str, str]  # further words of the command, with their values
    exotic: list[str]  # words that this room does not know


def places() -> list[str]:
    """The files in which tunnels are made by scripts, and by programs of their own: shell patterns."""
    return list(PLACES)


def callers() -> list[str]:
    """Further files that run scripts, as hooks, and whose own tunnels the network stacks see: shell patterns."""
    return ["/etc/network/interfaces", "/etc/network/interfaces.d/*"]


def found(text: str, path: str = "", known: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """
    The tunnels that a text would make.

    text
        A script, a systemd unit, a crontab, or the configuration of ``aiccu``, ``gogoc``, ``gw6c``, ``miredo``.
    path
        Where it is: a configuration is known by its name.
    known
        Variables that are set outside of it.

    Returns dictionaries: ``name``, empty where only a run would tell it; ``kind`` (``sit``, ``6to4`` for one without an
    endpoint, ``gre``, ``ipip``, ``aiccu``, ...); ``endpoint`` and ``local``, an address, ``any``, or ``?``; and
    ``line``, from 1.
    """
    program = _program(path)
    if program:
        return [program(text)] if _speaks(text) else []
    if not QUICK.search(text):
        return []
    result: list[dict[str, Any]] = []
    sits = 0
    for line, tunnel in _all(shell(text), known or {}, 0):
        if tunnel.name == "sit0" and tunnel.kind == "sit" and "via sit0" in tunnel.exotic:
            sits += 1
            tunnel = tunnel._replace(name=f"sit{sits}")
        kind = "6to4" if tunnel.kind == "sit" and tunnel.endpoint == ANY else tunnel.kind
        name = "" if UNKNOWN in tunnel.name else tunnel.name
        entry = {"name": name, "kind": kind, "endpoint": tunnel.endpoint, "local": tunnel.local, "line": line}
        same = [each for each in result if {**each, "line": 0} == {**entry, "line": 0}]
        if not same:  # a script says so in several of its branches
            result.append(entry)
    return result


def called(text: str) -> list[str]:
    """
    The scripts that a text runs: their paths, in its order.

    text
        A script, a systemd unit, a crontab, or a file of ifupdown's with its hooks.
    """
    return list(_called(text))


@functools.lru_cache(1000)  # each state of a run looks at the same files, of which every service of the host has one
def _called(text: str) -> tuple[str, ...]:
    result: list[str] = []
    for command in tunnel_shell.commands(shell(text)) if CALL.search(text) else []:
        words = command.words[: WRAPPERS + 1] if command.words[0] not in SPEAKERS else []
        found_ = next((each for each in words if each.startswith("/") and not each.startswith(PROGRAMS)), "")
        if found_ and UNKNOWN not in found_ and found_ not in result:
            result.append(found_)
    return tuple(result)


def shell(text: str) -> str:
    """
    A unit or a crontab as a script, with the same lines.

    text
        Its content.
    """
    if SERVICE.search(text):
        text = "\n".join(each if EXEC.match(each) or each.endswith("\\") else "" for each in text.split("\n"))
    text = UNIT_STOP.sub("", text)
    text = UNIT.sub("", text)
    return CRON.sub("", text)


def _all(text: str, known: Mapping[str, str], depth: int) -> Iterator[tuple[int, Tunnel]]:
    for command in tunnel_shell.commands(text, known):
        words = program(command.words)
        if words and words[0] in ("sh", "bash", "dash", "ash") and depth < 2:
            inner = words[words.index("-c") + 1 :][:1] if "-c" in words else []
            if not inner and command.document:
                inner = [command.document]
            for each in inner:
                for _, tunnel in _all(each, known, depth + 1):
                    yield command.line, tunnel
        made = tunnel_of(words)
        if made:
            yield command.line, made


def program(words: list[str]) -> list[str]:
    """
    A simple command from the program on that can make a tunnel; empty if it is about something else.

    words
        The command's.
    """
    if not words or words[0] in SPEAKERS:
        return []
    for position, word in enumerate(words[:WRAPPERS]):
        base = posixpath.basename(word)
        if base in TOOLS:
            return [base, *words[position + 1 :]]
    return []


def tunnel_of(words: list[str]) -> Tunnel | None:
    """
    The tunnel that a command makes or changes; ``None`` if it does something else.

    words
        From :py:func:`program`.

    Source: ip-tunnel(8), ip-link(8), iptunnel(8), ifconfig(8).
    """
    if words[:1] == ["ifconfig"]:
        return _of_ifconfig(words[1:])
    if words[:1] == ["iptunnel"]:
        return _of_tunnel(words[1:], "")
    if words[:1] != ["ip"]:
        return None
    family, rest = objects(words[1:])
    if rest and (("tunnel".startswith(rest[0]) and rest[0]) or rest[0] == "tunl"):
        return _of_tunnel(rest[1:], family)
    if rest and len(rest[0]) > 0 and "link".startswith(rest[0]):
        return _of_link(rest[1:])
    return None


def objects(words: list[str]) -> tuple[str, list[str]]:
    """
    The family that the options of ip(8) name, and the words from the object on; none if it works in another namespace.

    words
        Those behind ``ip``.
    """
    family = ""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        option = words[position].lstrip("-")
        if option in ("n", "netns"):
            return "", []
        if option in ("4", "6"):
            family = option
        if option in ("f", "family"):
            position += 1
            family = {"inet6": "6", "inet": "4"}.get("".join(words[position : position + 1]), "")
        position += 1
    rest = words[position:]
    return ("", []) if rest[:1] == ["netns"] else (family, rest)


def _verb(words: list[str], *verbs: str) -> bool:
    return bool(words) and any(each.startswith(words[0]) for each in verbs) and len(words[0]) > 0


def _of_tunnel(words: list[str], family: str) -> Tunnel | None:
    if not _verb(words, "add", "change", "chg", "replace"):
        return None
    values, names, exotic = _keywords(words[1:])
    if words[0].startswith("c") and "remote" not in values:
        return None  # it changes something else of one that is there
    mode = values.get("mode", "any" if family == "6" else "")
    name = values.get("name") or "".join(names[:1])
    return _tunnel(name, MODES.get(mode, UNKNOWN if mode else "sit"), values, [*exotic, *names[1:]])


def _of_link(words: list[str]) -> Tunnel | None:
    if not _verb(words, "add", "change", "replace", "set"):
        return None
    values, names, exotic = _keywords(words[1:])
    kind = values.pop("type", "")
    if kind not in TYPES:
        return None
    name = values.get("name") or "".join(names[:1]) or values.pop("dev", "")
    return _tunnel(name, kind, values, [*exotic, *names[1:]])


def _keywords(words: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """The keywords with their values, the words that are none, and the keywords that are not known."""
    values: dict[str, str] = {}
    names: list[str] = []
    exotic: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word in VALUED:
            position += 1
            values[word] = words[position] if position < len(words) else UNKNOWN
        elif word in ("nopmtudisc", "ignore-df", "seq", "iseq", "oseq", "csum", "icsum", "ocsum"):
            exotic.append(word)
        elif word not in ("pmtudisc", "noseq", "nocsum", "up"):
            names.append(word)
        position += 1
    return values, names, exotic


def _tunnel(name: str, kind: str, values: dict[str, str], exotic: list[str]) -> Tunnel | None:
    if not name:
        return None
    ends = [_end(values.get(each, ANY)) for each in ("remote", "local")]
    rest = {key: value for key, value in values.items() if key not in ("remote", "local", "mode", "name")}
    return Tunnel(name, kind, ends[0], ends[1], rest, exotic)


def _end(value: str) -> str:
    """An end of a tunnel: an address, ``any``, or ``?`` for what only a run would tell, such as a name."""
    if value in (ANY, "0.0.0.0", "::", "0"):
        return ANY
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return UNKNOWN


def _of_ifconfig(words: list[str]) -> Tunnel | None:
    """``ifconfig sit0 inet6 tunnel ::216.66.84.42``, which makes sit1, the next time sit2."""
    if "tunnel" not in words:
        return None
    end = "".join(words[words.index("tunnel") + 1 :][:1])
    endpoint = end.removeprefix("::")
    return Tunnel("sit0", "sit", _end(endpoint) if endpoint else UNKNOWN, ANY, {}, ["via sit0"])


# --------------------------------------------------------------------------------------------------------------
# Programs that make tunnels by themselves: their configuration has secrets, of which nothing is returned


def _program(path: str) -> Any:
    name = posixpath.basename(path)
    for start, read in (("aiccu", _aiccu), ("gogoc", _gogoc), ("gw6c", _gogoc), ("miredo.conf", _miredo)):
        if name.startswith(start) and name.endswith(".conf"):
            return read
    return None


def _speaks(text: str) -> bool:
    return any(line.strip() and not line.strip().startswith(("#", ";")) for line in text.splitlines())


def _setting(text: str, key: str, separator: str) -> tuple[str, int]:
    """The value of a setting, and its line, from 1; the first line if it is not there."""
    for number, line in enumerate(text.splitlines(), 1):
        found_ = re.fullmatch(rf"\s*{key}\s*{separator}\s*(\S+).*", line, re.IGNORECASE)
        if found_:
            return found_[1], number
    return "", 1


def _of_program(kind: str, name: tuple[str, int], server: tuple[str, int], default: str) -> dict[str, Any]:
    endpoint = _end(server[0]) if server[0] else UNKNOWN
    line = next((each[1] for each in (name, server) if each[0]), 1)
    word = name[0] if re.fullmatch(r"[A-Za-z0-9._-]{1,15}", name[0]) else default
    return {"name": word, "kind": kind, "endpoint": endpoint, "local": ANY, "line": line}


def _aiccu(text: str) -> dict[str, Any]:
    return _of_program("aiccu", _setting(text, "ipv6_interface", ""), ("", 1), "sixxs")


def _gogoc(text: str) -> dict[str, Any]:
    server = _setting(text, "server", "=")
    return _of_program("gogoc", _setting(text, "if_tunnel_v6v4", "="), server, "sit1")


def _miredo(text: str) -> dict[str, Any]:
    return _of_program("miredo", _setting(text, "InterfaceName", ""), _setting(text, "ServerAddress", ""), "teredo")
