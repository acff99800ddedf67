"""Tests of container monitors in control groups: the cost of a flood of output, and the group that
pays it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers.cgroups.cgroup import MONITOR_QUOTA, PERIOD, TEAM_MONITORS
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec

FLOOD = "import os\nwhile True: os.write(1, b'y\\n' * 5000)"
SECONDS = 3.0


def test_the_monitor_of_a_flood_of_output_uses_little_cpu(
    containers: Containers, node: NodeConfig, spec: Callable[..., ContainerSpec]
) -> None:
    flooding = containers.launch(spec("python3", "-c", FLOOD))
    made = containers._folder(flooding.id).made()
    assert made is not None
    assert cpu_group(made.monitor) == f"/{node.cgroup_parent}/{TEAM_MONITORS}/team1"
    before = cpu_seconds(made.monitor)
    time.sleep(SECONDS)
    used = (cpu_seconds(made.monitor) - before) / SECONDS
    print(f"The monitor used {used:.2f} of a processor.")
    assert 0.01 < used < 1.5 * MONITOR_QUOTA / PERIOD


def cpu_group(pid: int) -> str:
    """Return a process's group in the hierarchy that shares out processor time (cgroups(7))."""
    lines = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    places = {controllers: place for _, controllers, place in lines}
    return next(
        (place for controllers, place in places.items() if "cpu" in controllers.split(",")),
        places.get("", ""),
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
