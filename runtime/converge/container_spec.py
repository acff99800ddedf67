"""The container specification of a slot, and the slot of a container, from its labels. No I/O."""

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
from runtime.masking import Mask

PORT = 8000  # each instance has its own network, so all use the same port
PORT_LABEL = "slipway.port"  # of an image that was not built here: the one port that it exposes
INSTANCE = "instance"
RELEASE_PHASE = "release-phase"
RUN = "run"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The image says whether it has bash. $0 is the line.
_IN_BASH = '[ -x /bin/bash ] && exec /bin/bash -c "$0"; exec /bin/sh -c "$0"'
_BUILTINS = frozenset(
    [
        "((",
        "[[",
        "builtin",
        "coproc",
        "declare",
        "function",
        "let",
        "mapfile",
        "popd",
        "pushd",
        "select",
        "shopt",
        "time",
        "typeset",
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
    """Return an instance's id: app, process type and a random suffix, within 80 characters."""
    kind = re.sub(r"[^a-z0-9]+", "-", process.lower()).strip("-") or "process"
    return f"{app}-{kind[:24].rstrip('-')}-{suffix}"


MASKED = "masked"  # the label with the names of variables whose values are masked


def source_of(instance: str, process: str) -> str:
    """Return the name of an instance in its app's log: `web.1a2b3c4d`."""
    return f"{process}.{instance.rsplit('-', 1)[-1]}"


def spec_for(
    desired: DesiredApp,
    release: DesiredRelease,
    image: Image,
    *,
    id: str,
    slot: Slot,
    command: str,
    limits: Limits,
) -> ContainerSpec:
    """Return the specification of the container for a slot."""
    labels = {
        "kind": INSTANCE,
        "process": slot.process,
        "release": str(slot.group.release),
        "generation": str(slot.group.generation),
        "place": str(slot.number),  # a label of running containers too, so it keeps its name
        "port": str(_port(image)),
    }
    if slot.process == WEB or any(path.process == slot.process for path in desired.paths):
        labels["health"] = json.dumps(to_document(release.health))
    return _spec(
        desired,
        release,
        image,
        id=id,
        process=slot.process,
        command=command,
        limits=limits,
        labels=labels,
    )


def spec_for_release_phase(
    desired: DesiredApp,
    release: DesiredRelease,
    image: Image,
    *,
    id: str,
    command: str,
    limits: Limits,
) -> ContainerSpec:
    """Return the specification of the release phase, which runs before any instance."""
    labels = {"kind": RELEASE_PHASE, "process": "release", "release": str(release.number)}
    return _spec(
        desired,
        release,
        image,
        id=id,
        process="release",
        command=command,
        limits=limits,
        labels=labels,
    )


def spec_for_run(
    desired: DesiredApp,
    release: DesiredRelease,
    image: Image,
    *,
    id: str,
    run: int,
    source: str,
    command: str,
    limits: Limits,
) -> ContainerSpec:
    """Return the specification of a one-off run. `source` is its name in the app's log."""
    labels = {"kind": RUN, "process": source, "release": str(release.number), "run": str(run)}
    return _spec(
        desired,
        release,
        image,
        id=id,
        process=source,
        command=command,
        limits=limits,
        labels=labels,
    )


def log_name(container: Container) -> str:
    """Return the name of an instance or a run in its app's log."""
    if container.spec.labels["kind"] == RUN:
        return container.spec.labels["process"]
    return source_of(container.id, container.spec.labels["process"])


def mask_of(container: Container | None) -> Mask:
    """Return the mask of the secrets that the container has. None: of no secrets."""
    if container is None:
        return Mask(())
    names = container.spec.labels.get(MASKED, "").split()
    return Mask(container.spec.environment.get(name, "") for name in names)


def slot_of(container: Container) -> Slot | None:
    """Return the slot of a container; None for builds, release phases and runs."""
    labels = container.spec.labels
    if labels.get("kind") != INSTANCE:
        return None
    return Slot(
        Group(int(labels["release"]), int(labels["generation"])),
        labels["process"],
        int(labels["place"]),
    )


def check_of(container: Container) -> HealthCheck | None:
    """Return the health check of an instance at its creation; None if it gets no requests."""
    text = container.spec.labels.get("health")
    return from_document(json.loads(text)) if text else None


def command_of(line: str) -> tuple[str, ...]:
    """Return a Procfile line as a command: in bash where the image has it, as on Heroku, else in
    sh.

    A simple command replaces its shell, so that it gets signals.

    `exec` does not accept assignments, lists or builtins, so those lines keep the shell as their
    parent.
    """
    line = line.strip()
    return ("/bin/sh", "-c", _IN_BASH, line if _needs_shell(line) else f"exec {line}")


def _needs_shell(line: str) -> bool:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # an open quote: the shell reports it
        return True
    first = words[0] if words else ""
    assigns = re.match(r"[A-Za-z_][A-Za-z0-9_]*=", line) is not None
    return (
        assigns
        or first in _BUILTINS
        or "\n" in line
        or any(set(word) <= set(";&|()") for word in words if word)
    )


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
    # The image's own command: an image may have no shell.
    if command == image.config.labels.get("slipway.web"):
        command = ""
    home = image.config.working_directory or "/"
    ours = {
        "PORT": str(_port(image)),
        "SLIPWAY_APP": desired.app,
        "SLIPWAY_PROCESS": process,
        "SLIPWAY_RELEASE": f"v{release.number}",
        "SLIPWAY_INSTANCE": id,
        # Bytes: on cgroup v1 an app cannot read its limit.
        "SLIPWAY_MEMORY": str(int(limits.memory)),
    }
    environment = {
        "PATH": _PATH,
        "HOME": home,
        **image.config.environment,
        **release.environment,
        **ours,
    }
    secret = sorted(release.secrets & release.environment.keys())
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
        labels={**labels, MASKED: " ".join(secret)} if secret else labels,
    )


def _command(line: str, image: Image, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a shell command, or the line's words if the image is known to have no shell."""
    if not line.strip():
        return _default_command(image)
    if NO_SHELL in image.config.labels:
        # A later line may need a shell, and then the instance fails because it has none.
        with suppress(ValueError):
            return words(line, environment)
    return command_of(line)


def _default_command(image: Image) -> tuple[str, ...]:
    return (*image.config.entrypoint, *image.config.command)


def _port(image: Image) -> int:
    """Return the port that $PORT contains and the router uses.

    It works for images that read $PORT, and for those with a fixed port.
    """
    label = image.config.labels.get(PORT_LABEL, "")
    return int(label) if label.isdecimal() and len(label) <= 5 and 0 < int(label) < 65536 else PORT


def _user(text: str) -> tuple[int, int]:
    """Return the user and group ids. Our images have numbers.

    A name would need the image's /etc/passwd, so the app's user (1000) is used instead.
    """
    uid, _, gid = text.partition(":")
    if not uid.isdecimal():
        return 1000, 1000
    return int(uid), int(gid) if gid.isdecimal() else int(uid)


def clamp(limits: Limits, most: Limits) -> Limits:
    """Return an instance's limits, each at most the team's limit for one instance."""
    return Limits(
        cpu=min(limits.cpu, most.cpu),
        memory=min(limits.memory, most.memory),
        processes=min(limits.processes, most.processes),
        disk=min(limits.disk, most.disk),
    )
