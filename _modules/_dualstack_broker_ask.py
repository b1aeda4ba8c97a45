"""
One question to a tunnel broker: over HTTPS, over IPv4, once.

The key is in the header of :rfc:`7617`, never in a URL, which would end up in logs. Certificates are verified,
redirects are not followed, and no proxy is used: the key would go elsewhere. The whole of it has one limit of time, and
the answer one of length.
"""

from __future__ import annotations

import base64
import functools
import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

import _dualstack_broker_settings as broker_settings
import _dualstack_host_apart as host_apart
import _dualstack_secrets_said as secrets_said
import salt.utils.json
from salt.exceptions import CommandExecutionError

TIMEOUT = 30.0  # seconds for all of it
AGENT = "dualstack-tunnel/1"
UPDATE, INFO = 4096, 65536  # bytes of an answer; real ones have some dozens, and some hundreds


class Answer(NamedTuple):
    """What the broker said, or why nothing is known of that."""

    status: int
    text: str
    problem: str = ""


class _OverIPv4(http.client.HTTPSConnection):
    """A connection over IPv4 only: the broker takes the address that a request comes from."""

    def connect(self) -> None:
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]
        problem: OSError = OSError(f"{self.host} has no IPv4 address")
        for *_, address in socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_STREAM):
            try:
                plain = socket.create_connection((str(address[0]), int(address[1])), self.timeout)
            except OSError as error:
                problem = error
                continue
            self.sock = context.wrap_socket(plain, server_hostname=self.host)
            return
        raise problem


def ask(account: broker_settings.Account, url: str, query: Mapping[str, str], most: int) -> Answer:
    """
    Ask a broker.

    account
        As whom.
    url
        One of its URLs.
    query
        What is asked; it is no secret.
    most
        Bytes of the answer, at most.

    Raises nothing but what interrupts a state: a ``problem`` says what went wrong, without the key. The text is as it
    came: what is shown of it goes through :py:func:`hidden`.
    """
    asked = functools.partial(_answered, account, f"{url}?{urllib.parse.urlencode(query)}", most)
    try:  # the timeout of a socket would begin again with each byte
        found = salt.utils.json.loads(host_apart.call(asked, TIMEOUT))
        return Answer(int(found[0]), str(found[1]), hidden(account, str(found[2])))
    except TimeoutError:
        return Answer(0, "", f"no answer within {TIMEOUT:g} s")
    except CommandExecutionError as error:
        return Answer(0, "", hidden(account, str(error)))


def hidden(account: broker_settings.Account, words: str) -> str:
    """
    Words that may quote what a broker has sent back, without the key.

    account
        Whose key.
    words
        The words.
    """
    said = secrets_said.without(words, secrets_said.known([account.key, _basic(account)]))
    for each in (account.key, _basic(account)):
        said = said.replace(each, secrets_said.HIDDEN) if len(each) >= secrets_said.SHORTEST else said
    return said


def _basic(account: broker_settings.Account) -> str:
    return base64.b64encode(f"{account.user}:{account.key}".encode()).decode()


def _answered(account: broker_settings.Account, url: str, most: int) -> str:
    """In a process of its own: the status, the text and the problem, as JSON."""
    try:
        context = ssl.create_default_context(cafile=account.ca)
    except OSError as error:
        said = f"ca: {account.ca} has no certificate that can be read: {error.strerror or error}"
        return salt.utils.json.dumps([0, "", said])
    status, text, problem = 0, "", ""
    try:
        status, text = _get(account, url, most, context)
    except ssl.SSLCertVerificationError as error:
        problem = f"its certificate is not trusted: {error.verify_message}"
    except TimeoutError:
        problem = f"no answer within {TIMEOUT:g} s"
    except socket.gaierror as error:
        problem = f"the name {urllib.parse.urlsplit(url).hostname} leads nowhere: {error.strerror}"
    except (OSError, http.client.HTTPException) as error:
        problem = f"no answer: {error or type(error).__name__}"
    if 300 <= status < 400:
        problem = f"it answers with a redirect ({status}), which is not followed: the key would go elsewhere"
    elif len(text) > most:
        problem, text = f"its answer has more than {most} bytes", ""
    return salt.utils.json.dumps([status, text.strip(), problem])


def _get(account: broker_settings.Account, url: str, most: int, context: ssl.SSLContext) -> tuple[int, str]:
    """http.client follows no redirects and uses no proxy."""
    parts = urllib.parse.urlsplit(url)
    connection = _OverIPv4(str(parts.hostname), parts.port, timeout=TIMEOUT, context=context)
    try:
        headers = {"Authorization": f"Basic {_basic(account)}", "User-Agent": AGENT, "Connection": "close"}
        connection.request("GET", f"{parts.path or '/'}?{parts.query}", headers=headers)
        response = connection.getresponse()
        return response.status, response.read(most + 1).decode("utf-8", "replace")
    finally:
        connection.close()
