"""What is shown of the files of a tunnel: what is about tunnels, and nothing else."""

from __future__ import annotations

from typing import Any

import _dualstack_host_files as host_files
import _dualstack_tunnel_change as tunnel_change
import _dualstack_tunnel_sit as tunnel_sit
import tunnel_ifupdown

MAIN, OWN = "/etc/network/interfaces", "/etc/network/interfaces.d/he-ipv6"
TUNNEL = tunnel_sit.canonical(
    {
        "endpoint": "216.66.84.42",
        "local": "46.105.5.1",
        "address": "2001:470:1f12:f87::2/64",
        "gateway": "2001:470:1f12:f87::1",
        "addresses": ["2001:470:1f13:f87::77/64"],
    }
)
BY_HAND = """\
auto he-ipv6 eth9 wlan0
iface wlan0 inet dhcp
    wpa-psk s3cret
iface he-ipv6 inet6 v4tunnel
    address 2001:470:1f12:f87::2
    # the update key is s3cret
    netmask 64
    endpoint 216.66.84.42
    local s3cret
    post-up ip addr add 2001:470:1f13:f87::77/64 dev he-ipv6
"""


def shown(old: str | None, new: str | None, path: str = MAIN) -> dict[str, Any]:
    """The change of one file."""
    edits = {path: host_files.Edit(old, new)}
    return tunnel_change._shown(edits[path], tunnel_change._known(tunnel_ifupdown.about(), "he-ipv6", edits))


def test_no_secret_is_shown_of_a_stanza_that_is_adopted() -> None:
    files = tunnel_ifupdown.present(TUNNEL, {MAIN: BY_HAND}, adopt=True)
    change = shown(BY_HAND, files[MAIN])
    assert "s3cret" not in str(change)
    assert change["new"].splitlines()[0] == "auto eth9 wlan0"
    assert change["old"].splitlines() == [
        "auto he-ipv6 eth9 wlan0",
        "iface he-ipv6 inet6 v4tunnel",
        "    address 2001:470:1f12:f87::2",
        "    # ***",
        "    netmask 64",
        "    endpoint 216.66.84.42",
        "    local ***",
        "    post-up ip addr add 2001:470:1f13:f87::77/64 dev he-ipv6",
    ]


def test_of_a_file_of_our_own_all_is_shown_but_its_comment() -> None:
    text = tunnel_ifupdown.files(TUNNEL)[OWN]
    change = shown(None, text, OWN)
    assert change["old"] == "absent"
    assert change["new"].splitlines()[0].startswith("# Managed by Salt (he_tunnel)")
    assert change["new"].splitlines()[1:] == text.splitlines()[1:]
    assert shown(text, None, OWN)["new"] == "absent"


def test_a_byte_that_is_no_text_does_no_harm() -> None:
    assert shown("mtu 1280\n\udcff\udcfe\n", "mtu 1280\n") == {"old": "***", "new": ""}
