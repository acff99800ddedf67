"""Pure tests of sources that no builder can build: each is refused by name, with the way out."""

from __future__ import annotations

import pytest

from runtime.builds.languages.detect import LanguageName
from runtime.errors import BadSource
from tests.runtime.builds.languages.planning import of

PROJECTS = [
    ("build.sbt", "Scala (sbt)"),
    ("project.clj", "Clojure (Leiningen)"),
    ("Shop.csproj", ".NET"),
    ("src/Shop/Shop.fsproj", ".NET"),
    ("Shop.sln", ".NET"),
    ("mix.exs", "Elixir"),
    ("Cargo.toml", "Rust"),
    ("deno.json", "Deno"),
    ("Package.swift", "Swift"),
    ("shop.cabal", "Haskell"),
]


@pytest.mark.parametrize(("file", "language"), PROJECTS)
@pytest.mark.parametrize("with_procfile", [True, False])
def test_a_known_language_without_a_builder_is_refused_by_name(
    file: str, language: str, with_procfile: bool
) -> None:
    files = {file: "", **({"Procfile": "web: shop --port $PORT"} if with_procfile else {})}
    with pytest.raises(BadSource) as caught:
        of({**files, "README.md": "", "public/index.html": ""})
    assert f"written in {language}, since it has {file}" in caught.value.what
    assert "Dockerfile" in caught.value.hint


@pytest.mark.parametrize(
    "more",
    [
        {"package.json": '{"devDependencies": {"tailwindcss": "4"}}'},
        {
            "package.json": '{"scripts": {"build": "vite build"}}',
            "Procfile": "web: dotnet Shop.dll",
        },
    ],
)
def test_a_package_json_for_the_assets_does_not_hide_the_language(more: dict[str, str]) -> None:
    with pytest.raises(BadSource, match=r"written in \.NET, since it has Shop\.csproj"):
        of({"Shop.csproj": "", **more})


@pytest.mark.parametrize(
    ("files", "language"),
    [
        (
            {"Cargo.toml": "", "package.json": '{"scripts": {"build": "vite build"}}'},
            LanguageName.STATIC,
        ),
        ({"Cargo.toml": "", "package.json": "{}", "Procfile": "web: node x.mjs"}, "Node.js"),
        ({"Cargo.toml": "", "Procfile": "web: ./server --fast", "server": ""}, LanguageName.PLAIN),
        ({"Cargo.toml": "", "Procfile": "web: A=1 exec bin/shop", "bin/shop": ""}, "Procfile"),
        ({"Cargo.toml": "", "Procfile": "web: shop", "bin/shop": ""}, LanguageName.PLAIN),
        (
            {"mix.exs": "", "Procfile": "web: x", "slipway.toml": '[build]\nbuilder="procfile"'},
            LanguageName.PLAIN,
        ),
        (
            {"Cargo.toml": "", "index.html": "", "slipway.toml": "[static]\nsingle_page = true"},
            LanguageName.STATIC,
        ),
        ({"Cargo.toml": "", "requirements.txt": "", "app.py": ""}, LanguageName.PYTHON),
        ({"CMakeLists.txt": "", "main.py": ""}, LanguageName.PYTHON),
        ({"Cargo.toml": "", "package.json": "{}", "index.js": ""}, LanguageName.NODE),
        ({"docs/Cargo.toml": "", "index.html": ""}, LanguageName.STATIC),
    ],
)
def test_another_way_to_start_it_is_taken(files: dict[str, str], language: LanguageName) -> None:
    assert of(files).detected.language == language


@pytest.mark.parametrize(
    "files",
    [
        ["README.md"],
        ["README", "LICENSE", ".gitignore"],
        ["docs/guide.md", "readme.rst", "docs/picture.png", ".github/workflows/test.yml"],
    ],
)
def test_a_source_of_only_documents_is_refused(files: list[str]) -> None:
    with pytest.raises(BadSource, match="only documents, and no program") as caught:
        of(dict.fromkeys(files, ""))
    assert files[0] in caught.value.what
    assert "branch" in caught.value.hint


def test_a_source_of_unknown_files_lists_what_was_looked_for() -> None:
    with pytest.raises(BadSource, match="looked for Dockerfile, Procfile"):
        of({"README.md": "", "prog.zzz": ""})
