"""
The 6in4 tunnel of this host: what it is, what a change would do, and doing it.

Reading (:py:func:`status`, :py:func:`render`, :py:func:`ping`, the plans) changes nothing. What a tunnel is
lives in ``sit_tunnel``, what ip(8) says of it in ``sit_interface``, and the configuration files of each network
stack in ``tunnel_<stack>``: those know no host, this module does.
"""

from __future__ import annotations

import difflib
import glob
import os
import posixpath
import re
from typing import TYPE_CHECKING, Any

import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "he_tunnel"

IPV4_HEADER = 20  # bytes
PATIENCE = 120  # seconds; a hook of ifup's may hang


# --------------------------------------------------------------------------------------------------------------
# Reading


def status(name: str = "he-ipv6", stack: str = "auto") -> dict[str, Any]:
    """
    The tunnel as it is live, and as the configuration of this host has it for the next boot.

    name
        The interface.
    stack
        Which network stack configures the host: ``auto`` or ``ifupdown``.

    Returns ``name``; ``stack``; ``live`` (``link``, ``addresses``, ``routes``) and ``configured`` (the tunnel's
    keys), each ``None`` if there is none; ``files``, where it is configured; ``differences`` between the two;
    and ``in_sync``, whether there are none.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.status
        salt '*' he_tunnel.status name=he-ipv6
    """
    _check("name", name)
    stack = _stack(stack)
    host = _host_files(name, stack)
    configured = __salt__[f"tunnel_{stack}.parse"](name, host)
    live = _live(name)
    differences: dict[str, Any] = {}
    try:
        target = None if configured is None else _configured_target(configured)
        differences = __salt__["sit_interface.differences"](live, target)
    except (CommandExecutionError, SaltInvocationError) as error:
        differences = {"configuration": {"old": str(error), "new": ""}}
    return {
        "name": name,
        "stack": stack,
        "live": live,
        "configured": configured,
        "files": [path for path, text in host.items() if __salt__[f"tunnel_{stack}.parse"](name, {path: text})],
        "differences": differences,
        "in_sync": not differences,
    }


def errors(tunnel: dict[str, Any]) -> list[str]:
    """
    Everything that is wrong with a tunnel, as far as that can be told without looking at the host.

    tunnel
        As in the state ``he_tunnel.present``.

    Returns a list of sentences, each beginning with the key that is wrong; empty if nothing is.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.errors '{endpoint: "2001:db8::1"}'
    """
    problems: list[str] = __salt__["sit_tunnel.errors"](tunnel)
    stack = tunnel.get("stack") or "auto"
    if stack != "auto" and not _is_known(stack) and not any(each.startswith("stack:") for each in problems):
        problems.append(f"stack: {stack!r} is not a network stack that is supported; expected auto or ifupdown")
    return problems


def render(name: str = "he-ipv6", stack: str = "ifupdown", **tunnel: Any) -> dict[str, str]:
    """
    The configuration files of a tunnel, as text. The host is neither asked nor touched.

    name
        The interface.
    stack
        Whose files: ``ifupdown``.
    tunnel
        As in the state ``he_tunnel.present``; ``local`` has to be an address.

    Returns the text of each file by its path. Raises ``SaltInvocationError`` for bad input.

    CLI Example:

    .. code-block:: bash

        salt-call he_tunnel.render endpoint=216.66.84.42 local=46.105.5.1 \\
            address=2001:470:1f12:f87::2/64 gateway=2001:470:1f12:f87::1 \\
            addresses='["2001:470:1f13:f87::77/64"]'
    """
    wanted = _wanted({"name": name, "stack": stack, **tunnel})
    for key, expected in (("local", "an IPv4 address"), ("stack", "the name of a network stack, such as ifupdown")):
        if wanted[key] == "auto":
            raise SaltInvocationError(f"{key}: 'auto' is for a host to find out; expected {expected}")
    files: dict[str, str] = __salt__[f"tunnel_{stack}.files"](wanted)
    return files


