"""The platform as systemd units, with the same programs that `make up` runs. Writes nothing.

Each unit has only the rights that its work needs (systemd.exec(5)). Workers and supervisor run in
the same mount namespace as with `make up`, so their units have no mount settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.config import NodeConfig
from runtime.process import shell_line
from runtime.router.addresses import ListenAddress, places
from runtime.router.listeners import QUEUE
from workers.setup import confinement
from workers.setup.folders import FOLDERS
from workers.setup.processes import SPARING, PlatformProgram, visible_code

_EVERYWHERE = ("LimitNOFILE=524288", "UMask=0022", "SystemCallErrorNumber=EPERM")
_CLOSED = (  # for programs that serve and create no containers
    "LockPersonality=yes",
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
    "RemoveIPC=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "KillMode=mixed",
)
# The checkout may be in a home folder.
_OPEN_HOME = tuple(
    "ProtectHome=read-only" if line == "ProtectHome=yes" else line for line in _CLOSED
)
# git runs in control groups below the portal's own.
_PUSHES = ("Delegate=cpu memory pids", "Environment=SLIPWAY_CGROUP_DELEGATED=yes")
_NO_CONTROL_GROUPS = "ProtectControlGroups=yes"
_NETWORK = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"
_ROOTLESS = "CapabilityBoundingSet="
# The master starts as root, opens ports and reads keys. Its workers run as the platform's user.
_ROUTERS = (
    "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE CAP_CHOWN"
    " CAP_FOWNER CAP_KILL"
)
# Containers inherit a worker's system call filter. So it forbids only calls that the containers'
# own filter forbids too. There are no mount settings: the namespace has the mounts.
_CONFINED = (
    f"CapabilityBoundingSet={' '.join(f'CAP_{name.upper()}' for name in confinement.CAPABILITIES)}",
    "SystemCallFilter=~@clock @module @raw-io @reboot @swap",
    "KillMode=process",  # the monitors of apps are in the unit's control group too
    "OOMPolicy=continue",
)
_OWN: Mapping[str, tuple[str, ...]] = {
    "redis": (
        *_CLOSED,
        _NO_CONTROL_GROUPS,
        "RestrictAddressFamilies=AF_UNIX",
        _ROOTLESS,
        "MemoryMax=1G",
        "OOMScoreAdjust=-900",
    ),
    "router": (
        *_OPEN_HOME,
        _NO_CONTROL_GROUPS,
        _NETWORK,
        _ROUTERS,
        "MemoryMax=2G",
        "OOMScoreAdjust=-900",
    ),
    "portal": (*_CLOSED, *_PUSHES, _NETWORK, _ROOTLESS, "MemoryMax=4G"),
    "worker-build": (*_CONFINED, "MemoryMax=4G"),
    "worker-node": (*_CONFINED, "MemoryMax=2G"),
    "supervisor": (*_CONFINED, "MemoryMax=1G", "OOMScoreAdjust=-500"),
}
# Folders of the state that a program may write.
_WRITTEN: Mapping[str, tuple[str, ...]] = {"redis": ("redis",), "router": ("router",)}


def prefix(config: NodeConfig) -> str:
    """Return the prefix of the names of this platform's units."""
    return config.name if config.name == "slipway" else f"slipway-{config.name}"


def target(config: NodeConfig) -> str:
    """Return the name of the unit that starts and stops the others."""
    return f"{prefix(config)}.target"


def service(config: NodeConfig, name: str) -> str:
    """Return the name of one program's unit."""
    return f"{prefix(config)}-{name}.service"


def listeners(config: NodeConfig) -> str:
    """Return the name of the unit with the sockets that visitors connect to.

    systemd holds the sockets, so no connection is refused while a killed router restarts.
    """
    return f"{prefix(config)}-router.socket"


def environment_file(config: NodeConfig) -> Path:
    """Return the file with the environment of all units. It may contain a database password."""
    return config.state / "secrets" / "units.env"


def render_environment(environment: Mapping[str, str]) -> str:
    """Return NAME="value" lines (systemd.exec(5), EnvironmentFile)."""
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        for name, value in environment.items()
    }
    return "".join(f'{name}="{value}"\n' for name, value in sorted(escaped.items()))


def render(
    config: NodeConfig, items: Sequence[PlatformProgram], *, root: Path, python: Path
) -> dict[str, str]:
    """Return the text of each unit by its name."""
    services = [service(config, program.name) for program in items]
    units = {
        target(config): _target(config, [listeners(config), *services]),
        service(config, "prepare"): _prepare(config, root, python),
        listeners(config): _listeners(config),
    }
    before = [service(config, "prepare")]
    for program in items:
        units[service(config, program.name)] = _service(config, program, before, root)
        if program.name in ("redis", "router"):
            before = [*before, service(config, program.name)]
    return units


