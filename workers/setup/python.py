"""The virtual environment from the lock file: made by venv, filled by uv, from wherever the host's pip would fetch.

Not pip itself: uv does in two seconds what takes pip forty, and refuses whatever is not in the lock by its hash.
"""

from __future__ import annotations

import ast
import re
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from runtime.errors import HostLacks
from runtime.process import run
from workers.setup.steps import step
from workers.setup.tree import PYTHON, ROOT, VENV, fingerprint, is_done, mark_done

LOCK = ROOT / "requirements.txt"
_STAMP = VENV / ".slipway-lock"
_MINUTES = 60.0


def ensure_packages(environment: Mapping[str, str]) -> None:
    """Make .venv equal to the lock, if it is not; HostLacks or ProcessFailed on trouble."""
    interpreter = suitable_interpreter()
    wanted = fingerprint([LOCK], str(ROOT), interpreter)
    if is_done(_STAMP, wanted) and PYTHON.exists():
        return
    with step("Python packages") as current:
        if not _is_made_with(interpreter):
            run([interpreter, "-m", "venv", "--clear", VENV], timeout=2 * _MINUTES, env=environment, on_output=current.output)
        if run([PYTHON, "-c", "import pip"], check=False).returncode:
            run([PYTHON, "-m", "ensurepip"], env=environment, on_output=current.output)  # a sync took it away: it is not in the lock
        pip: list[str | Path] = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        settings = run([*pip, "config", "list"], env=environment).stdout.decode()
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
            only_uv.write(lines_of("uv", LOCK.read_text()))
            only_uv.flush()
            run(
                [*pip, "install", "--require-hashes", "--no-deps", "-r", only_uv.name],
                timeout=10 * _MINUTES,
                env=environment,
                on_output=current.output,
            )
        uv: list[str | Path] = [VENV / "bin" / "uv", "pip"]
        ours = {**environment, **uv_settings(settings), "UV_PYTHON": str(PYTHON), "UV_LINK_MODE": "copy"}
        run([*uv, "sync", "--require-hashes", LOCK], timeout=20 * _MINUTES, env=ours, on_output=current.output)
        run([*uv, "install", "--no-deps", "--no-build-isolation", "-e", ROOT], timeout=2 * _MINUTES, env=ours, on_output=current.output)
        run([ROOT / "examples" / "lock.sh", VENV / "bin" / "uv"], timeout=5 * _MINUTES, env=ours, on_output=current.output)
        mark_done(_STAMP, wanted)


def suitable_interpreter() -> str:
    """A Python that the platform's own user can run too: one below /root is not. HostLacks: there is none.

    By its real name: from inside .venv it goes by that, and would else count as another, for which all is installed anew.
    """
    candidates = [getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"]
    for candidate in candidates:
        path = Path(candidate)
        if path.exists() and open_to_all(path) and _is_new_enough(path):
            return str(path.resolve())
    raise HostLacks(
        f"The portal runs as a user of its own, and that user cannot reach {candidates[0]}.",
        hint="Install Python 3.11 or newer for everybody: `apt-get install python3 python3-venv`, or `dnf install python3`.",
    )


def open_to_all(path: Path) -> bool:
    """Whether anybody may run or read it: each folder above lets others pass."""
    real = path.resolve()
    return bool(real.stat().st_mode & stat.S_IROTH) and all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)


def lines_of(package: str, lock: str) -> str:
    """One package's requirement and hashes, as the lock file has them."""
    found = re.search(rf"^{re.escape(package)}==(?:[^\n]*\\\n)*[^\n]*", lock, re.MULTILINE)
    if found is None:
        raise HostLacks(
            f"{LOCK.name} does not pin {package}.", hint="Add it to pyproject.toml and compile the lock again (docs/operations.md)."
        )
    return found[0] + "\n"


def uv_settings(pip_config: str) -> dict[str, str]:
    """What `pip config list` tells, in uv's words (docs.astral.sh/uv/reference/environment). Later lines win, as in pip."""
    read = {}
    for line in pip_config.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in {"global", "install", ":env:"}:
            read[(section == ":env:", name.strip().replace("_", "-"))] = str(ast.literal_eval(value)).split()  # pip prints a Python string
    words = {name: read.get((True, name)) or values for (_, name), values in sorted(read.items(), reverse=True)}
    settings = {}
    if index := words.get("index-url"):
        settings["UV_DEFAULT_INDEX"] = index[0]
    if more := words.get("extra-index-url"):
        settings["UV_INDEX"] = " ".join(more)
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's way; the hashes of the lock decide what is taken
    if links := words.get("find-links"):
        settings["UV_FIND_LINKS"] = ",".join(links)
    if certificates := words.get("cert"):
        settings["SSL_CERT_FILE"] = certificates[0]
    if proxy := words.get("proxy"):
        settings["HTTPS_PROXY"] = settings["HTTP_PROXY"] = proxy[0]
    if trusted := words.get("trusted-host"):
        settings["UV_INSECURE_HOST"] = " ".join(trusted)
    return settings


def _is_made_with(interpreter: str) -> bool:
    if not PYTHON.exists():
        return False
    asked = run([PYTHON, "-c", "import sys; print(sys._base_executable)"], check=False).stdout.decode().strip()
    return bool(asked) and Path(asked).resolve() == Path(interpreter).resolve()


def _is_new_enough(path: Path) -> bool:
    return run([path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode == 0
