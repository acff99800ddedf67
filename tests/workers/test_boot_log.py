"""The log of a build also has what the new instances print while they boot."""

from portal.lifecycle.app_actions import set_config_vars
from portal.releases.models import Rollout, RolloutState
from workers.tasks import boot_log
from workers.tasks.build import build
from workers.tasks.converge import converge
from workers.tasks.rollout import roll_out


def deployed(plant, app, mode="ok", **processes):
    """Build and roll out. Return the rollout, and the lines (source, text) of the build's log."""
    row = plant.submit(app)
    plant.builder.processes = {"web": f"python3 /srv/app.py v{row.pk} {mode}", **processes}
    build(row.pk)
    rollout = Rollout.objects.get(release__build=row)
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    return rollout, lines_of(plant, row.pk)


def lines_of(plant, number):
    text = (plant.config.build_logs / f"{number}.log").read_text()
    return [(line.split(" ", 3)[1], line.split(" ", 3)[3]) for line in text.splitlines()]


def booted(lines):
    return [text for source, text in lines if source.startswith("web.")]


def test_the_boot_of_a_new_release_follows_its_build_in_one_log(plant):
    app = plant.app()
    rollout, lines = deployed(plant, app)
    assert rollout.state == RolloutState.LIVE
    texts = [text for _, text in lines]
    word = f"v{rollout.release.build_id}"
    assert texts.index("Rolling out v1.") < texts.index(f"hello from {word}")
    assert booted(lines)[0] == f"hello from {word}"
    assert not list((plant.config.state / "boot-logs").glob("*"))


def test_a_boot_that_fails_leaves_its_last_lines_and_no_line_of_the_old_release(plant):
    app = plant.app()
    deployed(plant, app)
    rollout, lines = deployed(plant, app, "exit")
    assert rollout.state == RolloutState.FAILED
    word = f"v{rollout.release.build_id}"
    assert set(booted(lines)) == {f"hello from {word}", "cannot find the moon"}


def test_the_output_of_the_release_phase_is_in_the_log_too(plant):
    app = plant.app()
    _, lines = deployed(plant, app, release="echo migrating; exit 3")
    phase = [text for source, text in lines if source.startswith("release.")]
    assert phase == ["migrating"]


def test_a_config_change_does_not_continue_the_log_of_an_old_build(plant):
    app = plant.app()
    first, before = deployed(plant, app)
    release = set_config_vars(plant.crew.owner, app=app, changes={"COLOR": "blue"})
    assert release is not None
    roll_out(Rollout.objects.get(release=release).pk)
    assert lines_of(plant, first.release.build_id) == before


def test_values_of_config_vars_are_masked_in_the_boot(plant):
    app = plant.app()
    set_config_vars(plant.crew.owner, app=app, changes={"TOKEN": "a-long-secret-1"})
    _, lines = deployed(plant, app, web="echo is $TOKEN; exec python3 /srv/app.py v1 ok")
    assert "is ****" in booted(lines)


def test_a_boot_that_prints_without_end_does_not_fill_the_disk(plant, monkeypatch):
    monkeypatch.setattr(boot_log, "MOST", 500)
    app = plant.app()
    count = "i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done"
    _, lines = deployed(plant, app, web=f"{count}; exec python3 /srv/app.py v1 ok")
    assert 0 < len(booted(lines)) < 20
    assert lines[-1][1].endswith("The app's log has the rest of it.")
