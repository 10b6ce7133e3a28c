"""A bot and runbook's feed at the same OpenAlgo: real sockets on loopback, seconds of a clock that runs fast."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from runbook.adapters.openalgo import OpenAlgo
from runbook.adapters.ticks import OpenAlgoStream
from runbook.clock import Clock, RehearsalClock
from runbook.engine import FeedNews
from runbook.feed import judging
from runbook.feed.policy import Policy
from runbook.feed.price import FeedStatus
from runbook.feed.table import Mode
from runbook.feed.verdict import Verdict
from runbook.market import Instrument
from runbook.monitor import FeedParts, Monitor, NoKeeper, scaled
from runbook.simulator import Simulator
from tests.fakes import NIFTY, at, session, until

FAST, SLOW = 30.0, 6.0  # times the host's pace; slow where a few seconds decide who was there first
LOOKS = 3.0  # seconds between two looks of the bot at its own silence
_PAUSE = 1.0  # seconds from the bot's closing to its opening
_READ = 0.02  # real seconds


@dataclass
class Bot:
    """A trader's bot: subscribes NIFTY; after `patience` seconds without a tick it closes and opens its socket, again and again.

    With `patience` None it waits for ever. Times are seconds of the clock.
    """

    sim: Simulator
    clock: Clock
    patience: float | None
    opened: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)  # ticks that showed a later trade than the one before

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bot", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            with connect(self.sim.stream_url, compression=None) as socket:
                self.opened.append(self.clock.monotonic())
                socket.send(json.dumps({"action": "authenticate", "api_key": self.sim.api_key}))
                asked = {"action": "subscribe", "symbol": NIFTY.symbol, "exchange": NIFTY.exchange, "mode": "LTP"}
                socket.send(json.dumps(asked))
                self._listen(socket.recv)
            self.clock.wait(self._stop, _PAUSE)

    def _listen(self, receive: Callable[..., str | bytes]) -> None:
        heard = looked = self.clock.monotonic()
        traded: int | None = None
        while not self._stop.is_set():
            try:
                frame = json.loads(receive(timeout=_READ))
            except TimeoutError:
                frame = {}
            except ConnectionClosed:
                return
            now = self.clock.monotonic()
            if frame.get("type") == "market_data":
                heard = now
                if traded is not None and frame["data"]["ltt"] > traded:
                    self.moved.append(now)
                traded = frame["data"]["ltt"]
            if now - looked >= LOOKS:
                looked = now
                if self.patience is not None and now - heard > self.patience:
                    return


class Desk:
    """A mute that only a new broker connection heals, and who is there: a bot, and runbook unless `policy` is None."""

    def __init__(self, stack: ExitStack, patience: float | None, policy: Policy | None, *, future: bool) -> None:
        self.clock = RehearsalClock(at("09:20"), rate=FAST)
        hours = (at("09:15"), at("15:40"))
        self.sim = stack.enter_context(Simulator(clock=self.clock, seed=7, session=hours, mode="analyze"))
        self.bot = Bot(self.sim, self.clock, patience)
        self.modes: list[tuple[float, Mode]] = []
        self.news: list[FeedNews] = []
        self.monitor: Monitor | None = None
        self.policy = policy
        self.muted = 0.0
        self.bot.start()
        stack.callback(self.bot.stop)
        until(lambda: len(self.bot.moved) > 1, "the bot has ticks")
        if policy is not None:
            watched = [NIFTY, self.sim.market.near_future] if future else [NIFTY]
            stack.callback(self._watch(watched, policy))
            self.until_mode(Mode.LIVE)
        begun = self.clock.monotonic()
        until(lambda: self.clock.monotonic() - begun > 30, "the rates of the ticks are known")

    def _watch(self, watched: Sequence[Instrument], policy: Policy) -> Callable[[], None]:
        gateway = OpenAlgo(self.sim.rest_url, self.sim.api_key, self.clock)
        parts = FeedParts(
            self.clock, OpenAlgoStream(self.sim.stream_url, self.sim.api_key, self.clock), gateway, scaled(policy, FAST),
            lambda _session: NoKeeper(), lambda news: self.news.append(news) if isinstance(news, FeedNews) else None, "analyzer",
            say=lambda _line: None, publish_status=self._stands,
        )  # fmt: skip
        self.monitor = Monitor(parts)
        self.monitor.start(session(), watched)

        def stop() -> None:
            assert self.monitor is not None
            self.monitor.stop()
            gateway.close()

        return stop

    def _stands(self, status: FeedStatus) -> None:
        self.modes.append((self.clock.monotonic(), status.mode))

    def mute(self) -> None:
        self.muted = self.clock.monotonic()
        self.sim.switch("mute", until="reconnect")

    @property
    def since(self) -> float:
        """Seconds since the stream went mute."""
        return self.clock.monotonic() - self.muted

    def let(self, over: Callable[[], bool], slow: Sequence[tuple[float, float]] = ()) -> None:
        """Let time pass until it is `over`; slowly in the given stretches of seconds since the mute."""

        def looked() -> bool:
            wanted = SLOW if any(a <= self.since < b for a, b in slow) else FAST
            if self.clock.rate != wanted:
                self.clock.set_rate(wanted)
            return over()

        until(looked, "it is over", 80)

    def until_mode(self, mode: Mode) -> None:
        until(lambda: self.modes[-1:] and self.modes[-1][1] is mode, f"the feed is {mode}", 20)

    @property
    def healed(self) -> float | None:
        """Seconds from the mute to the bot's first tick that moves."""
        return next((t - self.muted for t in self.bot.moved if t > self.muted + 1), None)

    def verdict(self) -> Verdict:
        assert self.monitor is not None
        view = self.monitor.view()
        assert view.state is not None
        assert self.policy is not None
        return judging.judge(view.state, view.at, self.policy)
