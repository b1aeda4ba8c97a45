"""How a report looks."""

from __future__ import annotations

from typing import Any

import _dualstack_report_problems as report_problems
import _dualstack_report_table as report_table

YES = {"listening": True, "allowed": True, "answering": True}
FOUR = {"addresses": ["46.105.5.1"], "address": "46.105.5.1", "interface": "eth0"}
SIX = {
    "addresses": ["2001:470:1f12:f87::2", "2001:470:1f13:f87::77"],
    "address": "2001:470:1f13:f87::77",
    "interface": "he-ipv6",
}
NONE: dict[str, Any] = {"addresses": [], "address": None, "interface": None}


def row(service: str, port: int | None, four: dict[str, Any], six: dict[str, Any], **others: Any) -> dict[str, Any]:
    usual = {"service": service, "transport": "tcp", "port": port, "protocol": "http", "declared": False}
    return {**usual, "ipv4": four, "ipv6": six, **others}


def matrix(*rows: dict[str, Any], **others: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {key: [] for key in ("proof", "ptr", "mail", "tunnels", "published", "notes", "problems")}
    usual = {"host": "server.example.org", "ipv4": FOUR, "ipv6": SIX, "services": list(rows), "summary": "so it is"}
    return {**empty, **usual, **others}


def rung(name: str, outcome: str, text: str, needed: bool = True, warnings: Any = ()) -> dict[str, Any]:
    return {"rung": name, "outcome": outcome, "text": text, "needed": needed, "warnings": list(warnings)}


def line(*cells: Any, **others: Any) -> str:
    """The only row of a table."""
    return report_table.table(matrix(row("x", *cells, **others))).split("\n")[7]


def test_the_whole() -> None:
    rows = [
        row("apache2", 80, YES, YES),
        row("apache2", 443, YES, {**YES, "allowed": False}),
        row("dovecot", 143, YES, {"listening": False, "allowed": True}),
        row("mariadb", 3306, {**YES, "allowed": False}, YES, protocol="tcp"),
        row("named", 53, {"listening": True, "allowed": None}, {"listening": True, "allowed": None}, transport="udp"),
        row("postfix", 25, YES, {**YES, "answering": False, "error": "no banner within 5 s on 2001:db8::1"}),
        row("vsftpd", None, {"listening": False}, {"listening": False}, declared=True),
    ]
    published = [
        {
            "name": "www.example.org",
            "ipv4": {"published": True, "records": ["46.105.5.1"]},
            "ipv6": {"published": False, "records": []},
        },
        {
            "name": "a-long-name.example.org",
            "ipv4": {"published": None, "records": []},
            "ipv6": {"records": []},
        },
    ]
    notes = [
        {"mark": "?", "text": "whether the firewalls let anybody in was not tested: " + "because " * 8},
        {"mark": "*", "text": "only a connection was tried"},
    ]
    problems = [{"of": "dovecot", "text": "dovecot does not"}, {"of": "vsftpd", "text": "vsftpd does not"}]
    found = matrix(*rows, published=published, notes=notes, problems=problems, summary="2 things")
    assert report_table.table(found) == """\
server.example.org
  IPv4  46.105.5.1 through eth0
  IPv6  2001:470:1f13:f87::77 through he-ipv6, and 1 more

                    listening    allowed      answering
  service    port   IPv4  IPv6   IPv4  IPv6   IPv4  IPv6
  ---------------   ----------   ----------   ----------
  apache2      80   yes   yes    yes   yes    yes   yes
!             443   yes   yes    yes   NO     yes   yes
! dovecot     143   yes   NO     yes   yes    yes   -
! mariadb    3306   yes   yes    no    YES    yes*  yes*
  named    53/udp   yes   yes    ?     ?      -     -
! postfix      25   yes   yes    yes   yes    yes   NO
! vsftpd        -   NO    NO     -     -      -     -

  published                 A     AAAA
  -----------------------   ----------
! www.example.org           yes   NO
  a-long-name.example.org   ?     -

? whether the firewalls let anybody in was not tested: because because because because because
  because because because
* only a connection was tried

! dovecot does not
! vsftpd does not
2 things"""


def test_a_host_with_nothing_on_it() -> None:
    text = report_table.table(matrix(ipv4=NONE, ipv6=NONE, summary="no service listens for others"))
    assert text == "server.example.org\n  IPv4  -\n  IPv6  -\n\nno service listens for others"


def test_a_single_problem_is_the_last_line_and_reported_once() -> None:
    problem = {"of": "dovecot", "text": "dovecot (143) does not listen over IPv6"}
    text = report_table.table(matrix(problems=[problem], summary=problem["text"]))
    assert text.count("dovecot") == 1
    assert text.endswith("\ndovecot (143) does not listen over IPv6")


def test_an_internationalised_name_is_shown_in_both_forms() -> None:
    name = "xn--bcher-kva.example.org"
    cells = {family: {"published": False, "records": []} for family in ("ipv4", "ipv6")}
    rows = [{"name": name, **cells}, {"name": "www.example.org", **cells}]
    proof = [rung("A record", "failed", f"{name} leads elsewhere")]
    problem = {"of": name, "text": f"{name} has no A and no AAAA"}
    found = matrix(proof=proof, published=rows, problems=[problem] * 3, summary=f"{name} and so on")
    lines = report_table.table(found).split("\n")
    both = f"bücher.example.org ({name})"
    assert f"! A record  NO   {both} leads elsewhere" in lines
    assert f"! {both}   NO    NO" in lines
    assert f"! {both} has no A and no AAAA" in lines
    assert lines[-1] == f"{both} and so on"


def test_the_wrong_family_is_marked() -> None:
    closed = {**YES, "allowed": False}
    assert line(80, YES, YES).split() == "x 80 yes yes yes yes yes yes".split()
    assert line(80, {"listening": False, "allowed": True}, YES).split() == "! x 80 NO yes yes yes - yes".split()
    assert line(80, closed, YES).split() == "! x 80 yes yes no YES yes yes".split()
    assert line(80, YES, closed).split() == "! x 80 yes yes yes NO yes yes".split()
    assert line(80, closed, closed).split() == "x 80 yes yes no no yes yes".split()


def test_what_one_family_has_not_by_nature_is_no_mistake() -> None:
    no = {"listening": False, "allowed": True}
    assert line(68, YES, no, transport="udp").split()[0] == "x"
    assert line(40123, YES, no).split()[0] == "x"
    assert line(40123, YES, no, declared=True).split()[0] == "!"
    assert line(68, YES, no).split()[0] == "!"


def test_a_port_that_nobody_serves_over_ipv6_may_be_shut_there() -> None:
    assert line(40123, YES, {"listening": False, "allowed": False}).split() == "x 40123 yes no yes no yes -".split()


def test_it_is_narrow() -> None:
    long = "a-service-of-a-very-long-name@" + "x" * 60
    addresses = [f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{n:04x}" for n in range(9)]
    six = {"addresses": addresses, "address": addresses[0], "interface": "interface-name1"}
    records = {"published": False, "records": addresses}
    found = matrix(
        row(long, 65535, YES, YES, transport="udp"),
        ipv6=six,
        published=[{"name": f"{'label.' * 30}example.org", "ipv4": records, "ipv6": records}],
        notes=[{"mark": "?", "text": "words " * 60}],
        summary="words " * 60,
        proof=[rung("published address", "failed", f"{'words ' * 60}\n{'x' * 200}"), rung("next boot", "held", "")],
    )
    lines = report_table.table(found).split("\n")
    assert max(map(len, lines)) <= 96
    assert all(text == text.rstrip() for text in lines)


TUNNEL = "he-ipv6 to 216.66.84.42: the broker answers, 2001:470:1f13:f87::77 is routed, MTU 1480"


def test_the_proof() -> None:
    proof = [
        rung("tunnel", "held", TUNNEL),
        rung("beyond", "failed", "nobody answers; " * 9 + "so it is"),
        rung("next boot", "not tried", "firewall: not saved\nservices: not known"),
        rung("A record", "not tried", "no server answers", needed=False),
    ]
    ptr = [
        {"address": "2001:db8::1", "names": ["a.example.org", "b.example.org"], "error": "", "expected": False},
        {"address": "2001:db8::2", "names": [], "error": "", "expected": False},
        {"address": "2001:db8::3", "names": [], "error": "", "expected": True},
        {"address": "2001:db8::4", "names": None, "error": "who knows", "expected": True},
    ]
    way = {"service": "postfix", "address": "2001:db8::1", "send": "auto", "outcome": "held", "text": "PTR: it is so"}
    mail = [
        way,
        {**way, "outcome": "failed", "text": "PTR: no\nSPF: no"},
        {**way, "outcome": "failed", "text": "PTR: no", "send": "both"},
        {**way, "outcome": "not tried", "text": "who knows", "address": None},
    ]
    text = report_table.table(matrix(proof=proof, ptr=ptr, mail=mail))
    assert text == """\
server.example.org
  IPv4  46.105.5.1 through eth0
  IPv6  2001:470:1f13:f87::77 through he-ipv6, and 1 more

  tunnel     yes  he-ipv6 to 216.66.84.42: the broker answers, 2001:470:1f13:f87::77 is routed,
                  MTU 1480
! beyond     NO   nobody answers; nobody answers; nobody answers; nobody answers; nobody
                  answers; nobody answers; nobody answers; nobody answers; nobody answers; so it
                  is
? next boot  ?    firewall: not saved
                  services: not known
  A record   -    not needed, as dns:without says: no server answers
  PTR        yes  2001:db8::1 is a.example.org, b.example.org
  PTR        no   2001:db8::2 has no PTR record
! PTR        NO   2001:db8::3 has no PTR record
? PTR        ?    who knows
  mail       yes  postfix from 2001:db8::1: PTR: it is so
  mail       no   postfix from 2001:db8::1: PTR: no
                  SPF: no
! mail       NO   postfix from 2001:db8::1: PTR: no
? mail       ?    postfix: who knows

so it is"""


def last(*rows: dict[str, Any], **others: Any) -> str:
    """The last line of a report."""
    found = matrix(*rows, **others)
    return report_problems.summary(found, report_problems.problems(found))


WEB, SSH = row("apache2", 80, YES, YES), row("ssh", 22, YES, YES)


def test_the_last_line_of_a_host_with_nothing_wrong() -> None:
    names: list[Any] = [{"name": name, "ipv4": {}, "ipv6": {}} for name in ("a.example.org", "b.example.org")]
    assert last(WEB, row("apache2", 443, YES, YES), SSH) == "all 2 services are the same in both families"
    assert last(WEB, published=names) == (
        "the one service is the same in both families, and published in both: a.example.org, b.example.org"
    )
    erlang = row("beam.smp", 40123, YES, {"listening": False})
    assert last(WEB, SSH, erlang) == "all 3 services are as expected in both families"
    assert last() == "no service listens for others"
    mute = {"listening": True, "allowed": True}
    silent = [row(name, 123, mute, mute, transport="udp") for name in "abcde"]
    assert last(WEB, *silent) == (
        "nothing wrong was found; " "without an answer to compare: a 123/udp, b 123/udp, c 123/udp and 2 more"
    )
    proven = [rung("tunnel", "held", TUNNEL), rung("A record", "not tried", "who knows", needed=False)]
    refused = {"service": "postfix", "address": None, "send": "auto", "outcome": "failed", "text": "PTR: no"}
    assert last(WEB, proof=proven, mail=[refused]) == "the one service is the same in both families"


def test_what_is_not_known_is_no_all_clear() -> None:
    def unknown(rows: Any = (), **others: Any) -> str:
        said = last(WEB, *rows, **others)
        assert said.startswith("nothing wrong was found; not known: ")
        return said.removeprefix("nothing wrong was found; not known: ")

    assert unknown(proof=[rung(name, "not tried", "") for name in ("beyond", "next boot")]) == "beyond, next boot"
    assert unknown(notes=[{"mark": "?", "text": "something was not tried"}]) == "what the lines with ? say"
    assert unknown(published=[{"name": "a.example.org", "ipv4": {}, "ipv6": {"published": None}}]) == (
        "published (a.example.org)"
    )
    assert unknown(ptr=[{"address": "2001:db8::1", "names": None, "error": "x", "expected": False}]) == "PTR"
    way = {"service": "postfix", "address": None, "send": "auto", "outcome": "not tried", "text": "x"}
    assert unknown(mail=[way]) == "mail (postfix)"
    for column in report_table.COLUMNS:
        for cells in ((YES, {**YES, column: None}), ({**YES, column: None}, YES)):
            rows = [row(name, 22, *cells) for name in ("ssh", "x", "ssh", "y", "z")]
            assert unknown(rows) == f"{column} (ssh, x, y and 1 more)"


def test_the_last_line_where_the_proof_has_failed() -> None:
    dead = rung("tunnel", "failed", "he-ipv6 is dead\nand more")
    assert last(WEB, proof=[dead]) == "IPv6 is not proven: tunnel failed"
    mute = row("dovecot", 143, YES, {"listening": False})
    beyond, boot, route = rung("beyond", "failed", "x"), rung("next boot", "failed", "x"), rung("route", "failed", "x")
    found = matrix(mute, WEB, proof=[dead, beyond, boot])
    problems = report_problems.problems(found)
    assert problems[0] == {"of": "tunnel", "text": "tunnel: he-ipv6 is dead; and more"}
    said = "IPv6 is not proven: tunnel, beyond and next boot failed; dovecot (143) does not listen over IPv6"
    assert report_problems.summary(found, problems) == said
    text = report_table.table({**found, "problems": problems, "summary": said})
    assert text.count("he-ipv6 is dead") == 1, "the rung's own line says it"
    after = rung("beyond", "not tried", "not tried, since this failed: route")
    assert last(WEB, proof=[route, after]) == "IPv6 is not proven: route failed", "one thing is reported once"
    later = [route, after, rung("next boot", "not tried", "x")]
    assert last(WEB, mute, row("x", 1, YES, {"listening": False}), proof=later) == (
        "IPv6 is not proven: route failed; 2 things to look at: dovecot, x; not known: next boot"
    )


def test_what_is_wrong_although_the_proof_holds() -> None:
    large = rung("tunnel", "held", TUNNEL, warnings=["packets of 1480 bytes do not come back"])
    assert last(WEB, proof=[large]) == "packets of 1480 bytes do not come back"
    assert last(WEB, proof=[{**large, "outcome": "failed"}]) == (
        "IPv6 is not proven: tunnel failed; packets of 1480 bytes do not come back"
    )
    none = {"address": "2001:db8::1", "names": [], "error": "", "expected": True}
    assert last(WEB, ptr=[none]) == "2001:db8::1 has no PTR record, which the pillar has"
    assert last(WEB, ptr=[{**none, "expected": False}]) == "the one service is the same in both families"
    way = {"service": "postfix", "address": None, "send": "both", "outcome": "failed", "text": "PTR: no\nSPF: no"}
    assert last(WEB, mail=[way]) == "mail of postfix over IPv6 may be refused: PTR: no; SPF: no"
    other = {"interface": "wg0", "kind": "wireguard", "local": None, "remote": None, "addresses": [], "metrics": [1]}
    assert last(WEB, tunnels=[{**other, "rival": True}]) == (
        "another tunnel is up: wg0, wireguard, and an IPv6 default route of metric 1, "
        "which may come before the tunnel's"
    )
    assert last(WEB, tunnels=[{**other, "rival": False}]) == "the one service is the same in both families"
