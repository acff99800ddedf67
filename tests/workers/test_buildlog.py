"""What of a build's words is kept."""

from pathlib import Path

from workers.buildlog import BuildLog


def test_a_build_that_prints_without_end_fills_no_disk_and_its_reader_is_told(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "1.log", user="nobody-here", most=10_000)
    for _ in range(10_000):
        log.output("y\rn")
    log.say("The build failed.")
    lines = (tmp_path / "1.log").read_text().splitlines()
    assert (tmp_path / "1.log").stat().st_size < 11_000
    assert lines[-2].endswith("the rest of the build's own words is left out.")
    assert lines[-1].endswith("The build failed.")
