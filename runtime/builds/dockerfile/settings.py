"""Apply instructions that only change how the image runs.

Pure: takes and returns a configuration.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace

from runtime.builds.dockerfile.syntax import Instruction, Words, check_variable, trigger
from runtime.images.manifest import Healthcheck, ImageConfig
from runtime.images.platform_labels import is_platform_label

DEFAULT_SHELL = ("/bin/sh", "-c")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h))+")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The state of an image's configuration."""

    config: ImageConfig
    command_is_own: bool = False  # this stage has a CMD, so an ENTRYPOINT keeps it
    escape: str = "\\"


def applies_to(name: str) -> bool:
    return name in _CHANGES


def change(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    """Return the settings after an instruction. BadSource: its argument is not valid."""
    return _CHANGES[instruction.name](settings, instruction, words)


def command_line(
    instruction: Instruction, shell: tuple[str, ...], args: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Return the exec form unchanged, and the shell form as a command of the shell."""
    args = instruction.args if args is None else args
    return args if instruction.exec_form or not args else (*(shell or DEFAULT_SHELL), args[0])


def _env(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    pairs = zip(
        instruction.args[::2], instruction.args[1::2], strict=True
    )  # all use the values from before the line
    new = {
        check_variable(words.expand(name, instruction), instruction): words.expand(
            value, instruction
        )
        for name, value in pairs
    }
    return _with(
        settings, replace(settings.config, environment={**settings.config.environment, **new})
    )


def ignored_labels(instruction: Instruction, words: Words) -> tuple[str, ...]:
    """Return the labels of a LABEL that have no effect, since only the platform sets them."""
    names = (words.expand(name, instruction) for name in instruction.args[::2])
    return tuple(name for name in names if is_platform_label(name))


def _label(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    new = {
        label: words.expand(value, instruction)
        for name, value in zip(instruction.args[::2], instruction.args[1::2], strict=True)
        if not is_platform_label(label := words.expand(name, instruction))
    }
    return _with(settings, replace(settings.config, labels={**settings.config.labels, **new}))


def _maintainer(settings: Settings, instruction: Instruction, _words: Words) -> Settings:
    return _with(settings, replace(settings.config, author=instruction.args[0]))


def _expose(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    ports = set(settings.config.exposed_ports)
    for arg in instruction.args:
        for word in words.several(arg, instruction):
            match = _PORT.fullmatch(word)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if not match or not 0 < first <= last < 65_536:
                raise instruction.wrong(
                    f"{word!r} is not a valid port.",
                    hint="Write a number up to 65535, a range, and /tcp or /udp.",
                )
            ports |= {f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)}
    return _with(settings, replace(settings.config, exposed_ports=tuple(sorted(ports))))


def _volume(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    volumes = set(settings.config.volumes)
    for arg in instruction.args:
        path = words.expand(arg, instruction)
        if not path:
            raise instruction.wrong("VOLUME needs a path.")
        volumes.add(path)
    return _with(settings, replace(settings.config, volumes=tuple(sorted(volumes))))


def _user(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    user = words.expand(instruction.args[0], instruction).strip()
    if not user:
        raise instruction.wrong("USER needs a name or an id.")
    return _with(settings, replace(settings.config, user=user))


def _workdir(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    path = words.expand(instruction.args[0], instruction).strip()
    if not path or "\0" in path:
        raise instruction.wrong("WORKDIR needs a path.")
    absolute = posixpath.normpath(posixpath.join(settings.config.working_directory or "/", path))
    return _with(settings, replace(settings.config, working_directory=re.sub("^/+", "/", absolute)))


def _cmd(settings: Settings, instruction: Instruction, _words: Words) -> Settings:
    config = replace(settings.config, command=command_line(instruction, settings.config.shell))
    return replace(settings, config=config, command_is_own=True)


def _entrypoint(settings: Settings, instruction: Instruction, _words: Words) -> Settings:
    command = settings.config.command if settings.command_is_own else ()
    return _with(
        settings,
        replace(
            settings.config,
            entrypoint=command_line(instruction, settings.config.shell),
            command=command,
        ),
    )


def _shell(settings: Settings, instruction: Instruction, _words: Words) -> Settings:
    if not instruction.exec_form or not instruction.args:
        raise instruction.wrong(
            "SHELL needs a JSON array.", hint='Write SHELL ["/bin/bash", "-c"].'
        )
    return _with(settings, replace(settings.config, shell=instruction.args))


def _stop_signal(settings: Settings, instruction: Instruction, words: Words) -> Settings:
    name = words.expand(instruction.args[0], instruction).strip()
    known = {item.name for item in signal.Signals} | {
        item.name.removeprefix("SIG") for item in signal.Signals
    }
    if (
        not (name.isascii() and name.isdigit() and 0 < int(name[:4]) < 65)
        and name.upper() not in known
        and not name.startswith("SIGRT")
    ):
        raise instruction.wrong(
            f"{name!r} is not a known signal.", hint="Write a name such as SIGTERM, or a number."
        )
    return _with(settings, replace(settings.config, stop_signal=name))


def _on_build(settings: Settings, instruction: Instruction, _words: Words) -> Settings:
    trigger(instruction, instruction.args[0], settings.escape)
    return _with(
        settings,
        replace(settings.config, on_build=(*settings.config.on_build, instruction.args[0].strip())),
    )


def _healthcheck(settings: Settings, instruction: Instruction, _words: Words) -> Settings:
    kind = instruction.args[0].upper()
    if kind == "NONE":
        if len(instruction.args) > 1:
            raise instruction.wrong("HEALTHCHECK NONE has no arguments.")
        return _with(settings, replace(settings.config, healthcheck=Healthcheck(test=("NONE",))))
    if kind != "CMD" or len(instruction.args) < 2:
        raise instruction.wrong(
            "HEALTHCHECK must be `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`."
        )
    test = (
        ("CMD", *instruction.args[1:])
        if instruction.exec_form
        else ("CMD-SHELL", instruction.args[1])
    )
    retries = instruction.flag("retries") or "0"
    if not retries.isascii() or not retries.isdigit() or len(retries) > 6:
        raise instruction.wrong(f"--retries={retries} is not a number.")
    check = Healthcheck(
        test=test,
        interval=_duration(instruction, "interval"),
        timeout=_duration(instruction, "timeout"),
        start_period=_duration(instruction, "start-period"),
        start_interval=_duration(instruction, "start-interval"),
        retries=int(retries),
    )
    return _with(settings, replace(settings.config, healthcheck=check))


def _duration(instruction: Instruction, name: str) -> int:
    text = instruction.flag(name)
    if text is None:
        return 0
    if not _DURATION.fullmatch(text):
        raise instruction.wrong(
            f"--{name}={text} is not a valid duration.", hint="Write 30s, 1m30s or 500ms."
        )
    parts = re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", text)
    return sum(round(float(number) * _NANOSECONDS[unit]) for number, unit in parts)


def _with(settings: Settings, config: ImageConfig) -> Settings:
    return replace(settings, config=config)


_CHANGES: dict[str, Callable[[Settings, Instruction, Words], Settings]] = {
    "ENV": _env,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "USER": _user,
    "WORKDIR": _workdir,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "ONBUILD": _on_build,
    "HEALTHCHECK": _healthcheck,
}
