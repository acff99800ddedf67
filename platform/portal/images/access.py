"""The only way to images, their tags and jobs. Whoever may see an app may see its images; of other teams' apps they learn a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.db.models import Max, Q, QuerySet

from portal.accounts.models import Person
from portal.apps.access import app_for, apps_of
from portal.apps.models import App, Instance, InstanceState
from portal.errors import NotFound
from portal.images.facts import Config, Holder, ImageView, LayerFacts, SharedLayer
from portal.images.models import Image, ImageJob, ImageLayer, ImageTag
from portal.releases.access import kept_releases, release_of
from portal.releases.models import Release

_RELEASE = re.compile(r"v([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An image of an app by what it is called: a release's `v12`, or a tag."""

    app: App
    name: str
    digest: str
    release: Release | None
    tag: ImageTag | None
    is_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A line of `ls`; `view` is None until a node told of the image."""

    named: Named
    view: ImageView | None
    tags: tuple[str, ...]


def image_for(person: Person, app_name: str, name: str) -> Named:
    """An image of an app they may see, by release or tag. NotFound otherwise."""
    return named(app_for(person, app_name), name)


def named(app: App, name: str) -> Named:
    """The same, where the app is known to be theirs."""
    if match := _RELEASE.fullmatch(name):
        release = release_of(app, int(match[1]))
        kept = release.image in {one.image for one in kept_releases(app)} or tags_of(app).filter(digest=release.image).exists()
        return Named(app=app, name=name, digest=release.image, release=release, tag=None, is_kept=kept)
    tag = tags_of(app).filter(name=name).first()
    if tag is None:
        raise NotFound(f"{app.name} has no image {name}.", hint="Images go by release, such as v3, or by a tag you gave.")
    return Named(app=app, name=name, digest=tag.digest, release=None, tag=tag, is_kept=True)


def tags_of(app: App) -> QuerySet[ImageTag]:
    """By name."""
    return ImageTag.objects.filter(app=app).select_related("created_by").order_by("name")


def job_for(person: Person, app_name: str, number: int) -> ImageJob:
    """One job of an app they may see."""
    job = ImageJob.objects.select_related("app__team").filter(app=app_for(person, app_name), pk=number).first()
    if job is None:
        raise NotFound(f"{app_name} has no image job {number}.", hint="What came of one is kept for a while only; ask again.")
    return job


def last_job(app: App, kind: str, about: str) -> ImageJob | None:
    """The newest of those that ask the same."""
    return ImageJob.objects.filter(app=app, kind=kind, about=about).order_by("-id").first()


def instance_for(person: Person, app_name: str, number: str) -> Instance:
    """An instance of an app they may see that has not stopped."""
    app = app_for(person, app_name)
    found = Instance.objects.filter(app=app, pk=number).exclude(state=InstanceState.STOPPED).select_related("app__team").first()
    if found is None:
        raise NotFound(f"{app_name} has no instance {number} now.", hint="Look at what runs; instances are replaced at each deploy.")
    return found


def listed(app: App) -> list[Listed]:
    """An app's kept releases, newest first, and tags of images that no kept release has."""
    releases, tags = kept_releases(app), list(tags_of(app))
    views = views_of(app, {*(one.image for one in releases), *(tag.digest for tag in tags)})
    lines = [
        Listed(
            named=Named(app=app, name=f"v{one.number}", digest=one.image, release=one, tag=None, is_kept=True),
            view=views.get(one.image),
            tags=tuple(tag.name for tag in tags if tag.digest == one.image),
        )
        for one in releases
        if one.image
    ]
    known = {one.image for one in releases}
    lines += [
        Listed(
            named=Named(app=app, name=tag.name, digest=tag.digest, release=None, tag=tag, is_kept=True), view=views.get(tag.digest), tags=()
        )
        for tag in tags
        if tag.digest not in known
    ]
    return lines


def live_views(person: Person) -> dict[str, ImageView]:
    """App to its live release's image, of all their apps that have one, by name."""
    found: dict[str, ImageView] = {}
    for app in apps_of(person):
        if app.current_release is not None and (view := view_of(app, app.current_release.image)) is not None:
            found[app.name] = view
    return found


def view_of(app: App, digest: str) -> ImageView | None:
    """None until its node told of it."""
    return views_of(app, {digest}).get(digest)


def views_of(app: App, digests: Iterable[str]) -> dict[str, ImageView]:
    """Images by digest, as this app's team may know them."""
    rows = list(Image.objects.filter(digest__in=set(digests)).prefetch_related("layers"))
    holders = _holders({layer.diff_id for row in rows for layer in row.layers.all()})
    return {row.digest: _view(row, app, holders) for row in rows}


def _view(row: Image, app: App, holders: dict[str, dict[str, set[Holder]]]) -> ImageView:
    layers = [_shared(layer, app, holders.get(layer.diff_id, {})) for layer in row.layers.all()]
    return ImageView(digest=row.digest, config=cast(Config, row.config), layers=tuple(reversed(layers)))


def _shared(layer: ImageLayer, app: App, by_image: dict[str, set[Holder]]) -> SharedLayer:
    holders = {holder for found in by_image.values() for holder in found if holder.app != app.name}
    return SharedLayer(
        facts=LayerFacts(diff_id=layer.diff_id, digest=layer.digest, size=layer.size, unpacked=layer.unpacked, created_by=layer.created_by),
        apps=tuple(sorted(holder.app for holder in holders if holder.team == app.team_id)),
        others=sum(holder.team != app.team_id for holder in holders),
        images=max(len(by_image), 1),
    )


def _holders(diff_ids: set[str]) -> dict[str, dict[str, set[Holder]]]:
    """Diff ID to the kept images that have the layer, and whose they are. A handful of queries, however many apps there are."""
    having: dict[str, set[str]] = {}
    for digest, diff_id in ImageLayer.objects.filter(diff_id__in=diff_ids).values_list("image__digest", "diff_id"):
        having.setdefault(digest, set()).add(diff_id)
    found: dict[str, dict[str, set[Holder]]] = {}
    for digest, holder in _keepers(set(having)):
        for diff_id in having[digest]:
            found.setdefault(diff_id, {}).setdefault(digest, set()).add(holder)
    return found


def _keepers(digests: set[str]) -> Iterable[tuple[str, Holder]]:
    """Which apps keep these images: the same rule as releases.access.kept_releases, for many apps at once."""
    rows = list(
        Release.objects.filter(image__in=digests, app__deleted_at=None).values_list(
            "pk", "number", "image", "app_id", "app__name", "app__team_id", "app__current_release_id"
        )
    )
    last = dict(
        Release.objects.filter(app_id__in={row[3] for row in rows})
        .values("app_id")
        .annotate(last=Max("number"))
        .values_list("app_id", "last")
    )
    for pk, number, image, app_id, app, team, current in rows:
        if number > last[app_id] - settings.KEPT_RELEASES or pk == current:
            yield image, Holder(app=app, team=team)
    for digest, app, team in ImageTag.objects.filter(Q(digest__in=digests), app__deleted_at=None).values_list(
        "digest", "app__name", "app__team_id"
    ):
        yield digest, Holder(app=app, team=team)
