"""`manage.py router VERB`: shows and repairs the router's state, and upgrades HAProxy.

An upgrade refuses no connection.
"""

from __future__ import annotations

from workers.cli import router
from workers.management.verbs import VerbCommand, Verbs

VERBS: Verbs = {
    "ls": (
        router.ls,
        "List apps with their hosts and the number of instances that receive requests.",
    ),
    "check": (
        router.check,
        "Compare the running router with its files, repair it, and list the differences.",
    ),
    "reload": (
        router.reload,
        "Start a new worker of the installed HAProxy. No connection is refused or cut.",
    ),
}


class Command(VerbCommand):
    help = "The router of this node: ls, check, reload."
    verbs = VERBS
