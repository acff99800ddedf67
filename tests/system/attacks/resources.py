"""Attacks that use up a resource: from an app, from a build, and through the portal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.system.attacks.attack import Attack
from tests.system.attacks.range import SECONDS, TARGET, Range
from tests.system.support import archives

PIDS = "the limit on processes of the instance's control group"
MEMORY = "the memory limit of the instance's control group"
DISK = "the instance's own file system of a fixed size"


def bomb(
    name: str,
    holds: str,
    *,
    most: int = 10**9,
    stopped: tuple[str, ...] = (),
    in_suite: bool = False,
) -> Attack:
    """Return an attack by a bomb of programs/bombs.py.

    The bomb must get at most `most`, or end in one of the ways of `stopped`.
    """

    def act(place: Range) -> str:
        result = place.run("bombs", name)
        got, why = result.get("got", 0), str(result["stopped"])
        assert got <= most, f"it got {got}, and {most} are allowed"
        assert not stopped or why in stopped, f"it was stopped by {why}, after {got}"
        return f"{why} after {got:,}" if got else why

    return Attack(kind="resources", name=name, holds=holds, act=act, in_suite=in_suite)


def build_of(name: str, step: str, holds: str, *, within: float = 120) -> Attack:
    """Return an attack by a build step that runs this command for some seconds."""

    def act(place: Range) -> str:
        build, _ = place.build(
            {"Dockerfile": f"FROM debian-13\nRUN {step}\nCMD true\n"}, within=within
        )
        assert build["state"] in {"failed", "succeeded"}, build
        return str(build["state"])

    return Attack(kind="resources", name=name, holds=holds, act=act)


def flood_api(place: Range) -> str:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: place.api.api.get("/apps").status_code, range(300)))
    assert set(answers) <= {200, 429}, sorted(set(answers))
    return f"{answers.count(200)} answered, {answers.count(429)} deferred"


def flood_deploys(place: Range) -> str:
    archive = archives.app({"index.html": "x"})
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: place.api.upload(TARGET, archive), range(20)))
    codes = [answer.status_code for answer in answers]
    assert all(code < 500 for code in codes), codes
    for answer in answers:
        if answer.is_success:
            place.api.built(TARGET, int(answer.json()["id"]), within=240)
    return (
        f"{sum(code < 300 for code in codes)} accepted, {sum(code >= 400 for code in codes)}"
        " refused"
    )


def flood_bodies(place: Range) -> str:
    """Send bodies of 32 MiB to an endpoint that needs a few bytes, ten at once."""
    body = b'{"team": "' + b"x" * (32 << 20) + b'"}'
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: place.api.api.post("/apps", content=body).status_code, range(10))
        )
    assert all(400 <= code < 500 for code in answers), answers
    return f"refused with {', '.join(map(str, sorted(set(answers))))}"


ATTACKS = (
    bomb("fork", PIDS, most=128, in_suite=True),
    bomb("threads", PIDS, most=128),
    bomb("memory", MEMORY, most=192, stopped=("killed", "MemoryError", "ENOMEM"), in_suite=True),
    bomb("tmpfs", MEMORY, most=192),
    bomb("disk", DISK, most=192, stopped=("ENOSPC", "time"), in_suite=True),
    bomb("inodes", DISK, stopped=("ENOSPC", "time")),
    bomb("descriptors", "the limit on open files of a process", most=1_100_000),
    bomb("pipes", "the memory limit, and the kernel's limit on pipes of a user"),
    bomb("dentries", "the memory limit, which includes names"),
    bomb("log", "the console log's limit, and how much of it is shipped"),
    bomb("page-cache", "the memory limit, which includes the page cache, and the disk weight"),
    bomb("connections", "the network's limit on new connections", most=2000),
    bomb("datagrams", "the network's limit on new connections", most=20_000),
    bomb("names", "the limit on queries to the name server", most=3000),
    bomb("spin", "the CPU limit of the instance's control group", in_suite=True),
    bomb("sleepers", "the CPU limit of the instance's control group"),
    build_of(
        "build with 60 spinners",
        f"for i in $(seq 60); do timeout {SECONDS} sh -c 'while :; do :; done' & done; wait",
        "builds are idle to the scheduler",
    ),
    build_of(
        "build with endless output", f"timeout {SECONDS} yes || true", "the limit on a build's log"
    ),
    build_of(
        "build that writes",
        f"timeout {SECONDS} dd if=/dev/zero of=/tmp/x bs=1M; true",
        "the build's own file system of a fixed size",
    ),
    build_of(
        "build with a fork bomb",
        f"timeout {SECONDS} sh -c 'f() {{ f | f & }}; f'; sleep {SECONDS}; true",
        "the build's limit on processes",
    ),
    Attack(
        kind="resources",
        name="API flood, 50 at once",
        holds="limits by person and token",
        act=flood_api,
        in_suite=True,
    ),
    Attack(
        kind="resources",
        name="20 deploys at once",
        holds="the queue of builds of a team",
        act=flood_deploys,
    ),
    Attack(
        kind="resources",
        name="ten bodies of 32 MiB",
        holds="the limit on a request's body by endpoint",
        act=flood_bodies,
    ),
)
