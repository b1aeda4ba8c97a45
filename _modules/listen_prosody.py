"""
The listeners in the configuration of Prosody. It knows no host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* The configuration is a program in Lua. Read is what stands there plainly, outside of its control structures; what
  has to be computed is left alone. Written are tables on one line, and ``use_ipv6``.
* Read in its ``portmanager`` and measured with 0.12: a service listens on ``<service>_interfaces``, or else on
  ``interfaces``, or else on ``*`` and ``::`` as far as ``use_ipv4`` and ``use_ipv6`` permit; those two touch nothing
  that is written out. Private services (``http``, ``component``, ``console``) ignore ``interfaces``: they have
  ``local_interfaces``, or else both loopback addresses. Before 0.12, ``http`` was not private.
* Only settings above the first ``VirtualHost`` or ``Component`` count; an included file begins anew.
* One socket per address: ``*`` is IPv4 only, ``::`` sets ``IPV6_V6ONLY`` itself.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from salt.exceptions import SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "listen_prosody"

MAIN = "/etc/prosody/prosody.cfg.lua"

TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<comment>--\[(?P<c>=*)\[.*?\](?P=c)\]|--(?!\[=*\[)[^\n]*)|"""
    r"""(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\[(?P<s>=*)\[.*?\](?P=s)\])|"""
    r"""(?P<open>--\[|\[=*\[|["'])|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z.]*)|"""
    r"""(?P<symbol>\.{2,3}|[=~<>]=|::|.)""",
    re.DOTALL,
)
BRACKETS = {")": "(", "]": "[", "}": "{"}
CONTROL = {"if": 1, "do": 1, "function": 1, "repeat": 1, "end": -1, "until": -1}
HOSTS = ("VirtualHost", "Host", "host", "Component", "component")
CONSTANTS = {"true": True, "false": False, "nil": None}
# Files that include each other without end, and a limit to what a tree of includes may grow to.
DEPTH, VISITS = 32, 10000

# Modules that need mod_http, out of those that come with Prosody.
HTTP = {"http", "bosh", "websocket", "http_file_share", "http_files", "http_openmetrics"}


class Service(NamedTuple):
    prefix: str  # of its settings
    port: int | None
    modules: set[str]  # any of them opens it
    private: bool = False


SERVICES = (
    Service("c2s_", 5222, {"c2s"}),
    Service("c2s_direct_tls_", None, {"c2s"}),
    Service("legacy_ssl_", None, {"c2s"}),
    Service("s2s_", 5269, {"s2s"}),
    Service("s2s_direct_tls_", None, {"s2s"}),
    Service("http_", 5280, HTTP, private=True),
    Service("https_", 5281, HTTP),
    Service("component_", 5347, {"component"}, private=True),
    Service("proxy65_", 5000, {"proxy65"}),
    Service("console_", 5582, {"admin_telnet"}, private=True),
    Service("", None, {"net_multiplex"}),
)
LOADED = {"c2s", "s2s"}

ADDRESSES = {"*": "0.0.0.0", "0.0.0.0": "0.0.0.0", "::": "::"}
OTHER = {"0.0.0.0": "::", "::": "*"}
SWITCHES = {"use_ipv4": ("*", "127.0.0.1"), "use_ipv6": ("::", "::1")}


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int
    place: str  # path:line:column


END = Token("end", "", 0, 0, "")


