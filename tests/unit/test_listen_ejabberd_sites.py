"""ejabberd on published addresses, outside /etc, and the rules that do not hold over IPv6."""

from __future__ import annotations

from typing import Any

import listen_ejabberd
import pytest

from .test_listen_ejabberd import CFG, LOCAL, OPT, YML, host

SITE = {"names": ["im.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::10", "2001:db8::11"]}}
NO_IPV6 = {"names": ["im.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": []}}


def converged(path: str, text: str, site: dict[str, Any] = SITE) -> tuple[str, dict[str, Any]]:
    plan = listen_ejabberd.dual_stack(host({path: text}), {}, 0, site)
    after = plan["files"].get(path, text)
    again = listen_ejabberd.dual_stack(host({path: after}), {}, 0, site)
    assert (again["files"], again["always"]) == ({}, {})
    return after, plan


@pytest.mark.parametrize(
    ("listener", "copies"),
    [
        (
            '  -\n    port: 5222\n    ip: "192.0.2.1"\n    module: ejabberd_c2s # c\n',
            "".join(
                f'  -\n    port: 5222\n    ip: "{each}"\n    module: ejabberd_c2s # c\n'
                for each in SITE["addresses"]["ipv6"]  # type: ignore[index]
            ),
        ),
        (
            "  - {port: 5222, ip: 192.0.2.1, module: m}\n",
            '  - {port: 5222, ip: "2001:db8::10", module: m}\n  - {port: 5222, ip: "2001:db8::11", module: m}\n',
        ),
        ('  - ip: "192.0.2.9"\n    port: 5222\n    module: m\n', ""),
        ('  - ip: "127.0.0.1"\n    port: 5222\n    module: m\n', ""),
        ("  - ip: '192.0.2.1'\n    port: 1\n    module: m\n  - ip: '::'\n    port: 1\n    module: m\n", ""),
        ("  - ip: '192.0.2.1'\n    port: 1\n    module: m\n  - ip: '2001:DB8::11'\n    port: 1\n    module: m\n", ""),
    ],
)
def test_a_listener_on_a_published_address_gets_copies(listener: str, copies: str) -> None:
    text = f"hosts: [im.example.org]\nlisten:\n{listener}"
    after, plan = converged(YML, f"{text}acl: {{}}\n")
    assert after == f"{text}{copies}acl: {{}}\n"
    assert (plan["bindv6only"], plan["missing"]) == (1 if "'::'" in listener else None, [])
    assert not copies or plan["notes"] == []


@pytest.mark.parametrize(
    ("listener", "copy"),
    [
        ('{{5222, "192.0.2.1"}, m, [a]}', '{{5222, "2001:db8::10"}, m, [a]}'),
        ("{{5222, {192,0,2,1}}, m, []}", '{{5222, "2001:db8::10"}, m, []}'),
        ("{5222, m, [a, {ip, {192,0,2,1}}]}", '{{5222, "2001:db8::10"}, m, [a]}'),
        ('{{3478, "192.0.2.1", udp}, m, []}', '{{3478, "2001:db8::10", udp}, m, []}'),
        ("{5222, m, [{ip, {192,0,2,9}}]}", ""),
        ("{5222, m, [{ip, 'OWN'}]}", ""),
    ],
)
def test_a_listener_of_the_old_grammar(listener: str, copy: str) -> None:
    other = copy.replace("::10", "::11")
    copies = f",\n {copy},\n {other}" if copy else ""
    after, _ = converged(CFG, f"{{listen, [\n {listener}\n]}}.\n")
    assert after == f"{{listen, [\n {listener}{copies}\n]}}.\n"


def test_without_an_address_it_is_missing() -> None:
    text = 'listen:\n  - ip: "192.0.2.1"\n    port: 5222\n    module: m\n'
    after, plan = converged(YML, text, NO_IPV6)
    (missing,) = plan["missing"]
    assert (after, missing["names"], missing["port"]) == (text, ["im.example.org"], 5222)
    assert missing["said"].startswith(
        f"{YML}:2: port 5222: this address is published, and no address of IPv6 to listen"
    )
    assert plan["notes"] == []


def test_companions_stand_on_their_own() -> None:
    text = 'listen:\n  - port: 5222\n    module: m\nacl:\n  loopback:\n    ip:\n      - "127.0.0.0/8"\n'
    plan = listen_ejabberd.dual_stack(host({YML: text}), {"listeners": "dual"})
    assert plan["always"] == {YML: f'{text}      - "::1/128"\n'}
    assert plan["files"][YML] == plan["always"][YML].replace("port: 5222\n", 'port: 5222\n    ip: "::"\n')
    old = '{listen, []}.\n{modules, [{mod_register, [{ip_access, [{allow, "127.0.0.0/8"}, {deny, "0.0.0.0/0"}]}]}]}.\n'
    always = listen_ejabberd.dual_stack(host({CFG: old}), {})["always"][CFG]
    assert '{allow, "::1/128"}, {deny, "0.0.0.0/0"}, {deny, "::/0"}' in always


SAID = "and no address of IPv6 beside it: whom this bans may come over IPv6; left alone, add what else is banned"


