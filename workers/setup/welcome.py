"""The first admin, the first team, the first app: what `make up` makes so that a newcomer has something to look at."""

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
from workers.setup.steps import Step

ADMIN = "admin"
TEAM = "examples"
EXAMPLE = "hello"
FOLDER = settings.ROOT / "examples" / EXAMPLE
PASSWORD_FILE: Path = settings.SECRETS / "admin-password"
_PATIENCE = 180.0  # seconds for the first deploy
_PAUSE = 0.1


class ExampleFailed(RuntimeFailure):
    """The first app could not be deployed, or does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The first app on its way, or already there; `done` remembers which source was deployed last."""

    config: NodeConfig
    archive: bytes
    done: Path

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.archive).hexdigest()

    @property
    def is_deployed(self) -> bool:
        """Whether this very source was deployed before: what its owner did with the app since is the owner's."""
        return self.done.exists() and self.done.read_text() == self.digest

    def deploy(self, step: Step) -> None:
        """As a person would: make the app and upload the archive with a token, watch the build, open the page."""
        admin = Person.objects.get(username=ADMIN)
        token, text = create_token(admin, label="make up")
        try:
            with httpx.Client(base_url=f"{local_url(self.config)}/api/v1", headers=_headers(text), timeout=30) as api:
                self._build(api, step)
        except httpx.TransportError as error:
            raise ExampleFailed(
                f"The portal gave no answer while {EXAMPLE} was deployed: {error}.",
                hint="Run `make up` again; what is built already is kept.",
            ) from error
        finally:
            revoke_token(admin, token=token)
        self.wait(step)
        journal.write_atomic(self.done, self.digest.encode())

    def wait(self, step: Step) -> None:
        """Until the example's own address answers; ExampleFailed when it does not."""
        step.progress("waiting for its page")
        deadline = time.monotonic() + _PATIENCE
        while (status := _status(self.config, f"{EXAMPLE}.{self.config.base_domain}")) != httpx.codes.OK:
            if time.monotonic() > deadline:
                raise ExampleFailed(f"{EXAMPLE} does not answer ({status or 'no connection'}).", hint="Its page in the portal tells more.")
            time.sleep(_PAUSE)

    def _build(self, api: httpx.Client, step: Step) -> None:
        if not App.objects.filter(name=EXAMPLE).exists():
            _told(api.post("/apps", json={"team": TEAM, "name": EXAMPLE}))
        build = _told(api.post(f"/apps/{EXAMPLE}/builds", files={"archive": (f"{EXAMPLE}.tar.gz", self.archive)}))
        address, shown = f"/apps/{EXAMPLE}/builds/{build['id']}", 0
        while build["state"] in {"queued", "building"}:
            time.sleep(_PAUSE)
            log = api.get(f"{address}/log").text.splitlines()
            for line in log[shown:]:
                step.output(line.encode())
            shown = len(log)
            build = _told(api.get(address))
        if build["state"] != "succeeded":
            raise ExampleFailed(f"Building {EXAMPLE} failed: {build['reason']}")
        self._roll_out(api, step)

    def _roll_out(self, api: httpx.Client, step: Step) -> None:
        step.progress("waiting for its instance")
        while (rollout := _latest(api.get(f"/apps/{EXAMPLE}/rollouts"))).get("state") not in {"live", "failed", "superseded"}:
            time.sleep(_PAUSE)
        if rollout["state"] == "failed":
            raise ExampleFailed(f"{EXAMPLE} was built but did not start: {rollout['reason']}")


def example(config: NodeConfig) -> Example:
    """The example as this checkout has it."""
    return Example(config=config, archive=archive_of(FOLDER), done=config.state / "example-deployed")


def archive_of(folder: Path) -> bytes:
    """The same bytes for the same files, whenever and wherever it is made."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            data = path.read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def three_lines(config: NodeConfig) -> list[str]:
    """Portal, admin, example."""
    admin = Person.objects.filter(username=ADMIN).first()
    password = PASSWORD_FILE.read_text().strip() if PASSWORD_FILE.exists() else ""
    if admin is None:
        sign_in = "Sign in with an account of your own"
    elif password and admin.check_password(password):
        sign_in = f"Sign in as {ADMIN} with password {password}"
    else:
        sign_in = f"Sign in as {ADMIN} with the password you chose"
    there = App.objects.filter(name=EXAMPLE, deleted_at=None).exists()
    return [
        f"Portal:  {config.url_of(config.portal_host)}",
        sign_in,
        f"Example: {config.url_of(f'{EXAMPLE}.{config.base_domain}')}"
        if there
        else f"Example: {EXAMPLE} was deleted; deploy an app of your own.",
    ]


def local_url(config: NodeConfig) -> str:
    """The router's address from this machine, whatever interface it is bound to."""
    address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.http_bind, config.http_bind)
    return f"http://{address}:{config.http_port}"


def _headers(token: str) -> dict[str, str]:
    return {"Host": "localhost", "Authorization": f"Bearer {token}", "Accept": "application/json"}  # a host that is led nowhere else


def _status(config: NodeConfig, host: str) -> int:
    """What a GET of the host's first page is answered with; 0 when nobody does."""
    try:
        return httpx.get(local_url(config), headers={"Host": host}, timeout=10).status_code
    except httpx.TransportError:
        return 0


def _latest(answer: httpx.Response) -> dict[str, Any]:
    """The first of a list, or nothing yet."""
    return dict(next(iter(answer.json()), {})) if answer.is_success else {}


def _told(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise ExampleFailed(
            f"The portal refused {answer.request.method} {answer.request.url.path} with {answer.status_code}: {answer.text[:500]}"
        )
    return dict(answer.json())
