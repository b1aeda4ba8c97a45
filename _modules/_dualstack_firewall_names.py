"""
The names of hosts in rules, resolved as iptables resolves them: on this host, since a scratch namespace reaches no name
server.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import _dualstack_families as families
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_save as firewall_save
import salt.utils.json

PLACE = re.compile(r'( -[sd] )([^ "]+)(?= |$)')
QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')
# What is neither an address nor a list of them: where there is none, no rule has to be looked at by itself.
ANY = re.compile(r" -[sd] (?!(?:[0-9./,]+|[0-9a-fA-F:./,]*:[0-9a-fA-F:./,]*)(?: |$))", re.MULTILINE)
NUMBERS = re.compile(r"[0-9.]+")  # an address as iptables reads it, such as 10.1
# As iptables asks (getaddrinfo with SOCK_RAW); getent(1) leaves out the addresses of a family that this host has not.
ASK = """
import concurrent.futures, json, socket, sys
def ask(each):
    try:
        family = socket.AF_INET6 if each[0] == "ipv6" else socket.AF_INET
        return [found[4][0] for found in socket.getaddrinfo(each[1], None, family, socket.SOCK_RAW)]
    except (OSError, UnicodeError):
        return []
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    found = [sorted(host for host in each if "%" not in host) for each in pool.map(ask, json.load(sys.stdin))]
json.dump(found, sys.stdout)
"""

Origins = Mapping[str, Mapping[str, Sequence[str]]]  # where each rule comes from, by table and chain


class Resolved(NamedTuple):
    """Tables without names, sentences about these, and about those that mean nothing."""

    tables: dict[str, firewall_save.Tables]
    warnings: list[str]
    problems: list[str]


def resolved(declared: dict[str, firewall_save.Tables], origins: Mapping[str, Origins]) -> Resolved:
    """
    Tables with the addresses of each host that their rules name.

    declared
        The tables of each family.
    origins
        Where each of their rules comes from, of each family.

    As with iptables, a name of several addresses is a list of them: in their own order, since name servers turn it.
    A name that means nothing stays, and the restore will refuse it: the problems say why. Raises
    ``CommandExecutionError`` where the answers take too long.
    """
    found: dict[tuple[str, str], str] = {}
    for family, table, chain, number, rule in _rules(declared) if _has_names(declared) else ():
        for name in _names(rule):
            found.setdefault((family, name), origins[family][table][chain][number])
    if not found:
        return Resolved(declared, [], [])
    meant = _asked(list(found))
    warnings, problems = [], []
    for (family, name), origin in found.items():
        hosts = list(dict.fromkeys(meant[family, name]))
        if not hosts:
            problems.append(
                f"{origin}: the host {name} has no address of {families.NAMES[family]}, as far as this host can tell: "
                "write an address, or the family that the rule is for"
            )
        elif not all(ipaddress.ip_address(each).is_loopback for each in hosts):
            warnings.append(
                f"{origin}: the name {name} means {', '.join(hosts)} now, and may mean another host at the next boot, "
                "which loads these addresses"
            )
    tables = {
        family: {
            table: {
                chain: {**each, "rules": [_without_names(rule, family, meant) for rule in each["rules"]]}
                for chain, each in chains.items()
            }
            for table, chains in its.items()
        }
        for family, its in declared.items()
    }
    return Resolved(tables, warnings, problems)  # type: ignore[arg-type]


def _has_names(declared: dict[str, firewall_save.Tables]) -> bool:
    chains = [each for tables in declared.values() for table in tables.values() for each in table.values()]
    return any(ANY.search(" " + "\n ".join(each["rules"])) for each in chains)


def _rules(declared: dict[str, firewall_save.Tables]) -> Iterator[tuple[str, str, str, int, str]]:
    for family, tables in declared.items():
        for table, chains in tables.items():
            for chain, each in chains.items():
                for number, rule in enumerate(each["rules"]):
                    yield family, table, chain, number, rule


def _names(rule: str) -> list[str]:
    """The hosts that a rule names as its source or destination."""
    if "-s " not in rule and "-d " not in rule:
        return []
    parts = QUOTED.split(f" {rule}")[::2]
    written = [each for part in parts for match in PLACE.finditer(part) for each in match[2].split(",")]
    return [host for host in (each.partition("/")[0] for each in written) if not _is_address(host)]


def _is_address(host: str) -> bool:
    try:
        return bool(NUMBERS.fullmatch(host)) or bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _asked(names: list[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The addresses of each name; none for one that cannot be resolved."""
    # In a process of its own, which can be ended: name servers may not answer.
    said = firewall_commands.run([sys.executable, "-I", "-S", "-c", ASK], salt.utils.json.dumps(names))
    return dict(zip(names, salt.utils.json.loads(said)))


def _without_names(rule: str, family: str, meant: Mapping[tuple[str, str], list[str]]) -> str:
    def written(match: re.Match[str]) -> str:
        hosts = []
        for each in match[2].split(","):
            name, slash, length = each.partition("/")
            hosts += [f"{host}{slash}{length}" for host in meant.get((family, name)) or [name]]
        return match[1] + ",".join(hosts)

    if not _names(rule):
        return rule
    parts = QUOTED.split(f" {rule}")
    parts[::2] = [PLACE.sub(written, part) for part in parts[::2]]
    return "".join(parts)[1:]
