"""Somebody else changes the interface while the tunnel is being changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from ..lab.network import ARGUMENTS, NAME, OWN_FILE, ip, run

TTL = {**ARGUMENTS, "ttl": 64}


@pytest.fixture
def before_the_change(modules: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Do something between the plan and the change."""
    modules.he_tunnel.present(NAME, **ARGUMENTS, test=True)

    def of(act: Callable[[], Any]) -> None:
        for module in [each for key, each in sys.modules.items() if key.endswith(".he_tunnel")]:
            if hasattr(module, "tunnel_change"):  # each of Salt's loaders has a copy, and that has rooms of its own
                real = module.tunnel_change.apply

                def apply(plan: Any, real: Any = real) -> None:
                    act()
                    real(plan)

                monkeypatch.setattr(module.tunnel_change, "apply", apply)

    return of


def test_what_they_did_is_not_taken_back(modules: Any, tunnel: None, before_the_change: Any) -> None:
    text = OWN_FILE.read_text()
    before_the_change(lambda: run("ip", "link", "set", "dev", NAME, "mtu", "1400"))
    done = modules.he_tunnel.present(NAME, **TTL, test=False)
    assert (done["result"], done["changes"]) == (False, {})
    assert done["comment"].splitlines() == [
        f"the interface {NAME} has been changed by somebody else meanwhile: that was left as it is",
        "Everything else was put back as it was.",
    ]
    assert (ip("link", "show", "dev", NAME)[0]["mtu"], OWN_FILE.read_text()) == (1400, text)


def test_an_edit_of_the_file_is_not_overwritten(modules: Any, tunnel: None, before_the_change: Any) -> None:
    text = f"{OWN_FILE.read_text()}# mind the gap\n"
    before_the_change(lambda: OWN_FILE.write_text(text))
    done = modules.he_tunnel.present(NAME, **TTL, test=False)
    assert (done["result"], done["changes"]) == (False, {})
    assert done["comment"].splitlines()[0].startswith(f"{OWN_FILE} has been changed by somebody else meanwhile")
    assert OWN_FILE.read_text() == text
    assert modules.he_tunnel.present(NAME, **TTL, test=False)["result"] is True


def test_the_permissions_of_our_file_are_managed(modules: Any, tunnel: None) -> None:
    OWN_FILE.chmod(0o666)
    change = {"files": {str(OWN_FILE): {"mode": {"old": "0666", "new": "0644"}}}}
    assert modules.he_tunnel.present(NAME, **ARGUMENTS, test=True)["changes"] == change
    assert modules.he_tunnel.present(NAME, **ARGUMENTS, test=False)["changes"] == change
    assert OWN_FILE.stat().st_mode & 0o777 == 0o644
    OWN_FILE.chmod(0o600)
    assert modules.he_tunnel.present(NAME, **ARGUMENTS, test=False)["changes"] == {}
