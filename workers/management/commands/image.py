"""`manage.py image VERB`: commands for this node's images, with the verbs of Docker."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from workers.cli import image
from workers.management.verbs import VerbCommand, Verbs

VERBS: Verbs = {
    "ls": (image.ls, "List images, with the disk space of each, own and shared."),
    "history": (
        image.history,
        (
            "List an image's layers, with the creating command, the size, and the images that"
            " share it."
        ),
    ),
    "inspect": (image.inspect, "Print an image's manifest and configuration."),
    "diff": (
        image.diff,
        (
            "List the files that differ between two images, or that an instance changed: A added, C"
            " changed, D deleted."
        ),
    ),
    "commit": (
        image.commit,
        (
            "Create an image from an instance: its own image, with its changed files as one more"
            " layer."
        ),
    ),
    "tag": (image.tag, "Give an image a name. The image is kept until you remove the name."),
    "rm": (
        image.rm,
        "Remove a name. The next garbage collection removes an image that nothing needs.",
    ),
    "save": (image.save, "Write an image into an archive."),
    "load": (image.load, "Read an image from an archive."),
    "pull": (image.pull, "Fetch an image from a registry."),
    "push": (image.push, "Send an image to a registry."),
    "prune": (image.prune, "Collect garbage now: images, layers and sources that nothing needs."),
    "df": (image.df, "Show the disk usage by kind."),
    "verify": (image.verify, "Read the whole store and list damaged blobs and layers."),
}


class Command(VerbCommand):
    help = (
        "Images of this node: ls, history, inspect, diff, commit, tag, rm, save, load, pull, push,"
        " prune, df, verify."
    )
    verbs = VERBS
    confined = frozenset({"diff", "commit"})

    def add_verb_arguments(self, parsers: Mapping[str, ArgumentParser]) -> None:
        for name in ("history", "inspect", "tag", "save", "push"):
            parsers[name].add_argument("image", help="name, digest, or the first characters of one")
        parsers["diff"].add_argument(
            "before", help="name or digest; alone, an instance such as web.1a2b3c4d"
        )
        parsers["diff"].add_argument("after", nargs="?", default="", help="name or digest")
        parsers["commit"].add_argument("instance", help="such as web.1a2b3c4d, or an instance's id")
        for name in ("tag", "rm", "commit"):
            parsers[name].add_argument("name", help="such as tools/python:3.13")
        for name in ("save", "load"):
            parsers[name].add_argument("file")
        for name in ("save", "load", "push"):
            parsers[name].add_argument(
                "--docker", action="store_true", help="Docker's format instead of OCI's"
            )
        parsers["load"].add_argument("--name", required=True, help="the image's name on this node")
        parsers["pull"].add_argument("reference", help="HOST/NAME:TAG")
        parsers["pull"].add_argument(
            "--name", default="", help="the image's name on this node; default: the reference"
        )
        parsers["push"].add_argument("reference", help="HOST/NAME:TAG")
        parsers["push"].add_argument(
            "--gzip",
            action="store_true",
            help="for registries and clients without support for zstd",
        )
        for name in ("pull", "push"):
            parsers[name].add_argument(
                "--user",
                default="",
                help="the command asks for the password, or reads it from standard input",
            )
            parsers[name].add_argument(
                "--plain-http",
                action="store_true",
                help="allow HTTP without TLS, or an untrusted certificate",
            )
            parsers[name].add_argument(
                "--timeout", type=float, default=1800.0, help="seconds; default: 1800"
            )
        parsers["prune"].add_argument(
            "--dry-run", action="store_true", help="only show what would be removed"
        )
        parsers["verify"].add_argument(
            "--repair", action="store_true", help="unpack damaged layers again from their blobs"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options.get("user"):
            options["password"] = (
                getpass.getpass("Password: ")
                if sys.stdin.isatty()
                else sys.stdin.readline().rstrip("\n")
            )
        super().handle(*args, **options)
