"""`manage.py router VERB`: look at what the router is told, repair it, upgrade it without a refused connection."""

from __future__ import annotations

from workers.cli import router
from workers.management.verbs import VerbCommand, Verbs

VERBS: Verbs = {
    "ls": (router.ls, "List apps with their hosts and how many instances each is sent to."),
    "check": (router.check, "Compare the running router with its files, repair it, and tell what differed."),
    "reload": (router.reload, "Have a fresh worker of the HAProxy that is installed now; nothing is refused or cut."),
}


class Command(VerbCommand):
    help = "The router of this node: ls, check, reload."
    verbs = VERBS
