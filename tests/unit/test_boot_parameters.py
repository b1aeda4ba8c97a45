"""What is said of the next boot's IPv6, where the kernel of now has none."""

from __future__ import annotations

from pathlib import Path

import _dualstack_boot_parameters as boot_parameters
import _dualstack_host_sysctl as host_sysctl
import pytest


@pytest.fixture
def grub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel without IPv6, and the file of its boot loader."""
    monkeypatch.setattr(boot_parameters, "CONF", str(tmp_path / "conf"))
    monkeypatch.setattr(boot_parameters, "GRUB", (str(tmp_path / "grub"),))
    return tmp_path / "grub"


def test_a_kernel_without_ipv6_says_nothing_about_the_next_one(grub: Path) -> None:
    for _ in range(2):
        found = boot_parameters.kernel(["he-ipv6"])
        assert (found.holds, found.comment) == (
            None,
            "this kernel has no IPv6 now: whether the next one has is not known",
        )
        grub.write_text("GRUB_CMDLINE_LINUX=quiet\n")
    grub.write_text("GRUB_CMDLINE_LINUX=ipv6.disable=1\n")
    found = boot_parameters.kernel()
    assert (found.holds, found.comment.splitlines()[0]) == (
        False,
        f"{grub}:1: the kernel starts without IPv6 (ipv6.disable=1)",
    )


def test_a_kernel_with_ipv6_that_nothing_takes_away(
    grub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_sysctl, "boot", lambda name: None)
    (tmp_path / "conf" / "lo").mkdir(parents=True)
    grub.write_text("GRUB_CMDLINE_LINUX=quiet\n")
    assert boot_parameters.kernel().holds is True
