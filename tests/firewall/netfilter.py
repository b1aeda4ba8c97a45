"""The firewall of the namespace that the tests run in, looked at without this project's own code."""

from __future__ import annotations

import difflib
import re
import subprocess

COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
EMPTY = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains) + "COMMIT\n"
    for table, chains in BUILT_IN.items()
)

EMPTY_CHAIN = re.compile(":[A-Z]+ ACCEPT( |$)")


def run(*words: str, text: str | None = None) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def reset() -> None:
    """No rules, chains or sets in either backend. What is empty in legacy does not go away, which does no harm."""
    for command in COMMANDS.values():
        run(f"{command}-nft-restore", text=EMPTY)
        for table in BUILT_IN:
            for option in ("-F", "-X"):
                run(f"{command}-nft", "-t", table, option)
        run(f"{command}-legacy-restore", text=EMPTY)
    run("ipset", "flush")
    run("ipset", "destroy")


def load(family: str, backend: str, text: str) -> None:
    """Load rules, in addition to those that are there."""
    run(f"{COMMANDS[family]}-{backend}-restore", "--noflush", text=text)


def save(family: str, backend: str, counters: bool = False) -> str:
    """What the kernel holds, without what differs each time."""
    words = ["-c"] if counters else []
    text = run(f"{COMMANDS[family]}-{backend}-save", *words)
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return "\n".join(line.partition(" [")[0] if line[0] == ":" and not counters else line for line in lines)


def rules(family: str, backend: str, chain: str, table: str = "filter") -> list[str]:
    """The rules of one chain, as iptables -S prints them."""
    found = run(f"{COMMANDS[family]}-{backend}", "-t", table, "-S", chain).splitlines()
    return [line[len(f"-A {chain} ") :] for line in found if line.startswith("-A ")]


def loaded(family: str, backend: str, text: str) -> dict[str, list[str]]:
    """What a kernel without any rules holds when it has loaded a text: the tables, as in ``tables``."""
    command = f"{COMMANDS[family]}-{backend}"
    return tables(run("unshare", "--net", "sh", "-c", f"{command}-restore && {command}-save", text=text))


def tables(saved: str) -> dict[str, list[str]]:
    """The lines of each table that say anything, chain by chain: the order of the chains means nothing."""
    found: dict[str, list[str]] = {}
    for line in saved.split("\n"):
        if line.startswith("*"):
            lines = found[line[1:]] = []
        elif line.startswith(":") and not EMPTY_CHAIN.match(line):
            lines.append(line.partition(" [")[0])
        elif line.startswith("-A "):
            lines.append(line)
    return {name: sorted(lines, key=lambda line: line.split(" ")[:2]) for name, lines in found.items() if lines}


def difference(found: dict[str, list[str]], expected: dict[str, list[str]]) -> str:
    """The lines that differ, which is easier to read than what pytest makes of two mappings."""
    old, new = ([f"{key} {line}" for key in sorted(each) for line in each[key]] for each in (found, expected))
    return "\n".join(difflib.unified_diff(old, new, "found", "expected", n=0, lineterm=""))
