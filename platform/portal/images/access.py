"""Read images, their tags and jobs. Other modules get them only from here.

People who may see an app may see its images. Of other teams' apps they see only a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from portal.accounts.models import Person
from portal.apps.access import app_for, apps_of
from portal.apps.models import App, Instance, InstanceState
from portal.errors import NotFound
from portal.images.facts import Config, Holder, ImageView, LayerFacts, SharedLayer
from portal.images.models import Image, ImageJob, ImageLayer, ImageTag
from portal.releases.access import kept_releases, kept_releases_of, release_of
from portal.releases.models import Release

APPS_ON_A_PAGE = 8
COUNTED = 200  # images of one layer that a page looks at, the newest first
_RELEASE = re.compile(r"v([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An image of an app with its name: a release such as `v12`, or a tag."""

    app: App
    name: str
    digest: str
    release: Release | None
    tag: ImageTag | None
    is_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An image in a list. `view` is None until a node has reported the image."""

    named: Named
    view: ImageView | None
    tags: tuple[str, ...]


def image_for(person: Person, app_name: str, name: str) -> Named:
    """Return an image, by release or tag, of an app that the person may see. Raise NotFound
    otherwise."""
    return named(app_for(person, app_name), name)


def named(app: App, name: str) -> Named:
    """Return an image of an app without a permission check."""
    if match := _RELEASE.fullmatch(name):
        release = release_of(app, int(match[1]))
        kept = (
            release.image in {kept.image for kept in kept_releases(app)}
            or tags_of(app).filter(digest=release.image).exists()
        )
        return Named(
            app=app, name=name, digest=release.image, release=release, tag=None, is_kept=kept
        )
    tag = tags_of(app).filter(name=name).first()
    if tag is None:
        raise NotFound(
            f"{app.name} has no image {name}.", hint="Use a release, such as v3, or a tag."
        )
    return Named(app=app, name=name, digest=tag.digest, release=None, tag=tag, is_kept=True)


def tags_of(app: App) -> QuerySet[ImageTag]:
    """Return the tags of an app by name."""
    return ImageTag.objects.filter(app=app).select_related("created_by").order_by("name")


def job_for(person: Person, app_name: str, number: int) -> ImageJob:
    """Return an image job of an app that the person may see. Raise NotFound otherwise."""
    job = (
        ImageJob.objects.select_related("app__team")
        .filter(app=app_for(person, app_name), pk=number)
        .first()
    )
    if job is None:
        raise NotFound(
            f"{app_name} has no image job {number}.",
            hint="Results of jobs are deleted after a while. Start the job again.",
        )
    return job


def last_job(app: App, kind: str, about: str) -> ImageJob | None:
    """Return the newest job of this kind with the same subject."""
    return ImageJob.objects.filter(app=app, kind=kind, about=about).order_by("-id").first()


def instance_for(person: Person, app_name: str, number: str) -> Instance:
    """Return an instance that has not stopped, of an app that the person may see. Raise NotFound
    otherwise."""
    app = app_for(person, app_name)
    found = (
        Instance.objects.filter(app=app, pk=number)
        .exclude(state=InstanceState.STOPPED)
        .select_related("app__team")
        .first()
    )
    if found is None:
        raise NotFound(
            f"{app_name} has no instance {number}.",
            hint="Check the list of instances. They are replaced at each deploy.",
        )
    return found


def listed(app: App) -> list[Listed]:
    """Return an app's kept releases, newest first, and the tags of images that no kept release
    has.
    """
    return _listed_of([app])[app.pk]


def images_of(person: Person) -> list[tuple[App, list[Listed]]]:
    """Return the same of all the person's apps, by name, in as many queries as for one app."""
    apps = list(apps_of(person))
    lines = _listed_of(apps)
    return [(app, lines[app.pk]) for app in apps]


