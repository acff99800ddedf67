"""Programs and libraries of the distribution that the platform needs, and their installation.

An existing program meets a need, regardless of its origin: a Node.js from elsewhere is not
installed again.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import HostLacks
from runtime.process import run, shell_line

_MINUTES = 60.0
# A script that Debian runs before it starts a service (invoke-rc.d(8)); exit status 101 forbids it.
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = (
    "#!/bin/sh\n# Put here by Slipway's set-up for the time of one installation.\nexit 101\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A requirement.

    `found` has programs in PATH or absolute patterns of files. Any of them meets the need.
    """

    found: tuple[str, ...]
    purpose: str
    debian: str
    fedora: str
    service: str = ""  # the unit that its package starts; our own process manager runs ours

    def met(self) -> bool:
        return any(_is_there(place) for place in self.found)


PYTHON_VENV = Need(
    found=(f"{sysconfig.get_path('stdlib')}/ensurepip/__init__.py",),
    purpose="makes Python's virtual environment",
    debian="python3-venv",
    fedora="python3",
)

PLATFORM = (
    Need(found=("crun",), purpose="runs containers", debian="crun", fedora="crun"),
    Need(
        found=("conmon",),
        purpose="monitors each container while the platform restarts",
        debian="conmon",
        fedora="conmon",
    ),
    Need(
        found=("catatonit",),
        purpose="init inside containers",
        debian="catatonit",
        fedora="catatonit",
    ),
    Need(
        found=("/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json"),
        purpose="the list of system calls that apps may use",
        debian="golang-github-containers-common",
        fedora="containers-common",
    ),
    Need(
        found=("/usr/lib*/libseccomp.so.2", "/usr/lib/*/libseccomp.so.2"),
        purpose="compiles that list",
        debian="libseccomp2",
        fedora="libseccomp",
    ),
    Need(
        found=("/usr/lib*/libnftables.so.1", "/usr/lib/*/libnftables.so.1"),
        purpose="firewall rules without starting a program",
        debian="libnftables1",
        fedora="nftables",
    ),
    Need(
        found=("nft",),
        purpose="shows and removes firewall rules",
        debian="nftables",
        fedora="nftables",
    ),
    Need(
        found=("haproxy",),
        purpose="routes requests to apps",
        debian="haproxy",
        fedora="haproxy",
        service="haproxy",
    ),
    Need(
        found=("redis-server",),
        purpose="queue and events, on a private socket",
        debian="redis-server",
        fedora="redis",
        service="redis-server",
    ),
    Need(
        found=("mmdebstrap",),
        purpose="makes the base stack",
        debian="mmdebstrap",
        fedora="mmdebstrap",
    ),
    Need(
        found=("mkfs.ext4",),
        purpose="size-limited disks of instances",
        debian="e2fsprogs",
        fedora="e2fsprogs",
    ),
    Need(
        found=("losetup",),
        purpose="loop devices under those disks",
        debian="mount",
        fedora="util-linux",
    ),
    Need(
        found=("setpriv",),
        purpose="ties each process's life to the process manager's",
        debian="util-linux",
        fedora="util-linux",
    ),
    PYTHON_VENV,
    Need(found=("git",), purpose="deploys by git push", debian="git", fedora="git"),
    Need(found=("zstd",), purpose="packs layers", debian="zstd", fedora="zstd"),
    Need(
        found=("skopeo",),
        purpose="moves images from and to registries and archives",
        debian="skopeo",
        fedora="skopeo",
    ),
    Need(
        found=("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"),
        purpose="trust in package registries",
        debian="ca-certificates",
        fedora="ca-certificates",
    ),
    Need(
        found=("/usr/share/keyrings/debian-archive-keyring.gpg",),
        purpose="the keys that base stacks are checked with",
        debian="debian-archive-keyring",
        fedora="debian-keyring",
    ),
)
TESTS = (
    Need(
        found=("chromium", "chromium-browser"),
        purpose="tests the portal's pages in a browser",
        debian="chromium",
        fedora="chromium",
    ),
    Need(
        found=("wrk",),
        purpose="load for the tests that no request is lost",
        debian="wrk",
        fedora="wrk",
    ),
    Need(
        found=("unzip",),
        purpose="tests: the script that looks for the program among a build's jars",
        debian="unzip",
        fedora="unzip",
    ),
    Need(
        found=("buildah",),
        purpose="tests: the Dockerfile builder ours is compared with",
        debian="buildah",
        fedora="buildah",
    ),
    Need(
        found=("docker-registry", "registry"),
        purpose="the registry that tests push to",
        debian="docker-registry",
        fedora="docker-distribution",
    ),
    Need(
        found=("podman",),
        purpose="tests: another engine that runs our images",
        debian="podman",
        fedora="podman",
        service="podman.socket",
    ),
    Need(
        found=("pebble",),
        purpose="the ACME server that tests order certificates from",
        debian="pebble",
        fedora="golang-github-letsencrypt-pebble",
    ),
    Need(found=("curl",), purpose="a plain client", debian="curl", fedora="curl"),
    Need(
        found=("systemd-analyze",),
        purpose="tests: a check and a score of our units",
        debian="systemd",
        fedora="systemd",
    ),
    Need(
        found=("ip",),
        purpose="a second opinion on interfaces and namespaces",
        debian="iproute2",
        fedora="iproute",
    ),
)


