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

DEFAULT_SHELL = ("/bin/sh", "-c")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h))+")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The state of an image's configuration."""

    config: ImageConfig
    command_is_own: bool = False  # this stage has a CMD, so an ENTRYPOINT keeps it
    escape: str = "\\"


def applies_to(name: str) -> bool:
    return name in _CHANGES


def change(settings: Settings, one: Instruction, words: Words) -> Settings:
    """Return the settings after an instruction. BadSource: its argument is not valid."""
    return _CHANGES[one.name](settings, one, words)


def command_line(one: Instruction, shell: tuple[str, ...], args: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the exec form unchanged, and the shell form as a command of the shell."""
    args = one.args if args is None else args
    return args if one.exec_form or not args else (*(shell or DEFAULT_SHELL), args[0])


def _env(settings: Settings, one: Instruction, words: Words) -> Settings:
    pairs = zip(one.args[::2], one.args[1::2], strict=True)  # all use the values from before the line
    new = {check_variable(words.one(name, one), one): words.one(value, one) for name, value in pairs}
    return _with(settings, replace(settings.config, environment={**settings.config.environment, **new}))


def _label(settings: Settings, one: Instruction, words: Words) -> Settings:
    new = {words.one(name, one): words.one(value, one) for name, value in zip(one.args[::2], one.args[1::2], strict=True)}
    return _with(settings, replace(settings.config, labels={**settings.config.labels, **new}))


def _maintainer(settings: Settings, one: Instruction, _words: Words) -> Settings:
    return _with(settings, replace(settings.config, author=one.args[0]))


def _expose(settings: Settings, one: Instruction, words: Words) -> Settings:
    ports = set(settings.config.exposed_ports)
    for arg in one.args:
        for word in words.several(arg, one):
            match = _PORT.fullmatch(word)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if not match or not 0 < first <= last < 65_536:
                raise one.wrong(f"{word!r} is no port.", hint="Write a number up to 65535, a range, and /tcp or /udp.")
            ports |= {f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)}
    return _with(settings, replace(settings.config, exposed_ports=tuple(sorted(ports))))


def _volume(settings: Settings, one: Instruction, words: Words) -> Settings:
    volumes = set(settings.config.volumes)
    for arg in one.args:
        path = words.one(arg, one)
        if not path:
            raise one.wrong("VOLUME needs a path.")
        volumes.add(path)
    return _with(settings, replace(settings.config, volumes=tuple(sorted(volumes))))


def _user(settings: Settings, one: Instruction, words: Words) -> Settings:
    user = words.one(one.args[0], one).strip()
    if not user:
        raise one.wrong("USER names nobody.")
    return _with(settings, replace(settings.config, user=user))


def _workdir(settings: Settings, one: Instruction, words: Words) -> Settings:
    path = words.one(one.args[0], one).strip()
    if not path or "\0" in path:
        raise one.wrong("WORKDIR needs a path.")
    absolute = posixpath.normpath(posixpath.join(settings.config.working_directory or "/", path))
    return _with(settings, replace(settings.config, working_directory=re.sub("^/+", "/", absolute)))


def _cmd(settings: Settings, one: Instruction, _words: Words) -> Settings:
    config = replace(settings.config, command=command_line(one, settings.config.shell))
    return replace(settings, config=config, command_is_own=True)


def _entrypoint(settings: Settings, one: Instruction, _words: Words) -> Settings:
    command = settings.config.command if settings.command_is_own else ()
    return _with(settings, replace(settings.config, entrypoint=command_line(one, settings.config.shell), command=command))


def _shell(settings: Settings, one: Instruction, _words: Words) -> Settings:
    if not one.exec_form or not one.args:
        raise one.wrong("SHELL needs a JSON array.", hint='Write SHELL ["/bin/bash", "-c"].')
    return _with(settings, replace(settings.config, shell=one.args))


def _stop_signal(settings: Settings, one: Instruction, words: Words) -> Settings:
    name = words.one(one.args[0], one).strip()
    known = {item.name for item in signal.Signals} | {item.name.removeprefix("SIG") for item in signal.Signals}
    if not (name.isascii() and name.isdigit() and 0 < int(name[:4]) < 65) and name.upper() not in known and not name.startswith("SIGRT"):
        raise one.wrong(f"{name!r} is no signal.", hint="Write SIGTERM, or its number.")
    return _with(settings, replace(settings.config, stop_signal=name))


def _on_build(settings: Settings, one: Instruction, _words: Words) -> Settings:
    trigger(one, one.args[0], settings.escape)
    return _with(settings, replace(settings.config, on_build=(*settings.config.on_build, one.args[0].strip())))


def _healthcheck(settings: Settings, one: Instruction, _words: Words) -> Settings:
    kind = one.args[0].upper()
    if kind == "NONE":
        if len(one.args) > 1:
            raise one.wrong("HEALTHCHECK NONE takes nothing more.")
        return _with(settings, replace(settings.config, healthcheck=Healthcheck(test=("NONE",))))
    if kind != "CMD" or len(one.args) < 2:
        raise one.wrong("HEALTHCHECK reads `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`.")
    test = ("CMD", *one.args[1:]) if one.exec_form else ("CMD-SHELL", one.args[1])
    retries = one.flag("retries") or "0"
    if not retries.isascii() or not retries.isdigit() or len(retries) > 6:
        raise one.wrong(f"--retries={retries} is no number.")
    check = Healthcheck(
        test=test,
        interval=_duration(one, "interval"),
        timeout=_duration(one, "timeout"),
        start_period=_duration(one, "start-period"),
        start_interval=_duration(one, "start-interval"),
        retries=int(retries),
    )
    return _with(settings, replace(settings.config, healthcheck=check))


def _duration(one: Instruction, name: str) -> int:
    text = one.flag(name)
    if text is None:
        return 0
    if not _DURATION.fullmatch(text):
        raise one.wrong(f"--{name}={text} is no duration.", hint="Write 30s, 1m30s or 500ms.")
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
