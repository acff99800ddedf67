"""Tests of the addresses of Git repositories."""

from __future__ import annotations

import pytest

from runtime.contract.git_address import GitAddress, is_git


@pytest.mark.parametrize(
    ("text", "url", "ref", "folder"),
    [
        ("https://example.com/a/b.git", "https://example.com/a/b.git", "", ""),
        ("https://example.com/a/b/", "https://example.com/a/b", "", ""),
        ("https://example.com:8443/b.git#v1.2", "https://example.com:8443/b.git", "v1.2", ""),
        (
            "https://example.com/b.git#feature/x:a/./b",
            "https://example.com/b.git",
            "feature/x",
            "a/b",
        ),
        ("https://example.com/b.git#:docs", "https://example.com/b.git", "", "docs"),
        ("https://[2001:db8::1]/b.git", "https://[2001:db8::1]/b.git", "", ""),
    ],
)
def test_an_address_has_a_repository_a_ref_and_a_folder(
    text: str, url: str, ref: str, folder: str
) -> None:
    found = GitAddress.parse(text)
    assert (found.url, found.ref, found.folder) == (url, ref, folder)
    assert GitAddress.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b.git",
        "ssh://git@example.com/b.git",
        "git@example.com:b.git",
        "file:///etc/x.git",
        "https://example.com",
        "https://me:word@example.com/b.git",
        "https://example.com/b.git?x=1",
        "https://example.com/b.git#-x",
        "https://example.com/b.git#a..b",
        "https://example.com/b.git#main:../x",
        "https://example.com/b.git#main:.git",
        "https://example.com/b.git\n",
        "https://example.com:99999/b.git",
        f"https://example.com/{'x' * 500}.git",
    ],
)
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        GitAddress.parse(text)


def test_a_token_is_in_no_text_of_the_address() -> None:
    address = GitAddress.parse("https://example.com/b.git", token="secret")
    assert "secret" not in f"{address} {address!r}"


def test_only_http_paths_that_end_in_git_are_repositories() -> None:
    assert is_git("https://example.com/b.git#main")
    assert not is_git("https://example.com/b.tar.gz")
    assert not is_git("b.git")
