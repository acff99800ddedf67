"""API lists as serialised bytes, so that a list is serialised once and sent often."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from ninja import Schema
from ninja.responses import NinjaJSONEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A JSON array, its entity tag (RFC 9110, 8.8.3), and the path of the next page (RFC 8288),
    empty for none."""

    body: bytes
    etag: str
    following: str

    @classmethod
    def of(cls, rows: Sequence[Schema], *, following: str = "") -> Self:
        """Serialise the rows as JSON."""
        body = json.dumps([row.model_dump() for row in rows], cls=NinjaJSONEncoder).encode()
        return cls(
            body=body, etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"', following=following
        )

    def response_to(self, request: HttpRequest) -> HttpResponse:
        """Return the page, or 304 if the client already has it."""
        known = parse_etags(request.headers.get("If-None-Match", ""))
        is_known = "*" in known or self.etag in {tag.removeprefix("W/") for tag in known}
        response = (
            HttpResponseNotModified()
            if is_known
            else HttpResponse(self.body, content_type="application/json; charset=utf-8")
        )
        response["ETag"] = self.etag
        # stored by the client, and revalidated for each request
        response["Cache-Control"] = "private, no-cache"
        if self.following:
            response["Link"] = f'<{self.following}>; rel="next"'
        return response
