"""The portal's one tree of errors.

    Refused                 what was not done, and why; `hint` is what to do instead
    ├── NotFound            no such thing, or none this person may see (the two look alike on purpose)
    ├── NotSignedIn         no or a wrong password, token or session
    ├── NotAllowed          seen, but not theirs to change
    ├── NameRefused         a name that cannot be taken
    ├── ValueRefused        a value that cannot be stored; `field` says which
    ├── SourceRefused       an upload that is not a source we take
    ├── QuotaExceeded       one of the team's limits would be passed
    ├── TooLarge            a body beyond what this address takes from this sender
    ├── NoRoom              the platform's own disk is full
    ├── TooBusy             the team or the person has too much of this under way; `retry_after` says when to try again
    │   └── TooManyRequests one of the limits by person, token or address was reached
    ├── RegistryRefused     what a client of the registry did wrong, with the code that the OCI distribution spec has for it
    └── Conflict            somebody else was quicker, or the thing is in no state for this

Each carries the status an HTTP answer to it has. Pages show the sentence and the hint, the API both as JSON, git as `remote:` lines.
"""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """Root of the tree: `str()` is a full sentence, `hint` tells the remedy and may be empty."""

    status = 400

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint

    def explain(self) -> str:
        """One text: the sentence, then the remedy."""
        return f"{self.sentence} {self.hint}".strip()


class NotFound(Refused):
    """No such thing, or none that this person may see."""

    status = 404


class NotSignedIn(Refused):
    """Who asks is unknown."""

    status = 401


class NotAllowed(Refused):
    """Who asks may see the thing, but not do this to it."""

    status = 403


class NameRefused(Refused):
    """A name that is malformed, reserved or taken."""


class ValueRefused(Refused):
    """A value that cannot be stored; `field` names the form field or config var it belongs to."""

    def __init__(self, sentence: str, *, field: str, hint: str = "") -> None:
        super().__init__(sentence, hint=hint)
        self.field = field


class SourceRefused(Refused):
    """An upload that is too large, empty or of a kind we do not take."""


class SourceTooLarge(SourceRefused):
    """An upload beyond settings.MAX_UPLOAD."""

    status = 413


class QuotaExceeded(Refused):
    """One limit of a team would be passed: its name, the limit, what is used now and what this would make it, as people read them."""

    status = 403

    def __init__(self, sentence: str, *, hint: str, name: str, limit: str, used: str, wanted: str) -> None:
        super().__init__(sentence, hint=hint)
        self.name = name
        self.limit = limit
        self.used = used
        self.wanted = wanted


class TooLarge(Refused):
    """A request body that is longer than it may be."""

    status = 413


class NoRoom(Refused):
    """The disk of this Slipway is too full for more."""

    status = 507


class TooBusy(Refused):
    """The team or the person has too much of this under way; `retry_after` in seconds."""

    status = 429

    def __init__(self, sentence: str, *, retry_after: int, hint: str = "") -> None:
        super().__init__(sentence, hint=hint)
        self.retry_after = retry_after


class TooManyRequests(TooBusy):
    """More requests than one person, token or address may send."""


class RegistryRefused(Refused):
    """What a client of the registry asked for cannot be had, or what it sent cannot be taken.

    `code` is one of the OCI distribution spec's ("Error Codes"); an answer to it carries `headers`.
    """

    def __init__(self, code: str, sentence: str, *, status: int, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence, hint=hint)
        self.code = code
        self.status = status
        self.headers = headers or {}


class Conflict(Refused):
    """Somebody else was quicker, or the thing is in no state for this."""

    status = 409
