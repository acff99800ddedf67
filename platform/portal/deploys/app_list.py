"""Read the list of a person's apps with their states: all apps in one query, details of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from portal.accounts.models import Person
from portal.apps.models import Instance, InstanceState
from portal.builds.models import Build, BuildState
from portal.dataversion import Kept
from portal.deploys.app_status import Word, word_of_running
from portal.releases.models import FAILURES, Rollout, RolloutState

_HAS_PROCESS = {
    "sqlite": """json_type(release.processes, '$."' || formation.process || '"') IS NOT NULL""",
    "postgresql": "jsonb_exists(release.processes, formation.process)",
}
# Subqueries for each app would take a second with 5,000 apps. Grouped, they take some milliseconds.
# The first column is the team, so that a team without apps has one row.
_QUERY = """
WITH mine AS MATERIALIZED (
  SELECT team.name AS team, app.id, app.name, app.current_release_id
  FROM accounts_membership membership
  JOIN accounts_team team ON team.id = membership.team_id
  LEFT JOIN apps_app app ON app.team_id = team.id AND app.deleted_at IS NULL
  WHERE membership.person_id = %s
), wanted AS (
  SELECT formation.app_id, SUM(formation.count) AS instances
  FROM mine
  JOIN apps_processformation formation ON formation.app_id = mine.id
  JOIN releases_release release ON release.id = mine.current_release_id
  WHERE {has_process}
  GROUP BY formation.app_id
), running AS (
  SELECT instance.app_id,
    SUM(CASE WHEN instance.state = 'live' THEN 1 ELSE 0 END) AS live,
    SUM(CASE WHEN instance.state = 'crashed' THEN 1 ELSE 0 END) AS crashed,
    SUM(CASE WHEN instance.state = 'asleep' THEN 1 ELSE 0 END) AS asleep
  FROM apps_instance instance
  WHERE instance.state <> 'stopped'
  GROUP BY instance.app_id
), newest AS MATERIALIZED (
  SELECT mine.id AS app_id,
    (SELECT MAX(build.id) FROM builds_build build WHERE build.app_id = mine.id) AS build_id,
    (SELECT MAX(rollout.id) FROM releases_rollout rollout WHERE rollout.release_id =
      (SELECT MAX(release.id) FROM releases_release release WHERE release.app_id = mine.id)
    ) AS rollout_id
  FROM mine
), rolling AS MATERIALIZED (
  SELECT DISTINCT release.app_id
  FROM releases_rollout rollout
  JOIN releases_release release ON release.id = rollout.release_id
  WHERE rollout.state IN ('pending', 'releasing', 'launching')
)
SELECT mine.team, mine.id, mine.name, current_release.number,
  COALESCE(wanted.instances, 0), COALESCE(running.live, 0), COALESCE(running.crashed, 0),
  COALESCE(running.asleep, 0), newest.build_id, newest.rollout_id, build.state, rollout.state,
  CASE WHEN rollout.created_at IS NULL OR rollout.created_at < build.created_at THEN 1 ELSE 0 END,
  CASE WHEN rolling.app_id IS NULL THEN 0 ELSE 1 END
FROM mine
LEFT JOIN releases_release current_release ON current_release.id = mine.current_release_id
LEFT JOIN wanted ON wanted.app_id = mine.id
LEFT JOIN running ON running.app_id = mine.id
LEFT JOIN newest ON newest.app_id = mine.id
LEFT JOIN builds_build build ON build.id = newest.build_id
LEFT JOIN releases_rollout rollout ON rollout.id = newest.rollout_id
LEFT JOIN rolling ON rolling.app_id = mine.id
ORDER BY mine.team, mine.name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedApp:
    """An app with its state. `has_failed`: it crashed, or its last build or rollout failed."""

    id: int
    name: str
    team: str
    release: int | None
    live: int  # instances
    word: Word
    has_failed: bool
    build: int | None  # row id of the last build
    rollout: int | None  # row id of the rollout of the newest release


