"""A small tree on top of a stack: another name for the user 1000, and a working folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from runtime.stacks.bootstrap import EPOCH
from runtime.stacks.difference import forget_times


def fill(tree: Path, *, user: str, folder: str, read: Callable[[str], str]) -> None:
    """Make the tree. `read` returns a file of the stack; "" and "/" add nothing."""
    moment = time.time()
    tree.mkdir(mode=0o755)
    if user:
        home = f"/home/{user}"
        lines = {
            "passwd": f"{user}:x:1000:1000::{home}:/bin/bash\n",
            "group": f"{user}:x:1000:\n",
        }
        (tree / "etc").mkdir(mode=0o755)
        for file, line in lines.items():
            (tree / "etc" / file).write_text(read(f"etc/{file}") + line)
        own = tree / home.lstrip("/")
        own.mkdir(mode=0o755, parents=True)
        os.chown(own, 1000, 1000)
    if folder != "/":
        place = tree / folder.lstrip("/")
        place.mkdir(parents=True)
        place.chmod(0o777)  # as in the official image: any user may install there
    forget_times(tree, after=moment - 1, instead=EPOCH)
