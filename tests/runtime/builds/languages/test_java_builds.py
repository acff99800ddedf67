"""Tests of real builds of projects of Maven and Gradle. The repository is Debian's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import BuildFailed
from runtime.stacks.builder import ensure_runtime
from runtime.stacks.definition import DEBIAN_13
from runtime.stacks.languages import JAVA, JAVA_BUILD_TOOLS
from runtime.stacks.stack import DebianRuntime
from tests import warm
from tests.podman import short_folder
from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.languages.test_languages import seen
from tests.runtime.builds.test_builds import get, served

pytestmark = pytest.mark.timeout(900)  # the first run makes three layers of Debian packages
# Maven Central cannot be reached everywhere; Debian packages what its Maven needs for a jar.
_REPOSITORY = DebianRuntime(
    name="maven-repository",
    stack=DEBIAN_13,
    packages=(
        *("openjdk-21-jre-headless", "maven"),
        *("libmaven-clean-plugin-java", "libmaven-compiler-plugin-java"),
        *("libmaven-jar-plugin-java", "libmaven-resources-plugin-java"),
        *("libmaven-install-plugin-java", "libsurefire-java"),
    ),
)
_UNCHECKED = "<releases><checksumPolicy>ignore</checksumPolicy></releases>"  # Debian has no sums
_CENTRAL = f"<id>central</id><url>https://repo.maven.apache.org/maven2</url>{_UNCHECKED}"
_SETTINGS = f"""<settings>
<mirrors><mirror><id>debian</id><mirrorOf>*</mirrorOf><url>file://@FOLDER@</url></mirror></mirrors>
<profiles><profile><id>debian</id>
<repositories><repository>{_CENTRAL}</repository></repositories>
<pluginRepositories><pluginRepository>{_CENTRAL}</pluginRepository></pluginRepositories>
</profile></profiles>
<activeProfiles><activeProfile>debian</activeProfile></activeProfiles>
</settings>
"""
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId><artifactId>shop</artifactId><version>1.0</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-jar-plugin</artifactId>
    <configuration><archive><manifest><mainClass>shop.Shop</mainClass></manifest></archive>
    </configuration>
  </plugin></plugins></build>
</project>
"""
_SHOP = """package shop;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class Shop {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.getInteger("server.port");
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/", exchange -> {
            byte[] body = "sold by Java".getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
"""
_MAVEN = {
    "pom.xml": _POM,
    "src/main/java/shop/Shop.java": _SHOP,
    "mvnw": "#!/bin/sh\nexit 9\n",
    ".mvn/wrapper/maven-wrapper.properties": "distributionUrl=https://x/apache-maven-3.8.6-bin.zip",
}
# Does what Gradle does for `assemble`: Gradle itself cannot be fetched everywhere.
_GRADLEW = """#!/bin/sh
set -eu
for task; do :; done
[ "$task" = assemble ]
mkdir -p build/classes build/libs
javac -d build/classes src/main/java/shop/Shop.java
jar --create --file build/libs/shop.jar --main-class shop.Shop -C build/classes .
"""


@pytest.fixture
def repository(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make Debian's repository of Maven a mirror in the host's settings."""
    for runtime in (_REPOSITORY, JAVA["21"], JAVA_BUILD_TOOLS["21"]):
        warm.add(forge.config, runtime)
    *_, layer = ensure_runtime(forge.config, forge.store, _REPOSITORY, DEBIAN_13, print)
    shared = forge.store.unpacked(layer) / "usr/share"
    home = short_folder("maven-", Path("/var/tmp"))
    try:
        folder = home / "repository"
        # The jars are links to other folders of the layer, a few of them to nothing.
        subprocess.run(["cp", "-rL", shared / "maven-repo", folder], capture_output=True)
        _add_old_version(folder / "org/codehaus/plexus/plexus-utils")
        (home / ".m2").mkdir()
        settings = _SETTINGS.replace("@FOLDER@", str(folder))
        (home / ".m2/settings.xml").write_text(settings)
        home.chmod(0o755)
        monkeypatch.setenv("HOME", str(home))
        yield folder
    finally:
        shutil.rmtree(home)


def test_maven_packs_a_project_and_its_jar_is_served(forge: Forge, repository: Path) -> None:
    built = forge.build(_MAVEN)
    said = forge.said()
    assert "Detected: Java, by pom.xml" in said
    assert "Maven: `mvn -DskipTests clean install` for the source" in said
    assert "The web process starts target/shop-1.0.jar" in said
    assert "names Maven 3.8.6. The build uses Debian's Maven 3" in said
    with served(forge, built) as url:
        assert get(url)[1] == "sold by Java"
    image = forge.store.image(built.digest)
    assert seen(image, "usr/bin/mvn") is None
    jar = seen(image, "app/target/shop-1.0.jar")
    assert jar is not None
    assert jar.stat().st_uid == 1000


def test_a_mistake_in_a_maven_project_fails_the_build_with_its_line(
    forge: Forge, repository: Path
) -> None:
    with pytest.raises(BuildFailed):
        forge.build({**_MAVEN, "src/main/java/shop/Shop.java": "class Shop { int x = ; }"})
    assert "illegal start of expression" in forge.said()


def test_gradles_wrapper_of_the_source_is_run_and_its_jar_is_served(forge: Forge) -> None:
    for runtime in (JAVA["21"], JAVA_BUILD_TOOLS["21"]):
        warm.add(forge.config, runtime)
    files = {
        "build.gradle": "plugins { id 'java' }\n",
        "gradlew": _GRADLEW,
        "src/main/java/shop/Shop.java": _SHOP,
    }
    built = forge.build(files)
    assert "Gradle: `./gradlew assemble` for the source" in forge.said()
    with served(forge, built) as url:
        assert get(url)[1] == "sold by Java"


def _add_old_version(folder: Path) -> None:
    """Add version 1.1 of a library, which Maven itself adds to plugins that name none."""
    newest = max(path.name for path in folder.iterdir() if path.name[0].isdigit())
    old = folder / "1.1"
    old.mkdir()
    stem = f"plexus-utils-{newest}"
    shutil.copy(folder / newest / f"{stem}.jar", old / "plexus-utils-1.1.jar")
    text = (folder / newest / f"{stem}.pom").read_text()
    (old / "plexus-utils-1.1.pom").write_text(
        text.replace(f"<version>{newest}</version>", "<version>1.1</version>", 1)
    )