@dataclass(frozen=True, slots=True, kw_only=True)
class AppList:
    """All apps of a person, by team and name, and all teams of the person."""

    apps: Sequence[ListedApp]
    teams: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDeploy:
    """The last change of an app, and why it or the app failed. `build` is None for a change
    without a build."""

    description: str
    by: str
    at: datetime | None
    build: int | None
    failure: str


_lists: Kept[AppList] = Kept(most=64)


def app_list_of(person: Person) -> AppList:
    """Return the person's apps and teams, in one query. It is not repeated until the database has
    changed."""
    return _lists.get(person.pk, lambda: _read(person))


def last_deploys_of(apps: Iterable[ListedApp]) -> dict[int, LastDeploy]:
    """Return the last deploys by the app's row id, in at most three queries."""
    apps = list(apps)
    builds = {
        build.pk: build
        for build in Build.objects.filter(pk__in=[app.build for app in apps if app.build])
        .select_related("created_by")
        .defer("app_file", "processes", "encrypted_credentials")
    }
    rollouts = {
        rollout.pk: rollout
        for rollout in Rollout.objects.filter(pk__in=[app.rollout for app in apps if app.rollout])
        .select_related("release", "release__created_by")
        .defer("steps", "release__encrypted_config", "release__app_file", "release__processes")
    }
    crashed = [app.id for app in apps if app.word == "failed" and app.release is not None]
    details = (
        dict(
            Instance.objects.filter(app__in=crashed, state=InstanceState.CRASHED).values_list(
                "app_id", "detail"
            )
        )
        if crashed
        else {}
    )
    return {
        app.id: _last_deploy(
            builds.get(app.build or 0), rollouts.get(app.rollout or 0), details.get(app.id)
        )
        for app in apps
    }


def _read(person: Person) -> AppList:
    query = _QUERY.format(has_process=_HAS_PROCESS[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(query, [person.pk])
        rows = cursor.fetchall()
    return AppList(
        apps=[_listed(*row) for row in rows if row[1] is not None],
        teams=list(dict.fromkeys(row[0] for row in rows)),
    )


def _listed(
    team: str,
    id: int,
    name: str,
    release: int | None,
    wanted: int,
    live: int,
    crashed: int,
    asleep: int,
    build: int | None,
    rollout: int | None,
    build_state: str | None,
    rollout_state: str | None,
    is_build_newer: int,
    is_rolling: int,
) -> ListedApp:
    is_changing = is_rolling or build_state in (BuildState.QUEUED, BuildState.BUILDING)
    failed_last = (
        build_state == BuildState.FAILED and bool(is_build_newer)
    ) or rollout_state in FAILURES
    word: Word
    if is_changing:
        word = "changing"
    elif release is None:
        word = "failed" if failed_last else "stopped"
    else:
        word = word_of_running(wanted=wanted, live=live, crashed=crashed, asleep=asleep)
    return ListedApp(
        id=id,
        name=name,
        team=team,
        release=release,
        live=live,
        word=word,
        has_failed=not is_changing and (word == "failed" or failed_last),
        build=build,
        rollout=rollout,
    )


def _last_deploy(build: Build | None, rollout: Rollout | None, crash: str | None) -> LastDeploy:
    release = rollout.release if rollout is not None else None
    if build is not None and (rollout is None or rollout.created_at < build.created_at):
        return LastDeploy(
            description=f"Deploy {build.description}".strip(),
            by=build.created_by.username if build.created_by else "",
            at=build.created_at,
            build=build.pk,
            failure=(
                f"The last build failed: {build.reason}"
                if build.state == BuildState.FAILED
                else _crash(crash)
            ),
        )
    if rollout is None or release is None:
        return LastDeploy(description="", by="", at=None, build=None, failure="")
    state = RolloutState(rollout.state)
    return LastDeploy(
        description=release.description,
        by=release.created_by.username if release.created_by else "",
        at=release.created_at,
        build=release.build_id if release.description.startswith("Deploy") else None,
        failure=(
            f"v{release.number} {FAILURES[state]}: {rollout.reason}"
            if state.has_failed
            else _crash(crash)
        ),
    )


def _crash(detail: str | None) -> str:
    return "" if detail is None else f"An instance crashed. {detail}".strip()
