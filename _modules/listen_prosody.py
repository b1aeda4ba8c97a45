"""
The listeners in the configuration of Prosody. It never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* The configuration is a program in Lua. Literals outside of control structures are read; what has to be computed is
  left alone. Tables on one line and ``use_ipv6`` are written.
* Read in its ``portmanager`` and measured with 0.12: a service listens on ``<service>_interfaces``, or else on
  ``interfaces``, or else on ``*`` and ``::`` as far as ``use_ipv4`` and ``use_ipv6`` permit; those two do not affect
  explicit lists. Private services (``http``, ``component``, ``console``) ignore ``interfaces``: they have
  ``local_interfaces``, or else both loopback addresses. Before 0.12, ``http`` was not private.
* Only settings above the first ``VirtualHost`` or ``Component`` count; an included file begins anew.
* One socket per address: ``*`` is IPv4 only, ``::`` sets ``IPV6_V6ONLY`` itself. A host name is the
  first of its addresses alone.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
    import _dualstack_service_prosody as service_prosody
    import _dualstack_service_published as service_published
    import _dualstack_service_sites as service_sites
__virtualname__ = "listen_prosody"

MAIN = "/etc/prosody/prosody.cfg.lua"

# Modules that need mod_http, out of those that come with Prosody.
HTTP = {"http", "bosh", "websocket", "http_file_share", "http_files", "http_openmetrics"}


class Service(NamedTuple):
    prefix: str  # of its settings
    port: int | None
    modules: set[str]  # any of them opens it
    private: bool = False
    protocol: str = "tcp"  # as the probe names it
    hosts: str = ""  # of XMPP, which it serves: of `clients`, or of other `servers`


SERVICES = (
    Service("c2s_", 5222, {"c2s"}, protocol="xmpp", hosts="clients"),
    Service("c2s_direct_tls_", None, {"c2s"}, protocol="tls", hosts="clients"),
    Service("legacy_ssl_", None, {"c2s"}, protocol="tls", hosts="clients"),
    Service("s2s_", 5269, {"s2s"}, protocol="xmpp-server", hosts="servers"),
    Service("s2s_direct_tls_", None, {"s2s"}, protocol="tls", hosts="servers"),
    Service("http_", 5280, HTTP, private=True, protocol="http"),
    Service("https_", 5281, HTTP, protocol="https"),
    Service("component_", 5347, {"component"}, private=True),
    Service("proxy65_", 5000, {"proxy65"}),
    Service("console_", 5582, {"admin_telnet"}, private=True),
    Service("", None, {"net_multiplex"}),
)
LOADED = {"c2s", "s2s"}

OTHER = {"0.0.0.0": "::", "::": "*"}  # as Prosody writes the other family
TRUSTING = ("trusted_proxies", "secure_interfaces")  # lists of addresses that are trusted
SWITCHES = {"use_ipv4": ("*", "127.0.0.1"), "use_ipv6": ("::", "::1")}
# The words of a diff that are no secrets.
SHOWN = [
    *("interfaces", "local_interfaces", "nil", *SWITCHES),
    *(f"{each.prefix}{kind}" for each in SERVICES for kind in ("port", "ports", "interface", "interfaces")),
]


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``. ``words``
    are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.about
    """
    return {
        "files": [MAIN],
        # A script: its program is Lua, of some version.
        "processes": ["*lua* /usr/bin/prosody", "*lua* /usr/bin/prosody *"],
        "executables": ["/usr/bin/lua*"],
        "users": ["prosody"],
        "units": ["prosody.service"],
        "init": "prosody",
        "sets_v6only": True,
        "sites": True,
        "names": True,
        "options": {},
        "check": ["prosodyctl", "check", "config"],
        "warns": [2],  # an option that is deprecated, or unknown
        "words": SHOWN,
        "protocols": {5222: "xmpp", 5223: "tls", 5269: "xmpp-server", 5280: "http", 5281: "https"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path; relative patterns start in its folder.
    text
        Its content.

    Returns absolute shell patterns in textual order. Computed values are left out. Raises ``SaltInvocationError`` where
    the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.includes /etc/prosody/prosody.cfg.lua 'Include "conf.d/*.cfg.lua"'
    """
    return [each["pattern"] for each in service_prosody.events(path, text) if each["pattern"]]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The configured listeners, in textual order; after Prosody's implicit defaults.

    files
        The text of every file that the service reads, with its includes, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``protocol``, ``address``, ``v6only``, ``file``,
    ``line`` and ``note``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.listeners '{/etc/prosody/prosody.cfg.lua: {text: "", includes: []}}'
    """
    state = _read(files)
    result = []
    for service in _services(state):
        written = _written(state, service, "interface")
        ports = _written(state, service, "port")
        place = written or ports or {"path": state["main"], "line": 0, "order": -1}
        for port in _ports(service, ports):
            for address in _interfaces(state, service):
                result.append(
                    {
                        "port": port,
                        "transport": "tcp",
                        "protocol": service.protocol,
                        "address": address,
                        "v6only": True if ":" in address else None,
                        "file": place["path"],
                        "line": place["line"],
                        "note": _reason(address) or ("" if port else "no plain port: cannot decide"),
                        "order": place["order"],
                    }
                )
    result.sort(key=lambda each: each["order"])
    return [{key: value for key, value in each.items() if key != "order"} for each in result]


def sites(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The hosts of XMPP that a configuration serves: virtual hosts for clients and other servers, components for servers.

    files
        The text of every file that the service reads, with its includes, by path.

    Returns a list of dictionaries with ``names`` and ``ports``, the TCP ports. Raises ``SaltInvocationError`` where a
    text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.sites '{/etc/prosody/prosody.cfg.lua: {text: "VirtualHost \\"a.org\\"", includes: []}}'
    """
    state = _read(files)
    ports: dict[str, list[int]] = {"clients": [], "servers": []}
    for service in _services(state):
        if service.hosts:
            ports[service.hosts] += filter(None, _ports(service, _written(state, service, "port")))
    served = {
        False: list(dict.fromkeys([*ports["clients"], *ports["servers"]])),
        True: list(dict.fromkeys(ports["servers"])),
    }
    result = []
    for component, where in served.items():
        hosts = [host for host, each in state["hosts"].items() if each["enabled"] and each["component"] == component]
        names = service_sites.host_names(hosts)
        result += [{"names": names, "ports": where}] if names and where else []
    return result


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        The text of every file that the service reads, with its includes, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts. Prosody does not care.
    site
        The names that the pillar declares, and the addresses of this host that are published; with them, a list with a
        published one of IPv4 gets those of IPv6.

    Returns ``files`` (those that change), ``bindv6only`` (what the result demands: nothing), ``notes``, and
    ``missing``, what cannot be had without an address. Raises ``SaltInvocationError`` where a text cannot be read, and
    for a table of several lines that has to get a wildcard.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.dual_stack '{/etc/prosody/prosody.cfg.lua: {text: "", includes: []}}' '{}'
    """
    state = _read(files)
    found: dict[str, tuple[dict[str, Any], list[Any]]] = {}  # the settings by their places, and the ports of each
    for service in _services(state):
        for setting in _deciding(state, service):
            ports = _ports(service, _written(state, service, "port"))
            found.setdefault(setting["place"], (setting, []))[1].extend(ports)
    published = service_published.addresses(site)
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes, missing = [], []
    for setting, ports in found.values():
        lacking = _lacking(setting, published)
        names = _names(setting, published) if site is not None else []
        start, end, words = _switched_on(setting) if setting["name"] in SWITCHES else _with_both(setting, published)
        said, port = f"{setting['place']}: {setting['name']}", ports[0] if len(ports) == 1 else None
        if lacking:
            start, end, words = _with_more(setting, lacking)
        elif lacking is not None:
            missing.append(service_published.missing(site, port, f"{said}: {service_published.UNKNOWN}"))
        elif names:
            missing.append(service_published.unknown(site, port, f"{said}: `{'`, `'.join(names)}`"))
        if words:
            edits.setdefault(setting["path"], []).append((start, end, words))
        told = [*(published["ipv4"] if lacking is not None else []), *names]
        notes += [f"{setting['place']}: {setting['name']}: {reason}" for reason in _reasons(setting, told)]
    return {
        "files": service_edits.rewritten(files, edits),
        "bindv6only": None,
        "notes": notes + _deaf_lists(state) + state["notes"],
        "missing": missing,
    }


def _deaf_lists(state: dict[str, Any]) -> list[str]:
    """Notes about lists that trust IPv4's loopback, and not that of IPv6."""
    found = [state["settings"][name] for name in TRUSTING if name in state["settings"]]
    return [
        f"{each['place']}: {each['name']} names IPv4's loopback, and not ::1: left alone, add it if it may"
        for each in found
        if not each["dynamic"]
        and any(str(one).startswith("127.") for one in _values(each))
        and not any("::" in str(one) for one in _values(each))
    ]


def _lacking(setting: dict[str, Any], published: dict[str, list[str]]) -> list[str] | None:
    """The addresses that a list lacks, from ``service_published.lacking``."""
    if setting["name"] in SWITCHES or setting["dynamic"]:
        return None
    addresses = {service_addresses.canonical(_address(each)) for each in _values(setting)}
    found = (service_published.lacking(each, addresses, published) for each in addresses)
    return next((each for each in found if each is not None), None)


def _names(setting: dict[str, Any], published: dict[str, list[str]]) -> list[str]:
    """The host names in a list by which its ports may have IPv4 only."""
    if setting["name"] in SWITCHES or setting["dynamic"]:
        return []
    addresses = {service_addresses.canonical(_address(each)): str(each) for each in _values(setting)}
    return [word for each, word in addresses.items() if service_published.named(each, set(addresses), published)]


def _deciding(state: dict[str, Any], service: Service) -> list[dict[str, Any]]:
    """The settings that determine the addresses of a service: its list, or what the default list depends on."""
    setting = _written(state, service, "interface")
    if setting:
        return [setting]
    # By default, a private service is on loopback, and stays there.
    return [] if service.private else [state["settings"][name] for name in SWITCHES if name in state["settings"]]


def _switched_on(setting: dict[str, Any]) -> tuple[int, int, str]:
    return (*setting["span"], "true" if setting["value"] is False and not setting["dynamic"] else "")


def _with_both(setting: dict[str, Any], published: dict[str, list[str]]) -> tuple[int, int, str]:
    """The change of a list of addresses that has the wildcard of one family only; without words if there is none."""
    addresses = [] if setting["dynamic"] else [_address(each) for each in _values(setting)]
    present = [address for address in addresses if address in OTHER]
    if len(set(present)) != 1:
        return 0, 0, ""
    missing = OTHER[present[0]]
    if any(address in published["ipv6" if missing == "::" else "ipv4"] for address in addresses):
        return 0, 0, ""  # it serves the other family, where that is published
    for address in addresses:
        if service_addresses.version(address) in (6 if missing == "::" else 4, None):
            if missing == "::" and published["ipv6"]:
                return _with_more(setting, published["ipv6"])
            raise SaltInvocationError(
                f"{setting['place']}: `{missing}` would collide with `{address}`; "
                f"take that one out of {setting['name']}"
            )
    if setting["elements"] and "\n" in setting["text"]:
        raise SaltInvocationError(
            f"{setting['place']}: write the table {setting['name']} on one line, or add `{missing}`"
        )
    return _with_more(setting, [missing])


def _with_more(setting: dict[str, Any], words: list[str]) -> tuple[int, int, str]:
    """The change of a list that gets more addresses, quoted as its last one is."""
    last = setting["elements"][-1].text if setting["elements"] else setting["text"]
    quote = last[0].replace("[", '"')
    added = "".join(f", {quote}{word}{quote}" for word in words)
    if not setting["elements"]:
        return (*setting["span"], f"{{ {setting['text']}{added} }}")
    end = setting["elements"][-1].end
    return end, end, added


def _reasons(setting: dict[str, Any], told: list[str]) -> list[str]:
    """Why a setting is left alone, wholly or in part; except for addresses about which more is said."""
    if setting["dynamic"]:
        return ["Lua has to compute it: cannot decide"]
    if setting["name"] in SWITCHES:
        return []
    written = _values(setting)
    left = [each for each in written if each not in told]
    return [f"{each}: {reason}" for each in left if (reason := _reason(_address(each)))] or (
        [] if written else ["an empty list: nothing listens"]
    )


def _services(state: dict[str, Any]) -> list[Service]:
    """The services that listen: of loaded modules, or with ports of their own, for modules that are not known here."""
    modules = (LOADED | state["modules"]) - state["disabled"]
    result = []
    for service in SERVICES:
        ports = _written(state, service, "port")
        unknown = ports and service.prefix and not service.modules & LOADED
        if (service.modules & modules or unknown) and (_ports(service, ports) if ports else service.port):
            result.append(service)
    return result


def _written(state: dict[str, Any], service: Service, kind: str) -> dict[str, Any] | None:
    """The setting that counts for a service: of its ports, or of its interfaces."""
    names = [f"{service.prefix}{kind}s"]
    if kind == "interface":
        names += [f"{service.prefix}interface"]
        names += ["local_interfaces"] if service.private else ["interfaces", "interface"]
    for name in names:
        setting: dict[str, Any] | None = state["settings"].get(name)
        if setting and (setting["dynamic"] or setting["value"] not in (None, False)):
            return setting
    return None


def _interfaces(state: dict[str, Any], service: Service) -> list[str]:
    """The addresses of a service, as the kernel will have them; an empty text for one that cannot be known."""
    setting = _written(state, service, "interface")
    if setting:
        return [""] if setting["dynamic"] else [_address(each) for each in _values(setting)]
    result = []
    for name, addresses in SWITCHES.items():
        switch = state["settings"].get(name, {"value": None, "dynamic": False})
        if switch["dynamic"]:
            result.append("")
        elif switch["value"] is not False:
            result.append(_address(addresses[service.private]))
    return result


def _ports(service: Service, setting: dict[str, Any] | None) -> list[int | None]:
    if setting is None:
        return [service.port]
    if setting["dynamic"]:
        return [None]
    ports = [int(each) if re.fullmatch("[0-9]{1,5}", str(each)) else 0 for each in _values(setting)]
    return [port if 0 < port < 65536 else None for port in ports]


def _values(setting: dict[str, Any]) -> list[Any]:
    return setting["value"] if isinstance(setting["value"], list) else [setting["value"]]


def _address(interface: Any) -> str:
    """What the kernel will show."""
    return service_addresses.ANY4 if interface == "*" else str(interface)


def _reason(address: str) -> str:
    """Why an address is left alone; empty for a wildcard."""
    if not address:
        return "Lua has to compute it: cannot decide"
    return service_addresses.why_alone(address, single="one address")


def _read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The configuration as a whole: the ``settings`` of the server, the ``modules`` of it and of all hosts."""
    state: dict[str, Any] = {
        "main": next(iter(files), ""),
        "settings": {},
        "modules": set(),
        "hosts": {},
        "disabled": set(),
        "notes": [],
        "order": 0,
    }

    def place(path: str, event: dict[str, Any]) -> str:
        return str(event["place"])

    current: dict[str, str] = {}  # the host that each file is at
    events = service_prosody.events
    for step in service_includes.walk(files, state["main"], events, lambda event: bool(event["pattern"]), place):
        event = step.statement
        state["order"] += 1
        if event["kind"] == "module":
            state["modules"].add(event["name"])
        elif event["kind"] == "host":
            current[event["path"]] = event["name"]
            state["hosts"].setdefault(event["name"], {"component": event["component"], "enabled": True})
        elif event["kind"] == "setting":
            if event["host"] and event["name"] == "enabled" and event["path"] in current:
                # What Lua has to compute may be either.
                state["hosts"][current[event["path"]]]["enabled"] = event["value"] is True
            _set({**event, "order": state["order"]}, state)
        elif not event["pattern"]:
            state["notes"].append(f"{event['place']}: {event['name']}: what Lua has to compute is not read")
    return state


def _set(setting: dict[str, Any], state: dict[str, Any]) -> None:
    """One assignment; a later one of the same name counts."""
    name = setting["name"]
    if name == "modules_enabled" and not setting["dynamic"]:
        state["modules"].update(str(each) for each in _values(setting))
    if not setting["host"]:
        state["settings"][name] = setting
        if name == "modules_disabled" and not setting["dynamic"]:
            state["disabled"] = {str(each) for each in _values(setting)}
    elif re.search(r"(?:^|_)interfaces?$", name):
        state["notes"].append(f"{setting['place']}: {name} has no effect below a VirtualHost or Component")
