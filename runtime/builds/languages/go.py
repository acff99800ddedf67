"""Plan a Go build: the version, programs, steps, and notes about files that the image lacks. Pure.

The image holds the programs, statically linked, and certificates; no stack, no shell, no source.
"""

from __future__ import annotations

import posixpath
import re

from runtime.builds.languages.detect import Source
from runtime.builds.languages.language import Inputs, Language, Runtimes
from runtime.builds.steps import Install, Tool
from runtime.containers.command_line import words
from runtime.errors import BadSource
from runtime.stacks.languages import GO

BIN = "/usr/local/bin"
_BUILD = (  # the program includes time zones, since the image has no files of them
    'go build -trimpath -tags timetzdata -ldflags="-s -w"'
)
_DIRECTIVE = re.compile(r"^go[ \t]+(\d+)\.(\d+)\S*[ \t]*(?://.*)?$", re.MULTILINE)
_TOOLCHAIN = re.compile(r"^toolchain[ \t]+go(\d+\.\d+)(\S*)", re.MULTILINE)
_MODULE = re.compile(r'^module[ \t]+"?([^\s"]+)"?', re.MULTILINE)
_LOCAL = re.compile(r"=>[ \t]*\.{1,2}/")
_MAIN = re.compile(r"^package[ \t]+main\b", re.MULTILINE)
_NOT_BUILT = re.compile(r"^//(?:go:build|[ \t]*\+build)[ \t]+ignore\b", re.MULTILINE)
_COMMAND = re.compile(r"cmd/([A-Za-z0-9._-]+)/[^/]+\.go")
_READ_AT_RUN_TIME = ("templates", "views", "static", "public", "assets", "migrations", "web")


class Go(Language):
    bare = True

    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return the toolchain that go.mod requires, and the text for the log.

        A newer Go toolchain also builds code for older versions.
        """
        match = _DIRECTIVE.search(inputs.source.texts.get("go.mod", ""))
        wanted = (int(match[1]), int(match[2])) if match else (1, 16)
        for version in sorted(GO, key=_number):
            if _number(version) >= wanted:
                asks = (
                    f"go.mod requires {wanted[0]}.{wanted[1]} or newer" if match else "the default"
                )
                return Runtimes(main=None, words=f"Go {version}, {asks}", toolchain=GO[version])
        raise BadSource(
            f"go.mod requires Go {wanted[0]}.{wanted[1]}, which is not available. Available:"
            f" {', '.join(sorted(GO, key=_number))}.",
            hint="Lower the version in the line `go` of go.mod, or use a Dockerfile.",
        )

    def check(self, inputs: Inputs) -> None:
        """Raise BadSource if a line of the Procfile starts a program that this image lacks, such as
        a shell.
        """
        found = programs(inputs.source)
        for process, line in inputs.commands.items():
            try:
                program = words(line)[0]
            except ValueError as error:
                raise BadSource(
                    f"Procfile: {process} reads `{line}`, but a Go app's image has no shell:"
                    f" {error}.",
                    hint="Do this in the program, or use a Dockerfile.",
                ) from None
            if posixpath.basename(program) not in found or posixpath.dirname(program) not in (
                "",
                "bin",
                "./bin",
                "/app/bin",
                BIN,
            ):
                raise BadSource(
                    f"Procfile: {process} starts {program}, which is not built from this source."
                    f" Built: {', '.join(found)}.",
                    hint="Use one of these; a Go app's image has no other programs.",
                )

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps: the standard library once for all apps, the modules of go.mod and
        go.sum, and the programs.

        Only the programs go into the image.
        """
        source = inputs.source
        go_mod = source.texts.get("go.mod", "")
        steps = [
            Install(
                name="Standard library",
                tool=Tool.GO,
                files=(),
                whole=False,
                command=f"{_BUILD} std",
                keep=("opt/go/cache",),
                ships=False,
            )
        ]
        if "vendor/modules.txt" not in source.files and re.search(
            r"^(?:require|tool)\b", go_mod, re.MULTILINE
        ):
            whole = _LOCAL.search(go_mod) is not None or "go.work" in source.files
            files = tuple(name for name in ("go.mod", "go.sum") if name in source.files)
            steps.append(
                Install(
                    name="Modules",
                    tool=Tool.GO,
                    files=files,
                    whole=whole,
                    command="go mod download",
                    keep=("opt/go/modules",),
                    ships=False,
                )
            )
        folders = " ".join(f"'{folder}'" for folder in programs(source).values())
        command = f"mkdir -p {BIN} && {_BUILD} -o {BIN}/ {folders}"
        steps.append(
            Install(
                name="Compile",
                tool=Tool.GO,
                files=(),
                whole=True,
                command=command,
                keep=("usr/local/bin",),
            )
        )
        return tuple(steps)

    def web(self, source: Source) -> tuple[str, str]:
        """Return the web command by convention, and the reason.

        BadSource: several programs, and none at the top.
        """
        found = programs(source)
        at_top = next((name for name, folder in found.items() if folder == "."), "")
        if at_top:
            return at_top, "it is the program at the top of the source"
        if len(found) > 1:
            raise BadSource(
                "The source has several programs, and no file names the one to start:"
                f" {', '.join(found)}.",
                hint=f"Add a Procfile with a line `web: {next(iter(found))}`.",
            )
        (name,) = found
        return name, f"cmd/{name} is the only program"

    def environment(self, inputs: Inputs) -> dict[str, str]:
        return {"PATH": BIN}

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        """Return notes about what is missing: folders that a program may open, and a toolchain line
        that is not used.
        """
        source = inputs.source
        said = []
        folders = [
            folder
            for folder in _READ_AT_RUN_TIME
            if any(path.startswith(f"{folder}/") for path in source.files)
        ]
        behind = [
            name
            for name in folders
            if not any(
                re.search(rf"^//go:embed\b.*\b{name}\b", t, re.MULTILINE)
                for t in source.texts.values()
            )
        ]
        if behind:
            said.append(
                f"Note: the image has only the program. Embed files of {', '.join(behind)} that it"
                " opens with //go:embed."
            )
        toolchain = _TOOLCHAIN.search(source.texts.get("go.mod", ""))
        if toolchain and toolchain[1] not in GO:
            said.append(
                f"Note: the line `toolchain go{toolchain[1]}{toolchain[2]}` in go.mod is ignored."
            )
        return tuple(said)


