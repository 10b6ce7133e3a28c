"""`serve`, `run`, `notify`, `rehearse`: what talks to the world."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook import app
from runbook.clock import SystemClock, host_monotonic
from runbook.commands.ledger import ANSWER_SECONDS, actor, answer_to, ledger
from runbook.config import Config
from runbook.errors import CalendarError, ConfigError, EngineGone, JobFailed, StoreError, UsageError
from runbook.fault import Fault, nearest
from runbook.job import JobSpec, Key, Verdict
from runbook.ports import Delivery, Message
from runbook.run import State
from runbook.session import SessionCalendar
from runbook.sweeper import EXIT_CODE

if TYPE_CHECKING:
    from runbook.adapters.store import Store

_RELOAD_SECONDS = 60.0  # it may wait for a step, and ask whether each channel can be understood
_NEWS_SECONDS = 30.0
_LAST_WORDS = 15.0  # for the outbox, when the process ends because something hangs
_DRILL = (30.0, 1800.0)  # seconds that a drill may last
_STOP_SECONDS = 4.0  # of the five that a stop may take


def ready(args: argparse.Namespace) -> Config:
    """The site's configuration with its secrets, and logging that hides them."""
    from runbook.logs import setup
    from runbook.redact import Redactor

    config = app.load_config(args.site)
    app.need_secrets(config)
    setup(logging.DEBUG if args.debug else logging.INFO, Redactor(config.secrets.values()), getattr(args, "log", None))
    for note in app.warnings(config):
        print(f"note: {note}", file=sys.stderr)
    return config


def serve(args: argparse.Namespace) -> int:
    """Run until told to stop; ends within five seconds, whatever the steps do."""
    config = ready(args)
    if faults := app.channel_faults(config):
        raise ConfigError(faults)
    stop, started, hung_up = threading.Event(), threading.Event(), threading.Event()

    def asked(_number: int, _frame: object) -> None:
        stop.set()
        if not started.is_set():
            raise KeyboardInterrupt  # out of the calendar's child, which may take a minute on a busy host

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    signal.signal(signal.SIGHUP, lambda *_: hung_up.set())
    log = logging.getLogger("runbook")
    daemon = app.Daemon(config, app.Hooks(log=args.log, on_config=lambda new: _hide(args, config, new)))
    try:
        daemon.start()
        started.set()
    except KeyboardInterrupt:
        log.info("stopped before it had started")
        return 0
    calendar = daemon.almanac.calendar()
    coming = calendar.next_session(SystemClock().now())
    log.info(
        "runbook serves %s, mode %s, pid %d, epoch %d",
        config.settings.exchange,
        config.settings.mode,
        os.getpid(),
        daemon.engine.epoch,
    )
    if coming is not None:
        log.info("next session %s %s", coming.date, coming.open.astimezone(calendar.zone).strftime("%H:%M %Z"))
    lost = _serve(daemon, stop, hung_up)
    log.info("stopping%s", f": {lost}" if lost else "")
    if lost and not daemon.engine.fenced:
        _finish_outbox(daemon, stop)
    guard = threading.Timer(_STOP_SECONDS, _leave, args=(daemon,))
    guard.daemon = True
    guard.start()
    daemon.stop()
    guard.cancel()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(EXIT_CODE if lost else 0)  # a hung step's thread must not hold the exit; everything is written by now


def _finish_outbox(daemon: app.Daemon, stop: threading.Event) -> None:
    """Give what was told time to go out, the reason for the end above all; what is left goes out with the next start."""
    until = host_monotonic() + _LAST_WORDS
    while host_monotonic() < until and not stop.wait(0.1):
        with contextlib.suppress(StoreError), daemon.store.read() as books:
            if not books.alerts.unsent():
                return


def _serve(daemon: app.Daemon, stop: threading.Event, hung_up: threading.Event) -> str | None:
    """Until told to stop; gives why it cannot go on, or None."""
    while not stop.wait(0.5):
        if daemon.engine.finished.is_set():
            return daemon.engine.lost
        if hung_up.is_set():
            hung_up.clear()
            daemon.reloader.hang_up()
        try:
            daemon.mind()
        except EngineGone as exc:
            return str(exc)
    return daemon.engine.lost


