"""An engine in miniature for alerts: a ledger in a file, a clock that is a number, and what is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from runbook.adapters.store import Store
from runbook.alert import Alert, AlertPolicy, AlertState, Cause, FeedMoved, FeedWord, JobSettled, Severity, Tick
from runbook.engine.alerting import Alerting
from runbook.engine.minding import Minder
from runbook.outbox import Row
from runbook.session import INDIA, SessionCalendar
from runbook.teller import Voice
from tests.fakes import MONDAY, at, calendar, ledger_file


class AlertDesk:
    """Causes in, outbox rows out; time passes in steps of `STEP`, as the engine's turns do."""

    STEP = timedelta(seconds=5)

    def __init__(
        self,
        folder: Path,
        now: datetime | None = None,
        *,
        channels: Sequence[str] = ("phone",),
        policy: AlertPolicy | None = None,
        days: SessionCalendar | None = None,
        mode: str = "local_paper",
    ) -> None:
        self.store = Store(ledger_file(folder))
        self.now = now or at("10:00")
        self.days = days or calendar()
        self.mode = mode
        self.word = FeedWord.LIVE
        voice = Voice(tuple(channels), INDIA, "", policy or AlertPolicy())
        self.alerting = Alerting(voice, self.days.session_of, lambda: None, lambda: self.days)
        self.minder = Minder(self.alerting)

    def cause(self, *causes: Cause, to: Sequence[str] | None = None) -> None:
        with self.store.write() as books:
            self.alerting.decide(books, causes, self.now, self.days.today(self.now), to)

    def feed(self, word: str, reason: str = "no tick for 9 s", *, unreachable: bool = False) -> None:
        before, self.word = self.word, FeedWord(word)
        moved = FeedMoved(before, self.word, self.now, reason, mode=self.mode, feed="NIFTY", unreachable=unreachable)
        self.cause(moved)

    def broker(self, outcome: str = "succeeded", verdict: str = "bad", reason: str = "key: refused") -> None:
        self.cause(
            JobSettled(
                "verify_broker", "open-10m", outcome, verdict, reason, severity=Severity.CRITICAL, until_ok=True,
                deadline_passed=True,
            )
        )  # fmt: skip

    def job(self, name: str, outcome: str = "failed", *, to: Sequence[str] | None = None, **more) -> None:
        self.cause(JobSettled(name, "open", outcome, reason=f"{outcome} because", **more), to=to)

    def pass_to(self, clock: str, day: date = MONDAY) -> None:
        """Let time pass; the engine would look at each of these instants, and at those that it foresees."""
        end = at(clock, day)
        while self.now < end:
            with self.store.read() as books:
                settles = [a.settles_at for a in books.alerts.unresolved() if a.settles_at is not None]
                foreseen = [*settles, self.minder.next(books, self.now)]
            coming = [t for t in foreseen if t is not None and t > self.now]
            self.now = min([end, *coming])
            self.turn()

    def wait(self, **span: float) -> None:
        local = (self.now + timedelta(**span)).astimezone(INDIA)
        self.pass_to(f"{local:%H:%M:%S}", local.date())

    def turn(self) -> None:
        self.cause(Tick())
        with self.store.look() as look:
            self.minder.due(look, self.now)

    @property
    def rows(self) -> list[Row]:
        with self.store.read() as books:
            return books.alerts.messages_since(at("00:00", date(2026, 1, 1)))

    def told(self, channel: str = "phone") -> list[str]:
        """`10:02:15 opened [WARN] feed on REST`, in the order in which it was written."""
        return [
            f"{row.due_at.astimezone(INDIA):%H:%M:%S} {row.kind} {row.message.title.split(' since')[0]}"
            for row in self.rows
            if row.channel == channel
        ]

    def alerts(self) -> list[Alert]:
        with self.store.read() as books:
            return books.alerts.since(at("00:00", date(2026, 1, 1)))

    def alert(self, rule: str) -> Alert:
        (found,) = [a for a in self.alerts() if a.rule == rule and a.state is not AlertState.RESOLVED]
        return found
