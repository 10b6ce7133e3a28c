"""How large the ledger becomes: rows counted from the configuration, bytes held against a month of days in the soak."""

from __future__ import annotations

from runbook.growth import BYTES, of_session
from tests.days.script import jobs
from tests.fakes import session


def test_a_session_s_rows_are_its_firings_its_minutes_and_its_two_messages():
    shipped = jobs("30s", own=False)
    rows = of_session(shipped, session(), channels=2).rows
    at_once = sum(not job.repeating for job in shipped)
    assert rows["occurrence"] == rows["attempt"] == 2 * 395 + at_once + 1  # verify_broker has two times
    assert rows["feed_sample"] == 15 + 385
    assert rows["outbox"] == 4


def test_what_is_checked_twice_as_often_grows_by_as_many_rows():
    often, seldom = (of_session(jobs(every, own=False), session(), channels=1) for every in ("30s", "1m"))
    assert often.bytes - seldom.bytes == 395 * (BYTES["occurrence"] + BYTES["attempt"])


def test_a_shorter_session_grows_by_less():
    evening = session(opens="18:00", closes="19:00")
    assert (
        of_session(jobs("30s", own=False), evening, 1).bytes
        < of_session(jobs("30s", own=False), session(), 1).bytes / 4
    )
