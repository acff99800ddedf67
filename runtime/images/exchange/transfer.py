"""The transfer of images from and to registries and archives, with skopeo.

An import is first stored in its own layout. It is added to the store only when every digest, size
and diff ID has been verified.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime import journal, process
from runtime.config import NodeConfig, package_environment
from runtime.confined.groups import group_for
from runtime.confined.session import PLATFORM
from runtime.contract.quantities import Bytes
from runtime.errors import (
    HostLacks,
    ImageDamaged,
    LimitReached,
    ProcessFailed,
    TransferFailed,
    Unreachable,
)
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.disk import size_of
from runtime.images.exchange.registry_reference import RedirectScope
from runtime.images.exchange.verified_import import VerifiedImage, import_verified
from runtime.images.layers.compression import Compression
from runtime.images.manifest import Descriptor
from runtime.images.scratch import scratch
from runtime.images.store import Store

_THREADS = 256  # skopeo is a Go program: it has a thread for each file that it waits for
TIME_LIMIT = 1800.0  # seconds a transfer may take
_ANOTHER_TIME = re.compile(  # skopeo's errors if a registry is not available
    r"did not end within|no such host|connection refused|connection reset|i/o timeout|timeout"
    r" exceeded|no route to host"
    r"|network is unreachable|server misbehaving|toomanyrequests|too many requests|\bstatus(?:"
    r" code)?(?: from registry)?:? (?:429|5\d\d)\b"
    r"|\b(?:429|5\d\d) (?:Too Many|Internal|Bad Gateway|Service|Gateway)|TLS handshake|EOF",
    re.IGNORECASE,
)
_BLOB = re.compile(rb"Copying blob (?:sha256:)?([0-9a-f]{12})[0-9a-f]*.*")
_SMALLER = "Make the image smaller, or ask an admin for more disk."
_NOT_FOLLOWED = (
    "Check that the registry runs. Redirects to this machine, to an app on it, or from outside into"
    " a private network are not followed, unless an admin adds the registry to SLIPWAY_REGISTRIES."
)
_ENTRY = "image"  # the name of the one image in a temporary layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access to a registry.

    Credentials are passed to skopeo in a file, never on its command line.
    """

    user: str = ""
    password: str = ""
    plain_http: bool = False  # also accept an untrusted certificate
    reach: RedirectScope = RedirectScope.ANYWHERE


