"""From a place to the container that fills it, and back from a container's labels to its place. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress

from runtime.containers.command_line import NO_SHELL, words
from runtime.containers.container import Container
from runtime.containers.spec import ContainerSpec, Limits
from runtime.contract.health import HealthCheck, from_document, to_document
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.converge.observed import WEB, Group, Slot
from runtime.images.store import Image

PORT = 8000  # each instance has a network of its own, so all may have the same
PORT_LABEL = "slipway.port"  # of an image that was not built here: the one port it says it listens on
INSTANCE = "instance"
RELEASE_PHASE = "release-phase"
RUN = "run"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILTINS = frozenset(
    [
        ".",
        ":",
        "[",
        "alias",
        "bg",
        "break",
        "case",
        "cd",
        "command",
        "continue",
        "echo",
        "eval",
        "exec",
        "exit",
        "export",
        "false",
        "for",
        "if",
        "local",
        "printf",
        "pwd",
        "read",
        "readonly",
        "return",
        "set",
        "shift",
        "source",
        "test",
        "times",
        "trap",
        "true",
        "type",
        "ulimit",
        "umask",
        "unset",
        "until",
        "wait",
        "while",
        "{",
        "!",
    ]
)


def new_name(app: str, process: str, suffix: str) -> str:
    """An instance's id: app, process type and a suffix drawn at random, as far as 80 characters go."""
    kind = re.sub(r"[^a-z0-9]+", "-", process.lower()).strip("-") or "process"
    return f"{app}-{kind[:24].rstrip('-')}-{suffix}"


def source_of(instance: str, process: str) -> str:
    """How an instance is called in its app's log: `web.1a2b3c4d`."""
    return f"{process}.{instance.rsplit('-', 1)[-1]}"


def spec_for(
    desired: DesiredApp, release: DesiredRelease, image: Image, *, id: str, place: Slot, command: str, limits: Limits
) -> ContainerSpec:
    """The container that fills a place."""
    labels = {
        "kind": INSTANCE,
        "process": place.process,
        "release": str(place.group.release),
        "generation": str(place.group.generation),
        "place": str(place.number),
        "port": str(_port(image)),
    }
    if place.process == WEB or any(path.process == place.process for path in desired.paths):
        labels["health"] = json.dumps(to_document(release.health))
    return _spec(desired, release, image, id=id, process=place.process, command=command, limits=limits, labels=labels)


def spec_for_release_phase(
    desired: DesiredApp, release: DesiredRelease, image: Image, *, id: str, command: str, limits: Limits
) -> ContainerSpec:
    """The one-off container in which a release's own preparation runs, before any instance of it."""
    labels = {"kind": RELEASE_PHASE, "process": "release", "release": str(release.number)}
    return _spec(desired, release, image, id=id, process="release", command=command, limits=limits, labels=labels)


def spec_for_run(
    desired: DesiredApp, release: DesiredRelease, image: Image, *, id: str, run: int, source: str, command: str, limits: Limits
) -> ContainerSpec:
    """The container of a run: one command beside the instances. `source` is how its lines are called in the app's log."""
    labels = {"kind": RUN, "process": source, "release": str(release.number), "run": str(run)}
    return _spec(desired, release, image, id=id, process=source, command=command, limits=limits, labels=labels)


def slot_of(container: Container) -> Slot | None:
    """Where a container stands; None for builds, release phases and runs."""
    labels = container.spec.labels
    if labels.get("kind") != INSTANCE:
        return None
    return Slot(Group(int(labels["release"]), int(labels["generation"])), labels["process"], int(labels["place"]))


def check_of(container: Container) -> HealthCheck | None:
    """How an instance of web, or of a type that a path led to, was to be asked for its health when it was made; None for others."""
    text = container.spec.labels.get("health")
    return from_document(json.loads(text)) if text else None


def command_of(line: str) -> tuple[str, ...]:
    """A Procfile line as a command. A simple one replaces its shell, so that it gets the signals itself.

    `exec` takes no assignments, lists or builtins, so those lines keep the shell as their parent.
    """
    line = line.strip()
    return ("/bin/sh", "-c", line if _needs_shell(line) else f"exec {line}")


def _needs_shell(line: str) -> bool:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # an open quote: the shell shall say so
        return True
    first = words[0] if words else ""
    assigns = re.match(r"[A-Za-z_][A-Za-z0-9_]*=", line) is not None
    return assigns or first in _BUILTINS or "\n" in line or any(set(word) <= set(";&|()") for word in words if word)


def _spec(
    desired: DesiredApp,
    release: DesiredRelease,
    image: Image,
    *,
    id: str,
    process: str,
    command: str,
    limits: Limits,
    labels: Mapping[str, str],
) -> ContainerSpec:
    uid, gid = _user(image.config.labels.get("slipway.user", image.config.user))
    if command == image.config.labels.get("slipway.web"):  # a Dockerfile's own: an image need not have a shell
        command = ""
    home = image.config.working_directory or "/"
    ours = {
        "PORT": str(_port(image)),
        "SLIPWAY_APP": desired.app,
        "SLIPWAY_PROCESS": process,
        "SLIPWAY_RELEASE": f"v{release.number}",
        "SLIPWAY_INSTANCE": id,
        "SLIPWAY_MEMORY": str(int(limits.memory)),  # bytes: on cgroup v1 an app cannot look it up
    }
    environment = {"PATH": _PATH, "HOME": home, **image.config.environment, **release.environment, **ours}
    return ContainerSpec(
        id=id,
        app=desired.app,
        team=desired.team,
        layers=image.layers,
        command=_command(command, image, environment),
        environment=environment,
        working_directory=home,
        uid=uid,
        gid=gid,
        limits=limits,
        labels=labels,
    )


def _command(line: str, image: Image, environment: Mapping[str, str]) -> tuple[str, ...]:
    """A line for a shell, where the image has one; its words, where the builder knows that there is none."""
    if not line.strip():
        return _default_command(image)
    if NO_SHELL in image.config.labels:
        with suppress(ValueError):  # a line that came from elsewhere since: the shell it asks for is what the instance will miss
            return words(line, environment)
    return command_of(line)


def _default_command(image: Image) -> tuple[str, ...]:
    return (*image.config.entrypoint, *image.config.command)


def _port(image: Image) -> int:
    """Told to the program and asked by the router, so both kinds of image work: those that read $PORT, and those that have their own."""
    told = image.config.labels.get(PORT_LABEL, "")
    return int(told) if told.isdecimal() and len(told) <= 5 and 0 < int(told) < 65536 else PORT


def _user(text: str) -> tuple[int, int]:
    """Our own images say numbers; a name would need the image's /etc/passwd and falls back to the app's user."""
    uid, _, gid = text.partition(":")
    if not uid.isdecimal():
        return 1000, 1000
    return int(uid), int(gid) if gid.isdecimal() else int(uid)


def clamp(limits: Limits, most: Limits) -> Limits:
    """An instance's limits, none above what its team may have for one."""
    return Limits(
        cpu=min(limits.cpu, most.cpu),
        memory=min(limits.memory, most.memory),
        processes=min(limits.processes, most.processes),
        disk=min(limits.disk, most.disk),
    )
