"""What a phone shows when somebody asks: short lines that say the same as the screens."""

from __future__ import annotations

from datetime import timedelta

from runbook import pocket
from runbook.job import JobSpec
from runbook.pause import Pause
from runbook.plan import plan_days
from runbook.report import short
from runbook.report.build import build
from runbook.session import INDIA
from runbook.status import reasons
from runbook.trigger import Anchor, At
from tests import report_days as days
from tests.report_days import FRIDAY
from tests.test_status import NOW, green, lease, on_rest


def test_a_green_desk_is_a_few_lines_with_prices_and_the_next_session():
    said = pocket.status_lines(green())
    assert said[0].startswith("OK at Fri 26 Dec 10:03")
    assert said[1].startswith("NFO open since 09:15, closes")
    assert "NIFTY 26049.9 [WEBSOCKET]" in said
    assert "NIFTY30DEC25FUT: no price that can be trusted" in said, "the side that counts has none, so none is shown"
    assert said[-1].startswith("next: ")
    assert len(said) <= 8


def test_what_is_wrong_is_listed_as_the_screen_lists_it_and_prices_carry_their_source():
    facts = on_rest()
    said = pocket.status_lines(facts)
    assert said[0].startswith("ATTENTION at")
    assert [line for line in said if line.startswith("- ")] == [f"- {why}" for why in reasons(facts)]
    assert "NIFTY 26050.1 (3s ago) [REST_POLLING]" in said


def test_a_dead_daemon_has_no_price():
    said = pocket.status_lines(green(lease=lease(NOW - timedelta(minutes=9))))
    assert said[0].startswith("NO DAEMON at")
    assert not any("26049.9" in line or "no price" in line for line in said)
    assert pocket.status_lines(green(lease=None))[0].startswith("NO DAEMON")


def test_the_plan_is_days_with_times_and_a_day_without_a_session_says_why():
    calendar = days.calendar()
    rows = plan_days(calendar, (), FRIDAY - timedelta(days=1), FRIDAY + timedelta(days=1))
    said = pocket.plan_lines(rows, INDIA)
    assert any(line.startswith("Fri 26 Dec NFO 09:15-") for line in said)
    assert any(line.startswith("Thu 25 Dec closed: ") for line in said)
    assert len(said) == 3


def test_a_step_that_is_held_back_says_so_in_the_plan():
    job = JobSpec("verify_broker", "jobs.verify_broker:verify", At((Anchor.parse("open-60m"),)), 20.0)
    held = Pause("verify_broker", NOW - timedelta(days=2), None, "the broker moves house", "cli:asha")
    said = pocket.plan_lines(plan_days(days.calendar(), (job,), FRIDAY, FRIDAY, (held,)), INDIA)
    assert "verify_broker: " in said[1]
    assert "the broker moves house" in said[1]


def test_the_report_is_the_message_after_the_close_so_far():
    calendar, facts = days.calendar(), days.running_day()
    made = build(facts, calendar, NOW, (), "local_paper", "x")
    title, lines = short(made)
    assert pocket.report_lines(made) == [title, *lines]
