"""
What the modules need on a host, brought by Salt's own states, and only where it is missing.

Salt's own ``unless`` and ``creates`` would do, but cost a second in every run: to see whether a state checks them by
itself (``mod_run_check``, in ``State.call``), Salt loads all the states and modules that there are.

.. code-block:: yaml

    netaddr is there for the Python that runs Salt:
      ipv6_deps.provided:
        - proof: [/usr/bin/python3, -c, import netaddr]
        - packages: [python3-netaddr]

    The firewall's tools are installed:
      ipv6_deps.provided:
        - packages: [iptables, iptables-persistent]
        - answers: |
            iptables-persistent iptables-persistent/autosave_v4 boolean false
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __states__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "ipv6_deps"


def provided(
    name: str,
    proof: list[str] | None = None,
    packages: list[str] | None = None,
    distributions: list[str] | None = None,
    answers: str = "",
    **kwargs: Any,
) -> dict[str, Any]:
    """
    What is needed is there, or else it is installed.

    name
        What the state is called in the report.
    proof
        A command, without a shell, that succeeds where all is there. Without it, the packages have to be installed.
    packages
        Of the operating system, installed by ``pkg.installed``.
    distributions
        Python's, installed by ``pip.installed``, where there are no ``packages``.
    answers
        What the packages will ask, as debconf-set-selections(1) reads it: told before one is installed.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
        if proof and not __salt__["host_commands.failure"](proof):
            return {**ret, "result": True, "comment": f"'{' '.join(proof)}' succeeds"}
        done = _packages(name, packages, answers) if packages else _distributions(name, distributions)
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    failure = __salt__["host_commands.failure"](proof) if proof and done["result"] else ""
    return {
        **{"name": name, "result": False if failure else done["result"], "changes": done["changes"]},
        "comment": "\n".join(filter(None, (done["comment"], failure))),
    }


def _packages(name: str, packages: list[str], answers: str) -> dict[str, Any]:
    missing = not all(__salt__["pkg.version"](package) for package in packages)
    if missing and answers and not __opts__["test"]:
        told = __salt__["cmd.run_all"]("debconf-set-selections", stdin=answers, python_shell=False)
        if told["retcode"]:
            raise CommandExecutionError(f"debconf-set-selections said: {told['stderr'] or told['stdout']}")
    done: dict[str, Any] = __states__["pkg.installed"](
        name=name, pkgs=packages, install_recommends=False, refresh=missing
    )
    return done


def _distributions(name: str, distributions: list[str] | None) -> dict[str, Any]:
    done: dict[str, Any] = __states__["pip.installed"](name=name, pkgs=distributions)
    return done