def _hide(args: argparse.Namespace, *configs: Config) -> None:
    """Log on, with the secrets of all of these hidden."""
    from runbook.logs import setup
    from runbook.redact import Redactor

    secrets = [secret for config in configs for secret in config.secrets.values()]
    setup(logging.DEBUG if args.debug else logging.INFO, Redactor(secrets), args.log)


def reload(args: argparse.Namespace) -> int:
    """Have the live daemon read config.yaml again; exit 0 in force, 1 refused, 3 no daemon."""
    config = app.load_config(
        args.site
    )  # a file that is wrong is refused here, with every fault, and the daemon not bothered
    app.need_secrets(config)
    if not app.locked(config):
        print("no daemon runs on this ledger; the next `runbook serve` reads the file", file=sys.stderr)
        return 3
    if (said := _have(config, "reload", {"now": args.now}, _RELOAD_SECONDS)) is None:
        print("the daemon has not answered yet; `runbook status` says which configuration is in force", file=sys.stderr)
        return 1
    print(said)
    return 1 if said.startswith("refused") else 0


def drill(args: argparse.Namespace) -> int:
    """Have the live daemon play a silence of its feed, up to the acknowledged alert; exit 0 begun, 1 refused, 3 no daemon."""
    config = app.load_config(args.site)
    if not app.locked(config):
        print("no daemon runs on this ledger: `runbook rehearse` plays a whole day without one", file=sys.stderr)
        return 3
    within = args.within.total_seconds()
    if not _DRILL[0] <= within <= _DRILL[1]:
        raise UsageError(f"--within {within:.0f}s: accepted are 30s to 30m, for example --within 5m")
    if (said := _have(config, "drill", {"within": within, "yes": args.yes})) is None:
        print("the daemon has not answered yet; its log says whether a drill has begun", file=sys.stderr)
        return 1
    print(said)
    return 1 if said.startswith("refused") else 0


def _have(config: Config, kind: str, data: dict[str, object], seconds: float = ANSWER_SECONDS) -> str | None:
    with ledger(config) as store:
        return answer_to(store, kind, data, actor(), seconds)


def _leave(daemon: app.Daemon) -> None:
    """End although the last words could not be written: the next start finds what is open, as after a power cut."""
    logging.getLogger("runbook").error(
        "the database is held by another process; what is open is put right at the next start"
    )
    daemon.commands.kill()
    logging.shutdown()
    os._exit(1)


def run(args: argparse.Namespace) -> int:
    """One job now: a live daemon's next pulse takes it, else it runs here."""
    config = ready(args)
    job = config.job(args.job)
    if job is None:
        names = [j.name for j in config.jobs]
        raise UsageError(f"no job {args.job!r}; accepted: {nearest(args.job, names)}{', '.join(names)}")
    if job.asks is not None:
        raise UsageError(
            f"{job.name} is done by a person", hint="`runbook asks` shows if it is open, `runbook answer` ends it"
        )
    store = app.open_store(config)
    try:
        from runbook.adapters.lock import DatabaseLock

        if DatabaseLock(config.database_path).held():
            return _ask_daemon(args, config, job)
        if job.resident:
            raise JobFailed(f"what {job.name} starts lives in the daemon", hint="start `runbook serve`")
        _refuse_early(args, config, job, store)
    finally:
        store.close()
    daemon = app.Daemon(config)
    daemon.start(run=False)
    try:
        calendar = daemon.almanac.calendar()
        key = _key(args, job, calendar, daemon.clock.now())
        _refuse_repeat(args, daemon.store, key)
        done = daemon.engine.run_here(key, actor(args.reason), again=True)
        _wait_for_news(daemon)
    finally:
        daemon.stop()
    print(f"{key}: {done.outcome}, {done.verdict}: {done.reason}")
    if done.hint:
        print(f"  -> {done.hint}")
    return 0 if done.outcome is State.SUCCEEDED and done.verdict is Verdict.OK else 1


def _refuse_early(args: argparse.Namespace, config: Config, job: JobSpec, store: Store) -> None:
    """Say at once what can be said without computing a calendar; a ledger that is not ready is the start's to mend."""
    if not store.exists:
        return
    try:
        store.check()
        calendar = app.almanac(config, store).calendar()
    except (StoreError, CalendarError):
        return
    _refuse_repeat(args, store, _key(args, job, calendar, SystemClock().now()))