def programs(source: Source) -> dict[str, str]:
    """Return the package folder of each program: the top of the source and folders in cmd/, if they
    are main packages.
    """
    found: dict[str, str] = {}
    if any("/" not in path and _is_main(source, path) for path in source.files):
        found[_name(source)] = "."
    for path in sorted(source.files):
        if (
            (match := _COMMAND.fullmatch(path))
            and _is_main(source, path)
            and found.get(match[1]) != f"./cmd/{match[1]}"
        ):
            if match[1] in found:
                raise BadSource(
                    f"Both the top of the source and cmd/{match[1]} build a program {match[1]}.",
                    hint="Rename one.",
                )
            found[match[1]] = f"./cmd/{match[1]}"
    if not found:
        raise BadSource(
            "Found no program: looked for `package main` at the top of the source and in cmd/NAME.",
            hint="Move the main package there, or use a Dockerfile.",
        )
    return found


def _is_main(source: Source, path: str) -> bool:
    text = (
        source.texts.get(path, "") if path.endswith(".go") and not path.endswith("_test.go") else ""
    )
    return _MAIN.search(text) is not None and _NOT_BUILT.search(text) is None


def _name(source: Source) -> str:
    """Return the name of the program at the top, as `go build` forms it.

    It is the module path's last element, without a major version.
    """
    match = _MODULE.search(source.texts.get("go.mod", ""))
    if match is None:
        raise BadSource("go.mod has no line `module`.", hint="go mod init NAME writes a valid one.")
    parts = [part for part in match[1].split("/") if part]
    if len(parts) > 1 and re.fullmatch(r"v\d+", parts[-1]):
        parts.pop()
    if not parts or not re.fullmatch(r"[A-Za-z0-9._~-]+", parts[-1]):
        raise BadSource(
            f"go.mod names the module {match[1]!r}, which is not usable as the name of a program.",
            hint="Write for example: module shop",
        )
    return parts[-1]


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)
