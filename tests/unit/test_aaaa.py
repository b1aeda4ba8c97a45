"""The pillar `ipv6:dns`, and what is asked of a provider."""

from __future__ import annotations

import sys
from typing import Any

import aaaa
import aaaa_command
import aaaa_he
import aaaa_lexicon
import aaaa_rfc2136
import pytest
from salt.exceptions import CommandExecutionError

SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
SETTINGS: dict[str, dict[str, Any]] = {
    "rfc2136": {"server": "192.0.2.53", "zone": "example.org", "key_name": "host1", "key": SECRET},
    "he": {"keys": {"www.example.org": SECRET}},
    "lexicon": {"provider": "gandi", "zone": "example.org", "options": {"auth_token": SECRET}},
    "command": {"publish": "/usr/local/sbin/publish", "withdraw": ["/usr/local/sbin/dns", "withdraw"]},
}
# Whatever YAML can make of what somebody writes.
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    "",
    "x y",
    "ä",
    "a\nb",
    [],
    [None],
    [[]],
    {},
    {1: []},
    {None: {}},
    b"x",
)


@pytest.fixture(autouse=True)
def _siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = {"command": aaaa_command, "he": aaaa_he, "lexicon": aaaa_lexicon, "rfc2136": aaaa_rfc2136}
    functions = {
        f"aaaa_{name}.{function}": getattr(module, function)
        for name, module in providers.items()
        for function in ("about", "errors", "change")
    }
    monkeypatch.setattr(aaaa, "__salt__", functions, raising=False)


def dns(provider: str = "rfc2136", /, **changed: Any) -> dict[str, Any]:
    """A pillar that is right, but for what is changed."""
    right = {"provider": provider, "names": ["www.example.org"], provider: SETTINGS[provider]}
    return {**right, **changed}


def settings(provider: str, /, **changed: Any) -> dict[str, Any]:
    """The same, changed in the settings of the provider."""
    return dns(provider, **{provider: {**SETTINGS[provider], **changed}})


