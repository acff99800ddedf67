"""Tests of each way to declare dependencies, with a real build of its example: locked versions,
pruning, and the answers of the app.
"""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from runtime.builds.requests import BuiltImage
from runtime.errors import BadSource, BuildFailed
from runtime.images.store import Image
from tests.runtime.builds.conftest import EXAMPLES, Forge
from tests.runtime.builds.test_builds import get, served


def example(forge: Forge, name: str, changes: dict[str, str] | None = None) -> BuiltImage:
    """Build examples/NAME. `changes` replaces or adds files."""
    files = {
        path.relative_to(EXAMPLES / name).as_posix(): path.read_text()
        for path in _files(EXAMPLES / name)
    }
    return forge.build({**files, **(changes or {})}, app=name)


def _files(folder: Path) -> list[Path]:
    made = {"node_modules", "__pycache__", ".venv", "dist", ".yarn", ".pnp.cjs"}
    return [path for path in folder.rglob("*") if path.is_file() and not made & set(path.parts)]


def seen(image: Image, path: str) -> Path | None:
    """Return the file that the container sees: the one of the topmost layer, or None if a layer
    above deleted it.
    """
    for layer in image.layers:
        found = layer / path
        if found.is_char_device():
            return None
        if found.exists() or found.is_symlink():
            return found
        if any(parent.is_char_device() for parent in found.parents if parent.is_relative_to(layer)):
            return None
    return None


def test_a_poetry_lock_is_installed_with_hashes_and_without_dev_groups(forge: Forge) -> None:
    built = example(forge, "python-poetry")
    assert (
        "Dependencies: `poetry export, uv pip install --require-hashes` for poetry.lock and"
        " pyproject.toml" in forge.said()
    )
    assert " + flask==3.1.3" in forge.said()
    assert "pytest" not in forge.said()
    with served(forge, built) as url:
        assert "Asia/Tokyo" in get(url)[1]


def test_a_lock_file_with_a_wrong_hash_is_refused(forge: Forge) -> None:
    lock = json.loads((EXAMPLES / "python-pipenv/Pipfile.lock").read_text())
    lock["default"]["bottle"]["hashes"] = ["sha256:" + "0" * 64]
    with pytest.raises(BuildFailed):
        example(forge, "python-pipenv", {"Pipfile.lock": json.dumps(lock)})
    assert "Hash mismatch" in forge.said()


def test_a_pipenv_lock_is_installed_and_a_stale_one_causes_a_warning(forge: Forge) -> None:
    built = example(forge, "python-pipenv")
    assert (
        "Dependencies: `uv pip install --require-hashes, from Pipfile.lock` for Pipfile.lock"
        in forge.said()
    )
    with served(forge, built) as url:
        assert "smooth sea" in get(f"{url}/all.json")[1]


def test_a_setup_py_is_installed_in_place_with_commands_and_extensions(forge: Forge) -> None:
    files = {
        "setup.py": (
            "from setuptools import setup\nsetup(name='tool', version='1', py_modules=['tool'],"
            " install_requires=['itsdangerous'],\n      entry_points={'console_scripts': ['serve ="
            " tool:main']})\n"
        ),
        "tool.py": (
            "import os, http.server as h, itsdangerous\nclass H(h.BaseHTTPRequestHandler):\n    def"
            " do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'by its"
            " command')\ndef main(): h.HTTPServer(('', int(os.environ['PORT'])),"
            " H).serve_forever()\n"
        ),
        "Procfile": "web: serve",
    }
    with served(forge, forge.build(files)) as url:
        assert get(url)[1] == "by its command"
    assert "Project: `uv pip install -e ., from setup.py` for the source" in forge.said()


def test_pnpm_installs_from_its_lock_builds_and_prunes(forge: Forge) -> None:
    built = example(forge, "node-pnpm")
    assert "pnpm 10.34.9, by packageManager" in forge.said()
    assert (
        "Dependencies: `pnpm install --frozen-lockfile` for package.json and pnpm-lock.yaml"
        in forge.said()
    )
    image = forge.store.image(built.digest)
    assert seen(image, "app/node_modules/fastify") is not None
    assert seen(image, "app/node_modules/esbuild") is None
    page = seen(image, "app/public/page.js")
    assert page is not None
    assert page.stat().st_uid == 1000
    with served(forge, built) as url:
        assert json.loads(get(f"{url}/dice/6")[1])["sides"] == 6
        assert "fetch(" in get(f"{url}/page.js")[1]
    with pytest.raises(BuildFailed):
        example(
            forge,
            "node-pnpm",
            {
                "package.json": (
                    (EXAMPLES / "node-pnpm/package.json").read_text().replace("^5.2.0", "^4.0.0")
                )
            },
        )
    assert "ERR_PNPM_OUTDATED_LOCKFILE" in forge.said()


@pytest.mark.parametrize("linker", ["pnp", "node-modules"])
def test_yarn_installs_workspaces_from_its_lock_with_either_linker(
    forge: Forge, linker: str
) -> None:
    built = example(forge, "node-yarn", {".yarnrc.yml": f"nodeLinker: {linker}\n"})
    assert "yarn 4.18.1, by packageManager" in forge.said()
    assert (seen(forge.store.image(built.digest), "app/.pnp.cjs") is not None) is (linker == "pnp")
    with served(forge, built) as url:
        assert json.loads(get(f"{url}/sloop/2h")[1]) == {"boat": "sloop", "time": "2h", "euros": 90}


