"""Tests of the reasons that the output of a failed step shows."""

from __future__ import annotations

import pytest

from runtime.builds.packages.causes import explain
from runtime.errors import StepFailed
from tests.runtime.builds.conftest import Forge


@pytest.mark.parametrize(
    "line",
    [
        "curl: (6) Could not resolve host: github.com",
        "curl: (7) Failed to connect to github.com port 443 after 2 ms: Could not connect",
        "fatal: unable to access 'https://github.com/a/b.git/': Could not resolve host: github.com",
        "wget: unable to resolve host address 'github.com'",
        "npm error RequestError: getaddrinfo ENOTFOUND github.com",
        "Error: getaddrinfo EAI_AGAIN github.com",
        "Error: connect ETIMEDOUT github.com:443",
        "HTTPSConnectionPool(host='github.com', port=443): Max retries exceeded with url: /x",
        'Get "https://github.com/x": dial tcp: lookup github.com on 10.0.0.1:53: no such host',
        "Failed to open TCP connection to github.com:443 (getaddrinfo: Name does not resolve)",
    ],
)
def test_a_host_that_cannot_be_reached_is_named(line: str) -> None:
    cause = explain(["fetching", line, "npm error code 1"])
    assert cause is not None
    assert cause.what == "It could not reach github.com."


@pytest.mark.parametrize(
    "line",
    [
        "EOFError: EOF when reading a line",
        "the input device is not a TTY",
        " ERR_PNPM_ABORTED_REMOVE_MODULES_DIR_NO_TTY  Aborted removal of modules directory",
        "ExitPromptError: User force closed the prompt with 0 null",
        "Error [ERR_USE_AFTER_CLOSE]: readline was closed",
    ],
)
def test_a_question_without_a_terminal_is_named(line: str) -> None:
    cause = explain([line, "at main (setup.js:1)"])
    assert cause is not None
    assert "a build has no terminal" in cause.what


def test_another_output_has_no_cause() -> None:
    assert explain(["error: expected ; before }", "see https://github.com/a/b/issues"]) is None
    assert explain([]) is None


def test_a_build_script_that_waits_for_a_terminal_ends_at_once_and_is_named(forge: Forge) -> None:
    with pytest.raises(StepFailed, match="It asked for input, but a build has no terminal"):
        forge.build(
            {
                "requirements.txt": "",
                "app.py": "",
                "bin/post_compile": "python3 -c 'input(\"Which one? \")'\n",
            }
        )


def test_an_install_script_that_cannot_reach_its_host_names_it(forge: Forge) -> None:
    line = "print('Could not resolve host: downloads.invalid'); raise SystemExit(1)"
    with pytest.raises(StepFailed, match="It could not reach downloads.invalid"):
        forge.build(
            {
                "requirements.txt": "",
                "app.py": "",
                "bin/post_compile": f'python3 -c "{line}"\n',
            }
        )
