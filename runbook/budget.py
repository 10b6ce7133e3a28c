"""A budget of real seconds that is handed down, so that no call outlives the step that made it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from runbook.clock import host_monotonic
from runbook.errors import RunbookError


class BudgetSpent(RunbookError):
    """The time given to this step is used up."""


@dataclass(slots=True)
class Budget:
    """`seconds` of the host from its making on; `stop` ends it early (shutdown, a step given up)."""

    seconds: float
    stop: threading.Event = field(default_factory=threading.Event)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self._until = host_monotonic() + self.seconds

    def left(self) -> float:
        """Seconds left, never below zero."""
        return 0.0 if self.stop.is_set() else max(0.0, self._until - host_monotonic())

    def take(self, at_most: float) -> float:
        """The time-out for one call: `at_most` seconds or what is left; raises BudgetSpent when nothing is."""
        left = self.left()
        if left <= 0.01:
            raise BudgetSpent(f"the {self.seconds:g} s given to this step are used up")
        return min(at_most, left)
