"""
The plug-ins: execution modules, each for one network stack, one service, or one way to change DNS records.

They are found by Salt's loader, by their names: ``tunnel_<stack>``, ``listen_<service>``, ``aaaa_<provider>``. A user's
own, in a ``_modules`` folder of theirs, is treated like those of this project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypedDict, cast

import _dualstack_errors as errors
from salt.exceptions import CommandExecutionError, SaltException

Functions = Mapping[str, Callable[..., Any]]  # Salt's, by their names: __salt__
# What `about` has to have. A provider's has no such keys; what is wrong with it is said by `dns_settings`.
ABOUT = {
    "tunnel_": ("program", "arguments", "otherwise"),
    "listen_": ("files", "processes", "units", "init", "options", "check", "protocols"),
}
Files = dict[str, dict[str, Any]]  # the files that a service reads, by path: `text` and `includes`


class _AboutStack(TypedDict):
    """How a network stack is recognised on a host: its program, and how that identifies itself."""

    program: str
    arguments: list[str]  # with which the program identifies itself
    otherwise: str  # why another implementation of the program does not work; ends a sentence


class _Boot(TypedDict):
    """How a boot brings an interface up; ``{}`` in an expression stands for its name."""

    service: str  # that does it, as a unit of systemd and as a script
    selected: str  # what a line of the stack's files has to match
    unless: dict[str, str]  # files, and what none of their lines may match


class Boot(_Boot, total=False):
    """The same, and what not every plug-in has."""

    generators: list[str]  # of systemd, one of which starts the service because of the files


class AboutStack(_AboutStack, total=False):
    """The same, and what not every plug-in has."""

    boot: Boot

    mark: str  # what a file of this project's own begins with: its permissions are managed, too
    mode: int  # the permissions of such a file; by default 0644
    words: list[str]  # of its files that are about tunnels, and no secrets: they are shown in changes
    carriers: list[str]  # the kinds of tunnels that it can make; by default sit alone
    binds: bool  # whether it can bind a tunnel to an underlay device, `dev`; by default not
    offers: list[str]  # the functions of it that not every plug-in has
    unit: str | list[str]  # of systemd, that has to run for the stack to do anything; or several, one of which has to
    evidence: list[str]  # patterns of the files by which `has` judges: they show what the stack has up now
    settles: float  # seconds that the stack may go on working after one of its commands has returned
    deprecates: bool  # whether addresses can be deprecated in its files; if not, it chooses the source otherwise
    fixed: list[str]  # of endpoint, local, ttl, mtu: what it does not accept when others change it in place


class Stack(Protocol):
    """``tunnel_<stack>``: the files of one network stack, and its commands. It never accesses the host."""

    def about(self) -> AboutStack:
        """How the stack is recognised on a host."""

    def recognise(self, version: str) -> str:
        """The name of the stack whose program printed this; the stack's own, or another."""

    def roots(self, name: str) -> list[str]:
        """The files to begin reading with, or patterns: the stack's own, and that of an interface."""

    def includes(self, path: str, text: str) -> list[list[str]]:
        """What a file includes: pairs of a pattern of paths, and an expression that the names have to match."""

    def parse(self, name: str, host: dict[str, str]) -> dict[str, Any] | None:
        """The keys of a tunnel as far as the host's files have them; ``None`` if it is not in them."""

    def files(self, tunnel: dict[str, Any]) -> dict[str, str]:
        """The files that describe a tunnel in canonical form."""

    def present(self, tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> Mapping[str, str | None]:
        """The files that change to add a tunnel."""

    def absent(self, name: str, host: dict[str, str], adopt: bool = False) -> Mapping[str, str | None]:
        """The files that change to remove it; ``None`` for one that is deleted."""

    def up(self, name: str) -> list[str] | list[list[str]]:
        """The command that brings an interface up, which may be recorded as up; or several, in this order."""

    def down(self, name: str) -> list[str] | list[list[str]]:
        """The command that takes an interface down, or several. Their exit status is ignored."""

    # What not every plug-in has, and `about` has to name in `offers`:

    def has(self, interface: dict[str, Any], evidence: dict[str, str]) -> str:
        """
        By what is seen that the stack has this interface up (its `name`, `index`), of the texts of the files that
        `about` calls evidence; empty if it has not. Whoever has the host's own interfaces configures the tunnel, and
        a tunnel that is up without being known to its stack is made known.
        """

    def changed(self, name: str) -> list[list[str]]:
        """The commands by which the stack takes changed files into account, the interface being up and staying so."""

    def record(self, name: str) -> list[list[str]]:
        """The commands by which it knows an interface as up that is up already, as its files say."""

    def tunnels(self, host: dict[str, str]) -> list[dict[str, Any]]:
        """
        All tunnels of whatever name and kind in the host's files: `name`, `kind` (sit, gre, 6to4, ...), `endpoint`,
        `local` (`any` where it is not given), `place` (`path, line 7`), and whether the file is `ours`.
        """

    def native_read(self, native: dict[str, Any], host: dict[str, str]) -> list[dict[str, Any]]:
        """
        What the files say about the IPv6 of an interface of the host's own (its `interface`, `index`): an `address` or
        a `gateway`, empty for the other, its `place`, and whether the file is `ours`. The host's files, and the
        evidence.
        """

    def native_files(self, native: dict[str, Any], host: dict[str, str]) -> Mapping[str, str | None]:
        """
        The files that change to give it the `addresses` and the `gateway` (empty: none) that no other file has. Raises
        `CommandExecutionError` with what to write, if the stack's files are not written.
        """

    def native_changed(self, native: dict[str, Any], host: dict[str, str]) -> list[list[str]]:
        """
        The commands after these were written, if a boot reads what is made of them. They leave the interface alone.
        """


def commands(words: Sequence[str] | Sequence[Sequence[str]]) -> list[list[str]]:
    """
    The commands of a stack, as a list of them.

    words
        One, as its words, or several.
    """
    return (
        [[each for each in words if isinstance(each, str)]]
        if words and isinstance(words[0], str)
        else [list(each) for each in words]
    )


class Service(Protocol):
    """``listen_<service>``: what one service's configuration says about its listeners. It never accesses the host."""

    def about(self) -> dict[str, Any]:
        """Facts about the service itself."""

    def includes(self, path: str, text: str) -> list[str]:
        """The files that a file includes, as shell patterns."""

    def listeners(self, files: Files) -> list[dict[str, Any]]:
        """The sockets that a configuration asks for."""

    def dual_stack(
        self, files: Files, options: dict[str, Any], bindv6only: int = 0, site: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The same configuration, listening on both families. The site is given where `about` has `sites`."""

    def sites(self, files: Files) -> list[dict[str, Any]]:
        """The host names that a configuration serves, and on which TCP ports; only where `about` has `names`."""

    def senders(
        self, files: Files, host: Mapping[str, str], site: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """What sends mail over IPv6, or would if it were not restricted by us; only where `about` has `sends`."""

    def restart(self, files: Files, options: dict[str, Any]) -> list[list[str]]:
        """The commands that have it listen as its files say; only where `about` has `restarts`."""

    def errors(self, options: dict[str, Any]) -> list[str]:
        """The errors in the service's own keys in the pillar; only if it has any."""


class About(TypedDict):
    """What a provider can do; the docstring of the door ``aaaa`` explains each key."""

    keys: Mapping[str, str]
    required: Sequence[str]
    withdraws: bool
    sets_ttl: bool
    replaces: bool
    atomic: bool
    servers: Sequence[str]
    kinds: Sequence[str] | Mapping[str, Mapping[str, Any]]
    zone: str


class _Records(TypedDict):
    """The AAAA records of a name: their addresses, and their TTL in seconds, ``None`` if there is no record."""

    addresses: list[str]
    ttl: int | None


class Records(_Records, total=False):
    """The same, and what a wildcard answers instead where the name has no record of its own."""

    instead: list[str]


class _Edit(TypedDict):
    """The old and the new AAAA records of a name."""

    old: Records
    new: Records


class Edit(_Edit, total=False):
    """The same, or PTR records: then a provider gets ``names`` in the place of ``addresses``."""

    kind: str


Edits = dict[str, Edit]  # by name
VALUES = {"AAAA": "addresses", "PTR": "names"}  # what records have, by their type


class Provider(Protocol):
    """``aaaa_<provider>``: one way to change records in the DNS."""

    def about(self, settings: dict[str, Any]) -> Mapping[str, Any]:
        """What it can do, and the keys of its settings: the keys of ``About``, of which any may be missing."""

    def errors(self, settings: dict[str, Any], names: list[str]) -> list[str]:
        """The errors in the values of its settings."""

    def change(self, credentials: str, edits: Edits) -> None:
        """Change records, with the settings that it finds in its pillar under the key ``credentials``."""


class _Plugin:
    """One plug-in, which is loaded when the first of its functions is asked for."""

    def __init__(self, functions: Functions, module: str, about: tuple[str, ...]) -> None:
        self._functions, self._module, self._about = functions, module, about

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = f"{self._module}.{name}"
        try:
            found = self._functions[function]
            return self._guarded(name, found) if self._about else found
        except KeyError:
            explain = getattr(self._functions, "missing_fun_string", None)  # Salt's loader has the reason
            why = f" ({explain(function)})" if explain else ""
            raise CommandExecutionError(
                f"the module {self._module} has no function {name}, or could not be loaded{why}"
            ) from None

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that may be anybody's: whatever it raises, the state that has called it fails with its name."""

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                found = function(*arguments, **named)
            except (SaltException, OSError):
                raise
            except Exception as error:  # pylint: disable=broad-except
                raise CommandExecutionError(
                    f"the function {name} of the module {self._module} fails ({errors.bug(error)})"
                ) from None
            lacking = [] if name != "about" else [each for each in self._about if each not in (found or {})]
            if lacking:
                raise CommandExecutionError(
                    f"the function about of the module {self._module} lacks {', '.join(lacking)}"
                )
            return found

        return call


def stacks(functions: Functions) -> Mapping[str, Stack]:
    """
    The network stacks that a tunnel can be configured with.

    functions
        ``__salt__``.
    """
    return cast("Mapping[str, Stack]", _found(functions, "tunnel_"))


def services(functions: Functions) -> Mapping[str, Service]:
    """
    The services whose configuration can be read.

    functions
        ``__salt__``.
    """
    return cast("Mapping[str, Service]", _found(functions, "listen_"))


def providers(functions: Functions) -> Mapping[str, Provider]:
    """
    The ways to change records.

    functions
        ``__salt__``.
    """
    return cast("Mapping[str, Provider]", _found(functions, "aaaa_"))


def _found(functions: Functions, prefix: str) -> dict[str, Any]:
    """
    By the loader's own map of files: it lists the modules without loading any. Asking the loader for a missing name, or
    for all names, would load every module of Salt, which takes a second.
    """
    modules = getattr(functions, "file_mapping", None) or {each.partition(".")[0] for each in functions}
    names = sorted(each for each in modules if each.startswith(prefix))
    return {each[len(prefix) :]: _Plugin(functions, each, ABOUT.get(prefix, ())) for each in names}
