"""The bot as runbook can see it from outside: does it read what the gateway delivers, and over which source?

`observe` folds what was looked at into what is remembered, `judge` says what that means. A bot that was never seen is
unknown; only one that was seen, and stays silent while our own feed has ticks, is called deaf.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runbook.feed.verdict import Health
from runbook.spans import ago, span

DEAF = 90.0  # seconds without growth while ticks flow
ON_REST = 300.0  # seconds on REST while our own socket ticks: the guide's five minutes
RESTART = "restart the bot's feed, or the bot: the gateway delivers, so the fault is on its side"
_REST = "REST_POLLING"


@dataclass(frozen=True, slots=True)
class Grown:
    """One look at something that must grow: `mark` changes when it does. `aged` is how long ago it last did by its own
    stamp in seconds, None where it has none. With a `fault` there is no mark.
    """

    mark: str = ""
    aged: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """The newest price line of the bot's log: its source, and for how long its lines have named that one in a row."""

    source: str
    mark: str
    spans: float = 0.0  # seconds, by the lines' own stamps
    aged: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the bot; None: not declared. `at` is monotonic seconds. `log` may be declared and hold no price line."""

    at: float
    ticks: Grown | None = None
    heartbeat: Grown | None = None
    log: Said | None = None
    log_fault: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """What is remembered of one thing that must grow."""

    seen: bool = False
    mark: str = ""
    changed_at: float = 0.0
    grew: bool = False  # while we watched
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """All that is known of the bot; times are monotonic seconds."""

    since: float | None = None
    ticks: Track | None = None
    heartbeat: Track | None = None
    source: str = ""
    source_since: float = 0.0
    log: Track | None = None
    log_fault: str = ""

    @property
    def declared(self) -> bool:
        return self.since is not None and (
            self.ticks is not None or self.heartbeat is not None or self.log is not None or bool(self.log_fault)
        )


@dataclass(frozen=True, slots=True)
class Feed:
    """What our own feed says meanwhile: whether ticks flow on our socket, since when, and how many a second."""

    flows: bool
    since: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of the bot, in words; the action is what a person can do."""

    health: Health
    reason: str
    action: str = ""


def observe(memory: Memory, look: Look) -> Memory:
    """The memory after one more look."""
    memory = replace(
        memory,
        since=look.at if memory.since is None else memory.since,
        ticks=_tracked(memory.ticks, look.ticks, look.at),
        heartbeat=_tracked(memory.heartbeat, look.heartbeat, look.at),
        log_fault=look.log_fault,
    )
    if (said := look.log) is None:
        return memory
    began = look.at - said.spans
    if said.source == memory.source:
        began = min(began, memory.source_since)
    log = _tracked(memory.log, Grown(said.mark, said.aged), look.at)
    return replace(memory, source=said.source, source_since=began, log=log)


def judge(memory: Memory, feed: Feed, *, due: bool, now: float) -> Judged:
    """What the bot's silence or growth means; `due`: the phase promises ticks."""
    if not memory.declared:
        return Judged(Health.UNKNOWN, "nothing of the bot is declared", "name its tick file: `bot: {ticks: PATH}`")
    if not due:
        return Judged(Health.NOT_DUE, "no ticks are due in this phase, so its silence says nothing")
    broken: list[str] = []
    fine: list[str] = []
    unknown: list[str] = []
    for track, name in ((memory.ticks, "tick file"), (memory.heartbeat, "heartbeat")):
        if track is not None:
            _judge_track(track, name, feed, now, broken, fine, unknown)
    _judge_source(memory, feed, now, broken, fine, unknown)
    if broken:
        return Judged(Health.BROKEN, f"your bot does not read: {'; '.join(broken)}", RESTART)
    if fine:
        return Judged(Health.OK, "; ".join(fine + unknown))
    return Judged(Health.UNKNOWN, "; ".join(unknown) or "nothing was seen of it yet")


def _tracked(track: Track | None, grown: Grown | None, at: float) -> Track | None:
    if grown is None:
        return None
    track = track or Track(changed_at=at)
    if grown.fault:
        return replace(track, fault=grown.fault)
    if not track.seen:
        stamped = at if grown.aged is None else at - max(0.0, grown.aged)
        return Track(seen=True, mark=grown.mark, changed_at=stamped)
    if grown.mark != track.mark:
        return Track(seen=True, mark=grown.mark, changed_at=at, grew=True)
    return replace(track, fault="")


def _judge_track(
    track: Track, name: str, feed: Feed, now: float, broken: list[str], fine: list[str], unknown: list[str]
) -> None:
    if not track.seen:
        unknown.append(f"its {name} was never seen ({track.fault or 'nothing there'})")
        return
    age = now - track.changed_at
    did = "answered" if name == "heartbeat" else "grew"
    if age < DEAF and not track.fault:
        fine.append(f"its {name} last {did} {ago(age)}")
        return
    why = f" ({track.fault})" if track.fault else ""
    if not feed.flows:
        unknown.append(f"its {name} has been still for {span(age)}{why}, but our own feed has no ticks to compare with")
        return
    silent = now - max(track.changed_at, feed.since)
    if silent < DEAF:  # ticks have only begun to flow: what came before is not held against the bot
        unknown.append(f"its {name} has been still for {span(age)}{why}; ticks flow for {span(now - feed.since)}")
        return
    verb = "has not answered" if name == "heartbeat" else "has not grown"
    broken.append(f"gateway delivers {feed.rate:.1f} ticks/s, its {name} {verb} for {span(age)}{why}")


def _judge_source(
    memory: Memory, feed: Feed, now: float, broken: list[str], fine: list[str], unknown: list[str]
) -> None:
    if memory.log_fault:
        unknown.append(f"its log: {memory.log_fault}")
    if memory.log is None:
        return
    age = now - memory.log.changed_at
    if age >= DEAF:
        unknown.append(f"its log's last price line is {span(age)} old [{memory.source}]")
        return
    on = now - memory.source_since
    if memory.source != _REST:
        fine.append(f"its log says [{memory.source}]")
    elif feed.flows and min(on, now - feed.since) >= ON_REST:
        broken.append(f"it has lived on [{_REST}] for {span(on)} while the gateway delivers {feed.rate:.1f} ticks/s")
    else:
        unknown.append(f"its log says [{_REST}] for {span(on)}")
