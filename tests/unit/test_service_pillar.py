"""The settings of services in the pillar: which part of it they are taken from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import _dualstack_service_pillar as service_pillar
import pytest
from salt.exceptions import SaltInvocationError

KNOWN: Any = {"ssh": SimpleNamespace(about=lambda: {"options": {}})}
SSH = {"ports": [22]}


@pytest.mark.parametrize(
    ("pillar", "key", "found"),
    [
        ({"ipv6": {"services": {"ssh": SSH}}}, "ipv6:services", {"ssh": SSH}),
        ({"my": {"daemons": {"ssh": SSH}, "services": {"ssh": None}}}, "my:daemons", {"ssh": SSH}),
        ({"daemons": {"ssh": SSH}}, "daemons", {"ssh": SSH}),
        ({"ipv6": {"sysctl": {}}}, "ipv6:services", {}),
        ({"x": 1}, "services", {}),
        ({"x": 1}, None, {}),
    ],
)
def test_all_services_are_those_under_the_key(pillar: Any, key: str | None, found: Any) -> None:
    assert service_pillar.every(pillar, key, KNOWN) == found


def test_a_key_with_nothing_beside_the_services_is_wrong() -> None:
    with pytest.raises(SaltInvocationError, match="ipv5: expected a mapping in the pillar, found nothing"):
        service_pillar.every({"ipv6": {"services": {"ssh": SSH}}}, "ipv5:services", KNOWN)
