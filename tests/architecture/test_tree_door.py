"""Tests that code reaches tenants' file trees through runtime/trees only.

A file that uses path strings is in ALLOWED or WRITES, with the reason why it is safe. The test
does not look at `mkdir`, `rename`, `unlink` and `touch`: methods of runtime.trees.folder and of
other classes have the same names. It cannot see where a name comes from. So values of a helper are
checked by runtime/confined/answers.py.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "runtime").rglob("*.py"))

OF_MODULES = {
    "os": {
        "walk",
        "fwalk",
        "scandir",
        "listdir",
        "chown",
        "lchown",
        "chmod",
        "symlink",
        "link",
        "mknod",
        "mkfifo",
        "removexattr",
        "setxattr",
    },
    "shutil": {
        "copy",
        "copy2",
        "copyfile",
        "copymode",
        "copystat",
        "copytree",
        "move",
        "rmtree",
        "chown",
        "unpack_archive",
    },
    "tarfile": {"open"},
}
OF_PATHS = {
    "chmod",
    "lchmod",
    "rglob",
    "symlink_to",
    "hardlink_to",
    "link_to",
}  # methods of pathlib.Path
WRITING = {"write_bytes", "write_text"}  # the same
PROGRAMS = {"cp", "rm", "mv", "tar", "chown", "chmod", "unzip", "find"}

# Each file that may use path strings, and why no tenant chose a name in those paths.
ALLOWED = {
    "runtime/trees/": "the door itself",
    "runtime/confined/probe.py": "tries what a helper must not be able to do",
    "runtime/builds/builder.py": (
        "the mode of the folder of workspaces, whose names the node chooses"
    ),
    "runtime/builds/packages/cache.py": (
        "the owner of a team's cache folder, which is named by the team's number"
    ),
    "runtime/builds/install_steps.py": (
        "files that the node writes for a step, by names that the plan requested: a helper returns"
        " them, and `answers.exactly` and `answers.paths` check them"
    ),
    "runtime/builds/dockerfile/run/cache_mounts.py": (
        "the owner and mode of a cache mount's own folder, whose name the node chooses"
    ),
    "runtime/builds/dockerfile/run/container.py": (
        "the owner and mode of a secret's file and of a script, whose names the node chooses"
    ),
    "runtime/containers/creation.py": (
        "upper, tmp and the files of etc in a container's own folder, before anything runs in it"
    ),
    "runtime/containers/lifecycle.py": "folders of the state, and pins of namespaces",
    "runtime/containers/traversal.py": (
        "the state folder and its parents, whose names the operator chose"
    ),
    "runtime/containers/monitor.py": (
        "folders of the OCI runtime, which are named by a container's id"
    ),
    "runtime/containers/removal.py": (
        "a container's own folder after everything in it is unmounted: the node chose the remaining"
        " names"
    ),
    "runtime/containers/cgroups/cgroup.py": "control groups, in a file system of the kernel's",
    "runtime/containers/cgroups/delegation.py": "the same",
    "runtime/volumes/": (
        "files of a volume's own folder, and the folder `data` in the root of its file system: the"
        " node chose these names, and a tenant sees only what is below `data`"
    ),
    "runtime/logs/logfile.py": (
        "a log of an app, by the app's name, before any other process can open it"
    ),
    "runtime/images/disk.py": "what skopeo downloads, by digests, in a folder that belongs to root",
    "runtime/images/exchange/published.py": "folders of hard links to blobs, by digests",
    "runtime/images/exchange/gzip_copies.py": "the same, and copies of blobs",
    "runtime/images/exchange/ownership.py": "blobs by their digests, by an open file",
    "runtime/images/store.py": "the modes of the store's own folders and blobs",
    "runtime/images/exchange/transfer.py": "a link that the node makes to the store's blobs",
    "runtime/router/": "files of the router",
    "runtime/stacks/": (
        "root file systems of the distribution's packages, or of an image that the operator names"
    ),
    "runtime/packages.py": "a policy file of the package manager, while set-up runs",
    "runtime/loop_device.py": "device nodes of loop devices, by number",
    "runtime/host.py": "looks at the machine",
}

# Each further file that may write a file by its path, and why no tenant chose a name in the path.
WRITES = {
    "runtime/images/exchange/gzip_copies.py": "a new file in a folder that belongs to root",
    "runtime/builds/packages/sources.py": "a settings file of a tool, whose name the node chooses",
    "runtime/containers/cgroups/v2.py": "control groups, in a file system of the kernel's",
    "runtime/containers/disk/scratch.py": "an empty template, named by its size",
    "runtime/containers/execution.py": "a description in a container's own folder, named by its id",
    "runtime/containers/userns.py": "id maps in /proc, by the number of a process",
    "runtime/images/store.py": "a blob in a new folder of the store, with a fixed name",
    "runtime/network/interfaces.py": "settings of the kernel in /proc/sys",
}


def writes(source: str) -> list[tuple[int, str]]:
    """Return the line and name of each call that writes a file by its path."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in WRITING:
                found.append((node.lineno, f".{name}"))
            case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open")) if any(
                isinstance(word, ast.Constant)
                and isinstance(word.value, str)
                and set(word.value) & set("wax+")
                and set(word.value) <= set("rwaxbt+")
                for word in (*node.args[:2], *(key.value for key in node.keywords))
            ):
                found.append((node.lineno, "open() for writing"))
    return found


