"""
How Apache's configuration says where it listens, and how it serves both families. It never accesses the host.

* ``Listen 80`` is one socket on ``::`` for both families: Apache sets IPV6_V6ONLY to 0 itself, whatever
  ``net.ipv6.bindv6only`` says (measured with 2.4.71). So is ``Listen [::]:80`` (make_sock() of ``server/listen.c``).
* ``Listen 80`` together with ``Listen [::]:80`` passes ``apache2ctl -t``, and then nothing listens at all: such pairs
  are detected here, before a restart.
* A virtual host on one address is alone with its like there, and what arrives over IPv6 is answered by another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_apache2 as service_apache2
    import _dualstack_service_apache2_hosts as service_apache2_hosts
    import _dualstack_service_edits as service_edits
    import _dualstack_service_sites as service_sites
__virtualname__ = "listen_apache2"

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6

BOTH = "*"
# Sections that are decided while the configuration is read; Listen cannot stand in any other one.
CONDITIONS = ("<ifmodule", "<ifdefine", "<ifversion", "<iffile", "<ifdirective", "<ifsection")
# The words of a diff that are no secrets.
SHOWN = (
    "VirtualHost /VirtualHost NameVirtualHost ServerName ServerAlias SSLEngine IfModule Require Allow "
    "Deny Order from"
).split()

Edits = dict[str, dict[tuple[int, str], tuple[int, int, str]]]  # by path; each once, however often its file is read


class Listen(NamedTuple):
    directive: service_apache2.Directive
    address: str  # BOTH for a port alone
    port: int | None
    conditions: frozenset[str]
    decidable: bool
    note: str


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may
    show; ``sites``: that it serves by name, and that :py:func:`dual_stack` takes a ``site``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.about
    """
    return {
        "files": [service_apache2.MAIN],
        "processes": ["/usr/sbin/apache2*"],
        "executables": ["/usr/sbin/apache2"],
        "users": ["www-data"],
        "units": ["apache2.service", "apache2@*.service"],
        "init": "apache2",
        "sets_v6only": True,
        "options": {},
        "check": ["apache2ctl", "-t"],
        "words": SHOWN,
        "protocols": {80: "http", 443: "https"},
        "sites": True,
        "names": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text. A name without a wildcard can be a file or a
    folder, which only the host knows: it gives two patterns, ``NAME`` and ``NAME/*``. Raises ``SaltInvocationError``
    where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.includes /etc/apache2/apache2.conf 'Include ports.conf'
    """
    return [pattern for each in service_apache2.directives(path, text) for pattern in service_apache2.patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that Apache reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each ``Listen``, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``, and with ``protocol`` where there is a port. Raises
    ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.listeners '{/etc/apache2/apache2.conf: {text: "Listen 80", includes: []}}'
    """
    directives = list(service_apache2.walk(files))
    secure = service_apache2_hosts.encrypted(service_apache2_hosts.hosts(directives))
    return [
        {
            "port": each.port,
            "transport": "tcp",
            "address": ANY6 if each.address == BOTH else each.address,
            "v6only": _v6only(each.address),
            "file": each.directive.path,
            "line": each.directive.line,
            "note": each.note,
            **({"protocol": _protocol(each, secure)} if each.port else {}),
        }
        for each in _listens(directives)
    ]


def sites(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The host names that are served, and on which ports.

    files
        As :py:func:`listeners` takes them.

    Returns one dictionary for each virtual host with a name, in the order of the text, the main server first where no
    virtual host answers in its place: its ``names``, without patterns, and those of its TCP ``ports`` that Apache
    listens on, but those that are for this host only. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.sites '{/etc/apache2/apache2.conf: {text: "Listen 80"}}'
    """
    directives = list(service_apache2.walk(files))
    listened = {each.port for each in _listens(directives) if each.port and service_sites.reachable(each.address)}
    return service_apache2_hosts.sites(service_apache2_hosts.hosts(directives), listened)


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; Apache does not care.
    site
        The ``names`` that the pillar declares, and the ``addresses`` of this host that are published, a list for
        ``ipv4`` and one for ``ipv6``: listeners and virtual hosts on one of the former come to be on the latter.
        ``None``: single addresses are left alone.

    Returns ``files``, the new text of each file that changes; ``always``, those with only the edits that are needed
    even where every port answers over both families: those for single addresses, and ``::1`` beside 127.0.0.1 in lists
    of clients; ``bindv6only``, ``None`` as it is immune; ``notes``; and ``missing``: a list of what has no IPv6 and
    cannot be given it here, each with ``names``, ``port`` and what is ``said``. Raises ``SaltInvocationError`` where a
    text cannot be read, and where two statements take each other's port, so that Apache would not start.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.dual_stack '{/etc/apache2/apache2.conf: {text: "Listen 0.0.0.0:80"}}' '{}'
    """
    directives = list(service_apache2.walk(files))
    listens = _listens(directives)
    _refuse_conflicts(listens)
    hosts = service_apache2_hosts.hosts(directives)
    published = service_sites.site(site)
    always: Edits = {}
    missing: list[dict[str, Any]] = []
    notes: list[str] = []
    seen: set[tuple[str, int]] = set()  # single addresses that have been seen to
    if published:
        for each, why in _singles(listens, hosts, published):
            seen.add((each.directive.path, each.directive.line))
            if why:
                missing.append({"names": _names(hosts, each), "port": each.port, "said": f"{_quoted(each)}: {why}"})
                continue
            for address in published.ipv6:
                _insert(always, each.directive.path, *_next_line(files, each.directive, f"[{address}]:{each.port}"))
        widened, without = service_apache2_hosts.widened(hosts, published)
        missing += without
        for directive, word, address in widened:
            seen.add((directive.path, directive.line))
            _insert(always, directive.path, _behind(files, directive, word), f" {address}")
        notes += service_apache2_hosts.unresolved(hosts)
    edits = _wildcards(files, listens, notes, seen)
    if always or edits or any(each.address == BOTH or _open6(each) for each in listens):
        lists = list(service_apache2_hosts.lists(directives))
        for directive, word in service_apache2_hosts.blind_to_loopback(lists):
            _insert(always, directive.path, directive.spans[word][1], " ::1")
        said = {each["said"].partition(": `")[0] for each in missing}
        notes += service_apache2_hosts.deaf(
            [host for host in hosts if not host.directive or service_apache2.place(host.directive) not in said], seen
        )
        notes += service_apache2_hosts.one_family(lists)
    texts = service_edits.rewritten(
        files, {path: [*edits.get(path, {}).values(), *always.get(path, {}).values()] for path in {**edits, **always}}
    )
    # What was checked for the old text has to hold for the new one, too.
    _refuse_conflicts(_listens(service_apache2.walk(service_edits.afterwards(files, texts))))
    return {
        "files": texts,
        "always": service_edits.rewritten(files, {path: each.values() for path, each in always.items()}),
        "bindv6only": None,
        "notes": list(dict.fromkeys(notes)),
        "missing": missing,
    }


def _insert(edits: Edits, path: str, offset: int, words: str) -> None:
    edits.setdefault(path, {})[offset, words] = (offset, offset, words)


def _wildcards(
    files: dict[str, dict[str, Any]], listens: list[Listen], notes: list[str], seen: set[tuple[str, int]]
) -> Edits:
    """The edits for what listens on all addresses of IPv4, and notes on all that is left alone."""
    edits: Edits = {}
    on_port: dict[int | None, list[Listen]] = {}
    for each in listens:
        if each.address == BOTH or ":" in each.address:
            on_port.setdefault(each.port, []).append(each)
    for each in listens:
        if each.note and (each.directive.path, each.directive.line) not in seen:
            notes.append(f"{_quoted(each)}: {each.note}")
        if each.address != ANY4 or not each.decidable:
            continue
        company = on_port.get(each.port, [])
        prefix = _prefix(files, each.directive)
        if any(other.address in (BOTH, ANY6) and other.conditions <= each.conditions for other in company):
            pass  # Apache makes one socket of the two
        elif company:
            notes.append(
                f"{_quoted(each)} was left alone: "
                f"`{_words(company[0])}` ({service_apache2.place(company[0].directive)}) has the port in IPv6"
            )
        elif prefix is None:
            notes.append(f"{_quoted(each)} was left alone: write `Listen {each.port}` by hand")
        else:
            edits.setdefault(each.directive.path, {})[prefix[0], ""] = (*prefix, "")
    return edits


def _singles(
    listens: list[Listen], hosts: list[service_apache2_hosts.Host], published: service_sites.Site
) -> Iterator[tuple[Listen, str]]:
    """
    The listeners on a published address of IPv4, or on a host name, whose port has no IPv6; why one cannot have it, or
    nothing.
    """
    six = {*published.ipv6, BOTH, ANY4, ANY6}  # 0.0.0.0 is about to be for both
    served: dict[int | None, list[frozenset[str]]] = {}
    for each in listens:
        if each.address in six or (not published.ipv6 and _open6(each)):
            served.setdefault(each.port, []).append(each.conditions)
    named = {
        address.host
        for host in hosts
        if not published.ipv4 and not published.names.isdisjoint(service_sites.host_names(host.names))
        for address in host.addresses
        if service_sites.is_public(address.host)
    }
    for each in sorted(listens, key=lambda each: service_sites.is_named(each.address)):
        unknown = service_sites.is_named(each.address)
        if not each.decidable or not (unknown or each.address in (published.ipv4 or named)):
            continue
        if any(conditions <= each.conditions for conditions in served.get(each.port, [])):
            continue
        if unknown:
            yield each, service_addresses.NAMED
            continue
        served.setdefault(each.port, []).append(each.conditions)
        yield each, "" if published.ipv6 else "no IPv6 address of this host is known that it could have, too"


def _open6(listen: Listen) -> bool:
    return ":" in listen.address and service_sites.reachable(listen.address)


def _names(hosts: list[service_apache2_hosts.Host], listen: Listen) -> list[str]:
    """The names that need a listener: those of the virtual hosts on its port."""
    found = [host for host in hosts if any(each.port in (str(listen.port), "*", "") for each in host.addresses)]
    return service_sites.host_names(name for host in found for name in host.names)


def _behind(files: dict[str, dict[str, Any]], directive: service_apache2.Directive, word: int) -> int:
    """Where a word ends in the text, without the end of a section's line."""
    start, end = directive.spans[word]
    return start + len(files[directive.path]["text"][start:end].rstrip(">"))


def _next_line(files: dict[str, dict[str, Any]], directive: service_apache2.Directive, address: str) -> tuple[int, str]:
    """The same directive for another address, below the first one: where, and the words."""
    text = files[directive.path]["text"]
    start, end = directive.spans[0][0], directive.spans[-1][1]
    indent = text[text.rfind("\n", 0, start) + 1 : start]
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    carriage = "\r" if text[line - 1] == "\r" else ""
    words = [directive.words[0], address, *(text[slice(*span)] for span in directive.spans[2:])]
    return line - len(carriage), f"{carriage}\n{indent}{' '.join(words)}"


def _listens(directives: Iterable[service_apache2.Directive]) -> list[Listen]:
    result = []
    for each in directives:
        if each.words[0].lower() != "listen" or len(each.words) < 2:
            continue
        kinds = service_apache2.kinds(each)
        if not all(kind in (*CONDITIONS, service_apache2.MACRO) for kind in kinds):
            continue  # Apache refuses it there
        address, port, notes = _socket(each.words[1])
        if service_apache2.MACRO in kinds:
            notes = ["inside a macro: cannot decide"]
        conditions = frozenset(section.words for section in each.sections)
        decidable = port is not None and service_apache2.MACRO not in kinds
        if each.sections and decidable:
            notes.append(f"inside `{each.sections[-1].words}`: taken as there")
        result.append(Listen(each, address, port, conditions, decidable, "; ".join(notes)))
    return result


def _socket(word: str) -> tuple[str, int | None, list[str]]:
    """The address and the port of `[ADDRESS:]PORT`, and a note for the user."""
    match = re.fullmatch(r"(?:(?P<host>\[[^]]*\]|[^\[\]]+):)?(?P<port>[0-9]{1,5})", word)
    if "$" in word:
        return word, None, ["a variable: cannot decide"]
    if not match or not 0 < int(match["port"]) < 65536:
        return word, None, ["no address and port: cannot decide"]
    port = int(match["port"])
    if match["host"] in (None, BOTH):
        return BOTH, port, []
    host = match["host"].strip("[]")
    alone = service_addresses.why_alone(host)
    return service_addresses.canonical(host), port, [alone] if alone else []


def _protocol(listen: Listen, secure: dict[str, bool | None]) -> str:
    tls = next(secure[each] for each in (str(listen.port), "*", "") if each in secure)
    default = "https" if listen.port == 443 else "http"
    said = (listen.directive.words[2:3] or [default])[0].lower()
    return "https" if tls or (tls is None and said == "https") else "http"


def _v6only(address: str) -> bool | None:
    """What the socket will have: a specific IPv6 address has no IPv4 in it, whatever the program sets."""
    if address in (BOTH, ANY6):
        return False
    return True if ":" in address else None


def _quoted(listen: Listen) -> str:
    return service_apache2.quoted(listen.directive)


def _words(listen: Listen) -> str:
    return " ".join(listen.directive.words)


def _prefix(files: dict[str, dict[str, Any]], directive: service_apache2.Directive) -> tuple[int, int] | None:
    """Where the address stands in the text, with its colon; nowhere, if a backslash divides it."""
    start, end = directive.spans[1]
    found = files[directive.path]["text"].find(f"{ANY4}:", start, end)
    return None if found < 0 else (found, found + len(ANY4) + 1)


def _refuse_conflicts(listens: list[Listen]) -> None:
    """
    Raises if two statements take each other's port.

    Conditions are not evaluated: each set of conditions around a statement is assumed to hold in turn, so that Debian's
    two ``Listen 443``, for mod_ssl and for mod_gnutls, do not count as a pair.
    """
    listens = [each for each in listens if each.decidable]
    for world in {each.conditions for each in listens}:
        pair = _conflict([each for each in listens if each.conditions <= world])
        if pair:
            first, second = (f"`{_words(each)}` ({service_apache2.place(each.directive)})" for each in pair)
            raise SaltInvocationError(
                f"apache2 would not start: {second} needs the port that {first} has taken; remove one of the two"
            )


def _conflict(listens: list[Listen]) -> tuple[Listen, Listen] | None:
    """The first two statements of which the second cannot be bound, in the order of open_listeners()."""
    queue: list[tuple[str, Listen]] = []
    for each in listens:
        # For a port alone, getaddrinfo() gets no name.
        queue += [(address, each) for address in ([ANY4, ANY6] if each.address == BOTH else [each.address])]
    bound: dict[int | None, dict[str, Listen]] = {}
    for index, (address, each) in enumerate(queue):
        follower = queue[index + 1] if index + 1 < len(queue) else ("", each)
        if address == ANY4 and follower[0] == ANY6 and follower[1].port == each.port:
            queue[index + 1] = (address, each)
            address, each = follower
            follower = queue[index + 1]
        holders = bound.setdefault(each.port, {})
        if address == ANY4 and ANY6 in holders:
            continue  # the one socket serves it
        clash = _clash(address, holders)
        if clash is None:
            holders[address] = each
        elif ANY6 in holders or (address, follower[0], follower[1].port) != (ANY6, ANY4, each.port):
            # A `::` that fails is ignored if 0.0.0.0 follows, but a second `::` leaves a socket unbound.
            return clash, each
    return None


def _clash(address: str, holders: dict[str, Listen]) -> Listen | None:
    """The statement that already has this address, among those bound to the same port."""
    same = holders.get(address) or holders.get(ANY6)
    if same or address not in (ANY4, ANY6):
        return same or (holders.get(ANY4) if ":" not in address else None)
    return next((each for other, each in holders.items() if address == ANY6 or ":" not in other), None)
