"""The composition root: the only importer of doors. What starts last stops first."""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.almanac import Almanac, Why, World, quieted
from runbook.clock import Clock, SystemClock
from runbook.config import Config, environment, parse
from runbook.day import DayFacts
from runbook.errors import CalendarError, ConfigError, FileFaults, RunbookError
from runbook.fault import Fault
from runbook.feed.policy import Policy
from runbook.market import Instrument
from runbook.ports import Notifier, TickStream
from runbook.session import Session, SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.botwatch import BotWatch
    from runbook.adapters.exchange import Refreshed
    from runbook.adapters.host import Host
    from runbook.adapters.openalgo import OpenAlgo
    from runbook.adapters.overlay import Overlay
    from runbook.adapters.pulsefile import PulseFile
    from runbook.adapters.recorder import RecordedTicks
    from runbook.adapters.relay import Relay
    from runbook.adapters.store import Store
    from runbook.bot_feed import BotFeed
    from runbook.desk import TheDesk
    from runbook.doctor import Knock
    from runbook.engine import CalendarNews, Engine, FeedNews, FeedTotals
    from runbook.follower import Follower, Sources
    from runbook.monitor import Keeper, Monitor
    from runbook.outbox import Row
    from runbook.recon import PriceRanges, TradeLog
    from runbook.report import Report
    from runbook.run import Run
    from runbook.teller import Teller
    from runbook.vigil import Vigil
    from runbook.yearlist import Listed

log = logging.getLogger(__name__)

CONFIG = "config.yaml"


# -- the site -----------------------------------------------------------------------------------------------------------


def load_config(site: Path, env: Mapping[str, str] | None = None) -> Config:
    """The site's configuration; raises ConfigError with every fault. Missing secrets are no fault yet."""
    from runbook.adapters.files import read_yaml

    file = site / CONFIG
    if not file.is_file():
        fault = Fault(str(file), None, "", "there is no config.yaml here", "a site folder", "runbook init my-site")
        raise ConfigError([fault], hint="`runbook init DIR` writes a site; `--site DIR` names one")
    env = environment() if env is None else env
    try:
        return parse(read_yaml(file, named=CONFIG), site, env)
    except FileFaults as exc:
        if exc.document is None:
            raise
        found = {fault.path: fault for fault in exc.faults}  # what could be read is looked at all the same
        try:
            parse(exc.document, site, env)
        except ConfigError as more:
            found = {fault.path: fault for fault in more.faults} | found
        raise ConfigError(sorted(found.values(), key=lambda fault: fault.line or 0)) from exc


def need_secrets(config: Config) -> None:
    """Refuse to go on without what the configuration asks the environment for."""
    if config.secrets.missing:
        raise ConfigError(config.secrets.missing)


def open_store(config: Config, *, busy_seconds: float | None = None) -> Store:
    from runbook.adapters.store import BUSY_SECONDS, Store

    return Store(config.database_path, busy_seconds=busy_seconds or BUSY_SECONDS)


