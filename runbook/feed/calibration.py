"""What a setting of the feed would have done: its alarms on sessions as they were, and how long it takes to see a loss.

Losses are made by cutting a session off at seeded instants. Detection is from the cut to the moment the socket is left.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from random import Random

from runbook.alert import Alert, FeedMoved, FeedWord, decide
from runbook.alert import Cause as AlertCause
from runbook.alert import Tick as Passing
from runbook.feed.policy import Policy
from runbook.feed.replay import Replay, Turn
from runbook.feed.table import Mode
from runbook.feed.tape import Tape
from runbook.market import Instrument

GIVE_UP = 600.0  # seconds after which a loss counts as never seen
_SETTLE = 120.0  # the feed has come to rest by then
_LEFT = (Mode.FALLBACK, Mode.BLIND)
_WORDS = {
    Mode.OFF: FeedWord.OFF,
    Mode.FALLBACK: FeedWord.FALLBACK,
    Mode.PROBATION: FeedWord.PROBATION,
    Mode.BLIND: FeedWord.BLIND,
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """The socket was left although nothing was cut; `silence` is how long no tick had arrived by then, in seconds.

    `taken`: runbook itself had left the socket then.
    """

    tape: str
    at: float
    silence: float
    reason: str
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """What one policy did; times in seconds.

    `detection` are the losses of the whole feed that were seen, `missed` counts those that were not within `GIVE_UP`,
    `skipped` the cuts at an instant at which the feed was not live anyhow. `first_price` is from leaving the socket to the
    first answer of REST, which in a replay takes 0.2 s. `symbol` are the losses of one symbol alone.
    """

    sessions: int = 0
    doubts: int = 0  # entries of SUSPECT
    alarms: tuple[Alarm, ...] = ()
    outside: int = 0  # doubts and alarms while no ticks were promised
    detection: tuple[float, ...] = ()
    missed: int = 0
    skipped: int = 0
    first_price: tuple[float, ...] = ()
    symbol: tuple[float, ...] = ()
    symbol_missed: int = 0
    symbol_alarms: int = 0  # symbols called late on a session in which nothing was cut
    blind: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @property
    def cuts(self) -> int:
        """How many losses of the whole feed the figures rest on."""
        return len(self.detection) + self.missed

    def per_session(self, number: float) -> float:
        return number / self.sessions if self.sessions else 0.0


@dataclass(frozen=True, slots=True)
class Gaps:
    """How one symbol ticked: gaps between two ticks in seconds; the longest began `longest_at` on the tape `longest_on`."""

    instrument: Instrument
    ticks: int
    median: float | None
    p99: float | None
    longest: float | None
    longest_at: float | None
    longest_on: str


def calibrate(
    tapes: Iterable[Tape], policy: Policy, *, cuts: int = 40, symbol: Instrument | None = None, seed: int = 0
) -> Figures:
    """Play each tape as it is, and `cuts` times cut off; with a `symbol`, as often with that one cut off alone."""
    return sum((_play(tape, policy, cuts, symbol, seed) for tape in tapes), Figures())


class GapTable:
    """The gaps of each symbol over the tapes that are added; nights between two tapes are no gaps.

    Eight bytes a gap, so that many sessions can be looked at one after the other.
    """

    def __init__(self) -> None:
        self._ticks: dict[Instrument, int] = {}
        self._lengths: dict[Instrument, array[float]] = {}
        self._longest: dict[Instrument, tuple[float, float, str]] = {}

    def add(self, tape: Tape) -> None:
        last: dict[Instrument, float] = {}
        for instrument in tape.instruments:
            self._ticks.setdefault(instrument, 0)
            self._lengths.setdefault(instrument, array("d"))
        for at, tick in tape.ticks:
            instrument = tick.instrument
            self._ticks[instrument] += 1
            before = last.get(instrument)
            last[instrument] = at
            if before is None:
                continue
            self._lengths[instrument].append(at - before)
            if instrument not in self._longest or at - before > self._longest[instrument][0]:
                self._longest[instrument] = (at - before, before, tape.name)

    def rows(self) -> tuple[Gaps, ...]:
        """The liveliest symbol first."""
        made = [self._row(instrument) for instrument in self._ticks]
        return tuple(sorted(made, key=lambda row: (-row.ticks, row.instrument)))

    def _row(self, instrument: Instrument) -> Gaps:
        lengths = sorted(self._lengths[instrument])
        longest, begun, name = self._longest.get(instrument, (None, None, ""))
        return Gaps(
            instrument, self._ticks[instrument], quantile(lengths, 0.5), quantile(lengths, 0.99), longest, begun, name
        )


@dataclass(frozen=True, slots=True)
class Flapping:
    """What a feed that comes and goes did to those who depend on it.

    `blind` are seconds in which no price younger than 2 s could be had from the trusted source, as a bystander counts;
    `booked` is what the machine itself booked as blind or waiting. `messages` is what a phone received, the end included.
    """

    switches: int
    blind: float
    booked: float
    messages: int


def flap(tape: Tape, policy: Policy, start: float, end: float) -> Flapping:
    """Play a tape whose feed flaps between `start` and `end`; messages are counted until an hour later."""
    replay = Replay(tape, policy).run(start)
    blind, switches, booked = replay.blind, replay.switches, _waited(replay)
    replay.run(end)
    blind, switches, booked = replay.blind - blind, replay.switches - switches, _waited(replay) - booked
    replay.run(end + 3600)
    return Flapping(switches, blind, booked, messages(replay.turns, end + 3600))


def messages(turns: Sequence[Turn], until: float) -> int:
    """How many messages the alerts make of these changes of mode, time passing once a second."""
    began = datetime(2000, 1, 1, tzinfo=UTC)
    held: dict[str, Alert] = {}
    told = 0
    causes: list[tuple[float, AlertCause]] = [(float(second), Passing()) for second in range(math.ceil(until))]
    for turn in turns:
        before, after = (_WORDS.get(mode, FeedWord.LIVE) for mode in (turn.before, turn.after))
        if before is not after:
            causes.append((turn.at, FeedMoved(before, after, began + timedelta(seconds=turn.at), turn.reason)))
    for at, cause in sorted(causes, key=lambda item: item[0]):
        for change in decide(list(held.values()), cause, began + timedelta(seconds=at)):
            told += change.tell
            if change.alert is not None:
                held[change.key] = change.alert
    return told


def quantile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank quantile, which is always a value that occurred; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def late_ones(replay: Replay) -> frozenset[Instrument]:
    """The instruments that are silent on the stream, as REST has confirmed, while the others tick."""
    return frozenset(instrument for instrument, late in replay.state.late.items() if late.confirmed)


def _waited(replay: Replay) -> float:
    return replay.state.seconds.blind + replay.state.seconds.waiting


def _play(tape: Tape, policy: Policy, cuts: int, symbol: Instrument | None, seed: int) -> Figures:
    replay = Replay(tape, policy)
    found = Figures(sessions=1)
    late: frozenset[Instrument] = frozenset()
    for cut in (*_instants(tape, cuts, seed), math.inf):
        end = min(cut, tape.until)
        while replay.now + 1 <= end:
            replay.second()
            late, before = late_ones(replay), late
            found += Figures(symbol_alarms=len(late - before))
        if cut < math.inf:
            found += _lose(replay, cut)
            found += _lose_one(replay, cut, symbol)
    doubts = [turn for turn in replay.turns if turn.after is Mode.SUSPECT]
    left = [t for t in replay.turns if t.after in _LEFT and t.before not in (*_LEFT, Mode.PROBATION)]
    return found + Figures(
        doubts=len(doubts),
        alarms=tuple(Alarm(tape.name, t.at, tape.silence(t.at), t.reason, tape.was_left(t.at)) for t in left),
        outside=sum(not 0 <= turn.at <= tape.length for turn in (*doubts, *left)),
        blind=replay.blind,
    )


def _instants(tape: Tape, cuts: int, seed: int) -> list[float]:
    """Seeded instants at which the feed is lost: none so early that it has not begun, nor so late that it cannot be seen."""
    dice = Random(f"cuts/{seed}/{tape.name}")
    first = max(0.0, tape.begin) + _SETTLE
    last = min(tape.end, tape.length) - 2 * _SETTLE
    return sorted(dice.uniform(first, last) for _ in range(cuts)) if first < last else []


def _lose(replay: Replay, cut: float) -> Figures:
    """The whole feed goes mute at `cut`."""
    if replay.mode is not Mode.LIVE:
        return Figures(skipped=1)
    lost = replay.fork(cut)
    if not _until(lost, cut, lambda: lost.down):
        return Figures(missed=1)
    left = next(turn.at for turn in lost.turns if turn.at > cut and turn.after in _LEFT)
    answered = _until(lost, left, lambda: bool(lost.rest_at) and lost.rest_at[-1] > left)
    first = next((at for at in lost.rest_at if at > left), left)
    return Figures(detection=(left - cut,), first_price=(first - left,) if answered else ())


def _lose_one(replay: Replay, cut: float, symbol: Instrument | None) -> Figures:
    """One symbol goes mute at `cut`, the others tick on."""
    if symbol is None or replay.mode is not Mode.LIVE or symbol in late_ones(replay):
        return Figures()
    lost = replay.fork(cut, symbol)
    seen = _until(lost, cut, lambda: symbol in late_ones(lost))
    return Figures(symbol=(lost.now - cut,)) if seen else Figures(symbol_missed=1)


def _until(replay: Replay, since: float, happened: Callable[[], bool]) -> bool:
    """Play on until it has happened; False when it has not `GIVE_UP` seconds after `since`."""
    while not happened():
        if replay.now >= since + GIVE_UP:
            return False
        replay.second()
    return True
