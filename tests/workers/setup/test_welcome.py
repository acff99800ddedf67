"""Test of the first deploy of `make up` when the portal does not answer."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from portal.accounts.models import Person, Token
from runtime.config import NodeConfig
from tests.runtime.router.conftest import free_port
from workers.setup.steps import SetupStep
from workers.setup.welcome import ADMIN, Example, ExampleFailed


@pytest.mark.django_db
def test_a_portal_without_an_answer_is_an_error_with_a_remedy_and_no_token(tmp_path: Path) -> None:
    Person.objects.create_user(ADMIN)
    config = replace(NodeConfig(), state=tmp_path, http_port=free_port())
    example = Example(config=config, archive=b"", done=tmp_path / "done")
    with pytest.raises(
        ExampleFailed, match=r"did not answer during the deploy of hello: .*refused"
    ) as error:
        example.deploy(SetupStep("Deploy hello", io.StringIO()))
    assert "make up" in str(error.value.hint)
    assert not Token.objects.exists()
    assert not example.is_deployed
