"""Every path that the command line requests is an operation of the API."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from portal.api.router import api

COMMANDS = Path(__file__).resolve().parents[2] / "cli/slipway_cli"
VERBS = {
    "all_pages": "get",
    "delete": "delete",
    "download": "get",
    "get": "get",
    "lines": "get",
    "patch": "patch",
    "post": "post",
    "put": "put",
    "upload": "post",
}
APP = "/apps/{}"


def _requests() -> Iterator[tuple[str, str, str]]:
    """Yield the place, the method and the path of each request, with {} for names."""
    for file in sorted(COMMANDS.rglob("*.py")):
        if file.name == "portal.py":
            continue
        for call in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in VERBS
                and call.args
                and (path := _path(call.args[0]))
            ):
                yield f"{file.name}:{call.lineno}", VERBS[call.func.attr], path


def _path(word: ast.expr) -> str | None:
    """Return the path of an argument, or None if it is not one that is written there."""
    if isinstance(word, ast.Constant) and isinstance(word.value, str):
        return word.value if word.value.startswith("/") else None
    if (
        isinstance(word, ast.Call)
        and isinstance(word.func, ast.Name)
        and word.func.id == "app_path"
    ):
        return APP
    if not isinstance(word, ast.JoinedStr):
        return None
    parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in word.values]
    if parts[0] == "{}":
        parts[0] = APP  # f"{path}/builds" and f"{app_path(app)}/builds"
    return "".join(map(str, parts))


def test_every_request_is_an_operation_of_the_api() -> None:
    document = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    operations = {
        (method, re.sub(r"\{\w+\}", "{}", path.removeprefix("/api/v1")))
        for path, methods in document["paths"].items()
        for method in methods
    }
    requests = list(_requests())
    assert len(requests) > 40
    unknown = [request for request in requests if request[1:] not in operations]
    assert unknown == []
