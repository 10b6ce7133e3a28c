"""What a seed makes of a day: the jobs, the calendar, what goes wrong and when. The same seed gives the same day."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbook.alert import FeedWord
from runbook.config.defaults import JOBS
from runbook.config.jobs import Job
from runbook.job import JobSpec
from runbook.session import INDIA, Day, DayStatus, SessionCalendar
from tests.fakes import MONDAY, TUESDAY, at, session

if TYPE_CHECKING:
    from tests.days.world import World

OWN: tuple[dict[str, Any], ...] = (
    {
        "name": "act", "run": "jobs.act:act", "at": ["open-30m", "open+2h"], "latest_start": "close-2h", "acts": True,
        "on_abandoned": "fail", "timeout": "30s",
    },
    {"name": "choosy", "run": "jobs.choosy:do", "at": ["open+1h"], "if_late": "skip", "latest_start": "close", "timeout": "20s"},
    {"name": "chained", "run": "jobs.chained:do", "at": ["open-20m"], "needs": ["act"], "latest_start": "close", "timeout": "20s"},
    {"name": "mailed", "run": "jobs.mailed:do", "at": ["open+3h", "close-1h"], "timeout": "20s", "latest_start": "close", "alert": {"to": ["mail"]}},
    {"name": "plain", "run": "jobs.plain:do", "at": ["open+90m", "12:34", "close-5m"], "latest_start": "close+30m", "deadline": "close+20m", "timeout": "40s"},
)  # fmt: skip
QUIET = 10  # every tenth day nothing goes wrong
LENGTH = timedelta(hours=20)
PARTS = (("08:00", timedelta(minutes=100)), ("15:00", timedelta(minutes=110)))  # where a day is densest


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens `after` seconds from the start of the day."""

    after: float
    kind: str
    happen: Callable[[World], object]


@dataclass(slots=True)
class Script:
    """A day. `faults` is False where only what is right shall happen."""

    seed: int
    every: str = ""
    part: str = "day"  # of it: day | hours
    day: date = MONDAY
    start: datetime = field(init=False)
    calendar: SessionCalendar = field(init=False)
    jobs: tuple[JobSpec, ...] = field(init=False)
    faults: list[Fault] = field(init=False)
    channels: tuple[str, ...] = ("phone", "mail")
    config_hash: str = "first"
    quiet: bool = field(init=False)
    length: float = field(init=False)

    def __post_init__(self) -> None:
        chance = random.Random(f"{self.seed} script")
        self.quiet = self.seed % QUIET == 0
        begins, length = ("05:30", LENGTH) if self.part == "day" else chance.choice(PARTS)
        self.start = at(begins) + timedelta(seconds=round(chance.uniform(0, 600), 3))
        self.length = length.total_seconds()
        unknown = not self.quiet and chance.random() < 0.05
        self.calendar = calendar(unknown=unknown)
        every = self.every or ("30m" if self.part != "day" else _every(self.seed, chance))
        self.jobs = jobs(every, own=not self.quiet)
        self.faults = [] if self.quiet else list(_faults(chance, self.start, self.length))

    def takes(self, name: str, chance: random.Random) -> float:
        """Seconds of work of a step; some are slow, some never end while anybody waits."""
        if self.quiet:
            return chance.uniform(0.1, 2.0)
        dice = chance.random()
        if dice < 0.02:
            return chance.uniform(70.0, 900.0)
        return chance.uniform(3.0, 40.0) if dice < 0.06 else chance.uniform(0.05, 3.0)

    def outcome(self, name: str, chance: random.Random) -> str:
        if self.quiet:
            return "ok"
        return chance.choice(["ok"] * 24 + ["fails", "raises", "exits", "skips", "rubbish", "unfit"])

    def absence(self, chance: random.Random) -> float:
        """Seconds until a killed process is there again: systemd's few, or a person's many."""
        return chance.choice([2.0, 5.0, 5.0, 30.0, chance.uniform(60, 1800), chance.uniform(60, 7200)])


def _every(seed: int, chance: random.Random) -> str:
    """How often the feed is checked: mostly seldom, since one check is like another; at times as it is shipped."""
    return "30s" if seed % 50 == 7 else chance.choice(["5m", "15m", "30m"])


def jobs(every: str, *, own: bool) -> tuple[JobSpec, ...]:
    entries: list[dict[str, Any]] = [dict(one) for one in JOBS]
    for one in entries:
        if one["name"] == "check_feed":
            one["every"] = every
    return tuple(Job.model_validate(one).spec() for one in (*entries, *(OWN if own else ())))


