"""The settings of services in the pillar: what is wrong with them, and what they mean."""

from __future__ import annotations

from typing import Any

import _dualstack_service_settings as service_settings
import listen_dovecot
import listen_nginx
import listen_postfix
import pytest
from salt.exceptions import SaltInvocationError

KNOWN: Any = {"dovecot": listen_dovecot, "nginx": listen_nginx, "postfix": listen_postfix}
GOOD: dict[str, Any] = {
    "dovecot": {"ports": [143, 993], "protocols": {143: "imap", 993: "imaps"}, "timeout": 0.5, "explicit": True},
    "nginx": None,
    "postfix": {"protocols": {"25": "smtp"}, "mynetworks": ["127.0.0.0/8"]},
}


def test_nothing_is_wrong() -> None:
    assert service_settings.errors(GOOD, KNOWN) == []
    service_settings.refuse(GOOD, KNOWN)


def test_what_they_mean() -> None:
    assert service_settings.ports(GOOD["dovecot"]) == [143, 993]
    assert service_settings.ports(GOOD["nginx"]) == []
    assert service_settings.protocols(GOOD["dovecot"]) == {143: "imap", 993: "imaps"}
    assert service_settings.protocols(GOOD["postfix"]) == {25: "smtp"}
    assert service_settings.own(GOOD["dovecot"]) == {"explicit": True}
    assert service_settings.own(None) == {}
    assert service_settings.protocols(None) == {}
    assert service_settings.ports(None) == []
    web = {"names": ["WWW.Example.org."], "probe": {"443": {"path": "/x", "proxy": "v2"}, 80: {"seconds": 9}}}
    assert service_settings.errors({"nginx": web}, KNOWN) == []
    assert service_settings.names(web) == ["www.example.org"]
    assert service_settings.names(None) == []
    assert service_settings.probe(web, 443) == {"path": "/x", "proxy": "v2"}
    assert service_settings.probe(web, 80) == {"seconds": 9}
    assert service_settings.probe(web, 81) == service_settings.probe(None, 80) == {}
    assert service_settings.bound(web) == service_settings.bound(None) + 27


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"qmail": {}}, "qmail: not a service that is known; expected one of dovecot, nginx, postfix"),
        ({"nginx": "on"}, "nginx: expected a mapping, found 'on'"),
        ({"nginx": {"ports": []}}, "nginx:ports: [] is not a list of TCP ports, such as [25, 587]"),
        ({"nginx": {"ports": ["80"]}}, "nginx:ports: ['80'] is not a list of TCP ports, such as [25, 587]"),
        ({"nginx": {"ports": [True]}}, "nginx:ports: [True] is not a list of TCP ports, such as [25, 587]"),
        ({"nginx": {"ports": [0]}}, "nginx:ports: [0] is not a list of TCP ports, such as [25, 587]"),
        ({"nginx": {"ports": [65536]}}, "nginx:ports: [65536] is not a list of TCP ports, such as [25, 587]"),
        ({"nginx": {"ports": [80, 80]}}, "nginx:ports: [80, 80] has a port twice; expected each once"),
        ({"nginx": {"protocols": [80]}}, "nginx:protocols: expected a mapping such as {8443: https}, found [80]"),
        (
            {"nginx": {"protocols": {80: "gopher"}}},
            "nginx:protocols: 80: 'gopher' is not a port and its protocol; expected dns, ftp, http, https, ",
        ),
        (
            {"nginx": {"protocols": {0: "http"}}},
            "nginx:protocols: 0: 'http' is not a port and its protocol; expected d",
        ),
        ({"nginx": {"protocols": {"x": "http"}}}, "nginx:protocols: 'x': 'http' is not a port and its protocol; expe"),
        ({"nginx": {"protocols": {"²": "http"}}}, "nginx:protocols: '²': 'http' is not a port and its protocol; exp"),
        ({"nginx": {"protocols": {80: "http", "80": "tcp"}}}, "nginx:protocols: {80: 'http', '80': 'tcp'} has a port"),
        ({"nginx": {"timeout": "9"}}, "nginx:timeout: '9' is not a number of seconds up to 3600"),
        ({"nginx": {"timeout": 0}}, "nginx:timeout: 0 is not a number of seconds up to 3600"),
        ({"nginx": {"timeout": 3601}}, "nginx:timeout: 3601 is not a number of seconds up to 3600"),
        ({"nginx": {"timeout": True}}, "nginx:timeout: True is not a number of seconds up to 3600"),
        (
            {"nginx": {"explicit": True}},
            "nginx:explicit: unknown key; expected one of ports, protocols, names, probe, timeout",
        ),
        ({"nginx": {"names": []}}, "nginx:names: [] is not a list of names of hosts, such as [www.example.org]"),
        ({"nginx": {"names": "www.example.org"}}, "nginx:names: 'www.example.org' is not a list of names of hosts"),
        ({"nginx": {"names": ["192.0.2.1"]}}, "nginx:names: ['192.0.2.1'] is not a list of names of hosts"),
        ({"nginx": {"probe": [443]}}, "nginx:probe: expected a mapping such as {443: {path: /status}}, found [443]"),
        ({"nginx": {"probe": {0: {}}}}, "nginx:probe: 0 is not a port; expected a number from 1 to 65535"),
        ({"nginx": {"probe": {443: "v2"}}}, "nginx:probe:443: expected a mapping of seconds, name, path, proxy, found"),
        ({"nginx": {"probe": {443: {"pax": 1}}}}, "nginx:probe:443:pax: unknown key; expected one of seconds, name, "),
        (
            {"nginx": {"probe": {443: {"seconds": 0}}}},
            "nginx:probe:443:seconds: 0 is not a number of seconds up to 300",
        ),
        ({"nginx": {"probe": {443: {"seconds": True}}}}, "nginx:probe:443:seconds: True is not a number of seconds"),
        ({"nginx": {"probe": {443: {"name": "x"}}}}, "nginx:probe:443:name: 'x' is not the name of a host"),
        ({"nginx": {"probe": {443: {"path": "x y"}}}}, "nginx:probe:443:path: 'x y' is not the path of a page"),
        ({"nginx": {"probe": {443: {"proxy": "v3"}}}}, "nginx:probe:443:proxy: 'v3' is not v1 or v2, the version of "),
        ({"dovecot": {"explicit": "yes"}}, "dovecot:explicit: 'yes' is not a boolean; expected true or false"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(services: dict[str, Any], said: str) -> None:
    (found,) = service_settings.errors(services, KNOWN)
    assert found.startswith(said)


def test_every_error_is_reported_at_once() -> None:
    wrong = {"nginx": {"ports": 80, "timeout": -1}, "qmail": None}
    with pytest.raises(SaltInvocationError) as raised:
        service_settings.refuse(wrong, KNOWN, "ipv6:services:")
    beginnings = [each.split(" ")[0] for each in str(raised.value).split("\n")]
    assert beginnings == [f"ipv6:services:{key}:" for key in ("nginx:ports", "nginx:timeout", "qmail")]
    assert wrong == {"nginx": {"ports": 80, "timeout": -1}, "qmail": None}


def test_the_limits_themselves_are_allowed() -> None:
    limits = {"ports": [1, 65535], "protocols": {1: "tcp", 65535: "tls"}, "timeout": 3600}
    assert service_settings.errors({"nginx": limits}, KNOWN) == []


def test_a_service_has_two_minutes_to_stop_and_to_start() -> None:
    assert service_settings.TIMEOUT == 120
