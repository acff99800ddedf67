"""Requests to a portal's public API. Every error becomes CommandFailed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import httpx

from slipway_cli.credentials import Credentials
from slipway_cli.errors import CommandFailed, ExitCode

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_MOST_WAITS = 5  # for a portal that asks for patience
_LONGEST_WAIT = 30.0  # seconds
_STATUS_CODES = {
    401: ExitCode.NOT_SIGNED_IN,
    404: ExitCode.NOT_FOUND,
}


class Portal:
    """The API of one portal, with one person's token."""

    def __init__(
        self, credentials: Credentials, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = credentials.url
        self._client = httpx.Client(
            base_url=credentials.url,
            headers={
                "Authorization": f"Bearer {credentials.token}",
                "User-Agent": "slipway-cli",
            },
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            transport=transport,
        )

    def get(self, path: str, **query: str | int | bool | None) -> Any:
        """Return the JSON value. None in the query is left out."""
        return self._json("GET", path, params=_given(query))

    def all_pages(self, path: str, key: str = "name", **query: str | int | None) -> list[Any]:
        """Return the items of every page of a list that is paged by its last item's `key`."""
        items: list[Any] = []
        while page := self.get(path, limit=100, after=items[-1][key] if items else None, **query):
            items.extend(page)
            if len(page) < 100:
                break
        return items

    def post(self, path: str, body: object = None, **query: str | int | bool | None) -> Any:
        """Return the JSON value of the response, or None if it has none."""
        return self._json("POST", path, json=body, params=_given(query))

    def put(self, path: str, body: object = None) -> Any:
        return self._json("PUT", path, json=body)

    def patch(self, path: str, body: object) -> Any:
        return self._json("PATCH", path, json=body)

    def delete(self, path: str, **query: str | int | bool | None) -> Any:
        return self._json("DELETE", path, params=_given(query))

    def upload(
        self, path: str, field: str, name: str, content: IO[bytes], **query: str
    ) -> dict[str, Any]:
        """Post a file as a form. It is sent once: a portal that is busy is not asked again."""
        files = {field: (name, content, "application/octet-stream")}
        response = self._send("POST", path, files=files, params=_given(query), patient=False)
        built: dict[str, Any] = response.json()
        return built

    def lines(self, path: str, **query: str | int | bool | None) -> Iterator[str]:
        """Yield the lines of a plain text, as they arrive."""
        request = self._client.build_request(
            "GET",
            _api(path),
            params=_given(query),
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),  # a log can be silent for hours
        )
        try:
            response = self._client.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise _failure(response)
                yield from response.iter_lines()
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise self._no_connection(error) from error

    def download(self, path: str, target: IO[bytes]) -> int:
        """Write a response's body to a file. Return its number of bytes."""
        try:
            with self._client.stream("GET", _api(path)) as response:
                if response.is_error:
                    response.read()
                    raise _failure(response)
                return sum(target.write(part) for part in response.iter_bytes())
        except httpx.HTTPError as error:
            raise self._no_connection(error) from error

    def request(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send any request to the API, for `slipway api`."""
        return self._send(method, path, json=body)

    def _json(self, method: str, path: str, **options: Any) -> Any:
        response = self._send(method, path, **options)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise CommandFailed(
                f"{self.url} did not answer as a Slipway portal.",
                hint="Check the address with `slipway doctor`.",
                code=ExitCode.NO_CONNECTION,
            ) from error

    def _send(
        self, method: str, path: str, *, patient: bool = True, **options: Any
    ) -> httpx.Response:
        if options.get("json", ...) is None:
            del options["json"]
        for attempt in range(_MOST_WAITS):
            try:
                response = self._client.request(method, _api(path), **options)
            except httpx.HTTPError as error:
                raise self._no_connection(error) from error
            wait = _wait_of(response)
            if wait is None or not patient or attempt == _MOST_WAITS - 1:
                break
            time.sleep(wait)
        if not response.is_success:  # redirects of the portal lead to pages, not to the API
            raise _failure(response)
        return response

    def _no_connection(self, error: httpx.HTTPError) -> CommandFailed:
        reason = str(error) or type(error).__name__
        return CommandFailed(
            f"{self.url} could not be reached: {reason}.",
            hint="Check the address and the network. `slipway doctor` shows more.",
            code=ExitCode.NO_CONNECTION,
        )


def _api(path: str) -> str:
    return f"/api/v1{path}"


def _given(query: Mapping[str, str | int | bool | None]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _wait_of(response: httpx.Response) -> float | None:
    """Return how long the portal asks us to wait (RFC 9110, section 10.2.3), if it does."""
    after = response.headers.get("Retry-After", "")
    if response.status_code not in {429, 503} or not after.isdecimal():
        return None
    return min(float(after), _LONGEST_WAIT)


def _failure(response: httpx.Response) -> CommandFailed:
    """Return the error that the portal reported: `{error, hint}`."""
    try:
        document = response.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    sentence = document.get("error") or (
        f"The portal answered {response.status_code} {response.reason_phrase}"
        f" to {response.request.method} {response.request.url.path}."
    )
    code = _STATUS_CODES.get(response.status_code, ExitCode.FAILED)
    hint = document.get("hint") or ""
    if code is ExitCode.NOT_SIGNED_IN:
        hint = "Run `slipway login`: the token is missing, wrong or revoked."
    return CommandFailed(str(sentence), hint=str(hint), code=code)
