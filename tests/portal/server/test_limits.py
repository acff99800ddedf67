"""Rate limits and turns: a sender of too many requests gets a time to wait, and others are not
delayed."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis
import redis.asyncio
from django.test import Client

from portal.errors import TooManyRequests
from portal.limits.client import connect
from portal.limits.rates import Bucket, Rates
from portal.limits.streams import Streams
from portal.limits.turns import OpenBodies, Turns
from portal.limits.visitor import Visitors
from portal.networks import network_of
from tests.portal.conftest import People, bearer, listening_portal

TIGHT = {
    "SLIPWAY_PERSON_PER_SECOND": "2",
    "SLIPWAY_TOKEN_PER_SECOND": "1",
    "SLIPWAY_ADDRESS_PER_SECOND": "1",
    "SLIPWAY_STREAMS_PER_PERSON": "2",
}


@pytest.fixture
def portal_with_low_limits(
    committed_people: People, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Run a portal with low limits: bursts of 10 per person, 5 per token and 5 per address."""
    for name, value in TIGHT.items():
        monkeypatch.setenv(name, value)
    with listening_portal() as url:
        yield url


def flood(url: str, headers: dict[str, str], count: int = 30) -> list[httpx.Response]:
    with httpx.Client(headers=headers, timeout=20) as client:
        return [client.get(url) for _ in range(count)]


def refused(url: str, headers: dict[str, str]) -> httpx.Response:
    """Return the first response that says to wait."""
    return next(answer for answer in flood(url, headers) if answer.status_code == 429)


def test_a_sender_of_too_many_requests_gets_the_reason_and_a_time_and_others_are_served(
    portal_with_low_limits: str, committed_people: People, broker: redis.Redis
) -> None:
    token, other = (
        committed_people.token(committed_people.owner),
        committed_people.token(committed_people.stranger),
    )
    broker.flushall()
    answers = flood(f"{portal_with_low_limits}/api/v1/teams", bearer(token))
    late = [answer for answer in answers if answer.status_code == 429]
    assert late
    assert min(answer.elapsed.total_seconds() for answer in late) >= 0.25, (
        "a client that tries again at once is slowed down"
    )
    assert answers[0].status_code == 200
    assert (
        late[-1].json()["error"]
        == "Too many requests. The limit is 2 per second for one person and 1 per second for one"
        " token."
    )
    assert "then send fewer requests at the same time" in late[-1].json()["hint"]
    assert 1 <= int(late[-1].headers["Retry-After"]) <= 10
    assert (
        httpx.get(f"{portal_with_low_limits}/api/v1/teams", headers=bearer(other)).status_code
        == 200
    )
    time.sleep(int(late[-1].headers["Retry-After"]) + 0.5)
    assert (
        httpx.get(f"{portal_with_low_limits}/api/v1/teams", headers=bearer(token)).status_code
        == 200
    )


def test_a_second_token_gives_no_second_share(
    portal_with_low_limits: str, committed_people: People, broker: redis.Redis
) -> None:
    tokens = [committed_people.token(committed_people.owner) for _ in range(6)]
    broker.flushall()
    begun = time.monotonic()
    passed = sum(
        answer.status_code == 200
        for token in tokens
        for answer in flood(f"{portal_with_low_limits}/api/v1/teams", bearer(token), 8)
    )
    # a burst, the lookups of each new token, and the refilled part
    assert passed <= 10 + 6 + 2 * (time.monotonic() - begun) + 2


def test_invalid_tokens_count_for_their_address_and_people_behind_it_are_served(
    portal_with_low_limits: str, committed_people: People, broker: redis.Redis
) -> None:
    token = committed_people.token(committed_people.owner)
    httpx.get(f"{portal_with_low_limits}/api/v1/teams", headers=bearer(token))

    def guess(number: int) -> int:
        return httpx.get(
            f"{portal_with_low_limits}/api/v1/teams",
            headers=bearer(f"slip_made_up_{number}"),
            timeout=60,
        ).status_code

    with ThreadPoolExecutor(
        20
    ) as pool:  # in parallel, because a slow machine stays below the limit otherwise
        statuses = list(pool.map(guess, range(40)))
    assert 429 in statuses
    assert set(statuses) <= {401, 429}
    assert (
        httpx.get(f"{portal_with_low_limits}/api/v1/teams", headers=bearer(token)).status_code
        == 200
    )