def ping(name: str = "he-ipv6", target: str | None = None, attempts: int = 3, timeout: float = 2) -> dict[str, Any]:
    """
    Ask whether the broker's end answers through the tunnel.

    name
        The interface that the requests leave by, whatever the routes say, from this end's own address.
    target
        The IPv6 address to ask; by default the gateway of the tunnel's configuration.
    attempts
        How many ICMPv6 echo requests are sent, 0.2 s apart.
    timeout
        Seconds to wait for the last answer.

    Returns what :py:func:`icmp_echo.ask` does, and ``summary``, a sentence with the reason if no answer came.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.ping
        salt '*' he_tunnel.ping he-ipv6 attempts=10 timeout=5
    """
    _check("name", name)
    found = status(name)
    if found["live"] is None:
        raise CommandExecutionError(f"{name} does not exist on this host")
    configured = found["configured"] or {}
    target = target or configured.get("gateway")
    if not target:
        raise CommandExecutionError(f"the configuration of {name} names no gateway; give a target")
    if not salt.utils.network.is_ipv6(target):
        raise SaltInvocationError(f"target: {target!r} is not an IPv6 address")
    # From this end's own address: to others there may be no way back, if the broker does not route their prefix here.
    own = configured.get("address", "").partition("/")[0]
    answer: dict[str, Any] = __salt__["icmp_echo.ask"](
        target, source=f"{own}%{name}" if own else name, attempts=attempts, timeout=timeout
    )
    if answer["answering"]:
        answer["summary"] = f"{target} answers through {name}: {__salt__['icmp_echo.words'](answer)}"
    else:
        answer["summary"] = f"{target} does not answer through {name}: {answer['loss']}% loss; " + (
            answer["reason"]
            or "nothing came back: protocol 41 may be blocked on the way, the tunnel's local address may be wrong, "
            "or the broker holds another address of this host"
        )
    return answer


# --------------------------------------------------------------------------------------------------------------
# Plans


def plan_present(name: str, **tunnel: Any) -> dict[str, Any]:
    """
    What ``he_tunnel.present`` would change. Changes nothing.

    name
        The interface.
    tunnel
        The other arguments of the state.

    Returns ``changes`` (``files``, ``link``, ``addresses``, ``routes``, as far as they differ), ``warnings``, and
    what :py:func:`apply` and :py:func:`undo` need. Raises ``SaltInvocationError`` for bad input and
    ``CommandExecutionError`` where this host cannot have that tunnel.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.plan_present he-ipv6 endpoint=216.66.84.42 \\
            address=2001:470:1f12:f87::2/64 gateway=2001:470:1f12:f87::1
    """
    wanted = _wanted({"name": name, **tunnel})
    stack = _stack(wanted["stack"])
    host = _host_files(name, stack)
    _check_ipv6()
    links, routes = _links(), _default_routes()
    live = __salt__["sit_interface.parse"](name, links, routes)
    _check_module(live)
    route = _route_to(wanted["endpoint"])
    wanted = _resolved(wanted, route)
    _check_surroundings(wanted, links, routes)
    _check_interface(name, live, ours=__salt__[f"tunnel_{stack}.parse"](name, host) is not None)
    files = __salt__[f"tunnel_{stack}.present"](wanted, host, adopt=wanted["adopt"])
    return _plan(name, stack, host, files, live, _target(wanted), _warnings(wanted, route["dev"], links))


def plan_absent(name: str, stack: str = "auto", adopt: bool = False) -> dict[str, Any]:
    """
    What ``he_tunnel.absent`` would change. Changes nothing.

    name
        The interface.
    stack
        Which network stack configures the host: ``auto`` or ``ifupdown``.
    adopt
        Whether stanzas of this name that a person wrote may be removed, too.

    Returns and raises as :py:func:`plan_present` does.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.plan_absent he-ipv6
    """
    _check("name", name)
    stack = _stack(stack)
    host = _host_files(name, stack)
    live = _live(name)
    _check_interface(name, live, ours=__salt__[f"tunnel_{stack}.parse"](name, host) is not None)
    files = __salt__[f"tunnel_{stack}.absent"](name, host, adopt=adopt)
    return _plan(name, stack, host, files, live, None, [])


