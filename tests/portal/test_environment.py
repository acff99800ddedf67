"""The portal's settings in the environment: defaults, values, and the message for each mistake."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from portal.environment import Environment, read


def test_missing_and_empty_variables_have_their_default() -> None:
    assert read({}) == read({"SLIPWAY_HTTP_PORT": "", "REDIS_URL": " "}) == Environment()
    assert read({"SLIPWAY_COLOUR": "red", "HTTP_PORT": "x", "http_port": "x"}) == Environment()


def test_values_have_their_type() -> None:
    found = read(
        {
            "SLIPWAY_STATE": "/srv/state",
            "SLIPWAY_HTTP_PORT": " 80 ",
            "SLIPWAY_SCHEME": "https",
            "DATABASE_URL": "postgres://host/name",
            "SLIPWAY_PERSON_PER_SECOND": "0",
        }
    )
    assert (found.state, found.http_port, found.scheme) == (Path("/srv/state"), 80, "https")
    assert (found.database_url, found.person_per_second) == ("postgres://host/name", 0)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("HTTP_PORT", "http", "should be a valid integer"),
        ("HTTP_PORT", "65536", "should be less than or equal to 65535"),
        ("SCHEME", "ftp", "should be 'http' or 'https'"),
        ("PORTAL_WORKERS", "0", "should be greater than or equal to 1"),
        ("DISK_FULL", "101", "should be less than or equal to 100"),
        ("PUSH_MEMORY", "256M", "should be a valid integer"),
    ],
)
def test_a_wrong_value_is_reported_with_its_variable(
    variable: str, value: str, reason: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read({f"SLIPWAY_{variable}": value})
    sentence = str(refused.value)
    assert sentence.startswith(f"The setting SLIPWAY_{variable}={value!r} is not valid: {reason}")
    assert sentence.endswith("Correct it in .env.")


def test_all_wrong_values_are_reported_together() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"SLIPWAY_SCHEME='x'.*SLIPWAY_HTTP_PORT='x'"):
        read({"SLIPWAY_SCHEME": "x", "SLIPWAY_HTTP_PORT": "x"})
