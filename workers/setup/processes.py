"""The platform's own processes as values, and the process manager's configuration. Starts nothing.

Each process ends with the process manager (PR_SET_PDEATHSIG, through setpriv(1)). So a killed
manager does not leave a Redis that conflicts with the next one. Only the router stays, so that
visitors of apps notice nothing: the next router accepts from the same sockets until the old one
has ended (`runtime.router.listeners`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers.cgroups.delegation import entrances
from runtime.process import shell_line
from workers.setup import confinement

LOG_SIZE = "10MB"
LOG_BACKUPS = 3
MOST_WORKERS = 4  # of the portal, unless the settings say more; each takes about 40 MB
# The router works only briefly for each request. So it runs at once, even while builds and apps use
# all processors.
ROUTER_NICENESS = -10
# Threads share two heaps, and return freed memory to the kernel (mallopt(3)).
SPARING = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformProgram:
    """One process: its command, its user and its stop signal."""

    name: str
    command: tuple[str, ...]
    user: str = "root"
    stop_signal: str = "TERM"
    stop_seconds: int = 10  # then SIGKILL
    environment: Mapping[str, str] = field(default_factory=dict)
    # The process keeps serving: `Foreground` ends it after the next manager has started its
    # successor.
    outlives_manager: bool = False
    needs_checkout: bool = False  # reads our code as another user: see `_in_sight`
    has_groups: bool = False  # runs in the control groups that are delegated to the portal's user
    niceness: int = 0  # see nice(1)
    confined: bool = False  # runs in the workers' mount namespace, see `confinement`


def programs(
    config: NodeConfig, *, venv: Path, router: Sequence[str], private_redis: bool
) -> list[PlatformProgram]:
    """Return all processes, in the order in which they start."""
    redis = [_redis(config)] if private_redis else []
    return [
        *redis,
        PlatformProgram(
            name="router", command=tuple(router), niceness=ROUTER_NICENESS, outlives_manager=True
        ),
        _portal(config),
        # It unpacks, packs and hashes. Like the builds themselves, it has a lower priority than
        # processes that serve requests.
        _worker(venv, "worker-build", niceness=10),
        _worker(venv, "worker-node"),
        PlatformProgram(
            name="supervisor",
            command=(str(venv / "bin/python"), "-m", "workers.supervisor"),
            stop_seconds=15,
            confined=True,
        ),
    ]


def render(config: NodeConfig, items: Sequence[PlatformProgram], *, root: Path) -> str:
    """Return the configuration of supervisord (supervisord.org/configuration.html).

    Percent signs are doubled, because supervisord expands them.
    """
    control = control_socket(config)
    logs = platform_logs(config)
    head = [
        "[supervisord]",
        "user=root",
        "nodaemon=true",
        "silent=true",
        f"directory={root}",
        f"logfile={logs / 'processes.log'}",
        f"logfile_maxbytes={LOG_SIZE}",
        f"logfile_backups={LOG_BACKUPS}",
        f"pidfile={config.run / 'processes.pid'}",
        f"identifier={config.name}",
        "umask=022",
        "minfds=1024",
        f"environment={_pairs(SPARING)}",
        "",
        "[unix_http_server]",
        f"file={control}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisorctl]",
        f"serverurl=unix://{control}",
    ]
    together = ",".join(
        program.name for program in items if program.name not in {"redis", "router"}
    )
    # The group stops first and all at once, then the router, then Redis.
    group = f"[group:slipway]\nprograms={together}\npriority=3"
    sections = [
        "\n".join(_section(config, program, order, root)) for order, program in enumerate(items, 1)
    ]
    return "\n\n".join(["\n".join(head), *sections, group]).replace("%", "%%") + "\n"


def control_socket(config: NodeConfig) -> Path:
    """Return the path of supervisord's control socket."""
    return config.run / "processes.sock"


def platform_logs(config: NodeConfig) -> Path:
    """Return the folder with a NAME.log for each process."""
    return config.state / "logs" / "platform"


def visible_code(config: NodeConfig) -> Path:
    """Return the path where unprivileged processes see this checkout, wherever it is."""
    return config.run / "code"