def about() -> dict[str, Any]:
    """
    What is known of the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.about
    """
    return {
        "files": [MAIN],
        # A script: its program is Lua, of some version.
        "processes": ["*lua* /usr/bin/prosody", "*lua* /usr/bin/prosody *"],
        "units": ["prosody.service"],
        "init": "prosody",
        "sets_v6only": True,
        "options": {},
        "check": ["prosodyctl", "check", "config"],
        "protocols": {5222: "xmpp", 5223: "tls", 5269: "xmpp-server", 5280: "http", 5281: "https"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path; relative patterns start in its folder.
    text
        Its content.

    Returns absolute shell patterns in textual order. What Lua would have to compute is left out. Raises
    ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.includes /etc/prosody/prosody.cfg.lua 'Include "conf.d/*.cfg.lua"'
    """
    return [event["pattern"] for event in _events(path, text) if event["kind"] == "include" and event["pattern"]]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    What the configuration says, in textual order; first what it does not say and Prosody does by default.

    files
        The text of every file that the service reads, with its includes, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``. Raises ``SaltInvocationError`` where a text cannot be read.

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


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        The text of every file that the service reads, with its includes, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts. Prosody does not care.

    Returns ``files`` (those that change), ``bindv6only`` (what the result demands: nothing) and ``notes``. Raises
    ``SaltInvocationError`` where a text cannot be read, and for a table of several lines that has to change.

    CLI Example:

    .. code-block:: bash

        salt-call listen_prosody.dual_stack '{/etc/prosody/prosody.cfg.lua: {text: "", includes: []}}' '{}'
    """
    state = _read(files)
    found = [setting for service in _services(state) for setting in _deciding(state, service)]
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes = []
    for setting in {each["place"]: each for each in found}.values():
        start, end, words = _switched_on(setting) if setting["name"] in SWITCHES else _with_both(setting)
        if words:
            edits.setdefault(setting["path"], []).append((start, end, words))
        notes += [f"{setting['place']}: {setting['name']}: {reason}" for reason in _reasons(setting)]
    return {
        "files": {path: __salt__["text_edits.spliced"](files[path]["text"], each) for path, each in edits.items()},
        "bindv6only": None,
        "notes": notes + state["notes"],
    }


def _deciding(state: dict[str, Any], service: Service) -> list[dict[str, Any]]:
    """The settings that decide on the addresses of a service: its list, or what the default list depends on."""
    setting = _written(state, service, "interface")
    if setting:
        return [setting]
    # By default, a private service is on loopback, and stays there.
    return [] if service.private else [state["settings"][name] for name in SWITCHES if name in state["settings"]]


def _switched_on(setting: dict[str, Any]) -> tuple[int, int, str]:
    return (*setting["span"], "true" if setting["value"] is False and not setting["dynamic"] else "")


def _with_both(setting: dict[str, Any]) -> tuple[int, int, str]:
    """The change of a list of addresses that has the wildcard of one family only; without words if there is none."""
    addresses = [] if setting["dynamic"] else [_address(each) for each in _values(setting)]
    present = [address for address in addresses if address in OTHER]
    if len(set(present)) != 1:
        return 0, 0, ""
    missing = OTHER[present[0]]
    for address in addresses:
        if _version(address) in (6 if missing == "::" else 4, None):
            raise SaltInvocationError(
                f"{setting['place']}: `{missing}` would collide with `{address}`; "
                f"take that one out of {setting['name']}"
            )
    if not setting["elements"]:
        start, end = setting["span"]
        quote = setting["text"][0].replace("[", '"')
        return start, end, f"{{ {setting['text']}, {quote}{missing}{quote} }}"
    last = setting["elements"][-1]
    if "\n" in setting["text"]:
        raise SaltInvocationError(
            f"{setting['place']}: write the table {setting['name']} on one line, or add `{missing}`"
        )
    quote = last.text[0].replace("[", '"')
    return last.end, last.end, f", {quote}{missing}{quote}"


def _reasons(setting: dict[str, Any]) -> list[str]:
    """Why a setting is left alone, wholly or in part."""
    if setting["dynamic"]:
        return ["Lua has to compute it: cannot decide"]
    if setting["name"] in SWITCHES:
        return []
    written = _values(setting)
    return [f"{each}: {reason}" for each in written if (reason := _reason(_address(each)))] or (
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
    """What the kernel will see."""
    return ADDRESSES.get(str(interface), str(interface))


def _version(address: str) -> int | None:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return None  # a host name, of whichever family


def _reason(address: str) -> str:
    """Why an address is left alone; empty for a wildcard."""
    if not address:
        return "Lua has to compute it: cannot decide"
    if address in OTHER:
        return ""
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return "a host name: left alone"
    return "loopback: left alone" if loopback else "one address: left alone"


def _read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The configuration as a whole: the ``settings`` of the server, the ``modules`` of it and of all hosts."""
    state: dict[str, Any] = {
        "main": next(iter(files), ""),
        "settings": {},
        "modules": set(),
        "disabled": set(),
        "notes": [],
        "events": {},
        "visits": 0,
        "order": 0,
    }
    if files:
        _walk(state["main"], files, state, [])
    return state


def _walk(path: str, files: dict[str, dict[str, Any]], state: dict[str, Any], above: list[str]) -> None:
    state["visits"] += 1
    if path in above or len(above) > DEPTH or state["visits"] > VISITS:
        raise SaltInvocationError(f"{path}: includes that do not come to an end")
    if path not in state["events"]:
        state["events"][path] = _events(path, files[path]["text"])
    included = iter(files[path]["includes"])
    for event in state["events"][path]:
        state["order"] += 1
        if event["kind"] == "module":
            state["modules"].add(event["name"])
        elif event["kind"] == "setting":
            _set({**event, "order": state["order"]}, state)
        elif event["pattern"]:
            for each in next(included, []):
                if each in files:
                    _walk(each, files, state, [*above, path])
        else:
            state["notes"].append(f"{event['place']}: {event['name']}: what Lua has to compute is not read")


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


def _events(path: str, text: str) -> list[dict[str, Any]]:
    """
    What a file says outside of brackets, in textual order: ``setting``, ``include``, and ``module`` of a component.
    """
    tokens = list(_tokens(path, text))
    result: list[dict[str, Any]] = []
    brackets: list[Token] = []
    control, host = 0, False
    for index, token in enumerate(tokens):
        after = tokens[index + 1] if index + 1 < len(tokens) else END
        if token.kind == "symbol" and token.text in BRACKETS.values():
            brackets.append(token)
        elif token.kind == "symbol" and token.text in BRACKETS:
            if not brackets or brackets.pop().text != BRACKETS[token.text]:
                raise SaltInvocationError(f"{token.place}: a {token.text} without its {BRACKETS[token.text]}")
        if brackets or token.kind != "name" or (index and tokens[index - 1].text in (".", ":", "local", "function")):
            continue
        event = {"name": token.text, "path": path, "line": int(token.place.split(":")[-2]), "place": token.place}
        if token.text in CONTROL:
            control = max(0, control + CONTROL[token.text])
        elif token.text in HOSTS:
            names, end = _arguments(tokens, index + 1)
            if token.text.lower() == "component" and names:
                result.append({**event, "kind": "module", "name": (*names, "component")[1]})
            # A table behind it has the settings of the host, and the next ones are the server's again.
            host = end.text != "{"
        elif token.text in ("Include", "include", "RunScript"):
            names, _ = _arguments(tokens, index + 1)
            pattern = names[0] if names and token.text != "RunScript" else ""
            pattern = posixpath.normpath(posixpath.join(posixpath.dirname(path), pattern)) if pattern else ""
            result.append({**event, "kind": "include", "pattern": "" if "\0" in pattern else pattern})
        elif after.text == "=" and after.kind == "symbol":
            setting = {**event, **_literal(tokens, index + 2, text), "kind": "setting", "host": host}
            others = _before(tokens, index)
            # Plain is what stands under no condition, and is not one of several at once.
            setting["dynamic"] = bool(setting["dynamic"] or control or others)
            result += [{**setting, "name": name} for name in [*others, token.text]]
    if brackets:
        raise SaltInvocationError(f"{brackets[-1].place}: a {brackets[-1].text} that is not closed")
    return result


def _before(tokens: list[Token], index: int) -> list[str]:
    """The other names of ``a, b = 1, 2``, in front of the last one."""
    names: list[str] = []
    while index > 1 and tokens[index - 1].text == "," and tokens[index - 2].kind == "name":
        index -= 2
        names.append(tokens[index].text)
    return names


def _arguments(tokens: list[Token], index: int) -> tuple[list[str], Token]:
    """The one or two texts that a function is called with, with parentheses or without; and what stands behind."""
    names: list[str] = []
    while index < len(tokens):
        token = tokens[index]
        if token.kind == "string" and len(names) < 2:
            names.append(_unquoted(token))
        elif token.kind != "symbol" or token.text not in "()":
            return names, token
        index += 1
    return names, END


def _literal(tokens: list[Token], index: int, text: str) -> dict[str, Any]:
    """
    A plain value, or a table of plain values, and nothing behind it that belongs to the same expression.

    Returns its ``value``, its ``text`` and its ``span`` in the file, the ``elements`` of a table, and whether it is
    ``dynamic``: not plain.
    """
    first = tokens[index] if index < len(tokens) else END
    elements: list[Token] = []
    plain, last = _plain(first), index
    if first.kind == "symbol" and first.text == "{":
        last = index + 1
        while last < len(tokens) and tokens[last].kind in ("string", "number"):
            elements.append(tokens[last])
            last += 1
            if last < len(tokens) and tokens[last].kind == "symbol" and tokens[last].text in ",;":
                last += 1
            else:
                break
        plain = last < len(tokens) and tokens[last].kind == "symbol" and tokens[last].text == "}"
    after = tokens[last + 1] if last + 1 < len(tokens) else END
    ends = after.kind in ("end", "name") and after.text not in ("and", "or")
    if not plain or not (ends or (after.kind == "symbol" and after.text in (";", "::"))):
        return {"dynamic": True, "value": None, "text": "", "span": (0, 0), "elements": []}
    span = (first.start, tokens[last].end)
    value = [_scalar(each) for each in elements] if first.text == "{" else _scalar(first)
    return {"dynamic": False, "value": value, "text": text[span[0] : span[1]], "span": span, "elements": elements}


def _plain(token: Token) -> bool:
    return token.kind in ("string", "number") or (token.kind == "name" and token.text in CONSTANTS)


def _scalar(token: Token) -> str | bool | None:
    """The value of a word; numbers stay as they are written."""
    if token.kind == "name":
        return CONSTANTS[token.text]
    return _unquoted(token) if token.kind == "string" else token.text


def _unquoted(token: Token) -> str:
    if token.text.startswith("["):
        width = token.text.index("[", 1) + 1
        return token.text[width:-width].removeprefix("\n")
    return re.sub(r"\\([\\\"'])", r"\1", token.text[1:-1])


def _tokens(path: str, text: str) -> Iterator[Token]:
    """The words of a text, without blanks and comments."""
    line, begin = 1, 0
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup)
        place = f"{path}:{line}:{match.start() - begin + 1}"
        if kind == "open":
            raise SaltInvocationError(f"{place}: a {match[0]} that is not closed")
        if kind not in ("blank", "comment"):
            yield Token(kind, match[0], match.start(), match.end(), place)
        if "\n" in match[0]:
            line += match[0].count("\n")
            begin = match.start() + match[0].rindex("\n") + 1
