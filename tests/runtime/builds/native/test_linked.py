"""Tests of the libraries that built files link to, with extension modules of this Python."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from runtime.builds.native import linked
from runtime.stacks.languages import libraries, libraries_named
from runtime.trees.folder import Folder


@pytest.fixture
def module() -> Path:
    """Return an extension module that links to libffi."""
    spec = importlib.util.find_spec("_ctypes")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def needed(tree: Path) -> dict[str, str]:
    with Folder.at(tree) as top:
        return linked.needed(top)


def test_an_extension_module_needs_its_libraries_except_those_next_to_it(
    tmp_path: Path, module: Path
) -> None:
    shutil.copy(module, tmp_path / "a.so")
    found = needed(tmp_path)
    libffi = next(name for name in found if name.startswith("libffi.so"))
    assert found[libffi] == "a.so"
    (tmp_path / "a.libs").mkdir()
    (tmp_path / "a.libs" / libffi).write_text("")
    assert libffi not in needed(tmp_path)


def test_programs_in_bin_are_read_and_other_files_are_not(tmp_path: Path, module: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(module, tmp_path / "data")
    assert needed(tmp_path) == {}
    shutil.copy(module, tmp_path / "bin/server")
    (tmp_path / "bin/server").chmod(0o755)
    assert set(needed(tmp_path).values()) == {"bin/server"}


def test_a_damaged_file_needs_nothing_and_stops_nothing(tmp_path: Path, module: Path) -> None:
    data = module.read_bytes()
    for number, size in enumerate((4, 16, 63, 64, 100, 500, 1000, len(data) // 2)):
        (tmp_path / f"short{number}.so").write_bytes(data[:size])
        broken = bytearray(data)
        broken[16 + number : 64] = b"\xff" * (48 - number)
        (tmp_path / f"broken{number}.so").write_bytes(bytes(broken))
    (tmp_path / "text.so").write_text("INPUT(-lfoo)")
    needed(tmp_path)
    shutil.copy(module, tmp_path / "whole.so")
    assert "whole.so" in needed(tmp_path).values()


def test_libraries_are_looked_up_in_the_layers_and_in_dpkgs_lists(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (folder / "libpq.so.5").write_text("")
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "libpq5:amd64.list").write_text("/.\n/usr/lib/x86_64-linux-gnu/libpq.so.5\n")
    (info / "libpq-doc.list").write_text("/usr/share/doc/libpq.so.5\n")
    names = ("libodd.so.1", "libpq.so.5")
    with Folder.at(tmp_path) as layer:
        assert linked.absent((layer,), names) == ("libodd.so.1",)
        assert linked.owners(layer, names) == {"libpq.so.5": "libpq5"}


def test_a_layer_of_libraries_is_found_again_by_its_name() -> None:
    made = libraries(("libstdc++6", "libpq5", "libpq5"))
    assert made.name == "libraries-libpq5,libstdc++6"
    assert libraries_named(made.name) == made
    assert libraries_named("python-3.13") is None


@pytest.mark.parametrize(
    "name",
    ["", "x", "./evil.deb", "/tmp/evil.deb", "a b", "?essential", "~n.", "a=1", "a/sid", "A", "a-"],
)
def test_only_names_of_debian_packages_become_a_layer(name: str) -> None:
    assert libraries_named(f"libraries-libpq5,{name}") is None
    with pytest.raises(ValueError, match="not the name of a Debian package"):
        libraries(("libpq5", name))
