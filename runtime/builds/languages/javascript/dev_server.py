"""Recognise start scripts that run a development server, also behind cross-env. Pure."""

from __future__ import annotations

import re

_LONGEST = 2_000  # characters of a script that is looked at
# A bundler's own server: the result of such a project is the folder that its build makes.
_BUNDLERS: dict[str, frozenset[str]] = {
    "vite": frozenset(("", "dev", "serve", "preview")),
    "react-scripts": frozenset(("start",)),
    "craco": frozenset(("start",)),
    "ng": frozenset(("serve", "s")),
    "vue-cli-service": frozenset(("serve",)),
    "astro": frozenset(("dev", "preview")),
    "gatsby": frozenset(("develop",)),
    "parcel": frozenset(("*",)),
    "webpack": frozenset(("serve", "--watch")),
    "webpack-dev-server": frozenset(("*",)),
    "docusaurus": frozenset(("start",)),
    "eleventy": frozenset(("--serve",)),
    "rsbuild": frozenset(("dev", "preview")),
    "vitepress": frozenset(("dev", "preview")),
    "snowpack": frozenset(("dev",)),
}
# The development server of a framework that also has one for production.
_FRAMEWORKS: dict[str, frozenset[str]] = {
    "next": frozenset(("", "dev")),
    "nuxt": frozenset(("", "dev", "preview")),
    "nuxi": frozenset(("dev", "preview")),
    "nest": frozenset(("start",)),
    "remix": frozenset(("dev", "vite:dev")),
    "react-router": frozenset(("dev",)),
    "svelte-kit": frozenset(("dev",)),
}
_WRAPPERS = frozenset(
    ("cross-env", "cross-env-shell", "env", "dotenv", "dotenvx", "env-cmd", "npx", "bunx", "exec")
)
_WITH_VALUE = frozenset(("-e", "-f", "-v", "-p", "-c", "--file", "--environments"))
_OF_NODEMON = frozenset(("-w", "--watch", "-e", "--ext", "-i", "--ignore", "-d", "--delay"))
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_LISTS = re.compile(r"[;&|<>()`]|\$\(")


def is_development_server(script: str) -> bool:
    """Return whether the script only runs a development server, of a bundler or a framework."""
    return _runs(script, {**_BUNDLERS, **_FRAMEWORKS})


def watched_program(script: str) -> str:
    """Return the file that nodemon starts and watches, "" if the script does something else."""
    words = _words(script)
    if not words or words[0] != "nodemon" or {"-x", "--exec"} & set(words):
        return ""
    words = words[1:]
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in _OF_NODEMON else words[1:]
    return words[0].removeprefix("./") if words else ""


def _runs(script: str, servers: dict[str, frozenset[str]]) -> bool:
    words = _words(script)
    if not words:
        return False
    wanted = servers.get(words[0])
    if wanted is None:
        return False
    first = words[1] if len(words) > 1 else ""
    options = [word for word in words[1:] if word.startswith("-")]
    bare = "" in wanted and (not first or first.startswith("-"))
    return "*" in wanted or bare or bool(wanted & {first, *options} - {""})


def _words(script: str) -> list[str]:
    """Return the program and its arguments, without assignments and wrappers.

    Return [] for a script of several commands: one of them may be the program.
    """
    script = script.strip()
    if len(script) > _LONGEST or _LISTS.search(script):
        return []
    words = re.findall(r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'])+", script)
    while words:
        if _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        elif words[0] in _WRAPPERS:
            words = _without_options(words[1:])
        else:
            return words
    return []


def _without_options(words: list[str]) -> list[str]:
    """Return the words after the options of a wrapper."""
    while words and (words[0].startswith("-") or words[0] == "run"):
        words = words[2:] if words[0] in _WITH_VALUE else words[1:]
    return words
