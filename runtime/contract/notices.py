"""What a code of `codes` is made of; and the codes that stand for no end of a request, but for a line of `slipway` in the app's log. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One code. `refresh`: seconds after which a browser tries again by itself, 0 for never. Status 0: seen in `seen_in` only."""

    name: str
    status: int
    title: str  # what the visitor reads first
    next_step: str  # and then
    meaning: str  # for the owner
    look_at: str
    fix: str
    refresh: int = 0
    seen_in: str = "the access log"

    @property
    def seen(self) -> str:
        """Where somebody meets the code, as a sentence."""
        return f"Status {self.status}." if self.status else f"Seen in {self.seen_in} only."


NOTED: dict[str, Explanation] = {
    "R14": Explanation(
        name="memory-exceeded",
        status=0,
        seen_in="the app's log",
        title="The kernel ended a process in a running instance.",
        next_step="",
        meaning="The instance reached its limit of memory, and one of its processes had to go; the rest of it lives on. A web server whose "
        "workers end so answers some requests with H13.",
        look_at="The memory chart in the metrics; how many workers the instance starts (`SLIPWAY_MEMORY` tells it its limit in bytes).",
        fix="Start fewer workers, find what keeps memory, or give the process type more.",
    ),
    "R15": Explanation(
        name="network-limit-reached",
        status=0,
        seen_in="the app's log",
        title="The network dropped packets of a running instance.",
        next_step="",
        meaning="It sent more DNS queries or UDP packets, or opened more connections, than the limit that the line names (once an hour).",
        look_at="How often the app looks up names and opens connections.",
        fix="Keep connections open (`keep-alive`, a pool), cache what names lead to, or run more instances.",
    ),
}
MEMORY_EXCEEDED = f"R14 {NOTED['R14'].name}"
NETWORK_LIMITED = f"R15 {NOTED['R15'].name}"
