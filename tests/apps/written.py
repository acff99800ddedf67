"""Sources in the shape that people have, for frameworks whose generators need more than npm.

The generators of Nuxt, Astro and React Router download their templates from GitHub.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An app as files, and a part of its page."""

    files: Mapping[str, str]
    words: str
    path: str = "/"


def _package(**keys: object) -> str:
    return json.dumps({"name": "app", "private": True, "type": "module", **keys})


_NUXT = {
    "nuxt.config.ts": "export default defineNuxtConfig({ devtools: { enabled: false } })\n",
    "app.vue": "<template><h1>Made by Nuxt {{ 6 * 7 }}</h1></template>\n",
}
_ASTRO_PAGE = {"src/pages/index.astro": "---\nconst n = 6 * 7\n---\n<h1>Made by Astro {n}</h1>\n"}
_SERVER = (
    'import { createServer } from "node:http"\nimport { name } from "@acme/words"\n'
    "createServer((q, r) => r.end(name)).listen(process.env.PORT)\n"
)
WRITTEN = {
    "nuxt": Written(
        files={
            "package.json": _package(
                scripts={"build": "nuxt build", "dev": "nuxt dev", "preview": "nuxt preview"},
                dependencies={"nuxt": "^4.0.0", "vue": "^3.5.0"},
            ),
            **_NUXT,
        },
        words="Made by Nuxt 42",
    ),
    "nuxt-site": Written(
        files={
            "package.json": _package(
                scripts={"build": "nuxt generate", "start": "cross-env A=b nuxt dev"},
                dependencies={"nuxt": "^4.0.0", "vue": "^3.5.0"},
                devDependencies={"cross-env": "^7.0.0"},
            ),
            **_NUXT,
        },
        words="Made by Nuxt 42",
    ),
    "astro-site": Written(
        files={
            "package.json": _package(
                scripts={"start": "astro dev", "build": "astro build"},
                dependencies={"astro": "^5.0.0"},
            ),
            "astro.config.mjs": 'export default { outDir: "./html" }\n',
            **_ASTRO_PAGE,
        },
        words="Made by Astro 42",
    ),
    "astro-server": Written(
        files={
            "package.json": _package(
                scripts={"start": "astro dev", "build": "astro build"},
                dependencies={"astro": "^5.0.0", "@astrojs/node": "^9.0.0"},
            ),
            "astro.config.mjs": (
                'import node from "@astrojs/node"\n'
                'export default { output: "server", adapter: node({ mode: "standalone" }) }\n'
            ),
            **_ASTRO_PAGE,
        },
        words="Made by Astro 42",
    ),
    "next-export": Written(
        files={
            "package.json": json.dumps(
                {
                    "private": True,
                    "scripts": {"build": "next build", "start": "dotenv -e .env -- next dev"},
                    "dependencies": {"next": "^15.0.0", "react": "^19.0.0", "react-dom": "^19.0.0"},
                    "devDependencies": {"dotenv-cli": "^8.0.0"},
                }
            ),
            "next.config.mjs": 'export default { output: "export" }\n',
            "pages/index.js": "export default function Home() { return <h1>Exported {6 * 7}</h1> }",
        },
        words="Exported",
    ),
    "vite-folder": Written(
        files={
            "package.json": _package(
                scripts={"build": "vite build", "start": "cross-env NODE_ENV=development vite"},
                devDependencies={"vite": "^6.0.0", "cross-env": "^7.0.0"},
            ),
            "vite.config.js": (
                "export default { root: 'web', build: { outDir: '../public_html' } }\n"
            ),
            "web/index.html": "<h1>Made by Vite</h1>\n",
        },
        words="Made by Vite",
    ),
    "workspaces": Written(
        files={
            "package.json": _package(
                workspaces=["packages/*", "server"], scripts={"start": "npm start -w server"}
            ),
            "packages/words/package.json": _package(
                name="@acme/words", version="1.0.0", exports="./index.js"
            ),
            "packages/words/index.js": 'export const name = "from a workspace"\n',
            "server/package.json": _package(
                name="server",
                version="1.0.0",
                scripts={"start": "node index.js"},
                dependencies={"@acme/words": "1.0.0"},
            ),
            "server/index.js": _SERVER,
        },
        words="from a workspace",
    ),
}
