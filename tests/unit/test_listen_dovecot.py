"""Dovecot's configuration: read as Dovecot reads it, and changed in nothing but the words that say where it listens."""

from __future__ import annotations

import fnmatch
import random
from typing import Any

import listen_dovecot
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/dovecot/dovecot.conf"
MASTER = "/etc/dovecot/conf.d/10-master.conf"
LOCAL = "/etc/dovecot/local.conf"
IMAPD = "/usr/share/dovecot/protocols.d/imapd.protocol"

# As Debian 12 ships them, without most of their comments. Its real validator read all of the forms below.
DEBIAN = {
    MAIN: """\
## Dovecot configuration file

# '#' character and everything after it is treated as comments. Extra spaces
# and tabs are ignored. If you want to use either of these explicitly, put the
# value inside quotes, eg.: key = "# char and trailing whitespace  "

# Enable installed protocols
!include_try /usr/share/dovecot/protocols.d/*.protocol

# A comma separated list of IPs or hosts where to listen in for connections.
# "*" listens in all IPv4 interfaces, "::" listens in all IPv6 interfaces.
#listen = *, ::

dict {
  #quota = mysql:/etc/dovecot/dovecot-dict-sql.conf.ext
}

!include conf.d/*.conf

# A config file can also tried to be included without giving an error if
# it's not found:
!include_try local.conf
""",
    IMAPD: "protocols = $protocols imap\n",
    MASTER: """\
service imap-login {
  inet_listener imap {
    #port = 143
  }
  inet_listener imaps {
    #port = 993
    #ssl = yes
  }
  #service_count = 1
}

service lmtp {
  unix_listener lmtp {
    #mode = 0666
  }

  # Create inet listener only if you can't use the above UNIX socket
  #inet_listener lmtp {
    # Avoid making LMTP visible for the entire internet
    #address =
    #port =
  #}
}
""",
}
BOTH = [(143, "0.0.0.0"), (143, "::"), (993, "0.0.0.0"), (993, "::")]
VERSION = "dovecot_config_version = 2.4.1\n"


def host(texts: dict[str, str] | str) -> dict[str, Any]:
    """What the files look like to the module, on a host that has these."""
    files = {MAIN: texts} if isinstance(texts, str) else texts
    return {
        path: {
            "text": text,
            "includes": [
                sorted(each for each in files if fnmatch.fnmatchcase(each, pattern))
                for pattern in listen_dovecot.includes(path, text)
            ],
        }
        for path, text in files.items()
    }


def converged(texts: dict[str, str] | str, **options: Any) -> dict[str, str]:
    """All files after the change, which a second one must leave as they are."""
    files = {MAIN: texts} if isinstance(texts, str) else texts
    changed = listen_dovecot.dual_stack(host(files), options)
    assert changed["bindv6only"] is None
    result = {**files, **changed["files"]}
    assert all(files[path] != text for path, text in changed["files"].items())
    assert listen_dovecot.dual_stack(host(result), options)["files"] == {}
    return result


def one(text: str, **options: Any) -> str:
    return converged(text, **options)[MAIN]


def notes(text: str) -> list[str]:
    found: list[str] = listen_dovecot.dual_stack(host(text), {})["notes"]
    return found


def sockets(texts: dict[str, str] | str) -> list[tuple[int | None, str]]:
    return [(each["port"], each["address"]) for each in listen_dovecot.listeners(host(texts))]


def block(*lines: str, service: str = "imap-login", name: str = "imap") -> str:
    return "\n".join([f"service {service} {{", f"  inet_listener {name} {{", *lines, "  }", "}", ""])


