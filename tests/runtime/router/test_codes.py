"""Tests that each code is explained in the manual. `test_every_code` provokes each of them."""

from __future__ import annotations

import re

import pytest

from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.code_manual import manual
from runtime.contract.error_codes import Code, code_of
from runtime.contract.notices import MEMORY_EXCEEDED, NETWORK_LIMITED, NOTED
from tests.architecture.tree import ROOT


def test_every_code_is_fully_explained():
    assert set(EXPLAINED) == set(Code)
    for code, what in EXPLAINED.items():
        assert all((what.name, what.title, what.meaning, what.look_at, what.fix)), code
        assert bool(what.next_step) == bool(what.status), code
    assert len({what.name for what in EXPLAINED.values()}) == len(Code)


def test_the_manual_is_generated_from_the_codes():
    assert (ROOT / "docs/codes.md").read_text() == manual(), (
        "write it again: python -m runtime.router > docs/codes.md"
    )
    sections = re.findall(r"^## ([A-Z]\d\d) ", manual(), re.MULTILINE)
    assert sections == [*(code.value for code in Code), *NOTED]


def test_a_notice_in_the_log_of_an_app_starts_with_its_code():
    assert MEMORY_EXCEEDED == "R14 memory-exceeded"
    assert NETWORK_LIMITED == "R15 network-limit-reached"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({}, None),
        ({"given": "H43", "termination": "LR"}, Code.NOT_ALLOWED),
        ({"termination": "SC"}, Code.UNREACHABLE),
        ({"termination": "SC", "server": "<NOSRV>"}, Code.NO_INSTANCE),
        ({"termination": "sQ"}, Code.QUEUED_TOO_LONG),
        ({"termination": "SH"}, Code.NO_ANSWER),
        ({"termination": "PH", "given": "H13"}, Code.BAD_ANSWER),
        ({"termination": "PH"}, Code.BAD_ANSWER),
        ({"termination": "SD"}, Code.BROKE_OFF),
        ({"termination": "CD"}, Code.CLIENT_LEFT),
        ({"termination": "cD"}, Code.CLIENT_LEFT),
        ({"termination": "cR", "status": 408}, Code.REQUEST_TOO_SLOW),
        ({"termination": "PR", "status": 400}, Code.BAD_REQUEST),
        ({"termination": "PR", "status": 500}, Code.ROUTER_FAULT),
        ({"given": "nonsense"}, None),
    ],
)
def test_the_end_of_a_request_gives_its_code(end: dict[str, object], code: Code | None):
    assert (
        code_of(**{"given": "-", "status": 200, "termination": "--", "server": "web-1", **end})
        is code
    )
