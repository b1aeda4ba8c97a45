"""What each provider says of itself, the limits of its settings, what it sends, and what it says of the answers."""

from __future__ import annotations

import contextlib
import http.client
import logging
import ssl
import sys
import types
import urllib.parse
from collections.abc import Callable
from typing import Any

import aaaa_command
import aaaa_he
import aaaa_lexicon
import aaaa_rfc2136
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.tsig
import pytest
from salt.exceptions import CommandExecutionError

NAME = "www.example.org"
ONE, TWO, THREE = "2001:db8::1", "2001:db8::2", "2001:db8::3"
KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
HE: dict[str, Any] = {"keys": {"WWW.example.org.": KEY, "mail.example.org": "other"}}
RFC2136: dict[str, Any] = {"server": "192.0.2.53", "zone": "example.org", "key_name": "host1", "key": KEY}
TSIG_NAME = dns.name.from_text("host1")
TSIG: dict[Any, Any] = {TSIG_NAME: dns.tsig.Key("host1", KEY, "hmac-sha256.")}
COMMAND: dict[str, Any] = {"publish": "/bin/publish 'a word'", "withdraw": ["/bin/dns", "withdraw"]}


def records(*addresses: str, ttl: int = 60) -> Any:
    return {"addresses": list(addresses), "ttl": ttl if addresses else None}


def edits(old: Any, new: Any, name: str = NAME) -> Any:
    return {name: {"old": old, "new": new}}


def of_pillar(monkeypatch: pytest.MonkeyPatch, provider: Any, settings: dict[str, Any]) -> None:
    monkeypatch.setattr(provider, "__pillar__", {"it": settings}, raising=False)


# --------------------------------------------------------------------------------------------------------------
# What they can do

USUAL = {"withdraws": True, "sets_ttl": True, "replaces": False, "atomic": False, "servers": [], "zone": ""}
COMMANDS = "publish withdraw publish_ptr withdraw_ptr timeout"


@pytest.mark.parametrize(
    ("found", "keys", "required", "differs"),
    [
        (aaaa_he.about({}), "keys url ca timeout", "keys", {"withdraws": False, "sets_ttl": False, "replaces": True}),
        (aaaa_command.about({}), COMMANDS, "publish", {"withdraws": False, "replaces": True}),
        (aaaa_command.about({"withdraw": "/x"}), COMMANDS, "publish", {}),
        (aaaa_lexicon.about({}), "provider zone options", "provider zone", {}),
        (
            *(aaaa_lexicon.about({"zone": "Example.ORG."}), "provider zone options", "provider zone"),
            {"zone": "example.org"},
        ),
        (
            *(aaaa_rfc2136.about({"server": "192.0.2.53"}), "server port zone key_name key algorithm"),
            *("server zone key_name key", {"atomic": True, "servers": ["192.0.2.53#53"]}),
        ),
        (
            *(aaaa_rfc2136.about({"server": "::1", "port": 5353}), "server port zone key_name key algorithm"),
            *("server zone key_name key", {"atomic": True, "servers": ["::1#5353"]}),
        ),
    ],
)
def test_what_a_provider_can_do(found: dict[str, Any], keys: str, required: str, differs: dict[str, Any]) -> None:
    assert list(found.pop("keys")) == keys.split()
    assert found.pop("required") == required.split()
    found.pop("kinds", None)
    assert {**USUAL, **found} == {**USUAL, **differs}


def test_who_can_change_ptr_records() -> None:
    assert aaaa_rfc2136.about({})["kinds"] == ["AAAA", "PTR"]
    assert "kinds" not in {**aaaa_he.about({}), **aaaa_lexicon.about({})}
    for settings, able in (({"publish": "/x", "withdraw": "/x"}, False), ({"withdraw_ptr": "/x"}, True)):
        found = aaaa_command.about(settings)["kinds"]
        assert found == {"AAAA": {}, "PTR": {"required": ["publish_ptr"], "withdraws": able, "replaces": not able}}


