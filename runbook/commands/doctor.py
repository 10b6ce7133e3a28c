"""`runbook doctor`: every hop, now. A live daemon's evidence is believed instead of opening a second stream."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from runbook import app, host
from runbook.bot import Judged
from runbook.budget import Budget
from runbook.clock import Clock, SystemClock
from runbook.commands.run import ready
from runbook.commands.support import texts
from runbook.config import Config
from runbook.doctor import Daemon, Line, StreamSeen, as_json, examine, render
from runbook.doctor.seen import Market
from runbook.doctor.walk import SECONDS, Orders, Tools, walk
from runbook.errors import CalendarError, RunbookError, StoreError, UsageError
from runbook.fault import Unfit
from runbook.feed.state import canaries
from runbook.feed.verdict import Health
from runbook.host import target
from runbook.market import Instrument, Tick
from runbook.pulse import Pulse, heard
from runbook.redact import Redactor, careful
from runbook.report.layout import clock as clock_words
from runbook.report.layout import plain
from runbook.session import ASSUMED, INDIA, DayStatus, PhaseName, SessionCalendar

_LISTEN = 4.0  # seconds between two pulses of a daemon that are held against each other
_PHASES = {
    PhaseName.PRE_OPEN: "pre-open", PhaseName.CLOSING_AUCTION: "closing auction", PhaseName.POST_CLOSE: "post-close",
    PhaseName.BREAK: "a break", PhaseName.SHUT: "shut",
}  # fmt: skip


def doctor(args: argparse.Namespace) -> int:
    """Walk all hops and say which is broken; exit 0 healthy, 1 not."""
    if args.bundle is not None:
        app.bundle_target(args.bundle)
    if args.host is not None:
        try:
            target(args.host)
        except Unfit as exc:
            raise UsageError(str(exc)) from exc
    config = ready(args)
    clock = SystemClock()
    site = _Site(config, clock)
    gateway = app.gateway(config, clock, read_timeout=5.0)
    watch = app.bot_watch(config, clock)
    tools = Tools(
        clock, lambda: (app.knock(config.settings.openalgo.url), app.knock(config.stream_url)), gateway,
        lambda: app.stream(config, clock, often=True), (lambda: None) if args.probe else site.told, lambda: gateway.ahead,
        watch.look if watch.declared else None, site.judged,
    )  # fmt: skip
    orders = Orders(
        config.settings.symbols, config.settings.mode.gateway, site.today, site.market,
        lambda now, names: canaries(names, site.quiet(now, names)),
    )  # fmt: skip
    try:
        seen = walk(tools, orders, site.daemon(), Budget(SECONDS))
    finally:
        gateway.close()
    found = examine(seen, clock.now())
    told = as_json(found) | {
        "at": clock.now().isoformat(),
        "url": config.settings.openalgo.url,
        "mode": str(config.settings.mode),
    }
    hosted = _host(config, args.host) if args.host is not None else None
    if hosted is not None:
        told["host"] = host.as_json(hosted)
    if args.json:
        print(json.dumps(told, indent=1))
    else:
        print(f"{config.settings.openalgo.url}, mode {config.settings.mode}, {seen.market.words}\n")
        print(render(found, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
        if hosted is not None:
            print("\n" + "\n".join(host.render(hosted)))
    if args.bundle is not None:
        pulse = site.pulse()
        named = pulse.told.get("log") if pulse else None
        log = args.log or (Path(str(named)) if named else None)
        app.write_bundle(args.bundle, texts(config, told, log), clock.now().astimezone())
        print(f"packed into {args.bundle}: look through it before you hand it on", file=sys.stderr)
    return 0 if found.verdict.healthy else 1


def _host(config: Config, where: str) -> host.HostSeen:
    """What the guide's first five steps look at by hand, read-only."""
    settings, asked = config.settings, app.host(where)
    redact = careful(Redactor(config.secrets.values()))
    url = settings.openalgo.url
    # behind nginx the page has a socket file, and only the stream's own port is seen
    ports = (443, 8765) if url.startswith("https:") else host.ports_of(url, config.stream_url)
    looks = [
        host.read(command, asked.run(command), ports, redact, settings.openalgo.unit)
        for command in host.commands(settings.openalgo.unit, settings.bot.unit)
    ]
    return host.HostSeen(where, tuple(looks))


