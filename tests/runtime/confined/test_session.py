"""Tests of confined helpers with the real kernel: allowed and forbidden operations, limits, and how
they end.
"""

import os
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from runtime import cancellation
from runtime.config import NodeConfig
from runtime.confined import probe, registry, removal, zygote
from runtime.confined.session import Confinement
from runtime.containers.cgroups.helper_groups import HelperGroups
from runtime.containers.cgroups.version import open_cgroups
from runtime.errors import Cancelled, HelperFailed, HostLacks, LimitReached
from runtime.kernel import Kernel
from runtime.team_ids import first_id_of

TEAM = 7


@pytest.fixture
def confinement():
    return Confinement()


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_text("text")
    (folder / "below" / "out").symlink_to("/etc/passwd")
    (folder / "below" / "up").symlink_to("../../..")
    return folder


def test_a_helper_can_only_use_the_trees_that_it_was_given(confinement, tree):
    with confinement.session(TEAM) as helper:
        sight = helper.call(probe.look, others=helper.tree(tree))
    assert sight.possible == ()
    assert sight.root == ()
    assert sight.uid == 0


def test_a_helper_sees_and_uses_the_ids_on_disk(confinement, tree):
    os.chown(tree / "file", 1234, 4321)
    with confinement.session(TEAM) as helper:
        helper.call(removal.remove, top=helper.tree(tree, writable=True), name="file")
    assert not (tree / "file").exists()


def test_a_helper_cannot_reach_files_with_ids_outside_its_range(confinement, tree):
    """Refuse to remove a file of another team: its ids are outside this helper's range."""
    other = first_id_of(TEAM + 1)
    os.chown(tree / "file", other, other)
    os.chown(tree, other, other)
    with (
        confinement.session(TEAM) as helper,
        pytest.raises(OSError, match="value too large|not permitted|denied|[Vv]alue"),
    ):
        helper.call(removal.remove, top=helper.tree(tree, writable=True), name="file")
    assert (tree / "file").exists()


def test_a_tree_is_removed_without_following_its_links(confinement, tree):
    kept = tree.parent / "kept"
    kept.mkdir()
    (kept / "precious").write_text("x")
    (tree / "link").symlink_to(kept)
    with confinement.session() as helper:
        helper.call(removal.empty, top=helper.tree(tree, writable=True))
    assert list(tree.iterdir()) == []
    assert (kept / "precious").exists()


def test_a_very_deep_tree_is_removed(confinement, tmp_path):
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with confinement.session() as helper:
        helper.call(removal.empty, top=helper.tree(top, writable=True))
    assert list(top.iterdir()) == []


def test_a_cancelled_call_ends(confinement, tree):
    asked = []

    def is_cancelled():
        asked.append(None)
        return len(asked) > 2

    with confinement.session(TEAM) as helper:
        blocked, other = os.pipe()
        with cancellation.when(is_cancelled), pytest.raises(Cancelled):
            helper.call(probe.wait_for, pipe=os.fdopen(blocked, "rb"))
        os.close(other)
        with pytest.raises(HelperFailed):
            helper.call(removal.measure, top=helper.tree(tree))


def test_a_call_ends_at_its_timeout(confinement):
    with confinement.session(TEAM) as helper:
        blocked, other = os.pipe()
        with pytest.raises(LimitReached, match="within 0.3 s"):
            helper.call_for(0.3, print, probe.wait_for, pipe=os.fdopen(blocked, "rb"))
        os.close(other)


def test_a_call_that_needs_too_much_memory_fails_with_a_message(confinement):
    with confinement.session(TEAM, memory=256 << 20) as helper:
        with pytest.raises(LimitReached, match="more memory"):
            helper.call(probe.hold, size=1 << 30)
        assert helper.call(probe.hold, size=1 << 20) == 1 << 20  # the helper still runs


def test_a_killed_helper_is_reported_and_leaves_no_process(confinement, tree):
    with confinement.session(TEAM) as helper:
        folder = helper.tree(tree)
        helper.end()
        with pytest.raises(HelperFailed):
            helper.call(removal.measure, top=folder)


def test_the_next_session_works_after_the_zygote_was_killed(confinement, tree):
    with confinement.session() as helper:
        before = helper.call(removal.measure, top=helper.tree(tree))
    pid = _zygote()
    os.kill(pid, 9)
    with confinement.session() as helper:
        assert helper.call(removal.measure, top=helper.tree(tree)) == before
    assert _zygote() != pid


