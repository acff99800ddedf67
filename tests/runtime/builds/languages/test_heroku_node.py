"""Tests of the scripts that Heroku's Node.js buildpack runs, with real builds."""

from __future__ import annotations

import json

from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.languages.test_languages import seen
from tests.runtime.builds.test_builds import get, served

SERVER = (
    'require("http").createServer((q, r) => r.end(require("fs").readFileSync("built.txt")))'
    '.listen(process.env.PORT, "0.0.0.0")'
)


def test_heroku_postbuild_is_run(forge: Forge) -> None:
    files = {
        "build.js": 'require("fs").writeFileSync("built.txt", "built")',
        "index.js": SERVER,
        "package.json": (
            '{"name":"x","version":"1.0.0","private":true,"scripts":{"heroku-postbuild":"node'
            ' build.js","start":"node index.js"}}'
        ),
    }
    with served(forge, forge.build(files)) as url:
        assert get(url)[1] == "built"
    assert "Build script: `npm run heroku-postbuild` for the source" in forge.said()


def test_all_scripts_run_in_herokus_order(forge: Forge) -> None:
    there = "$(test -d node_modules/is-number && echo with || echo without)"
    development = "$(test -d node_modules/is-odd && echo with || echo without)"
    scripts = {
        "heroku-prebuild": f'echo "pre $NODE_ENV {there}" > built.txt',
        "build": "echo never >> built.txt",
        "heroku-postbuild": f'echo "post {development}" >> built.txt',
        "heroku-cleanup": f'echo "clean {there} {development}" >> built.txt',
        "start": "node index.js",
    }
    package = {
        "scripts": scripts,
        "dependencies": {"is-number": "7.0.0"},
        "devDependencies": {"is-odd": "3.0.1"},
    }
    built = forge.build({"index.js": SERVER, "package.json": json.dumps(package)})
    with served(forge, built) as url:
        assert get(url)[1] == "pre production without\npost with\nclean with without\n"
    said = forge.said()
    assert "Prebuild script: `npm run heroku-prebuild` for the source" in said
    assert "heroku-postbuild is run instead of build, as on Heroku" in said
    assert "devDependencies are installed for the build and removed after it" in said
    text = seen(forge.store.image(built.digest), "app/built.txt")
    assert text is not None
    assert text.stat().st_uid == 1000
