"""A host with IPv6 of its own hoster, in the enclosure: eth0, a router, and somebody beyond it, in a namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ..firewall.netfilter import run

ADDRESS, ROUTER, BEYOND = "2001:db8:1::8", "2001:db8:1::1", "2001:db8:c::2"
IPV4 = "192.0.2.80"
NAMESPACE = "hoster"


@contextmanager
def host(address: str = ADDRESS, route: bool = True) -> Iterator[None]:
    """The host with an address, and unless told otherwise a default route."""
    run("ip", "netns", "add", NAMESPACE)
    try:
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "host", "netns", NAMESPACE)
        for where, name, own in (((), "eth0", (f"{IPV4}/24",)), (("-n", NAMESPACE), "host", ("192.0.2.1/24",))):
            run("ip", *where, "link", "set", name, "up")
            for each in own:
                run("ip", *where, "addr", "add", each, "dev", name)
        run("ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        run("ip", "route", "add", "default", "via", "192.0.2.1")
        if route:
            run("ip", "-6", "route", "add", "default", "via", ROUTER, "dev", "eth0")
        for each, name in ((f"{ROUTER}/64", "host"), (f"{BEYOND}/128", "lo")):
            run("ip", "-n", NAMESPACE, "addr", "add", each, "dev", name, "nodad")
        run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        wait()
        yield
    finally:
        subprocess.run(["ip", "link", "del", "eth0"], check=False, capture_output=True)
        run("ip", "netns", "del", NAMESPACE)


def silence(address: str) -> None:
    """Somebody beyond goes away."""
    run("ip", "-n", NAMESPACE, "addr", "del", f"{address}/128", "dev", "lo")


def answer(address: str) -> None:
    """Somebody beyond comes back."""
    run("ip", "-n", NAMESPACE, "addr", "add", f"{address}/128", "dev", "lo", "nodad")


def wait() -> None:
    """Until the link is up: the first packets would be lost."""
    for _ in range(50):
        if (
            subprocess.run(["ping", "-6", "-c", "1", "-W", "1", ROUTER], check=False, capture_output=True).returncode
            == 0
        ):
            return
    raise AssertionError(run("ip", "addr"))
