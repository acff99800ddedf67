"""Fifty simultaneous requests: exactly as many succeed as the limit allows, over real connections
to a real database file."""

import threading
from collections.abc import Callable

from django.db import connection

from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import QuotaExceeded
from portal.lifecycle.app_actions import create_app, scale, set_config_vars
from portal.quotas.actions import set_quota
from portal.quotas.models import Quota
from portal.releases.models import Release
from tests.portal.conftest import People
from tests.portal.shipyard import deploy, submit_archive

AT_ONCE = 50


def all_at_once(work: Callable[[int], object]) -> tuple[int, list[Exception]]:
    """Run `work(0..49)` in as many threads, each with its own connection. Return the successes and
    the errors."""
    start, through, refusals = threading.Barrier(AT_ONCE), [], []

    def run(number: int) -> None:
        try:
            start.wait(30)
            work(number)
            through.append(number)
        except Exception as error:  # noqa: BLE001  # the test checks the type
            refusals.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return len(through), refusals


def test_of_fifty_simultaneous_new_apps_exactly_the_limit_succeed(committed_people: People) -> None:
    set_quota(committed_people.admin, team=committed_people.blue, limits={"apps": 7})
    through, refusals = all_at_once(
        lambda number: create_app(
            committed_people.owner, team=committed_people.blue, name=f"app-{number}"
        )
    )
    assert through == App.objects.count() == 7
    assert {type(refusal) for refusal in refusals} == {QuotaExceeded}, refusals


def test_of_fifty_simultaneous_scale_ups_exactly_the_limit_succeed(
    committed_people: People,
) -> None:
    Quota.objects.update(apps=AT_ONCE, instances=60, cpu=10**6, memory=2**50, disk=2**50)
    apps = [committed_people.app(f"app-{number}") for number in range(AT_ONCE)]
    for app in apps:
        deploy(submit_archive(committed_people.owner, app))
    through, refusals = all_at_once(
        lambda number: scale(committed_people.owner, app=apps[number], sizes={"web": Size(count=2)})
    )
    assert through == 10
    assert sum(ProcessFormation.objects.values_list("count", flat=True)) == 60
    assert {type(refusal) for refusal in refusals} == {QuotaExceeded}, refusals


def test_fifty_simultaneous_config_changes_make_fifty_numbered_releases(
    committed_people: People,
) -> None:
    app = committed_people.app()
    deploy(submit_archive(committed_people.owner, app))
    through, refusals = all_at_once(
        lambda number: set_config_vars(committed_people.owner, app=app, changes={f"V{number}": "1"})
    )
    assert (through, refusals) == (AT_ONCE, [])
    assert sorted(Release.objects.values_list("number", flat=True)) == list(range(1, AT_ONCE + 2))
