"""Postfix on published addresses, in several instances, and with what it has built in."""

from __future__ import annotations

from typing import Any

import _dualstack_service_postfix as service_postfix
import _dualstack_service_postfix_values as service_postfix_values
import listen_postfix
import pytest

from .test_listen_postfix import MAIN, MASTER, SMTP, files

SITE = {"names": ["mail.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::77"]}}
NO_IPV6 = {"names": ["mail.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": []}}
LEVEL = "compatibility_level = 3.6\n"
OUT = "/etc/postfix-out"


def converged(main: str, master: str = SMTP, site: dict[str, Any] = SITE) -> dict[str, Any]:
    """What comes of a configuration, after a check that nothing more comes of that."""
    before = files(LEVEL + main, master)
    result: dict[str, Any] = listen_postfix.dual_stack(before, {}, 0, site)
    after = {path: {**each, "text": result["files"].get(path, each["text"])} for path, each in before.items()}
    again = listen_postfix.dual_stack(after, {}, 0, site)
    assert (again["files"], again["always"]) == ({}, {})
    return result


def main_of(result: dict[str, Any]) -> str | None:
    return result["files"][MAIN].removeprefix(LEVEL) if MAIN in result["files"] else None


@pytest.mark.parametrize(
    ("main", "new"),
    [
        ("inet_interfaces = 192.0.2.1\n", "inet_interfaces = 192.0.2.1, 2001:db8::77\n"),
        ("inet_interfaces = [192.0.2.1]\n", "inet_interfaces = [192.0.2.1], 2001:db8::77\n"),
        ("inet_interfaces = 127.0.0.1 192.0.2.1\n", "inet_interfaces = 127.0.0.1 192.0.2.1 2001:db8::77\n"),
        (
            "inet_interfaces =\n  localhost,\n  192.0.2.1\n",
            "inet_interfaces =\n  localhost,\n  192.0.2.1,\n  2001:db8::77\n",
        ),
        ("inet_interfaces = 192.0.2.1, $myhostname\n", "inet_interfaces = 192.0.2.1, $myhostname, 2001:db8::77\n"),
        ("own = 192.0.2.1\ninet_interfaces = $own\n", "own = 192.0.2.1\ninet_interfaces = $own, 2001:db8::77\n"),
        (
            "inet_protocols = ipv4\ninet_interfaces = 192.0.2.1\n",
            "inet_protocols = all\ninet_interfaces = 192.0.2.1, 2001:db8::77\n",
        ),
        # It is dual already, on another address, or not on a published one.
        ("inet_interfaces = 192.0.2.1, 2001:db8::77\n", None),
        ("inet_interfaces = 192.0.2.1, 2001:DB8:0::77\n", None),
        ("inet_interfaces = 192.0.2.9\n", None),
        ("inet_interfaces = 10.0.0.1\n", None),
        ("inet_interfaces = all\n", None),
        # What only sends stays as it is.
        ("inet_interfaces = loopback-only\n", None),
        ("inet_interfaces = localhost\ninet_protocols = ipv4\n", None),
        ("inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n", None),
    ],
)
def test_the_interfaces(main: str, new: str | None) -> None:
    result = converged(main)
    assert main_of(result) == new
    assert (result["always"], result["missing"]) == ({}, [])


def test_without_an_address_it_is_missing() -> None:
    result = converged("inet_interfaces = 192.0.2.1\n", site=NO_IPV6)
    (missing,) = result["missing"]
    assert result["files"] == {}
    assert (missing["names"], missing["port"]) == (["mail.example.org"], 25)
    assert missing["said"].startswith(f"{MAIN}:2: inet_interfaces = `192.0.2.1`: this address is published, and no ")
    assert converged("inet_interfaces = 192.0.2.9\n", site=NO_IPV6)["missing"] == []


def test_nothing_is_added_where_the_site_is_not_known() -> None:
    result = listen_postfix.dual_stack(files(f"{LEVEL}inet_interfaces = 192.0.2.1\n"), {})
    assert (result["files"], result["missing"]) == ({}, [])


def test_the_companion_stands_on_its_own() -> None:
    main = "inet_protocols = all\ninet_interfaces = 192.0.2.1\nmynetworks = 127.0.0.0/8\n"
    result = converged(main)
    companion = main.replace("127.0.0.0/8", "127.0.0.0/8 [::1]/128")
    assert result["always"] == {MAIN: LEVEL + companion}
    assert main_of(result) == companion.replace("192.0.2.1", "192.0.2.1, 2001:db8::77")
    # A host that sends over ::1 needs it, too.
    local = "inet_interfaces = loopback-only\nmynetworks = 127.0.0.0/8\n"
    assert list(converged(local)["always"]) == [MAIN]
    option = listen_postfix.dual_stack(files(LEVEL + main), {"mynetworks": ["127.0.0.0/8"]}, 0, SITE)
    assert option["always"] == {}


