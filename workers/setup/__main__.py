"""`python3 -m workers.setup VERB`: the command that `make` calls. Each verb is one function."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig, from_environment, package_environment, process_environment
from runtime.errors import ProcessFailed, RuntimeFailure
from runtime.host import MissingRequirement, lacks, look
from runtime.kernel import Kernel
from runtime.packages import PLATFORM, PYTHON_VENV, TESTS, Need, command_line, install, missing
from runtime.process import run
from runtime.reserve import Reserve
from runtime.router import haproxy
from runtime.router.listeners import Listeners
from runtime.volumes import choice as volume_choice
from workers.setup import confinement, folders, strays, systemd, units
from workers.setup.bytecode import ensure_bytecode
from workers.setup.command_line import ensure_command_line
from workers.setup.foreground import Foreground
from workers.setup.frontend import ensure_front_end
from workers.setup.manage import manage
from workers.setup.processes import PlatformProgram, control_socket, platform_logs, programs, render
from workers.setup.python import ensure_packages
from workers.setup.running import ask_to_stop, hold_lock, running_pid
from workers.setup.steps import step
from workers.setup.tree import ENV, PYTHON, ROOT, VENV

Environment = Mapping[str, str]
PORTAL_TIMEOUT = 300  # seconds, for a slow or busy machine; a portal that ends is reported at once


class MachineNotReady(Exception):
    """The machine lacks something that Slipway needs. A message was printed."""


def main() -> int:
    """Run one verb. A failure is printed with its remedy and without a traceback."""
    verbs: dict[str, Callable[[Environment], None]] = {
        "up": up,
        "down": down,
        "purge": purge,
        "install": install_units,
        "uninstall": uninstall_units,
        "boot": boot,
        "status": status,
        "doctor": doctor,
        "test": set_up_tests,
        "check": set_up_checks,
    }
    for unwanted in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(unwanted, signal.default_int_handler)  # the same effect as Ctrl-C
    try:
        verbs[sys.argv[1]](_environment())
    except MachineNotReady:
        return 1
    except RuntimeFailure as failure:
        print(f"\n{failure.explain()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def up(environment: Environment) -> None:
    """Start the platform from any state of the machine, and run in the foreground until Ctrl-C."""
    config = from_environment(environment)
    if systemd.is_installed(config):
        _print_unit_status(config, environment)
        return
    if pid := running_pid(config):
        print(
            f"Slipway is already running (process {pid}). To stop it, press Ctrl-C in its terminal,"
            " or run `make down`."
        )
        manage(environment, "show_addresses")
        return
    _end_strays(config)
    _examine(config, port_is_ours=False)
    with ExitStack() as held:
        held.enter_context(hold_lock(config))
        prepare(config, environment)
        configuration = _write_configuration(config, environment)
        # Opened here, so that they stay open when HAProxy or the process manager is killed.
        held.enter_context(Listeners(config))
        with step("Start the platform"):
            platform = Foreground(config, configuration, environment)
        try:
            with step("Wait for the portal"):
                platform.wait_until_answering(PORTAL_TIMEOUT)
            _deploy_example(environment)
            manage(environment, "show_addresses")
            platform.watch()
        except KeyboardInterrupt:
            print()
        finally:
            with step("Stop the platform; apps keep running"):
                platform.stop()


def install_units(environment: Environment) -> None:
    """Install the platform as systemd units that start at boot.

    When run again, it restarts them with the current code and settings.
    """
    config = from_environment(environment)
    systemd.require()
    _examine(config, port_is_ours=running_pid(config) is not None or systemd.is_active(config))
    if pid := running_pid(config):
        with step("Stop the platform in the foreground; apps keep running"):
            ask_to_stop(config, pid)
    if not systemd.is_active(config):  # else the router belongs to systemd
        _end_strays(config)
    prepare(config, environment)
    with step("Install the units") as current:
        texts = units.render(config, _programs(config, environment), root=ROOT, python=PYTHON)
        journal.write_atomic(
            units.environment_file(config),
            units.render_environment(_settings(environment)).encode(),
        )
        systemd.write_units(config, texts)
        current.note = f"{len(texts)} in {systemd.UNITS}"
    with step("Start the platform"):
        systemd.start(config)
    with step("Wait for the portal"):
        systemd.wait_until_answering(config, PORTAL_TIMEOUT)
    _deploy_example(environment)
    manage(environment, "show_addresses")


def uninstall_units(environment: Environment) -> None:
    """Stop the platform and the apps, and remove the units. The state stays."""
    config = from_environment(environment)
    _require_root("make uninstall")
    if not systemd.is_installed(config):
        print("Slipway is not installed as systemd units; nothing was changed.")
        return
    down(environment)
    with step("Remove the units"):
        systemd.remove_units(config)
    print(
        f"The state is still in {config.state}: `make up` or `make install` continue with it, `make"
        " purge` deletes it."
    )


def boot(environment: Environment) -> None:
    """Prepare what the units need before each start.

    A reboot removes the run folder's contents, the network and the namespaces.
    """
    config = from_environment(environment)
    _prepare_node(config, environment)


def status(environment: Environment) -> None:
    """List the platform's processes."""
    config = from_environment(environment)
    if systemd.is_installed(config):
        print(systemd.list_units(config), end="")
        return
    words: list[str | Path] = [
        PYTHON,
        "-m",
        "supervisor.supervisorctl",
        "-s",
        f"unix://{control_socket(config)}",
        "status",
    ]
    print(run(words, check=False).stdout.decode(), end="")


