"""`runbook watch`: a second process that reads the daemon's heartbeat in the ledger and tells when there is none.

It holds no code of the daemon, so that what ends that need not end this. It dies with the host: only an outside notices that.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from runbook import app
from runbook.absence import STALE, Incident, Look, Seen, alive, look
from runbook.clock import SystemClock
from runbook.config import Config
from runbook.errors import CalendarError, ConfigError, RunbookError, UsageError
from runbook.fault import Fault
from runbook.ports import Delivery, Message

_EVERY = 30.0  # seconds between two looks: a third of what counts as silence
_SEND = 25.0
_WELL, _UNSENT, _ABSENT = 0, 1, 3


def watch(args: argparse.Namespace) -> int:
    """One look (`--once`), or one each half minute; exit 0 there or not due, 1 nobody could be told, 3 absent."""
    from runbook.logs import setup
    from runbook.redact import Redactor

    config = app.load_config(args.site)
    channels = _channels(config)
    setup("INFO", Redactor(config.secrets.values()))
    if args.once:
        code, said = _once(config, channels)
        print(said)
        return code
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    last = ""
    while not stop.is_set():
        _, said = _once(config, channels)
        if said != last:
            print(said, flush=True)
            last = said
        stop.wait(_EVERY)
    return _WELL


def _channels(config: Config) -> list[str]:
    wanted = config.settings.watch.to
    missing = {f.path.split(".")[1] for f in config.secrets.missing if f.path.startswith("notify.")}
    names = list(config.settings.notify) if wanted is None else list(wanted)
    if lost := [f for f in config.secrets.missing if f.path.startswith("notify.")]:
        if not set(names) - missing:
            raise ConfigError(lost)
        print(f"note: without {', '.join(sorted(missing))}: its secret is missing", file=sys.stderr)
    if not names:
        accepted, example = "one or more Apprise URLs", "phone: tgram://${TELEGRAM_TOKEN}/${TELEGRAM_CHAT}"
        raise ConfigError([Fault(app.CONFIG, None, "notify", "no channel, so nobody could be told", accepted, example)])
    return [name for name in names if name not in missing]


def _once(config: Config, channels: list[str]) -> tuple[int, str]:
    """(exit code, what is so in a line); sends what is due, and keeps that it was sent."""
    now, file = SystemClock().now(), app.watch_file(config)
    seen = _see(config)
    held = Incident.load(file.read())
    found = look(seen, held, now)
    kept, code, said = found.incident, _WELL, _words(seen, found)
    if found.incident is not None:
        code = _ABSENT
    if found.message is not None:
        took, why = _send(config, channels, found.message)
        if took:
            kept = found.sent
            said += "; told"
        else:
            kept, code = found.incident or held, _UNSENT  # tried again with the next look
            said += f"; nobody could be told: {why}"
    if kept is None:
        file.remove()
    elif kept != held:
        file.write(kept.dump())
    return code, said


def _words(seen: Seen, found: Look) -> str:
    if found.incident is not None:
        return f"absent: {found.incident.why}"
    now = SystemClock().now()
    if alive(seen, now) and seen.lease is not None:
        return f"there: pid {seen.lease.pid} on {seen.lease.host}, its heartbeat is less than {STALE.seconds} s old"
    return "not there, and no session is near"


def _see(config: Config) -> Seen:
    store = app.open_store(config, busy_seconds=5)
    try:
        if not store.exists:
            return Seen(None)
        store.check()
        with store.read() as books:
            lease = books.desk.lease()
        locked = app.locked(config)
        try:
            return Seen(lease, locked, app.almanac(config, store).calendar())
        except CalendarError:
            return Seen(lease, locked)
    except UsageError:
        raise
    except RunbookError as exc:
        return Seen(None, fault=str(exc))
    finally:
        store.close()


def _send(config: Config, channels: list[str], message: Message) -> tuple[bool, str]:
    """(whether a channel took it or may have, why one did not)."""
    notifier = app.notifier(config)
    took, reasons = False, []
    try:
        for name in channels:
            delivery, why = notifier.send(name, message, _SEND)
            took = took or delivery in (Delivery.SENT, Delivery.UNKNOWN)
            if delivery is not Delivery.SENT:
                reasons.append(f"{name}: {why or delivery}")
    finally:
        notifier.close()
    return took, "; ".join(reasons)
