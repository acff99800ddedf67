"""Limits of a team for the resources that the kernel counts per user.

They are pending signals, locked memory, message queues, inotify watches and namespaces. The kernel
adds them up along the owners of user namespaces (user_namespaces(7), getrlimit(2)). The owner of a
team's namespace is the team's first id. So the sum belongs to the team alone, not to the host or
to another team.
"""

from __future__ import annotations

import resource
from pathlib import Path

from runtime.process import run

# The same limit applies to one process and to all processes of a team: the kernel has one count.
RESOURCES = {
    "RLIMIT_MEMLOCK": 8 * 2**20,  # bytes; the kernel's own default
    "RLIMIT_MSGQUEUE": 819_200,  # bytes; the kernel's own default
    "RLIMIT_NPROC": 65_536,  # the team's control group has a lower limit
    "RLIMIT_SIGPENDING": 8192,  # queued signals and timers
}
_NAMESPACES = 4096  # of each kind: an instance or a build step needs one
_SETTINGS = {
    "max_user_namespaces": 0,  # nothing creates nested ones
    "max_time_namespaces": 0,
    "max_fanotify_groups": 0,
    "max_fanotify_marks": 0,
    **{
        f"max_{kind}_namespaces": _NAMESPACES
        for kind in ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    },
}
# The same limit as that of one user of the host.
_AS_ON_HOST = ("max_inotify_instances", "max_inotify_watches")
_FOLDER = Path("/proc/sys/user")
_SET = """
cd /proc/sys/user || exit 1
for pair in "$@"; do
    file=${pair%%=*} wanted=${pair#*=}
    [ -e "$file" ] || continue
    echo "$wanted" > "$file" && [ "$(cat "$file")" = "$wanted" ] || { echo "$file did not become $wanted" >&2; exit 1; }
done
"""  # noqa: E501


def rlimits() -> dict[str, int]:
    """Return the resource limits for a container's processes.

    None is higher than this process's own limit, which we may not be allowed to raise.
    """
    return {name: _at_most_ours(name, wanted) for name, wanted in RESOURCES.items()}


def settings() -> dict[str, int]:
    """Return the values of files below /proc/sys/user in a team's namespace (namespaces(7))."""
    return {
        **_SETTINGS,
        **{
            name: int((_FOLDER / name).read_text())
            for name in _AS_ON_HOST
            if (_FOLDER / name).exists()
        },
    }


def apply_settings(namespace: Path) -> None:
    """Apply the settings in a user namespace whose ids are mapped.

    Files that this kernel does not have are skipped. Raises ProcessFailed if the kernel rejects a
    value.
    """
    pairs = [f"{name}={value}" for name, value in settings().items()]
    run(["nsenter", f"--user={namespace}", "sh", "-c", _SET, "sh", *pairs])


def _at_most_ours(name: str, wanted: int) -> int:
    ours = resource.getrlimit(getattr(resource, name))[1]
    return wanted if ours == resource.RLIM_INFINITY else min(wanted, ours)
