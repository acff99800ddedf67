"""Failures on pages: log lines in monospace, and a card above a live app."""

import re

from django.test import Client

from portal.apps.models import App
from portal.builds.models import Build
from portal.deploys.app_status import status_of
from portal.logs.failure_text import split_reason
from portal.releases.models import Rollout, RolloutState

TRACEBACK = """\
The instance web did not become healthy within 60 s.
Its last lines:
Traceback (most recent call last):
  File "/app/shop/wsgi.py", line 3, in <module>
    import payments
ModuleNotFoundError: No module named 'payments'
Worker exited."""


def failed_build() -> Build:
    rollout = Rollout.objects.get(release__app__name="shop", state=RolloutState.FAILED)
    Rollout.objects.filter(pk=rollout.pk).update(reason=TRACEBACK)
    build = rollout.release.build
    assert build is not None
    return build


def test_a_reason_is_split_into_sentences_and_log_lines_with_the_culprit() -> None:
    found = split_reason(TRACEBACK)
    assert found.sentences == tuple(TRACEBACK.splitlines()[:2])
    assert [row.text for row in found.rows] == TRACEBACK.splitlines()[2:]
    assert [row.text for row in found.rows if row.is_culprit] == [
        "ModuleNotFoundError: No module named 'payments'"
    ]
    assert split_reason("It failed.\nFix it.").rows == ()


def test_a_traceback_is_shown_in_monospace_with_its_indentation(member: Client) -> None:
    build = failed_build()
    page = member.get(f"/apps/shop/builds/{build.pk}").text
    trace = re.search(r'<pre class="trace".*?</pre>', page, re.DOTALL)
    assert trace is not None
    assert "<span>    import payments</span>" in trace[0]
    assert "<mark>ModuleNotFoundError" in trace[0]
    assert 'href="/apps/shop/logs">' in page[trace.end() :], "the whole boot log is one click away"
    assert 'href="/apps/shop/releases/3/compare/4">What changed since v3' in page


def test_a_failed_deploy_above_a_live_app_is_a_card_that_can_be_dismissed(member: Client) -> None:
    build = failed_build()
    page = member.get("/apps/shop").text
    card = page[page.index("The last deploy failed") :]
    assert f'href="/apps/shop/builds/{build.pk}"' in card
    status = status_of(App.objects.get(name="shop"))
    assert status.now == "v3 is live, 3 of 3 instances healthy."
    key = re.search(r'name="failure" value="([^"]+)"', card)
    assert key is not None
    answer = member.post("/apps/shop/failure/dismiss", {"failure": key[1]}, follow=True)
    assert "The last deploy failed" not in answer.text
    Rollout.objects.filter(release__build=build).update(reason="Another failure.")
    assert "Another failure." in member.get("/apps/shop").text
