"""What real web servers speak on a port is what their plug-ins read in the configuration."""

from __future__ import annotations

import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import pytest

from . import daemons
from .test_sites import FOUR, HAPROXY, PEM, TLS, _addresses, nginx_site, web  # noqa: F401  # fixtures among them

SPEAKERS = {
    "nginx": (
        "/etc/nginx/sites-enabled/all",
        nginx_site("listen 80; listen 8080; listen 8443 ssl;", "return 200 x;", *TLS)
        + nginx_site("listen 8443; listen 8444;", "server_name other;", "return 200 x;", *TLS),
        {80: "http", 8080: "http", 8443: "https", 8444: "http"},
    ),
    "apache2": (
        "/etc/apache2/ports.conf",
        f"Listen 80\nListen 8080\nListen 8443 https\nListen 8444\nListen 8445 https\nSSLCertificateFile {PEM}\n"
        "<VirtualHost *:8443>\nServerName a\n</VirtualHost>\n<VirtualHost *:8444>\nSSLEngine on\n</VirtualHost>\n"
        "<VirtualHost *:8445>\nSSLEngine off\n</VirtualHost>\n<VirtualHost *>\n</VirtualHost>\n",
        {80: "http", 8080: "http", 8443: "https", 8444: "https", 8445: "http"},
    ),
    "haproxy": (
        "/etc/haproxy/haproxy.cfg",
        HAPROXY
        + f"frontend a\n bind *:80,*:8080\n bind *:8443 ssl crt {PEM}\n http-request return status 200\n"
        + f"frontend b\n mode tcp\n bind *:8444 ssl crt {PEM}\n bind *:8445\n default_backend c\n"
        "backend c\n mode tcp\n server s 127.0.0.1:80\n",
        {80: "http", 8080: "http", 8443: "https", 8444: "tls", 8445: "tcp"},
    ),
}


@pytest.mark.parametrize("name", SPEAKERS)
def test_what_a_listener_is_said_to_speak_is_spoken(name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("web")(name)
    path, text, expected = SPEAKERS[name]
    if name == "apache2":
        daemons.run("a2enmod", "-q", "ssl")
    server.start({path: text})
    told = {
        each["port"]: each["protocol"]
        for each in service_host.listeners(server.service, service_host.configuration(server.service))
    }
    assert told == expected
    for port, protocol in told.items():
        other = "http" if protocol in ("https", "tls") else "https"
        right, wrong = (
            service_probe.probe({"address": FOUR, "port": port, "protocol": each}) for each in (protocol, other)
        )
        assert right["answers"], str(right)
        assert not wrong["answers"] or wrong["look"]["status"] == 400, str(wrong)
