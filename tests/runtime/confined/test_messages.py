"""Tests that messages of a helper that was taken over cannot exhaust or block the host's side."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from runtime import cancellation
from runtime.builds.source import code
from runtime.confined import removal, wire
from runtime.confined.registry import limits_of, name_of
from runtime.confined.session import Confinement, Session
from runtime.confined.wire import Malformed
from runtime.errors import Cancelled, HelperFailed, LimitReached
from runtime.images.layers.diff import compare
from runtime.images.layers.written import MOST_CHANGES, written
from runtime.kernel import Kernel
from runtime.trees.folder import Folder


class Deaf(Session):
    """A session whose helper is the test itself."""

    def end(self) -> None:
        self.is_broken = True


@pytest.fixture
def sides() -> Iterator[tuple[Session, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(20)
        yield Deaf(7, ours, -1, -1, cast(Kernel, None), ExitStack(), None), theirs


def call(session: Session, seconds: float = 5.0) -> int:
    return session.call_for(seconds, lambda _: None, removal.measure)  # type: ignore[call-arg]


def head(length: int) -> bytes:
    return struct.pack("!IH", length, 0)


def whole(body: object) -> bytes:
    data = json.dumps(body).encode()
    return head(len(data)) + data


def test_half_a_header_ends_at_the_deadline_of_the_call(
    sides: tuple[Session, socket.socket],
) -> None:
    session, helper = sides
    helper.sendall(head(10)[:3])
    started = time.monotonic()
    with pytest.raises(LimitReached, match="within 0.5 s"):
        call(session, 0.5)
    assert time.monotonic() - started < 10
    assert session.is_broken


def test_a_message_that_arrives_byte_by_byte_ends_at_the_deadline(
    sides: tuple[Session, socket.socket],
) -> None:
    session, helper = sides
    helper.sendall(head(1 << 20))
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            helper.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(LimitReached, match="within 1 s"):
            call(session, 1)
    finally:
        stop.set()
        thread.join()


def test_half_a_message_does_not_delay_a_cancellation(
    sides: tuple[Session, socket.socket],
) -> None:
    session, helper = sides
    helper.sendall(head(10) + b"{")
    moment = time.monotonic() + 0.5
    with cancellation.when(lambda: time.monotonic() > moment), pytest.raises(Cancelled):
        call(session, 600)


def test_a_long_message_is_refused_by_its_header(sides: tuple[Session, socket.socket]) -> None:
    session, helper = sides
    helper.sendall(head(limits_of(name_of(removal.measure)).length + 1))
    with pytest.raises(HelperFailed, match="not valid"):
        call(session)


def test_only_calls_that_return_much_have_the_large_limit() -> None:
    assert limits_of(name_of(compare)).length == 32 << 20
    assert limits_of(name_of(removal.measure)).length == 8 << 20


def test_many_small_values_are_refused_before_they_are_parsed(
    sides: tuple[Session, socket.socket],
) -> None:
    session, helper = sides
    data = b'{"result":[' + b",".join([b"{}"] * 200_000) + b"]}"
    thread = threading.Thread(target=helper.sendall, args=(head(len(data)) + data,))
    thread.start()
    with pytest.raises(HelperFailed, match="more than 100000 values"):
        call(session)
    thread.join()


def test_output_has_a_limit(sides: tuple[Session, socket.socket]) -> None:
    session, helper = sides
    line = whole({"say": "x" * 100_000})
    thread = threading.Thread(target=helper.sendall, args=(line * 11,))
    thread.start()
    with pytest.raises(HelperFailed, match="characters of output"):
        call(session)
    thread.join()


@pytest.mark.parametrize("number", [10**20, -1, "x", [], {}])
def test_an_impossible_error_number_is_reported_as_a_fault(
    sides: tuple[Session, socket.socket], number: object
) -> None:
    session, helper = sides
    helper.sendall(whole({"errno": number}))
    with pytest.raises(HelperFailed, match="failed in its helper"):
        call(session)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a":[1,2,3]}', 4),
        ('{"a":"1,2,{[,,,,"}', 1),
        ('{"a":"\\\\","b":",,,,\\",,"}', 4),
        ('{"a":"\\\\\\",,,,,"}', 1),
        ('["a","b","c"]', 3),
    ],
)
def test_values_are_counted_outside_of_texts(text: str, values: int) -> None:
    json.loads(text)
    wire._check_values(text.encode(), max(values, 2))
    with pytest.raises(Malformed):
        wire._check_values(b"[" + b",".join([text.encode()] * 5) + b"]", values)


def test_another_encoding_cannot_hide_values() -> None:
    ours, theirs = socket.socketpair()
    data = ('{"\u2222":[' + ",".join(["{}"] * 1000) + "]}").encode("utf-16-le")
    assert json.loads(data)
    with ours, theirs:
        theirs.sendall(head(len(data)) + data)
        with pytest.raises(Malformed):
            wire.receive(ours, most_values=1_000_000)


def test_a_name_that_is_not_text_survives() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(theirs, {"result": ["\udcff", "ä", "\0", '"\\']})
        assert wire.receive(ours, most_values=10).body == {"result": ["\udcff", "ä", "\0", '"\\']}


def test_an_answer_above_the_limit_is_reported_and_the_helper_still_works(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(7 << 20))
    with Confinement().session(7) as helper:
        tree = helper.tree(tmp_path)
        with pytest.raises(LimitReached, match="larger than 8 MiB"):
            helper.call(code.read_text_file, tree=tree, name="large", most=7 << 20)
        assert helper.call(removal.measure, top=tree) >= 7 << 20


def test_long_names_of_changes_end_the_list_of_changes(tmp_path: Path) -> None:
    folder = tmp_path / "upper"
    for number in range(10):
        folder = folder / f"{number}{'n' * 200}"
    folder.mkdir(parents=True)
    for number in range(5000):
        (folder / str(number)).touch()
    with Folder.at(tmp_path / "upper") as upper:
        found = written(upper, (), frozenset(), MOST_CHANGES)
    assert not found.whole
    assert sum(len(change.path) for change in found.changes) < 9 << 20
