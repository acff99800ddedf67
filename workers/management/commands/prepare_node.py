"""`manage.py prepare_node`: the preparation of a start that needs Django or the runtime.

When run again, it finds nothing to do.
"""

from __future__ import annotations

import io
import pwd
import secrets
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from portal.accounts.models import Person
from portal.lifecycle.account_actions import create_person, create_team
from portal.server import static_files
from runtime import journal
from runtime.config import from_environment
from runtime.containers.cgroups.delegation import delegate
from runtime.containers.cgroups.version import open_cgroups
from runtime.containers.userns import owner
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.images.layers.opaque_marks import renew_marks
from runtime.kernel import Kernel
from runtime.stacks.builder import ensure_platform_images
from workers.setup import confinement
from workers.setup.frontend import BUILT
from workers.setup.steps import step
from workers.setup.tree import fingerprint, is_done, mark_done
from workers.setup.welcome import ADMIN, PASSWORD_FILE, TEAM


class Command(BaseCommand):
    help = (
        "Create keys, database, static files, base stack and the first admin, if they are missing."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepare()
        except RuntimeFailure as failure:
            self.stderr.write(failure.explain())
            raise SystemExit(1) from None


def prepare() -> None:
    """Run the steps in order. A step with nothing to do prints nothing."""
    config = from_environment()
    if not confinement.is_inside(config):
        call_command("make_secrets", stdout=io.StringIO())
        _collect_static_files()
        _migrate()
        _first_admin()
        confinement.enter(config)  # restarts this inside, where keys and static files are read-only
    renew_marks(config)  # before anything mounts layers of an earlier release
    _base_stack()
    engine = NodeEngine(config)
    engine.prepare()
    _name_instances_of_older_releases(engine)
    account = pwd.getpwnam(config.user)
    delegate(open_cgroups(config.cgroup_parent, Kernel()), account.pw_uid, account.pw_gid)


def _collect_static_files() -> None:
    stamp = settings.STATIC_ROOT / ".slipway-collected"
    wanted = fingerprint(path for path in BUILT.parent.rglob("*") if path.is_file())
    # earlier versions wrote no manifest
    has_manifest = (settings.STATIC_ROOT / "staticfiles.json").exists()
    if not has_manifest or not is_done(stamp, wanted):
        with step("Static files"):
            static_files.collect()
            mark_done(stamp, wanted)


def _migrate() -> None:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        with step("Database") as current:
            current.note = f"{len(plan)} migrations"
            call_command("migrate", interactive=False, verbosity=0)


def _first_admin() -> None:
    """Create an admin with a random password. A file that only root reads keeps it for display."""
    if Person.objects.filter(is_staff=True).exists():
        return
    with step("First admin"):
        password = secrets.token_urlsafe(12)
        journal.write_atomic(PASSWORD_FILE, password.encode() + b"\n", mode=0o600)
        admin = create_person(None, username=ADMIN, password=password, admin=True)
        create_team(admin, name=TEAM)


def _base_stack() -> None:
    config = from_environment()
    with step("Base stack") as current:
        ensure_platform_images(config, current.progress)


def _name_instances_of_older_releases(engine: NodeEngine) -> None:
    """Print the apps with instances that have no user namespace of their own.

    These instances started before an upgrade. They share the kernel's accounting per user with all
    others.
    """
    instances = engine.containers.list()
    if apps := sorted(
        {
            instance.spec.app
            for instance in instances
            if instance.pid is not None and owner(instance.pid) == 0
        }
    ):
        print(
            f"  Restart these apps, so that they get their own user namespace: {', '.join(apps)}."
        )
