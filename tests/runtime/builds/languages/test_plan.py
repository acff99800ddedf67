"""Pure tests of build plans: the detected language of a source and the steps of its build."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runtime.builds.languages.detect import LanguageName, Source, wants_text
from runtime.builds.manifest import load
from runtime.builds.plan import BuildPlan, plan
from runtime.builds.source.code import read_source
from runtime.builds.steps import Install, Tool, step_key
from runtime.errors import BadSource
from runtime.images.digest import Digest
from runtime.stacks.stack import DebianRuntime
from runtime.trees.folder import Folder

VERSIONS = ["18.20.8", "20.11.1", "22.3.0", "22.4.0-rc.1", "24.1.0", "26.1.0"]


def planned(**files: str) -> BuildPlan:
    return plan(source(files), lambda: VERSIONS)


def source(files: dict[str, str]) -> Source:
    named = {name.replace("__", "/"): text for name, text in files.items()}
    app_file = load.read({name: text.encode() for name, text in named.items() if name in load.NAMES})
    return Source(files=frozenset(named), texts={name: text for name, text in named.items() if wants_text(name)}, app_file=app_file)


def of(files: dict[str, str]) -> BuildPlan:
    return plan(source(files), lambda: VERSIONS)


PROCFILE = {"Procfile": "web: start"}


@pytest.mark.parametrize(
    ("files", "language", "because"),
    [
        ({"requirements.txt": "flask", **PROCFILE}, LanguageName.PYTHON, "requirements.txt"),
        ({"pyproject.toml": "", "uv.lock": "", **PROCFILE}, LanguageName.PYTHON, "uv.lock"),
        ({"pyproject.toml": "[project]\nname='x'", "main.py": ""}, LanguageName.PYTHON, "pyproject.toml"),
        ({".python-version": "3.13", **PROCFILE}, LanguageName.PYTHON, ".python-version"),
        ({"hello.py": "", "Procfile": "web: python3 hello.py"}, LanguageName.PYTHON, "Procfile"),
        ({"app.py": ""}, LanguageName.PYTHON, "app.py"),
        ({"package.json": "{}", "server.js": ""}, LanguageName.NODE, "package.json"),
        ({"package.json": "{}", "index.html": "", "index.js": ""}, LanguageName.NODE, "package.json"),
        ({"package.json": '{"devDependencies":{}}', "requirements.txt": "flask", "app.py": ""}, LanguageName.PYTHON, "requirements.txt"),
        ({"s.js": "", "Procfile": "web: node s.js"}, LanguageName.NODE, "Procfile"),
        ({"Pipfile": "[packages]", "app.py": ""}, LanguageName.PYTHON, "Pipfile"),
        ({"setup.py": "", "app.py": ""}, LanguageName.PYTHON, "setup.py"),
        ({"poetry.lock": "", "pyproject.toml": "", "requirements.txt": "", "app.py": ""}, LanguageName.PYTHON, "poetry.lock"),
        ({"package.json": "{}", "requirements.txt": "", "Procfile": "web: gunicorn x"}, LanguageName.PYTHON, "requirements.txt"),
        ({"package.json": "{}", "requirements.txt": "", "Procfile": "web: npm start"}, LanguageName.NODE, "package.json"),
        ({"package.json": '{"scripts":{"build":"vite build"}}', "index.html": ""}, LanguageName.STATIC, "package.json"),
        ({"package.json": '{"scripts":{"build":"x","start":"react-scripts start"}}'}, LanguageName.STATIC, "package.json"),
        ({"package.json": '{"scripts":{"build":"x","start":"vite && node x"}}'}, LanguageName.NODE, "package.json"),
        ({"package.json": '{"devDependencies":{"prettier":"3"}}', "index.html": ""}, LanguageName.STATIC, "index.html"),
        ({"index.html": ""}, LanguageName.STATIC, "index.html"),
        ({"public/index.html": ""}, LanguageName.STATIC, "public/index.html"),
        ({"start": "", "Procfile": "web: ./start"}, LanguageName.PLAIN, "Procfile"),
    ],
)
def test_the_language_is_detected_from_the_files(files: dict[str, str], language: LanguageName, because: str) -> None:
    detected = of(files).detected
    assert (detected.language, detected.because) == (language, because)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"notes.md": "", "src/x.c": ""},
            r"looked for Dockerfile, Procfile, .*requirements\.txt.*The top of the source contains: notes\.md, src",
        ),
        ({"Pipfile": "[packages]"}, "no file that defines how to start"),
        ({"Pipfile": "packages = 3", **PROCFILE}, r"\[packages\] in the Pipfile is not a table"),
        ({"Pipfile.lock": "{", **PROCFILE}, r"Pipfile\.lock is not valid JSON"),
        ({"Pipfile.lock": '{"default": {"x; rm -rf /": {}}}', **PROCFILE}, "which is not a valid package name"),
        ({"Pipfile.lock": '{"default": {"x": {"version": "==1\\n-e ."}}}', **PROCFILE}, "contains a line break"),
        (
            {"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.9.x'", **PROCFILE},
            r"poetry\.dependencies\.python .* not a valid range",
        ),
        ({"pyproject.toml": "tool = 1", **PROCFILE}, "tool in pyproject.toml is not a table"),
        ({"package.json": '{"packageManager":"bun@1.2.3"}', "index.js": ""}, "which is not a version of npm, pnpm or yarn"),
        ({"package.json": '{"packageManager":"pnpm@^9"}', "index.js": ""}, "which is not a version of npm, pnpm or yarn"),
        ({"package.json": '{"engines":{"npm":"7.x"}}', "index.js": ""}, r"requires npm 7\.x, which is not available"),
        ({"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: 3", "index.js": ""}, r"pnpm-lock\.yaml has the format 3"),
        ({"package.json": "{}", "yarn.lock": "__metadata:\n  version: 99\n", "index.js": ""}, r"yarn\.lock has the format 99"),
        ({"slipway.toml": "[static]\nfolder = 'none'", "index.html": ""}, "names the folder none, which is not in the source"),
        ({"slipway.toml": "[static]\nfolder = '../up'", "index.html": ""}, r"static\.folder is '\.\./up'"),
        ({"pyproject.toml": "[broken", **PROCFILE}, "not valid TOML"),
        ({"package.json": "{", **PROCFILE}, "not valid JSON"),
        ({"package.json": "[]", **PROCFILE}, "not an object"),
        ({"package.json": "{}"}, "no file that defines how to start"),
        ({"requirements.txt": "flask"}, "no file that defines how to start"),
        ({"requirements.txt": "-r more.txt", **PROCFILE}, "line 1, includes more.txt, which is not in the source"),
        ({".python-version": "3.9", **PROCFILE}, r"\.python-version requires Python 3\.9.*Available: 3\.11, 3\.13, 3\.14"),
        ({"runtime.txt": "python-2.7.18", **PROCFILE}, r"runtime\.txt requires Python 2\.7"),
        ({"runtime.txt": "newest", **PROCFILE}, "not a Python version"),
        ({"pyproject.toml": "[project]\nrequires-python='<3.11'", **PROCFILE}, r"requires-python in pyproject.toml requires Python <3\.11"),
        ({"package.json": '{"engines":{"node":"16.x"}}', "index.js": ""}, r"requires Node\.js 16\.x.*Available: 20\.x, 22\.x, 24\.x"),
        ({"package.json": '{"engines":{"node":"new ones"}}', "index.js": ""}, "requires Node.js new ones, which is not available"),
        ({"Procfile": "web"}, "line 1"),
    ],
)
def test_an_unbuildable_source_gets_a_message_and_a_remedy(files: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadSource, match=sentence) as caught:
        of(files)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("files", "version", "stack"),
    [
        ({}, "3.13", "debian-13"),
        ({".python-version": "3.11\n"}, "3.11", "debian-12"),
        ({".python-version": "3.14.1"}, "3.14", "debian-14"),
        ({"runtime.txt": "python-3.11.9"}, "3.11", "debian-12"),
        ({"pyproject.toml": "[project]\nrequires-python='>=3.11'"}, "3.13", "debian-13"),
        ({"pyproject.toml": "[project]\nrequires-python='~=3.11.0'"}, "3.11", "debian-12"),
        ({"pyproject.toml": "[project]\nrequires-python='>=3.14'"}, "3.14", "debian-14"),
        ({"pyproject.toml": "[project]\nrequires-python='<3.13'"}, "3.11", "debian-12"),
    ],
)
def test_each_python_version_uses_the_stack_that_has_it(files: dict[str, str], version: str, stack: str) -> None:
    runtime = of({"app.py": "", **files}).runtime
    assert isinstance(runtime, DebianRuntime)
    assert (runtime.name, runtime.stack.name) == (f"python-{version}", stack)


@pytest.mark.parametrize(
    ("wish", "version"),
    [(">=20", "22."), ("24.x", "24."), ("^20.1", "20."), ("20.11.1", "20.11.1"), ("22.3", "22.3.0"), ("18 || 24", "24."), ("*", "22.")],
)
def test_engines_node_selects_from_the_available_versions(wish: str, version: str) -> None:
    assert version in planned(**{"package.json": f'{{"engines":{{"node":"{wish}"}}}}', "index.js": ""}).runtime_words


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"requirements.txt": "flask\ngunicorn", "app.py": "app = Flask(__name__)"}, "gunicorn --bind 0.0.0.0:$PORT app:app"),
        (
            {"requirements.txt": "flask", "main.py": "site: Flask = Flask(__name__)"},
            "flask --app main:site run --host 0.0.0.0 --port $PORT",
        ),
        ({"requirements.txt": "fastapi\nuvicorn", "main.py": "api = FastAPI()"}, "uvicorn main:api --host 0.0.0.0 --port $PORT"),
        ({"requirements.txt": "django\ngunicorn", "manage.py": "", "shop/wsgi.py": ""}, "gunicorn --bind 0.0.0.0:$PORT shop.wsgi"),
        ({"requirements.txt": "django", "manage.py": ""}, "python manage.py runserver --noreload 0.0.0.0:$PORT"),
        ({"main.py": "serve()"}, "python3 main.py"),
        ({"package.json": '{"scripts":{"start":"node x"}}'}, "npm start"),
        ({"package.json": '{"main":"./lib/x.js"}', "lib/x.js": ""}, "node lib/x.js"),
        ({"package.json": "{}", "server.js": ""}, "node server.js"),
        ({"Procfile": "release: migrate", "app.py": "", "requirements.txt": ""}, "python3 app.py"),
        ({"dist/index.html": ""}, "/opt/static/serve /app/dist"),
    ],
)
def test_without_a_procfile_the_web_process_follows_convention(files: dict[str, str], command: str) -> None:
    decided = of(files)
    assert decided.processes["web"] == command
    assert decided.detected.language is LanguageName.STATIC or command in decided.notes[0]


def test_only_the_procfile_sets_the_processes() -> None:
    decided = planned(**{"Procfile": "worker: python w.py", "requirements.txt": "flask", "app.py": "app = Flask(__name__)"})
    assert decided.processes == {"worker": "python w.py"}
    assert decided.notes == ()


@pytest.mark.parametrize(
    ("files", "reads", "whole"),
    [
        ({"requirements.txt": "flask"}, {"requirements.txt"}, False),
        (
            {"requirements.txt": "-r base.txt\n-c req/pins.txt", "base.txt": "", "req/pins.txt": ""},
            {"requirements.txt", "base.txt", "req/pins.txt"},
            False,
        ),
        ({"requirements.txt": "-e .", "setup.py": ""}, {"requirements.txt"}, True),
        ({"requirements.txt": "./lib/thing"}, {"requirements.txt"}, True),
        ({"requirements.txt": "thing @ file:lib"}, {"requirements.txt"}, True),
        ({"requirements.txt": "thing @ https://somewhere/x.whl\n# -e ."}, {"requirements.txt"}, False),
        ({"pyproject.toml": "[project]\ndependencies=['flask']"}, {"pyproject.toml"}, False),
        ({"pyproject.toml": "[project]\ndynamic=['dependencies']"}, {"pyproject.toml"}, True),
        ({"pyproject.toml": "", "uv.lock": "", "requirements.txt": "x"}, {"pyproject.toml", "uv.lock"}, False),
        ({"pyproject.toml": "", "uv.lock": "[[package]]\nsource={editable='lib'}"}, {"pyproject.toml", "uv.lock"}, True),
        (
            {"package.json": '{"dependencies":{"x":"1"}}', "package-lock.json": "", ".npmrc": ""},
            {"package.json", "package-lock.json", ".npmrc"},
            False,
        ),
        ({"package.json": '{"dependencies":{"x":"file:y"}}'}, {"package.json"}, True),
        ({"package.json": '{"dependencies":{"x":"1"},"scripts":{"postinstall":"y"}}'}, {"package.json"}, True),
    ],
)
def test_an_install_reads_exactly_the_files_that_affect_it(files: dict[str, str], reads: set[str], whole: bool) -> None:
    install = of({**files, **PROCFILE}).installs[0]
    assert set(install.files) >= reads
    assert install.whole is whole


def test_an_empty_install_has_no_step() -> None:
    assert planned(**{".python-version": "3.13", **PROCFILE}).installs == ()
    assert planned(**{"package.json": '{"scripts":{"start":"x"}}'}).installs == ()
    assert of({"uv.lock": "", "requirements.txt": "x", **PROCFILE}).installs[0].files == ("requirements.txt",)


def test_a_project_with_its_own_commands_is_installed_with_its_source() -> None:
    text = "[project]\nname='x'\ndependencies=[]\n[project.scripts]\nserve='x:main'\n[build-system]\nrequires=[]"
    first, second = planned(**{"pyproject.toml": text, "uv.lock": "", **PROCFILE}).installs
    assert (first.whole, second.on_code) == (False, True)


def test_a_build_script_gets_dev_packages_and_the_whole_source() -> None:
    first, second = planned(**{"package.json": '{"scripts":{"build":"vite","start":"x"},"devDependencies":{"vite":"1"}}'}).installs
    assert "--include=dev" in first.command
    assert (second.shown, second.on_code, second.keep) == ("npm run build", True, ("app",))
    assert "npm prune --omit=dev" in second.command


def test_generated_folders_are_left_out_of_the_image() -> None:
    assert planned(**{"package.json": "{}", "index.js": "", "node_modules__x.js": ""}).left_out == ("node_modules",)
    assert of({"requirements.txt": "", "env/pyvenv.cfg": "", **PROCFILE}).left_out == ("env",)


def test_missing_lock_files_cause_a_warning() -> None:
    assert "package-lock.json" in planned(**{"package.json": "{}", **PROCFILE}).notes[0]
    assert "bun.lockb is ignored; npm selects" in planned(**{"package.json": "{}", "bun.lockb": "", **PROCFILE}).notes[0]
    assert "without a poetry.lock" in planned(**{"pyproject.toml": "[tool.poetry.dependencies]\nflask='^3'", **PROCFILE}).notes[0]
    assert "without a Pipfile.lock" in planned(**{"Pipfile": "[packages]\nflask='*'", **PROCFILE}).notes[0]
    decided = planned(**{"package.json": "{}", "yarn.lock": "", "package-lock.json": "{}", **PROCFILE})
    assert decided.notes == ("Note: package-lock.json is used; yarn.lock is ignored.",)


def test_the_step_key_changes_with_each_input() -> None:
    install = Install(name="Dependencies", tool=Tool.UV, files=("a",), whole=False, command="x", keep=("opt",))
    other = Install(name="Dependencies", tool=Tool.UV, files=("a",), whole=False, command="y", keep=("opt",))
    first_base, second_base = Digest.of(b"1"), Digest.of(b"2")
    keys = {
        step_key(install, first_base, {"a": b"1"}, {"uv": "1"}),
        step_key(install, second_base, {"a": b"1"}, {"uv": "1"}),
        step_key(install, first_base, {"a": b"2"}, {"uv": "1"}),
        step_key(install, first_base, {"a": b"1"}, {"uv": "2"}),
        step_key(other, first_base, {"a": b"1"}, {"uv": "1"}),
    }
    assert len(keys) == 5
    assert step_key(install, first_base, {"a": b"1"}, {"uv": "1"}) in keys


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"package.json": json.dumps({"engines": {"node": "1.2.3" + " " * 50_000 + "- 2"}})},
            "engines.node in package.json is too long",
        ),
        ({".nvmrc": "9" * 101, "package.json": "{}"}, ".nvmrc is too long"),
        ({"pyproject.toml": f"[project]\nrequires-python='{'>=3,' * 50_000}>=3'\n", "app.py": ""}, "requires-python .* is too long"),
        ({"app.py": "a:\n" * 300_000}, ""),
        ({"yarn.lock": "__metadata:\n" * 9 + "  a: b\n" * 300_000 + " " * 300_000, "package.json": "{}", "index.js": ""}, ""),
        ({"package.json": json.dumps({"scripts": {"build": "x", "start": "A=b " * 100_000 + "x"}}), "index.html": ""}, ""),
        ({"pyproject.toml": f"[tool.poetry.dependencies]\npython = '{'>=3,' * 50_000}'\n", "app.py": ""}, "python in .* is too long"),
    ],
)
def test_a_text_that_is_slow_to_parse_delays_no_other_build(files: dict[str, str], sentence: str) -> None:
    began = time.monotonic()
    if sentence:
        with pytest.raises(BadSource, match=sentence):
            of(files)
    else:
        of(files)
    assert time.monotonic() - began < 2


def test_a_source_of_texts_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: true")
    (tmp_path / "requirements.txt").write_text("flask")
    for number in range(6):
        (tmp_path / f"a{number}.txt").write_bytes(b"x" * (7 << 20))
    with Folder.at(tmp_path) as tree:
        read = read_source(tree)
    assert len(read.files) == 8
    assert {"Procfile", "requirements.txt"} <= read.texts.keys()
    assert sum(map(len, read.texts.values())) < 32 << 20
