"""Plan a PHP build: the version, extensions, Composer packages and the folder to serve. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import nodesemver

from runtime.builds.languages import heroku_php
from runtime.builds.languages.detect import Source
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes
from runtime.builds.manifest.documents import parse_json
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.languages import PHP_VERSIONS, php, php_toolchain

_LONGEST_WISH = 200  # characters
_FLAGS = "--no-dev --no-interaction --no-ansi"
_ROOTS = (
    "public",
    "web",
    "htdocs",
    "www",
    "webroot",
)  # of Laravel and Symfony, Drupal, older hosts, CakePHP
# Extensions in Debian's php-common and php-cli themselves.
_BUILT_IN = frozenset(
    (
        *(
            "calendar",
            "core",
            "ctype",
            "date",
            "exif",
            "ffi",
            "fileinfo",
            "filter",
            "ftp",
            "gettext",
            "hash",
        ),
        *(
            "iconv",
            "json",
            "libxml",
            "openssl",
            "pcntl",
            "pcre",
            "pdo",
            "phar",
            "posix",
            "random",
            "readline",
        ),
        *(
            "reflection",
            "session",
            "shmop",
            "sockets",
            "sodium",
            "spl",
            "standard",
            "sysvmsg",
            "sysvsem",
            "sysvshm",
        ),
        *("tokenizer", "zlib"),
    )
)
_INSIDE = {  # extension -> its package, if that has another name
    **dict.fromkeys(("dom", "simplexml", "xmlreader", "xmlwriter", "xsl"), "xml"),
    **dict.fromkeys(("mysqli", "mysqlnd", "pdo_mysql"), "mysql"),
    "pdo_pgsql": "pgsql",
    "pdo_sqlite": "sqlite3",
    "pdo_odbc": "odbc",
    "zend-opcache": "opcache",
}
_PACKAGES = frozenset(
    (
        *(
            "amqp",
            "apcu",
            "ast",
            "bcmath",
            "bz2",
            "curl",
            "dba",
            "ds",
            "enchant",
            "gd",
            "gearman",
            "gmp",
            "gnupg",
        ),
        *(
            "igbinary",
            "imagick",
            "inotify",
            "intl",
            "ldap",
            "mailparse",
            "maxminddb",
            "mbstring",
            "memcached",
        ),
        *(
            "mongodb",
            "msgpack",
            "mysql",
            "oauth",
            "odbc",
            "opcache",
            "pgsql",
            "pspell",
            "redis",
            "soap",
            "snmp",
        ),
        *(
            "sqlite3",
            "ssh2",
            "stomp",
            "sybase",
            "tidy",
            "uuid",
            "xml",
            "xmlrpc",
            "yaml",
            "zip",
            "zmq",
            "zstd",
        ),
    )
)


class Php(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return the requested PHP with its extensions, and the text for the log.

        BadSource lists the versions that exist.
        """
        source = inputs.source
        version, why = _version(source)
        found = extensions(source)
        words = f" with {', '.join(sorted(found))}" if found else ""
        return Runtimes(
            main=php(version, found),
            words=f"PHP {version}{words}, {why}; Apache serves it",
            toolchain=php_toolchain(version, found),
        )

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps: Composer's packages without those for development, then the autoloader.

        The autoloader also knows the app's classes.
        There are no steps if nothing is required or loaded, or if the source contains the packages
        and no lock file.
        """
        source = inputs.source
        document = _json(source, "composer.json")
        vendor = _vendor(document)
        if "composer.json" not in source.files or (
            "composer.lock" not in source.files and f"{vendor}/autoload.php" in source.files
        ):
            return ()
        kept = (f"app/{vendor}",)
        steps = []
        if any("/" in name for name in _mapping(document, "require")):
            files = tuple(
                name for name in ("composer.json", "composer.lock") if name in source.files
            )
            command = (
                f"composer install {_FLAGS} --no-progress --prefer-dist --no-scripts"
                " --no-autoloader"
            )
            whole = '"path"' in source.texts.get("composer.json", "")  # a repository in the source
            steps.append(
                Install(
                    name="Packages",
                    tool=Tool.COMPOSER,
                    files=files,
                    whole=whole,
                    command=command,
                    keep=kept,
                )
            )
        if steps or "autoload" in document:
            command = f"composer dump-autoload {_FLAGS} --optimize"
            steps.append(
                Install(
                    name="Autoloader",
                    tool=Tool.COMPOSER,
                    files=(),
                    whole=True,
                    command=command,
                    keep=kept,
                )
            )
        return tuple(steps)

    def web(self, source: Source) -> tuple[str, str]:
        """Return the command that serves the app's folder, and the reason.

        BadSource: there is no page.
        """
        for root in (*_ROOTS, ""):
            page = f"{root}/index.php".removeprefix("/")
            if page in source.files:
                return f"/opt/php/serve /app/{root}".rstrip("/"), f"there is a {page}"
        raise BadSource(
            "Found no page: looked for index.php at the top and in " + ", ".join(_ROOTS) + ".",
            hint="Add a Procfile, for example `web: /opt/php/serve /app/FOLDER`.",
        )

    def processes(self, inputs: Inputs) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Return the declared processes, with the boot scripts of Heroku's buildpack replaced."""
        commands, notes = heroku_php.translate(inputs.commands)
        found, more = super().processes(replace(inputs, commands=commands))
        return found, (*notes, *more)

    def environment(self, inputs: Inputs) -> dict[str, str]:
        return {"PATH": f"/app/vendor/bin:{USUAL_PATH}"}

    def left_out(self, inputs: Inputs) -> tuple[str, ...]:
        """Return the folder of packages that the source contains and the build installs again."""
        vendor = _vendor(_json(inputs.source, "composer.json"))
        return (vendor,) if self.installs(inputs) and "/" not in vendor else ()

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        source = inputs.source
        required = any("/" in name for name in _mapping(_json(source, "composer.json"), "require"))
        if required and "composer.lock" not in source.files:
            return (
                (
                    "Warning: without a composer.lock, the first installation selects the newest"
                    " versions."
                ),
            )
        return ()


