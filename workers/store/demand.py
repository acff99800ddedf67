"""The format of the load samples of autoscaled apps in Redis.

The supervisor writes the samples and the autoscale task reads them. The task also writes which apps
to sample, because the supervisor knows no rows. Without Redis nothing is sampled, and nothing is
scaled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import redis

from portal.traffic.autoscale import DOWN, STABLE, Sample
from workers.schedules import SAMPLE_DEMAND

_APPS_KEY = "slipway:autoscaled"  # a set of app names
_SAMPLING_EXPIRY = 60  # seconds until sampling ends if nobody reads the samples
_KEPT = int((DOWN + STABLE) / SAMPLE_DEMAND) + 5


def samples_of(client: redis.Redis, apps: Iterable[str]) -> dict[str, list[Sample]]:
    """Return each app's samples, oldest first, and have these apps sampled from now on.

    Raises redis.RedisError if Redis is away.
    """
    names = list(apps)
    with client.pipeline(transaction=True) as pipeline:
        pipeline.delete(_APPS_KEY)
        if names:
            pipeline.sadd(_APPS_KEY, *names)
            pipeline.expire(_APPS_KEY, _SAMPLING_EXPIRY)
        for name in names:
            pipeline.lrange(_key(name), 0, _KEPT)
        rows = pipeline.execute()[-len(names) :] if names else []
    return {
        name: [msgspec.json.decode(text, type=Sample) for text in reversed(found)]
        for name, found in zip(names, rows, strict=True)
    }


def sampled_apps(client: redis.Redis) -> set[str]:
    """Return the names of the apps to sample."""
    return {name if isinstance(name, str) else name.decode() for name in client.smembers(_APPS_KEY)}


def keep(client: redis.Redis, samples: Mapping[str, Sample]) -> None:
    """Store one more sample of each app, and drop those that are too old."""
    with client.pipeline(transaction=False) as pipeline:
        for app, sample in samples.items():
            pipeline.lpush(_key(app), msgspec.json.encode(sample))
            pipeline.ltrim(_key(app), 0, _KEPT)
            pipeline.expire(_key(app), int(DOWN + STABLE))
        pipeline.execute()


def _key(app: str) -> str:
    return f"slipway:demand:{app}"
