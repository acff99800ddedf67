"""Plan a Node.js build: the version, install steps and default web process. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

import nodesemver

from runtime.builds.languages import node_package_manager
from runtime.builds.languages.detect import Source
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes
from runtime.builds.languages.node_package_manager import Installer
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.definition import GIT, NODE_DEFAULT, NODE_MAJORS, NODE_NEWEST, node
from runtime.stacks.stack import NodeRuntime

LONGEST_WISH = (
    100  # characters; nodesemver's time grows with their square, and all other builds wait for it
)
_MOST_INNER = 200  # folders of packages that are kept separately
_HOOKS = (
    "preinstall",
    "install",
    "postinstall",
    "prepare",
)  # scripts that npm runs while it installs; they may read any file
_QUIET = "--no-audit --no-fund --no-update-notifier --no-progress"
_GIT = re.compile(r"git\+(?:ssh|https?|file):|git://|\"(?:github|gitlab|bitbucket):")
# settings files of package managers that decide what is installed
_SETTINGS = (
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "pnpm-workspace.yaml",
    ".pnpmfile.cjs",
    ".pnpmfile.mjs",
)
_PARTS = re.compile(r"\.yarn/(?:releases|plugins|patches|versions)/|patches/")
# The results of a build belong to the app's user, as its code does; packages remain owned by root.
_OWN = (
    r"find /app \( -name node_modules -o -name .yarn \) -prune -o -user 0 -exec chown -h 1000:1000"
    r" {} +"
)


def _runtime(inputs: Inputs) -> tuple[NodeRuntime, str]:
    """Return the requested Node.js, and the text for the log.

    The list of all versions is requested only if the known ones do not match.
    """
    wish, where = _wish(inputs.source)
    if len(wish) > LONGEST_WISH:
        raise BadSource(
            f"{where} is too long for a range of versions.", hint='Write for example "22.x".'
        )
    if not wish:
        return node(NODE_DEFAULT), f"Node.js {NODE_DEFAULT}, the default"
    try:
        found = (
            _choose(wish, (NODE_DEFAULT,))
            or _choose(wish, NODE_NEWEST)
            or _choose(wish, tuple(_offered(inputs.node_versions())))
        )
    except ValueError:
        raise BadSource(
            f"{where} reads {wish!r}, which is not a valid range of versions.",
            hint='Write for example "22.x".',
        ) from None
    if found is None:
        majors = ", ".join(f"{major}.x" for major in NODE_MAJORS)
        raise BadSource(
            f"{where} requires Node.js {wish}, which is not available. Available: {majors}.",
            hint="Write one of these there.",
        )
    return node(found), f"Node.js {found}, {where} requires {wish}"


def installer(source: Source) -> Installer:
    return node_package_manager.choose(source, package(source))


class Node(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        runtime, words = _runtime(inputs)
        by = installer(inputs.source)
        if by.manager is None:
            return Runtimes(main=runtime, words=words)
        return Runtimes(
            main=runtime,
            words=f"{words}; {by.tool} {by.version}, by {by.because}",
            also=(by.manager,),
        )

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps: the packages of the lock file, then the `build` script, if there is
        one.

        Packages that only the build needs are removed afterwards.
        """
        source, by = inputs.source, installer(inputs.source)
        document, inner = package(source), _inner(source)
        builds = has_build(source)
        if not builds and not any(
            document.get(kind)
            for kind in ("dependencies", "devDependencies", "optionalDependencies", "workspaces")
        ):
            return ()
        whole = _reads_all(source, document, inner, by)
        files = () if whole and by.plays else tuple(sorted(_read(source, by, inner)))
        first = Install(
            name="Dependencies",
            tool=by.tool,
            files=files,
            whole=whole,
            command=_install(by, builds=builds),
            keep=(
                ("app",)
                if by.plays or len(inner) > _MOST_INNER
                else ("app/node_modules", *(f"app/{folder}/node_modules" for folder in inner))
            ),
            beside=(
                (GIT,)
                if any(
                    _GIT.search(source.texts.get(name, "")) for name in ("package.json", by.lock)
                )
                else ()
            ),
        )
        return (first, build_script(source, by)) if builds else (first,)

    def web(self, source: Source) -> tuple[str, str] | None:
        """Return a web command by convention, and the reason; None if no file determines one."""
        by = installer(source)
        document = package(source)
        if "start" in document.get("scripts", {}):
            return f"{'yarn' if by.plays else 'npm'} start", "package.json has a start script"
        for file in (
            str(document.get("main", "")).removeprefix("./"),
            "server.js",
            "index.js",
            "app.js",
        ):
            if file in source.files:
                return f"node {file}", f"there is a {file}"
        return None

    def environment(self, inputs: Inputs) -> dict[str, str]:
        """Return the variables of instances."""
        by = installer(inputs.source)
        loads = {"NODE_OPTIONS": "--require /app/.pnp.cjs"} if by.plays else {}
        return {"PATH": f"/app/node_modules/.bin:{USUAL_PATH}", "NODE_ENV": "production", **loads}

    def left_out(self, inputs: Inputs) -> tuple[str, ...]:
        return ("node_modules",) if "package.json" in inputs.source.files else ()

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        source, by = inputs.source, installer(inputs.source)
        if "package.json" not in source.files:
            return ()
        said = []
        unread = node_package_manager.unread(source, by)
        if not by.lock and unread:
            said.append(
                f"Warning: {' and '.join(unread)} is ignored; {by.tool} selects versions itself."
                " Commit its own lock file."
            )
        elif not by.lock:
            said.append(
                "Warning: without a package-lock.json, the first installation selects the newest"
                " versions."
            )
        elif unread:
            said.append(f"Note: {by.lock} is used; {' and '.join(unread)} is ignored.")
        if (
            has_build(source)
            and _has_development(source)
            and (by.tool is Tool.YARN or _inner(source))
        ):
            why = (
                "workspaces share them"
                if _inner(source)
                else "yarn cannot remove them without fetching all packages again"
            )
            said.append(f"Note: devDependencies stay in the image: {why}.")
        return tuple(said)


