"""Tests of fetching Git repositories: for ADD of a Dockerfile, and as the source of a build."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.builds.builder import Builder
from runtime.containers.spec import TeamLimits
from runtime.contract.git_address import GitAddress
from runtime.contract.quantities import Bytes, Millicores
from runtime.errors import BadSource
from runtime.network.policy import EgressPolicy, NetworkPolicy
from runtime.stacks.definition import GIT
from tests.runtime.builds.conftest import LIMITS, Forge, forge, node
from tests.runtime.builds.git.host import OUTSIDE, TOKEN, GitHost, git, git_host
from tests.warm import add as add_to

__all__ = ["forge", "node"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHost]:
    folder = tmp_path_factory.mktemp("git")
    folder.chmod(0o755)
    with git_host(folder) as started:
        yield started


pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds the layer with git


@pytest.fixture(autouse=True)
def warm_git(node: Forge) -> None:
    add_to(node.config, GIT)


@pytest.fixture
def near(forge: Forge) -> Iterator[Forge]:
    """Return the node, which may fetch from the test's host although its address is not public."""
    usual, builder = forge.config, forge.builder
    forge.config = replace(usual, git_hosts=(OUTSIDE,))
    forge.builder = Builder(forge.config, forge.store, forge.containers)
    yield forge
    forge.config, forge.builder = usual, builder


def add(node: Forge, line: str, check: str = "true") -> None:
    node.build({"Dockerfile": f"FROM debian-13\n{line}\nRUN {check}\nCMD true\n"})


def deploy(node: Forge, address: str, *, token: str = "", **more: object) -> str:
    node.log.clear()
    request = replace(node.request({}), repository=GitAddress.parse(address, token=token), **more)
    return node.builder.build(request, node.log.append).digest


def test_add_has_the_files_of_a_branch_and_a_folder_without_git(near: Forge, host: GitHost) -> None:
    host.commit("team/app.git", {"a/run.sh": "#!/bin/sh\n", "a/deep/x": "deep", "top": "main"})
    host.commit("team/app.git", {"a/x": "of dev"}, branch="dev")
    url = host.url("team/app.git")
    add(near, f"ADD {url} /all", "test -f /all/a/deep/x -a -f /all/top -a ! -e /all/.git")
    assert f"Fetched {url}: commit " in near.said()
    add(
        near,
        f"ADD --chown=7:7 {url}#dev:a /some/",
        'test "$(cat /some/x)" = "of dev" -a ! -e /some/a',
    )
    add(near, f"ADD {url}#main:a/deep /", "test $(cat /x) = deep -a $(stat -c %u /x) = 0")
    again = near.said()
    add(near, f"ADD {url}#main:a/deep /", "test $(cat /x) = deep -a $(stat -c %u /x) = 0")
    assert "cached" in near.said(), again
    host.commit("team/app.git", {"a/deep/x": "newer"})
    add(near, f"ADD {url}#main:a/deep /", "test $(cat /x) = newer")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ADD {}#none /x", "has no branch, tag or commit 'none'"),
        ("ADD {}#main:none /x", "has no folder 'none' at main"),
        ("ADD {} other /x", "ADD of a Git repository cannot have other sources"),
        ("ADD --keep-git-dir=true {} /x", "--keep-git-dir is not supported"),
        ("COPY {} /x", "cannot be fetched by COPY"),
    ],
)
def test_a_wrong_add_names_its_line(near: Forge, host: GitHost, line: str, words: str) -> None:
    host.commit("team/wrong.git", {"x": ""})
    with pytest.raises(BadSource, match=words) as caught:
        add(near, line.format(host.url("team/wrong.git")))
    assert "line 2" in caught.value.what


def test_a_build_fetches_its_source(near: Forge, host: GitHost) -> None:
    commit = host.commit("team/site.git", {"index.html": "hello", "node_modules/x/y.js": ""})
    reported: list[tuple[str, str]] = []
    deploy(
        near,
        host.url("team/site.git"),
        on_commit=lambda commit, author: reported.append((commit, author)),
    )
    assert reported == [(commit, "a@example.com")]
    assert f"commit {commit[:12]}, Add index.html" in near.said()
    assert "Source: 1 file" in near.said()
    assert "node_modules" in near.said(), "left out, as from an archive"
    newer = host.commit("team/site.git", {"index.html": "newer"})
    deploy(near, f"{host.url('team/site.git')}#{newer}")
    assert newer[:12] in near.said()


def test_a_private_repository_needs_its_token(near: Forge, host: GitHost) -> None:
    host.commit("private/app.git", {"index.html": "hello"})
    url = host.url("private/app.git")
    deploy(near, url, token=TOKEN)
    assert TOKEN not in near.said()
    with pytest.raises(BadSource, match="does not exist, or needs a token"):
        deploy(near, url)
    with pytest.raises(BadSource, match="refused the token"):
        deploy(near, url, token="wrong")


def test_each_failure_is_one_sentence(near: Forge, host: GitHost) -> None:
    host.commit("team/errors.git", {"index.html": ""})
    for address, words in (
        (host.url("team/none.git"), "was not found"),
        (f"{host.url('team/errors.git')}#none", "has no branch, tag or commit 'none'"),
        (f"http://{OUTSIDE}:9/x.git", "does not answer"),
        (host.url("moved/x.git"), "does not answer"),
    ):
        with pytest.raises(BadSource, match=words) as caught:
            deploy(near, address)
        assert "\n" not in caught.value.what


def test_a_submodule_is_refused(near: Forge, host: GitHost, tmp_path: Path) -> None:
    commit = host.commit("team/outer.git", {"index.html": ""})
    git(tmp_path, "clone", "-q", str(host.folder / "team/outer.git"), "work")
    work = tmp_path / "work"
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},libs/inner")
    git(work, "commit", "-q", "-m", "Add a submodule")
    git(work, "push", "-q", "origin", "HEAD:main")
    with pytest.raises(BadSource, match="has the submodule libs/inner, which is not fetched"):
        deploy(near, host.url("team/outer.git"))


def test_a_repository_that_is_too_large_is_refused(near: Forge, host: GitHost) -> None:
    host.commit("team/large.git", {"x": secrets.token_hex(6 << 20)})
    with pytest.raises(BadSource, match="is too large"):
        deploy(near, host.url("team/large.git"), limits=replace(LIMITS, disk=Bytes(16 << 20)))


def test_local_addresses_and_plain_http_are_refused_before_a_connection(
    forge: Forge, host: GitHost
) -> None:
    for address, words in (
        (host.url("team/app.git"), "is not encrypted"),
        (f"https://{OUTSIDE}/team/app.git", "of a local network"),
        ("https://127.0.0.1/x.git", "of this machine or of a local network"),
        ("https://localhost/x.git", "of this machine or of a local network"),
        ("https://169.254.169.254/x.git", "of this machine or of a local network"),
        ("https://[::ffff:127.0.0.1]/x.git", "of this machine or of a local network"),
    ):
        with pytest.raises(BadSource, match=words):
            deploy(forge, address)


def test_the_network_policy_of_the_team_applies(near: Forge, host: GitHost) -> None:
    team_limits = TeamLimits(
        cpu=Millicores(2000),
        memory=Bytes(1 << 30),
        processes=256,
        network=NetworkPolicy(egress=EgressPolicy.NONE),
    )
    with pytest.raises(BadSource, match="does not allow builds to fetch from"):
        deploy(near, host.url("team/app.git"), team_limits=team_limits)
