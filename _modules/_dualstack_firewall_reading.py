"""
The words of a rule as its options, each under its canonical name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import _dualstack_firewall_addresses as firewall_addresses
import _dualstack_firewall_extensions as firewall_extensions
import _dualstack_firewall_option as firewall_option
import _dualstack_firewall_protocols as firewall_protocols
from salt.exceptions import SaltInvocationError

BASE = {
    **dict.fromkeys(("-s", "--source", "--src"), "-s"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "-d"),
    **dict.fromkeys(("-p", "--protocol"), "-p"),
    **dict.fromkeys(("-i", "--in-interface"), "-i"),
    **dict.fromkeys(("-o", "--out-interface"), "-o"),
    **dict.fromkeys(("-j", "--jump"), "-j"),
    **dict.fromkeys(("-g", "--goto"), "-g"),
    **dict.fromkeys(("-m", "--match"), "-m"),
    **dict.fromkeys(("-f", "--fragment", "--fragments"), "-f"),
    **dict.fromkeys(("-t", "--table"), "-t"),
    **dict.fromkeys(("-A", "--append"), "-A"),
    **dict.fromkeys(("-4", "--ipv4"), "-4"),
    **dict.fromkeys(("-6", "--ipv6"), "-6"),
    **dict.fromkeys(("-w", "--wait", "-W", "--wait-interval"), "-w"),
    **dict.fromkeys(("-c", "--set-counters"), "-c"),
    **dict.fromkeys(("-v", "--verbose"), "-v"),
}
ABBREVIATED = tuple(
    "--source --destination --protocol --in-interface --out-interface --jump --goto --match --table --append "
    "--fragments".split()
)
WITH_VALUE = frozenset(("-s", "-d", "-p", "-i", "-o", "-j", "-g", "-m", "-t", "-A"))
LISTS = ("-s", "-d")
ONCE = frozenset(("-s", "-d", "-p", "-i", "-o", "-j", "-g", "-f"))
ORDER = "the order of the rules is that of the list"
COMMANDS = {
    **dict.fromkeys(("-I", "--insert", "-R", "--replace", "-D", "--delete", "-C", "--check"), ORDER),
    **dict.fromkeys(("-P", "--policy"), "a chain's policy is its key `policy`"),
    **dict.fromkeys(("-N", "--new-chain", "-X", "--delete-chain"), "a chain is there if it is a key of its table"),
    **dict.fromkeys(("-E", "--rename-chain"), "a chain is there if it is a key of its table"),
    **dict.fromkeys(("-F", "--flush", "-Z", "--zero"), "a chain holds the rules of its list and no others"),
    **dict.fromkeys(("-L", "--list", "-S", "--list-rules", "-n", "--numeric", "-x", "--exact"), "it is for listing"),
    **dict.fromkeys(("-h", "--help", "-V", "--version", "-M", "--modprobe"), "it is not part of a rule"),
}
COMMAND_NAME = re.compile(r"(?:.*/)?(ip6?tables)(?:-legacy|-nft)?(?:-restore)?")
COUNTERS = re.compile(r"\[\d+:\d+\]")
VARIABLE = re.compile(r"\$[\w{(@*#?!$-]|`")


def read(
    words: list[str], rule: firewall_option.Rule, chain: str | None = None, table: str | None = None
) -> firewall_option.Rule:
    """The options of a rule, each under its canonical name."""
    reach: dict[str, firewall_option.Say | None] = {}  # the long options of what is loaded
    seen: set[str] = set()
    negated = False
    position, end = _leading(words, rule), len(words)
    while position < end:
        word = words[position]
        position += 1
        if word == "!":
            if negated:
                raise SaltInvocationError("`! !`: negated twice")
            negated = True
            continue
        if word[:1] != "-" or word == "-":
            raise _stray(word, rule.options)
        name, attached = BASE.get(word), None
        if name is None:
            name, attached = _option_name(word, reach)
        values = [] if attached is None else [attached]
        if not negated and not values and _is_old_negation(words, position, name):
            negated, position = True, position + 1
        if name in WITH_VALUE or name in firewall_extensions.FREE_TEXT:
            if not values:
                values = words[position : position + 1]
                position += 1
            if not values or (name in WITH_VALUE and (values[0][:1] == "-" or not values[0])):
                raise SaltInvocationError(f"`{word}`: needs a value")
        elif name not in BASE:
            while _is_value(words, position):
                values.append(words[position])
                position += 1
        option = firewall_option.Option(name, negated, values, None)
        negated = False
        if name in SKIPPED:
            position = _skip(rule, option, words, position, chain, table)
            continue
        if name in ONCE and name in seen:
            raise SaltInvocationError(f"`{name}`: given twice" + ("; write one list" if name in LISTS else ""))
        seen.add(name)
        if say := _say_of(rule, option, reach):
            rule.special = True
            option = option._replace(say=say)
        rule.options.append(option)
    if negated:
        raise SaltInvocationError("`!`: nothing follows that could be negated")
    return rule


def _say_of(
    rule: firewall_option.Rule, option: firewall_option.Option, reach: dict[str, firewall_option.Say | None]
) -> firewall_option.Say | None:
    """What an option means in each family, if that differs; and which further options it makes available."""
    name, values = option.name, option.values
    if name == "-p":
        protocol = firewall_protocols.protocol_name(rule, option)
        if protocol in firewall_protocols.PROTOCOLS:
            reach.update(firewall_extensions.MODULES.get(firewall_extensions.LOADED_BY_PROTOCOL.get(protocol, ""), {}))
            return firewall_protocols.protocol
        if "," in protocol:
            raise SaltInvocationError(f"{option}: a rule has one protocol; write one rule for each")
        return None
    if name == "-m":
        if option.negated:
            raise SaltInvocationError(f"{option}: negate one of its options instead")
        reach.update(firewall_extensions.MODULES.get(values[0], {}))
        return firewall_extensions.MATCHES.get(values[0])
    if name == "-j":
        reach.update(firewall_extensions.MODULES.get(values[0], {}))
        return firewall_extensions.TARGETS.get(values[0])
    if name in BASE:
        return firewall_addresses.addresses if name in LISTS else firewall_extensions.fragment if name == "-f" else None
    say = reach[name] if name in reach else firewall_extensions.EVERYWHERE.get(name)
    if say and not values:
        raise SaltInvocationError(f"`{name}`: needs a value")
    if name in ("--to-destination", "--to-source"):
        _merge_with_earlier(rule.options, name, values)
    return say


def _is_old_negation(words: list[str], position: int, name: str) -> bool:
    """``--dport ! 22``, as it was written before iptables 1.4.3."""
    return (
        position < len(words)
        and words[position] == "!"
        and name not in firewall_extensions.FREE_TEXT
        and _is_value(words, position + 1)
    )


SKIPPED = frozenset(("-t", "-A", "-4", "-6", "-w", "-c", "-v"))


def _is_value(words: list[str], position: int) -> bool:
    """Whether there is a word that is not itself an option."""
    if position >= len(words):
        return False
    word = words[position]
    return word != "!" and (word[:1] != "-" or len(word) == 1)


def _leading(words: list[str], rule: firewall_option.Rule) -> int:
    """How many words come before the rule: the command's name, counters."""
    position = 0
    if words and (command := COMMAND_NAME.fullmatch(words[0])):
        position = 1
        if command[1] == "ip6tables":
            _by_hand(rule, "ipv6", words[0])
    if words[position : position + 1] and COUNTERS.fullmatch(words[position]):
        position += 1
    return position