def test_what_debian_ships_is_dual_stack_already() -> None:
    assert sockets(DEBIAN) == BOTH
    nothing: dict[str, Any] = {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    assert listen_dovecot.dual_stack(host(DEBIAN), {}) == nothing


def test_every_socket_is_of_one_family_only() -> None:
    first, second = listen_dovecot.listeners(host(DEBIAN))[:2]
    assert first == {
        "port": 143,
        "transport": "tcp",
        "protocol": "imap",
        "address": "0.0.0.0",
        "v6only": None,
        "file": MAIN,
        "line": 0,
        "note": "",
    }
    assert second == {**first, "address": "::", "v6only": True}


def test_the_default_is_written_out_on_demand() -> None:
    result = converged(DEBIAN, explicit=True)
    assert result == {**DEBIAN, MAIN: DEBIAN[MAIN] + "listen = *, [::]\n"}
    assert sockets(result) == BOTH
    assert one("", explicit=True) == "listen = *, [::]\n"
    assert one("ssl = no", explicit=True) == "ssl = no\nlisten = *, [::]\n"
    assert one("ssl = no\r\n", explicit=True) == "ssl = no\r\nlisten = *, [::]\r\n"
    assert one("listen = * ::\n", explicit=True) == "listen = * ::\n"


@pytest.mark.parametrize(
    "value", ["*, ::", "*, [::]", "* ::", ":: *", "0.0.0.0, [::]", '"*, ::"', "'::,*'", "*,::  # both"]
)
def test_an_equivalent_value_stays_as_it_is(value: str) -> None:
    assert one(f"listen = {value}\n") == f"listen = {value}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("listen = *\n", "listen = *, [::]\n"),
        ("listen = ::\n", "listen = *, [::]\n"),
        ("listen = [::]\n", "listen = *, [::]\n"),
        ("listen = 0.0.0.0\n", "listen = *, [::]\n"),
        ("listen=*\n", "listen=*, [::]\n"),
        ("\tlisten\t=  *  # IPv4\r\nssl = no\r\n", "\tlisten\t=  *, [::]  # IPv4\r\nssl = no\r\n"),
        ("listen = *#IPv4", "listen = *, [::]#IPv4"),
        ('listen = "*"\n', 'listen = "*, [::]"\n'),
        ("listen = '*' # it's\n", "listen = '*, [::]' # it's\n"),
        ("listen = \\\n  *\n", "listen = \\\n  *, [::]\n"),
        ("listen = *, 192.0.2.1\n", "listen = *, 192.0.2.1, [::]\n"),
        ("listen = * 192.0.2.1\n", "listen = * 192.0.2.1 [::]\n"),
        ("listen = *, \\\n  192.0.2.1 # c\n", "listen = *, \\\n  192.0.2.1, [::] # c\n"),
        ("listen = ::, 2001:db8::1\n", "listen = ::, 2001:db8::1, *\n"),
        ("listen = *\nlisten = $listen 192.0.2.1\n", "listen = *\nlisten = $listen 192.0.2.1 [::]\n"),
        ("listen = *\nlisten = $listen\n", "listen = *\nlisten = $listen [::]\n"),
        ("login_greeting = \udce9 \x80\nlisten = *\n", "login_greeting = \udce9 \x80\nlisten = *, [::]\n"),
    ],
)
def test_one_family_becomes_two(before: str, after: str) -> None:
    assert one(before) == after


def test_the_assignment_that_wins_is_changed_where_it_stands() -> None:
    early = {**DEBIAN, MAIN: "listen = *\n" + DEBIAN[MAIN]}
    assert converged(early) == {**DEBIAN, MAIN: "listen = *, [::]\n" + DEBIAN[MAIN]}
    late = {**early, MASTER: DEBIAN[MASTER] + "listen = ::\n"}
    assert converged(late) == {**early, MASTER: DEBIAN[MASTER] + "listen = *, [::]\n"}
    overruled = {**late, LOCAL: "listen = *, ::\n"}
    assert converged(overruled) == overruled
    last = {**overruled, MAIN: overruled[MAIN] + "listen = *\n"}
    assert converged(last) == {**overruled, MAIN: overruled[MAIN] + "listen = *, [::]\n"}


