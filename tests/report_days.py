"""Days as the ledger would hold them, for the report, the status and the history."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache

from runbook.adapters.store import Store, schema
from runbook.agenda import occurrences
from runbook.alert import Alert, AlertState, Severity
from runbook.day import DayFacts, FeedChange, FeedSample
from runbook.job import JobSpec, Verdict
from runbook.market import Instrument
from runbook.outbox import Kind, Row
from runbook.outbox import State as Sent
from runbook.ports import GatewayMode, Message
from runbook.recon import Break, BreakCode, DayPnl, DeclaredMode, OpenPosition, Reconciliation
from runbook.recon import Verdict as Books
from runbook.run import Entry, State, Try
from runbook.session import INDIA, Day, DayStatus, Session, SessionCalendar
from runbook.trigger import Anchor, At, Every

FRIDAY = date(2025, 12, 26)
CALL = "NIFTY30DEC2526000CE"


def at(clock: str, day: date = FRIDAY) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}+05:30").astimezone(UTC)


def trading(day: date, name: str = "regular", hours: str = "09:15-15:30") -> Day:
    start, end = hours.split("-")
    session = Session("NFO", day, ((at(start, day), at(end, day)),), name=name)
    return Day(
        day, DayStatus.OPEN, "regular session" if name == "regular" else name, ("library NSE", "site"), session=session
    )


def calendar(*, known_until: date = date(2026, 1, 4)) -> SessionCalendar:
    days = {d: trading(d) for n in (22, 23, 24, 26, 29, 30, 31) if (d := date(2025, 12, n)) <= known_until}
    days |= {d: trading(d) for n in (1, 2) if (d := date(2026, 1, n)) <= known_until}
    days[date(2025, 12, 25)] = Day(date(2025, 12, 25), DayStatus.CLOSED, "Christmas", ("library NSE",))
    for weekend in (date(2025, 12, 27), date(2025, 12, 28), date(2026, 1, 3), date(2026, 1, 4)):
        if weekend <= known_until:
            days[weekend] = Day(weekend, DayStatus.CLOSED, "weekend")
    return SessionCalendar("NFO", INDIA, known_until, days)


def anchors(*texts: str) -> At:
    return At(tuple(Anchor.parse(text) for text in texts))


MINUTE = timedelta(minutes=1)
JOBS = (
    JobSpec(
        "verify_broker", "jobs.v:v", anchors("open-60m", "open-10m"), 20, Anchor.parse("close-15m"),
        Anchor.parse("open-10m"), repeat_until_ok=MINUTE,
    ),
    JobSpec("start_feed", "jobs.s:s", anchors("open-15m"), 20, Anchor.parse("close-15m"), Anchor.parse("open-2m")),
    JobSpec("check_feed", "jobs.c:c", Every(timedelta(seconds=30), Anchor.parse("open-10m"), Anchor.parse("close")), 10),
    JobSpec("reconcile_paper", "jobs.r:r", anchors("close+10m"), 60, Anchor.parse("close+11h"), Anchor.parse("close+25m")),
    JobSpec("report_day", "jobs.d:d", anchors("close+30m"), 60, deadline=Anchor.parse("close+60m"), after=("reconcile_paper",)),
)  # fmt: skip

RUNGS = [
    {"name": "server", "verdict": "ok", "evidence": "OpenAlgo answers (health pass)", "fix": ""},
    {"name": "key", "verdict": "ok", "evidence": "key accepted, broker angel", "fix": ""},
    {"name": "mode", "verdict": "ok", "evidence": "OpenAlgo stands on live, as declared", "fix": ""},
    {"name": "broker", "verdict": "ok", "evidence": "NIFTY 26049.90 over REST", "fix": ""},
    {"name": "tick", "verdict": "unknown", "evidence": "none yet, and none is due in this phase", "fix": ""},
]


def planned(day: Day) -> list[Entry]:
    assert day.session is not None
    return [
        Entry(o, job.repeating, State.PLANNED, None, "", "a91c3f2")
        for job in JOBS
        for o in occurrences(job, day.session)
    ]


def ran(
    entry, started, *, took=1.0, verdict=Verdict.OK, reason="done", facts=None, hint=None, state=State.SUCCEEDED, n=1
):
    """The entry with one more try."""
    seen = verdict if state is State.SUCCEEDED else Verdict.UNKNOWN
    run = Try(n, "scheduler", started, started + timedelta(seconds=took), state, seen, reason, hint, facts or {}, None)
    return replace(entry, state=state, verdict=seen, reason=reason, tries=(*entry.tries, run))


def reconciliation(verdict=Books.CLEAN, *, legs=4, breaks=(), notes=()):
    return Reconciliation(
        session=FRIDAY, mode=DeclaredMode.LOCAL_PAPER, gateway_mode=GatewayMode.LIVE, verdict=verdict, bot_legs=legs,
        gateway_legs=0, matched=None, judged=legs, covered=legs, by_day=0, breaks=tuple(breaks), notes=tuple(notes),
        tolerances="price within 0.05 of the recorded range, +-2 s",
    )  # fmt: skip


def found(code: BreakCode, about: str, explanation: str) -> Break:
    return Break("0" * 12, code, code.severity, about, explanation)


FLAT = DayPnl(Decimal("1240.50"), Decimal("1240.50"), (), "the bot's own log")
HELD = DayPnl(
    Decimal("-512.50"), None, (OpenPosition(Instrument(CALL, "NFO"), -75, Decimal(120)),), "the bot's own log"
)


def books(recon=None, pnl=FLAT, legs=4):
    recon = recon or reconciliation()
    return {"reconciliation": recon.to_facts(), "pnl": pnl.to_facts() if pnl else None, "legs": legs}


def totals(mode="LIVE", *, fallbacks=0, longest=1.4, ticks=None, polls=0, **seconds):
    booked = {"websocket": 0.0, "rest": 0.0, "blind": 0.0, "waiting": 0.0, "still": 0.0, "unwatched": 0.0} | seconds
    return {
        "mode": mode,
        "seconds": booked,
        "counts": {"fallbacks": fallbacks, "blinds": 0, "reconnects": fallbacks, "polls": polls, "poll_failures": 0},
        "longest_gap": longest,
        "ticks": {"NIFTY": 22041, "NIFTY30DEC25FUT": 40113} if ticks is None else ticks,
        "recorded": 62154,
        "not_recorded": 0,
    }


def minutes(first: str, last: str, data) -> list[FeedSample]:
    """A sample each minute, the totals of the last one growing evenly towards `data`."""
    start, end = at(first), at(last)
    count = int((end - start) / MINUTE)
    return [FeedSample(start + n * MINUTE, _part(data, n / count)) for n in range(count + 1)]


def _part(data, share):
    if isinstance(data, dict):
        return {k: _part(v, share) for k, v in data.items()}
    return type(data)(data * share) if isinstance(data, int | float) else data


def change(clock: str, was: str, now: str, reason: str, hint: str | None = None, **evidence) -> FeedChange:
    return FeedChange(at(clock), was, now, reason, hint, evidence)


QUIET_CHANGES = (
    change("09:15:00", "OFF", "ARMED", "the first tick is awaited"),
    change("09:15:02", "ARMED", "LIVE", "the price moves, 2.0 s after ticks were due; prices come from the WebSocket"),
    change("15:30:00", "LIVE", "OFF", "session ended"),
)
MUTE = (
    "1. log in to the broker on the OpenAlgo dashboard again and see that it shows Connected; 2. see that streaming is "
    "switched on and in the broker's plan; 3. restart the openalgo unit (sudo systemctl restart openalgo)"
)
INCIDENT_CHANGES = (
    *QUIET_CHANGES[:2],
    change("10:01:15", "LIVE", "SUSPECT", "no ticks for 60 s", MUTE, silence=60.0),
    change("10:02:15", "SUSPECT", "FALLBACK", "no ticks for 120 s; prices come from REST every 1.5 s", MUTE, silence=120.0),
    change("10:04:49", "FALLBACK", "PROBATION", "ticks are back on connection 3; REST stays until they have held for 30 s"),
    change("10:05:19", "PROBATION", "LIVE", "ticks have held for 30 s; prices come from the WebSocket"),
    QUIET_CHANGES[2],
)  # fmt: skip


def message(key, channel, kind, seq, title, clock, state=Sent.SENT, *, attempts=1, reason="") -> Row:
    when = at(clock)
    return Row(
        key, channel, kind, seq, Message(title, ""), when, at("17:30"), when, state, attempts,
        changed_at=when + timedelta(seconds=1), reason=reason,
    )  # fmt: skip


READY = [message("ready@2025-12-26", c, Kind.NOTICE, 0, "READY for Fri 26 Dec", "09:05:02") for c in ("phone", "email")]


def normal_rows(day: Day, facts=None, *, check=None) -> list[Entry]:
    """Every row of the day run in its time; `check` gives (verdict, reason) for a check's time."""
    out = []
    for entry in planned(day):
        due = entry.occurrence.planned
        match entry.key.job:
            case "verify_broker":
                out.append(
                    ran(
                        entry,
                        due + timedelta(seconds=1),
                        took=1.2,
                        reason="key accepted, broker angel; NIFTY 26049.90 over REST",
                        facts={"rungs": RUNGS},
                    )
                )
            case "start_feed":
                out.append(
                    ran(
                        entry,
                        due,
                        took=6.4,
                        reason="watching NIFTY, NIFTY30DEC25FUT",
                        facts={"instruments": ["NSE_INDEX:NIFTY", "NFO:NIFTY30DEC25FUT"]},
                    )
                )
            case "check_feed":
                verdict, reason = check(due) if check else (Verdict.OK, "ticks on the WebSocket")
                out.append(
                    ran(
                        entry,
                        due,
                        took=0.02,
                        verdict=verdict,
                        reason=reason,
                        facts={"mode": "LIVE", "source": "WEBSOCKET"},
                    )
                )
            case "reconcile_paper":
                held = facts or books()
                said = Reconciliation.from_facts(held["reconciliation"])
                verdict = Verdict.ATTENTION if said.verdict is Books.BREAKS else Verdict.OK
                out.append(
                    ran(entry, due, took=2.3, verdict=verdict, reason=f"{said.verdict}: {said.summary()}", facts=held)
                )
            case _:
                out.append(replace(entry, state=State.RUNNING))
    return out


