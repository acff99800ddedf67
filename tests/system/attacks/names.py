"""Attacks by names, links and file types: in uploads, layers of pushed images, and Dockerfiles."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable

from tests.portal.images import digest_of
from tests.system.attacks.attack import Attack
from tests.system.attacks.images import push
from tests.system.attacks.range import Range
from tests.system.support import archives

HOSTILE_UPLOADS = archives.hostile()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", text: bytes = b"", **more: object
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(text)
    info.devmajor, info.devminor, info.mode = 8, 0, 0o755
    for field, value in more.items():
        setattr(info, field, value)
    return (
        info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        + text
        + bytes(-len(text) % tarfile.BLOCKSIZE)
    )


def layer(*entries: bytes) -> bytes:
    return b"".join([*entries, bytes(1024)])


def upload(kind: str) -> Attack:
    filename, make, words = HOSTILE_UPLOADS[kind]

    def act(place: Range) -> str:
        build, _ = place.upload(make(), filename)
        assert build["state"] in {"failed", "refused"}, build
        assert words in str(build["reason"]), build["reason"]
        return "refused with the reason"

    return Attack(
        kind="names",
        name=f"upload with {kind}",
        holds="the archive reader",
        act=act,
        in_suite=kind == "a device",
    )


def pushed(name: str, make: Callable[[], bytes], *, may_run: bool = False) -> Attack:
    """Push an image with a layer made by `make`.

    It may be accepted if all its files stay inside it.
    """

    def act(place: Range) -> str:
        data = make()
        build = push(place, gzip.compress(data, 1), diff_id=digest_of(data))
        assert may_run or build["state"] in {"failed", "refused"}, build
        assert "internal error" not in str(build.get("reason", "")), build
        for path in ("/planted-by-tests", "/etc/planted-by-tests"):
            assert not os.path.lexists(path), path
        return (
            "refused with the reason" if build["state"] != "succeeded" else "stays inside the image"
        )

    return Attack(
        kind="names",
        name=f"layer with {name}",
        holds="the reader of layers, in a confined helper",
        act=act,
    )


def dockerfile(name: str, steps: str, *, files: dict[str, str | bytes] | None = None) -> Attack:
    def act(place: Range) -> str:
        build, log = place.build(
            {"Dockerfile": f"FROM debian-13 AS base\n{steps}\nCMD true\n", **(files or {})}
        )
        assert build["state"] in {"failed", "succeeded"}, build
        assert "internal error" not in f"{build.get('reason')} {log}", build
        for path in ("/planted-by-tests", "/etc/planted-by-tests"):
            assert not os.path.lexists(path), path
        return "refused with the reason" if build["state"] == "failed" else "stays inside the image"

    return Attack(
        kind="names",
        name=f"Dockerfile: {name}",
        holds="paths are opened below the image's root",
        act=act,
    )


def many() -> bytes:
    """Return a tar of a million empty files, which is some 5 MB when compressed."""
    packed = io.BytesIO()
    for number in range(1_000_000):
        info = tarfile.TarInfo(f"d{number // 10_000}/{number}")
        packed.write(info.tobuf(tarfile.USTAR_FORMAT))
    return packed.getvalue() + bytes(1024)


def huge_header() -> bytes:
    """Return a pax header of 800 MiB of zeros."""
    head = tarfile.TarInfo("././@PaxHeader")
    head.type, head.size = tarfile.XHDTYPE, 800 << 20
    return (
        head.tobuf(tarfile.USTAR_FORMAT)
        + b"800000000 path="
        + bytes((800 << 20) - 15)
        + entry("x")
        + bytes(1024)
    )


ATTACKS = (
    *(upload(kind) for kind in HOSTILE_UPLOADS),
    pushed("a name that climbs out", lambda: layer(entry("../../planted-by-tests", text=b"x"))),
    pushed("an absolute name", lambda: layer(entry("/planted-by-tests", text=b"x")), may_run=True),
    pushed(
        "a link, and a file through it",
        lambda: layer(entry("l", tarfile.SYMTYPE, "/"), entry("l/planted-by-tests", text=b"x")),
        may_run=True,
    ),
    pushed(
        "a magic link",
        lambda: layer(
            entry("l", tarfile.SYMTYPE, "/proc/1/root"), entry("l/planted-by-tests", text=b"x")
        ),
        may_run=True,
    ),
    pushed("a hard link to the host", lambda: layer(entry("h", tarfile.LNKTYPE, "/etc/shadow"))),
    pushed(
        "a hard link that climbs out",
        lambda: layer(entry("h", tarfile.LNKTYPE, "../../../../etc/shadow")),
    ),
    pushed("a disk", lambda: layer(entry("disk", tarfile.BLKTYPE)), may_run=True),
    pushed("a whiteout of a parent", lambda: layer(entry(".wh...")), may_run=True),
    pushed("a whiteout of itself", lambda: layer(entry(".wh.")), may_run=True),
    pushed(
        "an opaque folder that is a link",
        lambda: layer(entry("o", tarfile.SYMTYPE, "/etc"), entry("o/.wh..wh..opq")),
        may_run=True,
    ),
    pushed("odd bytes", lambda: layer(entry("\udcff\n\x1b[31m", text=b"x")), may_run=True),
    pushed("a header of 800 MiB", huge_header),
    pushed("a million entries", many),
    dockerfile(
        "a file through a link to /etc",
        "RUN ln -s /etc /l\nCOPY f /l/planted-by-tests",
        files={"f": "x"},
    ),
    dockerfile("a file above the context", "COPY ../../etc/shadow /f"),
    dockerfile(
        "a secret by an absolute name",
        "RUN --mount=type=secret,id=../../secrets/django.key,target=/run/s cat /run/s",
    ),
    dockerfile("an ssh agent", "RUN --mount=type=ssh true"),
    dockerfile("the host's network", "RUN --network=host true"),
    dockerfile("no sandbox", "RUN --security=insecure true"),
    dockerfile(
        "a cache that climbs out",
        "RUN --mount=type=cache,id=../../../../etc,target=/m touch /m/planted-by-tests",
    ),
    dockerfile("a cache on /dev", "RUN --mount=type=cache,target=/dev true"),
    dockerfile("a work folder above the root", "WORKDIR /../../../etc\nRUN touch planted-by-tests"),
    dockerfile("a volume above the root", "VOLUME /../../etc"),
    dockerfile("an owner of the host", "COPY --chown=4294967295:0 f /f", files={"f": "x"}),
    dockerfile("a mode with setuid", "COPY --chmod=6777 f /f", files={"f": "x"}),
    dockerfile("an ADD from this machine", "ADD http://127.0.0.1:80/x /x"),
)
