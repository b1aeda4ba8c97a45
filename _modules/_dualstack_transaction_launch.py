"""
Starting the restorer of a transaction, so that it outlives whatever ends Salt: as a service of systemd's own, or else
as a process of nobody's.
"""

from __future__ import annotations

import os

import _dualstack_boot_units as boot_units
import _dualstack_host_commands as host_commands
from salt.exceptions import CommandExecutionError

UNIT = "dualstack-restorer-{}"  # each has a name of its own: an earlier one may still be telling the master
PATIENCE = 10.0  # seconds for a command
ENVIRONMENT = {"PATH": host_commands.PATH, **host_commands.ENVIRONMENT}

# As a service of its own, no KillMode of another unit is about it, and systemd starts it again if it is killed.
SERVICE = (
    *("systemd-run", "--quiet", "--collect", "--no-ask-password"),
    "--description=Puts back what a run of the formula ipv6 has changed, unless that is confirmed",
    *("--property=OOMScoreAdjust=-1000", "--property=IgnoreSIGPIPE=no", "--property=TasksMax=infinity"),
    *("--property=Restart=on-abnormal", "--property=RestartSec=100ms", "--property=StartLimitIntervalSec=0"),
    "--property=TimeoutStopSec=5",
)
# A process that has forked twice has no parent, session or terminal of Salt's; in the topmost control group it is in
# none of a unit's either. If the restorer is killed, it is started again here as well.
ALONE = """\
exec </dev/null >/dev/null 2>&1
umask 077
for each in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
do [ ! -w $each/cgroup.procs ] || echo $$ >$each/cgroup.procs
done
echo -1000 >/proc/self/oom_score_adj
while "$@"; [ $? -gt 128 ]
do sleep 0.1
done
"""


def start(script: str, pid: int, begun: int) -> None:
    """
    Start the restorer. It writes its name when it watches over the run.

    script
        Its path.
    pid, begun
        The process of the run, and when it has started.

    Raises ``CommandExecutionError`` where it cannot be started.
    """
    environment = [f"{key}={value}" for key, value in ENVIRONMENT.items()]
    words = ["env", "-i", *environment, "/bin/sh", script, "watch", str(pid), str(begun)]
    service = [*SERVICE, f"--unit={UNIT.format(os.urandom(4).hex())}", *words]
    alone = ["setsid", "--fork", "/bin/sh", "-c", ALONE, "restorer", *words]
    said = []
    for command in (service, alone) if os.path.isdir(boot_units.RUNS) else (alone,):
        try:
            failed = host_commands.failure(command, PATIENCE, shown=f"{command[0]} {script}")
        except CommandExecutionError as error:
            failed = str(error)
        if not failed:
            return
        said.append(failed)
    raise CommandExecutionError(
        f"the restorer, which would put this run back if it failed, cannot be started: {'; '.join(said)}"
    )
