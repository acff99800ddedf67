"""Tests of real builds of apps that Heroku's buildpacks for Python and PHP build unchanged."""

from __future__ import annotations

import io
import re
import tarfile

import pytest

from runtime.errors import StepFailed
from runtime.stacks.languages import (
    PHP_VERSIONS,
    PYTHON_COMPILERS,
    libraries,
    php,
    php_toolchain,
)
from runtime.stacks.upgrade import upgrade
from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.test_builds import get, served
from tests.warm import add

pytestmark = pytest.mark.timeout(900)
SETTINGS = """from pathlib import Path
BASE = Path(__file__).parent
SECRET_KEY = "test-only"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site1.urls"
INSTALLED_APPS = ["django.contrib.staticfiles"]
MIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE / "static"]
STATIC_ROOT = BASE.parent / "staticfiles"
STORAGES = {"staticfiles": {
    "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
"""
STARTS = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")\n'
DJANGO = {
    "Procfile": "web: gunicorn --bind 0.0.0.0:$PORT site1.wsgi\n",
    "requirements.txt": "django>=5.2,<6\ngunicorn\nwhitenoise\n",
    "manage.py": f"import sys\n{STARTS}from django.core.management import"
    " execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
    "site1/__init__.py": "",
    "site1/static/s.css": "body{}\n",
    "site1/settings.py": SETTINGS,
    "site1/urls.py": "from django.http import HttpResponse\n"
    "from django.templatetags.static import static\nfrom django.urls import path\n"
    'urlpatterns = [path("", lambda request: HttpResponse(static("s.css")))]\n',
    "site1/wsgi.py": f"{STARTS}from django.core.wsgi import get_wsgi_application\n"
    "application = get_wsgi_application()\n",
}
SERVER = """import os
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("0.0.0.0", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()
"""


def test_static_files_of_django_are_collected_and_served_by_their_hashed_names(
    forge: Forge,
) -> None:
    built = forge.build(DJANGO)
    assert "Static files: `python manage.py collectstatic --noinput` for the source" in forge.said()
    assert "1 static file copied to '/app/staticfiles'" in forge.said()
    with served(forge, built) as url:
        status, page, _ = get(url)
        assert status == 200
        assert re.fullmatch(r"/static/s\.[0-9a-f]{12}\.css", page), page
        assert get(f"{url}{page}")[:2] == (200, "body{}\n")


def test_settings_that_need_a_missing_config_var_give_a_warning_in_each_build(
    forge: Forge,
) -> None:
    files = {
        **DJANGO,
        "site1/settings.py": f"import os\n{SETTINGS}API = os.environ['API_KEY']\n",
    }
    for _ in range(2):
        forge.build(files)
        assert "Warning: Static files: KeyError: 'API_KEY' The build continues" in forge.said()
    assert "DISABLE_COLLECTSTATIC=1" in forge.said()


def test_without_a_static_root_nothing_is_collected(forge: Forge) -> None:
    settings = re.sub("STATIC_ROOT.*|STORAGES(?s:.*)", "", SETTINGS)
    forge.build({**DJANGO, "site1/settings.py": settings})
    assert "STATIC_ROOT is not set in the settings" in forge.said()
    assert "Warning" not in forge.said()


def test_both_hooks_run_in_the_code_and_may_install_packages(forge: Forge) -> None:
    built = forge.build(
        {
            "Procfile": "web: cat made.txt early.txt && python3 -m http.server $PORT\n",
            "requirements.txt": "",
            "bin/pre_compile": "echo early > early.txt; echo iniconfig > requirements.txt\n",
            "bin/post_compile": "#!/bin/sh\nset -e\npython -c 'import iniconfig'\n"
            "uv pip install --quiet six && cat early.txt > made.txt\n",
        }
    )
    said = forge.said()
    assert said.index("bin/pre_compile: `bin/pre_compile`") < said.index("Dependencies: `uv pip")
    assert said.index("Dependencies: `uv pip") < said.index("bin/post_compile: `bin/post_compile`")
    with served(forge, built) as url:
        assert get(f"{url}/made.txt")[:2] == (200, "early\n")


def test_fastapi_standard_is_served_without_a_procfile(forge: Forge) -> None:
    built = forge.build(
        {
            "requirements.txt": "fastapi[standard]\n",
            "main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
            "@app.get('/')\ndef hi():\n    return {'ok': True}\n",
        }
    )
    assert "Web process: `uvicorn main:app --host 0.0.0.0 --port $PORT`" in forge.said()
    with served(forge, built) as url:
        assert get(url)[:2] == (200, '{"ok":true}')


