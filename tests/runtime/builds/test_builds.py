"""Tests of real builds with real registries and build containers. The resulting images run."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.builds.builder import Builder
from runtime.builds.requests import BuiltImage
from runtime.containers.spec import ContainerSpec
from runtime.converge.container_spec import command_of
from runtime.errors import BadArchive, BadSource, BuildFailed
from runtime.images.store import Image
from runtime.stacks.definition import NODE_DEFAULT, NODE_NEWEST, PYTHON
from runtime.stacks.definition import node as node_of
from tests.runtime.builds.conftest import EXAMPLES, LIMITS, Forge
from tests.warm import add

# On a new machine, the first test of a language waits for its packages.
pytestmark = pytest.mark.timeout(900)
FLASK = {
    "requirements.txt": "flask==3.1.3\ngunicorn==27.0.1\n",
    "app.py": (
        "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef home(): return 'made of"
        " layers'\n"
    ),
}


@contextmanager
def served(forge: Forge, built: BuiltImage) -> Iterator[str]:
    """Run the image's web process in a container, and yield its URL when it answers."""
    image = forge.store.image(built.digest)
    spec = ContainerSpec(
        id="served",
        app="app",
        team=1,
        layers=image.layers,
        command=command_of(built.processes["web"]),
        environment={**image.config.environment, "PORT": "5000"},
        working_directory=image.config.working_directory,
        limits=LIMITS,
    )
    try:
        url = f"http://{forge.containers.launch(spec).address}:5000"
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                log = forge.containers.log_path("served").read_text()
                assert time.monotonic() < deadline, log
                time.sleep(0.05)
        yield url
    finally:
        forge.containers.remove("served")


