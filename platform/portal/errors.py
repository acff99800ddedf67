"""The tree of all errors of the portal.

    Refused                 what was not done, and why; `hint` says how to fix it
    ├── NotFound            it does not exist, or the person has no access (the same on purpose)
    │   └── AppRenamed      the app has another name now
    ├── NotSignedIn         no or a wrong password, token or session
    ├── NotAllowed          visible to the person, who may not change it
    ├── NameRefused         a name that is not valid or not available
    ├── ValueRefused        a value that is not valid; `field` names its field
    ├── SourceRefused       an upload that is not a supported source
    ├── QuotaExceeded       a limit of the team would be exceeded
    ├── TooLarge            a body that is larger than the limit of this URL for this sender
    ├── DiskFull              the platform's disk is full
    ├── TooBusy             too many open operations; `retry_after` says when to retry
    │   └── TooManyRequests a rate limit of the person, token or address was reached
    ├── RegistryRefused     an error of a registry client, with a code of the OCI specification
    └── Conflict            another request was first, or the current state does not allow it

Each error has the status of its HTTP response. Pages show the sentence and the hint, the API
returns both as JSON, and git shows them as `remote:` lines.
"""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """The root of the tree. `str()` is a full sentence, `hint` says how to fix the problem and may
    be empty."""

    status = 400

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint

    def explain(self) -> str:
        """Return the sentence followed by the hint."""
        return f"{self.sentence} {self.hint}".strip()


class NotFound(Refused):
    """The object does not exist, or the person may not see it."""

    status = 404


class AppRenamed(NotFound):
    """The app has another name now, `name`. Only for people who may see the app."""

    def __init__(self, sentence: str, *, hint: str, name: str) -> None:
        super().__init__(sentence, hint=hint)
        self.name = name


class NotSignedIn(Refused):
    """The sender is not known."""

    status = 401


class NotAllowed(Refused):
    """The person may see the object but not do this."""

    status = 403


class NameRefused(Refused):
    """A name that is malformed, reserved or in use."""


class ValueRefused(Refused):
    """A value that cannot be stored. `field` names its form field or config var."""

    def __init__(self, sentence: str, *, field: str, hint: str = "") -> None:
        super().__init__(sentence, hint=hint)
        self.field = field


class SourceRefused(Refused):
    """An upload that is too large, empty or of an unsupported type."""


class SourceTooLarge(SourceRefused):
    """An upload larger than settings.MAX_UPLOAD."""

    status = 413


class QuotaExceeded(Refused):
    """A limit of a team would be exceeded. Has the limit's name and value, the current use and the
    use after the change, as text."""

    status = 403

    def __init__(
        self, sentence: str, *, hint: str, name: str, limit: str, used: str, wanted: str
    ) -> None:
        super().__init__(sentence, hint=hint)
        self.name = name
        self.limit = limit
        self.used = used
        self.wanted = wanted


class TooLarge(Refused):
    """A request body that is too long."""

    status = 413


class DiskFull(Refused):
    """The disk of this Slipway is too full."""

    status = 507


class TooBusy(Refused):
    """The team or the person has too many operations open. `retry_after` is in seconds."""

    status = 429

    def __init__(self, sentence: str, *, retry_after: int, hint: str = "") -> None:
        super().__init__(sentence, hint=hint)
        self.retry_after = retry_after


class TooManyRequests(TooBusy):
    """More requests than a person, token or address may send."""


class RegistryRefused(Refused):
    """A registry client requested something unavailable, or sent something invalid.

    `code` is an error code of the OCI distribution specification ("Error Codes"). The response gets
    `headers`.
    """

    def __init__(
        self,
        code: str,
        sentence: str,
        *,
        status: int,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence, hint=hint)
        self.code = code
        self.status = status
        self.headers = headers or {}


class Conflict(Refused):
    """Another request was first, or the current state does not allow the change."""

    status = 409
