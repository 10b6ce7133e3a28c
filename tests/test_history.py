"""The last sessions, a line each; a mark is a plus only for what was seen to be clean."""

import json
from dataclasses import replace
from datetime import date

from runbook.history import MARKS, history_json, history_rows, render_history
from runbook.report import Word
from tests import report_days as days
from tests.report_days import JOBS, at

CHRISTMAS_EVE = date(2025, 12, 24)


def rows(*facts, now=None):
    return history_rows(facts, days.calendar(), now or at("16:00"), JOBS, "local_paper")


def test_each_session_is_a_line_the_newest_first():
    text = render_history(rows(days.empty_day(CHRISTMAS_EVE), days.incident_day()))
    first, second = text.splitlines()[1:3]
    assert "Fri 26 Dec 2025" in first
    assert "Wed 24 Dec 2025" in second


def test_a_line_holds_steps_feed_fallbacks_books_and_alerts():
    (row,) = rows(days.incident_day())
    assert (row.steps_ok, row.steps_total, row.fallbacks, row.reconciliation, row.alerts) == (765, 774, 1, "breaks", 1)
    assert (
        " ".join(render_history([row]).splitlines()[1].split())
        == "! Fri 26 Dec 2025 attention 765 of 774 98.6% 1 breaks 1"
    )


def test_the_marks_stand_from_the_oldest_to_the_newest():
    text = render_history(rows(days.clean_day(), days.empty_day(CHRISTMAS_EVE)))
    assert "  Wed 24 Dec ?+ Fri 26 Dec" in text.splitlines()


def test_only_clean_is_marked_green():
    assert [word for word, mark in MARKS.items() if mark == "+"] == [Word.CLEAN]
    assert len(set(MARKS.values())) == len(MARKS)


def test_no_data_is_no_data_and_not_a_zero():
    (row,) = rows(days.empty_day(CHRISTMAS_EVE))
    line = render_history([row]).splitlines()[1]
    assert line.count("no data") == 5
    assert " 0" not in line
    values = history_json([row])[0]
    assert values["steps"] == {"ok": None, "total": None}
    assert values["fallbacks"] is values["alerts"] is values["reconciliation"] is values["feed"]["websocket"] is None


def test_none_seen_is_none_and_not_no_data():
    line = render_history(rows(days.clean_day())).splitlines()[1]
    assert " ".join(line.split()) == "+ Fri 26 Dec 2025 clean 774 of 774 99.9% none clean none"


def test_a_session_in_progress_says_so_far_and_counts_what_was_due():
    (row,) = rows(days.running_day(), now=at("10:03:45"))
    assert row.so_far
    assert row.steps_total == 121
    assert "attention so far" in render_history([row])


def test_lines_fit_a_terminal_and_nothing_is_said_in_words():
    odd = replace(days.incident_day(), alerts=days.incident_day().alerts * 40)
    assert max(map(len, render_history(rows(odd, days.empty_day(CHRISTMAS_EVE))).splitlines())) <= 100
    assert render_history(()) == "no session in the ledger yet"


def test_the_json_is_plain():
    values = json.loads(json.dumps(history_json(rows(days.incident_day()))))
    assert values[0]["date"] == "2025-12-26"
    assert values[0]["verdict"] == "attention"
    assert values[0]["feed"]["promised"] == 22500.0