def _by_hand(rule: firewall_option.Rule, family: str, word: str) -> None:
    if rule.family not in (None, family):
        raise SaltInvocationError(f"`{word}`: contradicts `family: {rule.family}`")
    rule.family = family


def _option_name(word: str, reach: Mapping[str, firewall_option.Say | None]) -> tuple[str, str | None]:
    """The canonical name of an abbreviated option, and the value attached to it."""
    if word[1] != "-":
        if word in COMMANDS or word[:2] in COMMANDS:
            raise SaltInvocationError(f"`{word}`: {COMMANDS[word[:2]]}")
        return (word[:2], word[2:]) if word[:2] in BASE else (word, None)
    name, equals, value = word.partition("=")
    attached = value if equals else None
    if name in reach or name in firewall_extensions.EVERYWHERE:
        return name, attached
    if name in BASE:
        return BASE[name], attached
    if name in COMMANDS:
        raise SaltInvocationError(f"`{name}`: {COMMANDS[name]}")
    matching = [full for full in (*reach, *ABBREVIATED) if full.startswith(name)]
    if len(matching) == 1:
        return BASE.get(matching[0], matching[0]), attached
    return name, attached


def _stray(word: str, options: list[firewall_option.Option]) -> SaltInvocationError:
    if VARIABLE.search(word):
        return SaltInvocationError(f"`{word}`: shell variables are not expanded")
    after = f" after {options[-1]}" if options else ""
    return SaltInvocationError(f"`{word}`: found{after}; expected an option (a list has commas and no blanks)")


def _skip(
    rule: firewall_option.Rule,
    option: firewall_option.Option,
    words: list[str],
    position: int,
    chain: str | None,
    table: str | None,
) -> int:
    """What is written with a rule but is not part of it. Returns where the rule goes on."""
    name = option.name
    if name in ("-4", "-6"):
        _by_hand(rule, f"ipv{name[1]}", name)
    for ours, key, kind in (("-A", chain, "chain"), ("-t", table, "table")):
        if name == ours and key and option.values[0] != key:
            raise SaltInvocationError(f"{option}: the rule stands in the {kind} {key}")
    if name == "-w" and not option.values and _is_value(words, position) and words[position].isdecimal():
        return position + 1
    if name == "-c":
        return position + 2 - len(option.values)
    return position


def _merge_with_earlier(options: list[firewall_option.Option], name: str, values: list[str]) -> None:
    """Two ``--to-destination``, one for each family, are a list of both."""
    for earlier in options:
        if earlier.name == name and earlier.values and values:
            options.remove(earlier)
            values[0] = f"{earlier.values[0]},{values[0]}"
            return
