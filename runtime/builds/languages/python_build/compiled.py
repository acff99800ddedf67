"""Decide when packages are installed with compilers and headers. Pure.

A package that PyPI has only as a source needs them at once. For all others the step is tried
without them first, and again with them only if a package could not be built: see
runtime.builds.install_steps.
"""

from __future__ import annotations

import re
from dataclasses import replace

from runtime.builds.languages.detect import PYTHON_FILES, Source
from runtime.builds.steps import Install, Tool
from runtime.stacks.languages import PYTHON_COMPILERS

# Packages without wheels for Linux.
_SOURCES_ONLY = re.compile(
    r"(?<![\w.-])(?:psycopg2|mysqlclient|uwsgi|pycairo|python-ldap|pygraphviz|pylibmc)(?![\w-])",
    re.IGNORECASE,
)


def steps(source: Source, installs: tuple[Install, ...]) -> tuple[Install, ...]:
    """Return the steps of uv with the compilers that they may use."""
    texts = (
        text
        for file, text in source.texts.items()
        if file in PYTHON_FILES or file.startswith("requirements")
    )
    at_once = any(_SOURCES_ONLY.search(text) for text in texts)
    return tuple(_with_compilers(install, at_once=at_once) for install in installs)


def _with_compilers(install: Install, *, at_once: bool) -> Install:
    if install.tool is not Tool.UV:
        return install
    build_runtimes = (*install.build_runtimes, *((PYTHON_COMPILERS,) if at_once else ()))
    return replace(install, build_runtimes=build_runtimes, compilers=(PYTHON_COMPILERS,))
