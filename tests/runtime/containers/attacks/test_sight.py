"""Tests that nothing a container can read names another app or container, the host's state folder,
or a foreign disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec, Purpose
from runtime.kernel import Kernel

Output = Callable[..., tuple[Exit, list[str]]]
Spec = Callable[..., ContainerSpec]

PROGRAM = (Path(__file__).parent / "programs/sight.py").read_text()
BUILD = {"uid": 0, "gid": 0, "purpose": Purpose.BUILD}
OTHER = "neighbours-web-8c1f"


def look(containers: Containers, wanted: ContainerSpec, *words: str) -> list[str]:
    """Run the program in a container, and return its lines except the last one."""
    lines = list[str]()
    containers.run(wanted, on_output=lambda _, text: lines.append(text), timeout=120)
    assert lines[-1].startswith("looked "), lines
    assert int(lines[-1].removeprefix("looked ")) > 5000
    return lines[:-1]


@pytest.mark.parametrize("changes", [{}, BUILD])
@pytest.mark.parametrize("by_fd", [True, False])
def test_no_file_or_link_names_another_app_or_the_host_folders(
    containers: Containers,
    node: NodeConfig,
    spec: Spec,
    layers: tuple[Path, ...],
    changes: dict[str, object],
    by_fd: bool,
) -> None:
    containers.launch(spec("sleep", "300", id=OTHER, app="neighbours", team=2))
    words = (OTHER, "neighbours", str(node.state), str(node.run), str(layers[0].parent), node.name)
    wanted = spec("python3", "-c", PROGRAM, *(word[::-1] for word in words), **changes)
    assert look(Containers(node, kernel=Kernel(layers_by_fd=by_fd)), wanted) == []


def test_disks_of_the_machine_and_of_others_are_invisible(output: Output) -> None:
    disks = [disk.resolve() for disk in Path("/sys/block").iterdir()]
    folders = {
        "/sys/block",
        "/sys/class/block",
        "/sys/dev/block",
        "/sys/class/bdi",
        "/proc/fs",
        *(str(disk.parent) for disk in disks),
    }
    assert "/sys/devices/virtual/block" in folders
    ended, lines = output(
        "sh",
        "-c",
        'for folder in "$@"; do ls -A $folder; done; cat /proc/diskstats /proc/partitions',
        "sh",
        *folders,
    )
    assert (ended.code, lines) == (0, [])


def test_files_that_language_runtimes_need_are_readable(output: Output) -> None:
    ended, lines = output(
        "cat", "/sys/devices/system/cpu/online", "/proc/meminfo", "/proc/self/cgroup", "/proc/stat"
    )
    assert ended.code == 0, lines
    assert any(line.startswith("MemTotal") for line in lines)
