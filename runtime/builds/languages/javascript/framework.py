"""Find how a framework's production server is started, or why it makes none. Pure.

The framework's build makes the server. Its own documentation names the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.builds.languages.javascript import config_files
from runtime.builds.languages.javascript.scripts import build_script
from runtime.errors import BadSource

Texts = Mapping[str, str]  # of the source's files, by path
Document = Mapping[str, Any]  # package.json

_SVELTE_ADAPTER = re.compile(r"@sveltejs/adapter-(\w+)")
_ASTRO_ADAPTER = re.compile(r"@astrojs/(node|vercel|netlify|cloudflare)\b")
_ALL_ADDRESSES = "0.0.0.0"  # inside the instance
# dependency -> variables without which its server only listens on the loopback address
_LISTENS: Mapping[str, Mapping[str, str]] = {
    "@astrojs/node": {"HOST": _ALL_ADDRESSES},
    "fastify-cli": {"FASTIFY_ADDRESS": _ALL_ADDRESSES},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The production server of a framework."""

    framework: str
    command: str


def server(texts: Texts, document: Document) -> Server | None:
    """Return the server that the build makes; None if there is no such framework, or it makes only
    files.
    """
    needs = _dependencies(document)
    if "next" in needs and not _exports_next(texts, document):
        return Server(framework="Next.js", command="next start")
    if "nuxt" in needs and not _generates(document):
        return Server(framework="Nuxt", command="node .output/server/index.mjs")
    if "@sveltejs/kit" in needs and _svelte_adapter(texts, document) == "node":
        out = config_files.value(config_files.text(texts, "svelte"), "out") or "build"
        return Server(framework="SvelteKit", command=f"node {out}") if _is_plain(out) else None
    if "astro" in needs and _astro_adapter(texts) == "node":
        out = config_files.value(config_files.text(texts, "astro"), "outDir") or "dist"
        out = out.removeprefix("./").rstrip("/")
        command = f"node {out}/server/entry.mjs"
        return Server(framework="Astro", command=command) if _is_plain(out) else None
    if "@nestjs/core" in needs:
        has_script = "start:prod" in _scripts(document)
        command = "npm run start:prod" if has_script else "node dist/main"
        return Server(framework="Nest", command=command)
    if "@react-router/serve" in needs and not _is_spa(texts):
        command = "react-router-serve ./build/server/index.js"
        return Server(framework="React Router", command=command)
    if "@remix-run/serve" in needs:
        return Server(framework="Remix", command="remix-serve ./build/server/index.js")
    if "@solidjs/start" in needs:
        return Server(framework="SolidStart", command="node .output/server/index.mjs")
    return None


def refuse_adapters(texts: Texts, document: Document) -> None:
    """Raise BadSource if a framework's adapter makes neither a server nor a site for here."""
    needs = _dependencies(document)
    if "@sveltejs/kit" in needs:
        adapter = _svelte_adapter(texts, document)
        if adapter not in ("node", "static"):
            what = f"SvelteKit's adapter-{adapter} makes" if adapter else "SvelteKit makes"
            raise BadSource(
                f"{what} no server that runs here.",
                hint=(
                    "npm install --save-dev @sveltejs/adapter-node, and import adapter from"
                    " '@sveltejs/adapter-node' in the configuration (for a site of files:"
                    " @sveltejs/adapter-static)."
                ),
            )
    if "astro" in needs:
        adapter = _astro_adapter(texts)
        config = config_files.text(texts, "astro")
        asks = config_files.value(config, "output") in ("server", "hybrid")
        if adapter not in ("", "node") or (asks and not adapter):
            what = (
                f"Astro's adapter @astrojs/{adapter} makes no server that runs here."
                if adapter
                else 'Astro has output: "server" and no adapter, so the build makes no server.'
            )
            raise BadSource(
                what, hint="npx astro add node adds the adapter @astrojs/node with a server."
            )


def environment(document: Document) -> Mapping[str, str]:
    """Return the variables that make a framework's server reachable."""
    needs = _dependencies(document)
    return {
        key: value
        for name, variables in _LISTENS.items()
        if name in needs
        for key, value in variables.items()
    }


def _dependencies(document: Document) -> frozenset[str]:
    kinds = (document.get(kind) for kind in ("dependencies", "devDependencies"))
    return frozenset(name for kind in kinds if isinstance(kind, dict) for name in kind)


def _exports_next(texts: Texts, document: Document) -> bool:
    exports = config_files.value(config_files.text(texts, "next"), "output") == "export"
    return exports or "next export" in _build(document)


def _scripts(document: Document) -> Mapping[str, Any]:
    scripts = document.get("scripts")
    return scripts if isinstance(scripts, dict) else {}


def _generates(document: Document) -> bool:
    return "generate" in _build(document)


def _build(document: Document) -> str:
    scripts = _scripts(document)
    return str(scripts.get(build_script(scripts), ""))


def _is_spa(texts: Texts) -> bool:
    return bool(re.search(r"\bssr\s*:\s*false\b", config_files.text(texts, "react-router")))


def _svelte_adapter(texts: Texts, document: Document) -> str:
    """Return the adapter that the configuration imports, else the one in package.json, or ""."""
    config = config_files.text(texts, "svelte") + config_files.text(texts, "vite")
    if found := _SVELTE_ADAPTER.search(config):
        return found[1]
    names = sorted(_dependencies(document))
    return next((found[1] for name in names if (found := _SVELTE_ADAPTER.fullmatch(name))), "")


def _astro_adapter(texts: Texts) -> str:
    found = _ASTRO_ADAPTER.search(config_files.text(texts, "astro"))
    return found[1] if found else ""


def _is_plain(folder: str) -> bool:
    return re.fullmatch(r"[\w./-]+", folder) is not None
