"""Rows of an app in the sample portal: its domains, runs, sleep, instances and times."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from portal.accounts.models import Person
from portal.apps.models import App, Instance, ProcessFormation
from portal.builds.models import Build
from portal.domains import actions as domains
from portal.domains import certificates
from portal.domains.models import Domain
from portal.jobs.models import CronJob, Run, RunState
from portal.releases.models import Release, Rollout
from portal.traffic.models import Nap


def create_naps(app: App) -> None:
    now = timezone.now()
    Nap.objects.create(
        app=app,
        began_at=now - timedelta(hours=9),
        stopped_at=now - timedelta(hours=8),
        ended_at=now - timedelta(hours=1),
        instances=2,
        memory=310 * 2**20,
    )
    App.objects.filter(pk=app.pk).update(created_at=now - timedelta(hours=30))


def create_domains(person: Person, app: App) -> None:
    """Create a verified domain with a certificate, one whose certificate was refused, and one that
    waits."""
    now = timezone.now()
    for host in ("shop.example.com", "www.shop.example.com"):
        domains.mark_verified(domains.add(person, app=app, host=host), "by a DNS record", now)
    good, refused = Domain.objects.filter(app=app)
    until = now + timedelta(days=71)
    certificates.mark_served(
        good,
        uploaded=False,
        issuer="CN=R11,O=Let's Encrypt",
        names=[good.host],
        not_after=until,
        renew_at=until,
    )
    certificates.mark_refused(
        refused, "The authority could not see that it leads here.\nCheck its DNS record.", now=now
    )
    domains.mark_unproven(
        domains.add(person, app=app, host="*.shop.example.com"),
        "There is no TXT record _slipway.shop.example.com.",
        now,
    )


def create_runs(app: App) -> None:
    """Create a run with each outcome."""
    begun = timezone.now() - timedelta(minutes=40)
    Run.objects.filter(app=app, kind="postdeploy").update(
        state=RunState.SUCCEEDED, started_at=begun, finished_at=begun + timedelta(seconds=4.2)
    )
    for job, state, reason in (
        (
            "digest",
            RunState.FAILED,
            (
                "It exited with code 1.\nIts last lines:\nsmtplib.SMTPServerDisconnected:"
                " Connection unexpectedly closed"
            ),
        ),
        ("sweep", RunState.SUCCEEDED, ""),
        ("sweep", RunState.SKIPPED, "The previous run had not ended."),
    ):
        row = CronJob.objects.get(app=app, name=job)
        begun += timedelta(minutes=10)
        took = None if state == RunState.SKIPPED else begun
        Run.objects.create(
            app=app,
            release=app.current_release,
            kind="cron",
            name=job,
            command=row.command,
            timeout=row.timeout,
            state=state,
            reason=reason,
            scheduled_for=begun,
            started_at=took,
            finished_at=begun + timedelta(seconds=1.7),
        )


def spread_over_days(app: App) -> None:
    """Distribute the new objects over the last days."""
    for age, build in enumerate(Build.objects.filter(app=app).order_by("-id"), start=1):
        begin = timezone.now() - timedelta(hours=7 * age, minutes=11)
        ends = {
            "created_at": begin,
            "started_at": begin + timedelta(seconds=0.2),
            "finished_at": begin + timedelta(seconds=2.1),
        }
        Build.objects.filter(pk=build.pk).update(**ends)
        Release.objects.filter(build=build).update(created_at=begin + timedelta(seconds=2.1))
        for rollout in Rollout.objects.filter(release__build=build):
            steps = [
                {**step, "at": (begin + timedelta(seconds=2.3 + 0.3 * number)).isoformat()}
                for number, step in enumerate(rollout.steps)
            ]
            Rollout.objects.filter(pk=rollout.pk).update(
                steps=steps, finished_at=begin + timedelta(seconds=2.4 + 0.3 * len(steps))
            )


def create_instances(app: App) -> None:
    assert app.current_release is not None
    Instance.objects.filter(app=app).delete()
    for row in ProcessFormation.objects.filter(app=app):
        for number in range(row.count):
            Instance.objects.create(
                id=f"{app.name}-{row.process}-{number}",
                app=app,
                process=row.process,
                release_number=app.current_release.number,
                node="node-1",
                state="live",
                started_at=timezone.now() - timedelta(hours=5, minutes=13 * number),
            )