@cache
def clean_day() -> DayFacts:
    day = calendar().day(FRIDAY)
    samples = minutes("09:15", "15:31", totals("OFF", websocket=22498.0, waiting=2.0))
    return DayFacts(day, tuple(normal_rows(day)), QUIET_CHANGES, tuple(samples), (), tuple(READY))


def _check(due: datetime):
    if at("10:01:15") <= due < at("10:02:15"):
        return Verdict.ATTENTION, "no ticks for a while; being healed"
    if at("10:02:15") <= due < at("10:05:19"):
        return Verdict.ATTENTION, "prices over REST"
    return Verdict.OK, "ticks on the WebSocket"


@cache
def incident_day() -> DayFacts:
    """The guide's day: the WebSocket goes mute at 10:00:15, prices go on over REST, two fills do not fit."""
    day = calendar().day(FRIDAY)
    recon = reconciliation(
        Books.BREAKS,
        breaks=[
            found(BreakCode.OUT_OF_RANGE, f"NFO:{CALL}", "BUY 75 @ 131.40 at 10:03:12 lies 3.15 above the recorded high 128.25"),
            found(BreakCode.MISSING_AT_BOT, f"NFO:{CALL}", "SELL 75 @ 127.95 at 14:59:58 is in no row of the bot's log"),
        ],
    )  # fmt: skip
    rows = []
    for entry in normal_rows(day, books(recon, HELD), check=_check):
        if entry.key.job == "check_feed" and at("10:02:30") <= entry.occurrence.planned <= at("10:03:00"):
            rows.append(
                replace(entry, state=State.MISSED, verdict=None, tries=(), reason="not started by its latest start")
            )
        else:
            rows.append(entry)
    alert = Alert(
        "feed.fallback", (("feed", "NIFTY"),), Severity.WARNING, at("10:02:15"),
        "no ticks for 120 s; prices come from REST every 1.5 s", "prices go on over REST; the stream is tried again", MUTE,
        AlertState.RESOLVED, "feed.fallback", at("10:05:19"), "ticks have held for 30 s; prices come from the WebSocket",
        told=2, number=41,
    )  # fmt: skip
    messages = [
        *READY,
        message(alert.key, "phone", Kind.OPENED, 1, "[WARN] feed on REST since 10:02 (NIFTY) #41", "10:02:30"),
        message(alert.key, "email", Kind.OPENED, 1, "[WARN] feed on REST since 10:02 (NIFTY) #41", "10:02:30", Sent.DEAD, attempts=6, reason="535 authentication failed"),
        message(alert.key, "phone", Kind.RESOLVED, 2, "[OK] feed back on the stream at 10:05 (NIFTY) #41", "10:05:19", Sent.UNKNOWN, attempts=2, reason="timed out after 20 s"),
    ]  # fmt: skip
    samples = minutes(
        "09:15", "15:31",
        totals("OFF", fallbacks=1, longest=274.0, polls=121, websocket=22194.0, rest=184.0, waiting=122.0),
    )  # fmt: skip
    return DayFacts(day, tuple(rows), INCIDENT_CHANGES, tuple(samples), (alert,), tuple(messages))


