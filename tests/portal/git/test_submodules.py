"""Push commits that have git submodules, with the real git to a listening portal."""

from pathlib import Path

import pytest

from portal.builds.models import Build
from portal.errors import SourceRefused
from portal.gitserver.objects import Census
from tests.portal.conftest import People
from tests.portal.git.test_git import Checkout


def test_a_push_with_a_submodule_is_refused_with_its_folder_and_the_fix(
    tmp_path: Path, portal_url: str, committed_people: People
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "app").mkdir()
    library = Checkout(tmp_path / "lib", portal_url)
    library.commit(**{"lib.txt": "hi"})
    app = Checkout(tmp_path / "app", portal_url)
    app.git(
        *("-c", "protocol.file.allow=always"),
        *("submodule", "--quiet", "add", str(tmp_path / "lib"), "vendor/lib"),
    )
    app.commit()
    token = committed_people.token(committed_people.owner)
    pushed = app.push("hello", token)
    assert pushed.returncode != 0
    assert "remote: ! vendor/lib is a git submodule." in pushed.stderr, pushed.stderr
    assert "git rm --cached FOLDER" in pushed.stderr
    assert not Build.objects.exists()
    app.git("rm", "--quiet", "--cached", "vendor/lib")
    (tmp_path / "app" / "vendor" / "lib" / ".git").unlink()
    (tmp_path / "app" / ".gitmodules").unlink()
    app.commit("Copy the library")
    assert "vendor/lib/lib.txt" in app.git("ls-files").stdout, "the hint of the refusal works"


def test_control_characters_in_the_name_of_a_submodule_are_not_shown() -> None:
    record = b"160000 commit " + b"a" * 40 + b"       -\tvendor/\x1b[31mlib"
    with pytest.raises(SourceRefused, match=r"^vendor/\?\[31mlib is a git submodule"):
        Census(most_bytes=2**20).add(record)