@pytest.mark.parametrize(
    ("path", "text", "notes"),
    [
        (
            CFG,
            '{listen, []}.\n{acl, bad, {ip, "192.0.2.0/24"}}.\n{acl, bad, {ip, "198.51.100.7"}}.\n'
            "{access, c2s, [{deny, bad}, {allow, all}]}.\n{access, s2s, [{deny, bad}]}.\n",
            [f"{CFG}:2: 192.0.2.0/24, 198.51.100.7: is denied in {CFG}:4, {SAID}"],
        ),
        (
            CFG,
            '{listen, []}.\n{acl, bad, {ip, "192.0.2.0/24"}}.\n{acl, bad, {ip, "2001:db8::/32"}}.\n'
            "{access, c2s, [{deny, bad}]}.\n",
            [],
        ),
        (
            CFG,
            '{listen, []}.\n{acl, lan, {ip, "192.0.2.0/24"}}.\n{acl, bad, {user, "x"}}.\n'
            "{access, c2s, [{deny, bad}, {allow, lan}]}.\n{access, x, 'MACRO'}.\n",
            [],
        ),
        (
            YML,
            "listen: []\nacl:\n  bad:\n    ip: 192.0.2.0/24\naccess_rules:\n  c2s:\n    - deny: bad\n    - allow: x\n",
            [f"{YML}:4: 192.0.2.0/24: is denied in {YML}:7, {SAID}"],
        ),
        (
            YML,
            "listen: []\nacl: {bad: {ip: [192.0.2.1]}}\naccess_rules:\n  c2s:\n    - deny: [{acl: bad}, blocked]\n",
            [f"{YML}:2: 192.0.2.1: is denied in {YML}:5, {SAID}"],
        ),
        (
            YML,
            "listen: []\naccess_rules:\n  c2s:\n    - deny:\n        ip: 192.0.2.1\n",
            [f"{YML}:5: 192.0.2.1: is denied in {YML}:4, {SAID}"],
        ),
        (
            YML,
            "listen: []\nacl: {bad: {ip: 192.0.2.1}}\naccess:\n  c2s:\n    bad: deny\n    all: allow\n",
            [f"{YML}:2: 192.0.2.1: is denied in {YML}:5, {SAID}"],
        ),
        (YML, "listen: []\nacl: {lan: {ip: 192.0.2.1}}\naccess_rules: {c2s: [{allow: lan}], x: all}\n", []),
    ],
)
def test_a_ban_that_ipv6_walks_around_is_told(path: str, text: str, notes: list[str]) -> None:
    assert listen_ejabberd.dual_stack(host({path: text}), {})["notes"] == notes


@pytest.mark.parametrize("path", [OPT, LOCAL])
def test_the_first_file_that_is_there_counts(path: str) -> None:
    text = "listen:\n  - port: 5222\n    module: m\n"
    plan = listen_ejabberd.dual_stack(host({path: text}), {})
    assert list(plan["files"]) == [path]
    both = listen_ejabberd.dual_stack(host({YML: text, path: text}), {})
    assert list(both["files"]) == [YML]
    assert both["notes"] == [f"{path}: ignored, as {YML} is there and is what ejabberd reads"]


def test_what_serves_both_families_with_one_listener_is_not_split_unasked() -> None:
    text = 'listen:\n  - port: 1\n    ip: "::"\n    module: m\n  - port: 2\n    ip: "192.0.2.1"\n    module: m\n'
    after, plan = converged(YML, text)
    assert plan["bindv6only"] == 0
    assert after.startswith(text) and after.count("port: 1") == 1 and after.count("port: 2") == 3
    assert listen_ejabberd.dual_stack(host({YML: text}), {}, 1, SITE)["files"][YML].count("port: 1") == 2
    assert listen_ejabberd.dual_stack(host({YML: text}), {"listeners": "split"}, 0, SITE)["bindv6only"] == 1


LISTEN = (
    "listen:\n  - {port: 5222, module: ejabberd_c2s}\n  - {port: 5222, ip: '::', module: ejabberd_c2s}\n"
    "  - {port: 5269, module: ejabberd_s2s_in}\n  - {port: 5280, module: ejabberd_http}\n"
)


@pytest.mark.parametrize(
    ("texts", "names", "ports"),
    [
        (
            {YML: LISTEN + "hosts: [IM.example.org, 'b.example.org', OWN]\n"},
            ["im.example.org", "b.example.org"],
            [5222, 5269],
        ),
        ({YML: LISTEN + "hosts:\n  - localhost\n"}, ["localhost"], [5222, 5269]),
        (
            {
                YML: LISTEN
                + "hosts: [a.example.org]\ninclude_config_file: [/etc/ejabberd/h.yml, /etc/ejabberd/no.yml]\n",
                "/etc/ejabberd/h.yml": "hosts: [b.example.org]\n",
            },
            ["a.example.org", "b.example.org"],
            [5222, 5269],
        ),
        (
            {
                YML: LISTEN + "include_config_file:\n  /etc/ejabberd/h.yml:\n    disallow: [hosts]\n",
                "/etc/ejabberd/h.yml": "hosts: [b.example.org]\n",
            },
            [],
            [],
        ),
        ({YML: "hosts: [a.example.org]\nlisten:\n  - {port: 80, module: ejabberd_http}\n"}, [], []),
        (
            {CFG: '{hosts, ["a.example.org", "b.example.org"]}.\n{listen, [{5269, ejabberd_s2s_in, []}]}.\n'},
            ["a.example.org", "b.example.org"],
            [5269],
        ),
        ({CFG: "{hosts, 'OWN'}.\n{listen, [{5269, ejabberd_s2s_in, []}]}.\n"}, [], []),
        ({}, [], []),
    ],
)
def test_the_hosts_that_are_served(texts: dict[str, str], names: list[str], ports: list[int]) -> None:
    assert listen_ejabberd.about()["names"] is True
    assert listen_ejabberd.sites(host(texts)) == ([{"names": names, "ports": ports}] if names else [])
