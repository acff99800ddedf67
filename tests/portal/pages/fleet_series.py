"""Time series of an app in Redis, as the supervisor writes them."""

import json
from collections.abc import Iterable

from django.utils import timezone

MIB = 2**20
PARTS = {"web.0": 2, "web.1": 2, "worker.0": 6}  # name -> its share of the memory


def write_series(
    app: str, *, points: int = 300, parts: Iterable[str] = PARTS, hours: int = 29 * 24
) -> None:
    """Write the last hour, the last day in steps of five minutes, and the last month in hours."""
    from portal.events import client

    now = timezone.now().timestamp()
    for name, step, count in (("fine", 10, points), ("coarse", 300, 280), ("hours", 3600, hours)):
        texts, texts_of_parts = [], []
        for number in range(count):
            at, wave = now - step * (count - 1 - number), (number * 7) % 40
            texts.append(json.dumps(_point(at, step, wave)))
            texts_of_parts.append(
                json.dumps(
                    {
                        "at": at,
                        "seconds": step,
                        "parts": {part: _part(part, wave, step) for part in parts}
                        | ({"web": _part("web", wave, step)} if "web.1" in parts else {}),
                    }
                )
            )
        if texts:
            client().rpush(f"slipway:series:{app}:{name}", *texts)
            client().rpush(f"slipway:series:{app}:{name}:parts", *texts_of_parts)


def _point(at: float, step: int, wave: int) -> dict[str, object]:
    requests = (180 + 3 * wave) * step // 10
    return {
        "at": at,
        "seconds": step,
        "requests": requests,
        "classes": {
            "2xx": requests - 3 * (step // 10),
            "3xx": 2 * (step // 10),
            "5xx": step // 10 if wave > 30 else 0,
        },
        "p50": 11.5 + wave / 10,
        "p95": 38.0 + wave,
        "p99": 90.0 + 3 * wave,
        "received": requests * 420,
        "sent": requests * 9_000,
        "in_flight": wave // 8,
        "cpu": 310 + 9 * wave,
        "cpu_limit": 1500,
        "memory": (236 + wave) * MIB,
        "memory_limit": 1280 * MIB,
        "disk": (40 + wave // 4) * MIB,
        "disk_limit": 3072 * MIB,
        "egress": 20_000 * wave,
        "ingress": 90_000 * wave,
        "restarts": 1 if wave == 38 else 0,
    }


def _part(name: str, wave: int, step: int) -> list[int]:
    share = PARTS.get(name, 1)
    count = 2 if name == "web" else 1
    return [
        (100 + 3 * wave) * count,
        500 * count,
        (60 + wave // share) * MIB * count,
        512 * MIB * count,
        (12 + wave // 9) * MIB * count,
        1024 * MIB * count,
        900 * wave * step,
        4_000 * wave * step,
        1 if wave == 38 and name != "web.0" else 0,
    ]
