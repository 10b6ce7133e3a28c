"""What must hold after every event of a day. It reads the ledger by itself, through a journal that triggers write into it."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.loop import EARLY
from runbook.job import OnAbandoned
from runbook.trigger import Anchor

if TYPE_CHECKING:
    from tests.days.world import World

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
FINAL = {"succeeded", "failed", "timed_out", "abandoned", "missed", "skipped", "cancelled"}
AGAIN = ("run again:",)
LOGIN = Anchor.parse("open-30m")

_JOURNAL = """\
CREATE TABLE journal (n INTEGER PRIMARY KEY, what TEXT, a, b, c, d, e, f, g, h);
CREATE TRIGGER j1 AFTER UPDATE ON occurrence WHEN old.state != new.state BEGIN
  INSERT INTO journal (what, a, b, c, d, e, f, g, h) VALUES
    ('occurrence', new.session, new.job, new.slot, old.state, new.state, new.reason, new.due_at, new.latest_start); END;
CREATE TRIGGER j2 AFTER INSERT ON attempt BEGIN
  INSERT INTO journal (what, a, b, c, d, e, f, g) VALUES
    ('attempt', new.session, new.job, new.slot, new.n, new.actor, new.started_at, new.epoch); END;
CREATE TRIGGER j3 AFTER UPDATE ON attempt BEGIN
  INSERT INTO journal (what, a, b, c, d, e, f, g) VALUES
    ('ended', new.session, new.job, new.slot, new.n, new.outcome, new.verdict, old.ended_at); END;
CREATE TRIGGER j4 AFTER INSERT ON outbox BEGIN
  INSERT INTO journal (what, a, b, c, d, e, f) VALUES ('told', new.key, new.channel, new.kind, new.seq, new.title, new.body); END;
CREATE TRIGGER j5 AFTER UPDATE ON outbox WHEN old.state != new.state OR old.repeat != new.repeat BEGIN
  INSERT INTO journal (what, a, b, c, d, e, f, g, h) VALUES
    ('message', new.key, new.channel, new.kind, new.seq, old.state, new.state, new.repeat, new.reason); END;
CREATE TRIGGER j6 AFTER INSERT ON alert BEGIN
  INSERT INTO journal (what, a, b, c) VALUES ('alert', new.id, new.data, NULL); END;
CREATE TRIGGER j7 AFTER UPDATE ON alert BEGIN
  INSERT INTO journal (what, a, b, c) VALUES ('alert', new.id, new.data, old.data); END;
CREATE TRIGGER j0 AFTER INSERT ON occurrence BEGIN
  INSERT INTO journal (what, a, b, c) VALUES ('planned', new.session, new.job, new.slot); END;
CREATE TRIGGER j9 AFTER UPDATE ON occurrence WHEN old.planned_at != new.planned_at BEGIN
  INSERT INTO journal (what, a, b, c) VALUES ('planned', new.session, new.job, new.slot); END;
CREATE TRIGGER j8 BEFORE DELETE ON occurrence BEGIN
  INSERT INTO journal (what, a, b, c) VALUES ('deleted', old.session, old.job, old.slot); END;