@pytest.mark.parametrize("mark", ["\n", "\r\n"])
def test_an_entry_on_a_published_address_gets_a_copy_with_its_options(mark: str) -> None:
    lines = [
        "192.0.2.1:smtp  inet n - y - 1 postscreen",
        "  -o a=b",
        "  # why",
        "  -o c=d",
        "# end",
        "x unix - - y - - x",
        "",
    ]
    master = mark.join(lines)
    copy = ["[2001:db8::77]:smtp  inet n - y - 1 postscreen", "  -o a=b", "  -o c=d"]
    result = converged("inet_protocols = all\n", master)
    assert result["files"] == {MASTER: mark.join([*lines[:4], *copy, *lines[4:]])}
    assert result["notes"] == []
    assert [
        (each["port"], each["address"]) for each in listen_postfix.listeners(files("", result["files"][MASTER]))
    ] == [
        (25, "192.0.2.1"),
        (25, "2001:db8::77"),
    ]


@pytest.mark.parametrize(
    ("entries", "added"),
    [
        ("192.0.2.1:25", ["[2001:db8::77]:25"]),
        ("192.0.2.1:smtp [2001:db8::77]:25", []),
        ("192.0.2.1:587 25", ["[2001:db8::77]:587"]),
        ("192.0.2.1:amavis", ["[2001:db8::77]:amavis"]),
        ("192.0.2.9:25 127.0.0.1:10025 localhost:10026", []),
        ("0.0.0.0:25", ["[::]:25"]),
        ("[::]:25", ["0.0.0.0:25"]),
        ("0.0.0.0:25 [2001:db8::77]:25", []),
        ("0.0.0.0:25 [::1]:25", ["[2001:db8::77]:25"]),
        ("[::]:25 127.0.0.1:25", []),
    ],
)
def test_which_entries_get_a_copy(entries: str, added: list[str]) -> None:
    master = "".join(f"{each} inet n - y - - smtpd\n" for each in entries.split())
    new = converged("", master)["files"].get(MASTER, master)
    found = {each.split()[0] for each in new.splitlines()}
    assert found - set(entries.split()) == set(added)


def test_an_address_that_an_entry_has_is_not_given_to_the_interfaces() -> None:
    master = f"{SMTP}submission inet n - y - - smtpd\n[2001:db8::77]:smtp inet n - y - - smtpd\n"
    result = converged("inet_interfaces = 192.0.2.1\n", master)
    assert result["files"] == {}
    assert "give each its addresses by hand" in result["missing"][0]["said"]
    assert converged("inet_interfaces = 192.0.2.1\n", master.replace("submission", "25"))["missing"] == []


