"""No secret of a service's configuration is ever shown, wherever its door and all that it starts may say something."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from salt.exceptions import SaltException

from ..sampler import sampled
from . import daemons, planted

REPOSITORY = Path(__file__).resolve().parents[2]
SALT_CALL = [sys.executable, "-W", "ignore", str(Path(sys.executable).with_name("salt-call"))]
# What is found first, or alone, of the programs that check a configuration.
CHECKERS = {
    "nginx": "/usr/local/sbin/nginx",
    "haproxy": "/usr/local/sbin/haproxy",
    "apache2": "/usr/local/sbin/apache2ctl",
    "lighttpd": "/usr/local/sbin/lighttpd",
    "postfix": "/usr/local/sbin/postfix",
    "dovecot": "/usr/local/sbin/doveconf",
    "prosody": "/usr/local/sbin/prosodyctl",
    "ssh": "/usr/sbin/sshd",
}
# In these nothing of a diff would be left if all words were hidden: so it says what was done, too.
SHOWN = {
    "nginx": "listen [::]:80;",
    "haproxy": "bind 0.0.0.0:80,:::80 v6only",
    "apache2": "+Listen 80",
    "lighttpd": '"[::]:8080"',
    "postfix": "+inet_protocols = all",
    "dovecot": "+listen = *, [::]",
    "ejabberd": '+    ip: "::"',
    "ejabberd.cfg": '{{5222, "::"},',
    "prosody": 'c2s_interfaces = { "*", "::" };',
    "ssh": "+AddressFamily any",
    "vsftpd": "+listen_ipv6=YES",
}
# Prints all that it is configured by, and fails.
TALKATIVE = "#!/bin/sh\n{excuse}\numask 077\ncat {paths} | tee -a /var/log/{name}.log >&2\nexit 1\n"


@pytest.fixture(params=planted.CONFIGURATIONS)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A service whose configuration is full of secrets; only root can read it."""
    folders = {os.path.dirname(path) for path in planted.CONFIGURATIONS[request.param]}
    for folder in folders - {"/etc"}:
        daemons.run("cp", "-a", folder, f"/run/before{folder.replace('/', '-')}")
    saved = {path: Path(path).read_text() for path in ("/etc/vsftpd.conf",)}
    if request.param == "ejabberd.cfg":
        Path("/etc/ejabberd/ejabberd.yml").unlink()
    configure(planted.CONFIGURATIONS[request.param])
    yield request.param
    for path, text in saved.items():
        Path(path).write_text(text)
    for folder in folders - {"/etc"}:
        shutil.rmtree(folder)
        daemons.run("mv", f"/run/before{folder.replace('/', '-')}", folder)


def configure(texts: dict[str, str]) -> None:
    """Write files that only root can read."""
    for path, text in texts.items():
        Path(path).unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            stream.write(text)
        if path.startswith("/etc/prosody"):  # prosodyctl looks whether its user can read it
            shutil.chown(path, "prosody")


@contextlib.contextmanager
def program(path: str, text: str) -> Iterator[None]:
    """A program in place of the real one."""
    real = Path(path)
    before = real.read_bytes() if real.exists() else None
    real.write_text(text)
    real.chmod(0o755)
    try:
        yield
    finally:
        real.unlink()
        if before is not None:
            real.write_bytes(before)
            real.chmod(0o755)


def nothing_is_shown(*said: object) -> None:
    """No secret, and no part of one, is in any of these."""
    text = "\n".join(each if isinstance(each, str) else repr(each) for each in said)
    shown = [line for line in text.splitlines() if planted.MARK in line.lower()]
    assert not shown, "\n".join(shown)


def converged(converge: Any, name: str, **given: Any) -> dict[str, Any]:
    """Converge a service, for an ejabberd that splits its listeners."""
    options = {"bindv6only": 1} if name.startswith("ejabberd") else {}
    done: dict[str, Any] = converge(name.partition(".")[0], **options, **given)
    return done


def planned(modules: Any, name: str) -> str:
    """What the door shows of a change, or its error."""
    try:
        return str(modules.service_listen.plan(name.partition(".")[0], bindv6only=1))
    except SaltException as error:
        return str(error)


def test_the_sampler_sees_what_everybody_can_read() -> None:
    with sampled(planted.MARK) as seen:
        daemons.run("sh", "-c", f"sleep 0.3; : {planted.MARK}")
        daemons.run("env", f"A={planted.MARK}", "sleep", "0.3")
        Path("/etc/everybody").write_text(planted.MARK)
        daemons.run("sleep", "0.3")
        Path("/etc/everybody").unlink()
    found = " ".join(seen["found"])
    assert ("cmdline" in found, "environ" in found, "/etc/everybody" in found) == (True, True, True), found


