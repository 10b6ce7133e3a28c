"""All the feed knows, as one frozen value. One clock per (source, instrument); none is moved by the other source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from runbook.feed.policy import Policy
from runbook.feed.quota import Quota, full
from runbook.feed.table import Mode
from runbook.market import Instrument, Quote, Source, Tick
from runbook.session import PhaseName


class LinkState(StrEnum):
    """The socket to OpenAlgo, as far as we were told."""

    NONE = "none"  # none is wanted
    OPENING = "opening"
    UP = "up"  # open and authenticated: says nothing of the broker behind it
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Fault:
    """What the other side last complained of; `refused` when nothing listened on the port, `asked` as in ConnectFailed."""

    reason: str
    hint: str | None = None
    refused: bool = False
    asked: str = ""


class Cure(StrEnum):
    """What is tried next on an open socket that brings nothing, in this order."""

    SUBSCRIBE = "subscribe"
    AUTHENTICATE = "authenticate"  # and subscribe
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class Link:
    """Our connection and the attempts to heal it.

    `rungs` are the times of the attempts within the window; `attempts` counts them since ticks last moved; `due` is
    when the next may be made, `cure` what it will be on an open socket. `reopened` counts the connections that were
    opened in this outage and stayed mute. `away`: closed by our own hand, to be opened again. `urgent` lets it use the attempt that routine leaves unspent.
    """

    state: LinkState = LinkState.NONE
    generation: int = 0
    since: float = 0.0
    down_since: float | None = None
    subscribed_at: float | None = None
    fault: Fault | None = None
    rungs: tuple[float, ...] = ()
    attempts: int = 0
    due: float = 0.0
    cure: Cure = Cure.SUBSCRIBE
    reopened: int = 0
    away: bool = False
    urgent: bool = False
    spent_noted: bool = False
    lost: str = ""  # why OpenAlgo refused to subscribe again in this outage: the adapter behind us was gone
    refused: tuple[Instrument, ...] = ()  # what OpenAlgo did not subscribe for us


@dataclass(frozen=True, slots=True)
class TickClock:
    """The newest tick of one instrument; `at` moves on fresh ticks only, `changed_at` when the price did."""

    tick: Tick | None = None
    at: float | None = None
    changed_at: float | None = None
    generation: int = 0
    ticks: int = 0
    replays: int = 0


@dataclass(frozen=True, slots=True)
class QuoteClock:
    """The newest usable quote of one instrument; `still` counts polls since its fingerprint last moved."""

    quote: Quote | None = None
    at: float | None = None
    changed_at: float | None = None
    still: int = 0
    fault: str | None = None  # why the latest poll gave no usable quote, None when it did


@dataclass(frozen=True, slots=True)
class Run:
    """Ticks of one generation without a gap. `moves` are those that show a moving market.

    The first tick of each instrument in a run is never a move: it may be the snapshot that a subscription brings.
    """

    generation: int
    since: float
    last: float
    moves: int = 0
    moved_at: float | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """The REST side. `since` is when polling began, `heard_at` when the poller last said anything."""

    polling: bool = False
    since: float = 0.0
    interval: float = 0.0
    trusted: bool = False
    frozen: bool = False  # why not trusted: it answers, but nothing moves
    heard_at: float = 0.0
    failures: int = 0
    failing_since: float = 0.0
    moves: int = 0  # moving reads since trust was lost
    outdated: bool = False  # its newest candle is old: quotes that move prove nothing until a new one comes
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """How often an instrument ticks: `ticks` and `time` (seconds) fade with age. `count` and `at` are where it stood last.

    `longest` is the longest gap that ended well, in seconds; it fades too, more slowly.
    """

    count: int = 0
    at: float | None = None
    ticks: float = 0.0
    time: float = 0.0
    longest: float = 0.0


class Purpose(StrEnum):
    """Why REST is asked outside of polling."""

    SILENCE = "silence"  # the whole feed is silent
    SYMBOL = "symbol"  # one instrument is
    CHECK = "check"  # all is well, and is to be known of REST as well


@dataclass(frozen=True, slots=True)
class Probing:
    """A round of questions to REST: the first good answer is what the next ones are held against.

    `asked_at` is None while no answer is awaited; `due` is when to ask next.
    """

    purpose: Purpose
    targets: tuple[Instrument, ...]
    since: float
    due: float
    asked_at: float | None = None
    first_at: float | None = None
    first: Mapping[Instrument, Quote] = field(default_factory=dict)
    answers: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Late:
    """One instrument that is silent since `since` while others tick; `confirmed` when REST showed it moving meanwhile.

    `asked_at` is when REST was last asked about it.
    """

    since: float
    confirmed: bool = False
    asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Candle:
    """The newest 1-minute candle: seen at `at`, when its beginning lay `age` seconds back; None when there was none."""

    at: float
    age: float | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What REST showed when it was last asked outside of polling; `moved_at` when a price was last seen to move there."""

    at: float | None = None
    moved_at: float | None = None
    moved: str = ""  # the movement in words
    fault: Fault | None = None
    failing_since: float | None = None
    contradicted: tuple[str, ...] = ()  # where the stream and REST disagree about a price, in words


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where the promised seconds went; their sum is the time in which ticks were promised."""

    websocket: float = 0.0
    rest: float = 0.0
    blind: float = 0.0
    waiting: float = 0.0  # silent, and no verdict yet (ARMED, SUSPECT)
    still: float = 0.0  # nothing moved on either side (MARKET_SILENT)
    unwatched: float = 0.0  # not started, or runbook itself was stopped

    @property
    def expected(self) -> float:
        return self.websocket + self.rest + self.blind + self.waiting + self.still + self.unwatched


@dataclass(frozen=True, slots=True)
class Counts:
    """What is rare enough to count here; ticks and replays are counted on their clocks."""

    late: int = 0  # events of a generation that is gone
    strays: int = 0  # ticks of instruments nobody asked for
    garbage: int = 0
    reconnects: int = 0
    resubscribes: int = 0
    fallbacks: int = 0  # outages that left the WebSocket for REST or for nothing
    blinds: int = 0
    polls: int = 0
    poll_failures: int = 0
    pauses: int = 0
    probes: int = 0


@dataclass(frozen=True)  # without slots, for the sake of `ticked`
class State:
    """The feed between two events. Times are seconds of `Clock.monotonic`."""

    watched: tuple[Instrument, ...]
    quota: Quota
    mode: Mode = Mode.OFF
    mode_since: float = 0.0
    started: bool = False
    phase: PhaseName = PhaseName.SHUT
    expects: bool = False
    quiet: frozenset[Instrument] = frozenset()
    canaries: tuple[Instrument, ...] = ()  # kept, not asked for with each tick: the hot path looks at it
    evaluated_at: float | None = None
    accounted_at: float | None = None
    judged_from: float = 0.0  # silence from before this is not held against the feed
    last_tick_at: float | None = None
    longest_gap: float = 0.0
    outage: int = 0  # the number of the open one, 0 when there is none
    outages: int = 0
    outage_since: float = 0.0  # from when the silence of this outage counts
    verifying_since: float | None = None
    hold: float = 0.0  # seconds the next probation must last
    held_from: float = 0.0
    returned_at: float | None = None
    failed_at: float | None = None
    link: Link = field(default_factory=Link)
    warned: bool = False  # the guide's warning was said in this outage
    rates: Mapping[Instrument, Rate] = field(default_factory=dict)
    probing: Probing | None = None
    rounds: tuple[float, ...] = ()  # when the rounds of the last hour began
    checked: Checked = field(default_factory=Checked)
    candle: Candle | None = None
    candle_asked: float | None = None
    candles_prompt: bool = False  # while ticks flowed the newest candle was fresh: an old one means something here
    late: Mapping[Instrument, Late] = field(default_factory=dict)
    garbled: int = 0  # frames that are no ticks, since the last tick
    garbled_at: float | None = None
    run: Run | None = None
    rest: Rest = field(default_factory=Rest)
    ticks: Mapping[Instrument, TickClock] = field(default_factory=dict)
    quotes: Mapping[Instrument, QuoteClock] = field(default_factory=dict)
    seconds: Seconds = field(default_factory=Seconds)
    counts: Counts = field(default_factory=Counts)

    def ticked(
        self, ticks: Mapping[Instrument, TickClock], run: Run | None, last_tick_at: float | None, longest_gap: float
    ) -> State:
        """As `replace`, for what each batch of ticks changes: hundreds of times a second, and in a tenth of its time."""
        new = object.__new__(State)
        new.__dict__.update(self.__dict__, ticks=ticks, run=run, last_tick_at=last_tick_at, longest_gap=longest_gap)
        return new


def initial(instruments: Sequence[Instrument], policy: Policy, generation: int = 0) -> State:
    """A feed that has not been started; hand in the old generation for a new session, so that no number comes twice."""
    watched = tuple(dict.fromkeys(instruments))
    return State(
        watched=watched,
        canaries=canaries(watched, frozenset()),
        quota=full(policy.rest_max_per_hour),
        hold=policy.probation,
        link=Link(generation=generation),
        ticks={i: TickClock() for i in watched},
        quotes={i: QuoteClock() for i in watched},
    )


def source(state: State) -> Source | None:
    """Where a price may be taken from now, or None when no side has one that can be trusted.

    In PROBATION it is REST as long as REST can be trusted, else the ticks, which have begun to prove themselves.
    """
    if state.mode is Mode.LIVE:
        return Source.WEBSOCKET
    if state.mode is Mode.FALLBACK:
        return Source.REST_POLLING
    if state.mode is Mode.PROBATION:
        return Source.REST_POLLING if state.rest.trusted else Source.WEBSOCKET
    return None


def silence(state: State, now: float) -> float:
    """Seconds without a fresh tick of the current connection that may be held against the feed."""
    return now - max(state.judged_from, state.last_tick_at if state.last_tick_at is not None else state.judged_from)


def canaries(watched: Sequence[Instrument], quiet: frozenset[Instrument]) -> tuple[Instrument, ...]:
    """What the market's life is judged by: indices and futures of which movement is promised now."""
    return tuple(i for i in watched if (i.is_index or i.is_future) and i not in quiet)


def gap_limit(state: State, policy: Policy) -> float:
    """The longest gap between two ticks that does not break a run."""
    return policy.probation_gap if state.canaries else policy.probation_gap_no_canary


def account(state: State, now: float, *, unwatched: bool = False) -> State:
    """Book the seconds since the last booking where they belong; none while no ticks are promised."""
    before = now if state.accounted_at is None else state.accounted_at
    passed = now - before
    if not state.expects or passed <= 0:
        return replace(state, accounted_at=max(before, now))
    if unwatched or state.mode is Mode.OFF:
        bucket = "unwatched"
    elif state.mode is Mode.BLIND:
        bucket = "blind"
    elif state.mode is Mode.MARKET_SILENT:
        bucket = "still"
    elif (where := source(state)) is None:
        bucket = "waiting"
    else:
        bucket = "websocket" if where is Source.WEBSOCKET else "rest"
    booked = getattr(state.seconds, bucket) + passed
    return replace(state, accounted_at=now, seconds=replace(state.seconds, **{bucket: booked}))
