"""Compress HTML pages with gzip, without a length that reveals a secret (breachattack.com)."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

# Values of Sec-Fetch-Site for a request that no other site has started (w3.org/TR/fetch-metadata)
_OWN = ("same-origin", "none")


class CompressPages(GZipMiddleware):
    """Compresses pages, but no streams, files or API responses.

    BREACH needs many requests that another site starts, with a text that it chose, and the lengths
    of the encrypted responses. Apps are other sites on the same domain. So with HTTPS, only
    requests that the portal's own pages or the person have started are compressed. In addition,
    Django adds random bytes to each response, and masks the CSRF token differently each time.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.streaming or not is_page:
            return response
        if settings.SECURE and request.headers.get("Sec-Fetch-Site") not in _OWN:
            return response
        return super().process_response(request, response)