"""


_WIDTH = {"occurrence": 8, "attempt": 7, "ended": 7, "told": 6, "message": 8, "alert": 3, "deleted": 3, "planned": 3}


class Broken(AssertionError):
    """A promise was broken; says which, when, and how to see it again."""


Key = tuple[str, str, str]
RowKey = tuple[str, str, str, int]


class Judge:
    """Follows the ledger event by event."""

    def __init__(self, world: World, path: Path) -> None:
        self._w = world
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_JOURNAL)
        self._read = 0
        self._state: dict[Key, str] = {}
        self._tries: dict[Key, list[list[Any]]] = defaultdict(list)  # [actor, outcome, verdict]
        self._since: dict[Key, datetime] = {}  # when it was planned, or moved
        self._moved: dict[Key, float] = {}  # by the clock that only goes forward
        self._ended_at: dict[Key, float] = {}
        self._open: dict[Key, int] = {}
        self._rows: dict[RowKey, str] = {}
        self._said: dict[str, int] = {}  # messages told of the newest alert of a fingerprint
        self._epoch = 0
        self._able_since: datetime | None = None
        self.able: list[tuple[datetime, datetime]] = []

    def unburdened(self) -> None:
        """No journal and no verdicts: for days in which nothing but size is looked at."""
        for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            self._db.execute(f"DROP TRIGGER {name}")
        self._db.execute("DROP TABLE journal")
        self.after_event = self.after_turn = lambda: None  # type: ignore[method-assign]
        self.arrives = lambda *_args, **_more: None  # type: ignore[method-assign]

    def close(self) -> None:
        self._db.close()

    def broken(self, why: str) -> Broken:
        s = self._w.script
        last = "\n".join(self._w.log[-25:])
        every = f" --every {s.every}" * bool(s.every) + f" --part {s.part}" * (s.part != "day")
        return Broken(
            f"seed {s.seed} at {self._w.clock.now():%d %H:%M:%S} UTC: {why}\nplay it again: python -m tests.days {s.seed}{every}\n{last}"
        )

    def _must(self, holds: object, why: str) -> None:
        if not holds:
            raise self.broken(why)

    # -- after every event --------------------------------------------------------------------------------------------

    def started(self, epoch: int) -> None:
        self._must(epoch > self._epoch, f"epoch {epoch} after {self._epoch}")
        self._epoch = epoch

    def stood_still(self) -> None:
        """Time went on without the engine, or another way than forward: it could not act in between."""
        self._able_since = None

    def after_event(self) -> None:
        rows = self._db.execute("SELECT * FROM journal WHERE n > ? ORDER BY n", (self._read,)).fetchall()
        for n, what, *row in rows:
            self._read = n
            if what != "planned":
                self._w.log.append(f"   {what} {' '.join(str(x) for x in row if x is not None)}"[:200])
            getattr(self, f"_{what}")(*row[: _WIDTH[what]])
        for key, count in self._open.items():
            self._must(count <= 1, f"{key} has {count} open attempts")

    def _occurrence(
        self, day: str, job: str, slot: str, was: str, now: str, reason: str, due: int, latest: int
    ) -> None:
        key = (day, job, slot)
        self._state[key] = now
        if now in FINAL:
            self._must(reason.strip(), f"{key} ended as {now} without a reason")
        if now == "missed":
            self._excused(key, due, latest, reason)
        if was in FINAL:
            by_hand = now == "running"
            back = now == "planned" and (reason.startswith(AGAIN) or was == "cancelled")
            self._must(by_hand or back, f"{key} was {was} for good and became {now}: {reason}")

    def _planned(self, day: str, job: str, slot: str) -> None:
        self._since[day, job, slot] = self._w.clock.now()
        self._moved[day, job, slot] = self._w.clock.seconds

    def _excused(self, key: Key, due: int, latest: int, reason: str) -> None:
        """What is missed is missed for a reason that is not runbook's: nobody was there, or something stood before it."""
        spec = next((j for j in self._w.jobs if j.name == key[1]), None)
        if spec is None or spec.needs or spec.after or self._w.clock.offset:
            return
        since, until = max(EPOCH + due * _MS, self._since[key]), EPOCH + latest * _MS
        free = max(((min(b, until) - max(a, since)).total_seconds() for a, b in self.able), default=0.0)
        own = [t for k, tries in self._tries.items() if k[:2] == key[:2] for t in tries if t[1] == "timed_out"]
        self._must(free < 6.0 or own, f"{key} was missed ({reason}) though runbook had {free:g} s for it")

    def _attempt(self, day: str, job: str, slot: str, n: int, actor: str, started: int, epoch: int) -> None:
        key = (day, job, slot)
        before = self._tries[key]
        self._must(n == len(before) + 1, f"{key} has attempt {n} after {len(before)}")
        self._must(epoch == self._epoch, f"{key} claimed by epoch {epoch}, the holder's is {self._epoch}")
        self._open[key] = self._open.get(key, 0) + 1
        spec = next((j for j in self._w.jobs if j.name == job), None)
        if actor == "scheduler":
            due, latest = self._db.execute(
                "SELECT planned_at, latest_start FROM occurrence WHERE session=? AND job=? AND slot=?", key
            ).fetchone()
            self._must(due <= started <= latest, f"{key} started by {EPOCH + started * _MS}, outside its time")
            if before:
                last_actor, outcome, verdict, held_epoch = before[-1]
                why = (
                    spec is not None
                    and (
                        (outcome == "abandoned" and spec.on_abandoned is OnAbandoned.RERUN)
                        or (spec.repeat_until_ok is not None and verdict != "ok")
                        or (spec.resident and held_epoch < epoch)
                    )
                ) or last_actor != "scheduler"
                self._must(why, f"{key} ran again after {outcome} by {last_actor}, and nothing says that it may")
                if (
                    last_actor == "scheduler"
                    and outcome != "abandoned"
                    and verdict != "ok"
                    and spec
                    and spec.repeat_until_ok
                    and max(self._w.stepped_at, self._moved[key]) < self._ended_at[key]
                ):
                    since = self._w.clock.seconds - self._ended_at[key]
                    claimed = spec.repeat_until_ok.total_seconds() - EARLY  # it begins on its instant
                    self._must(since >= claimed - 0.01, f"{key} is tried again after {since:g} s")
        if spec is not None and spec.acts:
            known = self._w.calendar.day(date.fromisoformat(day))
            self._must(known.session is not None or actor != "scheduler", f"{key} acts on a day that nobody knows")
        before.append([actor, None, None, epoch])

    def _ended(self, day: str, job: str, slot: str, n: int, outcome: str, verdict: str, before: int | None) -> None:
        key = (day, job, slot)
        self._must(before is None, f"attempt {n} of {key} ended twice")
        self._open[key] -= 1
        self._ended_at[key] = self._w.clock.seconds
        self._tries[key][n - 1][1:3] = [outcome, verdict]

    def _told(self, key: str, channel: str, kind: str, seq: int, title: str, body: str) -> None:
        self._rows[key, channel, kind, seq] = "queued"
        self._w.look_out(channel)

    def _message(
        self, key: str, channel: str, kind: str, seq: int, was: str, now: str, repeat: int, reason: str
    ) -> None:
        row = (key, channel, kind, seq)
        self._must(was in ("queued", "sending"), f"{row} was {was} for good and became {now}")
        self._rows[row] = now
        if now == "sent":
            self._must(self._w.arrived[row], f"{row} is called sent and never arrived")
        if now == "unknown" and reason == "runbook stopped while sending":
            expires = self._db.execute(
                "SELECT expires_at FROM outbox WHERE key=? AND channel=? AND kind=? AND seq=?", row
            ).fetchone()[0]
            self._must(EPOCH + expires * _MS <= self._w.clock.now(), f"{row} is given up because a process died")
        if now in ("dead", "unknown", "merged"):
            self._must(reason, f"{row} is {now} without a reason")
        if now in ("dead", "merged"):
            self._must(not self._w.arrived[row], f"{row} arrived and is called {now}")

    def _alert(self, number: int, data: str, before: str | None) -> None:
        new, old = _alert(data), _alert(before) if before else None
        told = new["seq"] > (old["seq"] if old else 0)
        if old is not None:
            self._must(new["seq"] >= old["seq"], f"alert {number} has forgotten what it told")
        print_ = self._print(number)
        if old is None:  # one that comes back soon goes on counting where the one before it stopped
            told = told and new["seq"] != self._said.get(print_)
        self._said[print_] = new["seq"]
        if told:
            key = f"{print_}@{new['opened_at']}"
            for channel in self._w.script.channels:
                if new["to"] is not None and channel not in new["to"]:
                    continue
                there = self._db.execute(
                    "SELECT count(*) FROM outbox WHERE key=? AND channel=? AND seq=?", (key, channel, new["seq"])
                ).fetchone()[0]
                self._must(there == 1, f"{key} was told ({new['seq']}), and {channel} has {there} messages of it")

    def _print(self, number: int) -> str:
        found: str = self._db.execute("SELECT fingerprint FROM alert WHERE id=?", (number,)).fetchone()[0]
        return found

    def _deleted(self, day: str, job: str, slot: str) -> None:
        raise self.broken(f"{day} {job} {slot} disappeared")

    # -- after a turn that went well ----------------------------------------------------------------------------------

    def after_turn(self) -> None:
        """Nothing that could be done is left undone."""
        self.after_event()
        now = self._w.clock.now()
        stamp = (now - EPOCH) // _MS
        left = self._db.execute(
            "SELECT session, job, slot FROM occurrence WHERE state='planned' AND due_at <= ?", (stamp,)
        ).fetchall()
        for key in left:
            self._must(self._may_wait(key), f"{key} is due and nothing is done")
        asleep = self._db.execute("SELECT id FROM alert WHERE state='pending'").fetchall()
        for (number,) in asleep:
            data = _alert(self._db.execute("SELECT data FROM alert WHERE id=?", (number,)).fetchone()[0])
            settles = data["settles_at"]
            self._must(
                settles is None or datetime.fromisoformat(settles) > now,
                f"alert {number} should have been told by {settles}",
            )
        self._in_sight(now)
        running = self._db.execute("SELECT session, job, slot FROM occurrence WHERE state='running'").fetchall()
        held = {(str(k.session), k.job, k.slot) for k in self._w.engine._running} if self._w.engine else set()
        self._must(set(running) == held, f"called running: {running}, running: {held}")
        if self._able_since is not None and self._able_since <= now:
            self.able.append((self._able_since, now))
        self._able_since = now

    def _in_sight(self, now: datetime) -> None:
        """Nothing is put off for longer than it was ever meant to be, whatever the wall clock did."""
        stamp = (now - EPOCH) // _MS
        renewed = self._db.execute("SELECT renewed_at FROM lease").fetchone()[0]
        self._must(abs(stamp - renewed) <= 5_000, f"the lease was renewed {(stamp - renewed) / 1000:g} s ago")
        for key, channel, due in self._db.execute(
            "SELECT key, channel, due_at FROM outbox WHERE state='queued' AND due_at > ? AND attempts > 0",
            (stamp + 900_000,),
        ):
            raise self.broken(f"{key} on {channel} waits for {(due - stamp) / 1000:g} s")
        for day, job, slot, due in self._db.execute(
            "SELECT session, job, slot, due_at FROM occurrence WHERE state='planned' AND due_at > planned_at AND due_at > ? "
            "AND planned_at < ?",
            (stamp + 61_000, stamp),
        ):
            raise self.broken(f"{day} {job} {slot} is tried again in {(due - stamp) / 1000:g} s only")
        for number, data in self._db.execute("SELECT id, data FROM alert WHERE state != 'resolved'"):
            settles = _alert(data)["settles_at"]
            self._must(
                settles is None or datetime.fromisoformat(settles) <= now + timedelta(minutes=5),
                f"alert {number} is decided at {settles}",
            )

    def _may_wait(self, key: Key) -> bool:
        day, job, _ = key
        spec = next((j for j in self._w.jobs if j.name == job), None)
        if spec is None:
            return False
        names = (job, *spec.needs, *spec.after)
        marks = ",".join("?" * len(names))
        busy = self._db.execute(
            f"SELECT count(*) FROM occurrence WHERE session=? AND job IN ({marks}) AND state IN ('planned','running') "
            "AND NOT (job=? AND state='planned')",
            (day, *names, job),
        ).fetchone()[0]
        return bool(busy)

    def coming(self, now: datetime) -> Iterator[datetime]:
        """The next instants at which time alone changes something, though nobody is woken for it."""
        stamp = (now - EPOCH) // _MS
        for column, states in (
            ("due_at", "'planned'"),
            ("latest_start", "'planned'"),
            ("deadline", "'planned','running'"),
        ):
            found = self._db.execute(
                f"SELECT min({column}) FROM occurrence WHERE state IN ({states}) AND {column} > ?", (stamp,)
            ).fetchone()[0]
            if found is not None:
                yield EPOCH + found * _MS
        coming = self._w.calendar.next_session(now)
        if coming is not None and (login := LOGIN.at(coming)) > now:
            yield login

    def sends_in(self, channel: str) -> float:
        """Seconds until the next message of `channel` is due; inf when none waits."""
        found = self._db.execute(
            "SELECT min(due_at) FROM outbox WHERE channel=? AND state='queued'", (channel,)
        ).fetchone()[0]
        if found is None:
            return float("inf")
        return max(0.0, (EPOCH + found * _MS - self._w.clock.now()).total_seconds())

    # -- sends --------------------------------------------------------------------------------------------------------

    def sending(self, channel: str) -> list[RowKey]:
        """What a message consists of that is being sent now; each of it may be sent."""
        rows = self._db.execute(
            "SELECT key, channel, kind, seq, repeat FROM outbox WHERE channel=? AND state='sending'", (channel,)
        ).fetchall()
        self._must(rows, f"{channel} sends what is not in the outbox")
        for key, _, kind, seq, repeat in rows:
            row: RowKey = (key, channel, kind, seq)
            self._must(repeat or not self._w.arrived[row], f"{row} may have arrived, and is sent again unmarked")
            before = self._db.execute(
                "SELECT kind, seq FROM outbox WHERE channel=? AND key=? AND seq < ? AND state='queued'",
                (channel, key, seq),
            ).fetchall()
            self._must(not before, f"{row} is sent before {before}")
        return [(key, channel, kind, seq) for key, _, kind, seq, _ in rows]

    def arrives(self, rows: list[RowKey], *, marked: bool) -> None:
        """A message has come, and with it all that it says."""
        for row in rows:
            key, channel, kind, seq = row
            self._must(marked or not self._w.arrived[row], f"{row} came twice, the second time unmarked")
            if kind != "resolved":
                continue
            title, delayed = self._db.execute(
                "SELECT title, delayed FROM outbox WHERE key=? AND channel=? AND kind=? AND seq=?", row
            ).fetchone()
            if title == delayed:  # one line for both
                continue
            heard = self._db.execute(
                "SELECT count(*) FROM outbox WHERE key=? AND channel=? AND seq < ? "
                "AND (state IN ('sent', 'unknown', 'sending') OR repeat)",
                (key, channel, seq),
            ).fetchone()[0]
            self._must(heard, f"{row} says that it is over, and nobody was told that it began")

    # -- the end ------------------------------------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """A whole day lies behind: what was planned has ended, what was told has come or says why not."""
        self.after_event()
        w, now = self._w, self._w.clock.now()
        stamp = (now - EPOCH) // _MS
        self._must(w.engine is not None, "the day ends without a process")
        left = self._db.execute(
            "SELECT session, job, slot, state FROM occurrence WHERE state IN ('planned','running') AND latest_start < ?",
            (stamp,),
        ).fetchall()
        self._must(not left, f"not ended: {left}")
        after = self._db.execute(
            "SELECT * FROM outbox WHERE state='sending' OR (state='queued' AND (attempts > 0 OR due_at <= ?))", (stamp,)
        ).fetchall()  # what has its time still to come waits for the next session
        self._must(not after, f"still waiting to be told: {after}")
        for row, state in self._rows.items():
            key, channel, _, seq = row
            if state == "merged":
                later = [s for r, s in self._rows.items() if r[:2] == (key, channel) and r[3] > seq]
                told = any(s in ("sent", "unknown", "dead", "queued") for s in later)
                self._must(told, f"{row} was merged into nothing")
        for (number,) in self._db.execute("SELECT id FROM alert"):
            said = self._db.execute(
                "SELECT count(*) FROM alert_event WHERE alert_id=? AND kind='reminded'", (number,)
            ).fetchone()[0]
            # Every second minute of a session of 385, and no longer than it.
            self._must(said <= 385 / 2 + 30, f"alert {number} was said again {said} times")
        self._explained()
        if w.script.quiet and w.script.part == "day":
            titles = sorted({title for (title,) in self._db.execute("SELECT title FROM outbox")})
            self._must(len(titles) == 2 and len(self._rows) == 2 * len(w.script.channels), f"a quiet day says {titles}")

    def _explained(self) -> None:
        """Nothing was missed without a word."""
        missed = self._db.execute("SELECT session, job, slot FROM occurrence WHERE state='missed'").fetchall()
        told = [body + title for title, body in self._db.execute("SELECT title, body FROM outbox")]
        told += [data for (data,) in self._db.execute("SELECT data FROM alert")]
        for day, job, slot in missed:
            spec = next((j for j in self._w.jobs if j.name == job), None)
            if spec is not None and not spec.repeating:
                self._must(any(job in text for text in told), f"{day} {job} {slot} was missed and nobody is told")


def _alert(data: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.loads(data))  # a text within JSON
    return found
