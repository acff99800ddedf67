"""Request and response schemas of an app's name, description, team and config vars."""

from __future__ import annotations

from ninja import Field, Schema

from portal.api.schemas import RequestSchema


class DescriptionIn(RequestSchema):
    """The description of an app: one line of at most 300 characters. Empty removes it."""

    description: str


class RenameIn(RequestSchema):
    name: str


class TransferIn(RequestSchema):
    """The team that gets the app. `confirm` is the app's name."""

    team: str
    confirm: str


class ConfigIn(RequestSchema):
    """Config vars to set; null unsets a variable. Other variables do not change.

    `while_building` sets which of them build steps see, by name. `secret` names variables whose
    values are write-only from now on. A name stays secret.
    """

    changes: dict[str, str | None] = Field(default_factory=dict)
    while_building: dict[str, bool] = Field(default_factory=dict)
    secret: list[str] = Field(default_factory=list)


class ConfigOut(Schema):
    """Config vars with their values. Those of secrets are write-only, so they have only a name."""

    config: dict[str, str]
    secret: list[str] = Field(default_factory=list)
    release: int | None = None  # the release that this change created
    not_while_building: list[str] = Field(default_factory=list)  # names that build steps do not see
