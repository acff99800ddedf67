"""Go, PHP, Ruby and Java as Debian packages on a stack: toolchains that build, and smaller
runtimes. Pure.

A toolchain (compilers, headers, a resolver) is only for build steps; an image never contains one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.stacks.apache import APACHE, SERVE, SETTINGS
from runtime.stacks.definition import DEBIAN_12, DEBIAN_13
from runtime.stacks.packages.debian_name import is_package_name
from runtime.stacks.stack import DebianRuntime

_COMPILER = ("gcc", "g++", "make", "libc6-dev", "pkgconf")

GO = {
    "1.24": DebianRuntime(
        name="go-1.24",
        stack=DEBIAN_13,
        packages=("golang-1.24-go", "git"),
        links=(
            ("usr/local/bin/go", "/usr/lib/go-1.24/bin/go"),
            ("usr/local/bin/gofmt", "/usr/lib/go-1.24/bin/gofmt"),
            ("usr/local/go", "/usr/lib/go-1.24"),  # where Docker's official image has it
        ),
    )
}

# The usual libraries of gems with a native part, and, for the toolchain, their headers.
_GEM_LIBRARIES = (
    "libffi8",
    "libmariadb3",
    "libpq5",
    "libsqlite3-0",
    "libxml2",
    "libxslt1.1",
    "libyaml-0-2",
    "zlib1g",
)
_GEM_HEADERS = (
    "libffi-dev",
    "libmariadb-dev",
    "libpq-dev",
    "libsqlite3-dev",
    "libxml2-dev",
    "libxslt1-dev",
    "libyaml-dev",
    "zlib1g-dev",
)
_RUBY = (
    "ruby3.3",
    "ruby",
    "ruby-bundler",
    "puma",
    "ruby-rack",
    "ruby-rackup",
    "ruby-webrick",
    *_GEM_LIBRARIES,
)
RUBY = {"3.3": DebianRuntime(name="ruby-3.3", stack=DEBIAN_13, packages=_RUBY)}
RUBY_TOOLCHAIN = {
    "3.3": DebianRuntime(
        name="ruby-3.3-toolchain",
        stack=DEBIAN_13,
        packages=(*_RUBY, "ruby3.3-dev", "ruby-dev", "git", *_COMPILER, *_GEM_HEADERS),
    )
}

# The heap gets three quarters of the instance's memory; threads, code and buffers use the rest.
# By default, Java uses a quarter.
# On cgroup v1, where it does not see its limit, that is a quarter of the machine's memory.
# The app's own options come later and have precedence.
_JAVA = """#!/bin/sh
exec /usr/bin/java ${SLIPWAY_MEMORY:+-XX:MaxRAM=$SLIPWAY_MEMORY} -XX:MaxRAMPercentage=75 -XX:+ExitOnOutOfMemoryError "$@"
"""  # noqa: E501
_JAVA_FILES = (("usr/local/bin/java", _JAVA),)
_JAVA_STACKS = {"17": DEBIAN_12, "21": DEBIAN_13, "25": DEBIAN_13}
JAVA = {
    version: DebianRuntime(
        name=f"java-{version}",
        stack=stack,
        packages=(f"openjdk-{version}-jre-headless",),
        files=_JAVA_FILES,
    )
    for version, stack in _JAVA_STACKS.items()
}
JAVA_TOOLCHAIN = {  # these also run: `java Main.java` compiles at each start
    version: DebianRuntime(
        name=f"java-{version}-jdk",
        stack=stack,
        packages=(f"openjdk-{version}-jdk-headless",),
        files=_JAVA_FILES,
    )
    for version, stack in _JAVA_STACKS.items()
}
JAVA_BUILD_TOOLS = {  # Gradle comes with the project's wrapper, which unpacks it
    version: DebianRuntime(
        name=f"java-{version}-maven",
        stack=stack,
        packages=(f"openjdk-{version}-jdk-headless", "maven", "unzip"),
        files=_JAVA_FILES,
    )
    for version, stack in _JAVA_STACKS.items()
}

PHP_VERSIONS = ("8.4",)
PHP_ALWAYS = (
    "curl",
    "mbstring",
    "opcache",
    "sqlite3",
    "xml",
    "zip",
)  # nearly every app and framework needs these


def php(version: str, extensions: frozenset[str]) -> DebianRuntime:
    """Return Apache with PHP inside, with packages of `extensions` in addition to the standard
    ones.
    """
    more = tuple(sorted(extensions - set(PHP_ALWAYS)))
    return DebianRuntime(
        name="-".join(("php", version, *more)),
        stack=DEBIAN_13,
        packages=(
            f"libapache2-mod-php{version}",
            f"php{version}-cli",
            *(f"php{version}-{name}" for name in (*PHP_ALWAYS, *more)),
        ),
        files=(
            ("opt/php/serve", SERVE),
            ("opt/php/apache.conf", APACHE),
            (f"etc/php/{version}/apache2/conf.d/90-slipway.ini", SETTINGS),
        ),
    )


def php_named(name: str) -> DebianRuntime | None:
    """Return the PHP of a name that `php` gives; None for any other name or version."""
    match = re.fullmatch(r"php-(\d+\.\d+)((?:-[a-z0-9]+)*)", name)
    return (
        php(match[1], frozenset(match[2].split("-")[1:]))
        if match and match[1] in PHP_VERSIONS
        else None
    )


def php_toolchain(version: str, extensions: frozenset[str]) -> DebianRuntime:
    """Return PHP on the command line with Composer.

    It has the same extensions, since packages require them when they are installed.
    """
    below = php(version, extensions)
    names = (f"php{version}-cli", *below.packages[2:], "composer", "git", "unzip")
    return DebianRuntime(name=f"{below.name}-toolchain", stack=DEBIAN_13, packages=names)


# Compilers, and the headers of the libraries that Python packages usually link to. This layer is on
# top of any of Debian's Pythons, only below steps that compile. Each release has these names.
PYTHON_COMPILERS = DebianRuntime(
    name="python-compilers",
    stack=DEBIAN_13,
    packages=(
        *("python3-dev", *_COMPILER),
        *("libpq-dev", "libmariadb-dev-compat", "libsqlite3-dev", "unixodbc-dev"),
        *("libffi-dev", "libssl-dev", "libsasl2-dev", "libldap-dev", "libkrb5-dev"),
        *("zlib1g-dev", "libbz2-dev", "liblzma-dev", "libpcre2-dev", "libyaml-dev"),
        *("libxml2-dev", "libxslt1-dev", "libcurl4-openssl-dev", "libmemcached-dev"),
        *("libjpeg-dev", "libfreetype-dev", "libwebp-dev", "libtiff-dev", "liblcms2-dev"),
        *("libopenjp2-7-dev", "libcairo2-dev", "libmagic-dev", "libevent-dev", "libzmq3-dev"),
    ),
)


def libraries(packages: Iterable[str]) -> DebianRuntime:
    """Return Debian's packages of shared libraries as one layer of an image, for any stack.

    ValueError: a text is not the name of a package.
    """
    found = tuple(sorted(set(packages)))
    for package in found:
        if not is_package_name(package):
            raise ValueError(f"{package!r} is not the name of a Debian package")
    return DebianRuntime(name=f"libraries-{','.join(found)}", stack=DEBIAN_13, packages=found)


def libraries_named(name: str) -> DebianRuntime | None:
    """Return the shared libraries of a name that `libraries` gives; None for any other name."""
    packages = name.removeprefix("libraries-").split(",")
    if name == packages[0] or not all(is_package_name(package) for package in packages):
        return None
    found = libraries(packages)
    return found if found.name == name else None


DOCKERFILE_RUNTIMES = (  # the languages that FROM of a Dockerfile may name
    *GO.values(),
    *(php(version, frozenset()) for version in PHP_VERSIONS),
    *(php_toolchain(version, frozenset()) for version in PHP_VERSIONS),
    *RUBY.values(),
    *RUBY_TOOLCHAIN.values(),
    *JAVA.values(),
    *JAVA_TOOLCHAIN.values(),
    *JAVA_BUILD_TOOLS.values(),
)