def test_files_of_one_include_are_read_in_the_order_of_their_names() -> None:
    first, second = "/etc/dovecot/conf.d/10-a.conf", "/etc/dovecot/conf.d/20-b.conf"
    texts = {MAIN: "!include conf.d/*.conf\n", first: "listen = *\n", second: "listen = 0.0.0.0\n"}
    assert converged(texts) == {**texts, second: "listen = *, [::]\n"}


def test_all_other_lines_stay_byte_by_byte() -> None:
    texts = {**DEBIAN, MASTER: DEBIAN[MASTER].replace("#port = 143", "address = 0.0.0.0 # no IPv6 ") + "\r\n\t\n"}
    before, after = texts[MASTER].split("\n"), converged(texts)[MASTER].split("\n")
    changed = [(old, new) for old, new in zip(before, after) if old != new]
    assert changed == [("    address = 0.0.0.0 # no IPv6 ", "    address = *, [::] # no IPv6 ")]
    assert len(before) == len(after)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("127.0.0.1", ["`127.0.0.1` is loopback"]),
        ("127.0.0.1, [::1]", ["`127.0.0.1` is loopback", "`[::1]` is loopback"]),
        ("localhost", ["`localhost` is loopback"]),
        ("ip6-localhost", ["`ip6-localhost` is loopback"]),
        ("192.0.2.1", ["`192.0.2.1` is a specific address"]),
        ("mail.example.org", ["`mail.example.org` is a host name"]),
        ("$ENV:ADDRESS", ["`$ENV:ADDRESS` is a macro"]),
        ("*, ::1", ["`[::]` cannot be bound to the same port beside `::1`"]),
        ("192.0.2.1 ::", ["`*` cannot be bound to the same port beside `192.0.2.1`"]),
        ("*, mail.example.org", ["`[::]` cannot be bound to the same port beside `mail.example.org`"]),
    ],
)
def test_what_a_user_chose_is_left_alone_and_reported(value: str, expected: list[str]) -> None:
    for text in (f"listen = {value}\n", block(f"address = {value}")):
        assert one(text) == text
        told = notes(text)
        assert len(told) == len(expected)
        assert all(sign in note and note.startswith(f"{MAIN}:") for sign, note in zip(expected, told))


def test_an_address_of_its_own_is_widened() -> None:
    text = "listen = 127.0.0.1\n" + block("address = *", "port = 10143")
    assert one(text) == "listen = 127.0.0.1\n" + block("address = *, [::]", "port = 10143")
    assert (10143, "::") in sockets(one(text))
    assert (993, "127.0.0.1") in sockets(text)


def test_a_block_that_is_written_twice_is_one() -> None:
    text = block("address = *") + block("address = 127.0.0.1", name='"imap"')
    assert one(text) == text
    assert (143, "127.0.0.1") in sockets(text)
    assert "service/imap-login/inet_listener/imap/address = *, [::]" in one(
        text + "service/imap-login/inet_listener/imap/address = *\n"
    )


def test_a_listener_without_a_port_is_no_listener() -> None:
    text = block("address = *", "port = 0") + block("address = *", service="lmtp", name="lmtp")
    assert one(text) == text
    assert 143 not in [port for port, _ in sockets(text)]


def test_a_block_without_a_name_is_another_one_each_time() -> None:
    text = block("port = 1", "address = *", service="doveadm", name="") + block("port = 2", service="doveadm", name="")
    assert [each for each in sockets(text) if each[0] in (1, 2)] == [(1, "0.0.0.0"), (2, "0.0.0.0"), (2, "::")]


