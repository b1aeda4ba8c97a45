"""
How Postfix listens: main.cf of postconf(5), and the endpoints of master(5). PURE: never accesses the host.

* It opens one socket for each family, with ``IPV6_V6ONLY`` set: net.ipv6.bindv6only has no effect.
* ``inet_protocols`` and ``inet_interfaces`` decide together where it listens. An entry of master.cf with a host of its
  own follows only the first of them. Such an entry is deliberate: it stays, and gets a copy beside it where its address
  is a published one.
* Each of ``multi_instance_directories`` whose ``multi_instance_enable`` is on is an instance of its own, with a main.cf
  and a master.cf that know nothing of the others. They share the host's addresses.
* One for this host only, such as one that only sends, stays as it is.
* With both families in ``inet_protocols`` it also sends over both. Where that is not wanted, the entries that send get
  ``-o inet_protocols=ipv4``.
"""

from __future__ import annotations

import glob
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_edits as service_edits
    import _dualstack_service_postfix as service_postfix
    import _dualstack_service_postfix_instance as service_postfix_instance
    import _dualstack_service_postfix_networks as service_postfix_networks
    import _dualstack_service_postfix_sending as service_postfix_sending
__virtualname__ = "listen_postfix"

MAIN, MASTER = service_postfix.MAIN, service_postfix.MASTER
OPTIONS = {
    "mynetworks": "the networks that may relay, such as ['127.0.0.0/8']",
    "send": "auto, both or ipv4: the families over which mail is sent",
}
SEND = ("auto", "both", "ipv4")
# The words of a diff that are no secrets.
SHOWN = (
    "inet_interfaces inet_protocols mynetworks mynetworks_style smtp_bind_address smtp_bind_address6 loopback-only "
    "smtp smtps smtpd submission submissions postscreen inet unix relay -o dualstack over IPv6 only when PTR HELO name "
    "and SPF record are right"
).split()


