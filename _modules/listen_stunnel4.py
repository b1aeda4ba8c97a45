"""
How stunnel's configuration says where it listens, and how it serves both families. It never accesses the host.

Measured with Debian's 5.68:

* The ``accept`` of a section accumulate. ``accept = 443`` tries 0.0.0.0 and then ``::``, and is content with one of
  them: where ``net.ipv6.bindv6only`` is 0, the second one fails, and it serves IPv4 only.
* ``accept = :::443`` leaves IPV6_V6ONLY to the kernel. ``socket = a:IPV6_V6ONLY=no`` in its section makes it serve both
  families, whatever ``net.ipv6.bindv6only`` is; with it, the IPv4 addresses of the same section fail.
* ``[::]:443`` is not understood.

What a section with ``client = yes`` accepts goes to another server without any question: it is not opened further.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_lists as service_lists
    import _dualstack_service_stunnel as service_stunnel
__virtualname__ = "listen_stunnel4"

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6
# The words of a diff that are no secrets.
SHOWN = ["accept", "socket", "a:IPV6_V6ONLY", "client", "protocol", "proxy", "transparent", "source"]
Edits = dict[str, list[tuple[int, int, str]]]


class _Found(NamedTuple):
    """What is found on the way."""

    edits: Edits
    notes: list[str]
    missing: list[dict[str, Any]]


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that its processes may have, its name for service(8), ``init``, its own keys in the pillar, ``options``, and the
    command that checks its configuration, ``check``, neither of which exists, and the ``protocols`` of its usual ports.
    ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_stunnel4.about
    """
    return {
        "files": [f"{service_stunnel.FOLDER}/*.conf"],
        "processes": ["/usr/bin/stunnel4", "/usr/bin/stunnel4 *"],
        "executables": ["/usr/bin/stunnel4"],
        "users": ["stunnel4"],
        "units": ["stunnel4.service", "stunnel@*.service", "stunnel.target"],
        "init": "stunnel4",
        "sets_v6only": False,
        "options": {},
        "check": [],
        "words": SHOWN,
        "protocols": dict.fromkeys((443, 465, 563, 636, 853, 990, 993, 995), "tls"),
        "sites": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes: those of a folder.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text. Raises ``SaltInvocationError`` where the text
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_stunnel4.includes /etc/stunnel/a.conf 'include = /etc/stunnel/conf.d'
    """
    return service_stunnel.patterns(path, text)


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that stunnel reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket, in the order of the text, with ``port``, ``transport``, ``protocol``,
    ``address``, ``v6only``, ``file``, ``line`` and ``note``; without those of clients (``client = yes``), which are no
    services of this host. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_stunnel4.listeners '{/etc/stunnel/a.conf: {text: "[a]\\naccept = 443", includes: []}}'
    """
    found = []
    for section in service_stunnel.sections(files):
        for each in [] if section.client else _opened(section):
            v6only = section.v6only if each.address == ANY6 else True if ":" in each.address else None
            if each.address == ANY6 and v6only is None and _beside(section, each):
                v6only = False  # by the kernel's default, or with the socket of the other family
            found.append(
                {
                    "port": _number(each.port),
                    "transport": "tcp",
                    "protocol": "tls",
                    "address": each.address,
                    "v6only": v6only,
                    "file": each.option.path,
                    "line": each.option.line,
                    "note": "a port by name: cannot decide" if _number(each.port) is None else _why(each),
                }
            )
    return found


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: one socket for both on all addresses, or one more on a single
    address. Clients are left alone.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts.
    site
        ``addresses`` of this host that are published, by family; ``None`` for wildcards only.

    Returns ``files``, the new text of each file that changes, ``bindv6only``: 0 if what is left as it is needs that,
    else ``None``, ``notes``, ``always``, in which nothing is, and what is ``missing``. Raises ``SaltInvocationError``
    where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_stunnel4.dual_stack '{/etc/stunnel/a.conf: {text: "[a]\\naccept = 443", includes: []}}' '{}'
    """
    sections = list(service_stunnel.sections(files))
    found = _Found({}, [], [])
    demanded = None
    for section in sections:
        if not section.client and any(each.wildcard for each in section.accepts):
            demanded = 0 if _for_all(files, sections, section, bindv6only, found) else demanded
    _singles(files, sections, site, found)
    return {
        "files": service_edits.rewritten(files, found.edits),
        "always": {},
        "bindv6only": demanded,
        "notes": list(dict.fromkeys(found.notes)),
        "missing": found.missing,
    }


def _opened(section: service_stunnel.Section) -> Iterator[service_stunnel.Accept]:
    """The accepts of a section, but those on 0.0.0.0 whose port an earlier ``::`` has: it serves IPv4, or both do."""
    six: set[str] = set()
    for each in section.accepts:
        if each.address == ANY6:
            six.add(each.port)
        if each.address != ANY4 or each.port not in six:
            yield each


def _beside(section: service_stunnel.Section, six: service_stunnel.Accept) -> bool:
    """Whether 0.0.0.0 follows ``::``: whatever the kernel's default is, IPv4 is served by one of them."""
    behind = section.accepts[section.accepts.index(six) + 1 :]
    return any((each.address, each.port) == (ANY4, six.port) for each in behind)


def _for_all(
    files: dict[str, dict[str, Any]],
    sections: list[service_stunnel.Section],
    section: service_stunnel.Section,
    bindv6only: int,
    found: _Found,
) -> bool:
    """
    Make the sockets of a section that are for all addresses serve both families.

    Returns whether it does so only where net.ipv6.bindv6only is 0.
    """
    others = [each for other in sections if other is not section for each in other.accepts]
    sixes = [each for each in section.accepts if each.address == ANY6]
    alone = [each for each in sixes if not _beside(section, each) and not _holds(others, ANY4, each.port)]
    turned: list[service_stunnel.Accept] = []
    spare: list[service_stunnel.Accept] = []
    for each in section.accepts:
        if each.address != ANY4 or each not in _opened(section) or _holds(others, ANY6, each.port):
            continue
        if any(each.port == other.port for other in (*sixes, *turned)):
            spare.append(each)
        elif obstacle := next((other for other in (*section.accepts, *others) if _bars(other, each.port)), None):
            found.notes.append(
                f"{_place(each)}: {_written(each)} was left alone: {_written(obstacle)} ({_place(obstacle)}) has the "
                "port in the other family"
            )
        else:
            turned.append(each)
    changes = bool(turned or spare) or bool(alone and (section.v6only or section.v6only is None and bindv6only))
    if not changes:
        return bool(alone) and section.v6only is None
    strangers = [each for each in section.accepts if not each.wildcard and service_addresses.version(each.address) != 6]
    if section.v6only is not False:
        first = (turned or sixes)[0]
        if strangers:
            found.notes.append(
                f"{_place(first)}: {_written(first)} was left alone: its section has {_written(strangers[0])} as well, "
                "which fails beside a socket for both families; give it a section of its own"
            )
            return False
        _set_dual(files, section, first, found)
    for each in turned:
        _edit(found, each, (*each.option.span, f":::{each.port}"))
    for each in spare:
        text = files[each.option.path]["text"]
        _edit(found, each, (each.option.start, text.find("\n", each.option.start) + 1 or len(text), ""))
    if section.tells:
        found.notes.append(
            f"{_place((turned or sixes)[0])}: `{section.tells}`: addresses of IPv4 are passed on as ::ffff:192.0.2.1"
        )
    return False


def _set_dual(
    files: dict[str, dict[str, Any]],
    section: service_stunnel.Section,
    first: service_stunnel.Accept,
    found: _Found,
) -> None:
    words = "a:IPV6_V6ONLY=no"
    if section.sets:
        found.edits.setdefault(section.sets.path, []).append((*section.sets.span, words))
    else:
        text = files[first.option.path]["text"]
        _edit(found, first, service_stunnel.below(text, first.option, "socket", words))


def _singles(
    files: dict[str, dict[str, Any]],
    sections: list[service_stunnel.Section],
    site: dict[str, Any] | None,
    found: _Found,
) -> None:
    """Give the sections on a published address those of IPv6, and tell of the others."""
    published = [address for family in ("ipv4", "ipv6") for address in service_addresses.published(site, family)]
    taken = {(each.port, each.address) for section in sections for each in section.accepts}
    servers: dict[tuple[str, tuple[str, ...]], list[service_stunnel.Accept]] = {}
    for section in sections:
        for each in section.accepts:
            if section.client:
                found.notes.append(f"{_place(each)}: {_written(each)}: for a client of another server: left alone")
                continue
            servers.setdefault((each.port, section.target), []).append(each)
            if _why(each) and each.address not in published:
                found.notes.append(f"{_place(each)}: {_written(each)}: {_why(each)}")
    for (port, _), own in servers.items():
        source = next((each for each in own if each.address in published), None)
        if not source or any(each.wildcard for each in own):
            continue
        lack = service_lists.lack([each.address for each in own], site)
        said = lack.missing
        if any((port, address) in taken for address in (*lack.added, *([ANY6] if lack.added else []))):
            said = "another section has the port over IPv6; give this one another port, or another address"
        if said:
            found.missing.append(service_lists.gap(f"{_place(source)}: {_written(source)}: {said}", _number(port)))
            continue
        for address in lack.added:
            taken.add((port, address))
            text = files[source.option.path]["text"]
            name = text[source.option.start : source.option.span[0]].partition("=")[0].strip()
            _edit(found, source, service_stunnel.below(text, source.option, name, f"{address}:{port}"))


def _edit(found: _Found, accept: service_stunnel.Accept, edit: tuple[int, int, str]) -> None:
    edits = found.edits.setdefault(accept.option.path, [])
    if edit not in edits:  # a file can be read by two processes
        edits.append(edit)


def _holds(accepts: list[service_stunnel.Accept], address: str, port: str) -> bool:
    return any((each.address, each.port) == (address, port) for each in accepts)


def _bars(other: service_stunnel.Accept, port: str) -> bool:
    """Whether an accept is in the way of a ``::``: on a single IPv6 address, or by a name that may have one."""
    return other.port == port and not other.wildcard and service_addresses.version(other.address) != 4


def _why(accept: service_stunnel.Accept) -> str:
    return service_addresses.why_alone(accept.address)


def _number(port: str) -> int | None:
    return int(port) if re.fullmatch("[0-9]{1,5}", port) else None


def _place(accept: service_stunnel.Accept) -> str:
    return f"{accept.option.path}:{accept.option.line}"


def _written(accept: service_stunnel.Accept) -> str:
    return f"`accept = {accept.option.value}`"