def test_two_blocks_that_share_the_families_of_a_port_stay() -> None:
    six = block("address = ::", "port = 143", name="imap6")
    split = "protocols = imap\nssl = no\n" + block("address = *") + six
    assert one(split) == split and notes(split) == []
    general = "protocols = imap\nssl = no\nlisten = *\n" + six
    assert one(general) == general and notes(general) == []
    other = "protocols = imap\nlisten = *\n" + six
    assert one(other) == other
    assert "beside `::`" in notes(other)[0]  # imaps has no IPv6, and imap would be bound twice


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("", [143, 993, 110, 995]),
        (block("port = 24", service="lmtp", name="lmtp"), [143, 993, 110, 995, 24]),
        ("protocols = imap\n", [143, 993]),
        ("protocols = imap pop3\nssl = no\n", [143, 110]),
        ("protocols = imap\nssl = required\n", [143, 993]),
        ("protocols = submission sieve lmtp\n", [587, 4190]),
        ("protocols = managesieve\n", [4190]),
        ("protocols = imaps\n", [993]),
        ("protocols = none\n", []),
        ("protocols = pop3\n" + block("port = 10110", service="pop3-login", name="pop3"), [995, 10110]),
        ("protocols = pop3\n" + block("port = 24", service="lmtp", name="lmtp"), [110, 995]),
        ("protocols = lmtp\n" + block("port = 24", service="lmtp", name="lmtp"), [24]),
        ("protocols = none\n" + block("port = 12345", service="auth", name="x"), [12345]),
        ("protocols = none\nssl = no\n" + block("port = 1", "ssl = yes", service="auth", name="x"), []),
        (VERSION, []),
        (VERSION + "protocols {\n  imap = yes\n  pop3 = no\n}\n", [143, 993]),
        (VERSION + "protocols = imap lmtp submission\n", [143, 993, 587, 465]),
        (VERSION + "protocols = lmtp\n" + block(service="lmtp", name="lmtp"), [24]),
    ],
)
def test_the_ports_follow_from_the_protocols(text: str, ports: list[int]) -> None:
    found = list(dict.fromkeys(port for port, _ in sockets(text)))
    assert found == ports


def test_a_port_that_cannot_be_known_is_reported() -> None:
    text = "protocols = none\n" + block("port = $ENV:PORT", service="auth", name="x")
    first, _ = listen_dovecot.listeners(host(text))
    assert (first["port"], first["line"]) == (None, 4)
    assert "`$ENV:PORT` is not known" in first["note"]


def test_version_2_4_has_another_name_for_the_address() -> None:
    text = VERSION + "protocols = imap\n" + block("listen = *", "address = *")
    assert one(text) == VERSION + "protocols = imap\n" + block("listen = *, [::]", "address = *")
    whole = VERSION + "protocols = imap\nlisten = *\nservice imap-login {\n  listen = ::\n}\n"
    assert one(whole) == whole.replace("= *\n", "= *, [::]\n").replace("= ::\n", "= *, [::]\n")
    assert one(VERSION + "listen = 0.0.0.0\nlisten = $SET:listen 192.0.2.1\n").endswith("192.0.2.1 [::]\n")
    older = block("listen = *")
    assert one(older) == older


def test_dovecot_1_has_ports_in_its_addresses() -> None:
    text = "protocol imap {\n  listen = *:10143\n  ssl_listen = *:10943\n}\n"
    text += "protocol pop3 {\n  listen = localhost:10110\n}\n"
    assert one(text) == text.replace("*:10143", "*:10143, [::]:10143").replace("*:10943", "*:10943, [::]:10943")
    assert {(10143, "::"), (10943, "0.0.0.0"), (10110, "localhost")} <= set(sockets(one(text)))
    assert "written for Dovecot 1" in notes(text)[0]
    assert one("listen = *, *:10143\n") == "listen = *, *:10143, [::], [::]:10143\n"
    assert one("protocol imap {\n  listen = *, [::]\n}\n") == "protocol imap {\n  listen = *, [::]\n}\n"


def test_dovecot_2_reads_one_port_for_all_addresses() -> None:
    service = "service anvil {\n}\n"
    text = service + "protocol imap {\n  listen = *:10143\n}\n"
    assert one(text) == text.replace("*:10143", "*, [::]:10143")
    assert {(10143, "0.0.0.0"), (10143, "::"), (993, "::")} <= set(sockets(one(text)))
    assert "the port in `listen` is written for Dovecot 2.0 to 2.3; newer ones want it" in notes(text)[0]
    specific = service + "protocol imap {\n  listen = 192.0.2.1, *:10143\n}\n"
    assert one(specific) == specific
    assert "write an inet_listener block" in notes(specific)[0]
    assert one(service + "protocol !imap {\n  listen = *\n}\n") == service + "protocol !imap {\n  listen = *, [::]\n}\n"


