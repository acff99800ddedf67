"""An unpacked source in the workspace of its build. Only a confined helper reads and changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.builds.languages.detect import Source
from runtime.builds.manifest import load
from runtime.builds.source import archive, code
from runtime.confined import answers
from runtime.confined.session import Session
from runtime.contract.manifest import LARGEST, AppFile


@dataclass(frozen=True, slots=True)
class Checkout:
    """The source at `path`, a folder that Slipway made."""

    path: Path
    helper: Session

    def unpack(self, packed: Path, filename: str) -> archive.Unpacked:
        """Make the folder and unpack an archive, uploaded as `filename`, into it.

        BadArchive names the fault.
        """
        self.path.mkdir(mode=0o755)
        with packed.open("rb") as file, self.helper.tree(self.path, writable=True) as target:
            done = self.helper.call(archive.unpack, archive=file, filename=filename, target=target)
        answers.number(done.files, archive.MAX_ENTRIES)
        answers.number(done.size)
        return done

    def fill_from_layer(self, layer: Path, name: str) -> None:
        """Make the folder and fill it with a folder of a layer, which is then the source."""
        self.path.mkdir(mode=0o755)
        with self.helper.tree(layer) as made, self.helper.tree(self.path, writable=True) as target:
            self.helper.call(code.copy_output, made=made, name=name, into=target)

    def app_file(self) -> AppFile:
        """Read slipway.toml or app.json. BadSource names the fault."""
        with self.helper.tree(self.path) as tree:
            found = self.helper.call(code.read_app_files, tree=tree)
        answers.among(found, load.NAMES)
        return load.read({name: answers.at_most(data, LARGEST + 1) for name, data in found.items()})

    def source(self, app_file: AppFile) -> Source:
        """List the files, with the texts that determine how to build them."""
        with self.helper.tree(self.path) as tree:
            found = self.helper.call(code.read_source, tree=tree)
        answers.paths(found.files)
        answers.among(found.texts, found.files)
        return Source(files=found.files, texts=found.texts, app_file=app_file)

    def text(self, name: str, most: int) -> bytes | None:
        """Read at most `most` bytes of a file. None if there is no such file."""
        with self.helper.tree(self.path) as tree:
            data = self.helper.call(code.read_text_file, tree=tree, name=name, most=most)
        return None if data is None else answers.at_most(data, most)

    def read_files(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Read exactly these files. HelperFailed: the answer has others."""
        with self.helper.tree(self.path) as tree:
            found = self.helper.call(code.read_files, tree=tree, names=tuple(names))
        return answers.exactly(found, names)

    def digests(self) -> Mapping[str, bytes]:
        """Return a digest of every file by its name."""
        with self.helper.tree(self.path) as tree:
            found = self.helper.call(code.digest_files, tree=tree)
        answers.paths(found)
        return found

    def leave_out(self, names: Sequence[str]) -> None:
        """Remove top folders that the build makes again."""
        if names:
            with self.helper.tree(self.path, writable=True) as tree:
                self.helper.call(code.leave_out, tree=tree, names=tuple(names))

    def become_layer(self, place: Path) -> Path:
        """Move the source to the folder /app of a new tree at `place`, owned by the app's user."""
        place.mkdir(mode=0o755)
        self.path.rename(place / "app")
        with self.helper.tree(place, writable=True) as layer:
            self.helper.call(code.set_owner_and_times, layer=layer)
        return place
