"""
How Postfix listens: main.cf of postconf(5), and the endpoints of master(5). PURE: knows no host.

What Postfix makes of a file was measured with 3.7.11 and read in its source (``readlline.c``, ``match_list.c``,
``master_ent.c``).

* It opens one socket for each family, with ``IPV6_V6ONLY`` set: whatever net.ipv6.bindv6only says, nothing changes.
* ``inet_protocols`` and ``inet_interfaces`` decide together where it listens. An entry of master.cf with a host of its
  own heeds only the first of them; such an entry is somebody's decision, so that master.cf is read and never changed.
* A client on ::1 may not relay until ``mynetworks`` names ``[::1]/128``, though one on 127.0.0.1 may.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from salt.exceptions import SaltInvocationError

__virtualname__ = "listen_postfix"

MAIN = "/etc/postfix/main.cf"
MASTER = "/etc/postfix/master.cf"
OPTIONS = {"mynetworks": "the networks that may relay, as ['127.0.0.0/8']"}
OWN = ("inet_interfaces", "inet_protocols", "mynetworks")

# isspace(3) of the C locale; str.strip() and \s would take Unicode's spaces, too.
SPACE = " \t\n\v\f\r"
# Between the words of a list, and between the fields of master.cf.
LIST = ", \t\r\n"
BLANK = " \t\r\n"
ASSIGNMENT = re.compile(rf"(?P<name>[^{SPACE}=]+)[{SPACE}]*=")
SWALLOWED = re.compile(rf"^[ \t\v\f\r]+(?P<all>(?:{'|'.join(OWN)})[ \t]*=[^\r\n]*)", re.MULTILINE)
REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)\}|\((\w+)\))", re.ASCII)
# Enough for what people nest; a circle of references ends here, too.
NESTING = 20
EXPANDED = 100_000

# Services of inet entries, since getservbyname(3) would ask the host.
PORTS = {
    "smtp": 25,
    "mail": 25,
    "smtps": 465,
    "ssmtp": 465,
    "submissions": 465,
    "urd": 465,
    "submission": 587,
    "qmtp": 209,
    "qmqp": 628,
}
FIELDS = 8
PORT = re.compile(r"[0-9]{1,5}")
HOST = re.compile(r"[\w.-]+")
LOOPBACK = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}
WILDCARD = {4: "0.0.0.0", 6: "::"}
WORDS = {"all": WILDCARD, **dict.fromkeys(("loopback-only", "localhost"), {4: "127.0.0.1", 6: "::1"})}
PROTOCOLS = {"ipv4": {4}, "ipv6": {6}, "all": {4, 6}}

COMPANION = "[::1]/128"
BRACKETED = re.compile(r"\[([^\[\]]*)\](/.*)?")
PREFIX_LENGTH = re.compile(r"[0-9]{1,3}")
ELSEWHERE = re.compile(r"/.|[a-z]+:.")


def about() -> dict[str, Any]:
    """
    What this host has to know of Postfix.

    Returns ``files``, where the configuration begins; ``processes`` and ``units``, as patterns; ``init``, its name for
    service(8); ``options``, its own keys in the pillar, of which those of ``always`` hold even where it serves both
    families; ``check``, the command that validates the live files; and ``protocols`` of its usual ports.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.about
    """
    masters = ("*/postfix/sbin/master", "/usr/lib*/postfix/master")
    return {
        "files": [MAIN, MASTER],
        "processes": [f"{each}{arguments}" for each in masters for arguments in ("", " *")],
        "units": ["postfix.service", "postfix@*.service"],
        "init": "postfix",
        "sets_v6only": True,
        "always": ["mynetworks"],
        "options": OPTIONS,
        "check": ["postfix", "check"],
        "protocols": {25: "smtp", 465: "smtps", 587: "smtp"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes: none, since neither grammar has such a statement.

    path
        The file's own path.
    text
        Its content.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.includes /etc/postfix/main.cf 'inet_protocols = all'
    """
    return []


