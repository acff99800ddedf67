"""Static sites: what is served, how paths that are no file are answered, and how a Node.js project's build becomes one. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace

from runtime.builds import plan_node
from runtime.builds.detect import STATIC_FOLDERS, Source
from runtime.builds.node_installer import Installer
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource

SITE = "srv/site"  # where a build's outcome is put, to be taken from
_MADE = ("dist", "build", "out", "_site", "dist/*/browser", "dist/*", "public", "www")  # where builds put their pages, by convention
_FOLDER = re.compile(r"[\w.-]+(?:/[\w.-]+)*")  # goes into a shell line


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`[static]` of slipway.toml (docs/manifest.md)."""

    folder: str = ""
    single_page: bool = False


def wish(source: Source) -> Wish:
    """BadSource: the file is no TOML, or the table holds what is no setting."""
    if "slipway.toml" not in source.files:
        return Wish()
    try:
        table = tomllib.loads(source.texts.get("slipway.toml", "")).get("static", {})
    except tomllib.TOMLDecodeError as error:
        raise BadSource(f"slipway.toml is not valid TOML: {error}.", hint="Correct it and deploy again.") from None
    folder, single_page = (table.get("folder", ""), table.get("single_page", False)) if isinstance(table, dict) else (None, None)
    if not isinstance(folder, str) or not isinstance(single_page, bool):
        raise BadSource("[static] in slipway.toml has a folder that is no text, or a single_page that is neither true nor false.")
    folder = folder.removeprefix("./").rstrip("/")
    if folder not in ("", ".") and (not _FOLDER.fullmatch(folder) or ".." in folder.split("/")):
        raise BadSource(f"[static] folder in slipway.toml reads {folder!r}, which is no folder of the source.", hint='Write "dist".')
    return Wish(folder="" if folder == "." else folder, single_page=single_page)


def folder(source: Source, asked: Wish) -> str:
    """What is served of a source that nothing is made of, "" for all of it. BadSource: no such folder."""
    if asked.folder:
        if not any(path.startswith(f"{asked.folder}/") for path in source.files):
            raise BadSource(f"[static] in slipway.toml names the folder {asked.folder}, which is not in the source.", hint="Correct it.")
        return asked.folder
    return next((found for found in STATIC_FOLDERS if f"{found}index.html" in source.files), "").rstrip("/")


def serve(folder: str, asked: Wish) -> str:
    """The web process."""
    return f"/opt/static/serve {f'/app/{folder}'.rstrip('/')}{' index.html' if asked.single_page else ''}"


def installs(folder: str) -> tuple[Install, ...]:
    command = f"/opt/static/compress {f'/app/{folder}'.rstrip('/')}"
    own = r"find /app -user 0 -exec chown -h 1000:1000 {} +"
    return (Install(name="Compression", tool=Tool.SHELL, files=(), whole=True, command=f"{command} && {own}", keep=("app",), on_code=True),)


def made_by_node(source: Source, by: Installer, asked: Wish) -> tuple[Install, ...]:
    """The steps of the stage that makes the site: it is thrown away but for SITE, so nothing has to be removed from it."""
    *before, build = plan_node.installs(source, by)
    looked = asked.folder or " ".join(_MADE)
    find = f'for folder in {looked}; do if [ -f "$folder/index.html" ]; then break; fi; folder=; done'
    missing = (
        f"echo 'No index.html in {looked.replace(' ', ', ')} after the build: say in slipway.toml which folder it makes, [static] folder.'"
    )
    copy = f'mkdir -p /{SITE} && cp -a "$folder/." /{SITE}/ && rm -rf /{SITE}/node_modules && echo "The site is $folder"'
    command = f'{by.tool} run build && {find} && if [ -z "$folder" ]; then {missing}; exit 1; fi && {copy}'
    return (*before, replace(build, command=command, keep=(SITE,)))
