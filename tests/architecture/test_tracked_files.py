"""Committed files work on any machine: they name no registry host and no path of a developer's
computer.
"""

import re

import pytest

from tests.architecture.tree import ROOT, tracked

# Written in parts, so that this file does not find itself.
HOSTS = (
    "pypi" + r"\.org",
    "python" + r"hosted\.org",
    "registry" + r"\.npmjs",
    "deb" + r"\.debian\.org",
    "ftp" + r"\.debian\.org",
    "archive" + r"\.ubuntu\.com",
)
PATHS = (
    r"(?<![\w.])/wo" + "rk/",
    r"(?<![\w.])/opt/" + "(?:wheels|pypi)",
    r"/home/(?!app\b)\w+/",
    "/Us" + r"ers/\w+/",
    "/tmp/" + "slipway-dev",
    r"\.pye" + "nv",
)
FORBIDDEN = re.compile("|".join((*HOSTS, *PATHS)))


@pytest.mark.parametrize("path", tracked(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_registry_host_and_no_machine_path_is_committed(path):
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return  # a picture or an archive
    for number, line in enumerate(text.splitlines(), 1):
        found = FORBIDDEN.search(line)
        assert not found, (
            f"{path.relative_to(ROOT)}:{number} holds {found[0]!r}: settings of the machine decide"
            " that, not the repository"
        )


MOST_MODULES = 20
FOLDERS = sorted(
    {path.parent for path in tracked() if path.suffix == ".py" and path.name != "__init__.py"}
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_has_few_modules(folder):
    modules = [
        path
        for path in tracked()
        if path.parent == folder and path.suffix == ".py" and path.name != "__init__.py"
    ]
    assert len(modules) <= MOST_MODULES, (
        f"{folder.relative_to(ROOT)} has {len(modules)} modules; sort them into folders"
    )