def calendar(
    *, unknown: bool = False, closed: tuple[date, ...] = (), moved: dict[date, str] | None = None
) -> SessionCalendar:
    """The week of the tests; `unknown`: nobody knows whether Monday is a session, but the Friday before was one."""
    friday = MONDAY - timedelta(days=3)
    open_days = [friday, *(MONDAY + timedelta(days=n) for n in range(4))]
    days = {}
    for day in open_days:
        held = session(day, (moved or {}).get(day, "09:15"))
        days[day] = Day(day, DayStatus.OPEN, "", session=held)
    days |= {day: Day(day, DayStatus.CLOSED, "a holiday after all") for day in closed}
    if unknown:
        days[MONDAY] = Day(MONDAY, DayStatus.UNKNOWN, "nobody knows")
    return SessionCalendar("NFO", INDIA, date(2026, 12, 31), days)


# -- what goes wrong -------------------------------------------------------------------------------------------------------


def _faults(chance: random.Random, start: datetime, length: float) -> list[Fault]:
    last = min((at("16:40") - start).total_seconds(), length)
    found: list[Fault] = []

    def put(after: float, kind: str, happen: Callable[[World], object]) -> None:
        found.append(Fault(max(1.0, after), kind, happen))

    for _ in range(chance.randint(2, 8) if length > 20_000 else chance.randint(1, 3)):
        when = _when(chance, start, last)
        kind = chance.choice(list(_KINDS))
        _KINDS[kind](chance, when, put)
    _feed(chance, start, put)
    return sorted(found, key=lambda one: one.after)


def _when(chance: random.Random, start: datetime, last: float) -> float:
    """Any time of the day, but half the time close to an instant at which something is due."""
    if chance.random() < 0.5:
        return chance.uniform(1.0, last)
    due = chance.choice(["07:15", "08:15", "08:45", "08:55", "09:00", "09:05", "09:10", "09:13", "09:15", "10:15", "10:45",
                         "11:15", "12:15", "12:34", "14:40", "15:35", "15:40", "15:50", "16:10"])  # fmt: skip
    after = (at(due) - start).total_seconds()
    if not 0 < after < last:
        return chance.uniform(1.0, last)
    return max(1.0, after + chance.choice([-600, -30, -1, 0, 0.05, 0.3, 1, 2, 5, 30]))


Put = Callable[[float, str, "Callable[[World], object]"], None]


def _killed(chance: random.Random, when: float, put: Put) -> None:
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        put(when, "kill", lambda world: world.kill())
        when += chance.uniform(0.1, 300)


POINTS = ("begin", "before commit", "after commit", "a send begins", "a send ended", "a step begins", "a step ended")


def _killed_at(chance: random.Random, when: float, put: Put) -> None:
    point, meeting = chance.choice(POINTS), chance.randint(1, 6)
    put(when, f"to be killed at: {point}, {meeting}", lambda world: world.die_at(point, meeting))


def _locked(chance: random.Random, when: float, put: Put) -> None:
    def lock(world: World) -> None:
        world.locked += 1

    def unlock(world: World) -> None:
        world.locked -= 1

    put(when, "the database is locked", lock)
    put(when + chance.choice([3.0, 20.0, 100.0, 400.0]), "the database is free", unlock)


def _channel(chance: random.Random, when: float, put: Put) -> None:
    for name in chance.choice([("phone",), ("mail",), ("phone", "mail")]):
        ill = chance.choice(["down", "down", "slow", "unknown", "busy"])

        def fall(world: World, name: str = name, ill: str = ill) -> None:
            world.ill[name] = ill

        def mend(world: World, name: str = name) -> None:
            world.ill.pop(name, None)

        put(when, f"{name} is {ill}", fall)
        put(when + chance.choice([20.0, 120.0, 900.0, 7200.0]), f"{name} is well", mend)


def _token(chance: random.Random, when: float, put: Put) -> None:
    def dies(world: World) -> None:
        world.token = False

    def lives(world: World) -> None:
        world.token = True

    put(when, "the broker's token is dead", dies)
    put(when + chance.uniform(30, 7200), "a login", lives)


def _no_login(chance: random.Random, when: float, put: Put) -> None:
    del when

    def dies(world: World) -> None:
        world.token = False

    def lives(world: World) -> None:
        world.token = True

    put(1.0, "nobody has logged in yet", dies)
    put(chance.uniform(7200, 16000), "a login", lives)


def _stepped(chance: random.Random, when: float, put: Put) -> None:
    by = chance.choice([7200.0, -7200.0, 300.0, -300.0, 60.0, -60.0])
    put(when, f"the wall clock is stepped by {by:g} s", lambda world: world.step_clock(by))
    put(when + chance.choice([5.0, 90.0, 1800.0, 6000.0]), "and put right", lambda world: world.step_clock(-by))


