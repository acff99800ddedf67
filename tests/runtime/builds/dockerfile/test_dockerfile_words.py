"""Tests of the pure functions for Dockerfiles: parsing, variables, patterns and .dockerignore.

Any text raises only the expected error.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.builds.dockerfile import settings as configuration
from runtime.builds.dockerfile.ignore import context
from runtime.builds.dockerfile.mounts import mounts_of
from runtime.builds.dockerfile.run.script import script_of
from runtime.builds.dockerfile.settings import Settings
from runtime.builds.dockerfile.stages import divide
from runtime.builds.dockerfile.syntax import Words, parse
from runtime.builds.dockerfile.tree import Tree
from runtime.errors import BadSource
from runtime.images.manifest import ImageConfig
from runtime.trees.folder import Folder

KEYWORDS = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
]


def settled(text: str, values: dict[str, str] | None = None) -> ImageConfig:
    script = parse(text)
    state = Settings(config=ImageConfig(), escape=script.escape)
    for instruction in script.instructions:
        if configuration.applies_to(instruction.name):
            words = Words(script.escape, {**(values or {}), **state.config.environment})
            state = configuration.change(state, instruction, words)
    return state.config


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$a", "one"),
        ("${a}x", "onex"),
        ("${b:-two}", "two"),
        ("${b-two}", "two"),
        ("${a:+yes}", "yes"),
        ("${b:+yes}", ""),
        ("${empty:-x}", "x"),
        ("${empty-x}", ""),
        ("${b:-${a}}", "one"),
        (r"\$a", "$a"),
        ("'$a'", "$a"),
        ('"$a b"', "one b"),
        (r"a\ b", "a b"),
        ("${path#*/}", "b/c"),
        ("${path##*/}", "c"),
        ("${path%/*}", "a/b"),
        ("${path/b/x}", "a/x/c"),
    ],
)
def test_variables_are_replaced_as_in_the_reference(written: str, value: str) -> None:
    instruction = parse(f"LABEL x={written}").instructions[0]
    assert (
        Words("\\", {"a": "one", "empty": "", "path": "a/b/c"}).expand(
            instruction.args[1], instruction
        )
        == value
    )


def test_settings_of_the_image() -> None:
    config = settled(
        'FROM x\nSHELL ["/bin/bash", "-c"]\nEXPOSE 9000-9002/udp 80\nCMD echo $x\nWORKDIR'
        " /a\nWORKDIR b/../c\n"
    )
    assert config.exposed_ports == ("80/tcp", "9000/udp", "9001/udp", "9002/udp")
    assert config.command == ("/bin/bash", "-c", "echo $x")
    assert config.working_directory == "/a/c"
    assert settled('FROM x\nCMD ["a"]\nENTRYPOINT []\nCMD []\n').command == ()


def test_a_heredoc_is_a_script_for_the_shell_or_a_program() -> None:
    runs = parse(
        "FROM x\nRUN <<E\na\nE\nRUN <<-E\n\t#!/bin/sh\n\tE\nRUN cat <<E > f\nx\nE\n"
    ).instructions[1:]
    assert script_of(runs[0]) == ("a\n", None)
    assert script_of(runs[1]) == ("/dev/pipes/E", b"#!/bin/sh\n")
    assert script_of(runs[2]) == ("cat <<E > f\nx\nE\n", None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("FROM x\nFETCH y", "line 2: unknown instruction: FETCH"),
        ("FROM x\n\n# c\nRUN a \\\n# d\n b\nNOPE", "line 7: unknown instruction: NOPE"),
        ("RUN x", "line 1: RUN is before the first FROM"),
        ("", "has no FROM"),
        ("FROM x\nRUN <<EOF\necho", "line 2: unterminated heredoc"),
        ("FROM x\nCOPY a", "line 2: COPY needs a source and a destination"),
        ("FROM x\nCOPY --form=a b c", "line 2: COPY has no flag --form"),
        ("FROM x AS", "line 1: FROM must be"),
        ("FROM a AS b\nFROM c AS b", "line 2: Two stages have the name b"),
        ("FROM a AS b\nCOPY --from=b x y", "--from=b is not an earlier stage"),
        (
            "FROM a AS b\nCOPY --from=c x y\nFROM a AS c\nCOPY --from=b x y",
            "line 2: --from=c is not an earlier stage",
        ),
        ("FROM a\nCOPY --from=0 x y", "--from=0 is not an earlier stage"),
        ("FROM $none", "line 1: FROM $none has no image name"),
        ("FROM --platform=linux/riscv64 x", "is not the platform of this machine"),
        ("# escape=x\nFROM a", "line 1: invalid escape token"),
        ("FROM x\nONBUILD ONBUILD RUN x", "line 2: ONBUILD ONBUILD is not allowed"),
        ("FROM x\nONBUILD FROM y", "line 2: ONBUILD FROM is not allowed"),
        ("FROM x\nEXPOSE 99999", "line 2: '99999' is not a valid port"),
        ("FROM x\nENV a", "line 2"),
        ("FROM x\nLABEL a='b", "line 2"),
        ("FROM x\nENV a=${b", "line 2"),
        ("FROM x\nSTOPSIGNAL SIGNOPE", "line 2: 'SIGNOPE' is not a known signal"),
        (
            "FROM x\nHEALTHCHECK --interval=soon CMD x",
            "line 2: --interval=soon is not a valid duration",
        ),
        ("FROM x\nSHELL /bin/sh", "line 2: SHELL needs a JSON array"),
        ('FROM x\nCOPY ["a", "/x\\ud800y"]', r"line 2: '/x\ud800y' is not valid text"),
        ('FROM x\nCOPY ["a\\ud800", "/x"]', r"line 2: 'a\ud800' is not valid text"),
        ('FROM x\nCMD ["\\udfff"]', r"line 2: '\udfff' is not valid text"),
    ],
)
def test_a_mistake_is_reported_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(BadSource) as caught:
        divide(parse(text), {}, "x86_64")
        settled(text)
    assert sentence in caught.value.what


@pytest.mark.parametrize(
    ("target", "is_taken"),
    [
        *(
            (target, False)
            for target in ("/dev", "/etc/../dev/", "/dev/init", "/proc/sys", "/sys", "/")
        ),
        *((target, False) for target in ("//dev", "//dev/init", "//proc", "///sys/fs", "//")),
        *(
            (target, True)
            for target in ("/dev/shm", "/devices", "/processed", "/system", "/dev/initial")
        ),
    ],
)
def test_mounts_on_kernel_folders_are_refused_and_similar_names_are_not(target, is_taken):
    (run,) = parse(f"FROM scratch\nRUN --mount=type=tmpfs,target={target} true\n").instructions[1:]
    with (
        contextlib.nullcontext() if is_taken else pytest.raises(BadSource, match="Cannot mount on")
    ):
        assert mounts_of(run, Words("\\", {}), "/")


def test_a_mount_below_a_folder_with_two_slashes_is_checked_too() -> None:
    (run,) = parse("FROM x\nRUN --mount=type=tmpfs,target=dev/init true\n").instructions[1:]
    with pytest.raises(BadSource, match="Cannot mount on /dev/init"):
        mounts_of(run, Words("\\", {}), "//")
    assert settled("FROM x\nWORKDIR //\nWORKDIR //a//b\n").working_directory == "/a/b"


def test_a_mount_belongs_to_any_id_up_to_65535() -> None:
    first, second = parse(
        "FROM x\nRUN --mount=type=cache,target=/c,uid=65535,gid=65535 a\nRUN"
        " --mount=type=cache,target=/c,uid=65536 a\n"
    ).instructions[1:]
    (mount,) = mounts_of(first, Words("\\", {}), "/")
    assert (mount.uid, mount.gid) == (65535, 65535)
    with pytest.raises(BadSource, match="uid=65536 is not a valid number"):
        mounts_of(second, Words("\\", {}), "/")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([*KEYWORDS, " ", "\n", "\\\n", "<<E", "E", '["a"]', "--mount=type=cache,target=", "--from=", "${a:-", "}", "'", '"', "# escape=`\n", "x=y", "["]), st.text(max_size=6)), max_size=40).map("".join))  # fmt: skip  # noqa: E501
def test_any_text_raises_only_the_expected_error(text: str) -> None:
    with contextlib.suppress(BadSource):
        script = parse(text.encode("utf-8", "surrogatepass"))
        divide(script, {}, "x86_64")
        for instruction in script.instructions:
            if instruction.name == "RUN":
                mounts_of(instruction, Words(script.escape, {}), "/")
                script_of(instruction)
        settled(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=("Cs",)), max_size=30))
def test_a_quoted_value_is_read_back_unchanged(value: str) -> None:
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
    assert settled(f"FROM x\nENV A={quoted} B=1\n").environment["A"] == value


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12))
def test_any_pattern_raises_only_the_expected_error(pattern: str) -> None:
    with contextlib.suppress(BadSource), Folder.at(Path(__file__).parent) as folder:
        Tree(root=folder).matches(pattern.replace("\0", ""))


def test_dockerignore_follows_the_rules_of_docker(tmp_path: Path) -> None:
    for name in (
        "a.log",
        "keep.log",
        "d/x.log",
        "d/sub/y.tmp",
        "node_modules/m/i.js",
        "node_modules/keep/me",
        ".git/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".dockerignore").write_text(
        "# no\n*.log\n!keep.log\n**/*.tmp\nnode_modules\n!node_modules/keep\n.git/\n"
    )
    with Folder.at(tmp_path) as folder:
        seen = {found.path for found in context(folder).walk(".") if not found.is_folder}
    assert seen == {".dockerignore", "keep.log", "d/x.log", "node_modules/keep/me"}


def test_a_step_has_at_most_64_mounts() -> None:
    mounts = " ".join(f"--mount=type=tmpfs,target=/t{number}" for number in range(65))
    (run,) = parse(f"FROM x\nRUN {mounts} true\n").instructions[1:]
    with pytest.raises(BadSource, match=r"line 2.* 65 mounts\. The limit is 64"):
        mounts_of(run, Words("\\", {}), "/")
