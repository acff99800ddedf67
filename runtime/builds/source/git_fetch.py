"""Fetch a Git repository in a build container of the team.

The container has the team's limits and its network policy, so a repository can neither use more
than a build step nor reach other addresses. In addition, the node refuses names with a local
address before it starts. Submodules are not fetched.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.packages.sources import surroundings
from runtime.builds.sandbox import WORKSPACE, run_within
from runtime.builds.steps import Tool
from runtime.containers.spec import ContainerSpec, Purpose
from runtime.contract.git_address import GitAddress
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource
from runtime.images.layers import sanitizing
from runtime.network.policy import EgressPolicy
from runtime.stacks.builder import ensure_runtime
from runtime.stacks.definition import GIT

LARGEST = Bytes(2 << 30)  # the repository and its files on disk
TIME_LIMIT = 300.0  # seconds
OUT = "out"  # the folder of the result
ARCHIVE = "source.tar"
_LINES = 50  # of git's output that are kept to explain a failure
_SUBMODULE, _NO_FOLDER = "slipway-submodule", "slipway-no-folder"

_SCRIPT = f"""set -eu
mkdir -p "$HOME" /{OUT} /tmp/repository
cd /tmp/repository
git init -q --bare .
git config remote.origin.url "$ADDRESS"
git fetch -q --depth 1 --no-tags --no-recurse-submodules --no-write-fetch-head origin \\
    "+${{REF:-HEAD}}:refs/slipway/wanted"
wanted=$(git rev-parse --verify -q 'refs/slipway/wanted^{{commit}}')
git log -1 --format='commit %H %s%nauthor %an' "$wanted"
if [ "$(git cat-file -t "$wanted:$FOLDER" 2> /dev/null)" != tree ]; then
    echo {_NO_FOLDER}
    exit 3
fi
tree=$(git rev-parse --verify "$wanted:$FOLDER")
submodule=$(git ls-tree -r "$tree" | awk -F '\\t' '/^160000/ {{ print $2; exit }}')
if [ -n "$submodule" ]; then
    echo "{_SUBMODULE} $submodule"
    exit 3
fi
if [ "$PACKED" = yes ]; then
    git archive --format=tar -o "/{OUT}/{ARCHIVE}" "$tree"
else
    git --work-tree=/{OUT} read-tree "$tree"
    git --work-tree=/{OUT} checkout-index -a -f -q
fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A fetched repository. `tree` has the folder `out` with its files, without .git, or with the
    file source.tar. The caller owns the tree."""

    commit: str
    author: str
    tree: Path


def fetch(context: BuildContext, address: GitAddress, *, number: int, packed: bool) -> Fetched:
    """Fetch one commit of a repository. `packed`: as a tar archive.

    BadSource says in one sentence why it is not possible.
    """
    _check_reach(context, address)
    context.apply_team_limits()
    git = ensure_runtime(context.config, context.store, GIT, GIT.stack, context.log)
    place = context.workspace / f"git{number}"
    place.mkdir(mode=0o711)
    around = surroundings(Tool.SHELL, place)
    spec = ContainerSpec(
        id=context.container_id(number),
        app=context.app,
        team=context.team,
        layers=tuple(context.store.unpacked(layer) for layer in reversed(git)),
        command=("/bin/sh", "-c", _SCRIPT),
        environment={
            **around.environment,
            **_settings(address),
            "ADDRESS": address.url,
            "REF": address.ref,
            "FOLDER": address.folder,
            "PACKED": "yes" if packed else "no",
        },
        uid=0,
        gid=0,
        limits=replace(context.limits, disk=min(LARGEST, context.limits.disk)),
        binds=around.binds,
        purpose=Purpose.BUILD,
        labels={WORKSPACE: context.workspace.name},
    )
    context.containers.remove(spec.id)  # of a build that was killed
    lines: deque[str] = deque(maxlen=_LINES)
    started = time.monotonic()
    try:
        end = run_within(
            context,
            spec,
            log=lambda line: lines.append(line.strip()),
            is_to_end=lambda: time.monotonic() - started > TIME_LIMIT,
        )
        context.budget.check()
        if end.code != 0:
            late = time.monotonic() - started > TIME_LIMIT
            raise _failure(address, lines, "It took too long." if late else end.explain())
        made = context.workspace / f"fetched{number}"
        made.mkdir(mode=0o755)
        upper = context.containers.upper(spec.id)
        with (
            context.helper.tree(upper, writable=True) as written,
            context.helper.tree(made, writable=True) as into,
        ):
            context.helper.call(
                sanitizing.collect,
                upper=written,
                into=into,
                folders=(OUT,),
                most=spec.limits.disk,
            )
    finally:
        context.containers.remove(spec.id)
    commit, _, subject = _said(lines, "commit").partition(" ")
    context.log(f"Fetched {address}: commit {commit[:12]}, {subject[:100]}")
    return Fetched(commit=commit, author=_said(lines, "author"), tree=made)


def _said(lines: Iterable[str], word: str) -> str:
    """Return the rest of the first line that starts with a word."""
    found = next((line for line in lines if line.startswith(f"{word} ")), "")
    return found.removeprefix(f"{word} ")


def _settings(address: GitAddress) -> dict[str, str]:
    """Return git's configuration as variables (git-config(1), GIT_CONFIG_COUNT).

    A token is sent only to the repository's own address: redirects are followed only without one.
    """
    settings = {
        "http.followRedirects": "false" if address.token else "initial",
        "protocol.allow": "never",
        "protocol.https.allow": "always",
        "protocol.http.allow": "always" if address.is_plain else "never",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "120",
        "core.symlinks": "true",
        "core.hooksPath": "/dev/null",
    }
    if address.token:
        word = base64.b64encode(f"x-access-token:{address.token}".encode()).decode()
        settings[f"http.{address.url}.extraHeader"] = f"Authorization: Basic {word}"
    numbered = list(enumerate(settings.items()))
    return {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(numbered)),
        **{f"GIT_CONFIG_KEY_{number}": name for number, (name, _) in numbered},
        **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered},
    }


def _check_reach(context: BuildContext, address: GitAddress) -> None:
    """Raise BadSource if the team or this node does not fetch from the host."""
    is_named = address.host in context.config.git_hosts
    if address.is_plain and not is_named:
        raise BadSource(
            f"{address.url} is not encrypted, so it is not fetched.",
            hint="Use an https:// address.",
        )
    policy = context.team_limits.network if context.team_limits is not None else None
    egress = policy.egress_of(build=True) if policy else EgressPolicy.OPEN
    listed = policy is not None and policy.is_listed(address.host, address.port)
    if egress is EgressPolicy.NONE or (egress is EgressPolicy.ALLOW_LIST and not listed):
        raise BadSource(
            f"The network policy of this team does not allow builds to fetch from {address.host}.",
            hint=f"An admin can add {address.host} to the team's allow list.",
        )
    if is_named:
        return
    found = _addresses(address.host, address.port)
    if any(not ipaddress.ip_address(number).is_global for number in found):
        raise BadSource(
            f"{address.host} is an address of this machine or of a local network, so it is not"
            " fetched.",
            hint="Use a public host, or ask an admin to add it to SLIPWAY_GIT_HOSTS.",
        )


def _addresses(host: str, port: int) -> set[str]:
    """Return the current addresses of a name. If it has none, git reports the error."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {str(entry[4][0]).partition("%")[0] for entry in found}


def _failure(address: GitAddress, lines: deque[str], otherwise: str) -> BadSource:
    """Return the error for git's output."""
    said = "\n".join(lines).lower()
    for line in lines:
        if line.startswith(_SUBMODULE):
            return BadSource(
                f"{address.url} has the submodule {line.removeprefix(_SUBMODULE).strip()[:200]},"
                " which is not fetched.",
                hint="Commit the files instead.",
            )
    if _NO_FOLDER in said:
        return BadSource(
            f"{address.url} has no folder {address.folder!r} at"
            f" {address.ref or 'its default branch'}.",
            hint="Correct the part after `:`.",
        )
    if "couldn't find remote ref" in said or "not our ref" in said:
        return BadSource(
            f"{address.url} has no branch, tag or commit {address.ref or 'HEAD'!r}.",
            hint="Correct the branch.",
        )
    denied = ("could not read username", "authentication failed", "error: 403", "error: 401")
    if any(words in said for words in denied):
        return (
            BadSource(
                f"{address.url} refused the token.",
                hint="Use a token that may read the repository.",
            )
            if address.token
            else BadSource(
                f"{address.url} does not exist, or needs a token.",
                hint="Correct the address, or give a token that may read the repository.",
            )
        )
    if "not found" in said or "error: 404" in said or "not valid: is this a git repository" in said:
        return BadSource(f"{address.url} was not found.", hint="Correct the address.")
    if "no space left" in said or "disk quota" in said or "unable to write" in said:
        return BadSource(
            f"{address.url} is too large. The limit for a repository with its files is {LARGEST},"
            " or the team's disk quota if that is less.",
            hint="Deploy a smaller repository, or an archive of the needed files.",
        )
    unreachable = (
        "could not resolve",
        "failed to connect",
        "too slow",
        "couldn't connect",
        "timed out",
    )
    if any(words in said for words in unreachable):
        return BadSource(
            f"{address.host} does not answer.", hint="Check the address, and try again later."
        )
    last = next((line for line in reversed(lines) if line), "")
    return BadSource(f"{address.url} could not be fetched. {last[:200] or otherwise}")
