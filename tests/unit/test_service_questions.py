"""What can be seen of a service: its own sockets, those that systemd holds for it, and who else is on its ports."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import _dualstack_service_change as service_change
import _dualstack_service_host as service_host
import _dualstack_service_place as service_place
import _dualstack_service_questions as service_questions
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

FOUR, SIX = "192.0.2.1", "2001:db8::1"
PLACE = service_place.at([FOUR, SIX])


def socket(address: str, service: str = "ssh", port: int = 22, unit: str = "") -> dict[str, Any]:
    held = ["ipv6" if ":" in address else "ipv4"]
    common = {"transport": "tcp", "port": port, "address": address, "v6only": True, "families": held, "inode": 1}
    return {**common, "service": service, "holder": f"{service} (process 7, user root)", "unit": unit, "pids": [7]}


def service(*written: str, name: str = "ssh") -> service_host.Daemon:
    def listeners(files: Any) -> Any:
        if "broken" in written:
            raise SaltInvocationError("a line that nobody understands")
        common = {"transport": "tcp", "port": 22, "v6only": True, "note": ""}
        return [{**common, "address": each} for each in written]

    about = {"units": [f"{name}.service"], "protocols": {22: "ssh"}, "files": []}
    return service_host.Daemon(name, SimpleNamespace(listeners=listeners), about)


def view(daemon: service_host.Daemon, *seen: dict[str, Any], settings: Any = None) -> service_questions.View:
    return service_questions.view(daemon, {"/x": {"text": "", "includes": []}}, list(seen), settings or {}, PLACE)


def test_its_own_sockets_and_ports() -> None:
    found = view(service("0.0.0.0", "::"), socket("0.0.0.0"), socket("::"), socket("127.0.0.1", port=23))
    assert (found.ports, list(found.live), list(found.written), found.foreign) == ([22], [22], [22], {22: []})
    assert view(service("0.0.0.0")).ports == [22], "it does not run"
    assert view(service("broken"), socket("0.0.0.0")).ports == [], "what it is configured for is not known"
    assert view(service("broken"), settings={"ports": [22]}).ports == [22]


def test_sockets_that_systemd_holds_for_it_are_its_own() -> None:
    lent = socket("0.0.0.0", "systemd", unit="ssh.socket")
    found = view(service("0.0.0.0"), lent, settings={"ports": [22]})
    assert (found.live[22], found.foreign) == ([lent], {22: []})
    other = socket("0.0.0.0", "systemd", unit="other.socket")
    assert view(service("0.0.0.0"), other, settings={"ports": [22]}).foreign == {
        22: [f"on {FOUR} is systemd (process 7, user root), not ssh"]
    }
    with pytest.raises(
        CommandExecutionError, match="^ssh: ssh.socket listens on tcp/22 for it, so its own files do not"
    ):
        service_change._refuse_taken_ports(service("0.0.0.0"), [22], [lent])


def test_who_else_is_there() -> None:
    own, other = socket("0.0.0.0"), socket("::", "python3")
    assert view(service("0.0.0.0"), own, other).foreign == {
        22: [f"on {SIX} is python3 (process 7, user root), not ssh"]
    }
    # The socket of a single address gets what comes to it.
    particular = socket(SIX, "python3")
    assert view(service("0.0.0.0", "::"), own, socket("::"), particular).foreign[22] != []
    assert view(service("0.0.0.0"), own, socket("::", "")).foreign == {22: []}, "whose it is cannot be seen"
    assert view(service("0.0.0.0"), own, socket("2001:db8::9", "python3")).foreign == {22: []}, "nobody comes by that"


def test_of_socket_units_only_those_that_the_pillar_names_count() -> None:
    def listeners(files: Any) -> Any:
        common = {"transport": "tcp", "address": "0.0.0.0", "v6only": None}
        return [{**common, "port": 22, "note": "ssh.socket"}, {**common, "port": 80, "note": "web.socket: why"}]

    about = {"units": ["*.socket"], "protocols": {}, "files": []}
    systemd = service_host.Daemon("systemd", SimpleNamespace(listeners=listeners), about)
    assert view(systemd).ports == [22, 80]
    assert view(systemd, settings={"units": ["ssh.socket"]}).ports == [22]