def about() -> dict[str, Any]:
    """
    Facts about Postfix.

    Returns ``files``, where the configuration begins; ``processes`` and ``units``, as patterns; ``init``, its name for
    service(8); ``options``, its own keys in the pillar, of which those of ``always`` hold even where it serves both
    families; ``check``, the command that validates the live files; and ``protocols`` of its usual ports. ``words`` are
    those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.about
    """
    masters = ("*/postfix/sbin/master", "/usr/lib*/postfix/master")
    return {
        "files": [MAIN, MASTER],
        "processes": [f"{each}{arguments}" for each in masters for arguments in ("", " *")],
        "executables": [*masters],
        "users": ["postfix"],
        "units": ["postfix.service", "postfix@*.service"],
        "init": "postfix",
        "sets_v6only": True,
        "sites": True,
        "sends": True,
        "always": ["mynetworks"],
        "options": OPTIONS,
        "check": ["postfix", "check"],
        "words": SHOWN,
        "protocols": {25: "smtp", 465: "smtps", 587: "smtp"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes: the main.cf and the master.cf of further instances, which the first one names.

    path
        The file's own path.
    text
        Its content.

    Returns absolute patterns, two for each of ``multi_instance_directories``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.includes /etc/postfix/main.cf 'multi_instance_directories = /etc/postfix-out'
    """
    if path != MAIN or "multi_instance_directories" not in text:
        return []
    try:
        folders = service_postfix_instance.folders(text)
    except SaltInvocationError:
        return []  # whoever asks for the listeners is told
    return [glob.escape(f"{each}/{name}") for each in folders for name in ("main.cf", "master.cf")]


def errors(options: dict[str, Any]) -> list[str]:
    """
    The errors in the values of the keys of the pillar that only Postfix has.

    options
        Those keys. ``mynetworks`` is the list of networks that may relay, each as Postfix writes it: ``127.0.0.0/8``,
        ``[::1]/128``, ``!192.0.2.1``, ``/file/name``, ``type:table``. ``send`` is ``auto``, ``both`` or ``ipv4``.

    Returns one sentence for each error.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.errors '{mynetworks: ["127.0.0.0/8", "[::1]/128"]}'
    """
    send = options.get("send", "auto")
    result = [] if send in SEND else [f"send: {send!r} is not {', '.join(SEND[:-1])} or {SEND[-1]}"]
    entries = options.get("mynetworks", [])
    if not isinstance(entries, list):
        return [
            *result,
            f"mynetworks: {entries!r} is not a list; expected a list of networks, such as ['127.0.0.0/8']",
        ]
    for entry in entries:
        fault = service_postfix_networks.fault(entry)
        if fault:
            result.append(f"mynetworks: {entry!r} is not {fault}")
    return result


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Where the configuration makes Postfix listen.

    files
        The text of each main.cf and master.cf, by path: ``{path: {"text": ..., "includes": []}}``.

    Returns one dict for each socket, in the order of master.cf: ``port``, ``transport``, ``protocol``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` for lines that Postfix refuses.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.listeners '{/etc/postfix/main.cf: {text: ""}, /etc/postfix/master.cf: {text: ""}}'
    """
    found = service_postfix_instance.instances(files)
    return [socket for instance in found for socket in service_postfix_instance.sockets(instance)]


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    How the same configuration listens on both families.

    files
        The text of each main.cf and master.cf, by path: ``{path: {"text": ..., "includes": []}}``.
    options
        The keys of the pillar that only Postfix has; see :py:func:`errors`. ``mynetworks`` is for the first instance,
        and ``send`` for all: with ``ipv4``, each entry that sends is restricted to IPv4; with ``both``, our own
        restrictions go; with ``auto``, they stay as they are, since this module cannot ask the DNS.
    bindv6only
        The value of net.ipv6.bindv6only when Postfix starts. It does not matter.
    site
        The names that the pillar declares, and the addresses of this host that are published; with them, a listener on
        a published address of IPv4 gets one on each of IPv6.

    Returns ``files``, the new texts of those that change; ``always``, the same with nothing but ``mynetworks`` and
    what restricts sending, which matter even where Postfix answers in both families; ``bindv6only``, which is ``None``
    since Postfix is immune to it; ``notes``, what was left alone and why; and ``missing``, what cannot be had without
    an address. Only the last line that sets a parameter is changed, as the last one counts. Raises
    ``SaltInvocationError`` for lines that Postfix refuses, or that do not mean what they seem to.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.dual_stack '{/etc/postfix/main.cf: {text: "inet_protocols = ipv4\\n"}}' '{}'
    """
    problems = errors(options)
    if problems:
        raise SaltInvocationError("; ".join(problems))
    if MAIN not in files and "mynetworks" in options:
        raise SaltInvocationError(f"{MAIN}: there is no such file, so that mynetworks cannot be written")
    result: dict[str, Any] = {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    found = service_postfix_instance.instances(files)
    shared = service_postfix_instance.ground(found, site)
    for instance in found:
        wanted = options.get("mynetworks") if instance.main == MAIN else None
        change = service_postfix_instance.converged(instance, wanted, shared)
        result["files"].update(change.files)
        result["always"].update(change.always)
        result["notes"] += change.notes
        result["missing"] += change.missing
    send = options.get("send", "auto")
    if send != "auto":
        for key in ("files", "always"):
            result[key] = _with_families(files, result[key], send)
        told = [each for each in result["notes"] if each != service_postfix_instance.SENDS]
        kept = _after(files, result["files"]) if send == "ipv4" else []
        result["notes"] = [*told, *(note for each in kept for note in service_postfix_sending.notes(each, each.text))]
    return result


def senders(
    files: dict[str, dict[str, Any]], host: dict[str, str], site: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """
    What sends mail over IPv6 when the configuration has both families, but for the restriction that is written here.

    files
        The text of each main.cf and master.cf, by path: ``{path: {"text": ..., "includes": []}}``.
    host
        Its ``hostname``, and its ``mailname``: what /etc/mailname has.
    site
        As for :py:func:`dual_stack`.

    Returns one dict for each entry of master.cf that sends: ``name``, ``place``, ``address``, the one that it binds to,
    empty where the kernel chooses, ``helo``, the name with which it greets, and ``domain``, that of ``myorigin``, both
    empty where only Postfix could tell; ``kept``, why it is not restricted to IPv4 in any case; and ``hop``, the host
    of ``relayhost``. Raises ``SaltInvocationError`` for lines that Postfix refuses.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postfix.senders '{/etc/postfix/main.cf: {text: ""}}' '{hostname: mail.example.org}'
    """
    after = _after(files, dual_stack(files, {}, 0, site)["files"])
    return [found for each in after for found in service_postfix_sending.senders(each, each.text, host)]


def _after(files: dict[str, dict[str, Any]], texts: dict[str, str]) -> list[service_postfix_instance.Instance]:
    """Every instance as it will be."""
    return service_postfix_instance.instances(service_edits.afterwards(files, texts))


def _with_families(files: dict[str, dict[str, Any]], texts: dict[str, str], send: str) -> dict[str, str]:
    """The new texts, with the entries that send over these families."""
    result = dict(texts)
    for each in _after(files, texts):
        edits = service_postfix_sending.edits(each, each.text, send)
        if edits:
            result[each.master] = service_edits.spliced(each.master_text, edits)
    return result
