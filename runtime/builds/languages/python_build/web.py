"""Find the web process of a Python app by its files and dependencies. Pure."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from runtime.builds.languages.detect import Source
from runtime.builds.languages.python_files import mentioned_packages

_ASYNC = ("FastAPI", "Starlette", "Quart", "Litestar", "Sanic")
_MADE = re.compile(
    r"^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(?:\w+\.)?(FastAPI|Starlette|Quart|Litestar|Sanic|Flask)\(",
    re.MULTILINE,
)  # within a line, so the time is linear in the file
_NAMED = re.compile(r"^(application|app)[ \t]*(?::[^=\n]+)?=[ \t]*\S", re.MULTILINE)
_FILES = (
    *("app.py", "main.py", "server.py", "wsgi.py", "asgi.py", "web.py", "api.py"),
    *("app/main.py", "app/app.py", "src/main.py", "src/app.py"),
)
_PAGES = ("streamlit_app.py", "app.py", "main.py", "Home.py", "home.py", "demo.py", "server.py")
_PLAIN = ("app.py", "main.py", "server.py", "web.py")
_DJANGO_DEFAULT = "python manage.py runserver --noreload 0.0.0.0:$PORT"


def web_process(source: Source) -> tuple[str, str] | None:
    """Return a web command by convention, and the reason; None if no file determines one."""
    packages = mentioned_packages(source)
    if "manage.py" in source.files:
        return _of_django(source, packages)
    return _of_page(source) or _of_app(source, packages) or _of_file(source)


def _of_django(source: Source, packages: AbstractSet[str]) -> tuple[str, str]:
    """Return the command for a Django project. ASGI is first only if Channels needs it."""
    places = {
        kind: next((path for path in sorted(source.files) if re.fullmatch(pattern, path)), "")
        for kind, pattern in (("wsgi", r"[^/]+/wsgi\.py"), ("asgi", r"[^/]+/asgi\.py"))
    }
    kinds = ("asgi", "wsgi") if "channels" in packages else ("wsgi", "asgi")
    for kind in kinds:
        folder = places[kind].partition("/")[0]
        # Django names the object `application`. gunicorn takes that name by itself.
        served = _served(kind, f"{folder}.{kind}", ":application", packages) if folder else None
        if served:
            return served[0], f"manage.py is Django's and {served[1]} is a dependency"
    return _DJANGO_DEFAULT, "manage.py is Django's; add gunicorn as a dependency for production"


def _of_app(source: Source, packages: AbstractSet[str]) -> tuple[str, str] | None:
    """Return the command for an app object that a file makes."""
    for file in _FILES:
        text = source.texts.get(file, "")
        module = file.removesuffix(".py").removeprefix("src/").replace("/", ".")
        if (made := _MADE.search(text)) is not None:
            name, kind = made[1], made[2]
            served = _served("asgi" if kind in _ASYNC else "wsgi", module, f":{name}", packages)
            if served:
                return served[0], f"{file} creates a {kind} app and {served[1]} is a dependency"
            if kind == "Flask":
                return (
                    f"flask --app {module}:{name} run --host 0.0.0.0 --port $PORT",
                    f"{file} creates a Flask app, and gunicorn is not a dependency",
                )
        elif file in ("wsgi.py", "asgi.py") and (named := _NAMED.search(text)):
            served = _served(module, module, f":{named[1]}", packages)
            if served:
                return served[0], f"{file} sets {named[1]} and {served[1]} is a dependency"
    return None


def _served(kind: str, module: str, app: str, packages: AbstractSet[str]) -> tuple[str, str] | None:
    """Return the command of the first installed server for `kind`, and the server's name."""
    target = f"{module}{app}"
    django = app == ":application" and module.endswith(".wsgi")
    known = {
        "wsgi": {
            "gunicorn": f"gunicorn --bind 0.0.0.0:$PORT {module if django else target}",
            "waitress": f"waitress-serve --listen=0.0.0.0:$PORT {target}",
            "granian": f"granian --interface wsgi --host 0.0.0.0 --port $PORT {target}",
            "uwsgi": f"uwsgi --http 0.0.0.0:$PORT --master --die-on-term --wsgi {target}",
        },
        "asgi": {
            "uvicorn": f"uvicorn {target} --host 0.0.0.0 --port $PORT",
            "hypercorn": f"hypercorn {target} --bind 0.0.0.0:$PORT",
            "granian": f"granian --interface asgi --host 0.0.0.0 --port $PORT {target}",
            "daphne": f"daphne -b 0.0.0.0 -p $PORT {target}",
        },
    }[kind]
    return next(((command, name) for name, command in known.items() if name in packages), None)


def _of_page(source: Source) -> tuple[str, str] | None:
    """Return the command for a page of Streamlit, Panel or Gradio."""
    texts = {file: source.texts[file] for file in _PAGES if file in source.texts}
    for file, text in texts.items():
        if _imports(text, "streamlit"):
            return (
                (
                    f"streamlit run {file} --server.address 0.0.0.0 --server.port $PORT"
                    " --server.headless true"
                ),
                f"{file} imports Streamlit",
            )
        if _imports(text, "panel") and ".servable(" in text:
            return (
                (
                    f"panel serve {file} --address 0.0.0.0 --port $PORT --index {file[:-3]}"
                    " --allow-websocket-origin '*'"
                ),
                f"{file} is a page of Panel",
            )
        if _imports(text, "gradio") and ".launch(" in text:
            return (
                f"GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python3 {file}",
                f"{file} launches Gradio",
            )
    return None


def _of_file(source: Source) -> tuple[str, str] | None:
    """Return the command that runs a file, with a warning if it only makes an app object."""
    for file in _PLAIN:
        if file not in source.files:
            continue
        text = source.texts.get(file, "")
        made = _MADE.search(text)
        if made is not None and "__main__" not in text and ".run(" not in text:
            server = "uvicorn" if made[2] in _ASYNC else "gunicorn"
            return (
                f"python3 {file}",
                (
                    f"there is a {file}. It creates a {made[2]} app, but no server is a dependency:"
                    f" add {server}"
                ),
            )
        return f"python3 {file}", f"there is a {file}"
    return None


def _imports(text: str, module: str) -> bool:
    return re.search(rf"^[ \t]*(?:import|from)[ \t]+{module}\b", text, re.MULTILINE) is not None
