"""Sets of ipset(8) in the pillar: of both families, there before the rules that name them, now and at every boot."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_boot_judgement as boot_judgement
import pytest

from .. import booted
from . import netfilter

Converge = Callable[..., dict[str, Any]]

FILE = Path("/etc/iptables/ipsets")
PLUGINS = Path("/usr/share/netfilter-persistent/plugins.d")
REGISTER = Path("/var/lib/dualstack_iptables/declared.json")
DROPS = "-m set --match-set blocklist src -j DROP"
BLOCKLIST = {"entries": ["192.0.2.0/24", "198.51.100.7", "2001:db8:bad::/48"]}


@pytest.fixture(autouse=True)
def _etc(tmp_path: Path) -> Iterator[None]:
    with booted.kept(tmp_path, Path("/etc"), PLUGINS):
        yield


def host(*rules: Any) -> dict[str, Any]:
    return {"filter": {"INPUT": {"rules": list(rules)}}}


def live() -> str:
    """The sets, without what the kernel chooses."""
    lines = []
    for line in netfilter.run("ipset", "save", "-sorted").splitlines():
        words = line.split()
        if words[0] == "create":
            words = words[: words.index("bucketsize")] if "bucketsize" in words else words
        lines.append(" ".join(words))
    return "\n".join(lines)


def rules() -> str:
    return "".join(netfilter.save(family, each) for family in netfilter.COMMANDS for each in ("nft", "legacy"))


def everything() -> list[str]:
    files = [each.read_text() if each.exists() else "" for each in (FILE, REGISTER)]
    return [live(), rules(), *files]


BOTH = """\
create blocklist hash:net family inet hashsize 1024 maxelem 65536
add blocklist 192.0.2.0/24
add blocklist 198.51.100.7
create blocklist6 hash:net family inet6 hashsize 1024 maxelem 65536
add blocklist6 2001:db8:bad::/48"""


def test_a_set_of_both_families(converge: Converge, backend: str) -> None:
    before = everything()
    predicted = converge(host(DROPS), sets={"blocklist": BLOCKLIST}, test=True)
    assert (predicted["result"], everything()) == (None, before), predicted["comment"]
    done = converge(host(DROPS), sets={"blocklist": BLOCKLIST})
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    assert done["changes"]["sets"] == {
        "blocklist": {"old": "absent", "new": "hash:net inet", "added": ["192.0.2.0/24", "198.51.100.7"]},
        "blocklist6": {"old": "absent", "new": "hash:net inet6", "added": ["2001:db8:bad::/48"]},
    }
    assert live() == BOTH
    assert netfilter.rules("ipv4", backend, "INPUT") == [DROPS]
    assert netfilter.rules("ipv6", backend, "INPUT")[-1] == DROPS.replace("blocklist", "blocklist6")
    after = everything()
    again = converge(host(DROPS), sets={"blocklist": BLOCKLIST})
    assert (again["result"], again["changes"], everything()) == (True, {}, after), again["comment"]


@pytest.mark.parametrize(
    "kind, entries, said",
    [
        ("hash:ip", ["192.0.2.1", "2001:DB8:0::1", "::ffff:192.0.2.1"], "src"),
        ("hash:ip,port", ["192.0.2.1,80", "192.0.2.1,UDP:53", "2001:db8::1,sctp:5"], "src,dst"),
        ("hash:net,port", ["192.0.2.0/31,tcp:80", "2001:db8::/32,tcp:80"], "src,dst"),
        ("hash:net,iface", ["0.0.0.0/0,eth0", "2001:db8::/32,eth1"], "src,src"),
        ("hash:ip,port,ip", ["192.0.2.1,80,192.0.2.2", "2001:db8::1,80,2001:db8::2"], "src,dst,dst"),
        ("hash:ip,port,net", ["192.0.2.1,80,192.0.2.2/32", "2001:db8::1,80,2001:db8::/126"], "src,dst,dst"),
    ],
)
def test_every_type_has_one_spelling(converge: Converge, kind: str, entries: list[str], said: str) -> None:
    given = {"sets": {"some": {"type": kind, "entries": entries}}, "save": False}
    rule = f"-m set --match-set some {said} -j DROP"
    done = converge(host(rule), **given)
    assert done["result"] is True, done["comment"]
    assert sum(line.startswith("add ") for line in live().splitlines()) == len(entries)
    again = converge(host(rule), **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]


def test_options_and_what_is_said_of_entries(converge: Converge) -> None:
    entries = [
        {"entry": "192.0.2.0/24", "comment": "abuse, 2026-01 (a; b)"},
        {"entry": "192.0.2.64/26", "nomatch": True},
        "2001:db8::/32",
    ]
    options: dict[str, Any] = {"hashsize": 3000, "maxelem": 100000, "counters": True, "comment": True, "timeout": 0}
    given: dict[str, Any] = {"sets": {"blocklist": {"entries": entries, "options": options}}}
    done = converge(host(DROPS), **given)
    assert done["result"] is True, done["comment"]
    head, *lines = live().splitlines()
    assert head == "create blocklist hash:net family inet hashsize 4096 maxelem 100000 timeout 0 counters comment"
    assert 'add blocklist 192.0.2.0/24 timeout 0 packets 0 bytes 0 comment "abuse, 2026-01 (a; b)"' in lines
    assert "add blocklist 192.0.2.64/26 timeout 0 nomatch packets 0 bytes 0" in lines
    assert converge(host(DROPS), **given)["changes"] == {}
    given["sets"]["blocklist"]["options"] = {**options, "maxelem": 5000, "counters": False}
    predicted = converge(host(DROPS), **given, test=True)["changes"]
    assert predicted["sets"]["blocklist"] == {
        "options": {"maxelem": {"old": 100000, "new": 5000}, "counters": {"old": True, "new": False}}
    }
    done = converge(host(DROPS), **given)
    assert (done["result"], done["changes"]) == (True, predicted), done["comment"]
    assert "maxelem 5000 timeout 0 comment" in live()
    assert converge(host(DROPS), **given)["changes"] == {}


def test_what_somebody_changes_by_hand(converge: Converge) -> None:
    given = {"sets": {"blocklist": BLOCKLIST}}
    assert converge(host(DROPS), **given)["result"] is True
    netfilter.run("ipset", "del", "blocklist", "198.51.100.7")
    netfilter.run("ipset", "add", "blocklist6", "2001:db8:f::/48")
    before = everything()
    predicted = converge(host(DROPS), **given, test=True)
    assert predicted["changes"] == {
        "sets": {"blocklist": {"added": ["198.51.100.7"]}, "blocklist6": {"removed": ["2001:db8:f::/48"]}}
    }
    assert everything() == before
    done = converge(host(DROPS), **given)
    assert (done["result"], done["changes"]) == (True, predicted["changes"]), done["comment"]
    assert live() == BOTH
    netfilter.run("ipset", "flush", "blocklist")
    assert converge(host(DROPS), **given)["result"] is True
    assert live() == BOTH


def test_entries_that_go_by_themselves_stay(converge: Converge) -> None:
    declared = {"entries": ["192.0.2.0/24"], "options": {"timeout": 600}}
    assert converge(host(DROPS), sets={"blocklist": declared})["result"] is True
    assert "add blocklist 192.0.2.0/24 timeout 0" in live()
    netfilter.run("ipset", "add", "blocklist", "203.0.113.9", "timeout", "500")
    assert converge(host(DROPS), sets={"blocklist": declared})["changes"] == {}
    declared["entries"] = ["192.0.2.0/24", "192.0.3.0/24"]
    done = converge(host(DROPS), sets={"blocklist": declared})
    assert done["changes"]["sets"] == {"blocklist": {"added": ["192.0.3.0/24"]}}
    assert "add blocklist 203.0.113.9 timeout 4" in live()
    assert "203.0.113.9" not in FILE.read_text()
    netfilter.run("ipset", "add", "-exist", "blocklist", "192.0.2.0/24", "timeout", "500")
    assert converge(host(DROPS), sets={"blocklist": declared})["result"] is True
    assert "add blocklist 192.0.2.0/24 timeout 0" in live()


OTHERS = """\
create f2b-sshd hash:ip family inet timeout 600
add f2b-sshd 203.0.113.77 timeout 599
create mine hash:net family inet
add mine 203.0.113.0/24
create all list:set size 8
add all mine
"""


def test_sets_of_others_are_never_touched(converge: Converge) -> None:
    netfilter.run("ipset", "restore", text=OTHERS)
    FILE.parent.mkdir(exist_ok=True)
    kept = "create mine hash:net family inet\nadd mine 203.0.113.0/24\n# by hand\n"
    FILE.write_text(kept)
    theirs = [line for line in live().splitlines() if "f2b" not in line]
    for declared in ({"blocklist": BLOCKLIST}, {"blocklist": ["192.0.2.1"]}, None):
        done = converge(host(*([DROPS] if declared else [])), sets=declared)
        assert done["result"] is True, done["comment"]
        assert set(theirs) <= set(live().splitlines())
        assert "add f2b-sshd 203.0.113.77 timeout 5" in live()
        assert FILE.read_text().endswith(kept) and "f2b" not in FILE.read_text()
    assert FILE.read_text() == kept


def test_a_set_that_is_no_longer_declared(converge: Converge) -> None:
    sets = {"blocklist": BLOCKLIST, "other": {"type": "hash:ip", "family": "ipv4", "entries": ["192.0.2.1"]}}
    assert converge(host(DROPS), sets=sets)["result"] is True
    assert json.loads(REGISTER.read_text())["sets"] == {"ipset": {"declared": ["blocklist", "blocklist6", "other"]}}
    netfilter.run("ipset", "create", "all", "list:set")
    netfilter.run("ipset", "add", "all", "blocklist")
    del sets["blocklist"]
    before = everything()
    predicted = converge(host(), sets=sets, test=True)
    assert everything() == before
    told = "sets: blocklist is no longer declared, but rules or other sets still use it: it was left there"
    assert told in predicted["comment"]
    assert predicted["changes"]["sets"] == {"blocklist6": {"old": "hash:net inet6", "new": "absent"}}
    done = converge(host(), sets=sets)
    assert (done["result"], done["changes"], told in done["comment"]) == (True, predicted["changes"], True)
    assert "create blocklist hash" in live() and "blocklist6" not in live()
    again = converge(host(), sets=sets)
    assert (again["changes"], told in again["comment"]) == ({}, True)
    netfilter.run("ipset", "destroy", "all")
    done = converge(host())
    assert done["result"] is True, done["comment"]
    assert (live(), FILE.read_text(), "sets" in json.loads(REGISTER.read_text())) == ("", "", False)
    assert converge(host())["changes"] == {}


def test_a_set_of_another_type(converge: Converge) -> None:
    assert converge(host(DROPS), sets={"blocklist": BLOCKLIST})["result"] is True
    other = {"blocklist": {"type": "hash:ip", "entries": ["192.0.2.1"]}}
    before = everything()
    for test in (True, False):
        done = converge(host(DROPS), sets=other, test=test)
        assert (done["result"], everything()) == (False, before)
        assert "sets:blocklist:type: blocklist is live as hash:net inet, and wanted as hash:ip inet" in done["comment"]
        assert "give it another name" in done["comment"]
    assert converge(host(), sets={"blocklist": BLOCKLIST})["result"] is True  # no rule names it any more
    done = converge(host(DROPS), sets=other)
    assert done["result"] is True, done["comment"]
    assert done["changes"]["sets"]["blocklist"] == {"old": "hash:net inet", "new": "hash:ip inet"}
    assert "create blocklist hash:ip family inet" in live()


def test_a_set_that_is_unheard_of(converge: Converge) -> None:
    done = converge(host("-j ACCEPT", "-m set --match-set unheard-of src -j DROP"), test=True)
    assert done["result"] is False
    assert done["comment"] == (
        "tables:filter:INPUT:rules[1]: there is no set unheard-of: it is neither declared under `sets` nor on this host"
    )


def test_at_no_moment_is_a_set_without_what_stays(converge: Converge) -> None:
    """While its entries change, what is in it before and after is always in it."""
    many = [f"10.{high}.{low}.0/24" for high in range(8) for low in range(256)]
    sets = {"blocklist": {"entries": ["192.0.2.0/24", *many]}}
    assert converge(host(DROPS), sets=sets, save=False)["result"] is True
    stop, misses, asked = threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            done = subprocess.run(["ipset", "-q", "test", "blocklist", "192.0.2.9"], check=False)
            asked.append(done.returncode)
            if done.returncode:
                misses.append(len(asked))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for turn in range(6):
            some = [each for index, each in enumerate(many) if index % 2 == turn % 2]
            done = converge(host(DROPS), sets={"blocklist": {"entries": ["192.0.2.0/24", *some]}}, save=False)
            assert done["result"] is True, done["comment"]
            assert len(live().splitlines()) == 2 + 1 + len(some)
    finally:
        stop.set()
        asking.join()
    assert len(asked) > 100 and not misses


def test_what_a_killed_run_has_left(converge: Converge) -> None:
    assert converge(host(DROPS), sets={"blocklist": BLOCKLIST})["result"] is True
    netfilter.run("ipset", "create", "dualstack-new-0", "hash:ip", "comment")
    netfilter.run("ipset", "create", "dualstack-new-7", "hash:ip", "comment")
    netfilter.run("ipset", "flush", "blocklist")
    done = converge(host(DROPS), sets={"blocklist": BLOCKLIST})
    assert (done["result"], live()) == (True, BOTH), done["comment"]


def test_rules_are_tried_with_the_sets_that_will_be(converge: Converge) -> None:
    netfilter.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    netfilter.run("ip", "addr", "add", "203.0.113.1/24", "dev", "eth0")
    netfilter.run("ip", "link", "set", "eth0", "up")
    try:
        given: dict[str, Any] = {
            "expect": [{"to": "tcp/25", "from": ["203.0.113.9"], "verdict": "drop"}],
            "sets": {"blocklist": ["192.0.2.0/24"]},
        }
        failed = converge(host(DROPS), **given)
        assert (failed["result"], live()) == (False, "")
        assert "expected drop, found accept" in failed["comment"]
        given["sets"] = {"blocklist": ["203.0.113.0/24"]}
        done = converge(host(DROPS), **given)
        assert done["result"] is True, done["comment"]
        given["sets"] = {"blocklist": ["203.0.113.128/25"]}
        failed = converge(host(DROPS), **given)  # only the set differs
        assert (failed["result"], "203.0.113.0/24" in live()) == (False, True)
        assert "expected drop, found accept" in failed["comment"]
    finally:
        netfilter.run("ip", "link", "del", "eth0")


def test_without_ipset(converge: Converge) -> None:
    """A run installs it before the rules; until then it can only be told what will be there."""
    program = Path("/usr/sbin/ipset")
    aside = program.rename("/usr/sbin/ipset.aside")
    try:
        predicted = converge(host(DROPS), sets={"blocklist": BLOCKLIST}, test=True)
        assert predicted["result"] is None
        assert list(predicted["changes"]["sets"]) == ["blocklist", "blocklist6"]
        assert "ipset is not installed yet: the rules are shown as they are written" in predicted["comment"]
        done = converge(host(DROPS), sets={"blocklist": BLOCKLIST})
        assert (done["result"], done["changes"]) == (False, {})
        assert done["comment"] == "ipset is not installed on this host, and the pillar has sets"
    finally:
        aside.rename(program)
    assert converge(host(DROPS), sets={"blocklist": BLOCKLIST})["result"] is True


# ----------------------------------------------------------------------------------------------------------------------
# Put back


BROKEN = """#!/bin/sh
# ipset(8), which once fails at what it is told to fail at: before it does that, or after.
if [ "$1" = restore ] && [ -e {flag} ]; then
  read -r order what <{flag}
  text=$(cat)
  case $text in
  *"$what"*)
    rm {flag}
    [ "$order" = before ] || echo "$text" | /usr/sbin/ipset restore
    echo "the kernel is out of memory" >&2
    exit 1
    ;;
  esac
  echo "$text" | exec /usr/sbin/ipset restore
