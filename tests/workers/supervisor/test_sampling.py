"""Test of the supervisor's memory notice, which appears in the app's log."""

from __future__ import annotations

import pytest
import redis

from portal.releases.models import RolloutState
from runtime.contract.notices import MEMORY_EXCEEDED
from workers.supervisor.instance_cache import InstanceCache
from workers.supervisor.usage_samples import UsageSampling
from workers.tasks.converge import converge
from workers.tasks.rollout import roll_out

pytestmark = pytest.mark.slow


def test_a_process_killed_for_its_memory_in_a_running_instance_is_logged_once(
    plant, broker: redis.Redis
) -> None:
    app = plant.app()
    rollout = plant.release(app)
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE
    log = plant.config.app_logs / f"{app.name}.log"
    sampling = UsageSampling(plant.engine, InstanceCache(plant.engine), broker)
    sampling.round()
    (instance,) = plant.engine.instances()
    plant.get(app, "/glut")

    def is_logged() -> bool:
        sampling.round()
        return log.exists() and MEMORY_EXCEEDED in log.read_text()

    plant.until(is_logged)
    sampling.round()
    lines = [line for line in log.read_text().splitlines() if MEMORY_EXCEEDED in line]
    assert len(lines) == 1
    assert (
        f"the kernel killed 1 process of {instance.id}, which used all of its 512 MiB of memory."
        in lines[0]
    )
    assert plant.get(app).status_code == 200, "the rest of the instance still runs"
    UsageSampling(plant.engine, InstanceCache(plant.engine), broker).round()
