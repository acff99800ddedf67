"""Attacks through volumes: their size, their number of files, their names and links, and paths."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.system.attacks.attack import Attack
from tests.system.attacks.range import ATTACKER, Range
from tests.system.support.waiting import until

SIZE = 64 * 2**20
HOSTILE_PATHS = (
    "/",
    "/app",
    "/usr/lib",
    "/etc",
    "/proc",
    "/proc/self/attr",
    "/sys/fs/cgroup",
    "/dev/shm",
    "/data/../etc",
    "/data/..",
    "..",
    "/data\u0000/x",
    "/data:/etc",
    "/data,rw",
)


@contextmanager
def volume(place: Range) -> Iterator[int]:
    """Yield the number of a volume of the attacker's app. Remove its data afterwards."""
    answer = place.api.api.post(
        f"/apps/{ATTACKER}/volumes", json={"name": "attack", "path": "/data", "size": SIZE}
    )
    assert answer.status_code == 201, answer.text
    number = int(answer.json()["number"])
    try:
        until(lambda: is_mounted(place), within=60, what="the attacker has its volume", every=0.3)
        yield number
    finally:
        for path in (f"/volumes/{number}", f"/volumes/{number}/data"):
            until(
                lambda path=path: (
                    place.api.api.delete(path, params={"confirm": "attack"}).is_success
                ),
                within=60,
                what="the volume is idle",
                every=0.5,
            )
        until(
            lambda: not (place.config.volumes / str(number)).exists(),
            within=90,
            what="the volume's data is gone",
            every=0.5,
        )
        place.recover()


def is_mounted(place: Range) -> bool:
    return place.ask("/") == "ready" and bool(place.run("volumes", "mounted").get("mounted"))


def job(place: Range, number: int, what: str, **body: Any) -> dict[str, Any]:
    """Start a job on the volume, and return it when it is over."""
    answer = place.api.api.post(f"/volumes/{number}/{what}", **body)
    assert answer.is_success, answer.text
    path = f"/volumes/{number}/jobs/{answer.json()['id']}"
    return until(
        lambda: (found := dict(place.api.get(path)))["state"] in ("done", "failed") and found,
        within=120,
        what=f"the job {what} is over",
        every=0.3,
    )


def hostile_names(place: Range) -> str:
    with volume(place) as number:
        found = place.run("volumes", "plant", seconds=10)
        worked = [name for name, outcome in found.items() if outcome == "worked"]
        assert not worked, f"these worked: {worked}"
        assert len(found) == 8, found
        listed = job(place, number, "files", json={"place": ""})
        kinds = {each["name"]: each["kind"] for each in listed["files"]}
        assert kinds["passwd"] == kinds["root"] == kinds["etc"] == "link", kinds
        assert kinds["pipe"] == kinds["socket"] == "other", kinds
        for inside in ("etc", "root", "etc/ssl", "passwd"):
            assert job(place, number, "files", json={"place": inside})["state"] == "failed"
        assert (
            place.api.api.post(f"/volumes/{number}/files", json={"place": "../.."}).status_code
            == 400
        )
        packed = job(place, number, "download")
        assert packed["state"] == "done", packed
        data = place.api.api.get(f"/volumes/{number}/archive").content
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = {member.name: member for member in archive}
        assert members["passwd"].issym()
        assert not [name for name in members if name.startswith(("etc/", "root/"))]
        assert not members["file"].mode & 0o7000, oct(members["file"].mode)
        for where in ("etc", "root/tmp", "passwd"):
            planted = job(
                place,
                number,
                f"upload?place={where}",
                files={"archive": ("a.tar", _tar("planted-by-tests"))},
            )
            assert planted["state"] == "failed", planted
        for path in ("/etc/planted-by-tests", "/tmp/planted-by-tests", "/planted-by-tests"):
            assert not os.path.lexists(path), path
    return "links are not followed, the rest refused"


def full(place: Range) -> str:
    with volume(place):
        found = place.run("volumes", "fill", seconds=20)
        assert found["stopped"] == "ENOSPC", found
        assert found["count"] * 2**20 < SIZE, found
        return f"full after {found['count']}"


def many_entries(place: Range) -> str:
    with volume(place) as number:
        found = place.run("volumes", "entries", seconds=30)
        assert found["stopped"] == "ENOSPC", found
        listed = job(place, number, "files", json={"place": "many"})
        assert (len(listed["files"]), listed["whole"]) == (1000, False), listed["state"]
        return f"full after {found['count']}"


def hostile_paths(place: Range) -> str:
    for path in HOSTILE_PATHS:
        answer = place.api.api.post(
            f"/apps/{ATTACKER}/volumes", json={"name": "attack", "path": path, "size": SIZE}
        )
        assert answer.status_code == 400, f"{path}: {answer.status_code} {answer.text}"
    return f"{len(HOSTILE_PATHS)} paths, all refused"


def _tar(name: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    return target.getvalue()


ATTACKS = (
    Attack(
        kind="volumes",
        name="links, devices and odd names",
        holds="nosuid and nodev, and a confined helper that follows no link",
        act=hostile_names,
        in_suite=True,
    ),
    Attack(
        kind="volumes",
        name="a full volume",
        holds="the volume's own file system of a fixed size",
        act=full,
    ),
    Attack(
        kind="volumes",
        name="a million files",
        holds="the number of files of the file system, and the limit of a list",
        act=many_entries,
    ),
    Attack(
        kind="volumes",
        name="paths of the system",
        holds="the rules for paths",
        act=hostile_paths,
        in_suite=True,
    ),
)
