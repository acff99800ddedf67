"""The explanation of a code, and the codes of lines that `slipway` writes to an app's log. Pure.

The codes here are about an instance, and not about the end of a request.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of one code.

    `refresh` is the seconds after which a browser tries again by itself, 0 for never. A code with
    status 0 is only in `seen_in`.
    """

    name: str
    status: int
    title: str  # the first sentence for the visitor
    next_step: str  # the second one
    meaning: str  # for the owner
    look_at: str
    fix: str
    refresh: int = 0
    seen_in: str = "the access log"

    @property
    def seen(self) -> str:
        """Return where people see the code, as a sentence."""
        return f"Status {self.status}." if self.status else f"Seen in {self.seen_in} only."


NOTED: dict[str, Explanation] = {
    "R14": Explanation(
        name="memory-exceeded",
        status=0,
        seen_in="the app's log",
        title="The kernel killed a process in a running instance.",
        next_step="",
        meaning=(
            "The instance reached its memory limit, and the kernel killed one of its processes. The"
            " others keep running. If it killed a worker of a web server, some requests end with"
            " H13."
        ),
        look_at=(
            "The memory chart in the metrics; the number of workers that the instance starts"
            " (`SLIPWAY_MEMORY` is its limit in bytes)."
        ),
        fix="Start fewer workers, find what uses the memory, or give the process type more.",
    ),
    "R15": Explanation(
        name="network-limit-reached",
        status=0,
        seen_in="the app's log",
        title="The network dropped packets of a running instance.",
        next_step="",
        meaning=(
            "It sent more DNS queries or UDP packets, or opened more connections, than a limit"
            " allows. The log names the limit once per hour."
        ),
        look_at="The frequency of the app's DNS lookups and new connections.",
        fix=(
            "Keep connections open (`keep-alive`, a pool), cache DNS lookups, or run more"
            " instances."
        ),
    ),
}
MEMORY_EXCEEDED = f"R14 {NOTED['R14'].name}"
NETWORK_LIMITED = f"R15 {NOTED['R15'].name}"