def missing(needs: Iterable[Need]) -> list[Need]:
    """Return the needs that are not met."""
    return [need for need in needs if not need.met()]


def install(
    needs: Iterable[Need],
    *,
    tool: str,
    environment: Mapping[str, str],
    on_output: Callable[[bytes], None] | None = None,
) -> None:
    """Install the packages of these needs with `apt-get` or `dnf`, without starting services.

    Raises ProcessFailed if the package manager fails.
    """
    needs = list(needs)
    if tool == "dnf":
        run(
            ["dnf", "install", "-y", *sorted({need.fedora for need in needs})],
            timeout=30 * _MINUTES,
            env=environment,
            on_output=on_output,
        )
    elif tool == "apt-get":
        _apt_install(sorted({need.debian for need in needs}), environment, on_output)
    else:
        raise HostLacks(
            "Cannot install packages: neither apt-get nor dnf is installed.",
            hint=f"Install by hand: {', '.join(need.debian for need in needs)}.",
        )
    _switch_off([need.service for need in needs if need.service], environment)
    if still := missing(needs):
        what = ", ".join(f"{need.found[0]} ({need.purpose})" for need in still)
        raise HostLacks(
            f"After installing, this is still missing: {what}.",
            hint="Install it by hand, then run the same command again.",
        )


def command_line(needs: Iterable[Need], *, tool: str) -> str:
    """Return the command that installs the same packages by hand."""
    packages = sorted({need.fedora if tool == "dnf" else need.debian for need in needs})
    return shell_line([tool, "install", *packages])


def _apt_install(
    packages: list[str], environment: Mapping[str, str], on_output: Callable[[bytes], None] | None
) -> None:
    quiet = {**environment, "DEBIAN_FRONTEND": "noninteractive"}
    wait = ["-o", "DPkg::Lock::Timeout=300"]  # another installation may be running
    # A file with our text is from a set-up that was killed during an installation.
    ours = not _POLICY.exists() or _POLICY.read_text() == _POLICY_TEXT
    if ours:
        _POLICY.write_text(_POLICY_TEXT)
        _POLICY.chmod(0o755)
    try:
        run(
            ["apt-get", *wait, "update", "-q"],
            timeout=10 * _MINUTES,
            env=quiet,
            on_output=on_output,
        )
        run(
            ["apt-get", *wait, "install", "-y", "-q", "--no-install-recommends", *packages],
            timeout=30 * _MINUTES,
            env=quiet,
            on_output=on_output,
        )
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)


def _switch_off(services: list[str], environment: Mapping[str, str]) -> None:
    """Disable services: otherwise they start with the next boot and use a port or memory."""
    if services and Path("/run/systemd/system").exists():  # systemd is PID 1 (sd_booted(3))
        run(["systemctl", "disable", "--now", *services], env=environment, check=False)


def _is_there(place: str) -> bool:
    if place.startswith("/"):
        return any(Path("/").glob(place.lstrip("/")))
    return (
        shutil.which(place, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        is not None
        or shutil.which(place) is not None
    )
