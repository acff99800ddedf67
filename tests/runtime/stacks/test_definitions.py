"""Tests of stack files: the value of each key, and the message for each mistake."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.config import NodeConfig
from runtime.errors import BadSource, BadStack
from runtime.stacks.available import offer
from runtime.stacks.definition import PYTHON, SHIPPED
from runtime.stacks.languages import php, php_named
from runtime.stacks.parsing import parse
from runtime.stacks.stack import DebianRuntime, Stack, key

WHOLE = """
name = "company-1"
suite = "trixie"
packages = ["ca-certificates", "libpq5"]
apt = ['Acquire::Retries "5";']
files = { "/etc/motd" = "ours" }
revision = 3

[languages.python]
version = "3.13"
packages = ["python3", "python3-venv"]
links = { "usr/local/bin/python" = "/usr/bin/python3" }
"""


def test_a_complete_file_sets_every_value() -> None:
    file = parse(WHOLE, "company-1.toml")
    assert (file.stack.suite, file.stack.packages, file.stack.revision) == (
        "trixie",
        ("ca-certificates", "libpq5"),
        3,
    )
    assert file.stack.apt == ('Acquire::Retries "5";',)
    assert file.stack.files == (("etc/motd", "ours"),)
    (python,) = file.languages
    assert (python.name, python.stack, python.executable) == (
        "python-3.13",
        file.stack,
        "/usr/bin/python3",
    )


def test_an_image_of_a_registry_is_a_stack_with_its_languages() -> None:
    text = (
        'name = "x"\nfrom = "registry.example/base:1"\n[languages.python]\nversion ='
        ' "3.12"\nprogram = "/usr/local/bin/python3"\n'
    )
    file = parse(text, "x.toml")
    assert file.stack.image == "registry.example/base:1"
    assert (file.languages[0].name, file.languages[0].executable) == (
        "python-3.12",
        "/usr/local/bin/python3",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", "x.toml is not valid TOML"),
        ('suite = "trixie"', "x.toml: name is missing"),
        ('name = "y"\nsuite = "trixie"', "x.toml: name is 'y', but the file's name is not y.toml"),
        ('name = "X"\nsuite = "trixie"', "x.toml: name is 'X', which is not lower-case letters"),
        ('name = "x"', "x.toml: suite is missing: a Debian suite"),
        ('name = "x"\nsuite = 13', "x.toml: suite is 13"),
        ('name = "x"\nsuite = "trixie; rm"', "x.toml: suite is 'trixie; rm'"),
        (
            'name = "x"\nsuite = "trixie"\npackages = "bash"',
            "x.toml: packages is 'bash', which is not a list",
        ),
        (
            'name = "x"\nsuite = "trixie"\npackages = ["--yes"]',
            (
                "x.toml: packages contains '--yes', which is not valid in a list of names of Debian"
                " packages"
            ),
        ),
        ('name = "x"\nsuite = "trixie"\napt = ["DPkg::Pre-Invoke {x}"]', "x.toml: apt contains"),
        (
            'name = "x"\nsuite = "trixie"\ncolour = "red"',
            "x.toml: colour is not a key of a stack file; known keys are apt, files",
        ),
        ('name = "x"\nsuite = "trixie"\nrevision = true', "x.toml: revision is True"),
        (
            'name = "x"\nsuite = "trixie"\nfiles = { "../x" = "" }',
            "x.toml: files contains '../x', which is not a path inside",
        ),
        (
            'name = "x"\nsuite = "trixie"\nfiles = { "x" = 1 }',
            "x.toml: files.x is 1, which is not text",
        ),
        ('name = "x"\nfrom = "i:1"\nsuite = "trixie"', "x.toml: suite cannot be used with `from`"),
        (
            'name = "x"\nfrom = "i:1"\npackages = ["bash"]',
            "x.toml: packages cannot be used with `from`",
        ),
        ('name = "x"\nfrom = "--help"', "x.toml: from is '--help'"),
        (
            'name = "x"\nsuite = "trixie"\n[languages]\npython = 3',
            "x.toml: languages.python is not a table",
        ),
        (
            'name = "x"\nsuite = "trixie"\n[languages.python]\npackages = ["python3"]',
            "x.toml: languages.python.version is missing",
        ),
        (
            'name = "x"\nsuite = "trixie"\n[languages.python]\nversion = "3.13"',
            "x.toml: languages.python.packages is missing",
        ),
        (
            'name = "x"\nsuite = "trixie"\n[languages.python]\nversion = "3"\nprogramme = "x"',
            "x.toml: languages.python.programme is not a key",
        ),
        (
            'name = "x"\nfrom = "i:1"\n[languages.python]\nversion = "3.1"\npackages = ["python3"]',
            "x.toml: languages.python.packages cannot be added to an image",
        ),
        (
            (
                'name = "x"\nfrom = "i:1"\n[languages.python]\nversion = "3.1"\nprogram ='
                ' "/bin/p"\ncommands = ["true"]'
            ),
            "x.toml: languages.python.commands needs packages",
        ),
        (
            (
                'name = "x"\nsuite = "trixie"\n[languages.python]\nversion = "3"\npackages ='
                ' ["python3"]\ncommands = ["a\\nb"]'
            ),
            (
                "x.toml: languages.python.commands contains 'a\\nb', which is not valid in a list"
                " of shell commands"
            ),
        ),
    ],
)
def test_a_mistake_is_reported_with_file_and_key(text: str, sentence: str) -> None:
    with pytest.raises(BadStack) as refused:
        parse(text, "x.toml")
    assert refused.value.what.startswith(sentence)
    assert "docs/stacks.md" in refused.value.hint


@given(st.text(max_size=200) | st.text(alphabet='namesuitfrolg=" []{}.\n1', max_size=200))
def test_any_text_is_a_stack_or_refused(text: str) -> None:
    with suppress(BadStack):
        assert parse(text, "x.toml").stack.name == "x"


def test_the_shipped_files_have_each_python_on_one_stack() -> None:
    assert {version: runtime.stack.name for version, runtime in PYTHON.items()} == {
        "3.11": "debian-12",
        "3.13": "debian-13",
        "3.14": "debian-14",
    }
    assert [file.stack.name for file in SHIPPED if file.stack.apt] == ["debian-14"], (
        "only this suite needs the setting"
    )


def test_a_file_of_the_operator_is_added_and_overrides_a_shipped_one(tmp_path: Path) -> None:
    config = NodeConfig(state=tmp_path)
    config.stacks.mkdir()
    (config.stacks / "company-1.toml").write_text(WHOLE.replace("3.13", "3.12"))
    (config.stacks / "debian-12.toml").write_text(
        'name = "debian-12"\nsuite = "bookworm"\npackages = ["libpq5"]\n'
    )
    offered = offer(config)
    assert list(offered.stacks) == ["debian-12", "debian-13", "debian-14", "company-1"]
    assert offered.stack("debian-12").packages == ("libpq5",)
    assert sorted(offered.pythons) == [
        "3.12",
        "3.13",
        "3.14",
    ], "the operator's debian-12 offers no language"
    assert {
        "static-nginx",
        "go-1.24",
        "php-8.4",
        "ruby-3.3-toolchain",
        "java-25",
    } <= offered.languages.keys()
    with pytest.raises(BadSource, match="Stack 'beos-5' does not exist") as refused:
        offered.stack("beos-5")
    assert "company-1" in refused.value.hint
    (config.stacks / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(BadStack, match=r"Could not read .*bad\.toml"):
        offer(config)


@pytest.mark.parametrize(
    ("version", "extensions"), [("8.4", ()), ("8.4", ("gd", "intl")), ("8.4", ("curl",))]
)
def test_a_php_runtime_is_found_by_its_name(version: str, extensions: tuple[str, ...]) -> None:
    made = php(version, frozenset(extensions))
    assert php_named(made.name) == made


@pytest.mark.parametrize("name", ["php", "php-7.4", "php-8.4-", "php-8.4-GD", "ruby-3.3", "git"])
def test_an_invalid_php_name_is_not_found(name: str) -> None:
    assert php_named(name) is None


def test_a_language_without_commands_keeps_its_earlier_identity() -> None:
    runtime = DebianRuntime(name="x-1", stack=Stack(name="x", suite="trixie"), packages=("x",))
    assert (
        key(runtime, "x86_64") == "0a9e3109760f10376b49feb39c662a6c693988ae0e04c7a8b54961b9a2612325"
    )
    assert key(replace(runtime, commands=("true",)), "x86_64") != key(runtime, "x86_64")
