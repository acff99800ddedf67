"""Test of the exit watcher.

The supervisor reports an ended instance until the workers have removed it.
"""

from __future__ import annotations

from types import SimpleNamespace

from runtime.containers.container import Status
from runtime.converge.container_spec import INSTANCE
from workers.supervisor.exit_watcher import ExitWatch


def test_an_ended_instance_is_reported_every_3_s_until_it_is_removed() -> None:
    spec = SimpleNamespace(app="a", labels={"kind": INSTANCE})
    ended = SimpleNamespace(id="a-web-1", spec=spec, status=Status.EXITED, pid=None)
    present, reported, taken_out, now = [ended], [], [], [100.0]
    engine = SimpleNamespace(
        containers=SimpleNamespace(state=lambda _: ended),
        remove_endpoint=lambda app, name: taken_out.append((app, name)),
    )
    watch = ExitWatch(
        engine,
        SimpleNamespace(instances=lambda: list(present)),
        lambda instance: reported.append((now[0], instance.id)),
        clock=lambda: now[0],
    )
    for second in (0.0, 1.0, 2.9, 3.0, 5.0, 6.5):
        now[0] = 100.0 + second
        watch.watch(0)
    present.clear()
    now[0] = 200.0
    watch.watch(0)
    watch.close()
    assert reported == [(100.0, "a-web-1"), (103.0, "a-web-1"), (106.5, "a-web-1")]
    assert taken_out == [("a", "a-web-1")]
