"""Tests of an instance's file changes and of images made from them.

They use real containers with shifted ids, whiteouts and hostile names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Status
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec
from runtime.converge.commit import commit
from runtime.errors import BuildFailed, LaunchFailed, NoSuchImage
from runtime.images.manifest import ImageConfig
from runtime.images.store import Store
from tests.runtime.containers.conftest import containers, layers, node, place, printed, settle, spec

__all__ = ["containers", "layers", "node", "place", "spec"]

WRITES = r"""
import os
os.makedirs('/app/data/deep'); open('/app/data/deep/new', 'w').write('x' * 3000)
os.remove('/word')
open('/etc/passwd', 'a').write('more:x:5:5::/:/bin/sh\n')
os.remove('/pair/one'); os.remove('/pair/two'); os.rmdir('/pair'); os.mkdir('/pair'); open('/pair/three', 'w').close()
open('/app/armed', 'w').write('#!/bin/sh\n'); os.chmod('/app/armed', 0o6755)
open(b'/app/a\nb\x1b[31m\xff', 'w').close()
os.symlink('/etc/shadow', '/app/link')
os.chmod('/srv', 0o711)
open('/tmp/not-part', 'w').close()
open('/app/gone', 'w').close(); os.remove('/app/gone')
print('wrote', flush=True)
"""  # noqa: E501
GOES_ON = (
    "import time\nnumber = 0\nwhile True:\n    number += 1\n    open('/app/count',"
    " 'w').write(str(number))\n    time.sleep(0.001)\n"
)


@pytest.fixture
def store(node: NodeConfig, layers: tuple[Path, ...], place: Path) -> Store:
    """Create a store with an image of the containers' test layers and one more layer."""
    more = place / f"more-{node.name}"
    (more / "pair").mkdir(parents=True)
    (more / "srv").mkdir()
    for name in ("one", "two"):
        (more / "pair" / name).write_text(name)
    made = Store(node)
    kept = [made.add_layer(tree) for tree in (*reversed(layers), more)]
    made.tag("shop:v12", made.write_image(kept, ImageConfig(environment={"PATH": "/usr/bin:/bin"})))
    return made


def launched(containers: Containers, store: Store, spec, *command: str, **changes) -> str:
    image = store.image(store.find("shop:v12"))
    wanted: ContainerSpec = spec(
        *command,
        layers=image.layers,
        uid=0,
        gid=0,
        labels={"kind": "instance", "process": "web", "release": "12"},
        **changes,
    )
    containers.launch(wanted)
    return wanted.id


def test_the_changes_of_an_instance_become_a_layer_with_real_ids(node, containers, store, spec):
    web = launched(containers, store, spec, "python3", "-B", "-c", WRITES + GOES_ON)
    settle(lambda: "wrote" in printed(containers, web), 20, lambda: str(printed(containers, web)))
    changes = containers.written(web)
    assert changes.whole
    assert {(change.kind.value, change.text) for change in changes.changes} == {
        ("A", r"/app/a\nb\x1b[31m\xff"),
        ("A", "/app/armed"),
        ("A", "/app/count"),
        ("A", "/app/data"),
        ("A", "/app/data/deep"),
        ("A", "/app/data/deep/new"),
        ("A", "/app/link"),
        ("C", "/etc/passwd"),
        ("D", "/pair/one"),
        ("A", "/pair/three"),
        ("D", "/pair/two"),
        ("C", "/srv"),
        ("D", "/word"),
    }
    assert {change.size for change in changes.changes if change.path.endswith("/new")} == {3000}
    assert not containers.written(web, most=3).whole

    with store.lease():
        digest = commit(node, store, containers, web)
    container = containers.state(web)
    assert container is not None
    assert container.status is Status.RUNNING
    count = containers._folder(web).scratch / "upper/app/count"
    before = count.read_text()
    settle(lambda: count.read_text() not in ("", before), 20, lambda: "it does not continue")
    image = store.image(digest)
    told_by = [step.created_by for step in image.config.history]
    assert told_by[-1] == f"Commit of web.{web.rsplit('-', 1)[1]} of v12"
    assert len(told_by) == len(image.layers)
    assert image.layers[1:] == store.image(store.find("shop:v12")).layers
    top = image.layers[0]
    new, armed = (top / "app/data/deep/new").stat(), (top / "app/armed").stat()
    assert (new.st_uid, new.st_gid) == (0, 0)
    assert (armed.st_uid, oct(armed.st_mode)) == (
        0,
        "0o100755",
    ), "setuid bits of a tenant's layer are removed"
    assert (top / "app/link").is_symlink()
    assert sorted(path.name for path in (top / "etc").iterdir()) == ["passwd"], (
        "the files of the platform are not included"
    )
    assert not (top / "tmp").exists()
    containers.remove(web)

    again = spec(
        "python3",
        "-B",
        "-c",
        "import os; print(os.listdir('/pair'), os.path.exists('/word'),"
        " os.stat('/app/data').st_uid)",
    )
    lines: list[str] = []
    ran = ContainerSpec(
        **{name: getattr(again, name) for name in again.__slots__}
        | {"layers": image.layers, "team": 2}
    )
    containers.run(ran, on_output=lambda _, text: lines.append(text), timeout=60)
    containers.remove(ran.id)
    assert lines == ["['three'] False 0"]
    assert [*node.workspaces.iterdir()] == []