class Transfer:
    """The import and export of images of one store. Skopeo runs in the control group of `team`."""

    def __init__(
        self,
        config: NodeConfig,
        store: Store,
        *,
        time_limit: float = TIME_LIMIT,
        team: int = PLATFORM,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config, self._store, self._time_limit = config, store, time_limit
        self._progress, self._team = progress, team

    def import_from(
        self, source: str, access: Access = Access(), *, most: int | None = None
    ) -> VerifiedImage:
        """Import an image by skopeo's name: `docker://HOST/app:1` or `oci-archive:/a.tar`.

        `most` is the maximum size of all unpacked layers in bytes; a larger download is stopped.
        Raises TransferFailed; Unreachable if the failure is temporary; ImageDamaged if the image is
        damaged.
        """
        with self._store.lease(), scratch(self._config.images / "ingest") as space:
            words = ["--src-tls-verify=false"] if access.plain_http else []
            layout = space / "layout"
            self._copy([*words, source, f"oci:{layout}:{_ENTRY}"], space, source, access, most=most)
            return self._adopt(layout, most)

    def digest_of(self, source: str, access: Access = Access()) -> Digest:
        """Return the digest that a name has in a registry: of a manifest or a list of manifests.

        Raises the errors of `import_from`.
        """
        with scratch(self._config.images / "ingest") as space:
            words = [
                "inspect",
                "--raw",
                *(["--tls-verify=false"] if access.plain_http else []),
                source,
            ]
            return Digest.of(self._skopeo(words, space, source, access))

    def send(
        self,
        digest: str,
        target: str,
        access: Access = Access(),
        *,
        compression: Compression | None = None,
        docker: bool = False,
    ) -> None:
        """Export an image.

        `compression` compresses layers again if they use another; `docker` writes Docker's manifest
        format.
        """
        with self._store.lease(), scratch(self._config.images / "ingest") as space:
            # Marks the layers as used, so that none is removed meanwhile.
            self._store.layers_of(digest)
            source = f"oci:{self._lend(Digest(digest), space / 'layout')}:{_ENTRY}"
            # Docker's manifests do not support zstd. Skopeo compresses layers again when it writes
            # a layout, but not when it writes such manifests.
            if docker:
                packed = f"oci:{space / 'packed'}:{_ENTRY}"
                self._copy(
                    ["--dest-compress-format", Compression.GZIP.value, source, packed],
                    space,
                    target,
                    access,
                )
                source, compression = packed, None
            words = ["--dest-tls-verify=false"] if access.plain_http else []
            words += ["--dest-compress-format", compression.value] if compression else []
            words += ["--format", "v2s2"] if docker else []
            self._copy([*words, source, target], space, target, access)

    def _copy(
        self,
        words: Sequence[str],
        space: Path,
        what: str,
        access: Access,
        *,
        most: int | None = None,
    ) -> None:
        def watch() -> None:
            if most is not None and size_of(space) > most:
                raise ImageDamaged(
                    f"{what} could not be transferred. It is larger than {Bytes(most)}.",
                    hint=_SMALLER,
                )

        self._skopeo(["copy", *words], space, what, access, watch=watch)

    def _skopeo(
        self,
        words: Sequence[str],
        space: Path,
        what: str,
        access: Access,
        *,
        watch: Callable[[], None] | None = None,
    ) -> bytes:
        """Run skopeo and return its standard output. `what` is the name of the other side."""
        credentials = space / "auth.json"
        auths = {}
        if access.user:
            auths[_host(what)] = {
                "auth": base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
            }
        journal.write_json(credentials, {"auths": auths}, durable=False)
        spare = space / "tmp"
        spare.mkdir(exist_ok=True)
        environment = {
            **package_environment(),
            "PATH": os.defpath,
            "TMPDIR": str(spare),
            "HOME": str(space),
        }
        verb, *rest = words
        group = ["--regid", str(access.reach.value), "--clear-groups"] if access.reach else []
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            *group,
            "skopeo",
            "--insecure-policy",
            verb,
            "--authfile",
            str(credentials),
            *rest,
        ]
        try:
            return self._limited(command, environment, what, watch)
        except HostLacks:
            raise HostLacks(
                "The program skopeo, which transfers images, is not installed.",
                hint="apt-get install skopeo",
            ) from None
        except ProcessFailed as failure:
            kind = Unreachable if _ANOTHER_TIME.search(str(failure)) else TransferFailed
            hint = (
                _NOT_FOLLOWED
                if access.reach and "connection refused" in str(failure)
                else _remedy(str(failure))
            )
            raise kind(
                f"{what} could not be transferred. {_error_text(failure)}", hint=hint
            ) from None

    def _limited(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        what: str,
        watch: Callable[[], None] | None,
    ) -> bytes:
        with group_for(self._team, processes=_THREADS) as group:
            doors = group.procs_files if group else ()
            try:
                return process.run(
                    command,
                    timeout=self._time_limit,
                    env=environment,
                    on_output=self._report_layer,
                    stoppable=True,
                    watch=watch,
                    groups=doors,
                ).stdout
            except ProcessFailed:
                if group and (limit := group.reached()):
                    raise LimitReached(
                        f"{what} could not be transferred: that needed more than {limit}.",
                        hint=_SMALLER,
                    ) from None
                raise

    def _report_layer(self, line: bytes) -> None:
        if match := _BLOB.fullmatch(line.strip()):
            self._progress(f"    layer {match[1].decode()}")

    def _adopt(self, layout: Path, most: int | None = None) -> VerifiedImage:
        """Import the one image of a layout into the store."""
        try:
            named, unnamed = manifest.parse_index((layout / "index.json").read_bytes())
            (pointer,) = [*named.values(), *unnamed]
        except (ValueError, KeyError, TypeError) as error:
            raise ImageDamaged(
                f"The received files are not an image: {error}.",
                hint="Ask its author, or use another.",
            ) from None
        return import_verified(self._store, layout / "blobs" / "sha256", pointer, most=most)

    def _lend(self, digest: Digest, layout: Path) -> Path:
        """Create a layout with this one image, which links to the store's blobs."""
        layout.mkdir()
        (layout / "blobs").symlink_to(self._config.images / "blobs")
        pointer = Descriptor(
            media_type=manifest.MANIFEST,
            digest=digest,
            size=self._store.blob(digest).stat().st_size,
        )
        (layout / "index.json").write_bytes(manifest.render_index({_ENTRY: pointer}, []))
        (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        return layout


def _host(name: str) -> str:
    return name.removeprefix("docker://").partition("/")[0]


def _error_text(failure: ProcessFailed) -> str:
    """Return skopeo's message, without its time stamps and our command line."""
    if late := re.search(r"did not end within (\S+ s)", str(failure)):
        return f"It did not end within {late[1]}."
    _, _, output = str(failure).partition(" It said: ")
    text = output or str(failure)
    words = text.partition('msg="')[2].rpartition('"')[0].replace('\\"', '"') or text
    return re.sub(r'^Error (?:parsing|initializing) (?:image name|source) "?\S+?"?: ', "", words)


def _remedy(text: str) -> str:
    lower = text.lower()
    if "unauthorized" in lower or "authentication required" in lower or "denied" in lower:
        return "Check user name and password, and that they have access to this image."
    if "server gave http response to https client" in lower:
        return (
            "If this registry should use plain HTTP, an admin adds it to SLIPWAY_PLAIN_REGISTRIES"
            " (`manage.py image` has --plain-http)."
        )
    if "manifest unknown" in lower or "name unknown" in lower or "not found" in lower:
        return "Check the name and the tag."
    if "no space left" in lower:
        return "Free disk space: `manage.py image df` shows what uses it."
    if "no image found in manifest list" in lower or "no image found in image index" in lower:
        return f"Use an image for linux/{manifest.architecture(platform.machine())}."
    if "toomanyrequests" in lower or "too many requests" in lower or " 429" in lower:
        return "The registry limits requests: wait, or use a user name and a password."
    if "did not end within" in lower:
        return (
            "The registry hangs or is slow: try again, or ask an admin to raise"
            " SLIPWAY_PULL_TIMEOUT (`manage.py image` has --timeout)."
        )
    if "no such host" in lower:
        return "The registry's name has no address: check the name, and this machine's DNS."
    return "Check the name, the network, and that the registry runs."
