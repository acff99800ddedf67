"""Pure tests of build plans for Go, PHP, Ruby and Java."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from runtime.builds.languages import jar
from runtime.builds.languages.detect import LanguageName
from runtime.builds.languages.registry import LANGUAGES
from runtime.builds.packages import registry_settings
from runtime.builds.plan import BuildPlan
from runtime.builds.source.code import read_source
from runtime.builds.steps import Tool
from runtime.errors import BadSource, HostLacks
from runtime.stacks.stack import DebianRuntime
from runtime.trees.folder import Folder
from tests.runtime.builds.languages.sources import GO_MOD, MAIN, RUNS, composer, of


def packages(decided: BuildPlan) -> tuple[str, ...]:
    assert isinstance(decided.runtime, DebianRuntime)
    return decided.runtime.packages


def test_go_programs_are_built_on_a_toolchain_that_is_not_in_the_image() -> None:
    decided = of(
        {
            "go.mod": GO_MOD + "require x v1\n",
            "go.sum": "",
            "x.go": MAIN,
            "cmd/tick/t.go": MAIN,
            "Procfile": "web: bin/shop\nw: tick",
        }
    )
    assert (decided.bare, decided.runtime) == (True, None)
    assert decided.toolchain is not None
    assert decided.toolchain.name == "go-1.24"
    standard, modules, programs = decided.installs
    assert (standard.files, standard.whole, standard.ships) == ((), False, False)
    assert (modules.files, modules.whole, modules.ships) == (("go.mod", "go.sum"), False, False)
    assert (programs.whole, programs.ships, programs.keep) == (True, True, ("usr/local/bin",))
    assert programs.command.endswith("-o /usr/local/bin/ '.' './cmd/tick'")


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["Standard library", "Compile"]),
        (
            {"vendor/modules.txt": "", "go.mod": GO_MOD + "require x v1\n"},
            ["Standard library", "Compile"],
        ),
        ({"go.mod": GO_MOD + "require (\n\tx v1\n)\n"}, ["Standard library", "Modules", "Compile"]),
    ],
)
def test_go_modules_are_fetched_unless_they_are_vendored(
    more: dict[str, str], names: list[str]
) -> None:
    assert [step.name for step in of({"go.mod": GO_MOD, "x.go": MAIN, **more}).installs] == names


def test_a_local_go_module_makes_the_step_read_the_source() -> None:
    decided = of({"go.mod": GO_MOD + "require x v1\nreplace x => ./x\n", "x.go": MAIN})
    assert decided.installs[1].whole


def test_files_missing_from_a_go_image_are_reported_unless_embedded() -> None:
    files = {
        "go.mod": GO_MOD + "toolchain go1.26.1\n",
        "x.go": MAIN,
        "templates/a.html": "",
        "static/a.css": "",
    }
    notes = "\n".join(of(files).notes)
    assert "Embed files of templates, static that it opens with //go:embed" in notes
    assert "`toolchain go1.26.1` in go.mod is ignored" in notes
    assert "//go:embed" not in "".join(
        of({**files, "x.go": MAIN + "//go:embed templates static\n"}).notes
    )


@pytest.mark.parametrize(
    "wish",
    [
        "^8.2",
        ">=8.1 <9",
        "~8.4.1",
        "8.4.*",
        "^7.4 || ^8.0",
        "^7.4|^8.0",
        "~8.1",
        ">=7.2,<9",
        "*",
        "^8.1@stable",
    ],
)
def test_a_php_requirement_is_read_as_composer_reads_it(wish: str) -> None:
    assert "PHP 8.4" in of({"composer.json": composer(php=wish), "index.php": ""}).runtime_words


@pytest.mark.parametrize("wish", ["~8.2.0", "^7.4", "8.3.*", ">=9", "<8.4"])
def test_a_php_requirement_that_is_not_met_is_refused(wish: str) -> None:
    with pytest.raises(BadSource, match=r"Available: 8\.4"):
        of({"composer.json": composer(php=wish), "index.php": ""})


def test_php_extensions_of_all_packages_become_debian_packages() -> None:
    lock = json.dumps(
        {
            "packages": [{"name": "a/b", "require": {"ext-intl": "*", "ext-json": "*"}}],
            "packages-dev": [{"require": {"ext-xdebug": "*"}}],
        }
    )
    decided = of(
        {
            "composer.json": composer(ext__pdo_mysql="*", ext__mbstring="*"),
            "composer.lock": lock,
            "index.php": "",
        }
    )
    assert {"php8.4-mysql", "php8.4-intl", "php8.4-mbstring"} <= set(packages(decided))
    assert not any("json" in name or "xdebug" in name for name in packages(decided))
    assert decided.toolchain is not None
    assert decided.toolchain.name == "php-8.4-intl-mysql-toolchain"


def test_composer_runs_only_if_there_is_something_to_install() -> None:
    assert of({"index.php": ""}).installs == ()
    assert of({"composer.json": composer(php="^8"), "index.php": ""}).installs == ()
    packed = {"composer.json": composer(**{"a/b": "1"}), "vendor/autoload.php": "", "index.php": ""}
    assert (of(packed).installs, of(packed).left_out) == ((), ())
    decided = of({**packed, "composer.lock": "{}"})
    packages, autoloader = decided.installs
    assert "--no-dev" in packages.command
    assert (packages.files, packages.whole, packages.keep) == (
        ("composer.json", "composer.lock"),
        False,
        ("app/vendor",),
    )
    assert (autoloader.whole, autoloader.keep, decided.left_out) == (
        True,
        ("app/vendor",),
        ("vendor",),
    )
    assert "without a composer.lock" in "".join(
        of({"composer.json": composer(**{"a/b": "1"}), "index.php": ""}).notes
    )
    (only,) = of({"composer.json": '{"autoload":{}}', "index.php": ""}).installs
    assert only.name == "Autoloader"


@pytest.mark.parametrize(
    "wish",
    [
        '"3.3.5"',
        "'~> 3.3'",
        '">= 3.1", "< 3.5"',
        '"~> 3.3.1"',
        'file: ".ruby-version"',
        "ENV['RUBY_VERSION']",
    ],
)
def test_a_ruby_requirement_is_read_as_gems_read_it(wish: str) -> None:
    assert (
        "Ruby 3.3"
        in of({"Gemfile": f"source 'x'\nruby {wish} # why\n", "config.ru": ""}).runtime_words
    )


def test_gems_are_installed_from_the_files_that_affect_them() -> None:
    (step,) = of(
        {"Gemfile": "gem 'a'", "Gemfile.lock": "", ".ruby-version": "3.3", "config.ru": ""}
    ).installs
    assert (step.files, step.whole) == (("Gemfile", "Gemfile.lock", ".ruby-version"), False)
    assert of({"Gemfile": "gem 'a', path: 'lib'", "config.ru": ""}).installs[0].whole
    vendored = of({"Gemfile": "gem 'a'", "vendor/cache/a-1.gem": "", "config.ru": ""}).installs[0]
    assert vendored.whole
    assert vendored.command.endswith("--local")


def test_rails_gets_its_assets_and_its_settings() -> None:
    files = {
        "Gemfile": "gem 'rails'",
        "Gemfile.lock": "    propshaft (1.1)\n",
        "config/application.rb": "",
        "db/migrate/1_x.rb": "",
    }
    decided = of(files)
    assert decided.installs[1].command.endswith("bundle exec rails assets:precompile")
    assert decided.installs[1].keep == ("app/public/assets",)
    assert decided.environment["RAILS_ENV"] == "production"
    assert any("release: bundle exec rails db:migrate" in note for note in decided.notes)


@pytest.mark.parametrize(
    ("files", "package"),
    [
        ({"a.jar": RUNS}, "openjdk-21-jre-headless"),
        ({"a.jar": RUNS.replace("17", "25")}, "openjdk-25-jre-headless"),
        ({"a.jar": RUNS, ".java-version": "temurin-25.0.1+8"}, "openjdk-25-jre-headless"),
        ({"Main.java": ""}, "openjdk-21-jdk-headless"),
        ({"a.jar": RUNS, "Procfile": "web: java X.java"}, "openjdk-21-jdk-headless"),
    ],
)
def test_java_gets_a_compiler_only_if_it_needs_one(files: dict[str, str], package: str) -> None:
    assert packages(of(files)) == (package,)


def test_a_java_source_is_compiled_as_a_check_and_the_classes_are_deleted() -> None:
    (step,) = of({"Main.java": "", "Other.java": ""}).installs
    assert (step.tool, step.whole, step.ships) == (Tool.JAVA, True, False)
    assert "-sourcepath" in step.command, (
        "Java 21 finds no class in another file at run time, so the check must not find one either"
    )
    assert "-sourcepath" not in of({"Main.java": "", ".java-version": "25"}).installs[0].command
    assert of({"a.jar": RUNS}).installs == ()


def test_only_the_manifest_of_a_jar_is_read(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            jar.MANIFEST,
            "Manifest-Version: 1.0\r\nMain-Class: a.very.long.nam\r\n e.of.a.Class\r\n\r\nName:"
            " x\r\nBuild-Jdk-Spec: 9\r\n",
        )
        archive.writestr("big", bytes(10 << 20))
    (tmp_path / "app.jar").write_bytes(packed.getvalue())
    (tmp_path / "cut.jar").write_bytes(packed.getvalue()[:-30])
    (tmp_path / "none.jar").write_bytes(b"")
    (tmp_path / "loop.jar").symlink_to("loop.jar")
    with Folder.at(tmp_path) as tree:
        texts = read_source(tree).texts
    assert jar.attribute(texts["app.jar"], "Main-Class") == "a.very.long.name.of.a.Class"
    assert jar.attribute(texts["app.jar"], "Build-Jdk-Spec") == ""
    assert {texts["cut.jar"], texts["none.jar"], texts["loop.jar"]} == {""}


def test_the_registries_of_the_host_are_passed_to_each_tool(tmp_path: Path) -> None:
    for name, text in {
        ".config/go/env": "GOPROXY=https://go.example\nGOFLAGS=-x\n",
        ".bundle/config": (
            '---\nBUNDLE_MIRROR__ALL: "https://gems.example"\nBUNDLE_PATH: "vendor"\n'
        ),
        ".config/composer/auth.json": '{"http-basic": {}}',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    home = {"HOME": str(tmp_path)}
    assert registry_settings.settings(Tool.GO, home) == {"GOPROXY": "https://go.example"}
    assert registry_settings.settings(Tool.GO, {**home, "GOPROXY": "off"}) == {"GOPROXY": "off"}
    assert registry_settings.settings(Tool.BUNDLER, home) == {
        "BUNDLE_MIRROR__ALL": "https://gems.example"
    }
    assert registry_settings.settings(Tool.COMPOSER, home) == {
        "COMPOSER_AUTH": '{"http-basic": {}}'
    }
    (tmp_path / ".config/composer/auth.json").write_text("{")
    with pytest.raises(HostLacks, match="Could not read"):
        registry_settings.settings(Tool.COMPOSER, home)


def test_each_detected_language_is_in_the_registry() -> None:
    assert set(LANGUAGES) == set(LanguageName)