def uses(source: str) -> list[tuple[int, str]]:
    """Return the line and name of each operation on a path string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (
                name in OF_MODULES.get(module, ())
            ):
                if not any(word.arg in ("dir_fd", "src_dir_fd") for word in node.keywords):
                    found.append((node.lineno, f"{module}.{name}"))
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in OF_PATHS:
                if not (isinstance(value, ast.Name) and value.id in ("os", "ast")):
                    found.append((node.lineno, f".{name}"))
            case ast.List(elts=[*words]) | ast.Tuple(elts=[*words]):
                programs = [
                    word.value
                    for word in words
                    if isinstance(word, ast.Constant) and word.value in PROGRAMS
                ]
                if programs and (
                    isinstance(words[0], ast.Constant)
                    and words[0].value in {*programs, "setpriv", "env", "nice"}
                ):
                    found.append((node.lineno, f"the program {programs[0]}"))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_path_operations_never_use_a_name_chosen_by_a_tenant(path):
    place = str(path.relative_to(ROOT))
    if any(place.startswith(room) for room in ALLOWED):
        return
    wrong = [f"{place}:{line} uses {name}" for line, name in uses(path.read_text())]
    assert not wrong, (
        f"{wrong}: use runtime.trees.folder in a confined helper, or say in ALLOWED why no tenant"
        " chose a name there"
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_known_modules_write_files_by_path(path):
    place = str(path.relative_to(ROOT))
    if any(place.startswith(room) for room in (*ALLOWED, *WRITES)):
        return
    wrong = [f"{place}:{line} uses {name}" for line, name in writes(path.read_text())]
    assert not wrong, (
        f"{wrong}: use runtime.trees.folder in a confined helper, or runtime.journal, or say in"
        " WRITES why no tenant chose a name there"
    )


@pytest.mark.parametrize(
    "planted",
    [
        "(folder / name).write_bytes(data)\n",
        "path.write_text(text)\n",
        'open(folder / name, "w").write(text)\n',
        'open(path, mode="ab")\n',
        '(folder / name).open("xb")\n',
        'with path.open("rb+") as file: pass\n',
        'io.open(path, "r+")\n',
    ],
)
def test_a_planted_write_is_found(planted):
    assert writes(planted)


@pytest.mark.parametrize("planted", ['path.open("rb")\n', "open(path)\n", 'jar.open("META")\n'])
def test_reading_is_not_found_as_a_write(planted):
    assert not writes(planted)


@pytest.mark.parametrize(
    "planted",
    [
        "import os\nfor a, b, c in os.walk(tree): pass\n",
        "import shutil\nshutil.rmtree(tree / name)\n",
        "import shutil\nshutil.copyfile(a, b)\n",
        "import os\nos.chown(path, 0, 0)\n",
        "(tree / name).chmod(0o755)\n",
        "list(tree.rglob('*'))\n",
        "place.symlink_to(text)\n",
        "import tarfile\ntarfile.open(path)\n",
        'process.run(["setpriv", "--pdeathsig", "KILL", "cp", "-a", source, into])\n',
        'process.run(["rm", "-rf", path])\n',
    ],
)
def test_a_planted_path_operation_is_found(planted):
    assert uses(planted)


def test_every_allowed_path_exists():
    places = [str(path.relative_to(ROOT)) for path in SOURCES]
    rooms = (*ALLOWED, *WRITES)
    assert [room for room in rooms if not any(place.startswith(room) for place in places)] == []


def test_every_module_in_writes_writes_a_file():
    assert [place for place in WRITES if not writes((ROOT / place).read_text())] == []
