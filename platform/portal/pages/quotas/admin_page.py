"""The content of the admin page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from portal.accounts.models import Person, Team
from portal.activity.access import audit_for
from portal.builds.models import Build, BuildState
from portal.images.clean_up import last_clean_up
from portal.images.models import Image
from portal.metrics.node import node_now
from portal.pages import breadcrumbs
from portal.pages.accounts.forms import PersonForm
from portal.pages.domains.card import own_certificates
from portal.pages.quotas.forms import QuotaForm
from portal.quotas.access import TeamLine, quota_of, team_uses
from portal.quotas.capacity import capacity_of
from portal.quotas.lines import QuotaLine, lines

ON_A_PAGE = 20
_OPEN = (BuildState.QUEUED, BuildState.BUILDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTeam:
    """A team in the list. `form` is its quota if that is being edited."""

    line: TeamLine
    entries: list[QuotaLine]
    form: QuotaForm | None

    @property
    def name(self) -> str:
        return self.line.team.name


def admin_context(
    person: Person, query: Mapping[str, str], *, new: PersonForm, edited: QuotaForm | None = None
) -> dict[str, object]:
    """Return the context. The query has the pages, the search for people, and `edit`: the team
    whose quota is edited in the list. `edited` is its form if it was already sent.
    """
    uses = team_uses()
    search = query.get("person", "").strip()[:80]
    editing = query.get("edit", "")
    named = [line for line in uses if line.team.name == editing] if editing else []
    page: Page[TeamLine] = Paginator(named or uses, ON_A_PAGE).get_page(query.get("teams"))
    return {
        "capacity": capacity_of(uses),
        "page": page,
        "teams": [_listed(line, edited if line in named else None, editing) for line in page],
        "editing": bool(named),
        "people": Paginator(_people(search), ON_A_PAGE).get_page(query.get("people")),
        "search": search,
        "people_query": urlencode({"person": search}) if search else "",
        "audit": audit_for(person)[:12],
        "certificates": own_certificates(),
        "form": new,
        "crumbs": breadcrumbs.of_page("Admin"),
        **node_context(),
        **clean_up_context(),
    }


def node_context() -> dict[str, object]:
    """Return the context of the node's state, which the page polls."""
    states = list(Build.objects.filter(state__in=_OPEN).values_list("state", flat=True)[:1000])
    return {
        "node": node_now(),
        "building": states.count(BuildState.BUILDING),
        "queued": states.count(BuildState.QUEUED),
    }


def clean_up_context() -> dict[str, object]:
    """Return the context of the clean-up of images, which the page polls while it runs."""
    last, waits = last_clean_up()
    return {"images": Image.objects.count(), "last": last, "waits": waits}


def quota_form(team: Team, data: Mapping[str, str] | None = None) -> QuotaForm:
    """Return the form of a team's quota, filled with the current values."""
    now = quota_of(team)
    return QuotaForm(data, initial={field: getattr(now, field) for field in QuotaForm.base_fields})


def _listed(line: TeamLine, edited: QuotaForm | None, editing: str) -> ListedTeam:
    form = edited if edited is not None else None
    if form is None and line.team.name == editing:
        form = QuotaForm(
            initial={field: getattr(line.quota, field) for field in QuotaForm.base_fields}
        )
    entries = [entry for entry in lines(line.quota, line.use) if entry.name != "Disk"]
    return ListedTeam(line=line, entries=entries, form=form)


def _people(search: str) -> QuerySet[Person]:
    people = Person.objects.prefetch_related("teams").order_by("-is_staff", "username")
    return people.filter(username__icontains=search) if search else people
