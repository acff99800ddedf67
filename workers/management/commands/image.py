"""`manage.py image VERB`: this node's images, with the verbs people know from Docker. Thin: the runtime does it."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from workers.cli import image
from workers.management.verbs import VerbCommand, Verbs

VERBS: Verbs = {
    "ls": (image.ls, "List images: what each takes alone, and what it shares with others."),
    "history": (image.history, "List an image's layers: what made each, its size, and who shares it."),
    "inspect": (image.inspect, "Print an image's manifest and configuration."),
    "diff": (
        image.diff,
        "List the files that differ from one image to another, or that an instance wrote: A added, C changed, D deleted.",
    ),
    "commit": (image.commit, "Make an image of an instance: its own image, and what it wrote as one layer more."),
    "tag": (image.tag, "Give an image a name of your own; it stays until you take the name away."),
    "rm": (image.rm, "Take a name of your own away; an image nobody needs goes with the next collection."),
    "save": (image.save, "Write an image into an archive."),
    "load": (image.load, "Read an image from an archive."),
    "pull": (image.pull, "Fetch an image from a registry."),
    "push": (image.push, "Send an image to a registry."),
    "prune": (image.prune, "Collect garbage now: images, layers and sources nothing needs."),
    "df": (image.df, "Tell what takes how much of the disk."),
    "verify": (image.verify, "Read the whole store and name what is damaged."),
}


class Command(VerbCommand):
    help = "Images of this node: ls, history, inspect, diff, commit, tag, rm, save, load, pull, push, prune, df, verify."
    verbs = VERBS
    confined = frozenset({"diff", "commit"})

    def add_verb_arguments(self, parsers: Mapping[str, ArgumentParser]) -> None:
        for name in ("history", "inspect", "tag", "save", "push"):
            parsers[name].add_argument("image", help="name, digest, or the beginning of one")
        parsers["diff"].add_argument("before", help="name or digest; alone, an instance such as web.1a2b3c4d")
        parsers["diff"].add_argument("after", nargs="?", default="", help="name or digest")
        parsers["commit"].add_argument("instance", help="such as web.1a2b3c4d, or its id")
        for name in ("tag", "rm", "commit"):
            parsers[name].add_argument("name", help="such as tools/python:3.13")
        for name in ("save", "load"):
            parsers[name].add_argument("file")
        for name in ("save", "load", "push"):
            parsers[name].add_argument("--docker", action="store_true", help="Docker's format instead of OCI's")
        parsers["load"].add_argument("--name", required=True, help="what to call it here")
        parsers["pull"].add_argument("reference", help="HOST/NAME:TAG")
        parsers["pull"].add_argument("--name", default="", help="what to call it here; as the reference says otherwise")
        parsers["push"].add_argument("reference", help="HOST/NAME:TAG")
        parsers["push"].add_argument("--gzip", action="store_true", help="for registries and clients that know no zstd")
        for name in ("pull", "push"):
            parsers[name].add_argument("--user", default="", help="the password is asked for, or read from standard input")
            parsers[name].add_argument(
                "--plain-http", action="store_true", help="also without TLS, or with a certificate nobody vouches for"
            )
            parsers[name].add_argument("--timeout", type=float, default=1800.0, help="seconds; 1800 otherwise")
        parsers["prune"].add_argument("--dry-run", action="store_true", help="only tell what would go")
        parsers["verify"].add_argument("--repair", action="store_true", help="unpack damaged layers anew from their blobs")

    def handle(self, *args: Any, **options: Any) -> None:
        if options.get("user"):
            options["password"] = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        super().handle(*args, **options)