def test_a_harmful_layer_is_refused_and_the_instance_continues(node, containers, store, spec):
    hole = "f = open('/app/hole', 'w'); f.truncate(10**12); f.close(); print('wrote', flush=True)\n"
    web = launched(containers, store, spec, "python3", "-c", hole + GOES_ON)
    settle(lambda: "wrote" in printed(containers, web), 20, lambda: str(printed(containers, web)))
    with pytest.raises(BuildFailed, match="The files of the instance are larger than 64 MiB"):
        commit(node, store, containers, web)
    count = containers._folder(web).scratch / "upper/app/count"
    before = count.read_text()
    settle(lambda: count.read_text() not in ("", before), 20, lambda: "it does not continue")
    with pytest.raises(LaunchFailed, match="There is no instance nobody"):
        commit(node, store, containers, "nobody")
    store.untag("shop:v12")
    path = node.images / "index.json"
    path.write_text(path.read_text().replace(store.index.read()[1][0].digest, f"sha256:{'0' * 64}"))
    with pytest.raises(NoSuchImage, match="is no longer in the store"):
        commit(node, store, containers, web)
    assert [*node.workspaces.iterdir()] == []


HOLDER = """
import pickle, sys, time
from runtime.containers.lifecycle import Containers
config, id, into = pickle.loads(bytes.fromhex(sys.argv[1]))
def wait():
    print("frozen", flush=True)
    time.sleep(600)
Containers(config).copy_written(id, into, most=1 << 30, while_still=wait)
"""


def test_a_killed_commit_leaves_no_instance_frozen(node, containers, store, spec, tmp_path):
    import pickle

    web = launched(containers, store, spec, "python3", "-c", GOES_ON)
    count = containers._folder(web).scratch / "upper/app/count"
    settle(lambda: count.exists() and count.read_text(), 20)
    words = [sys.executable, "-c", HOLDER, pickle.dumps((node, web, tmp_path / "copy")).hex()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "frozen\n"
        standing = count.read_text()
        time.sleep(0.1)
        assert count.read_text() == standing
        assert containers.wake_forgotten() == [], "its holder is still running"
        os.kill(holder.pid, signal.SIGKILL)
    assert containers.wake_forgotten() == [f"thawed {web}, which a killed process had frozen"]
    settle(lambda: count.read_text() not in ("", standing), 20, lambda: "it does not continue")
    assert containers.wake_forgotten() == []


def test_an_instance_that_wakes_during_a_copy_is_copied_again(containers, store, spec, tmp_path):
    web = launched(containers, store, spec, "python3", "-c", GOES_ON)
    count = containers._folder(web).scratch / "upper/app/count"
    settle(lambda: count.exists() and count.read_text(), 20)
    containers.freeze(web)  # as when its app falls asleep
    frozen_when_looked_at = []

    def wake() -> None:
        containers.freeze(web, frozen=False)
        frozen_when_looked_at.append(containers.is_frozen(web))

    containers.copy_written(web, tmp_path / "copy", most=1 << 30, while_still=wake)
    assert frozen_when_looked_at == [False, True], "it was thawed, then the copy froze it again"
    assert (tmp_path / "copy/app/count").exists(), (
        "it is empty if the program was frozen between open and write"
    )
    assert not containers.is_frozen(web)
    standing = count.read_text()
    settle(lambda: count.read_text() not in ("", standing), 20, lambda: "it does not continue")
