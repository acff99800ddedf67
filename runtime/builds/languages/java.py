"""Plan a Java build of a runnable .jar or of a source file: the version, the check and the web
process. Pure.
"""

from __future__ import annotations

import re
import shlex

from runtime.builds.languages.detect import JAVA_SOURCES, Source
from runtime.builds.languages.jar import attribute, is_program_place
from runtime.builds.languages.language import Inputs, Language, Runtimes
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.languages import JAVA, JAVA_TOOLCHAIN

_DEFAULT = "21"
_SEVERAL_FILES = (
    22  # from this version on, `java Main.java` finds classes in neighbouring files (JEP 458)
)


class Java(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return Java and the text for the log; with a compiler for a source file, without for a
        .jar.

        BadSource lists the versions that exist.
        """
        source = inputs.source
        version, why = _version(source)
        if version not in JAVA:
            raise BadSource(
                f"{why} Java {version}, which is not available. Available:"
                f" {', '.join(sorted(JAVA))}.",
                hint=(
                    f"Ask for {_DEFAULT} in system.properties (java.runtime.version={_DEFAULT}); it"
                    " also runs classes of older versions."
                ),
            )
        compiles = any(
            re.search(r"\bjava\b.*\.java\b|\bjavac\b", line) for line in inputs.commands.values()
        ) or not jars(source)
        return Runtimes(
            main=(JAVA_TOOLCHAIN if compiles else JAVA)[version],
            words=f"Java {version}, {_spoken(why)}",
        )

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the step that compiles a program of source files as a check.

        Its result is discarded.
        """
        source = inputs.source
        file = _program(source)
        if jars(source) or not file:
            return ()
        alone = "-sourcepath /opt/checked " if int(_version(source)[0]) < _SEVERAL_FILES else ""
        command = f"mkdir -p /opt/checked && javac {alone}-d /opt/checked {file}"
        return (
            Install(
                name="Compiler's check",
                tool=Tool.JAVA,
                files=(),
                whole=True,
                command=command,
                keep=("opt/checked",),
                ships=False,
            ),
        )

    def web(self, source: Source) -> tuple[str, str] | None:
        """Return a web command by convention, and the reason; None if no file determines one."""
        found = jars(source)
        if len(found) > 1:
            raise BadSource(
                "The source has several executable jars, and no file names the one to start:"
                f" {', '.join(found)}.",
                hint=f"Add a Procfile with a line `web: java -jar {found[0]}`.",
            )
        if found:
            return f"java -jar {shlex.quote(found[0])}", f"{found[0]} has a Main-Class"
        if file := _program(source):
            return f"java {file}", f"there is a {file}"
        return None


def jars(source: Source) -> list[str]:
    """Return the jars that name the class to start."""
    return sorted(
        path
        for path in source.files
        if is_program_place(path) and attribute(source.texts.get(path, ""), "Main-Class")
    )


def _program(source: Source) -> str:
    return next((name for name in JAVA_SOURCES if name in source.files), "")


def _version(source: Source) -> tuple[str, str]:
    """Return (major version, the beginning of a sentence that names the file which requires it)."""
    if match := re.search(
        r"^\s*java\.runtime\.version\s*[=:]\s*(\S+)",
        source.texts.get("system.properties", ""),
        re.MULTILINE,
    ):
        return _major(match[1]), "system.properties requires"
    if line := source.texts.get(".java-version", "").strip():
        return _major(line.splitlines()[0]), ".java-version requires"
    for path in jars(source):
        made_with = attribute(source.texts[path], "Build-Jdk-Spec")
        if made_with.isdecimal() and int(made_with) > int(_DEFAULT):
            return made_with, f"{path} was made with"
    return _DEFAULT, ""


def _major(text: str) -> str:
    """Return the usual version number of `21`, `21.0.4`, `openjdk-21`, `temurin-21.0.4+7` or
    `1.8`.
    """
    match = re.search(r"(\d+)(?:\.(\d+))?", text[:60])
    if match is None:
        return text[:60]
    return match[2] if match[1] == "1" and match[2] else match[1]


def _spoken(why: str) -> str:
    return f"{why} it" if why else "the default"
