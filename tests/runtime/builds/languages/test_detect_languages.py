"""Pure tests of the detection of Go, PHP, Ruby and Java, and of their web processes."""

from __future__ import annotations

import pytest

from runtime.builds.languages.detect import LanguageName
from runtime.errors import BadSource
from tests.runtime.builds.languages.sources import GO_MOD, MAIN, RUNS, composer, of


@pytest.mark.parametrize(
    ("files", "language", "because"),
    [
        ({"go.mod": GO_MOD, "main.go": MAIN}, LanguageName.GO, "go.mod"),
        (
            {"go.mod": GO_MOD, "main.go": MAIN, "requirements.txt": "ansible"},
            LanguageName.GO,
            "go.mod",
        ),
        (
            {"go.mod": GO_MOD, "main.go": MAIN, "package.json": '{"scripts":{"build":"vite"}}'},
            LanguageName.GO,
            "go.mod",
        ),
        (
            {"go.mod": GO_MOD, "package.json": '{"scripts":{"start":"node x"}}'},
            LanguageName.NODE,
            "package.json",
        ),
        ({"composer.json": "{}", "public/index.php": ""}, LanguageName.PHP, "composer.json"),
        ({"index.php": ""}, LanguageName.PHP, "index.php"),
        ({"public/index.php": "", "public/index.html": ""}, LanguageName.PHP, "public/index.php"),
        ({"Procfile": "web: php -S 0.0.0.0:$PORT", "x.php": ""}, LanguageName.PHP, "Procfile"),
        ({"Gemfile": "", "config.ru": ""}, LanguageName.RUBY, "Gemfile"),
        ({"config.ru": ""}, LanguageName.RUBY, "config.ru"),
        ({"Procfile": "web: bundle exec ruby x.rb", "x.rb": ""}, LanguageName.RUBY, "Procfile"),
        (
            {"target/shop-1.jar": RUNS, "target/shop-1-sources.jar": "", "pom.xml": ""},
            LanguageName.JAVA,
            "target/shop-1.jar",
        ),
        ({"Main.java": ""}, LanguageName.JAVA, "Main.java"),
        ({"Procfile": "worker: X=1 java -jar lib/x.jar"}, LanguageName.JAVA, "Procfile"),
        ({"Procfile": "web: ./java-like"}, LanguageName.PLAIN, "Procfile"),
    ],
)
def test_the_language_is_detected_from_the_files(
    files: dict[str, str], language: LanguageName, because: str
) -> None:
    detected = of(files).detected
    assert (detected.language, detected.because) == (language, because)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"go.mod": "module x\ngo 1.99\n", "main.go": MAIN},
            r"requires Go 1\.99, which is not available\. Available: 1\.24",
        ),
        (
            {"go.mod": GO_MOD, "lib.go": "package lib"},
            r"looked for `package main` at the top of the source and in cmd/NAME",
        ),
        (
            {"go.mod": GO_MOD, "x_test.go": MAIN, "gen.go": f"//go:build ignore\n{MAIN}"},
            "Found no program",
        ),
        (
            {"go.mod": GO_MOD, "cmd/api/x.go": MAIN, "cmd/tick/x.go": MAIN},
            "several programs, and no file names the one to start: api, tick",
        ),
        ({"go.mod": GO_MOD, "x.go": MAIN, "cmd/shop/x.go": MAIN}, "build a program shop"),
        ({"go.mod": "go 1.24", "x.go": MAIN}, "no line `module`"),
        (
            {"go.mod": GO_MOD, "x.go": MAIN, "Procfile": "web: ./server"},
            r"starts \./server, which is not built.*Built: shop",
        ),
        (
            {"go.mod": GO_MOD, "x.go": MAIN, "Procfile": "web: shop | tee x"},
            r"has no shell: \| needs a shell",
        ),
        (
            {"composer.json": composer(php="^7.4"), "index.php": ""},
            r"requires PHP \^7\.4.*Available: 8\.4",
        ),
        ({"composer.json": composer(php="new"), "index.php": ""}, "PHP"),
        (
            {"composer.json": composer(ext__parallel="*"), "index.php": ""},
            "extension parallel, which is not available. Available: amqp,",
        ),
        ({"composer.json": "{", "index.php": ""}, "composer.json is not valid JSON"),
        ({"composer.json": "{}"}, "looked for index.php"),
        (
            {
                "composer.json": '{"config":{"vendor-dir":"../../etc"},"autoload":{}}',
                "index.php": "",
            },
            "not a folder of the app",
        ),
        (
            {"Gemfile": 'ruby "~> 2.7.0"', "config.ru": ""},
            r"ruby in the Gemfile requires Ruby ~> 2\.7\.0.*Available: 3\.3",
        ),
        (
            {"Gemfile": "", ".ruby-version": "ruby-3.1.2", "config.ru": ""},
            r"\.ruby-version requires Ruby 3\.1\.2.*Available: 3\.3",
        ),
        (
            {"Gemfile": "", ".ruby-version": "newest", "config.ru": ""},
            "not a valid range of Ruby versions",
        ),
        ({"Gemfile": "gem 'x'"}, "no file that defines how to start"),
        (
            {"Main.java": "", "system.properties": "java.runtime.version=11.0.9"},
            r"system\.properties requires Java 11.*Available: 17, 21, 25",
        ),
        ({"Main.java": "", ".java-version": "1.8"}, r"\.java-version requires Java 8"),
        ({"a.jar": RUNS.replace("17", "99")}, r"a\.jar was made with Java 99"),
        (
            {"a.jar": RUNS, "b.jar": RUNS},
            r"several executable jars, and no file names the one to start: a\.jar, b\.jar",
        ),
        ({"a.jar": "Manifest-Version: 1.0"}, "a.jar has no Main-Class"),
        ({"build.gradle": "", "src/main/java/X.java": ""}, "has build.gradle, but not gradlew"),
    ],
)
def test_an_unbuildable_source_gets_a_message_and_a_remedy(
    files: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadSource, match=sentence) as caught:
        of(files)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"go.mod": GO_MOD, "x.go": MAIN}, "shop"),
        ({"go.mod": GO_MOD, "x.go": MAIN, "cmd/tick/x.go": MAIN}, "shop"),
        ({"go.mod": GO_MOD, "lib.go": "package shop", "cmd/server/x.go": MAIN}, "server"),
        ({"index.php": ""}, "/opt/php/serve /app"),
        ({"index.php": "", "public/index.php": ""}, "/opt/php/serve /app/public"),
        ({"config.ru": ""}, "puma --bind tcp://0.0.0.0:$PORT config.ru"),
        (
            {"config.ru": "", "Gemfile": "gem 'puma'"},
            "bundle exec puma --bind tcp://0.0.0.0:$PORT config.ru",
        ),
        (
            {"config.ru": "", "Gemfile": "", "Gemfile.lock": "    webrick (1.9)\n"},
            "bundle exec rackup --server webrick --host 0.0.0.0",
        ),
        (
            {"Gemfile": "gem 'rails'", "config.ru": "", "config/application.rb": ""},
            "bundle exec rails server -b 0.0.0.0 -p $PORT",
        ),
        ({"Gemfile": "gem 'sinatra'", "app.rb": ""}, "bundle exec ruby app.rb"),
        ({"build/libs/shop one.jar": RUNS}, "java -jar 'build/libs/shop one.jar'"),
        ({"Main.java": "", "Procfile": "release: java Migrate.java"}, "java Main.java"),
    ],
)
def test_without_a_procfile_the_web_process_follows_convention(
    files: dict[str, str], command: str
) -> None:
    decided = of(files)
    assert decided.processes["web"].startswith(command)
    assert command in decided.notes[0]
