"""Plan a Ruby build: the version, gems, the assets of Rails and the web process. Pure."""

from __future__ import annotations

import re

import nodesemver

from runtime.builds.languages.detect import Source
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.languages import RUBY, RUBY_TOOLCHAIN

GEMS = "/opt/bundle"
_DEFAULT = "3.3"
_LONGEST_WISH = 200  # characters
_RUBY_LINE = re.compile(r"^[ \t]*ruby[ \t(]+(.+)$", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([^\"']*)[\"']")
_LOCAL = re.compile(
    r"^[ \t]*(?:gemspec\b|eval_gemfile\b|path\b)|\bpath:[ \t]*|:path["
    r" \t]*=>|\bFile\.|\bDir\b|require_relative",
    re.MULTILINE,
)
_SERVERS = (
    "unicorn",
    "thin",
    "falcon",
    "webrick",
)  # tried after puma; falcon and thin run through rackup


class Ruby(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return the requested Ruby, and the text for the log.

        BadSource lists the versions that exist.
        """
        wish, where = _wish(inputs.source)
        if len(wish) > _LONGEST_WISH:
            raise BadSource(
                f"{where} is too long for a range of versions.",
                hint=f'Write for example "~> {_DEFAULT}".',
            )
        for version in sorted(RUBY, reverse=True):
            if not wish or _satisfies(version, wish):
                words = f"Ruby {version}, " + (
                    f"{where} requires {wish}" if wish else "the default"
                )
                return Runtimes(
                    main=RUBY[version], words=words, toolchain=RUBY_TOOLCHAIN[version]
                )  # with compilers and headers, for gems with a native part
        raise BadSource(
            f"{where} requires Ruby {wish}, which is not available. Available:"
            f" {', '.join(sorted(RUBY))}.",
            hint=f'Write {_DEFAULT} there (in a Gemfile: ruby "~> {_DEFAULT}.0").',
        )

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps: `bundle install`, with the lock file if there is one, and the assets of
        a Rails app.
        """
        source = inputs.source
        if "Gemfile" not in source.files:
            return ()
        gemfile = source.texts.get("Gemfile", "")
        files = tuple(
            name
            for name in ("Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions")
            if name in source.files
        )
        vendored = any(path.startswith("vendor/cache/") for path in source.files)
        whole = _LOCAL.search(gemfile) is not None or vendored
        # if the stack's own gems suffice, no registry is used; `bundle install --prefer-local`
        # would still use one
        way = (
            "bundle install --local"
            if vendored
            else "(bundle install --local >/dev/null 2>&1 || bundle install --jobs 2 --retry 1)"
        )
        frozen = "export BUNDLE_FROZEN=true && " if "Gemfile.lock" in source.files else ""
        command = f"mkdir -p {GEMS} && {frozen}{way}"
        first = Install(
            name="Gems",
            tool=Tool.BUNDLER,
            files=files,
            whole=whole,
            command=command,
            keep=("opt/bundle",),
        )
        if not (_is_rails(source) and _has(source, ("sprockets-rails", "propshaft"))):
            return (first,)
        precompile = (
            "SECRET_KEY_BASE_DUMMY=1 RAILS_ENV=production bundle exec rails assets:precompile"
        )
        return (
            first,
            Install(
                name="Assets",
                tool=Tool.BUNDLER,
                files=(),
                whole=True,
                command=precompile,
                keep=("app/public/assets",),
            ),
        )

    def web(self, source: Source) -> tuple[str, str] | None:
        """Return a web command by convention, and the reason; None if no file determines one."""
        bundled = "bundle exec " if "Gemfile" in source.files else ""
        if _is_rails(source):
            return f"{bundled}rails server -b 0.0.0.0 -p $PORT", "config/application.rb is Rails'"
        if "config.ru" in source.files:
            if _has(source, ("puma",)):
                return (
                    f"{bundled}puma --bind tcp://0.0.0.0:$PORT config.ru",
                    "there is a config.ru, and puma is in the Gemfile",
                )
            if _has(source, ("unicorn",)):
                return (
                    f"{bundled}unicorn --host 0.0.0.0 --port $PORT config.ru",
                    "there is a config.ru, and unicorn is in the Gemfile",
                )
            if server := next((name for name in _SERVERS if _has(source, (name,))), ""):
                return (
                    f"{bundled}rackup --server {server} --host 0.0.0.0 --port $PORT config.ru",
                    f"there is a config.ru, and {server} is in the Gemfile",
                )
            return (
                "puma --bind tcp://0.0.0.0:$PORT config.ru",
                "there is a config.ru; the stack's own puma serves it",
            )
        for file in ("app.rb", "server.rb", "main.rb", "web.rb"):
            if file in source.files:
                return f"{bundled}ruby {file}", f"there is a {file}"
        return None

    def environment(self, inputs: Inputs) -> dict[str, str]:
        """Return the variables of instances."""
        source = inputs.source
        found = {
            "PATH": f"/app/bin:{GEMS}/bin:{USUAL_PATH}",
            "GEM_HOME": GEMS,
            "RACK_ENV": "production",
            "APP_ENV": "production",
            "MALLOC_ARENA_MAX": "2",
        }
        if "Gemfile" in source.files:
            found |= {
                "BUNDLE_WITHOUT": "development:test",
                "BUNDLE_PREFER_LOCAL": "true",
                "BUNDLE_FROZEN": str("Gemfile.lock" in source.files).lower(),
            }
        if _is_rails(source):
            found |= {
                "RAILS_ENV": "production",
                "RAILS_LOG_TO_STDOUT": "1",
                "RAILS_SERVE_STATIC_FILES": "1",
            }
        return found

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        source = inputs.source
        said = []
        if (
            "Gemfile" in source.files
            and "Gemfile.lock" not in source.files
            and re.search(r"^\s*gem\b", source.texts.get("Gemfile", ""), re.MULTILINE)
        ):
            said.append(
                "Warning: without a Gemfile.lock, the first installation selects the newest"
                " versions."
            )
        if (
            _is_rails(source)
            and "Procfile" not in source.files
            and any(path.startswith("db/migrate/") for path in source.files)
        ):
            said.append(
                "Note: migrations run with each release if the Procfile has a line `release: bundle"
                " exec rails db:migrate`."
            )
        if _is_rails(source) and "config/credentials.yml.enc" in source.files:
            said.append(
                "Note: Rails needs the config var RAILS_MASTER_KEY to read its credentials."
            )
        return tuple(said)


def _is_rails(source: Source) -> bool:
    return "config/application.rb" in source.files and _has(source, ("rails", "railties"))


def _has(source: Source, gems: tuple[str, ...]) -> bool:
    """Return whether the Gemfile or the lock file contains one of the gems."""
    gemfile, lock = source.texts.get("Gemfile", ""), source.texts.get("Gemfile.lock", "")
    return any(
        re.search(rf"^[ \t]*gem[ \t(]+[\"']{re.escape(gem)}[\"']", gemfile, re.MULTILINE)
        or re.search(rf"^ {{4}}{re.escape(gem)} \(", lock, re.MULTILINE)
        for gem in gems
    )


def _wish(source: Source) -> tuple[str, str]:
    """Return (a range in RubyGems' syntax, or "", the place that specifies it).

    `ruby file: ".ruby-version"` refers to that file.
    """
    for match in _RUBY_LINE.finditer(source.texts.get("Gemfile", "")):
        if re.match(r"file\b|:file\b", match[1]) or "RUBY_VERSION" in match[1]:
            continue
        if wish := ", ".join(
            text
            for text in _QUOTED.findall(match[1].partition("#")[0])
            if re.match(r"[\d~<>=!]", text)
        ):
            return wish, "ruby in the Gemfile"
    if line := source.texts.get(".ruby-version", "").strip():
        return line.splitlines()[0].strip().removeprefix("ruby-"), ".ruby-version"
    return "", ""


def _satisfies(version: str, wish: str) -> bool:
    """Return whether some patch version of a minor version is in a range of RubyGems.

    Source: guides.rubygems.org/patterns, "pessimistic".
    """
    parts = [_as_npm(part.strip()) for part in wish.split(",")]
    if not all(parts):
        raise BadSource(
            f"{wish!r} is not a valid range of Ruby versions.",
            hint=f'Write for example "~> {_DEFAULT}.0".',
        )
    try:
        return any(
            nodesemver.satisfies(f"{version}.{patch}", " ".join(parts), loose=False)
            for patch in range(100)
        )
    except ValueError:
        raise BadSource(
            f"{wish!r} is not a valid range of Ruby versions.",
            hint=f'Write for example "~> {_DEFAULT}.0".',
        ) from None


def _as_npm(part: str) -> str:
    """Return one condition in npm's syntax; "" if it is not valid.

    For an exact version, only its minor version is required: bundler checks the rest.
    """
    match = re.fullmatch(
        r"(~>|>=|<=|>|<|=|!=)?\s*(\d+(?:\.\d+){0,2})(?:[-.]?(?:p|preview|rc|dev)\w*)?", part
    )
    if match is None:
        return ""
    sign, number = match[1] or "=", match[2]
    if sign == "~>":
        return f"~{number}" if number.count(".") == 2 else f"^{number}"
    if sign == "!=":
        return "*"
    return f"{sign}{number}" if sign != "=" else f"~{'.'.join(number.split('.')[:2])}"
