"""Tests of the messages about an instance that does not start: the finding, the remedy and the last
lines of its log.
"""

from dataclasses import replace

import pytest

from runtime.containers.container import Exit
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.quantities import Bytes
from runtime.converge.explain import ProbeAnswer, ProbeFindings, early_finding, exited, not_ready

SEEN = ProbeFindings(
    port=8000,
    health=HealthCheck(),
    listening=(),
    answer=ProbeAnswer(trouble="was refused"),
    memory=Bytes(512 * 2**20),
    waited=60.2,
)
ANSWERS_500 = replace(SEEN, listening=(("0.0.0.0", 8000),), answer=ProbeAnswer(status=500))
END = Exit(code=3, signal=None, out_of_memory=False, at=0.0, memory=Bytes(512 * 2**20))


@pytest.mark.parametrize(
    ("listening", "answer", "said"),
    [
        (
            (),
            ProbeAnswer(trouble="was refused"),
            "It does not listen on a port; it must listen on 0.0.0.0 and the port in $PORT (8000).",
        ),
        (
            (("127.0.0.1", 5000),),
            ProbeAnswer(trouble="was refused"),
            (
                "It listens on 127.0.0.1:5000, which only the instance itself can reach; it must"
                " listen"
            ),
        ),
        (
            (("::1", 8000),),
            ProbeAnswer(trouble="was refused"),
            "It listens on [::1]:8000, which only the instance itself can reach; it must listen",
        ),
        (
            (("0.0.0.0", 5000),),
            ProbeAnswer(trouble="was refused"),
            "It listens on 0.0.0.0:5000; it must listen on 0.0.0.0 and the port in $PORT (8000).",
        ),
        (
            (("0.0.0.0", 5000), ("127.0.0.1", 9)),
            ProbeAnswer(),
            "It listens on 0.0.0.0:5000; it must",
        ),
        (
            (("::", 8000),),
            ProbeAnswer(status=500),
            "It answers GET / on port 8000 with status 500; it is healthy with a status below 500.",
        ),
        (
            (("0.0.0.0", 8000),),
            ProbeAnswer(trouble="got no answer within 5 s"),
            "It listens, but GET / on port 8000 got no answer within 5 s.",
        ),
    ],
)
def test_listening_address_and_answer_are_reported_with_the_remedy(listening, answer, said):
    text = not_ready(
        replace(SEEN, listening=listening, answer=answer), ["Booting", "Ready on my own"]
    )
    assert text.startswith(said)
    assert "(Waited 60 s.)" in text
    assert text.endswith("\nIts last lines:\nBooting\nReady on my own")


def test_workers_that_were_killed_for_memory_are_reported_first():
    text = not_ready(replace(SEEN, oom_kills=3), [])
    assert text.startswith(
        "Out of memory: the kernel killed one of its processes (3 times), because it reached its"
        " limit of 512 MiB. Raise the limit. It does not listen on a port"
    )
    assert text.endswith("\nIt printed nothing.")


@pytest.mark.parametrize(
    ("end", "lived", "said"),
    [
        (END, 0.4, "It exited at once with code 3.\n"),
        (END, 40.0, "It exited with code 3.\n"),
        (
            replace(END, code=0),
            0.4,
            "It exited at once with code 0. A process must stay in the foreground",
        ),
        (
            replace(END, code=137, signal=9, out_of_memory=True),
            9.0,
            "It used all of its 512 MiB of memory and was killed. Give it more memory",
        ),
        (
            replace(END, code=127),
            0.1,
            (
                "It exited at once with code 127: its command was not found. Check the command in"
                " the Procfile"
            ),
        ),
        (replace(END, code=139, signal=11), 0.1, "It was ended by SIGSEGV."),
        (None, None, "It is gone without an exit status"),
    ],
)
def test_an_exit_is_reported_with_the_remedy(end, lived, said):
    assert exited(end, lived=lived, log=["last words"]).startswith(said)


def test_only_a_status_below_500_is_healthy():
    assert [ProbeAnswer(status=status).healthy for status in (200, 301, 404, 499, 500, 503)] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert not ProbeAnswer(trouble="was refused").healthy


@pytest.mark.parametrize(
    ("health", "trouble", "words"),
    [
        (
            HealthCheck(kind=CheckKind.COMMAND, command=("/bin/sh", "-c", "./up")),
            "ended with code 1, with the output: no database",
            (
                "Its health check `./up` ended with code 1, with the output: no database; the check"
                " passes when the command exits with code 0."
            ),
        ),
        (
            HealthCheck(kind=CheckKind.TCP),
            "got no answer within 5 s",
            "It listens, but a connection to port 8000 got no answer within 5 s.",
        ),
    ],
)
def test_other_kinds_of_checks_are_reported_with_their_failure(health, trouble, words):
    listening = (("0.0.0.0", 8000),)
    text = not_ready(
        replace(SEEN, health=health, listening=listening, answer=ProbeAnswer(trouble=trouble)), []
    )
    assert text.startswith(words)
    assert ProbeAnswer(passed=True).healthy


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (SEEN, ""),  # it may still load
        (replace(SEEN, listening=(("127.0.0.1", 8000),)), "It listens on 127.0.0.1:8000, which"),
        (replace(SEEN, listening=(("0.0.0.0", 5000),)), "It listens on 0.0.0.0:5000; it must"),
        (replace(SEEN, listening=(("0.0.0.0", 8000),)), ""),  # its first answer may be slow
        (ANSWERS_500, "It answers GET / on port 8000 with status 500"),
        (
            replace(ANSWERS_500, health=HealthCheck(kind=CheckKind.COMMAND, command=("true",))),
            "",
        ),
    ],
)
def test_what_is_certainly_wrong_is_found_while_an_instance_boots(seen, said):
    finding = early_finding(seen)
    assert finding.startswith(said)
    assert bool(finding) == bool(said)
