"""The activity page: its filter, its pages, and the export."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from portal.accounts.models import Person, Team
from portal.activity.models import AuditEntry


@pytest.fixture
def entries(sample_portal: None) -> None:
    member = Person.objects.get(username="member")
    harbour = Team.objects.get(name="harbour")
    AuditEntry.objects.all().delete()
    AuditEntry.objects.create(person=member, team=harbour, app_name="shop", text="scaled web to 3")
    AuditEntry.objects.create(person=None, team=harbour, app_name="chat", text="build 7 failed")
    old = AuditEntry.objects.create(person=member, text="=SUM(A1:A9)")
    AuditEntry.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=8))


def test_the_filter_selects_by_text_person_team_app_and_time(entries: None, admin: Client) -> None:
    for query, found in (
        ("", {"scaled", "build 7", "SUM"}),
        ("q=SCALED", {"scaled"}),
        ("person=member", {"scaled", "SUM"}),
        ("team=harbour", {"scaled", "build 7"}),
        ("team=harbour&app=chat", {"build 7"}),
        ("range=7d", {"scaled", "build 7"}),
        ("range=soon&before=x", {"scaled", "build 7", "SUM"}),
    ):
        page = admin.get(f"/admin/activity?{query}").content.decode()
        shown = page[page.index('<ul class="divided">') :]
        for words in ("scaled", "build 7", "SUM"):
            assert (words in shown) == (words in found), query
    page = admin.get("/admin/activity?person=nobody").content.decode()
    assert "No activity matches" in page
    assert 'href="/admin/activity.csv?person=nobody"' in page
    assert 'name="person" value="nobody"' in page


def test_the_export_has_the_matching_rows_and_no_formulas(entries: None, admin: Client) -> None:
    answer = admin.get("/admin/activity.csv?person=member")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="activity.csv"' in answer["Content-Disposition"]
    head, *rows = csv.reader(io.StringIO(answer.content.decode()))
    assert head == ["time", "person", "team", "app", "activity"]
    assert [row[1:] for row in rows] == [
        ["member", "", "", "'=SUM(A1:A9)"],
        ["member", "harbour", "shop", "scaled web to 3"],
    ]


def test_a_long_list_has_pages_and_few_queries(entries: None, admin: Client) -> None:
    AuditEntry.objects.bulk_create(AuditEntry(text=f"change {number}.") for number in range(120))
    with CaptureQueriesContext(connection) as queries:
        page = admin.get("/admin/activity?q=change").content.decode()
    assert len(queries) <= 6
    assert page.count("change ") == 50
    oldest = AuditEntry.objects.filter(text="change 70.").get()
    assert f"?q=change&amp;before={oldest.pk}" in page
    older = admin.get(f"/admin/activity?q=change&before={oldest.pk}").content.decode()
    assert "change 69." in older
    assert "change 70." not in older
    assert "Newest" in older