def test_blocks_for_some_clients_do_not_listen() -> None:
    text = "local 192.0.2.1 {\n  listen = *\n  protocol imap {\n    listen = *\n  }\n}\nplugin {\n  listen = *\n}\n"
    assert one(text) == text
    assert sockets(text)[:4] == BOTH


def test_who_trusts_the_loopback_of_ipv4_trusts_that_of_ipv6() -> None:
    trusts = "login_trusted_networks = 127.0.0.0/8"
    assert one(f"{trusts}\n") == f"{trusts}, ::1\n"
    assert one(f"{trusts} 10.0.0.0/8 # webmail\n") == f"{trusts} 10.0.0.0/8 ::1 # webmail\n"
    for enough in (f"{trusts}, ::1/128\n", "login_trusted_networks = 10.0.0.0/8\n", "login_trusted_networks =\n"):
        assert one(enough) == enough
    remote = "remote 127.0.0.1 {\n}\n"
    assert notes(remote) == [f"{MAIN}:1: `remote 127.0.0.1` does not apply to ::1: left alone"]
    assert notes(remote + "remote ::1/128 {\n}\n") == []


def test_includes_are_absolute_patterns_in_the_order_of_the_text() -> None:
    text = (
        "  !include conf.d/*.conf # all of them\n#!include no\n!include_try /x/y.conf\na = \"\n# '\n!include \\\n  z\n"
        "service a {\n  !include {b,c{d,e}}.conf\n}\n"
    )
    assert listen_dovecot.includes("/etc/dovecot/dovecot.conf", text) == [
        "/etc/dovecot/conf.d/*.conf",
        "/x/y.conf",
        "/etc/dovecot/z",
        "/etc/dovecot/b.conf",
        "/etc/dovecot/cd.conf",
        "/etc/dovecot/ce.conf",
    ]
    with pytest.raises(SaltInvocationError, match="^/d.conf:1:1: too many alternatives"):
        listen_dovecot.includes("/d.conf", "!include " + "{a,b}" * 30)


def test_files_that_are_missing_are_skipped() -> None:
    assert one("!include_try local.conf\nlisten = *\n") == "!include_try local.conf\nlisten = *, [::]\n"
    files = {MAIN: {"text": "!include local.conf\nlisten = *\n", "includes": [[LOCAL]]}}
    assert listen_dovecot.dual_stack(files, {})["files"] == {MAIN: "!include local.conf\nlisten = *, [::]\n"}
    assert listen_dovecot.listeners({}) and listen_dovecot.dual_stack({}, {"explicit": True})["files"] == {}


def test_a_block_may_end_in_another_file() -> None:
    texts = {MAIN: "service imap-login {\n!include local.conf\n", LOCAL: "inet_listener imap {\naddress = *\n}\n}\n"}
    assert converged(texts) == {**texts, LOCAL: texts[LOCAL].replace("*", "*, [::]")}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("ssl = no\n}\n", "2:1: a `}` that closes nothing"),
        ("ssl = no\n  service imap-login {\n", "2:3: the block `service` is not closed"),
        ("listen\n", "1:1: expected `listen = value` or `listen {`"),
        ("\n\n \tlisten *\n", "3:3: expected"),
        ("service imap-login{\n}\n", "1:1: expected"),
        ("service a b {\n}\n", "1:1: expected"),
        ("service a { port = 1 }\n", "1:1: garbage after `{`"),
        ("} # }\n", "1:1: a `}`"),
        ("} }\n", "1:1: expected"),
        ("= x\n", "1:1: a `=` without a key"),
        ("ssl = no\nlisten = * \\\n", "2:1: a line that is to be continued, and the file ends"),
        ("listen = * \\\n# dropped\n  , ::\n", "3:3: expected"),
        ("a {\n" * 1000, "101:1: blocks that are nested more than 100 deep"),
    ],
)
def test_what_dovecot_would_refuse_is_named_with_its_place(text: str, place: str) -> None:
    for function in (listen_dovecot.listeners, lambda files: listen_dovecot.dual_stack(files, {})):
        with pytest.raises(SaltInvocationError) as raised:
            function({MAIN: {"text": text, "includes": []}})
        assert str(raised.value).startswith(f"{MAIN}:{place}")
        assert "\n" not in str(raised.value)


