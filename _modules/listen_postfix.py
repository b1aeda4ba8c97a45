"""
How Postfix listens: main.cf of postconf(5), and the endpoints of master(5). PURE: never accesses the host.

* It opens one socket for each family, with ``IPV6_V6ONLY`` set: net.ipv6.bindv6only has no effect.
* ``inet_protocols`` and ``inet_interfaces`` decide together where it listens. An entry of master.cf with a host of its
  own follows only the first of them; such an entry is deliberate, so master.cf is read but never changed.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_postfix as service_postfix
    import _dualstack_service_postfix_networks as service_postfix_networks
__virtualname__ = "listen_postfix"

MAIN, MASTER = service_postfix.MAIN, service_postfix.MASTER
SPACE, LIST = service_postfix.SPACE, service_postfix.LIST
OPTIONS = {"mynetworks": "the networks that may relay, such as ['127.0.0.0/8']"}
OWN = ("inet_interfaces", "inet_protocols", "mynetworks")
SWALLOWED = re.compile(rf"^[ \t\v\f\r]+(?P<all>(?:{'|'.join(OWN)})[ \t]*=[^\r\n]*)", re.MULTILINE)

# Services of inet entries, since getservbyname(3) would access the host.
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
WILDCARD = {4: service_addresses.ANY4, 6: service_addresses.ANY6}
WORDS = {"all": WILDCARD, **dict.fromkeys(("loopback-only", "localhost"), {4: "127.0.0.1", 6: "::1"})}
PROTOCOLS = {"ipv4": {4}, "ipv6": {6}, "all": {4, 6}}
# The words of a diff that are no secrets.
SHOWN = (
    "inet_interfaces inet_protocols mynetworks mynetworks_style smtp_bind_address smtp_bind_address6 loopback-only "
    "smtp smtps smtpd submission submissions inet unix"
).split()


def about() -> dict[str, Any]:
    """
    Facts about Postfix.

    Returns ``files``, where the configuration begins; ``processes`` and ``units``, as patterns; ``init``, its name for
    service(8); ``options``, its own keys in the pillar, of which those of ``always`` hold even where it serves both
    families; ``check``, the command that validates the live files; and ``protocols`` of its usual ports. ``words`` are
    those of its configuration that a diff may show.

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
        "words": SHOWN,
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
    The errors in the values of the keys of the pillar that only Postfix has.

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
        return [f"mynetworks: {entries!r} is not a list; expected a list of networks, such as ['127.0.0.0/8']"]
    result = []
    for entry in entries:
        fault = service_postfix_networks.fault(entry)
        if fault:
            result.append(f"mynetworks: {entry!r} is not {fault}")
    return result


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
    text = service_postfix.text_of(files, MAIN)
    parameters = service_postfix.parameters(text)
    protocols = _protocols(text, parameters)
    interfaces = _interfaces(parameters)
    result = []
    for entry in _endpoints(files):
        port, unknown = entry["port"]
        for address, note in [(entry["host"], entry["note"])] if entry["host"] else interfaces:
            for each in WORDS.get(address, {0: address}).values():
                family = service_addresses.version(each)
                excluded = protocols is not None and family is not None and family not in protocols
                # Of `all` and similar, the other family remains; a single address makes Postfix fail.
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
    before = service_postfix.text_of(files, MAIN)
    if MAIN not in files and options:
        raise SaltInvocationError(f"{MAIN}: there is no such file, so that mynetworks cannot be written")
    _refuse_swallowed(before)
    wanted = options.get("mynetworks")
    text, protocols = _with_protocols(before)
    text, interfaces = _with_interfaces(text)
    text, networks = (
        service_postfix_networks.with_companion(text)
        if wanted is None
        else service_postfix_networks.with_networks(text, wanted)
    )
    return {
        "files": {MAIN: text} if text != before else {},
        "bindv6only": None,
        "notes": [*protocols, *interfaces, *networks, *_master_notes(files)],
    }