def _section(config: NodeConfig, program: PlatformProgram, order: int, root: Path) -> list[str]:
    rights = [] if program.outlives_manager else ["--pdeathsig", "TERM"]
    if program.user != "root":
        rights += [
            f"--reuid={program.user}",
            f"--regid={program.user}",
            "--init-groups",
            "--no-new-privs",
        ]
    words = [*(["nice", "-n", str(program.niceness)] if program.niceness else []), *program.command]
    if program.confined:
        words = confinement.command(config, root, words, rights=rights)
    elif rights:
        words = ["setpriv", *rights, "--", *words]
    if program.needs_checkout:
        words = _in_sight(config, root, words, has_groups=program.has_groups)
    lines = [
        f"[program:{program.name}]",
        f"command={shell_line(words)}",
        f"priority={order}",
        "autostart=true",
        "autorestart=true",
        "startsecs=1",
        "startretries=1000000",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_seconds}",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={platform_logs(config) / program.name}.log",
        f"stdout_logfile_maxbytes={LOG_SIZE}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
    ]
    if program.environment:
        lines.append(f"environment={_pairs(program.environment)}")
    return lines


def _pairs(environment: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in environment.items())


def _in_sight(config: NodeConfig, root: Path, words: list[str], *, has_groups: bool) -> list[str]:
    """Return a command that runs `words` with the checkout bind-mounted below the run folder.

    The portal's user cannot access a clone below /root. The mount is in a new mount namespace,
    which ends with the process.
    """
    place = visible_code(config)
    enter = (
        f"for file in {entrances(config.cgroup_parent)}; do [ ! -e $file ] || echo 0 > $file;"
        " done; "
        if has_groups
        else ""
    )
    script = (
        f"{enter}mount --bind {shell_line([root])} {shell_line([place])}"
        f" && cd {shell_line([place])} && exec {shell_line(words)}"
    )
    return ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c", script]


def _redis(config: NodeConfig) -> PlatformProgram:
    options = {
        "port": "0",
        "unixsocket": str(config.run / "redis.sock"),
        "unixsocketperm": "770",
        "dir": str(config.state / "redis"),
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
        "databases": "1",
        # compresses the series of charts, which are most of its memory, to less than half
        "list-compress-depth": "1",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return PlatformProgram(name="redis", command=("redis-server", *words), user=config.user)


def _portal(config: NodeConfig) -> PlatformProgram:
    code = visible_code(config)
    workers = config.portal_workers or min(os.cpu_count() or 1, MOST_WORKERS)
    command = (
        str(code / ".venv/bin/python"),
        "-m",
        "gunicorn",
        "portal.asgi:application",
        "--worker-class=portal.gunicorn_worker.Worker",
        f"--workers={workers}",
        "--preload",  # the workers share the memory of imported modules
        f"--bind=unix:{config.portal_socket}",
        "--umask=7",
        "--graceful-timeout=5",
        "--worker-tmp-dir=/dev/shm",
        "--no-control-socket",
        "--forwarded-allow-ips=*",  # only the router reaches the socket
    )
    environment = {
        "PYTHONPATH": f"{code / 'platform'}:{code}",
        "HOME": str(config.state / "git"),
        "SLIPWAY_PORTAL_WORKERS": str(workers),
    }
    return PlatformProgram(
        name="portal",
        command=command,
        user=config.user,
        stop_seconds=8,
        environment=environment,
        needs_checkout=True,
        has_groups=True,
    )


def _worker(venv: Path, name: str, *, niceness: int = 0) -> PlatformProgram:
    """Return a worker. SIGTERM lets it finish its tasks; the next start repeats a longer build."""
    # Django's checks would load all pages and the API: 20 MB.
    environment = {"CELERY_SKIP_CHECKS": "1"}
    command = (str(venv / "bin/python"), "-m", "workers.serve", name)
    return PlatformProgram(
        name=name,
        command=command,
        niceness=niceness,
        stop_seconds=20,
        environment=environment,
        confined=True,
    )
