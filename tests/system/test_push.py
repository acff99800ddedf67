"""Tests of deploys with the real git client."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.process import Completed, run
from tests.system.conftest import TEAM
from tests.system.support import archives

GIT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "PATH": "/usr/bin:/bin",
    "LANG": "C",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """Create a repository of examples/hello."""
    folder = tmp_path_factory.mktemp("clone")
    archive = folder.parent / "hello.tar.gz"
    archive.write_bytes(archives.example("hello"))
    run(["tar", "xzf", archive, "-C", folder])
    run(["git", "init", "-q", "-b", "main"], cwd=folder, env=GIT)
    commit(folder, "First")
    return folder


@pytest.fixture(scope="module")
def push(box, admin, clone) -> Callable[[str], Completed]:
    admin.create_app(TEAM, "pushed")

    def push(app: str) -> Completed:
        address = f"http://{admin.username}:{admin.token}@127.0.0.1:{box.port}/git/{app}.git"
        return run(
            ["git", "push", address, "HEAD:main"], cwd=clone, env=GIT, timeout=120, check=False
        )

    return push


def commit(folder: Path, message: str) -> None:
    run(["git", "add", "-A"], cwd=folder, env=GIT)
    run(
        [
            "git",
            "-c",
            "user.name=tests",
            "-c",
            "user.email=tests@localhost",
            "commit",
            "-q",
            "-m",
            message,
        ],
        cwd=folder,
        env=GIT,
    )


def test_a_push_deploys_streams_the_build_and_ends_with_the_url(push, box):
    pushed = push("pushed")
    output = pushed.stderr.decode()
    assert pushed.returncode == 0, output
    remote = [line for line in output.splitlines() if line.startswith("remote:")]
    assert any(box.config.url_of(box.host("pushed")) in line for line in remote[-4:]), output
    assert box.ask("pushed").status_code == 200


def test_a_push_that_does_not_build_is_refused_with_the_reason(push, clone, box):
    procfile = (clone / "Procfile").read_text()
    (clone / "requirements.txt").write_text("no-such-package-of-slipway-tests==1.0\n")
    commit(clone, "Cannot be built")
    pushed = push("pushed")
    output = pushed.stderr.decode()
    assert pushed.returncode != 0
    assert re.search(r"\[remote rejected\]|\[rejected\]|remote: .*fail", output), output
    assert "no-such-package-of-slipway-tests" in output, output
    assert box.ask("pushed").status_code == 200, "the previous release still serves"
    (clone / "requirements.txt").unlink()
    (clone / "Procfile").write_text(procfile)
    commit(clone, "Repaired")


def test_a_first_push_creates_the_app(push, box):
    pushed = push(f"{TEAM}/first-push")
    output = pushed.stderr.decode()
    assert pushed.returncode == 0, output
    url = box.config.url_of(box.host("first-push"))
    assert f"remote: Created app first-push in team {TEAM}: {url}" in output
    assert box.ask("first-push").status_code == 200


def test_a_push_with_a_pointer_of_git_lfs_is_refused_with_its_name(push, clone, box):
    (clone / "film.mp4").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    )
    commit(clone, "Add a film")
    pushed = push("pushed")
    output = pushed.stderr.decode()
    (clone / "film.mp4").unlink()
    commit(clone, "Remove the film")
    assert pushed.returncode != 0
    assert "'film.mp4' is a pointer file of Git LFS." in output, output


def test_a_push_with_a_submodule_is_refused_with_its_folder(push, clone, box, tmp_path):
    library = tmp_path / "lib"
    library.mkdir()
    (library / "lib.txt").write_text("hi")
    run(["git", "init", "-q", "-b", "main"], cwd=library, env=GIT)
    commit(library, "Library")
    add = ["submodule", "--quiet", "add", str(library), "vendor/lib"]
    run(["git", "-c", "protocol.file.allow=always", *add], cwd=clone, env=GIT)
    commit(clone, "Add a submodule")
    pushed = push("pushed")
    output = pushed.stderr.decode()
    run(["git", "reset", "-q", "--hard", "HEAD~1"], cwd=clone, env=GIT)
    assert pushed.returncode != 0
    assert "vendor/lib is a git submodule." in output, output
    assert box.ask("pushed").status_code == 200


def test_a_push_with_a_wrong_token_is_refused(box, clone):
    address = f"http://admin:slip_wrong@127.0.0.1:{box.port}/git/pushed.git"
    pushed = run(["git", "push", address, "HEAD:main"], cwd=clone, env=GIT, check=False)
    assert pushed.returncode != 0
    assert (
        b"401" in pushed.stderr
        or b"Authentication" in pushed.stderr
        or b"could not read" in pushed.stderr
    )
