"""A complete platform for the tests, with its own name, folders, network and port.

It is started as `make up` starts it.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from runtime.config import NodeConfig, from_environment
from runtime.process import run, spawn
from tests.ranges import free_range
from tests.system.support.waiting import until

ROOT = Path(__file__).parents[3]
PARTS = {  # processes of the process manager, with a part of their command line
    "redis": "redis-server",
    "router": "haproxy",
    "portal": "gunicorn",
    "build worker": "worker-build",
    "node worker": "worker-node",
    "supervisor": "workers.supervisor",
    "process manager": "workers.setup.keeper",
}


class Box:
    """A test platform: create it, `start` it, use it, take it `down`.

    All its objects carry its name: `t` and six hex digits.
    """

    def __init__(self) -> None:
        self.name = f"t{secrets.token_hex(3)}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.folder.chmod(0o755)
        self.port = _free_port()
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")
            },
            "SLIPWAY_NAME": self.name,
            "SLIPWAY_STATE": str(self.folder / "state"),
            "SLIPWAY_RUN": str(self.folder / "run"),
            "SLIPWAY_NETWORK": str(free_range()),
            "SLIPWAY_HTTP_PORT": str(self.port),
            "DATABASE_URL": (
                ""
            ),  # empty means the default, and has precedence over a developer's .env
            "REDIS_URL": "",
            "DJANGO_SETTINGS_MODULE": "portal.settings",
        }
        self.config: NodeConfig = from_environment(self.environment)
        self.told = self.folder / "up.log"
        self._said_before = 0  # bytes of the log from an earlier start
        self._up: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def host(self, app: str) -> str:
        return f"{app}.{self.config.base_domain}"

    def ask(self, app: str, path: str = "/", **options: object) -> httpx.Response:
        """Send a request to an app through the router."""
        return httpx.get(
            f"{self.url}{path}", headers={"Host": self.host(app)}, timeout=20, **options
        )  # type: ignore[arg-type]

    def start(self, within: float = 300) -> None:
        """Run the command of `make up` and wait until it has printed its last line."""
        self._said_before = self.told.stat().st_size if self.told.exists() else 0
        with self.told.open("ab") as log:
            self._up = spawn(
                [sys.executable, "-m", "workers.setup", "up"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        until(self._ready, within=within, what="the platform is up", every=0.2)

    def admin(self) -> tuple[str, str]:
        """Return the name and the password that `make up` printed."""
        text = self.told.read_text(errors="replace")
        found = re.search(r"[Ss]ign in as (\S+) with (?:the )?password (\S+)", text)
        assert found, f"no password printed: {text[-3000:]}"
        return found[1], found[2].rstrip(".")

    def stop(self, within: float = 60) -> None:
        """Stop the platform as Ctrl-C does. Apps continue to run."""
        if self._up is not None and self._up.poll() is None:
            self._up.send_signal(
                signal.SIGTERM
            )  # not SIGINT, which a background shell may have disabled
            self._up.wait(within)
        self._up = None

    def down(self) -> None:
        """Run the command of `make down`."""
        self.stop()
        run(
            [sys.executable, "-m", "workers.setup", "down"],
            cwd=ROOT,
            env=self.environment,
            timeout=120,
        )

    def forget(self) -> None:
        """Remove the folder, unless something is still mounted in it.

        Such a mount is evidence of a fault, and removal could delete files of others through it.
        """
        if str(self.folder) not in Path("/proc/self/mountinfo").read_text():
            shutil.rmtree(self.folder, ignore_errors=True)

    def pids(self, part: str) -> list[int]:
        """Return the processes of a part of the platform.

        They are descendants of `make up`, without the apps' monitors.
        """
        return [pid for pid, command in self._descendants() if PARTS[part] in command]

    def all_pids(self) -> dict[str, list[int]]:
        return {part: self.pids(part) for part in PARTS}

    def kill(self, part: str) -> list[int]:
        """Send SIGKILL to all processes of a part at once. Return their process ids."""
        pids = self.pids(part)
        assert pids, f"no process of the {part} runs: {self._descendants()}"
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended together with its parent
        return pids

    def instance_pids(self) -> dict[str, int]:
        """Return the process ids of the instances, by cgroup folder."""
        found = {}
        for folder in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/pids")):
            for procs in (folder / self.config.cgroup_parent).glob("team*/*/**/cgroup.procs"):
                try:
                    pids = [int(pid) for pid in procs.read_text().split()]
                except FileNotFoundError:  # it ended since it was listed
                    continue
                if pids:
                    found[str(procs.parent.relative_to(folder))] = min(pids)
        return found

    def _ready(self) -> bool:
        assert self._up is not None
        text = self.told.read_bytes()[self._said_before :].decode(errors="replace")
        assert self._up.poll() is None, (
            f"`make up` ended with {self._up.returncode}: {text[-4000:]}"
        )
        return "password" in text and self.host("hello") in text

    def _descendants(self) -> list[tuple[int, str]]:
        assert self._up is not None
        children: dict[int, list[int]] = {}
        commands: dict[int, str] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                commands[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
        found, pending = [], [self._up.pid]
        while pending:
            pid = pending.pop()
            found.append((pid, commands.get(pid, "")))
            pending += children.get(pid, [])
        return found[1:]


def _free_port() -> int:
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port > 1024:
            return port
        time.sleep(0.01)
    raise OSError("no free port")