def get(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode(errors="replace"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, "", dict(error.headers)


def layers(image: Image) -> set[Path]:
    return set(image.layers)


def test_a_flask_app_answers_and_the_next_app_reuses_its_dependencies(forge: Forge) -> None:
    # This team has no downloads yet, so all teams may share the layer.
    first = forge.build(FLASK, app="one", team=61)
    assert "Dependencies: `uv pip install" in forge.said()
    assert " + flask==3.1.3" in forge.said()
    assert "Web process: `gunicorn --bind 0.0.0.0:$PORT app:app`" in forge.said()
    with served(forge, first) as url:
        assert get(url)[1] == "made of layers"
    started = time.monotonic()
    second = forge.build(
        {**FLASK, "app.py": FLASK["app.py"].replace("layers", "bricks")}, app="two", team=62
    )
    assert time.monotonic() - started < 5
    name = f"two:build-{forge.last}"
    assert "Dependencies: cached, reused layer sha256:" in forge.said()
    assert "(same requirements.txt)" in forge.said()
    first_image, second_image = forge.store.image(first.digest), forge.store.image(second.digest)
    assert len(layers(first_image) & layers(second_image)) == 3
    assert forge.build(FLASK, app="three").digest == first.digest
    *below, install, code = (step.created_by for step in first_image.config.history)
    assert (below, code) == (["debian-13", "python-3.13"], "App code")
    assert install.startswith("Dependencies: uv pip install")
    assert install.endswith(", for requirements.txt")
    found = subprocess.run(
        ["skopeo", "inspect", f"oci:{forge.config.images}:{name}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert second.digest in found


TELLS_ITS_VERSION = """
import itsdangerous, http.server, os, ssl, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write("{}.{} {}".format(*sys.version_info[:2], itsdangerous.__name__).encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
"""


@pytest.mark.parametrize(("version", "stack"), [("3.11", "debian-12"), ("3.14", "debian-14")])
def test_a_python_app_runs_on_the_requested_version(forge: Forge, version: str, stack: str) -> None:
    add(forge.config, PYTHON[version])
    files = {
        ".python-version": version,
        "requirements.txt": "itsdangerous==2.2.0\n",
        "app.py": TELLS_ITS_VERSION,
    }
    with served(forge, forge.build(files)) as url:
        assert get(url)[1] == f"{version} itsdangerous"
    assert f"Stack: {stack}; Python {version}, .python-version" in forge.said()


@pytest.mark.parametrize("version", [version for version in NODE_NEWEST if version != NODE_DEFAULT])
def test_a_node_app_runs_on_the_version_of_its_engines(forge: Forge, version: str) -> None:
    add(forge.config, node_of(version))
    package = (
        f'{{"engines":{{"node":"{version.partition(".")[0]}.x"}},"scripts":{{"start":"node'
        ' s.js"}}'
    )
    server = "require('http').createServer((q,r)=>r.end(process.version)).listen(process.env.PORT)"
    with served(forge, forge.build({"package.json": package, "s.js": server})) as url:
        assert get(url)[1] == f"v{version}"


def test_dependencies_belong_to_root_and_the_code_to_the_app(forge: Forge) -> None:
    image = forge.store.image(forge.build(FLASK).digest)
    code, dependencies = image.layers[0], image.layers[1]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in (code / "app").rglob("*")} == {
        (1000, 1000)
    }
    assert {path.lstat().st_uid for path in dependencies.rglob("*")} == {0}
    assert [path.name for path in dependencies.iterdir()] == ["opt"]
    assert any(dependencies.rglob("*.pyc"))


def test_a_node_app_is_built_from_its_lock_file_and_answers(forge: Forge) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(
            EXAMPLES / "express-chat",
            arcname="chat",
            filter=lambda member: None if "node_modules" in member.name else member,
        )
    built = forge.builder.build(forge.request_of(buffer.getvalue()), forge.log.append)
    assert "Dependencies: `npm ci" in forge.said()
    assert "without its top folder chat" in forge.said()
    with served(forge, built) as url:
        assert get(url)[0] == 200


def test_a_build_script_gets_the_whole_source_and_its_output_is_served(forge: Forge) -> None:
    package = '{"scripts":{"build":"mkdir out && cp page.txt out/","start":"node s.js"}}'
    server = "require('http').createServer((q,r)=>r.end(require('fs').readFileSync('out/page.txt'))).listen(process.env.PORT)"  # noqa: E501
    with served(
        forge, forge.build({"package.json": package, "page.txt": "compiled", "s.js": server})
    ) as url:
        assert get(url)[1] == "compiled"
    assert "Build script: `npm run build` for the source" in forge.said()


def test_a_static_site_is_served_with_types_compression_and_caching(forge: Forge) -> None:
    files = {
        "index.html": "<h1>home</h1>",
        "a.css": "body{}" * 200,
        "about.html": "about",
        "docs/index.html": "docs",
        ".env": "SECRET=1",
    }
    with served(forge, forge.build(files)) as url:
        status, text, headers = get(url)
        assert (status, text, headers["Cache-Control"]) == (200, "<h1>home</h1>", "no-cache")
        status, _, headers = get(f"{url}/a.css", Accept_Encoding="gzip")
        assert (status, headers["Content-Type"], headers["Content-Encoding"]) == (
            200,
            "text/css; charset=utf-8",
            "gzip",
        )
        assert "max-age" in headers["Cache-Control"]
        assert get(f"{url}/a.css", If_None_Match=get(f"{url}/a.css")[2]["ETag"])[0] == 304
        assert [get(f"{url}/{path}")[0] for path in ("about", "docs", "docs/", "none", ".env")] == [
            200,
            200,
            200,
            404,
            404,
        ]
        old = get(url)[2]["ETag"]
    with served(forge, forge.build({**files, "index.html": "<h1>mole</h1>"})) as url:
        assert get(url)[2]["ETag"] != old


def test_a_procfile_alone_runs_on_the_bare_stack(forge: Forge) -> None:
    built = forge.build({"Procfile": "worker: sh run.sh\n", "run.sh": "echo hi"})
    assert built.processes == {"worker": "sh run.sh"}
    assert len(forge.store.image(built.digest).layers) == 2


def test_local_packages_and_editable_installs_work(forge: Forge) -> None:
    files = {
        "requirements.txt": "./lib\n",
        "lib/pyproject.toml": (
            "[project]\nname='tool'\nversion='1'\n[build-system]\nrequires=['setuptools']\nbuild-backend='setuptools.build_meta'"
        ),
        "lib/tool.py": "TEXT = 'from the lib'",
        "app.py": (
            "import os, tool, http.server as h\nclass H(h.BaseHTTPRequestHandler):\n    def"
            " do_GET(self): self.send_response(200); self.end_headers();"
            " self.wfile.write(tool.TEXT.encode())\nh.HTTPServer(('', int(os.environ['PORT'])),"
            " H).serve_forever()\n"
        ),
    }
    with served(forge, forge.build(files)) as url:
        assert get(url)[1] == "from the lib"
    assert "for the source" in forge.said()


@pytest.mark.parametrize(
    ("files", "words", "sentence"),
    [
        (
            {"requirements.txt": "flask==999.0\n", "app.py": ""},
            "no version of flask==999.0",
            "Dependencies: `uv` failed. It exited with code 1.",
        ),
        (
            {"requirements.txt": "flask==\n", "app.py": ""},
            "requirements.txt",
            "Dependencies: `uv` failed.",
        ),
        (
            {"package.json": '{"dependencies":{"express":"999.0.0"}}', "index.js": ""},
            "ETARGET",
            "Dependencies: `npm` failed.",
        ),
    ],
)
def test_unresolvable_dependencies_fail_with_the_message_of_the_resolver(
    forge: Forge, files: dict[str, str], words: str, sentence: str
) -> None:
    with pytest.raises(BuildFailed) as caught:
        forge.build(files)
    assert caught.value.what.startswith(sentence)
    assert words in forge.said()


def test_a_bad_archive_or_source_ends_the_build_with_its_message(forge: Forge) -> None:
    with pytest.raises(BadSource, match="looked for Dockerfile, Procfile"):
        forge.build({"notes.dat": ""})
    with pytest.raises(BadSource, match="only documents, and no program: notes.md"):
        forge.build({"notes.md": ""})
    with pytest.raises(BadArchive, match="leads out"):
        forge.build({"../x": ""})


SLOW = {
    "package.json": (
        '{"scripts":{"postinstall":"echo installing; sleep'
        ' 60","start":"x"},"dependencies":{"ms":"2.1.3"}}'
    )
}


def test_a_cancelled_build_stops_at_once(forge: Forge) -> None:
    started = time.monotonic()
    with pytest.raises(BuildFailed, match="cancelled"):
        forge.build(
            SLOW,
            cancelled=lambda: (
                "    > echo installing; sleep 60" in forge.log or time.monotonic() - started > 30
            ),
        )
    assert time.monotonic() - started < 30


def test_a_build_that_takes_too_long_is_stopped(forge: Forge) -> None:
    hasty = Builder(forge.config, forge.store, forge.containers, time_limit=2)
    with pytest.raises(BuildFailed, match=r"reached its time limit"):
        hasty.build(forge.request(SLOW), forge.log.append)


def test_a_step_that_replaces_its_folder_by_a_link_reads_nothing_of_the_host(forge: Forge) -> None:
    package = (
        '{"scripts":{"postinstall":"cd / && rm -rf /app/node_modules && ln -s /etc'
        ' /app/node_modules","start":"x"},"dependencies":{"ms":"2.1.3"}}'
    )
    with pytest.raises(BuildFailed, match="replaced the folder /app/node_modules"):
        forge.build({"package.json": package})


def test_two_builds_at_once_install_equal_dependencies_once(forge: Forge) -> None:
    logs: list[list[str]] = [[], []]
    files = {"requirements.txt": "itsdangerous==2.2.0\nmarkupsafe==3.0.4\n", "app.py": ""}
    requests = [forge.request(files, app=f"twin{number}", team=number + 63) for number in range(2)]
    threads = [
        threading.Thread(target=forge.builder.build, args=(requests[number], logs[number].append))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = ["\n".join(log) for log in logs]
    assert sorted("reused layer" in text for text in said) == [False, True]
    assert all("Image: sha256:" in text for text in said)


def test_a_killed_build_is_cleaned_up_and_the_next_one_works(forge: Forge) -> None:
    request = forge.request(SLOW)
    program = f"""
from ipaddress import IPv4Network
from pathlib import Path
from runtime.builds.builder import Builder
from runtime.builds.requests import BuildRequest
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.images.store import Store
from runtime.network.links import Network
from tests.runtime.builds.conftest import LIMITS
config = NodeConfig(name={forge.config.name!r}, state=Path({str(forge.config.state)!r}), run=Path({str(forge.config.run)!r}), network=IPv4Network({str(forge.config.network)!r}))
request = BuildRequest(build_id={request.build_id}, app="app", team=1, archive=Path({str(request.archive)!r}), filename="source.tar.gz", limits=LIMITS)
Builder(config, Store(config), Containers(config, Network(config))).build(request, lambda line: print(line, flush=True))
"""  # noqa: E501
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert child.stdout is not None
    assert any("installing" in line for line in child.stdout)
    assert forge.builder.sweep() == []
    child.kill()
    child.wait()
    child.stdout.close()
    assert len(forge.leftovers()) == 2
    removed = forge.builder.sweep()
    assert len(removed) == 2
    assert forge.leftovers() == []
    assert forge.build(FLASK).digest