class _Site:
    """What the site itself knows: ledger, lock, pulse and calendar. Read once, at the start."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._calendar: SessionCalendar | None = None
        self._daemon = self._read()
        now = clock.now()
        self.today = now.astimezone(self._calendar.zone if self._calendar else INDIA).date()

    def _read(self) -> Daemon:
        config, now = self._config, self._clock.now()
        locked = app.locked(config)
        pulse = self.pulse()
        age = pulse.age if pulse else None
        store = app.open_store(config, busy_seconds=5)
        try:
            if not store.exists:
                missing = StoreError(f"{config.database_path.name} is not there yet", hint="`runbook init` makes it")
                raise missing
            store.check()
            with store.read() as books:
                lease = books.desk.lease()
            almanac = app.almanac(config, store)
            try:
                self._calendar = almanac.calendar()
            except CalendarError as exc:
                return Daemon(str(exc), exc.hint or "", locked, pulse_age=age)
        except RunbookError as exc:
            return Daemon(str(exc), exc.hint or "", locked, pulse_age=age)
        finally:
            store.close()
        if lease is None:
            return Daemon(locked=locked, pulse_age=age)
        # the lease is the engine's sign of life, the pulse has a thread of its own: both must be alive
        beat = (now - lease.renewed).total_seconds()
        # a lease that was given back ends at the instant it was last renewed or later, never a whole term ahead of it
        return Daemon(
            "", "", locked, lease.pid, beat if age is None else max(age, beat), not locked and _kept(lease.renewed, lease.expires),
            lease.renewed, bool(locked and pulse and pulse.fresh and pulse.feed.get("running")),
        )  # fmt: skip

    def daemon(self) -> Daemon:
        return self._daemon

    def pulse(self) -> Pulse | None:
        return heard(app.pulse_file(self._config).read(), self._clock.now())

    # -- the calendar ---------------------------------------------------------------------------------------------------

    def quiet(self, now: datetime, names: Sequence[Instrument]) -> frozenset[Instrument]:
        """What of `names` may stand still although the exchange trades."""
        from runbook.almanac import quieted

        return quieted(self._calendar.session_at(now) if self._calendar else None, now, names)

    def market(self, now: datetime, names: Sequence[Instrument]) -> Market:
        """What is promised at `now` for `names`."""
        from runbook.almanac import ticks_due

        calendar = self._calendar
        if calendar is None:
            return Market(PhaseName.SHUT, due=False, words="no calendar is there to say what is due", known=False)
        day = calendar.day(calendar.today(now))
        session = calendar.session_at(now) if day.status is not DayStatus.UNKNOWN else calendar.assumed(day.date)
        phase = session.phase_at(now) if session else PhaseName.SHUT
        name = calendar.exchange
        if session is not None and phase.trading:
            until = clock_words(session.close, calendar.zone)
            if session.name == ASSUMED:
                return Market(
                    phase, due=False, words=f"the calendar does not know today: {plain(day.reason)}", known=False
                )
            if not ticks_due(session, now, names):
                return Market(phase, due=False, words="the cash market rests, and with it all that is watched")
            return Market(phase, due=True, words=f"{name} trades until {until}", opened=session.open)
        if day.status is DayStatus.UNKNOWN:
            return Market(phase, due=False, words=f"the calendar does not know today: {plain(day.reason)}", known=False)
        if day.status is DayStatus.CLOSED and phase is PhaseName.SHUT:
            return Market(phase, due=False, words=f"{name} is closed today ({plain(day.reason)})")
        return Market(phase, due=False, words=f"{name} is {_PHASES.get(phase, phase)}, no ticks are due")

    # -- the daemon's evidence ------------------------------------------------------------------------------------------

    def judged(self) -> Judged | None:
        """The daemon's word on the bot."""
        pulse = self.pulse()
        held = pulse.told.get("bot") if pulse and pulse.fresh and self._daemon.locked else None
        if not isinstance(held, dict) or held.get("health") not in list(Health):
            return None
        return Judged(Health(held["health"]), str(held.get("reason")), str(held.get("action") or ""))

    def told(self) -> StreamSeen | None:
        """What the daemon's own connection did within some seconds; None when it watches nothing, or has no link."""
        first = self.pulse()
        if (
            not self._daemon.watching
            or first is None
            or not first.fresh
            or not first.feed.get("running")
            or first.feed.get("link") in (None, "none")
        ):
            return None
        threading.Event().wait(_LISTEN)
        last = self.pulse()
        if last is None or not last.fresh:
            return None
        feed = last.feed
        lines = {name: _line(first.symbols.get(name, {}), held) for name, held in last.symbols.items()}
        live = feed.get("mode") == "LIVE"
        if live:  # it has judged the moves itself, over minutes
            lines = {name: _as_moves(line) for name, line in lines.items()}
        up = feed.get("link") == "up"
        return StreamSeen(
            "daemon", up, up, "", feed.get("subscribed") if up else None, tuple(feed.get("refused") or ()),
            max(0.1, (_at(last) - _at(first)).total_seconds()), lines, str(feed.get("fault") or ""), str(feed.get("hint") or ""),
            bool(feed.get("fault_refused")),
        )  # fmt: skip


def _at(pulse: Pulse) -> datetime:
    return datetime.fromisoformat(str(pulse.told["written"]))


def _kept(renewed: datetime, expires: datetime) -> bool:
    from runbook.engine.loop import LEASE

    return expires - renewed >= LEASE


def _line(before: object, now: object) -> Line:
    """The ticks of one symbol between two pulses."""
    a = before if isinstance(before, dict) else {}
    b = now if isinstance(now, dict) else {}
    ticks = max(0, int(b.get("ticks") or 0) - int(a.get("ticks") or 0))
    price, ltt = b.get("ws"), b.get("ltt")
    last = Tick(Instrument("", ""), float(price), ltt) if isinstance(price, int | float) and price > 0 else None
    ltt_moved = bool(ticks and ltt and a.get("ltt") and ltt > a["ltt"])
    moved = ticks if ltt_moved or (ticks and price != a.get("ws")) else 0
    return Line(ticks, moved, last, ltt_moved)


def _as_moves(line: Line) -> Line:
    return replace(line, moves=line.ticks)
