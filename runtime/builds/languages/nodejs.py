"""Plan a Node.js build: the version, install steps and default web process. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Any

from runtime.builds.languages import node_package_manager
from runtime.builds.languages.detect import Source
from runtime.builds.languages.javascript import framework, node_version
from runtime.builds.languages.javascript import scripts as names
from runtime.builds.languages.javascript.dev_server import (
    is_development_server,
    watched_program,
)
from runtime.builds.languages.javascript.package import package, parsed
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes
from runtime.builds.languages.node_package_manager import Installer
from runtime.builds.steps import Install, Tool
from runtime.stacks.definition import GIT

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


def installer(source: Source) -> Installer:
    return node_package_manager.choose(source, package(source))


class NodeJs(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        runtime, words = node_version.choose(inputs)
        by = installer(inputs.source)
        if by.manager is None:
            return Runtimes(main=runtime, words=words)
        return Runtimes(
            main=runtime,
            words=f"{words}; {by.tool} {by.version}, by {by.because}",
            also=(by.manager,),
        )

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps in Heroku's order: `heroku-prebuild`, the packages of the lock file,
        then `heroku-postbuild` or `build`.

        Packages that only the build needs are removed afterwards.
        """
        source, by = inputs.source, installer(inputs.source)
        document, inner = package(source), _inner(source)
        scripts = document.get("scripts", {})
        builds, prebuilds = bool(names.build_script(scripts)), names.has_prebuild(scripts)
        steps: list[Install] = []
        if prebuilds:
            steps.append(_script_step("Prebuild script", by, names.PREBUILD))
        if builds or any(
            document.get(kind)
            for kind in ("dependencies", "devDependencies", "optionalDependencies", "workspaces")
        ):
            steps.append(_dependencies(source, by, inner, builds=builds, on_code=prebuilds))
        if builds:
            steps.append(build_step(source, by))
        return tuple(steps)

    def web(self, source: Source) -> tuple[str, str] | None:
        """Return a web command by convention, and the reason; None if no file determines one."""
        by = installer(source)
        document = package(source)
        scripts = document.get("scripts", {})
        start = str(scripts.get("start", ""))
        server = framework.server(source.texts, document) if names.build_script(scripts) else None
        if server and (not start or is_development_server(start)):
            why = f"{server.framework} has this server"
            said = f" and the start script `{start}` is for development" if start else ""
            return server.command, why + said
        if (watched := watched_program(start)) in source.files:
            return f"node {watched}", f"the start script `{start}` is for development"
        if start:
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
        return {
            "PATH": f"/app/node_modules/.bin:{USUAL_PATH}",
            "NODE_ENV": "production",
            **loads,
            **framework.environment(package(inputs.source)),
        }

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
        scripts = package(source).get("scripts", {})
        said += names.notes(scripts)
        if names.build_script(scripts) and _has_development(source):
            said.append(_dev_dependencies_note(source, by))
        return tuple(said)


def _dev_dependencies_note(source: Source, by: Installer) -> str:
    if _remove_dev_dependencies(source, by):
        return "Note: devDependencies are installed for the build and removed after it."
    why = (
        "workspaces share them"
        if _inner(source)
        else "yarn cannot remove them without fetching all packages again"
    )
    return f"Note: devDependencies stay in the image: {why}."


def run_build(source: Source, by: Installer) -> str:
    """Return the shell command of the build script, with Heroku's environment of builds.

    npm inside the script still installs what only a build needs.
    """
    return _run(by, names.build_script(package(source).get("scripts", {})))


def build_step(source: Source, by: Installer) -> Install:
    """Return the step that runs the build script on the code, and removes what only the build
    needs.

    It removes packages only where the tool can do that without downloading again.
    """
    scripts = package(source).get("scripts", {})
    parts = [run_build(source, by), _remove_dev_dependencies(source, by)]
    if names.has_cleanup(scripts):
        parts.append(_run(by, names.CLEANUP))
    return replace(
        _script_step("Build script", by, names.build_script(scripts)),
        command=" && ".join(part for part in (*parts, _OWN) if part),
    )


def _script_step(name: str, by: Installer, script: str) -> Install:
    """Return the step that runs one script on the code."""
    return Install(
        name=name,
        tool=by.tool,
        files=(),
        whole=True,
        command=f"{_run(by, script)} && {_OWN}",
        says=f"{by.tool} run {script}",
        keep=("app",),
        on_code=True,
    )


def _run(by: Installer, script: str) -> str:
    return f"NODE_ENV=production NPM_CONFIG_INCLUDE=dev {by.tool} run {script}"


def _remove_dev_dependencies(source: Source, by: Installer) -> str:
    """Return the command that removes devDependencies, "" if there are none or they have to
    stay.
    """
    if not _has_development(source) or _inner(source):
        return ""
    return {
        Tool.NPM: f"npm prune --omit=dev --ignore-scripts {_QUIET}",
        Tool.PNPM: "pnpm prune --prod --ignore-scripts",
    }.get(by.tool, "")


def _dependencies(
    source: Source, by: Installer, inner: tuple[str, ...], *, builds: bool, on_code: bool
) -> Install:
    """Return the step that installs the packages.

    It runs on the code if a script has to change the source before.
    """
    whole = on_code or _reads_all(source, package(source), inner, by)
    files = () if whole and (by.plays or on_code) else tuple(sorted(_read(source, by, inner)))
    uses_git = any(_GIT.search(source.texts.get(name, "")) for name in ("package.json", by.lock))
    return Install(
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
        on_code=on_code,
        build_runtimes=(GIT,) if uses_git else (),
    )


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
        if isinstance(scripts_of := parsed(source, f"{folder}/package.json").get("scripts"), dict)
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
        parsed(source, name).get("devDependencies") for name in names if name in source.texts
    )
