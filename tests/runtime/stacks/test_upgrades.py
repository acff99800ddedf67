"""Tests of moving an image to a newer version of its stack: allowed and refused upgrades, their
reasons and results.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.images.catalogue import Catalogue
from runtime.images.digest import Digest
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.store import Store
from runtime.stacks.builder import ensure_bare, ensure_runtime
from runtime.stacks.definition import DEBIAN_13, GIT, NODE_DEFAULT, PYTHON, STACKS, node
from runtime.stacks.foundation import LABEL, Foundation, foundation_of
from runtime.stacks.languages import php
from runtime.stacks.packages.package_manager import PackageManager
from runtime.stacks.upgrade import Upgrade, upgrade
from runtime.stacks.upgrade_facts import find
from runtime.stacks.versions import identity_of, newest, record, versions
from runtime.trees.folder import Folder


@dataclass
class Yard:
    """A store with small versions of the real stack.

    Each has a few files, in the form that packages leave.
    """

    config: NodeConfig
    store: Store
    folder: Path

    def layer(self, **files: str | None) -> Layer:
        """Add a layer of files. In a path, __ means /; None marks a deleted file."""
        tree = self.folder / "tree"
        tree.mkdir()
        for name, text in files.items():
            path = tree / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            else:
                path.write_text(text)
        return self.store.add_layer(tree, move=True)

    def version(
        self,
        at: float,
        *,
        ssl: str = "3.5.1-1",
        passwd: str = "root",
        soname: str = "libssl 3 libssl3t64\n",
        codename: str = "trixie",
    ) -> Layer:
        """Record one more version of debian-13, built at the time `at`, and of Python on it."""
        packages = [("libc6", "2.41-12"), ("libssl3t64", ssl)]
        layer = self.layer(
            usr__lib__libssl=f"code of {ssl}",
            etc__passwd=passwd,
            **{
                "usr__lib__os-release": f"VERSION_CODENAME={codename}\n",
                "var__lib__dpkg__status": "\n".join(
                    f"Package: {name}\nStatus: install ok installed\nVersion: {number}\n"
                    for name, number in packages
                ),
                "var__lib__dpkg__info__libssl3t64_DOT_shlibs": soname,
            },
        )
        record(self.config, "debian-13", identity_of(DEBIAN_13), layer, {}, now=at)
        python = self.layer(usr__bin__python3=f"python for {ssl}", usr__bin__at=str(at))
        record(
            self.config,
            "python-3.13",
            identity_of(PYTHON["3.13"], layer.diff_id),
            python,
            {},
            now=at,
        )
        return layer

    def app(self, **files: str | None) -> Digest:
        """Return an image on the newest version, with Python."""
        base = self.newest(identity_of(DEBIAN_13))
        python = self.newest(identity_of(PYTHON["3.13"], base.diff_id))
        label = Foundation(stack="debian-13", runtimes=("python-3.13",), layers=2).label()
        config = ImageConfig(environment={"A": "1"}, command=("run",), labels={**label, "own": "x"})
        digest = self.store.write_image(
            [base, python, self.layer(opt__venv__x="deps"), self.layer(**files)],
            config,
            {"note": "kept"},
        )
        self.store.tag("shop:v1", digest)
        return digest

    def newest(self, identity: str) -> Layer:
        found = newest(self.config, self.store, identity)
        assert found is not None
        return found[1]

    def upgrade(self, digest: Digest) -> Upgrade:
        return upgrade(
            self.config,
            self.store,
            digest,
            progress=lambda line: pytest.fail(f"nothing should be built: {line}"),
        )


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    config = NodeConfig(name="tupgrade", state=tmp_path / "state")
    filled = Yard(config, Store(config), tmp_path)
    filled.version(1_000_000.0)
    return filled


def test_an_upgrade_replaces_the_lowest_layers_and_keeps_the_others(yard: Yard) -> None:
    # The same in both versions, so nothing is hidden.
    old = yard.app(app__code="hello", etc__passwd="root")
    base = yard.version(2_000_000.0, ssl="3.5.4-1")
    done = yard.upgrade(old)
    assert done.reasons == ()
    assert done.image is not None
    before, after = yard.store.layers_of(old), yard.store.layers_of(done.image)
    assert after[0] == base
    assert after[1] != before[1], "the Python of the new version"
    assert after[2:] == before[2:], "the same layers, without a new build"
    settings = [
        yard.store.configuration(yard.store.manifest(digest))[0] for digest in (old, done.image)
    ]
    assert settings[0] == replace(settings[1], history=())  # the history is checked below
    assert yard.store.manifest(done.image).annotations == {"note": "kept"}
    assert (done.before, done.after) == (
        f"19700112-{before[0].diff_id.hex[:12]}",
        f"19700124-{base.diff_id.hex[:12]}",
    )
    yard.store.tag("shop:v2", done.image)
    stories = [step.created_by for step in Catalogue(yard.config, yard.store).history(done.image)]
    assert stories[-1] == f"debian-13 {done.after}, upgraded from {done.before}"
    assert stories[0] == "App code"
    again = yard.upgrade(done.image)
    assert (again.image, again.reasons) == (None, ())
    assert "already uses the newest version of debian-13" in again.explain()


def test_an_upgrade_includes_all_languages_and_tools(yard: Yard) -> None:
    tool, served = PackageManager(tool="pnpm", version="9.15.9"), php("8.4", frozenset({"gd"}))
    tools = yard.layer(opt__pnpm="pnpm"), yard.layer(opt__node="node")
    for definition, layer in zip((tool, node(NODE_DEFAULT)), tools, strict=True):
        record(yard.config, definition.name, identity_of(definition), layer, {}, now=1.0)
    made = []
    for at, ssl in ((2_000_000.0, "3.5.1-1"), (3_000_000.0, "3.5.4-1")):
        base = yard.version(at, ssl=ssl)
        language = yard.layer(usr__bin__php=f"php for {ssl}")
        record(yard.config, served.name, identity_of(served, base.diff_id), language, {}, now=at)
        made.append((base, language, *reversed(tools)))
    label = Foundation(
        stack="debian-13", runtimes=(served.name, f"node-{NODE_DEFAULT}", tool.name), layers=4
    ).label()
    image = yard.store.write_image(
        [*made[0], code := yard.layer(app__x="code")], ImageConfig(labels=label)
    )
    done = yard.upgrade(image)
    assert done.reasons == ()
    assert done.image is not None
    assert yard.store.layers_of(done.image) == (*made[1], code)


def test_an_image_whose_language_moved_to_another_stack_is_not_upgraded(yard: Yard) -> None:
    old = yard.app(app__x="x")
    yard.config.stacks.mkdir()
    moved = (
        'name = "company-1"\nsuite = "trixie"\n[languages.python]\nversion = "3.13"\npackages ='
        ' ["python3"]\n'
    )
    (yard.config.stacks / "company-1.toml").write_text(moved)
    assert (
        "no longer has the stack or a language of the image: debian-13, python-3.13"
        in yard.upgrade(old).explain()
    )


def test_a_tool_comes_from_the_stack_to_which_it_is_added(yard: Yard) -> None:
    older = STACKS["debian-12"]
    base, git = yard.layer(usr__lib__x="bookworm"), yard.layer(usr__bin__git="bookworm")
    record(yard.config, older.name, identity_of(older), base, {}, now=1.0)
    record(
        yard.config,
        GIT.name,
        identity_of(replace(GIT, stack=older), base.diff_id),
        git,
        {},
        now=1.0,
    )
    assert ensure_runtime(yard.config, yard.store, GIT, older, pytest.fail) == [base, git]


def test_a_bare_image_has_the_certificates_of_the_newest_version(yard: Yard) -> None:
    found = []
    for at, text in ((2_000_000.0, "old"), (3_000_000.0, "renewed")):
        files = {
            "etc__ssl__certs__ca-certificates_DOT_crt": text,
            "etc__passwd": "root",
            "etc__group": "root",
        }
        record(yard.config, "debian-13", identity_of(DEBIAN_13), yard.layer(**files), {}, now=at)
        bare = [
            ensure_bare(yard.config, yard.store, DEBIAN_13, lambda line: None) for _ in range(2)
        ]
        assert bare[0] == bare[1], "it is reused"
        found.append(
            (yard.store.unpacked(bare[0]) / "etc/ssl/certs/ca-certificates.crt").read_text()
        )
    assert found == ["old", "renewed"]


@pytest.mark.parametrize(
    ("files", "change", "reason"),
    [
        (
            {"etc__passwd": "root and app"},
            {"passwd": "root and more"},
            "replace files that the new stack changes: /etc/passwd",
        ),
        (
            {"usr__lib__libssl": None},
            {},
            "replace files that the new stack changes: /usr/lib/libssl",
        ),
        ({"usr__lib": "a file"}, {}, "replace files that the new stack changes: /usr/lib."),
        ({"var__lib__dpkg__status": "more"}, {}, "contain packages installed by apt or dpkg"),
        ({"app__x": "x"}, {"soname": "libssl 4 libssl4\n"}, "have another ABI: libssl 3"),
        ({"app__x": "x"}, {"ssl": "3.0.9-1"}, "libssl3t64 from 3.5.1-1 to 3.0.9-1"),
        (
            {"app__x": "x"},
            {"codename": "forky"},
            "was built from trixie and is built from forky now",
        ),
    ],
)
def test_a_refused_upgrade_says_why_and_writes_nothing(
    yard: Yard, files: dict[str, str | None], change: dict[str, str], reason: str
) -> None:
    old = yard.app(**files)
    yard.version(2_000_000.0, **{"ssl": "3.5.4-1", **change})  # type: ignore[arg-type]
    listed = yard.store.index.read()
    done = yard.upgrade(old)
    assert done.image is None
    assert reason in done.explain()
    assert "Deploy its source again" in done.explain()
    assert yard.store.index.read() == listed


def test_an_image_without_a_known_stack_is_not_upgraded(yard: Yard) -> None:
    stranger = yard.store.write_image([yard.layer(x="y")], ImageConfig())
    assert "not built on a stack of this node" in yard.upgrade(stranger).explain()
    gone = ImageConfig(labels=Foundation(stack="beos-5", runtimes=(), layers=1).label())
    assert (
        "no longer has the stack"
        in yard.upgrade(yard.store.write_image([yard.layer(x="y")], gone)).explain()
    )


@pytest.mark.parametrize(
    "runtimes",
    [
        ("npm-1.2.3",),
        ("node-22.23.3",),
        ("libraries-libevil1",),
        ("python-3.14",),
        ("python-3.13", "npm-1.2.3"),
        ("php-8.4-evil",),
        (),
    ],
)
def test_an_image_is_upgraded_only_if_this_node_built_its_lowest_layers(
    yard: Yard, runtimes: tuple[str, ...]
) -> None:
    base = yard.newest(identity_of(DEBIAN_13))
    own = yard.layer(usr__bin__npm="of a team")
    layers = [base, own]
    if runtimes[:1] == ("python-3.13",):
        layers.insert(1, yard.newest(identity_of(PYTHON["3.13"], base.diff_id)))
    yard.version(2_000_000.0)
    for count in range(1, len(layers) + 1):
        if runtimes or count > 1:  # the stack alone is a true foundation
            label = Foundation(stack="debian-13", runtimes=runtimes, layers=count).label()
            written = yard.store.write_image(layers, ImageConfig(labels=label))
            done = yard.upgrade(written)
            assert done.image is None
            assert done.reasons, count
    upside_down = Foundation(stack="debian-13", runtimes=(), layers=1).label()
    image = yard.store.write_image([own, base], ImageConfig(labels=upside_down))
    assert "are not ones that this node built for debian-13" in yard.upgrade(image).explain()


@pytest.mark.parametrize(
    "runtime",
    [
        "npm-1.2.3@github.com:evil/repo",
        "npm-1.2.3-x.tgz",
        "npm-1.2.3 evil",
        "libraries-./evil.deb",
        "libraries-",
        "node-\u0661.2.3",
    ],
)
def test_a_name_that_no_runtime_of_this_node_can_have_is_not_built(
    yard: Yard, runtime: str
) -> None:
    label = Foundation(stack="debian-13", runtimes=(runtime,), layers=2).label()
    base = yard.newest(identity_of(DEBIAN_13))
    recorded = yard.layer(usr__bin__npm="of an earlier release")
    record(yard.config, runtime, "0" * 64, recorded, {}, now=1.0)
    image = yard.store.write_image([base, recorded], ImageConfig(labels=label))
    assert "no longer has the stack or a language" in yard.upgrade(image).explain()


@pytest.mark.parametrize(
    "label",
    [
        "",
        "{",
        "[]",
        '{"stack": "x"}',
        '{"stack": "x", "runtimes": [], "layers": 0}',
        '{"stack":1,"runtimes":5,"layers":1}',
        '{"stack": "x", "runtimes": [1], "layers": 1}',
        '{"stack": "x", "runtimes": [], "layers": 2}',
        '{"stack": "x", "runtimes": [], "layers": Infinity}',
        '{"stack": "x", "runtimes": [], "layers": 1.5}',
        json.dumps({"stack": "x", "runtimes": ["git"] * 17, "layers": 1}),
        "[" * 10_000,
        " " * 20_000,
    ],
)
def test_an_invalid_label_is_ignored(label: str) -> None:
    assert foundation_of({LABEL: label}) is None


def test_a_version_is_identified_by_its_content_and_the_newest_is_used(yard: Yard) -> None:
    identity = identity_of(DEBIAN_13)
    first = yard.newest(identity)
    second = yard.version(2_000_000.0, ssl="3.5.4-1")
    assert yard.newest(identity) == second
    assert [row.diff_id for row in versions(yard.config) if row.identity == identity] == [
        second.diff_id,
        first.diff_id,
    ]
    record(yard.config, "debian-13", identity, second, {}, now=3_000_000.0)
    assert len([row for row in versions(yard.config) if row.identity == identity]) == 2
    shutil.rmtree(yard.config.layers / second.diff_id.hex)
    (yard.config.layers / f"{second.diff_id.hex}.json").unlink()
    assert yard.newest(identity) == first, "a version without its layer counts as not built"


def test_a_path_is_found_where_the_overlay_shows_it(yard: Yard, tmp_path: Path) -> None:
    def show(name: str) -> str | None:
        place = find(layers, name)
        return place.layer.read(place.name, 99).decode() if place else None

    below = yard.store.unpacked(yard.layer(a__x="below", a__y="below", b__z="below", c="below"))
    middle = yard.store.unpacked(yard.layer(a__x="middle", a__y=None, b="a file now"))
    opaque = tmp_path / "opaque"
    (opaque / "a").mkdir(parents=True)
    (opaque / "a" / "new").write_text("top")
    os.setxattr(opaque / "a", "user.overlay.opaque", b"y")
    layers = [Folder.at(path) for path in (middle, below)]
    assert [show(name) for name in ("a/x", "a/y", "b/z", "b", "c", "d")] == [
        "middle",
        None,
        None,
        "a file now",
        "below",
        None,
    ]
    layers = [Folder.at(path) for path in (opaque, middle, below)]
    assert [show(name) for name in ("a/x", "a/new", "c")] == [None, "top", "below"]
