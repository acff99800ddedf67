"""Log lines by their numbers."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.logs import numbered
from portal.logs.logfile import Reader, parse_line
from portal.logs.numbered import LogWindow, NumberedLine, number_after, search, window
from portal.logs.numbered_rows import MOST_TEXT, rows

STAMP = "2026-11-24T12:00:00.000Z"


def line(text: str, source: str = "build", stream: str = "stdout") -> str:
    return f"{STAMP} {source} {stream} {text}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "7.log"
    path.write_text("".join(line(f"step {number}") for number in range(1, 101)))
    return path


def texts(found: LogWindow) -> list[tuple[int, str]]:
    return [(numbered.number, numbered.line.text) for numbered in found.lines]


def test_a_window_begins_at_a_number_and_ends_at_the_last_line(log: Path) -> None:
    found = window(log, 20, 3)
    assert texts(found) == [(20, "step 20"), (21, "step 21"), (22, "step 22")]
    assert (found.total, found.has_end) == (100, False)
    assert texts(window(log, 10**9, 2)) == [(99, "step 99"), (100, "step 100")]
    assert texts(window(log, 1, 1000))[0] == (1, "step 1")


def test_a_missing_and_an_empty_log_have_no_lines(tmp_path: Path) -> None:
    assert window(tmp_path / "no.log", 1, 10) == LogWindow(lines=(), total=0)
    (tmp_path / "empty.log").touch()
    assert search(tmp_path / "empty.log", "x", 10) == LogWindow(lines=(), total=0)


def test_a_line_that_is_still_written_is_not_counted(log: Path) -> None:
    with log.open("a") as file:
        file.write(f"{STAMP} build stdout half")
    assert window(log, 10**9, 1).total == 100


def test_a_search_finds_text_and_source_in_any_case_but_not_the_stream(log: Path) -> None:
    with log.open("a") as file:
        file.write(line("Error: no module", source="web.1a2b", stream="stderr"))
    assert texts(search(log, "ERROR: no", 5)) == [(101, "Error: no module")]
    assert texts(search(log, "web.1A", 5)) == [(101, "Error: no module")]
    assert search(log, "stderr", 5).matches == 0
    assert search(log, "2026", 5).matches == 0
    found = search(log, "step", 3)
    assert (texts(found)[0], found.matches, found.total) == ((1, "step 1"), 100, 101)


def test_a_search_stops_counting(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbered, "MOST_COUNTED", 10)
    found = search(log, "step", 3)
    assert (found.matches, found.total, len(found.lines)) == (10, 100, 3)


def test_new_lines_continue_the_numbers(log: Path) -> None:
    place = window(log, 1, 40).place
    assert number_after(log, place) == 41
    with Reader(log, after=place) as reader:
        assert reader.read()[0].text == "step 41"
    assert number_after(log, "nonsense") == 1
    assert number_after(log, "1-ffffffffffffffff") == 101, "an offset beyond the end"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    texts=st.lists(st.text("abc é\x1b<", max_size=30), max_size=40),
    first=st.integers(1, 60),
    block=st.integers(1, 200),
)
def test_windows_and_searches_agree_with_a_list(
    tmp_path: Path, texts: list[str], first: int, block: int
) -> None:
    path = tmp_path / "given.log"
    path.write_text("".join(line(text) for text in texts))
    numbered._BLOCK, usual = block, numbered._BLOCK
    try:
        found, matches = window(path, first, 5), search(path, "ab", 99)
    finally:
        numbered._BLOCK = usual
    begin = max(min(first, len(texts) - 4), 1)
    assert [row.line.text for row in found.lines] == texts[begin - 1 : begin + 4]
    assert [row.number for row in matches.lines] == [
        number for number, text in enumerate(texts, 1) if "ab" in text
    ]


def shown(text: str, **more: object) -> str:
    parsed = parse_line(line(text).encode().rstrip(b"\n"), 1, 1)
    return str(rows([NumberedLine(number=7, line=parsed)], **more))  # type: ignore[arg-type]


def test_a_row_has_its_number_as_a_permanent_link() -> None:
    html = shown("hello")
    assert html.startswith('<li id="L7" class="is-stdout"><a class="log-number" href="?line=7#L7">')
    assert 'class="is-stdout is-this"' in shown("hello", marked=7)


def test_html_colours_and_direction_marks_of_a_line_change_nothing_on_the_page() -> None:
    html = shown("<script>alert(1)</script> \x1b[31mred\x1b[0m \u202eabc\x1b]0;title\x07")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "red" in html
    assert "[31m" not in html
    assert "\\u202e" in html
    assert "\u202e" not in html
    assert "\\x1b]0;title\\x07" in html


def test_matches_are_marked_also_with_html_in_them() -> None:
    assert "<mark>&lt;B&gt;</mark>old" in shown("<B>old", searched="<b>")


def test_long_lines_are_cut_so_that_a_page_stays_small() -> None:
    assert "… 12,384 more characters" in shown("x" * 16_384)
    parsed = parse_line(line("y" * 16_384).encode().rstrip(b"\n"), 1, 1)
    many = rows([NumberedLine(number=number, line=parsed) for number in range(1, 251)])
    assert len(many) < 2 * MOST_TEXT