def test_helpers_survive_the_end_of_the_thread_that_started_the_zygote(confinement, tree):
    if found := [pid for pid in [_zygote_or_none()] if pid]:
        os.kill(found[0], 9)
    with ThreadPoolExecutor(1) as short:
        with suppress(HelperFailed, HostLacks):  # notices that the previous zygote was killed
            short.submit(_measure, confinement, tree).result()
        short.submit(_measure, confinement, tree).result()
        pid = _zygote()
        with confinement.session() as helper:
            short.shutdown()
            time.sleep(0.3)
            assert helper.call(removal.measure, top=helper.tree(tree)) > 0
    assert _zygote() == pid


def test_sessions_of_many_threads_are_independent(confinement, tmp_path):
    sizes = {}

    def work(number):
        top = tmp_path / str(number)
        top.mkdir()
        (top / "file").write_bytes(b"x" * 10_000 * number)
        with confinement.session(number + 1) as helper:
            sizes[number] = helper.call(removal.measure, top=helper.tree(top))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(sizes[number] >= 10_000 * number for number in range(8))


def test_a_helper_ends_with_its_session(confinement, tree):
    with confinement.session(TEAM) as helper:
        helper.call(removal.measure, top=helper.tree(tree))
        held = os.dup(helper._process)
    deadline = time.monotonic() + 5
    while _lives(held) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(held)
    os.close(held)


def test_a_function_that_is_not_marked_is_refused(confinement):
    with confinement.session() as helper, pytest.raises(HelperFailed, match="KeyError"):
        helper.call(os.getpid)


def test_only_the_log_has_the_traceback_of_a_helper(confinement, caplog):
    with confinement.session() as helper, pytest.raises(HelperFailed) as caught:
        helper.call(os.getpid)
    shown = caught.value.explain()
    assert "internal error (KeyError)" in shown
    assert "Traceback" not in shown
    assert "/" not in shown
    assert "Traceback" in caplog.text


def test_only_modules_that_the_zygote_loads_can_be_marked():
    with pytest.raises(TypeError):
        registry.confined(test_only_modules_that_the_zygote_loads_can_be_marked)
    assert zygote.MODULES is registry.MODULES


def _lives(pidfd):
    import select

    return not select.select([pidfd], [], [], 0)[0]


def _measure(confinement, tree):
    with confinement.session() as helper:
        return helper.call(removal.measure, top=helper.tree(tree))


def _zygote_or_none():
    try:
        return _zygote()
    except AssertionError:
        return None


def _zygote():
    found = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if b"runtime.confined.zygote" in _command(entry) and _parent(entry) == os.getpid()
    ]
    assert len(found) == 1
    return found[0]


def _command(entry):
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def _parent(entry):
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_helper_runs_in_a_control_group_of_its_team_which_is_removed(tmp_path):
    config = NodeConfig(
        name=f"t{secrets.token_hex(3)}", state=tmp_path / "state", run=tmp_path / "run"
    )
    cgroups = open_cgroups(config.cgroup_parent, Kernel())
    try:
        with Confinement(groups=HelperGroups(config)).session(TEAM, memory=4 << 30) as helper:
            ((team, name),) = cgroups.known()
            assert team == TEAM
            assert len(cgroups.processes(team, name)) == 1
            with pytest.raises(LimitReached, match="needed more than 768 MiB of memory"):
                helper.call(probe.hold, size=2 << 30)
        assert cgroups.known() == set()
    finally:
        cgroups.remove_all()


def test_a_nested_session_of_the_same_team_shares_the_helper(tmp_path):
    confinement = Confinement()
    (tmp_path / "file").write_text("x")
    with confinement.session(TEAM) as outer:
        with confinement.shared_session(TEAM) as inner:
            assert inner.ids == outer.ids
            tree = inner.tree(tmp_path)
            inner.call(probe.look, others=tree)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(tree.fd)
        outer.call(probe.look, others=outer.tree(tmp_path))
        with confinement.shared_session(TEAM + 1) as other:
            assert other.ids != outer.ids


def test_a_shared_helper_that_ends_also_ends_the_outer_session():
    confinement = Confinement()
    with confinement.session(TEAM) as outer:
        with confinement.shared_session(TEAM) as inner:
            inner.end()
        assert outer.is_broken
        with confinement.shared_session(TEAM) as fresh:
            assert not fresh.is_broken
            assert fresh.ids != outer.ids


def test_a_shared_session_without_an_outer_session_starts_a_helper():
    confinement = Confinement()
    with confinement.shared_session(TEAM) as first:
        pass
    with confinement.shared_session(TEAM) as second:
        assert second._outer is None
    assert first.is_broken
