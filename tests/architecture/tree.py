"""The files under version control."""

from pathlib import Path

from runtime.process import run

ROOT = Path(__file__).parents[2]


def tracked(*patterns: str) -> list[Path]:
    """Committed or about to be; a clone without its .git falls back to no files at all, loudly."""
    listed = run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--", *patterns], cwd=ROOT).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
