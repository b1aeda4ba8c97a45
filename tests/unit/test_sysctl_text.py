"""The lines of one kernel parameter in the administrator's file, and whether two values are the same."""

from __future__ import annotations

import _dualstack_sysctl_text as sysctl_text
import _dualstack_sysctl_values as sysctl_values
import pytest

NAME = "net.ipv4.ip_forward"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, f"{sysctl_text.HEADER}{NAME} = 1\n"),
        ("", f"{NAME} = 1\n"),
        ("# mine\nvm.swappiness=1", f"# mine\nvm.swappiness=1\n{NAME} = 1\n"),
        ("a.b = 1\r\n", f"a.b = 1\r\n{NAME} = 1\r\n"),
        (f"{NAME} = 0\n", f"{NAME} = 1\n"),
        ("a.b=1\n\t-net/ipv4/ip_forward=0 \r\n# end", "a.b=1\n\t-net/ipv4/ip_forward=1 \r\n# end"),
        (f"{NAME}=\n", f"{NAME}=1\n"),
        (f"{NAME} = \n", f"{NAME} = 1\n"),
        (f"#{NAME} = 0\n;{NAME} = 0\n", f"#{NAME} = 0\n;{NAME} = 0\n{NAME} = 1\n"),
        (f"{NAME} = 0\n# then\n{NAME}=0\n", f"{NAME} = 0\n# then\n{NAME}=1\n"),
        (f"{NAME} = 0\n-{NAME}\n", f"{NAME} = 0\n-{NAME}\n{NAME} = 1\n"),
        (f"{NAME} = 0x1\n", f"{NAME} = 0x1\n"),
        ("net.ipv4.ip_forward_use_pmtu = 0\n", f"net.ipv4.ip_forward_use_pmtu = 0\n{NAME} = 1\n"),
        ("\udcff = 1\n", f"\udcff = 1\n{NAME} = 1\n"),
    ],
)
def test_only_the_last_line_of_the_parameter_changes(text: str | None, expected: str) -> None:
    new = sysctl_text.with_value(text, NAME, "1")
    assert new == expected
    assert sysctl_text.with_value(new, NAME, "1") == new


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a.b = 1\n{NAME} = 1\n# end", "a.b = 1\n# end"),
        ("a.b = 1\n  -net/ipv4/ip_forward=1", "a.b = 1\n"),
        (f"{NAME} = 0\nx.y=1\n{NAME} = 1\n", "x.y=1\n"),
        (f"{NAME} = 0\n", ""),
        (f"{sysctl_text.HEADER}{NAME} = 0\n", None),
        (f"-{NAME}\n#{NAME} = 1\n", f"-{NAME}\n#{NAME} = 1\n"),
        (sysctl_text.HEADER, sysctl_text.HEADER),
    ],
)
def test_what_remains_without_a_parameter(text: str, expected: str | None) -> None:
    assert sysctl_text.without(text, NAME) == expected


def test_a_secret_is_not_said() -> None:
    name = "net.ipv6.conf.lo.stable_secret"
    assert sysctl_text.said(f"{name} = 2001:db8::1\n", name) == [f"{name} = ***"]
    assert sysctl_text.said(f" -{NAME}=1\n", NAME) == [f"-{NAME}=1"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1024\t65000", "1024 65000", True),
        ("1024 65000", "102465000", False),
        ("0x10", "16", True),
        ("010", "8", True),
        ("-1", "1", False),
        ("1", "01", True),
        ("08", "8", False),
        ("8000,8001-8002,9000", "8000-8002,9000", True),
        ("8000,8002", "8000-8002", False),
        ("|/usr/sbin/dump %p", "|/usr/sbin/dump  %p", True),
        ("cubic", "reno", False),
        ("", "", True),
        ("", "0", False),
        ("1-1-1", "1", False),
    ],
)
def test_values_are_compared_as_the_kernel_means_them(one: str, other: str, same: bool) -> None:
    assert sysctl_values.same(one, other) is sysctl_values.same(other, one) is same
