"""
How sshd's configuration says where it listens, and how it serves both families. It never accesses the host.

* Without ``ListenAddress`` it listens on both families, one socket each: it sets IPV6_V6ONLY to 1 itself.
  ``ListenAddress ::`` alone is IPv6 only, whatever ``net.ipv6.bindv6only`` says.
* ``Port`` and ``ListenAddress`` accumulate; of ``AddressFamily``, the first one counts, sshd_config(5).
* To lock nobody out, sockets are only added here, never removed or moved.
* Where ``ssh.socket`` is enabled, systemd listens in sshd's place, and what is written here about ports and addresses
  counts for nothing; except on Ubuntu since 24.04, whose generator makes a drop-in for that unit of it.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_published as service_published
    import _dualstack_service_ssh as service_ssh
__virtualname__ = "listen_ssh"

MAIN = service_ssh.MAIN
# The link of the enabled unit, and what Ubuntu's generator makes of sshd_config at each daemon-reload.
SOCKET = "/etc/systemd/system/sockets.target.wants/ssh.socket"
GENERATED = "/run/systemd/generator/ssh.socket.d/addresses.conf"

ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER

# The words of a diff that are no secrets.
SHOWN = "Port ListenAddress AddressFamily Include Match".split()


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may
    show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.about
    """
    return {
        "files": [MAIN, SOCKET, GENERATED],
        "processes": ["/usr/sbin/sshd*"],
        "executables": ["/usr/sbin/sshd"],
        "users": [],
        "units": ["ssh.service", "ssh@*.service", "sshd.service"],
        "init": "ssh",
        "sets_v6only": True,
        "sites": True,
        "options": {},
        "check": ["/usr/sbin/sshd", "-t"],  # sshd insists on an absolute path
        "words": SHOWN,
        "protocols": {22: "ssh"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text; relative ones start in /etc/ssh. Raises
    ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.includes /etc/ssh/sshd_config 'Include sshd_config.d/*.conf'
    """
    if path in (SOCKET, GENERATED):
        return []
    return [pattern for each in service_ssh.directives(path, text) for pattern in service_ssh.patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that sshd reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket, in the order of the text, with ``port``, ``transport``, ``protocol``,
    ``address``, ``v6only``, ``file``, ``line`` and ``note``; implicit ones are on line 0. Raises
    ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.listeners '{/etc/ssh/sshd_config: {text: "Port 22", includes: []}}'
    """
    settings = service_ssh.settings(files)
    sockets: list[tuple[str, str, service_ssh.Directive | None, str]] = []
    if not settings.listens:
        for port, directive in settings.ports:
            sockets += [(address, port, directive, "") for address in service_ssh.ADDRESS_FAMILY[settings.family]]
    for each in settings.listens:
        note = each.note
        if each.address in OTHER and each.address not in service_ssh.ADDRESS_FAMILY[settings.family]:
            note = f"`AddressFamily {settings.family}` excludes it: sshd does not start"
        sockets += [(each.address, port, each.directive, note) for port in service_ssh.ports(each, settings)]
    elsewhere = "ssh.socket is enabled: systemd listens in its place" if _is_activated(files) else ""
    return [
        {
            "port": _number(port),
            "transport": "tcp",
            "protocol": "ssh",
            "address": address,
            "v6only": True if ":" in address else None,
            "file": directive.path if directive else MAIN,
            "line": directive.line if directive else 0,
            "note": elsewhere or (note if service_ssh.PORT.fullmatch(port) else "a port by name: cannot decide"),
        }
        for address, port, directive, note in sockets
    ]


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: sockets are added, none is removed.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; sshd does not care.
    site
        The names that the pillar declares, and the addresses of this host that are published; with them, a
        ``ListenAddress`` that is a published one of IPv4 gets one for each of IPv6.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, ``notes``, and
    ``missing``, what cannot be had without an address. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.dual_stack '{/etc/ssh/sshd_config: {text: "AddressFamily inet"}}' '{}'
    """
    settings = service_ssh.settings(files)
    missing: list[dict[str, Any]] = []
    edits, notes = ({}, []) if _is_activated(files) else _added(files, settings, site, missing)
    notes = [
        *_activation(files),
        *notes,
        *service_ssh.deaf_matches(settings.matches),
        *service_ssh.deaf_users(settings.users),
    ]
    return {
        "files": service_edits.rewritten(files, edits),
        "bindv6only": None,
        "notes": list(dict.fromkeys(notes)),
        "missing": missing,
    }


Edits = dict[str, list[tuple[int, int, str]]]


def _added(
    files: dict[str, dict[str, Any]],
    settings: service_ssh.Settings,
    site: service_published.Site | None,
    missing: list[dict[str, Any]],
) -> tuple[Edits, list[str]]:
    """The edits that add sockets, and notes; what cannot be added is put into ``missing``."""
    published = service_published.addresses(site)
    beside = _beside(settings)
    singles = _singles(settings, beside, site, missing)
    told = {*singles, *_named(settings, beside, site, missing)}
    notes = [
        f"{_where(each)}: {each.note}"
        for number, each in enumerate(settings.listens)
        if each.note and number not in told
    ]
    edits: Edits = {}
    if settings.family != "any" and settings.family_at:
        at = settings.family_at
        if not settings.listens or any(singles.values()) or any(each.address in OTHER for each in settings.listens):
            edits.setdefault(at.path, []).append((*at.spans[0], "any"))
        else:
            notes.append(
                f"{service_ssh.place(at)}: `AddressFamily {settings.family}` was left alone: no address is a wildcard"
            )
    # Sockets by address, port and routing domain; those that are not wildcards prevent one.
    taken = {
        (each.address, port, each.domain) for each in settings.listens for port in service_ssh.ports(each, settings)
    }
    narrow: dict[tuple[str, str, tuple[str, ...]], service_ssh.Listen] = {}
    for each in settings.listens:
        if each.address not in OTHER:
            for family in _families(each.address):
                narrow.update({(family, port, each.domain): each for port in service_ssh.ports(each, settings)})
    for number, each in enumerate(settings.listens):
        if singles.get(number):
            edit = _insertion(files[each.directive.path]["text"], each, singles[number])
            edits.setdefault(each.directive.path, []).append(edit)
        if each.address not in OTHER:
            continue
        wanted = [(OTHER[each.address], port, each.domain) for port in service_ssh.ports(each, settings)]
        lacking = [socket for socket in wanted if socket not in taken]
        obstacle = next((narrow[socket] for socket in lacking if socket in narrow), None)
        instead = [
            (address, port, domain)
            for wildcard, port, domain in lacking
            for address in (published["ipv6"] if obstacle and wildcard == ANY6 else [])
        ]
        if instead and taken.isdisjoint(instead):
            taken.update(instead)
            targets = list(dict.fromkeys(_target(address, port) for address, port, _ in instead))
            edit = _insertion(files[each.directive.path]["text"], each, targets)
            edits.setdefault(each.directive.path, []).append(edit)
        elif obstacle and not instead:
            there = f"`{service_ssh.written(obstacle)}` ({service_ssh.place(obstacle.directive)})"
            notes.append(
                f"{service_ssh.place(each.directive)}: `{service_ssh.written(each)}` was left alone: "
                f"{there} has the port in the other family"
            )
        elif lacking and not instead:
            taken.update(lacking)
            whole = not each.port and lacking == wanted
            targets = [OTHER[each.address]] if whole else [_target(address, port) for address, port, _ in lacking]
            edits.setdefault(each.directive.path, []).append(
                _insertion(files[each.directive.path]["text"], each, list(dict.fromkeys(targets)))
            )
    return edits, notes


Beside = dict[tuple[str, tuple[str, ...]], set[str]]  # by port and routing domain, the addresses there


def _beside(settings: service_ssh.Settings) -> Beside:
    beside: Beside = {}
    for each in settings.listens:
        for port in service_ssh.ports(each, settings):
            beside.setdefault((port, each.domain), set()).add(each.address)
    return beside


def _singles(
    settings: service_ssh.Settings,
    beside: Beside,
    site: service_published.Site | None,
    missing: list[dict[str, Any]],
) -> dict[int, list[str]]:
    """
    The lines on a published address of IPv4 alone, by their numbers, with the targets that each of them lacks, which
    are put into ``beside``.
    """
    published = service_published.addresses(site)
    result: dict[int, list[str]] = {}
    for number, each in enumerate(settings.listens if published["ipv4"] else []):
        ports = service_ssh.ports(each, settings)
        lacking = [
            port
            for port in ports
            if service_published.lacking(each.address, beside[port, each.domain], published) is not None
        ]
        if not lacking:
            continue
        whole = not each.port and lacking == ports
        ends = [address if whole else _target(address, port) for port in lacking for address in published["ipv6"]]
        result[number] = list(dict.fromkeys(ends))
        for port in lacking:
            beside[port, each.domain].update(published["ipv6"])
            if not published["ipv6"]:
                said = f"{_where(each)}: {service_published.UNKNOWN}"
                missing.append(service_published.missing(site, _number(port), said))
    return result


def _named(
    settings: service_ssh.Settings,
    beside: Beside,
    site: service_published.Site | None,
    missing: list[dict[str, Any]],
) -> set[int]:
    """The lines with a host name by which a port may have IPv4 only, by their numbers."""
    published = service_published.addresses(site)
    result = set()
    for number, each in enumerate(settings.listens if site is not None else []):
        for port in service_ssh.ports(each, settings) if each.note.startswith("a host name") else []:
            if service_published.named(each.address, beside[port, each.domain], published):
                result.add(number)
                missing.append(service_published.unknown(site, _number(port), _where(each)))
    return result


def _where(listen: service_ssh.Listen) -> str:
    return f"{service_ssh.place(listen.directive)}: `{service_ssh.written(listen)}`"


def _number(port: str) -> int | None:
    return int(port) if service_ssh.PORT.fullmatch(port) else None


def _is_activated(files: dict[str, dict[str, Any]]) -> bool:
    """Whether systemd listens in sshd's place, and not as sshd_config says."""
    return SOCKET in files and GENERATED not in files


def _activation(files: dict[str, dict[str, Any]]) -> list[str]:
    if _is_activated(files):
        return [
            f"{SOCKET}: systemd listens in sshd's place: ListenAddress, Port and AddressFamily in {MAIN} do not count, "
            "and are left alone; the service `systemd` has this unit, with `units: [ssh.socket]`"
        ]
    if SOCKET in files:
        return [
            f"{SOCKET}: systemd listens in sshd's place, as {GENERATED} says, which is made of {MAIN} at a "
            "`systemctl daemon-reload`; after that, ssh.socket has to be restarted"
        ]
    return []


def _families(address: str) -> list[str]:
    """The wildcards that an address can be in the way of; a host name may be of both families."""
    if ":" in address:
        return [ANY6]
    return [ANY4] if re.fullmatch(r"[0-9.]+", address) else [ANY4, ANY6]


def _target(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _insertion(text: str, listen: service_ssh.Listen, targets: list[str]) -> tuple[int, int, str]:
    """Lines below a ListenAddress, in its own fashion: where they go, twice, and what is to be written."""
    start, end = listen.directive.start, listen.directive.end
    indent = text[start:end][: len(text[start:end]) - len(text[start:end].lstrip(" \t"))]
    newline = "\r\n" if text[end : end + 1] == "\r" else "\n"
    domain = [text[slice(*span)] for span in listen.directive.spans[1:]]
    lines = [" ".join([f"{newline}{indent}ListenAddress", target, *domain]) for target in targets]
    return end, end, "".join(lines)