def _stopped(chance: random.Random, when: float, put: Put) -> None:
    length = chance.choice([3.0, 30.0, 600.0, 600.0, 5400.0])
    put(when, f"stopped for {length:g} s", lambda world: world.suspend(length))


def _by_hand(chance: random.Random, when: float, put: Put) -> None:
    def ask(world: World) -> None:
        job = chance.choice(sorted(job.name for job in world.jobs if not job.repeating))
        world.ask(job, chance.random())

    for _ in range(chance.choice([1, 2])):
        put(when, "`runbook run` by hand", ask)
        when += chance.uniform(0.0, 60.0)


def _calendar(chance: random.Random, when: float, put: Put) -> None:
    which = chance.choice(["tuesday closed", "monday closed", "monday opens later", "monday opens earlier", "nothing"])
    makes = {
        "tuesday closed": lambda: calendar(closed=(TUESDAY,)),
        "monday closed": lambda: calendar(closed=(MONDAY,)),
        "monday opens later": lambda: calendar(moved={MONDAY: "10:15"}),
        "monday opens earlier": lambda: calendar(moved={MONDAY: "09:00"}),
        "nothing": calendar,
    }

    def change(world: World) -> None:
        world.new_calendar(makes[which]())

    put(when, f"the calendar is entered anew: {which}", change)
    if chance.random() < 0.3:
        put(
            when + chance.uniform(1, 3600),
            "the calendar is entered anew: as it was",
            lambda world: world.new_calendar(calendar()),
        )


def _restarted(chance: random.Random, when: float, put: Put) -> None:
    """A clean stop, and a start on another configuration."""
    which = chance.choice(["as it was", "one job less", "one job more", "one job later"])

    def change(world: World) -> None:
        held = {job.name: job for job in world.jobs}
        extra = Job.model_validate(
            {"name": "extra", "run": "jobs.extra:do", "at": ["open+4h"], "latest_start": "close"}
        ).spec()
        if which == "one job less":
            held.pop("plain", None)
        elif which == "one job more":
            held["extra"] = extra
        elif which == "one job later" and "choosy" in held:
            held["choosy"] = replace(
                held["choosy"], trigger=Job.model_validate(OWN[1] | {"at": ["open+1h", "open+5h"]}).spec().trigger
            )
        world.restart(tuple(held.values()))

    put(when, f"stopped and started, {which}", change)


_KINDS: dict[str, Callable[[random.Random, float, Put], None]] = {
    "killed": _killed,
    "killed at a point": _killed_at,
    "killed at another point": _killed_at,
    "locked": _locked,
    "channel": _channel,
    "token": _token,
    "no login": _no_login,
    "stepped": _stepped,
    "stopped": _stopped,
    "by hand": _by_hand,
    "calendar": _calendar,
    "restarted": _restarted,
}

_WAYS: dict[FeedWord, tuple[FeedWord, ...]] = {
    FeedWord.LIVE: (FeedWord.FALLBACK, FeedWord.FALLBACK, FeedWord.BLIND, FeedWord.SILENT),
    FeedWord.FALLBACK: (FeedWord.PROBATION, FeedWord.PROBATION, FeedWord.BLIND),
    FeedWord.PROBATION: (FeedWord.LIVE, FeedWord.LIVE, FeedWord.FALLBACK),
    FeedWord.BLIND: (FeedWord.FALLBACK, FeedWord.PROBATION),
    FeedWord.SILENT: (FeedWord.LIVE, FeedWord.FALLBACK, FeedWord.BLIND),
}


def _feed(chance: random.Random, start: datetime, put: Put) -> None:
    """Some outages of the feed, each a walk through its modes that ends LIVE; and the end of the session."""
    opens, closes = ((at(clock) - start).total_seconds() for clock in ("09:15", "15:40"))
    for _ in range(chance.choice([0, 1, 1, 2])):
        when, word = chance.uniform(opens, closes - 1800), FeedWord.LIVE
        for _ in range(chance.choice([3, 3, 5, 9])):
            word = chance.choice(_WAYS[word])
            if when < 1.0:  # it was over before the day began
                break
            put(when, "", lambda world, word=word: world.feed(word))  # type: ignore[misc]
            when += chance.choice([3.0, 16.0, 40.0, 200.0])
        put(when, "", lambda world: world.feed(FeedWord.LIVE))
    for hour in range(6):
        put(opens + 3600 * hour, "", lambda world: world.totals())
    put(closes, "", lambda world: world.feed(FeedWord.OFF))
