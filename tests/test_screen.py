"""The pulse and the live view: what is shown is as old as it says, and an old word is no news."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook.adapters.pulsefile import PulseFile
from runbook.bot import Judged
from runbook.day import FeedChange
from runbook.feed.judging import judge
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, Link, LinkState, Rest, State, TickClock, initial
from runbook.feed.table import Mode
from runbook.feed.verdict import Health, Hop, Rung, ladder
from runbook.market import Instrument, Tick
from runbook.pulse import Pulse, Rates, Word, compose, heard
from runbook.screen import exit_code, verdict_of, view
from tests.fakes import NIFTY, at, session

FUTURE = Instrument("NIFTY24NOV26FUT", "NFO")
NOW = at("11:02:07")


def live() -> State:
    made = initial([NIFTY, FUTURE], Policy())
    clock = TickClock(Tick(NIFTY, 26049.9, 1_795_337_852_224), at=999.7, changed_at=999.7, generation=1, ticks=7302)
    link = Link(LinkState.UP, generation=1, subscribed_at=900.0)
    return replace(
        made, mode=Mode.LIVE, mode_since=900.0, started=True, expects=True, link=link, last_tick_at=999.7,
        evaluated_at=999.5, ticks={**made.ticks, NIFTY: clock},
    )  # fmt: skip


def word(state: State | None = None, **other: object) -> Word:
    last = FeedChange(at("09:22:13"), "PROBATION", "LIVE", "probation held for 30 s")
    made = Word(
        NOW, NOW, 1000.0, 4711, "local_paper", running=True, state=state or live(), session=session(),
        rates={"NIFTY": 1.2, "NIFTY24NOV26FUT": 2.0}, last=last, calls_max=2000,
    )  # fmt: skip
    return replace(made, **other)  # type: ignore[arg-type]


def pulse(made: Word | None = None, age: float = 0.4) -> Pulse:
    made = made or word()
    if made.running and made.verdict is None and made.state is not None:
        made = replace(made, verdict=judge(made.state, made.at, Policy()))
    found = heard(json.loads(json.dumps(compose(made))), NOW + timedelta(seconds=age))
    assert found is not None
    return found


def shown(made: Pulse | None, *, locked: bool = True, colour: bool = False) -> str:
    return "\n".join(view(made, locked=locked, colour=colour))


def test_a_healthy_feed_on_one_screen():
    made = pulse(word(bot=Judged(Health.OK, "its tick file last grew 2s ago")))
    text = shown(made)
    for words in (
        "Mon 23 Nov 11:02:07 IST   local_paper   pid 4711",
        "LIVE for 1m40s: ticks on the socket   prices from: WEBSOCKET",
        "3.2 ticks/s   outages 0   REST not polled (400 calls ahead)",
        "last change 09:22:13  PROBATION -> LIVE: probation held for 30 s",
        "H0 runbook itself                ok     pulse 0.4 s old",
        "H3 the broker's ticks            ok     the newest tick 0.3 s ago",
        "H6 your bot                      ok     its tick file last grew 2s ago",
    ):
        assert words in text, text
    (row,) = [line for line in text.splitlines() if line.startswith("NIFTY ")]
    assert row.split() == ["NIFTY", "26049.9", "0.3s", "1.2", "-", "-"]
    assert max(map(len, text.splitlines())) <= 80
    assert exit_code(made, locked=True) == 0


def test_colour_adds_nothing_that_is_not_there_without_it():
    plain, coloured = shown(pulse()), shown(pulse(), colour=True)
    assert "\x1b[32mLIVE\x1b[0m" in coloured
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


@pytest.mark.parametrize(
    ("made", "locked", "words"),
    [
        (None, False, "no daemon runs, so nobody watches"),
        (None, True, "holds its lock, but it has left no word"),
        (pulse(age=40.0), True, "holds its lock, but its last word is 40s old"),
        (pulse(age=0.4), False, "no daemon runs, so nobody watches (its last word is under 1s old)"),
    ],
)
def test_without_a_fresh_word_of_a_living_daemon_nothing_is_claimed(made, locked, words):
    text = shown(made, locked=locked)
    assert words in " ".join(text.split())
    assert "26049" not in text
    assert exit_code(made, locked=locked) == 3


def test_a_refused_port_is_the_first_broken_hop_with_what_to_do():
    fault = Fault("connection refused", "restart the openalgo unit", refused=True)
    down = replace(
        live(),
        mode=Mode.FALLBACK,
        outage=1,
        outage_since=985.0,
        link=Link(LinkState.DOWN, 3, fault=fault, down_since=990.0),
        rest=Rest(polling=True, interval=1.5, trusted=True),
    )
    made = pulse(word(down))
    broken = verdict_of(made).first_broken
    assert broken is not None
    assert (broken.hop, broken.evidence) == (Hop.PROXY, "gone for 10s: connection refused")
    assert verdict_of(made).of(Hop.ADAPTER).health is Health.UNKNOWN
    assert "do: restart the openalgo unit" in shown(made)
    assert "prices from: REST_POLLING" in shown(made)
    assert exit_code(made, locked=True) == 1


def test_one_dead_symbol_among_living_ones_is_marked():
    from runbook.feed.state import Late

    row = next(r for r in shown(pulse(word(replace(live(), late={FUTURE: Late(950.0)})))).splitlines() if "FUT" in r)
    assert row.endswith("LATE")


def test_a_silent_exchange_is_not_blamed_on_the_broker():
    broken = verdict_of(
        pulse(word(replace(live(), mode=Mode.MARKET_SILENT, outage=1, outage_since=700.0)))
    ).first_broken
    assert broken is not None
    assert broken.hop is Hop.EXCHANGE


def test_a_feed_loop_that_no_longer_turns_is_runbooks_own_fault():
    made = pulse(word(replace(live(), evaluated_at=900.0)))
    broken = verdict_of(made).first_broken
    assert broken is not None
    assert broken.hop is Hop.RUNBOOK
    assert "not evaluated for 1m40s" in broken.evidence


def test_the_ladder_is_the_daemons_own():
    judged = ladder([Rung(Hop.EXCHANGE, Health.BROKEN, "candles stopped at 10:06", "nothing to do")])
    assert verdict_of(pulse(word(verdict=judged))).of(Hop.EXCHANGE).evidence == "candles stopped at 10:06"


def test_a_feed_that_is_not_watched_is_not_due_and_not_green_by_accident():
    made = pulse(word(running=False))
    health = {rung.hop: rung.health for rung in verdict_of(made).rungs}
    assert health[Hop.BROKER_STREAM] is Health.NOT_DUE
    assert health[Hop.RUNBOOK] is Health.OK


# -- rates and the file -------------------------------------------------------------------------------------------------


def test_a_rate_is_taken_over_the_last_ten_seconds():
    rates = Rates()
    for second in range(30):
        found = rates.take(float(second), {"NIFTY": second * (1 if second < 15 else 3)})
    assert found["NIFTY"] == pytest.approx(3.0)


def test_a_new_session_begins_its_rates_anew():
    rates = Rates()
    rates.take(0.0, {"NIFTY": 100})
    rates.take(5.0, {"NIFTY": 120})
    assert rates.take(6.0, {"NIFTY": 0}) == {"NIFTY": 0.0}
    assert rates.take(8.0, {"NIFTY": 4}) == {"NIFTY": 2.0}


def test_the_file_is_the_owners_alone_and_whole_at_any_time(tmp_path: Path):
    file = PulseFile(tmp_path / "runbook.db")
    os.umask(os.umask(0))
    file.write(compose(word()))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert heard(file.read(), NOW) is not None
    file.remove()
    file.remove()
    assert file.read() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "written": "2026-11-23T05:30:00+00:00"}', '{"version": 1, "written": "soon"}',
             '{"version": 1, "written": "2026-11-23T05:30:00"}'],
)  # fmt: skip
def test_what_is_no_pulse_is_none(tmp_path: Path, text: str):
    file = PulseFile(tmp_path / "runbook.db")
    file.path.write_text(text)
    assert heard(file.read(), datetime(2026, 11, 23, 6, tzinfo=UTC)) is None
