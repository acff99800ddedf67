"""Refuse a source that no builder here can build, with its language and the way out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from fnmatch import fnmatch

from runtime.errors import BadSource

# file at the top of the source -> its language or build tool
_PROJECTS = {
    "build.sbt": "Scala (sbt)",
    "project.clj": "Clojure (Leiningen)",
    "deps.edn": "Clojure",
    "mix.exs": "Elixir",
    "rebar.config": "Erlang",
    "gleam.toml": "Gleam",
    "Cargo.toml": "Rust",
    "deno.json": "Deno",
    "deno.jsonc": "Deno",
    "deno.lock": "Deno",
    "bunfig.toml": "Bun",
    "Package.swift": "Swift",
    "pubspec.yaml": "Dart",
    "shard.yml": "Crystal",
    "build.zig": "Zig",
    "stack.yaml": "Haskell",
    "*.cabal": "Haskell",
    "dune-project": "OCaml",
    "dub.json": "D",
    "*.nimble": "Nim",
    "cpanfile": "Perl",
    "Makefile.PL": "Perl",
    "app.R": "R",
    "server.R": "R",
    "plumber.R": "R",
    "renv.lock": "R",
    "Project.toml": "Julia",
    "global.json": ".NET",
    "*.sln": ".NET",
    "*.slnx": ".NET",
    "WORKSPACE": "Bazel",
    "MODULE.bazel": "Bazel",
    "CMakeLists.txt": "C or C++ (CMake)",
    "meson.build": "C or C++ (Meson)",
}
_DOTNET = re.compile(r"(?:[^/]+/){0,2}[^/]+\.(?:csproj|fsproj|vbproj)")
_DOCUMENT = re.compile(
    r"(?i)(?:.*/)?(?:(?:readme|licen[cs]e|copying|changelog|changes|contributing|authors|notice"
    r"|security|code_of_conduct|codeowners|\.git(?:ignore|attributes|keep)|\.editorconfig)[^/]*"
    r"|[^/]+\.(?:md|markdown|rst|adoc|pdf|png|jpe?g|gif|svg))|\.github/.*"
)


def project(files: AbstractSet[str]) -> tuple[str, str]:
    """Return the file of a known language without a builder here, and that language; or "", ""."""
    top = sorted(path for path in files if "/" not in path)
    for pattern, language in _PROJECTS.items():
        if name := next((name for name in top if fnmatch(name, pattern)), ""):
            return name, language
    name = min((path for path in files if _DOTNET.fullmatch(path)), default="")
    return name, ".NET" if name else ""


def refuse_project(files: AbstractSet[str]) -> None:
    """Raise BadSource if the source is of a known language without a builder here."""
    name, language = project(files)
    if name:
        raise BadSource(
            f"The source is written in {language}, since it has {name}. There is no builder for"
            f" {language}.",
            hint=(
                "Add a Dockerfile that builds and starts it. If the program is already built and"
                ' in the source, set builder = "procfile" in [build] of slipway.toml.'
            ),
        )


def refuse_documents(files: Iterable[str]) -> None:
    """Raise BadSource if the source has only a README and other documents."""
    names = sorted(files)
    if names and all(_DOCUMENT.fullmatch(name) for name in names):
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise BadSource(
            f"The source has only documents, and no program: {shown}.",
            hint=(
                "Deploy the branch and the folder that have the code. For a first try, a file"
                " index.html is enough."
            ),
        )
