"""What the next boot sets, next to what the programs of the boot really do with the same files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import _dualstack_host_sysctl as host_sysctl
import pytest

NAME = "net.ipv4.conf.lo.rp_filter"
LIVE = Path("/proc/sys/net/ipv4/conf/lo/rp_filter")
PROGRAMS = {"systemd": ["/lib/systemd/systemd-sysctl"], "procps": ["/sbin/sysctl", "-q", "--system"]}
ETC, RUN, LOCAL, VENDOR = (f"{folder}/sysctl.d" for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib"))

CASES: dict[str, dict[str, str]] = {
    "nothing": {},
    "one line": {f"{ETC}/a.conf": f"{NAME} = 1\n"},
    "slashes": {f"{ETC}/a.conf": "net/ipv4/conf/lo/rp_filter=1\n"},
    "blanks, and no end": {f"{ETC}/a.conf": f"  {NAME}\t =  1 "},
    "a failure that is ignored": {f"{ETC}/a.conf": f"-{NAME} = 1\n"},
    "comments": {f"{ETC}/a.conf": f"#{NAME}=1\n ; {NAME}=2\n"},
    "the last line": {f"{ETC}/a.conf": f"{NAME}=1\n{NAME}=2\n{NAME}=1\n{NAME}=2\n"},
    "the last file": {f"{ETC}/b.conf": f"{NAME}=2\n", f"{ETC}/a.conf": f"{NAME}=1\n"},
    "digits before letters": {f"{ETC}/99-b.conf": f"{NAME}=2\n", f"{ETC}/local.conf": f"{NAME}=1\n"},
    "the folder does not matter": {f"{VENDOR}/z.conf": f"{NAME}=2\n", f"{ETC}/a.conf": f"{NAME}=1\n"},
    "a file hides another": {f"{VENDOR}/z.conf": f"{NAME}=2\n", f"{ETC}/z.conf": "\n", f"{ETC}/a.conf": f"{NAME}=1\n"},
    "the order of folders": {f"{RUN}/z.conf": f"{NAME}=2\n", f"{LOCAL}/z.conf": f"{NAME}=1\n"},
    "a mask": {f"{VENDOR}/z.conf": f"{NAME}=2\n", f"{ETC}/z.conf": "-> /dev/null"},
    "a dangling link": {f"{VENDOR}/z.conf": f"{NAME}=2\n", f"{ETC}/y.conf": "-> /nowhere"},
    "no such ending": {f"{ETC}/a.conf~": f"{NAME}=2\n", f"{ETC}/a": f"{NAME}=2\n"},
    "a hidden file": {f"{ETC}/.a.conf": f"{NAME}=2\n"},
    "sysctl.conf": {"/etc/sysctl.conf": f"{NAME}=2\n", f"{ETC}/z.conf": f"{NAME}=1\n"},
    "sysctl.conf, linked": {
        "/etc/sysctl.conf": f"{NAME}=2\n",
        f"{ETC}/99-sysctl.conf": "-> ../sysctl.conf",
        f"{ETC}/z.conf": f"{NAME}=1\n",
    },
    "sysctl.conf alone": {"/etc/sysctl.conf": f"{NAME}=2\n", f"{ETC}/99-sysctl.conf": "-> ../sysctl.conf"},
    "a pattern": {f"{ETC}/a.conf": "net.ipv4.conf.*.rp_filter = 2\n"},
    "a pattern with a set": {f"{ETC}/a.conf": "net.ipv4.conf.[!e]?.rp_filter = 2\n"},
    "a pattern for others": {f"{ETC}/a.conf": "net.ipv4.conf.e*.rp_filter = 2\n"},
    "a wildcard is no slash": {f"{ETC}/a.conf": "net.ipv4.*.rp_filter = 2\n"},
    "a name beats a pattern": {f"{ETC}/a.conf": f"{NAME} = 1\n", f"{ETC}/b.conf": "net.ipv4.conf.*.rp_filter = 2\n"},
    "the last pattern": {f"{ETC}/a.conf": "net.ipv4.conf.*.rp_filter=1\nnet.ipv4.conf.l*.rp_filter=2\n"},
    "the same pattern again": {
        f"{ETC}/a.conf": "net.ipv4.conf.*.rp_filter=1\nnet.ipv4.conf.l*.rp_filter=2\nnet.ipv4.conf.*.rp_filter=1\n"
    },
    "a pattern, overwritten": {
        f"{ETC}/a.conf": "net.ipv4.conf.*.rp_filter=2\nnet.ipv4.conf.l*.rp_filter=2\nnet.ipv4.conf.*.rp_filter=1\n"
    },
    "an exclusion": {f"{ETC}/a.conf": f"-{NAME}\nnet.ipv4.conf.*.rp_filter = 2\n"},
    "an exclusion in another file": {f"{ETC}/a.conf": "net.ipv4.conf.*.rp_filter = 2\n", f"{ETC}/b.conf": f"-{NAME}\n"},
    "an exclusion after a line": {f"{ETC}/a.conf": f"{NAME} = 1\n-{NAME}\n"},
    "an exclusion before a line": {f"{ETC}/a.conf": f"-{NAME}\n{NAME} = 1\n"},
    "a line without a meaning": {f"{ETC}/a.conf": f"{NAME}\n{NAME} 2\n{NAME} = 1\n"},
    "another parameter": {f"{ETC}/a.conf": "net.ipv4.conf.lo.rp_filters = 2\nnet.ipv4.conf.lox.rp_filter = 2\n"},
}


@pytest.mark.usefixtures("etc")
@pytest.mark.parametrize("files", CASES.values(), ids=CASES)
def test_the_next_boot_is_foreseen(files: dict[str, str], loader: str) -> None:
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        else:
            path.write_text(text)
    foreseen, found = host_sysctl.value(NAME), host_sysctl.boot(NAME)
    LIVE.write_text("0")
    try:
        subprocess.run(PROGRAMS[loader], check=False, capture_output=True)
        assert LIVE.read_text().strip() == (foreseen or "0")
        if found:
            assert "rp_filter" in Path(found.file).read_text().splitlines()[found.line - 1]
    finally:
        for folder in (RUN, LOCAL):
            shutil.rmtree(folder, ignore_errors=True)