def extensions(source: Source) -> frozenset[str]:
    """Return the packages of the extensions that composer.json, or a package in the lock file,
    requires.

    BadSource names an extension that is not offered.
    """
    found = set()
    for requirer, requires in _requirements(source):
        for name in requires:
            if (
                not name.startswith("ext-")
                or (extension := name.removeprefix("ext-").lower()) in _BUILT_IN
            ):
                continue
            package = _INSIDE.get(extension, extension)
            if package not in _PACKAGES:
                raise BadSource(
                    f"{requirer} requires the PHP extension {extension}, which is not available."
                    f" Available: {', '.join(sorted(_PACKAGES))}.",
                    hint="Use another package, or a Dockerfile.",
                )
            found.add(package)
    return frozenset(found)


def _version(source: Source) -> tuple[str, str]:
    """Return the newest version that the requirement accepts, and its origin."""
    wish = str(_mapping(_json(source, "composer.json"), "require").get("php", "")).strip()
    if len(wish) > _LONGEST_WISH:
        raise BadSource(
            "The php requirement in composer.json is too long for a range of versions.",
            hint='Write for example "^8.2".',
        )
    if not wish:
        return PHP_VERSIONS[-1], "the default"
    for version in reversed(PHP_VERSIONS):
        if _satisfies(version, wish):
            return version, f"composer.json requires {wish}"
    raise BadSource(
        f"composer.json requires PHP {wish}, which is not available. Available:"
        f" {', '.join(PHP_VERSIONS)}.",
        hint='Widen require.php there, for example to ">=8.2".',
    )


def _satisfies(version: str, wish: str) -> bool:
    """Return whether some patch version of a minor version is in Composer's range, translated to
    npm's syntax.

    Source: getcomposer.org/doc/articles/versions.md
    """
    text = re.sub(r"@\w+|(?<=\d)-(?:dev|stable)\b", "", wish)
    text = re.sub(r"\s*\|\|?\s*", " || ", text).replace(",", " ")
    text = re.sub(r"~\s*(\d+(?:\.\d+)?)(?![\d.])", r"^\1", text)  # Composer's ~8.2 means below 9
    try:
        return any(
            nodesemver.satisfies(f"{version}.{patch}", text, loose=False) for patch in range(100)
        )
    except ValueError:
        raise BadSource(
            f"composer.json requires PHP {wish!r}, which is not a valid range of versions.",
            hint='Write for example "^8.2".',
        ) from None


def _requirements(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "composer.json", _mapping(_json(source, "composer.json"), "require")
    for package in _json(source, "composer.lock").get("packages", ()):
        if isinstance(package, dict):
            yield (
                str(package.get("name", "A package in composer.lock")),
                _mapping(package, "require"),
            )


def _vendor(document: dict[str, Any]) -> str:
    """Return the folder that Composer installs into."""
    folder = str(_mapping(document, "config").get("vendor-dir", "vendor")).strip("/")
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*", folder) or ".." in folder.split("/"):
        raise BadSource(
            f"config.vendor-dir in composer.json reads {folder!r}, which is not a folder of the"
            " app.",
            hint='Write "vendor".',
        )
    return folder


def _mapping(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name, {})
    return found if isinstance(found, dict) else {}


def _json(source: Source, file: str) -> dict[str, Any]:
    if file not in source.files:
        return {}
    try:
        document = parse_json(source.texts.get(file, ""))
    except ValueError as error:
        raise BadSource(
            f"{file} is not valid JSON: {error}.", hint="Correct it and deploy again."
        ) from None
    if not isinstance(document, dict):
        raise BadSource(f"{file} is not an object.", hint="composer init writes a valid one.")
    return document
