"""The pillar `ipv6:dns`, and what is asked of a provider."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import _dualstack_dns_settings as dns_settings
import _dualstack_plugins as plugins
import aaaa
import aaaa_command
import aaaa_he
import aaaa_lexicon
import aaaa_rfc2136
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

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


PROVIDERS: dict[str, Any] = {
    "command": aaaa_command,
    "he": aaaa_he,
    "lexicon": aaaa_lexicon,
    "rfc2136": aaaa_rfc2136,
}


def errors(dns: Any) -> list[str]:
    return dns_settings.errors(dns, PROVIDERS)


def dns(provider: str = "rfc2136", /, **changed: Any) -> dict[str, Any]:
    """A pillar that is right, but for what is changed."""
    right = {"provider": provider, "names": ["www.example.org"], provider: SETTINGS[provider]}
    return {**right, **changed}


def settings(provider: str, /, **changed: Any) -> dict[str, Any]:
    """The same, changed in the settings of the provider."""
    return dns(provider, **{provider: {**SETTINGS[provider], **changed}})


@pytest.mark.parametrize("provider", SETTINGS)
def test_what_is_right(provider: str) -> None:
    assert errors(dns(provider)) == []
    everything = {
        **{"names": ["www.example.org", "MAIL.example.org."], "address": "2001:470:1f13:f87::77", "ttl": 0},
        **{"exclusive": True, "withdraw_when_broken": False, "servers": ["192.0.2.53", "127.0.0.1#5353", "::1#53"]},
        **{"deadline": 0.5, "he": {"keys": dict.fromkeys(["www.example.org", "mail.example.org"], SECRET)}},
    }
    assert errors({**dns(provider), **everything}) == []
    assert errors(dns(provider, address=None, servers=[], ttl=None)) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"names": ["x y"]}, "names: 'x y' is not a host name with its domain, as in www.example.org"),
        ({"names": ["www"]}, "names: 'www' is not a host name with its domain, as in www.example.org"),
        ({"names": ["-a.example.org"]}, "names: '-a.example.org' is not a host name"),
        ({"names": ["192.0.2.1"]}, "names: '192.0.2.1' is not a host name"),
        ({"names": ["a" * 64 + ".example.org"]}, "names: 'aaaa"),
        ({"names": ["b☃.example.org"]}, "names: 'b☃.example.org' is not a host name with its domain, as in"),
        ({"names": ["www.example.org", "WWW.example.org."]}, "names: 'www.example.org' is listed twice"),
        ({"names": "www.example.org"}, "names: expected a list of host names, such as [www.example.org], found "),
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
        *(
            ({"address": each}, f"address: '{each}' is not a global IPv6 unicast address")
            for each in ("fd00::1", "fec0::1", "ff0e::1", "64:ff9b::192.0.2.1", "::", "2001:db8::1%eth0")
        ),
        (
            {"address": "2001:470:1f13:f87::"},
            "address: '2001:470:1f13:f87::' is a prefix, and as an address that of any of its routers; expected an",
        ),
        ({"address": "fe80::1"}, "address: 'fe80::1' is not a global IPv6 unicast address"),
        ({"address": "::ffff:192.0.2.1"}, "address: '::ffff:192.0.2.1' is not a global IPv6 unicast address"),
        ({"ttl": True}, "ttl: True is not a whole number of seconds from 0 to 2147483647"),
        ({"ttl": 2**31}, "ttl: 2147483648 is not a whole number"),
        ({"exclusive": "yes"}, "exclusive: 'yes' is not true or false"),
        ({"withdraw_when_broken": 1}, "withdraw_when_broken: 1 is not true or false"),
        (
            {"servers": ["ns1.example.org"]},
            "servers: 'ns1.example.org' is not the address of a name server, such as 192.",
        ),
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
    (problem,) = [each for each in errors(dns(**changed)) if each.startswith(words)]
    assert SECRET not in problem


@pytest.mark.parametrize(
    ("provider", "changed", "words"),
    [
        ("rfc2136", {"server": "ns1.example.org"}, "server: 'ns1.example.org' is not an IP address"),
        ("rfc2136", {"server": None}, "server: missing; expected the address of the zone's primary server"),
        ("rfc2136", {"port": 0}, "port: 0 is not a port from 1 to 65535"),
        ("rfc2136", {"zone": "x y"}, "zone: 'x y' is not the name of a zone, as in example.org"),
        ("rfc2136", {"key_name": SECRET}, "key_name: it is not the name of a key, such as host1"),
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
        ("he", {"keys": SECRET}, "keys: expected a mapping such as {www.example.org: its key}, found a str"),
        ("he", {"keys": {"mail.example.org": SECRET}}, "keys: www.example.org has none"),
        ("he", {"keys": {"www.example.org": 1234}}, "keys: that of www.example.org is not a text; put it in quotes"),
        ("he", {"url": "http://dyn.dns.he.net/nic/update"}, "url: expected an https:// URL"),
        ("he", {"url": f"https://u:{SECRET}@dyn.dns.he.net/"}, "url: expected an https:// URL"),
        ("he", {"url": f"https://dyn.dns.he.net/?k={SECRET}"}, "url: expected an https:// URL"),
        ("he", {"url": "https://dyn.dns.he.net:x/"}, "url: expected an https:// URL"),
        ("he", {"ca": "ca.pem"}, "ca: 'ca.pem' is not the path of a file"),
        ("he", {"timeout": 0}, "timeout: 0 is not a number of seconds up to 300"),
        ("lexicon", {"provider": "gandi v5"}, "provider: 'gandi v5' is not the name of a hoster, such as gandi"),
        ("lexicon", {"options": [SECRET]}, "options: expected a mapping such as {auth_token: TOKEN}, found a list"),
        ("lexicon", {"zone": "example.net"}, "zone: www.example.org is not in the zone example.net"),
        (
            "command",
            {"publish": "publish"},
            "publish: it is not a command such as /usr/local/sbin/publish or [/usr/local",
        ),
        ("command", {"publish": "/x 'y"}, "publish: it is not a command"),
        ("command", {"withdraw": ["/x", 1]}, "withdraw: it is not a command"),
        ("command", {"publish": None}, "publish: missing; expected a command, which gets the words NAME ADDRESS TTL"),
        ("command", {"timeout": "1m"}, "timeout: '1m' is not a number of seconds up to 3600"),
    ],
)
def test_what_is_wrong_with_the_settings(provider: str, changed: dict[str, Any], words: str) -> None:
    problems = errors(settings(provider, **changed))
    assert [each for each in problems if each.startswith(f"{provider}:{words}")], problems
    assert SECRET not in str(problems)


def test_whatever_is_written_has_an_answer() -> None:
    for odd in ODD:
        assert isinstance(errors(odd), list)
        for key in (*dns_settings.KEYS, *PROVIDERS, "quux", odd if odd.__hash__ else "quux"):
            assert all(isinstance(each, str) for each in errors(dns(**{"names": ["www.example.org"]}) | {key: odd}))
        for provider in SETTINGS:
            for key in PROVIDERS[provider].about({})["keys"]:
                problems = errors(settings(provider, **{key: odd}))
                assert all(each.startswith(f"{provider}:{key}: ") for each in problems), problems
            for inner in ("keys", "options"):
                assert isinstance(errors(settings(provider, **{inner: {"www.example.org": odd}})), list)


def test_a_provider_of_the_users_own() -> None:
    about = {"keys": {"token": "a token"}, "required": ["token"]}
    functions: dict[str, Any] = {
        "aaaa_mine.about": lambda settings: about,
        "aaaa_mine.errors": lambda settings, names: [f"token: bad for {names}"] if settings.get("token") else [],
        "aaaa_mine.change": None,
    }
    providers = plugins.providers(functions)
    own = {"provider": "mine", "names": ["WWW.example.org"]}
    assert dns_settings.errors({**own, "mine": {"token": "x"}}, providers) == [
        "mine:token: bad for ['www.example.org']"
    ]
    assert dns_settings.errors({**own, "mine": {}}, providers) == ["mine:token: missing; expected a token"]


def test_without_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("dns", "dns.exception", "lexicon", "lexicon.client"):
        monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(aaaa_lexicon, "__pillar__", {"ipv6": {"dns": SETTINGS}}, raising=False)
    with pytest.raises(CommandExecutionError, match="has no dnspython; install it with 'salt-pip install dnspython'"):
        aaaa.lookup("www.example.org", servers=["192.0.2.53"])
    with pytest.raises(CommandExecutionError, match="has no Lexicon; install it with 'salt-pip install dns-lexicon'"):
        aaaa_lexicon.change("ipv6:dns:lexicon", {})


def test_what_lexicon_and_its_libraries_say_is_without_the_values_of_its_options() -> None:
    said = "HTTPError: 401 for https://api.example/?token=a%2Bb%2Fc%20d&x=a+b/c d in zone 42"
    options = {"token": "a+b/c d", "id": 42}
    assert aaaa_lexicon._clean(said, options) == "HTTPError: 401 for https://api.example/?token=*** in zone 42"


# --------------------------------------------------------------------------------------------------------------
# What a state is asked for


ADDRESS, OTHER = "2001:db8:1::77", "2001:db8:1::66"


def wish(given: dict[str, Any], key: str | None = "ipv6:dns", /, **parts: Any) -> dns_settings.Wish:
    """The wish of a state with a pillar that is right, but for what is changed."""
    given = {**dict.fromkeys(("names", "address", "provider", "ttl", "servers", "deadline", "credentials")), **given}
    return dns_settings.wish("The names", given, key, {"ipv6": {"dns": dns(address=ADDRESS), **parts}}, PROVIDERS)


def refusal(given: dict[str, Any], key: str | None = "ipv6:dns", /, **parts: Any) -> str:
    with pytest.raises(SaltInvocationError) as error:
        wish(given, key, **parts)
    return str(error.value)


def test_a_wish_of_the_pillar() -> None:
    pillar = dns(address=ADDRESS, ttl=60, exclusive=True, servers=["192.0.2.53"], deadline=5)
    found = wish({}, dns={**pillar, "names": ["WWW.example.org."]})
    assert found[:6] == (["www.example.org"], ADDRESS, 60, True, ["192.0.2.53"], 5)
    assert (found.provider, found.credentials) == ("rfc2136", "ipv6:dns:rfc2136")
    assert found.about["servers"] == ["192.0.2.53#53"]


def test_a_wish_of_the_pillar_leaves_the_same_open_as_one_of_arguments() -> None:
    given = {"names": ["www.example.org"], "address": ADDRESS}
    assert wish({})._replace(place="") == wish(given, None)
    assert wish({})[2:6] == (3600, False, None, 60)


def test_the_pillar_may_have_it_elsewhere() -> None:
    site = {"dns": dns(rfc2136={**SETTINGS["rfc2136"], "port": 5353}), "tunnel": {"address": f"{OTHER}/64"}}
    found = dns_settings.wish("x", {"ttl": None}, "our:site:dns", {"our": {"site": site}}, PROVIDERS)
    assert (found.address, found.credentials) == (OTHER, "our:site:dns:rfc2136")
    assert (found.about["servers"], found.place) == (["192.0.2.53#5353"], "our:site:dns:")


def test_arguments_win_over_the_pillar() -> None:
    pillar = dns(address=ADDRESS, ttl=60, deadline="soon", lexicon=SETTINGS["lexicon"])
    given = {"names": ["mail.example.org"], "address": OTHER, "provider": "lexicon", "ttl": 0, "deadline": 1}
    found = wish(given, dns=pillar)
    assert found[:6] == (["mail.example.org"], OTHER, 0, False, None, 1)
    assert (found.provider, found.credentials) == ("lexicon", "ipv6:dns:lexicon")


def test_the_address_that_is_published() -> None:
    tunnel = {"address": "2001:db8:1::2/64", "addresses": ["2001:db8:2::1/64"]}
    assert wish({}, tunnel=tunnel).address == ADDRESS
    assert wish({}, dns=dns(), tunnel=tunnel).address == "2001:db8:2::1"
    assert wish({}, dns=dns(address=None), tunnel={"address": "2001:db8:1::2/64"}).address == "2001:db8:1::2"
    assert wish({}, dns=dns()).address is None
    assert wish({"names": ["www.example.org"]}, None).address is None


@pytest.mark.parametrize(
    ("given", "changed", "words"),
    [
        ({}, {"names": None}, "ipv6:dns:names: missing; expected a list of host names"),
        ({}, {"names": "www.example.org"}, "ipv6:dns:names: expected a list of host names, such as [www.example"),
        ({}, {"provider": "bind"}, "ipv6:dns:provider: 'bind' is not a provider that is known; expected one of comm"),
        ({}, {"provider": None}, "ipv6:dns:provider: missing; expected one of command, he, lexicon, rfc2136"),
        ({}, {"provider": ["x"]}, "ipv6:dns:provider: a list is not a provider"),
        ({}, {"ttl": "1h"}, "ipv6:dns:ttl: '1h' is not a whole number of seconds"),
        ({}, {"adress": ADDRESS}, "ipv6:dns:adress: unknown key; did you mean address?"),
        ({}, {"rfc2136": None}, "ipv6:dns:rfc2136: missing; expected a mapping with server, port, zone"),
        ({}, {"rfc2136": {**SETTINGS["rfc2136"], "port": 0}}, "ipv6:dns:rfc2136:port: 0 is not a port from 1"),
        ({"credentials": "ipv6:other"}, {}, "ipv6:other:zone: www.example.org is not in the zone example.net"),
        ({"credentials": "ipv6:none"}, {}, "credentials: the pillar has nothing under ipv6:none; expected the settin"),
        ({"names": "www.example.org"}, {}, "records: expected a list of host names, such as [www.example.org], found "),
        ({"ttl": -1}, {"ttl": 60}, "ttl: -1 is not a whole number of seconds"),
        ({"provider": "he"}, {}, "ipv6:dns:he: missing; expected a mapping with keys"),
    ],
)
def test_errors_in_a_wish(given: dict[str, Any], changed: dict[str, Any], words: str) -> None:
    other = {**SETTINGS["rfc2136"], "zone": "example.net"}
    assert refusal(given, dns=dns(address=ADDRESS, **changed), other=other).startswith(words)


def test_every_error_of_a_wish_is_reported_at_once() -> None:
    said = refusal({"deadline": 0}, dns=dns(ttl="1h", rfc2136={**SETTINGS["rfc2136"], "port": 0}))
    assert [each.split(": ")[0] for each in said.split("\n")] == ["ipv6:dns:ttl", "deadline", "ipv6:dns:rfc2136:port"]


@pytest.mark.parametrize("key", ["", "ipv6", "ipv6:dnz", "ipv6:dns:names", ["ipv6:dns"], {"key": SECRET}, 5])
def test_a_key_of_the_pillar_that_leads_nowhere(key: Any) -> None:
    for argument, said in {
        "pillar": refusal({}, key),
        "credentials": refusal({"credentials": key, "names": ["www.example.org"]}, None),
    }.items():
        assert SECRET not in said
        assert re.search("expected a mapping in|expected the settings|unknown key", said) or said.startswith(
            f"{argument}: expected a key of the pillar, such as ipv6:dns, found a"
        )


def test_to_withdraw_a_wrong_ttl_does_not_matter() -> None:
    given = dict.fromkeys(("names", "address", "provider", "exclusive", "servers", "deadline", "credentials"))
    pillar = {"ipv6": {"dns": dns(ttl="1h")}}
    assert dns_settings.wish("x", given, "ipv6:dns", pillar, PROVIDERS).names == ["www.example.org"]


# --------------------------------------------------------------------------------------------------------------
# Providers that are not what they have to be


def broken(**functions: Any) -> list[str]:
    """What is said of a provider with these functions, which may raise or be missing."""
    providers = plugins.providers({f"aaaa_mine.{name}": function for name, function in functions.items()})
    return dns_settings.errors({"provider": "mine", "names": ["www.example.org"], "mine": {"key": SECRET}}, providers)


def fails(*arguments: Any) -> Any:
    """A function with a mistake in it, whose error has the secret in it."""
    return int(str(arguments))


def test_a_provider_without_its_functions() -> None:
    about = {"keys": {"key": "a key"}}
    assert broken(about=lambda settings: about, errors=lambda settings, names: None) == []
    assert broken(about=lambda settings: {}, errors=lambda settings, names: []) == [
        "mine:key: unknown key; expected one of "
    ]
    assert broken(change=None) == [
        "provider: mine cannot be used: the module aaaa_mine has no function about, or could not be loaded"
    ]
    assert broken(about=lambda settings: about) == [
        "provider: mine cannot be used: the module aaaa_mine has no function errors, or could not be loaded"
    ]


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ({"about": fails}, "a function of the module aaaa_mine fails (ValueError)"),
        ({"about": lambda: {}}, "a function of the module aaaa_mine fails (TypeError)"),
        ({"about": lambda settings: None}, "its function about returns nothing, not a mapping"),
        ({"about": lambda settings: {"keys": ["key"]}}, "its function about has a list for keys"),
        ({"about": lambda settings: {"required": "key"}}, "its function about has a str for required"),
        ({"about": lambda settings: {"atomic": 1}}, "its function about has an int for atomic"),
        (
            {"about": lambda settings: {"keys": {"key": ""}}, "errors": fails},
            "a function of the module aaaa_mine fails (ValueError)",
        ),
    ],
)
def test_a_provider_with_a_mistake_in_it(functions: dict[str, Any], words: str) -> None:
    functions = {"errors": lambda settings, names: [], **functions}
    assert broken(**functions) == [f"provider: mine cannot be used: {words}"]


def test_a_provider_whose_servers_are_none() -> None:
    functions: Any = {"about": lambda settings: {"servers": ["ns1"]}, "errors": lambda settings, names: []}
    providers = plugins.providers({f"aaaa_mine.{name}": function for name, function in functions.items()})
    given = {"names": ["www.example.org"], "provider": "mine"}
    with pytest.raises(CommandExecutionError, match="has a wrong server: 'ns1' is not the address of a name server"):
        dns_settings.wish("x", given, None, {"ipv6": {"dns": {"mine": {}}}}, providers)


@pytest.mark.parametrize("value", [None, 5, "x"])
def test_what_is_no_pillar_of_dns(value: Any) -> None:
    kind = {"NoneType": "nothing", "int": "an int", "str": "a str"}[type(value).__name__]
    keys = ", ".join(dns_settings.KEYS)
    assert errors(value) == [f": expected a mapping with {keys}, found {kind}"]
    assert errors([dns(), value]) == [f"[1]: expected a mapping with {keys}, found {kind}"]
    assert errors([]) == [f": expected a mapping with {keys}, or a list of such mappings, found an empty list"]


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        *(("keys", value, kind) for value, kind in (([], "a list"), (None, "nothing"))),
        *((key, value, kind) for key in ("required", "servers") for value, kind in (("x", "a str"), ({}, "a dict"))),
        *(
            (key, value, kind)
            for key in ("withdraws", "sets_ttl", "replaces", "atomic")
            for value, kind in ((1, "an int"), (None, "nothing"), ("yes", "a str"))
        ),
    ],
)
def test_a_provider_that_says_something_odd_of_itself(key: str, value: Any, kind: str) -> None:
    odd: Any = types.SimpleNamespace(about=lambda _: {key: value}, errors=lambda *_: [])
    assert dns_settings.errors({"provider": "odd", "names": ["www.example.org"], "odd": {}}, {"odd": odd}) == [
        f"provider: odd cannot be used: its function about has {kind} for {key}"
    ]


def test_what_a_provider_can_do_that_says_nothing_of_itself() -> None:
    plain: Any = types.SimpleNamespace(about=lambda _: {}, errors=lambda *_: [])
    given = {"provider": "plain", "address": "2001:db8::1"}
    found = dns_settings.wish("www.example.org", given, None, {"ipv6": {"dns": {"plain": {}}}}, {"plain": plain})
    assert found.about == {
        **{"keys": {}, "required": [], "withdraws": True, "sets_ttl": True, "replaces": False},
        **{"atomic": False, "servers": [], "zone": "", "kinds": ["AAAA"]},
    }
    assert (found.names, found.ttl, found.exclusive, found.deadline) == (["www.example.org"], 3600, False, 60)


@pytest.mark.parametrize(("length", "good"), [(253, True), (254, False)])
def test_how_long_a_name_may_be(length: int, good: bool) -> None:
    name = f"{'a' * 61}." * 4
    name += "b" * (length - len(name))
    assert len(name) == length
    assert (errors(dns("command", names=[name])) == []) is good
    assert (errors(dns("command", names=[f"{name}."])) == []) is good


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("ttl", [0, 1, 2**31 - 1], [-1, 2**31, 1.0, "60", True]),
        ("deadline", [0.1, 1, 3600], [0, -1, 3600.1, "60", True]),
        ("servers", [["192.0.2.53#1"], ["192.0.2.53#65535"]], [["192.0.2.53#0"], ["192.0.2.53#x"], [5], {}]),
        ("exclusive", [True, False], [0, 1, "true"]),
        ("withdraw_when_broken", [True, False], [0, 1, "true"]),
    ],
)
def test_the_limits_of_a_value(key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert errors(dns(**{key: value})) == []
    for value in bad:
        (problem,) = errors(dns(**{key: value}))
        assert problem.startswith(f"{key}: ")
