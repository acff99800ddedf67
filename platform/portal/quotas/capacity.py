"""Compare the capacity of this node with the sum of all quotas and with the allocation of all
formations."""

from __future__ import annotations

import os
from dataclasses import dataclass

from portal.quotas import amounts
from portal.quotas.access import TeamLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """One resource of the node: the sums of allocations and of quotas, and the capacity."""

    name: str
    booked: int
    promised: int
    total: int
    booked_words: str
    promised_words: str
    total_words: str

    @property
    def label(self) -> str:
        """Describe the bar in words."""
        return (
            f"{self.name}: {self.booked_words} of {self.total_words} allocated, quotas of"
            f" {self.promised_words}"
        )

    @property
    def sentence(self) -> str:
        """Return in words how much the quotas promise, and what that means."""
        promised = f"Quotas promise {self.promised_words} of {self.total_words}"
        if self.booked > self.total:
            return (
                f"{promised}, and instances are allocated {self.booked_words}: more than the node"
                " has. Lower a quota, or scale an app down."
            )
        if self.promised > self.total:
            times = f"{self.promised / self.total:.1f}".removesuffix(".0")
            return (
                f"{promised}: {times} times as much as the node has. Teams share it if all use"
                " their full quota."
            )
        return f"{promised}."


def capacity_of(teams: list[TeamLine]) -> list[Capacity]:
    """Return CPU and memory. The portal runs on the node that it describes."""
    cores = len(os.sched_getaffinity(0)) * 1000
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    sums = (
        (
            "CPU",
            sum(line.use.cpu for line in teams),
            sum(line.quota.cpu for line in teams),
            cores,
            amounts.cpu,
        ),
        (
            "Memory",
            sum(line.use.memory for line in teams),
            sum(line.quota.memory for line in teams),
            memory,
            amounts.size,
        ),
    )
    return [
        Capacity(
            name=name,
            booked=booked,
            promised=promised,
            total=total,
            booked_words=words(booked),
            promised_words=words(promised),
            total_words=words(total),
        )
        for name, booked, promised, total, words in sums
    ]
