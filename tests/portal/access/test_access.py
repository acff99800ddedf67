"""Every route of the portal as each role, compared with the access table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.db import transaction
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from portal.api.router import api
from tests.portal.access.document import text_of
from tests.portal.access.rules import Outcome, Role
from tests.portal.access.table import API, GIT, PAGES, REGISTRY, ROUTES, STREAMS, Route
from tests.portal.access.world import World, call, made, outcome_of, stream_of

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/access.md"
AREAS = {"pages": PAGES, "git": GIT, "registry": REGISTRY, "api": API}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def world(db: None, broker: redis.Redis) -> Iterator[World]:
    """Provide the world. Each call is rolled back separately."""
    with made() as world:
        yield world


def tried(world: World, route: Route, role: Role, *, method: str = "") -> Outcome | str:
    with transaction.atomic():
        outcome = outcome_of(call(world, route, role, method=method), route.lists)
        transaction.set_rollback(True)
    return outcome


def patterns(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, pattern)
        else:
            yield pattern


def operations() -> set[tuple[str, str]]:
    """Return the method and pattern of every API operation."""
    found = set()
    for prefix, router in api._routers:
        for path, view in router.path_operations.items():
            found |= {
                (method, f"api{prefix}{path}")
                for operation in view.operations
                for method in operation.methods
            }
    return found


def test_the_table_has_exactly_the_urls_of_the_portal() -> None:
    there = {pattern for pattern in patterns(get_resolver()) if not pattern.startswith("api/v1/")}
    assert len(there) > 80
    assert {route.pattern for route in ROUTES if not route.pattern.startswith("api/v1/")} == there


def test_the_table_has_exactly_the_operations_of_the_api() -> None:
    assert len(operations()) > 50
    assert {
        (route.method, route.pattern) for route in ROUTES if route.pattern.startswith("api/v1/")
    } == operations()


@pytest.mark.parametrize("area", AREAS)
def test_each_role_gets_the_outcome_of_the_table(world: World, area: str) -> None:
    found = {
        (route.method, route.pattern, role.value): str(tried(world, route, role))
        for route in AREAS[area]
        for role in Role
    }
    wanted = {
        (route.method, route.pattern, role.value): str(route.rule.of(role))
        for route in AREAS[area]
        for role in Role
    }
    assert {call: outcome for call, outcome in found.items() if outcome != wanted[call]} == {}


def test_each_role_gets_the_outcome_of_the_table_for_streams(
    transactional_db: None, broker: redis.Redis, portal_url: str
) -> None:
    with made() as world:
        found = {
            (route.path, role.value): stream_of(world, route, role, portal_url)
            for route in STREAMS
            for role in Role
        }
        wanted = {
            (route.path, role.value): route.rule.of(role) for route in STREAMS for role in Role
        }
    assert found == wanted


@pytest.mark.parametrize("area", AREAS)
def test_other_methods_do_not_give_access_to_more_people(world: World, area: str) -> None:
    """A method that is not in the table is refused, or handled like one that is."""
    wrong = []
    for pattern in {route.pattern for route in AREAS[area]}:
        routes = [route for route in AREAS[area] if route.pattern == pattern]
        for method in set(METHODS) - {route.method for route in routes}:
            for role in (Role.STRANGER, Role.LONER, Role.OTHER):
                outcome = tried(world, routes[0], role, method=method)
                if outcome not in {"405", *(str(route.rule.of(role)) for route in routes)}:
                    wrong.append((method, pattern, role.value, str(outcome)))
    assert not wrong


def test_the_document_matches_the_table() -> None:
    assert DOCUMENT.read_text() == text_of(ROUTES), (
        "write it again: python -m tests.portal.access.document"
    )
