"""Choose the Java version of a source. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from runtime.builds.languages.detect import Source
from runtime.builds.languages.jar import attribute
from runtime.builds.languages.jvm.project import WRAPPER, BuildTool, Project
from runtime.errors import BadSource

DEFAULT = "21"
_EARLIEST = "17"
# The first version of Gradle that runs on a version of Java (docs.gradle.org, "Compatibility").
_GRADLE_FOR = (((9, 1), "25"), ((8, 5), "21"), ((7, 3), "17"))
_MAVEN_VERSION = re.compile(
    r"<(?:java\.version|maven\.compiler\.(?:release|target|source)|release|kotlin\.compiler\.jvmTarget)>"
    r"\s*(?:1\.)?(\d{1,2})\s*<"
)
_TOOLCHAIN = re.compile(r"JavaLanguageVersion\.of\(\s*[\"']?(\d{1,2})|jvmToolchain\(\s*(\d{1,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A major version, and the beginning of a sentence that names the file which requires it."""

    version: str
    why: str = ""  # "" for the default


def choose(
    source: Source, project: Project | None, jars: Collection[str], available: Collection[str]
) -> Chosen:
    """Return the version that the source requires.

    BadSource: the wrapper's Gradle runs on no version that is available.
    """
    if match := re.search(
        r"^\s*java\.runtime\.version\s*[=:]\s*(\S+)",
        source.texts.get("system.properties", ""),
        re.MULTILINE,
    ):
        return Chosen(version=_major(match[1]), why="system.properties requires")
    if line := source.texts.get(".java-version", "").strip():
        return Chosen(version=_major(line.splitlines()[0]), why=".java-version requires")
    for path in jars:
        made_with = attribute(source.texts[path], "Build-Jdk-Spec")
        if made_with.isdecimal() and int(made_with) > int(DEFAULT):
            return Chosen(version=made_with, why=f"{path} was made with")
    if project is not None and project.tool is BuildTool.MAVEN:
        return _of_maven(source, available)
    if project is not None:
        return _of_gradle(source, available)
    return Chosen(version=DEFAULT)


def _of_maven(source: Source, available: Collection[str]) -> Chosen:
    """Return the default, or a later version if the project needs one: Java compiles for every
    earlier version.
    """
    wanted = [int(number) for number in _MAVEN_VERSION.findall(source.texts.get("pom.xml", ""))]
    if max(wanted, default=0) <= int(DEFAULT):
        return Chosen(version=DEFAULT)
    later = [version for version in sorted(available, key=int) if int(version) >= max(wanted)]
    return Chosen(version=later[0] if later else str(max(wanted)), why="pom.xml requires")


def _of_gradle(source: Source, available: Collection[str]) -> Chosen:
    """Return the version that the project names, else the latest on which its Gradle runs."""
    for path, text in source.texts.items():
        if path.endswith((".gradle", ".gradle.kts")) and (match := _TOOLCHAIN.search(text)):
            number = match[1] or match[2]
            if number in available:
                return Chosen(version=number, why=f"{path} requires")
    match = re.search(r"gradle-(\d+)\.(\d+)", source.texts.get(WRAPPER, ""))
    if match is None:
        return Chosen(version=DEFAULT)
    gradle = (int(match[1]), int(match[2]))
    runs = [version for first, version in _GRADLE_FOR if gradle >= first]
    if not runs:
        raise BadSource(
            f"{WRAPPER} names Gradle {gradle[0]}.{gradle[1]}, which does not run on Java"
            f" {_EARLIEST} or later. Available: Java {', '.join(sorted(available))}.",
            hint="Run `./gradlew wrapper --gradle-version 8.14`, and commit its changes.",
        )
    if DEFAULT in runs:
        return Chosen(version=DEFAULT)
    return Chosen(version=runs[0], why=f"Gradle {gradle[0]}.{gradle[1]} needs")


def _major(text: str) -> str:
    """Return the usual version number of `21`, `21.0.4`, `openjdk-21`, `temurin-21.0.4+7` or
    `1.8`.
    """
    match = re.search(r"(\d+)(?:\.(\d+))?", text[:60])
    if match is None:
        return text[:60]
    return match[2] if match[1] == "1" and match[2] else match[1]
