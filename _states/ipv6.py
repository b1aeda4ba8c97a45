"""
The pillar ``ipv6``, checked before anything is changed; what the modules need; and the proof.

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
        told = __salt__["cmd.run_all"]("debconf-set-selections", stdin="\n".join(lines), python_shell=False)
        if told["retcode"]:
            raise CommandExecutionError(f"debconf-set-selections said: {told['stderr'] or told['stdout']}")


def _test(kwargs: dict[str, Any]) -> bool:
    """Whether to predict only: if the whole run does, or this state has ``- test: true``."""
    asked = kwargs.pop("test", False)
    return bool(__opts__["test"] or asked)