@pytest.mark.parametrize("provider", SETTINGS)
def test_what_is_right(provider: str) -> None:
    assert aaaa.errors(dns(provider)) == []
    everything = {
        **{"names": ["www.example.org", "MAIL.example.org."], "address": "2001:470:1f13:f87::77", "ttl": 0},
        **{"exclusive": True, "withdraw_when_broken": False, "servers": ["192.0.2.53", "127.0.0.1#5353", "::1#53"]},
        **{"deadline": 0.5, "he": {"keys": dict.fromkeys(["www.example.org", "mail.example.org"], SECRET)}},
    }
    assert aaaa.errors({**dns(provider), **everything}) == []
    assert aaaa.errors(dns(provider, address=None, servers=[], ttl=None)) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"names": ["x y"]}, "names: 'x y' is not a host name with its domain, as in www.example.org"),
        ({"names": ["www"]}, "names: 'www' is not a host name with its domain, as in www.example.org"),
        ({"names": ["-a.example.org"]}, "names: '-a.example.org' is not a host name"),
        ({"names": ["192.0.2.1"]}, "names: '192.0.2.1' is not a host name"),
        ({"names": ["a" * 64 + ".example.org"]}, "names: 'aaaa"),
        ({"names": ["bücher.example.org"]}, "names: 'bücher.example.org' is not a host name"),
        ({"names": ["www.example.org", "WWW.example.org."]}, "names: 'www.example.org' is listed twice"),
        ({"names": "www.example.org"}, "names: expected a list of host names, as [www.example.org], found 'www."),
        ({"names": []}, "names: expected a list of host names"),
        ({"names": None}, "names: missing; expected a list of host names"),
        (
            {"provider": "bind"},
            "provider: 'bind' is not a provider that is known; expected one of command, he, lexicon,",
        ),
        ({"provider": None}, "provider: missing; expected one of command, he, lexicon, rfc2136"),
        ({"provider": {"key": SECRET}}, "provider: a dict is not a provider that is known"),
        ({"address": "192.0.2.1"}, "address: '192.0.2.1' is not an IPv6 address; expected one without a prefix length"),
        ({"address": "2001:db8::1/64"}, "address: '2001:db8::1/64' is not an IPv6 address; expected one without a"),
        ({"address": ["2001:db8::1"]}, "address: ['2001:db8::1'] is not an IPv6 address"),
        ({"address": 42}, "address: 42 is not an IPv6 address"),
        ({"address": "::1"}, "address: '::1' is not a global IPv6 unicast address"),
        ({"address": "fe80::1"}, "address: 'fe80::1' is not a global IPv6 unicast address"),
        ({"address": "::ffff:192.0.2.1"}, "address: '::ffff:192.0.2.1' is not a global IPv6 unicast address"),
        ({"ttl": True}, "ttl: True is not a whole number of seconds from 0 to 2147483647"),
        ({"ttl": 2**31}, "ttl: 2147483648 is not a whole number"),
        ({"exclusive": "yes"}, "exclusive: 'yes' is not true or false"),
        ({"withdraw_when_broken": 1}, "withdraw_when_broken: 1 is not true or false"),
        ({"servers": ["ns1.example.org"]}, "servers: 'ns1.example.org' is not the address of a name server, as 192."),
        ({"servers": ["192.0.2.53#"]}, "servers: '192.0.2.53#' is not the address"),
        ({"servers": ["192.0.2.53#65536"]}, "servers: '192.0.2.53#65536' is not the address"),
        ({"servers": "192.0.2.53"}, "servers: expected a list of addresses, found '192.0.2.53'"),
        ({"deadline": 0}, "deadline: 0 is not a number of seconds up to 3600"),
        ({"rfc2136": None}, "rfc2136: missing; expected a mapping with server, port, zone, key_name, key, algorithm"),
        (
            {"rfc2136": SECRET},
            "rfc2136: expected a mapping with server, port, zone, key_name, key, algorithm, found a str",
        ),
        ({"adress": "2001:db8::1"}, "adress: unknown key; did you mean address?"),
        ({"quux": SECRET}, "quux: unknown key; expected one of provider, names, address"),
        ({"names": ["www.example.net"]}, "rfc2136:zone: www.example.net is not in the zone example.org"),
        ({"names": ["www.notexample.org"]}, "rfc2136:zone: www.notexample.org is not in the zone example.org"),
    ],
)
def test_what_is_wrong(changed: dict[str, Any], words: str) -> None:
    (problem,) = [each for each in aaaa.errors(dns(**changed)) if each.startswith(words)]
    assert SECRET not in problem


