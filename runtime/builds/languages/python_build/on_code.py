"""Plan the steps that run on the code of a Python app: its hooks and Django's static files. Pure.

They run as in Heroku's buildpack for Python: bin/pre_compile, the packages, collectstatic,
bin/post_compile.
"""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import replace

from runtime.builds.languages.detect import Source
from runtime.builds.languages.python_files import mentioned_packages
from runtime.builds.steps import Install, Tool

VENV = "/opt/venv"
PRE_COMPILE, POST_COMPILE = "bin/pre_compile", "bin/post_compile"
_OFF = "DISABLE_COLLECTSTATIC"
_DEEPEST = 3  # parts of the path of manage.py
_ENVIRONMENT = (
    f"export PATH={VENV}/bin:$PATH VIRTUAL_ENV={VENV} PIP_PYTHON={VENV}"
    " PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="
)
# The app's user owns what a step writes into the app's folder.
_OWN = "find /app -user 0 -exec chown -h 1000:1000 {} +"
# Some settings have no static files: that is not a failure. A STATIC_ROOT outside the app is lost.
_COLLECT = """python {manage} collectstatic --noinput >/tmp/static 2>&1 && code=0 || code=$?
if grep -q 'without having set the STATIC_ROOT' /tmp/static; then
    echo 'STATIC_ROOT is not set in the settings, so there are no static files to collect.'
elif grep -q "Unknown command: 'collectstatic'" /tmp/static; then
    echo 'django.contrib.staticfiles is not in INSTALLED_APPS: no static files to collect.'
else
    tail -n 40 /tmp/static
    if grep -q " to '/" /tmp/static && ! grep -q " to '/app/" /tmp/static; then
        echo 'STATIC_ROOT is outside of the app, so these files are not in the image.'
        exit 1
    fi
    [ $code = 0 ] || exit $code
fi"""


def with_hooks(source: Source, installs: tuple[Install, ...], path: str) -> tuple[Install, ...]:
    """Return the steps of a source, with its hooks and collectstatic around `installs`.

    `path` is PYTHONPATH. bin/pre_compile may change what the other steps read, so they then run on
    the code, too.
    """
    before = _hook(source, PRE_COMPILE, path)
    if before:
        installs = tuple(replace(install, on_code=True, files=()) for install in installs)
    return (
        *before,
        *installs,
        *_static_files(source, path),
        *_hook(source, POST_COMPILE, path),
    )


def notes(source: Source) -> tuple[str, ...]:
    """Return the notes for the log about the steps above."""
    if _manage(source) and is_off(source):
        return (f"Note: collectstatic does not run: {_OFF} is set.",)
    return ()


def is_off(source: Source) -> bool:
    """Return whether a config var, or the default that the manifest has for it, turns collectstatic
    off.
    """
    variable = source.app_file.variables.get(_OFF)
    declared = variable.value if variable is not None else ""
    return source.config_vars.get(_OFF, declared) not in (None, "", "0")


def _hook(source: Source, file: str, path: str) -> tuple[Install, ...]:
    if file not in source.files:
        return ()
    command = f"{_ENVIRONMENT}{path} && chmod +x {file} && ./{file} && {_OWN}"
    return (
        Install(
            name=file,
            tool=Tool.UV,
            files=(),
            whole=True,
            command=command,
            says=file,
            keep=("app", "opt/venv"),
            on_code=True,
        ),
    )


def _static_files(source: Source, path: str) -> tuple[Install, ...]:
    """Return the step of `manage.py collectstatic`.

    A failure is only a warning: the settings may need a service or a value that a build does not
    have. A failed step is not kept, so the next build runs it again.
    """
    manage = _manage(source)
    if not manage or is_off(source):
        return ()
    folder = posixpath.dirname(manage)
    enter = f"cd {shlex.quote(folder)} && " if folder else ""
    run = _COLLECT.format(manage=posixpath.basename(manage))
    command = f"{_ENVIRONMENT}{path} && {enter}{{ {run}; }} && {_OWN}"
    return (
        Install(
            name="Static files",
            tool=Tool.SHELL,
            files=(),
            whole=True,
            command=command,
            says=f"python {manage} collectstatic --noinput",
            keep=("app",),
            on_code=True,
            if_it_fails=(
                f"The build continues without these files. Set {_OFF}=1 to leave out this step."
            ),
        ),
    )


def _manage(source: Source) -> str:
    """Return the nearest manage.py, if Django is a dependency; else ""."""
    if "django" not in mentioned_packages(source):
        return ""
    found = [
        path
        for path in source.files
        if posixpath.basename(path) == "manage.py" and path.count("/") < _DEEPEST
    ]
    return min(found, key=lambda path: (path.count("/"), path), default="")