def _with_protocols(text: str) -> tuple[str, list[str]]:
    parameters = service_postfix.parameters(text)
    protocols = _protocols(text, parameters)
    parameter = parameters.get("inet_protocols")
    if parameter is None:
        if "compatibility_level" in parameters:
            return text, []
        return text, ["inet_protocols stands nowhere: that is IPv4 only before Postfix 2.9, and both families since"]
    if protocols is None:
        return text, [service_postfix.undecided(parameter)]
    if not protocols:
        return text, [f"{MAIN}:{parameter['line']}: inet_protocols is empty, no network for Postfix: left alone"]
    if protocols == {4, 6}:
        return text, []
    note = "inet_protocols = all lets Postfix send over IPv6, too: the address it sends from needs a PTR record"
    return service_postfix.replaced(text, parameter, "all"), [note]


def _with_interfaces(text: str) -> tuple[str, list[str]]:
    parameters = service_postfix.parameters(text)
    parameter = parameters.get("inet_interfaces")
    if parameter is None:
        return text, []
    if service_postfix.expanded(parameter["value"], parameters) is None:
        return text, [service_postfix.undecided(parameter)]
    interfaces = _interfaces(parameters)
    addresses = [address for address, _ in interfaces]
    if addresses == ["all"]:
        return text, []
    # Postfix takes wildcards only from master.cf: here it says "no local interface found", and does not start.
    if addresses and set(addresses) <= set(WILDCARD.values()):
        return service_postfix.replaced(text, parameter, "all"), []
    for address in addresses:
        if address.lower() == "all" or address in WILDCARD.values():
            raise SaltInvocationError(
                f"{service_postfix.place(text, parameter['start'])}: Postfix refuses `{address}` here; "
                "write inet_interfaces = all, or nothing but addresses of this host"
            )
    why = "; ".join(dict.fromkeys(note for _, note in interfaces)) or "no address at all"
    return text, [f"{MAIN}:{parameter['line']}: inet_interfaces = `{' '.join(addresses)}` is left alone: {why}"]


def _master_notes(files: dict[str, dict[str, Any]]) -> list[str]:
    """What the user may want to change in master.cf, which is left alone."""
    text = service_postfix.text_of(files, MASTER)
    result = []
    for entry in _endpoints(files):
        if entry["note"]:
            result.append(f"{MASTER}:{entry['line']}: the entry `{entry['name']}`: {entry['note']}")
    for entry in _services(files):
        arguments = entry["arguments"]
        # These apply inside the service; master(8) decides where it listens before it runs.
        for (_, before), (offset, word) in zip([(0, ""), *arguments], arguments):
            setting = word if before == "-o" else word[2:] if word.startswith("-o") else ""
            if setting.strip("{" + SPACE).partition("=")[0].rstrip(SPACE) in OWN:
                line = entry["line"] + text.count("\n", entry["start"], entry["start"] + offset)
                result.append(f"{MASTER}:{line}: `-o {setting}` of the entry `{entry['name']}`: left alone")
    return result


# --- the meaning of the parameters


def _protocols(text: str, parameters: dict[str, dict[str, Any]]) -> set[int] | None:
    """The families of inet_protocols; None if only Postfix can determine them."""
    parameter = parameters.get("inet_protocols", {"value": "all"})
    expanded = service_postfix.expanded(parameter["value"], parameters)
    if expanded is None:
        return None
    result: set[int] = set()
    for _, word in service_postfix.words(expanded, LIST):
        if word not in PROTOCOLS:
            place = service_postfix.place(text, parameter["start"])
            raise SaltInvocationError(f"{place}: `{word}` of inet_protocols is not ipv4, ipv6 or all, in lower case")
        result |= PROTOCOLS[word]
    return result


