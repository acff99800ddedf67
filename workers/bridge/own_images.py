"""The images of the registry that a build may start from."""

from __future__ import annotations

from urllib.parse import urlsplit

from portal.apps.models import App
from portal.builds.models import Build
from portal.errors import RegistryRefused
from portal.registry import access, aliases, deployable, manifests
from runtime.builds.import_image import PushedImage
from runtime.builds.requests import OwnImages
from runtime.engines.node import NodeEngine
from runtime.images.digest import Digest
from workers.bridge import translate


def own_images(build: Build, engine: NodeEngine) -> OwnImages:
    """Return the images of the build's team, by the names that `docker pull` has for them."""
    team = build.app.team

    def find(repository: str, reference: str) -> PushedImage | None:
        owner, _, name = repository.partition("/")
        app = App.objects.filter(team=team, name=name, deleted_at=None).first()
        if owner != team.name or app is None:
            return None
        try:
            _, path = access.manifest_path(app, reference)
            data = path.read_bytes()
            document = aliases.resolved(team.pk, manifests.parse(data))
            image = deployable.image_of(app, document, data)
        except (RegistryRefused, FileNotFoundError):
            return None
        if image is None:
            return None
        return translate.pushed_image(
            build, engine, digest=Digest.parse(f"sha256:{image.digest}"), name=repository
        )

    host = urlsplit(engine.config.url_of(engine.config.portal_host)).netloc
    return OwnImages(host=host, team=team.name, find=find)