def _refuse_repeat(args: argparse.Namespace, store: Store, key: Key) -> None:
    with store.read() as books:
        held = books.ledger.entry(key)
    if held is not None and held.state is State.SUCCEEDED and not args.again:
        raise JobFailed(f"{key} has succeeded already", hint="--again runs it once more")


def _wait_for_news(daemon: app.Daemon) -> None:
    """Give the outbox time to send what the job told; what is left goes out with the next start."""
    until = host_monotonic() + _NEWS_SECONDS
    pause = threading.Event()
    while host_monotonic() < until:
        with daemon.store.read() as books:
            if not books.alerts.unsent():
                return
        pause.wait(0.2)
    print("not all messages are delivered yet; they stay in the outbox", file=sys.stderr)


def _ask_daemon(args: argparse.Namespace, config: Config, job: JobSpec) -> int:
    with ledger(config) as store:
        calendar = app.almanac(config, store).calendar()
        key = _key(args, job, calendar, SystemClock().now())
        _refuse_repeat(args, store, key)
        print(f"asked the daemon to run {key}", flush=True)
        data = {"session": str(key.session), "job": key.job, "slot": key.slot, "reason": args.reason}
        said = answer_to(store, "run", data, actor(args.reason))
    if said is None:
        print("the daemon has not taken it yet; its next pulse will", file=sys.stderr)
        return 1
    print(said)
    return 0 if said.startswith("started") else 1


def _key(args: argparse.Namespace, job: JobSpec, calendar: SessionCalendar, now: datetime) -> Key:
    """Which occurrence is meant: the named one, else the latest whose time has come, else the first of the day."""
    from runbook.agenda import occurrences

    day: date = args.session or calendar.today(now)
    session = next(iter(calendar.sessions(day, day)), None)
    if session is None and args.session is None:
        session = calendar.session_at(now)
    if session is None:
        known = calendar.day(day)
        raise UsageError(f"{day} has no session: {known.status} ({known.reason})")
    rows = occurrences(job, session)
    if args.slot is not None:
        if args.slot not in {o.key.slot for o in rows}:
            raise UsageError(
                f"{job.name} has no slot {args.slot!r}; accepted: {', '.join(o.key.slot for o in rows[:8])}"
            )
        return Key(session.date, job.name, args.slot)
    begun = [o for o in rows if o.planned <= now]
    return (begun[-1] if begun else rows[0]).key


def notify(args: argparse.Namespace) -> int:
    """A numbered test message to each channel; says what became of each. Or: set a bot up."""
    if args.what == "setup":
        from runbook.commands.phone import setup

        return setup(args)
    config = ready(args)
    channels = list(config.secrets.channels)
    if not channels:
        fault = Fault(
            app.CONFIG,
            None,
            "notify",
            "no channel",
            "one or more Apprise URLs",
            "phone: tgram://${TELEGRAM_TOKEN}/${TELEGRAM_CHAT}",
        )
        raise ConfigError([fault])
    if args.channel is not None and args.channel not in channels:
        raise UsageError(f"no channel {args.channel!r}; accepted: {', '.join(channels)}")
    number = f"{SystemClock().now():%H%M%S}"
    message = Message(
        f"runbook test {number}",
        f"If you read this, this channel works.\nDesk: {config.settings.exchange}, mode {config.settings.mode}.",
    )
    notifier = app.notifier(config)
    results = []
    try:
        for name in [args.channel] if args.channel else channels:
            delivery, why = notifier.send(name, message, 25.0)
            results.append({"channel": name, "delivery": str(delivery), "reason": why})
            if not args.json:
                print(
                    f"  {name:<10} {delivery}{f': {why}' if why and delivery is not Delivery.SENT else ''}", flush=True
                )
    finally:
        notifier.close()
    if args.json:
        print(json.dumps({"number": number, "results": results}, indent=1))
    return 0 if all(r["delivery"] == Delivery.SENT for r in results) else 1


def rehearse(args: argparse.Namespace) -> int:
    """One short day on loopback; exit 1 names the expectation that failed."""
    from runbook.rehearsal import rehearse as play

    return play(args.scenario, seed=args.seed, speed=args.speed, keep=args.keep, debug=args.debug)
