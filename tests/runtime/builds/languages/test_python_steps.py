"""Pure tests of the steps on the code of Python apps, and of Heroku's commands in Procfiles."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.builds.languages.python_build.run_commands import PROGRAM
from runtime.builds.plan import BuildPlan, plan
from runtime.errors import BadSource
from tests.runtime.builds.languages.planning import PROCFILE, VERSIONS, of, source

DJANGO = {"requirements.txt": "django\n", "manage.py": "", **PROCFILE}
COLLECT = "python manage.py collectstatic --noinput"
WEB = "/opt/php/serve /app"


def shown(decided: BuildPlan) -> list[str]:
    return [install.shown for install in decided.installs]


def test_a_django_app_collects_its_static_files_on_the_code() -> None:
    step = of(DJANGO).installs[-1]
    assert (step.shown, step.on_code, bool(step.if_it_fails)) == (COLLECT, True, True)


def test_the_nearest_manage_py_collects() -> None:
    files = {"requirements.txt": "django", "a/b/manage.py": "", "site/manage.py": "", **PROCFILE}
    step = of(files).installs[-1]
    assert step.shown == "python site/manage.py collectstatic --noinput"
    assert "cd site && " in step.command


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "flask", "manage.py": "", **PROCFILE},
        {"requirements.txt": "django", "a/b/c/manage.py": "", **PROCFILE},
        {**DJANGO, "app.json": '{"env": {"DISABLE_COLLECTSTATIC": "1"}}'},
    ],
)
def test_without_django_or_when_turned_off_nothing_is_collected(files: dict[str, str]) -> None:
    assert "Static files" not in [install.name for install in of(files).installs]


@pytest.mark.parametrize(("value", "off"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_a_config_var_turns_collectstatic_off(value: str, off: bool) -> None:
    given = replace(source(DJANGO), config_vars={"DISABLE_COLLECTSTATIC": value})
    decided = plan(given, lambda: VERSIONS)
    assert ("Static files" not in [install.name for install in decided.installs]) == off
    assert (
        "Note: collectstatic does not run: DISABLE_COLLECTSTATIC is set." in decided.notes
    ) == off


def test_hooks_are_around_the_other_steps_and_a_first_hook_moves_them_onto_the_code() -> None:
    files = {**DJANGO, "bin/pre_compile": "", "bin/post_compile": ""}
    decided = of(files)
    assert shown(decided) == [
        "bin/pre_compile",
        "uv pip install --python /opt/venv -r requirements.txt",
        COLLECT,
        "bin/post_compile",
    ]
    assert all(install.on_code for install in decided.installs)
    assert not of(DJANGO).installs[0].on_code


@pytest.mark.parametrize(
    ("line", "tools"),
    [
        ("uv run gunicorn x", "uv run"),
        ("cd web && poetry run python w.py", "poetry run"),
        ("pipenv run start & uv run x", "pipenv run and uv run"),
        ("gunicorn x", ""),
        ("./uv run x", ""),
    ],
)
def test_run_commands_are_added_if_a_process_uses_them(line: str, tools: str) -> None:
    decided = of({"requirements.txt": "", "Procfile": f"web: {line}"})
    assert ([i.shown for i in decided.installs if i.name == "Commands"] or [""]) == [tools]


@pytest.mark.parametrize(
    ("tool", "words", "printed"),
    [
        ("uv", "run --frozen --group web echo a b", "a b"),
        ("poetry", "-C . run echo a", "a"),
        ("poetry", "run -- echo --frozen", "--frozen"),
        ("uv", "run -m platform --help", "usage"),
        ("uv", "sync", "only `uv run COMMAND`"),
        ("pipenv", "run no-such-program", "pipenv run: no-such-program: No such file"),
    ],
)
def test_a_run_command_starts_what_it_names(
    tmp_path: Path, tool: str, words: str, printed: str
) -> None:
    program, python = tmp_path / tool, tmp_path / "python"
    program.write_text(PROGRAM)
    python.symlink_to(sys.executable)
    if tool == "uv" and "-m" in words:
        words = "run -m json.tool --help"
    done = subprocess.run(
        [sys.executable, program, *words.split()],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
    )
    assert printed in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("heroku-php-apache2 web/", f"{WEB}/web"),
        ("heroku-php-nginx web/", f"{WEB}/web"),
        ("vendor/bin/heroku-php-apache2 public/", f"{WEB}/public"),
        ("heroku-php-apache2", WEB),
        ("heroku-php-apache2 .", WEB),
        ("php artisan migrate && heroku-php-nginx -C nginx.conf public/", f"{WEB}/public"),
        ("heroku-php-apache2 /app/web", f"{WEB}/web"),
    ],
)
def test_the_boot_scripts_of_heroku_are_replaced(line: str, command: str) -> None:
    decided = of({"composer.json": "{}", "Procfile": f"web: {line}"})
    assert decided.processes["web"].endswith(command)
    assert "heroku-php" not in decided.processes["web"]
    assert "is replaced by `" in decided.notes[0]
    assert ("-C nginx.conf is ignored" in " ".join(decided.notes)) == ("-C" in line)


@pytest.mark.parametrize(
    "line", ["heroku-php-apache2 ../x", "heroku-php-nginx a b", "heroku-php-nginx 'a"]
)
def test_a_folder_outside_of_the_app_is_refused(line: str) -> None:
    with pytest.raises(BadSource, match="heroku-php"):
        of({"composer.json": "{}", "Procfile": f"web: {line}"})
