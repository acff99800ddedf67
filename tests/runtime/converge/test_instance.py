import pytest

from runtime.converge.instance import command_of, new_name, source_of


@pytest.mark.parametrize(
    "line",
    [
        "gunicorn app:app",
        "python3 -m http.server $PORT",
        'node -e "a(); b && c"',
        "run > /dev/null 2>&1",
        "  spaced  ",
        "a ${PORT:-1} #hash",
    ],
)
def test_a_simple_line_replaces_its_shell(line):
    assert command_of(line) == ("/bin/sh", "-c", f"exec {line.strip()}")


@pytest.mark.parametrize(
    "line",
    [
        "a && b",
        "a | b",
        "a; b",
        "a & wait",
        "(a)",
        "DEBUG=1 a",
        "cd app && a",
        "exec a",
        "echo hello",
        "if x; then y; fi",
        "a\nb",
        "a 'open",
        "x $(nproc)",
    ],
)
def test_a_line_that_exec_cannot_take_keeps_its_shell(line):
    assert command_of(line) == ("/bin/sh", "-c", line)


def test_an_instance_is_named_so_that_every_part_of_the_node_takes_the_name():
    name = new_name("a" * 40, "Sidekiq_Worker-with.a.very.long.name.indeed", "1a2b3c4d")
    assert name == f"{'a' * 40}-sidekiq-worker-with-a-ve-1a2b3c4d"
    assert len(name) <= 80
    assert source_of(name, "Sidekiq_Worker") == "Sidekiq_Worker.1a2b3c4d"
    assert new_name("a", "___", "00") == "a-process-00"
