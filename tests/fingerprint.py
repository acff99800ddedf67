"""A record of the host's state that no app, build or test may change, and its differences.

A record covers owners, modes, attributes and hashes of /etc. It also covers owners, modes and
entries of top-level folders and of program folders. It covers kernel settings, device files,
mounts, namespaces and cgroups. It covers firewall tables, listening sockets, users, groups, and the
state folder's own files. `LEFT_OUT` lists what is not compared, with the reason. A record takes
about 0.2 s.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.process import run

LEFT_OUT = {  # pattern of a name: why it is not compared
    r"file /etc/(mtab|resolv\.conf|hosts|adjtime|machine-id|fstab)": (
        "DHCP clients, and the host's own start, rewrite them at any time"
    ),
    r"file /etc/.*(~|\.dpkg-\w+|\.lock)": "locks and backups of the package manager and of useradd",
    r"file /etc/(passwd|group|shadow|gshadow|subuid|subgid)-": (
        "backups that useradd writes; the accounts are compared one by one"
    ),
    r"setting (kernel/random/|kernel/ns_last_pid|kernel/pty/nr|fs/(file-nr|inode|dentry|aio-nr|quota|mqueue|epoll)|kernel/cad_pid)": (  # noqa: E501
        "counters"
    ),
    r"setting (vm/stat_refresh|kernel/sched_domain/|kernel/keys/|fs/binfmt_misc/register)": (
        "reading them has an effect, or shows no value"
    ),
    r"mount /tmp/": "tools that make systems, such as mmdebstrap, mount there for a minute",
    r"setting kernel/(tainted|bootloader)": "a module that set-up loads may taint the kernel",
    r"folder /(tmp|run|proc|sys|dev|var/tmp)/": (
        "their entries belong to every program of the machine"
    ),
    r"folder /root/\.(cache|npm|config|local|gnupg|gitconfig|wget-hsts|bash_history|python_history)": (  # noqa: E501
        "package managers and shells write them"
    ),
    r"device /dev/(loop|pts|mqueue|shm|vcs|dm-|nbd|zram)": (
        "created and removed with disks and terminals"
    ),
}
_LEFT_OUT = re.compile("|".join(f"(?:{pattern})" for pattern in LEFT_OUT))
# Other platforms and test runs on this machine: a test's node is called `t` and six hex digits, an
# installed node `slipway`.
OTHERS = re.compile(
    r"(?<![0-9A-Za-z])t[0-9a-f]{6}(?![a-f]|[g-zG-Z])|/pytest-of-|/tmp/slipway-[a-z]+-|(?<![\w-])slipway(?:0|-\d+)?(?![\w-])"
)
TEST_INTERFACE = re.compile(r"t[0-9a-f]{6}")
ACCOUNTS = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
PROGRAMS = (
    "/usr",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/lib",
    "/boot",
    "/root",
    "/home",
    "/var",
    "/var/lib",
)
SETTINGS = ("kernel", "fs", "vm", "user")
PACKAGES = (Path("/var/lib/dpkg/status"), Path("/var/lib/rpm/rpmdb.sqlite"))
PACKAGED = re.compile(
    r"(file /etc/|folder /(usr|var|boot|lib|bin|sbin)|entry /(usr|var|boot|lib|bin|sbin)|account )"
)
KERNEL_OBJECTS = re.compile(r"(mount|cgroup|interface|table|network namespace|listening) ")


@dataclass(frozen=True, slots=True)
class Thing:
    """The compared facts of a file, folder or kernel object."""

    owner: str  # "root:root 0644"; empty for objects without an owner
    content: str  # a hash or a value; empty for objects that only have an owner


Fingerprint = dict[str, Thing]


def take(state: Path | None = None) -> Fingerprint:
    """Return a record of the host; with `state`, also of a platform's own files."""
    parts: list[Iterable[tuple[str, Thing]]] = [
        *(_files(folder) for folder in ("/etc",)),
        _folder("/"),
        *(_folder(folder) for folder in PROGRAMS),
        _packages(),
        _accounts(),
        _settings(),
        _devices(),
        _mounts(),
        _namespaces(),
        _cgroups(),
        _interfaces(),
        _tables(),
        _listening(),
        _state(state) if state is not None else (),
    ]
    return {name: thing for part in parts for name, thing in part if not _LEFT_OUT.match(name)}


