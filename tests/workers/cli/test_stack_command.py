"""Tests of `manage.py stack`: the list of stacks and their apps, and upgrades of apps."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from portal.activity.models import AuditEntry
from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.deploys import actions as builds
from portal.deploys.going_live import finish_live
from portal.releases.access import open_rollout, release_of
from runtime.config import NodeConfig
from runtime.engines.node import NodeEngine
from tests.portal.conftest import Crew, crew
from tests.portal.shipyard import submit_archive
from tests.runtime.stacks.test_upgrades import Yard
from workers import node
from workers.tasks.upgrade import upgrade_stack

__all__ = ["crew"]
Stack = Callable[..., str]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    engine = NodeEngine(
        NodeConfig(
            name="tstacks",
            state=tmp_path / "state",
            run=tmp_path / "run",
            disk_high=100,
            disk_full=100,
        )
    )
    before = list(node._chosen)
    node.use(engine)
    made = Yard(engine.config, engine.images, tmp_path)
    made.version(1_000_000.0)
    yield made
    node._chosen[:] = before


@pytest.fixture
def stack(yard: Yard) -> Stack:
    def call(*words: str) -> str:
        out = io.StringIO()
        call_command("stack", *words, stdout=out)
        return out.getvalue().rstrip("\n")

    return call


def live(crew: Crew, yard: Yard, name: str, **files: str | None) -> App:
    """Create an app whose v1 is live, with these files in its top layer."""
    app = crew.app(name)
    build = submit_archive(crew.owner, app, name.encode())
    builds.mark_building(build)
    rollout = builds.succeed(build, yard.app(**files), {"web": "run"})
    assert rollout is not None
    assert finish_live(rollout)
    app.refresh_from_db()
    return app


def test_ls_and_show_list_stacks_versions_and_the_apps_that_use_them(
    yard: Yard, stack: Stack
) -> None:
    lines = stack("ls").splitlines()
    assert lines[0].split()[0] == "NAME"
    assert [line.split()[0] for line in lines[1:]] == ["debian-12", "debian-13", "debian-14"]
    assert "python-3.14" in lines[3]
    assert "not built" in lines[3]
    yard.app(app__x="x")
    yard.version(2_000_000.0, ssl="3.5.4-1")
    shown = json.loads(stack("show", "debian-13", "--json"))
    assert [version["newest"] for version in shown["versions"]] == [True, False]
    assert [version["apps"] for version in shown["versions"]] == [[], ["shop"]]
    table = stack("show", "debian-13")
    assert "debian-13: Debian trixie" in table
    assert shown["versions"][0]["label"] in table
    assert json.loads(stack("ls", "--json"))[1]["versions"] == [
        version["label"] for version in shown["versions"]
    ]
    for words, sentence in (
        (("show", "beos-5"), "Stack 'beos-5' does not exist"),
        (("rebuild",), "Give the name of a stack, or --all"),
        (
            ("build", "debian-13", "python-3.11"),
            "debian-13 does not offer python-3.11. It offers python-3.13, static-nginx",
        ),
    ):
        with pytest.raises(CommandError, match=sentence):
            stack(*words)


def test_every_verb_names_an_operators_invalid_file(yard: Yard, stack: Stack) -> None:
    yard.config.stacks.mkdir()
    (yard.config.stacks / "own.toml").write_text('name = "own"\nsuite = 1')
    with pytest.raises(CommandError, match=r"own\.toml: suite is 1"):
        stack("ls")


def test_a_sound_upgrade_is_a_release_and_an_unsound_one_leaves_the_app(
    crew: Crew, yard: Yard, stack: Stack
) -> None:
    sound, unsound = (
        live(crew, yard, "sound", app__x="x"),
        live(crew, yard, "unsound", var__lib__dpkg__status="more"),
    )
    crew.app("empty")
    assert {row["outcome"] for row in json.loads(stack("upgrade", "--all", "--json"))} == {
        "current"
    }
    yard.version(2_000_000.0, ssl="3.5.4-1")
    rows = {row["app"]: row for row in json.loads(stack("upgrade", "--all", "--json"))}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "sound": "upgraded",
        "unsound": "unsound",
        "empty": "current",
    }
    rollout = open_rollout(sound)
    assert rollout is not None
    old, new = release_of(sound, 1), rollout.release
    assert new.number == 2
    assert new.image != old.image
    assert (new.processes, new.build) == (old.processes, old.build)
    assert new.description.startswith("Upgrade debian-13 to 19700124-")
    assert yard.store.find("sound:v2") == new.image
    assert yard.store.layers_of(new.image)[2:] == yard.store.layers_of(old.image)[2:]
    assert open_rollout(unsound) is None
    entry = AuditEntry.objects.filter(app_name="unsound").order_by("-pk").first()
    assert entry is not None
    assert (
        "stays on its stack. The upgrade is not safe: The app's layers contain packages installed"
        " by apt" in entry.text
    )
    assert json.loads(stack("upgrade", "sound", "--json"))[0]["outcome"] == "current", (
        "the upgrade has begun already"
    )


def test_where_an_upgrade_is_not_sound_the_source_can_be_built_again(
    crew: Crew, yard: Yard, stack: Stack
) -> None:
    app = live(crew, yard, "unsound", etc__passwd="own")
    yard.version(2_000_000.0, ssl="3.5.4-1", passwd="changed")
    answer = json.loads(stack("upgrade", "unsound", "--rebuild", "--json"))[0]
    build = Build.objects.get(app=app, state=BuildState.QUEUED)
    assert (answer["outcome"], f"Build {build.pk}" in answer["sentence"]) == ("rebuilding", True)
    assert build.source == release_of(app, 1).build.source
    with pytest.raises(CommandError, match="no app other"):
        stack("upgrade", "other")
    with pytest.raises(CommandError, match="Give the name of an app"):
        stack("upgrade")


def test_the_task_upgrades_for_the_admin_who_requested_it(crew: Crew, yard: Yard) -> None:
    app = live(crew, yard, "sound", app__x="x")
    yard.version(2_000_000.0, ssl="3.5.4-1")
    upgrade_stack(app.pk, crew.admin.pk)
    upgrade_stack(app.pk, crew.admin.pk)
    assert release_of(app, 2).created_by == crew.admin
    assert not app.releases.filter(number=3).exists()
    upgrade_stack(0, crew.admin.pk)
