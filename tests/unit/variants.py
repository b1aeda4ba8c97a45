"""Tunnels that every network stack has to write, and to read again as they were."""

from __future__ import annotations

from typing import Any

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"routing": "source"},
    {"routing": "none", "gateway": None},
    {"routing": "none", "metric": 300},
    {"addresses": ["2001:470:1f12:f87::3/64"]},
    {"source": "2001:470:1f12:f87::2"},
    {"addresses": []},
    {"addresses": ["2001:470:1f13:f87::77/128", "2001:470:7e43:1::1/48"], "ttl": 64, "mtu": 1472, "metric": 7},
    {"local": "auto"},
    {"routed": ["2001:470:1f13:f87::/64", "2001:470:7e43::/48"]},
    {"routed": ["2001:470:1f13:f87::/64"], "routing": "source"},
    {"routed": ["2001:470:1f13:f87::/64"], "routing": "none", "gateway": None},
    {"carrier": "gre"},
)
# For those that can bind a tunnel to a device.
BOUND: tuple[dict[str, Any], ...] = ({"dev": "eth1"}, {"dev": "eth0.100", "local": "auto", "routing": "source"})
