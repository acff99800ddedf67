"""`slipway`: runs one command, and turns its failure into a sentence and an exit code."""

from __future__ import annotations

import sys

import typer

from slipway_cli.commands import (
    account,
    apps,
    config,
    deploy,
    domains,
    git,
    images,
    jobs,
    logs,
    releases,
    tools,
    traffic,
    volumes,
)
from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.output import show_failure

app = typer.Typer(
    name="slipway",
    help="Deploy, scale, configure and watch apps on a Slipway platform.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for group in (
    account.app,
    apps.app,
    deploy.app,
    logs.app,
    releases.app,
    domains.app,
    images.app,
    traffic.app,
    volumes.app,
    jobs.app,
    git.app,
    tools.app,
):
    app.add_typer(group)
app.add_typer(config.app, name="config")


def main() -> None:
    """Run a command. Exit with one of ExitCode."""
    try:
        app()
    except CommandFailed as failure:
        show_failure(failure)
        sys.exit(failure.code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone, for example `slipway logs | head`
        sys.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
