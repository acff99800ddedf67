"""Python sources in the shape that people have, with the servers and installers that they use."""

from __future__ import annotations

from tests.apps.written import Written

_ASGI = (
    "async def app(scope, receive, send):\n"
    "    assert scope['type'] == 'http'\n"
    "    headers = [(b'content-type', b'text/plain')]\n"
    "    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})\n"
    "    await send({'type': 'http.response.body', 'body': b'made of ASGI'})\n"
)
_WSGI = (
    "def app(environ, start_response):\n"
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
    "    return [b'made of WSGI']\n"
)
_FLASK = (
    "from flask import Flask\n\n"
    "app = Flask(__name__)\n\n\n"
    "@app.get('/')\n"
    "def home():\n"
    "    return 'made of Flask'\n"
)
_FASTAPI = (
    "from fastapi import FastAPI\n\n"
    "app = FastAPI()\n\n\n"
    "@app.get('/')\n"
    "def home():\n"
    "    return {'made': 'of FastAPI'}\n"
)
_STANDARD_LIBRARY = (
    "import os\n"
    "from http.server import BaseHTTPRequestHandler, HTTPServer\n\n\n"
    "class Handler(BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200)\n"
    "        self.end_headers()\n"
    "        self.wfile.write(b'made of the standard library')\n\n\n"
    "HTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()\n"
)


def _served(server: str, command: str, program: str = _ASGI, words: str = "of ASGI") -> Written:
    return Written(
        files={
            "app.py": program,
            "requirements.txt": f"{server}\n",
            "Procfile": f"web: {command}\n",
        },
        words=words,
    )


_PROJECT = '[project]\nname = "shop"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
PYTHON = {
    "python-main": Written(
        files={"main.py": _STANDARD_LIBRARY}, words="made of the standard library"
    ),
    "python-flask": Written(
        files={"app.py": _FLASK, "requirements.txt": "flask\n"}, words="made of Flask"
    ),
    "python-flask-factory": Written(
        files={
            "shop/__init__.py": (
                "from flask import Flask\n\n\ndef create_app():\n    app = Flask(__name__)\n"
                "    app.add_url_rule('/', view_func=lambda: 'made by a factory')\n    return app\n"
            ),
            "requirements.txt": "flask\ngunicorn\n",
            "Procfile": "web: gunicorn 'shop:create_app()'\n",
        },
        words="made by a factory",
    ),
    "python-fastapi-standard": Written(
        files={"main.py": _FASTAPI, "requirements.txt": "fastapi[standard]\n"}, words="of FastAPI"
    ),
    "python-uvicorn-workers": _served(
        "fastapi\nuvicorn-worker\ngunicorn",
        "gunicorn -k uvicorn_worker.UvicornWorker app:app",
        _FASTAPI,
        "of FastAPI",
    ),
    "python-hypercorn": _served("hypercorn", "hypercorn app:app --bind 0.0.0.0:$PORT"),
    "python-granian": _served(
        "granian", "granian --interface asgi app:app --host 0.0.0.0 --port $PORT"
    ),
    "python-daphne": _served("daphne", "daphne -b 0.0.0.0 -p $PORT app:app"),
    "python-waitress": _served(
        "waitress", "waitress-serve --port=$PORT app:app", _WSGI, "made of WSGI"
    ),
    "python-uwsgi": _served(
        "uwsgi", "uwsgi --http :$PORT --module app:app --master", _WSGI, "made of WSGI"
    ),
    "python-streamlit": Written(
        files={
            "streamlit_app.py": "import streamlit as st\n\nst.title('Made of Streamlit')\n",
            "requirements.txt": "streamlit\n",
        },
        words="<title>Streamlit</title>",
    ),
    "python-gradio": Written(
        files={
            "app.py": (
                "import gradio as gr\n\n"
                "gr.Interface(lambda name: f'Hello {name}', 'text', 'text').launch()\n"
            ),
            "requirements.txt": "gradio\n",
        },
        words="gradio",
    ),
    "python-panel": Written(
        files={
            "app.py": "import panel as pn\n\npn.panel('Made of Panel').servable()\n",
            "requirements.txt": "panel\n",
            "Procfile": (
                "web: panel serve app.py --address 0.0.0.0 --port $PORT"
                " --allow-websocket-origin='*'\n"
            ),
        },
        words="Panel",
        path="/app",
    ),
    "python-uv-run": Written(
        files={
            "pyproject.toml": _PROJECT + 'dependencies = ["flask", "gunicorn"]\n',
            "app.py": _FLASK,
            "Procfile": "web: uv run gunicorn app:app\n",
        },
        words="made of Flask",
    ),
    "python-lxml-pillow": Written(
        files={
            "app.py": (
                "from flask import Flask\nfrom lxml import etree\nfrom PIL import Image\n\n"
                "app = Flask(__name__)\n\n\n@app.get('/')\ndef home():\n"
                "    size = Image.new('RGB', (6, 7)).size\n"
                "    return f'{etree.fromstring(\"<made/>\").tag} {size[0] * size[1]}'\n"
            ),
            "requirements.txt": "flask\ngunicorn\nlxml\nPillow\n",
            "Procfile": "web: gunicorn app:app\n",
        },
        words="made 42",
    ),
    "python-psycopg2-from-source": Written(
        files={
            "app.py": (
                "import psycopg2\nfrom flask import Flask\n\napp = Flask(__name__)\n\n\n"
                "@app.get('/')\ndef home():\n"
                "    return f'libpq {psycopg2.__libpq_version__ > 0}'\n"
            ),
            "requirements.txt": "flask\ngunicorn\npsycopg2\n",
            "runtime.txt": "python-3.13\n",
            "Procfile": "web: gunicorn app:app\n",
        },
        words="libpq True",
    ),
}
