"""The ejabberd.cfg of old, edited, as Erlang itself reads it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from . import daemons

CFG = "/etc/ejabberd/ejabberd.cfg"
FILES = sorted((Path(__file__).resolve().parents[1] / "unit" / "ejabberd").glob("*.cfg*"))
# Prints each term on a line of its own, or where the file is wrong.
CONSULT = """
case file:consult(hd(init:get_plain_arguments())) of
    {ok, Terms} -> [io:format("~0p~n", [T]) || T <- Terms], halt(0);
    {error, Reason} -> io:format("~s~n", [file:format_error(Reason)]), halt(1)
end.
"""


def consult(path: Path) -> list[str]:
    """The terms of a file by Erlang's own reader."""
    words = ["erl", "-noinput", "-boot", "start_clean", "-eval", CONSULT, "-extra", str(path)]
    done = subprocess.run(
        words, text=True, capture_output=True, check=False, env={"HOME": "/root", "PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def dual_stack(modules: Any, text: str, **options: Any) -> str:
    """The text, listening on both families."""
    files = {CFG: {"text": text, "includes": [[] for _ in modules.listen_ejabberd.includes(CFG, text)]}}
    done: dict[str, Any] = modules.listen_ejabberd.dual_stack(files, options, 1)
    assert done["bindv6only"] == 1
    changed: str = done["files"][CFG]
    return changed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_the_listeners_differ(path: Path, modules: Any, tmp_path: Path) -> None:
    after = tmp_path / "ejabberd.cfg"
    after.write_text(dual_stack(modules, path.read_text()))
    old, new = consult(path), consult(after)
    differing = [index for index, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]]
    changed = {old[index].partition(",")[0] for index in differing}
    assert changed == {"{listen"}
    # Every listener twice, with the same options: what was one, and what are two now.
    (listen,) = (index for index in differing if old[index].startswith("{listen"))
    for port, module in re.findall(r"\{(\d+),(ejabberd_\w+)", old[listen]):
        for address in ("0.0.0.0", "::"):
            assert f'{{{{{port},"{address}"}},{module},' in new[listen]
    assert len(new[listen]) > len(old[listen])


def test_the_listener_of_the_mission(modules: Any, tmp_path: Path) -> None:
    c2s, s2s = "{5222, ejabberd_c2s, [{access, c2s}, {shaper, c2s_shaper}]}", "{5269, ejabberd_s2s_in, []}"
    before = f"{{listen, [\n  {c2s},\n  {s2s}\n]}}.\n"
    path = tmp_path / "ejabberd.cfg"
    path.write_text(dual_stack(modules, before))
    assert consult(path) == [
        '{listen,[{{5222,"0.0.0.0"},ejabberd_c2s,[{access,c2s},{shaper,c2s_shaper}]},'
        '{{5222,"::"},ejabberd_c2s,[{access,c2s},{shaper,c2s_shaper}]},'
        '{{5269,"0.0.0.0"},ejabberd_s2s_in,[]},{{5269,"::"},ejabberd_s2s_in,[]}]}.'.rstrip(".")
    ]


def test_a_broken_file_is_left_alone(converge: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.restore("ejabberd"))
    Path("/etc/ejabberd/ejabberd.yml").unlink()
    text = next(path for path in FILES if path.stem == "squeeze").read_text()
    cfg = Path(CFG)
    cfg.write_text(text.replace("{5269, ejabberd_s2s_in, [", "{5269 ejabberd_s2s_in, [", 1))
    before = cfg.read_bytes()
    done = converge("ejabberd", bindv6only=1)
    assert done["result"] is False
    assert re.search(rf"^{CFG}:134:\d+: syntax error before: ", done["comment"]), done["comment"]
    assert (cfg.read_bytes(), done["changes"]) == (before, {})
