"""The daemon, put together. What starts last stops first."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from runbook.alert import AlertChange, ChangeKind, Notice
from runbook.almanac import Almanac, Why, quieted
from runbook.app import answers, doors, phone, site, upkeep
from runbook.app.drilling import Driller
from runbook.app.reloading import Reloader
from runbook.budget import Budget
from runbook.clock import Clock, SystemClock
from runbook.config import Config
from runbook.errors import CalendarError, ConfigError, EngineGone, RunbookError
from runbook.feed.policy import Policy
from runbook.feed.table import Mode
from runbook.market import Instrument
from runbook.ports import Commands
from runbook.session import Session
from runbook.sweeper import Sweeper
from runbook.teller import Voice, rows_for

if TYPE_CHECKING:
    from runbook.adapters.openalgo import OpenAlgo
    from runbook.adapters.relay import Relay
    from runbook.day import Request
    from runbook.desk import TheDesk
    from runbook.engine import BotNews, CalendarNews, CauseNews, Courier, Engine, FeedNews, FeedTotals
    from runbook.follower import Follower
    from runbook.job import Step
    from runbook.monitor import Monitor
    from runbook.outbox import Row
    from runbook.report import Report
    from runbook.run import Run
    from runbook.teller import Teller
    from runbook.vigil import Vigil

    News: TypeAlias = FeedNews | FeedTotals | BotNews | CauseNews | CalendarNews

log = logging.getLogger(__name__)

_POSITIONS_WITHIN = 10.0  # real seconds
_HANDED_OVER = 20.0  # real seconds until the engine before has ended: a turn may wait for a busy ledger


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may listen to or replace; a rehearsal does, `serve` does not."""

    clock: Clock = field(default_factory=SystemClock)
    policy: Callable[[Policy], Policy] = lambda policy: policy
    say: Callable[[str], None] = logging.getLogger("runbook.feed").info
    on_run: Callable[[Run], None] = lambda _run: None
    on_sent: Callable[[Row], None] = lambda _row: None
    on_config: Callable[[Config], None] = lambda _config: None  # before a reload uses it: it may hold new secrets
    calendar: Callable[[Almanac], None] | None = None  # fills the session table instead of the library
    log: Path | None = None  # the file this process logs to, so that others can name it
    end: Callable[[int], object] = os._exit  # how a process ends in which something hangs