def test_an_error_is_a_page_for_browsers_a_line_for_git_and_json_for_registry_clients(
    portal_with_low_limits: str, committed_people: People
) -> None:
    page = refused(f"{portal_with_low_limits}/codes", {"Accept": "text/html"})
    assert (page.status_code, page.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert (
        "Too many requests. The limit is 1 per second for an address without sign-in." in page.text
    )
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    git = refused(f"{portal_with_low_limits}/git/hello.git/info/refs", {})
    assert (git.status_code, git.headers["Content-Type"]) == (429, "text/plain; charset=utf-8")
    assert (
        refused(f"{portal_with_low_limits}/v2/", {}).json()["errors"][0]["code"]
        == "TOOMANYREQUESTS"
    )


def test_the_open_streams_of_a_person_are_limited_and_freed_when_they_end(
    portal_with_low_limits: str, committed_people: People, broker: redis.Redis
) -> None:
    committed_people.app()
    client = Client()
    client.force_login(committed_people.owner)
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    url = f"{portal_with_low_limits}/apps/hello/events"
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(httpx.stream("GET", url, cookies=cookies, timeout=20))
            for _ in range(2)
        )
        assert first.status_code == second.status_code == 200
        third = httpx.get(url, cookies=cookies, timeout=20)
        assert third.status_code == 429
        assert "You already have 2 live pages and followed logs open" in third.json()["error"]
    deadline = time.monotonic() + 20
    while broker.zcard(f"slipway:streams:person:{committed_people.owner.pk}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_limits_apply_to_all_processes_together(redis_server: str, broker: redis.Redis) -> None:
    bucket = Bucket(key="slipway:rate:test", rate=10, words="one")

    async def passed(requests: int) -> int:
        client = connect(f"unix://{redis_server}")
        rates, count = Rates(client), 0
        for _ in range(requests):
            with contextlib.suppress(TooManyRequests):
                await rates.take([bucket])
                count += 1
        await client.aclose()
        return count

    with ThreadPoolExecutor(4) as pool:
        begun = time.monotonic()
        total = sum(pool.map(lambda _: asyncio.run(passed(100)), range(4)))
    assert 40 <= total <= 50 + 10 * (time.monotonic() - begun) + 1


def test_a_bucket_is_refilled(redis_server: str, broker: redis.Redis) -> None:
    bucket = Bucket(key="slipway:rate:test", rate=20, words="one")

    async def story() -> tuple[int, int]:
        client = connect(f"unix://{redis_server}")
        rates = Rates(client)
        for _ in range(1000):
            try:
                await rates.take([bucket])
            except TooManyRequests as refused:
                wait = refused.retry_after
                break
        await asyncio.sleep(1.2)
        await rates.take([bucket])
        await client.aclose()
        return wait, 1

    assert asyncio.run(story()) == (1, 1)


def test_without_redis_nothing_is_limited_and_it_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        client = connect("unix:///nonexistent/redis.sock")
        rates, streams = Rates(client), Streams(client, most=1)
        for _ in range(20):
            await rates.take([Bucket(key="one", rate=1, words="one")])
        async with streams.of("one"), streams.of("one"):
            pass

    asyncio.run(story())
    assert caplog.text.count("Requests are not limited") == 1


def test_requests_of_one_person_wait_for_each_other_but_not_others() -> None:
    async def story() -> tuple[int, bool]:
        turns, at_once, most = Turns(each=2, together=8, waiting=100), 0, 0

        async def work() -> None:
            nonlocal at_once, most
            async with turns.of("busy"):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.01)
                at_once -= 1

        crowd = [asyncio.create_task(work()) for _ in range(50)]
        await asyncio.sleep(0.02)
        async with asyncio.timeout(0.1), turns.of("other"):
            other = True
        await asyncio.gather(*crowd)
        return most, other

    assert asyncio.run(story()) == (2, True)


def test_requests_beyond_the_waiting_limit_are_refused() -> None:
    async def story() -> int:
        turns = Turns(each=1, together=8, waiting=3)

        async def work() -> bool:
            try:
                async with turns.of("busy"):
                    await asyncio.sleep(0.01)
            except TooManyRequests:
                return False
            return True

        return sum(await asyncio.gather(*(work() for _ in range(10))))

    assert asyncio.run(story()) == 4


def test_open_bodies_are_summed_per_sender() -> None:
    bodies = OpenBodies(most=3, most_bytes=100)
    with bodies.of("one") as first, bodies.of("one") as second, bodies.of("other") as other:
        first.add(60)
        second.add(40)
        other.add(100)
        with pytest.raises(TooManyRequests, match="open requests together"):
            second.add(1)
        with (
            bodies.of("one"),
            pytest.raises(TooManyRequests, match="3 of your request bodies"),
            bodies.of("one"),
        ):
            pass
    with bodies.of("one") as again:
        again.add(100)


def test_a_cached_sender_is_looked_up_again_in_time(people: People) -> None:
    now = 0.0
    visitors = Visitors(clock=lambda: now)
    token = people.token(people.owner)
    scope, headers = {"client": ("2001:db8::1", 5)}, {b"authorization": f"Bearer {token}".encode()}
    assert visitors.remembered(scope, headers) is None
    assert visitors.look_up(scope, headers).person == people.owner.pk
    known = visitors.remembered(scope, headers)
    assert known is not None
    assert (known.person, known.address, known.name) == (
        people.owner.pk,
        "2001:db8::/64",
        f"person:{people.owner.pk}",
    )
    now = 31.0
    assert visitors.remembered(scope, headers) is None
    stranger = visitors.remembered(scope, {})
    assert stranger is not None
    assert stranger.name == "address:2001:db8::/64"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("", "unknown"),
        ("x", "unknown"),
    ],
)
def test_an_address_counts_as_one_customer(address: str, network: str) -> None:
    assert network_of(address) == network
