"""
The listeners in ejabberd.yml, the configuration of ejabberd since 13.10, and the edits that move them.

It never accesses the host. Its counterpart for ejabberd.cfg is :py:mod:`ejabberd_cfg`; :py:mod:`listen_ejabberd` uses
both.

* Measured with 23.01, and read in its ``yconf`` and ``fast_yaml``: a port is a plain decimal number (``05222`` is 5222,
  ``'5222'`` is refused). Without ``ip`` a listener is on 0.0.0.0; ``inet6`` has no effect. Several ``listen`` add up.
  An alias is not resolved.
* The places of the words are those of PyYAML's events. The end of a block is where its last word ends: the marks
  of PyYAML go on to the next token.
"""

from __future__ import annotations

import functools
import glob
import ipaddress
import posixpath
import re
from typing import Any

import yaml
from salt.exceptions import SaltInvocationError

# ejabberdctl starts ejabberd there, and relative names of included files are looked for where it was started.
FOLDER = "/var/lib/ejabberd"
DEEPEST = 100
WILDCARDS = ("0.0.0.0", "::")
LOOPBACK = "::1/128"
RULES = ("access_rules", "api_permissions", "shaper_rules")
YES = ("true", "yes", "on", "y")
MACRO = "a macro: cannot decide"
# What stands between two items: line breaks as in YAML 1.1.
COMMENT = r"#[^\r\n\x85\u2028\u2029]*"
GAP = re.compile(rf"(?:\s+|{COMMENT})*")
REST_OF_LINE = re.compile(rf"[ \t]*(?:{COMMENT})?")


def statements(path: str, text: str) -> list[dict[str, Any]]:
    """
    The relevant statements of a configuration file, in textual order.

    path
        Its name, for errors.
    text
        Its content.

    Returns a list as ``ejabberd_cfg.statements`` does; what is only reported, not edited, has ``None`` as its
    ``companion``. Raises ``SaltInvocationError`` with ``path:line:column``.
    """
    root = _tree(path, text)
    if root is None:
        return []
    if root["kind"] != "mapping":
        return _fail(path, root, "not a mapping of options")
    result = []
    for key, value in root["items"]:
        place = {"line": key["line"]}
        if key["value"] == "include_config_file":
            result += [{"kind": "include", **place, **each} for each in _includes(path, value)]
        elif key["value"] == "hosts":
            hosts = [each["value"] for each in _listed(value) if each["kind"] == "scalar" and not _is_macro(each)]
            result.append({"kind": "hosts", **place, "names": hosts})
        elif key["value"] == "listen":
            result.append({"kind": "listen", **place, "listeners": _listeners(path, text, value)})
        elif key["value"] == "acl":
            result += _acls(text, value, "acl")
        elif key["value"] in ("host_config", "append_host_config"):
            for host, options in _pairs(value):
                for option, names in _pairs(options):
                    if option["value"] == "acl":
                        result += _acls(text, names, f"{key['value']} {host['value']}")
        elif key["value"] in RULES:
            result += _told(value)
            result += _denied(key["value"], value) if key["value"] == "access_rules" else []
        elif key["value"] == "access":
            result += _denied_of_old(value)
    return result


def _fail(path: str, node: dict[str, Any], problem: str) -> Any:
    raise SaltInvocationError(f"{path}:{node['line']}:{node['column']}: {problem}")


def _tree(path: str, text: str) -> dict[str, Any] | None:
    """
    The only document of a text.

    A node has ``kind``, ``value`` of a scalar, ``items`` of a sequence, ``items`` of a mapping as pairs; its place; and
    ``special`` if an anchor, alias or tag is in it.
    """
    strange = re.search("\r(?!\n)|[\x85\u2028\u2029]", text)
    if strange:
        return _fail(path, _place(text, strange.start()), "a line end that is neither LF nor CR LF")
    root: list[dict[str, Any]] = []
    open_nodes: list[dict[str, Any]] = []
    events: Any = yaml.parse(text, Loader=yaml.SafeLoader)
    try:
        for event in events:
            if isinstance(event, yaml.CollectionEndEvent):
                node = open_nodes.pop()
                _close(node, event)
            elif isinstance(event, yaml.NodeEvent):
                node = _node(text, event)
                (open_nodes[-1]["items"] if open_nodes else root).append(node)
            else:
                continue
            if open_nodes:
                open_nodes[-1]["end"] = node["end"]
                open_nodes[-1]["special"] |= node["special"]
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append(node)
            if len(open_nodes) > DEEPEST:
                _fail(path, node, f"nested deeper than {DEEPEST} levels")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        said = " ".join(str(each) for each in (error.context, error.problem) if each)
        raise SaltInvocationError(f"{path}:{place}: no YAML: {said}") from None
    except yaml.reader.ReaderError as error:
        return _fail(path, _place(text, error.position), f"no YAML: {error.reason}")
    except (ValueError, OverflowError, RecursionError) as error:
        # PyYAML itself stumbles over "\UFFFFFFFF", and over versions of many digits.
        raise SaltInvocationError(f"{path}: no YAML: {error}") from None
    if len(root) > 1:
        return _fail(path, root[1], "a second document; ejabberd reads files of one")
    return root[0] if root else None