def differences(
    before: Fingerprint, after: Fingerprint, *, kernel_objects: bool = True
) -> list[str]:
    """Return a line for each difference. Without `kernel_objects`, mounts and sockets are ignored.

    If packages were installed between the records, new and changed files of packages are not
    reported. Changed owners and modes still are.
    """
    installed = before.get("packages") != after.get("packages")
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new or name == "packages" or (not kernel_objects and KERNEL_OBJECTS.match(name)):
            continue
        if (
            installed
            and PACKAGED.match(name)
            and (old is None or new is None or old.owner == new.owner)
        ):
            continue
        lines.append(_described(name, old, new))
    return lines


def _described(name: str, old: Thing | None, new: Thing | None) -> str:
    if old is None or new is None:
        thing = old or new
        assert thing is not None
        return (
            f"{'added' if old is None else 'removed'}: {name}"
            f" ({' '.join(part for part in (thing.owner, thing.content) if part)})"
        )
    changes = [
        f"{before or 'nothing'} -> {after or 'nothing'}"
        for before, after in _fields(old, new)
        if before != after
    ]
    return f"changed: {name}: {', '.join(changes)}"


def _fields(old: Thing, new: Thing) -> tuple[tuple[str, str], tuple[str, str]]:
    return (old.owner, new.owner), (old.content, new.content)


def _files(top: str) -> Iterator[tuple[str, Thing]]:
    """Yield every file and folder below `top`.

    Account files have only their owner here: their lines are compared one by one.
    """
    by_lines = {f"{top}/{name}" for name in ACCOUNTS}
    for folder, _, files in os.walk(top):
        yield f"file {folder}", Thing(_owner(os.lstat(folder)), "folder")
        for name in files:
            path = f"{folder}/{name}"
            found = _looked_at(path, whole=path not in by_lines)
            if found is not None:
                yield f"file {path}", found
        for entry in _listed(folder):
            if entry.is_symlink():
                yield (
                    f"file {entry.path}",
                    Thing(
                        _owner(entry.stat(follow_symlinks=False)),
                        f"link to {Path(entry.path).readlink()}",
                    ),
                )


def _folder(top: str) -> Iterator[tuple[str, Thing]]:
    """Yield the folder, and its entries' owners, modes and types."""
    if not Path(top).is_dir():
        return
    yield f"folder {top}", Thing(_owner(Path(top).stat()), "")
    for entry in _listed(top):
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # it was removed in the meantime
        size = (
            f" of {found.st_size} bytes"
            if stat.S_ISREG(found.st_mode) and not top.startswith("/var") and top != "/root"
            else ""
        )
        yield (
            f"folder {top.rstrip('/')}/{entry.name}",
            Thing(_owner(found), f"{_kind(found)}{size}"),
        )


