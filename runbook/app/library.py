"""The feed without daemon and ledger, for a bot's own process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.almanac import quieted
from runbook.clock import Clock, SystemClock
from runbook.feed.policy import Policy
from runbook.session import Session, SessionCalendar

if TYPE_CHECKING:
    from runbook.bot_feed import BotFeed
    from runbook.monitor import Keeper, Monitor

log = logging.getLogger(__name__)


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
