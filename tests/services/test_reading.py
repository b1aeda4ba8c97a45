"""What is read of a host, without a daemon."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import _dualstack_host_files as host_files
import _dualstack_host_sysctl as host_sysctl
import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import pytest
import yaml

from . import daemons

PARAMETER = "net.ipv6.bindv6only"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"/etc/sysctl.d/50-a.conf": "net.ipv6.bindv6only = 1\n"}, "1"),
        ({"/etc/sysctl.d/50-a.conf": "net/ipv6/bindv6only=1\n"}, "1"),
        ({"/etc/sysctl.d/50-a.conf": "-net.ipv6.bindv6only=1\n"}, "1"),
        ({"/etc/sysctl.d/50-a.conf": "# net.ipv6.bindv6only = 1\n; net.ipv6.bindv6only = 1\n"}, None),
        ({"/etc/sysctl.d/50-a.conf": f"{PARAMETER}=1\n", "/etc/sysctl.d/60-b.conf": f"{PARAMETER}=0\n"}, "0"),
        ({"/etc/sysctl.d/60-b.conf": f"{PARAMETER}=1\n", "/usr/lib/sysctl.d/50-a.conf": f"{PARAMETER}=0\n"}, "1"),
        ({"/etc/sysctl.d/60-b.conf": "", "/usr/lib/sysctl.d/60-b.conf": f"{PARAMETER}=1\n"}, None),
        ({"/etc/sysctl.d/zz.conf": f"{PARAMETER}=1\n", "/etc/sysctl.conf": f"{PARAMETER}=0\n"}, "0"),
    ],
)
def test_what_the_next_boot_sets(files: dict[str, str], expected: str | None, request: pytest.FixtureRequest) -> None:
    for name, text in files.items():
        path = Path(name)
        before = path.read_bytes() if path.exists() else None
        undo = path.unlink if before is None else lambda path=path, before=before: path.write_bytes(before)
        request.addfinalizer(undo)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert host_sysctl.value(PARAMETER) == expected


def test_the_example_is_without_errors(modules: Any) -> None:
    example = yaml.safe_load((Path(__file__).resolve().parents[2] / "pillar.example").read_text())["ipv6"]
    assert modules.ipv6.errors(example) == []


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"qmail": {}}, "ipv6:services:qmail: not a service that is known; expected one of apache2, coturn, dovecot, "),
        ({"dovecot": [143]}, "ipv6:services:dovecot: expected a mapping, found [143]"),
        ({"dovecot": {"ports": [0]}}, "ipv6:services:dovecot:ports: [0] is not a list of TCP ports"),
        ({"postfix": {"mynetworks": ["::1/128"]}}, "ipv6:services:postfix:mynetworks:"),
        ({"ejabberd": {"listeners": "both"}}, "ipv6:services:ejabberd:listeners: 'both'"),
        (
            {"ejabberd": {"lissteners": "split"}},
            "ipv6:services:ejabberd:lissteners: unknown key; expected one of ports, protocols, names, probe, ",
        ),
        (
            {"nginx": {"listeners": "split"}},
            "ipv6:services:nginx:listeners: unknown key; expected one of ports, protocols, names, probe, ",
        ),
        (["dovecot"], "ipv6:services: expected a mapping of services, found a list"),
    ],
)
def test_a_wrong_pillar_is_named(services: Any, said: str, modules: Any) -> None:
    found = modules.ipv6.errors({"services": services})
    assert len(found) == 1
    assert found[0].startswith(said)


def test_all_that_is_included_is_read(modules: Any) -> None:
    files = service_host.configuration(service_host.daemon(plugins.services(modules), "dovecot"))
    assert next(iter(files)) == "/etc/dovecot/dovecot.conf"
    assert "/etc/dovecot/conf.d/10-master.conf" in files
    assert "/usr/share/dovecot/protocols.d/imapd.protocol" in files


def test_passwords_are_not_shown(modules: Any, tmp_path: Path) -> None:
    path = Path("/etc/ejabberd/ejabberd.yml")
    text = path.read_text()
    listener = (
        "  -\n    port: 5347\n    module: ejabberd_service\n    hosts:\n"
        '      icq.example.org:\n        password: "s3cret"\n'
    )
    path.write_text(text.replace('    ip: "::"\n', "").replace("listen:\n", f"listen:\n{listener}"))
    try:
        shown = modules.service_listen.plan("ejabberd", bindv6only=1)
    finally:
        path.write_text(text)
    assert "s3cret" not in shown
    assert "+        password: ***" in shown


def test_every_service_says_what_it_is(modules: Any) -> None:
    services = service_host.daemons(plugins.services(modules))
    assert {"apache2", "dovecot", "ejabberd", "postfix"} <= set(services)
    daemons.run("service", "unbound", "start")  # its first start makes a file that its checker wants
    daemons.stop("unbound", 53)
    for name, service in services.items():
        about = service.about
        assert {"files", "processes", "units", "init", "options", "check", "protocols"} <= set(about), name
        assert (f"listen_{name}.errors" in modules) == bool(about["options"]), name
        assert set(about["protocols"].values()) <= set(service_probe.protocols())
        if name in ("exim4", "stunnel4"):  # Debian allows one mail server at a time; a tunnel has no usual file
            continue
        # As Debian has configured it, its listeners are seen, and it is dual-stack or can become so.
        files = service_host.configuration(service)
        assert files, name
        assert service_host.check(service).error == ""
        assert isinstance(modules[f"listen_{name}.listeners"](files), list)


def test_files_keep_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "secret.cfg"
    path.write_text("a")
    path.chmod(0o640)
    host_files.replace(str(path), "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
