"""RUN --mount=…: mounts that only one step sees and that are never part of its layer. Pure."""

from __future__ import annotations

import csv
import posixpath
from dataclasses import dataclass
from enum import StrEnum

from runtime.builds.dockerfile.syntax import Instruction, Words
from runtime.contract.quantities import Bytes

_DEFAULT_TMPFS = Bytes(256 << 20)
_MOST = 64  # mounts of one RUN; the kernel limits the mounts of all builds together
_OF_THE_CONTAINER = (
    "/proc",
    "/sys",
    "/dev/init",
)  # folders that the container itself needs; /dev contains its devices and its init
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Kind(StrEnum):
    BIND = "bind"
    CACHE = "cache"
    TMPFS = "tmpfs"
    SECRET = "secret"  # noqa: S105  # the word of the reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One --mount."""

    kind: Kind
    target: str  # absolute; "" for a secret that is only a variable
    source: str = "/"  # inside `origin`
    origin: str = ""  # a stage or image; "": the build context
    id: str = ""  # of a cache or a secret
    writable: bool = False
    required: bool = False
    variable: str = ""  # the secret as an environment variable
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: Bytes = _DEFAULT_TMPFS
    locked: bool = False  # a cache that only one step may use at a time


def mounts_of(run: Instruction, words: Words, directory: str) -> tuple[Mount, ...]:
    """Return the mounts of a RUN. BadSource names a mount that is not possible."""
    texts = run.every("mount")
    if len(texts) > _MOST:
        raise run.wrong(
            f"It has {len(texts):,} mounts. The limit is {_MOST}.",
            hint="Mount the folder that contains the others.",
        )
    return tuple(_mount(run, text, words, directory) for text in texts)


_KNOWN = {
    Kind.BIND: {"target", "source", "from", "rw"},
    Kind.CACHE: {"target", "source", "from", "id", "ro", "sharing", "mode", "uid", "gid"},
    Kind.TMPFS: {"target", "size"},
    Kind.SECRET: {"target", "id", "required", "env", "mode", "uid", "gid", "source"},
}
_SAME = {
    "dst": "target",
    "destination": "target",
    "src": "source",
    "readwrite": "rw",
    "readonly": "ro",
}


def _mount(run: Instruction, text: str, words: Words, directory: str) -> Mount:
    options = _options(run, text, words)
    kind = _kind(run, options.pop("type", "bind"))
    if unknown := sorted(options.keys() - _KNOWN[kind] - {"rw", "ro"}):
        raise run.wrong(f"--mount=type={kind} has no option {unknown[0]!r}.")
    name = options.get("id", "")
    target = options.get("target", "")
    if kind is Kind.SECRET:
        name = name or options.get("source", "") or posixpath.basename(target)
        if not name:
            raise run.wrong(
                "A secret mount needs an id.", hint="Write --mount=type=secret,id=NAME."
            )
        target = target or ("" if "env" in options else f"/run/secrets/{name}")
    elif not target:
        raise run.wrong(
            f"--mount=type={kind} needs a target.",
            hint=f"Write --mount=type={kind},target=/FOLDER.",
        )
    if target:  # normpath keeps two slashes at the start
        target = "/" + posixpath.normpath(posixpath.join(directory, target)).lstrip("/")
    if target in ("/", "/dev") or any(
        target == place or target.startswith(f"{place}/") for place in _OF_THE_CONTAINER
    ):
        raise run.wrong(f"Cannot mount on {target}.")
    writable = _truth(run, options, "rw") if kind is Kind.BIND else not _truth(run, options, "ro")
    return Mount(
        kind=kind,
        target=target,
        source=options.get("source", "/") if kind is not Kind.SECRET else "/",
        origin=options.get("from", ""),
        id=name or target,
        writable=writable and kind is not Kind.SECRET,
        required=_truth(run, options, "required"),
        variable=options.get("env", ""),
        mode=_number(run, options, "mode", 0o400 if kind is Kind.SECRET else 0o755, 8),
        uid=_number(run, options, "uid", 0, 10),
        gid=_number(run, options, "gid", 0, 10),
        size=_size(run, options["size"]) if "size" in options else _DEFAULT_TMPFS,
        locked=options.get("sharing", "shared") != "shared",
    )


def _options(run: Instruction, text: str, words: Words) -> dict[str, str]:
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise run.wrong(f"--mount={text} is not valid: {error}.") from None
    options: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        key = _SAME.get(key.strip().lower(), key.strip().lower())
        options[key] = words.expand(value, run) if equals else "true"
    return options


def _kind(run: Instruction, text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        hint = "Use type=secret with a key." if text == "ssh" else f"Use one of {', '.join(Kind)}."
        raise run.wrong(f"--mount=type={text} is not supported.", hint=hint) from None


def _truth(run: Instruction, options: dict[str, str], name: str) -> bool:
    text = options.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise run.wrong(f"{name} must be true or false, not {text!r}.")
    return text in ("true", "1")


def _number(run: Instruction, options: dict[str, str], name: str, default: int, base: int) -> int:
    if name not in options:
        return default
    try:
        number = int(options[name], base)
    except ValueError:
        number = -1
    if not 0 <= number < (0o10000 if base == 8 else 65_536):
        raise run.wrong(f"{name}={options[name]} is not a valid number.")
    return number


def _size(run: Instruction, text: str) -> Bytes:
    digits = text.rstrip("bBkKmMgG")
    unit = (
        text[len(digits) :].lower().removesuffix("b")
        if len(text) > len(digits) + 1
        else text[len(digits) :].lower()
    )
    if not digits.isascii() or not digits.isdigit() or unit not in _UNITS or len(digits) > 12:
        raise run.wrong(f"size={text} is not a valid size.", hint="Write size=64m, for example.")
    return Bytes(int(digits) * _UNITS[unit])
