"""Targets that parse texts: Dockerfiles, patterns, app files, image manifests, host names and
pushed refs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from runtime.builds.dockerfile import settings, sources, stages, syntax
from runtime.builds.dockerfile.ignore import matcher
from runtime.builds.dockerfile.mounts import mounts_of
from runtime.builds.manifest import load, procfile
from runtime.errors import BadSource
from runtime.images import manifest
from runtime.images.manifest import ImageConfig
from tests.fuzz.names import links, paths
from tests.fuzz.sandbox import Sandbox
from tests.fuzz.target import Target

INSTRUCTIONS = (
    "FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "WORKDIR", "USER", "EXPOSE", "VOLUME",
    "CMD", "ENTRYPOINT", "SHELL",
    "STOPSIGNAL", "ONBUILD", "HEALTHCHECK", "MAINTAINER", "#", "# syntax=", "# escape=`",
    "COPY <<E",
)  # fmt: skip
OPTIONS = (
    "--mount=type=bind,from=base,target=", "--mount=type=cache,from=base,source=",
    "--mount=type=tmpfs,size=1g,target=",
    "--mount=type=secret,id=x,target=", "--mount=type=ssh", "--mount=", "--network=host",
    "--security=insecure", "--from=base ",
    "--from=0 ", "--chown=", "--chmod=", "--link ", "--parents ", "--exclude=", "--checksum=",
    "--keep-git-dir=", "--platform=", "--interval=",
)  # fmt: skip
WORDS = (
    "base",
    "AS base",
    "debian-12",
    "scratch",
    "$X",
    "${X:-y}",
    "${X",
    '["a","b"]',
    '["',
    "\\",
    "<<E",
    "E",
    "'",
    '"',
    "|",
    "*",
    "**/x",
    "65536:0",
)

words = st.sampled_from(WORDS) | paths | links | st.text(max_size=12)
lines = st.builds(
    lambda name, options, rest: f"{name} {''.join(options)}{' '.join(rest)}",
    st.sampled_from(INSTRUCTIONS),
    st.lists(
        st.builds(lambda option, value: f"{option}{value} ", st.sampled_from(OPTIONS), words),
        max_size=2,
    ),
    st.lists(words, max_size=4),
)
dockerfiles = st.lists(lines, max_size=8).map(
    lambda found: "\n".join(["FROM debian-12 AS base", *found]).encode("utf-8", "surrogatepass")
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def read_dockerfile(data: bytes, _: Sandbox) -> None:
    """Parse the file, divide it into stages, and read every option and word of every instruction.

    The executor does the same before it executes anything.
    """
    script = syntax.parse(data)
    recipe = stages.divide(script, {}, "x86_64")
    for stage in recipe.stages:
        state = settings.Settings(config=ImageConfig())
        replaced = syntax.Words(script.escape, {"X": "a b/../.."})
        for instruction in stage.steps:
            if instruction.name == "RUN":
                for mount in mounts_of(instruction, replaced, "/w"):
                    assert mount.target.startswith("/"), mount
                    assert ".." not in mount.target.split("/"), mount
            elif instruction.name in {"COPY", "ADD"}:
                sources.wanted(instruction, replaced, replaced, "/w")
            elif settings.applies_to(instruction.name):
                state = settings.change(state, instruction, replaced)


def match_patterns(example: tuple[list[str], str], _: Sandbox) -> None:
    patterns, path = example
    found = matcher(patterns, ".dockerignore")
    found.matches(path)
    found.may_match_under(path)


def read_app_files(example: tuple[str, bytes], _: Sandbox) -> None:
    name, data = example
    if name == "Procfile":
        for process in procfile.parse(data.decode("utf-8", "replace")):
            assert re.fullmatch(r"[A-Za-z0-9_-]+", process), process
    else:
        load.read({name: data})


def parse_manifest(data: bytes, _: Sandbox) -> None:
    """Parse a manifest as the portal does when a client sends one."""
    from portal.registry import manifests  # needs Django's settings

    document = manifests.parse(data)
    for part in document.parts:
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{128}", part.digest), part
        assert 0 <= part.size < 2**63, part
    if not document.manifests:
        manifests.check_machine(data, "amd64")


def read_image(data: bytes, _: Sandbox) -> None:
    """Parse the same bytes as the runtime does."""
    for parse in (manifest.parse_manifest, manifest.parse_config, manifest.parse_index):
        _refused_as_promised(parse, data)


def _refused_as_promised(parse: Callable[[bytes], Any], data: bytes) -> None:
    try:
        parse(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def check_host(text: str, _: Sandbox) -> None:
    """Check that an accepted name is one word of a router map, and that it is accepted again
    unchanged.
    """
    from portal.domains.hosts import check_host as check  # needs Django's settings

    host = check(text)
    assert re.fullmatch(r"[a-z0-9*.-]{1,253}", host), host
    assert check(host) == host


def parse_push(text: str, _: Sandbox) -> None:
    from portal.gitserver.receive import RefUpdate, _wanted_commit  # needs Django's settings

    updates = [RefUpdate.parse(line) for line in text.splitlines() if line.count(" ") >= 2]
    _wanted_commit(updates, "main")


def _refused() -> tuple[type[BaseException], ...]:
    from portal.errors import Refused  # imports no settings

    return (Refused,)


documents = values.map(lambda value: json.dumps(value).encode())
DIGESTS = (
    f"sha256:{'a' * 64}",
    f"sha256:{'b' * 64}",
    f"sha256:{'A' * 64}",
    f"sha512:{'a' * 128}",
    "sha256:..",
    "a" * 64,
)
KINDS = (
    manifest.CONFIG,
    manifest.LAYER_GZIP,
    manifest.LAYER_ZSTD,
    manifest.MANIFEST,
    manifest.INDEX,
    "x",
)
descriptors = st.fixed_dictionaries(
    {
        "mediaType": st.sampled_from(KINDS),
        "digest": st.sampled_from((*DIGESTS[:2] * 3, *DIGESTS)),
        "size": st.integers(0, 2**40) | values,
    },
    optional={
        "platform": st.just({"os": "linux", "architecture": "amd64"}) | values,
        "urls": values,
        "annotations": values,
    },
)
parts = st.lists(descriptors | descriptors | values, max_size=3) | values
manifest_documents = st.fixed_dictionaries(
    {
        "schemaVersion": st.sampled_from((2, 2, 2, 2, 1, "2")),
        "mediaType": st.sampled_from(
            (manifest.MANIFEST, manifest.MANIFEST, manifest.INDEX, "x", "", None)
        ),
        "config": descriptors | descriptors | values,
        "layers": parts,
        "manifests": parts,
    },
    optional={
        "annotations": st.dictionaries(words, words, max_size=2) | values,
        "subject": descriptors | values,
        "artifactType": values,
    },
).map(lambda value: json.dumps(value).encode())
config_documents = st.fixed_dictionaries(
    {
        "config": st.dictionaries(
            st.sampled_from(
                (
                    "Env",
                    "Cmd",
                    "Entrypoint",
                    "WorkingDir",
                    "User",
                    "Labels",
                    "Volumes",
                    "ExposedPorts",
                    "Healthcheck",
                    "OnBuild",
                )
            ),
            values | st.lists(words, max_size=2) | st.dictionaries(words, words, max_size=2),
        ),
        "rootfs": st.fixed_dictionaries(
            {"diff_ids": st.lists(st.sampled_from(DIGESTS), max_size=3) | values}
        ),
    },
    optional={
        "history": st.lists(st.dictionaries(words, values, max_size=2), max_size=2) | values,
        "author": values,
        "architecture": words,
    },
).map(lambda value: json.dumps(value).encode())
COMMITS = ("0" * 40, "a" * 40, "b" * 64, "A" * 40, "HEAD", "--all", "")
REFS = ("refs/heads/main", "refs/heads/master", "refs/tags/main", "refs/heads/../main", "HEAD")
updates = st.builds(
    "{} {} {}".format,
    st.sampled_from(COMMITS),
    st.sampled_from(COMMITS),
    st.sampled_from((*REFS[:2] * 3, *REFS)) | words,
)
hosts = st.text(alphabet="abz09-.*:/[]%\n\t \x00@é_", max_size=80) | st.sampled_from(
    ("a.example.com", "*.example.com", "a.b.", "xn--a.example.com")
)

TARGETS = (
    Target(
        name="dockerfile",
        examples=dockerfiles | st.binary(max_size=200),
        run=read_dockerfile,
        refusals=(BadSource,),
    ),
    Target(
        name="dockerignore",
        examples=st.tuples(st.lists(words, max_size=5), paths),
        run=match_patterns,
        refusals=(BadSource,),
    ),
    Target(
        name="app-files",
        examples=st.tuples(
            st.sampled_from(("slipway.toml", "app.json", "Procfile")),
            documents
            | st.binary(max_size=200)
            | words.map(lambda text: text.encode("utf-8", "surrogateescape")),
        ),
        run=read_app_files,
        refusals=(BadSource, UnicodeError),
    ),
    Target(
        name="manifest",
        examples=manifest_documents | manifest_documents | documents | st.binary(max_size=100),
        run=parse_manifest,
        refusals=_refused(),
    ),
    Target(
        name="image",
        examples=manifest_documents | config_documents | documents | st.binary(max_size=100),
        run=read_image,
        refusals=(),
    ),
    Target(name="host", examples=hosts, run=check_host, refusals=_refused()),
    Target(
        name="push",
        examples=st.lists(updates | words, min_size=1, max_size=3).map("\n".join),
        run=parse_push,
        refusals=_refused(),
    ),
)
