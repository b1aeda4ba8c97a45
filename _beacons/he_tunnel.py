"""
A beacon for the 6in4 tunnel: it fires when something changes, and only then.

.. code-block:: yaml

    beacons:
      he_tunnel:
        - interval: 60        # seconds between two looks
        - name: he-ipv6       # the interface (default he-ipv6)
        - attempts: 3         # echo requests; the broker's end is silent if all are lost (default 3)
        - timeout: 2          # seconds to wait for the last answer (default 2)
        - metrics: /var/lib/prometheus/node-exporter/dualstack.prom   # also written at each look; by default not

Events, below ``salt/beacon/<minion>/he_tunnel/``:

``silent``
    The broker's end of the tunnel has stopped answering; ``reason`` has ping(8)'s words.
``answering``
    It answers again; ``rtt`` has the average round trip in seconds.
``address``
    The IPv4 address that the tunnel's packets come from is another one: ``old`` and ``new``. Or the tunnel has an
    address that is none of this host's any more: ``assigned`` is false.

All have ``name``, ``gateway`` and ``local``. The first look fires only if something is wrong. What was seen last is
kept in Salt's cache, so that a restart of the minion is no first look. What could not be found out is no change.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import salt.utils.files
import salt.utils.json

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

log = logging.getLogger(__name__)

__virtualname__ = "he_tunnel"

DEFAULTS: dict[str, Any] = {"name": "he-ipv6", "attempts": 3, "timeout": 2}
# What Salt itself takes, or adds.
SALTS = ("interval", "enabled", "disable_during_state_run", "run_once", "beacon_module", "_beacon_name")
KEPT = ("answering", "local", "assigned")  # what is compared with the next look
_LAST: dict[str, dict[str, Any]] = {}  # of each interface, in case that the disk is full
MODE = 0o644  # of the metrics: node_exporter does not run as root


def validate(config: Any) -> tuple[bool, str]:
    """
    Whether the beacon's configuration is valid.

    config
        A list of mappings with one key each, as Salt passes it, or one mapping.

    Returns this, and what is wrong, in words.
    """
    try:
        problems = _problems(_read(config))
    except (TypeError, ValueError):
        problems = ["expected a list of settings, each as `key: value`"]
    return not problems, "; ".join(problems) or "Valid beacon configuration"


def beacon(config: Any) -> list[dict[str, Any]]:
    """
    Look at the tunnel.

    config
        As for :py:func:`validate`.

    Returns the events. Raises nothing: Salt would report an error every time.
    """
    try:
        given = {**DEFAULTS, **_read(config)}
        facts = __salt__["he_tunnel.metrics"](
            given["name"], attempts=given["attempts"], timeout=given["timeout"], as_data=True
        )
        if given.get("metrics"):
            _write(str(given["metrics"]), facts["text"])
        before = _recall(given["name"])
        now = {**before, **{key: facts[key] for key in KEPT if facts[key] is not None}}
        if now != before:
            _keep(given["name"], now)
        return _events(before, facts)
    except Exception as error:  # pylint: disable=broad-except
        log.warning("the beacon he_tunnel found nothing out: %s", error)
        return []


def _read(config: Any) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    found: dict[str, Any] = {}
    for each in config:
        found.update(each)
    return found


def _problems(given: Mapping[str, Any]) -> list[str]:
    known = (*DEFAULTS, "metrics", *SALTS)
    problems = [f"{key}: unknown key; expected one of {', '.join(known[:4])}" for key in given if key not in known]
    complete = {**DEFAULTS, **given}
    if not isinstance(complete["name"], str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", complete["name"]):
        problems.append(f"name: {complete['name']!r} is not the name of an interface")
    attempts, timeout = complete["attempts"], complete["timeout"]
    if isinstance(attempts, bool) or not isinstance(attempts, int) or not 0 < attempts <= 100:
        problems.append(f"attempts: {attempts!r} is not a whole number from 1 to 100")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 30:
        problems.append(f"timeout: {timeout!r} is not a number of seconds up to 30")
    path = complete.get("metrics")
    if path is not None and not (isinstance(path, str) and os.path.isabs(path) and path.endswith(".prom")):
        problems.append(f"metrics: {path!r} is not the path of a file that ends in .prom, as node_exporter reads them")
    return problems


def _events(before: Mapping[str, Any], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What has changed since the last look; at the first one, what is wrong."""
    common = {key: facts[key] for key in ("name", "gateway", "local")}
    events = []
    if facts["answering"] is False and before.get("answering", True):
        events.append({**common, "tag": "silent", "loss": facts["loss"], "reason": facts["reason"]})
    if facts["answering"] and before.get("answering") is False:
        events.append({**common, "tag": "answering", "loss": facts["loss"], "rtt": facts["rtt"]})
    moved = facts["local"] is not None and before.get("local") not in (None, facts["local"])
    lost = facts["assigned"] is False and before.get("assigned", True)
    if moved or lost:
        told = {"old": before.get("local"), "new": facts["local"], "assigned": facts["assigned"]}
        events.append({**common, "tag": "address", **told})
    return events


def _memory(name: str) -> str:
    return os.path.join(__opts__["cachedir"], f"dualstack_beacon_{name}.json")


def _recall(name: str) -> dict[str, Any]:
    if name in _LAST:
        return _LAST[name]
    try:
        with salt.utils.files.fopen(_memory(name), encoding="utf-8") as stream:
            found = salt.utils.json.load(stream)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(name: str, facts: dict[str, Any]) -> None:
    _LAST[name] = facts
    _write(_memory(name), salt.utils.json.dumps(facts), 0o600)


def _write(path: str, text: str, mode: int = MODE) -> None:
    """Replace a file in one step: who reads it meanwhile has the old one or the new one. A full disk stops no event."""
    try:
        descriptor, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".dualstack-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                os.fchmod(stream.fileno(), mode)
            os.replace(new, path)
        except BaseException:
            os.unlink(new)
            raise
    except OSError as error:
        log.warning("the beacon he_tunnel could not write %s: %s", path, error.strerror or error)