def image_page_of(
    person: Person, *, search: str, app: str = "", number: str
) -> tuple[Page[App], list[tuple[App, list[Listed]]]]:
    """Return a page of the person's apps that have images, and the images of these apps.

    `search` is a part of the app's name, `app` all of it. Only the newest images of a layer are
    searched for its holders (see COUNTED). So a base layer of thousands of apps is not slower.
    """
    having = Exists(Release.objects.filter(app=OuterRef("pk"))) | Exists(
        ImageTag.objects.filter(app=OuterRef("pk"))
    )
    apps = (
        apps_of(person)
        .filter(having, name__contains=search)
        .defer("current_release__encrypted_config", "current_release__app_file")
    )
    if app:
        apps = apps.filter(name=app)
    page = Paginator(apps, APPS_ON_A_PAGE).get_page(number)
    lines = _listed_of(list(page), most=COUNTED)
    return page, [(app, lines[app.pk]) for app in page]


def live_views(images: Iterable[tuple[App, Sequence[Listed]]]) -> dict[str, ImageView]:
    """Return the image of the live release of each app that has one, by the app's name."""
    return {
        app.name: line.view
        for app, lines in images
        for line in lines
        if line.view is not None
        and line.named.release is not None
        and line.named.release.pk == app.current_release_id
    }


def view_of(app: App, digest: str, *, most: int | None = None) -> ImageView | None:
    """Return the image as the app's team may see it, or None until its node has reported it.

    Holders are looked for in all images of a layer, or in its `most` newest ones.
    """
    return _views_of({app: {digest}}, most).get((app.pk, digest))


def _listed_of(apps: Sequence[App], *, most: int | None = None) -> dict[int, list[Listed]]:
    releases, tags = kept_releases_of(apps), {app.pk: list[ImageTag]() for app in apps}
    for tag in (
        ImageTag.objects.filter(app__in=list(tags)).select_related("created_by").order_by("name")
    ):
        tags[tag.app_id].append(tag)
    views = _views_of(
        {
            app: {
                *(release.image for release in releases[app.pk]),
                *(tag.digest for tag in tags[app.pk]),
            }
            for app in apps
        },
        most,
    )
    return {app.pk: _lines(app, releases[app.pk], tags[app.pk], views) for app in apps}


def _lines(
    app: App,
    releases: Sequence[Release],
    tags: Sequence[ImageTag],
    views: Mapping[tuple[int, str], ImageView],
) -> list[Listed]:
    lines = [
        Listed(
            named=Named(
                app=app,
                name=f"v{release.number}",
                digest=release.image,
                release=release,
                tag=None,
                is_kept=True,
            ),
            view=views.get((app.pk, release.image)),
            tags=tuple(tag.name for tag in tags if tag.digest == release.image),
        )
        for release in releases
        if release.image
    ]
    known = {release.image for release in releases}
    return lines + [
        Listed(
            named=Named(
                app=app, name=tag.name, digest=tag.digest, release=None, tag=tag, is_kept=True
            ),
            view=views.get((app.pk, tag.digest)),
            tags=(),
        )
        for tag in tags
        if tag.digest not in known
    ]


def _views_of(wanted: Mapping[App, set[str]], most: int | None) -> dict[tuple[int, str], ImageView]:
    """Return images by their app's row id and their digest, as the app's team may see them."""
    rows = {
        row.digest: row
        for row in Image.objects.filter(digest__in=set().union(*wanted.values())).prefetch_related(
            "layers"
        )
    }
    by_layer = _holders([row.pk for row in rows.values()], most)
    holders = {diff_id: set().union(*by_image.values()) for diff_id, by_image in by_layer.items()}
    found = {}
    for app, digests in wanted.items():
        sharing: dict[
            str, tuple[tuple[str, ...], int]
        ] = {}  # by layer; an app's images share most layers
        for row in (rows[digest] for digest in digests if digest in rows):
            layers = []
            for layer in row.layers.all():
                if layer.diff_id not in sharing:
                    sharing[layer.diff_id] = _sharing(app, holders.get(layer.diff_id, set()))
                layers.append(
                    _shared(
                        layer,
                        *sharing[layer.diff_id],
                        images=max(len(by_layer.get(layer.diff_id, ())), 1),
                    )
                )
            found[app.pk, row.digest] = ImageView(
                digest=row.digest, config=cast(Config, row.config), layers=tuple(reversed(layers))
            )
    return found


