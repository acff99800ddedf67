"""Tests of the listening sockets, which stay open when HAProxy ends.

A client that connects meanwhile waits for the next HAProxy.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.config import NodeConfig, passed_descriptors
from runtime.errors import HostLacks
from runtime.router import haproxy, listeners
from runtime.router.addresses import ListenAddress
from runtime.router.listeners import Listeners
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    free_port,
    router_of_its_own,
    routes_to,
    wait_for,
)
from tests.runtime.router.support.load import CLIENTS, Load

KILLS = 12


@contextmanager
def held_router(**settings: object) -> Iterator[RouterUnderTest]:
    """Run a router whose sockets this process holds, as `make up` does."""
    with router_of_its_own(**settings) as running:
        running.kill()
        with Listeners(running.config):
            running.start()
            running.router.set(routes_to(end(running.app("web-1"))))
            wait_for(lambda: running.get().status_code == 200)
            try:
                yield running
            finally:
                stop(running)


@pytest.fixture(scope="module")
def held() -> Iterator[RouterUnderTest]:
    with held_router() as running:
        yield running


def stop(running: RouterUnderTest) -> None:
    """End HAProxy and wait for the end of its workers. Its port stays open."""
    workers = running.router.workers()
    if running.process is not None:
        running.process.kill()
        running.process.wait()
        running.process = None
    wait_for(lambda: not any(is_running(pid) for pid in workers))


def is_running(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (
            "haproxy" in Path(f"/proc/{pid}/comm").read_text()
            and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        )
    return False


@pytest.mark.slow
def test_a_haproxy_that_is_killed_repeatedly_refuses_no_connection(held: RouterUnderTest):
    """Kill the master, the worker, or both, in turn.

    Restart HAProxy half a second later, as a process manager does.
    """
    with Load(held.config.http_port) as load:
        for number in range(KILLS):
            time.sleep(0.3)
            assert held.process is not None
            master, workers = held.process.pid, held.router.workers()
            for pid in [[master], workers, [master, *workers]][number % 3]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            held.process.wait(30)
            wait_for(lambda gone=workers: not any(is_running(pid) for pid in gone))
            time.sleep(0.5)
            held.start()
    print(f"{KILLS} kills: {load.describe()}")
    assert load.seen["refused"] == 0
    assert load.seen["200"] > KILLS
    assert set(load.seen) <= {"200", "cut", "refused"}
    assert load.seen["cut"] <= KILLS * CLIENTS, "more than the requests in flight"
    assert load.longest >= 0.5, "no client waited, so the test proves nothing"


def test_a_reload_with_held_sockets_refuses_and_cuts_nothing(held: RouterUnderTest):
    with Load(held.config.http_port) as load:
        for _ in range(4):
            held.router.reload()
            time.sleep(0.1)
    assert set(load.seen) == {"200"}, load.describe()


def test_only_haproxy_and_the_holder_have_the_sockets(held: RouterUnderTest):
    inode = listening_inode(held.config.http_port)
    having = {
        process
        for process in Path("/proc").glob("[0-9]*")
        if f"socket:[{inode}]" in open_files(process)
    }
    own = {os.getpid(), held.process.pid if held.process else 0, *held.router.workers()}
    assert {int(process.name) for process in having} <= own


def listening_inode(port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


def open_files(process: Path) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in (process / "fd").iterdir():
            with suppress(OSError):
                found.add(str(entry.readlink()))
    return found


def test_nothing_listens_after_the_end_of_the_holder():
    with router_of_its_own() as running:
        running.kill()
        with Listeners(running.config):
            assert running.listens()
        assert not running.listens()
        assert not listeners.handover_socket(running.config).exists()


def test_sockets_of_systemd_have_precedence(tmp_path: Path):
    """Pass a socket as systemd does (sd_listen_fds(3)): descriptors from 3 on, for the process in
    LISTEN_PID.
    """
    with router_of_its_own() as running:
        running.kill()
        place = ListenAddress(name="http", host="127.0.0.1", port=running.config.http_port)
        script = f'exec 3<&"$0"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 2>>{tmp_path}/log'
        with listeners.open_listener(place) as listener:
            number = listener.fileno()
            command = ["bash", "-c", script, str(number), *haproxy.command(running.config)]
            running.process = subprocess.Popen(command, pass_fds=[number])
            wait_for(running.router.workers)
            environment = Path(f"/proc/{running.process.pid}/environ").read_bytes()
            stop(running)
            assert running.listens(), "HAProxy opened another socket, or closed ours"
    assert b"SLIPWAY_HTTP_LISTENER=fd@3\0" in environment
    assert b"LISTEN_PID" not in environment
    assert (tmp_path / "log").read_text() == ""


def test_descriptors_for_another_process_are_ignored():
    assert passed_descriptors(7, {"LISTEN_PID": "7", "LISTEN_FDS": "2"}) == [3, 4]
    assert passed_descriptors(8, {"LISTEN_PID": "7", "LISTEN_FDS": "2"}) == []
    assert passed_descriptors(8, {}) == []


def test_another_user_gets_no_socket(held: RouterUnderTest):
    handover = listeners.handover_socket(held.config)
    assert handover.stat().st_mode & 0o777 == 0o600
    handover.chmod(0o666)  # even with these permissions
    code = (
        f"import socket; c = socket.socket(socket.AF_UNIX); c.connect({str(handover)!r});"
        " print(len(socket.recv_fds(c, 1, 8)[1]))"
    )
    python = ["/usr/bin/python3", "-c", code]
    try:
        stranger = subprocess.check_output(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *python], text=True
        )
        assert stranger.strip() == "0"
        assert subprocess.check_output(python, text=True).strip() == "1"
    finally:
        handover.chmod(0o600)


def test_a_changed_port_is_reported_with_its_remedy(held: RouterUnderTest):
    other = NodeConfig(run=held.config.run, http_port=free_port())
    command = haproxy.command(other)
    result = subprocess.run(
        [*command[: command.index("--") + 1], "true"], check=False, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert re.search(
        rf"no socket for port {other.http_port} \(http\)\. Ports of the received sockets:"
        rf" {held.config.http_port}\..*start it again",
        result.stderr,
    )


def test_a_port_in_use_is_reported_and_nothing_stays_open(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = NodeConfig(run=tmp_path, http_port=free_port(), https_port=taken.getsockname()[1])
        with (
            pytest.raises(HostLacks, match=r"cannot listen on 127\.0\.0\.1:.*in use"),
            Listeners(config),
        ):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", config.http_port), 1)


def test_the_launcher_needs_only_the_standard_library():
    code = (
        "import sys, runtime.router.launch; print(*sorted(name for name in sys.modules if"
        " 'site-packages' in str(getattr(sys.modules[name], '__file__', ''))))"
    )
    assert subprocess.check_output([sys.executable, "-S", "-c", code], text=True).strip() == ""
