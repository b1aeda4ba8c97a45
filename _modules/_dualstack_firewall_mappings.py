"""
A rule that is written as a mapping, with the keys of Salt's iptables state, as the words of a script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import _dualstack_firewall_extensions as firewall_extensions
import _dualstack_firewall_reading as firewall_reading
import _dualstack_firewall_words as firewall_words
from salt.exceptions import SaltInvocationError

IGNORED = frozenset("state name save chain table family rule fun order".split())  # as in Salt, or read elsewhere
FIRST = {"if": "-i", "of": "-o"}
AFTER_JUMP = tuple("""
    add-set and-mark and-tos checksum-fill clamp-mss-to-pmtu clustermac ctevents ctmask del-set ecn-tcp-remove exist
    expevents gateway hash-init hashmode helper label local-node log-ip-options log-level log-prefix log-tcp-options
    log-tcp-sequence log-uid map-set mask mss new nfmask nflog-group nflog-prefix nflog-range nflog-threshold nodst
    notrack on-ip on-port or-mark or-tos persistent queue-balance queue-bypass queue-num random random-fully
    rateest-ewmalog rateest-interval rateest-name reject-with restore restore-mark sack-perm save-mark selctx set-class
    set-dscp set-dscp-class set-mark set-mss set-tos set-xmark strip-options timeout timestamp to to-destination
    to-ports to-source total-nodes tproxy-mark ttl-dec ttl-inc ttl-set type ulog-cprange ulog-nlgroup ulog-prefix
    ulog-qthreshold wscale xor-mark xor-tos zone zone-orig zone-reply dst-pfx hl-dec hl-inc hl-set hmark-dport-mask
    hmark-dst-prefix hmark-mod hmark-offset hmark-proto-mask hmark-rnd hmark-spi-mask hmark-sport-mask hmark-src-prefix
    hmark-tuple led-always-blink led-delay led-trigger-id queue-cpu-fanout src-pfx to-port addr and-mask delude honeypot
    or-mask prefix reset reuse set-mac shift static tarpit tname ttl log-macdecode nflog-size
    """.split())  # in the order in which Salt's own build_rule writes them
CONNECTION_STATE = re.compile("NEW|ESTABLISHED|RELATED|INVALID|UNTRACKED")
NEGATION = re.compile(r"!\s*|not\s+")
# Keys that say nothing without a value, and would widen the rule if they were left out.
VALUED = frozenset("""
    proto protocol p source src s destination dst d dport sport dports sports if of in-interface out-interface i o
    jump target j goto g match connstate ctstate comment match-set
    """.split())
# YAML 1.1 reads 20:21 without quotes as a number to the base of 60: as 1221. A number does not tell how it was written.
# So those are refused that a range of well-known ports gives, and that hardly anybody uses.
WELL_KNOWN = (20, 21, 22, 23, 25, 53)
USED = (1433,)  # by SQL servers
SEXAGESIMAL = {
    60 * low + high: f"{low}:{high}"
    for low in WELL_KNOWN
    for high in WELL_KNOWN
    if low < high and 60 * low + high not in USED
}
PORTS = ("dport", "sport", "dports", "sports", "destination-port", "source-port", "destination-ports", "source-ports")


def words(given: Mapping[str, Any]) -> list[str]:
    """The words of a mapping, in the order of Salt's own ``iptables.build_rule``."""
    for key, value in given.items():
        _refuse_value(key, value)
    keys = {key: value for key, value in given.items() if value is not False and (key, value) != ("comment", None)}
    for key in keys:
        if not isinstance(key, str):
            raise SaltInvocationError(f"`{key!r}`: a key is a word")
        if key in ("position", "command", "full"):
            raise SaltInvocationError(f"`{key}`: {firewall_reading.ORDER}")
    if CONNECTION_STATE.search(str(keys.get("state", ""))):
        raise SaltInvocationError(f"`state: {keys['state']}`: Salt leaves this key out; expected `connstate`")
    if not isinstance(keys.get("rule", ""), str):
        raise SaltInvocationError(f"`rule: {keys['rule']!r}`: expected words")
    words = firewall_words.split(keys.get("rule", ""))
    for key, option in (("table", "-t"), ("chain", "-A")):
        words += [option, str(keys[key])] if keys.get(key) else []
    for key in [key for key in keys if key in IGNORED or key.startswith("__")]:
        del keys[key]

    jumps = [keys.pop(key) for key in ("target", "jump", "j") if key in keys]
    matches = _list(keys.pop("match", []))
    if not all(matches):
        raise SaltInvocationError("`match`: an empty name")
    loaded = [match.split()[0] for match in matches]
    protocol = keys.pop("proto") if "proto" in keys and loaded != ["policy"] else keys.pop("protocol", None)

    for key, option in FIRST.items():
        if key in keys:
            words += _option_words(option, keys.pop(key))
    if protocol is not None:
        words += _option_words("-p", protocol)
    for match in matches:
        words += ["-m", *firewall_words.split(match)]
        if "name_" in keys and match in ("pknock", "quota2", "recent"):
            words += _option_words("--name", keys.pop("name_"))
    if "proto" in keys:
        words += _option_words("--proto", keys.pop("proto"))
    sets = keys.pop("match-set", [])
    for each in [sets] if isinstance(sets, str) else sets:
        words += ["-m", "set", *_option_words("--match-set", each)]
    for key, option, match in IMPLIED:
        if key in keys:
            if match == "multiport" and protocol is None and "-p" not in words:
                raise SaltInvocationError(f"`{key}`: needs `proto`")
            if match and match not in loaded:
                words += ["-m", match]
                loaded.append(match)
            words += _option_words(option, keys.pop(key))
    if keys.get("set"):
        words += _option_words("--match-set", keys.pop("set"))
    after = [(f"--{key}", keys.pop(key)) for key in AFTER_JUMP if key in keys]
    for key, value in keys.items():
        words += _option_words("--name" if key == "name_" else f"-{key}" if len(key) == 1 else f"--{key}", value)
    for value in jumps:
        words += _option_words("-j", value)
    for option, value in after:
        words += [option, *_value_words(option, value)]
    return words


