"""Shipping of logs: it copies the output of instances from their monitors' files to their app's
log.

The offset is stored after each append. So a killed process loses no line, but the lines of its last
append may appear twice (at-least-once delivery). Copied bytes are freed from the monitor's file
(hole punching), whose offsets stay. So a monitor need not reopen its file, and an app that prints
much does not fill the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.logs import logfile
from runtime.masking import Mask

AT_MOST = (
    4 * 2**20
)  # bytes of one instance that are copied at a time, so that each instance gets its turn
TOO_FAR_BEHIND = 64 * 2**20  # an instance that prints too fast loses older lines; its log says so
KEPT = 64 * 2**10  # bytes that are kept after copying: the last lines explain why an instance ended
_FREED_AT_ONCE = 2**20
_LONGEST_WAIT = 2**17  # bytes of other output after which a line without its end is copied


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingProgress:
    """The position in one monitor's file.

    The inode identifies the file: the monitor replaces it when it has grown too long.
    """

    offset: int = 0
    freed: int = 0
    inode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipper:
    """The shipper of a node.

    The supervisor calls it regularly, and the removal of an instance calls it for the last lines. A
    lock per app orders them.
    """

    config: NodeConfig
    console: Callable[[str], Path]  # an instance's monitor file
    free: Callable[[int, int, int], None]  # fd, from, to: give those bytes back to the disk
    mask_of: Callable[[str], Mask] = lambda _: Mask(())  # of an instance: its secrets
    at_most: int = AT_MOST
    too_far_behind: int = TOO_FAR_BEHIND

    def ship(
        self, app: str, instance: str, source: str, *, ended: bool = False, last: bool = False
    ) -> int:
        """Copy new lines and return their number.

        `ended` also copies a line without an end. `last` does, too, and forgets the instance: the
        next call would copy all its lines again.
        """
        with journal.lock(self.config.locks / f"log-{app}"):
            path = self._progress(instance)
            progress = _read(path)
            lines, after = self._read(self.console(instance), progress, source, last=ended or last)
            if lines:
                lines = _masked(lines, self.mask_of(instance))
            logfile.append(
                self.config.app_logs / f"{app}.log", lines, user=self.config.user, rotate=True
            )
            if after != progress:
                path.parent.mkdir(parents=True, exist_ok=True)
                journal.write_json(
                    path,
                    {"offset": after.offset, "freed": after.freed, "inode": after.inode},
                    durable=False,
                )
            if last:
                path.unlink(missing_ok=True)
        return len(lines)

    def say(
        self, app: str, text: str, *, at: float, source: str = "slipway", stream: str = "system"
    ) -> None:
        """Add lines of the platform to an app's log."""
        stamp = logfile.timestamp(at)
        lines = [logfile.line(stamp, source, stream, part) for part in text.splitlines()]
        with journal.lock(self.config.locks / f"log-{app}"):
            logfile.append(
                self.config.app_logs / f"{app}.log", lines, user=self.config.user, rotate=True
            )

    def add(
        self, app: str, texts: Sequence[tuple[float, str]], *, source: str, stream: str = "system"
    ) -> None:
        """Add lines with their own times (Unix seconds), such as those of the router's access
        log.
        """
        lines = [logfile.line(logfile.timestamp(at), source, stream, text) for at, text in texts]
        with journal.lock(self.config.locks / f"log-{app}"):
            logfile.append(
                self.config.app_logs / f"{app}.log", lines, user=self.config.user, rotate=True
            )

    def last_lines(self, instance: str, count: int = 10) -> list[str]:
        """Return the texts of the last lines that an instance printed."""
        try:
            with self.console(instance).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - KEPT // 4))
                tail = file.read()
        except FileNotFoundError:
            return []
        texts = [
            parsed[2]
            for raw in tail.split(b"\n")
            if (parsed := _parse(raw)) is not None and parsed[2].strip()
        ]
        mask = self.mask_of(instance) if texts else Mask(())
        return [mask(text)[:500] for text in texts[-count:]]

    def forget(self, app: str) -> None:
        """Remove an app's logs."""
        with journal.lock(self.config.locks / f"log-{app}"):
            for name in (f"{app}.log", f"{app}.log.1"):
                (self.config.app_logs / name).unlink(missing_ok=True)

    def _read(
        self, console: Path, progress: ShippingProgress, source: str, *, last: bool
    ) -> tuple[list[str], ShippingProgress]:
        try:
            fd = os.open(console, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return [], progress
        try:
            status = os.fstat(fd)
            size, lines = status.st_size, list[str]()
            if progress.inode not in (0, status.st_ino):
                lines, progress = [_cut(fd, source)], ShippingProgress()
            progress = replace(progress, inode=status.st_ino)
            if size - progress.offset > self.too_far_behind:
                more, progress = _skip(fd, size - self.at_most, progress, source)
                lines += more
            while progress.offset < size:
                more, taken = _lines(os.pread(fd, self.at_most, progress.offset), source, last=last)
                lines += more
                progress = replace(progress, offset=progress.offset + taken)
                if not last or not taken:
                    break
            return lines, self._free(fd, progress)
        finally:
            os.close(fd)

    def _free(self, fd: int, progress: ShippingProgress) -> ShippingProgress:
        end = (progress.offset - KEPT) // 4096 * 4096
        if end - progress.freed < _FREED_AT_ONCE:
            return progress
        self.free(fd, progress.freed, end)
        return replace(progress, freed=end)

    def _progress(self, instance: str) -> Path:
        return self.config.state / "shipping" / f"{instance}.json"


def _masked(lines: Sequence[str], mask: Mask) -> list[str]:
    """Mask the texts of log lines, not their times, sources and streams."""
    parted = (line.split(" ", 3) for line in lines)
    return [" ".join((*parts[:3], mask(parts[3]))) for parts in parted]


def _read(path: Path) -> ShippingProgress:
    try:
        found = journal.read_json(path)
    except ValueError:  # cut short by a power failure: copy again from the start
        found = None
    return (
        ShippingProgress(
            offset=int(found["offset"]), freed=int(found["freed"]), inode=int(found["inode"])
        )
        if found
        else ShippingProgress()
    )


def _skip(
    fd: int, offset: int, progress: ShippingProgress, source: str
) -> tuple[list[str], ShippingProgress]:
    """Skip lines up to the first one that starts after `offset`."""
    offset += os.pread(fd, 65_536, offset).find(b"\n") + 1
    count, size = (
        logfile.count_lines(fd, progress.offset, offset),
        (offset - progress.offset) // 2**20,
    )
    text = (
        f"{count} lines ({size} MiB) were dropped here, because it prints faster than they can be"
        " kept."
    )
    return [logfile.line(_stamp_at(fd, offset), source, "system", text)], replace(
        progress, offset=offset
    )


def _cut(fd: int, source: str) -> str:
    """Return the line that reports a new file of the monitor.

    The old one had reached its maximum length, and what was not copied by then is lost.
    """
    return logfile.line(
        _stamp_at(fd, 0),
        source,
        "system",
        "Lines may have been dropped here, because it prints faster than they can be kept.",
    )


def _stamp_at(fd: int, offset: int) -> str:
    parsed = _parse(os.pread(fd, 65_536, offset).split(b"\n", 1)[0])
    return parsed[0] if parsed else logfile.timestamp(0)


def _lines(data: bytes, source: str, *, last: bool) -> tuple[list[str], int]:
    """Return whole lines, and their number of bytes.

    A long line consists of parts (P) and ends with a full one (F).
    """
    lines: list[str] = []
    parts: dict[str, list[str]] = {}
    position = done = whole_lines = 0
    while (end := data.find(b"\n", position)) >= 0:
        parsed = _parse(data[position:end])
        position = end + 1
        if parsed is not None:
            stamp, stream, text, whole = parsed
            parts.setdefault(stream, []).append(text)
            if whole or sum(map(len, parts[stream])) > logfile.LONGEST_TEXT:
                lines.append(logfile.line(stamp, source, stream, "".join(parts.pop(stream))))
        if not parts:
            done, whole_lines = position, len(lines)
    if parts and (last or position - done > _LONGEST_WAIT):
        stamp = _last_stamp(data)
        return (
            lines
            + [
                logfile.line(stamp, source, stream, "".join(texts))
                for stream, texts in parts.items()
            ],
            position,
        )
    return (
        lines[:whole_lines],
        done,
    )  # bytes after a line's first part are read again, together with its end


def _last_stamp(data: bytes) -> str:
    parsed = _parse(data.rstrip(b"\n").rsplit(b"\n", 1)[-1])
    return parsed[0] if parsed else logfile.timestamp(0)


def _parse(raw: bytes) -> tuple[str, str, str, bool] | None:
    """Parse one line of the k8s-file format, or return None.

    `2026-11-24T00:50:09.179123+00:00 stdout F text`
    """
    words = raw.decode(errors="replace").split(" ", 3)
    if len(words) < 3 or words[1] not in ("stdout", "stderr") or words[2] not in ("F", "P"):
        return None
    moment, _, zone = words[0].partition("+")
    whole, _, fraction = moment.partition(".")
    if zone not in ("00:00", "") or len(whole) != 19:
        return None
    stamp = f"{whole}.{fraction[:3]:0<3}Z"
    return stamp, words[1], words[3] if len(words) == 4 else "", words[2] == "F"
