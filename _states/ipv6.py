"""
The pillar ``ipv6``, checked before anything is changed; what the modules need; kernel parameters; and the proof.

.. code-block:: yaml

    The pillar ipv6 makes sense:
      ipv6.valid:
        - supported:
            Debian: ["11", "13"]

    The firewall's tools are installed:
      ipv6.provided:
        - need: firewall
        - lookup: {packages: {firewall: [iptables, iptables-persistent]}}
        - require:
          - The pillar ipv6 makes sense

    Listeners on IPv6 do not take IPv4:
      ipv6.parameter:
        - name: net.ipv6.bindv6only
        - value: 1

    The kernel parameter is as the pillar has it:
      ipv6.parameter:
        - name: net.ipv4.ip_local_port_range
        - pillar: ipv6:sysctl

    The hoster's IPv6 is configured:
      ipv6.native:
        - interface: eth0
        - address: 2001:db8:1::8/64
        - gateway: fe80::1
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __states__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "ipv6"


def valid(
    name: str, pillar: str = "ipv6", supported: dict[str, list[str]] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    The pillar ``ipv6`` is valid, and this host is supported.

    name
        The state's name in the report.
    pillar
        The key of the pillar.
    supported
        By the grain ``os``, the first and the last supported release; by default any.

    Changes nothing. If anything is wrong it fails, under ``test=True`` too, and every error is reported at once.
    """
    return __salt__["ipv6.valid"](name, pillar, supported, test=_test(kwargs), **kwargs)