def prepare(config: NodeConfig, environment: Environment) -> None:
    """Install everything permanent that a start needs. When run again, it finds nothing to do."""
    _install(PLATFORM, environment)
    if not ENV.exists():
        shutil.copyfile(ROOT / ".env.example", ENV)
        print(f"  The settings are in {ENV}, which explains each of them.")
    ensure_packages(environment)
    ensure_bytecode(environment)
    ensure_front_end(environment)
    ensure_command_line(environment)
    _prepare_node(config, environment)


def _prepare_node(config: NodeConfig, environment: Environment) -> None:
    folders.ensure_folders(config, folders.ensure_user(config.user, environment))
    _ensure_confinement(config, environment)
    manage(environment, "prepare_node")


def down(environment: Environment) -> None:
    """Stop the platform and the apps, and remove all our kernel resources. The state stays."""
    config = from_environment(environment)
    _require_root("make down")
    if pid := running_pid(config):
        with step("Stop the platform"):
            ask_to_stop(config, pid)
    if systemd.is_installed(config):
        with step("Stop the units; they start again at boot"):
            systemd.stop(config)
    _end_strays(config)
    if VENV.exists() and config.state.exists():
        manage(environment, "tear_down")
    confinement.remove(config)
    shutil.rmtree(config.run, ignore_errors=True)


def purge(environment: Environment) -> None:
    """Run `down`, then delete the state: every app, image, log, key and account of this machine."""
    config = from_environment(environment)
    _require_root("make purge")
    if (
        environment.get("YES") != "1"
        and input(
            f"Delete {config.state} with every app, image, log and account in it? Type yes: "
        ).strip()
        != "yes"
    ):
        print("Nothing was deleted.")
        return
    down(environment)
    with step(f"Delete {config.state}"):
        folders.delete_state(config)
    if environment.get("DATABASE_URL"):
        print(
            "The database of DATABASE_URL was not deleted. Delete it yourself if you no longer"
            " need it."
        )


def doctor(environment: Environment) -> None:
    """Print what this machine lacks, and what set-up would install."""
    config = from_environment(environment)
    _examine(config, port_is_ours=running_pid(config) is not None or systemd.is_active(config))
    if absent := missing(PLATFORM):
        print("`make up` would install:")
        _print_needs(absent)
    if short := Reserve(config).describe():
        print(short)
    filesystem = look(config, port_is_ours=True).state_filesystem
    print(volume_choice.describe(filesystem, grows=volume_choice.can_grow_while_mounted()))
    print("This machine has everything that Slipway needs.")


def set_up_tests(environment: Environment) -> None:
    """Install all that the tests need.

    Starts nothing, needs no free port, changes no state folder.
    """
    config = from_environment(environment)
    _examine(config, port_is_ours=True)
    _install((*PLATFORM, *TESTS), environment)
    ensure_packages(environment)
    ensure_front_end(environment)
    ensure_command_line(environment)
    folders.ensure_user(config.user, environment)


def set_up_checks(environment: Environment) -> None:
    """Install only the Python packages: linters need no root."""
    _install((PYTHON_VENV,), environment)
    ensure_packages(environment)