def _refuse_value(key: Any, value: Any) -> None:
    for each in (value if isinstance(value, (list, tuple)) else [value]) if key in PORTS else ():
        if isinstance(each, int) and each in SEXAGESIMAL:
            raise SaltInvocationError(
                f"`{key}: {each}`: YAML reads {SEXAGESIMAL[each]} without quotes as {each}; expected "
                f"'{SEXAGESIMAL[each]}' if these ports are meant, or '{each}' if that port is, in quotes"
            )
    if key in VALUED and isinstance(value, (bool, float)) and (key != "comment" or isinstance(value, bool)):
        raise SaltInvocationError(f"`{key}: {value}`: expected text or a whole number")
    if key == "comment" and isinstance(value, (list, tuple)):
        raise SaltInvocationError(f"`{key}: {value!r}`: expected text")
    for each in value if isinstance(value, (list, tuple)) else ():
        if isinstance(each, bool) or not isinstance(each, (str, int)):
            raise SaltInvocationError(f"`{key}`: expected text or a whole number in the list, found {each!r}")


IMPLIED = (
    ("connstate", "--state", "state"),
    ("dport", "--dport", ""),
    ("sport", "--sport", ""),
    ("dports", "--dports", "multiport"),
    ("sports", "--sports", "multiport"),
    ("comment", "--comment", "comment"),
)


def _list(value: Any) -> list[str]:
    if not value:
        return []
    return [str(each).strip() for each in (value if isinstance(value, (list, tuple)) else str(value).split(","))]


def _option_words(option: str, value: Any) -> list[str]:
    """An option and its value; a leading ``!`` or ``not`` in the value negates it, as with Salt's own states."""
    if option == "--comment":
        return [option, str(value)]
    if isinstance(value, (list, tuple)):
        items = [str(each) for each in value]
        negated = [NEGATION.match(item) for item in items]
        if any(negated) and not all(negated):
            raise SaltInvocationError(
                f"`{option[2:] or option}: {', '.join(items)}`: negate all of the list, or nothing"
            )
        if any(negated):
            return ["!", option, *_value_words(option, [NEGATION.sub("", item, count=1) for item in items])]
    elif isinstance(value, str) and (negation := NEGATION.match(value)):
        return ["!", option, *_value_words(option, value[negation.end() :])]
    return [option, *_value_words(option, value)]


def _value_words(option: str, value: Any) -> list[str]:
    if value is None or value is True:
        return []
    if isinstance(value, (list, tuple)):
        if not value or not all(str(each).strip() for each in value):
            raise SaltInvocationError(f"`{option}`: an empty list; it never means *any*")
        return [",".join(str(each).strip() for each in value)]
    if option in firewall_extensions.FREE_TEXT:
        text = str(value)
        return [text[1:-1] if len(text) > 1 and text[0] == text[-1] in "\"'" else text]
    return firewall_words.split(re.sub(r",\s+", ",", str(value)))
