"""The states take their settings from the pillar, where those of all services are; named arguments win over them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from . import daemons
from .test_answering import FOUR, SIX, _addresses  # noqa: F401  # the host has an address of each family

KEY = "ipv6:services"
PARAMETER = "net.ipv6.bindv6only"
POSTFIX = {"ports": [25], "mynetworks": ["127.0.0.0/8", "[::1]/128"], "timeout": 30}


def call(modules: Any, function: str, name: str, pillar: Any, *arguments: dict[str, Any], **kwargs: Any) -> Any:
    """One state, as it stands in an SLS file."""
    state = {"The state": {"service_listen": [function, {"name": name}, {"pillar": KEY}, *arguments]}}
    (result,) = modules.state.high(state, pillar={"ipv6": pillar}, **kwargs)
    return result


@pytest.mark.parametrize("through_json", [False, True], ids=["YAML", "JSON"])
def test_a_service_is_converged_and_asked(through_json: bool, ipv4_only: Any, modules: Any) -> None:
    ipv4_only("postfix")
    pillar: Any = {"services": {"postfix": {**POSTFIX, "protocols": {25: "smtp"}, "send": "both"}, "apache2": None}}
    if through_json:  # as over salt-ssh: the keys that are numbers are text then
        pillar = json.loads(json.dumps(pillar))
    before = call(modules, "answering", "postfix", pillar)
    assert (before.result, f"tcp/25 on {SIX}: connection refused" in before.comment) == (False, True)
    predicted = call(modules, "dual_stack", "postfix", pillar, test=True)
    done = call(modules, "dual_stack", "postfix", pillar)
    assert (predicted.result, done.result) == (None, True), done.comment
    assert done.changes == predicted.changes
    assert done.comment.startswith("postfix was changed: /etc/postfix/main.cf, listening")
    assert daemons.families(25) == ["ipv4", "ipv6"]
    assert daemons.run("postconf", "-h", "mynetworks") == "127.0.0.0/8 [::1]/128\n"
    again = call(modules, "dual_stack", "postfix", pillar)
    assert (again.result, again.changes) == (True, {}), again.comment
    after = call(modules, "answering", "postfix", pillar)
    assert (after.result, f"tcp/25 on {FOUR}: 220 " in after.comment) == (True, True)
    pillar["services"]["postfix"]["protocols"] = {"25" if through_json else 25: "imap"}
    unheard = call(modules, "answering", "postfix", pillar)
    assert (unheard.result, "answered, but not in this protocol" in unheard.comment) == (False, True)


def test_arguments_win(ipv4_only: Any, modules: Any) -> None:
    ipv4_only("postfix")
    pillar = {"services": {"postfix": POSTFIX}}
    done = call(modules, "dual_stack", "postfix", pillar, {"mynetworks": ["[::1]/128"]})
    assert done.result is True, done.comment
    assert daemons.run("postconf", "-h", "mynetworks") == "[::1]/128\n"
    wrong = call(modules, "answering", "postfix", pillar, {"protocols": {25: "imap"}})
    assert (wrong.result, "answered, but not in this protocol" in wrong.comment) == (False, True)


def test_the_value_that_will_hold_is_that_of_the_pillar(ipv4_only: Any, modules: Any) -> None:
    """Which is not the live one yet where a state before this one sets it in a run, and here only predicts."""
    ipv4_only("ejabberd")
    services = {"ejabberd": {"ports": [5222, 5269], "listeners": "split"}}
    parameter = {"A": {"ipv6": ["parameter", {"name": PARAMETER}, {"value": 1}]}}

    def predicted(sysctl: dict[str, Any], *arguments: Any, before: Any = parameter) -> Any:
        state = {"service_listen": ["dual_stack", {"name": "ejabberd"}, {"pillar": KEY}, *arguments]}
        pillar = {"ipv6": {"services": services, **sysctl}}
        return modules.state.high({**before, "B": state}, pillar=pillar, test=True)[-1 if before else 0]

    one = {"sysctl": {PARAMETER: 1}}
    assert predicted(one).result is None
    assert predicted({}, {"bindv6only": 1}).result is None
    refused = predicted({"sysctl": {PARAMETER: 0}})
    assert (refused.result, f"{PARAMETER} is 0; this needs 1" in refused.comment) == (False, True)
    # Where no state sets it, a run would fail: so it is said now.
    for sysctl, arguments in ((one, []), ({}, [{"bindv6only": 1}])):
        alone = predicted(sysctl, *arguments, before={})
        assert (alone.result, f"ejabberd: {PARAMETER} is 0 now, and has to be 1" in alone.comment) == (False, True)
    daemons.bindv6only(1, 0)
    alone = predicted(one, before={})
    assert (alone.result, f"ejabberd: {PARAMETER} is 0 at the next boot" in alone.comment) == (False, True)
    # And a door that is called by hand only shows what would be changed.
    given = {"ports": [5222, 5269], "listeners": "split", "bindv6only": 1, "test": True}
    assert modules.service_listen.dual_stack("ejabberd", **given)["result"] is None


def test_nobody_is_harmed(modules: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.stop("ejabberd", 5222))
    daemons.start("ejabberd", 5222)
    one = {PARAMETER: 1}
    for pillar, result in (
        ({"sysctl": one}, False),
        ({"sysctl": {PARAMETER: 0}}, True),
        ({"sysctl": one, "sysctl_except": ["ejabberd"]}, True),
        ({"sysctl": one, "services": {"ejabberd": {"listeners": "split"}}}, True),
        ({"sysctl": one, "services": {"ejabberd": {"listeners": "dual"}}}, False),
    ):
        done = call(modules, "unharmed", "No service is harmed", pillar)
        assert done.result is result, (pillar, done.comment)
        assert ("ejabberd would lose IPv4 on" in done.comment) != result
    pillar = {"sysctl": one, "sysctl_except": ["ejabberd"]}
    assert call(modules, "unharmed", "x", pillar, {"exceptions": []}).result is False
    assert call(modules, "unharmed", "x", {"sysctl": one}, {"bindv6only": 0}).result is True
    assert call(modules, "unharmed", "x", {"sysctl": one}, test=True).result is False


def test_who_is_to_look_from_outside(modules: Any) -> None:
    services = {"dovecot": {"ports": [143]}}
    prober = {"services": services, "verify": {"prober": "prober"}}
    for pillar, arguments, result, said in (
        ({"services": services}, [], None, "not tried: no prober is named; whether this host is reachable"),
        ({"verify": {"prober": "prober"}}, [], None, "not tried: no service is declared that prober could connect to"),
        (prober, [], None, "not tried: this host has no master now, and only a master could make prober connect"),
        (
            prober,
            [{"prober": "other"}],
            None,
            "not tried: this host has no master now, and only a master could make other connect",
        ),
        ({"verify": {"prober": "server"}}, [], False, "ipv6:verify:prober: server is this host itself"),
        (
            {**prober, "dns": {"address": "192.0.2.1"}},
            [],
            False,
            "ipv6:dns:address: '192.0.2.1' is not an IPv6 address",
        ),
    ):
        done = call(modules, "reachable", "outside", pillar, *arguments)
        assert (done.result, done.comment[: len(said)]) == (result, said)
    done = call(modules, "reachable", "outside", prober, test=True)
    assert (done.result, done.comment) == (None, "prober was not asked")


WRONG: dict[str, Any] = {
    **{"ports": [0], "protocols": {143: "gopher"}, "names": ["www"], "probe": {"x": {}, 143: {"proxy": 2}}},
    **{"timeout": 0, "prots": 1},
}
BROKEN: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "ipv6:services: expected a mapping in the pillar, found nothing"),
    "a list": ({"services": ["dovecot"]}, "ipv6:services: expected a mapping in the pillar, found a list"),
    "another service": (
        {"services": {"postfix": None}},
        "ipv6:services:dovecot: there is no such service in the pillar",
    ),
    "no settings": ({"services": {"dovecot": 143}}, "ipv6:services:dovecot: expected a mapping, found 143"),
    "all at once": (
        {"services": {"dovecot": WRONG}},
        "ipv6:services:dovecot:ports: [0] is not a list of TCP ports, such as [25, 587]\n"
        "ipv6:services:dovecot:protocols: 143: 'gopher' is not a port and its protocol; expected dns, ftp, http, "
        "https, imap, imaps, mysql, pop3, pop3s, postgresql, smtp, smtps, ssh, tcp, tls, xmpp, xmpp-server\n"
        "ipv6:services:dovecot:names: ['www'] is not a list of names of hosts, such as [www.example.org]\n"
        "ipv6:services:dovecot:probe: 'x' is not a port; expected a number from 1 to 65535\n"
        "ipv6:services:dovecot:probe:143:proxy: 2 is not v1 or v2, the version of the PROXY protocol\n"
        "ipv6:services:dovecot:timeout: 0 is not a number of seconds up to 3600\n"
        "ipv6:services:dovecot:prots: unknown key; expected one of ports, protocols, names, probe, timeout, explicit",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_by_its_key(case: str, modules: Any) -> None:
    pillar, said = BROKEN[case]
    for function in ("dual_stack", "answering"):
        done = call(modules, function, "dovecot", pillar)
        assert (done.result, done.changes, done.comment) == (False, {}, said)


def test_what_is_wrong_beside_it_is_named_as_well(modules: Any) -> None:
    for function, name, pillar, said in (
        ("dual_stack", "dovecot", {"sysctl": {PARAMETER: "1"}}, f"ipv6:sysctl:{PARAMETER}: '1' is not 0 or 1"),
        ("unharmed", "x", {"sysctl": {PARAMETER: True}}, f"ipv6:sysctl:{PARAMETER}: True is not 0 or 1"),
        ("unharmed", "x", {"sysctl_except": "ssh"}, "ipv6:sysctl_except: expected a list of services, found 'ssh'"),
        ("unharmed", "x", {"services": {"qmail": None}}, "ipv6:services:qmail: not a service that is known"),
        (
            "reachable",
            "x",
            {"verify": {"prober": "a"}, "services": {"ssh": 22}},
            "ipv6:services:ssh: expected a mapping",
        ),
    ):
        done = call(modules, function, name, {"services": {"dovecot": None}, **pillar})
        assert (done.result, done.comment[: len(said)]) == (False, said)