def test_another_address_is_given_to_the_interfaces() -> None:
    site = {"names": [], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::77", "2001:db8::78"]}}
    master = f"{SMTP}submission inet n - y - - smtpd\n[2001:db8::77]:smtp inet n - y - - smtpd\n"
    result = converged("inet_interfaces = 192.0.2.1\n", master, site)
    assert (main_of(result), result["missing"]) == ("inet_interfaces = 192.0.2.1, 2001:db8::78\n", [])


def test_other_lists_that_know_one_loopback_are_told() -> None:
    main = (
        "smtpd_client_restrictions = check_client_access inline:{127.0.0.1=OK}, permit\n"
        "postscreen_access_list = cidr:{{127.0.0.0/8 permit}}\n"
        "smtpd_authorized_xclient_hosts = 127.0.0.1 [::1]\n"
        "smtpd_relay_restrictions = check_policy_service inet:127.0.0.1:10023\n"
        "relayhost = 127.0.0.1\n"
    )
    said = "and not ::1: left alone, add it if it may"
    assert converged(main)["notes"] == [
        f"{MAIN}:2: smtpd_client_restrictions names `127.0.0.1`, {said}",
        f"{MAIN}:3: postscreen_access_list names `127.0.0.0/8`, {said}",
    ]


def test_a_server_with_postscreen_and_amavis() -> None:
    master = """\
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
  -o content_filter=smtp-amavis:[127.0.0.1]:10024
dnsblog   unix  -       -       y       -       0       dnsblog
submission inet n       -       y       -       -       smtpd
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
smtp-amavis unix -      -       n       -       2       smtp
  -o disable_dns_lookups=yes
127.0.0.1:10025 inet n  -       n       -       -       smtpd
  -o mynetworks=127.0.0.0/8
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
"""
    main = (
        "inet_interfaces = 192.0.2.1, localhost\nmynetworks = 127.0.0.0/8\npostscreen_access_list = permit_mynetworks\n"
    )
    result = converged(main, master)
    assert main_of(result) == main.replace("localhost", "localhost, 2001:db8::77").replace("/8", "/8 [::1]/128")
    assert list(result["files"]) == list(result["always"]) == [MAIN]
    found = {(each["port"], each["address"]) for each in listen_postfix.listeners(files(result["files"][MAIN], master))}
    addresses = ("192.0.2.1", "127.0.0.1", "::1", "2001:db8::77")
    assert found == {(10025, "127.0.0.1"), *((port, each) for port in (25, 587) for each in addresses)}


# --- instances


def instance_files(first: str, second: str, master: str = SMTP) -> dict[str, dict[str, Any]]:
    return {
        **files(f"{LEVEL}multi_instance_directories = {OUT}\n{first}"),
        f"{OUT}/main.cf": {"text": LEVEL + second, "includes": []},
        f"{OUT}/master.cf": {"text": master, "includes": []},
    }


def test_further_instances_are_found() -> None:
    main = f"multi_instance_directories = {OUT}/ /srv/a[b] relative\n"
    assert listen_postfix.includes(MAIN, main) == [
        *(f"{OUT}/main.cf", f"{OUT}/master.cf"),
        *("/srv/a[[]b]/main.cf", "/srv/a[[]b]/master.cf"),
    ]
    assert listen_postfix.includes(MAIN, main + "broken\n") == []
    assert listen_postfix.includes(MASTER, main) == listen_postfix.includes(f"{OUT}/main.cf", main) == []


def test_instances_do_not_mix() -> None:
    second = "multi_instance_enable = yes\ninet_interfaces = 192.0.2.1\nmynetworks = 127.0.0.0/8\n"
    given = instance_files("inet_interfaces = localhost\n", second, "10025 inet n - y - - smtpd\n")
    found = [(each["port"], each["address"], each["file"]) for each in listen_postfix.listeners(given)]
    assert found == [(25, "127.0.0.1", MASTER), (25, "::1", MASTER), (10025, "192.0.2.1", f"{OUT}/master.cf")]
    result = listen_postfix.dual_stack(given, {"mynetworks": ["10.0.0.0/8"]}, 0, SITE)
    companion = LEVEL + second.replace("127.0.0.0/8", "127.0.0.0/8 [::1]/128")
    assert result["files"][f"{OUT}/main.cf"] == companion.replace("192.0.2.1", "192.0.2.1, 2001:db8::77")
    assert result["always"][f"{OUT}/main.cf"] == companion
    assert "mynetworks = 10.0.0.0/8\n" in result["files"][MAIN]


def test_an_instance_that_is_not_started_is_left_alone() -> None:
    for second in ("inet_interfaces = 192.0.2.1\n", "multi_instance_enable = no\ninet_interfaces = 192.0.2.1\n"):
        given = instance_files("", second)
        assert {each["file"] for each in listen_postfix.listeners(given)} == {MASTER}
        assert listen_postfix.dual_stack(given, {}, 0, SITE)["files"] == {}


def test_two_instances_do_not_get_the_same_address() -> None:
    site = {"names": [], "addresses": {"ipv4": ["192.0.2.1", "192.0.2.2"], "ipv6": ["2001:db8::77"]}}
    given = instance_files(
        "inet_interfaces = 192.0.2.1\n", "multi_instance_enable = yes\ninet_interfaces = 192.0.2.2\n"
    )
    result = listen_postfix.dual_stack(given, {}, 0, site)
    assert list(result["files"]) == [MAIN]
    assert f"{OUT}/main.cf:3: inet_interfaces = `192.0.2.2`: " in result["missing"][0]["said"]


# --- values


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("$config_directory/x", "/etc/postfix/x"),
        ("${config_directory}/x $(queue_directory)", "/etc/postfix/x /var/spool/postfix"),
        ("$set", "one"),
        ("${set?yes} ${set:no}", "yes "),
        ("${empty?yes} ${empty:no}", " no"),
        ("${set?{a}:{b}} ${empty ? {a} : {$set}}", "a one"),
        ("$myhostname, localhost.$mydomain", "$myhostname, localhost.$mydomain"),
        ("$$set", "$set"),
        ("$nowhere", None),
        ("${nowhere?x}", None),
        ("${", None),
        ("$", None),
        ("${{a} == {b} ? {c} : {d}}", None),
        ("${set!x}", None),
        ("${set?{a} b}", None),
        ("$loop", None),
    ],
)
def test_what_a_value_refers_to(value: str, result: str | None) -> None:
    known = service_postfix.parameters("set = one\nempty =\nloop = $loop\n")
    assert service_postfix_values.expanded(value, known) == result


def test_a_few_lines_do_not_grow_without_end() -> None:
    lines = [f"v{each} = {f'$v{each + 1}' * 50}" for each in range(15)]
    known = service_postfix.parameters("\n".join([*lines, "v15 = x", ""]))
    assert service_postfix_values.expanded("$v13", known) == "x" * 2500
    assert service_postfix_values.expanded("$v0", known) is None
