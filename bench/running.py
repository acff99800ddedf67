"""The running platform that `make bench` and `make soak` use, and a temporary token for it."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from runtime.config import NodeConfig, from_environment, process_environment
from workers.setup.running import running_pid
from workers.setup.tree import ENV, ROOT


def found(*, or_say: bool = True) -> tuple[NodeConfig, int] | None:
    """Return the platform's node and its process manager's pid, and use its settings.

    Return None, with a message on stderr, if none runs.
    """
    environment = process_environment(ENV if ENV.exists() else ROOT / ".env.example")
    os.environ.update(environment)
    config = from_environment(environment)
    manager = running_pid(config)
    if manager is None and or_say:
        print(
            "This measures a running platform: start it with `make up` in another terminal first.",
            file=sys.stderr,
        )
    return None if manager is None else (config, manager)


@contextmanager
def token(team_name: str, limits: Mapping[str, int], *, label: str) -> Iterator[str]:
    """Create a team with these limits and a token of the first admin.

    Revoke the token afterwards.
    """
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    from portal.accounts.models import Person, Team
    from portal.lifecycle.account_actions import create_team, create_token, revoke_token
    from portal.quotas.actions import set_quota

    admin = Person.objects.filter(is_staff=True).earliest("id")
    team = Team.objects.filter(name=team_name).first() or create_team(admin, name=team_name)
    set_quota(admin, team=team, limits=limits)
    row, text = create_token(admin, label=label)
    try:
        yield text
    finally:
        revoke_token(admin, token=row)
