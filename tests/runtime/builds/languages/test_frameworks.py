"""Pure tests of JavaScript frameworks: development servers, production servers and site folders."""

from __future__ import annotations

import json
import time

import pytest

from runtime.builds.languages.detect import LanguageName
from runtime.builds.languages.javascript import site_output
from runtime.builds.languages.javascript.dev_server import (
    is_development_server,
)
from runtime.builds.plan import BuildPlan
from runtime.errors import BadSource
from tests.runtime.builds.languages.planning import of

WRAPPED = (
    "{}",
    "NODE_ENV=production {}",
    "cross-env NODE_ENV=development {}",
    "cross-env-shell A=b C='d e' {}",
    "env A=b {}",
    "dotenv -e .env.local -- {}",
    "dotenvx run -f .env -- {}",
    "env-cmd -f .env {}",
    "npx --yes {}",
    "NODE_OPTIONS='--a --b' npx cross-env A=b {}",
)


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("server", ["vite", "vite --host", "react-scripts start", "ng serve"])
def test_a_development_server_is_recognised_behind_its_wrappers(wrapped: str, server: str) -> None:
    assert is_development_server(wrapped.format(server))


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("script", ["node server.js", "vite build", "next start", "webpack"])
def test_another_program_is_not_a_development_server(wrapped: str, script: str) -> None:
    assert not is_development_server(wrapped.format(script))


@pytest.mark.parametrize(
    "script", ["vite build && node s.js", "vite; node s.js", "vite | tee x", "", "cross-env A=b"]
)
def test_a_script_of_several_commands_is_not_a_development_server(script: str) -> None:
    assert not is_development_server(script)


@pytest.mark.parametrize(
    ("start", "web"),
    [
        ("nodemon server.js", "node server.js"),
        ("cross-env A=b nodemon --watch src -e js ./server.js --port 1", "node server.js"),
        ("nodemon --exec ts-node server.js", "npm start"),
        ("nodemon missing.js", "npm start"),
        ("nodemon", "npm start"),
    ],
)
def test_a_program_that_nodemon_watches_is_started_without_it(start: str, web: str) -> None:
    package = json.dumps({"scripts": {"start": start}, "devDependencies": {"nodemon": "3"}})
    decided = of({"package.json": package, "server.js": ""})
    assert decided.processes["web"] == web


def app(
    needs: str, scripts: dict[str, str] | None = None, /, **files: str
) -> tuple[BuildPlan, str]:
    package = {
        "scripts": {"build": "x", **(scripts or {})},
        "dependencies": dict.fromkeys(needs.split(), "1"),
    }
    named = {name.replace("__", "."): text for name, text in files.items()}
    decided = of({"package.json": json.dumps(package), **named})
    return decided, decided.processes.get("web", "")


@pytest.mark.parametrize(
    ("needs", "scripts", "files", "web"),
    [
        ("next", {}, {}, "next start"),
        ("next", {"start": "next dev"}, {}, "next start"),
        ("next", {"start": "cross-env A=b next dev -p 1"}, {}, "next start"),
        ("next", {"start": "next start"}, {}, "npm start"),
        ("next", {"start": "node server.js"}, {}, "npm start"),
        ("nuxt", {"build": "nuxt build"}, {}, "node .output/server/index.mjs"),
        ("@nestjs/core", {"start": "nest start", "start:prod": "node dist/main"}, {}, None),
        ("@nestjs/core", {"start": "nest start"}, {}, "node dist/main"),
        (
            "@sveltejs/kit",
            {},
            {"svelte__config__js": "import adapter from '@sveltejs/adapter-node';"},
            "node build",
        ),
        (
            "@sveltejs/kit",
            {},
            {"vite__config__ts": "import a from '@sveltejs/adapter-node';"},
            "node build",
        ),
        (
            "astro",
            {"start": "astro dev"},
            {"astro__config__mjs": "import node from '@astrojs/node'"},
            "node dist/server/entry.mjs",
        ),
        (
            "@react-router/serve",
            {},
            {},
            "react-router-serve ./build/server/index.js",
        ),
        ("express", {"start": "node ./bin/www"}, {}, "npm start"),
    ],
)
def test_a_frameworks_production_server_is_started(
    needs: str, scripts: dict[str, str], files: dict[str, str], web: str | None
) -> None:
    decided, command = app(needs, scripts, **files)
    assert decided.detected.language is LanguageName.NODE
    assert command == (web or "npm run start:prod")


