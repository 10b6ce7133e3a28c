"""`asks`, `answer`, `recheck`, `pause`, `resume`, `skip`: what people are asked and say. All but `recheck` need no daemon."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence

from runbook import app, people
from runbook.ask import Ask
from runbook.clock import SystemClock, host_monotonic
from runbook.commands.ledger import actor, ledger
from runbook.errors import UsageError
from runbook.fault import nearest
from runbook.pause import ALL
from runbook.people.asks import request_check
from runbook.report.asked import ask_json, ask_lines

_BROKER = "verify_broker"
_NEWEST = 50  # of asks that `--all` shows
_PATIENCE = 45.0  # real seconds for a check to be taken and to end


def asks(args: argparse.Namespace) -> int:
    """What is open, or with --all the newest."""
    config = app.load_config(args.site)
    with ledger(config) as store:
        zone = app.almanac(config, store).calendar().zone
        with store.read() as books:
            found: Sequence[Ask] = books.asks.newest(_NEWEST) if args.all else books.asks.waiting()
    now = SystemClock().now()
    held = [ask.as_of(now) for ask in found]
    if args.json:
        print(json.dumps([ask_json(ask, zone) for ask in held], indent=1))
    elif not held:
        print("nothing was ever asked" if args.all else "nothing waits for an answer")
    else:
        print("\n\n".join("\n".join(ask_lines(ask, zone)) for ask in held))
    return 0


def answer(args: argparse.Namespace) -> int:
    """One answer."""
    config = app.load_config(args.site)
    with ledger(config) as store, store.write() as books:
        said = people.answer(books, args.number, args.choice, args.note, actor(), SystemClock().now())
    print(said)
    return 0


def recheck(args: argparse.Namespace) -> int:
    """Ask the live daemon, wait for the verdict; 0 when the broker is verified, 1 when not."""
    config = app.load_config(args.site)
    with ledger(config) as store:
        asked_at = SystemClock().now()
        with store.write() as books:
            number, key = request_check(books, _BROKER, actor(), asked_at)
        print(f"asked the daemon to run {key} (request {number})", file=sys.stderr)
        until, pause = host_monotonic() + _PATIENCE, threading.Event()
        while host_monotonic() < until:
            with store.read() as books:
                request, entry = books.desk.request(number), books.ledger.entry(key)
            if request is not None and request.answer is not None and not request.answer.startswith("started"):
                raise UsageError(f"the daemon says: {request.answer}", hint="`runbook status` shows what runs")
            last = entry.last if entry is not None else None
            if last is not None and last.started >= asked_at and last.ended is not None:
                print(f"{key}: {last.verdict or last.outcome}: {last.reason}")
                if last.hint:
                    print(f"  -> {last.hint}")
                return 0 if last.verdict == "ok" else 1
            pause.wait(0.2)
    print("the daemon has not said yet; `runbook status` will show it", file=sys.stderr)
    return 1


def pause(args: argparse.Namespace) -> int:
    """Hold a step back."""
    config = app.load_config(args.site)
    names = [job.name for job in config.jobs]
    _named(args.step, [*names, ALL])
    now = SystemClock().now()
    with ledger(config) as store:
        zone = app.almanac(config, store).calendar().zone
        until = people.parse_until(args.until, now, zone) if args.until is not None else None
        with store.write() as books:
            print(people.pause(books, args.step, until, args.reason, actor(), now, known=names))
    return 0


def resume(args: argparse.Namespace) -> int:
    """End a pause."""
    config = app.load_config(args.site)
    with ledger(config) as store, store.write() as books:
        print(people.resume(books, args.step, actor(), SystemClock().now()))
    return 0


def skip(args: argparse.Namespace) -> int:
    """Skip a step once."""
    config = app.load_config(args.site)
    names = [job.name for job in config.jobs]
    _named(args.step, [*names, ALL])
    with ledger(config) as store, store.write() as books:
        print(people.skip(books, args.step, args.session, args.reason, actor(), SystemClock().now(), known=names))
    return 0


def _named(step: str, names: Sequence[str]) -> None:
    if step not in names:
        raise UsageError(f"no step {step!r}; accepted: {nearest(step, names)}{', '.join(names)}")
