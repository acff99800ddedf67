"""Read the list of a person's apps with their states: all apps in one query, details of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from portal.accounts.models import Person
from portal.apps.models import App, Instance, InstanceState
from portal.builds.models import Build, BuildState
from portal.dataversion import DatabaseCache
from portal.deploys.app_status import Word, word_of_running
from portal.releases.models import FAILURES, Release, Rollout, RolloutState

_HAS_PROCESS = {
    "sqlite": """json_type(release.processes, '$."' || formation.process || '"') IS NOT NULL""",
    "postgresql": "jsonb_exists(release.processes, formation.process)",
}
# Only apps whose newest build or rollout is open or failed need a look at their history. They are
# found from those builds and rollouts, which have their own indexes, so old builds cost nothing.
# The first column is the team, so that a team without apps has one row.
_QUERY = """
WITH running AS MATERIALIZED (
  SELECT app_id,
    SUM(CASE WHEN state = 'live' THEN 1 ELSE 0 END) AS live,
    SUM(CASE WHEN state = 'crashed' THEN 1 ELSE 0 END) AS crashed,
    SUM(CASE WHEN state = 'asleep' THEN 1 ELSE 0 END) AS asleep
  FROM apps_instance
  WHERE NOT (state = 'stopped')
  GROUP BY app_id
), unsettled AS (
  SELECT MAX(id) AS id
  FROM builds_build
  WHERE state IN ('queued', 'building', 'failed')
  GROUP BY app_id
), events AS (
  SELECT build.app_id,
    CASE WHEN build.state = 'failed' THEN 0 ELSE 1 END AS changing,
    CASE WHEN build.state = 'failed' AND NOT EXISTS (
      SELECT 1 FROM releases_release release
      JOIN releases_rollout rollout ON rollout.release_id = release.id
      WHERE release.app_id = build.app_id AND rollout.created_at >= build.created_at
    ) THEN 1 ELSE 0 END AS failed
  FROM unsettled
  JOIN builds_build build ON build.id = unsettled.id
  WHERE NOT EXISTS (
    SELECT 1 FROM builds_build newer WHERE newer.app_id = build.app_id AND newer.id > build.id
  )
  UNION ALL
  SELECT release.app_id, 0, 1
  FROM releases_rollout rollout
  JOIN releases_release release ON release.id = rollout.release_id
  WHERE rollout.state IN ('failed', 'rolled_back') AND NOT EXISTS (
    SELECT 1 FROM releases_release newer
    WHERE newer.app_id = release.app_id AND newer.id > release.id
  ) AND NOT EXISTS (
    SELECT 1 FROM releases_rollout newer
    WHERE newer.release_id = release.id AND newer.id > rollout.id
  )
  UNION ALL
  SELECT release.app_id, 1, 0
  FROM releases_rollout rollout
  JOIN releases_release release ON release.id = rollout.release_id
  WHERE rollout.state IN ('pending', 'releasing', 'launching')
), latest AS MATERIALIZED (
  SELECT app_id, MAX(changing) AS changing, MAX(failed) AS failed FROM events GROUP BY app_id
)
SELECT team.name, app.id, app.name, COALESCE(app.node_name, app.name), app.description,
  release.number,
  COALESCE((
    SELECT SUM(formation.count) FROM apps_processformation formation
    WHERE formation.app_id = app.id AND {has_process}
  ), 0),
  COALESCE(running.live, 0), COALESCE(running.crashed, 0), COALESCE(running.asleep, 0),
  COALESCE(latest.changing, 0), COALESCE(latest.failed, 0)
FROM accounts_membership membership
JOIN accounts_team team ON team.id = membership.team_id
LEFT JOIN apps_app app ON app.team_id = team.id AND app.deleted_at IS NULL
LEFT JOIN releases_release release ON release.id = app.current_release_id
LEFT JOIN running ON running.app_id = app.id
LEFT JOIN latest ON latest.app_id = app.id
WHERE membership.person_id = %s
ORDER BY team.name, app.name
"""


class ListedApp(NamedTuple):
    """An app with its state. `has_failed`: it crashed, or its last build or rollout failed.

    A tuple, because thousands are created for one page.
    """

    team: str
    id: int
    name: str
    handle: str  # of its metrics
    description: str
    release: int | None  # number
    live: int  # instances
    word: Word
    has_failed: bool


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


_lists: DatabaseCache[AppList] = DatabaseCache(most=64)


def app_list_of(person: Person) -> AppList:
    """Return the person's apps and teams, in one query. It is not repeated until the database has
    changed."""
    return _lists.get(person.pk, lambda: _read(person))


def last_deploys_of(apps: Iterable[ListedApp]) -> dict[int, LastDeploy]:
    """Return the last deploys by the app's row id, in at most three queries."""
    apps = list(apps)
    shown = App.objects.filter(pk__in=[app.id for app in apps])
    newest_build = Build.objects.filter(app=OuterRef("pk")).order_by("-pk")
    newest_release = Release.objects.filter(app=OuterRef("pk")).order_by("-pk")
    newest_rollout = Rollout.objects.filter(release=OuterRef("newest")).order_by("-pk")
    builds = {
        build.app_id: build
        for build in Build.objects.filter(pk__in=shown.values_list(_first(newest_build)))
        .select_related("created_by")
        .defer("app_file", "processes", "encrypted_credentials")
    }
    rollouts = {
        rollout.release.app_id: rollout
        for rollout in Rollout.objects.filter(
            pk__in=shown.annotate(newest=_first(newest_release)).values_list(_first(newest_rollout))
        )
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
        app.id: _last_deploy(builds.get(app.id), rollouts.get(app.id), details.get(app.id))
        for app in apps
    }


def _read(person: Person) -> AppList:
    query = _QUERY.format(has_process=_HAS_PROCESS[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(query, [person.pk])
        rows = cursor.fetchall()
    return AppList(
        apps=[
            ListedApp(
                team,
                pk,
                name,
                handle,
                description,
                release,
                live,
                *_state(
                    release is None, wanted, live, crashed, asleep, bool(changing), bool(failed)
                ),
            )
            for (
                team,
                pk,
                name,
                handle,
                description,
                release,
                wanted,
                live,
                crashed,
                asleep,
                changing,
                failed,
            ) in rows
            if pk is not None
        ],
        teams=list(dict.fromkeys(row[0] for row in rows)),
    )


def _first(rows: QuerySet[Build] | QuerySet[Release] | QuerySet[Rollout]) -> Subquery:
    return Subquery(rows.values("pk")[:1])


@lru_cache(maxsize=1024)
def _state(
    is_empty: bool,
    wanted: int,
    live: int,
    crashed: int,
    asleep: int,
    is_changing: bool,
    failed_last: bool,
) -> tuple[Word, bool]:
    """Return the word, and True if the app needs attention. Most apps have the same few states.

    `is_empty`: the app has no release.
    """
    word: Word
    if is_changing:
        word = "changing"
    elif is_empty:
        word = "failed" if failed_last else "stopped"
    else:
        word = word_of_running(wanted=wanted, live=live, crashed=crashed, asleep=asleep)
    return word, not is_changing and (word == "failed" or failed_last)


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
