"""The almanac: when the calendar is resolved anew, when the library is asked, and what is kept when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook.adapters.exchange import Refreshed
from runbook.adapters.store import Store
from runbook.almanac import Almanac, Why, World, exchanges, quieted, ticks_due
from runbook.errors import CalendarError
from runbook.market import Instrument
from runbook.session import Phase, PhaseName, Session, SessionCalendar
from tests.fakes import MONDAY, NIFTY, THURSDAY, TUESDAY, at, calendar, ledger_file, session

SAID: Mapping[str, Any] = {"versions": {"pandas": "3.0.6"}, "calendars": []}


class Library:
    """A library and a folder of files in memory: counts how often the library itself was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.files: dict[str, str] = {"nfo.yaml": "1"}
        self.sessions = [session(day) for day in (MONDAY, TUESDAY)]
        self.closed: dict[date, str] = {}
        self.fault: CalendarError | None = None
        self.fault_always = True
        self.before: list[Session] | None = None

    def compute(
        self, names: Sequence[str], first: date, last: date, horizon: date, said: Mapping[str, Any] | None
    ) -> Refreshed:
        if self.fault is not None and (said is None or self.fault_always):
            raise self.fault
        self.asked += said is None
        if said is not None and self.before is not None:  # what it said earlier, under the files of now
            made = calendar(*self.before, closed=self.closed)
        else:
            made = calendar(*self.sessions, closed=self.closed)
        both = {name: SessionCalendar(name, made.zone, made.known_until, made.days) for name in names}
        return Refreshed(both, {"versions": {}, "files": dict(self.files)}, ("a note",), SAID)


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def kept(tmp_path: Path, library: Library) -> Iterator[Almanac]:
    store = Store(ledger_file(tmp_path))
    yield Almanac(store, "NFO", World(library.compute, lambda: sorted(library.files.items())))
    store.close()


def started(almanac: Almanac, now: datetime) -> Almanac:
    almanac.refresh(now)
    return almanac


def test_derivatives_need_the_cash_market_of_their_index_too():
    assert exchanges("NFO") == ["NFO", "NSE"]
    assert exchanges("BFO") == ["BFO", "BSE"]
    assert exchanges("MCX") == ["MCX"]


def test_nothing_is_due_before_the_first_refresh_nor_right_after_it(kept: Almanac):
    assert kept.due(at("08:00")) is None
    assert started(kept, at("08:00")).due(at("08:01")) is None


def test_a_changed_file_is_due_at_once_and_costs_no_child(kept: Almanac, library: Library):
    started(kept, at("08:00"))
    library.files["overlay.yaml"] = "closed tomorrow"
    assert kept.due(at("08:01")) is Why.FILES
    library.sessions, library.closed = [session(MONDAY)], {TUESDAY: "election"}
    kept.refresh(at("08:01"), Why.FILES)
    assert library.asked == 1
    assert kept.calendar().day(TUESDAY).reason == "election"
    assert kept.due(at("08:02")) is None


def test_a_new_day_is_looked_at_five_minutes_after_midnight_at_the_exchange(kept: Almanac):
    started(kept, at("22:00"))
    assert kept.due(at("00:04", TUESDAY)) is None
    assert kept.due(at("00:05", TUESDAY)) is Why.DAY


def test_the_library_itself_is_asked_once_a_week(kept: Almanac, library: Library):
    started(kept, at("08:00"))
    for n in range(1, 7):
        now = at("08:00") + timedelta(days=n)
        assert kept.due(now) is Why.DAY
        kept.refresh(now, Why.DAY)
    assert library.asked == 1
    assert kept.due(at("08:00") + timedelta(days=7)) is Why.LIBRARY


def test_another_release_of_the_library_is_asked_on_the_next_day(tmp_path: Path, library: Library):
    store, release = Store(ledger_file(tmp_path)), ["5.5.0"]

    def current(_said: Mapping[str, Any]) -> bool:
        return release[0] == "5.5.0"

    almanac = started(Almanac(store, "NFO", World(library.compute, lambda: 0, current)), at("08:00"))
    almanac.refresh(at("00:05", TUESDAY), Why.DAY)
    assert library.asked == 1
    release[0] = "5.6.0"
    almanac.refresh(at("00:06", TUESDAY), Why.DAY)
    assert library.asked == 2
    store.close()


