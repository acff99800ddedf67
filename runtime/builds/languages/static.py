"""Plan a static site: its folder, the answer for unknown paths, and the stage of a Node.js build.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runtime.builds.languages.detect import STATIC_FOLDERS
from runtime.builds.languages.javascript import site_output
from runtime.builds.languages.javascript.package import package
from runtime.builds.languages.javascript.site_output import FOLDER_NAME
from runtime.builds.languages.language import Inputs, Language, Runtimes
from runtime.builds.languages.nodejs import NodeJs, installer, run_build
from runtime.builds.steps import Install, Tool
from runtime.contract.manifest import Static
from runtime.errors import BadSource
from runtime.stacks.static import STATIC

_SITE = "srv/site"  # the folder for a build's result, from which the image takes it
_MADE = (
    "dist",
    "build",
    "out",
    "_site",
    "dist/*/browser",
    "dist/*",
    ".output/public",
    "build/client",
    ".vitepress/dist",
    "docs/.vitepress/dist",
    "public",
    "www",
)  # usual output folders of builds


class StaticSite(Language):
    takes = _SITE

    def runtime(self, inputs: Inputs) -> Runtimes:
        words = "nginx serves the files" + (
            ", unknown paths get index.html" if inputs.source.app_file.static.single_page else ""
        )
        return Runtimes(main=STATIC, words=words)

    def check(self, inputs: Inputs) -> None:
        """Raise BadSource if the folder is not in the source, or its name is not a single word for
        a shell.
        """
        asked = inputs.source.app_file.static
        if asked.folder and (
            not FOLDER_NAME.fullmatch(asked.folder) or ".." in asked.folder.split("/")
        ):
            raise BadSource(
                f"[static] folder in slipway.toml reads {asked.folder!r}, which is not a folder of"
                " the source.",
                hint='Write "dist".',
            )

    def earlier(self, inputs: Inputs) -> Language | None:
        return _SiteBuild() if inputs.detected.first else None

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        command = f"/opt/static/compress {f'/app/{_folder(inputs)}'.rstrip('/')}"
        own = r"find /app -user 0 -exec chown -h 1000:1000 {} +"
        return (
            Install(
                name="Compression",
                tool=Tool.SHELL,
                files=(),
                whole=True,
                command=f"{command} && {own}",
                keep=("app",),
                on_code=True,
            ),
        )

    def processes(self, inputs: Inputs) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Return the server of the files, and the manifest's processes. The Procfile's are not
        used.
        """
        asked = inputs.source.app_file
        return {"web": _serve(_folder(inputs), asked.static), **asked.commands}, ()

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        """Return the warnings of the stage that makes the site, if there is one."""
        if not inputs.detected.first:
            return ()
        by_node = (
            "Node.js builds the site; the image gets the build's output, without Node.js and"
            " node_modules."
        )
        return (by_node, *(note for note in NodeJs().notes(inputs) if note.startswith("Warning")))


def _folder(inputs: Inputs) -> str:
    """Return the folder to serve, "" for all of the source. It is "" after a build: only the output
    is left.

    BadSource: no such folder.
    """
    source, asked = inputs.source, inputs.source.app_file.static
    if inputs.detected.first:
        return ""
    if asked.folder:
        if not any(path.startswith(f"{asked.folder}/") for path in source.files):
            raise BadSource(
                f"[static] in slipway.toml names the folder {asked.folder}, which is not in the"
                " source.",
                hint="Correct it.",
            )
        return asked.folder
    return next(
        (found for found in STATIC_FOLDERS if f"{found}index.html" in source.files), ""
    ).rstrip("/")


def _serve(folder: str, asked: Static) -> str:
    """Return the command of the web process."""
    return (
        "/opt/static/serve"
        f" {f'/app/{folder}'.rstrip('/')}{' index.html' if asked.single_page else ''}"
    )


class _SiteBuild(NodeJs):
    """The stage that makes the site. Only _SITE remains of it, so nothing has to be removed."""

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        by, asked = installer(inputs.source), inputs.source.app_file.static
        *before, build = super().installs(inputs)
        configured = site_output.folders(inputs.source.texts, package(inputs.source))
        looked = asked.folder or " ".join(dict.fromkeys((*configured, *_MADE)))
        find = (
            f'for folder in {looked}; do if [ -f "$folder/index.html" ]; then break; fi; folder=;'
            " done"
        )
        missing = (
            f"echo 'No index.html in {looked.replace(' ', ', ')} after the build: set [static]"
            " folder in slipway.toml to the folder that it creates.'"
        )
        copy = (
            f'mkdir -p /{_SITE} && cp -a "$folder/." /{_SITE}/ && rm -rf /{_SITE}/node_modules &&'
            ' echo "The site is $folder"'
        )
        found = f'if [ -z "$folder" ]; then {missing}; exit 1; fi'
        command = f"{run_build(inputs.source, by)} && {find} && {found} && {copy}"
        return (*before, replace(build, command=command, keep=(_SITE,)))

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        return ()
