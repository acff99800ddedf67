"""Tests of the host's certificate authorities in builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.builds.authorities import VARIABLES, bundle, extended_bundle
from tests.runtime.builds.conftest import Forge


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "all.crt").write_text("certificates of the host\n")
    (tmp_path / "added").mkdir()
    return tmp_path


def test_the_bundle_is_mounted_only_if_the_operator_added_an_authority(place: Path) -> None:
    places, added = (
        [str(place / "none.crt"), str(place / "all.crt")],
        [
            str(place / "absent"),
            str(place / "added"),
        ],
    )
    assert bundle({}, places) == place / "all.crt"
    assert extended_bundle({}, places, added) is None
    (place / "added" / "company.crt").write_text("one more")
    assert extended_bundle({}, places, added) == place / "all.crt"
    assert extended_bundle({}, [], added) is None


def test_the_environment_selects_another_bundle(place: Path) -> None:
    (place / "own.pem").write_text("x")
    assert (
        bundle({"SSL_CERT_FILE": str(place / "own.pem")}, [str(place / "all.crt")])
        == place / "own.pem"
    )
    assert (
        bundle({"SSL_CERT_FILE": str(place / "absent")}, [str(place / "all.crt")])
        == place / "all.crt"
    )


def test_a_dockerfile_step_reads_the_bundle_and_the_image_does_not_have_it(
    forge: Forge, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(place / "all.crt"))
    lines = " && ".join(f'cat "${name}"' for name in VARIABLES if name != "PIP_CERT")
    built = forge.build(
        {
            "Dockerfile": (
                f'FROM debian-13\nENV PIP_CERT=/mine\nRUN {lines} && echo "pip: $PIP_CERT" && ls'
                ' /dev > /seen\nCMD ["true"]\n'
            )
        }
    )
    assert forge.said().count("certificates of the host") == len(VARIABLES) - 1
    assert "pip: /mine" in forge.said()
    image = forge.store.image(built.digest)
    assert "SSL_CERT_FILE" not in image.config.environment
    assert not (image.layers[0] / "dev").exists()
