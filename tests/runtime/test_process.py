"""Tests of runtime.process, the only module that starts programs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runtime.errors import HostLacks, ProcessFailed
from runtime.process import run, shell_line, spawn


def test_input_is_passed_and_both_streams_are_returned() -> None:
    done = run(["sh", "-c", "cat; echo bad >&2"], input=b"x" * 3_000_000)
    assert (len(done.stdout), done.stderr, done.returncode) == (3_000_000, b"bad\n", 0)


def test_lines_arrive_as_they_are_printed() -> None:
    seen: list[tuple[bytes, float]] = []
    run(
        ["sh", "-c", "echo one; sleep 0.2; printf two"],
        on_output=lambda line: seen.append((line, time.monotonic())),
    )
    assert [line for line, _ in seen] == [b"one", b"two"]
    assert seen[1][1] - seen[0][1] > 0.1


def test_a_failure_shows_a_pasteable_command_and_the_last_output() -> None:
    with pytest.raises(
        ProcessFailed, match=r"`sh -c 'echo no luck >&2; exit 3'` exited with 3. It said: no luck"
    ):
        run(["sh", "-c", "echo no luck >&2; exit 3"])
    assert run(["false"], check=False).returncode == 1
    with pytest.raises(ProcessFailed, match="was ended by SIGTERM"):
        run(["sh", "-c", "kill $$"])


def test_a_timeout_ends_the_whole_process_group(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="did not end within"):
        run(["sh", "-c", f"(sleep 0.6; touch {tmp_path}/late) & sleep 60"], timeout=0.2)
    time.sleep(0.7)
    assert not (tmp_path / "late").exists()


def test_a_background_child_that_keeps_the_pipes_does_not_block() -> None:
    start = time.monotonic()
    assert run(["sh", "-c", "sleep 2 & echo done"]).stdout == b"done\n"
    assert time.monotonic() - start < 1


def test_an_exception_of_the_output_callback_ends_the_program() -> None:
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        run(["sh", "-c", "echo x; sleep 60"], on_output=lambda _: print(1 // 0))
    assert time.monotonic() - start < 5


def test_an_exception_of_the_watch_callback_ends_the_program() -> None:
    looks = iter(range(3))

    def watch() -> None:
        if next(looks) == 2:
            raise ValueError("enough")

    before = time.monotonic()
    with pytest.raises(ValueError, match="enough"):
        run(["sleep", "60"], watch=watch)
    assert time.monotonic() - before < 30


def test_a_missing_program_is_reported_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match="no-such-program") as raised:
        run(["no-such-program"])
    assert raised.value.hint
    with pytest.raises(ProcessFailed, match="folder"):
        run(["true"], cwd=tmp_path / "nowhere")


def test_the_environment_is_replaced_and_descriptors_are_closed(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w"):
        listed = (
            run(
                ["/bin/sh", "-c", "env; ls /proc/self/fd"],
                env={"PATH": "/usr/bin:/bin", "ONLY": "1"},
            )
            .stdout.decode()
            .split()
        )
    assert "ONLY=1" in listed
    assert not any(word.startswith("HOME=") for word in listed)
    # 3 belongs to ls itself
    assert {word for word in listed if word.isdecimal()} <= {"0", "1", "2", "3"}


def test_a_long_lived_program_leads_its_own_session() -> None:
    process = spawn(["sleep", "60"])
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(fields[3]) == process.pid
    finally:
        process.kill()
        process.wait()


def test_a_command_is_pasteable() -> None:
    assert shell_line(["a b", Path("/x"), "$y"]) == "'a b' /x '$y'"


def test_a_program_joins_its_control_groups_before_it_starts(tmp_path: Path) -> None:
    # Replaces the kernel's file: only the first write to it matters.
    door = tmp_path / "cgroup.procs"
    door.touch()
    assert run(["cat", door], groups=[door]).stdout == b"0\n"


def test_a_missing_control_group_ends_the_program_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="exited with 126"):
        run(["touch", tmp_path / "ran"], groups=[tmp_path / "gone" / "cgroup.procs"])
    assert not (tmp_path / "ran").exists()
