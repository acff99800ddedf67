"""Pure tests of build plans: the detected language of a source and the steps of its build."""

from __future__ import annotations

import pytest

from runtime.builds.languages.detect import LanguageName
from runtime.errors import BadSource
from runtime.stacks.stack import DebianRuntime
from tests.runtime.builds.languages.planning import PROCFILE, of, planned


@pytest.mark.parametrize(
    ("files", "language", "because"),
    [
        ({"requirements.txt": "flask", **PROCFILE}, LanguageName.PYTHON, "requirements.txt"),
        ({"pyproject.toml": "", "uv.lock": "", **PROCFILE}, LanguageName.PYTHON, "uv.lock"),
        (
            {"pyproject.toml": "[project]\nname='x'", "main.py": ""},
            LanguageName.PYTHON,
            "pyproject.toml",
        ),
        ({".python-version": "3.13", **PROCFILE}, LanguageName.PYTHON, ".python-version"),
        ({"hello.py": "", "Procfile": "web: python3 hello.py"}, LanguageName.PYTHON, "Procfile"),
        ({"app.py": ""}, LanguageName.PYTHON, "app.py"),
        ({"package.json": "{}", "server.js": ""}, LanguageName.NODE, "package.json"),
        (
            {"package.json": "{}", "index.html": "", "index.js": ""},
            LanguageName.NODE,
            "package.json",
        ),
        (
            {"package.json": '{"devDependencies":{}}', "requirements.txt": "flask", "app.py": ""},
            LanguageName.PYTHON,
            "requirements.txt",
        ),
        ({"s.js": "", "Procfile": "web: node s.js"}, LanguageName.NODE, "Procfile"),
        ({"Pipfile": "[packages]", "app.py": ""}, LanguageName.PYTHON, "Pipfile"),
        ({"setup.py": "", "app.py": ""}, LanguageName.PYTHON, "setup.py"),
        (
            {"poetry.lock": "", "pyproject.toml": "", "requirements.txt": "", "app.py": ""},
            LanguageName.PYTHON,
            "poetry.lock",
        ),
        (
            {"package.json": "{}", "requirements.txt": "", "Procfile": "web: gunicorn x"},
            LanguageName.PYTHON,
            "requirements.txt",
        ),
        (
            {"package.json": "{}", "requirements.txt": "", "Procfile": "web: npm start"},
            LanguageName.NODE,
            "package.json",
        ),
        (
            {"package.json": '{"scripts":{"build":"vite build"}}', "index.html": ""},
            LanguageName.STATIC,
            "package.json",
        ),
        (
            {"package.json": '{"scripts":{"build":"x","start":"react-scripts start"}}'},
            LanguageName.STATIC,
            "package.json",
        ),
        (
            {"package.json": '{"scripts":{"build":"x","start":"vite && node x"}}'},
            LanguageName.NODE,
            "package.json",
        ),
        (
            {"package.json": '{"devDependencies":{"prettier":"3"}}', "index.html": ""},
            LanguageName.STATIC,
            "index.html",
        ),
        ({"index.html": ""}, LanguageName.STATIC, "index.html"),
        ({"public/index.html": ""}, LanguageName.STATIC, "public/index.html"),
        ({"start": "", "Procfile": "web: ./start"}, LanguageName.PLAIN, "Procfile"),
    ],
)
def test_the_language_is_detected_from_the_files(
    files: dict[str, str], language: LanguageName, because: str
) -> None:
    detected = of(files).detected
    assert (detected.language, detected.because) == (language, because)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"notes.md": "", "src/x.c": ""},
            (
                r"looked for Dockerfile, Procfile, .*requirements\.txt.*The top of the source"
                r" contains: notes\.md, src"
            ),
        ),
        ({"Pipfile": "[packages]"}, "no file that defines how to start"),
        ({"Pipfile": "packages = 3", **PROCFILE}, r"\[packages\] in the Pipfile is not a table"),
        ({"Pipfile.lock": "{", **PROCFILE}, r"Pipfile\.lock is not valid JSON"),
        (
            {"Pipfile.lock": '{"default": {"x; rm -rf /": {}}}', **PROCFILE},
            "which is not a valid package name",
        ),
        (
            {"Pipfile.lock": '{"default": {"x": {"version": "==1\\n-e ."}}}', **PROCFILE},
            "contains a line break",
        ),
        (
            {"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.9.x'", **PROCFILE},
            r"poetry\.dependencies\.python .* not a valid range",
        ),
        ({"pyproject.toml": "tool = 1", **PROCFILE}, "tool in pyproject.toml is not a table"),
        (
            {"package.json": '{"packageManager":"bun@1.2.3"}', "index.js": ""},
            "which is not a version of npm, pnpm or yarn",
        ),
        (
            {"package.json": '{"packageManager":"pnpm@^9"}', "index.js": ""},
            "which is not a version of npm, pnpm or yarn",
        ),
        (
            {"package.json": '{"engines":{"npm":"7.x"}}', "index.js": ""},
            r"requires npm 7\.x, which is not available",
        ),
        (
            {"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: 3", "index.js": ""},
            r"pnpm-lock\.yaml has the format 3",
        ),
        (
            {"package.json": "{}", "yarn.lock": "__metadata:\n  version: 99\n", "index.js": ""},
            r"yarn\.lock has the format 99",
        ),
        (
            {"slipway.toml": "[static]\nfolder = 'none'", "index.html": ""},
            "names the folder none, which is not in the source",
        ),
        (
            {"slipway.toml": "[static]\nfolder = '../up'", "index.html": ""},
            r"static\.folder is '\.\./up'",
        ),
        ({"pyproject.toml": "[broken", **PROCFILE}, "not valid TOML"),
        ({"package.json": "{", **PROCFILE}, "not valid JSON"),
        ({"package.json": "[]", **PROCFILE}, "not an object"),
        ({"package.json": "{}"}, "no file that defines how to start"),
        ({"requirements.txt": "flask"}, "no file that defines how to start"),
        (
            {"requirements.txt": "-r more.txt", **PROCFILE},
            "line 1, includes more.txt, which is not in the source",
        ),
        (
            {".python-version": "3.9", **PROCFILE},
            r"\.python-version requires Python 3\.9.*Available: 3\.11, 3\.13, 3\.14",
        ),
        ({"runtime.txt": "python-2.7.18", **PROCFILE}, r"runtime\.txt requires Python 2\.7"),
        ({"runtime.txt": ">=3.99", **PROCFILE}, r"requires Python >=3\.99, which is not available"),
        ({".python-version": "pypy3.10-7.3", **PROCFILE}, r"'pypy3.10-7.3', .* not a version of"),
        ({".python-version": "3.13t", **PROCFILE}, r"'3.13t', which is not a version of CPython"),
        ({".python-version": "shop-env", **PROCFILE}, r"'shop-env', which is not a version of"),
        ({"runtime.txt": "newest", **PROCFILE}, "not a version of CPython"),
        (
            {"pyproject.toml": "[project]\nrequires-python='<3.11'", **PROCFILE},
            r"requires-python in pyproject.toml requires Python <3\.11",
        ),
        (
            {"package.json": '{"engines":{"node":"16.x"}}', "index.js": ""},
            r"requires Node\.js 16\.x.*Available: 18\.x, 20\.x, 22\.x, 24\.x, 26\.x",
        ),
        (
            {"package.json": '{"engines":{"node":"new ones"}}', "index.js": ""},
            "requires Node.js new ones, which is not available",
        ),
        ({"Procfile": "web"}, "line 1"),
    ],
)
def test_an_unbuildable_source_gets_a_message_and_a_remedy(
    files: dict[str, str], sentence: str
) -> None:
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
        ({"runtime.txt": "3.13\n"}, "3.13", "debian-13"),
        ({"runtime.txt": "3.11.9\r\n"}, "3.11", "debian-12"),
        ({"runtime.txt": "python-3.14.x  # as on the old server"}, "3.14", "debian-14"),
        ({"runtime.txt": "Python 3.11"}, "3.11", "debian-12"),
        ({"runtime.txt": "python3.11"}, "3.11", "debian-12"),
        ({"runtime.txt": "python==3.11.2"}, "3.11", "debian-12"),
        ({"runtime.txt": "python-3"}, "3.13", "debian-13"),
        ({"runtime.txt": "\ufeffpython-3.11.9"}, "3.11", "debian-12"),
        ({"runtime.txt": "\n"}, "3.13", "debian-13"),
        ({".python-version": "# for pyenv\n\n3.14-dev\n3.11\n"}, "3.14", "debian-14"),
        ({".python-version": "3.11 3.13"}, "3.11", "debian-12"),
        ({".python-version": "3.11.9/envs/shop"}, "3.11", "debian-12"),
        ({".python-version": "cpython@3.11"}, "3.11", "debian-12"),
        ({".python-version": "cpython-3.14.0rc2"}, "3.14", "debian-14"),
        ({".python-version": "v3.11.*"}, "3.11", "debian-12"),
        ({".python-version": "3"}, "3.13", "debian-13"),
        ({".python-version": "3.x"}, "3.13", "debian-13"),
        ({".python-version": ">=3.11,<3.13"}, "3.11", "debian-12"),
        ({".python-version": "^3.11"}, "3.13", "debian-13"),
        ({".python-version": "~=3.11.0"}, "3.11", "debian-12"),
        ({"pyproject.toml": "[project]\nrequires-python='>=3.11'"}, "3.13", "debian-13"),
        ({"pyproject.toml": "[project]\nrequires-python='~=3.11.0'"}, "3.11", "debian-12"),
        ({"pyproject.toml": "[project]\nrequires-python='>=3.14'"}, "3.14", "debian-14"),
        ({"pyproject.toml": "[project]\nrequires-python='<3.13'"}, "3.11", "debian-12"),
    ],
)
def test_each_python_version_uses_the_stack_that_has_it(
    files: dict[str, str], version: str, stack: str
) -> None:
    runtime = of({"app.py": "", **files}).runtime
    assert isinstance(runtime, DebianRuntime)
    assert (runtime.name, runtime.stack.name) == (f"python-{version}", stack)