def test_no_secret_is_in_a_change(name: str, converge: Any, modules: Any, caplog: pytest.LogCaptureFixture) -> None:
    if name.startswith("ejabberd"):
        daemons.bindv6only(1)
    with caplog.at_level(1), sampled(planted.MARK) as seen:
        predicted = converged(converge, name, test=True)
        shown = planned(modules, name)
        done = converged(converge, name)
    nothing_is_shown(predicted, shown, done, caplog.text, json.dumps(done), *seen["found"])
    assert (bool(predicted["changes"]), bool(done["changes"])) == (name in SHOWN, name in SHOWN), (predicted, done)
    assert SHOWN.get(name, "") in "\n".join(map(str, done["changes"].values()))
    assert seen["seen"]["processes"] > 3


# Those that have a checker, and those that are restarted; a configuration may be one of several of a service.
PROGRAMS = [
    (name, fails)
    for name in planted.CONFIGURATIONS
    for fails in ("check", "restart")
    if name.partition(".")[0] in CHECKERS or (fails == "restart" and name.partition(".")[0] != "systemd")
]


@pytest.mark.parametrize(("name", "fails"), PROGRAMS, indirect=["name"])
def test_no_secret_is_in_what_programs_say(
    name: str, fails: str, converge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service = name.partition(".")[0]
    if service == "ejabberd":
        daemons.bindv6only(1)
    paths = " ".join(planted.CONFIGURATIONS[name])
    path = CHECKERS[service] if fails == "check" else f"/etc/init.d/{service}"
    excuse = "" if fails == "check" else '[ "$1" != status ] || exit 0'
    before = {path: Path(path).read_text() for path in planted.CONFIGURATIONS[name]}
    script = TALKATIVE.format(excuse=excuse, paths=paths, name=service)
    with caplog.at_level(1), sampled(planted.MARK) as seen, program(path, script):
        done = converged(converge, name, timeout=2)
    nothing_is_shown(done, caplog.text, *seen["found"])
    assert done["result"] is False
    assert "***" in done["comment"]
    said = "invalid: '" if fails == "check" else f"'service {service} restart' ended with 1 and said: "
    assert said in done["comment"], done["comment"]
    assert fails == "check" or "Its log says:" in done["comment"]
    assert {path: Path(path).read_text() for path in before} == before


def test_no_secret_is_in_an_error(name: str, converge: Any, modules: Any, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = planted.CONFIGURATIONS[name]
    configure({path: planted.BROKEN[name]})
    if name.startswith("ejabberd"):
        daemons.bindv6only(1)
    with caplog.at_level(1), sampled(planted.MARK) as seen:
        done = converged(converge, name)
        shown = planned(modules, name)
        audit = modules.service_listen.audit(1)
    nothing_is_shown(done, shown, audit, caplog.text, *seen["found"])
    assert (done["result"], done["changes"]) == (False, {}), done


def test_no_secret_is_in_a_trace(tmp_path: Path) -> None:
    before = Path("/etc/nginx/nginx.conf").read_bytes()
    configure(planted.CONFIGURATIONS["nginx"])
    settings = {"file_client": "local", "root_dir": str(tmp_path), "module_dirs": [str(REPOSITORY)], "id": "server"}
    (tmp_path / "minion").write_text(json.dumps({**settings, "log_level_logfile": "trace"}))
    call = [*SALT_CALL, "-c", str(tmp_path), "--local", "-l", "trace"]
    try:
        with sampled(planted.MARK) as seen:
            for words in (["service_listen.plan", "nginx"], ["state.single", "service_listen.dual_stack", "nginx"]):
                done = subprocess.run([*call, *words], capture_output=True, text=True, check=False)
                assert (done.returncode, "listen [::]:80;" in done.stdout) == (0, True), done
                nothing_is_shown(done.stdout, done.stderr)
                assert "[TRACE" in done.stderr
        logged = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
        nothing_is_shown(*seen["found"], *logged)
        assert any("[TRACE" in each for each in logged)
        assert planted.MARK in Path("/etc/nginx/nginx.conf").read_text()
    finally:
        Path("/etc/nginx/nginx.conf").unlink()
        Path("/etc/nginx/nginx.conf").write_bytes(before)
