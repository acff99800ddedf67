"""Tests of stacks that are used instead of official images that cannot be fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from runtime.builds.builder import Builder
from runtime.builds.dockerfile.base_images.substitutes import substitute_for
from runtime.errors import BadSource
from tests.runtime.builds.conftest import Forge

OFFERED = (
    *("debian-12", "debian-13", "debian-14", "python-3.11", "python-3.13", "python-3.14"),
    *("node-18", "node-20", "node-22", "node-24", "node-26", "go-1.24", "php-8.4"),
    *("ruby-3.3", "ruby-3.3-toolchain", "java-21", "java-21-jdk", "java-25", "java-25-jdk"),
    *("java-17-maven", "java-21-maven"),
)


@pytest.mark.parametrize(
    ("image", "base"),
    [
        ("python", "python-3.13"),
        ("python:3", "python-3.13"),
        ("python:3.13-slim", "python-3.13"),
        ("python:3.14.1-slim-bookworm", "python-3.14"),
        ("docker.io/library/python:3.11-alpine3.20", "python-3.11"),
        ("python:slim", "python-3.13"),
        ("python:3.12", None),
        ("python:2.7", None),
        ("python:rc", None),
        ("node:22-alpine", "node-22"),
        ("node:20.11.1", "node-20"),
        ("node:lts-slim", "node-24"),
        ("node:jod", "node-22"),
        ("node:alpine", "node-26"),
        ("node", "node-26"),
        ("node:21", None),
        ("golang:1.24", "go-1.24"),
        ("golang:1.21.3-alpine", "go-1.24"),
        ("golang", "go-1.24"),
        ("golang:1.99", None),
        ("debian:bookworm-slim", "debian-12"),
        ("debian:12.5", "debian-12"),
        ("debian", "debian-13"),
        ("debian:10", None),
        ("ubuntu:24.04", "debian-13"),
        ("ubuntu:22.04", "debian-12"),
        ("ubuntu:16.04", None),
        ("php:8.4-cli", "php-8.4"),
        ("php:8.4-apache", None),
        ("php:fpm", None),
        ("php:7.4", None),
        ("ruby:3.3", "ruby-3.3-toolchain"),
        ("ruby:3.3-slim", "ruby-3.3"),
        ("ruby:2.7", None),
        ("eclipse-temurin:21-jre-jammy", "java-21"),
        ("eclipse-temurin:21", "java-21-jdk"),
        ("openjdk:8", None),
        ("maven:3.9-eclipse-temurin-21", "java-21-maven"),
        ("maven:3.9.9-amazoncorretto-17-alpine", "java-17-maven"),
        ("maven", "java-21-maven"),
        ("maven:3-openjdk-11", None),
        ("maven:4.0.0-rc-4", None),
        ("alpine:3.20", None),
        ("someone/python:3.13", None),
        ("ghcr.io/library/python:3.13", None),
        (f"python:3.13@sha256:{'0' * 64}", None),
        ("not a name", None),
    ],
)
def test_only_an_image_with_the_same_version_has_a_substitute(image: str, base: str | None) -> None:
    found = substitute_for(image, OFFERED)
    assert (found.base if found else None) == base


@pytest.fixture
def lonely(forge: Forge) -> Iterator[Forge]:
    """Return a node that may not pull from Docker Hub, and may use its stacks instead."""
    usual, builder = forge.config, forge.builder
    forge.config = replace(usual, registries=("registry.invalid",), substitutes=True)
    forge.builder = Builder(forge.config, forge.store, forge.containers)
    yield forge
    forge.config, forge.builder = usual, builder


def test_a_stack_is_used_instead_and_the_log_says_so(lonely: Forge) -> None:
    dockerfile = "FROM python:3.13-slim\nRUN python -m pip --version && pip --version\nCMD python\n"
    built = lonely.build({"Dockerfile": dockerfile, "requirements.txt": "", "app.py": ""})
    assert built.processes == {"web": "/bin/sh -c python"}
    assert "Detected: Dockerfile" in lonely.said(), "not built by the other files"
    assert "Warning: python:3.13-slim cannot be fetched: Builds on this node" in lonely.said()
    assert "Stack python-3.13 is used instead, because an admin allows it." in lonely.said()


def test_a_substitute_of_node_has_its_user_and_its_programs(lonely: Forge) -> None:
    lonely.build(
        {
            "Dockerfile": (
                "FROM node:22-alpine\nWORKDIR /srv/app\nCOPY --chown=node:node x .\n"
                "USER node\nRUN test $(id -u) = 1000 && test -O x && node --version"
                " && npm --version && npx --version && yarn --version\n"
                'CMD ["node", "x"]\n'
            ),
            "x": "",
        }
    )
    assert "It is Debian: `apk` does not exist in it." in lonely.said()


def test_without_the_setting_the_line_is_refused(lonely: Forge) -> None:
    lonely.builder = Builder(
        replace(lonely.config, substitutes=False), lonely.store, lonely.containers
    )
    with pytest.raises(BadSource, match="line 1"):
        lonely.build({"Dockerfile": "FROM python:3.13-slim\nCMD python\n"})
    request = lonely.request({"Dockerfile": "FROM python:3.13-slim\nCMD python\n"})
    assert lonely.builder.build(replace(request, substitutes=True), lonely.log.append).processes


def test_the_paths_of_go_are_those_of_its_official_image(lonely: Forge) -> None:
    lonely.build(
        {
            "Dockerfile": (
                "FROM golang:1.22-alpine\nCOPY main.go go.mod app/\n"
                "RUN cd app && /usr/local/go/bin/go install . && test -x /go/bin/hello"
                " && hello && gofmt -l . && test $(go env GOPATH) = /go\n"
                'CMD ["hello"]\n'
            ),
            "main.go": 'package main\n\nfunc main() {\n\tprintln("hello")\n}\n',
            "go.mod": "module hello\n\ngo 1.22\n",
        }
    )