@pytest.mark.parametrize("command", ["uv run app.py", "poetry run python app.py"])
def test_a_bare_version_and_a_run_command_start_the_app(forge: Forge, command: str) -> None:
    built = forge.build(
        {
            "runtime.txt": "3.13\n",
            "requirements.txt": "",
            "Procfile": f"web: {command}\n",
            "app.py": SERVER,
        }
    )
    assert "Python 3.13, runtime.txt" in forge.said()
    with served(forge, built) as url:
        assert get(f"{url}/runtime.txt")[:2] == (200, "3.13\n")


@pytest.mark.parametrize("server", ["apache2", "nginx"])
def test_a_boot_script_of_heroku_serves_its_folder(forge: Forge, server: str) -> None:
    for runtime in (php(PHP_VERSIONS[-1], frozenset()), php_toolchain("8.4", frozenset())):
        add(forge.config, runtime)
    built = forge.build(
        {
            "Procfile": f"web: heroku-php-{server} web/\n",
            "composer.json": '{"require":{"php":">=8.2"}}',
            "web/index.php": '<?php echo "php ok"; ',
        }
    )
    assert f"heroku-php-{server} is replaced by `/opt/php/serve /app/web`" in forge.said()
    with served(forge, built) as url:
        assert get(url)[:2] == (200, "php ok")


@pytest.fixture
def compilers(forge: Forge) -> Forge:
    """Return a node with compilers and libpq, which other tests do not need."""
    for runtime in (PYTHON_COMPILERS, libraries(("libpq5",))):
        add(forge.config, runtime)
    return forge


def test_a_package_without_wheels_is_compiled_and_its_library_is_in_the_image(
    compilers: Forge,
) -> None:
    files = {"requirements.txt": "psycopg2\n", "app.py": f"import psycopg2\n{SERVER}"}
    built = compilers.build(files)
    assert "Shared libraries: libpq5, since the packages link to them" in compilers.said()
    assert "runs again" not in compilers.said()
    upgraded = upgrade(compilers.config, compilers.store, built.digest)
    assert (upgraded.image, upgraded.reasons) == (None, ()), "the layers are not the newest"
    layers = compilers.store.image(built.digest).layers
    assert not any((layer / "usr/bin/gcc").exists() for layer in layers)
    with served(compilers, built) as url:
        assert get(url)[0] == 200
    compilers.build({**files, "new.txt": ""})
    assert "Dependencies: cached" in compilers.said()
    assert "Shared libraries: libpq5" in compilers.said()


def test_a_package_that_turns_out_to_need_a_compiler_is_installed_again_with_one(
    compilers: Forge,
) -> None:
    files = {
        "requirements.txt": "./ext\n",
        "app.py": f"import hello\nprint(hello)\n{SERVER}",
        "ext/setup.py": "from setuptools import Extension, setup\n"
        "setup(name='hello', version='1', ext_modules=[Extension('hello', ['hello.c'],"
        " include_dirs=['/usr/include/postgresql'], libraries=['pq'])])\n",
        "ext/hello.c": "#include <Python.h>\n#include <libpq-fe.h>\n"
        'static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "hello"};\n'
        "PyMODINIT_FUNC PyInit_hello(void) { PQlibVersion(); return PyModule_Create(&module); }\n",
    }
    built = compilers.build(files)
    assert "the step runs again with compilers and headers" in compilers.said()
    assert "Shared libraries: libpq5" in compilers.said()
    with served(compilers, built) as url:
        assert get(url)[0] == 200
    compilers.build(files)
    assert "Dependencies: cached" in compilers.said()


def test_a_header_that_the_build_does_not_have_is_named(compilers: Forge) -> None:
    with pytest.raises(StepFailed, match=r"could not be compiled: .* C header `no_such\.h`"):
        compilers.build(
            {
                "requirements.txt": "./ext\n",
                "app.py": "",
                "ext/setup.py": "from setuptools import Extension, setup\n"
                "setup(name='hello', version='1',"
                " ext_modules=[Extension('hello', ['hello.c'])])\n",
                "ext/hello.c": "#include <no_such.h>\n",
            }
        )


def test_requirements_in_utf_16_are_installed(forge: Forge) -> None:
    texts = {"requirements.txt": "-r more.txt\n", "more.txt": "six\n", "app.py": "import six\n"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in texts.items():
            data = text.encode("utf-16" if name == "requirements.txt" else "utf-8-sig")
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    forge.builder.build(forge.request_of(buffer.getvalue()), forge.log.append)
    assert "for more.txt and requirements.txt" in forge.said()
    assert "+ six==" in forge.said()