def _place(text: str, at: int) -> dict[str, Any]:
    return {"line": text.count("\n", 0, at) + 1, "column": at - text.rfind("\n", 0, at)}


def _close(node: dict[str, Any], event: Any) -> None:
    if node["flow"]:
        node["end"] = event.end_mark.index
    if node["kind"] == "mapping":
        words = node["items"]
        node["items"] = [list(pair) for pair in zip(words[::2], words[1::2])]


def _node(text: str, event: Any) -> dict[str, Any]:
    start, end = event.start_mark, event.end_mark
    node = {"start": start.index, "end": end.index, "line": start.line + 1, "column": start.column + 1, "value": ""}
    node["special"] = bool(event.anchor) or getattr(event, "tag", None) not in (None, "!")
    if isinstance(event, yaml.ScalarEvent):
        node.update(kind="scalar", value=event.value, style=event.style or "")
        if event.style in ("|", ">"):  # whose mark extends to the next word
            node["end"] = start.index + len(text[start.index : end.index].rstrip())
    elif isinstance(event, yaml.AliasEvent):
        node.update(kind="alias")
    else:
        kind = "sequence" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
        node.update(kind=kind, items=[], flow=bool(event.flow_style))
    return node


def _pairs(node: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return node["items"] if node["kind"] == "mapping" else []


def _is_macro(node: dict[str, Any]) -> bool:
    if node["kind"] != "scalar":
        return False
    return re.fullmatch("[0-9]*[A-Z_][A-Z_0-9]*|.*@[A-Z_0-9]+@.*", node["value"]) is not None


def _includes(path: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """One file, a list of files, or a mapping of files to their filters."""
    if value["kind"] == "mapping":
        files = [(name, {key["value"]: each for key, each in _pairs(options)}) for name, options in value["items"]]
    else:
        files = [(name, {}) for name in (value["items"] if value["kind"] == "sequence" else [value])]
    result = []
    for name, options in files:
        if name["kind"] != "scalar" or not name["value"]:
            return _fail(path, name, "not a file to include")
        kinds = {
            key: [each["value"] for each in options[key]["items"]]
            for key in ("allow_only", "disallow")
            if key in options and options[key]["kind"] == "sequence"
        }
        pattern = posixpath.normpath(posixpath.join(FOLDER, glob.escape(name["value"])))
        # An empty list allows everything.
        allow = kinds.get("allow_only") or None
        result.append({"pattern": pattern, "allow": allow, "disallow": [] if allow else kinds.get("disallow", [])})
    return result


def _listeners(path: str, text: str, listing: dict[str, Any]) -> list[dict[str, Any]]:
    if listing["kind"] == "alias" or _is_macro(listing):
        return [_undecided(listing, "an alias: left alone" if listing["kind"] == "alias" else MACRO)]
    if listing["kind"] != "sequence":
        return _fail(path, listing, "`listen` takes a list of listeners")
    result = []
    for number, item in enumerate(listing["items"]):
        listener = _listener(path, text, item)
        if not listener["note"]:
            before = listing["items"][number - 1] if number else None
            place = _in_flow if listing["flow"] else _in_block
            listener.update(place(text, listing, before, item))
        result.append(listener)
    return result


def _undecided(node: dict[str, Any], note: str) -> dict[str, Any]:
    unknown = {"port": None, "transport": "tcp", "address": "", "module": "", "tls": False}
    return {"line": node["line"], **unknown, "note": note}


def _listener(path: str, text: str, node: dict[str, Any]) -> dict[str, Any]:
    if node["kind"] == "alias" or _is_macro(node):
        return _undecided(node, "an alias: left alone" if node["kind"] == "alias" else MACRO)
    if node["kind"] != "mapping":
        return _fail(path, node, "not a listener, a mapping with port and module")
    options: dict[str, dict[str, Any]] = {}
    for key, value in node["items"]:
        if key["value"] in options:
            return _fail(path, key, f"{key['value']} is there twice, and ejabberd refuses that")
        options[key["value"]] = value
    if "port" not in options:
        return _fail(path, node, "a listener without port")
    listener = {**_undecided(node, ""), "port": _port(path, options["port"])}
    module, tls = (options.get(key, {"value": ""})["value"] for key in ("module", "tls"))
    listener.update(module=module, tls=tls.lower() in YES)
    transport = options.get("transport")
    if transport and transport["value"] == "udp":
        listener["transport"] = "udp"
    deciding = [options[key] for key in ("port", "ip", "transport") if key in options]
    if any(map(_is_macro, deciding)):
        return {**listener, "note": MACRO}
    if transport and transport["value"] not in ("tcp", "udp"):
        return _fail(path, transport, "a transport is tcp or udp")
    if node["special"] or "<<" in options:
        return {**listener, "note": "an anchor, alias, tag or merge key: left alone"}
    if listener["port"] is None:
        return {**listener, "note": "a unix socket: left alone"}
    listener["address"] = _address(path, options["ip"]) if "ip" in options else "0.0.0.0"
    if node["flow"] and text[node["start"]] != "{":
        return {**listener, "note": "a mapping without braces in a list with brackets: left alone"}
    listener["meaning"] = [[key, _plain(value)] for key, value in sorted(options.items()) if key != "ip"]
    listener["moved"] = functools.partial(_moved, text, node, options)
    listener["edits"] = {wildcard: listener["moved"](wildcard) for wildcard in WILDCARDS}
    return listener


def _port(path: str, node: dict[str, Any]) -> int | None:
    word = node["value"]
    if node["kind"] == "alias" or _is_macro(node) or node["kind"] == "scalar" and word.startswith("unix:"):
        return None
    if node["kind"] != "scalar" or node["style"] or not re.fullmatch("[+-]?[0-9]{1,20}", word):
        return _fail(path, node, f"{word!r} is not a port, a decimal number without quotes")
    if not 0 <= int(word) <= 65535:
        return _fail(path, node, f"{word!r} is not a port, a number from 0 to 65535")
    return int(word)


def _address(path: str, node: dict[str, Any]) -> str:
    try:
        return str(ipaddress.ip_address(node["value"]))
    except ValueError:
        return _fail(path, node, f"{node['value']!r} is not an address")


def _plain(node: dict[str, Any]) -> Any:
    """The meaning of a node, regardless of its place."""
    if node["kind"] == "mapping":
        return sorted(([_plain(key), _plain(value)] for key, value in node["items"]), key=repr)
    if node["kind"] == "sequence":
        return [_plain(item) for item in node["items"]]
    return [node["value"], node.get("style") == '"']


def _moved(text: str, node: dict[str, Any], options: dict[str, dict[str, Any]], wildcard: str) -> list[list[Any]]:
    port, ip = options["port"], options.get("ip")
    if ip:
        if str(ipaddress.ip_address(ip["value"])) == wildcard:
            return []
        quote = ip["style"] or '"'
        return [[ip["start"], ip["end"], f"{quote}{wildcard}{quote}"]]
    if node["flow"]:
        return [[port["end"], port["end"], f', ip: "{wildcard}"']]
    at = _line_limit(text, port["end"])
    return [[at, at, f"{_line_end(text, at)}{' ' * (node['column'] - 1)}ip: \"{wildcard}\""]]


def _line_limit(text: str, at: int) -> int:
    """The end of the last word or comment of a line, whose words before a place are known."""
    rest = REST_OF_LINE.match(text, at)
    return rest.end() if rest else at


def _line_end(text: str, at: int) -> str:
    near = text.find("\n", at)
    near = text.rfind("\n") if near < 0 else near
    return "\r\n" if near > 0 and text[near - 1] == "\r" else "\n"


def _in_flow(text: str, listing: dict[str, Any], before: dict[str, Any] | None, item: dict[str, Any]) -> dict[str, Any]:
    """Where an item of a list in brackets stands."""
    gap = text[before["end"] if before else listing["start"] + 1 : item["start"]]
    place = {"start": item["start"], "end": item["end"], "separator": ", ", "drop": None}
    if "\n" in gap:
        place["separator"] = f",{_line_end(text, item['start'])}{gap[gap.rindex(chr(10)) + 1 :]}"
    if before:  # comments stay
        comma = before["end"] + re.sub(COMMENT, lambda match: " " * len(match[0]), gap).index(",")
        cut = [comma, comma + 1, ""] if "#" in gap else [before["end"], item["start"], ""]
        place["drop"] = [cut, [item["start"], item["end"], ""]]
    return place


def _in_block(
    text: str, listing: dict[str, Any], before: dict[str, Any] | None, item: dict[str, Any]
) -> dict[str, Any]:
    """Where an item with a dash stands: from there to the end of its last line, with the comment there."""
    gap = GAP.match(text, before["end"]) if before else None
    start = gap.end() if gap else listing["start"]
    end = _line_limit(text, item["end"])
    line_start = text.rfind("\n", 0, start) + 1
    indentation = re.sub(r"[^ \t]", " ", text[line_start:start])
    return {
        "start": start,
        "end": end,
        "separator": f"{_line_end(text, start)}{indentation}",
        # From the line end before it: the last line may have none.
        "drop": [[line_start - 1 - (text[line_start - 2] == "\r"), end, ""]] if before else None,
    }


def _acls(text: str, acls: dict[str, Any], where: str) -> list[dict[str, Any]]:
    result = []
    for name, rules in _pairs(acls):
        for rule in rules["items"] if rules["kind"] == "sequence" else [rules]:
            for key, value in _pairs(rule):
                if key["value"] == "ip":
                    result += _addresses(text, f"{where} {name['value']}", value)
    return result


def _addresses(text: str, name: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """The addresses of one ``ip``, each with the edits that put IPv6's loopback beside it."""
    if value["kind"] == "scalar":
        edits = [[value["start"], value["start"], "["], [value["end"], value["end"], f', "{LOOPBACK}"]']]
        return [_address_of(name, value, None if value["special"] or value["style"] in ("|", ">") else edits)]
    result = []
    for item in value["items"] if value["kind"] == "sequence" else []:
        if item["kind"] == "scalar":
            result.append(_address_of(name, item, None if item["special"] else _beside(text, value, item)))
    return result


def _address_of(name: str, node: dict[str, Any], companion: list[list[Any]] | None) -> dict[str, Any]:
    place = {"kind": "acl", "line": node["line"], "name": name}
    return {**place, "address": node["value"], "companion": companion}


def _beside(text: str, listing: dict[str, Any], item: dict[str, Any]) -> list[list[Any]] | None:
    if listing["flow"]:
        quote = item["style"] or '"'
        return [[item["end"], item["end"], f", {quote}{LOOPBACK}{quote}"]]
    dash = re.compile(r"[ \t]*- *").fullmatch(text, text.rfind("\n", 0, item["start"]) + 1, item["start"])
    if dash is None or item["style"] in ("|", ">"):
        return None
    at = _line_limit(text, item["end"])
    return [[at, at, f"{_line_end(text, at)}{dash[0]}{item['style']}{LOOPBACK}{item['style']}"]]


def _told(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The addresses of other rules: they are not extended to IPv6 unasked."""
    result = []
    nodes = [value]
    while nodes:
        node = nodes.pop()
        for item in node.get("items", []):
            key, each = item if node["kind"] == "mapping" else ({"value": ""}, item)
            nodes.append(each)
            if key["value"] == "ip":
                addresses = each["items"] if each["kind"] == "sequence" else [each]
                result += [_address_of(f"line {each['line']}", address, None) for address in addresses]
    return sorted(result, key=lambda address: address["line"])


def _denied(kind: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """The acls that rules deny: ``deny: blocked``, ``deny: [a, b]``, ``deny: {acl: blocked, ip: 192.0.2.1}``."""
    result = []
    for _, rules in _pairs(value):
        for rule in rules["items"] if rules["kind"] == "sequence" else []:
            for key, denied in _pairs(rule):
                if key["value"] == "deny":
                    names = [name for each in _listed(denied) for name in _names(each)]
                    result.append({"kind": kind, "line": key["line"], "denied": names})
    return result


def _names(node: dict[str, Any]) -> list[str]:
    """The acls in one word, or in one mapping, named as :py:func:`_acls` and :py:func:`_told` name them."""
    if node["kind"] == "scalar":
        return [f"acl {node['value']}"]
    result = []
    for key, value in _pairs(node):
        if key["value"] == "acl":
            result += [f"acl {each['value']}" for each in _listed(value)]
        elif key["value"] == "ip":
            result.append(f"line {value['line']}")
    return result


def _listed(node: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = node["items"] if node["kind"] == "sequence" else [node]
    return items


def _denied_of_old(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The same in the grammar before 16.06: ``access: {c2s: {blocked: deny, all: allow}}``."""
    return [
        {"kind": "access", "line": name["line"], "denied": [f"acl {name['value']}"]}
        for _, rules in _pairs(value)
        for name, verb in _pairs(rules)
        if verb["value"] == "deny"
    ]
