"""Plan a static site: its folder, the answer for unknown paths, and the stage of a Node.js build.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import replace

from runtime.builds.languages import node
from runtime.builds.languages.detect import STATIC_FOLDERS, Source
from runtime.builds.languages.node_package_manager import Installer
from runtime.builds.steps import Install, Tool
from runtime.contract.manifest import Static
from runtime.errors import BadSource

SITE = "srv/site"  # the folder for a build's result, from which the image takes it
_MADE = ("dist", "build", "out", "_site", "dist/*/browser", "dist/*", "public", "www")  # usual output folders of builds
_FOLDER = re.compile(r"[\w.-]+(?:/[\w.-]+)*")  # is part of a shell line


def check(asked: Static) -> None:
    """Raise BadSource if the folder is not in the source, or its name is not a single word for a shell."""
    if asked.folder and (not _FOLDER.fullmatch(asked.folder) or ".." in asked.folder.split("/")):
        raise BadSource(
            f"[static] folder in slipway.toml reads {asked.folder!r}, which is not a folder of the source.", hint='Write "dist".'
        )


def folder(source: Source, asked: Static) -> str:
    """Return the folder to serve of a source without a build, "" for all of it.

    BadSource: no such folder.
    """
    if asked.folder:
        if not any(path.startswith(f"{asked.folder}/") for path in source.files):
            raise BadSource(f"[static] in slipway.toml names the folder {asked.folder}, which is not in the source.", hint="Correct it.")
        return asked.folder
    return next((found for found in STATIC_FOLDERS if f"{found}index.html" in source.files), "").rstrip("/")


def serve(folder: str, asked: Static) -> str:
    """Return the command of the web process."""
    return f"/opt/static/serve {f'/app/{folder}'.rstrip('/')}{' index.html' if asked.single_page else ''}"


def installs(folder: str) -> tuple[Install, ...]:
    command = f"/opt/static/compress {f'/app/{folder}'.rstrip('/')}"
    own = r"find /app -user 0 -exec chown -h 1000:1000 {} +"
    return (Install(name="Compression", tool=Tool.SHELL, files=(), whole=True, command=f"{command} && {own}", keep=("app",), on_code=True),)


def made_by_node(source: Source, by: Installer, asked: Static) -> tuple[Install, ...]:
    """Return the steps of the stage that makes the site.

    Only SITE remains of that stage, so nothing has to be removed from it.
    """
    *before, build = node.installs(source, by)
    looked = asked.folder or " ".join(_MADE)
    find = f'for folder in {looked}; do if [ -f "$folder/index.html" ]; then break; fi; folder=; done'
    missing = f"echo 'No index.html in {looked.replace(' ', ', ')} after the build: set [static] folder in slipway.toml to the folder that it creates.'"
    copy = f'mkdir -p /{SITE} && cp -a "$folder/." /{SITE}/ && rm -rf /{SITE}/node_modules && echo "The site is $folder"'
    command = f'{by.tool} run build && {find} && if [ -z "$folder" ]; then {missing}; exit 1; fi && {copy}'
    return (*before, replace(build, command=command, keep=(SITE,)))