@pytest.mark.parametrize(
    ("needs", "scripts", "files", "folder"),
    [
        ("next", {}, {"next__config__ts": 'const c = { output: "export" }'}, "out"),
        (
            "next",
            {"start": "dotenv -e .env -- next dev"},
            {"next__config__js": "m = { output: 'export' }"},
            "out",
        ),
        (
            "next",
            {},
            {"next__config__mjs": "export default { output: 'export', distDir: 'site' }"},
            "site",
        ),
        ("nuxt", {"build": "nuxt generate"}, {}, ".output/public"),
        ("astro", {}, {"astro__config__mjs": "export default { outDir: './html' }"}, "html"),
        (
            "vite",
            {},
            {"vite__config__ts": "({ root: 'src', build: { outDir: '../site' } })"},
            "site",
        ),
        ("vite", {}, {"vite__config__js": "({\n  // outDir: 'no',\n  root: `web` })"}, "web/dist"),
        ("vite", {"build": "vite build --outDir public/app"}, {}, "public/app"),
        ("react-scripts", {"build": "BUILD_PATH=./www react-scripts build"}, {}, "www"),
        ("@vue/cli-service", {}, {"vue__config__js": "m = { outputDir: 'v' }"}, "v"),
        (
            "@sveltejs/kit",
            {},
            {
                "svelte__config__js": (
                    "import a from '@sveltejs/adapter-static'; a({ pages: 'html' })"
                )
            },
            "html",
        ),
        (
            "@angular/core",
            {"start": "ng serve"},
            {
                "angular__json": (
                    '{"projects":{"shop":{"architect":{"build":{"options":{"outputPath":'
                    '{"base":"out/web","browser":""}, /* old */ }}}}}}'
                )
            },
            "out/web",
        ),
        (
            "@angular/core",
            {},
            {"angular__json": '{"projects":{"shop":{"architect":{"build":{"options":{}}}}}}'},
            "dist/shop/browser",
        ),
    ],
)
def test_the_output_folder_of_a_site_is_found_in_its_configuration(
    needs: str, scripts: dict[str, str], files: dict[str, str], folder: str
) -> None:
    decided, _ = app(needs, scripts, **files)
    assert decided.detected.language is LanguageName.STATIC
    assert decided.earlier is not None
    looked = decided.earlier.installs[-1].command.partition("for folder in ")[2].split(";")[0]
    assert folder in looked.split()
    if folder not in ("out", ".output/public"):
        assert looked.split()[0] == folder


@pytest.mark.parametrize("name", ["/etc", "../..", "a b", "x;y", "$(x)", ".", ""])
def test_a_folder_outside_of_the_source_is_not_taken(name: str) -> None:
    texts = {"vite.config.js": f'({{ outDir: "{name}" }})'}
    assert site_output.folders(texts, {"scripts": {"build": "vite build"}}) == ()


@pytest.mark.parametrize(
    ("needs", "files", "sentence", "package"),
    [
        (
            "@sveltejs/kit @sveltejs/adapter-auto",
            {"svelte__config__js": "import adapter from '@sveltejs/adapter-auto';"},
            "SvelteKit's adapter-auto makes no server that runs here",
            "@sveltejs/adapter-node",
        ),
        ("@sveltejs/kit @sveltejs/adapter-vercel", {}, "adapter-vercel", "@sveltejs/adapter-node"),
        (
            "astro",
            {"astro__config__mjs": "export default { output: 'server' }"},
            'output: "server" and no adapter',
            "@astrojs/node",
        ),
        (
            "astro",
            {"astro__config__mjs": "import vercel from '@astrojs/vercel'"},
            "adapter @astrojs/vercel makes no server",
            "@astrojs/node",
        ),
    ],
)
def test_an_adapter_without_a_server_is_named_with_the_package_to_use(
    needs: str, files: dict[str, str], sentence: str, package: str
) -> None:
    with pytest.raises(BadSource, match=sentence) as caught:
        app(needs, **files)
    assert package in caught.value.hint


def test_a_procfile_goes_before_the_framework() -> None:
    decided, web = app("@sveltejs/kit", Procfile="web: node other.js")
    assert (decided.detected.language, web) == (LanguageName.NODE, "node other.js")


def test_servers_of_frameworks_listen_on_all_addresses() -> None:
    decided, _ = app("astro @astrojs/node", astro__config__mjs="import node from '@astrojs/node'")
    assert decided.environment["HOST"] == "0.0.0.0"
    decided, _ = app("fastify-cli", {"start": "fastify start app.js"})
    assert decided.environment["FASTIFY_ADDRESS"] == "0.0.0.0"
    decided, _ = app("express", {"start": "node x"})
    assert not {"HOST", "FASTIFY_ADDRESS"} & decided.environment.keys()


def test_large_configurations_and_scripts_are_read_quickly() -> None:
    began = time.process_time()
    for text in ("/*x" * 1_000_000, "outDir: '" * 500_000, " " * 3_000_000 + "//"):
        app("vite", vite__config__js=text)
    for script in ("A=b " * 500_000 + "vite", "'" * 1_000_000, "npx -e " * 400_000):
        app("vite", {"start": script, "build": script})
    assert time.process_time() - began < 5
