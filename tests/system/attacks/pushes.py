"""Attacks by git.

They push small packs that are huge when unpacked, and trees with names that no checkout should
have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from runtime.process import Completed, run
from tests.system.attacks.attack import Attack
from tests.system.attacks.range import TARGET, Range

GIT = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C", "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@localhost", "GIT_COMMITTER_NAME": "x",
    "GIT_COMMITTER_EMAIL": "x@localhost",
}  # fmt: skip
LONGEST = 150  # seconds for one push


class Repository:
    """A repository that stores objects unchanged, without git's own checks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--bare")

    def git(self, *words: str, given: bytes = b"", check: bool = True) -> Completed:
        return run(
            ["git", *words], cwd=self.folder, env=GIT, input=given, check=check, timeout=LONGEST
        )

    def add(self, kind: str, data: bytes) -> str:
        return (
            self.git("hash-object", "-w", "-t", kind, "--literally", "--stdin", given=data)
            .stdout.decode()
            .strip()
        )

    def tree(self, *entries: tuple[bytes, bytes, str]) -> str:
        return self.add(
            "tree",
            b"".join(mode + b" " + name + b"\0" + bytes.fromhex(of) for mode, name, of in entries),
        )

    def push(self, place: Range, tree: str) -> Completed:
        commit = self.git("commit-tree", tree, "-m", "x").stdout.decode().strip()
        address = (
            f"http://any:{place.api.token}@127.0.0.1:{place.config.http_port}/git/{TARGET}.git"
        )
        return self.git("push", address, f"{commit}:refs/heads/main", check=False)


def pushed(name: str, holds: str, make: Callable[[Repository], str]) -> Attack:
    def act(place: Range) -> str:
        with tempfile.TemporaryDirectory(prefix="slipway-attack-") as folder:
            repository = Repository(Path(folder))
            done = repository.push(place, make(repository))
        output = done.stderr.decode(errors="replace")
        assert done.returncode != 0, output[-1000:]
        assert "remote" in output, f"the refusal has no reason: {output[-1000:]}"
        return "refused with the reason"

    return Attack(kind="git", name=name, holds=holds, act=act)


def nested(repository: Repository) -> str:
    """Return a tree of ten levels of ten equal entries: 2 kB that represent 10^10 files."""
    tree = repository.tree((b"100644", b"f", repository.add("blob", b"x")))
    for _ in range(10):
        tree = repository.tree(*((b"40000", f"d{number}".encode(), tree) for number in range(10)))
    return tree


def one_file(
    name: bytes, mode: bytes = b"100644", text: bytes = b"x"
) -> Callable[[Repository], str]:
    return lambda repository: repository.tree((mode, name, repository.add("blob", text)))


ATTACKS = (
    pushed(
        "ten levels of ten equal entries", "memory and time limits of git's control group", nested
    ),
    pushed("a file named ..", "git's own checks of what is pushed", one_file(b"..")),
    pushed("a file named .git", "git's own checks of what is pushed", one_file(b".git")),
    pushed(
        "a name with a slash",
        "git's own checks of what is pushed",
        one_file(b"../../planted-by-tests"),
    ),
    pushed(
        "a link that leads out",
        "the archive reader",
        one_file(b"l", b"120000", b"../../../etc/shadow"),
    ),
)