def test_a_failing_library_leaves_the_last_good_table(kept: Almanac, library: Library):
    before = started(kept, at("08:00")).calendar()
    library.fault = CalendarError("the child was killed")
    with pytest.raises(CalendarError, match="killed"):
        kept.refresh(at("00:06", TUESDAY))
    assert kept.calendar() is before


def test_with_the_library_failing_the_files_of_today_still_count(kept: Almanac, library: Library):
    started(kept, at("08:00"))
    library.fault, library.fault_always = CalendarError("the child was killed"), False
    library.files["overlay.yaml"] = "closed tomorrow"
    library.sessions, library.closed = [session(MONDAY)], {TUESDAY: "election"}
    with pytest.raises(CalendarError, match="killed"):
        kept.refresh(at("08:05"))
    assert kept.calendar().day(TUESDAY).reason == "election"


def test_a_library_that_changes_its_mind_while_a_file_is_edited_is_not_believed_and_the_file_is(
    kept: Almanac, library: Library
):
    started(kept, at("08:00"))
    library.files["overlay.yaml"] = "closed on Thursday"
    library.before = [session(MONDAY), session(TUESDAY)]
    library.sessions, library.closed = [session(TUESDAY)], {THURSDAY: "election"}
    with pytest.raises(CalendarError, match="changed its mind about the past: NFO 2026-11-23: open"):
        kept.refresh(at("00:06", THURSDAY))
    assert kept.calendar().day(MONDAY).session is not None
    assert kept.calendar().day(THURSDAY).reason == "election"


def test_a_library_that_changes_its_mind_about_the_past_is_not_believed(kept: Almanac, library: Library):
    started(kept, at("08:00"))
    library.sessions, library.closed = [session(TUESDAY)], {MONDAY: "holiday (library)"}
    with pytest.raises(CalendarError, match=r"changed its mind about the past: NFO 2026-11-23: open .* -> closed"):
        kept.refresh(at("00:06", THURSDAY))
    assert kept.calendar().day(MONDAY).session is not None


def test_a_person_who_corrects_the_past_in_a_file_is_believed(kept: Almanac, library: Library):
    started(kept, at("08:00"))
    library.sessions, library.closed = [session(TUESDAY)], {MONDAY: "closed after all"}
    library.files["overlay.yaml"] = "corrected"
    kept.refresh(at("00:06", THURSDAY), Why.FILES)
    assert kept.calendar().day(MONDAY).reason == "closed after all"


def test_a_desk_without_a_table_says_how_to_get_one(kept: Almanac):
    with pytest.raises(CalendarError) as caught:
        kept.calendar()
    assert "runbook init" in str(caught.value.hint)


def test_while_derivatives_trade_alone_an_index_may_stand_still_and_a_future_may_not():
    future, share = Instrument("NIFTY24NOV26FUT", "NFO"), Instrument("SBIN", "NSE")
    day = session(MONDAY, closes="15:40")
    auction = Phase(PhaseName.CASH_AUCTION, at("15:15"), at("15:35"))
    tail = Phase(PhaseName.TAIL, at("15:35"), at("15:40"))
    day = replace(day, phases=(Phase(PhaseName.CONTINUOUS, day.open, at("15:15")), auction, tail))
    watched = [NIFTY, future, share]
    due = {
        text: [ticks_due(day, at(text), each) for each in (watched, [NIFTY], [])]
        for text in ("09:14", "15:14", "15:20", "15:40")
    }
    assert due == {"09:14": [False] * 3, "15:14": [True] * 3, "15:20": [True, False, True], "15:40": [False] * 3}
    assert quieted(day, at("15:14"), watched) == frozenset()
    assert quieted(day, at("15:15"), watched) == {NIFTY, share}
    assert quieted(day, at("15:39"), watched) == {NIFTY, share}
    assert quieted(day, at("15:40"), watched) == frozenset()  # nothing is due any more, so nothing need be excused
    assert quieted(None, at("15:20"), watched) == frozenset()
