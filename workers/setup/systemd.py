"""Installation, start, stop and removal of the platform's systemd units.

`units` generates their text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import HostLacks
from runtime.process import run
from workers.setup import units
from workers.setup.foreground import answers

UNITS = Path("/etc/systemd/system")
_RUNNING = Path("/run/systemd/system")  # sd_booted(3)
_START_TIMEOUT = 1800.0  # seconds, for a slow machine without the base stack
_STOP_TIMEOUT = 120.0
_POLL_SECONDS = 0.5  # seconds between two looks


def require() -> None:
    """Raise HostLacks unless systemd manages this machine."""
    if not _RUNNING.is_dir():
        raise HostLacks(
            "systemd is not PID 1 on this machine, so no units can be installed.",
            hint="`make up` runs Slipway without it.",
        )


def is_installed(config: NodeConfig) -> bool:
    """Return True if this platform has units."""
    return (UNITS / units.target(config)).exists()


def is_active(config: NodeConfig) -> bool:
    """Return True if the units are started."""
    return (
        is_installed(config)
        and run(["systemctl", "is-active", "--quiet", units.target(config)], check=False).returncode
        == 0
    )


def write_units(config: NodeConfig, texts: Mapping[str, str]) -> None:
    """Write the units, remove those of an earlier version, and let the target start at boot."""
    for path in _placed(config):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        journal.write_atomic(UNITS / name, text.encode(), mode=0o644)
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", "--quiet", units.target(config)])


def start(config: NodeConfig) -> None:
    """Start or restart all units, because their code may have changed. Apps keep running."""
    run(["systemctl", "restart", units.target(config)], timeout=_START_TIMEOUT)


def stop(config: NodeConfig) -> None:
    """Stop the platform. Apps keep running, and the next boot starts the platform again."""
    run(
        [
            "systemctl",
            "stop",
            units.target(config),
            *_services(config),
            units.service(config, "prepare"),
        ],
        timeout=_STOP_TIMEOUT,
    )


def remove_units(config: NodeConfig) -> None:
    """Remove the units, and systemd's records of them."""
    run(["systemctl", "disable", "--quiet", units.target(config)], check=False)
    names = [path.name for path in _placed(config)]
    for name in names:
        (UNITS / name).unlink(missing_ok=True)
    units.environment_file(config).unlink(missing_ok=True)
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "reset-failed", *names], check=False)  # fails for units that never failed


def list_units(config: NodeConfig) -> str:
    """Return the state of each unit, as systemctl prints it."""
    names = [units.target(config), units.service(config, "prepare"), *_services(config)]
    return run(
        ["systemctl", "list-units", "--all", "--no-pager", "--plain", "--no-legend", *names]
    ).stdout.decode()


def wait_until_answering(config: NodeConfig, seconds: float) -> None:
    """Wait until the portal answers through the router.

    Raises HostLacks with the last lines of the log if it does not answer in time.
    """
    deadline = time.monotonic() + seconds
    while not answers(config):
        if time.monotonic() > deadline:
            names = [
                f"--unit={units.service(config, name)}" for name in ("prepare", "portal", "router")
            ]
            lines = run(
                ["journalctl", "--no-pager", "--lines=30", *names], check=False
            ).stdout.decode(errors="replace")
            raise HostLacks(
                f"The portal did not answer within {seconds:g} s. The log ends:\n{lines}",
                hint="`make status` lists the units.",
            )
        time.sleep(_POLL_SECONDS)


def _services(config: NodeConfig) -> list[str]:
    return [
        path.name
        for path in _placed(config)
        if path.name not in (units.target(config), units.service(config, "prepare"))
    ]


def _placed(config: NodeConfig) -> list[Path]:
    """Return only this platform's units: another platform's name may begin with this one's."""
    begins = f"{units.prefix(config)}-"
    known = {"prepare", "redis", "router", "portal", "worker-build", "worker-node", "supervisor"}
    services = [
        path
        for path in sorted(UNITS.glob(f"{begins}*.service"))
        if path.stem.removeprefix(begins) in known
    ]
    return [*services, *UNITS.glob(units.listeners(config)), *UNITS.glob(units.target(config))]
