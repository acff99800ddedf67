"""Tests of kills of HAProxy and the process manager under load.

`make up` holds the listening sockets, so no client is refused.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from runtime import journal
from runtime.router import haproxy
from runtime.router.listeners import Listeners
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    router_of_its_own,
    routes_to,
    wait_for,
)
from tests.runtime.router.support.load import Load
from workers.setup import strays
from workers.setup.foreground import Foreground
from workers.setup.processes import PlatformProgram, platform_logs, programs, render
from workers.setup.tree import ROOT, VENV

KILLS = 8


@contextmanager
def platform_of(running: RouterUnderTest) -> Iterator[None]:
    """Keep the router alone running, as `make up` does."""
    config = running.config
    all_programs = programs(config, venv=VENV, router=haproxy.command(config), private_redis=False)
    items = [program for program in all_programs if program.name == "router"] + [
        PlatformProgram(name="other", command=("sleep", "1000"))
    ]
    platform_logs(config).mkdir(parents=True)
    configuration = config.run / "processes.conf"
    journal.write_atomic(configuration, render(config, items, root=ROOT).encode())
    done = threading.Event()
    with Listeners(config):
        platform = Foreground(config, configuration, dict(os.environ))

        def watch() -> None:
            while not done.wait(0.2):
                platform._look()

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()
            platform.stop()


@pytest.mark.slow
def test_no_client_is_refused_while_haproxy_and_its_manager_are_killed():
    with router_of_its_own() as running:
        running.router.set(routes_to(end(running.app("web-1"))))
        running.kill()
        with platform_of(running):
            wait_for(lambda: running.get().status_code == 200)
            with Load(running.config.http_port) as load:
                for number in range(KILLS):
                    wait_for(running.router.workers)
                    time.sleep(0.5)
                    targets = {
                        0: strays.managers,
                        1: strays.routers,
                        2: lambda c: strays.managers(c) + strays.routers(c),
                    }[number % 3]
                    pids = targets(running.config)
                    assert pids
                    for pid in pids:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                wait_for(running.router.workers)
                time.sleep(1)
        print(f"{KILLS} kills of HAProxy, the process manager or both: {load.describe()}")
        assert load.seen["refused"] == 0
        assert set(load.seen) <= {"200", "cut", "refused"}
        assert strays.routers(running.config) == []
        assert not running.listens(), "something still listens after the platform was stopped"
