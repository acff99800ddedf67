"""Two real layers made from this machine's own programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROGRAMS = (
    "sh",
    "cat",
    "sleep",
    "ls",
    "id",
    "dd",
    "grep",
    "env",
    "touch",
    "rm",
    "mkdir",
    "stat",
    "chmod",
    "chown",
    "true",
)
PYTHON_LEAVES_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "lib2to3",
    "ensurepip",
    "pydoc_data",
    "distutils",
    "__pycache__",
    "config-*",
    "dist-packages",
)
PYTHON = "/usr/bin/python3"


def make_layers(place: Path) -> tuple[Path, ...]:
    """Create two layers, topmost first.

    One contains a word; the other a shell, a few tools and Python, copied from the host.
    """
    base, top = place / "base", place / "top"
    top.mkdir()
    for folder in ("usr/bin", "etc", "proc", "sys", "dev", "tmp", "app"):
        (base / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (base / "usr" / name).mkdir(exist_ok=True)
        (base / name).symlink_to(f"usr/{name}")
    for name in PROGRAMS:
        _copy_program(base, Path(shutil.which(name, path="/usr/bin:/bin") or name))
    python = Path(PYTHON).resolve()
    _copy_program(base, python)
    if not (base / "usr/bin/python3").exists():
        (base / "usr/bin/python3").symlink_to(python.name)
    library = Path("/usr/lib") / python.name
    ignored = shutil.ignore_patterns(*PYTHON_LEAVES_OUT)
    shutil.copytree(
        library, base / "usr/lib" / python.name, ignore_dangling_symlinks=True, ignore=ignored
    )
    _copy_libraries(base, *library.glob("lib-dynload/*.so"))
    (base / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\napp:x:1000:1000::/app:/bin/sh\n")
    (base / "tmp").chmod(0o1777)
    (top / "word").write_text("from the top layer\n")
    return top, base


def _copy_program(root: Path, program: Path) -> None:
    target = root / "usr/bin" / program.name
    if not target.exists():
        shutil.copy2(program.resolve(), target)
        _copy_libraries(root, program)


def _copy_libraries(root: Path, *programs: Path) -> None:
    """Copy the libraries that the programs need to the same paths (ldd(1))."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
    for word in listed.split():
        if (
            word.startswith("/")
            and not word.endswith(":")
            and not (
                library := root / str(Path(word).parent.resolve() / Path(word).name).lstrip("/")
            ).exists()
        ):
            library.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(word).resolve(), library)
