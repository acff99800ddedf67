"""Tests of commands inside a running container: they run like its own processes, and end at their
timeout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec
from runtime.errors import LaunchFailed
from tests.runtime.containers.conftest import settle

Spec = Callable[..., ContainerSpec]


def test_a_command_runs_like_the_processes_of_the_container(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("sleep", "60", working_directory="/tmp")
    wanted = replace(wanted, environment={**wanted.environment, "WORD": "of the app"})
    with pytest.raises(LaunchFailed, match="no running container"):
        containers.execute(wanted.id, ("true",), timeout=5)
    containers.launch(wanted)
    script = (
        'echo "$WORD"; pwd; id -u; cat /proc/self/status | grep -E "CapEff|NoNewPrivs|^Seccomp:";'
        " echo oops >&2; exit 3"
    )
    done = containers.execute(wanted.id, ("/bin/sh", "-c", script), timeout=30)
    assert done.code == 3
    words = done.output.split()
    for word in ("of", "/tmp", "1000", "0000000000000000", "oops"):
        assert word in words, done.output
    assert done.output.count("NoNewPrivs:\t1") == 1
    assert "Seccomp:\t2" in done.output
    missing = containers.execute(wanted.id, ("/no/such/program",), timeout=30)
    assert missing.code not in (0, None)
    assert "no/such/program" in missing.output


def test_a_command_that_hangs_or_prints_endlessly_is_ended_with_children(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("sleep", "60")
    containers.launch(wanted)
    settle(lambda: _processes(containers, wanted.id) == 1, 30)  # init has started the program
    hangs = containers.execute(
        wanted.id, ("/bin/sh", "-c", "sleep 300 & echo waiting; sleep 301; true"), timeout=4
    )
    assert (hangs.code, hangs.output) == (None, "waiting")
    prints = containers.execute(
        wanted.id, ("/bin/sh", "-c", "while :; do echo again; done"), timeout=1
    )
    assert prints.code is None
    assert len(prints.output) <= 2048
    settle(lambda: _processes(containers, wanted.id) == 1, 30)
    assert containers.state(wanted.id).exit is None


def _processes(containers: Containers, id: str) -> int:
    usage = containers.usage(id)
    assert usage is not None
    return usage.processes
