"""The teller: turns alert changes into outbox rows, and sends what waits there, one thread to a channel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runbook import outbox
from runbook.alert import RULES, AlertChange, AlertPolicy, ChangeKind, Severity, delayed_line, message_for
from runbook.alert.escalation import reached
from runbook.clock import Clock, host_monotonic
from runbook.errors import StoreError
from runbook.outbox import Row, State
from runbook.ports import Notifier

if TYPE_CHECKING:
    from runbook.adapters.store import Store

log = logging.getLogger(__name__)

SEND_SECONDS = 25.0  # real; what outlives it is `unknown`
_KEEP_TRYING = timedelta(hours=2)  # after the close: by then the day is over for whoever was to act
_JOIN = 1.0  # real seconds that stopping waits for sends under way
_LOOK = 5.0  # seconds between two looks at a queue that nobody announced


@dataclass(frozen=True, slots=True)
class Voice:
    """How messages are worded for this desk."""

    channels: tuple[str, ...]
    zone: ZoneInfo
    dashboard: str = ""
    policy: AlertPolicy = field(default_factory=AlertPolicy)

    def channels_for(
        self, change: AlertChange, to: Sequence[str] | None, heard: Mapping[str, Collection[str]]
    ) -> tuple[str, ...]:
        """Who is told: a notice, whoever it is meant for; an alert by its level; its end, whoever was told of it.

        `heard` are the channels that have a message of the alert with that key, whatever became of it.
        """
        alert = change.alert
        if alert is None:
            return tuple(c for c in self.channels if to is None or c in to)
        if change.kind is ChangeKind.RESOLVED and change.key in heard:
            return tuple(c for c in self.channels if c in heard[change.key])
        ladder = self.policy.ladder(self.channels, to if alert.to is None else alert.to)
        if change.kind is ChangeKind.CLIMBED:
            return ladder[alert.level] if alert.level < len(ladder) else ()
        return reached(alert, ladder)


def rows_for(
    changes: Iterable[AlertChange],
    voice: Voice,
    now: datetime,
    close: datetime | None,
    positions: str | None,
    to: Sequence[str] | None = None,
    *,
    heard: Mapping[str, Collection[str]] | None = None,
    wakes: datetime | None = None,
) -> list[Row]:
    """The outbox rows of what is to be told. A notice (the report above all) is worth a day of trying.

    `wakes`: these are quiet hours, which end then, and what is not critical waits for it.
    """
    rows: list[Row] = []
    spoken_to = {key: set(channels) for key, channels in (heard or {}).items()}
    until = max(now, close or now) + _KEEP_TRYING
    for change in changes:
        if not change.tell:
            continue
        alert = change.alert
        message = message_for(change, voice.zone, voice.dashboard, positions)
        due = now + (RULES[alert.rule].gather if alert else timedelta(0))
        if wakes is not None and not (alert and alert.severity is Severity.CRITICAL):
            due = wakes
        expires = due + timedelta(hours=24) if change.kind is ChangeKind.NOTICE else max(until, due + _KEEP_TRYING)
        delayed = delayed_line(alert, voice.zone) if alert and change.kind is ChangeKind.RESOLVED else ""
        channels = voice.channels_for(change, to, spoken_to)
        spoken_to.setdefault(change.key, set()).update(channels)  # what begins and ends at once is told of twice
        rows += outbox.enqueue(
            change.key, channels, change.row_kind, change.seq, message,
            now=now, expires_at=expires, delayed=delayed, due_at=due,
        )  # fmt: skip
        level = logging.WARNING if change.alert and change.alert.severity is not Severity.INFO else logging.INFO
        log.log(level, "%s", message.title)
    return rows


class Teller:
    """Sends from the outbox; one that hangs delays no other and never the engine."""

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        channels: Sequence[str],
        clock: Clock,
        sent: Callable[[Row], None] | None = None,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._sent = sent
        self.tries = 0  # how often anything was sent, or failed to be
        self._stop = threading.Event()
        self._nudges = {name: threading.Event() for name in channels}
        self._busy: set[str] = set()
        self._recovered: set[str] = set()
        self._owed: dict[str, list[Row]] = {}  # what became of a send, while the database could not be told
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"teller-{name}", daemon=True) for name in channels
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def nudge(self) -> None:
        """Something was put into the outbox."""
        for event in self._nudges.values():
            event.set()

    @property
    def busy_with(self) -> frozenset[str]:
        """The channels that are sending now."""
        return frozenset(self._busy)

    def stop(self) -> None:
        """Stop sending; what is not sent stays in the outbox."""
        self._stop.set()
        self.nudge()
        self._notifier.close()
        until = host_monotonic() + _JOIN  # for all together: three that hang must not cost three times as much
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=max(0.0, until - host_monotonic()))

    def _run(self, channel: str) -> None:
        nudge = self._nudges[channel]
        while not self._stop.is_set():
            if (wait := self.step(channel)) > 0:
                self._clock.wait(nudge, wait)
            nudge.clear()

    def step(self, channel: str) -> float:
        """Send at most one message; gives the seconds until there may be another. A channel's thread does nothing else."""
        try:
            if channel not in self._recovered:
                self._recover(channel)
                self._recovered.add(channel)
            return self._once(channel)
        except StoreError as exc:
            log.error("outbox of %s: %s", channel, exc)
            return _LOOK

    def _recover(self, channel: str) -> None:
        """What was being sent when the last process ended may have arrived."""
        now = self._clock.now()
        with self._store.write() as books:
            for row in books.alerts.waiting(channel):
                if row.state is State.SENDING:
                    books.alerts.store(outbox.recover(row, now))

    def _once(self, channel: str) -> float:
        """Send at most one message; gives the seconds until there may be another."""
        now = self._clock.now()
        if (owed := self._owed.get(channel)) is not None:
            with self._store.write() as books:
                for row in owed:
                    books.alerts.store(row)
            del self._owed[channel]
        with self._store.read() as books:
            if not books.alerts.waiting(channel):
                return _LOOK
        with self._store.write() as books:
            waiting = books.alerts.waiting(channel)
            for settle in (
                outbox.expire,
                outbox.merge,
            ):  # what is too old to tell, then what is over before it was told
                if changes := settle(waiting, now):
                    for changed in changes:
                        books.alerts.store(changed)
                    waiting = books.alerts.waiting(channel)
            history = books.alerts.attempts_since(channel, now - outbox.WINDOW)
            if (at := outbox.earliest(history, now)) > now:
                return (at - now).total_seconds()
            picked = outbox.pick(waiting, now)
            if picked is None:
                queued = [r.due_at for r in waiting if r.state is State.QUEUED]
                return min([_LOOK, *((due - now).total_seconds() for due in queued if due > now)])
            group = [outbox.claim(row, now, self._store.epoch or 0) for row in outbox.together(picked, waiting, now)]
            rows = [row for row in group if books.alerts.claim(row, self._store.epoch)]
            if not rows:
                return _LOOK  # another process sends it
            self._busy.add(channel)
        message = outbox.text_of_all(rows)
        try:
            delivery, reason = self._notifier.send(channel, message, SEND_SECONDS)
            ended = self._clock.now()
            done = self._owed[channel] = [outbox.next_step(row, delivery, ended, reason) for row in rows]
            with self._store.write() as books:
                for row in done:
                    books.alerts.store(row)
                if done[0].state is State.SENT:
                    for row in outbox.revive(books.alerts.waiting(channel), ended):
                        books.alerts.store(row)
            del self._owed[channel]
        finally:
            self._busy.discard(channel)
        self.tries += 1
        self._say(channel, message.title, done[0], reason)
        return 0.0

    def _say(self, channel: str, title: str, done: Row, reason: str) -> None:
        if done.state is State.DEAD:
            log.error("channel %s: %s was not delivered and will not be: %s", channel, title, reason)
        elif done.state is not State.SENT:
            log.warning("channel %s: %s not delivered (%s); tried again", channel, title, reason)
        if self._sent is not None:
            self._sent(done)
