"""The command that starts HAProxy, and the files it starts from: so little that the process manager's side needs nothing else of the router."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.config import NodeConfig
from runtime.router.addresses import places
from runtime.router.listeners import handover_socket

# Each request's variables are small pieces of memory, many at a time: glibc keeps seven of a size at hand, and looks long for the eighth
# (glibc manual, Memory Allocation Tunables). Other C libraries do not look at it.
_MEMORY = "GLIBC_TUNABLES=glibc.malloc.tcache_count=1000"
_ROOT = Path(__file__).parents[2]


def master_socket(config: NodeConfig) -> Path:
    """Where its master is asked to reload."""
    return config.run / "router-master.sock"


def fixed_file(config: NodeConfig) -> Path:
    """All of its configuration but the slots; read first."""
    return config.router / "00-fixed.cfg"


def pool_folder(config: NodeConfig) -> Path:
    """The slots, a file each."""
    return config.router / "pool"


def threads() -> int:
    """How many HAProxy has: half of the cores. The others are for the apps, and each thread costs every request of the others wake-ups."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def command(config: NodeConfig) -> list[str]:
    """What the process manager keeps running in the foreground, as root: `launch` gets the listening sockets and becomes the master,
    whose workers drop their rights.

    SIGTERM ends it at once, SIGUSR1 after its connections have. A killed worker takes the master with it: start it again.
    """
    master = f"{master_socket(config)},mode,600"
    wanted = [f"{place.name}={place.text}" for place in places(config)]
    launch = ["env", f"PYTHONPATH={_ROOT}", sys.executable, "-m", "runtime.router.launch", str(handover_socket(config)), *wanted, "--"]
    haproxy = ["haproxy", "-W", "-db", "-q", "-S", master, "-f", str(fixed_file(config)), "-f", str(pool_folder(config))]
    return [*launch, _MEMORY, *haproxy]


def check_command(config: NodeConfig, files: list[Path]) -> list[str]:
    """What looks at files without starting from them, and without opening a socket."""
    settings = [f"{place.variable}={place.text}" for place in places(config)]
    return ["env", *settings, "haproxy", "-c", *(word for path in files for word in ("-f", str(path)))]