def _listed(folder: str) -> list[os.DirEntry[str]]:
    """Return a folder's entries; none if this user may not read it."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        return []


def _looked_at(path: str, *, whole: bool) -> Thing | None:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return Thing(_owner(found), _kind(found))
        attributes = " ".join(os.listxattr(path, follow_symlinks=False))
        digest = (
            hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest() if whole else ""
        )
        return Thing(_owner(found), f"{digest} {attributes}".strip())
    except FileNotFoundError:
        return None  # it was removed in the meantime
    except PermissionError:
        return Thing("", "not readable by this user")


def _owner(found: os.stat_result) -> str:
    return f"{found.st_uid}:{found.st_gid} {stat.S_IMODE(found.st_mode):04o}"


def _kind(found: os.stat_result) -> str:
    kinds: dict[str, Callable[[int], bool]] = {
        "folder": stat.S_ISDIR,
        "link": stat.S_ISLNK,
        "file": stat.S_ISREG,
    }
    return next(
        (name for name, is_kind in kinds.items() if is_kind(found.st_mode)),
        f"special file {found.st_rdev}",
    )


def _packages() -> Iterator[tuple[str, Thing]]:
    for path in PACKAGES:
        if path.exists():
            yield "packages", Thing("", f"{path.stat().st_mtime_ns}")


def _accounts() -> Iterator[tuple[str, Thing]]:
    for user in pwd.getpwall():
        yield (
            f"account {user.pw_name}",
            Thing(f"{user.pw_uid}:{user.pw_gid}", f"{user.pw_dir} {user.pw_shell}"),
        )
    for group in grp.getgrall():
        yield f"account group {group.gr_name}", Thing(f"{group.gr_gid}", " ".join(group.gr_mem))
    for name in ("shadow", "subuid", "subgid"):
        path = Path("/etc") / name
        for line in path.read_text().splitlines() if os.access(path, os.R_OK) else ():
            digest = hashlib.blake2b(line.encode(), digest_size=8).hexdigest()
            yield f"account {name} {line.partition(':')[0]}", Thing("", digest)


def _settings() -> Iterator[tuple[str, Thing]]:
    for area in SETTINGS:
        for folder, _, files in os.walk(f"/proc/sys/{area}"):
            for name in files:
                path = Path(folder) / name
                title = f"setting {path.relative_to('/proc/sys')}"
                if _LEFT_OUT.match(title):
                    continue
                try:
                    yield title, Thing("", path.read_text(errors="replace").strip())
                except OSError:
                    continue  # it is write-only, or not readable by this user


def _devices() -> Iterator[tuple[str, Thing]]:
    for entry in os.scandir("/dev"):
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(found.st_mode):
            yield f"device /dev/{entry.name}", Thing(_owner(found), _kind(found))


def _mounts() -> Iterator[tuple[str, Thing]]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, source = line.split(), line.rpartition(" - ")[2]
        name = f"mount {fields[4]}"
        if not OTHERS.search(f"{name} {source}"):
            yield name, Thing("", f"{source.split()[0]} {fields[5]}")


def _namespaces() -> Iterator[tuple[str, Thing]]:
    for entry in _listed("/proc/1/ns"):
        try:
            yield (
                f"namespace of process 1: {entry.name}",
                Thing("", str(Path(entry.path).readlink())),
            )
        except PermissionError:
            break  # only root may look
    for name in _entries("/run/netns"):
        if not OTHERS.search(name):
            yield f"network namespace {name}", Thing("", "")


def _cgroups() -> Iterator[tuple[str, Thing]]:
    """Yield the top of each hierarchy. Groups below belong to the program that created them."""
    root = Path("/sys/fs/cgroup")
    hierarchies = (
        [root, *(path for path in root.iterdir() if path.is_mount())] if root.exists() else []
    )
    for hierarchy in hierarchies:
        for path in hierarchy.iterdir():
            if path.is_dir() and not path.is_symlink() and not OTHERS.search(path.name):
                yield f"cgroup {path}", Thing(_owner(path.stat()), "")
        agent = hierarchy / "release_agent"
        if agent.exists():
            yield f"cgroup {agent}", Thing("", agent.read_text().strip())


def _interfaces() -> Iterator[tuple[str, Thing]]:
    for name in _entries("/sys/class/net"):
        if not OTHERS.search(name) and not TEST_INTERFACE.match(name):
            yield f"interface {name}", Thing("", "")


def _tables() -> Iterator[tuple[str, Thing]]:
    if shutil.which("nft") is None or os.geteuid() != 0:
        return
    for line in run(["nft", "list", "tables"], check=False).stdout.decode().splitlines():
        if OTHERS.search(line):
            continue
        rules = run(["nft", "--stateless", "list", *line.split()], check=False).stdout
        yield f"table {line}", Thing("", hashlib.blake2b(rules, digest_size=8).hexdigest())


def _listening() -> Iterator[tuple[str, Thing]]:
    """Yield sockets below port 1024, and those of a user id that only apps have.

    Other sockets change with the machine's programs.
    """
    for kind, state in (
        ("tcp", "0A"),
        ("tcp6", "0A"),
        ("udp", "07"),
        ("udp6", "07"),
        ("raw", "07"),
        ("raw6", "07"),
    ):
        path = Path("/proc/net") / kind
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            watched = int(port, 16) < 1024 or int(fields[7]) > 65535
            if fields[3] == state and watched and not _of_an_app_network(address):
                yield f"listening {kind} {address}:{int(port, 16)}", Thing(f"uid {fields[7]}", "")


def _of_an_app_network(address: str) -> bool:
    """Return whether the address is in 10.200.0.0 to 10.249.255.255.

    Nodes and tests give these addresses to bridges (tests/ranges.py).
    """
    return len(address) == 8 and address.endswith("0A") and 200 <= int(address[4:6], 16) < 250


def _state(state: Path) -> Iterator[tuple[str, Thing]]:
    """Yield owners and modes of a platform's own folders, and its keys.

    Apps' entries in them are not compared.
    """
    for path in sorted(state.iterdir()):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            yield f"state {path.name}", Thing(_owner(found), "folder")
    for path in sorted((state / "secrets").iterdir()):
        yield f"state secrets/{path.name}", _looked_at(str(path), whole=True) or Thing("", "")


def _entries(folder: str) -> list[str]:
    try:
        return [path.name for path in Path(folder).iterdir()]
    except FileNotFoundError:
        return []
