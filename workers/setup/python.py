"""The virtual environment from the lock file. venv creates it, and uv installs the packages.

uv uses the package index of the host's pip. It takes 2 seconds instead of pip's 40, and rejects
everything whose hash is not in the lock file.
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
    """Make .venv equal to the lock file. Raises HostLacks or ProcessFailed."""
    interpreter = suitable_interpreter()
    wanted = fingerprint([LOCK], str(ROOT), interpreter)
    if is_done(_STAMP, wanted) and PYTHON.exists():
        return
    with step("Python packages") as current:
        if not _is_made_with(interpreter):
            run(
                [interpreter, "-m", "venv", "--clear", VENV],
                timeout=2 * _MINUTES,
                env=environment,
                on_output=current.output,
            )
        if run([PYTHON, "-c", "import pip"], check=False).returncode:
            # An earlier sync removed pip, because it is not in the lock file.
            run([PYTHON, "-m", "ensurepip"], env=environment, on_output=current.output)
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
        ours = {
            **environment,
            **uv_settings(settings),
            "UV_PYTHON": str(PYTHON),
            "UV_LINK_MODE": "copy",
        }
        run(
            [*uv, "sync", "--require-hashes", LOCK],
            timeout=20 * _MINUTES,
            env=ours,
            on_output=current.output,
        )
        run(
            [*uv, "install", "--no-deps", "--no-build-isolation", "-e", ROOT],
            timeout=2 * _MINUTES,
            env=ours,
            on_output=current.output,
        )
        run(
            [ROOT / "examples" / "lock.sh", VENV / "bin" / "uv"],
            timeout=5 * _MINUTES,
            env=ours,
            on_output=current.output,
        )
        mark_done(_STAMP, wanted)


def suitable_interpreter() -> str:
    """Return a Python that the platform's own user can run too, which is not possible below /root.

    Raises HostLacks if there is none. The path is resolved: from inside .venv, the same Python has
    its real path. A different path would cause a new installation of everything.
    """
    candidates = [
        getattr(sys, "_base_executable", sys.executable),
        "/usr/bin/python3",
        "/usr/local/bin/python3",
    ]
    for candidate in candidates:
        path = Path(candidate)
        if path.exists() and open_to_all(path) and _is_new_enough(path):
            return str(path.resolve())
    raise HostLacks(
        f"The portal runs as its own system user, which cannot access {candidates[0]}.",
        hint=(
            "Install Python 3.11 or newer for all users: `apt-get install python3 python3-venv`, or"
            " `dnf install python3`."
        ),
    )


def open_to_all(path: Path) -> bool:
    """Return True if everybody may read the file and pass through each folder above it."""
    real = path.resolve()
    return bool(real.stat().st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in real.parents
    )


def lines_of(package: str, lock: str) -> str:
    """Return one package's requirement and hashes from the lock file."""
    found = re.search(rf"^{re.escape(package)}==(?:[^\n]*\\\n)*[^\n]*", lock, re.MULTILINE)
    if found is None:
        raise HostLacks(
            f"{LOCK.name} does not pin {package}.",
            hint="Add it to pyproject.toml and compile the lock again (docs/operations.md).",
        )
    return found[0] + "\n"


def uv_settings(pip_config: str) -> dict[str, str]:
    """Return the output of `pip config list` as environment variables of uv.

    See docs.astral.sh/uv/reference/environment. Later lines have precedence, as in pip.
    """
    read = {}
    for line in pip_config.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in {"global", "install", ":env:"}:
            # Pip prints a Python string.
            read[(section == ":env:", name.strip().replace("_", "-"))] = str(
                ast.literal_eval(value)
            ).split()
    words = {
        name: read.get((True, name)) or values
        for (_, name), values in sorted(read.items(), reverse=True)
    }
    settings = {}
    if index := words.get("index-url"):
        settings["UV_DEFAULT_INDEX"] = index[0]
    if more := words.get("extra-index-url"):
        settings["UV_INDEX"] = " ".join(more)
        # As pip does; the lock file's hashes decide.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
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
    asked = (
        run([PYTHON, "-c", "import sys; print(sys._base_executable)"], check=False)
        .stdout.decode()
        .strip()
    )
    return bool(asked) and Path(asked).resolve() == Path(interpreter).resolve()


def _is_new_enough(path: Path) -> bool:
    return (
        run(
            [path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False
        ).returncode
        == 0
    )
