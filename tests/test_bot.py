"""The bot from outside: deaf, on REST, never seen, and what its silence does not prove."""

from __future__ import annotations

import pytest

from runbook import bot
from runbook.bot import DEAF, Feed, Grown, Judged, Look, Memory, Said
from runbook.feed.verdict import Health

FLOWS = Feed(flows=True, since=0.0, rate=3.1)
DRY = Feed(flows=False)


def after(*looks: Look) -> Memory:
    memory = Memory()
    for look in looks:
        memory = bot.observe(memory, look)
    return memory


def judged(memory: Memory, now: float, feed: Feed = FLOWS, *, due: bool = True) -> Judged:
    return bot.judge(memory, feed, due=due, now=now)


def ticks(at: float, mark: str = "a", aged: float | None = 0.0, fault: str = "") -> Look:
    return Look(at, ticks=Grown(mark, aged, fault))


def says(at: float, source: str, mark: str = "1", spans: float = 0.0) -> Look:
    return Look(at, log=Said(source, mark, spans, 0.0))


def test_a_bot_whose_tick_file_grows_reads():
    found = judged(after(ticks(1000), ticks(1010, "b")), 1012)
    assert found == Judged(Health.OK, "its tick file last grew 2s ago")


def test_a_tick_file_that_stands_still_for_ninety_seconds_while_ticks_flow_means_a_deaf_bot():
    memory = after(ticks(1000), ticks(1010, "b"), ticks(1100, "b"))
    assert judged(memory, 1010 + DEAF - 1).health is Health.OK
    found = judged(memory, 1010 + DEAF)
    assert found.health is Health.BROKEN
    assert found.reason == (
        "your bot does not read: gateway delivers 3.1 ticks/s, its tick file has not grown for 1m30s"
    )
    assert "restart the bot" in found.action


def test_the_silence_of_a_bot_proves_nothing_while_our_own_feed_is_dry():
    found = judged(after(ticks(1000)), 1500, DRY)
    assert found.health is Health.UNKNOWN
    assert "nothing" not in found.reason
    assert "no ticks to compare with" in found.reason


def test_what_came_before_the_ticks_began_to_flow_is_not_held_against_the_bot():
    memory = after(ticks(1000, aged=60_000.0))
    young = Feed(flows=True, since=1000.0, rate=3.1)
    assert judged(memory, 1000 + DEAF - 1, young).health is Health.UNKNOWN
    found = judged(memory, 1000 + DEAF, young)
    assert found.health is Health.BROKEN
    assert "for 16h41m" in found.reason


def test_a_bot_that_was_never_seen_is_unknown_however_long_it_is_awaited():
    found = judged(after(ticks(1000, fault="no such file")), 9000)
    assert found.health is Health.UNKNOWN
    assert "never seen (no such file)" in found.reason


def test_a_tick_file_that_vanishes_after_it_was_seen_is_no_excuse():
    memory = after(ticks(1000), ticks(1010, fault="no such file"))
    found = judged(memory, 1000 + DEAF)
    assert found.health is Health.BROKEN
    assert "(no such file)" in found.reason


def test_nothing_is_asked_of_the_bot_while_no_ticks_are_due():
    assert judged(after(ticks(1000)), 9000, due=False).health is Health.NOT_DUE


def test_a_bot_of_which_nothing_is_declared_is_unknown():
    assert judged(Memory(), 9000).health is Health.UNKNOWN
    assert judged(after(Look(1000.0)), 9000).health is Health.UNKNOWN


def test_a_bot_on_rest_for_five_minutes_while_our_socket_ticks_is_the_bots_own_fault():
    memory = after(says(1000, "REST_POLLING"), *(says(1000 + n, "REST_POLLING", str(n)) for n in range(10, 301, 10)))
    assert judged(memory, 1299).health is Health.UNKNOWN
    found = judged(memory, 1300)
    assert found.health is Health.BROKEN
    assert "[REST_POLLING] for 5m00s while the gateway delivers 3.1 ticks/s" in found.reason


def test_the_stamps_of_the_log_itself_say_how_long_it_has_been_on_rest():
    assert judged(after(says(1000, "REST_POLLING", spans=400.0)), 1000).health is Health.BROKEN


def test_a_bot_on_rest_while_our_own_feed_is_on_rest_too_does_what_it_should():
    memory = after(says(1000, "REST_POLLING", spans=400.0))
    assert judged(memory, 1001, DRY).health is Health.UNKNOWN
    assert judged(memory, 1001, Feed(flows=True, since=900.0, rate=2.0)).health is Health.UNKNOWN


def test_back_on_the_websocket_is_well_at_once():
    memory = after(says(1000, "REST_POLLING", spans=400.0), says(1010, "WEBSOCKET", "2"))
    assert judged(memory, 1011) == Judged(Health.OK, "its log says [WEBSOCKET]")


def test_a_log_that_has_gone_quiet_is_not_taken_for_a_reading_bot():
    found = judged(after(says(1000, "WEBSOCKET")), 1000 + DEAF)
    assert found.health is Health.UNKNOWN


@pytest.mark.parametrize("mark", ["says 10:00", "answered at 7"])
def test_a_heartbeat_that_stands_still_or_stops_is_a_deaf_bot(mark: str):
    first = Look(1000, heartbeat=Grown(mark, 0.0))
    gone = Look(1050, heartbeat=Grown(fault="Connection refused"))
    still = Look(1050, heartbeat=Grown(mark, 0.0))
    for last in (gone, still):
        found = judged(after(first, last), 1000 + DEAF)
        assert found.health is Health.BROKEN
        assert "its heartbeat has not answered for 1m30s" in found.reason


def test_growth_does_not_outweigh_a_bot_on_rest():
    both = [Look(t, ticks=Grown(str(t), 0.0), log=Said("REST_POLLING", str(t), 400.0, 0.0)) for t in (1000, 1010)]
    assert judged(after(*both), 1011).health is Health.BROKEN