def errors(options: dict[str, Any]) -> list[str]:
    """
    What is wrong with the values of the keys of the pillar that only Postfix has.

    options
        Those keys. ``mynetworks`` is the list of networks that may relay, each as Postfix writes it: ``127.0.0.0/8``,
        ``[::1]/128``, ``!192.0.2.1``, ``/file/name``, ``type:table``.

    Returns one sentence for each error.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.errors '{mynetworks: ["127.0.0.0/8", "[::1]/128"]}'
    """
    entries = options.get("mynetworks", [])
    if not isinstance(entries, list):
        return [f"mynetworks: {entries!r} is not a list; expected one of networks, as ['127.0.0.0/8']"]
    result = []
    for entry in entries:
        fault = _fault(entry)
        if fault:
            result.append(f"mynetworks: {entry!r} is not {fault}")
    return result


def _fault(entry: Any) -> str:
    """What an entry of the pillar's mynetworks is not, and what was expected; "" for a good one."""
    if not isinstance(entry, str):
        return "text; expected a network in quotes, as '[::1]/128'"
    # A word behind it shows that it ends where it seems to: a brace that is left open would take in what follows.
    words = [each for _, each in _words(f"{entry} x", LIST)]
    if words != [entry, "x"] or entry.startswith("#") or not (entry.isascii() and entry.isprintable()):
        return "one entry; expected a network without blanks and commas, as '127.0.0.0/8'"
    network, better = _network(entry)
    if better:
        return f"what Postfix takes; expected '{better}'"
    if network is None and not ELSEWHERE.match(entry.lstrip("!")):
        return "a network; expected the like of '127.0.0.0/8', '[::1]/128', '/file/name' or 'type:table'"
    return ""


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Where the configuration makes Postfix listen.

    files
        The text of main.cf and master.cf, by path: ``{path: {"text": ..., "includes": []}}``.

    Returns one dict for each socket, in the order of master.cf: ``port``, ``transport``, ``address``, ``v6only``,
    ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` for lines that Postfix refuses.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.listeners '{/etc/postfix/main.cf: {text: ""}, /etc/postfix/master.cf: {text: ""}}'
    """
    text = _text(files, MAIN)
    parameters = _parameters(text)
    protocols = _protocols(text, parameters)
    interfaces = _interfaces(parameters)
    result = []
    for entry in _endpoints(files):
        port, unknown = entry["port"]
        for address, note in [(entry["host"], entry["note"])] if entry["host"] else interfaces:
            for each in WORDS.get(address, {0: address}).values():
                family = _family(each)
                excluded = protocols is not None and family != 0 and family not in protocols
                # Of `all` and its like the other family is left; an address by itself makes Postfix fail.
                if protocols == set() or excluded and address in WORDS:
                    continue
                notes = [
                    note,
                    "inet_protocols: cannot decide" if protocols is None else "",
                    "inet_protocols excludes its family, so that Postfix does not start" if excluded else "",
                    unknown,
                ]
                result.append(
                    {
                        "port": port,
                        "transport": "tcp",
                        "address": each,
                        "v6only": True if family == 6 else None,
                        "file": MASTER,
                        "line": entry["line"],
                        "note": "; ".join(filter(None, notes)),
                    }
                )
    return result


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    How the same configuration listens on both families.

    files
        The text of main.cf and master.cf, by path: ``{path: {"text": ..., "includes": []}}``.
    options
        The keys of the pillar that only Postfix has; see :py:func:`errors`.
    bindv6only
        The value of net.ipv6.bindv6only when Postfix starts. It does not matter.

    Returns ``files``, the new text of main.cf if it changes; ``bindv6only``, which is ``None`` since Postfix is immune
    to it; and ``notes``, what was left alone and why. Only the last line that sets a parameter is changed, as the last
    one counts. Raises ``SaltInvocationError`` for lines that Postfix refuses, or that do not mean what they seem to.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.dual_stack '{/etc/postfix/main.cf: {text: "inet_protocols = ipv4\\n"}}' '{}'
    """
    problems = errors(options)
    if problems:
        raise SaltInvocationError("; ".join(problems))
    before = _text(files, MAIN)
    if MAIN not in files and options:
        raise SaltInvocationError(f"{MAIN}: there is no such file, so that mynetworks cannot be written")
    _refuse_swallowed(before)
    wanted = options.get("mynetworks")
    text, protocols = _with_protocols(before)
    text, interfaces = _with_interfaces(text)
    text, networks = _with_companion(text) if wanted is None else _with_networks(text, wanted)
    return {
        "files": {MAIN: text} if text != before else {},
        "bindv6only": None,
        "notes": [*protocols, *interfaces, *networks, *_master_notes(files)],
    }


def _with_protocols(text: str) -> tuple[str, list[str]]:
    parameters = _parameters(text)
    protocols = _protocols(text, parameters)
    parameter = parameters.get("inet_protocols")
    if parameter is None:
        if "compatibility_level" in parameters:
            return text, []
        return text, ["inet_protocols stands nowhere: that is IPv4 only before Postfix 2.9, and both families since"]
    if protocols is None:
        return text, [_undecided(parameter)]
    if not protocols:
        return text, [f"{MAIN}:{parameter['line']}: inet_protocols is empty, no network for Postfix: left alone"]
    if protocols == {4, 6}:
        return text, []
    note = "inet_protocols = all lets Postfix send over IPv6, too: the address it sends from needs a PTR record"
    return _replace(text, parameter, "all"), [note]


def _with_interfaces(text: str) -> tuple[str, list[str]]:
    parameters = _parameters(text)
    parameter = parameters.get("inet_interfaces")
    if parameter is None:
        return text, []
    if _expand(parameter["value"], parameters) is None:
        return text, [_undecided(parameter)]
    interfaces = _interfaces(parameters)
    addresses = [address for address, _ in interfaces]
    if addresses == ["all"]:
        return text, []
    # Postfix takes wildcards only from master.cf: here it says "no local interface found", and does not start.
    if addresses and set(addresses) <= set(WILDCARD.values()):
        return _replace(text, parameter, "all"), []
    for address in addresses:
        if address.lower() == "all" or address in WILDCARD.values():
            raise SaltInvocationError(
                f"{_place(text, parameter['start'])}: Postfix refuses `{address}` here; "
                "write inet_interfaces = all, or nothing but addresses of this host"
            )
    why = "; ".join(dict.fromkeys(note for _, note in interfaces)) or "no address at all"
    return text, [f"{MAIN}:{parameter['line']}: inet_interfaces = {' '.join(addresses)} is left alone: {why}"]


def _with_networks(text: str, wanted: list[str]) -> tuple[str, list[str]]:
    """mynetworks is exactly what the pillar says."""
    notes = []
    if _trusts(wanted, 4) and _trusts(wanted, 6) is None:
        notes.append(f"mynetworks of the pillar trusts 127.0.0.1, and not ::1: a client there needs '{COMPANION}'")
    parameters = _parameters(text)
    parameter = parameters.get("mynetworks")
    if parameter is None:
        line_end = _line_end(text)
        gap = line_end if text and not text.endswith("\n") else ""
        return f"{text}{gap}{' '.join(['mynetworks =', *wanted])}{line_end}", notes
    expanded = _expand(parameter["value"], parameters)
    if expanded is not None and _canonical([each for _, each in _entries(expanded)]) == _canonical(wanted):
        return text, notes
    return _replace(text, parameter, _separator(text, parameter).join(wanted)), notes


def _with_companion(text: str) -> tuple[str, list[str]]:
    """mynetworks trusts ::1 where it trusts 127.0.0.1. Unset, it follows mynetworks_style, which knows the families."""
    parameters = _parameters(text)
    parameter = parameters.get("mynetworks")
    if parameter is None:
        return text, []
    expanded = _expand(parameter["value"], parameters)
    if expanded is None:
        return text, [_undecided(parameter)]
    entries = [each for _, each in _entries(expanded)]
    notes = _network_notes(text, parameter, entries)
    if _trusts(entries, 6) is not None:
        return text, notes
    place = f"{MAIN}:{parameter['line']}"
    if _trusts(entries, 4):
        start, last = (_entries(parameter["value"]) or [(0, "")])[-1]
        end = parameter["start"] + start + len(last)
        new = f"{text[:end]}{_separator(text, parameter)}{COMPANION}{text[end:]}"
        # Not so if the value ends in a reference to a comment, or in an open brace.
        parameters = _parameters(new)
        again = _expand(parameters["mynetworks"]["value"], parameters)
        if again is not None and _trusts([each for _, each in _entries(again)], 6):
            return new, notes
        notes.append(f"{place}: mynetworks is left alone, since its end hides what follows; add {COMPANION} to it")
    elif any(ELSEWHERE.match(each.lstrip("!")) for each in entries):
        notes.append(f"{place}: mynetworks refers to files or tables: they need ::1 where they have 127.0.0.1")
    return text, notes


def _network_notes(text: str, parameter: dict[str, Any], entries: list[str]) -> list[str]:
    """What Postfix does not like about the entries of mynetworks; raises for those that smtpd dies of."""
    notes = []
    for entry in entries:
        bare = entry.lstrip("!")
        network, better = _network(entry)
        # Postfix takes everything with a colon and no bracket for a table.
        if ":" in bare and bare[0] not in "[/" and (network or not ELSEWHERE.match(bare)):
            offset = next((start for start, each in _entries(parameter["value"]) if each == entry), 0)
            raise SaltInvocationError(
                f"{_place(text, parameter['start'] + offset)}: `{entry}` of mynetworks has no brackets, "
                f"so that smtpd dies for every client; write {f'`{better}`' if better else 'it as `[address]/length`'}"
            )
        if better:
            place = f"{MAIN}:{parameter['line']}"
            notes.append(f"{place}: `{entry}` of mynetworks makes Postfix defer mail; write `{better}`")
    return notes


def _master_notes(files: dict[str, dict[str, Any]]) -> list[str]:
    """What a person may want to change in master.cf, which is left alone."""
    text = _text(files, MASTER)
    result = []
    for entry in _endpoints(files):
        if entry["note"]:
            result.append(f"{MASTER}:{entry['line']}: the entry `{entry['name']}`: {entry['note']}")
    for entry in _services(files):
        arguments = entry["arguments"]
        # These hold inside of the service; where it listens is decided before it runs, by master(8).
        for (_, before), (offset, word) in zip([(0, ""), *arguments], arguments):
            setting = word if before == "-o" else word[2:] if word.startswith("-o") else ""
            if setting.strip("{" + SPACE).partition("=")[0].rstrip(SPACE) in OWN:
                line = entry["line"] + text.count("\n", entry["start"], entry["start"] + offset)
                result.append(f"{MASTER}:{line}: `-o {setting}` of the entry `{entry['name']}`: left alone")
    return result


def _undecided(parameter: dict[str, Any]) -> str:
    value = " ".join(parameter["value"].split())
    return (
        f"{MAIN}:{parameter['line']}: {parameter['name']} = {value} refers to what {MAIN} does not define: "
        "cannot decide, left alone"
    )


# --- the meaning of the parameters


def _protocols(text: str, parameters: dict[str, dict[str, Any]]) -> set[int] | None:
    """The families of inet_protocols; None if only Postfix could tell."""
    parameter = parameters.get("inet_protocols", {"value": "all"})
    expanded = _expand(parameter["value"], parameters)
    if expanded is None:
        return None
    result: set[int] = set()
    for _, word in _words(expanded, LIST):
        if word not in PROTOCOLS:
            place = _place(text, parameter["start"])
            raise SaltInvocationError(f"{place}: `{word}` of inet_protocols is not ipv4, ipv6 or all, in lower case")
        result |= PROTOCOLS[word]
    return result


def _interfaces(parameters: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """The addresses of inet_interfaces, in canonical form, or names; each with what is to be said of it."""
    value = parameters.get("inet_interfaces", {"value": "all"})["value"]
    expanded = _expand(value, parameters)
    if expanded is None:
        return [(each, "inet_interfaces: cannot decide") for _, each in _words(value, LIST)]
    addresses = [_address(each) for _, each in _words(expanded, LIST)]
    return [(each, _kind(each)) for each in addresses]


def _address(word: str) -> str:
    """An address in canonical form, without its brackets; a name as it is."""
    bare = word[1:-1] if word[:1] == "[" and word[-1:] == "]" else word
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare


def _family(address: str) -> int:
    """4, 6, or 0 for a name."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def _kind(address: str) -> str:
    """Why a listener is left alone; "" for the wildcards."""
    if address in ("all", *WILDCARD.values()):
        return ""
    if not _family(address):
        return "loopback: left alone" if address in WORDS else "a host name: left alone"
    return "loopback: left alone" if ipaddress.ip_address(address).is_loopback else "a specific address: left alone"


def _entries(value: str) -> list[tuple[int, str]]:
    """The entries of mynetworks. Postfix ignores what follows a word that begins with `#`."""
    words = _words(value, LIST)
    return words[: next((number for number, (_, word) in enumerate(words) if word.startswith("#")), len(words))]


