"""A bot and runbook on one OpenAlgo, which keeps one broker connection per user: the observer must not keep a dead one alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from runbook.feed.advice import HELD
from runbook.feed.policy import Policy
from runbook.feed.table import Mode
from runbook.feed.verdict import Health, Hop, Rung
from tests.together_world import LOOKS, Desk

PATIENCES = (30.0, 60.0, 90.0)
_HOST = 8.0  # seconds of the clock that a busy host may cost; a bot that is held up loses its whole patience once more
_NEAR = ((20.0, 40.0), (84.0, 106.0))  # when seconds decide: runbook leaves and a quick bot comes; runbook returns
_A_WHILE = 12.0  # seconds of the clock in which ticks would have come
AT_ONCE = 4


@dataclass(frozen=True)
class Seen:
    """What came of one play. Times are seconds since the mute; `healed` is None for a bot that stayed without ticks."""

    healed: float | None
    opened: tuple[float, ...]  # by the bot, since the mute
    modes: tuple[tuple[float, Mode], ...]  # of runbook's feed, since the mute
    asked: frozenset[str]  # what the simulator heard on its sockets
    stream: Rung | None  # the last that runbook says of the broker's stream


def play(
    patience: float | None,
    policy: Policy | None,
    *,
    seconds: float,
    future: bool = True,
    returns: bool = False,
    opens: int | None = None,
) -> Seen:
    """Mute the stream until a new broker connection, and let `seconds` pass or the bot have its ticks (and runbook, if it `returns`).

    With `opens` it is over a while after the bot has opened so often.
    """
    with ExitStack() as stack:
        desk = Desk(stack, patience, policy, future=future)
        desk.mute()

        def over() -> bool:
            if desk.since >= seconds:
                return True
            opened = [t for t in desk.bot.opened if t > desk.muted]
            if opens is not None and len(opened) >= opens:
                return desk.clock.monotonic() > opened[-1] + _A_WHILE
            healed = desk.healed is not None
            return healed and (not returns or desk.modes[-1][1] is Mode.LIVE)

        desk.let(over, _NEAR)
        rung = next(r for r in desk.verdict().rungs if r.hop is Hop.BROKER_STREAM) if policy else None
        return Seen(
            desk.healed,
            tuple(t - desk.muted for t in desk.bot.opened if t > desk.muted),
            tuple((t - desk.muted, mode) for t, mode in desk.modes if t > desk.muted),
            frozenset(call.path for call in desk.sim.calls if call.method == "WS"),
            rung,
        )


PLAYS: dict[str, Callable[[], Seen]] = {
    **{f"alone {n:g}": partial(play, n, None, seconds=n + 30) for n in PATIENCES},
    **{f"together {n:g}": partial(play, n, Policy(), seconds=240, returns=True) for n in PATIENCES},
    "index only": lambda: play(30, Policy(), seconds=80, future=False),
    "in a hurry": lambda: play(60, Policy(stay_away=2.0), seconds=300, opens=2),
    "two minutes": partial(play, 120, Policy(), seconds=300),
    "a bot that waits": lambda: play(None, Policy(), seconds=118),
}


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Seen]]:
    """All plays at once, since most of each is waiting."""
    begun: dict[str, Future[Seen]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, one in PLAYS.items():
            begun[name] = pool.submit(one)
        yield lambda name: begun[name].result(90)


@pytest.mark.parametrize("patience", PATIENCES)
def test_bot_and_runbook_together_heal_no_later_than_the_bot_alone(plays: Callable[[str], Seen], patience: float):
    alone, together = plays(f"alone {patience:g}"), plays(f"together {patience:g}")
    assert alone.healed is not None
    assert together.healed is not None, f"the bot opened at {together.opened} and had no ticks"
    assert alone.healed >= patience, "a mute that ends by itself proves nothing"
    assert together.healed <= alone.healed + LOOKS + _HOST
    assert len(together.opened) == 1, "the bot's first attempt is the one that helps"


@pytest.mark.parametrize("patience", PATIENCES)
def test_runbook_has_its_ticks_back_when_it_returns(plays: Callable[[str], Seen], patience: float):
    modes = plays(f"together {patience:g}").modes
    assert [mode for _, mode in modes] == [Mode.SUSPECT, Mode.FALLBACK, Mode.PROBATION, Mode.LIVE]
    back = modes[2][0]
    assert back >= Policy().stay_away, "it was away"


def test_a_feed_of_one_index_leaves_before_a_bot_of_half_a_minute_comes(plays: Callable[[str], Seen]):
    seen = plays("index only")
    assert seen.healed is not None
    assert seen.healed <= 30 + 2 * LOOKS + _HOST, f"the bot opened at {seen.opened}"


def test_a_bot_that_waits_longer_than_runbook_stays_away_is_not_held_up_for_ever(plays: Callable[[str], Seen]):
    seen = plays("two minutes")
    assert seen.healed is not None, f"the bot opened at {seen.opened}"
    assert len(seen.opened) <= 2


def test_a_runbook_that_came_back_after_two_seconds_would_hold_the_bot_up(plays: Callable[[str], Seen]):
    """The reason for `stay_away`, and the proof that the tests above can fail."""
    seen = plays("in a hurry")
    assert len(seen.opened) == 2, seen.opened
    assert seen.healed is None


def test_runbook_never_unsubscribes(plays: Callable[[str], Seen]):
    heard = frozenset().union(*(plays(name).asked for name in PLAYS))
    assert {"authenticate", "subscribe"} <= heard
    assert not {word for word in heard if word.startswith("unsubscribe")}


def test_where_the_bot_keeps_the_dead_link_runbook_says_that_its_own_reconnects_cannot_help(
    plays: Callable[[str], Seen],
):
    seen = plays("a bot that waits")
    assert seen.opened == ()
    assert [mode for _, mode in seen.modes] == [Mode.SUSPECT, Mode.FALLBACK]
    assert seen.stream is not None
    assert seen.stream.health is Health.BROKEN
    assert HELD in seen.stream.action