def _target(config: NodeConfig, services: Sequence[str]) -> str:
    return _sections(
        Unit=(
            f"Description=Slipway ({config.name})",
            f"Wants={' '.join(services)}",
            f"After={' '.join(services)}",
        ),
        Install=("WantedBy=multi-user.target",),
    )


def _listeners(config: NodeConfig) -> str:
    return _sections(
        Unit=(
            f"Description=Slipway ({config.name}): listening sockets",
            f"PartOf={target(config)}",
        ),
        Socket=(
            *(f"ListenStream={_address(place)}" for place in places(config)),
            f"Backlog={QUEUE}",
            "TriggerLimitIntervalSec=0",
        ),
    )


def _address(place: ListenAddress) -> str:
    """Return an address for systemd.socket(5): IPv6 in brackets, and `*` as 0.0.0.0."""
    host = {"*": "0.0.0.0"}.get(place.host, place.host.strip("[]"))  # as the admin wrote it
    return f"[{host}]:{place.port}" if ":" in host else f"{host}:{place.port}"


def _prepare(config: NodeConfig, root: Path, python: Path) -> str:
    """Return the unit that prepares the machine. It has no mount settings.

    It copies the machine's own mount namespace for the workers, so it must run in that itself.
    """
    return _sections(
        Unit=(
            f"Description=Slipway ({config.name}): folders, network and mount namespace",
            f"PartOf={target(config)}",
            "After=local-fs.target network.target",
            f"RequiresMountsFor={_quoted(str(config.state))} {_quoted(str(root))}",
        ),
        Service=(
            "Type=oneshot",
            "RemainAfterExit=yes",
            f"ExecStart={_command([str(python), '-m', 'workers.setup', 'boot'])}",
            f"WorkingDirectory={_escaped(str(root))}",
            f"EnvironmentFile={_escaped(str(environment_file(config)))}",
            "TimeoutStartSec=1800",
            "Restart=on-failure",
            "RestartSec=5",
        ),
    )


def _service(
    config: NodeConfig, program: PlatformProgram, before: Sequence[str], root: Path
) -> str:
    words = (
        confinement.command(config, root, list(program.command), rights=[])
        if program.confined
        else list(program.command)
    )
    needed = [
        service(config, "prepare"),
        *([listeners(config)] if program.name == "router" else []),
    ]
    lines = [
        "Type=exec",
        f"ExecStart={_command(words)}",
        f"SyslogIdentifier={prefix(config)}-{program.name}",
        f"EnvironmentFile={_escaped(str(environment_file(config)))}",
        *(
            f"Environment={_quoted(f'{name}={value}')}"
            for name, value in {**SPARING, **program.environment}.items()
        ),
        "Restart=always",
        "RestartSec=200ms",
        f"KillSignal=SIG{program.stop_signal}",
        f"TimeoutStopSec={program.stop_seconds}",
        f"Nice={program.niceness}",
    ]
    if program.user != "root":
        lines += [f"User={program.user}", f"Group={program.user}"]
    if program.needs_checkout:
        lines += [
            # Each path is quoted separately: quoted together, they would be one path.
            f"BindReadOnlyPaths={_quoted(str(root))}:{_quoted(str(visible_code(config)))}",
            f"WorkingDirectory={_escaped(str(visible_code(config)))}",
        ]
    else:
        lines.append("WorkingDirectory=/")
    if program.name == "router":
        lines.append(f"Sockets={listeners(config)}")
    if not program.confined:
        written = (_quoted(str(path)) for path in _written(config, program.name))
        lines.append(f"ReadWritePaths={' '.join(written)}")
    return _sections(
        Unit=(
            f"Description=Slipway ({config.name}): {program.name}",
            f"PartOf={target(config)}",
            f"Requires={' '.join(needed)}",
            f"After={' '.join(dict.fromkeys((*before, *needed)))}",
            "StartLimitIntervalSec=0",
        ),
        Service=(*lines, *_EVERYWHERE, *_OWN[program.name]),
    )


def _written(config: NodeConfig, name: str) -> list[Path]:
    folders = _WRITTEN.get(name) or tuple(
        folder for folder, (_, portals) in FOLDERS.items() if portals and folder != "redis"
    )
    return [config.run, *(config.state / folder for folder in folders)]


def _sections(**sections: Sequence[str]) -> str:
    return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _command(words: Sequence[str]) -> str:
    """Return words for ExecStart: quoted as in a shell, with systemd's `%` and `$` doubled."""
    return shell_line([word.replace("%", "%%").replace("$", "$$") for word in words])


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
