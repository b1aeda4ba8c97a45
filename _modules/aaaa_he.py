"""
AAAA records at dns.he.net, Hurricane Electric's DNS hosting, by its dynamic DNS service.

The record has to exist already: create it at dns.he.net, tick "Enable entry for dynamic dns", and generate a key for
it. That key is only valid for this one name (its A and AAAA records): ``keys`` has one for each name.

The service can only change the address of a record: it cannot create or remove one, nor change its TTL. Hence
``aaaa.withdrawn`` fails with this provider if there is a record, and an existing address is replaced, no matter who
published it.

It is called only if the record differs, and only once: it locks out clients that call too often. The key is in the body
of a POST over HTTPS, never in a URL, which would end up in logs; redirects are not followed, and no proxy is used.

The service speaks the protocol of Dyn ("dyndns2"); what it answers is in ``ANSWERS``.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import os
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_dns_provider as dns_provider
    import _dualstack_dns_values as dns_values
    import _dualstack_host_apart as host_apart
    import _dualstack_plugins as plugins
    import _dualstack_secrets_said as secrets_said
if TYPE_CHECKING:
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa_he"

URL = "https://dyn.dns.he.net/nic/update"
TIMEOUT = 30.0  # seconds
UNKNOWN = "whether the record was changed is not known"
LATE = f"no answer in time; {UNKNOWN}"
LIMIT = 4096  # bytes of an answer; a real one has a few
ANSWERS = {
    "badauth": "the key is wrong, or the record is not enabled for dynamic DNS (badauth)",
    "nohost": "there is no such record; create an AAAA record there and enable it for dynamic DNS (nohost)",
    "notfqdn": "it is not a full host name (notfqdn)",
    "!yours": "the record belongs to another account (!yours)",
    "badip": "it does not accept the address (badip)",
    "badsys": "it does not understand the request (badsys)",
    "badagent": "it does not accept this client (badagent)",
    "abuse": "the record is blocked since it was updated too often; wait some hours, then look at dns.he.net (abuse)",
    "interval": "the last update was too recent; wait some minutes (interval)",
    "dnserr": "it reports an internal error; try again later (dnserr)",
    "911": "it is out of order; try again later (911)",
}


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """
    What this provider can do, and the keys of its settings.

    settings
        Those of the pillar.

    Returns the mapping that is described in the module ``aaaa``.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_he.about '{}'
    """
    return {
        "keys": {
            "keys": "a mapping with the key of each name, as dns.he.net has generated it",
            "url": f"the URL of the service ({URL})",
            "ca": "the path of a file with the certificates to trust (the system's)",
            "timeout": f"seconds to wait for the service ({TIMEOUT:g})",
        },
        "required": ["keys"],
        "withdraws": False,
        "sets_ttl": False,
        "replaces": True,
        "atomic": False,
        "servers": [],
    }


def errors(settings: dict[str, Any], names: list[str]) -> list[str]:
    """
    The errors in the values of the settings.

    settings
        Those of the pillar that are given and known.
    names
        The host names: each needs its key.

    Returns sentences that begin with the key of the settings. A record's key is never shown.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_he.errors '{url: "http://dyn.dns.he.net/nic/update"}' '[www.example.org]'
    """
    problems = _key_errors(settings["keys"], names) if "keys" in settings else []
    url = settings.get("url", URL)
    if not _is_https(url):
        problems.append(f"url: expected an https:// URL without user, key or query, such as {URL}")
    ca = settings.get("ca", "/")
    if not isinstance(ca, str) or not os.path.isabs(ca):
        problems.append(f"ca: {ca!r} is not the path of a file")
    timeout = settings.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 300:
        problems.append(f"timeout: {timeout!r} is not a number of seconds up to 300")
    return problems


def _key_errors(keys: Any, names: list[str]) -> list[str]:
    if not isinstance(keys, dict):
        return [f"keys: expected a mapping such as {{www.example.org: its key}}, found a {type(keys).__name__}"]
    given = _keys(keys)
    problems = [f"keys: {name} has none" for name in names if name not in given]
    for name, key in given.items():
        if not isinstance(key, str) or not key:
            problems.append(f"keys: that of {name} is not a text; put it in quotes")
    return problems


def _keys(keys: dict[Any, Any]) -> dict[str, Any]:
    return {dns_values.canonical(str(name)): key for name, key in keys.items()}


def _is_https(url: Any) -> bool:
    try:
        parts = urllib.parse.urlsplit(url if isinstance(url, str) else "")
        plain = parts.username is None and not parts.query and not parts.fragment
        return parts.scheme == "https" and bool(parts.hostname) and plain and parts.port != 0
    except ValueError:
        return False


def change(credentials: str, edits: plugins.Edits) -> None:
    """
    Change the address of the records of some names.

    credentials
        The key of the pillar under which the settings are. They are read only from there.
    edits
        ``{name: {"old": {"addresses": [...], "ttl": ...}, "new": {...}}}``; one new address for each.

    Raises ``SaltInvocationError`` for wrong settings or edits, and ``CommandExecutionError`` with what the service
    said, in words.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_he.change ipv6:dns:he '{}'
    """
    settings = dns_provider.checked(__pillar__, credentials, edits, about, errors)
    for name, edit in edits.items():
        addresses = edit["new"]["addresses"]
        if len(addresses) != 1:
            found = ", ".join(addresses) or "none"
            raise CommandExecutionError(
                f"dns.he.net keeps one address for {name} and cannot remove it; wanted: {found}"
            )
        key = _keys(settings["keys"])[name]
        secrets = secrets_said.known([key])
        asked = functools.partial(_ask, settings, {"hostname": name, "password": key, "myip": addresses[0]}, secrets)
        try:  # the timeout of a socket would begin again with each byte
            problem = host_apart.call(asked, settings.get("timeout", TIMEOUT))
        except TimeoutError:
            problem = LATE
        except CommandExecutionError as error:
            problem = f"{error}; {UNKNOWN}"
        if problem:
            url = settings.get("url", URL)
            said = f"the update of {name} at {url} failed: {problem}"
            raise CommandExecutionError(secrets_said.without(said, secrets))


def _ask(settings: dict[str, Any], form: dict[str, str], secrets: secrets_said.Secrets) -> str:
    """Send a form; the problem, or nothing if the record now has the address."""
    try:
        context = ssl.create_default_context(cafile=settings.get("ca"))
    except OSError as error:
        return f"ca: {settings.get('ca')} has no certificate that can be read: {error.strerror or error}"
    try:
        status, text = _post(settings, form, context)
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message}"
    except TimeoutError:
        return LATE
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error or type(error).__name__}"
    return _problem(status, secrets_said.without(text, secrets), form["myip"])


def _post(settings: dict[str, Any], form: dict[str, str], context: ssl.SSLContext) -> tuple[int, str]:
    """Send a form; http.client follows no redirects and uses no proxy."""
    url = urllib.parse.urlsplit(settings.get("url", URL))
    timeout = settings.get("timeout", TIMEOUT)
    connection = http.client.HTTPSConnection(str(url.hostname), url.port, timeout=timeout, context=context)
    try:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "dualstack-aaaa/1"}
        connection.request("POST", url.path or "/", urllib.parse.urlencode(form), headers)
        response = connection.getresponse()
        return response.status, response.read(LIMIT).decode("utf-8", "replace").strip()
    finally:
        connection.close()


def _problem(status: int, text: str, address: str) -> str:
    """The error in an answer; empty if the record now has the address."""
    code, _, rest = text.partition(" ")
    if 300 <= status < 400:
        return f"it answers with a redirect ({status}), which is not followed: the key would go elsewhere"
    if code in ANSWERS:
        return ANSWERS[code]
    if status == 401:
        return ANSWERS["badauth"]
    if status != 200:
        return f"it answers {status} {http.client.responses.get(status, '')}".strip()
    if code in ("good", "nochg"):
        return "" if not rest or _equal(rest, address) else f"it has set another address: {rest[:80]!r}"
    if not text:
        return "its answer is empty"
    if text.startswith("<"):
        return "it answers with a web page; a captive portal may be in between"
    return f"it answers something unknown: {text[:80]!r}"


def _equal(found: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(found.strip()) == ipaddress.ip_address(address)
    except ValueError:
        return False
