"""Searching all kept lines of a log, and the log page's filter."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from portal.logs import query
from portal.logs.logfile import LogLine, parse_line, tail
from portal.logs.query import LogQuery, matching_lines, search

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def line(text: str, *, source: str = "web.1", ago: float = 0) -> str:
    at = NOW - timedelta(seconds=ago)
    return f"{at:%Y-%m-%dT%H:%M:%S}.000Z {source} stdout {text}\n"


def texts_of(path: Path, **wanted: object) -> list[str]:
    return [found.text for found in search(path, LogQuery(**wanted), 100).lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "hello.log"
    path.with_name("hello.log.1").write_text(line("an old needle", ago=90_000))
    path.write_text(
        line("starting", ago=7200)
        + line('"GET /healthz HTTP/1.1" 200', ago=60)
        + line("WARNING: slow", source="worker.9", ago=30)
        + line("Error: the Needle broke", source="web.2", ago=10)
    )
    return path


def test_the_search_continues_in_the_rotated_file(log: Path) -> None:
    assert texts_of(log, text="needle") == ["an old needle", "Error: the Needle broke"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"level": "error"}, ["Error: the Needle broke"]),
        ({"level": "warning"}, ["WARNING: slow", "Error: the Needle broke"]),
        ({"source": "worker"}, ["WARNING: slow"]),
        ({"instance": "web.2"}, ["Error: the Needle broke"]),
        ({"since": NOW - timedelta(seconds=40)}, ["WARNING: slow", "Error: the Needle broke"]),
        ({"until": NOW - timedelta(seconds=7000)}, ["an old needle", "starting"]),
        ({"text": "web.2"}, ["Error: the Needle broke"]),
    ],
)
def test_each_condition_narrows_the_lines(
    log: Path, wanted: dict[str, object], found: list[str]
) -> None:
    assert texts_of(log, **wanted) == found


def test_requests_of_the_health_check_are_left_out_by_path_or_by_their_client() -> None:
    def is_shown(text: str, path: str | None) -> bool:
        return LogQuery(checks_of=path).matches(
            LogLine(id="", at=NOW, source="web.1", stream="stdout", text=text)
        )

    assert not is_shown('"GET /healthz HTTP/1.1" 200', "/healthz")
    assert not is_shown('"GET / HTTP/1.1" 200 "slipway-health/1"', "/")
    assert is_shown('"GET / HTTP/1.1" 200 "Mozilla/5.0"', "/")
    assert is_shown('"GET /healthz HTTP/1.1" 200', None)


def test_only_the_newest_matches_are_returned_and_older_ones_announced(log: Path) -> None:
    found = search(log, LogQuery(), 2)
    assert [line.text for line in found.lines] == ["WARNING: slow", "Error: the Needle broke"]
    assert found.has_older
    assert not search(log, LogQuery(), 5).has_older
    assert search(log, LogQuery(), 1).lines[-1].id == tail(log, 1)[-1].id


def test_a_missing_or_empty_log_has_no_lines(tmp_path: Path) -> None:
    assert texts_of(tmp_path / "none.log") == []
    (tmp_path / "none.log").touch()
    assert texts_of(tmp_path / "none.log") == []


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r")), max_size=30), st.text(max_size=3)
)
def test_a_search_finds_the_lines_that_a_slow_search_finds(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], wanted: str
) -> None:
    path = tmp_path_factory.mktemp("log") / "a.log"
    data = "".join(line(text) for text in lines).encode(errors="surrogatepass")
    path.write_bytes(data)
    asked = LogQuery(text=wanted)
    slow = [parse_line(part, 0, 0) for part in data.split(b"\n")[:-1]]
    block = query._BLOCK
    query._BLOCK = 64
    try:
        fast = list(matching_lines(path, asked))[::-1]
    finally:
        query._BLOCK = block
    assert [found.text for found in fast] == [line.text for line in slow if asked.matches(line)]


def test_the_page_searches_what_it_does_not_show(member: Client) -> None:
    path = settings.APP_LOGS / "shop.log"
    older = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%S}.000Z web.1 stdout"
    path.write_text(f"{older} one needle\n" + f"{older} hay\n" * 2000 + path.read_text())
    assert "one needle" not in member.get("/apps/shop/logs").text
    page = member.get("/apps/shop/logs?q=NEEDLE").text
    assert "one needle" in page
    assert 'class="log-day"' in page
    assert "Older lines" in member.get("/apps/shop/logs").text
    assert "one needle" not in member.get("/apps/shop/logs?q=needle&range=1h").text


def test_an_empty_result_is_a_sentence_with_a_way_out(member: Client) -> None:
    page = member.get("/apps/shop/logs?q=nowhere&source=web&range=1h&level=error").text
    sentence = "No line with “nowhere” that reports an error from web of the last hour."
    assert sentence in page
    assert '<a class="link" href="/apps/shop/logs">Show all lines</a>' in page


def test_checks_are_hidden_until_they_are_wanted(member: Client) -> None:
    with (settings.APP_LOGS / "shop.log").open("a") as file:
        file.write(
            f'{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z web.1 stdout "GET /healthz HTTP/1.1"\n'
        )
    assert "GET /healthz" not in member.get("/apps/shop/logs").text
    assert "GET /healthz" in member.get("/apps/shop/logs?checks=show").text


def test_the_download_has_the_lines_that_the_filter_shows(member: Client) -> None:
    answer = member.get("/apps/shop/logs/file?source=worker")
    lines = b"".join(answer).decode().splitlines()
    assert len(lines) == 20
    assert all(" worker.5e6f7a8b stderr " in line for line in lines)


@pytest.mark.parametrize("until", ["2026-99-99T00:00", "x", "2026-11-24T00:00+05:00"])
def test_a_wrong_time_is_ignored(member: Client, until: str) -> None:
    assert member.get("/apps/shop/logs", {"until": until, "range": "9y"}).status_code == 200
