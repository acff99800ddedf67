"""What a team may hold of the kernel's accounts by user: pending signals, locked memory, message queues, inotify, namespaces.

The kernel counts these by user and adds them up along the owners of user namespaces (user_namespaces(7), getrlimit(2)). A team's
namespace is owned by the team's own first id, so its sum is the team's own and never that of the host or of another team.
"""

from __future__ import annotations

import resource
from pathlib import Path

from runtime.process import run

# The same for one process and for all of a team's together: the kernel compares both with one count.
RESOURCES = {
    "RLIMIT_MEMLOCK": 8 * 2**20,  # bytes; the kernel's own default
    "RLIMIT_MSGQUEUE": 819_200,  # bytes; the kernel's own default
    "RLIMIT_NPROC": 65_536,  # the team's control group holds it lower
    "RLIMIT_SIGPENDING": 8192,  # queued signals and timers
}
_NAMESPACES = 4096  # of each kind: an instance or a build step takes one
_SETTINGS = {
    "max_user_namespaces": 0,  # nothing makes one inside another
    "max_time_namespaces": 0,
    "max_fanotify_groups": 0,
    "max_fanotify_marks": 0,
    **{f"max_{kind}_namespaces": _NAMESPACES for kind in ("cgroup", "ipc", "mnt", "net", "pid", "uts")},
}
_AS_ON_HOST = ("max_inotify_instances", "max_inotify_watches")  # a team may hold what one user of the host may
_FOLDER = Path("/proc/sys/user")
_SET = """
cd /proc/sys/user || exit 1
for pair in "$@"; do
    file=${pair%%=*} wanted=${pair#*=}
    [ -e "$file" ] || continue
    echo "$wanted" > "$file" && [ "$(cat "$file")" = "$wanted" ] || { echo "$file did not become $wanted" >&2; exit 1; }
done
"""


def rlimits() -> dict[str, int]:
    """Return the limits of resources for a process of a container, none higher than our own: raising one may be refused to us."""
    return {name: _at_most_ours(name, wanted) for name, wanted in RESOURCES.items()}


def settings() -> dict[str, int]:
    """Return the files below /proc/sys/user of a team's namespace and what each is set to (namespaces(7))."""
    return {**_SETTINGS, **{name: int((_FOLDER / name).read_text()) for name in _AS_ON_HOST if (_FOLDER / name).exists()}}


def apply_settings(namespace: Path) -> None:
    """Set them in a user namespace whose ids are mapped. ProcessFailed: the kernel did not take one. A kind it lacks is left out."""
    pairs = [f"{name}={value}" for name, value in settings().items()]
    run(["nsenter", f"--user={namespace}", "sh", "-c", _SET, "sh", *pairs])


def _at_most_ours(name: str, wanted: int) -> int:
    ours = resource.getrlimit(getattr(resource, name))[1]
    return wanted if ours == resource.RLIM_INFINITY else min(wanted, ours)
