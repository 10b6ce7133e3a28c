"""What a step is handed and what names it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from runbook.fault import Unfit
from runbook.job import JobSpec, Key, Occurrence, target
from runbook.trigger import Anchor, At, Every

OPEN = Anchor.parse("open")


def test_a_job_repeats_when_its_trigger_does():
    once = JobSpec("a", "jobs.a:b", At((OPEN,)), 5.0)
    often = JobSpec("a", "jobs.a:b", Every(timedelta(seconds=30), OPEN, Anchor.parse("close")), 5.0)
    assert (once.repeating, often.repeating) == (False, True)


def test_a_key_reads_as_people_say_it_and_sorts_by_session():
    first, second = Key(date(2026, 11, 23), "verify_broker", "open-60m"), Key(date(2026, 11, 24), "check_feed", "0001")
    assert str(first) == "verify_broker open-60m of 2026-11-23"
    assert sorted([second, first]) == [first, second]


def test_an_occurrence_without_a_deadline_has_none():
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert Occurrence(Key(now.date(), "a", "open"), now, now, now).deadline is None


def test_the_settings_of_a_job_are_not_in_its_text():
    assert "token" not in repr(JobSpec("a", "jobs.a:b", At((OPEN,)), 5.0, settings={"k": "token"}))


@pytest.mark.parametrize("text", ["jobs.verify_broker:verify", "a:b", "a.b.c:d_e"])
def test_a_target_is_a_file_and_a_function(text):
    assert ":".join(target(text)) == text


@pytest.mark.parametrize("text", ["", "a", "a:", ":b", "a/b:c", "a..b:c", "a:b.c", "a:b ", "1a:b", "a:b\n"])
def test_anything_else_is_no_target(text):
    with pytest.raises(Unfit, match="names no step"):
        target(text)
