"""The real command against a listening portal. Fake workers take builds to their end."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Fixtures of the portal's tests
from tests.portal.conftest import (  # noqa: F401
    People,
    committed_people,
    fake_workers,
    portal_groups,
    portal_url,
)

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Command:
    """Runs `slipway` in a folder, with a person's token."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "slipway_cli", *words],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def done(self, *words: str, stdin: str = "") -> str:
        """Return what a command prints. Fail unless it succeeds."""
        ended = self(*words, stdin=stdin)
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended.stdout

    def refused(self, *words: str, code: int = 1, stdin: str = "") -> str:
        """Return the error. Fail unless the command ends with this exit code and one sentence."""
        ended = self(*words, stdin=stdin)
        assert ended.returncode == code, (words, ended.stdout, ended.stderr)
        assert "Traceback" not in ended.stderr
        return ended.stderr


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Command]:
    """Return a function that makes a Command of a portal and a token."""

    def make(url: str = "", token: str = "", **more: str) -> Command:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT / "cli"),
            "SLIPWAY_CREDENTIALS": str(tmp_path / "credentials.json"),
            "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
            "LC_ALL": "C.UTF-8",
            **({"SLIPWAY_URL": url} if url else {}),
            **({"SLIPWAY_TOKEN": token} if token else {}),
            **more,
        }
        return Command(folder, environment)

    return make


@pytest.fixture
def slipway(
    command: Callable[..., Command],
    portal_url: str,  # noqa: F811
    committed_people: People,  # noqa: F811
) -> Command:
    """Return the command of the owner of the team `blue`."""
    return command(portal_url, committed_people.token(committed_people.owner))