class Daemon:
    """Scheduler, feed and ledger of one site. `start` and `stop` mirror each other; stopping never stops half-way."""

    def __init__(self, config: Config, hooks: Hooks | None = None) -> None:
        from runbook.adapters.lock import DatabaseLock

        site.need_secrets(config)
        self._config = config
        self._hooks = hooks or Hooks()
        self.clock = self._hooks.clock
        self.lock = DatabaseLock(config.database_path)
        self.store = site.open_store(config)
        self.almanac = site.almanac(config, self.store)
        self.commands = doors.commands(config)
        self._steps = self._load(config, self.commands)
        self._gateway: OpenAlgo | None = None
        self._relay: Relay | None = None
        self._calendar_news: CalendarNews | None = None
        self._gate = threading.Lock()
        self._held: list[News] | None = None  # what comes while one engine hands over to the next
        self.systemd = doors.systemd()
        self.courier: Courier | None = None
        self.reloader = Reloader(self, self._hooks.on_config)
        self.driller = Driller(self)
        self.engine: Engine
        self.monitor: Monitor
        self.follower: Follower
        self.teller: Teller
        self.desk: TheDesk
        self.vigil: Vigil
        self.phones: phone.Phones
        self.sweeper: Sweeper

    @staticmethod
    def _load(config: Config, commands: Commands) -> dict[str, Step]:
        """What each job runs: a function of the site, or an entry of the allow-list."""
        from runbook.command import step
        from runbook.job import load

        allowed = config.commands
        return {
            job.name: load(job.run, config.site) if job.command is None else step(allowed[job.command], commands)
            for job in config.jobs
            if job.asks is None
        }

    def start(self, *, run: bool = True) -> None:
        """Take the lock, bring the tables up to date, compute the calendar, and begin. Raises what forbids it.

        `run=False` puts everything together without starting the engine: for one job by hand.
        """
        now = self.clock.now()
        self.lock.take(f"pid {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M:%S} UTC")
        try:
            self.store.migrate()
            self._calendar(now)
            with self.store.write() as books:
                books.desk.keep_config(self._config.hash, self._config.merged(), now)
            self._compose()
            if run:
                self._open_relay()
                if self.courier is not None:
                    self.courier.start()
                self.engine.start(holder_is_dead=True)  # we hold the lock: whoever is in the lease is gone
                if self._calendar_news is not None:  # good news too: it ends the alert of an earlier start
                    self.engine.post(self._calendar_news)
                self.reloader.in_force()
                self.almanac.calendar()
                self.follower.start()
                self.vigil.start()
                self.phones.start()
                self.sweeper.start()
                gc.collect()
                gc.freeze()  # what is loaded by now stays: full collections need not walk it (46 ms to 0)
                self.systemd.ready("started")
        except BaseException:
            self.lock.release()
            raise

    def stop(self) -> None:
        """Stop everything, in the reverse order; each part is stopped even when another fails to."""
        self.systemd.stopping()
        parts: list[tuple[str, Callable[[], object]]] = [
            ("sweeper", self.sweeper.stop),
            ("commands", self.commands.close),
            ("phone", self.phones.stop),
            ("vigil", self.vigil.stop),
            ("follower", self.follower.stop),
            ("feed", self.monitor.stop),
            ("engine", self.engine.stop),
            ("courier", lambda: self.courier.stop() if self.courier else None),
            ("relay", lambda: self._relay.stop() if self._relay else None),
            ("gateway", lambda: self._gateway.close() if self._gateway else None),
            ("database", self.store.close),
            ("pulse", doors.pulse_file(self._config).remove),
            ("lock", self.lock.release),
        ]
        for name, end in parts:
            try:
                end()
            except Exception:
                log.exception("stopping the %s failed; the rest is stopped", name)

    def _calendar(self, now: datetime) -> None:
        if self._hooks.calendar is not None:
            self._hooks.calendar(self.almanac)
            return
        from runbook.engine import CalendarNews

        try:
            for warning in self.almanac.refresh(now):
                log.info("calendar: %s", warning)
            self._calendar_news = CalendarNews(Why.START)
        except (CalendarError, ConfigError) as exc:
            try:
                self.almanac.calendar()
            except CalendarError:
                raise exc from None
            # A watch on yesterday's table is better than none; the alert says what is wrong with today's.
            self._calendar_news = CalendarNews(Why.START, str(exc), exc.hint or "")
            log.error("calendar: %s; the last good table is used%s", exc, f" ({exc.hint})" if exc.hint else "")

    def _compose(self) -> None:
        from runbook.adapters.recorder import Recorder, tidy_aside
        from runbook.desk import TheDesk, Tools
        from runbook.follow import homes
        from runbook.follower import Follower
        from runbook.monitor import FeedParts, Monitor

        config, clock, settings = self._config, self.clock, self._config.settings
        folder = config.database_path.parent
        self._gateway = doors.gateway(config, clock)
        ticks = doors.stream(config, clock, orders="orders" in settings.feed.follow)
        self._relay = relay = doors.relay(config, clock, lambda: self.monitor, ticks)
        policy = self._hooks.policy(site.policy_of(config))
        self.monitor = Monitor(
            FeedParts(
                clock, ticks, self._gateway, policy,
                lambda session: Recorder(folder / "ticks", session.date), self._post,
                settings.mode, self._hooks.say, self._quiet,
                lambda session: tidy_aside(folder / "ticks", session.date, self._config.settings.ticks.keep_sessions),
                publish=relay.publish if relay else lambda _prices: None,
                listened=lambda: relay is not None and bool(relay.clients),
                publish_status=relay.publish_status if relay else lambda _status: None,
            )
        )  # fmt: skip
        self.follower = Follower(
            clock, self.monitor.view, self.monitor.follow, homes(settings.symbols),
            doors.follow_sources(config, self._gateway, self.monitor.spent),
        )  # fmt: skip
        self.desk = TheDesk(
            Tools(
                clock, self._gateway, self.monitor, lambda: doors.stream(config, clock), settings.symbols, settings.mode,
                settings.mode.gateway, config.dashboard, lambda day: site.read_bot_trades(config, day),
                lambda day: site.recorded_ticks(folder, day), self._report, lambda report: answers.keep_report(folder, report),
                lambda: answers.open_alerts(self.store), self.almanac.calendar, self._gateway,
                back_up=lambda day: upkeep.back_up(self._config, self.store, day), held_back=lambda: answers.held_back(self.store, self.almanac.calendar(), clock.now()),
            )
        )  # fmt: skip
        self._compose_engine()
        self.vigil = self._vigil(policy)
        self.sweeper = Sweeper(lambda: self.engine.turned, self._last_word, self._all_told, self._end)

    def _compose_engine(self) -> None:
        """The engine and what goes with it: all that a reload makes anew."""
        from runbook.adapters.scheduler import AlarmClock
        from runbook.engine import EARLY, Beacon, Courier, Engine, Parts
        from runbook.teller import Teller, Voice

        config, clock = self._config, self.clock
        channels = tuple(config.secrets.channels)
        deeds = phone.deeds()
        notifier = doors.notifier(config, phone.buttons(self.store, deeds))
        self.teller = Teller(self.store, notifier, channels, clock, self._hooks.on_sent)
        self.phones = phone.phones(config, self.store, clock, deeds, self.almanac.calendar, self.teller.nudge)
        switch = doors.switch(config)
        self.courier = Courier(self.store, switch, clock) if switch is not None else None
        beacon = Beacon(
            self.systemd.alive, self.almanac.calendar, config.jobs, self.courier, pings=set(config.secrets.pings)
        )
        self.engine = Engine(
            Parts(
                clock, self.store, AlarmClock(clock, lambda: self.engine.wake(), EARLY), self.teller,
                Voice(channels, self.almanac.calendar().zone, config.dashboard, config.alert_policy), self.desk, config.jobs, self._steps, config.hash,
                f"{socket.gethostname()}:{os.getpid()}", os.getpid(), socket.gethostname(), self.almanac.calendar,
                self._state, self.desk.positions, config.settings.mode, self._hooks.on_run, self.almanac.due, self.almanac.refresh,
                asked=self.asked, keepers=(beacon,), asks=config.asks,
                commands=self.commands, allowed=tuple(config.commands.values()), remedies=config.remedies,
            )
        )  # fmt: skip

    # -- the end ----------------------------------------------------------------------------------------------------

    def _last_word(self, why: str) -> None:
        """A critical message into the outbox, from outside of an engine that turns no more."""
        now = self.clock.now()
        lines = (
            f"seen: {why}",
            "done: this process ends; systemd starts runbook again",
            "do: `runbook status` in a minute; see its log",
        )
        notice = Notice(f"swept@{self.engine.epoch}", "[CRIT] runbook hangs and is started again", lines)
        change = AlertChange(ChangeKind.NOTICE, now, notice, tell=True)
        voice = Voice(tuple(self._config.secrets.channels), self.almanac.calendar().zone, self._config.dashboard)
        with self.store.write() as books:
            books.alerts.enqueue(rows_for([change], voice, now, None, None), self.almanac.calendar().today(now))
        self.teller.nudge()

    def _all_told(self) -> bool:
        with self.store.read() as books:
            return not books.alerts.unsent()

    def _end(self, code: int) -> None:
        """Leave without waiting for anything that may hang; no child is left behind."""
        self.commands.kill()
        logging.shutdown()
        self._hooks.end(code)

    def _vigil(self, policy: Policy) -> Vigil:
        from runbook.vigil import Vigil, VigilParts

        config, watch = self._config, doors.bot_watch(self._config, self.clock)
        return Vigil(
            VigilParts(
                self.clock, self.monitor, policy, doors.pulse_file(config).write, watch.look if watch.declared else None,
                self.almanac.calendar, self.hand, config.settings.mode, config.settings.rest.max_per_hour,
                os.getpid(), str(self._hooks.log.resolve()) if self._hooks.log else None,
            )
        )  # fmt: skip

    def _open_relay(self) -> None:
        """Begin to serve the bot; a watch without its relay is better than none, and says so."""
        if self._relay is None:
            return
        try:
            self._relay.start()
        except RunbookError as exc:
            log.error("%s; runbook goes on without it%s", exc, f" ({exc.hint})" if exc.hint else "")
            self._relay = None
        else:
            log.info("the relay serves the bot at ws://%s:%d", self._relay.host, self._relay.port)

    # -- one engine after the other ----------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """What is in force."""
        return self._config

    def asked(self, request: Request) -> None:
        """A request that is not the engine's own; the engine hands it over with each turn until it is answered."""
        self.reloader.asked(request)
        self.driller.asked(request)

    def mind(self) -> None:
        """See to what is asked, in the thread that serves. Raises EngineGone when the daemon cannot go on."""
        self.reloader.mind()
        self.driller.mind()

    def hand(self, news: News) -> None:
        """Give the engine news; those that come between two engines wait for the next."""
        with self._gate:
            if self._held is None:
                self.engine.post(news)
            else:
                self._held.append(news)

    def change(self, config: Config) -> None:
        """Put `config` in force: another engine takes over from this one, and nothing of the feed is touched.

        Raises what forbids it, with the old configuration in force again; EngineGone when not even that can be started.
        """
        old = self._config, self._steps, self.commands
        commands = doors.commands(config)  # its words to hide may be others
        steps = self._load(config, commands)
        with self._gate:
            self._held = []
        try:
            self._stop_engine()
            try:
                self._config, self._steps, self.commands = config, steps, commands
                self._start_engine()
            except Exception:
                self._config, self._steps, self.commands = old
                try:
                    self._start_engine()
                except Exception as exc:
                    raise EngineGone(f"neither the new configuration nor the old one could be started: {exc}") from exc
                raise
        finally:
            with self._gate:
                for news in self._held or ():
                    self.engine.post(news)
                self._held = None

    def _stop_engine(self) -> None:
        self.phones.stop()
        self.engine.stop()
        if not self.engine.finished.wait(_HANDED_OVER):  # two that turn on one ledger would be worse than none
            raise EngineGone("the engine does not come to an end")
        if self.courier is not None:
            self.courier.stop()

    def _start_engine(self) -> None:
        with self.store.write() as books:
            books.desk.keep_config(self._config.hash, self._config.merged(), self.clock.now())
        self._compose_engine()
        if self.courier is not None:
            self.courier.start()
        self.engine.start(holder_is_dead=True, handed_over=True)
        self.phones.start()

    # -- what parts ask of each other ------------------------------------------------------------------------------

    def _post(self, news: FeedNews | FeedTotals | CauseNews) -> None:
        from runbook.engine import CauseNews, FeedNews

        if not isinstance(news, CauseNews):
            self.vigil.hear(news)
        if isinstance(news, FeedNews) and news.change.now == Mode.SUSPECT:
            # An alarm may follow within half a minute and is to name what is open; the feed's thread must not wait for it.
            threading.Thread(target=self._look_at_positions, name="positions", daemon=True).start()
        self.hand(news)

    def _look_at_positions(self) -> None:
        session = self.monitor.view().session
        if session is None:
            return
        try:
            self.desk.look_at_positions(session, Budget(_POSITIONS_WITHIN))
        except RunbookError as exc:
            log.warning("open positions: %s", exc)

    def _quiet(self, now: datetime, watched: Sequence[Instrument]) -> frozenset[Instrument]:
        return quieted(self.monitor.view().session, now, watched)

    def _state(self) -> Mapping[str, Any]:
        said: dict[str, Any] = {
            "feed": answers.feed(self.monitor.view()),
            "config": self._config.hash,
            "channels": list(self._config.secrets.channels),
        }
        if self._config.settings.feed.relay is not None:
            said["relay"] = {"clients": self._relay.clients} if self._relay else None  # None: it could not listen
        if self.courier is not None:
            said["watch"] = self.courier.stands()
        if (bot := self.vigil.judged) is not None:
            said["bot"] = {"health": str(bot.health), "reason": bot.reason, "action": bot.action}
        return said

    def _report(self, session: Session) -> Report:
        return answers.report(self._config, self.store, self.almanac.calendar(), session, self.clock.now())