def _network(entry: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network | None, str]:
    """
    The network that an entry of mynetworks stands for, and how it is to be written if Postfix fails over it.

    Files, tables and names give ``(None, "")``.
    """
    signs = entry[: len(entry) - len(entry.lstrip("!"))]
    bare = entry[len(signs) :]
    match = BRACKETED.fullmatch(bare)
    address, slash, length = (match[1] + (match[2] or "") if match else bare).partition("/")
    try:
        first = ipaddress.ip_address(address)
    except ValueError:
        return None, ""
    if "%" in address or slash and not (PREFIX_LENGTH.fullmatch(length) and int(length) <= first.max_prefixlen):
        return None, ""
    network = ipaddress.ip_network(f"{first}/{length or first.max_prefixlen}", strict=False)
    if network.network_address == first and (network.version == 4 or match):
        return network, ""
    ends = ("[", "]") if network.version == 6 else ("", "")
    return network, f"{signs}{ends[0]}{network.network_address}{ends[1]}/{network.prefixlen}"


def _trusts(entries: list[str], family: int) -> bool | None:
    """Whether mynetworks trusts the loopback address of a family; the first match decides. None if none matches."""
    for entry in entries:
        network, _ = _network(entry)
        if network is not None and network.version == family and LOOPBACK[family] in network:
            return not _negated(entry)
    return None


