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
"""

from __future__ import annotations

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


def proven(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Nothing that this state requires has failed. What could not be tried has not failed either, and says so itself.

    name
        The state's name in the report.

    Changes nothing. Under ``test=True`` the result is ``None``: nothing was tested.
    """
    return __salt__["ipv6.proven"](name, test=_test(kwargs), **kwargs)


def provided(
    name: str, need: str | None = None, pillar: str = "ipv6", lookup: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    What a part of the pillar needs is installed, by Salt's own states if necessary.

    name
        The state's name in the report.
    need
        ``tunnel``, ``ifupdown``, ``firewall``, ``netaddr`` or ``dns``.
    pillar
        The key of the pillar, whose ``lookup`` takes precedence over the argument.
    lookup
        The names of packages on this OS family, as in the pillar ``ipv6:lookup``.

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
        if test and not __opts__["test"]:  # otherwise Salt's own states would not know that this one only predicts
            return {**ret, "result": None, "comment": found["lacks"]}
        done = _install(name, found)
        if done["result"]:
            found = __salt__["ipv6.missing"](**arguments)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    lacking = "" if found["there"] or not done["result"] else found["lacks"]
    comment = "\n".join(filter(None, (done["comment"], lacking)))
    return {**ret, "result": False if lacking else done["result"], "changes": done["changes"], "comment": comment}


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
    done: dict[str, Any] = __salt__["ipv6.parameter"](name, **given, test=_test(kwargs), **kwargs)
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
    done: dict[str, Any] = __salt__["ipv6.parameter_absent"](name, **given, test=_test(kwargs), **kwargs)
    return done


def _install(name: str, found: dict[str, Any]) -> dict[str, Any]:
    if not found["packages"]:
        return dict(__states__["pip.installed"](name=name, pkgs=found["distributions"]))
    if not __opts__["test"]:
        _answer(found["answers"])
    return dict(__states__["pkg.installed"](name=name, pkgs=found["packages"], install_recommends=False, refresh=True))


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
