"""Sources that the frameworks' own generators write, in the newest version of a fixed major one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "app"  # the generators write into it
GENERATED_WITHIN = 240  # seconds: a generator is downloaded first
_SKIPPED = frozenset({"node_modules", ".git"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """An app of a generator. `changes` are what its own documentation asks for before a deploy."""

    command: str
    words: str  # of its page
    path: str = "/"
    made: str = "package.json"  # a file that shows that the generator has worked
    added: Mapping[str, str] = field(default_factory=dict)  # files that people add to it
    locked: bool = False  # with the package-lock.json that the generator's installation writes
    changes: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  # file -> text -> the text instead


_NO_HOST = {"ALLOWED_HOSTS = []": 'ALLOWED_HOSTS = ["*"]'}
_MAIN = (
    "import os\nfrom wsgiref.simple_server import make_server\n\n\n"
    "def app(environ, start_response):\n"
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
    "    return [b'made by a project']\n\n\n"
    "make_server('', int(os.environ['PORT']), app).serve_forever()\n"
)
_NODE_ADAPTER = {"@sveltejs/adapter-auto": "@sveltejs/adapter-node"}
GENERATED = {
    "express": Generated(
        command="npx -y express-generator@4 --no-view app", words="Welcome to Express"
    ),
    "fastify": Generated(command="npx -y fastify-cli@8 generate app", words='{"root":true}'),
    "vite-react": Generated(
        command="npm create -y vite@9 app -- --template react", words='<div id="root">'
    ),
    "vite-vue": Generated(command="npx -y create-vue@3 app --default", words='<div id="app">'),
    "next": Generated(
        # Without --empty its page needs Google's fonts while it is built.
        command="npx -y create-next-app@16 app --yes --empty --skip-install --disable-git",
        words="Hello world!",
    ),
    "sveltekit": Generated(
        command="npx -y sv@0 create --template minimal --types ts --no-add-ons --no-install app",
        words="Welcome to SvelteKit",
        changes={
            "vite.config.ts": _NODE_ADAPTER,
            "package.json": {'"@sveltejs/adapter-auto": "^7': '"@sveltejs/adapter-node": "^5'},
        },
    ),
    "nest": Generated(
        command="npx -y @nestjs/cli@12 new app --skip-install --skip-git --package-manager npm",
        words="Hello World!",
        locked=True,
    ),
    "angular": Generated(
        command="npx -y @angular/cli@20 new app --skip-install --skip-git --defaults",
        words="<app-root>",
    ),
    "django": Generated(
        command="uvx --from django==5.2.* django-admin startproject app",
        words="The install worked successfully!",
        made="manage.py",
        added={"requirements.txt": "django==5.2.*\n"},
        changes={"app/settings.py": _NO_HOST},
    ),
    "django-gunicorn": Generated(
        command="uvx --from django==5.2.* django-admin startproject app",
        words="The install worked successfully!",
        made="manage.py",
        added={
            "requirements.txt": "django==5.2.*\ngunicorn\n",
            "Procfile": "release: python manage.py migrate\nweb: gunicorn app.wsgi\n",
        },
        changes={"app/settings.py": _NO_HOST},
    ),
    "uv-init": Generated(
        command="uv init --no-workspace --vcs none app",
        words="made by a project",
        made="pyproject.toml",
        added={"main.py": _MAIN},
    ),
    "poetry-new": Generated(
        command="uvx --from poetry==2.* poetry new app",
        words="made by a project",
        made="pyproject.toml",
        added={"main.py": _MAIN, "Procfile": "web: poetry run python main.py\n"},
    ),
}


def generate(app: Generated, folder: Path) -> dict[str, str | bytes]:
    """Run the generator in an empty folder. Return the files of the app by path."""
    said = _run(app.command, folder)
    top = folder / FOLDER
    assert (top / app.made).exists(), said
    if app.locked:
        said = _run("npm install --package-lock-only --ignore-scripts", top)
        assert (top / "package-lock.json").exists(), said
    files: dict[str, str | bytes] = {
        path.relative_to(top).as_posix(): path.read_bytes()
        for path in sorted(top.rglob("*"))
        if path.is_file() and not _SKIPPED & set(path.relative_to(top).parts)
    }
    files.update(app.added)
    for name, changes in app.changes.items():
        text = (top / name).read_text()
        for old, new in changes.items():
            assert old in text, f"{name} of {app.command} has no {old}"
            text = text.replace(old, new)
        files[name] = text
    return files


def _run(command: str, folder: Path) -> str:
    """Run a command in a folder. Return the end of its output, for a message."""
    program, *arguments = command.split()
    done = subprocess.run(
        [shutil.which(program) or str(Path(sys.executable).with_name(program)), *arguments],
        cwd=folder,
        env={**os.environ, "CI": "1", "NG_CLI_ANALYTICS": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GENERATED_WITHIN,
    )
    return f"{command}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