def _plan(
    name: str,
    stack: str,
    host: dict[str, str],
    files: dict[str, str | None],
    live: dict | None,
    target: dict | None,
    warnings: list[str],
) -> dict[str, Any]:
    edits = {path: {"old": host.get(path), "new": text} for path, text in files.items() if host.get(path) != text}
    changes = {"files": {path: _lines(**edit) for path, edit in edits.items()}} if edits else {}
    return {
        "name": name,
        "stack": stack,
        "changes": {**changes, **__salt__["sit_interface.differences"](live, target)},
        "warnings": warnings,
        "files": edits,
        "live": live,
        "target": target,
    }


def _lines(old: str | None, new: str | None) -> dict[str, str]:
    """The lines in which two texts differ, without those that they share."""
    olds, news = _printable(old or "").splitlines(), _printable(new or "").splitlines()
    matcher = difflib.SequenceMatcher(a=olds, b=news, autojunk=False)
    spans = [span for span in matcher.get_opcodes() if span[0] != "equal"]
    return {
        "old": "absent" if old is None else "\n".join(line for _, i, j, _, _ in spans for line in olds[i:j]),
        "new": "absent" if new is None else "\n".join(line for _, _, _, i, j in spans for line in news[i:j]),
    }


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# --------------------------------------------------------------------------------------------------------------
# Writing


def apply(plan: dict[str, Any]) -> None:
    """
    Carry out a plan.

    plan
        From :py:func:`plan_present` or :py:func:`plan_absent`, made on this host just now.

    What can be changed in place is: addresses, routes, MTU, and the tunnel's ends. Else the interface is taken
    down with the old configuration before the new one is written. Raises ``CommandExecutionError`` with what the
    tool said; the host may then be half changed, and :py:func:`undo` is for that.

    CLI Example:

    .. code-block:: bash

        salt-call he_tunnel.apply "$plan"
    """
    name, live, target = plan["name"], plan["live"], plan["target"]
    if __salt__["sit_interface.changeable"](live, target):
        _write_files(plan, "new")
        _carry_out(__salt__["sit_interface.commands"](name, live, target))
        return
    if live is not None or target is None:
        _take_down(plan)
    _write_files(plan, "new")
    if target is not None:
        _bring_up(plan)


def undo(plan: dict[str, Any]) -> None:
    """
    Put files and interface back as they were when a plan was made.

    plan
        A plan that was carried out, wholly or in part.

    Raises ``CommandExecutionError`` with what the tool said where that fails.

    CLI Example:

    .. code-block:: bash

        salt-call he_tunnel.undo "$plan"
    """
    name, before = plan["name"], plan["live"]
    now = _live(name)
    if not __salt__["sit_interface.changeable"](now, before):
        _take_down(plan)  # even where there is no interface: there may be a record of one
        _write_files(plan, "old")
        if before is not None:
            # Whether it works or not: ifupdown has to know the interface again, the rest is made good below.
            _run_stack(__salt__[f"tunnel_{plan['stack']}.up"](name))
        now = _live(name)
    _write_files(plan, "old")
    _carry_out(__salt__["sit_interface.commands"](name, now, before))


def _take_down(plan: dict[str, Any]) -> None:
    """The stack's own way first, since it keeps a record; then the device itself, since its exit status lies."""
    name = plan["name"]
    _run_stack(__salt__[f"tunnel_{plan['stack']}.down"](name))
    _carry_out(__salt__["sit_interface.commands"](name, _live(name), None))


def _bring_up(plan: dict[str, Any]) -> None:
    """Bring the interface up; only what is live then says whether that worked."""
    words = __salt__[f"tunnel_{plan['stack']}.up"](plan["name"])
    said = _run_stack(words)
    left = __salt__["sit_interface.differences"](_live(plan["name"]), plan["target"])
    if said["retcode"] or left:
        words = f"'{' '.join(words)}' ended with {said['retcode']} and said: {said['said']}"
        raise CommandExecutionError(f"{words}\nThe interface then differed in: {left}" if left else words)


def _carry_out(commands: list[list[str]]) -> None:
    for words in commands:
        said = _run(words)
        if said["retcode"]:
            raise CommandExecutionError(f"'{' '.join(words)}' failed: {_said(said)}")


