"""The first admin, team and app, which `make up` creates as an example for new users."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from portal.accounts.models import Person
from portal.apps.models import App
from portal.lifecycle.account_actions import create_token, revoke_token
from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import RuntimeFailure
from workers.setup.steps import SetupStep

ADMIN = "admin"
TEAM = "examples"
EXAMPLE = "hello"
FOLDER = settings.ROOT / "examples" / EXAMPLE
PASSWORD_FILE: Path = settings.SECRETS / "admin-password"
_TIMEOUT = 180.0  # seconds for the first deploy
_PAUSE = 0.1


class ExampleFailed(RuntimeFailure):
    """The first app could not be deployed, or does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The example app. The file `done` contains the digest of the source that was deployed last."""

    config: NodeConfig
    archive: bytes
    done: Path

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.archive).hexdigest()

    @property
    def is_deployed(self) -> bool:
        """Return True if this source was deployed before. Later changes by its owner remain."""
        return self.done.exists() and self.done.read_text() == self.digest

    def deploy(self, step: SetupStep) -> None:
        """Deploy as a person does: create the app, upload the archive, wait for its page."""
        admin = Person.objects.get(username=ADMIN)
        token, text = create_token(admin, label="make up")
        try:
            with httpx.Client(
                base_url=f"{local_url(self.config)}/api/v1", headers=_headers(text), timeout=30
            ) as api:
                self._build(api, step)
        except httpx.TransportError as error:
            raise ExampleFailed(
                f"The portal did not answer during the deploy of {EXAMPLE}: {error}.",
                hint="Run `make up` again. Finished builds are kept.",
            ) from error
        finally:
            revoke_token(admin, token=token)
        self.wait(step)
        journal.write_atomic(self.done, self.digest.encode())

    def wait(self, step: SetupStep) -> None:
        """Wait until the example's own address answers. Raises ExampleFailed if it does not."""
        step.progress("waiting for its page")
        deadline = time.monotonic() + _TIMEOUT
        while (
            status := _status(self.config, f"{EXAMPLE}.{self.config.base_domain}")
        ) != httpx.codes.OK:
            if time.monotonic() > deadline:
                raise ExampleFailed(
                    f"{EXAMPLE} does not answer ({status or 'no connection'}).",
                    hint="See its page in the portal.",
                )
            time.sleep(_PAUSE)

    def _build(self, api: httpx.Client, step: SetupStep) -> None:
        if not App.objects.filter(name=EXAMPLE).exists():
            _document_of(api.post("/apps", json={"team": TEAM, "name": EXAMPLE}))
        build = _document_of(
            api.post(
                f"/apps/{EXAMPLE}/builds", files={"archive": (f"{EXAMPLE}.tar.gz", self.archive)}
            )
        )
        address, shown = f"/apps/{EXAMPLE}/builds/{build['id']}", 0
        while build["state"] in {"queued", "building"}:
            time.sleep(_PAUSE)
            log = api.get(f"{address}/log").text.splitlines()
            for line in log[shown:]:
                step.output(line.encode())
            shown = len(log)
            build = _document_of(api.get(address))
        if build["state"] != "succeeded":
            raise ExampleFailed(f"Building {EXAMPLE} failed: {build['reason']}")
        self._roll_out(api, step)

    def _roll_out(self, api: httpx.Client, step: SetupStep) -> None:
        step.progress("waiting for its instance")
        while (rollout := _latest(api.get(f"/apps/{EXAMPLE}/rollouts"))).get("state") not in {
            "live",
            "failed",
            "superseded",
        }:
            time.sleep(_PAUSE)
        if rollout["state"] == "failed":
            raise ExampleFailed(f"{EXAMPLE} was built but did not start: {rollout['reason']}")


def example(config: NodeConfig) -> Example:
    """Return the example app of this checkout."""
    return Example(
        config=config, archive=archive_of(FOLDER), done=config.state / "example-deployed"
    )


def archive_of(folder: Path) -> bytes:
    """Return an archive of the folder. The same files always give the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(
            path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            data = path.read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def address_lines(config: NodeConfig) -> list[str]:
    """Return three lines about the portal, the admin and the example."""
    admin = Person.objects.filter(username=ADMIN).first()
    password = PASSWORD_FILE.read_text().strip() if PASSWORD_FILE.exists() else ""
    if admin is None:
        sign_in = "Sign in with your own account"
    elif password and admin.check_password(password):
        sign_in = f"Sign in as {ADMIN} with password {password}"
    else:
        sign_in = f"Sign in as {ADMIN} with the password you chose"
    there = App.objects.filter(name=EXAMPLE, deleted_at=None).exists()
    return [
        f"Portal:  {config.url_of(config.portal_host)}",
        sign_in,
        (
            f"Example: {config.url_of(f'{EXAMPLE}.{config.base_domain}')}"
            if there
            else f"Example: {EXAMPLE} was deleted; deploy your own app."
        ),
    ]


def local_url(config: NodeConfig) -> str:
    """Return the router's address from this machine, whatever interface it is bound to."""
    address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.http_bind, config.http_bind)
    return f"http://{address}:{config.http_port}"


def _headers(token: str) -> dict[str, str]:
    # The host localhost is never redirected.
    return {"Host": "localhost", "Authorization": f"Bearer {token}", "Accept": "application/json"}


def _status(config: NodeConfig, host: str) -> int:
    """Return the status of a GET of the host's first page, or 0 without an answer."""
    try:
        return httpx.get(local_url(config), headers={"Host": host}, timeout=10).status_code
    except httpx.TransportError:
        return 0


def _latest(answer: httpx.Response) -> dict[str, Any]:
    """Return the first entry of a list, or an empty mapping if there is none yet."""
    return dict(next(iter(answer.json()), {})) if answer.is_success else {}


def _document_of(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise ExampleFailed(
            f"The portal refused {answer.request.method} {answer.request.url.path} with"
            f" {answer.status_code}: {answer.text[:500]}"
        )
    return dict(answer.json())