@pytest.mark.parametrize(
    ("provider", "key", "good", "bad"),
    [
        (aaaa_he, "timeout", [0.5, 1, 300], [0, -1, 300.1, True, "5", None]),
        (aaaa_he, "ca", ["/etc/ca.pem"], ["ca.pem", 5, ""]),
        (aaaa_he, "url", [aaaa_he.URL, "https://x.example:65535/p"], ["http://x/", "https://", 5]),
        (
            aaaa_he,
            "url",
            ["https://x"],
            ["https://u@x/", "https://x/?a", "https://x/#a", "https://x:65536/", "ftp://x/"],
        ),
        (aaaa_command, "timeout", [0.5, 3600], [0, 3600.5, True, "5"]),
        (
            aaaa_command,
            "publish",
            ["/x", "/x 'a b'", ["/x", "a b"]],
            ["x", "", [], ["/x", 1], "/x 'y", ["/x", "\0"], 5],
        ),
        (aaaa_lexicon, "provider", ["gandi", "route53"], ["a b", "", 5, "../x"]),
        (aaaa_lexicon, "options", [{}, {"auth_token": "x"}], [[], {1: "x"}, "x"]),
        (aaaa_rfc2136, "port", [1, 53, 65535], [0, 65536, True, "53"]),
        (aaaa_rfc2136, "server", ["192.0.2.53", "2001:db8::53"], ["ns1", 5, "192.0.2.53#53", ""]),
        (aaaa_rfc2136, "key_name", ["host1", "a.b-c_d.", "x" * 63], ["", "a b", "x" * 64, ".a", KEY, 5]),
        (aaaa_rfc2136, "key", [KEY, f" {KEY[:9]} {KEY[9:]}\n"], ["", KEY[1:], "%", 5]),
        (
            *(aaaa_rfc2136, "algorithm", ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]),
            ["hmac-md5", "", "HMAC-SHA256", None],
        ),
    ],
)
def test_the_limits_of_a_setting(provider: Any, key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert provider.errors({key: value}, [NAME]) == []
    for value in bad:
        (problem,) = provider.errors({key: value}, [NAME])
        assert problem.startswith(f"{key}: ")


# --------------------------------------------------------------------------------------------------------------
# A user's own command


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The words of each command that is run, and its time limit."""
    made: list[Any] = []

    def failure(words: list[str], patience: float, shown: str, hide: Any) -> str:
        made.append((words, patience))
        return ""

    monkeypatch.setattr(vars(aaaa_command)["host_commands"], "failure", failure)
    return made


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [ONE], [("publish", ONE)]),
        ([ONE], [TWO], [("publish", TWO), ("withdraw", ONE)]),
        ([ONE, TWO], [TWO, THREE], [("publish", THREE), ("withdraw", ONE)]),
        ([ONE, TWO], [], [("withdraw", ONE), ("withdraw", TWO)]),
        ([ONE], [ONE], []),
    ],
)
def test_the_calls_of_a_command(
    monkeypatch: pytest.MonkeyPatch, calls: list[Any], old: Any, new: Any, expected: list[Any]
) -> None:
    """New ones first, so that there is always one."""
    words, ttl = {"publish": ["/bin/publish", "a word"], "withdraw": ["/bin/dns", "withdraw"]}, {"publish": ["60"]}
    for settings, patience in ((COMMAND, 60.0), ({**COMMAND, "timeout": 5}, 5)):
        calls.clear()
        of_pillar(monkeypatch, aaaa_command, settings)
        aaaa_command.change("it", edits(records(*old), records(*new)))
        assert calls == [([*words[which], NAME, each, *ttl.get(which, [])], patience) for which, each in expected]


def test_another_ttl_is_published(monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> None:
    of_pillar(monkeypatch, aaaa_command, COMMAND)
    aaaa_command.change("it", edits(records(ONE), records(ONE, ttl=5)))
    assert [words for words, _ in calls] == [["/bin/publish", "a word", NAME, ONE, "5"]]


def test_a_command_that_replaces_has_nothing_to_withdraw(monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> None:
    of_pillar(monkeypatch, aaaa_command, {"publish": "/bin/publish"})
    aaaa_command.change("it", edits(records(ONE), records(TWO)))
    assert [words for words, _ in calls] == [["/bin/publish", NAME, TWO, "60"]]
    with pytest.raises(
        CommandExecutionError, match=f"{ONE} of {NAME} cannot be removed: there is no command 'withdraw'"
    ):
        aaaa_command.change("it", edits(records(ONE), records()))


def test_a_command_that_fails_is_shown_without_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    of_pillar(monkeypatch, aaaa_command, {"publish": ["/bin/sh", "-c", 'echo "no $0"; exit 3', "a-token"]})
    with pytest.raises(CommandExecutionError) as caught:
        aaaa_command.change("it", edits(records(), records(ONE)))
    assert str(caught.value) == f"publish: '/bin/sh ... {NAME} {ONE} 60' ended with 3 and said: no ***"


# --------------------------------------------------------------------------------------------------------------
# dns.he.net


def in_this_process(monkeypatch: pytest.MonkeyPatch, provider: Any) -> list[float]:
    """What a provider calls in a process of its own is called in this one; the seconds that each call would have."""
    patiences: list[float] = []

    def call(function: Callable[[], str], patience: float) -> str:
        patiences.append(patience)
        return function()

    monkeypatch.setattr(vars(provider)["host_apart"], "call", call)
    return patiences


class Service:
    """The service of dns.he.net, as http.client sees it."""

    def __init__(self, status: int = 200, text: str = f"good {ONE}", error: Exception | None = None) -> None:
        self.status, self.text, self.error = status, text, error
        self.requests: list[Any] = []
        self.closed = 0

    def __call__(self, host: str, port: int | None, timeout: float, context: ssl.SSLContext) -> Service:
        assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
        self.place = (host, port, timeout)
        return self

    def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> None:
        self.requests.append((method, path, dict(urllib.parse.parse_qsl(body)), headers["Content-Type"]))
        if self.error:
            raise self.error

    def getresponse(self) -> Service:
        return self

    def read(self, limit: int) -> bytes:
        return f"{self.text}\n".encode()[:limit]

    def close(self) -> None:
        self.closed += 1


def updated(monkeypatch: pytest.MonkeyPatch, service: Service, name: str = NAME, **settings: Any) -> str:
    """What is said of an update; nothing if it was successful."""
    monkeypatch.setattr(http.client, "HTTPSConnection", service)
    patiences = in_this_process(monkeypatch, aaaa_he)
    of_pillar(monkeypatch, aaaa_he, {**HE, **settings})
    try:
        aaaa_he.change("it", edits(records(), {"addresses": [ONE], "ttl": None}, name))
    except CommandExecutionError as error:
        return str(error).partition(" failed: ")[2]
    finally:
        assert service.closed == 1
        assert patiences == [settings.get("timeout", 30.0)]
    return ""


def test_an_update_of_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    assert updated(monkeypatch, service) == ""
    assert service.place == ("dyn.dns.he.net", None, 30.0)
    form = {"hostname": NAME, "password": KEY, "myip": ONE}
    assert service.requests == [("POST", "/nic/update", form, "application/x-www-form-urlencoded")]
    service = Service()
    assert updated(monkeypatch, service, url="https://he.example:8443", timeout=5) == ""
    assert (service.place, service.requests[0][1]) == (("he.example", 8443, 5), "/")


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, "good", ""),
        (200, f"nochg {ONE}", ""),
        (200, "good 2001:DB8:0::1", ""),
        (200, f"good {TWO}", f"it has set another address: '{TWO}'"),
        (200, "good nonsense", "it has set another address: 'nonsense'"),
        (200, "", "its answer is empty"),
        (200, "<html>", "it answers with a web page; a captive portal may be in between"),
        (200, "maybe", "it answers something unknown: 'maybe'"),
        (301, "good", "it answers with a redirect (301), which is not followed: the key would go elsewhere"),
        (300, "", "it answers with a redirect (300), which is not followed: the key would go elsewhere"),
        (399, "", "it answers with a redirect (399), which is not followed: the key would go elsewhere"),
        (400, "", "it answers 400 Bad Request"),
        (401, "", "the key is wrong, or the record is not enabled for dynamic DNS (badauth)"),
        (500, f"good {ONE}", "it answers 500 Internal Server Error"),
        (599, "", "it answers 599"),
        (200, f"maybe {KEY}", "it answers something unknown: 'maybe ***'"),
        *((status, code, f"({code})") for status in (200, 401, 500) for code in aaaa_he.ANSWERS),
    ],
)
def test_an_answer_in_words(monkeypatch: pytest.MonkeyPatch, status: int, text: str, said: str) -> None:
    found = updated(monkeypatch, Service(status, text))
    assert found.endswith(said) and bool(found) is bool(said)


def test_every_code_of_the_service_has_its_words() -> None:
    codes = "badauth nohost notfqdn !yours badip badsys badagent abuse interval dnserr 911"
    assert list(aaaa_he.ANSWERS) == codes.split()
    assert all(words.endswith(f" ({code})") for code, words in aaaa_he.ANSWERS.items())


def test_no_answer_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    untrusted = ssl.SSLCertVerificationError("x")
    untrusted.verify_message = "self-signed"
    for error, said in (
        (untrusted, "its certificate is not trusted: self-signed"),
        (TimeoutError(), "no answer in time; whether the record was changed is not known"),
        (ConnectionRefusedError("refused"), "no answer: refused"),
        (http.client.BadStatusLine(""), "no answer: "),
        (http.client.IncompleteRead(b""), "no answer: IncompleteRead"),
    ):
        assert updated(monkeypatch, Service(error=error)).startswith(said)


def test_an_internationalised_name_may_be_written_in_either_form(monkeypatch: pytest.MonkeyPatch) -> None:
    service, sent = Service(), "xn--bcher-kva.example"
    for written in ("BÜCHER.example", sent):
        assert updated(monkeypatch, service, sent, keys={written: KEY}) == ""
        assert service.requests[-1][2]["hostname"] == sent
        service.closed = 0


@pytest.mark.parametrize("addresses", [[], [ONE, TWO]])
def test_it_keeps_one_address(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    of_pillar(monkeypatch, aaaa_he, HE)
    with pytest.raises(CommandExecutionError) as caught:
        aaaa_he.change("it", edits(records(ONE), {"addresses": addresses, "ttl": None}))
    wanted = ", ".join(addresses) or "none"
    assert str(caught.value) == f"dns.he.net keeps one address for {NAME} and cannot remove it; wanted: {wanted}"


# --------------------------------------------------------------------------------------------------------------
# Dynamic update


class Server:
    """A name server that is sent an update: what it answers, or fails with; and its key, if that is another one."""

    def __init__(self, answer: Any, signed: bool = True, key: Any = None, **differs: Any) -> None:
        self.answer, self.signed, self.key, self.differs = answer, signed, key, differs
        self.got: list[Any] = []

    def __call__(self, wire: bytes, where: str, port: int, patience: float) -> bytes:
        update = dns.message.from_wire(wire, keyring=TSIG)
        self.got.append((update, where, patience, port))
        if isinstance(self.answer, Exception):
            raise self.answer
        response = dns.message.Message(self.differs.get("id", update.id))
        response.flags = self.differs.get("flags", dns.flags.QR) | dns.opcode.to_flags(dns.opcode.UPDATE)
        response.set_rcode(dns.rcode.from_text(self.answer))
        if self.signed:
            response.use_tsig(self.key or update.keyring, tsig_error=self.differs.get("tsig_error", 0))
            response.request_mac = update.mac or b""
        return response.to_wire()


def sent(monkeypatch: pytest.MonkeyPatch, server: Server, given: Any = None, **settings: Any) -> str:
    """What is said of an update."""
    monkeypatch.setattr(vars(aaaa_rfc2136)["dns_update"], "_exchanged", server)
    of_pillar(monkeypatch, aaaa_rfc2136, {**RFC2136, **settings})
    try:
        aaaa_rfc2136.change("it", edits(records(), records(ONE)) if given is None else given)
    except CommandExecutionError as error:
        return str(error)
    return ""


REFUSES = "it refuses: the key host1 may not change AAAA records of these names, or the zone takes no updates"
NOT_SIGNED = " (this answer is not signed)"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("REFUSED", REFUSES),
        ("NOTAUTH", "it is not authoritative for the zone example.org, or does not accept the key host1"),
        ("NOTZONE", "a name is not in the zone example.org"),
        ("NXRRSET", "somebody has changed the records in the meantime"),
        ("YXRRSET", "somebody has added records in the meantime"),
        ("NXDOMAIN", "somebody has removed a name in the meantime"),
        ("YXDOMAIN", "somebody has added a name in the meantime"),
        ("SERVFAIL", "it has failed; its log says why (often it cannot write its journal)"),
        ("FORMERR", "it does not understand the update"),
        ("NOTIMP", "it does not support dynamic updates"),
        ("DSOTYPENI", "the update was not carried out"),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_a_refusal_in_words(monkeypatch: pytest.MonkeyPatch, signed: bool, answer: str, said: str) -> None:
    """One that is not signed keeps its reason, and says that it is not: some servers sign no refusal."""
    if answer == "REFUSED" and not signed:
        said = (
            "it refuses: it does not know the key host1 with this secret and algorithm, or takes no updates from this"
        )
        said += " host"
    found = sent(monkeypatch, Server(answer, signed))
    assert found == f"the update of {NAME} at 192.0.2.53#53 failed: {answer}: {said}{'' if signed else NOT_SIGNED}"


BADKEY = (
    "BADKEY: it does not know the key host1 with this algorithm, or the key may not change AAAA records of these names "
    f"(Knot says the same of both){NOT_SIGNED}"
)
BADSIG = f"BADSIG: the key host1 is not the one that it has{NOT_SIGNED}"
OF_OTHERS = "its answer is not signed with the key; somebody else may have answered"
ELSE = "it answers something else; whether the records were changed is not known"


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server("NOTAUTH", tsig_error=dns.rcode.BADKEY), BADKEY),
        (Server("NOTAUTH", tsig_error=dns.rcode.BADSIG), BADSIG),
        (Server("NOTAUTH", tsig_error=dns.rcode.BADTRUNC), BADSIG),
        (
            Server("NOTAUTH", tsig_error=dns.rcode.BADTIME),
            "BADTIME: its clock and that of this host differ by more than five minutes",
        ),
        (Server("NOERROR", key=dns.tsig.Key("host1", "b3RoZXI=", "hmac-sha256.")), OF_OTHERS),
        (Server("NOERROR", key=dns.tsig.Key("host2", KEY, "hmac-sha256.")), OF_OTHERS),
        (
            Server("NOERROR", signed=False),
            "its answer is not signed; somebody else may have answered, and whether the records were changed is not "
            "known",
        ),
        (Server("NOERROR", signed=False, id=5), ELSE),
        (Server("NOERROR", signed=False, flags=0), ELSE),
        (Server(TimeoutError()), "no answer within 10 s; whether the records were changed is not known"),
        (Server(ConnectionRefusedError()), "ConnectionRefusedError"),
        (Server(EOFError("it is over")), "it is over"),
    ],
)
def test_a_failure_in_words(monkeypatch: pytest.MonkeyPatch, server: Server, said: str) -> None:
    assert sent(monkeypatch, server, port=5353) == f"the update of {NAME} at 192.0.2.53#5353 failed: {said}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (records(), records(ONE), {f"{NAME}. NONE AAAA", f"{NAME}. 60 IN AAAA {ONE}"}),
        (
            *(records(ONE, TWO), records(TWO, THREE)),
            {
                *(f"{NAME}. 0 IN AAAA {ONE}", f"{NAME}. 0 IN AAAA {TWO}"),
                *(f"{NAME}. 0 NONE AAAA {ONE}", f"{NAME}. 60 IN AAAA {THREE}"),
            },
        ),
        (
            *(records(ONE), records(ONE, ttl=5)),
            {f"{NAME}. 0 IN AAAA {ONE}", f"{NAME}. 0 NONE AAAA {ONE}", f"{NAME}. 5 IN AAAA {ONE}"},
        ),
        (records(ONE), records(), {f"{NAME}. 0 IN AAAA {ONE}", f"{NAME}. 0 NONE AAAA {ONE}"}),
    ],
)
def test_the_update_that_is_sent(monkeypatch: pytest.MonkeyPatch, old: Any, new: Any, expected: set[str]) -> None:
    """Only if the records are still those that were seen; and what stays as it is is not sent."""
    server = Server("NOERROR")
    assert sent(monkeypatch, server, edits(old, new)) == ""
    ((update, where, timeout, port),) = server.got
    assert (where, timeout, port) == ("192.0.2.53", 10.0, 53)
    assert update.zone[0].name.to_text() == "example.org."
    lines = {line for rrset in (*update.prerequisite, *update.update) for line in rrset.to_text().splitlines()}
    assert lines == expected


@pytest.mark.parametrize("algorithm", [None, "hmac-sha1", "hmac-sha224", "hmac-sha384", "hmac-sha512"])
def test_an_update_is_signed(monkeypatch: pytest.MonkeyPatch, algorithm: str | None) -> None:
    server = Server("NOERROR")
    algorithm_given = {"algorithm": algorithm} if algorithm else {}
    monkeypatch.setitem(TSIG, TSIG_NAME, dns.tsig.Key("host1", KEY, f"{algorithm or 'hmac-sha256'}."))
    assert sent(monkeypatch, server, **algorithm_given) == ""
    key = server.got[0][0].keyring
    assert (key.name.to_text(), key.algorithm.to_text()) == ("host1.", f"{algorithm or 'hmac-sha256'}.")
    assert key.secret == b"secret secret secret"


def test_nothing_is_sent_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("NOERROR")
    assert (sent(monkeypatch, server, {}), server.got) == ("", [])


# --------------------------------------------------------------------------------------------------------------
# Lexicon


LOGGERS = ("lexicon", "urllib3.connectionpool", "requests", "hoster.of.its.own")


class Hoster:
    """A hoster, as Lexicon has it."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.configs: list[Any] = []
        self.patiences: list[float] = []
        self.error: Exception | None = None
        self.listed: Any = []

    def with_dict(self, config: Any) -> Any:
        self.configs.append(config)
        return config

    def __enter__(self) -> Hoster:
        for name in LOGGERS:
            logging.getLogger(name).critical("https://hoster.example/?token=a+token%2Fx")
        logging.getLogger("salt.utils.x").error("of Salt's own")
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def create_record(self, kind: str, name: str, content: str) -> None:
        self.calls.append(("create", kind, name, content))
        if self.error:
            raise self.error

    def list_records(self, rtype: str, name: str, content: str) -> Any:
        assert (rtype, name) == ("AAAA", NAME)
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed

    def delete_record(self, rtype: str, name: str, content: str) -> None:
        self.calls.append(("delete", rtype, name, content))


@pytest.fixture
def hoster(monkeypatch: pytest.MonkeyPatch) -> Hoster:
    found = Hoster()
    client, config = types.ModuleType("lexicon.client"), types.ModuleType("lexicon.config")
    vars(client)["Client"], vars(config)["ConfigResolver"] = lambda config: found, lambda: found
    for name, module in (
        ("lexicon", types.ModuleType("lexicon")),
        ("lexicon.client", client),
        ("lexicon.config", config),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    found.patiences = in_this_process(monkeypatch, aaaa_lexicon)
    return found


LEXICON: dict[str, Any] = {
    "provider": "gandi",
    "zone": "example.org",
    "options": {"auth_token": "a token/x", "n": 5, "m": "four"},
}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (records(), records(ONE), [("create", ONE)]),
        (records(ONE, TWO), records(TWO, THREE), [("create", THREE), ("delete", ONE)]),
        (records(ONE), records(ONE, ttl=5), [("delete", ONE), ("create", ONE)]),
        (
            *(records(ONE, TWO), records(TWO, THREE, ttl=5)),
            [("delete", ONE), ("delete", TWO), ("create", TWO), ("create", THREE)],
        ),
        (records(ONE), records(), [("delete", ONE)]),
        (records(ONE), records(ONE), []),
    ],
)
def test_what_the_hoster_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, hoster: Hoster, old: Any, new: Any, expected: list[Any]
) -> None:
    """New ones first, so that there is always one; those that get another TTL are replaced."""
    of_pillar(monkeypatch, aaaa_lexicon, LEXICON)
    aaaa_lexicon.change("it", edits(old, new))
    assert hoster.calls == [(what, "AAAA", NAME, address) for what, address in expected]
    assert hoster.configs == [
        {
            **{
                "provider_name": "gandi",
                "domain": "example.org",
                "resolve_zone_name": True,
                "delegated": "example.org",
            },
            **{"ttl": new["ttl"], "gandi": {"domain": "example.org", "auth_token": "a token/x", "n": 5, "m": "four"}},
        }
    ]
    assert hoster.patiences == [60.0]


