"""The engine: plan -> claim -> run -> settle -> record -> decide -> tell. One thread turns; steps run in threads of their own."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbook import agenda, run
from runbook.budget import Budget
from runbook.clock import host_monotonic
from runbook.engine import hung, takeover
from runbook.engine.alerting import Alerting
from runbook.engine.asking import Asking
from runbook.engine.attempts import Attempts
from runbook.engine.channels import Channels
from runbook.engine.minding import Minder
from runbook.engine.parts import BotNews, CalendarNews, CauseNews, FeedNews, FeedTotals, Keeper, Parts
from runbook.engine.planner import Planner
from runbook.engine.remedies import Remedies
from runbook.engine.renewal import Renewal
from runbook.engine.watch import Watch
from runbook.errors import JobFailed, LeaseLost, Stopped, StoreError
from runbook.job import Context, JobSpec, Key, Verdict
from runbook.remedy import KIND
from runbook.run import Attempt, Run

if TYPE_CHECKING:
    from runbook.adapters.store import Look

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
RENEW = timedelta(seconds=5)
TURN_EVERY = 5.0  # seconds, when nothing wakes the engine before
EARLY = 0.02  # real seconds: the alarm comes so much before the instant, and the engine waits for it with all at hand
GIVE_WAY = 0.002  # real seconds: threads that begin come before the rest of the turn, which would hold the interpreter
GRACE = 0.5  # real seconds an attempt may outlive its budget, so that one that ends in time is not called an overrun


@dataclass(frozen=True, slots=True)
class _Done:
    job: JobSpec
    attempt: Attempt
    result: object
    ended: datetime


@dataclass(frozen=True, slots=True)
class _Running:
    job: JobSpec
    attempt: Attempt
    budget: Budget
    since: float  # host seconds
    ended: threading.Event = field(default_factory=threading.Event)


_Item = _Done | FeedNews | FeedTotals | BotNews | CauseNews | CalendarNews


class Engine:
    """Runs the jobs of the coming sessions. `start` takes the lease, `stop` gives it back; nothing is left half-written."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._jobs = {job.name: job for job in parts.jobs}
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._backlog: deque[_Item] = deque()  # taken from the inbox, not recorded yet
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._running: dict[Key, _Running] = {}
        self._hung = hung.LeftBehind()
        self._epoch = 0
        self._renewed: datetime | None = None
        self._down: tuple[datetime, datetime] | None = None
        self._armed: datetime | None = None
        self._lost: str | None = None
        self._poised = False  # what is due in a moment is being claimed, or waits for its instant
        self.fenced = False  # True: another process has the lease, and with it the outbox
        self.turned = host_monotonic()  # when a turn last began, in host seconds: the sweeper looks at it
        self._planner = Planner(parts)
        self._alerting = Alerting(parts.voice, self._planner.session, parts.positions, lambda: self._planner.calendar)
        self._attempts = Attempts(self._planner, self._alerting, self._jobs)
        self._watch = Watch(self._planner, self._alerting, self._jobs, parts.voice.dashboard)
        asking = Asking(self._planner, self._alerting, self._jobs, parts.asks)
        self._renewal = Renewal(parts, self._alerting, self.post)
        self._remedies = Remedies(parts, self._planner, self._alerting, lambda: self._epoch, self.wake)
        self._keepers: tuple[Keeper, ...] = (
            asking, self._watch,  # the watch's reminder names what was asked
            Minder(self._alerting), Channels(self._alerting, parts), self._remedies,
            *parts.keepers,  # what was handed in comes last
        )  # fmt: skip
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self.finished = threading.Event()

    # -- start and stop ---------------------------------------------------------------------------------------------

    def start(self, *, holder_is_dead: bool = False, handed_over: bool = False) -> None:
        """Take the lease, put right what an earlier process left, and begin to turn.

        `handed_over`: the one before was stopped a moment ago in this process, and what it started lives on.
        """
        self.take_over(holder_is_dead=holder_is_dead, handed_over=handed_over)
        self._p.teller.start()
        self._p.alarm.start()
        self._thread.start()

    def take_over(self, *, holder_is_dead: bool = False, handed_over: bool = False) -> None:
        """All of a start but the threads: whoever calls this has the engine turn by calling `turn`."""
        now = self._p.clock.now()
        with self._p.store.write() as books:
            held = books.desk.lease()
            self._epoch = books.desk.take(self._p.holder, self._p.pid, self._p.host, now, LEASE, dead=holder_is_dead)
            if held is not None and not handed_over:
                self._down = (min(held.renewed, now), now)
            first = not books.ledger.sessions(1)
            books.ledger.set_back(now)  # by a clock that ran ahead before we came
            if not handed_over:
                takeover.tidy(books, self._jobs, self._planner, self._alerting, self._epoch, now)
            told = self._planner.plan(books, now, first=first)
            if not handed_over:
                told = takeover.late_start(books, self._planner, self._down, self._epoch, now, first=first)
            if told:
                self._alerting.notice(books, told, now, self._day(now))
            if told or handed_over:
                self._watch.knows(books, now)
            if handed_over:  # whoever reads the lease finds no gap
                books.desk.renew(self._p.holder, self._epoch, now, LEASE, self._p.state())
        self._p.store.epoch = self._epoch
        self._planner.planned(now)
        self._renewed = now

    def stop(self) -> None:
        """End within seconds whatever the steps do: their threads hold nothing, their rows say what happened."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._p.alarm.stop()
            self._thread.join(timeout=2.0)
        self._p.teller.stop()
        now = self._p.clock.now()
        for held in self._running.values():
            held.budget.stop.set()
        try:
            with self._p.store.look() as store:
                while self._record(store):  # the feed's last words came while we stopped
                    pass
            with self._p.store.write() as books:
                for held in self._running.values():
                    reason = "runbook was stopped while this ran"
                    if books.ledger.settle(replace(run.abandoned(held.attempt, now), reason=reason), self._epoch):
                        takeover.again(books, self._jobs, held.attempt.occurrence, now)  # else whoever took over has it
                books.desk.release(self._p.holder, self._epoch, now)
        except StoreError as exc:
            log.error("at the end: %s", exc)  # the next start finds the rows of an older epoch and says so

    def wake(self) -> None:
        """Turn soon. Never raises, never blocks: this is all that an alarm clock is given."""
        self._wake.set()

    def post(self, news: FeedNews | FeedTotals | BotNews | CauseNews | CalendarNews) -> None:
        """Hand over news of the feed, the bot, the configuration or the calendar; recorded in the order given."""
        self._inbox.put(news)
        self._wake.set()

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def idle(self) -> bool:
        """True when nothing runs, is about to, or waits to be recorded."""
        resting = not self._running and not self._poised
        return resting and not self._backlog and self._inbox.empty() and self._remedies.idle

    @property
    def lost(self) -> str | None:
        """Why this process must not go on, or None."""
        return self._lost

    def next_due(self) -> datetime | None:
        with self._p.store.read() as books:
            return books.ledger.next_due(self._p.clock.now())

    # -- the turn ---------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not (self._stopping.is_set() or self._lost):
            self.turn()
            if not self._lost:
                self._p.clock.wait(self._wake, self._patience())
                self._surely(self._poise)
        self.finished.set()

    def _patience(self) -> float:
        """Seconds of the engine's clock until the next turn, if nobody wakes it."""
        longest = 0.2 if self._running else TURN_EVERY
        return min(left, longest) if (left := self._left()) > 0 else longest

    def _left(self) -> float:
        """Seconds of the engine's clock until the next thing that is known to come; 0 or less where it is there, or nothing is known."""
        return (self._armed - self._p.clock.now()).total_seconds() if self._armed else 0.0

    def _poise(self) -> None:
        """Something is due in a moment: claim it now, and let its thread wait for the instant."""
        if self._armed is None or not 0 < self._p.clock.real(self._left()) <= EARLY:
            return
        self._poised = True
        try:
            with self._p.store.look() as store:
                begun = self._claim(store, self._armed, ahead=True)
            for attempt in begun:
                self._begin(self._jobs[attempt.occurrence.key.job], attempt)
        finally:
            self._poised = False
        self._until(self._armed)
        if begun:
            self._wake.wait(GIVE_WAY)

    def _until(self, instant: datetime) -> None:
        """Wait for what comes in a moment; where the clock was put back meanwhile, nobody waits for it to catch up."""
        left = (instant - self._p.clock.now()).total_seconds()
        if 0 < self._p.clock.real(left) <= EARLY:
            self._p.clock.wait(threading.Event(), left)

    def turn(self) -> None:
        """Do all that is due now; what fails is in the log, and in `lost` where the engine must not go on."""
        self.turned = host_monotonic()
        self._wake.clear()
        self._surely(self._turn)

    def _surely(self, do: Callable[[], None]) -> None:
        """`do`, on which whether the engine may go on depends."""
        try:
            do()
        except LeaseLost as exc:
            self._lost, self.fenced = str(exc), True
            log.critical("%s; this one ends", exc)
        except StoreError as exc:
            log.error("%s; tried again with the next pulse%s", exc, f" ({exc.hint})" if exc.hint else "")
        except Exception as exc:
            # A fault of our own: better a restart that says so than an engine that limps through the day.
            log.exception("the engine failed")
            self._lost = f"the engine failed: {type(exc).__name__}: {exc}"

    def _turn(self) -> None:
        now = self._p.clock.now()
        with self._p.store.look() as store:
            self._start_due(store, now)  # first: what else is to do can wait, and its claim asks for the lease itself
            if self._record(store):
                self._start_due(store, now)  # what stood behind it
            for held in [h for h in self._running.values() if self._p.seconds() - h.since > h.job.timeout + GRACE]:
                self._overrun(store, held, now)
            self._give_up(store, now)
            if self._lost:
                return
            self._heartbeat(store, now)  # raises LeaseLost: what is due then belongs to whoever holds the lease
            self._renewal.begin(now)
            if self._replan(store, now):
                self._start_due(store, now)
            self._requests(store, now)
            for keeper in self._keepers:
                keeper.due(store, now)
                self._tell()
            with store.read() as books:
                coming = (books.ledger.next_due(now), *(keeper.next(books, now) for keeper in self._keepers))
        upcoming = min((at for at in coming if at is not None), default=None)
        if upcoming is not None and upcoming != self._armed:
            self._p.alarm.at(upcoming)
            self._armed = upcoming

    def _record(self, store: Look) -> bool:
        """Write down what came in, in its order; what a busy database refuses is the first to be tried again. True: some."""
        took = False
        while self._backlog or not self._inbox.empty():
            if not self._backlog:
                self._backlog.append(self._inbox.get())
            self._take(store, self._backlog[0])
            self._backlog.popleft()
            took = True
            if self._armed is not None and self._p.clock.now() >= self._armed:
                self._wake.set()  # a hundred that end at once must not keep waiting what is due meanwhile
                break
        return took

    def _take(self, store: Look, item: _Item) -> None:
        match item:
            case _Done(job, attempt, result, ended):
                self._settle(store, job, run.settle(job, attempt, ended, result, self._planner.until(job, attempt)))
            case FeedNews(session, change, cause):
                with store.write() as books:
                    books.feed.change(session, change)
                    if cause is not None:
                        self._alerting.decide(books, [cause], change.at, session)
                self._tell()
            case FeedTotals(session, at, data):
                with store.write() as books:
                    books.feed.sample(session, at, data)
            case BotNews(session, cause) | CauseNews(session, cause):
                with store.write() as books:
                    self._alerting.decide(books, [cause], cause.at, session)
                self._tell()
            case CalendarNews():
                now = self._p.clock.now()
                with store.write() as books:
                    self._renewal.record(books, item, now, self._day(now))
                self._renewal.recorded()
                self._tell()

    def run_here(self, key: Key, actor: str, *, again: bool) -> Run:
        """Run one occurrence in this process, which has no engine turning: `runbook run` without a daemon."""
        now = self._p.clock.now()
        job = self._jobs[key.job]
        with self._p.store.write() as books:
            self._epoch = books.desk.take(self._p.holder, self._p.pid, self._p.host, now, LEASE, dead=True)
            session = self._planner.session(key.session)
            assert session is not None, key  # the command line asked the same calendar
            books.ledger.plan([(o, job.repeating) for o in agenda.occurrences(job, session)], self._p.config_hash)
            attempt = books.ledger.claim(key, actor, now, self._epoch, again=again)
        self._p.store.epoch = self._epoch
        if attempt is None:
            raise JobFailed(f"{key} runs already or has ended", hint="--again runs it once more")
        self._p.teller.start()
        self._begin(job, attempt)
        done: Run | None = None
        while done is None:
            try:
                item = self._inbox.get(timeout=0.1)
            except queue.Empty:
                held = self._running.get(key)
                if held is not None and self._p.seconds() - held.since > job.timeout + GRACE:
                    done = run.overran(job, attempt, self._p.clock.now())
            else:
                if isinstance(item, _Done):
                    done = run.settle(job, attempt, item.ended, item.result)
        with self._p.store.look() as store:
            self._settle(store, job, replace(done, again_at=None))
        return done

    # -- agenda ----------------------------------------------------------------------------------------

    def _replan(self, store: Look, now: datetime) -> bool:
        if not self._planner.stale(now):
            return False
        with store.write() as books:
            if news := self._planner.plan(books, now):
                self._alerting.notice(books, news, now, self._day(now))
        self._planner.planned(now)
        self._tell()
        return True

    def _day(self, now: datetime) -> date:
        return self._planner.calendar.today(now)

    # -- claim and run ----------------------------------------------------------------------------------------------

    def _start_due(self, store: Look, now: datetime) -> None:
        for attempt in self._claim(store, now):
            self._begin(self._jobs[attempt.occurrence.key.job], attempt)
        self._tell()

    def _claim(self, store: Look, now: datetime, *, ahead: bool = False) -> list[Attempt]:
        due = self._armed is not None and now >= self._armed
        busy = {key.job for key in self._running}
        begun, ended = self._attempts.claim(
            store, now, self._epoch, busy, self._down, due=due and not ahead, ahead=ahead
        )
        if ended:
            self._wake.set()  # what stood behind it may go on
        return begun

    def _begin(self, job: JobSpec, attempt: Attempt) -> None:
        key = attempt.occurrence.key
        session = self._planner.session(key.session)
        budget = Budget(job.timeout)
        held = _Running(job, attempt, budget, self._p.seconds())
        self._running[key] = held
        if session is None:
            gone = LookupError(f"the calendar no longer has {key.session}")
            self._inbox.put(_Done(job, attempt, gone, max(attempt.started, self._p.clock.now())))
            self._wake.set()
            return
        context = Context(key, session, attempt.started, attempt.actor, budget, self._p.desk, job.settings)
        self._p.spawn(lambda: self._work(job, attempt, context, held.ended), f"{key.job}-{key.slot}")

    def _work(self, job: JobSpec, attempt: Attempt, context: Context, ended: threading.Event) -> None:
        result: object
        self._until(attempt.started)  # it was claimed a moment before
        try:
            result = self._p.steps[job.name](context)
        except Stopped as exc:
            log.info("%s: %s", context.key, exc)  # whoever ended it writes its row
            return
        except BaseException as exc:  # whatever a step raises, SystemExit too, becomes a row
            log.debug("%s raised", context.key, exc_info=True)
            result = exc
        finally:
            ended.set()
        self._inbox.put(_Done(job, attempt, result, self._p.clock.now()))
        self._wake.set()

    def _overrun(self, store: Look, held: _Running, now: datetime) -> None:
        held.budget.stop.set()
        self._wake.set()  # the next row of this job need not wait
        done = run.overran(held.job, held.attempt, now, self._planner.until(held.job, held.attempt))
        self._settle(store, held.job, done)
        if held.job.command is None:  # what runs as a child is ended by its door
            self._hung.add(str(held.attempt.occurrence.key), held.ended)

    def _give_up(self, store: Look, now: datetime) -> None:
        """End while there is room to end well: threads that hang cannot be ended, and each holds on to something."""
        names = self._hung.names()
        if len(names) < hung.MOST:
            return
        with store.write() as books:
            self._alerting.notice(books, hung.notice(names, self._epoch), now, self._day(now))
        self._lost = f"{len(names)} steps hang in threads that cannot be ended: {', '.join(names)}"
        log.critical("%s; this process ends, so that the next one is rid of them", self._lost)

    # -- record, decide, tell ---------------------------------------------------------------------------------------

    def _settle(self, store: Look, job: JobSpec, done: Run) -> None:
        key = done.key
        with store.write() as books:
            if not self._attempts.settle(books, job, done, self._epoch):
                log.warning("%s came back after it was given up; what it returned does not count", key)
                return
        self._running.pop(key, None)
        level = logging.INFO if done.verdict is Verdict.OK else logging.WARNING
        if job.repeating and done.verdict is Verdict.OK:
            level = logging.DEBUG
        log.log(level, "%s: %s, %s: %s", key, done.outcome, done.verdict or "no verdict", done.reason)
        self._p.on_run(done)
        self._tell()

    def _tell(self) -> None:
        """What is committed can be sent."""
        if self._alerting.spoke():
            self._p.teller.nudge()

    # -- what time brings -------------------------------------------------------------------------------------------

    def _heartbeat(self, store: Look, now: datetime) -> None:
        set_back = self._renewed is not None and now < self._renewed  # the clock was
        if self._renewed is not None and not set_back and now - self._renewed < RENEW:
            return
        with store.write() as books:
            if set_back:
                books.ledger.set_back(now)
                self._wake.set()
            if not books.desk.renew(self._p.holder, self._epoch, now, LEASE, self._said()):
                raise LeaseLost("another process has taken the lease of this database")
        self._renewed = now

    def _said(self) -> dict[str, Any]:
        states = self._remedies.states
        return {**self._p.state(), **({"remedies": dict(states)} if states else {})}

    def _requests(self, store: Look, now: datetime) -> None:
        with store.read() as books:
            asked = [one for one in books.desk.open_requests() if one.kind != KIND]  # those are its keeper's
        for one in asked:
            if one.kind != "run":
                self._p.asked(one)
                continue
            with store.write() as books:
                answer, attempt = self._attempts.asked(books, one, self._running, self._epoch, now)
                books.desk.answer(one.number, answer, now)
            if attempt is not None:
                self._begin(self._jobs[attempt.occurrence.key.job], attempt)
