"""Views of manifests, tags and attachments, and of the version URL (distribution-spec,
"Endpoints")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from portal.errors import RegistryRefused
from portal.http.request_bodies import blocks_of
from portal.registry import access, actions, deletion, manifests, old_clients
from portal.registry.credentials import person_of, repository_of
from portal.registry.names import digest_of, hex_of, is_digest
from portal.registry.responses import for_registry_clients, is_unchanged

_MOST_AT_ONCE = 1000


async def _root(request: HttpRequest) -> HttpResponseBase:
    await sync_to_async(person_of)(request)
    return JsonResponse({})


async def _read(request: HttpRequest, team: str, app: str, reference: str) -> HttpResponseBase:
    person, found = await sync_to_async(repository_of)(request, team, app)
    digest, path = await sync_to_async(access.manifest_path)(found, reference)
    varies = {} if is_digest(reference) else {"Vary": "User-Agent"}
    if varies and old_clients.needs_gzip(request.headers.get("User-Agent", "")):
        digest, path = await old_clients.manifest_for(person, found, path)
    data = path.read_bytes() if path.stat().st_size <= manifests.LARGEST else b""
    try:
        kind = manifests.parse(data).media_type
    except RegistryRefused:  # a blob that is not a manifest
        raise RegistryRefused(
            "MANIFEST_UNKNOWN", f"{reference} is not a manifest.", status=404
        ) from None
    named = reference if is_digest(reference) else f"sha256:{digest}"
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(data)),
        "Docker-Content-Digest": named,
        "ETag": f'"{named}"',
        **varies,
    }
    if is_unchanged(request, named):
        return HttpResponse(status=304, headers={"ETag": headers["ETag"], **varies})
    return HttpResponse(b"" if request.method == "HEAD" else data, headers=headers)


async def _put(request: HttpRequest, team: str, app: str, reference: str) -> HttpResponseBase:
    """Accept a manifest. The response is sent when the deploy is queued; the app's page shows the
    progress."""
    person, found = await sync_to_async(repository_of)(request, team, app)
    data = bytearray()
    async for block in blocks_of(request):
        data += block
        if len(data) > manifests.LARGEST:
            raise RegistryRefused(
                "SIZE_INVALID",
                f"The manifest is too large. The limit is {manifests.LARGEST // 2**20} MiB.",
                status=413,
            )
    put = await sync_to_async(actions.put_manifest)(
        person,
        app=found,
        reference=reference,
        data=bytes(data),
        content_type=request.headers.get("Content-Type", ""),
    )
    digest = reference if is_digest(reference) else f"sha256:{put.digest}"
    response = HttpResponse(
        status=201,
        headers={
            "Location": f"/v2/{team}/{app}/manifests/{digest}",
            "Docker-Content-Digest": digest,
        },
    )
    if put.subject:
        response["OCI-Subject"] = digest_of(put.subject)
    return response


async def _delete(request: HttpRequest, team: str, app: str, reference: str) -> HttpResponseBase:
    person, found = await sync_to_async(repository_of)(request, team, app)
    if is_digest(reference):
        await sync_to_async(deletion.delete_manifest)(person, app=found, digest=hex_of(reference))
    else:
        await sync_to_async(deletion.delete_tag)(person, app=found, name=reference)
    return HttpResponse(status=202)


async def _catalog(request: HttpRequest) -> HttpResponseBase:
    """List the repositories that the person may pull from, in byte order."""
    person = await sync_to_async(person_of)(request)
    names = await sync_to_async(access.repositories_of)(person)
    return _page(request, "/v2/_catalog", "repositories", names, {})


async def _tags(request: HttpRequest, team: str, app: str) -> HttpResponseBase:
    _, found = await sync_to_async(repository_of)(request, team, app)
    names = await sync_to_async(access.tags_of)(found)
    return _page(request, f"/v2/{team}/{app}/tags/list", "tags", names, {"name": f"{team}/{app}"})


def _page(
    request: HttpRequest, url: str, key: str, names: Sequence[str], more: dict[str, str]
) -> JsonResponse:
    """Return a page of a list: at most `n` names after `last`, and a link to the next page."""
    asked, last = request.GET.get("n", ""), request.GET.get("last", "")
    most = (
        min(int(asked), _MOST_AT_ONCE) if asked.isdecimal() and len(asked) < 10 else _MOST_AT_ONCE
    )
    left = [name for name in names if name > last]
    response = JsonResponse({**more, key: left[:most]})
    if 0 < most < len(left):
        response["Link"] = f'<{url}?n={most}&last={quote(left[most - 1])}>; rel="next"'
    return response


async def _referrers(request: HttpRequest, team: str, app: str, digest: str) -> HttpResponseBase:
    """Return the attachments of a manifest as an index, which is empty if there are none."""
    _, found = await sync_to_async(repository_of)(request, team, app)
    wanted = request.GET.get("artifactType", "")
    rows = await sync_to_async(access.attachments_of)(found, hex_of(digest), wanted)
    entries = [
        {
            "mediaType": row.media_type,
            "digest": f"sha256:{row.digest}",
            "size": row.size,
            **({"artifactType": row.artifact_type} if row.artifact_type else {}),
            **({"annotations": row.annotations} if row.annotations else {}),
        }
        for row in rows
    ]
    data = json.dumps({"schemaVersion": 2, "mediaType": manifests.INDEX, "manifests": entries})
    headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    return HttpResponse(data, content_type=manifests.INDEX, headers=headers)


async def _nowhere(request: HttpRequest, rest: str) -> HttpResponseBase:
    await sync_to_async(person_of)(request)
    raise RegistryRefused(
        "NAME_UNKNOWN",
        f"/v2/{rest[:200]} does not exist.",
        status=404,
        hint="The name of a repository is TEAM/APP.",
    )


root = for_registry_clients(GET=_root, HEAD=_root)
manifest = for_registry_clients(GET=_read, HEAD=_read, PUT=_put, DELETE=_delete)
catalog = for_registry_clients(GET=_catalog)
tags = for_registry_clients(GET=_tags)
referrers = for_registry_clients(GET=_referrers)
nowhere = for_registry_clients(
    GET=_nowhere, HEAD=_nowhere, POST=_nowhere, PUT=_nowhere, PATCH=_nowhere, DELETE=_nowhere
)