def _interfaces(parameters: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """The addresses of inet_interfaces, in canonical form, or names; each with a note."""
    value = parameters.get("inet_interfaces", {"value": "all"})["value"]
    expanded = service_postfix.expanded(value, parameters)
    if expanded is None:
        return [(each, "inet_interfaces: cannot decide") for _, each in service_postfix.words(value, LIST)]
    addresses = [_address(each) for _, each in service_postfix.words(expanded, LIST)]
    return [(each, _kind(each)) for each in addresses]


def _address(word: str) -> str:
    """An address in canonical form, without its brackets; a name as it is."""
    return service_addresses.canonical(word[1:-1] if word[:1] == "[" and word[-1:] == "]" else word)


def _kind(address: str) -> str:
    """Why a listener is left alone; "" for the wildcards."""
    if address == "all":
        return ""
    return service_addresses.why_alone(address, name="loopback" if address in WORDS else "a host name")


# --- master.cf


def _services(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of master.cf that are in use; ``start`` is their offset, ``arguments`` have theirs from there."""
    text = service_postfix.text_of(files, MASTER)
    parameters = service_postfix.parameters(service_postfix.text_of(files, MAIN))
    disabled = parameters.get("master_service_disable", {"value": ""})["value"]
    patterns = [each for _, each in service_postfix.words(service_postfix.expanded(disabled, parameters) or "", LIST)]
    result = []
    for line, start, content in service_postfix.logical_lines(MASTER, text):
        fields = service_postfix.words(content, service_postfix.BLANK)
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
            return not service_postfix_networks.negated(pattern)
    return False


def _endpoints(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The inet entries of master.cf, with ``host`` ("" for those that follow inet_interfaces), ``port``, ``note``."""
    found: dict[tuple[str, Any], dict[str, Any]] = {}
    for entry in _services(files):
        if entry["type"] != "inet":
            continue
        place = f"{MASTER}:{entry['line']}:1"
        host, _, service = entry["name"].rpartition(":")
        host = _address(host)
        if host and not service_addresses.version(host) and not HOST.fullmatch(host):
            raise SaltInvocationError(f"{place}: `{host}` is neither a host name nor an address")
        entry.update(host=host, port=_port(service, place))
        # Of two entries for one endpoint the last counts, whether named smtp or 25.
        key = (host, entry["port"][0] or service)
        found.pop(key, None)
        found[key] = entry
    for (host, port), entry in found.items():
        entry["note"] = _kind(host) if host else ""
        other = service_addresses.OTHER.get(host)
        if other and (other, port) not in found and ("", port) not in found:
            service = entry["name"].rpartition(":")[2]
            entry["note"] = (
                f"one family only: left alone; write `{service}` in its place, "
                f"or add an entry `{f'[{other}]' if ':' in other else other}:{service}`"
            )
    return list(found.values())


def _port(service: str, place: str) -> tuple[int | None, str]:
    """The port of a service, and a note."""
    if not service:
        raise SaltInvocationError(f"{place}: an inet entry without a service")
    if service[0] in "0123456789":
        if not PORT.fullmatch(service) or not 0 < int(service) < 65536:
            raise SaltInvocationError(f"{place}: `{service}` is not a port from 1 to 65535")
        return int(service), ""
    return PORTS.get(service), "" if service in PORTS else f"the port of `{service}` is known to /etc/services only"


def _refuse_swallowed(text: str) -> None:
    """A parameter of ours that is indented by accident has no effect, and corrupts the value that it continues."""
    match = SWALLOWED.search(text)
    if match:
        start = match.start("all")
        place = service_postfix.place(text, start)
        owner = [each["name"] for each in service_postfix.assignments(text) if each["start"] <= start]
        reading = f"a part of `{owner[-1]}`" if owner else "nothing at all"
        raise SaltInvocationError(
            f"{place}: `{match['all'].rstrip(SPACE)}` is indented, so that Postfix takes it "
            f"for {reading}; remove the white space before it, or the line"
        )
