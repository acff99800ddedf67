"""Pure tests of projects of Maven and Gradle: the tool, the Java version, the commands."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from runtime.builds.languages.jvm.program import FIND_PROGRAM
from runtime.builds.packages import causes, java_settings
from runtime.builds.steps import Tool
from runtime.errors import BadSource, HostLacks
from runtime.stacks.stack import DebianRuntime
from tests.runtime.builds.languages.sources import RUNS, of

POM = "<project><properties><java.version>{}</java.version></properties></project>"
GRADLE = {"build.gradle": "plugins { id 'java' }", "gradlew": "#!/bin/sh"}
WRAPPER = "gradle/wrapper/gradle-wrapper.properties"


def wrapper(version: str) -> dict[str, str]:
    """Return the files of Gradle's wrapper."""
    address = f"https\\://services.gradle.org/distributions/gradle-{version}-bin.zip"
    return {WRAPPER: f"distributionUrl={address}\n", "gradle/wrapper/gradle-wrapper.jar": ""}


def packages(runtime: object) -> tuple[str, ...]:
    assert isinstance(runtime, DebianRuntime)
    return runtime.packages


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"pom.xml": ""}, "21"),
        ({"pom.xml": POM.format("1.8")}, "21"),
        ({"pom.xml": POM.format("17")}, "21"),
        ({"pom.xml": POM.format("25")}, "25"),
        ({"pom.xml": POM.format("22")}, "25"),
        ({"pom.xml": "", "system.properties": "java.runtime.version=17\n"}, "17"),
        ({**GRADLE, **wrapper("8.14")}, "21"),
        ({**GRADLE, **wrapper("9.1.0")}, "21"),
        ({**GRADLE, **wrapper("7.6.4")}, "17"),
        ({**GRADLE, "build.gradle": "languageVersion = JavaLanguageVersion.of(25)"}, "25"),
        ({**GRADLE, "app/build.gradle.kts": "kotlin { jvmToolchain(17) }"}, "17"),
    ],
)
def test_a_project_gets_the_java_that_it_and_its_tool_need(
    files: dict[str, str], version: str
) -> None:
    decided = of(files)
    assert packages(decided.runtime) == (f"openjdk-{version}-jre-headless",)
    assert packages(decided.toolchain)[0] == f"openjdk-{version}-jdk-headless"


def test_maven_packs_the_code_and_its_program_is_served() -> None:
    decided = of({"pom.xml": "", "mvnw": "", ".mvn/wrapper/maven-wrapper.properties": ""})
    (step,) = decided.installs
    assert (step.tool, step.on_code, step.says) == (
        Tool.MAVEN,
        True,
        "mvn -DskipTests clean install",
    )
    assert "${MAVEN_CUSTOM_GOALS:-clean install}" in step.command
    assert "find-program jars" in step.command
    assert "app" in step.keep
    assert decided.processes == {"web": "/opt/java/serve"}
    assert "maven" in packages(decided.toolchain)


def test_a_declared_process_needs_no_search_for_the_program() -> None:
    line = "java -Dserver.port=$PORT $JAVA_OPTS -jar target/*.jar"
    decided = of({"pom.xml": "", "Procfile": f"web: {line}\n"})
    assert decided.processes == {"web": line}
    assert "find-program" not in decided.installs[0].command
    released = of({"pom.xml": "", "Procfile": "release: java -cp target/classes Migrate\n"})
    assert released.processes["web"] == "/opt/java/serve"


@pytest.mark.parametrize(
    ("script", "says", "first"),
    [
        ("plugins { id 'java' }", "./gradlew assemble", "jars"),
        ("plugins { id 'application' }", "./gradlew assemble installDist", "scripts"),
        ('plugins { id("application") }', "./gradlew assemble installDist", "scripts"),
        ("plugins {\n    application\n}", "./gradlew assemble installDist", "scripts"),
        (
            "plugins { id 'application'\nid 'org.springframework.boot' version '4' }",
            "./gradlew assemble",
            "jars",
        ),
        ("task stage(dependsOn: ['build'])", "./gradlew stage", "jars"),
        ('tasks.register("stage") { }', "./gradlew stage", "jars"),
    ],
)
def test_gradle_runs_the_tasks_that_make_a_program(script: str, says: str, first: str) -> None:
    (step,) = of({**GRADLE, "build.gradle": script}).installs
    assert (step.tool, step.says) == (Tool.GRADLE, says)
    assert f"${{GRADLE_TASK:-{says.removeprefix('./gradlew ')}}}" in step.command
    assert f"find-program {first}" in step.command


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"build.gradle": ""}, "has build.gradle, but not gradlew"),
        (
            {**GRADLE, WRAPPER: "distributionUrl=https\\://x/gradle-8.5-bin.zip"},
            r"but not gradle/wrapper/gradle-wrapper\.jar",
        ),
        ({**GRADLE, **wrapper("6.9")}, r"names Gradle 6\.9, which does not run on Java 17"),
        ({"pom.xml": "", "Procfile": "web: ./mvnw spring-boot:run"}, "an image has no mvnw"),
        ({**GRADLE, "Procfile": "web: ./gradlew bootRun --x"}, "an image has no gradlew"),
        ({"pom.xml": POM.format("31")}, r"pom\.xml requires Java 31, which is not available"),
    ],
)
def test_a_project_that_cannot_be_built_gets_a_message(
    files: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadSource, match=sentence) as caught:
        of(files)
    assert caught.value.hint


