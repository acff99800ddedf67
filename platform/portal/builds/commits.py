"""The commit that a build was made of, and its pages at the Git host. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{1,300}")
LONGEST_AUTHOR = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit. `id` is the full hash in hex; `author` is a name without the address."""

    id: str
    subject: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """The pages of a repository at a Git host whose addresses are known."""

    page: str  # https://HOST/OWNER/NAME
    commits: str  # between page and commit
    comparison: str  # with {before} and {after}

    def commit_url(self, commit: str) -> str:
        """Return the page of a commit."""
        return f"{self.page}{self.commits}{commit}"

    def compare_url(self, before: str, after: str) -> str:
        """Return the page that compares two commits."""
        return self.page + self.comparison.format(before=before, after=after)


_GITHUB = ("/commit/", "/compare/{before}...{after}")
_GITLAB = ("/-/commit/", "/-/compare/{before}...{after}")
_BITBUCKET = ("/commits/", "/branches/compare/{after}%0D{before}")
# a host, or the first label of a host that people run themselves
_HOSTS = {
    "github.com": _GITHUB,
    "codeberg.org": _GITHUB,
    "gitea.com": _GITHUB,
    "gitlab.com": _GITLAB,
    "bitbucket.org": _BITBUCKET,
}
_LABELS = {"github": _GITHUB, "gitea": _GITHUB, "forgejo": _GITHUB, "gitlab": _GITLAB}


def forge_of(address: str) -> Forge | None:
    """Return the Git host's pages of a repository, or None if the host is not known.

    The address is of any origin. The result has only HTTPS addresses of safe characters.
    """
    try:
        parts = urlsplit(address.partition("#")[0])
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    path = parts.path.rstrip("/").removesuffix(".git")
    known = _HOSTS.get(host) or _LABELS.get(host.partition(".")[0])
    if parts.scheme != "https" or known is None or path.count("/") < 2:
        return None
    if not _PATH.fullmatch(path) or "/../" in f"{path}/":
        return None
    where = quote(host, safe=".-") + (f":{port}" if port else "")
    commits, comparison = known
    return Forge(page=f"https://{where}{path}", commits=commits, comparison=comparison)


def is_commit(text: str) -> bool:
    """Return True for the full hash of a commit, SHA-1 or SHA-256."""
    return _COMMIT.fullmatch(text) is not None