def build_script(source: Source, by: Installer) -> Install:
    """Return the step that runs the build script on the code, and removes what only the build
    needs.

    It removes packages only where the tool can do that without downloading again.
    """
    prune = ""
    if _has_development(source) and not _inner(source):
        prune = {
            Tool.NPM: f"npm prune --omit=dev --ignore-scripts {_QUIET}",
            Tool.PNPM: "pnpm prune --prod --ignore-scripts",
        }.get(by.tool, "")
    command = " && ".join(part for part in (f"{by.tool} run build", prune, _OWN) if part)
    return Install(
        name="Build script",
        tool=by.tool,
        files=(),
        whole=True,
        command=command,
        says=f"{by.tool} run build",
        keep=("app",),
        on_code=True,
    )


def package(source: Source) -> dict[str, Any]:
    """Return the content of package.json, or {} if there is none."""
    return _parsed(source, "package.json") if "package.json" in source.files else {}


def has_build(source: Source) -> bool:
    return "build" in package(source).get("scripts", {})


def _install(by: Installer, *, builds: bool) -> str:
    if by.tool is Tool.NPM:
        return (
            f"npm {'ci' if by.lock else 'install'} {'--include=dev' if builds else '--omit=dev'}"
            f" {_QUIET}"
        )
    if by.tool is Tool.PNPM:
        lock = "--frozen-lockfile" if by.lock else "--no-frozen-lockfile"
        return f"pnpm install {lock}{'' if builds else ' --prod'}"
    if by.is_berry:
        checked = f"yarn install {'--immutable' if by.lock else '--no-immutable'}"
        return (
            checked
            if builds or by.major < 4
            else f"{checked} --mode=skip-build && yarn workspaces focus --all --production"
        )
    mirror = 'if [ -n "${YARN_NPM_REGISTRY_SERVER-}" ]; then ' + _OF_HERE + "; fi"
    install = (
        f"yarn install --non-interactive{' --frozen-lockfile' if by.lock else ''}"
        f" --production={'false' if builds else 'true'}"
    )
    return f"{mirror} && {install}" if by.lock else install