def managed(name: str, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    This host can still be managed after what the run has changed; otherwise all of it is put back.

    name
        The state's name in the report.
    pillar
        The key of the pillar.

    Where a run has this state, everything that states of these modules change before it is kept, or put back, as a
    whole. Without it, each state's change is kept as soon as that state has ended. It has no changes of its own.
    """
    return __salt__["ipv6.managed"](name, pillar, test=_test(kwargs), **kwargs)


def assigned(name: str, address: str | None = None, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The published address is on this host, and others can use it: it is neither tentative, nor a duplicate, deprecated
    or temporary.

    name
        The state's name in the report.
    address
        The IPv6 address, without a prefix length.
    pillar
        The key of the pillar, ``ipv6``, for an address that is not given: that of ``dns``, or of ``tunnel``.

    Changes nothing. Under ``test=True`` the result is ``None``: it is not known.
    """
    return __salt__["ipv6.assigned"](name, address, pillar, test=_test(kwargs), **kwargs)


def leaving(
    name: str,
    address: str | None = None,
    beyond: list[str] | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    What comes from the published address leaves this host for the IPv6 internet: by the tunnel, if it is the tunnel's.

    name, address, pillar
        As for :py:func:`assigned`.
    beyond
        IPv6 addresses; the way to the first is looked up. By default ``verify:beyond``, or else any global address.

    Changes nothing, and sends nothing. Under ``test=True`` the result is ``None``.
    """
    return __salt__["ipv6.leaving"](name, address, beyond, pillar, test=_test(kwargs), **kwargs)


def reaching(
    name: str,
    address: str | None = None,
    beyond: list[str] | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Somebody on the IPv6 internet answers to the published address of this host.

    name, address, pillar
        As for :py:func:`assigned`.
    beyond
        IPv6 addresses, one of which has to answer a ping. By default ``verify:beyond``; or else the broker's end of the
        tunnel, whose answer comes back only if it routes the address to this host; or else the name servers of the
        published names, over IPv6.

    Where nobody could be asked, the result is ``None``. Changes nothing. Under ``test=True`` nothing is sent.
    """
    return __salt__["ipv6.reaching"](name, address, beyond, pillar, test=_test(kwargs), **kwargs)


def leading(name: str, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The published names lead to this host over IPv4, too: else an AAAA record would split a site over two machines.

    name
        The state's name in the report.
    pillar
        The key of the pillar, ``ipv6``: the names, and ``other_ipv4``, of its ``dns``; and ``verify:public_ipv4``.

    Changes nothing. Under ``test=True`` nobody is asked, and the result is ``None``.
    """
    return __salt__["ipv6.leading"](name, pillar, test=_test(kwargs), **kwargs)


def next_boot(name: str, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    The next boot comes up as this host is now: rules, tunnel, kernel parameters, services.

    name
        The state's name in the report.
    pillar
        The key of the pillar, ``ipv6``. What it does not have is not looked at.

    Changes nothing. Under ``test=True`` the result is ``None``.
    """
    return __salt__["ipv6.next_boot"](name, pillar, test=_test(kwargs), **kwargs)


def proven(name: str, rungs: dict[str, str] | None = None, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    What was looked at earlier in this run proves IPv6 together.

    name
        The state's name in the report.
    rungs
        The IDs of earlier states that look, each with its rung: ``{The address is here: published address}``.
    pillar
        The key of the pillar, ``ipv6``: rungs that ``dns:without`` lists need not have been tried.

    A state that has not run, has failed for want of something, or could not look, was not tried: then nothing
    is proven, and nothing is broken. Where DNS records depend on it, the result is ``False`` then, else ``None``.
    Without any rung, nothing is proven either. Changes nothing. Under ``test=True`` the result is ``None``: nothing was
    tested.
    """
    return __salt__["ipv6.proven"](name, _climbs(rungs), pillar, test=_test(kwargs), **kwargs)


def _climbs(rungs: Any) -> Any:
    """What the states of this run have found out; Salt has their results."""
    if not isinstance(rungs, dict):
        return rungs
    done = {each.get("__id__"): each for each in globals().get("__running__", {}).values()}
    return [
        {
            "rung": rung,
            "title": title,
            "outcome": done.get(title, {}).get("outcome", "not tried"),
            "why": done.get(title, {}).get("comment", "it has not run before: include ipv6.verify there"),
        }
        for title, rung in rungs.items()
    ]


def provided(
    name: str, need: str | None = None, pillar: str = "ipv6", lookup: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    What a part of the pillar needs is installed, by Salt's own states if necessary.

    name
        The state's name in the report.
    need
        ``tunnel``, ``ifupdown``, ``firewall``, ``netaddr``, ``dns``, or ``loader``: what loads the rules at boot, where
        that has to wait until another manager of the firewall has been taken over.
    pillar
        The key of the pillar, whose ``lookup`` takes precedence over the argument.
    lookup
        The names of packages on this OS family, as in the pillar ``ipv6:lookup``.

    No package is removed for them: to install Debian's iptables-persistent removes ufw, which opens the host first.
    Only a manager under ``ipv6:firewall:take_over`` goes, after it has been taken over.

    (Salt's own ``unless`` would do, but costs a second in every run: to find out whether a state handles it itself,
    Salt loads all its states and modules.)
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    arguments = {"need": need, "pillar": pillar, "lookup": lookup}
    test = _test(kwargs)
    try:
        found = __salt__["ipv6.missing"](**arguments, **kwargs)
        if found["there"]:
            return {**ret, "result": True, "comment": found["there"]}
        if refused := found.get("refused") or ("" if test else found.get("awaits")):
            return {**ret, "comment": refused}
        if test and not __opts__["test"]:  # otherwise Salt's own states would not know that this one only predicts
            return {**ret, "result": None, "comment": found["lacks"], "installs": need}
        done = _install(name, found)
        if done["result"]:
            found = __salt__["ipv6.missing"](**arguments)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    lacking = "" if found["there"] or not done["result"] else found["lacks"]
    comment = "\n".join(filter(None, (done["comment"], lacking)))
    result = False if lacking else done["result"]
    # Later states of a run that only predicts are told by `installs`: Salt keeps it.
    awaited = {"installs": need} if result is None else {}
    return {**ret, "result": result, "changes": done["changes"], "comment": comment, **awaited}


def parameter(
    name: str,
    value: int | str | None = None,
    config: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    A kernel parameter has a value, live and at the next boot.

    name
        The parameter, with dots: ``net.ipv6.bindv6only``. In the name of an interface, a dot is written as a slash:
        ``net.ipv4.conf.eth0/100.rp_filter``.
    value
        Its value. Of several words it does not matter what is between them.
    config
        The file that sets it at boot: ``/etc/sysctl.conf``, or one in ``/etc/sysctl.d``; by default its ``local.conf``.
        Only the lines of this parameter are touched.
    pillar
        The key of the parameters in the pillar, ``ipv6:sysctl``: ``value`` is taken from there, and ``config`` from
        ``lookup:sysctl_file`` beside it. Named arguments take precedence.

    The value at the next boot is what all files give, in the order in which systemd, or procps where systemd does not
    run, reads them. If it is right already, no file is touched. If another file would still have the last word, the
    state fails, under ``test=True`` too, and names its line. A parameter that comes with a module or an interface, and
    does not exist yet, is only written.

    Source: sysctl.d(5); sysctl(8).
    """
    given = {"value": value, "config": config, "pillar": pillar}
    done: dict[str, Any] = __salt__["ipv6.parameter"](name, **given, test=_test(kwargs), __ended__=_ended(), **kwargs)
    return done


def parameter_absent(name: str, config: str | None = None, pillar: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    A file does not set a kernel parameter at boot. Its live value stays until then, and what other files say.

    name
        The parameter, with dots.
    config
        The file: ``/etc/sysctl.conf``, or one in ``/etc/sysctl.d``; by default its ``local.conf``.
    pillar
        The key of the parameters in the pillar, ``ipv6:sysctl``: ``config`` is taken from ``lookup:sysctl_file`` beside
        it.

    ``net.ipv6.bindv6only`` stays as long as a service depends on it: without it, that would lose a family, or not
    start. The comment then says which.
    """
    given = {"config": config, "pillar": pillar}
    done: dict[str, Any] = __salt__["ipv6.parameter_absent"](
        name, **given, test=_test(kwargs), __ended__=_ended(), **kwargs
    )
    return done


def native(
    name: str,
    interface: str | None = None,
    address: str | None = None,
    gateway: str | None = None,
    addresses: list[str] | None = None,
    metric: int | None = None,
    source: str | None = None,
    stack: str | None = None,
    pillar: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    An interface has the addresses and the default route by which a hoster routes IPv6 to this host, without a tunnel.

    name
        The state's name in the report; without ``interface`` and ``pillar``, the interface.
    interface
        That at the hoster's network, such as ``eth0``. It has to be up.
    address
        An address of this host, with its prefix length: 32 to 64, or 128 for one address.
    gateway
        The hoster's router, link-local (``fe80::1``) or global. It may be outside of the prefix: the route is on-link.
    addresses
        Further ones, each with its prefix length.
    metric
        Of the default route, 1 to 4294967295. Without, one that is there may have any; else it gets 1024.
    source
        The address that outgoing connections use; all others are then marked as deprecated. Without, that stays.
    stack
        Which network stack configures the interface, such as ``ifupdown``; ``auto``, the default, detects it.
    pillar
        The key of the pillar for settings that are not given here: ``ipv6:native``.

    Only these are compared, and changed: the link, its other addresses and its other routes stay as they are. What is
    in files of others already is not written again; what says otherwise there is refused, with its line. The files are
    for the next boot: what differs live is changed with ip(8), and the network stack is not told.

    Source: :rfc:`4291`, section 2; ip-route(8), ``onlink``.
    """
    return __salt__["ipv6.native"](
        name,
        interface=interface,
        address=address,
        gateway=gateway,
        addresses=addresses,
        metric=metric,
        source=source,
        stack=stack,
        pillar=pillar,
        test=_test(kwargs),
        __ended__=_ended(),
        **kwargs,
    )


def native_absent(
    name: str, interface: str | None = None, stack: str | None = None, pillar: str | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    Nothing is left of what ``ipv6.native`` has configured: its file, and the addresses and the route in it.

    name
        The state's name in the report; without ``interface`` and ``pillar``, the interface.
    interface
        The interface.
    stack
        Which network stack configures the interface; ``auto``, the default, detects it.
    pillar
        The key of the pillar, ``ipv6:native``. Its ``interface`` and ``stack`` are used.

    What others have configured stays, even if it is the same.
    """
    given = {"interface": interface, "stack": stack, "pillar": pillar}
    done: dict[str, Any] = __salt__["ipv6.native_absent"](
        name, **given, test=_test(kwargs), __ended__=_ended(), **kwargs
    )
    return done


def _install(name: str, found: dict[str, Any]) -> dict[str, Any]:
    if not found["packages"]:
        return dict(__states__["pip.installed"](name=name, pkgs=found["distributions"]))
    if not __opts__["test"]:
        _answer(found["answers"])
    with contextlib.nullcontext() if found.get("removes") else _nothing_removed():
        given = {"pkgs": found["packages"], "install_recommends": False, "refresh": True}
        return dict(__states__["pkg.installed"](name=name, **given))


@contextlib.contextmanager
def _nothing_removed() -> Iterator[None]:
    """Have apt-get refuse to remove a package, as by --no-remove: Salt's own state has no argument for that."""
    before = os.environ.get("APT_CONFIG")
    with tempfile.NamedTemporaryFile("w", prefix="dualstack-apt-") as stream:
        stream.write(f'#include "{before}";\n' if before else "")
        stream.write('APT::Get::Remove "false";\n')
        stream.flush()
        os.environ["APT_CONFIG"] = stream.name
        try:
            yield
        finally:
            os.environ.pop("APT_CONFIG")
            os.environ.update({"APT_CONFIG": before} if before else {})


def _answer(answers: dict[str, dict[str, str]]) -> None:
    """Answer the packages' questions. (Not by ``debconf.set``: that needs debconf-utils.)"""
    lines = [
        f"{package} {question} boolean {answer}"
        for package, questions in answers.items()
        for question, answer in questions.items()
    ]
    if lines:
        told = __salt__["cmd.run_all"]("debconf-set-selections", stdin="\n".join(lines), python_shell=False, timeout=60)
        if told["retcode"]:
            raise CommandExecutionError(f"debconf-set-selections said: {told['stderr'] or told['stdout']}")


def _test(kwargs: dict[str, Any]) -> bool:
    """Whether to predict only: if the whole run does, or this state has ``- test: true``."""
    asked = kwargs.pop("test", False)
    return bool(__opts__["test"] or asked)


def _ended() -> bool:
    """Whether a later state ends the transaction of this run: until then, all is kept or put back together."""
    over = {each.get("__id__") for each in (globals().get("__running__") or {}).values()}
    chunks = globals().get("__lowstate__") or ()
    return any((each["state"], each["fun"]) == ("ipv6", "managed") and each["__id__"] not in over for each in chunks)