RIGHT = {"id": 5, "type": "AAAA", "name": NAME, "content": ONE, "ttl": 60}


@pytest.mark.parametrize(
    ("listed", "good"),
    [
        ([RIGHT], True),
        ([], True),
        ([{**RIGHT, "name": "WWW.example.org.", "content": "2001:DB8:0::1"}], True),
        ([{**RIGHT, "name": "www"}], True),
        ([{**RIGHT, "content": [ONE, TWO]}], True),
        ([{"id": 5}], True),
        (NotImplementedError(), True),
        ([RIGHT, {**RIGHT, "type": "TXT", "content": "x"}], False),
        ([RIGHT, {**RIGHT, "type": "A", "content": "192.0.2.1"}], False),
        ([{**RIGHT, "content": TWO}], False),
        ([{**RIGHT, "name": "mail.example.org"}], False),
        ([{**RIGHT, "name": "@"}], False),
        ([{**RIGHT, "content": "-"}], False),
    ],
)
def test_nothing_else_is_deleted(monkeypatch: pytest.MonkeyPatch, hoster: Hoster, listed: Any, good: bool) -> None:
    """Most hosters' plug-ins delete whatever they list for a type, a name and an address."""
    of_pillar(monkeypatch, aaaa_lexicon, LEXICON)
    hoster.listed = listed
    if good:
        aaaa_lexicon.change("it", edits(records(ONE), records()))
    else:
        with pytest.raises(CommandExecutionError, match="ValueError: it would also delete the record .*; nothing was"):
            aaaa_lexicon.change("it", edits(records(ONE), records()))
    assert bool(hoster.calls) is good


