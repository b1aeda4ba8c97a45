"""
By which family Exim sends mail: the routers that look up the hosts of a domain. PURE: never accesses the host.

Measured with Debian's 4.96: ``ipv4_only`` of a ``dnslookup`` router has it look for A records only, while Exim listens
on both families. ``disable_ipv6`` would also take the listeners, and ``dns_ipv4_lookup`` the names of clients that come
over IPv6. A smarthost decides itself whose mail it takes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_exim4 as service_exim4

OPTION = "ipv4_only"
MARK = "# dualstack: over IPv6 only when PTR, HELO name and SPF record are right"
# What was written here, with the end of the line before it.
OURS = re.compile(rf"\n[ \t]*# dualstack: [^\n]*\n[ \t]*{OPTION} = true(?=[ \t\r]*(?:\n|\Z))")
BLOCK = re.compile(r"(?P<name>[A-Za-z0-9_]+)[ \t]*:[ \t]*(?P<rest>.*)", re.DOTALL)
FALSE = ("", "0", "no", "false")
EVERY = ("::0/0", "::/0", "0::0/0", "0::/0")

Value = service_exim4.Value


class Router(NamedTuple):
    """A router that looks up the hosts of a domain."""

    name: str
    driver: Value
    transport: str
    ours: tuple[int, int] | None  # where our restriction stands, in the file of its driver
    theirs: str | None  # what its owner has written for it
    ignores: bool  # whether it ignores all hosts of IPv6, by its owner's own list


def routers(files: plugins.Files) -> list[Router]:
    """
    The routers that look up the hosts of a domain.

    files
        All files, by path.

    Raises ``SaltInvocationError`` for files that include each other for ever.
    """
    result = []
    for name, found in _blocks(files, "routers").items():
        driver = found.get("driver")
        if driver is None or driver.text.strip() != "dnslookup":
            continue
        end = driver.offsets[-1]
        match = OURS.match(files[driver.path]["text"], _line_end(files[driver.path]["text"], end))
        own = found.get(OPTION)
        theirs = own.text.strip().strip('"').lower() if own and not _within(match, own, driver) else None
        ignored = found.get("ignore_target_hosts")
        every = any(each.word in EVERY for each in service_exim4.items(ignored)[1]) if ignored else False
        transport = found["transport"].text.strip() if "transport" in found else ""
        result.append(Router(name, driver, transport, match.span() if match else None, theirs, every))
    return result


def senders(files: plugins.Files, host: Mapping[str, str]) -> list[dict[str, Any]]:
    """
    What sends over IPv6, or would if it were not for our restriction.

    files
        All files, by path.
    host
        ``fqdn``, the name of the host with its domain, and ``mailname``, what /etc/mailname has.

    Returns and raises as ``listen_exim4.senders`` does.
    """
    options = service_exim4.options(files)
    transports = _blocks(files, "transports")
    names = {"primary_hostname": _known(options.get("primary_hostname"), {}) or host.get("fqdn", "")}
    mailname = host.get("mailname", "")
    domain = _known(options.get("qualify_domain"), names) if "qualify_domain" in options else names["primary_hostname"]
    result = []
    for each in routers(files):
        if _sends_six(each, options):
            transport = transports.get(each.transport, {})
            helo = transport.get("helo_data")
            result.append(
                {
                    "name": each.name,
                    "place": f"{each.driver.path}:{each.driver.line}",
                    "address": _bound(transport.get("interface")),
                    "helo": _known(helo, names) if helo else names["primary_hostname"],
                    "domain": mailname if domain == "ETC_MAILNAME" else domain,
                    "kept": _kept(each),
                }
            )
    return result


def edits(files: plugins.Files, send: str) -> dict[str, list[tuple[int, int, str]]]:
    """
    The edits after which mail is sent by these families, by file.

    files
        All files, by path.
    send
        ``both`` or ``ipv4``. With ``both``, nothing but our own restriction goes.

    Raises ``SaltInvocationError`` for files that include each other for ever.
    """
    options = service_exim4.options(files)
    found: dict[str, list[tuple[int, int, str]]] = {}
    for each in routers(files):
        wanted = send == "ipv4" and _sends_six(each, options) and not _kept(each)
        text = files[each.driver.path]["text"]
        if wanted and not each.ours:
            end = _line_end(text, each.driver.offsets[-1])
            found.setdefault(each.driver.path, []).append((end, end, f"\n  {MARK}\n  {OPTION} = true"))
        elif each.ours and not wanted:
            found.setdefault(each.driver.path, []).append((*each.ours, ""))
    return found


def notes(files: plugins.Files) -> list[str]:
    """
    What keeps routers from being restricted to IPv4.

    files
        All files, by path.
    """
    options = service_exim4.options(files)
    return [
        f"{each.driver.path}:{each.driver.line}: the router {each.name}: {_kept(each)}"
        for each in routers(files)
        if _sends_six(each, options) and _kept(each)
    ]


def _blocks(files: plugins.Files, section: str) -> dict[str, dict[str, Value]]:
    """The routers or transports, by their names: their options."""
    found: dict[str, dict[str, Value]] = {}
    current: dict[str, Value] = {}
    for where, line, macros in service_exim4.statements(files):
        if where != section:
            continue
        block = BLOCK.fullmatch(line.text)
        setting = service_exim4.setting(line, macros)
        if setting:
            current.setdefault(*setting)
        elif block:
            current = found.setdefault(block["name"], {})
    return found


def _line_end(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    return len(text) if end < 0 else end


def _within(match: re.Match[str] | None, own: Value, driver: Value) -> bool:
    return match is not None and own.path == driver.path and match.start() <= own.offsets[0] <= match.end()


def _sends_six(router: Router, options: Mapping[str, Value]) -> bool:
    """Whether it may send over IPv6, but for our restriction."""
    only4 = options.get("dns_ipv4_lookup")
    if router.ignores or only4 and only4.text.strip() == "*":
        return False
    return router.theirs is None or router.theirs in FALSE


def _kept(router: Router) -> str:
    return f"`{OPTION} = {router.theirs}` is yours, and stays: it sends over IPv6" if router.theirs is not None else ""


def _known(value: Value | None, names: Mapping[str, str]) -> str:
    """What an option means; empty where only Exim can expand it."""
    text = value.text.strip().strip('"') if value else ""
    for name, meaning in names.items():
        text = re.sub(rf"\$(?:{name}\b|{{{name}}})", lambda _, told=meaning: told, text)  # type: ignore[misc]
    return "" if "$" in text else text


def _bound(value: Value | None) -> str:
    """The address of IPv6 that a transport binds to; empty where the kernel chooses, or only Exim knows."""
    for each in service_exim4.items(value)[1] if value else []:
        try:
            if ipaddress.ip_address(each.word).version == 6:
                return str(ipaddress.ip_address(each.word))
        except ValueError:
            continue
    return ""
