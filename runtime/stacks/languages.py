"""Go, PHP, Ruby and Java as Debian packages on a stack: what builds them, and the less that runs them. Pure.

A toolchain (compilers, headers, a resolver) is for build steps alone; an image never stands on one.
"""

from __future__ import annotations

from runtime.stacks.apache import APACHE, SERVE, SETTINGS
from runtime.stacks.definition import DEBIAN_13, DebianRuntime

_COMPILER = ("gcc", "g++", "make", "libc6-dev", "pkgconf")

GO = {
    "1.24": DebianRuntime(
        name="go-1.24", stack=DEBIAN_13, packages=("golang-1.24-go", "git"), links=(("usr/local/bin/go", "/usr/lib/go-1.24/bin/go"),)
    )
}

# Libraries that gems with a native part are most often linked with, and, for the toolchain, their headers.
_GEM_LIBRARIES = ("libffi8", "libmariadb3", "libpq5", "libsqlite3-0", "libxml2", "libxslt1.1", "libyaml-0-2", "zlib1g")
_GEM_HEADERS = ("libffi-dev", "libmariadb-dev", "libpq-dev", "libsqlite3-dev", "libxml2-dev", "libxslt1-dev", "libyaml-dev", "zlib1g-dev")
_RUBY = ("ruby3.3", "ruby", "ruby-bundler", "puma", "ruby-rack", "ruby-rackup", "ruby-webrick", *_GEM_LIBRARIES)
RUBY = {"3.3": DebianRuntime(name="ruby-3.3", stack=DEBIAN_13, packages=_RUBY)}
RUBY_TOOLCHAIN = {
    "3.3": DebianRuntime(
        name="ruby-3.3-toolchain", stack=DEBIAN_13, packages=(*_RUBY, "ruby3.3-dev", "ruby-dev", "git", *_COMPILER, *_GEM_HEADERS)
    )
}

# Three quarters of the instance's memory are the heap's, and the rest threads', code's and buffers'; by itself Java takes a quarter, and on
# cgroup v1, where it does not see its limit, a quarter of the machine's. What an app says itself comes later, and wins.
_JAVA = """#!/bin/sh
exec /usr/bin/java ${SLIPWAY_MEMORY:+-XX:MaxRAM=$SLIPWAY_MEMORY} -XX:MaxRAMPercentage=75 -XX:+ExitOnOutOfMemoryError "$@"
"""
_JAVA_FILES = (("usr/local/bin/java", _JAVA),)
JAVA = {
    version: DebianRuntime(name=f"java-{version}", stack=DEBIAN_13, packages=(f"openjdk-{version}-jre-headless",), files=_JAVA_FILES)
    for version in ("21", "25")
}
JAVA_TOOLCHAIN = {  # one that also runs: `java Main.java` compiles at each start
    version: DebianRuntime(name=f"java-{version}-jdk", stack=DEBIAN_13, packages=(f"openjdk-{version}-jdk-headless",), files=_JAVA_FILES)
    for version in JAVA
}

PHP_VERSIONS = ("8.4",)
PHP_ALWAYS = ("curl", "mbstring", "opcache", "sqlite3", "xml", "zip")  # nearly every app and framework wants these


def php(version: str, extensions: frozenset[str]) -> DebianRuntime:
    """Apache with PHP inside, and packages of `extensions` beside those that are always there."""
    more = tuple(sorted(extensions - set(PHP_ALWAYS)))
    return DebianRuntime(
        name="-".join(("php", version, *more)),
        stack=DEBIAN_13,
        packages=(f"libapache2-mod-php{version}", f"php{version}-cli", *(f"php{version}-{name}" for name in (*PHP_ALWAYS, *more))),
        files=(("opt/php/serve", SERVE), ("opt/php/apache.conf", APACHE), (f"etc/php/{version}/apache2/conf.d/90-slipway.ini", SETTINGS)),
    )


def php_toolchain(version: str, extensions: frozenset[str]) -> DebianRuntime:
    """PHP on the command line with Composer, and the same extensions, since packages ask for them when they are installed."""
    below = php(version, extensions)
    names = (f"php{version}-cli", *below.packages[2:], "composer", "git", "unzip")
    return DebianRuntime(name=f"{below.name}-toolchain", stack=DEBIAN_13, packages=names)


LANGUAGES = (  # what a Dockerfile may begin with, by name
    *GO.values(),
    *(php(version, frozenset()) for version in PHP_VERSIONS),
    *(php_toolchain(version, frozenset()) for version in PHP_VERSIONS),
    *RUBY.values(),
    *RUBY_TOOLCHAIN.values(),
    *JAVA.values(),
    *JAVA_TOOLCHAIN.values(),
)
