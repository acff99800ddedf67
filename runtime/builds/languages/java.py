"""Plan a Java build: a runnable .jar, a source file, or a project of Maven or Gradle. Pure."""

from __future__ import annotations

import re
import shlex

from runtime.builds.languages.detect import JAVA_PROJECTS, JAVA_SOURCES, Source
from runtime.builds.languages.jar import executable
from runtime.builds.languages.jvm import project as projects
from runtime.builds.languages.jvm import version as versions
from runtime.builds.languages.jvm.program import SERVE
from runtime.builds.languages.jvm.project import Project
from runtime.builds.languages.language import Inputs, Language, Runtimes
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.languages import JAVA, JAVA_BUILD_TOOLS, JAVA_TOOLCHAIN

_SEVERAL_FILES = (
    22  # from this version on, `java Main.java` finds classes in neighbouring files (JEP 458)
)


class Java(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return Java and the text for the log: a runtime, or with a compiler for a source file.

        Maven and Gradle are only in the toolchain. BadSource lists the versions that exist.
        """
        source = inputs.source
        project = _project(source)
        chosen = versions.choose(source, project, jars(source), JAVA)
        if chosen.version not in JAVA:
            raise BadSource(
                f"{chosen.why} Java {chosen.version}, which is not available. Available:"
                f" {', '.join(sorted(JAVA))}.",
                hint=(
                    f"Ask for {versions.DEFAULT} in system.properties"
                    f" (java.runtime.version={versions.DEFAULT}); it also runs classes of older"
                    " versions."
                ),
            )
        words = f"Java {chosen.version}, {f'{chosen.why} it' if chosen.why else 'the default'}"
        starts_source = any(
            re.search(r"\bjava\b.*\.java\b|\bjavac\b", line) for line in inputs.commands.values()
        )
        compiles = starts_source or not (jars(source) or project)
        return Runtimes(
            main=(JAVA_TOOLCHAIN if compiles else JAVA)[chosen.version],
            words=words,
            toolchain=JAVA_BUILD_TOOLS[chosen.version] if project else None,
        )

    def check(self, inputs: Inputs) -> None:
        if _project(inputs.source):
            projects.check_commands(inputs.commands)

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the step of Maven or Gradle, or the one that compiles source files as a check.

        The result of the check is discarded.
        """
        source = inputs.source
        if project := _project(source):
            declares = any(name != "release" for name in inputs.commands)
            return (projects.build_step(source, project, finds_program=not declares),)
        file = _program(source)
        if jars(source) or not file:
            return ()
        version = versions.choose(source, None, (), JAVA).version
        alone = "-sourcepath /opt/checked " if int(version) < _SEVERAL_FILES else ""
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
        if project := _project(source):
            return SERVE, f"it starts the program that {project.tool} makes"
        if file := _program(source):
            return f"java {file}", f"there is a {file}"
        return None

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        source = inputs.source
        if project := _project(source):
            return tuple(projects.notes(source, project))
        built = jars(source)
        if built and any(name in source.files for name in JAVA_PROJECTS):
            return (f"Note: no build tool is run, since the source has {built[0]}.",)
        return ()


def jars(source: Source) -> list[str]:
    """Return the jars that name the class to start."""
    return executable(source.files, source.texts)


def _project(source: Source) -> Project | None:
    """Return the project to build; None if the source has an executable jar, which was built
    before.
    """
    return None if jars(source) else projects.project_of(source)


def _program(source: Source) -> str:
    return next((name for name in JAVA_SOURCES if name in source.files), "")
