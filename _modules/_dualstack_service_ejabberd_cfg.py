"""
The listeners in ejabberd.cfg, the configuration of ejabberd 2.1 to 13.10, and the edits that move them.

It never accesses the host. Its counterpart for ejabberd.yml is :py:mod:`ejabberd_yml`; :py:mod:`listen_ejabberd` uses
both.

* Read in the source of 2.1.13: ``parse_listener_portip`` in ``ejabberd_listener.erl``, and ``get_plain_terms_file`` in
  ``ejabberd_config.erl``.
* A listener's options ``inet6`` and ``{ip, ..}`` count only while its port has no address beside it.
* Any atom without a lower-case letter is a macro.
"""

from __future__ import annotations

import functools
import glob
import ipaddress
import posixpath
import re
from typing import Any

import _dualstack_service_erlang as service_erlang
from salt.exceptions import SaltInvocationError

# Included files are looked for beside the main file, whichever file includes them.
FOLDER = "/etc/ejabberd"
WILDCARDS = ("0.0.0.0", "::")
LOOPBACK = "::1/128"
COMMENT = re.compile(r"%[^\n]*")
MACRO = "a macro: cannot decide"


def statements(path: str, text: str) -> list[dict[str, Any]]:
    """
    The relevant statements of a configuration file, in textual order.

    path
        Its name, for errors.
    text
        Its content.

    Returns a list. Each item has ``kind`` and ``line``, and

    * ``include``: ``pattern``, a glob pattern; ``allow`` and ``disallow``, the kinds of terms taken from there or
      not; ``allow`` is ``None`` for all.
    * ``hosts``: ``names``, the virtual hosts.
    * ``listen``: ``listeners``, each with ``line``, ``port``, ``transport``, ``address``; ``module``, what is spoken
      there, and ``tls``, whether that is at once over TLS; ``note``, why it cannot be edited; and unless there is
      one: ``meaning``, equal for two that differ by their address only; ``start`` and ``end``; ``separator``, the text
      between two copies of it; ``edits``, for either wildcard address those that move it there; and ``drop``, those
      that remove it, ``None`` for the first of a list. An edit is a list of start, end and new text; ``moved`` makes
      them for any address.
    * ``access``: ``denied``, the names of the acls that it denies.
    * ``acl``: ``name``; ``address`` that it matches; ``companion``, the edits that make it match IPv6's loopback too.
    * ``modules`` and ``host_config``, for each ``ip_access`` of mod_register in them: ``rules``, each with ``verb``,
      ``address``, and ``end``, the offset behind it.

    Raises ``SaltInvocationError`` with ``path:line:column``.
    """
    result = []
    for term in service_erlang.parse(text, path):
        words = term["items"] if term["kind"] == "tuple" else []
        name, arity = (words[0].get("value"), len(words)) if words and words[0]["kind"] == "atom" else (None, 0)
        if name == "include_config_file" and arity in (2, 3):
            result.append({"kind": "include", "line": term["line"], **_include(path, words)})
        elif name == "listen" and arity == 2:
            result.append({"kind": "listen", "line": term["line"], "listeners": _listeners(path, text, words[1])})
        elif name == "hosts" and arity == 2:
            names = [_string(each) for each in words[1].get("items", [])]
            found = [each["value"] for each in names if each]
            result.append({"kind": "hosts", "line": term["line"], "names": found})
        elif name == "acl" and arity == 3:
            result += _acl(text, term)
        elif name == "access" and arity == 3:
            result.append({"kind": "access", "line": term["line"], "denied": _denied(words[2])})
        elif name in ("modules", "host_config"):
            result += _ip_accesses(name, term)
    return result


def _fail(path: str, term: dict[str, Any], problem: str) -> Any:
    raise SaltInvocationError(f"{path}:{term['line']}:{term['column']}: {problem}")


def _is_atom(term: dict[str, Any], *names: str) -> bool:
    return term["kind"] == "atom" and term["value"] in names


