"""Tests of kills of HAProxy and of processes that write routes. The state comes from the files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from runtime.contract.error_codes import Code
from runtime.router.policy import Policy
from runtime.router.routes import AppRoutes, AppSituation
from tests.runtime.router.conftest import RouterUnderTest, end, routes_to


def test_after_a_kill_the_state_comes_from_the_files(running: RouterUnderTest):
    old, new = running.app("old-1"), running.app("new-1")
    running.router.set(routes_to(end(new), end(old, draining=True)))
    running.router.set(routes_to(app="gone", host="gone.test"))
    tired = routes_to(app="tired", host="tired.test", situation=AppSituation.ASLEEP)
    running.router.set(replace(tired, policy=Policy(hold_seconds=1)))  # no wake service runs here
    running.router.remove("gone")
    running.kill()
    running.start()
    assert running.get().json()["name"] == "new-1"
    assert running.get(host="gone.test").status_code == 404
    assert (
        running.get(host="tired.test", accept="application/json").json()["code"] == Code.WAKE_FAILED
    )
    assert running.router.reconcile() == []
    assert old.hits["/"] == 0


def test_a_killed_worker_ends_the_master_and_the_next_start_serves(running: RouterUnderTest):
    running.router.set(routes_to(end(running.app("a-1"))))
    worker = running.router._api.workers()[0]
    os.kill(worker, signal.SIGKILL)
    assert running.process.wait(10) != 0
    running.start()
    assert running.get().status_code == 200


@pytest.mark.parametrize("files_before_the_kill", range(3))
def test_a_writer_killed_between_two_files_is_repaired(
    running: RouterUnderTest, files_before_the_kill: int
):
    old, new = running.app("old-1"), running.app("new-1")
    running.router.set(routes_to(end(old)))
    routes = routes_to(end(new), end(old, draining=True), host="moved.test")
    killed_writer(running, routes, files_before_the_kill)
    running.kill()
    running.start()  # HAProxy starts with any state of the files
    if files_before_the_kill:
        assert running.router.reconcile() != []
        assert running.router.routes()["hello"] == routes
        assert running.get(host="moved.test").json()["name"] == "new-1"
        assert running.get(host="hello.test").status_code == 404
    else:
        assert running.get(host="hello.test").json()["name"] == "old-1"
    assert running.router.reconcile() == []


@pytest.mark.parametrize("files_before_the_kill", range(1, 3))
def test_a_writer_killed_after_it_has_sent_the_change_is_repaired(
    running: RouterUnderTest, files_before_the_kill: int
):
    old, new = running.app("old-1"), running.app("new-1")
    running.router.set(routes_to(end(old)))
    killed_writer(running, routes_to(end(new), host="moved.test"), files_before_the_kill)
    assert running.get(host="moved.test").json()["name"] == "new-1"
    assert running.router.reconcile() != [], "its files were not up to date"
    running.kill()
    running.start()
    assert running.get(host="moved.test").json()["name"] == "new-1"
    assert running.get(host="hello.test").status_code == 404
    assert running.router.reconcile() == []


def test_a_writer_killed_before_it_has_sent_the_change_is_repaired(running: RouterUnderTest):
    old, new = running.app("old-1"), running.app("new-1")
    running.router.set(routes_to(end(old)))
    killed_writer(running, routes_to(end(new), host="moved.test"), 1, tells=False)
    assert running.get(host="hello.test").json()["name"] == "old-1"
    assert running.router.reconcile() != []
    assert running.get(host="moved.test").json()["name"] == "new-1"
    assert running.get(host="hello.test").status_code == 404
    assert running.router.reconcile() == []


def killed_writer(
    running: RouterUnderTest, routes: AppRoutes, files: int, *, tells: bool = True
) -> None:
    """Start a process that gets SIGKILL before it writes its next file, or before it sends the
    change to HAProxy.
    """
    program = f"""
        import ipaddress, os, pathlib, signal
        from pathlib import PosixPath
        from ipaddress import IPv4Network
        from runtime import journal
        from runtime.config import NodeConfig
        from runtime.router.router import Router
        from runtime.router.routes import AppRoutes, AppSituation, Endpoint
        config = {running.config!r}
        left, write = {files}, journal.write_atomic
        def counted(*arguments, **named):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            write(*arguments, **named)
        journal.write_atomic = counted
        router = Router(config)
        if not {tells}:
            for method in {("ask", "send_commands")!r}:
                setattr(router._api, method, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        router.set(AppRoutes(app={routes.app!r}, hosts={routes.hosts!r}, endpoints={routes.endpoints!r}))
    """  # noqa: E501
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode == -signal.SIGKILL
