"""Valid names of apps."""

import pytest

from portal.apps.names import RESERVED, check_app_name
from portal.errors import NameRefused


@pytest.mark.parametrize("name", ["a", "hello", "my-app-2", "x" * 40, "  trimmed  ", "a\n"])
def test_a_dns_label_is_accepted(name: str) -> None:
    assert check_app_name(name) == name.strip()


@pytest.mark.parametrize(
    "name",
    ["", " ", "-a", "a-", "1a", "A", "a_b", "a.b", "ä", "x" * 41, "xn--bcher-kva", "a b", "a/../b"],
)
def test_a_name_that_is_not_a_hostname_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(NameRefused) as refusal:
        check_app_name(name)
    assert refusal.value.hint


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_names_of_the_platform_are_reserved(name: str) -> None:
    with pytest.raises(NameRefused, match="reserved for the platform"):
        check_app_name(name)
