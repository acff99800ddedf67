"""Addresses of commits at Git hosts."""

import pytest

from portal.builds.commits import forge_of, is_commit
from portal.gitserver.objects import author_of

OLD, NEW = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("address", "commit", "comparison"),
    [
        (
            "https://github.com/me/shop.git",
            f"https://github.com/me/shop/commit/{NEW}",
            f"https://github.com/me/shop/compare/{OLD}...{NEW}",
        ),
        (
            "https://gitlab.example.com/group/sub/shop.git#main",
            f"https://gitlab.example.com/group/sub/shop/-/commit/{NEW}",
            f"https://gitlab.example.com/group/sub/shop/-/compare/{OLD}...{NEW}",
        ),
        (
            "https://bitbucket.org/me/shop",
            f"https://bitbucket.org/me/shop/commits/{NEW}",
            f"https://bitbucket.org/me/shop/branches/compare/{NEW}%0D{OLD}",
        ),
    ],
)
def test_known_hosts_have_pages_of_commits_and_comparisons(
    address: str, commit: str, comparison: str
) -> None:
    forge = forge_of(address)
    assert forge is not None
    assert forge.commit_url(NEW) == commit
    assert forge.compare_url(OLD, NEW) == comparison


@pytest.mark.parametrize(
    "address",
    [
        "https://git.example.com/me/shop.git",
        "http://github.com/me/shop.git",
        "javascript://github.com/me/shop",
        "https://github.com/shop",
        "https://github.com/me/../admin",
        'https://github.com/me/"onclick="x',
        "https://github.com:port/me/shop",
        "registry.example.com/shop:1",
    ],
)
def test_other_addresses_have_no_pages(address: str) -> None:
    assert forge_of(address) is None


def test_a_commit_is_a_full_hash() -> None:
    assert [text for text in (NEW, "0" * 64, NEW[:12], "main") if is_commit(text)] == [
        NEW,
        "0" * 64,
    ]


def test_the_author_of_a_commit_is_one_printable_line() -> None:
    head = b"tree 1\nauthor Zo\xc3\xab \x1b[31m\xe2\x80\xae<b> <zoe@example.com> 1700000000 +0000\n"
    assert author_of(head + b"committer Bo <bo@example.com> 1 +0000\n\nSubject") == "Zoë [31m"
    assert author_of(b"tree 1\n\nauthor not a header <x@y>") == ""
