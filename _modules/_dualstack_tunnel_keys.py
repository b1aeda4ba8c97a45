"""
The keys of a WireGuard tunnel, and wg(8) on this host: what is live, and which keys the files hold. No key leaves this
room: what belongs to a private key is its public one, and of a preshared key there is a digest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_tunnel_wireguard as tunnel_wireguard
from salt.exceptions import CommandExecutionError

PART = tunnel_wireguard.CARRIER
OTHERS = 0o007  # who is neither root nor of the file's group


def completed(links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Interfaces as ip(8) reports them, those of WireGuard with their ends, which it does not know.

    links
        Of this host.

    Without wg(8), or where it fails, they stay as they are.
    """
    if not any(each.get("linkinfo", {}).get("info_kind") == PART for each in links):
        return links
    try:
        said = host_commands.finish(host_commands.start(["wg", "show", "all", "dump"], hide=lambda _: "", reads=True))
        found = {} if said.retcode else tunnel_wireguard.dumped(said.stdout)
    except CommandExecutionError:
        return links  # where a tunnel of this kind is declared, all of it is said to differ then
    return [
        (
            {**each, "linkinfo": {**each["linkinfo"], "info_data": found[each["ifname"]]}}
            if each["ifname"] in found and each.get("linkinfo", {}).get("info_kind") == PART
            else each
        )
        for each in links
    ]


def keyed(target: dict[str, Any], tunnel: Mapping[str, Any]) -> dict[str, Any]:
    """
    The interface that a tunnel declares, with what follows from its keys.

    target
        From :py:func:`tunnel_interface.wanted`.
    tunnel
        In canonical form.

    Raises ``CommandExecutionError`` where a key cannot be read.
    """
    part = tunnel.get(PART)
    if not part:
        return target
    own = _public(_read(part["private_key_file"], "private_key_file"))
    preshared = part["preshared_key_file"]
    shown = tunnel_wireguard.digest(_read(preshared, "preshared_key_file")) if preshared else tunnel_wireguard.NONE
    return {
        **target,
        "link": {**target["link"], "own_key": own, "preshared_key": shown},
        "keys": files(tunnel),
    }


def files(tunnel: Mapping[str, Any] | None) -> dict[str, str]:
    """
    The files of a tunnel's keys; empty if it has none.

    tunnel
        As it is declared, or configured.
    """
    part = (tunnel or {}).get(PART)
    return {"private": part["private_key_file"], "preshared": part["preshared_key_file"]} if part else {}


def _read(path: str, key: str) -> str:
    """A key, from a file that not everybody can read."""
    place = f"{PART}: {key}: {path}"
    try:
        status = os.stat(path)
        text = (host_files.read(path) or "").strip() if stat.S_ISREG(status.st_mode) else ""
    except FileNotFoundError:
        raise CommandExecutionError(f"{place} does not exist; 'wg genkey' or the broker makes a key") from None
    except OSError as error:
        raise CommandExecutionError(f"{place}: {error.strerror}") from None
    if status.st_mode & OTHERS:
        raise CommandExecutionError(f"{place} can be read or written by everybody; expected the mode 0600")
    if not tunnel_wireguard.is_key(text):
        raise CommandExecutionError(f"{place} holds no key of WireGuard: 44 characters of base64")
    return text


def _public(private: str) -> str:
    try:
        done = host_commands.finish(host_commands.start(["wg", "pubkey"], f"{private}\n", hide=lambda _: ""))
    except host_commands.NotInstalled as error:
        raise CommandExecutionError(f"carrier: {PART} needs wg(8), of the package wireguard-tools ({error})") from None
    if done.retcode:
        raise CommandExecutionError(f"'wg pubkey' ended with {done.retcode}")
    return done.stdout.strip()
