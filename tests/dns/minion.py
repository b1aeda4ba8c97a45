"""A minion of its own for a call, as a user has it: masterless, with a pillar and SLS files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def call(folder: Path, pillar: Any, files: dict[str, Any], *words: str, **config: Any) -> subprocess.CompletedProcess:
    """Run ``salt-call`` with these words; it prints JSON."""
    minion = {
        **{"file_client": "local", "root_dir": str(folder), "module_dirs": [str(REPOSITORY)], "id": "server"},
        **{"file_roots": {"base": [str(folder)]}, "pillar_roots": {"base": [str(folder / "pillar")]}},
        **config,
    }
    (folder / "pillar").mkdir(exist_ok=True)
    pillars = {"pillar/top.sls": {"base": {"*": ["dns"]}}, "pillar/dns.sls": pillar}
    for path, content in {"minion": minion, **pillars, **files}.items():
        (folder / path).write_text(json.dumps(content))
    call = [str(Path(sys.executable).parent / "salt-call"), "-c", str(folder), "--local", "--out=json", *words]
    return subprocess.run(call, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