def _is_macro(term: dict[str, Any]) -> bool:
    if term["kind"] == "tuple" and len(term["items"]) in (2, 3):
        return _is_atom(term["items"][0], "use_macro")
    return term["kind"] == "atom" and not re.search("[a-z]", term["value"])


def _string(term: dict[str, Any]) -> dict[str, Any] | None:
    """The term that holds the characters: a string, or the string in a binary."""
    if term["kind"] == "binary" and len(term["items"]) == 1:
        term = term["items"][0]["value"]
    return term if term["kind"] == "string" else None


def _property(options: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The value of the first ``{name, value}`` of a list."""
    for item in options.get("items", []) if options["kind"] == "list" else []:
        if item["kind"] == "tuple" and len(item["items"]) == 2 and _is_atom(item["items"][0], name):
            found: dict[str, Any] = item["items"][1]
            return found
    return None


def _include(path: str, words: list[dict[str, Any]]) -> dict[str, Any]:
    name = _string(words[1])
    if name is None:
        return _fail(path, words[1], "a file is included by its name in double quotes")
    options = words[2] if len(words) == 3 else {"kind": "list"}
    kinds: dict[str, list[str] | None] = {}
    for key, option in (("allow", "allow_only"), ("disallow", "disallow")):
        found = _property(options, option)
        names = found["items"] if found and found["kind"] == "list" else None
        kinds[key] = None if names is None else [item["value"] for item in names if item["kind"] == "atom"]
    return {
        "pattern": posixpath.normpath(posixpath.join(FOLDER, glob.escape(name["value"]))),
        "allow": kinds["allow"],
        "disallow": kinds["disallow"] or [],
    }


def _listeners(path: str, text: str, listing: dict[str, Any]) -> list[dict[str, Any]]:
    if _is_macro(listing):
        return [_undecided(listing, MACRO)]
    if listing["kind"] != "list":
        return _fail(path, listing, "`listen` takes a list of listeners, [{Port, Module, Options}, ...]")
    if listing["tail"]:
        return _fail(path, listing["tail"], "a list of listeners is not continued with `|`, but with commas")
    result = []
    for number, item in enumerate(listing["items"]):
        listener = _listener(path, text, item)
        if not listener["note"]:
            before = listing["items"][number - 1] if number else None
            listener["drop"] = _removal(text, before, item) if before else None
            listener["separator"] = _separator(text, before, item["start"])
            listener.update(start=item["start"], end=item["end"])
        result.append(listener)
    return result


def _undecided(term: dict[str, Any], note: str) -> dict[str, Any]:
    unknown = {"port": None, "transport": "tcp", "address": "", "module": "", "tls": False}
    return {"line": term["line"], **unknown, "note": note}


def _listener(path: str, text: str, term: dict[str, Any]) -> dict[str, Any]:
    if _is_macro(term):
        return _undecided(term, MACRO)
    if term["kind"] != "tuple" or len(term["items"]) != 3:
        return _fail(path, term, "not a listener: {Port, Module, Options}")
    spec, module, options = term["items"]
    port, address, transport = _endpoint(path, spec)
    if options.get("tail") or options["kind"] != "list" and not _is_macro(options):
        return _fail(path, options, "the options of a listener are a list")
    number = _port(path, port)
    listener = {**_undecided(term, ""), "port": number}
    listener["module"] = module["value"] if module["kind"] == "atom" else ""
    listener["tls"] = any(_is_atom(each, "tls") for each in options.get("items", []))
    transport = transport or _property(options, "proto")
    if transport and _is_atom(transport, "udp"):
        listener["transport"] = "udp"
    deciding = [port, *([transport] if transport else []), *([address] if address else _deciding(options))]
    if any(_is_macro(each) for each in deciding):
        return {**listener, "note": MACRO}
    ip = address or _property(options, "ip")
    if ip:
        listener["address"] = _address(path, ip)
    else:
        listener["address"] = "::" if any(_is_atom(each, "inet6") for each in options["items"]) else "0.0.0.0"
    items = [options] if _is_macro(options) else options["items"]
    needless = [_is_superseded(path, item) for item in items]
    kept = [item for item, out in zip(items, needless) if not out]
    listener["meaning"] = [service_erlang.plain(each) for each in (module, *kept)]
    clean = _without(text, items, needless)
    listener["edits"] = {wildcard: _moved(path, text, spec, wildcard) + clean for wildcard in WILDCARDS}
    listener["moved"] = functools.partial(_copied, path, text, spec, items)
    return listener


def _endpoint(path: str, spec: dict[str, Any]) -> list[Any]:
    """Port, address and transport of ``Port``, ``{Port, Address or Transport}`` or ``{Port, Address, Transport}``."""
    words = spec["items"] if spec["kind"] == "tuple" and not _is_macro(spec) else [spec]
    if len(words) == 1 and words[0] is spec:
        return [spec, None, None]
    if len(words) == 2 and words[1]["kind"] == "atom":
        return [words[0], None, words[1]]
    if len(words) not in (2, 3):
        return _fail(path, spec, "not a port: Port, {Port, Address}, {Port, Transport} or {Port, Address, Transport}")
    return [*words, None][:3]


def _port(path: str, term: dict[str, Any]) -> int | None:
    if _is_macro(term):
        return None
    if term["kind"] != "integer" or not 0 <= term["value"] <= 65535:
        return _fail(path, term, "not a port, an integer from 0 to 65535")
    number: int = term["value"]
    return number


def _deciding(options: dict[str, Any]) -> list[dict[str, Any]]:
    """The address in the options, if the port has none."""
    ip = _property(options, "ip")
    if ip:
        return [ip]
    return [options, *(each for each in options.get("items", []))] if options["kind"] == "list" else [options]


def _address(path: str, term: dict[str, Any]) -> str:
    string = _string(term)
    try:
        if string:  # what follows a slash is ignored
            return str(ipaddress.ip_address(string["value"].partition("/")[0]))
        parts = [item["value"] for item in term.get("items", [])] if term["kind"] == "tuple" else []
        width = {4: 8, 8: 16}[len(parts)]
        number = 0
        for part in parts:
            if not 0 <= part < 1 << width:
                raise ValueError
            number = (number << width) + part
        return str(ipaddress.IPv4Address(number) if width == 8 else ipaddress.IPv6Address(number))
    except (ValueError, KeyError, TypeError):
        return _fail(path, term, "not an address: a string or a tuple of 4 or 8 integers")


def _is_superseded(path: str, option: dict[str, Any]) -> bool:
    """Whether an option sets a family, which the address beside the port replaces."""
    if _is_atom(option, "inet6"):
        return True
    ip = _property({"kind": "list", "items": [option]}, "ip")
    return ip is not None and not _is_macro(ip) and _address(path, ip) in WILDCARDS


def _moved(path: str, text: str, spec: dict[str, Any], wildcard: str) -> list[list[Any]]:
    port, address, transport = _endpoint(path, spec)
    if address:
        same = not _is_macro(address) and _address(path, address) == wildcard
        return [] if same else [[address["start"], address["end"], f'"{wildcard}"']]
    if transport:
        return [[transport["start"], transport["start"], f'"{wildcard}", ']]
    return [[port["start"], port["start"], "{"], [port["end"], port["end"], f', "{wildcard}"}}']]


def _copied(path: str, text: str, spec: dict[str, Any], items: list[dict[str, Any]], address: str) -> list[list[Any]]:
    """The edits that move a copy to any address, without the options that its port's address replaces."""
    needless = [
        _is_atom(each, "inet6") or _property({"kind": "list", "items": [each]}, "ip") is not None for each in items
    ]
    return _moved(path, text, spec, address) + _without(text, items, needless)


def _gap(text: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The text between two items of a list: where it is, where its comma is, and whether it has a comment."""
    between = text[before["end"] : after["start"]]
    comma = before["end"] + COMMENT.sub(lambda match: " " * len(match[0]), between).index(",")
    return {"start": before["end"], "end": after["start"], "comma": comma, "text": between, "told": "%" in between}


def _removal(text: str, before: dict[str, Any], item: dict[str, Any]) -> list[list[Any]]:
    return [_cut(_gap(text, before, item)), [item["start"], item["end"], ""]]


def _cut(gap: dict[str, Any]) -> list[Any]:
    """Comments stay."""
    return [gap["comma"], gap["comma"] + 1, ""] if gap["told"] else [gap["start"], gap["end"], ""]


def _without(text: str, items: list[dict[str, Any]], needless: list[bool]) -> list[list[Any]]:
    """The edits that take items out of a list, each with one comma."""
    edits: list[list[Any]] = []
    number = 0
    while number < len(items):
        first = number
        while number < len(items) and needless[number]:
            number += 1
        if number > first:
            # A run of them, and one gap for each: those before them, or those behind them if that is tidier.
            around = [_gap(text, *items[at : at + 2]) for at in range(max(first - 1, 0), min(number, len(items) - 1))]
            tidy = first > 0 and not around[0]["told"] and "\n" not in around[0]["text"]
            gaps = around[: number - first] if tidy else around[first - number :]
            edits += [[item["start"], item["end"], ""] for item in items[first:number]] + list(map(_cut, gaps))
        number += 1
    return edits


def _separator(text: str, before: dict[str, Any] | None, start: int) -> str:
    """The text between two copies of a listener: they are written below or beside each other, as others are."""
    if before and "\n" not in text[before["end"] : start]:
        return ", "
    return f",{_line_end(text, start)}{_indentation(text, start)}"


def _line_end(text: str, at: int) -> str:
    near = text.find("\n", at)
    near = text.rfind("\n") if near < 0 else near
    return "\r\n" if near > 0 and text[near - 1] == "\r" else "\n"


def _indentation(text: str, at: int) -> str:
    """White space as wide as the text before it on the line."""
    return re.sub(r"[^\t]", " ", text[text.rfind("\n", 0, at) + 1 : at])


def _acl(text: str, term: dict[str, Any]) -> list[dict[str, Any]]:
    name, match = term["items"][1:]
    ip = _property({"kind": "list", "items": [match]}, "ip")
    string = _string(ip) if ip else None
    if string is None or name["kind"] not in ("atom", "string"):
        return []
    copy = f'{text[term["start"] : string["start"]]}"{LOOPBACK}"{text[string["end"] : term["dot"]]}'
    rest = re.compile(r"[^\S\n]*(?:%[^\n]*)?(?=\n|\Z)").match(text, term["dot"])
    if rest:  # a comment after the dot stays with its term
        at = rest.end() - (text[rest.end() - 1] == "\r")
        companion = [at, at, _line_end(text, at) + _indentation(text, term["start"]) + copy]
    else:
        companion = [term["dot"], term["dot"], f" {copy}"]
    place = {"kind": "acl", "line": term["line"], "name": name["value"]}
    return [{**place, "address": string["value"], "companion": [companion]}]


def _denied(rules: dict[str, Any]) -> list[str]:
    """The acls in ``[{deny, blocked}, {allow, all}]``."""
    found = [each["items"] for each in rules.get("items", []) if each["kind"] == "tuple" and len(each["items"]) == 2]
    return [str(name["value"]) for verb, name in found if _is_atom(verb, "deny") and "value" in name]


def _ip_accesses(kind: str, term: dict[str, Any]) -> list[dict[str, Any]]:
    """Who may register: ``{ip_access, [{allow, "127.0.0.0/8"}, ...]}``, wherever it stands in a term."""
    result = []
    terms = [term]
    while terms:
        each = terms.pop()
        if each["kind"] not in ("tuple", "list"):
            continue
        terms += reversed(each["items"])
        listing = _property({"kind": "list", "items": [each]}, "ip_access")
        if listing and listing["kind"] == "list" and not listing["tail"]:
            rules = []
            for item in listing["items"]:
                words = item["items"] if item["kind"] == "tuple" else []
                if len(words) == 2 and _is_atom(words[0], "allow", "deny") and words[1]["kind"] == "string":
                    rules.append({"verb": words[0]["value"], "address": words[1]["value"], "end": item["end"]})
            result.append({"kind": kind, "line": each["line"], "rules": rules})
    return result