def empty_day(day: date = FRIDAY) -> DayFacts:
    return DayFacts(calendar().day(day), (), (), (), (), ())


@cache
def running_day() -> DayFacts:
    """At 10:03:40 of the incident: the fallback is on, its alert is open, what comes is planned."""
    whole = incident_day()
    now = at("10:03:40")
    rows = []
    for entry in whole.entries:
        if entry.occurrence.planned > now:
            rows.append(replace(entry, state=State.PLANNED, verdict=None, reason="", tries=()))
        else:
            rows.append(entry)
    alert = replace(whole.alerts[0], state=AlertState.OPEN, resolved_at=None, reason="", told=1)
    samples = minutes(
        "09:15",
        "10:03",
        totals("FALLBACK", fallbacks=1, longest=180.0, polls=30, websocket=2713.0, rest=45.0, waiting=122.0),
    )
    return DayFacts(
        whole.day,
        tuple(rows),
        whole.changes[:4],
        tuple(samples),
        (alert,),
        tuple(m for m in whole.messages if m.created_at <= now),
    )


def keep(store: Store, entries: tuple[Entry, ...], day: date | None = None) -> None:
    """Write rows as the engine would have left them, of another day on wish."""
    occurrences, attempts = [], []
    for e in entries:
        o = e.occurrence
        key = {"session": day or o.key.session, "job": o.key.job, "slot": o.key.slot}
        occurrences.append(
            key
            | {
                "repeating": e.repeating, "planned_at": o.planned, "due_at": o.due, "latest_start": o.latest_start,
                "deadline": o.deadline, "state": e.state, "verdict": e.verdict, "reason": e.reason, "config_hash": "abc",
            }
        )  # fmt: skip
        attempts += [
            key
            | {
                "n": t.n, "actor": t.actor, "started_at": t.started, "ended_at": t.ended, "outcome": t.outcome,
                "verdict": t.verdict, "reason": t.reason, "hint": t.hint, "facts": t.facts, "error_class": t.error_class,
                "epoch": 1,
            }
            for t in e.tries
        ]  # fmt: skip
    with store.write() as books:
        books.ledger._c.execute(schema.occurrence.insert(), occurrences)
        books.ledger._c.execute(schema.attempt.insert(), attempts)
