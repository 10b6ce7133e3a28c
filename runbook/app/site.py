"""What a site holds: its configuration, ledger, calendar and files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.alert import Severity
from runbook.almanac import Almanac, World
from runbook.config import Config, environment, parse
from runbook.day import DayFacts
from runbook.errors import ConfigError, FileFaults, RunbookError
from runbook.fault import Fault
from runbook.feed.policy import Policy
from runbook.session import SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.exchange import Refreshed
    from runbook.adapters.overlay import Overlay
    from runbook.adapters.recorder import RecordedTicks
    from runbook.adapters.store import Books, Store
    from runbook.config.form import Feed
    from runbook.pause import Pause
    from runbook.recon import PriceRanges, TradeLog
    from runbook.status import StatusFacts
    from runbook.yearlist import Listed

log = logging.getLogger(__name__)

CONFIG = "config.yaml"
_NOBODY_THERE = 2.0  # seconds to stay away from the socket


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
    """Channels whose URL Apprise does not understand; the URL itself is not shown. A bot's token was looked at before."""
    from runbook.adapters.notify import check_url

    found = []
    for name, url in config.secrets.channels.items():
        if config.settings.notify[name].telegram is None and (why := check_url(url)):
            found.append(
                Fault(CONFIG, None, f"notify.{name}", why, "an Apprise URL", "tgram://TOKEN/CHAT or mailto://...")
            )
    return found


def command_faults(config: Config) -> tuple[list[Fault], list[str]]:
    """Units of `commands:` that do not exist here or over there, and notes where that could not be asked."""
    from runbook.app.doors import commands
    from runbook.command import preflight

    if not config.commands:
        return [], []
    door, faults, notes = commands(config), [], []
    for name, spec in config.commands.items():
        seen = preflight(spec, door)
        if seen.present is False:
            example = f"systemctl list-units '*{spec.unit}*'"
            faults.append(
                Fault(CONFIG, None, f"commands.{name}", seen.said, "a unit that systemd knows there", example)
            )
        elif seen.present is None:
            notes.append(f"commands.{name}: {seen.said}")
    return faults, notes


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


def day_facts(store: Store, calendar: SessionCalendar, day: date) -> DayFacts:
    """Everything the ledger knows of one day."""
    with store.read() as books:
        return DayFacts(
            calendar.day(day), tuple(books.ledger.session(day)), tuple(books.feed.changes(day)),
            tuple(books.feed.samples(day)), tuple(books.alerts.of_session(day)), tuple(books.alerts.messages(day)),
            tuple(books.repeats.tallies(day)), tuple(books.asks.of_session(day)), _pauses(books, calendar, day),
            tuple(books.actions.of_session(day)),
        )  # fmt: skip


def status_facts(config: Config, store: Store, calendar: SessionCalendar, now: datetime) -> StatusFacts:
    """All that a status is made of: of today, or of the newest session where today has none."""
    from runbook.status import StatusFacts

    with store.read() as books:
        lease, alerts, unsent = books.desk.lease(), books.alerts.unresolved(), books.alerts.unsent()
        known = books.ledger.sessions(1)
        asks = [ask for ask in books.asks.waiting() if ask.as_of(now).open]
        pauses = books.pauses.held(now)
    shown = calendar.today(now)
    if calendar.day(shown).session is None and known and (newest := calendar.session_at(now)) is not None:
        shown = newest.date
    return StatusFacts(
        now, calendar, day_facts(store, calendar, shown), lease, tuple(alerts), unsent, config.notes,
        mode=config.settings.mode, asks=tuple(asks), pauses=tuple(pauses),
        critical=frozenset(job.name for job in config.jobs if job.severity is Severity.CRITICAL),
    )  # fmt: skip


def _pauses(books: Books, calendar: SessionCalendar, day: date) -> tuple[Pause, ...]:
    """What was held back on a calendar day of the exchange."""
    start = datetime.combine(day, time(), calendar.zone)
    return tuple(books.pauses.between(start, start + timedelta(days=1)))


def warnings(config: Config) -> list[str]:
    """What an operator should hear loudly before anything starts."""
    from runbook.adapters.openalgo import plaintext_warning

    found = [plaintext_warning(config.settings.openalgo.url), plaintext_warning(config.stream_url)]
    return [*dict.fromkeys(text for text in found if text), *config.notes]


def policy_of(config: Config) -> Policy:
    """The feed's figures as the site wants them."""
    feed = config.settings.feed
    return replace(
        Policy(), detect=feed.detect, warn_after=feed.warn_after.total_seconds(), fallback_after=feed.fallback_after.total_seconds(),
        poll_every=feed.poll_every.total_seconds(), bot_served=feed.bot_served or feed.relay is not None,
        stay_away=_stay_away(feed),
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


def _stay_away(feed: Feed) -> float:
    """A bot that has its prices from the relay makes no connection of its own that we could be in the way of."""
    if feed.stay_away is not None:
        return feed.stay_away.total_seconds()
    return _NOBODY_THERE if feed.relay is not None else Policy().stay_away
