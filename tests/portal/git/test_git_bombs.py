"""Pushes of a few kilobytes that would need gigabytes, sent to a listening portal with the real
git."""

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from portal import repositories
from portal.apps.models import App
from portal.builds.models import Build
from portal.lifecycle.app_actions import create_app
from runtime.containers.cgroups.cgroup import PORTAL, Cgroups
from tests.portal.conftest import People
from tests.portal.git.packs import Pack, Peak, Pushed, body_of, push, watched
from tests.portal.git.test_git import Checkout
from tests.portal.shipyard import FakeWorkers

MIB = 2**20


class Target:
    """An app to push to, and the measured resources of the portal."""

    def __init__(self, portal: str, app: App, token: str, peak: Peak) -> None:
        self.portal, self.app, self.token, self.peak = portal, app, token, peak

    def push(
        self, commit: str, pack: Pack, *, ref: str = "refs/heads/main", more: Iterable[str] = ()
    ) -> Pushed:
        body = body_of(commit, pack.data(), ref=ref, more=more)
        pushed = push(self.portal, self.app.name, self.token, body)
        print(
            f"\n{len(body):,} bytes pushed: {pushed.seconds:.1f} s, at most"
            f" {self.peak.bytes / MIB:.0f} MiB. {pushed.said[:300]!r}"
        )
        return pushed


@pytest.fixture
def subtrees(portal_groups: Cgroups) -> list[Path]:
    return [root / PORTAL for root in portal_groups.held]


@pytest.fixture
def target(
    portal_url: str, committed_people: People, fake_workers: FakeWorkers, subtrees: list[Path]
) -> Iterator[Target]:
    """Check after each test that the limit was not reached and that nothing is left."""
    app = committed_people.app()
    with watched(subtrees) as peak:
        yield Target(portal_url, app, committed_people.token(committed_people.owner), peak)
    assert peak.groups, "git ran in no group"
    assert peak.bytes <= settings.PUSH_MEMORY
    until_nothing_is_left(subtrees, repositories.path_of(app))


