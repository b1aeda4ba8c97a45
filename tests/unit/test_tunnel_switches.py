"""Kernel switches that would leave the tunnel's interface without IPv6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_host_sysctl as host_sysctl
import _dualstack_tunnel_surroundings as tunnel_surroundings
import pytest
from salt.exceptions import CommandExecutionError

ALL, DEFAULT, OWN = (f"net.ipv6.conf.{each}.disable_ipv6" for each in ("all", "default", "he-ipv6"))
ADVICE = "; set it to 0, as with ipv6:sysctl"
ON_ALL = f"IPv6 is disabled on this host ({ALL}){ADVICE}"
ON_NEW = f"IPv6 is disabled on every new interface, and so on the tunnel's ({DEFAULT}){ADVICE}"
ON_OWN = f"IPv6 is disabled on he-ipv6 ({OWN}){ADVICE}"


@pytest.mark.parametrize(
    ("live", "promised", "said"),
    [
        ({ALL: "0", DEFAULT: "0"}, {}, ""),
        ({ALL: "0", DEFAULT: "0", OWN: "0"}, {}, ""),
        ({ALL: "1", DEFAULT: "0"}, {}, ON_ALL),
        ({ALL: "0", DEFAULT: "1"}, {}, ON_NEW),  # the usual hardening
        ({ALL: "0", DEFAULT: "1", OWN: "0"}, {}, ""),  # its interface is there already, and has it
        ({ALL: "0", DEFAULT: "0", OWN: "1"}, {}, ON_OWN),
        ({ALL: "0", DEFAULT: "1"}, {DEFAULT: 0}, ""),
        ({ALL: "0", DEFAULT: "1"}, {DEFAULT: "0"}, ""),
        ({ALL: "0", DEFAULT: "1"}, {ALL: 0}, ON_NEW),  # which is written only if it is not 0 already
        ({ALL: "0", DEFAULT: "1"}, {OWN: 0}, ON_NEW),  # there is no such interface yet
        ({ALL: "0", DEFAULT: "1"}, {"net.ipv6.conf.default.accept_ra": 0, "x": 0}, ON_NEW),
        ({ALL: "1", DEFAULT: "1"}, {ALL: 0}, ""),  # which also sets default, and all interfaces
        ({ALL: "1", DEFAULT: "1", OWN: "1"}, {ALL: 0}, ""),
        ({ALL: "1", DEFAULT: "1"}, {DEFAULT: 0}, ON_ALL),
        ({ALL: "1", DEFAULT: "1"}, {ALL: 0, DEFAULT: 1}, ON_NEW),  # in their order
        ({ALL: "0", DEFAULT: "0", OWN: "1"}, {OWN: 0}, ""),
        ({ALL: "0", DEFAULT: "0"}, {DEFAULT: 1}, ON_NEW),  # and what a run would break
        ({ALL: "0", DEFAULT: "0"}, {ALL: 1}, ON_ALL),
    ],
)
def test_a_switch_is_told(live: Any, promised: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_sysctl, "live", live.get)
    if not said:
        tunnel_surroundings.check_ipv6("he-ipv6", promised)
        return
    with pytest.raises(CommandExecutionError) as raised:
        tunnel_surroundings.check_ipv6("he-ipv6", promised)
    assert str(raised.value) == said


@pytest.mark.parametrize("promised", [{}, {ALL: 0}])
@pytest.mark.parametrize(
    ("line", "option", "loaded", "said"),
    [
        (
            "quiet ipv6.disable=1 ro",
            "1",
            True,
            "IPv6 is switched off at boot, by ipv6.disable=1 on the kernel's command",
        ),
        (
            "ipv6.disable=1",
            None,
            True,
            "IPv6 is switched off at boot, by ipv6.disable=1 on the kernel's command line; ta",
        ),
        (
            "quiet ipv6.disable=10",
            "1",
            True,
            "IPv6 is switched off by an option of the kernel's module ipv6, 'disable'; ",
        ),
        (
            "quiet",
            None,
            False,
            "this kernel has no IPv6: its module ipv6 is not loaded (modprobe ipv6), or was never buil",
        ),
        (
            "quiet",
            "0",
            True,
            "this host has no /proc/sys/net/ipv6, though its kernel has IPv6: a container's host has to ",
        ),
    ],
)
def test_a_kernel_without_ipv6_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    option: str | None,
    loaded: bool,
    said: str,
    promised: dict[str, int],
) -> None:
    monkeypatch.setattr(host_sysctl, "live", lambda name: None)
    (tmp_path / "cmdline").write_text(f"{line}\n")
    disabled = tmp_path / "ipv6" / "parameters" / "disable"
    if loaded:
        disabled.parent.mkdir(parents=True)
    if option is not None:
        disabled.write_text(f"{option}\n")
    monkeypatch.setattr(tunnel_surroundings, "COMMAND_LINE", str(tmp_path / "cmdline"))
    monkeypatch.setattr(tunnel_surroundings, "DISABLED", str(disabled))
    with pytest.raises(CommandExecutionError) as raised:
        tunnel_surroundings.check_ipv6("he-ipv6", promised)
    assert str(raised.value).startswith(said)
