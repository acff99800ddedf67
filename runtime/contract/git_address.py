"""Parse the address of a Git repository: `https://HOST/PATH.git#REF:FOLDER`, as in BuildKit. Pure.

REF is a branch, a tag or a commit. Without it, the default branch of the repository is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,199}", re.ASCII)
_FOLDER = re.compile(r"[^\0\n]{1,500}")
_LONGEST = 500  # characters
_SCHEMES = ("https", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAddress:
    """A repository, and what to use of it."""

    url: str  # without user and password
    ref: str = ""  # "" is the default branch
    folder: str = ""  # relative; "" is the whole repository
    token: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, *, token: str = "") -> Self:
        """Parse an address. Raise ValueError with the fault and the remedy."""
        if len(text) > _LONGEST or not text.isprintable() or " " in text:
            raise ValueError("a Git address has at most 500 characters and no spaces")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError("it is not a URL; write https://HOST/PATH.git") from None
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError("only HTTPS is supported; write https://HOST/PATH.git")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a user name or password in it would be shown; give a token instead")
        if parts.query or not parts.path.strip("/"):
            raise ValueError("it has no path of a repository; write https://HOST/PATH.git")
        ref, _, folder = parts.fragment.partition(":")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        url = urlunsplit(
            (parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", "")
        )
        return cls(url=url, ref=check_ref(ref), folder=_folder(folder), token=token)

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or {"https": 443, "http": 80}[parts.scheme]

    @property
    def is_plain(self) -> bool:
        """Return whether the address is not encrypted."""
        return self.url.startswith("http://")

    def __str__(self) -> str:
        fragment = f"{self.ref}:{self.folder}" if self.folder else self.ref
        return f"{self.url}#{fragment}" if fragment else self.url


def is_git(text: str) -> bool:
    """Return whether a source of ADD is a Git repository by BuildKit's rule for HTTP: its path ends
    in .git."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and parts.path.endswith(".git")


def check_ref(ref: str) -> str:
    """Return a branch, tag or commit, or raise ValueError if it is malformed
    (git-check-ref-format)."""
    bad = ".." in ref or "//" in ref or "@{" in ref or ref.endswith(("/", ".", ".lock"))
    if ref and (bad or not _REF.fullmatch(ref)):
        raise ValueError(f"{ref[:80]!r} is not a valid branch, tag or commit")
    return ref


def _folder(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text and (".." in parts or ".git" in parts or not _FOLDER.fullmatch(text)):
        raise ValueError(f"{text[:80]!r} is not a folder of the repository")
    return "/".join(parts)