def until_nothing_is_left(subtrees: list[Path], path: Path) -> None:
    deadline = time.monotonic() + 10
    while left := [*(group for root in subtrees for group in root.glob("team*")), *_drafts(path)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _drafts(path: Path) -> list[Path]:
    return [
        *path.glob("objects/*incoming*"),
        *path.glob("objects/pack/*tmp*"),
        *settings.INCOMING.glob("git-*"),
    ]


def bomb_of_trees(pack: Pack, *, levels: int, entries: int) -> str:
    inner, mode = pack.add("blob", b"boom\n"), "100644"
    for _ in range(levels):
        inner, mode = (
            pack.tree((mode, f"f{number:03}".encode(), inner) for number in range(entries)),
            "40000",
        )
    return pack.commit(inner)


def test_trees_that_name_ten_billion_files_are_refused_before_they_are_written(
    target: Target,
) -> None:
    pack = Pack()
    pushed = target.push(bomb_of_trees(pack, levels=10, entries=10), pack)
    assert "! The commit has too many files and folders. The limit is 50,000." in pushed.said
    assert "pre-receive hook declined" in pushed.report
    assert not Build.objects.exists()


def test_a_delta_of_three_gigabytes_ends_at_the_limit_while_another_team_pushes(
    target: Target, committed_people: People, tmp_path: Path
) -> None:
    pack = Pack()
    commit = pack.commit(
        pack.tree([("100644", b"boom", pack.repeated(os.urandom(4095) * 4096, 192))])
    )
    checkout = Checkout(tmp_path, target.portal)
    checkout.commit()
    create_app(committed_people.stranger, team=committed_people.red, name="neighbour")
    token = committed_people.token(committed_people.stranger)
    neighbour = subprocess.Popen(
        ("git", "push", checkout.remote("neighbour", token), "main"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
    )
    pushed = target.push(commit, pack)
    assert "This push needed more than 256 MiB of memory and was stopped." in pushed.said
    assert "unpack ok" not in pushed.report
    _, output = neighbour.communicate(timeout=60)
    assert neighbour.returncode == 0, output


def test_trees_a_hundred_thousand_levels_deep_are_refused(target: Target) -> None:
    pack = Pack()
    inner = pack.tree([("100644", b"f", pack.add("blob", b"x"))])
    for _ in range(100_000):
        inner = pack.tree([("40000", b"d", inner)])
    pushed = target.push(pack.commit(inner), pack)
    assert "ng refs/heads/main" in pushed.report or "unpack ok" not in pushed.report
    assert not Build.objects.exists()
    print(pushed.report)


def test_a_history_of_fifty_thousand_commits_is_deployed(target: Target) -> None:
    pack, commit = Pack(), ""
    tree = pack.tree([("100644", b"Procfile", pack.add("blob", b"web: x\n"))])
    for number in range(50_000):
        commit = pack.commit(tree, parent=commit, message=b"%d\n" % number)
    assert "ok refs/heads/main" in target.push(commit, pack).report


def test_a_gigabyte_of_zeros_is_refused_before_it_is_written(target: Target) -> None:
    pack = Pack()
    pushed = target.push(
        pack.commit(pack.tree([("100644", b"zeros", pack.zeros(1100 * MIB))])), pack
    )
    assert "! The commit's files are too large. The limit is 1024 MiB." in pushed.said


def test_a_commit_message_of_a_hundred_megabytes_is_truncated(target: Target) -> None:
    pack = Pack()
    tree = pack.tree([("100644", b"Procfile", pack.add("blob", b"web: x\n"))])
    message = b"Hello \x1b]0;title\x07 there\nsecond line\n\n" + bytes(100 * MIB).replace(
        b"\0", b"y"
    )
    pushed = target.push(pack.commit(tree, message=message), pack)
    assert "Hello ]0;title there second line\n" in pushed.said


def test_a_chain_of_tags_is_not_a_commit(target: Target) -> None:
    pack = Pack()
    inner, kind = pack.commit(pack.tree([])), "commit"
    for number in range(20_000):
        inner = pack.add(
            "tag",
            f"object {inner}\ntype {kind}\ntag t{number}\ntagger Nobody <nobody@localhost>"
            " 1700000000 +0000\n\nx\n".encode(),
        )
        kind = "tag"
    pushed = target.push(inner, pack)
    assert "is not a commit, so it cannot be deployed." in pushed.said
    assert not Build.objects.exists()


def test_twenty_thousand_refs_are_refused_in_one_sentence(target: Target) -> None:
    pack = Pack()
    commit = pack.commit(pack.tree([]))
    pushed = target.push(commit, pack, more=[f"refs/heads/b{number}" for number in range(20_000)])
    assert "Only main is deployed, so refs/heads/b0 was refused." in pushed.said
    assert len(pushed.said) < 1000


def test_a_name_of_sixty_thousand_characters_is_truncated(target: Target) -> None:
    pack = Pack()
    pushed = target.push(pack.commit(pack.tree([])), pack, ref="refs/heads/" + "x" * 60_000)
    assert "was refused" in pushed.said
    assert len(pushed.said) < 1000


ODD = {
    "dot git": [("100644", b".git")],
    "upper case": [("100644", b".GIT")],
    "short name": [("100644", b"git~1")],
    "invisible": [("100644", ".g\u200cit".encode())],
    "dot dot": [("100644", b"..")],
    "dot": [("100644", b".")],
    "slash": [("100644", b"a/b")],
    "absolute": [("100644", b"/etc/passwd")],
    "empty": [("100644", b"")],
    "twice": [("100644", b"a"), ("100644", b"a")],
    "file and folder": [("100644", b"a"), ("40000", b"a")],
    "unsorted": [("100644", b"b"), ("100644", b"a")],
}


@pytest.mark.parametrize("entries", ODD.values(), ids=ODD.keys())
def test_names_that_cannot_be_checked_out_are_refused(
    target: Target, entries: list[tuple[str, bytes]]
) -> None:
    pack = Pack()
    blob, inner = pack.add("blob", b"x"), pack.tree([])
    tree = pack.tree((mode, name, inner if mode == "40000" else blob) for mode, name in entries)
    pushed = target.push(pack.commit(tree), pack)
    assert "unpack ok" not in pushed.report
    assert not Build.objects.exists()


def test_a_link_whose_target_is_a_megabyte_is_refused(target: Target) -> None:
    pack = Pack()
    pushed = target.push(
        pack.commit(pack.tree([("120000", b"link", pack.add("blob", b"/" * MIB))])), pack
    )
    assert "! The target of the link link is longer than 4,095 bytes." in pushed.said


def test_control_bytes_in_names_are_accepted(target: Target) -> None:
    pack = Pack()
    blob = pack.add("blob", b"web: x\n")
    tree = pack.tree([("100644", b"Procfile", blob), ("100644", b"odd\x1b\n\xff", blob)])
    assert "ok refs/heads/main" in target.push(pack.commit(tree), pack).report


def test_a_submodule_with_an_odd_name_is_refused(target: Target) -> None:
    pack = Pack()
    blob = pack.add("blob", b"web: x\n")
    tree = pack.tree([("100644", b"Procfile", blob), ("160000", b"mod\x1bule", "1" * 40)])
    report = target.push(pack.commit(tree), pack).report
    assert "ng refs/heads/main" in report
    assert "\x1b" not in report