def _environment() -> dict[str, str]:
    """Return the settings and the shell's variables.

    In PATH, programs of the lock file (uv, node, npm) come before those of the machine.
    """
    read = process_environment(ENV if ENV.exists() else ROOT / ".env.example")
    return {**read, "PATH": f"{VENV / 'bin'}:{read.get('PATH') or os.defpath}"}


def _examine(config: NodeConfig, *, port_is_ours: bool) -> None:
    found = lacks(look(config, port_is_ours=port_is_ours), config)
    if found:
        _print_lacks(found)
        raise MachineNotReady


def _ensure_confinement(config: NodeConfig, environment: Environment) -> None:
    """Create the workers' mount namespace.

    Apps of a version without this namespace use mounts of the host. They are stopped, and start
    again in the namespace.
    """
    if not confinement.namespace_exists(config) and Kernel().mounts_below(config.instances):
        print("  Apps of an earlier version use mounts of the host; they will start again.")
        manage(environment, "tear_down")  # prints its own step
    confinement.ensure(config, environment)


def _print_lacks(found: list[MissingRequirement]) -> None:
    print("Slipway cannot run here yet; nothing was changed.", file=sys.stderr)
    for lack in found:
        print(f"- {lack.describe()}", file=sys.stderr)


def _require_root(command: str) -> None:
    found = [
        lack
        for lack in lacks(look(NodeConfig(), port_is_ours=True), NodeConfig())
        if "root" in lack.what
    ]
    if found:
        print(
            f"`{command}` removes mounts and network links, which needs root: run `sudo"
            f" {command}`.",
            file=sys.stderr,
        )
        raise MachineNotReady


def _install(needs: Iterable[Need], environment: Environment) -> None:
    absent = missing(needs)
    if not absent:
        return
    tool = "dnf" if shutil.which("dnf") and not shutil.which("apt-get") else "apt-get"
    print("These packages are missing on this machine and will be installed now:")
    _print_needs(absent)
    with step(f"{tool}: {len(absent)} packages") as current:
        current.note = command_line(absent, tool=tool) if len(absent) < 4 else ""
        install(absent, tool=tool, environment=environment, on_output=current.output)


def _print_needs(needs: Iterable[Need]) -> None:
    for need in needs:
        print(f"  {need.debian:34} {need.purpose}")


def _end_strays(config: NodeConfig) -> None:
    """End the processes that a killed `make up` left."""
    strays.end(strays.managers(config))
    strays.end(strays.programs(config))
    strays.end(strays.routers(config))


def _print_unit_status(config: NodeConfig, environment: Environment) -> None:
    name = units.target(config)
    if systemd.is_active(config):
        print(
            "Slipway is installed as systemd units and runs: `make install` restarts it,"
            f" `systemctl stop {name}` stops it."
        )
        manage(environment, "show_addresses")
    else:
        print(
            f"Slipway is installed as systemd units: `systemctl start {name}` starts it, `make"
            " uninstall` removes the units."
        )


def _programs(config: NodeConfig, environment: Environment) -> list[PlatformProgram]:
    return programs(
        config,
        venv=VENV,
        router=haproxy.command(config),
        private_redis=not environment.get("REDIS_URL"),
    )


def _settings(environment: Environment) -> dict[str, str]:
    """Return the environment of the units: our settings, and variables for package managers."""
    ours = {
        name: value
        for name, value in environment.items()
        if name.startswith("SLIPWAY_") or name in ("DATABASE_URL", "REDIS_URL", "PATH")
    }
    return {**package_environment(environment), **ours, "DJANGO_SETTINGS_MODULE": "portal.settings"}


def _deploy_example(environment: Environment) -> None:
    """Deploy the example app. A failure is printed and does not stop the platform.

    The portal shows the reason.
    """
    try:
        manage(environment, "deploy_example")
    except ProcessFailed as failure:
        print(failure.explain(), file=sys.stderr)


def _write_configuration(config: NodeConfig, environment: Environment) -> Path:
    platform_logs(config).mkdir(parents=True, exist_ok=True)
    path = config.run / "processes.conf"
    journal.write_atomic(path, render(config, _programs(config, environment), root=ROOT).encode())
    return path


if __name__ == "__main__":
    sys.exit(main())
