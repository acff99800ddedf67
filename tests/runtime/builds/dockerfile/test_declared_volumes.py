"""Tests of [volumes.NAME] in slipway.toml: values, and errors that name the key and the remedy."""

from __future__ import annotations

import pytest

from runtime.contract.manifest import DeclaredVolume
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource
from tests.runtime.builds.app_files import toml


def test_every_key_of_a_volume_has_its_value():
    found = toml(
        '[volumes.uploads]\npath = "/data/"\nsize = "1G"\nprocesses = ["web"]\noverlap = true\n'
        '[volumes.cache]\npath = "/app/cache"\nsize = 67108864\n'
    )
    assert found.volumes == (
        DeclaredVolume(
            name="uploads", path="/data", size=Bytes(2**30), processes=("web",), overlap=True
        ),
        DeclaredVolume(name="cache", path="/app/cache", size=Bytes(2**26)),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[volumes.data]\nsize = "1G"', "volumes.data.path is missing"),
        ('[volumes.data]\npath = "/data"', "volumes.data.size is missing"),
        ('[volumes.data]\npath = "/data"\nsize = "1K"', "volumes.data.size is '1K'"),
        ('[volumes.data]\npath = "/data"\nsize = "9T"', "from 32 MiB to 8 TiB"),
        ('[volumes.data]\npath = "/app"\nsize = "1G"', "would hide the app's code"),
        ('[volumes.data]\npath = "/usr/share"\nsize = "1G"', "files of the system"),
        ('[volumes.data]\npath = "data"\nsize = "1G"', "use an absolute path"),
        ('[volumes.data]\npath = "/a/../b"\nsize = "1G"', "not a valid path"),
        ('[volumes.Data]\npath = "/data"\nsize = "1G"', "not a valid name"),
        ('[volumes.data]\npath = "/data"\nsize = "1G"\nprocesses = "web"', "processes is 'web'"),
        ('[volumes.data]\npath = "/data"\nsize = "1G"\nprocesses = ["a b"]', "cannot be a name"),
        ('[volumes.data]\npath = "/data"\nsize = "1G"\nmode = "ro"', "is not a known key"),
        ("[volumes]\ndata = 1", "volumes.data is 1"),
        (
            '[volumes.a]\npath = "/data"\nsize = "1G"\n[volumes.b]\npath = "/data/b"\nsize = "1G"',
            "overlaps the volume at /data",
        ),
        (
            "".join(
                f'[volumes.v{number}]\npath = "/data{number}"\nsize = "1G"\n'
                for number in range(11)
            ),
            "more than 10 volumes",
        ),
    ],
)
def test_an_invalid_volume_is_refused_with_its_key(text, words):
    with pytest.raises(BadSource) as refused:
        toml(text)
    assert words in refused.value.what, refused.value.what
