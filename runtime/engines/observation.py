"""A look of an engine at an app."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.converge.observed import ObservedApp
from runtime.converge.planning.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The observed state of an app, and the plan that follows from it."""

    observed: ObservedApp
    plan: Plan
    at: float