# A plain condition would read all rows of a base layer, which thousands of images have. This reads
# the `most` newest entries of each layer in the index.
_NEWEST = """
WITH wanted AS (
  SELECT DISTINCT diff_id FROM images_imagelayer WHERE image_id IN ({images})
), bound AS MATERIALIZED (
  SELECT diff_id, COALESCE((
    SELECT newest.image_id FROM images_imagelayer newest
    WHERE newest.diff_id = wanted.diff_id ORDER BY newest.image_id DESC LIMIT 1 OFFSET %s
  ), 0) AS before
  FROM wanted
)
SELECT image.digest, bound.diff_id
FROM bound
JOIN images_imagelayer layer ON layer.diff_id = bound.diff_id AND layer.image_id > bound.before
JOIN images_image image ON image.id = layer.image_id
"""


def _sharing(app: App, holders: set[Holder]) -> tuple[tuple[str, ...], int]:
    """Return the team's other apps that have a layer, and the number of apps of other teams."""
    others = [holder for holder in holders if holder.app != app.name]
    own = sorted(holder.app for holder in others if holder.team == app.team_id)
    return tuple(own), len(others) - len(own)


def _shared(layer: ImageLayer, apps: tuple[str, ...], others: int, *, images: int) -> SharedLayer:
    return SharedLayer(
        facts=LayerFacts(
            diff_id=layer.diff_id,
            digest=layer.digest,
            size=layer.size,
            unpacked=layer.unpacked,
            created_by=layer.created_by,
        ),
        apps=apps,
        others=others,
        images=images,
    )


def _holders(images: Sequence[int], most: int | None) -> dict[str, dict[str, set[Holder]]]:
    """Return, by diff ID, the kept images that have a layer of `images`, and their owners. The
    number of queries is constant."""
    having: dict[str, set[str]] = {}
    for digest, diff_id in _images_with_layers_of(images, most):
        having.setdefault(digest, set()).add(diff_id)
    found: dict[str, dict[str, set[Holder]]] = {}
    for digest, holder in _keepers(set(having)):
        for diff_id in having[digest]:
            found.setdefault(diff_id, {}).setdefault(digest, set()).add(holder)
    return found


def _images_with_layers_of(images: Sequence[int], most: int | None) -> Iterable[tuple[str, str]]:
    """Return pairs of digest and diff ID: all images, or the `most` newest, with each layer."""
    if not images:
        return []
    if most is None:
        layers = ImageLayer.objects.filter(image__in=images).values("diff_id")
        having = ImageLayer.objects.filter(diff_id__in=layers).order_by()
        return list(having.values_list("image__digest", "diff_id"))
    query = _NEWEST.format(images=", ".join(["%s"] * len(images)))
    with connection.cursor() as cursor:
        cursor.execute(query, [*images, most])
        return cast("list[tuple[str, str]]", cursor.fetchall())


def _keepers(digests: set[str]) -> Iterable[tuple[str, Holder]]:
    """Yield the apps that keep these images, by the rule of releases.access.kept_releases but for
    many apps at the same time."""
    rows = list(
        Release.objects.filter(image__in=digests, app__deleted_at=None).values_list(
            "pk",
            "number",
            "image",
            "app_id",
            "app__name",
            "app__team_id",
            "app__current_release_id",
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
    for digest, app, team in ImageTag.objects.filter(
        Q(digest__in=digests), app__deleted_at=None
    ).values_list("digest", "app__name", "app__team_id"):
        yield digest, Holder(app=app, team=team)
