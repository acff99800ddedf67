"""Find the folder that the build of a site makes, from the site builder's configuration. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runtime.builds.languages.javascript import config_files
from runtime.builds.languages.javascript.scripts import build_script
from runtime.builds.manifest.documents import parse_json
from runtime.builds.manifest.json_comments import plain_json

FOLDER_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*")  # is part of a shell line
_LONGEST = 2_000  # characters of a script that is looked at
_OPTION = re.compile(
    r"(?:--(?:outDir|out-dir|output-path|dist-dir|dest|output|outputDir)[= ]|\bBUILD_PATH=)"
    r"[\"']?([\w./-]+)"
)


def folders(texts: Mapping[str, str], document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the folders that the configuration names, the most certain first."""
    found = (_clean(name) for name in _found(texts, document))
    return tuple(dict.fromkeys(name for name in found if name))


def _found(texts: Mapping[str, str], document: Mapping[str, Any]) -> Iterator[str]:
    scripts = document.get("scripts", {})
    script = str(scripts.get(build_script(scripts), ""))[:_LONGEST]
    if option := _OPTION.search(script):
        yield option[1]
    vite = config_files.text(texts, "vite")
    root, out = config_files.value(vite, "root"), config_files.value(vite, "outDir")
    if root or out:
        yield posixpath.join(root, out or "dist")
    yield config_files.value(config_files.text(texts, "astro"), "outDir")
    yield config_files.value(config_files.text(texts, "vue"), "outputDir")
    yield config_files.value(config_files.text(texts, "next"), "distDir")
    yield config_files.value(config_files.text(texts, "svelte"), "pages")
    yield config_files.value(
        config_files.text(texts, "eleventy", ".eleventy") or texts.get(".eleventy.js", ""),
        "output",
    )
    yield from _of_angular(texts)


def _of_angular(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield the output folders of angular.json: of the default project first."""
    try:
        angular = parse_json(plain_json(texts.get("angular.json", "")))
        projects: Mapping[str, Any] = angular["projects"]
        first = angular.get("defaultProject", "")
        for name in sorted(projects, key=lambda name: name != first):
            options = projects[name]["architect"]["build"]["options"]
            path = options.get("outputPath", f"dist/{name}")
            if isinstance(path, dict):
                browser = str(path.get("browser", "browser"))
                yield posixpath.join(str(path["base"]), browser)
            else:
                yield posixpath.join(str(path), "browser")
                yield str(path)
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # missing, or not as Angular writes it: ng reports the fault


def _clean(name: str) -> str:
    """Return a relative folder of the source, "" if it is another place."""
    folder = posixpath.normpath(name.strip()) if name.strip() else ""
    inside = folder not in (".", "..") and not folder.startswith(("../", "/"))
    return folder if inside and FOLDER_NAME.fullmatch(folder) else ""
