"""What the supervisor sees of an instance's memory is told where its owner looks."""

from __future__ import annotations

import pytest
import redis

from portal.releases.models import RolloutState
from runtime.contract.notices import MEMORY_EXCEEDED
from workers.supervisor.instance_cache import Roster
from workers.supervisor.usage_samples import UsageSampling
from workers.tasks.converge import converge
from workers.tasks.rollout import roll_out

pytestmark = pytest.mark.slow


def test_a_process_ended_for_its_memory_in_a_living_instance_is_told_once(plant, broker: redis.Redis) -> None:
    app = plant.app()
    rollout = plant.release(app)
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE
    told = plant.config.app_logs / f"{app.name}.log"
    sampling = UsageSampling(plant.engine, Roster(plant.engine), broker)
    sampling.round()
    (instance,) = plant.engine.instances()
    plant.get(app, "/glut")

    def is_told() -> bool:
        sampling.round()
        return told.exists() and MEMORY_EXCEEDED in told.read_text()

    plant.until(is_told)
    sampling.round()
    lines = [line for line in told.read_text().splitlines() if MEMORY_EXCEEDED in line]
    assert len(lines) == 1
    assert f"the kernel ended 1 process of {instance.id}, which reached its 512 MiB of memory." in lines[0]
    assert plant.get(app).status_code == 200, "the rest of it lives on"
    UsageSampling(plant.engine, Roster(plant.engine), broker).round()
