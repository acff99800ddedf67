"""Choose the build tool of a Java project, Maven or Gradle, and its commands. Pure.

Maven is Debian's own. Gradle is the one of the project's wrapper, since each version of Gradle
builds only projects that were written for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from runtime.builds.languages.detect import JAVA_PROJECTS, Source
from runtime.builds.languages.jvm.program import FIND_PROGRAM, TRUST_STORE
from runtime.builds.steps import TEXTS, Install, Tool
from runtime.errors import BadSource

WRAPPER = "gradle/wrapper/gradle-wrapper.properties"
MAVEN_WRAPPER = ".mvn/wrapper/maven-wrapper.properties"
_WRAPPER_JAR = "gradle/wrapper/gradle-wrapper.jar"
_MAVEN_SERIES = "3"
_OWN = "find /app -user 0 -exec chown -h 1000:1000 {} +"  # the app's user owns what was built
_OPTIONS = "${SLIPWAY_JAVA_OPTIONS-}"  # proxies and authorities of this host
_TRUST = f'if [ -n "${{SLIPWAY_AUTHORITIES-}}" ]; then java {TEXTS}/TrustStore.java; fi'
# Config vars of Heroku's buildpacks choose other goals, options or tasks. -U: the team's folder of
# downloads also remembers what could not be downloaded.
_MAVEN = (
    f"mvn -B -U -ntp -gs /build/maven.xml {_OPTIONS}"
    " ${SLIPWAY_MAVEN_REPOSITORY:+-Dmaven.repo.local=$SLIPWAY_MAVEN_REPOSITORY}"
    " ${MAVEN_CUSTOM_OPTS:--DskipTests} ${MAVEN_CUSTOM_GOALS:-clean install}"
)
# Builds of one team share Gradle's folder, and its own locks do not work between containers.
_GRADLE = (
    'mkdir -p "$GRADLE_USER_HOME" && flock "$GRADLE_USER_HOME/lock" sh ./gradlew --no-daemon'
    f" --console=plain ${{SLIPWAY_GRADLE_SCRIPT:+-I $SLIPWAY_GRADLE_SCRIPT}} {_OPTIONS}"
)
_STAGE = re.compile(r"\btask\s+stage\b|\btasks\.(?:register|create)\(\s*[\"']stage[\"']")
_APPLICATION = re.compile(
    r"""\bid\s*\(?\s*["']application["']|^\s*application\s*$|apply\s+plugin:\s*["']application["']"""
    r"|`application`",
    re.MULTILINE,
)
_SPRING_BOOT = "org.springframework.boot"
_STARTS_TOOL = re.compile(r"(?:^|[\s;&|/])(mvnw?|gradlew?)(?=\s|$)")


class BuildTool(StrEnum):
    MAVEN = "Maven"
    GRADLE = "Gradle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Java source that a build tool makes a program of."""

    tool: BuildTool
    file: str  # that decided


def project_of(source: Source) -> Project | None:
    """Return the project of a source with build files of Maven or Gradle.

    BadSource: the wrapper of Gradle is missing.
    """
    file = next((name for name in JAVA_PROJECTS if name in source.files), "")
    if not file:
        return None
    if file == "pom.xml":
        return Project(tool=BuildTool.MAVEN, file=file)
    lacking = "gradlew" if "gradlew" not in source.files else ""
    if not lacking and WRAPPER in source.files and _WRAPPER_JAR not in source.files:
        lacking = _WRAPPER_JAR
    if lacking:
        raise BadSource(
            f"The source has {file}, but not {lacking}: a build runs the project's own Gradle.",
            hint=(
                "Run `gradle wrapper`, and commit gradlew and the folder gradle/wrapper with its"
                " .jar file."
            ),
        )
    return Project(tool=BuildTool.GRADLE, file=file)


def check_commands(commands: Mapping[str, str]) -> None:
    """Raise BadSource if a process starts a build tool, which images do not have."""
    for process, line in commands.items():
        if match := _STARTS_TOOL.search(line):
            raise BadSource(
                f"Procfile: {process} reads `{line}`, but an image has no {match[1]}: the build"
                " runs it.",
                hint=(
                    "Remove the line, and the program that the build makes is started; or write"
                    f" `{process}: java -jar FILE`."
                ),
            )


def build_step(source: Source, project: Project, *, finds_program: bool) -> Install:
    """Return the step that runs the build tool on the code.

    `finds_program`: no command is declared, so the step looks for the program that it made.
    """
    texts = [("TrustStore.java", TRUST_STORE)]
    parts = [_TRUST, _tool_command(source, project)]
    if finds_program:
        texts.append(("find-program", FIND_PROGRAM))
        first = "scripts" if _has_start_scripts(source) else "jars"
        parts.append(f"sh {TEXTS}/find-program {first}")
    return Install(
        name=project.tool.value,
        tool=Tool.MAVEN if project.tool is BuildTool.MAVEN else Tool.GRADLE,
        files=(),
        whole=True,
        command=" && ".join((*parts, _OWN)),
        says=_shown(source, project),
        keep=("app", "opt/java"),
        on_code=True,
        texts=tuple(texts),
    )


def notes(source: Source, project: Project) -> Iterator[str]:
    """Yield notes for the log."""
    wanted = re.search(r"apache-maven-(\d+)([\d.]*)", source.texts.get(MAVEN_WRAPPER, ""))
    if project.tool is BuildTool.MAVEN and wanted:
        kind = "Note" if wanted[1] == _MAVEN_SERIES else "Warning"
        yield (
            f"{kind}: {MAVEN_WRAPPER} names Maven {wanted[1]}{wanted[2]}. The build uses Debian's"
            f" Maven {_MAVEN_SERIES}."
        )


def _tool_command(source: Source, project: Project) -> str:
    if project.tool is BuildTool.MAVEN:
        return _MAVEN
    return f"{_GRADLE} ${{GRADLE_TASK:-{_tasks(source)}}}"


def _shown(source: Source, project: Project) -> str:
    if project.tool is BuildTool.MAVEN:
        return "mvn -DskipTests clean install"
    return f"./gradlew {_tasks(source)}"


def _tasks(source: Source) -> str:
    """Return the tasks to run: `stage` as on Heroku if the project has it, else those that pack
    programs.
    """
    if any(_STAGE.search(text) for text in _scripts(source)):
        return "stage"
    return "assemble installDist" if _has_start_scripts(source) else "assemble"


def _has_start_scripts(source: Source) -> bool:
    """Return whether Gradle's plugin `application` makes a start script.

    The jar of Spring Boot is a whole program without one.
    """
    scripts = tuple(_scripts(source))
    is_spring = any(_SPRING_BOOT in text for text in scripts)
    return not is_spring and any(_APPLICATION.search(text) for text in scripts)


def _scripts(source: Source) -> Iterator[str]:
    for path, text in source.texts.items():
        if path.rpartition("/")[2] in ("build.gradle", "build.gradle.kts"):
            yield text