@pytest.mark.parametrize(
    ("wish", "version"),
    [
        (">=20", "22."),
        ("24.x", "24."),
        ("^20.1", "20."),
        ("20.11.1", "20.11.1"),
        ("22.3", "22.3.0"),
        ("18 || 24", "24."),
        ("*", "22."),
    ],
)
def test_engines_node_selects_from_the_available_versions(wish: str, version: str) -> None:
    assert (
        version
        in planned(
            **{"package.json": f'{{"engines":{{"node":"{wish}"}}}}', "index.js": ""}
        ).runtime_words
    )


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (
            {"requirements.txt": "flask\ngunicorn", "app.py": "app = Flask(__name__)"},
            "gunicorn --bind 0.0.0.0:$PORT app:app",
        ),
        (
            {"requirements.txt": "flask", "main.py": "site: Flask = Flask(__name__)"},
            "flask --app main:site run --host 0.0.0.0 --port $PORT",
        ),
        (
            {"requirements.txt": "fastapi\nuvicorn", "main.py": "api = FastAPI()"},
            "uvicorn main:api --host 0.0.0.0 --port $PORT",
        ),
        (
            {"requirements.txt": "django\ngunicorn", "manage.py": "", "shop/wsgi.py": ""},
            "gunicorn --bind 0.0.0.0:$PORT shop.wsgi",
        ),
        (
            {"requirements.txt": "django", "manage.py": ""},
            "python manage.py runserver --noreload 0.0.0.0:$PORT",
        ),
        ({"main.py": "serve()"}, "python3 main.py"),
        ({"package.json": '{"scripts":{"start":"node x"}}'}, "npm start"),
        ({"package.json": '{"main":"./lib/x.js"}', "lib/x.js": ""}, "node lib/x.js"),
        ({"package.json": "{}", "server.js": ""}, "node server.js"),
        ({"Procfile": "release: migrate", "app.py": "", "requirements.txt": ""}, "python3 app.py"),
        ({"dist/index.html": ""}, "/opt/static/serve /app/dist"),
    ],
)
def test_without_a_procfile_the_web_process_follows_convention(
    files: dict[str, str], command: str
) -> None:
    decided = of(files)
    assert decided.processes["web"] == command
    assert decided.detected.language is LanguageName.STATIC or command in decided.notes[0]


def test_only_the_procfile_sets_the_processes() -> None:
    decided = planned(
        **{
            "Procfile": "worker: python w.py",
            "requirements.txt": "flask",
            "app.py": "app = Flask(__name__)",
        }
    )
    assert decided.processes == {"worker": "python w.py"}
    assert decided.notes == ()
