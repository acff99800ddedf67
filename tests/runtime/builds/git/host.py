"""A host with Git repositories, in a network namespace behind a link of this machine."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.kernel import Kernel
from tests.runtime.network.conftest import end, pin, run

HOST, OUTSIDE, PORT = "198.18.78.1", "198.18.78.2", 8099  # RFC 2544: reserved for tests
TOKEN = "secret-token-of-git"
SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class GitHost:
    """The repositories of the host: one folder each."""

    folder: Path

    def url(self, name: str) -> str:
        return f"http://{OUTSIDE}:{PORT}/{name}"

    def commit(self, name: str, files: dict[str, str], *, branch: str = "main") -> str:
        """Commit files to a branch of a repository, and return the commit."""
        bare = self.folder / name
        if not bare.exists():
            git(self.folder, "init", "-q", "--bare", "-b", "main", str(bare))
            git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        work = self.folder / f"work-{secrets.token_hex(4)}"
        work.mkdir()
        git(work, "init", "-q", "-b", branch)
        for path, text in files.items():
            place = work / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        git(work, "add", "-A", "-f")
        git(work, "commit", "-q", "-m", f"Add {', '.join(files)}"[:60])
        git(work, "push", "-q", "-f", str(bare), branch)
        return git(work, "rev-parse", "HEAD")


def git(folder: Path, *words: str) -> str:
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, **dict.fromkeys(names, "a@example.com")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@contextmanager
def git_host(folder: Path) -> Iterator[GitHost]:
    """Start the host; containers of this machine reach it as they reach the internet."""
    with ExitStack() as stack:
        outside = folder / "outside"
        (folder / "repositories").mkdir()
        pin("net", outside)
        stack.callback(Kernel().unmount, outside, lazily=True)
        name = secrets.token_hex(3)
        near, far = f"g{name}o", f"g{name}f"
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        stack.callback(run, "ip", "link", "del", near)
        inside = os.open(outside, os.O_RDONLY)
        try:
            run("ip", "link", "set", far, "netns", f"/proc/{os.getpid()}/fd/{inside}")
        finally:
            os.close(inside)
        run("ip", "addr", "add", f"{HOST}/24", "dev", near)
        run("ip", "link", "set", near, "up")
        enter = ["nsenter", f"--net={outside}", "ip"]
        run(*enter, "addr", "add", f"{OUTSIDE}/24", "dev", far)
        run(*enter, "link", "set", far, "up")
        run(*enter, "link", "set", "lo", "up")
        run(*enter, "route", "add", "default", "via", HOST)
        Path(f"/proc/sys/net/ipv4/conf/{near}/forwarding").write_text("1")
        repositories = folder / "repositories"
        server = subprocess.Popen(
            [
                *("nsenter", f"--net={outside}", sys.executable, "-S"),
                *(str(SERVER), str(repositories), str(PORT), TOKEN),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(end, server)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield GitHost(repositories)