def test_a_hoster_that_lexicon_does_not_know() -> None:
    def errors(provider: str) -> list[str]:
        return aaaa_lexicon.errors({"provider": provider, "zone": "example.org"}, [NAME])

    assert errors("gandi") == errors("ddns") == errors("route53") == []
    assert errors("gandhi") == ["provider: 'gandhi' is not a hoster that Lexicon knows; did you mean gandi?"]
    (told,) = errors("base")
    assert told.startswith("provider: 'base' is not a hoster that Lexicon knows; expected one of aliyun, ")


def test_without_lexicon_no_hoster_is_judged(monkeypatch: pytest.MonkeyPatch, hoster: Hoster) -> None:
    """The run may install it first."""
    monkeypatch.setitem(sys.modules, "lexicon.providers", None)
    monkeypatch.setitem(sys.modules, "lexicon._private.providers", None)
    assert aaaa_lexicon.errors({"provider": "gandhi", "zone": "example.org"}, [NAME]) == []


def test_what_the_hosters_libraries_log_is_kept_nowhere(
    monkeypatch: pytest.MonkeyPatch, hoster: Hoster, caplog: pytest.LogCaptureFixture
) -> None:
    """They log URLs, which may have the credential in them. What is logged before and afterwards is, and Salt's own."""
    of_pillar(monkeypatch, aaaa_lexicon, LEXICON)
    for error in (None, ValueError("x")):
        caplog.clear()
        hoster.error = error
        logging.getLogger(LOGGERS[0]).error("before")
        with contextlib.suppress(CommandExecutionError):
            aaaa_lexicon.change("it", edits(records(), records(ONE)))
        logging.getLogger(LOGGERS[0]).error("afterwards")
        assert caplog.messages == ["before", "of Salt's own", "afterwards"]


def test_what_the_hoster_says_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch, hoster: Hoster) -> None:
    of_pillar(monkeypatch, aaaa_lexicon, LEXICON)
    hoster.error = ValueError("no a token/x, a%20token%2Fx, a+token%2Fx, four; 5 times")
    with pytest.raises(CommandExecutionError) as caught:
        aaaa_lexicon.change("it", edits(records(), records(ONE)))
    assert str(caught.value) == f"the update of {NAME} by gandi failed: ValueError: no ***, ***, ***, ***; 5 times"