# A lock of yarn 1 names the registry that it was made with. If the host uses another,
# the packages come from that one; the hashes stay.
_OF_HERE = (
    r'sed -i -E "s#https?://registry\.(npmjs\.org|yarnpkg\.com)#$YARN_NPM_REGISTRY_SERVER#"'
    r" yarn.lock"
)


def _reads_all(
    source: Source, document: dict[str, Any], inner: tuple[str, ...], by: Installer
) -> bool:
    """Return whether the installation may need more than the files that name the packages.

    It does for the app's own scripts, and for packages in its folders.
    """
    texts = [
        source.texts.get("package.json", ""),
        *(source.texts.get(f"{folder}/package.json", "") for folder in inner),
    ]
    local = any(re.search(r'"(?:file|link|portal):', text) for text in texts)
    scripts = [document.get("scripts", {})]
    scripts += [
        scripts_of
        for folder in inner
        if isinstance(scripts_of := _parsed(source, f"{folder}/package.json").get("scripts"), dict)
    ]
    commands = any('"bin"' in source.texts.get(f"{folder}/package.json", "") for folder in inner)
    packed = any(path.startswith(".yarn/cache/") for path in source.files)
    hooked = any(name in each for each in scripts for name in _HOOKS)
    unread = any(f"{folder}/package.json" not in source.texts for folder in inner)
    return local or hooked or commands or unread or (packed and by.is_berry)


def _read(source: Source, by: Installer, inner: tuple[str, ...]) -> set[str]:
    named = {"package.json", by.lock, *_SETTINGS, *(f"{folder}/package.json" for folder in inner)}
    return {path for path in source.files if path in named or _PARTS.match(path)}


def _inner(source: Source) -> tuple[str, ...]:
    """Return the folders with their own packages, if the source declares any (`workspaces`, or
    pnpm's file).
    """
    if "workspaces" not in package(source) and "pnpm-workspace.yaml" not in source.files:
        return ()
    found = (posixpath.split(path) for path in source.files if path.endswith("/package.json"))
    return tuple(sorted(folder for folder, _ in found if "node_modules" not in folder.split("/")))


def _has_development(source: Source) -> bool:
    names = ("package.json", *(f"{folder}/package.json" for folder in _inner(source)))
    return any(
        _parsed(source, name).get("devDependencies") for name in names if name in source.texts
    )


def _wish(source: Source) -> tuple[str, str]:
    """Return (a semver range or "", the place that specifies it)."""
    if wish := node_package_manager.engine(package(source), "node"):
        return wish, "engines.node in package.json"
    for file in (".node-version", ".nvmrc"):
        if line := source.texts.get(file, "").strip():
            return (
                re.sub(
                    r"^v(?=\d)", "", "*" if line in ("node", "latest", "lts/*", "stable") else line
                ),
                file,
            )
    return "", ""


def _choose(wish: str, versions: tuple[str, ...]) -> str | None:
    found = nodesemver.max_satisfying(list(versions), wish, loose=False)
    return None if found is None else str(found)


def _offered(versions: list[str]) -> list[str]:
    return [
        version
        for version in versions
        if re.fullmatch(r"\d+\.\d+\.\d+", version) and int(version.partition(".")[0]) in NODE_MAJORS
    ]


def _parsed(source: Source, file: str) -> dict[str, Any]:
    try:
        document = json.loads(source.texts.get(file, ""))
    except (ValueError, RecursionError) as error:
        raise BadSource(
            f"{file} is not valid JSON: {error}.", hint="Correct it and deploy again."
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("scripts", {}), dict):
        raise BadSource(
            f"{file} is not an object, or its scripts are not an object.",
            hint="npm init -y writes a valid one.",
        )
    return document
