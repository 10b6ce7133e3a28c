"""A budget bounds every call of a step, and ends early when it is stopped."""

import pytest
from freezegun import freeze_time

from runbook.budget import Budget, BudgetSpent
from runbook.errors import RunbookError


def test_a_call_gets_what_it_asks_for_or_what_is_left():
    with freeze_time("2026-11-23") as clock:
        budget = Budget(20.0)
        assert (budget.left(), budget.take(4.0), budget.take(30.0)) == (20.0, 4.0, 20.0)
        clock.tick(17)
        assert budget.take(4.0) == pytest.approx(3.0)
        clock.tick(60)
        assert budget.left() == 0.0


def test_a_call_without_time_is_not_made():
    with freeze_time("2026-11-23") as clock:
        budget = Budget(20.0)
        clock.tick(19.995)
        with pytest.raises(BudgetSpent, match="the 20 s given to this step are used up"):
            budget.take(4.0)


def test_a_stopped_budget_is_spent_at_once():
    budget = Budget(20.0)
    budget.stop.set()
    assert budget.left() == 0.0
    with pytest.raises(RunbookError):
        budget.take(1.0)


def test_two_budgets_can_be_stopped_by_one_event():
    first = Budget(20.0)
    second = Budget(5.0, first.stop)
    first.stop.set()
    assert second.left() == 0.0
