"""Tests of a container from its creation to its removal, also by later processes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Exit, Status
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec
from runtime.errors import LaunchFailed
from tests.runtime.containers.conftest import printed, settle, traces

Output = Callable[..., tuple[Exit, list[str]]]
Spec = Callable[..., ContainerSpec]

SERVER = (
    "import http.server as h; h.HTTPServer(('0.0.0.0', 8000),"
    " h.SimpleHTTPRequestHandler).serve_forever()"
)
STUBBORN = "trap 'echo asked' TERM; echo ready; while :; do sleep 1; done"


def test_a_container_is_created_then_running_then_exited_with_its_code(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("sh", "-c", "echo out; echo err >&2; sleep 0.3; exit 3", labels={"release": "7"})
    created = containers.create(wanted)
    assert (created.status, created.started_at, created.exit) == (Status.CREATED, None, None)
    assert created.spec == wanted
    containers.start(wanted.id)
    running = containers.state(wanted.id)
    assert running is not None
    assert (running.status, running.pid) == (Status.RUNNING, created.pid)
    assert running.started_at is not None
    ended = _wait(containers, wanted.id)
    assert (ended.code, ended.signal, ended.out_of_memory) == (3, None, False)
    assert ended.explain() == "It exited with code 3."
    assert sorted(printed(containers, wanted.id)) == ["err", "out"]
    containers.start(wanted.id)  # does not run it a second time
    assert _wait(containers, wanted.id) == ended


def test_stop_sends_a_signal_first_and_an_app_that_handles_it_ends(
    containers: Containers, spec: Spec
) -> None:
    program = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye',"
        " flush=True), sys.exit(0)))\nprint('up', flush=True)\ntime.sleep(60)"
    )
    wanted = spec("python3", "-c", program)
    containers.launch(wanted)
    settle(lambda: printed(containers, wanted.id) == ["up"], 30)
    containers.stop(wanted.id)
    assert _wait(containers, wanted.id).code == 0
    assert printed(containers, wanted.id) == ["up", "bye"]


def test_stop_kills_a_process_that_ignores_the_signal(containers: Containers, spec: Spec) -> None:
    wanted = spec("sh", "-c", STUBBORN)
    containers.launch(wanted)
    settle(lambda: printed(containers, wanted.id) == ["ready"], 30)
    start = time.monotonic()
    containers.stop(wanted.id, grace=0.5)
    assert 0.5 <= time.monotonic() - start < 10
    ended = _wait(containers, wanted.id)
    assert (ended.code, ended.signal) == (137, signal.SIGKILL)
    assert ended.explain() == "It did not end within 0.5 s after SIGTERM, and was killed."
    containers.stop(wanted.id)  # a repetition succeeds


def test_a_missing_command_is_reported(output: Output) -> None:
    ended, lines = output("/app/no-such-program")
    assert ended.code != 0
    assert any("No such file" in line for line in lines), lines


def test_output_arrives_line_by_line_and_so_do_unfinished_lines(output: Output) -> None:
    ended, lines = output("python3", "-c", "print('a' * 20000); print('é'); print('last', end='')")
    assert ended.code == 0
    assert lines == ["a" * 20000, "é", "last"]


def test_a_foreground_run_ends_at_its_timeout_or_when_cancelled(
    containers: Containers, spec: Spec
) -> None:
    slow = spec("sleep", "60")
    assert (
        containers.run(slow, on_output=lambda _, __: None, timeout=0.3).explain()
        == "It ran for more than 0.3 s and was stopped."
    )
    cancelled, asked = spec("sh", "-c", "echo begun; sleep 60"), threading.Event()
    ended = containers.run(
        cancelled, on_output=lambda _, __: asked.set(), timeout=30, cancelled=asked.is_set
    )
    assert ended.explain() == "It was cancelled."
    state = containers.state(cancelled.id)
    assert state is not None
    assert state.status is Status.EXITED


def test_a_foreground_run_with_endless_output_is_stopped(
    containers: Containers, spec: Spec
) -> None:
    endless = "import os\nwhile True: os.write(1, b'y' * 8000 + b'\\n')"
    lines = 0

    def count(_: str, __: str) -> None:
        nonlocal lines
        lines += 1

    ended = containers.run(
        spec("python3", "-c", endless, id="endless"), on_output=count, timeout=60
    )
    assert ended.explain() == "It printed more than 128 MiB and was stopped."
    assert 0 < lines < 128 * 2**20 / 8000 + 1000  # the size is checked every thousand lines


def test_an_exception_of_the_output_callback_stops_the_run(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("sh", "-c", "echo x; sleep 60")

    def refuse(stream: str, text: str) -> None:
        raise RuntimeError(f"{stream} {text}")

    with pytest.raises(RuntimeError, match="stdout x"):
        containers.run(wanted, on_output=refuse, timeout=30)
    state = containers.state(wanted.id)
    assert state is not None
    assert state.status is Status.EXITED


def test_listening_sockets_are_listed_with_their_addresses(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("python3", "-c", SERVER)
    containers.launch(wanted)
    settle(lambda: containers.listening(wanted.id) == [("0.0.0.0", 8000)], 30)
    assert containers.listening("nobody") == []


def test_a_new_containers_object_finds_running_and_ended_containers(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    runs, ends = spec("sleep", "60"), spec("sh", "-c", "exit 5")
    launched = containers.launch(runs)
    containers.launch(ends)
    _wait(containers, ends.id)
    later = Containers(node)
    later.prepare()
    assert [container.id for container in later.list()] == sorted([runs.id, ends.id])
    found = later.state(runs.id)
    assert found is not None
    assert (found.status, found.pid, found.spec) == (Status.RUNNING, launched.pid, runs)
    assert _wait(later, ends.id).code == 5
    assert later.sweep() == []
    later.remove(runs.id)
    assert containers.state(runs.id) is None


def test_removing_twice_concurrently_or_an_unknown_container_succeeds(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("sleep", "60")
    containers.launch(wanted)
    threads = [threading.Thread(target=containers.remove, args=(wanted.id,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    containers.remove(wanted.id)
    containers.remove("nobody")
    assert containers.list() == []


def test_removing_leaves_only_the_group_and_namespace_of_the_team(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    first, wanted = (
        spec("true"),
        spec("sh", "-c", "dd if=/dev/zero of=/tmp/f bs=1M count=30; sleep 60"),
    )
    containers.launch(first)
    containers.remove(first.id)
    before = traces(node)
    containers.launch(wanted)
    assert len(traces(node)) > len(before)
    containers.remove(wanted.id)
    settle(lambda: traces(node) == before, 30, lambda: f"{traces(node)}\n{before}")
    assert [path.name for path in node.instances.iterdir()] == [".lock"]


def test_an_id_is_unique_and_checked(containers: Containers, spec: Spec) -> None:
    wanted = spec("sleep", "60")
    containers.launch(wanted)
    with pytest.raises(LaunchFailed, match="already"):
        containers.launch(wanted)
    assert _is_running(containers, wanted.id)
    for bad in ("../x", "", "UPPER", "a" * 81, ".x"):
        with pytest.raises(LaunchFailed, match="not a valid container id"):
            containers.create(spec("true", id=bad))


def test_many_containers_are_launched_at_once(containers: Containers, spec: Spec) -> None:
    wanted, failures = (
        [spec("sleep", "60", team=number % 2) for number in range(6)],
        list[Exception](),
    )

    def launch(wanted_spec: ContainerSpec) -> None:
        try:
            containers.launch(wanted_spec)
        except Exception as error:  # noqa: BLE001 -- the edge of a thread: shown below
            failures.append(error)

    threads = [threading.Thread(target=launch, args=(wanted_spec,)) for wanted_spec in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {container.status for container in containers.list()} == {Status.RUNNING}
    assert len(containers.list()) == 6


def _wait(containers: Containers, id: str) -> Exit:
    settle(lambda: (state := containers.state(id)) and state.status is Status.EXITED, 30)
    state = containers.state(id)
    assert state is not None
    assert state.exit is not None
    return state.exit


def _is_running(containers: Containers, id: str) -> bool:
    state = containers.state(id)
    return state is not None and state.status is Status.RUNNING
