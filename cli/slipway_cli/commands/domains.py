"""Domains of an app, and their certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import AppOption, JsonOption, YesOption, app_path, connect, output
from slipway_cli.output import ask
from slipway_cli.project import part

domains = typer.Typer()
certs = typer.Typer(no_args_is_help=True, help="Certificates of domains.")
app = typer.Typer()
app.add_typer(domains, name="domains")
app.add_typer(certs, name="certs")


@domains.callback(invoke_without_command=True)
def list_domains(
    context: typer.Context, app: AppOption = None, *, json: JsonOption = False
) -> None:
    """List domains, their checks and certificates, or change them."""
    if context.invoked_subcommand is not None:
        return
    found = connect().get(f"{app_path(app)}/domains")
    rows = [
        [item["host"], item["state"], item["reason"], _certificate(item["certificate"])]
        for item in found
    ]
    output(json=json).table(
        ["Domain", "State", "Reason", "Certificate"],
        rows,
        found,
        none="There are no domains. `slipway domains add HOST` adds one.",
    )


@domains.command("add")
def add_domain(host: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Add a domain, and say which DNS record proves that it is yours."""
    added = connect().post(f"{app_path(app)}/domains", {"host": host})
    proof = added["proof"]
    output(json=json).result(
        f"Added {added['host']}. Make a TXT record {proof['record']} with the value"
        f" {proof['token']}, then run `slipway domains verify {added['host']}`.",
        added,
    )


@domains.command()
def verify(host: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Check a domain's proof again."""
    checked = connect().post(f"{app_path(app)}/domains/{part(host)}/verify")
    output(json=json).result(f"{host}: {checked['state']}. {checked['reason']}".strip(), checked)


@domains.command("remove")
def remove_domain(host: str, app: AppOption = None, *, yes: YesOption = False) -> None:
    """Remove a domain. Requests for it are then refused."""
    ask(f"This removes {host} and its certificate.", expected=host, assume=yes)
    connect().delete(f"{app_path(app)}/domains/{part(host)}")
    output().say(f"{host} is removed.")


@certs.command()
def order(host: str, app: AppOption = None) -> None:
    """Order a certificate for a domain now."""
    connect().post(f"{app_path(app)}/domains/{part(host)}/certificate")
    output().say(f"A certificate for {host} is ordered. `slipway domains` shows when it is there.")


@certs.command()
def upload(
    host: str,
    chain: Annotated[Path, typer.Argument(help="PEM: the certificate, then its issuers.")],
    key: Annotated[Path, typer.Argument(help="PEM: its private key.")],
    app: AppOption = None,
) -> None:
    """Use a certificate of your own."""
    body = {"chain": _read(chain), "key": _read(key)}
    connect().put(f"{app_path(app)}/domains/{part(host)}/certificate", body)
    output().say(f"{host} uses the certificate.")


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(
            f"{file} could not be read: {error}.", hint="Name a PEM file.", code=ExitCode.USAGE
        ) from error


def _certificate(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    until = found["not_after"]
    return f"until {until}" if until else str(found["reason"] or "ordered")
