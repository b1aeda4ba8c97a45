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
    usual = {"published": [], "notes": [], "problems": [], "summary": "so it is"}
    return {"host": "server.example.org", "ipv4": FOUR, "ipv6": SIX, "services": list(rows), **usual, **others}


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
    )
    lines = report_table.table(found).split("\n")
    assert max(map(len, lines)) <= 96
    assert all(text == text.rstrip() for text in lines)


def test_the_last_line_of_a_host_with_nothing_wrong() -> None:
    rows = [row("apache2", 80, YES, YES), row("apache2", 443, YES, YES), row("ssh", 22, YES, YES)]
    names = [{"name": name} for name in ("a.example.org", "b.example.org")]
    unsure = [{"mark": "?", "text": "something was not tried"}]
    assert report_problems.summary(matrix(*rows), []) == "all 2 services are the same in both families"
    assert report_problems.summary(matrix(*rows[:1]), []) == "the one service is the same in both families"
    assert report_problems.summary(matrix(rows[2], published=names, notes=unsure), []) == (
        "as far as could be found out, the one service is the same in both families, "
        "and published in both: a.example.org, b.example.org"
    )
    erlang = row("beam.smp", 40123, YES, {"listening": False})
    assert report_problems.summary(matrix(*rows, erlang), []) == "all 3 services are as expected in both families"
    assert report_problems.summary(matrix(), []) == "no service listens for others"
