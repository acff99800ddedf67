"""What this node has, against what all quotas together promise and all formations together book."""

from __future__ import annotations

import os
from dataclasses import dataclass

from portal.quotas import amounts
from portal.quotas.access import TeamLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """One resource of the node: booked by formations, promised by quotas, there."""

    name: str
    booked: int
    promised: int
    total: int
    booked_words: str
    promised_words: str
    total_words: str

    @property
    def label(self) -> str:
        """The bar in words."""
        return f"{self.name}: {self.booked_words} booked, {self.promised_words} promised by quotas, {self.total_words} there"


def capacity_of(teams: list[TeamLine]) -> list[Capacity]:
    """CPU and memory. The portal runs on the node it tells of."""
    cores = len(os.sched_getaffinity(0)) * 1000
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    sums = (
        ("CPU", sum(line.use.cpu for line in teams), sum(line.quota.cpu for line in teams), cores, amounts.cpu),
        ("Memory", sum(line.use.memory for line in teams), sum(line.quota.memory for line in teams), memory, amounts.size),
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