def test_an_executable_jar_in_the_source_is_not_built_again() -> None:
    decided = of({"target/a.jar": RUNS, "pom.xml": ""})
    assert decided.installs == ()
    assert decided.toolchain is None
    assert "no build tool is run, since the source has target/a.jar" in "".join(decided.notes)


def test_another_version_in_the_wrapper_of_maven_is_a_note() -> None:
    file = ".mvn/wrapper/maven-wrapper.properties"
    text = "distributionUrl=https://x/apache-maven-{}-bin.zip"
    (note,) = of({"pom.xml": "", file: text.format("3.8.6")}).notes[1:]
    assert note.startswith("Note:")
    assert "3.8.6" in note
    (warning,) = of({"pom.xml": "", file: text.format("4.0.0")}).notes[1:]
    assert warning.startswith("Warning:")


def test_maven_gets_the_hosts_mirrors_and_not_its_folders(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    repository.mkdir()
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2/settings.xml").write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">'
        "<localRepository>/srv/m2</localRepository><mirrors><mirror><id>a</id>"
        f"<mirrorOf>*</mirrorOf><url>file://{repository}</url></mirror></mirrors></settings>"
    )
    text = java_settings.maven_settings({"HOME": str(tmp_path)})
    assert "<mirrorOf>*</mirrorOf>" in text
    assert "/srv/m2" not in text
    assert java_settings.folders(text) == (str(repository),)
    assert java_settings.maven_settings({"HOME": "/nowhere"}) == "<settings />"
    (tmp_path / ".m2/settings.xml").write_text("<settings>")
    with pytest.raises(HostLacks, match="Could not read Maven's settings"):
        java_settings.maven_settings({"HOME": str(tmp_path)})


def test_java_gets_the_hosts_proxies_and_authorities_as_options(tmp_path: Path) -> None:
    host = {
        "HOME": str(tmp_path),
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": "localhost,.example",
    }
    assert java_settings.options(host, has_own_authorities=False) == (
        "-Dhttp.nonProxyHosts=localhost|*.example -Dhttps.proxyHost=proxy.example"
        " -Dhttps.proxyPort=3128"
    )
    assert "trustStore" in java_settings.options({}, has_own_authorities=True)


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (
            "Could not transfer artifact a:b:1 from/to x (https://repo.maven.apache.org/maven2)",
            "repo.maven.apache.org",
        ),
        (
            'Exception in thread "main" java.net.UnknownHostException: services.gradle.org',
            "services.gradle.org",
        ),
    ],
)
def test_the_host_that_a_build_tool_could_not_reach_is_named(line: str, host: str) -> None:
    cause = causes.explain((line,))
    assert cause is not None
    assert f"could not reach {host}" in cause.what


def find_program(first: str, place: Path) -> tuple[int, str, str]:
    """Run the search in a folder. Return its exit code, its output, and the script it wrote."""
    script = FIND_PROGRAM.replace("/app", f"{place}/app").replace("/opt/java", f"{place}/java")
    done = subprocess.run(
        ["sh", "-c", script, "find-program", first], capture_output=True, text=True, timeout=60
    )
    serve = place / "java/serve"
    return done.returncode, done.stdout, serve.read_text() if serve.exists() else ""


def add_jar(path: Path, main_class: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"Main-Class: {main_class}\r\n" if main_class else ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\n{line}")


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
@pytest.mark.parametrize(
    ("programs", "others", "chosen"),
    [
        (["target/shop-1.jar"], ["target/dependency/gson.jar"], "target/shop-1.jar"),
        (["target/shop.jar", "target/original-shop.jar"], [], "target/shop.jar"),
        (
            ["target/shop.jar", "target/shop-jar-with-dependencies.jar"],
            [],
            "target/shop-jar-with-dependencies.jar",
        ),
        (
            ["target/quarkus-app/quarkus-run.jar"],
            ["target/shop.jar"],
            "target/quarkus-app/quarkus-run.jar",
        ),
        (["server/build/libs/a b.jar"], ["build/libs/x-plain.jar"], "server/build/libs/a b.jar"),
    ],
)
def test_the_jar_that_was_built_is_found(
    programs: list[str], others: list[str], chosen: str, tmp_path: Path
) -> None:
    for name in programs:
        add_jar(tmp_path / "app" / name, "shop.Shop")
    for name in others:
        add_jar(tmp_path / "app" / name)
    code, said, serve = find_program("jars", tmp_path)
    assert (code, said) == (0, f"The web process starts {chosen}\n")
    assert "-Dserver.port=$PORT" in serve
    assert f"-jar '{tmp_path}/app/{chosen}'" in serve


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_a_start_script_has_precedence_over_the_jar_that_it_starts(tmp_path: Path) -> None:
    script = tmp_path / "app/build/install/shop/bin/shop"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.with_suffix(".bat").write_text("")
    add_jar(tmp_path / "app/build/libs/shop.jar")
    code, said, serve = find_program("scripts", tmp_path)
    assert (code, said) == (0, "The web process starts build/install/shop/bin/shop\n")
    assert "JAVA_OPTS" in serve


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_several_programs_or_none_are_reported_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    code, said, _ = find_program("jars", tmp_path)
    assert code == 1
    assert "made no executable jar" in said
    for name in ("a", "b"):
        add_jar(tmp_path / f"app/{name}/target/{name}.jar", "shop.Shop")
    code, said, serve = find_program("jars", tmp_path)
    assert (code, serve) == (1, "")
    assert "a/target/a.jar\nb/target/b.jar" in said
    assert "Procfile" in said