def _negated(entry: str) -> bool:
    return (len(entry) - len(entry.lstrip("!"))) % 2 == 1


def _canonical(entries: list[str]) -> list[str]:
    """What makes two lists the same. The order matters only where an entry is negated."""
    result = []
    for entry in entries:
        network, better = _network(entry)
        # What Postfix fails over is the same as no network.
        name = repr(network) if network and not better else entry.lstrip("!")
        result.append(f"!{name}" if _negated(entry) else name)
    return result if any(map(_negated, entries)) else sorted(set(result))


def _expand(value: str, parameters: dict[str, dict[str, Any]]) -> str | None:
    """A value without its references; None where one is not defined in main.cf, or is more than a name."""
    for _ in range(NESTING):
        if "$" not in value:
            return value
        names = [match[match.lastindex or 0] for match in REFERENCE.finditer(value)]
        if value.count("$") != len(names) or not all(name in parameters for name in names):
            return None
        if sum(len(parameters[name]["value"]) for name in names) > EXPANDED:
            return None
        value = REFERENCE.sub(lambda match: parameters[match[match.lastindex or 0]]["value"], value)
    return None


# --- master.cf


def _services(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of master.cf that are in use; ``start`` is their offset, ``arguments`` have theirs from there."""
    text = _text(files, MASTER)
    parameters = _parameters(_text(files, MAIN))
    disabled = parameters.get("master_service_disable", {"value": ""})["value"]
    patterns = [each for _, each in _words(_expand(disabled, parameters) or "", LIST)]
    result = []
    for line, start, content in _logical_lines(MASTER, text):
        fields = _words(content, BLANK)
        if len(fields) < FIELDS:
            raise SaltInvocationError(f"{MASTER}:{line}:1: an entry of {len(fields)} fields; it needs {FIELDS}")
        name, kind = fields[0][1], fields[1][1]
        if not _disabled(name, kind, patterns):
            result.append({"name": name, "type": kind, "arguments": fields[FIELDS:], "line": line, "start": start})
    return result


def _disabled(name: str, kind: str, patterns: list[str]) -> bool:
    """master_service_disable: ``type``, ``name/type``, or ``name.type`` as of old. The first match decides."""
    for pattern in patterns:
        bare = pattern.lstrip("!").lower()
        if "/" not in bare:
            bare = "/".join(bare.rsplit(".", 1))
        if bare == (f"{name}/{kind}" if "/" in bare else kind).lower():
            return not _negated(pattern)
    return False


def _endpoints(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The inet entries of master.cf, with ``host`` ("" for those that heed inet_interfaces), ``port``, ``note``."""
    found: dict[tuple[str, Any], dict[str, Any]] = {}
    for entry in _services(files):
        if entry["type"] != "inet":
            continue
        place = f"{MASTER}:{entry['line']}:1"
        host, _, service = entry["name"].rpartition(":")
        host = _address(host)
        if host and not _family(host) and not HOST.fullmatch(host):
            raise SaltInvocationError(f"{place}: `{host}` is neither a host name nor an address")
        entry.update(host=host, port=_port(service, place))
        # Of two entries for one endpoint the last counts, be it called smtp or 25.
        key = (host, entry["port"][0] or service)
        found.pop(key, None)
        found[key] = entry
    for (host, port), entry in found.items():
        entry["note"] = _kind(host) if host else ""
        other = {"0.0.0.0": "::", "::": "0.0.0.0"}.get(host)
        if other and (other, port) not in found and ("", port) not in found:
            service = entry["name"].rpartition(":")[2]
            entry["note"] = (
                f"one family only: left alone; write `{service}` in its place, "
                f"or add an entry `{f'[{other}]' if ':' in other else other}:{service}`"
            )
    return list(found.values())


def _port(service: str, place: str) -> tuple[int | None, str]:
    """The port of a service, and what is to be said of it."""
    if not service:
        raise SaltInvocationError(f"{place}: an inet entry without a service")
    if service[0] in "0123456789":
        if not PORT.fullmatch(service) or not 0 < int(service) < 65536:
            raise SaltInvocationError(f"{place}: `{service}` is not a port from 1 to 65535")
        return int(service), ""
    return PORTS.get(service), "" if service in PORTS else f"the port of `{service}` is known to /etc/services only"


# --- the grammar of both files


def _text(files: dict[str, dict[str, Any]], path: str) -> str:
    return str(files.get(path, {}).get("text", ""))


def _place(text: str, offset: int, path: str = MAIN) -> str:
    return f"{path}:{text.count(chr(10), 0, offset) + 1}:{offset - text.rfind(chr(10), 0, offset)}"


def _logical_lines(path: str, text: str) -> list[tuple[int, int, str]]:
    """
    The logical lines: number of the first line, offset, content.

    A line that begins with white space continues the one before, over comments and empty lines; with none before, it
    is ignored. The content has a blank for every sign that is skipped, so that places in it are places in the text.
    """
    found: list[tuple[int, int, list[str]]] = []
    offset = gap = 0
    for number, line in enumerate(text.split("\n"), 1):
        gap += 1  # the end of the line before
        bare = line.strip(SPACE)
        if not bare or bare.startswith("#"):
            gap += len(line)
        elif line[0] not in SPACE:
            found.append((number, offset, [line]))
            gap = 0
        elif found:
            found[-1][2].append(" " * gap + line)
            gap = 0
        offset += len(line) + 1
    result = []
    for number, offset, pieces in found:
        content = "".join(pieces)
        if "\0" in content:
            place = _place(text, offset + content.index("\0"), path)
            raise SaltInvocationError(f"{place}: a NUL character, behind which Postfix reads nothing")
        result.append((number, offset, content))
    return result


def _assignments(text: str) -> list[dict[str, Any]]:
    """The lines of main.cf: ``name``, ``value``, ``start`` (the value's offset, or that behind the sign), ``line``."""
    result = []
    for line, offset, content in _logical_lines(MAIN, text):
        match = ASSIGNMENT.match(content)
        if match is None:
            raise SaltInvocationError(f"{MAIN}:{line}:1: a line without `name =`, which Postfix refuses")
        value = content[match.end() :].strip(SPACE)
        start = content.index(value, match.end())
        result.append({"name": match["name"], "value": value, "start": offset + start, "line": line})
    return result


def _parameters(text: str) -> dict[str, dict[str, Any]]:
    """The assignments that count: of several of one name the last."""
    return {each["name"]: each for each in _assignments(text)}


def _refuse_swallowed(text: str) -> None:
    """A line of ours that is indented by accident changes nothing here, and spoils the value that it ends up in."""
    match = SWALLOWED.search(text)
    if match:
        start = match.start("all")
        owner = [each["name"] for each in _assignments(text) if each["start"] <= start]
        reading = f"a part of `{owner[-1]}`" if owner else "nothing at all"
        raise SaltInvocationError(
            f"{_place(text, start)}: `{match['all'].rstrip(SPACE)}` is indented, so that Postfix takes it "
            f"for {reading}; remove the white space before it, or the line"
        )


def _words(value: str, separators: str) -> list[tuple[int, str]]:
    """The words of a list, each with its offset. Braces hold together what is between them."""
    result, depth, start = [], 0, -1
    for offset, sign in enumerate(value):
        if sign in separators and not depth:
            if start >= 0:
                result.append((start, value[start:offset]))
            start = -1
            continue
        start = offset if start < 0 else start
        depth = depth + 1 if sign == "{" else max(depth - 1, 0) if sign == "}" else depth
    return result + ([(start, value[start:])] if start >= 0 else [])


def _line_end(text: str) -> str:
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def _separator(text: str, parameter: dict[str, Any]) -> str:
    """What stands between the entries of mynetworks: as before the last one."""
    entries = _entries(parameter["value"])
    if not entries:
        return " "
    last = entries[-1][0]
    between = " "
    if len(entries) > 1:
        offset, word = entries[-2]
        between = parameter["value"][offset + len(word) : last]
    line = text[text.rfind("\n", 0, parameter["start"] + last) + 1 : parameter["start"] + last]
    if not line.strip(SPACE + LIST):  # it begins its line: one entry on each
        return f"{',' if ',' in between and ',' not in line else ''}{_line_end(text)}{line}"
    return between


def _replace(text: str, parameter: dict[str, Any], new: str) -> str:
    """The text with another value, where the old one began. Comments between the lines of the old one stay."""
    value, start = parameter["value"], parameter["start"]
    if not value:
        begin = start
        while text[start : start + 1] in (" ", "\t"):
            start += 1
        return f"{text[:start]}{'' if start > begin else ' '}{new}{text[start:]}"
    head, tail = text[:start], text[start + len(value) :]
    first, *more = text[start : start + len(value)].split("\n")
    if not more:
        return f"{head}{new}{tail}"
    blanks = first[len(first.rstrip(SPACE)) :]
    comments = [line for line in more if line.strip(SPACE)[:1] in ("", "#")]
    # The last line of the value goes as a whole, with its end.
    return "\n".join([f"{head}{new}{blanks}", *comments, tail.partition("\n")[2]])
