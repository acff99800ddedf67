"""The platform's own processes as values, and the process manager's configuration made of them. Starts nothing.

Each lives as long as the process manager does and no longer (PR_SET_PDEATHSIG, through setpriv(1)), so a killed manager
leaves no second Redis behind to fight with the next. The router alone stays, so that nobody who visits an app notices: the next one
accepts from the same sockets until the old one has ended (`runtime.router.listeners`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers.cgroups.delegation import entrances
from runtime.process import pasteable
from workers.setup import confinement

LOG_SIZE = "10MB"
LOG_BACKUPS = 3
MOST_WORKERS = 4  # of the portal, unless the settings say more: each takes some forty megabytes
ROUTER_NICENESS = -10  # it works a moment for each request, and runs at once beside builds and apps that use all processors
SPARING = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}  # threads share two heaps, and give back what they free (mallopt(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process: what is run, as whom, and how it is asked to stop."""

    name: str
    command: tuple[str, ...]
    user: str = "root"
    stop_signal: str = "TERM"
    stop_seconds: int = 10  # then SIGKILL
    environment: Mapping[str, str] = field(default_factory=dict)
    outlives_manager: bool = False  # traffic goes on: `Foreground` ends it once the next manager has started its successor
    needs_checkout: bool = False  # reads our code as another user: see `_in_sight`
    has_groups: bool = False  # runs in the control groups that the portal's user has got
    niceness: int = 0  # see nice(1)
    confined: bool = False  # runs in the workers' mount namespace, see `confinement`


def programs(config: NodeConfig, *, venv: Path, router: Sequence[str], private_redis: bool) -> list[Program]:
    """All of them, in the order they are started."""
    redis = [_redis(config)] if private_redis else []
    return [
        *redis,
        Program(name="router", command=tuple(router), niceness=ROUTER_NICENESS, outlives_manager=True),
        _portal(config),
        _worker(venv, "worker-build", niceness=10),  # it unpacks, packs and hashes: like the builds themselves, after all that serves
        _worker(venv, "worker-node"),
        Program(name="supervisor", command=(str(venv / "bin/python"), "-m", "workers.supervisor"), stop_seconds=15, confined=True),
    ]


def render(config: NodeConfig, items: Sequence[Program], *, root: Path) -> str:
    """The configuration of supervisord (supervisord.org/configuration.html); a percent sign is doubled, as it expands them."""
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
    together = ",".join(program.name for program in items if program.name not in {"redis", "router"})
    group = f"[group:slipway]\nprograms={together}\npriority=3"  # stopped first and all at once, then the router, then Redis
    sections = ["\n".join(_section(config, program, order, root)) for order, program in enumerate(items, 1)]
    return "\n\n".join(["\n".join(head), *sections, group]).replace("%", "%%") + "\n"


def control_socket(config: NodeConfig) -> Path:
    """Where supervisorctl asks."""
    return config.run / "processes.sock"


def platform_logs(config: NodeConfig) -> Path:
    """NAME.log of each process."""
    return config.state / "logs" / "platform"


def code_in_sight(config: NodeConfig) -> Path:
    """Where the unprivileged processes see this checkout, wherever it lies."""
    return config.run / "code"


def _section(config: NodeConfig, program: Program, order: int, root: Path) -> list[str]:
    rights = [] if program.outlives_manager else ["--pdeathsig", "TERM"]
    if program.user != "root":
        rights += [f"--reuid={program.user}", f"--regid={program.user}", "--init-groups", "--no-new-privs"]
    words = [*(["nice", "-n", str(program.niceness)] if program.niceness else []), *program.command]
    if program.confined:
        words = confinement.command(config, root, words, rights=rights)
    elif rights:
        words = ["setpriv", *rights, "--", *words]
    if program.needs_checkout:
        words = _in_sight(config, root, words, has_groups=program.has_groups)
    lines = [
        f"[program:{program.name}]",
        f"command={pasteable(words)}",
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
    """Run in a mount namespace where the checkout is bound below the run folder.

    A clone in /root is behind a door that the portal's user cannot pass. The namespace, and the mount in it, end with the process.
    """
    place = code_in_sight(config)
    enter = f"for file in {entrances(config.cgroup_parent)}; do [ ! -e $file ] || echo 0 > $file; done; " if has_groups else ""
    script = f"{enter}mount --bind {pasteable([root])} {pasteable([place])} && cd {pasteable([place])} && exec {pasteable(words)}"
    return ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c", script]


def _redis(config: NodeConfig) -> Program:
    options = {
        "port": "0",
        "unixsocket": str(config.run / "redis.sock"),
        "unixsocketperm": "770",
        "dir": str(config.state / "redis"),
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
        "databases": "1",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Program(name="redis", command=("redis-server", *words), user=config.user)


def _portal(config: NodeConfig) -> Program:
    code = code_in_sight(config)
    workers = config.portal_workers or min(os.cpu_count() or 1, MOST_WORKERS)
    command = (
        str(code / ".venv/bin/python"),
        "-m",
        "gunicorn",
        "portal.asgi:application",
        "--worker-class=portal.gunicorn_worker.Worker",
        f"--workers={workers}",
        "--preload",  # they share the memory of what is imported
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
    return Program(
        name="portal", command=command, user=config.user, stop_seconds=8, environment=environment, needs_checkout=True, has_groups=True
    )


def _worker(venv: Path, name: str, *, niceness: int = 0) -> Program:
    """SIGTERM lets it finish what is at hand; a build that takes longer is taken up again by the next start."""
    environment = {"CELERY_SKIP_CHECKS": "1"}  # Django's checks would load all pages and the API: twenty megabytes
    command = (str(venv / "bin/python"), "-m", "workers.serve", name)
    return Program(name=name, command=command, niceness=niceness, stop_seconds=20, environment=environment, confined=True)