def test_yarn_1_installs_from_its_lock(forge: Forge) -> None:
    lock = (
        '# yarn lockfile v1\n\n\nms@2.1.3:\n  version "2.1.3"\n'
        "  resolved"
        f' "https://{"registry"}.yarnpkg.com/ms/-/ms-2.1.3.tgz#574c8138ce1d2b5861f0b44579dbadd60c6615b2"\n'
        "  integrity"
        " sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==\n"  # noqa: E501
    )
    server = (
        "const ms = require('ms'); require('http').createServer((q, r) =>"
        " r.end(ms(60000))).listen(process.env.PORT)"
    )
    files = {
        "package.json": '{"dependencies":{"ms":"2.1.3"}}',
        "yarn.lock": lock,
        "server.js": server,
    }
    with served(forge, forge.build(files)) as url:
        assert get(url)[1] == "1m"
    assert "yarn 1.22.22, by yarn.lock" in forge.said()


def test_an_unknown_version_of_a_package_manager_is_reported(forge: Forge) -> None:
    with pytest.raises(BadSource, match=r"The npm registry has no pnpm 10\.999\.0"):
        forge.build({"package.json": '{"packageManager":"pnpm@10.999.0"}', "server.js": ""})
    with pytest.raises(BadSource, match="does not match the sha512 in packageManager"):
        forge.build(
            {
                "package.json": f'{{"packageManager":"pnpm@9.15.9+sha512.{"0" * 128}"}}',
                "server.js": "",
            }
        )


def test_a_single_page_app_is_served_without_its_build_tools(forge: Forge) -> None:
    built = example(forge, "static-spa")
    image = forge.store.image(built.digest)
    assert not [
        path
        for layer in image.layers
        for path in layer.rglob("*")
        if path.name in ("node_modules", "package.json", "node")
    ]
    with served(forge, built) as url:
        status, page, headers = get(f"{url}/knots/bowline")
        assert (status, headers["Cache-Control"]) == (200, "no-cache")
        script = page.partition('src="')[2].partition('"')[0]
        assert script.startswith("/assets/index-")
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}{script}", headers={"Accept-Encoding": "gzip"}), timeout=5
        ) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            packed = answer.read()
        assert b"Clove hitch" in gzip.decompress(packed)
        assert packed == seen(image, f"app{script}.gz").read_bytes()
        assert get(f"{url}{script}", Accept_Encoding="br")[2]["Content-Encoding"] == "br"
        assert get(f"{url}/assets/none.js")[0] == 404
        assert get(f"{url}/slipway.toml")[0] == 404


def test_a_static_site_has_error_pages_and_caches_by_file_names(forge: Forge) -> None:
    year, hour = "public, max-age=31536000, immutable", "public, max-age=3600"
    names = {
        "app.3f2a1b4c.js": year,
        "main-a1B2c3D4.css": year,
        "assets/index-BvYxkQwZ.js": year,
        "assets/site-contacts.js": hour,
        "jquery-3.7.1.min.js": hour,
        "report-20240101.css": hour,
        "bootstrap-responsive.css": hour,
    }
    files = {"index.html": "home", "404.html": "nothing here", **dict.fromkeys(names, "x" * 2000)}
    with served(forge, forge.build(files)) as url:
        assert {name: get(f"{url}/{name}")[2]["Cache-Control"] for name in names} == names
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{url}/none", timeout=5)
        assert (caught.value.code, caught.value.read()) == (404, b"nothing here")
    with served(forge, forge.build({**files, "200.html": "the app"})) as url:
        assert get(f"{url}/any/where")[:2] == (200, "the app")


def test_node_builds_assets_for_python_and_a_code_change_installs_nothing(forge: Forge) -> None:
    built = example(forge, "python-with-assets")
    assert "Several languages: Node.js is built first, then Python, which serves." in forge.said()
    with served(forge, built) as url:
        assert "/tide.json" in get(f"{url}/static/tide.js")[1]
        assert len(json.loads(get(f"{url}/tide.json")[1])) == 100
    image = forge.store.image(built.digest)
    assert image.config.environment["PATH"].startswith(
        "/opt/venv/bin:/app/node_modules/.bin:/usr/local/bin"
    )
    assert seen(image, "app/node_modules/esbuild") is None
    example(forge, "python-with-assets", {"assets/tide.ts": 'console.log("changed")'})
    assert forge.said().count("Dependencies: cached, reused layer") == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {
                "pyproject.toml": (
                    "[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython ="
                    " '^3.11'\nitsdangerous = '^2.2'\n# no git = yet\n"
                )
            },
            "Warning: without a poetry.lock",
        ),
        (
            {
                "Pipfile": (
                    "[packages]\nitsdangerous = '~=2.2'\ncolorama = {version = '*', sys_platform ="
                    " \"== 'win32'\"}\n"
                )
            },
            "Warning: without a Pipfile.lock",
        ),
    ],
)
def test_without_a_lock_packages_are_resolved_with_a_warning(
    forge: Forge, files: dict[str, str], words: str
) -> None:
    forge.build({**files, "Procfile": "worker: python -c 'import itsdangerous'"})
    assert words in forge.said()
    assert " + itsdangerous==2.2.0" in forge.said()
    assert "colorama" not in forge.said()