def test_files_that_include_each_other_are_refused() -> None:
    files = host({MAIN: "!include local.conf\n", LOCAL: "ssl = no\n!include dovecot.conf\n"})
    with pytest.raises(SaltInvocationError, match=f"^{LOCAL}:2:1: {MAIN} is included without an end"):
        listen_dovecot.listeners(files)


def test_a_comment_in_the_middle_drops_what_was_to_be_continued() -> None:
    text = "login_greeting = a \\\n# c\nlisten = * \\\n\nssl = no\n"
    assert one(text) == text
    assert sockets(text)[:2] == BOTH[:2]


def test_quotes_hide_comments() -> None:
    text = "login_greeting = \"a # b\" # c\nlogin_greeting = it's # no comment\nlisten = '*' # c\n"
    assert one(text) == text.replace("'*'", "'*, [::]'")


def test_what_stands_behind_a_zero_byte_does_not_exist() -> None:
    assert one("listen = *\0, ::\n") == "listen = *, [::]\0, ::\n"


def test_a_wrong_option_is_reported() -> None:
    assert listen_dovecot.errors({}) == listen_dovecot.errors({"explicit": False}) == []
    (wrong,) = listen_dovecot.errors({"explicit": "perhaps"})
    assert wrong.startswith("explicit: 'perhaps' is not a boolean; expected true or false")
    with pytest.raises(SaltInvocationError, match="explicit: 'perhaps'"):
        listen_dovecot.dual_stack(host(""), {"explicit": "perhaps"})


def test_about_is_plain_data() -> None:
    about = listen_dovecot.about()
    assert set(about) >= {"files", "processes", "executables", "users", "units", "init", "options", "check", "words"}
    assert any(fnmatch.fnmatchcase("/usr/sbin/dovecot -F", pattern) for pattern in about["processes"])
    assert about["protocols"][993] == "imaps"
    assert list(about["options"]) == ["explicit"]


def test_no_text_is_answered_with_a_traceback() -> None:
    chance = random.Random(4)
    words = [
        "listen",
        " = ",
        "*",
        "::",
        "{",
        "}",
        "\n",
        "\r\n",
        "\\\n",
        '"',
        "'",
        "#",
        "$listen",
        " ",
        "\t",
        "\0",
        "\udcff",
    ]
    words += [
        "service imap-login {\n",
        "inet_listener imap {\n",
        "address = *",
        "port",
        "!include ",
        "protocol imap {\n",
    ]
    words += [VERSION, "protocols", "/", ":143", "[", "no", ",", "=", "login_trusted_networks = 127.0.0.1", "\u0661"]
    texts = ["".join(chance.choices(words, k=chance.randint(0, 40))) for _ in range(1500)]
    texts += [DEBIAN[MASTER][:end] for end in range(0, len(DEBIAN[MASTER]), 3)]
    answered = 0
    for text in texts:
        files = {MAIN: {"text": text, "includes": []}}
        try:
            listen_dovecot.listeners(files)
            after = listen_dovecot.dual_stack(files, {})["files"].get(MAIN, text)
        except SaltInvocationError as error:
            assert str(error).startswith(f"{MAIN}:")
            continue
        answered += 1
        assert listen_dovecot.dual_stack({MAIN: {"text": after, "includes": []}}, {})["files"] == {}
    assert answered > 100
