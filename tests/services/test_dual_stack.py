"""IPv4-only services of 2011 become dual-stack ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest

from . import daemons

OPTIONS: dict[str, dict[str, Any]] = {
    "apache2": {},
    "dovecot": {},
    "postfix": {"mynetworks": ["127.0.0.0/8", "[::ffff:127.0.0.0]/104", "[::1]/128"]},
    "ejabberd": {"listeners": "split", "bindv6only": 1},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_service_of_2011_answers_on_both_families(name: str, ipv4_only: Any, converge: Any, modules: Any) -> None:
    ports = ipv4_only(name)
    if name == "ejabberd":
        daemons.bindv6only(1)
    given = {"ports": ports, **OPTIONS[name]}
    service = service_host.daemon(plugins.services(modules), name)
    before = service_host.configuration(service)

    predicted = converge(name, test=True, **given)
    assert predicted["result"] is None, predicted["comment"]
    assert service_host.configuration(service) == before
    assert [daemons.families(port) for port in ports] == [["ipv4"]] * len(ports)

    done = converge(name, **given)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    assert done["changes"]["listening"]["old"] == {f"tcp/{port}": "ipv4" for port in ports}
    assert [daemons.families(port) for port in ports] == [["ipv4", "ipv6"]] * len(ports)
    assert all(each["answers"] and each["banner"] for each in modules.service_listen.probe(name, ports))

    again = converge(name, **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]


def test_postfix_relays_for_its_own_host_over_both_families(ipv4_only: Any, converge: Any) -> None:
    ipv4_only("postfix")
    converge("postfix", ports=[25], **OPTIONS["postfix"])
    for address in daemons.LOOPBACK.values():
        assert smtp(address, "EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>").startswith("250")


def smtp(address: str, *commands: str) -> str:
    """The answer to the last of some commands."""
    import smtplib

    with smtplib.SMTP(address, 25, timeout=10) as server:
        for command in commands:
            code, text = server.docmd(command)
        return f"{code} {text.decode()}"


def test_apache_as_it_ships_is_left_alone(converge: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.stop("apache2"))
    daemons.start("apache2", 80)
    done = converge("apache2", ports=[80])
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]


def test_a_service_that_serves_both_is_left_alone_whatever_its_file_says(ipv4_only: Any, converge: Any) -> None:
    ports = ipv4_only("dovecot")
    assert converge("dovecot", ports=ports)["result"] is True
    daemons.edit("/etc/dovecot/dovecot.conf", r"^listen = .*$", "listen = *")
    assert converge("dovecot", ports=ports)["changes"] == {}


def test_a_daemon_that_still_has_its_old_sockets_is_restarted(ipv4_only: Any, converge: Any) -> None:
    ports = ipv4_only("dovecot")
    daemons.edit("/etc/dovecot/dovecot.conf", r"^listen = .*$", "listen = *, [::]")
    done = converge("dovecot", ports=ports)
    assert done["result"] is True, done["comment"]
    assert list(done["changes"]) == ["listening"]
    assert daemons.families(143) == ["ipv4", "ipv6"]


def test_what_a_user_has_undone_is_done_again(ipv4_only: Any, converge: Any) -> None:
    ports = ipv4_only("dovecot")
    assert converge("dovecot", ports=ports)["result"] is True
    daemons.edit("/etc/dovecot/dovecot.conf", r"^listen = .*$", "listen = *")
    daemons.run("service", "dovecot", "restart")
    daemons.wait_for(143)
    done = converge("dovecot", ports=ports)
    assert list(done["changes"]) == ["/etc/dovecot/dovecot.conf", "listening"]
    assert daemons.families(143) == ["ipv4", "ipv6"]


def test_a_service_that_is_stopped_on_purpose_is_not_started(converge: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.restore("dovecot"))
    daemons.only_ipv4("dovecot")
    done = converge("dovecot", ports=[143])
    assert done["result"] is True
    assert list(done["changes"]) == ["/etc/dovecot/dovecot.conf"]
    assert "was not started" in done["comment"]
    assert daemons.families(143) == []
    assert converge("dovecot", ports=[143])["changes"] == {}
    daemons.start("dovecot", 143)
    request.addfinalizer(lambda: daemons.stop("dovecot"))
    assert daemons.families(143) == ["ipv4", "ipv6"]


def test_without_ports_those_of_the_configuration_count(ipv4_only: Any, converge: Any) -> None:
    ipv4_only("dovecot")
    done = converge("dovecot")
    assert set(done["changes"]["listening"]["new"]) >= {"tcp/110", "tcp/143"}
    assert converge("dovecot")["changes"] == {}


def test_a_service_on_loopback_only_is_left_alone(converge: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.restore("dovecot"))
    request.addfinalizer(lambda: daemons.stop("dovecot", 143))
    daemons.edit("/etc/dovecot/dovecot.conf", r"^#listen = \*, ::$", "listen = 127.0.0.1")
    daemons.start("dovecot", 143)
    done = converge("dovecot")
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert "dovecot listens on no TCP port that is open to all" in done["comment"]
    asked = converge("dovecot", ports=[143])
    assert (asked["result"], asked["changes"]) == (False, {})
    assert "no listener on tcp/143 is for all addresses of ipv4 and ipv6" in asked["comment"]
    assert daemons.families(143) == ["ipv4"]


def test_a_service_that_listens_and_is_silent_is_not_restarted_at_every_run(
    converge: Any, modules: Any, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: daemons.stop("apache2", 80))
    daemons.start("apache2", 80)
    before = [each["inode"] for each in modules.service_listen.sockets()["sockets"] if each["service"] == "apache2"]
    done = converge("apache2", ports=[80], protocols={80: "smtp"})
    assert (done["result"], done["changes"]) == (False, {})
    assert "apache2: tcp/80 does not answer: " in done["comment"]
    now = [each["inode"] for each in modules.service_listen.sockets()["sockets"] if each["service"] == "apache2"]
    assert now == before


def test_mode_and_owner_of_a_file_are_kept(ipv4_only: Any, converge: Any) -> None:
    ipv4_only("ejabberd")
    path = Path("/etc/ejabberd/ejabberd.yml")
    before = path.stat()
    daemons.bindv6only(1)
    assert converge("ejabberd", ports=[5222], listeners="split", bindv6only=1)["result"] is True
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert before.st_uid != 0


@pytest.mark.parametrize(
    ("live", "boot", "said"),
    [(0, 1, "is 0 now, and has to be 1"), (1, 0, "is 0 at the next boot, and has to be 1")],
)
def test_split_listeners_need_the_parameter_now_and_at_boot(
    live: int, boot: int, said: str, ipv4_only: Any, converge: Callable[..., dict[str, Any]]
) -> None:
    ipv4_only("ejabberd")
    daemons.bindv6only(live, boot)
    text = Path("/etc/ejabberd/ejabberd.yml").read_text()
    done = converge("ejabberd", ports=[5222], listeners="split", bindv6only=1)
    assert done["result"] is False
    assert said in done["comment"]
    assert Path("/etc/ejabberd/ejabberd.yml").read_text() == text
    assert daemons.families(5222) == ["ipv4"]


def test_split_listeners_are_right_until_the_next_boot(ipv4_only: Any, converge: Any) -> None:
    ipv4_only("ejabberd")
    daemons.bindv6only(1)
    given = {"ports": [5222], "listeners": "split"}
    assert converge("ejabberd", **given)["result"] is True
    said = (
        "net.ipv6.bindv6only is 1 now and 0 at the next boot, after which it would lose a family on tcp/5222, or not st"
    )
    for boot, told in ((1, False), (0, True)):
        daemons.bindv6only(1, boot)
        for test in (True, False):
            done = converge("ejabberd", test=test, **given)
            assert (done["result"], done["changes"], said in done["comment"]) == (True, {}, told), done["comment"]


def test_split_listeners_are_refused_where_the_parameter_is_not_to_be_set(ipv4_only: Any, converge: Any) -> None:
    ipv4_only("ejabberd")
    done = converge("ejabberd", test=True, ports=[5222], listeners="split")
    assert done["result"] is False
    assert "net.ipv6.bindv6only is 0; this needs 1" in done["comment"]


def test_one_listener_for_both_families(ipv4_only: Any, converge: Any) -> None:
    ipv4_only("ejabberd")
    done = converge("ejabberd", ports=[5222, 5269], listeners="dual")
    assert done["result"] is True, done["comment"]
    assert daemons.families(5222) == daemons.families(5269) == ["ipv4", "ipv6"]
    assert converge("ejabberd", ports=[5222, 5269], listeners="dual")["changes"] == {}
    # It would lose IPv4 when the parameter is set: that is seen while it still serves both.
    daemons.bindv6only(1)
    done = converge("ejabberd", ports=[5222, 5269], listeners="split")
    assert done["result"] is True, done["comment"]
    assert done["changes"]["listening"]["old"] == {"tcp/5222": "ipv6", "tcp/5269": "ipv6"}
    assert daemons.families(5222) == ["ipv4", "ipv6"]
