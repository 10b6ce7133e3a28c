"""The doctor on a simulated OpenAlgo, fault by fault over real sockets: the broken hop is named, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from runbook.adapters.knock import knock
from runbook.adapters.openalgo import OpenAlgo
from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.budget import Budget
from runbook.clock import SystemClock
from runbook.doctor import Clocks, Daemon, Examination, as_json, examine, render
from runbook.doctor.seen import Market, Seen
from runbook.doctor.walk import Orders, Pace, Tools, walk
from runbook.feed import advice
from runbook.feed.state import canaries
from runbook.feed.verdict import Health, Hop
from runbook.market import Instrument
from runbook.session import PhaseName
from runbook.simulator import Simulator
from runbook.symbols import parse_symbol
from tests.fakes import until

SYMBOLS = (parse_symbol("NIFTY"), parse_symbol("NIFTY:fut"))
QUICK = Pace(due=3.0, rests=1.0, between=1.5, still=6.0)
DUE = Market(PhaseName.CONTINUOUS, due=True, words="NFO trades until 15:40")
HOLIDAY = Market(PhaseName.SHUT, due=False, words="NFO is closed today (Diwali)")
WATCHED = Daemon(locked=True, pid=7, pulse_age=1.0, watching=True)


@dataclass(frozen=True)
class Case:
    """A fault with its arguments, and what the calendar says meanwhile."""

    fault: str = ""
    market: Market = DUE
    arguments: tuple[tuple[str, object], ...] = ()


CASES = {
    "healthy": Case(),
    "mute": Case("mute"),
    "snapshot_only": Case("snapshot_only"),
    "token_dead": Case("token_dead"),
    "drop": Case("drop"),
    "refuse": Case("refuse"),
    "refuse by a proxy": Case("refuse", arguments=(("how", "502"),)),
    "session_revoked": Case("session_revoked"),
    "wrong_key": Case("wrong_key"),
    "banned": Case("banned"),
    "frozen": Case("frozen"),
    "zero": Case("zero"),
    "symbols_gone": Case("symbols_gone"),
    "wrong_mode": Case("wrong_mode"),
    "hang": Case("hang"),
    "html_502": Case("html_502"),
    "broker_502": Case("broker_502"),
    "rate_limited": Case("rate_limited"),
    "holiday": Case(market=HOLIDAY),
    "mute on a holiday": Case("mute", market=HOLIDAY),
    "nothing there": Case("gone"),
}


@dataclass(frozen=True)
class Walked:
    seen: Seen
    found: Examination
    calls: tuple[str, ...]
    left: tuple[str, ...]  # what was still open afterwards


def walked(case: Case) -> Walked:
    clock = SystemClock()
    with Simulator(mode="live") as sim:
        rest, stream, key = sim.rest_url, sim.stream_url, sim.api_key
        if case.fault == "gone":
            sim.stop()
        elif case.fault:
            sim.switch(case.fault, **dict(case.arguments))
        gateway = OpenAlgo(rest, key, clock, connect_timeout=4, read_timeout=4)
        patience = Patience(connect=8, reply=8, ping_every=1, pong_within=4)
        tools = Tools(
            clock, lambda: (knock(rest), knock(stream)), gateway, lambda: OpenAlgoStream(stream, key, clock, patience),
            lambda: None, lambda: gateway.ahead, pace=QUICK,
        )  # fmt: skip

        def market(_now: datetime, _names: Sequence[Instrument]) -> Market:
            return case.market

        orders = Orders(SYMBOLS, "live", clock.now().date(), market, lambda _now, names: canaries(names, frozenset()))
        seen = walk(tools, orders, WATCHED, Budget(25))
        gateway.close()
        left: list[str] = []
        try:
            until(lambda: sim.stream_clients == 0, "the walk has closed its socket")
        except AssertionError as exc:
            left.append(str(exc))
        made = Walked(seen, examine(seen, clock.now()), tuple(call.path for call in sim.calls), tuple(left))
    assert key not in render(made.found) + str(as_json(made.found))
    return made


@pytest.fixture(scope="module")
def walks() -> Iterator[Callable[[str], Walked]]:
    """Every case walked once, side by side: each waits for seconds, and none needs the processor."""
    pool = ThreadPoolExecutor(6)
    made: Mapping[str, Future[Walked]] = {name: pool.submit(walked, case) for name, case in CASES.items()}
    yield lambda name: made[name].result(timeout=90)
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("name", "hop", "words", "action"),
    [
        ("mute", Hop.BROKER_STREAM, "s, while REST moves", advice.MUTE),
        ("snapshot_only", Hop.BROKER_STREAM, "none of which moved, while REST moves", advice.MUTE),
        ("token_dead", Hop.BROKER_STREAM, "the broker refuses OpenAlgo's token", "log in to the broker"),
        ("drop", Hop.PROXY, "refuses: nothing listens there", advice.RESTART),
        ("refuse", Hop.PROXY, "refuses: nothing listens there", advice.RESTART),
        ("refuse by a proxy", Hop.PROXY, "HTTP 502 from a proxy", advice.RESTART),
        ("session_revoked", Hop.ADAPTER, "nobody is logged in to the broker", "log in to the broker"),
        ("wrong_key", Hop.ADAPTER, "search refuses the key too", "copy the key again"),
        ("banned", Hop.ADAPTER, "banned", "unban the address"),
        ("frozen", Hop.BROKER_REST, "unchanged in 3 looks", "log in to the broker"),
        ("zero", Hop.BROKER_REST, "ltp is 0", "log in to the broker"),
        ("symbols_gone", Hop.ADAPTER, "NIFTY (Symbol NIFTY not found", "master contract"),
        ("wrong_mode", Hop.ADAPTER, "OpenAlgo stands on analyze, declared is live", "runbook never switches"),
        ("hang", Hop.BROKER_REST, "nothing came for 4 s", "restart the unit"),
        ("html_502", Hop.BROKER_REST, "502", ""),
        ("broker_502", Hop.BROKER_REST, "502", ""),
        ("rate_limited", Hop.BROKER_REST, "rate limit", "max_per_hour"),
        ("nothing there", Hop.PROXY, "refuses: nothing listens there", advice.SERVER_DOWN),
    ],
)
def test_each_fault_is_found_at_its_hop_with_what_to_do(walks, name: str, hop: Hop, words: str, action: str):
    found = walks(name).found.verdict
    broken = found.first_broken
    assert broken is not None, render(walks(name).found)
    assert broken.hop is hop, render(walks(name).found)
    assert words in broken.evidence
    assert action in broken.action
    assert not found.healthy


def test_a_healthy_server_is_healthy_with_figures_and_an_undeclared_bot_is_unknown(walks):
    made = walks("healthy")
    said = {rung.hop: rung for rung in made.found.verdict.rungs}
    assert made.found.verdict.healthy, render(made.found)
    assert [said[hop].health for hop in Hop] == [Health.OK] * 6 + [Health.UNKNOWN]
    assert " ticks in " in said[Hop.BROKER_STREAM].evidence
    assert "trade times advance: NIFTY " in said[Hop.BROKER_STREAM].evidence
    assert "moved within" in said[Hop.BROKER_REST].evidence
    assert "newest candle began" in said[Hop.EXCHANGE].evidence
    clock = next(c for c in made.found.checks if c.name == "clock")
    assert (clock.health, clock.evidence) == (Health.OK, "clocks agree with OpenAlgo's to 1 s")


def test_a_walk_makes_a_handful_of_calls_and_leaves_nothing_behind(walks):
    for name in CASES:
        made = walks(name)
        assert len(made.calls) <= 10, (name, made.calls)
        assert "unsubscribe" not in made.calls
        assert not made.left, name


def test_after_a_refused_key_nothing_more_is_asked_with_it(walks):
    for name in ("wrong_key", "session_revoked"):
        assert walks(name).calls == ("/health/status", "/api/v1/ping", "/api/v1/search"), name
    assert walks("banned").calls == ("/health/status",)


def test_what_lies_behind_a_broken_hop_is_unknown_and_not_red(walks):
    for name in ("drop", "wrong_key", "session_revoked"):
        verdict = walks(name).found.verdict
        red = [rung.hop for rung in verdict.rungs if rung.health is Health.BROKEN]
        assert len(red) == 1, (name, red)
        assert verdict.of(Hop.BROKER_STREAM).health is Health.UNKNOWN


def test_on_a_holiday_there_is_nothing_to_do_and_a_silent_stream_is_none(walks):
    for name in ("holiday", "mute on a holiday"):
        verdict = walks(name).found.verdict
        assert verdict.healthy, render(walks(name).found)
        assert verdict.of(Hop.EXCHANGE).health is Health.NOT_DUE
        assert "closed today (Diwali): nothing to do" in verdict.of(Hop.EXCHANGE).evidence
    assert walks("mute on a holiday").found.verdict.of(Hop.BROKER_STREAM).health is Health.NOT_DUE


# -- what no simulator shows in a few seconds: the same sight, judged -----------------------------------------------------


@pytest.fixture
def still(walks) -> Seen:
    """A mute stream over a REST price that stands still, in the continuous phase."""
    seen = walks("mute").seen
    first = seen.rest.reads[0]
    reads = tuple(replace(first, at=first.at + n) for n in (0.0, 5.0, 11.0))
    return replace(seen, rest=replace(seen.rest, reads=reads))


NOW = datetime.fromisoformat("2026-11-23T11:00:00+05:30")


def test_an_exchange_that_is_silent_everywhere_is_nobodys_fault_here(still: Seen):
    old = replace(still, rest=replace(still.rest, candle=NOW - timedelta(minutes=25)))
    verdict = examine(old, NOW).verdict
    broken = verdict.first_broken
    assert broken is not None
    assert broken.hop is Hop.EXCHANGE
    assert "newest candle began 25m00s ago" in broken.evidence
    assert broken.action.startswith("nothing to do on this side")
    assert verdict.of(Hop.BROKER_STREAM).health is Health.UNKNOWN


def test_a_fresh_candle_says_that_the_exchange_lives_although_both_sides_stand_still(still: Seen):
    fresh = replace(still, rest=replace(still.rest, candle=NOW - timedelta(seconds=70)))
    broken = examine(fresh, NOW).verdict.first_broken
    assert broken is not None
    assert broken.hop is Hop.BROKER_STREAM
    assert "while the newest candle is fresh" in broken.evidence


def test_without_a_candle_nobody_is_blamed_and_nothing_is_green(still: Seen):
    verdict = examine(replace(still, rest=replace(still.rest, candle=None)), NOW).verdict
    assert verdict.first_broken is None
    assert not verdict.healthy
    assert verdict.of(Hop.BROKER_STREAM).action == advice.EXCHANGE_OR_LOGIN


def test_a_movement_over_rest_is_enough_to_name_the_brokers_feed(walks):
    seen = walks("mute").seen
    broken = examine(replace(seen, rest=replace(seen.rest, candle=None)), NOW).verdict.first_broken
    assert broken is not None
    assert broken.hop is Hop.BROKER_STREAM
    assert "while REST moves" in broken.evidence


def test_symbols_that_may_rest_for_minutes_prove_nothing_by_it(still: Seen):
    verdict = examine(replace(still, canaries=()), NOW).verdict
    assert verdict.of(Hop.BROKER_STREAM).health is Health.UNKNOWN


@pytest.mark.parametrize(
    ("ahead", "health", "words"),
    [
        (-1.2, Health.OK, "agree"),
        (42.0, Health.UNKNOWN, "42s ahead of OpenAlgo's"),
        (-400.0, Health.BROKEN, "6m40s behind OpenAlgo's"),
    ],
)
def test_two_clocks_that_differ_are_told_and_only_a_minute_breaks_anything(walks, ahead, health, words):
    found = examine(replace(walks("healthy").seen, clocks=Clocks(ahead)), NOW)
    clock = next(c for c in found.checks if c.name == "clock")
    assert (clock.health, words in clock.evidence) == (health, True)
    assert found.verdict.healthy is (health is not Health.BROKEN)


@pytest.mark.parametrize(
    ("daemon", "health", "words"),
    [
        (WATCHED, Health.OK, "`runbook serve` (pid 7) watches the feed, pulse 1s ago"),
        (Daemon(), Health.NOT_DUE, "nobody watches"),
        (replace(WATCHED, pulse_age=90.0), Health.BROKEN, "no sign of life"),
        (Daemon(pid=7, orphaned=True, last=NOW - timedelta(minutes=5)), Health.BROKEN, "ended without a goodbye"),
        (Daemon(ledger="runbook.db is of version 9", ledger_hint="install"), Health.BROKEN, "version 9"),
    ],
)
def test_runbook_itself_is_the_first_hop(walks, daemon, health, words):
    verdict = examine(replace(walks("healthy").seen, daemon=daemon), NOW).verdict
    assert verdict.of(Hop.RUNBOOK).health is health
    assert words in verdict.of(Hop.RUNBOOK).evidence
    assert (verdict.first_broken is None) is (health is not Health.BROKEN)


def test_a_daemon_that_ended_after_the_close_is_no_fault(walks):
    daemon = Daemon(pid=7, orphaned=True, last=NOW)
    verdict = examine(replace(walks("holiday").seen, daemon=daemon), NOW).verdict
    assert verdict.of(Hop.RUNBOOK).health is Health.NOT_DUE


def test_the_ladder_is_complete_without_colour_and_fits_a_terminal(walks):
    for name in ("mute", "healthy", "nothing there"):
        text = render(walks(name).found)
        assert max(map(len, text.splitlines())) <= 100
        assert "\x1b" not in text
        assert [line[:2] for line in text.splitlines() if line.startswith("H")] == [str(hop) for hop in Hop]
    assert "BROKEN" in render(walks("mute").found)
    assert "\x1b[31m" in render(walks("mute").found, colour=True)
