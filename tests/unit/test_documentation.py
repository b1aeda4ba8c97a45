"""What is written is true: docstrings, pillar.example, README, the packaging."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import _dualstack_broker_settings as broker_settings
import _dualstack_dns_ptr as dns_ptr
import _dualstack_dns_settings as dns_settings
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_native_settings as native_settings
import _dualstack_pillar as pillar
import _dualstack_tunnel_sit as tunnel_sit
import aaaa_command
import aaaa_he
import aaaa_lexicon
import aaaa_rfc2136
import pytest
import yaml

from ..cli_examples import door

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = sorted((REPOSITORY / "_modules").glob("_dualstack_*.py"))
MODULES = sorted((REPOSITORY / "_modules").glob("[!_]*.py"))
STATES = sorted((REPOSITORY / "_states").glob("*.py"))
EXAMPLE = (REPOSITORY / "pillar.example").read_text()


def public_functions(paths: list[Path]) -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{door(path)}.{node.name}", node)
        for path in paths
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def of(paths: list[Path]) -> pytest.MarkDecorator:
    """One case for every public function."""
    found = public_functions(paths)
    return pytest.mark.parametrize(("name", "function"), found, ids=[name for name, _ in found])


@of(MODULES)
def test_every_execution_function_has_a_cli_example_of_itself(name: str, function: ast.FunctionDef) -> None:
    docstring = ast.get_docstring(function) or ""
    assert "CLI Example:\n\n.. code-block:: bash\n" in docstring
    assert name in docstring.partition("CLI Example:")[2]


@of(ROOMS)
def test_every_function_that_another_room_calls_says_what_it_is_for(name: str, function: ast.FunctionDef) -> None:
    assert len((ast.get_docstring(function) or "").partition("\n\n")[0]) > 10


@of(MODULES + STATES)
def test_every_argument_is_documented(name: str, function: ast.FunctionDef) -> None:
    docstring = ast.get_docstring(function) or ""
    arguments = [each.arg for each in [*function.args.args, *function.args.kwonlyargs]]
    headings = re.findall(r"^(\w+(?:, \w+)*)$", docstring, re.MULTILINE)
    documented = {word for heading in headings for word in heading.split(", ")}
    assert set(arguments) <= documented


def test_the_states_docstrings_are_true_yaml() -> None:
    for path in STATES:
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        examples = re.findall(r"^\.\. code-block:: yaml\n\n((?: {4}.*\n?|\n)+)", docstring, re.MULTILINE)
        assert examples
        assert all(yaml.safe_load(each) for each in examples)


def test_the_example_has_every_key_and_each_has_its_comment() -> None:
    tunnel = yaml.safe_load(EXAMPLE)["ipv6"]["tunnel"]
    left_out = {*broker_settings.READERS, "dev"}  # the demo has no broker to ask, and one uplink
    assert set(tunnel) == set(tunnel_sit.READERS) - left_out
    for key in left_out:
        assert re.search(rf"^    #{key}: .*#", EXAMPLE, re.MULTILINE), key
    assert tunnel_sit.errors(tunnel) == []
    for key in tunnel:
        assert re.search(rf"^    {key}: .*#|^    {key}: +#", EXAMPLE, re.MULTILINE), key


def test_the_example_has_every_key_of_the_firewall() -> None:
    firewall = yaml.safe_load(EXAMPLE)["ipv6"]["firewall"]
    assert {*firewall, "preserve_only"} == set(firewall_ruleset.KEYS)  # that one is instead of another
    for key in firewall_ruleset.KEYS:
        assert re.search(rf"^    #?{key}: .*#|^    {key}: +#", EXAMPLE, re.MULTILINE), key


def test_the_defaults_that_the_example_tells_are_the_defaults() -> None:
    tunnel, _, rest = EXAMPLE.partition("\n  firewall:")
    told, dns = (dict(re.findall(r"^    (\w+): .*#.*\(default (\d+)\)", text, re.MULTILINE)) for text in (tunnel, rest))
    assert told == {key: str(tunnel_sit.DEFAULTS[key]) for key in ("ttl", "mtu", "metric")}
    assert dns == {key: str(dns_settings.DEFAULTS[key]) for key in ("ttl", "deadline", "withdraw_after")}


def test_the_example_has_every_part_and_the_names_of_debian() -> None:
    example = yaml.safe_load(EXAMPLE)["ipv6"]
    assert {*example, "tunnels", "native"} == set(pillar.KEYS)  # which are instead of another
    for key in native_settings.READERS:
        assert re.search(rf"^  #  {key}: .*#", EXAMPLE, re.MULTILINE), key
    assert re.search(r"^  #tunnels:$", EXAMPLE, re.MULTILINE)
    families = yaml.safe_load((REPOSITORY / "salt" / "ipv6" / "os_family.yaml").read_text())
    assert example["lookup"] == families["Debian"]["lookup"]
    assert set(example["verify"]) | {"prober"} == {"beyond", "prober"}
    assert re.search(r"^    #prober: .*#", EXAMPLE, re.MULTILINE)


def test_the_example_has_every_key_of_dns() -> None:
    dns = yaml.safe_load(EXAMPLE)["ipv6"]["dns"]
    assert set(dns) == {*dns_settings.KEYS, "rfc2136"}
    assert set(dns["ptr"]) == set(dns_ptr.KEYS)
    assert set(dns["rfc2136"]) == set(aaaa_rfc2136.about({})["keys"])
    providers = {path.stem.removeprefix("aaaa_") for path in MODULES if path.stem.startswith("aaaa_")}
    assert {"he", "lexicon", "command", "rfc2136"} == providers
    for provider in (aaaa_he, aaaa_lexicon, aaaa_command):
        for key in provider.about({})["required"]:
            assert re.search(rf"^    #  {key}: ", EXAMPLE, re.MULTILINE), key


def test_pure_modules_do_not_access_the_host() -> None:
    for path in MODULES + ROOMS:
        if "PURE" in (ast.get_docstring(ast.parse(path.read_text())) or ""):
            text = path.read_text()
            for word in ("__salt__", "__opts__", "__grains__", "subprocess", "open(", "import os"):
                assert word not in text, f"{path.name}: {word}"


def test_the_packages_are_listed_and_exist() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    folders = dict(re.findall(r"(\S+) = (\S+)", setup["options"]["package_dir"]))
    assert setup["options"]["packages"].split() == list(folders)
    assert all((REPOSITORY / folder).is_dir() for folder in folders.values())


def test_the_readme_names_only_files_and_functions_that_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    for path in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (REPOSITORY / path).exists(), path
    functions = {name for name, _ in public_functions(MODULES + STATES)}
    modules = "|".join(path.stem for path in MODULES + STATES)
    for name in re.findall(rf"\b((?:{modules})\.\w+)\b", readme):
        assert name in functions or name.endswith((".py", ".sls")) or name.startswith("ipv6."), name
    for name in re.findall(r"(?:salt \S+|salt-call)(?: --\S+)* (ipv6\.\w+)", readme):
        assert name in functions, name
    for sls in re.findall(r"state\.apply ipv6\.(\w+)", readme):
        assert (REPOSITORY / "salt" / "ipv6" / f"{sls}.sls").exists(), sls


def test_the_readme_names_what_is_installed_on_the_machine() -> None:
    installed = re.findall(r"for each in (.*); do", (REPOSITORY / "tests" / "lab" / "prepare.sh").read_text())
    told = re.findall(r"installs the Debian\s+packages (.*?), those", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert [each.split() for each in installed] == [re.findall(r"`(\w+)`", each) for each in told]
    assert len(installed) == 1


def test_the_example_has_every_key_of_the_services() -> None:
    services = yaml.safe_load(EXAMPLE)["ipv6"]["services"]
    shown = {key for settings in services.values() for key in settings}
    assert shown == {"ports", "protocols", "timeout", "explicit", "mynetworks", "send", "listeners"}
