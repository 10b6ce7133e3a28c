"""A day without threads: the real engine, teller and ledger under a clock that jumps to the next instant anything is due.

One thread plays everything. Steps and sends take virtual seconds; a process can be killed at any commit, in any send, at any
instant. Whatever happens is one line in `World.log`, so that two plays of one seed can be held against each other.
"""

from __future__ import annotations

import heapq
import itertools
import random
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from runbook.adapters.store import Books, Store
from runbook.adapters.store.bases import Base
from runbook.alert import FeedMoved, FeedWord, ReadyReached
from runbook.almanac import Why
from runbook.day import FeedChange
from runbook.engine import Engine, FeedNews, FeedTotals, Parts
from runbook.engine.loop import EARLY, TURN_EVERY
from runbook.errors import JobFailed, Skip, StoreBusy, StoreError
from runbook.job import Context, Found, JobSpec, Step, Verdict
from runbook.outbox import REPEAT_MARK
from runbook.ports import Delivery, Message
from runbook.run import Run
from runbook.session import INDIA, SessionCalendar
from runbook.teller import Teller, Voice
from tests.days.judge import Judge
from tests.days.script import Script
from tests.fakes import FakeAlarm, FakeDesk, ledger_file

AFTERWARDS = 2.2 * 3600  # seconds: the longest absence, and the longest wait of a message
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Killed(BaseException):
    """The process is gone; nothing after this happens in it."""


class VirtualClock:
    """Wall time that can be stepped, and seconds that only go forward."""

    def __init__(self, start: datetime) -> None:
        self._zero, self.seconds, self.offset = start, 0.0, 0.0

    def now(self) -> datetime:
        return self._zero + timedelta(seconds=round(self.seconds + self.offset, 3))

    def monotonic(self) -> float:
        return self.seconds

    def real(self, seconds: float) -> float:
        return seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        assert seconds <= EARLY, "nothing waits long in a virtual day"
        self.seconds += seconds
        return event.is_set()


_BASES: dict[Path, Base] = {}


class VirtualStore(Store):
    """The real ledger, fast (a power cut is not what is played), that can be busy, and be the place of a death."""

    def __init__(self, path: Path, met: Callable[[str], None]) -> None:
        super().__init__(path, busy_seconds=0.0)
        self._met = met
        self._base = _BASES.setdefault(
            path, self._base
        )  # a day that is played in the place of another needs no new statements
        self._engine = self._base.engine
        if not event.contains(self._engine, "connect", _hurry):
            event.listen(self._engine, "connect", _hurry)

    @contextmanager
    def write(self) -> Iterator[Books]:
        self._met("begin")
        with super().write() as books:
            yield books
            self._met("before commit")
        self._met("after commit")


