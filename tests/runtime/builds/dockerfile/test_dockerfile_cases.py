"""Tests of small Dockerfiles: those that people write, and those that try to reach the host's
files.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.containers.spec import ContainerSpec
from runtime.errors import BadSource, BuildFailed
from tests import fingerprint
from tests.danger import dangerous
from tests.runtime.builds.conftest import LIMITS, Forge

BASE = "FROM debian-13\n"
END = 'CMD ["/bin/true"]\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of an archive. An entry that is not a regular file has `link` or `kind`."""

    text: str = ""
    mode: int = 0o644
    link: str = ""
    kind: bytes = tarfile.REGTYPE


def packed(entries: Mapping[str, Entry | str], *, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, entry in entries.items():
            made = entry if isinstance(entry, Entry) else Entry(text=entry)
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = (
                (tarfile.SYMTYPE if made.link and made.kind == tarfile.REGTYPE else made.kind),
                made.link,
                made.mode,
            )
            info.size = len(made.text.encode())
            tar.addfile(info, io.BytesIO(made.text.encode()))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Image:
    """A built image, inspected without running the builder."""

    forge: Forge
    digest: str

    def path(self, name: str) -> Path:
        """Return the path of the file in the topmost layer that has it."""
        found = [
            layer / name
            for layer in self.forge.store.image(self.digest).layers
            if os.path.lexists(layer / name)
        ]
        assert found, f"no layer has {name}"
        return found[0]

    def names(self, folder: str) -> set[str]:
        """Return the names of the files below a folder, in all layers."""
        tops = [layer / folder for layer in self.forge.store.image(self.digest).layers]
        return {
            str(path.relative_to(top))
            for top in tops
            for path in top.rglob("*")
            if not path.is_dir()
        }

    def run(self, *command: str) -> list[str]:
        """Run the command, or the image's own command, and return the lines that it prints."""
        image, lines = self.forge.store.image(self.digest), []
        user, _, group = (image.config.labels.get("slipway.user") or "1000:1000").partition(":")
        spec = ContainerSpec(
            id="case",
            app="app",
            team=1,
            layers=image.layers,
            command=command or (*image.config.entrypoint, *image.config.command),
            environment=image.config.environment,
            uid=int(user),
            gid=int(group),
            limits=LIMITS,
        )
        try:
            done = self.forge.containers.run(
                spec, on_output=lambda _, line: lines.append(line), timeout=60
            )
        finally:
            self.forge.containers.remove("case")
        assert done.code == 0, lines
        return lines


def built(forge: Forge, dockerfile: str, files: Mapping[str, Entry | str] | None = None) -> Image:
    forge.log.clear()
    request = forge.request_of(packed({"Dockerfile": dockerfile, **(files or {})}))
    try:
        return Image(forge, forge.builder.build(request, forge.log.append).digest)
    except BuildFailed:
        print(forge.said())  # shows the log when the test fails
        raise


@pytest.fixture
def host() -> Iterator[None]:
    """Check that the test did not change the host."""
    before = fingerprint.take()
    yield
    assert fingerprint.differences(before, fingerprint.take(), kernel_objects=False) == []


def test_a_tar_whose_first_entry_has_an_empty_name_is_unpacked(forge: Forge) -> None:
    image = built_with_tar(forge, {"": Entry(kind=tarfile.DIRTYPE), "f": "x\n"})
    assert image.path("f").read_text() == "x\n"


def built_with_tar(forge: Forge, entries: Mapping[str, Entry | str], target: str = "/") -> Image:
    """Build an image in which `ADD` unpacks a tar of these entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in (
            ("Dockerfile", f"{BASE}ADD a.tar {target}\n{END}".encode()),
            ("a.tar", packed(entries, mode="w")),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    forge.log.clear()
    return Image(
        forge, forge.builder.build(forge.request_of(buffer.getvalue()), forge.log.append).digest
    )


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"disk": Entry(kind=tarfile.BLKTYPE)}, "disk"),
        ({"console": Entry(kind=tarfile.CHRTYPE)}, "console"),
        ({"again": Entry(kind=tarfile.LNKTYPE, link="absent")}, "again"),
        ({"../outside": "x"}, "outside"),
    ],
)
def test_an_error_of_a_tar_names_the_entry(entries, named, forge: Forge, host) -> None:
    with pytest.raises((BadSource, BuildFailed), match=named):
        built_with_tar(forge, entries)


@pytest.mark.parametrize("user", ["nobody:nogroup", "65534:65534", "65535", "nobody"])
def test_files_may_belong_to_any_id_up_to_65535(user: str, forge: Forge) -> None:
    image = built(forge, f"{BASE}COPY --chown={user} f /f\n{END}", {"f": "f"})
    found = image.path("f").stat()
    assert found.st_uid == (65535 if user == "65535" else 65534)


@pytest.mark.parametrize("user", ["nobody", "65534", "65535:65535"])
def test_an_image_runs_as_any_id_up_to_65535(user: str, forge: Forge) -> None:
    image = built(
        forge, f'{BASE}USER {user}\nRUN id -u > /tmp/who && cat /tmp/who\nCMD ["id", "-u"]\n'
    )
    assert image.run() == ["65535" if user.startswith("65535") else "65534"]


def test_modes_of_an_upload_are_kept(forge: Forge) -> None:
    files = {
        "id_rsa": Entry(text="key", mode=0o600),
        "secret": Entry(kind=tarfile.DIRTYPE, mode=0o750),
        "secret/s": Entry(text="s", mode=0o640),
        "run.sh": Entry(text="#!/bin/sh\n", mode=0o755),
    }
    image = built(
        forge,
        f"{BASE}COPY id_rsa /root/.ssh/id_rsa\nCOPY secret/ /etc/app/\nCOPY run.sh /run.sh\n{END}",
        files,
    )
    modes = {
        name: stat.S_IMODE(image.path(name).stat().st_mode)
        for name in ("root/.ssh/id_rsa", "etc/app/s", "run.sh")
    }
    assert modes == {"root/.ssh/id_rsa": 0o600, "etc/app/s": 0o640, "run.sh": 0o755}


@pytest.mark.parametrize("user", ["root", "nobody", "1000"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_step_of_any_user_can_open_its_own_output(stream: str, user: str, forge: Forge) -> None:
    built(forge, f"{BASE}USER {user}\nRUN echo spoken by {user} > /dev/{stream}\n{END}")
    assert any(line.endswith(f"spoken by {user}") for line in forge.log)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_instance_can_log_through_a_link_to_its_own_output(stream: str, forge: Forge) -> None:
    image = built(
        forge,
        f"{BASE}RUN ln -sf /dev/{stream} /var/log/access.log\nUSER nobody\nCMD echo line >"
        " /var/log/access.log\n",
    )
    assert image.run() == ["line"]


def test_a_procfile_does_not_replace_a_base_image_that_cannot_be_pulled(forge: Forge) -> None:
    with pytest.raises((BadSource, BuildFailed), match=r"registry\.invalid/thing:1"):
        built(
            forge,
            'FROM registry.invalid/thing:1\nCMD ["./serve"]\n',
            {"Procfile": "web: /go/bin/web\n"},
        )


def test_an_error_of_the_procfile_is_shown_before_a_base_is_pulled(forge: Forge) -> None:
    with pytest.raises(BadSource, match=r"Procfile, line 1: '<<<<<<< HEAD' is a mark of a merge"):
        built(
            forge,
            'FROM registry.invalid/thing:1\nRUN false\nCMD ["./serve"]\n',
            {"Procfile": "<<<<<<< HEAD\nweb: /go/bin/web\n"},
        )
    assert "registry.invalid" not in forge.said()


def test_two_stars_match_any_depth_and_parents_are_kept(forge: Forge) -> None:
    files = {
        f"{folder}package.json": folder
        for folder in ("", "packages/", "packages/a/", "packages/a/b/")
    }
    image = built(forge, f"{BASE}COPY --parents **/package.json /d/\n{END}", files)
    assert image.names("d") == set(files)


def test_the_pivot_of_parents_works_with_and_without_a_leading_dot(forge: Forge) -> None:
    image = built(
        forge,
        f"{BASE}COPY --parents ./x/./y/*.txt /a/\nCOPY --parents x/./y/*.txt /b/\n{END}",
        {"x/y/f.txt": "1"},
    )
    assert (image.names("a"), image.names("b")) == ({"y/f.txt"}, {"y/f.txt"})


def test_the_target_of_a_link_is_kept_byte_for_byte(forge: Forge) -> None:
    image = built(forge, f"{BASE}COPY . /e\n{END}", {"l": Entry(link="./a//b/"), "a/b/f": "x"})
    assert str(os.readlink(image.path("e/l"))) == "./a//b/"  # noqa: PTH115  # a Path drops the slashes


WHEEL = """\
import zipfile
with zipfile.ZipFile("six-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("six.py", "")
    wheel.writestr("six-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: six\\nVersion: 1.0\\n")
    wheel.writestr("six-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("six-1.0.dist-info/RECORD", "")
"""  # noqa: E501


@pytest.mark.slow
def test_the_python_image_has_pip(forge: Forge) -> None:
    dockerfile = (  # the package is created here, because access to PyPI is not under test
        "FROM python-3.13\nWORKDIR /app\nCOPY . .\nRUN python make.py && pip install --no-index"
        " --find-links . -r requirements.txt\nCMD python3 -c 'import six; print(six.__name__)'\n"
    )
    assert built(forge, dockerfile, {"requirements.txt": "six\n", "make.py": WHEEL}).run() == [
        "six"
    ]


@pytest.mark.slow
def test_pip_in_the_python_image_can_replace_itself(forge: Forge) -> None:
    dockerfile = (
        "FROM python-3.13\nRUN pip install --no-index --force-reinstall"
        " /usr/share/python-wheels/pip-*.whl && python -m pip --version > /version\nCMD cut -d. -f1"
        " /version\n"
    )
    assert int(built(forge, dockerfile, {}).run()[0].removeprefix("pip ")) >= 25


@pytest.mark.slow
def test_the_node_image_has_the_tools_of_the_official_image(forge: Forge) -> None:
    dockerfile = (
        "FROM node-22\nRUN yarn --version > /yarn && corepack enable && npm --version && npx"
        " --version\nCMD cat /yarn; ls /usr/local/bin\n"
    )
    version, *names = built(forge, dockerfile, {}).run()
    assert version.startswith("1.22.")
    assert {"corepack", "node", "npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg"} <= set(names)


@dangerous
@pytest.mark.parametrize("source", ["/ /", ". /", "/ /copy/", "/. /"])
def test_the_whole_tree_of_a_stage_is_copied(source: str, forge: Forge, host) -> None:
    dockerfile = (
        "FROM debian-13 AS base\nRUN mkdir -p /app && echo hi > /app/f\nFROM scratch\nCOPY"
        f" --from=base {source}\n{END}"
    )
    image = built(forge, dockerfile)
    place = "copy/" if "copy" in source else ""
    assert image.path(f"{place}app/f").read_text() == "hi\n"
    assert image.path(f"{place}etc/passwd").is_file()


@pytest.mark.parametrize("kind", ["bind", "cache"])
def test_a_mount_of_a_whole_stage_shows_the_stage_and_not_the_host(
    kind: str, forge: Forge, host
) -> None:
    """Build the two Dockerfiles that once changed the host's files.

    They passed in the virtual machine, so they run everywhere.
    """
    mount_a_stage(forge, kind, "")


@dangerous
@pytest.mark.parametrize("kind", ["bind", "cache", "bind,rw", "cache,sharing=locked"])
@pytest.mark.parametrize("source", [",source=/", ",source=.", ",source=/../..", ",source=etc/.."])
def test_a_mount_of_part_of_a_stage_shows_the_stage_and_not_the_host(
    source: str, kind: str, forge: Forge, host
) -> None:
    mount_a_stage(forge, kind, source)


def mount_a_stage(forge: Forge, kind: str, source: str) -> None:
    dockerfile = (
        f"FROM debian-13 AS base\nRUN echo of the stage > /mark\n{BASE}RUN"
        f" --mount=type={kind},from=base{source},target=/base cat /base/mark && stat -c 'owner %u'"
        f" /base/etc/passwd\n{END}"
    )
    for _ in range(2):  # the second time, the cache mount already has its folder
        built(forge, dockerfile + f"LABEL again={os.urandom(4).hex()}\n")
        said = forge.said()
        assert "of the stage" in said or "cached" in said, said


LINKS = (
    "/proc/1/root",
    "/proc/self/root",
    "/proc/thread-self/cwd/../../../..",
    "/",
    "/etc",
    "../../../../../../../../etc",
    "/proc/self/fd/3",
)


@dangerous
@pytest.mark.parametrize("leads_to", LINKS)
def test_no_later_instruction_follows_a_link_of_a_step_to_the_host(
    leads_to: str, forge: Forge, host
) -> None:
    """Use the link in each later instruction. The effect must stay inside the image."""
    link = f"RUN mkdir -p /w && ln -s {leads_to} /w/link\n"
    for name, step in {
        "copy into it": "COPY f /w/link/planted-by-tests\n",
        "copy from it": "FROM debian-13\nCOPY --from=base /w/link /taken\n",
        "copy from below it": "FROM debian-13\nCOPY --from=base /w/link/passwd /taken\n",
        "add into it": "ADD f /w/link/planted-by-tests\n",
        "own it": "COPY --chown=4242:4242 f /w/link/\n",
        "work in it": "WORKDIR /w/link/planted-by-tests\nRUN touch here\n",
        "bind it": (
            "FROM debian-13\nRUN --mount=type=bind,from=base,source=/w/link,target=/m,rw touch"
            " /m/planted-by-tests || true\n"
        ),
        "cache it": (
            "FROM debian-13\nRUN --mount=type=cache,from=base,source=/w/link,target=/m touch"
            " /m/planted-by-tests || true\n"
        ),
        "bind onto it": "RUN --mount=type=bind,target=/w/link/planted-by-tests true\n",
        "parents": "FROM debian-13\nCOPY --parents --from=base /w/link/./passwd /taken/\n",
    }.items():
        # Any other error fails this test, because the app did not cause it.
        with suppress(BadSource, BuildFailed):
            built(forge, f"FROM debian-13 AS base\n{link}{step}{END}", {"f": "planted"})
        assert not Path("/planted-by-tests").exists(), name
        assert not Path("/etc/planted-by-tests").exists(), name


@dangerous
@pytest.mark.parametrize(
    "target", ["/dev", "/proc", "/sys", "/", "/etc/../dev", "/dev/shm", "/proc/sys", "/to-dev"]
)
@pytest.mark.parametrize("kind", ["cache", "tmpfs", "bind"])
def test_a_mount_onto_a_kernel_folder_works_or_is_refused(
    kind: str, target: str, forge: Forge, host
) -> None:
    # Any other error fails this test, because the app did not cause it.
    with suppress(BadSource, BuildFailed):
        built(
            forge,
            f"{BASE}RUN ln -s /dev /to-dev\nRUN --mount=type={kind},target={target} true\n{END}",
        )
