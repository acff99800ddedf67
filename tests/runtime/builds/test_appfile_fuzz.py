"""Tests with Hypothesis: any slipway.toml or app.json is read or refused."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.builds.manifest.load import read
from runtime.contract.manifest import AppFile
from runtime.errors import BadSource
from tests.runtime.builds.app_files import app_json

KEYS = st.sampled_from(
    [
        "processes",
        "web",
        "command",
        "count",
        "cpu",
        "memory",
        "env",
        "A",
        "generate",
        "value",
        "required",
        "health",
        "kind",
        "path",
        "timeout",
        "cron",
        "name",
        "schedule",
        "timezone",
        "build",
        "dockerfile",
        "args",
        "formation",
        "size",
        "healthchecks",
        "scripts",
        "postdeploy",
        "volumes",
        "overlap",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["http", "@daily", "L,1/2 * L#1 * 1#1", "2h"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(KEYS, st.text(max_size=5)), inner, max_size=6),
    ),
)
SCHEDULES = st.lists(
    st.text(alphabet="0123456789*,/-#LWMONSUN", min_size=1, max_size=8), min_size=5, max_size=5
).map(" ".join)


@settings(deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
@example({"formation": {"web": {"quantity": 10**300}}})
@example({"cron": [{"command": "a", "schedule": "* * 1,L/2 * *"}]})
def test_any_document_is_read_or_refused(document):
    for text in (json.dumps(document), _toml(document)):
        for name in ("app.json", "slipway.toml"):
            try:
                assert isinstance(read({name: text.encode("utf-8", "surrogatepass")}), AppFile)
            except BadSource as refused:
                assert refused.hint  # noqa: PT017  # the other outcome is as good


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    for name in ("app.json", "slipway.toml"):
        try:
            assert isinstance(read({name: data}), AppFile)
        except BadSource as refused:
            assert refused.hint  # noqa: PT017  # the other outcome is as good


@settings(deadline=None)
@given(SCHEDULES)
def test_any_schedule_is_read_or_refused(schedule):
    try:
        assert app_json({"cron": [{"command": "a", "schedule": schedule}]}).crons[0].schedule
    except BadSource as refused:
        assert "schedule" in refused.what  # noqa: PT017  # the other outcome is as good


def _toml(document: dict[str, object]) -> str:
    """Return the document as TOML with inline values in JSON, which TOML mostly accepts."""
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in document.items())
