"""Pure tests of the web process of Python apps without a Procfile."""

from __future__ import annotations

import time

import pytest

from runtime.builds.languages.detect import LanguageName
from tests.runtime.builds.languages.planning import of

FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n"
DJANGO = {"manage.py": "", "shop/wsgi.py": "", "shop/asgi.py": ""}
UVICORN = "uvicorn main:app --host 0.0.0.0 --port $PORT"


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"requirements.txt": "fastapi[standard]", "main.py": FASTAPI}, UVICORN),
        ({"requirements.txt": "fastapi[all]>=0.1", "main.py": FASTAPI}, UVICORN),
        (
            {
                "Pipfile": '[packages]\nfastapi = {extras = ["standard"], version = "*"}',
                "main.py": FASTAPI,
            },
            UVICORN,
        ),
        (
            {
                "pyproject.toml": '[project]\nname="a"\ndependencies = ["fastapi[standard]>=0.1"]',
                "app/main.py": FASTAPI,
            },
            "uvicorn app.main:app --host 0.0.0.0 --port $PORT",
        ),
        ({"requirements.txt": "fastapi\nuvicorn", "src/main.py": FASTAPI}, UVICORN),
        (
            {"requirements.txt": "fastapi\nhypercorn", "main.py": FASTAPI},
            "hypercorn main:app --bind 0.0.0.0:$PORT",
        ),
        (
            {"requirements.txt": "fastapi\ngranian", "main.py": FASTAPI},
            "granian --interface asgi --host 0.0.0.0 --port $PORT main:app",
        ),
        (
            {"requirements.txt": "starlette\ndaphne", "main.py": "x = Starlette()"},
            "daphne -b 0.0.0.0 -p $PORT main:x",
        ),
        (
            {"requirements.txt": "quart", "app.py": "app = Quart(__name__)"},
            "hypercorn app:app --bind 0.0.0.0:$PORT",
        ),
        (
            {"requirements.txt": "flask\nwaitress", "app.py": "app = flask.Flask(__name__)"},
            "waitress-serve --listen=0.0.0.0:$PORT app:app",
        ),
        (
            {"requirements.txt": "flask\nuWSGI", "app.py": "app = Flask(__name__)"},
            "uwsgi --http 0.0.0.0:$PORT --master --die-on-term --wsgi app:app",
        ),
        (
            {"requirements.txt": "gunicorn", "wsgi.py": "application = create_app()"},
            "gunicorn --bind 0.0.0.0:$PORT wsgi:application",
        ),
        (
            {"requirements.txt": "django\nuvicorn", **DJANGO},
            "uvicorn shop.asgi:application --host 0.0.0.0 --port $PORT",
        ),
        (
            {"requirements.txt": "django\nchannels[daphne]\ngunicorn", **DJANGO},
            "daphne -b 0.0.0.0 -p $PORT shop.asgi:application",
        ),
        (
            {"requirements.txt": "django\nwaitress", **DJANGO},
            "waitress-serve --listen=0.0.0.0:$PORT shop.wsgi:application",
        ),
        (
            {"requirements.txt": "streamlit", "app.py": "import streamlit as st\n"},
            (
                "streamlit run app.py --server.address 0.0.0.0 --server.port $PORT"
                " --server.headless true"
            ),
        ),
        (
            {"requirements.txt": "gradio", "app.py": "import gradio as gr\ndemo.launch()\n"},
            "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python3 app.py",
        ),
        (
            {"requirements.txt": "panel", "app.py": "import panel as pn\np.servable()\n"},
            (
                "panel serve app.py --address 0.0.0.0 --port $PORT --index app"
                " --allow-websocket-origin '*'"
            ),
        ),
    ],
)
def test_the_installed_server_starts_the_app(files: dict[str, str], command: str) -> None:
    decided = of(files)
    assert decided.detected.language is LanguageName.PYTHON
    assert decided.processes["web"] == command
    assert command in decided.notes[0]


def test_a_long_line_of_extras_is_read_in_linear_time() -> None:
    began = time.process_time()
    of({"requirements.txt": "fastapi[" * 80_000, "main.py": FASTAPI})
    assert time.process_time() - began < 5


def test_an_app_object_without_a_server_is_named_in_the_log() -> None:
    decided = of({"requirements.txt": "fastapi", "main.py": FASTAPI})
    assert decided.processes["web"] == "python3 main.py"
    assert "no server is a dependency: add uvicorn" in decided.notes[0]