def _write_files(plan: dict[str, Any], which: str) -> None:
    """Make the files of a plan the ``new`` or the ``old`` ones."""
    for path, edit in plan["files"].items():
        __salt__["host_files.write"](path, edit[which])


# --------------------------------------------------------------------------------------------------------------
# This host


def stack() -> str:
    """
    The network stack that configures this host.

    Returns ``ifupdown``, ``ifupdown-ng``, ``ifupdown2``, or ``none`` where there is no ifup(8) at all.

    CLI Example:

    .. code-block:: bash

        salt '*' he_tunnel.stack
    """
    if not __salt__["host_commands.which"]("ifup"):
        return "none"
    said = _run(["ifup", "--version"])
    name: str = __salt__["tunnel_ifupdown.recognise"](said["stdout"] + said["stderr"])
    return name


def _is_known(stack: str) -> bool:
    """Whether there is a module for a stack. (To list them would load every module that Salt has.)"""
    return f"tunnel_{stack}.files" in __salt__


def _stack(choice: str) -> str:
    """The stack to write for. Raises rather than to write files that the host does not read, or chokes on."""
    _check("stack", choice)
    found = stack()
    if _is_known(found) and choice in ("auto", found):
        return found
    if found == "none":
        raise CommandExecutionError("this host has no ifup, and no other network stack than ifupdown is supported")
    raise CommandExecutionError(
        f"the ifup of this host is {found}, which reads /etc/network/interfaces differently "
        "and could lose all its interfaces by the stanza of the tunnel; only Debian's ifupdown is supported"
    )


def _host_files(name: str, stack: str) -> dict[str, str]:
    """The text of every file that the stack reads on this host, by path."""
    texts: dict[str, str] = {}
    todo = list(__salt__[f"tunnel_{stack}.roots"](name))
    while todo:
        path = todo.pop(0)
        if path in texts or not os.path.isfile(path):
            continue
        texts[path] = _read(path)
        for pattern, expression in __salt__[f"tunnel_{stack}.includes"](path, texts[path]):
            todo += [each for each in sorted(glob.glob(pattern)) if re.fullmatch(expression, posixpath.basename(each))]
    return texts


def _links() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = __salt__["host_commands.ip"](["-d", "addr", "show"])
    return found


def _default_routes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = __salt__["host_commands.ip"](["-6", "route", "show", "default"])
    return found


def _live(name: str) -> dict[str, Any] | None:
    interface: dict[str, Any] | None = __salt__["sit_interface.parse"](name, _links(), _default_routes())
    return interface