def almanac(config: Config, store: Store) -> Almanac:
    """The almanac of this site; the library itself runs only in a child of `refresh`."""

    def folders() -> tuple[Path, Path]:
        from runbook.adapters.files import shipped_calendar

        return shipped_calendar(), config.site / "calendar"

    def compute(
        names: Sequence[str], first: date, last: date, horizon: date, said: Mapping[str, Any] | None
    ) -> Refreshed:
        from runbook.adapters.exchange import refresh

        return refresh(*folders(), names, first, last, horizon=horizon, said=said)

    def stamp() -> object:
        files = [file for folder in folders() for file in folder.glob("*.y*ml")]
        try:
            return sorted((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
        except OSError as exc:  # a file that went away between two looks has changed
            return str(exc)

    def current(said: Mapping[str, Any]) -> bool:
        from runbook.adapters.exchange import installed

        return installed(said.get("versions", {}))

    return Almanac(store, config.settings.exchange, World(compute, stamp, current))


def prepare(config: Config, now: datetime) -> tuple[str, ...]:
    """Tables and calendars as this version wants them; gives the calendar's warnings."""
    store = open_store(config)
    try:
        store.migrate()
        return almanac(config, store).refresh(now)
    finally:
        store.close()


def channel_faults(config: Config) -> list[Fault]:
    """Channels whose URL Apprise does not understand; the URL itself is not shown."""
    from runbook.adapters.notify import check_url

    found = []
    for name, url in config.secrets.channels.items():
        if why := check_url(url):
            found.append(
                Fault(CONFIG, None, f"notify.{name}", why, "an Apprise URL", "tgram://TOKEN/CHAT or mailto://...")
            )
    return found


def calendar_faults(site: Path) -> list[Fault]:
    """Everything wrong in the calendar files."""
    from runbook.adapters.exchange import read_timetables
    from runbook.adapters.files import shipped_calendar

    try:
        read_timetables(shipped_calendar(), site / "calendar")
    except ConfigError as exc:
        return list(exc.faults)
    return []


def overlay(config: Config, said: Mapping[str, Any] | None = None) -> Overlay:
    """The calendar folders of the site: read, drafted, and computed without being stored; `said` spares the child."""
    from runbook.adapters.overlay import Overlay

    return Overlay(config.site, said)


def calendar_files(config: Config) -> dict[str, str]:
    """A digest of each calendar file as it lies there now, to be held against what a table was computed from."""
    from runbook.adapters.exchange import digests
    from runbook.adapters.files import shipped_calendar

    return digests(shipped_calendar(), config.site / "calendar")


def year_list(file: Path) -> tuple[list[Listed], list[Fault]]:
    """The rows of a year's list, CSV or YAML, and the faults of all of them; raises ConfigError when it is neither."""
    from runbook.adapters.files import parse_yaml, read_text
    from runbook.yearlist import ROWS, read_csv, read_document

    text = read_text(file, str(file))
    if file.suffix in (".yaml", ".yml"):
        return read_document(parse_yaml(text, str(file), rows=ROWS))
    return read_csv(text, str(file))


# -- facts for the screens ----------------------------------------------------------------------------------------------


def day_facts(store: Store, calendar: SessionCalendar, day: date) -> DayFacts:
    """Everything the ledger knows of one day."""
    with store.read() as books:
        return DayFacts(
            calendar.day(day), tuple(books.ledger.session(day)), tuple(books.feed.changes(day)),
            tuple(books.feed.samples(day)), tuple(books.alerts.of_session(day)), tuple(books.alerts.messages(day)),
        )  # fmt: skip


# -- the gateway --------------------------------------------------------------------------------------------------------


def gateway(config: Config, clock: Clock, *, read_timeout: float = 8.0) -> OpenAlgo:
    from runbook.adapters.openalgo import OpenAlgo

    assert config.secrets.api_key is not None  # need_secrets was asked before
    return OpenAlgo(config.settings.openalgo.url, config.secrets.api_key, clock, read_timeout=read_timeout)


def stream(config: Config, clock: Clock, *, orders: bool = False, often: bool = False) -> TickStream:
    """A stream of its own; `often` pings so that a look of a few seconds can say whether pings are answered."""
    from runbook.adapters.ticks import OpenAlgoStream, Patience

    assert config.secrets.api_key is not None
    patience = Patience(connect=3.0, reply=6.0, ping_every=1.5, pong_within=2.0) if often else Patience()
    return OpenAlgoStream(config.stream_url, config.secrets.api_key, clock, patience, orders=orders)


def knock(url: str) -> Knock:
    """A bare TCP connection to the address, closed again."""
    from runbook.adapters.knock import knock

    return knock(url)


def bot_watch(config: Config, clock: Clock) -> BotWatch:
    """The eye on the bot; its `declared` says whether there is anything to look at."""
    from runbook.adapters.botwatch import BotWatch

    bot = config.settings.bot
    return BotWatch(clock, config.site, ticks=bot.ticks, heartbeat=bot.heartbeat, log=bot.log)


def pulse_file(config: Config) -> PulseFile:
    """The daemon's second-by-second word, beside the database."""
    from runbook.adapters.pulsefile import PulseFile

    return PulseFile(config.database_path)


def host(where: str) -> Host:
    """Commands on this host ("") or on another through ssh, of the allow-list only."""
    from runbook.adapters.host import Host

    return Host(where)


def bundle_target(file: Path) -> None:
    """Refuse a bundle that could not be written."""
    from runbook.adapters.bundle import free

    free(file)


def write_bundle(file: Path, texts: Mapping[str, str], now: datetime) -> None:
    from runbook.adapters.bundle import pack

    pack(file, texts, now)


def log_tail(file: Path, lines: int) -> str:
    from runbook.adapters.bundle import tail

    return tail(file, lines)


def locked(config: Config) -> bool:
    """True when some process holds the daemon's lock on this database now."""
    from runbook.adapters.lock import DatabaseLock

    return DatabaseLock(config.database_path).held()


def notifier(config: Config) -> Notifier:
    from runbook.adapters.notify import ChildNotifier

    return ChildNotifier(config.secrets.channels)


def warnings(config: Config) -> list[str]:
    """What an operator should hear loudly before anything starts."""
    from runbook.adapters.openalgo import plaintext_warning

    found = [plaintext_warning(config.settings.openalgo.url), plaintext_warning(config.stream_url)]
    return [*dict.fromkeys(text for text in found if text), *config.notes]


# -- the daemon ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may listen to or replace; a rehearsal does, `serve` does not."""

    clock: Clock = field(default_factory=SystemClock)
    policy: Callable[[Policy], Policy] = lambda policy: policy
    say: Callable[[str], None] = logging.getLogger("runbook.feed").info
    on_run: Callable[[Run], None] = lambda _run: None
    on_sent: Callable[[Row], None] = lambda _row: None
    calendar: Callable[[Almanac], None] | None = None  # fills the session table instead of the library
    log: Path | None = None  # the file this process logs to, so that others can name it


class Daemon:
    """Scheduler, feed and ledger of one site. `start` and `stop` mirror each other; stopping never stops half-way."""

    def __init__(self, config: Config, hooks: Hooks | None = None) -> None:
        from runbook.adapters.lock import DatabaseLock
        from runbook.job import load

        need_secrets(config)
        self._config = config
        self._hooks = hooks or Hooks()
        self.clock = self._hooks.clock
        self.lock = DatabaseLock(config.database_path)
        self.store = open_store(config)
        self.almanac = almanac(config, self.store)
        self._steps = {job.name: load(job.run, config.site) for job in config.jobs}
        self._gateway: OpenAlgo | None = None
        self._relay: Relay | None = None
        self._calendar_news: CalendarNews | None = None
        self.engine: Engine
        self.monitor: Monitor
        self.follower: Follower
        self.teller: Teller
        self.desk: TheDesk
        self.vigil: Vigil

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
                self.engine.start(holder_is_dead=True)  # we hold the lock: whoever is in the lease is gone
                if self._calendar_news is not None:  # good news too: it ends the alert of an earlier start
                    self.engine.post(self._calendar_news)
                self.almanac.calendar()
                self.follower.start()
                self.vigil.start()
                gc.collect()
                gc.freeze()  # what is loaded by now stays: full collections need not walk it (46 ms to 0)
        except BaseException:
            self.lock.release()
            raise

    def stop(self) -> None:
        """Stop everything, in the reverse order; each part is stopped even when another fails to."""
        parts: list[tuple[str, Callable[[], object]]] = [
            ("vigil", self.vigil.stop),
            ("follower", self.follower.stop),
            ("feed", self.monitor.stop),
            ("engine", self.engine.stop),
            ("relay", lambda: self._relay.stop() if self._relay else None),
            ("gateway", lambda: self._gateway.close() if self._gateway else None),
            ("database", self.store.close),
            ("pulse", pulse_file(self._config).remove),
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
        from runbook.adapters.scheduler import AlarmClock
        from runbook.desk import TheDesk, Tools
        from runbook.engine import Engine, Parts
        from runbook.follow import homes
        from runbook.follower import Follower
        from runbook.monitor import FeedParts, Monitor
        from runbook.teller import Teller, Voice

        config, clock, settings = self._config, self.clock, self._config.settings
        folder = config.database_path.parent
        self._gateway = gateway(config, clock)
        ticks = stream(config, clock, orders="orders" in settings.feed.follow)
        self._relay = relay = self._make_relay(ticks)
        calendar = self.almanac.calendar()
        channels = tuple(config.secrets.channels)
        self.teller = Teller(self.store, notifier(config), channels, clock, self._hooks.on_sent)
        policy = self._hooks.policy(policy_of(config))
        self.monitor = Monitor(
            FeedParts(
                clock, ticks, self._gateway, policy,
                lambda session: Recorder(folder / "ticks", session.date), self._post,
                settings.mode, self._hooks.say, self._quiet,
                lambda session: tidy_aside(folder / "ticks", session.date, settings.ticks.keep_sessions),
                publish=relay.publish if relay else lambda _prices: None,
                publish_status=relay.publish_status if relay else lambda _status: None,
            )
        )  # fmt: skip
        self.follower = Follower(
            clock, self.monitor.view, self.monitor.follow, homes(settings.symbols),
            follow_sources(config, self._gateway, self.monitor.spent),
        )  # fmt: skip
        self.desk = TheDesk(
            Tools(
                clock, self._gateway, self.monitor, lambda: stream(config, clock), settings.symbols, settings.mode,
                settings.mode.gateway, config.dashboard, lambda day: read_bot_trades(config, day),
                lambda day: recorded_ticks(folder, day), self._report, self._keep_report, self._open_alerts, self.almanac.calendar, self._gateway,
            )
        )  # fmt: skip
        self.engine = Engine(
            Parts(
                clock, self.store, AlarmClock(clock, lambda: self.engine.wake()), self.teller,
                Voice(channels, calendar.zone, config.dashboard), self.desk, config.jobs, self._steps, config.hash,
                f"{socket.gethostname()}:{os.getpid()}", os.getpid(), socket.gethostname(), self.almanac.calendar,
                self._state, self.desk.positions, settings.mode, self._hooks.on_run, self.almanac.due, self.almanac.refresh,
            )
        )  # fmt: skip

        self.vigil = self._vigil(policy)

    def _vigil(self, policy: Policy) -> Vigil:
        from runbook.vigil import Vigil, VigilParts

        config, watch = self._config, bot_watch(self._config, self.clock)
        return Vigil(
            VigilParts(
                self.clock, self.monitor, policy, pulse_file(config).write, watch.look if watch.declared else None,
                self.almanac.calendar, self.engine.post, config.settings.mode, config.settings.rest.max_per_hour,
                os.getpid(), str(self._hooks.log.resolve()) if self._hooks.log else None,
            )
        )  # fmt: skip

    # -- the relay ---------------------------------------------------------------------------------------------------

    def _make_relay(self, ticks: TickStream) -> Relay | None:
        """The relay for the bot, where one is configured; it does not listen yet."""
        from runbook.adapters.relay import Relay
        from runbook.monitor import MOST_WATCHED

        address, key = self._config.settings.feed.relay, self._config.secrets.api_key
        if address is None or key is None:
            return None
        return Relay(
            address, key, self.clock, lambda: self.monitor.view().state,
            wanted=lambda new: self.monitor.follow(new, "a client of the relay asks for it"),
            on_clients=lambda count: ticks.hurry(count > 0), most_symbols=MOST_WATCHED,
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

    # -- what parts ask of each other ------------------------------------------------------------------------------

    def _post(self, news: FeedNews | FeedTotals) -> None:
        self.vigil.hear(news)
        self.engine.post(news)

    def _quiet(self, now: datetime, watched: Sequence[Instrument]) -> frozenset[Instrument]:
        return quieted(self.monitor.view().session, now, watched)

    def _state(self) -> Mapping[str, Any]:
        from runbook.feed.view import view

        watching = self.monitor.view()
        feed: dict[str, Any] = {"running": watching.running, "mode": str(watching.mode)}
        if watching.state is not None:
            seen = view(watching.state, watching.at)
            feed |= {
                "source": str(seen.source) if seen.source else None, "mode_for": round(seen.mode_for, 1),
                "link": str(seen.link), "subscribed": watching.state.link.subscribed_at is not None,
                "fault": seen.link_fault.reason if seen.link_fault else None,
                "symbols": {
                    v.instrument.symbol: {"ws": v.ws_ltp, "ws_age": v.ws_age and round(v.ws_age, 1), "rest": v.rest_ltp,
                                          "rest_age": v.rest_age and round(v.rest_age, 1)}
                    for v in seen.instruments
                },
            }  # fmt: skip
        said: dict[str, Any] = {
            "feed": feed,
            "config": self._config.hash,
            "channels": list(self._config.secrets.channels),
        }
        if self._config.settings.feed.relay is not None:
            said["relay"] = {"clients": self._relay.clients} if self._relay else None  # None: it could not listen
        if (bot := self.vigil.judged) is not None:
            said["bot"] = {"health": str(bot.health), "reason": bot.reason, "action": bot.action}
        return said

    def _report(self, session: Session) -> Report:
        from runbook.report import build

        calendar = self.almanac.calendar()
        facts = day_facts(self.store, calendar, session.date)
        return build(
            facts, calendar, self.clock.now(), self._config.jobs, self._config.settings.mode, self._config.hash
        )

    def _keep_report(self, report: Report) -> str:
        from runbook.report import render_markdown, to_json

        folder = self._config.database_path.parent / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".md", render_markdown(report)), (".json", json.dumps(to_json(report), indent=1) + "\n")):
            target = folder / f"{report.date}{suffix}"
            draft = target.with_suffix(suffix + ".new")
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)  # a reader sees the old report or the new one, never half of one
        return f"reports/{report.date}.md"

    def _open_alerts(self) -> list[str]:
        with self.store.read() as books:
            held = books.alerts.unresolved()
        # READY is said because the broker is verified; that alert ends with the same run.
        return [alert.title for alert in held if alert.rule != "broker.not_verified"]


# -- the feed in a bot's own process ------------------------------------------------------------------------------------


def open_feed(
    *,
    url: str,
    api_key: str,
    symbols: Sequence[str],
    exchange: str = "NFO",
    stream_url: str | None = None,
    calendar: SessionCalendar | None = None,
    site: Path | str | None = None,
    record: Path | str | None = None,
    policy: Policy | None = None,
    clock: Clock | None = None,
) -> BotFeed:
    """The feed in the bot's own process, to be used in a `with`: no daemon, no ledger, and no file unless `record` names a folder.

    `symbols` are written as in config.yaml, `exchange` names the timetable. Without a `calendar` it is computed from the
    files that ship with runbook, and those in calendar/ of `site`, as the command line does: two or three seconds, in a
    child process.
    Raises UsageError for what cannot be meant, CalendarError or ConfigError when no calendar can be had.
    """
    from runbook.adapters.openalgo import OpenAlgo
    from runbook.adapters.ticks import OpenAlgoStream
    from runbook.bot_feed import BotFeed, BotParts
    from runbook.config import derived_stream
    from runbook.errors import UsageError
    from runbook.fault import Unfit
    from runbook.monitor import FeedParts, Monitor, NoKeeper
    from runbook.symbols import parse_symbol

    if not api_key.strip():
        raise UsageError("the API key is empty", hint="copy it from OpenAlgo's API Key page")
    if isinstance(symbols, str) or not symbols:
        raise UsageError("no list of symbols", hint='give one, such as ["NIFTY", "NIFTY:fut"]')
    try:
        parsed = tuple(dict.fromkeys(parse_symbol(symbol) for symbol in symbols))
    except Unfit as exc:
        raise UsageError(str(exc)) from exc
    clock = clock or SystemClock()
    gateway = OpenAlgo(url, api_key, clock)
    ticks = OpenAlgoStream(stream_url or derived_stream(url), api_key, clock)
    ticks.hurry(True)  # a bot is waiting
    if calendar is None:
        calendar = _calendar(exchange, None if site is None else Path(site), clock.now())

    def keeper(session: Session) -> Keeper:
        from runbook.adapters.recorder import Recorder

        return NoKeeper() if record is None else Recorder(Path(record), session.date)

    def monitor(feed: BotFeed) -> Monitor:
        return Monitor(
            FeedParts(
                clock, ticks, gateway, policy or replace(Policy(), bot_served=True), keeper, lambda _news: None, "bot",
                quiet=lambda now, watched: quieted(calendar.session_at(now), now, watched), publish=feed.hand_on, publish_status=feed.stands,
            )
        )  # fmt: skip

    return BotFeed(BotParts(clock, gateway, parsed, calendar, monitor, gateway.close))


def _calendar(exchange: str, site: Path | None, now: datetime) -> SessionCalendar:
    """The calendar of `exchange`, of this year and the next."""
    from runbook.adapters.exchange import refresh
    from runbook.adapters.files import shipped_calendar

    own = None if site is None else site / "calendar"
    first, last, horizon = date(now.year - 1, 12, 1), date(now.year + 1, 12, 31), date(now.year, 12, 31)
    return refresh(shipped_calendar(), own, (exchange,), first, last, horizon=horizon).calendars[exchange]


def policy_of(config: Config) -> Policy:
    """The feed's figures as the site wants them."""
    feed = config.settings.feed
    return replace(
        Policy(), detect=feed.detect, warn_after=feed.warn_after.total_seconds(), fallback_after=feed.fallback_after.total_seconds(),
        poll_every=feed.poll_every.total_seconds(), bot_served=feed.bot_served or feed.relay is not None,
        rest_max_per_hour=config.settings.rest.max_per_hour,
    )  # fmt: skip


def read_bot_trades(config: Config, day: date) -> TradeLog | None:
    """The bot's own log of `day`; None when none is declared."""
    from runbook.adapters.tradelog import read_trades

    trades = config.settings.bot.trades
    if trades is None:
        return None
    return read_trades(
        trades.files, day, format=trades.format, fields=trades.fields, zone=trades.zone, trust={"time": trades.trust["time"]} if "time" in trades.trust else None,
        root=config.site,
    )  # fmt: skip


def follow_sources(config: Config, openalgo: OpenAlgo, spent: Callable[[], None]) -> Sources:
    """What of the bot is followed, as `feed.follow` and `bot:` say."""
    from runbook.adapters.botfiles import bot_log, traded
    from runbook.follower import Sources

    bot, wanted = config.settings.bot, config.settings.feed.follow
    made = Sources()
    if "orders" in wanted:
        made = replace(made, orders=lambda budget: openalgo.orders(budget)[1], spent=spent)
    if "bot" in wanted and bot.log is not None:
        tail = bot_log(bot.log, config.site)
        made = replace(made, lines=tail.lines, skip=tail.skip, fault=lambda: tail.fault, close=tail.close)
    if "bot" in wanted and bot.trades is not None:
        made = replace(made, trades=traded(bot.trades.files, config.site, lambda day: read_bot_trades(config, day)))
    return made


def recorded_sessions(config: Config) -> list[date]:
    """The sessions whose ticks are kept, the oldest first."""
    from runbook.adapters.recorder import recorded_days

    return recorded_days(config.database_path.parent / "ticks")


def open_record(config: Config, day: date) -> RecordedTicks | None:
    """The ticks of a session; None when there are none. Raises StoreError for a file that cannot be read."""
    from runbook.adapters.recorder import RecordedTicks

    return RecordedTicks.open(config.database_path.parent / "ticks", day)


def recorded_ticks(folder: Path, day: date) -> PriceRanges | None:
    """The ticks that were recorded on `day`; None when there are none."""
    from runbook.adapters.recorder import RecordedTicks

    try:
        return RecordedTicks.open(folder / "ticks", day)
    except RunbookError as exc:
        log.error("recorded ticks of %s: %s", day, exc)
        return None
