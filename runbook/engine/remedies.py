"""The remedies' keeper: an alert that opened -> gates -> a command in a thread -> its row -> a verify -> green, or a person's turn."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from runbook import agenda, remedy
from runbook.alert import Alert, Notice
from runbook.command import Ended, Ending, Preflight, facts_of, preflight, reason_of
from runbook.engine.alerting import Alerting
from runbook.engine.approvals import Approvals, ByAsks, Question
from runbook.engine.parts import Parts
from runbook.engine.planner import Planner
from runbook.job import JobSpec, Key, Verdict
from runbook.remedy import KIND, LEAVE, RESTART, Action, Checked, Did, Gate, Remedy, market_at

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look

log = logging.getLogger(__name__)

BY_HAND = "by hand"
_VERIFY_EVERY = timedelta(seconds=10)
_LOOK_AGAIN = timedelta(minutes=10)  # for a unit that was not there


@dataclass(frozen=True, slots=True)
class _Done:
    number: int
    remedy: Remedy
    ended: Ended
    at: datetime


class Remedies:
    """Minds the rows of `action`. Commands run in threads of their own; the turn never waits for one."""

    def __init__(
        self, parts: Parts, planner: Planner, alerting: Alerting, epoch: Callable[[], int], wake: Callable[[], None],
        approvals: Approvals | None = None,
    ) -> None:  # fmt: skip
        self._p = parts
        self._planner = planner
        self._alerting = alerting
        self._epoch = epoch
        self._wake = wake
        self._approvals = approvals or ByAsks(alerting, planner)
        self._remedies = {one.name: one for one in parts.remedies}
        self._jobs = {job.name: job for job in parts.jobs}
        self._results: queue.SimpleQueue[_Done | dict[str, Preflight]] = queue.SimpleQueue()
        self._seen: dict[str, Preflight] = {}  # by the command's name
        self._looked: datetime | None = None
        self._looking = False
        self._running = 0
        self._mine = False  # True once what an earlier process left is put right
        self._verifying: dict[int, tuple[datetime, set[Key]]] = {}
        self._told: set[str] = set()
        self._until: datetime | None = None
        self._states: dict[str, str] = {}

    @property
    def states(self) -> Mapping[str, str]:
        """Each remedy that runs, waits or asks, in words: for the screens."""
        return self._states

    @property
    def idle(self) -> bool:
        """True when no command runs; what is still to be verified is in the ledger."""
        return not self._running

    def next(self, books: Books, now: datetime) -> datetime | None:
        """When to look again at the latest; None when nothing is foreseen."""
        del books
        return self._until if self._until is not None and self._until > now else None

    def due(self, store: Look, now: datetime) -> None:
        """Do what is due."""
        if self._p.commands is None or not self._p.allowed:
            return
        self._until, states = None, dict[str, str]()
        self._take_over(store, now)
        self._take(store, now)
        self._look(now)
        self._verify(store, now)
        self._asked_for(store, now)
        for one in self._remedies.values():
            self._judge(store, one, states, now)
        self._states = states

    # -- what an earlier process left -----------------------------------------------------------------------------------

    def _take_over(self, store: Look, now: datetime) -> None:
        if self._mine:
            return
        with store.read() as books:
            left = [row for row in books.actions.open() if row.epoch < self._epoch()]
        for row in left:
            with store.write() as books:
                one = self._remedies.get(row.name)
                if row.ended is None:
                    why = "runbook ended while it ran; whether it took effect is not known"
                    books.actions.end(row.number, now, Did.ABANDONED, why)
                elif one is not None and now <= row.ended + one.within:
                    continue  # its verify goes on
                else:
                    why = "runbook was not running when it was to be verified"
                    books.actions.check(row.number, Checked.UNKNOWN, why)
                self._say(books, row, f"[WARN] {row.name}: not known whether it helped", why, now)
        self._mine = True

    # -- preflight ------------------------------------------------------------------------------------------------------

    def _look(self, now: datetime) -> None:
        """Ask systemd for the units in a thread: at the start, and again while one is not there."""
        missing = self._looked is None or any(seen.present is not True for seen in self._seen.values())
        if self._looking or not missing or (self._looked is not None and now - self._looked < _LOOK_AGAIN):
            return
        self._looking, self._looked = True, now
        self._p.spawn(self._preflight, "preflight")

    def _preflight(self) -> None:
        assert self._p.commands is not None
        try:
            seen = {spec.name: preflight(spec, self._p.commands) for spec in self._p.allowed}
        except Exception as exc:
            log.exception("looking for the units failed")
            seen = {spec.name: Preflight(None, f"not known: {type(exc).__name__}") for spec in self._p.allowed}
        self._results.put(seen)
        self._wake()

    # -- results of threads ---------------------------------------------------------------------------------------------

    def _take(self, store: Look, now: datetime) -> None:
        while not self._results.empty():
            match self._results.get():
                case _Done() as done:
                    self._ended(store, done, now)
                case seen:
                    self._missing(store, seen, now)
                    self._seen, self._looking = seen, False

    def _missing(self, store: Look, seen: Mapping[str, Preflight], now: datetime) -> None:
        gone = {name: one.said for name, one in seen.items() if one.present is False}
        if not gone.keys() - {name for name, one in self._seen.items() if one.present is False}:
            return
        lines = [f"{name}: {said}" for name, said in gone.items()]
        lines.append("do: `systemctl list-units` shows what is there; then correct `commands:` in config.yaml")
        with store.write() as books:
            notice = Notice(
                f"preflight@{self._today(now)}@{'+'.join(sorted(gone))}"[:160],
                "[WARN] a command cannot work here",
                tuple(lines),
            )
            self._alerting.notice(books, notice, now, self._today(now))

    def _ended(self, store: Look, done: _Done, now: datetime) -> None:
        ended = done.ended
        self._running -= 1
        if ended.ending is Ending.STOPPED:
            return  # runbook ends, and the next start says what is known of it
        did = Did.DONE if ended.good else Did.TIMED_OUT if ended.ending is Ending.TIMED_OUT else Did.FAILED
        output = str(facts_of(done.remedy.command, ended)["output"])
        with store.write() as books:
            books.actions.end(done.number, done.at, did, reason_of(ended), code=ended.code, output=output)
            row = books.actions.one(done.number)
            log.info("remedy %s: %s", row.name, remedy.words(row))
            if did is not Did.DONE:
                self._say(books, row, f"[WARN] {row.name} failed", remedy.words(row), now, unless_asked=True)

    # -- verify ---------------------------------------------------------------------------------------------------------

    def _verify(self, store: Look, now: datetime) -> None:
        """Let the named job run until it is ok or the time is over; each look is an attempt of its own in the ledger."""
        with store.read() as books:
            rows = [row for row in books.actions.open() if row.verifying]
        for row in rows:
            self._verify_one(store, row, now)

    def _verify_one(self, store: Look, row: Action, now: datetime) -> None:
        one, job = self._remedies.get(row.name), None
        if one is not None:
            job = self._jobs.get(one.verify)
        if one is None or job is None or row.ended is None:
            with store.write() as books:
                books.actions.check(row.number, Checked.UNKNOWN, "its remedy is no longer in the configuration")
            return
        asked, keys = self._verifying.get(row.number, (None, set[Key]()))
        with store.read() as books:
            tries = [t for key in keys if (e := books.ledger.entry(key)) for t in e.tries if t.started >= row.ended]
        green = min((t.started for t in tries if t.verdict is Verdict.OK), default=None)
        looking = any(t.ended is None and t.started <= row.ended + one.within for t in tries)
        if came := remedy.verified(one, row.ended, green, now, looking=looking):
            self._verifying.pop(row.number, None)
            with store.write() as books:
                books.actions.check(row.number, *came)
                title = f"[OK] {row.name} helped" if came[0] is Checked.OK else f"[WARN] {row.name} did not help"
                self._say(books, row, title, came[1], now, unless_asked=came[0] is not Checked.OK)
            return
        self._soon(now + _VERIFY_EVERY if now < row.ended + one.within else now + timedelta(seconds=1))
        key = self._key(job, now)
        if key is not None and not looking and (asked is None or now - asked >= _VERIFY_EVERY):
            with store.write() as books:
                data = {
                    "session": str(key.session),
                    "job": key.job,
                    "slot": key.slot,
                    "reason": f"verify of {row.name}",
                }
                books.desk.ask("run", data, f"remedy:{row.name}", now)
            self._verifying[row.number] = (now, keys | {key})
            self._wake()

    def _key(self, job: JobSpec, now: datetime) -> Key | None:
        """The row under which the job is looked at now; outside a session one that is still to come, which stays planned."""
        calendar = self._planner.calendar
        session = calendar.session_at(now)
        if session is None or now >= session.close:
            session = calendar.next_session(now) or session
        rows = agenda.occurrences(job, session) if session is not None else []
        begun = [o for o in rows if o.planned <= now]
        return (begun[-1] if begun else rows[0]).key if rows else None

    # -- decide and run -------------------------------------------------------------------------------------------------

    def _judge(self, store: Look, one: Remedy, states: dict[str, str], now: datetime) -> None:
        with store.read() as books:
            met = next((alert for alert in books.alerts.unresolved() if one.meets(alert)), None)
            rows = books.actions.of(one.name, self._today(now), _cause(met))
            if rows and rows[-1].open:
                states[one.name] = remedy.doing(rows[-1])
            if met is None:
                old = self._approvals.stale(books, one.name, "")
        if met is None:
            if old:
                with store.write() as books:
                    self._approvals.withdraw(books, one.name, "", "its alert is over", now)
            return
        with store.read() as books:
            if one.command.name not in self._seen:
                states[one.name] = "waits: its unit is being looked for"
                return
            day = self._today(now)
            said = self._approvals.answer(books, remedy.question(one, _cause(met), rows, day))
        decision = remedy.decide(one, _cause(met), rows, self._gates(one, rows, now), said, day)
        keep = decision.key if isinstance(decision, remedy.Ask) else ""
        with store.read() as books:
            old = self._approvals.stale(books, one.name, keep)
        if old:
            with store.write() as books:
                self._approvals.withdraw(books, one.name, keep, "it is no longer the question", now)
        match decision:
            case remedy.Run(by, ask):
                with store.write() as books:
                    self._begin(books, one, _cause(met), by, ask, now)
                states[one.name] = "runs"
            case remedy.Ask(key, why):
                states[one.name] = f"asks: {why}"
                self._once(
                    key,
                    store,
                    lambda books: self._approvals.ask(books, self._question(one, met, rows, key, why, now), now),
                )
            case remedy.Tell(key, why):
                states[one.name] = f"rests: {why}"
                lines = (
                    f"{one.name}: {why}",
                    f"because of: {met.title} {_cause(met)}",
                    f"do: by hand, {one.command.shown}",
                )
                notice = Notice(key, f"[WARN] {one.name} does not run", lines)
                self._once(key, store, lambda books: self._alerting.notice(books, notice, now, day))
            case remedy.Wait(why, until):
                states.setdefault(one.name, f"waits: {why}")
                self._soon(until)
            case remedy.Rest(why):
                states[one.name] = f"rests: {why}"

    def _begin(self, books: Books, one: Remedy, cause: str, by: str, ask: int | None, now: datetime) -> int:
        """The row first, in the caller's transaction; then the command, in a thread of its own."""
        row = Action(0, one.name, self._today(now), cause, one.command.words, by, now, ask=ask, epoch=self._epoch())
        number = books.actions.begin(row)
        log.warning("remedy %s: %s, by %s, because of %s", one.name, one.command.shown, by, cause)
        self._running += 1
        self._p.spawn(lambda: self._work(number, one), f"remedy-{one.name}")
        return number

    def _work(self, number: int, one: Remedy) -> None:
        assert self._p.commands is not None
        spec = one.command
        try:
            seen = preflight(spec, self._p.commands)  # once more: a unit may have gone since the start
            if seen.present is False:
                ended = Ended(Ending.NOT_FOUND, fault=seen.said)
            else:
                ended = self._p.commands.run(spec.words, spec.timeout, None, spec.env)
        except Exception as exc:
            log.exception("remedy %s", one.name)
            ended = Ended(Ending.NOT_FOUND, fault=f"{type(exc).__name__}: {exc}")
        self._results.put(_Done(number, one, ended, self._p.clock.now()))
        self._wake()

    def _asked_for(self, store: Look, now: datetime) -> None:
        """What a person asked for by hand: the same gates, and the asking is the approval."""
        with store.read() as books:
            asked = [one for one in books.desk.open_requests() if one.kind == KIND]
        for request in asked:
            with store.write() as books:
                one = self._remedies.get(str(request.data.get("name")))
                if one is None:
                    answer = f"no remedy {request.data.get('name')!r}; accepted: {', '.join(self._remedies)}"
                elif one.command.name not in self._seen:
                    answer = "not started: its unit is being looked for; try again"
                else:
                    met = next((alert for alert in books.alerts.unresolved() if one.meets(alert)), None)
                    rows = books.actions.of(one.name, self._today(now), _cause(met))
                    shut = [gate for gate in self._gates(one, rows, now) if not gate.passes]
                    answer = "not started: " + "; ".join(gate.why for gate in shut)
                    if not shut:
                        number = self._begin(books, one, _cause(met) or BY_HAND, request.by, None, now)
                        answer = f"started as action {number}: {one.command.shown}"
                books.desk.answer(request.number, answer, now)

    def _gates(self, one: Remedy, rows: Sequence[Action], now: datetime) -> tuple[Gate, ...]:
        market = market_at(self._planner.calendar, now)
        return remedy.gates(one, rows, market, self._seen[one.command.name], self._today(now), now)

    # -- words ----------------------------------------------------------------------------------------------------------

    def _question(
        self, one: Remedy, alert: Alert, rows: Sequence[Action], key: str, why: str, now: datetime
    ) -> Question:
        session = self._planner.calendar.session_at(now)
        until = session.close if session is not None and now < session.close else now + timedelta(hours=1)
        text = f"{alert.title} {_cause(alert)}: run {one.command.shown}? {why}"
        evidence = {
            "alert": alert.number, "what": alert.what, "argv": list(one.command.words), "verify": one.verify,
            "runs": [{"at": row.started.isoformat(), "came": remedy.words(row)} for row in rows],
        }  # fmt: skip
        return Question(key, text, (RESTART, LEAVE), LEAVE, until, evidence)

    def _say(
        self, books: Books, row: Action, title: str, why: str, now: datetime, *, unless_asked: bool = False
    ) -> None:
        """Tell what became of a run; `unless_asked`: while its alert is open, the question that follows says it all."""
        if unless_asked and any(_cause(alert) == row.cause for alert in books.alerts.unresolved()):
            return
        lines = (f"done: {' '.join(row.argv)}, by {row.by}, {row.why}", f"seen: {why}")
        self._alerting.notice(books, Notice(f"action@{row.number}@{title[:8]}", title, lines), now, row.session)

    def _once(self, key: str, store: Look, tell: Callable[[Books], None]) -> None:
        if key in self._told:
            return
        with store.write() as books:
            tell(books)
        self._told.add(key)

    def _soon(self, at: datetime | None) -> None:
        if at is not None:
            self._until = at if self._until is None else min(self._until, at)

    def _today(self, now: datetime) -> date:
        return self._planner.calendar.today(now)


def _cause(alert: Alert | None) -> str:
    return f"#{alert.number}" if alert is not None else ""
