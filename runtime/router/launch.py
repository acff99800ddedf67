"""Program that replaces itself with a command that inherits the router's listening sockets.

Usage: `python -m runtime.router.launch HANDOVER NAME=HOST:PORT... -- COMMAND...`

The sockets come from the service manager (sd_listen_fds(3)), else from the process that serves the
Unix socket HANDOVER (see `listeners`). If neither exists, as in tests, HAProxy opens its own
sockets. HAProxy's configuration reads each socket from an environment variable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from runtime.config import passed_descriptors
from runtime.errors import RuntimeFailure
from runtime.router import listeners
from runtime.router.addresses import ListenAddress


def main(arguments: Sequence[str]) -> NoReturn:
    """Replace this process with the command, or exit with an error message."""
    mark = arguments.index("--")
    handover, *words = arguments[:mark]
    try:
        settings = _settings(Path(handover), tuple(map(_place, words)))
    except RuntimeFailure as failure:
        sys.exit(failure.explain())
    os.execvp("env", ["env", *settings, *arguments[mark + 1 :]])  # noqa: S606  # a list of words


def _settings(handover: Path, wanted: tuple[ListenAddress, ...]) -> list[str]:
    descriptors = passed_descriptors(os.getpid()) or listeners.fetch(handover)
    if descriptors is None:
        print(
            "No process holds the router's sockets: HAProxy opens them itself, and they close when"
            " it exits.",
            file=sys.stderr,
        )
        return [f"{place.variable}={place.text}" for place in wanted]
    found = listeners.chosen(wanted, descriptors)
    for descriptor in found.values():
        os.set_inheritable(descriptor, True)
    return [
        "--unset=LISTEN_PID",
        "--unset=LISTEN_FDS",
        "--unset=LISTEN_FDNAMES",
        *(f"{name}=fd@{number}" for name, number in found.items()),
    ]


def _place(word: str) -> ListenAddress:
    name, _, place = word.partition("=")
    host, _, port = place.rpartition(":")
    return ListenAddress(name=name, host=host, port=int(port))


if __name__ == "__main__":
    main(sys.argv[1:])
