"""Tests that the router accepts what the portal accepts.

Otherwise no later change of the app would reach the router.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import ValueRefused
from portal.traffic import validation
from runtime.router.policy import Policy
from runtime.router.routes import AppRoutes, PathRoute
from runtime.router.validate import check

PATHS = st.text(st.sampled_from("/ab.~_-%+,:@=*();$&!' é"), min_size=1, max_size=300).map(
    lambda text: f"/{text}"
)
PAGES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3000) | st.integers(
    0, 3400
).map(lambda count: '"é\n' * count)


def accepted(field: str, value: object) -> object | None:
    try:
        return validation.checked({field: value}, processes=("web", "api"), hosts=())[field]
    except ValueRefused:
        return None


@given(PATHS)
def test_every_path_that_the_portal_accepts_is_accepted_by_the_router(path: str) -> None:
    valid = accepted("paths", [[path, "api"]])
    if valid is not None:
        check(
            AppRoutes(
                app="demo",
                hosts=("demo.test",),
                paths=tuple(PathRoute(prefix=prefix, process=process) for prefix, process in valid),
            )
        )


@given(PAGES)
def test_every_page_that_the_portal_accepts_is_accepted_by_the_router(page: str) -> None:
    valid = accepted("error_page", page)
    if valid is not None:
        check(AppRoutes(app="demo", hosts=("demo.test",), policy=Policy(error_page=str(valid))))


@pytest.mark.parametrize("path", ["/api", "/v1/users", "/a.b/~c/%20x", "/x:1,2@home=+"])
def test_common_paths_and_pages_are_accepted(path: str) -> None:
    assert accepted("paths", [[path, "api"]]) == [[path, "api"]]
    assert accepted("error_page", "<h1>Back soon</h1>" * 300)