@pytest.mark.parametrize(
    ("provider", "changed", "words"),
    [
        ("rfc2136", {"server": "ns1.example.org"}, "server: 'ns1.example.org' is not an IP address"),
        ("rfc2136", {"server": None}, "server: missing; expected the address of the zone's primary server"),
        ("rfc2136", {"port": 0}, "port: 0 is not a port from 1 to 65535"),
        ("rfc2136", {"zone": "x y"}, "zone: 'x y' is not the name of a zone, as in example.org"),
        ("rfc2136", {"key_name": SECRET}, "key_name: it is not the name of a key, as host1"),
        ("rfc2136", {"key": SECRET[1:]}, "key: it is not base64; expected what tsig-keygen prints"),
        ("rfc2136", {"key": [SECRET]}, "key: it is not base64"),
        ("rfc2136", {"key": ""}, "key: it is not base64"),
        (
            "rfc2136",
            {"algorithm": "hmac-md5"},
            "algorithm: 'hmac-md5' is not one of hmac-sha1, hmac-sha224, hmac-sha256",
        ),
        ("rfc2136", {"keyname": "host1"}, "keyname: unknown key; did you mean key_name?"),
        ("he", {"keys": None}, "keys: missing; expected a mapping with the key of each name"),
        ("he", {"keys": SECRET}, "keys: expected a mapping as {www.example.org: its key}, it is a str"),
        ("he", {"keys": {"mail.example.org": SECRET}}, "keys: www.example.org has none"),
        ("he", {"keys": {"www.example.org": 1234}}, "keys: that of www.example.org is not a text; put it in quotes"),
        ("he", {"url": "http://dyn.dns.he.net/nic/update"}, "url: expected one that begins with https://"),
        ("he", {"url": f"https://u:{SECRET}@dyn.dns.he.net/"}, "url: expected one that begins with https://"),
        ("he", {"url": f"https://dyn.dns.he.net/?k={SECRET}"}, "url: expected one that begins with https://"),
        ("he", {"url": "https://dyn.dns.he.net:x/"}, "url: expected one that begins with https://"),
        ("he", {"ca": "ca.pem"}, "ca: 'ca.pem' is not the path of a file"),
        ("he", {"timeout": 0}, "timeout: 0 is not a number of seconds up to 300"),
        ("lexicon", {"provider": "gandi v5"}, "provider: 'gandi v5' is not the name of a hoster, such as gandi"),
        ("lexicon", {"options": [SECRET]}, "options: expected a mapping as {auth_token: the token}, it is a list"),
        ("lexicon", {"zone": "example.net"}, "zone: www.example.org is not in the zone example.net"),
        ("command", {"publish": "publish"}, "publish: it is not a command, as /usr/local/sbin/publish or [/usr/local"),
        ("command", {"publish": "/x 'y"}, "publish: it is not a command"),
        ("command", {"withdraw": ["/x", 1]}, "withdraw: it is not a command"),
        ("command", {"publish": None}, "publish: missing; expected a command, which gets the words NAME ADDRESS TTL"),
        ("command", {"timeout": "1m"}, "timeout: '1m' is not a number of seconds up to 3600"),
    ],
)
def test_what_is_wrong_with_the_settings(provider: str, changed: dict[str, Any], words: str) -> None:
    problems = aaaa.errors(settings(provider, **changed))
    assert [each for each in problems if each.startswith(f"{provider}:{words}")], problems
    assert SECRET not in str(problems)


def test_whatever_is_written_has_an_answer() -> None:
    for odd in ODD:
        assert isinstance(aaaa.errors(odd), list)
        for key in (*aaaa.READERS, *aaaa.PROVIDERS, "quux", odd if odd.__hash__ else "quux"):
            assert all(
                isinstance(each, str) for each in aaaa.errors(dns(**{"names": ["www.example.org"]}) | {key: odd})
            )
        for provider in SETTINGS:
            for key in aaaa.__salt__[f"aaaa_{provider}.about"]({})["keys"]:
                problems = aaaa.errors(settings(provider, **{key: odd}))
                assert all(each.startswith(f"{provider}:{key}: ") for each in problems), problems
            for inner in ("keys", "options"):
                assert isinstance(aaaa.errors(settings(provider, **{inner: {"www.example.org": odd}})), list)


def test_a_provider_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"keys": {"token": "a token"}, "required": ["token"]}
    functions = {
        "aaaa_mine.about": lambda settings: about,
        "aaaa_mine.errors": lambda settings, names: [f"token: bad for {names}"] if settings.get("token") else [],
        "aaaa_mine.change": None,
    }
    monkeypatch.setattr(aaaa, "__salt__", functions)
    own = {"provider": "mine", "names": ["WWW.example.org"]}
    assert aaaa.errors({**own, "mine": {"token": "x"}}) == ["mine:token: bad for ['www.example.org']"]
    assert aaaa.errors({**own, "mine": {}}) == ["mine:token: missing; expected a token"]


def test_without_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("dns", "dns.exception", "lexicon", "lexicon.client"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(CommandExecutionError, match="has no dnspython; install it with 'salt-pip install dnspython'"):
        aaaa.lookup("www.example.org", servers=["192.0.2.53"])
    with pytest.raises(CommandExecutionError, match="has no Lexicon; install it with 'salt-pip install dns-lexicon'"):
        aaaa_lexicon.change(SETTINGS["lexicon"], {})


def test_what_lexicon_and_its_libraries_say_is_without_the_values_of_its_options() -> None:
    said = "HTTPError: 401 for https://api.example/?token=a%2Bb%2Fc%20d&x=a+b/c d in zone 42"
    options = {"token": "a+b/c d", "id": 42}
    assert aaaa_lexicon._clean(said, options) == "HTTPError: 401 for https://api.example/?token=***&x=*** in zone 42"
