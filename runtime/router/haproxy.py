"""The command that starts HAProxy, and the paths of the files that it reads at its start.

The process manager's side needs only this module of the router.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.config import NodeConfig
from runtime.router.addresses import places
from runtime.router.listeners import handover_socket

# HAProxy allocates many small pieces of memory of the same size for the variables of a request. By
# default, glibc caches only seven pieces per size; allocations beyond those are slow (glibc manual,
# Memory Allocation Tunables). Other C libraries ignore this variable.
_MEMORY = "GLIBC_TUNABLES=glibc.malloc.tcache_count=1000"
_ROOT = Path(__file__).parents[2]


def master_socket(config: NodeConfig) -> Path:
    """Return the path of the master's command socket, which accepts `reload`."""
    return config.run / "router-master.sock"


def fixed_file(config: NodeConfig) -> Path:
    """Return the path of the configuration file without the slots. HAProxy reads it first."""
    return config.router / "00-fixed.cfg"


def pool_folder(config: NodeConfig) -> Path:
    """Return the folder with the files of the slots."""
    return config.router / "pool"


def threads() -> int:
    """Return the number of HAProxy's threads: half of the cores, at least one.

    The other cores are for the apps. Also, each thread adds wake-ups to the requests of all others.
    """
    return max(1, len(os.sched_getaffinity(0)) // 2)


def command(config: NodeConfig) -> list[str]:
    """Return the command that the process manager keeps running in the foreground, as root.

    `launch` gets the listening sockets and replaces itself with HAProxy's master, whose workers
    drop their privileges.

    SIGTERM ends HAProxy at once, SIGUSR1 after its connections have ended. If a worker is killed,
    the master exits too: start the command again.
    """
    master = f"{master_socket(config)},mode,600"
    wanted = [f"{place.name}={place.text}" for place in places(config)]
    launch = [
        "env",
        f"PYTHONPATH={_ROOT}",
        sys.executable,
        "-m",
        "runtime.router.launch",
        str(handover_socket(config)),
        *wanted,
        "--",
    ]
    haproxy = [
        "haproxy",
        "-W",
        "-db",
        "-q",
        "-S",
        master,
        "-f",
        str(fixed_file(config)),
        "-f",
        str(pool_folder(config)),
    ]
    return [*launch, _MEMORY, *haproxy]


def check_command(config: NodeConfig, files: list[Path]) -> list[str]:
    """Return the command that validates configuration files without opening a socket."""
    settings = [f"{place.variable}={place.text}" for place in places(config)]
    return [
        "env",
        *settings,
        "haproxy",
        "-c",
        *(word for path in files for word in ("-f", str(path))),
    ]