def _hurry(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")


@dataclass(order=True, slots=True)
class _Due:
    at: float
    n: int
    what: str = field(compare=False)
    do: Callable[[], object] = field(compare=False)
    ours: bool = field(compare=False, default=False)  # it is of the watched process: a stop delays it, a kill ends it


class World:
    """One day of one seed. `play` runs it to its end, and raises `Broken` at the first event that breaks a promise."""

    def __init__(self, script: Script, folder: Path) -> None:
        self.script, self.folder = script, folder
        self.clock = VirtualClock(script.start)
        self.chance = random.Random(f"{script.seed} world")
        self.log: list[str] = []
        self.calendar: SessionCalendar = script.calendar
        self.jobs = script.jobs
        self._queue: list[_Due] = []
        self._numbers = itertools.count()
        self.store = VirtualStore(ledger_file(folder), self._met)
        self.judge = Judge(self, self.store.path)
        self.engine: Engine | None = None
        self.teller: Teller | None = None
        self._tellers: dict[str, float] = {}  # when each channel's thread looks again
        self._sending: set[str] = set()
        self._look = 0.0  # when the engine's loop turns at the latest, where something is to be looked at
        self._armed: float | None = None
        self.locked = 0  # others that hold the write lock
        self.failed = False  # a write failed since the last turn
        self._deaths: dict[str, int] = {}  # point -> at which meeting of it the process dies
        self._met_at: Counter[str] = Counter()
        self.mode = FeedWord.OFF
        self.watching = False
        self.token = True  # the broker's
        self.ill: dict[str, str] = {}  # channel -> down | slow | unknown | busy | wrong
        self.arrived: dict[tuple[str, str, str, int], list[bool]] = defaultdict(list)  # marked or not, in order
        self.effects: Counter[str] = Counter()
        self.epochs = 0
        self.turns = self.events = 0
        self.able: list[tuple[datetime, datetime]] = []  # wall times between two turns in which the engine could act
        self.stepped_at = float("-inf")

    # -- time ---------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        self.log.append(
            f"{self.clock.now().astimezone(INDIA):%d %H:%M:%S.%f}"[:15] + f" {self.clock.seconds:10.3f} {text}"
        )

    def later(self, seconds: float, what: str, do: Callable[[], object], *, ours: bool = False) -> None:
        heapq.heappush(self._queue, _Due(self.clock.seconds + seconds, next(self._numbers), what, do, ours))

    def play(self) -> World:
        for one in self.script.faults:
            self.later(one.after, one.kind, lambda one=one: one.happen(self))  # type: ignore[misc]
        self.boot()
        self._run(self.script.length)
        self.say("all is well from here on")
        self.token, self.locked = True, 0
        self.ill.clear()
        self._deaths.clear()
        self._queue = [one for one in self._queue if one.ours or one.do == self.boot]
        heapq.heapify(self._queue)
        if self.clock.offset:
            self.step_clock(-self.clock.offset)
        self._run(max(self.clock.seconds, self.script.length) + AFTERWARDS)  # a stop may have lasted beyond the day
        self.judge.at_the_end()
        return self

    def _run(self, until: float, *, deep: bool = False) -> None:
        """Play until that many seconds have passed. `deep`: from inside a send, so a death goes up to the caller."""
        while True:
            at = self._next()
            if at > until:
                self.clock.seconds = max(self.clock.seconds, until)
                return
            self.clock.seconds = max(self.clock.seconds, at)
            try:
                self._moment()
            except Killed as gone:
                if deep:
                    raise
                self._buried(str(gone))
            self.events += 1
            self.judge.after_event()

    def _next(self) -> float:
        times = [self._queue[0].at] if self._queue else []
        if self.engine is not None:
            if self._armed is not None:
                times.append(self._armed)
            times.append(self._look)
            times += [at for name, at in self._tellers.items() if name not in self._sending]
        return min(times, default=float("inf"))

    def _moment(self) -> None:
        """One event: what of the world is due, else the engine, else a teller."""
        now = self.clock.seconds
        if self._queue and self._queue[0].at <= now:
            due = heapq.heappop(self._queue)
            if due.what:
                self.say(due.what)
            due.do()
            self._turn_if_woken()
            return
        if self.engine is None:
            return
        if (self._armed is not None and self._armed <= now) or self._look <= now:
            if self._armed is not None and self._armed <= now:
                self._armed = None
                self.engine._surely(self.engine._poise)  # as its loop does, where the alarm came early
            self._turn()
            return
        for name, at in self._tellers.items():
            if at <= now and name not in self._sending:
                self._send(name)
                return

    # -- the process --------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start a process on the ledger, as `serve` does; what is locked makes it end and start again."""
        self.epochs += 1
        self.store.epoch = None
        teller = Teller(self.store, self, self.script.channels, self.clock)
        alarm = FakeAlarm()
        alarm.at = self._arm  # type: ignore[method-assign]
        engine = Engine(
            Parts(
                self.clock, self.store, alarm, teller, Voice(self.script.channels, INDIA, "http://desk"), FakeDesk(),
                self.jobs, {job.name: self._step(job) for job in self.jobs}, self.script.config_hash, f"desk:{self.epochs}",
                self.epochs, "desk", lambda: self.calendar, lambda: {"feed": {"running": self.watching}}, lambda: None,
                "local_paper", self._ran, calendar_due=lambda _now: None, calendar_renew=lambda _now, _why: Why.DAY,
                spawn=self._spawn, seconds=self.clock.monotonic,
            )
        )  # fmt: skip
        try:
            engine.take_over(holder_is_dead=True)
        except StoreError as exc:
            self.say(f"not started: {exc}")
            self.later(5.0, "", self.boot)
            return
        except Killed as gone:
            self._buried(str(gone))
            return
        self.say(f"started, epoch {engine.epoch}")
        self.engine, self.teller = engine, teller
        self.watching, self.mode = False, FeedWord.OFF
        self._tellers = dict.fromkeys(self.script.channels, self.clock.seconds)
        self._armed, self.failed = None, False
        self.judge.started(engine.epoch)
        try:
            self._turn()
        except Killed as gone:
            self._buried(str(gone))

    def kill(self, where: str = "between two events") -> None:
        if self.engine is not None:
            raise Killed(where)

    def die_at(self, point: str, meeting: int) -> None:
        """Be killed when `point` is met for the n-th time from now on."""
        self._deaths[point] = self._met_at[point] + meeting

    def _buried(self, where: str) -> None:
        self.say(f"killed {where}")
        self.engine = self.teller = None
        self.judge.stood_still()
        self._deaths.clear()
        self._sending.clear()
        self.watching, self.mode = False, FeedWord.OFF
        self._queue = [one for one in self._queue if not one.ours]
        heapq.heapify(self._queue)
        self.later(self.script.absence(self.chance), "", self.boot)

    def _met(self, point: str) -> None:
        if point == "begin" and self.locked:
            self.failed = True
            raise StoreBusy("runbook.db stayed locked by another process")
        self._met_at[point] += 1
        if self._deaths.get(point) == self._met_at[point]:
            del self._deaths[point]
            raise Killed(point)

    def _turn_if_woken(self) -> None:
        if self.engine is not None and self.engine._wake.is_set():
            self._turn()

    def _turn(self) -> None:
        engine = self.engine
        assert engine is not None
        self.failed = False
        for _ in range(20):
            engine.turn()
            self.turns += 1
            if engine.lost and "hang" in engine.lost:  # as it should: whoever watches over it starts it anew
                raise Killed(f"by itself: {engine.lost}")
            if engine.lost:
                raise self.judge.broken(f"the engine gave up: {engine.lost}")
            if self.failed or (engine._inbox.empty() and not engine._backlog and not engine._wake.is_set()):
                break
        else:
            raise self.judge.broken("the engine turns without an end")
        if self.failed:
            self._look = self.clock.seconds + TURN_EVERY
            return
        self.judge.after_turn()
        self._look = self.clock.seconds + min(self._interest(), 1800.0)
        nudges = self.teller._nudges if self.teller else {}
        for name, nudge in nudges.items():
            if nudge.is_set():
                nudge.clear()
                self._tellers[name] = self.clock.seconds

    def _interest(self) -> float:
        """Seconds until the pulse that first finds something passed which nobody is woken for."""
        found = []
        for at in self.judge.coming(self.clock.now()):
            wait = (at - self.clock.now()).total_seconds()
            found.append(wait + self.chance.uniform(0.001, TURN_EVERY))
        if self.engine is not None:
            over = (held.since + held.job.timeout + 0.5 for held in self.engine._running.values())
            found += [max(0.0, at - self.clock.seconds) + 0.2 for at in over]
        return min(found, default=1800.0)

    def _arm(self, instant: datetime) -> None:
        early = self.chance.choice((0.0, 0.0, 0.001, EARLY / 2, EARLY))  # it wakes in the moment before
        self._armed = self.clock.seconds + max(0.0, (instant - self.clock.now()).total_seconds() - early)

    def restart(self, jobs: tuple[JobSpec, ...]) -> None:
        """A clean stop, and a start on `jobs` ten seconds later."""
        if self.engine is None:
            self.jobs = jobs
            return
        self.engine.stop()
        self.engine = self.teller = None
        self.jobs, self.script.config_hash = jobs, f"{self.clock.seconds:.0f}"
        self.watching, self.mode = False, FeedWord.OFF
        self._deaths.clear()
        self._queue = [one for one in self._queue if not one.ours]
        heapq.heapify(self._queue)
        self.judge.stood_still()
        self.later(10.0, "", self.boot)

    def new_calendar(self, calendar: SessionCalendar) -> None:
        self.calendar = calendar
        self._look = self.clock.seconds + self.chance.uniform(0.0, TURN_EVERY)

    def ask(self, job: str, dice: float) -> None:
        """What `runbook run JOB --again` leaves for the daemon."""
        with Store.write(self.store) as books:
            slots = [e.key.slot for e in books.ledger.session(self.script.day, repeats=False) if e.key.job == job]
            if not slots:
                return
            data = {"session": str(self.script.day), "job": job, "slot": slots[int(dice * len(slots))]}
            books.desk.ask("run", data, "cli:me", self.clock.now())
        self.say(f"asked for {job} {data['slot']}")
        self._look = self.clock.seconds + self.chance.uniform(0.0, TURN_EVERY)

    def suspend(self, seconds: float) -> None:
        """The process stands still (SIGSTOP, a lid): both clocks go on, what it had under way is late by as much."""
        self.clock.seconds += seconds
        for one in self._queue:
            if one.ours:
                one.at += seconds
        heapq.heapify(self._queue)
        self.judge.stood_still()

    def step_clock(self, seconds: float) -> None:
        self.clock.offset += seconds
        self.stepped_at = self.clock.seconds
        self._look = min(self._look, self.clock.seconds + self.chance.uniform(0.0, TURN_EVERY))
        for name in self._tellers:
            self.look_out(name)
        self.judge.stood_still()

    # -- steps --------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Callable[[], None], name: str) -> None:
        self._met("a step begins")
        takes = self.script.takes(name, self.chance)
        self.effects[f"{name} begun"] += 1

        def ended() -> None:
            self.say(f"{name} ends")
            work()
            self._met("a step ended")

        self.later(takes, "", ended, ours=True)
        self.say(f"{name} begins, takes {takes:.1f} s")

    def _step(self, job: JobSpec) -> Step:
        def step(ctx: Context) -> object:
            self.effects[f"{ctx.key.job}-{ctx.key.slot} done"] += 1
            match job.name:
                case "verify_broker":
                    if not self.token:
                        return Found(Verdict.BAD, "the broker refuses its token", hint="log in")
                    late = ctx.now >= ctx.session.open - timedelta(minutes=15)
                    causes = (ReadyReached(ctx.session.date, f"READY for {ctx.session.date}"),) if late else ()
                    return Found(Verdict.OK, "verified", causes=causes)
                case "start_feed":
                    if not self.watching:
                        self.watching = True
                        self.later(1.0, "", lambda: self.feed(FeedWord.LIVE), ours=True)
                    return Found(Verdict.OK, "watching")
                case "check_feed":
                    ok = self.mode is FeedWord.LIVE
                    return self.found(
                        job.name, Found(Verdict.OK if ok else Verdict.ATTENTION, f"the feed is {self.mode}")
                    )
                case "report_day":
                    tell = (f"report of {ctx.session.date}", ("all that the ledger knows",))
                    return Found(Verdict.OK, "written", tell=tell)
            match self.script.outcome(f"{ctx.key.job}-{ctx.key.slot}", self.chance):
                case "fails":
                    raise JobFailed("the books cannot be read", hint="look at the gateway")
                case "raises":
                    raise ZeroDivisionError("division by zero")
                case "exits":
                    raise SystemExit(2)
                case "skips":
                    raise Skip("nothing to do today")
                case "rubbish":
                    return 42
                case "unfit":
                    return Found(Verdict.OK, "x", {"a": object()})
            return None

        return step

    def found(self, job: str, found: Found) -> Found:
        return found

    def _ran(self, run: Run) -> None:
        self.say(f"{run.key.job}-{run.key.slot} try {run.n} {run.outcome} {run.verdict}: {run.reason}")

    # -- the feed -----------------------------------------------------------------------------------------------------

    def feed(self, word: FeedWord) -> None:
        """The monitor says that the feed changed; nobody says it while nothing watches."""
        if self.engine is None or not self.watching or word is self.mode:
            return
        was, self.mode = self.mode, word
        now, day = self.clock.now(), self.script.day
        self.say(f"feed {was} -> {word}")
        change = FeedChange(now, str(was), str(word), f"it went {word}")
        cause = FeedMoved(was, word, now, f"it went {word}", feed="NIFTY")
        self.engine.post(FeedNews(day, change, cause))

    def totals(self) -> None:
        if self.engine is not None and self.watching:
            self.engine.post(
                FeedTotals(self.script.day, self.clock.now().replace(second=0, microsecond=0), {"ticks": 1})
            )

    # -- sends: this world is the notifier ----------------------------------------------------------------------------

    def _send(self, name: str) -> None:
        assert self.teller is not None
        teller, nudge = self.teller, self.teller._nudges[name]
        wait = teller.step(name)
        if wait > 60.0:
            raise self.judge.broken(f"{name} is not to be used for {wait:g} s")
        if self.teller is teller:  # it did not die meanwhile
            if nudge.is_set():
                wait = 0.0
            elif (
                wait == TURN_EVERY
            ):  # only a look, in case nobody said a word: taken where there will be something to see
                wait = self.judge.sends_in(name) + self.chance.uniform(0.001, TURN_EVERY)
            nudge.clear()
            self._tellers[name] = self.clock.seconds + max(wait, 0.001)

    def look_out(self, channel: str) -> None:
        """Something lies in the outbox: the channel's own look finds it, even if nobody says a word."""
        if channel in self._tellers:
            at = self.clock.seconds + self.chance.uniform(0.0, TURN_EVERY)
            self._tellers[channel] = min(self._tellers[channel], at)

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        """What the door does: takes its time, arrives or not. The world goes on meanwhile."""
        rows = self.judge.sending(channel)
        self._sending.add(channel)
        self._met("a send begins")
        ill = self.ill.get(channel, "")
        takes = {"slow": 12.0, "unknown": timeout, "down": 0.1}.get(ill, 0.4)
        self._run(self.clock.seconds + self.chance.uniform(0.3, 1.0) * takes, deep=True)
        marked = message.title.endswith(REPEAT_MARK)
        came = ill in ("", "slow") or (ill == "unknown" and self.chance.random() < 0.5)
        self.say(f"{channel}: {message.title} {'arrives' if came else ill}")
        if came:
            self.judge.arrives(rows, marked=marked)
            for row in rows:
                self.arrived[row].append(marked)
        self._met("a send ended")
        self._sending.discard(channel)
        match ill:
            case "unknown":
                return Delivery.UNKNOWN, "no answer"
            case "down":
                return Delivery.FAILED, "connection refused"
            case "busy":
                return Delivery.FAILED, "error=429"
            case "wrong":
                return Delivery.MISCONFIGURED, "no such address"
        return Delivery.SENT, ""

    def close(self) -> None:
        """Nothing to close; the name is the port's."""

    # -- the end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        self.judge.close()
        self.store.close()


def dump(path: Path) -> list[str]:
    """Every row of the ledger as text, to hold two plays of one seed against each other."""
    with sqlite3.connect(path) as held:
        tables = ("occurrence", "attempt", "alert", "alert_event", "outbox", "feed_event", "request")
        rows = [f"{name} {row}" for name in tables for row in held.execute(f"SELECT * FROM {name} ORDER BY rowid")]
    held.close()
    return rows