fi
exec /usr/sbin/ipset "$@"
"""


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("what", ["swap dualstack-new-0", "destroy former"])
def test_a_run_that_fails_puts_the_sets_back(converge: Converge, tmp_path: Path, order: str, what: str) -> None:
    netfilter.run("ipset", "restore", text="create blocklist hash:net counters\nadd blocklist 10.0.0.0/8\n")
    assert converge(host(), sets={"former": ["192.0.2.1"]})["result"] is True
    before = everything()
    program, flag = Path("/usr/local/sbin/ipset"), tmp_path / "flag"
    program.write_text(BROKEN.format(flag=flag))
    program.chmod(0o755)
    flag.write_text(f"{order} {what}\n")
    try:
        done = converge(host(DROPS), sets={"blocklist": BLOCKLIST, "new": ["192.0.2.2"]})
    finally:
        program.unlink()
    assert not flag.exists(), "it was not asked for that"
    assert (done["result"], done["changes"]) == (False, {}), done["comment"]
    assert "the kernel is out of memory" in done["comment"]
    assert done["comment"].splitlines()[-1] == "Everything was put back as it was.", done["comment"]
    assert everything() == before


# ----------------------------------------------------------------------------------------------------------------------
# The next boot


def booting(sets: Any = None, rule: str = DROPS) -> tuple[bool | None, str]:
    pillar = {"firewall": {"tables": host(rule), "sets": sets or {"blocklist": BLOCKLIST}}}
    found = boot_judgement.parts(pillar, booted.Stacks())["firewall"]
    return found.holds, found.comment


def test_the_boot_loads_them_before_the_rules(modules: Any) -> None:
    declared = {"tables": host(DROPS), "sets": {"blocklist": BLOCKLIST}}
    done = modules.dualstack_iptables.ruleset("firewall", **declared, test=False)
    assert done["result"] is True, done["comment"]
    assert FILE.stat().st_mode & 0o777 == 0o640
    assert booting() == (
        True,
        "netfilter-persistent loads the live rules of ipv4 and ipv6 (filter), and nothing else loads any",
    )
    script = "netfilter-persistent start >/dev/null 2>&1; ipset save -sorted | sed 's/ bucketsize.*//'"
    assert netfilter.run("unshare", "--net", "sh", "-c", script).strip() == BOTH
    netfilter.run("netfilter-persistent", "start")  # once more, where all is there
    assert live() == BOTH
    FILE.write_text(netfilter.run("ipset", "save"))
    text = FILE.read_text()
    assert modules.dualstack_iptables.ruleset("firewall", **declared, test=False)["changes"] == {}
    assert FILE.read_text() == text
    FILE.write_text(text.replace("add blocklist 192.0.2.0/24\n", ""))
    assert booting()[0] is False
    mended = modules.dualstack_iptables.ruleset("firewall", **declared, test=False)
    assert list(mended["changes"]) == [str(FILE)]
    assert booting()[0] is True
    FILE.unlink()
    holds, comment = booting()
    assert holds is False
    assert f"{FILE}: there is no such file, and the rules use the set blocklist" in comment
    assert "/etc/iptables/rules.v4: the boot cannot load it: " in comment


def test_what_loads_them_is_missing(modules: Any) -> None:
    for each in PLUGINS.glob("*-ipset"):
        each.unlink()
    done = modules.dualstack_iptables.ruleset("firewall", tables=host(DROPS), sets={"blocklist": BLOCKLIST}, test=False)
    assert done["result"] is True
    assert "nothing loads the sets at boot, and no rule without them: the package ipset-persistent is missing" in (
        done["comment"]
    )
    assert booting()[0] is False


def test_nothing_is_saved_where_the_pillar_says_so(converge: Converge) -> None:
    done = converge(host(DROPS), sets={"blocklist": BLOCKLIST}, save=False)
    assert (done["result"], FILE.exists(), live()) == (True, False, BOTH), done["comment"]


# ----------------------------------------------------------------------------------------------------------------------
# Beside other parts


def test_a_single_rule_names_both(modules: Any, converge: Converge, backend: str) -> None:
    sets = {"blocklist": BLOCKLIST}
    assert converge(host(), sets=sets)["result"] is True
    rule = "-m set --match-set blocklist src -j DROP"
    done = modules.dualstack_iptables.rule("drops", rule=rule, backend=backend, test=False)
    assert done["result"] is True, done["comment"]
    assert rule in netfilter.rules("ipv4", backend, "INPUT")
    assert rule.replace("blocklist", "blocklist6") in netfilter.rules("ipv6", backend, "INPUT")
    assert converge(host(), sets=sets)["changes"] == {}


def test_adopting(modules: Any, converge: Converge, backend: str) -> None:
    """What is live comes back as it is: as one set of both families, and rules that name it."""
    sets = {"blocklist": BLOCKLIST}
    assert converge(host(DROPS), sets=sets, icmpv6_essential=False)["result"] is True
    before = rules()
    found = modules.dualstack_iptables.adopt(backend)["ipv6"]["firewall"]
    assert found["tables"]["filter"]["INPUT"]["rules"] == [DROPS]
    assert found["sets"] == {"blocklist": {"type": "hash:net", **BLOCKLIST}}
    done = modules.dualstack_iptables.ruleset("firewall", **found, backend=backend, test=False)
    assert (done["result"], done["changes"], rules()) == (True, {}, before), done["comment"]
    assert modules.dualstack_iptables.audit(backend) == []
