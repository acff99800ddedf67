"""The files under version control."""

from pathlib import Path

from runtime.process import run

ROOT = Path(__file__).parents[2]


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git tracks and that exist. Fail in a copy of the tree without .git."""
    listed = run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--", *patterns], cwd=ROOT
    ).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