def _target(wanted: dict[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = __salt__["sit_interface.wanted"](wanted)
    return target


def _resolved(wanted: dict[str, Any], route: dict[str, Any]) -> dict[str, Any]:
    """The tunnel with ``local: auto`` replaced by the source address of the route to the endpoint."""
    if wanted["local"] != "auto":
        return wanted
    if "prefsrc" not in route:
        raise CommandExecutionError(f"local: the route to {wanted['endpoint']} has no source address; give one")
    return {**wanted, "local": route["prefsrc"]}


def _route_to(endpoint: str) -> dict[str, Any]:
    try:
        route: dict[str, Any] = __salt__["host_commands.ip"](["route", "get", endpoint])[0]
    except CommandExecutionError as error:
        raise CommandExecutionError(f"endpoint: this host has no route to {endpoint}: {error}") from None
    if route.get("type") == "local" or route.get("dev") == "lo":
        raise CommandExecutionError(f"endpoint: {endpoint} is an address of this host; expected the broker's")
    return route


def _configured_target(configured: dict[str, Any]) -> dict[str, Any]:
    wanted = __salt__["sit_tunnel.canonical"](configured)
    return _target(_resolved(wanted, {} if wanted["local"] != "auto" else _route_to(wanted["endpoint"])))


def _check(key: str, value: Any) -> None:
    """Refuse a bad value of one key of a tunnel, where the others are not given."""
    problems = [each for each in errors({key: value}) if each.startswith(f"{key}:")]
    if problems:
        raise SaltInvocationError(problems[0])


def _check_ipv6() -> None:
    if not os.path.isdir("/proc/sys/net/ipv6") or _read("/proc/sys/net/ipv6/conf/all/disable_ipv6").strip() == "1":
        raise CommandExecutionError("IPv6 is disabled on this host (net.ipv6.conf.all.disable_ipv6)")


def _check_module(live: dict[str, Any] | None) -> None:
    """The kernel has the device, or could load it."""
    if (live and live["link"]["kind"] == "sit") or os.path.isdir("/sys/module/sit"):
        return
    if not __salt__["host_commands.which"]("modprobe") or _run(["modprobe", "--dry-run", "sit"])["retcode"]:
        raise CommandExecutionError(
            f"the kernel {os.uname().release} has no module 'sit' (CONFIG_IPV6_SIT), and makes no 6in4 tunnel without; "
            "in a container it is the host that has to load it"
        )


def _check_surroundings(wanted: dict[str, Any], links: list[dict[str, Any]], routes: list[dict[str, Any]]) -> None:
    """What the rest of the host says to this tunnel."""
    name = wanted["name"]
    held = [each["local"] for link in links for each in link.get("addr_info", []) if each["family"] == "inet"]
    if wanted["local"] not in held:
        raise CommandExecutionError(
            f"local: {wanted['local']} is no address of this host, which has {', '.join(held)}; "
            "behind NAT it is the private one"
        )
    for link in links:
        data = link.get("linkinfo", {}).get("info_data", {})
        ends = data.get("local"), data.get("remote")
        if link["ifname"] != name and ends == (wanted["local"], wanted["endpoint"]):
            raise CommandExecutionError(
                f"{link['ifname']} is already a tunnel from {ends[0]} to {ends[1]}, and the kernel allows one; "
                "remove it first, for instance with he_tunnel.absent"
            )
    for route in routes if wanted["routing"] == "default" else []:
        if route.get("dev") != name and route.get("metric") == wanted["metric"] and "from" not in route:
            raise CommandExecutionError(
                f"metric: this host already has an IPv6 default route of metric {wanted['metric']}, "
                f"via {route.get('gateway')} dev {route.get('dev')}; "
                "use 'routing: source' beside native IPv6, or another metric"
            )


def _check_interface(name: str, live: dict[str, Any] | None, ours: bool) -> None:
    """Never take another interface for a tunnel, and never delete one."""
    kind = live["link"]["kind"] if live else "sit"
    if kind == "physical" or (kind != "sit" and not ours):
        raise CommandExecutionError(f"name: {name} is an interface of this host of the kind {kind}, and no tunnel")


def _warnings(wanted: dict[str, Any], underlay: str, links: list[dict[str, Any]]) -> list[str]:
    room = next((link["mtu"] - IPV4_HEADER for link in links if link["ifname"] == underlay), wanted["mtu"])
    if wanted["mtu"] <= room:
        return []
    mtu = wanted["mtu"]
    return [f"mtu: {underlay} carries packets of at most {room} bytes within IPv4, less than the tunnel's {mtu}"]


def _wanted(tunnel: dict[str, Any]) -> dict[str, Any]:
    """The tunnel in canonical form; raises with everything that is wrong with it."""
    # Salt adds keys of its own to every call.
    given = {key: value for key, value in tunnel.items() if not key.startswith("__")}
    problems = errors(given)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    wanted: dict[str, Any] = __salt__["sit_tunnel.canonical"](given)
    return wanted


def _read(path: str) -> str:
    return __salt__["host_files.read"](path) or ""


def _run(words: list[str]) -> dict[str, Any]:
    options = {"python_shell": False, "ignore_retcode": True, "env": {"PATH": __salt__["host_commands.path"]()}}
    said: dict[str, Any] = __salt__["cmd.run_all"](words, **options)
    return said


def _run_stack(words: list[str]) -> dict[str, Any]:
    """Run a command that runs hooks, which may hang, and start daemons."""
    said: dict[str, Any] = __salt__["host_commands.run"](words, PATIENCE)
    return said


def _said(said: dict[str, Any]) -> str:
    return "; ".join(line for line in f"{said['stderr']}\n{said['stdout']}".splitlines() if line.strip()) or "nothing"
