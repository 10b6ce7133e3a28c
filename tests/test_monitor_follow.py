"""The monitor takes in what is followed, and is not begun anew because of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runbook.feed.events import Connected, OrderSeen, Subscribed
from runbook.market import Instrument
from tests.fakes import NIFTY, FakeStream, session, until
from tests.test_desk import Desk

CALL = Instrument("NIFTY24NOV2626000CE", "NFO")
PUT = Instrument("NIFTY24NOV2625900PE", "NFO")


class Stream(FakeStream):
    """Takes further instruments, too."""

    def __init__(self, *script) -> None:
        super().__init__(*script)
        self.followed: list[Instrument] = []

    def follow(self, instruments) -> None:
        self.followed += instruments

    def hurry(self, on: bool) -> None:
        pass


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk("10:00")
    yield made
    made.monitor.stop()


def watched(desk: Desk) -> tuple[Instrument, ...]:
    state = desk.monitor.view().state
    return state.watched if state is not None else ()


def begin(desk: Desk, *script) -> Stream:
    stream = Stream(*script)
    object.__setattr__(desk.monitor._p, "stream", stream)
    assert desk.monitor.start(session(), (NIFTY,))
    return stream


def test_a_watch_that_follows_more_is_not_begun_anew_when_the_step_runs_again(desk):
    begin(desk, Connected(1, "angel"), Subscribed(1, (NIFTY,)))
    desk.monitor.follow((CALL,), "a test")
    until(lambda: CALL in watched(desk), "the call is watched")
    assert not desk.monitor.start(session(), (NIFTY,))
    assert watched(desk) == (NIFTY, CALL)
    assert desk.monitor.start(session(), (NIFTY, PUT))  # that one is new


def test_an_order_on_the_stream_is_followed_and_one_of_a_connection_that_is_gone_is_not(desk):
    begin(desk, Connected(1, "angel"), OrderSeen(7, PUT), OrderSeen(1, CALL))
    until(lambda: CALL in watched(desk), "the call is watched")
    assert PUT not in watched(desk)


def test_a_call_of_somebody_else_is_taken_from_the_budget(desk):
    begin(desk, Connected(1, "angel"))

    def left() -> float:
        state = desk.monitor.view().state
        assert state is not None
        return state.quota.tokens

    before = left()
    for _ in range(5):
        desk.monitor.spent()
    until(lambda: left() <= before - 4, "five calls are booked")
