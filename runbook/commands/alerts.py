"""`alerts`, `ack`, `silence`, `silences`, `unsilence`: read and said in the ledger, with a live daemon or without one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook import app, people
from runbook.alerts_screen import alerts_json, render_alerts, render_silences, silences_json
from runbook.clock import SystemClock
from runbook.commands.ledger import actor, ledger

if TYPE_CHECKING:
    from runbook.adapters.store import Books

_BACK = timedelta(days=30)
_SILENCES = 100


def alerts(args: argparse.Namespace) -> int:
    """The open ones, or with --all those of the last 30 days; exit 1 while one is open."""
    config = app.load_config(args.site)
    now = SystemClock().now()
    with ledger(config) as store:
        zone = app.almanac(config, store).calendar().zone
        with store.read() as books:
            held = books.alerts.since(now - _BACK) if args.all else books.alerts.unresolved()
            rows = books.alerts.by_key([a.key for a in held])
    if args.json:
        print(json.dumps(alerts_json(held, rows, zone, now), indent=1))
    else:
        print(render_alerts(held, rows, zone, now, everything=args.all))
    return 1 if any(a.state == "open" for a in held) else 0


def silences(args: argparse.Namespace) -> int:
    """What is silenced now, or with --all what was."""
    config = app.load_config(args.site)
    now = SystemClock().now()
    with ledger(config) as store:
        zone = app.almanac(config, store).calendar().zone
        with store.read() as books:
            held = books.silences.newest(_SILENCES) if args.all else books.silences.holding(now)
    print(json.dumps(silences_json(held, zone, now), indent=1) if args.json else render_silences(held, zone, now))
    return 0


def ack(args: argparse.Namespace) -> int:
    return _say(args, lambda books, actor, now: people.ack(books, args.number, args.note, actor, now))


def silence(args: argparse.Namespace) -> int:
    return _say(
        args,
        lambda books, actor, now: people.silence(
            books, args.pattern, now + args.length, args.reason, actor, now, critical=args.critical
        ),
    )


def unsilence(args: argparse.Namespace) -> int:
    return _say(args, lambda books, actor, now: people.unsilence(books, args.number, actor, now))


def _say(args: argparse.Namespace, words: Callable[[Books, str, datetime], str]) -> int:
    config = app.load_config(args.site)
    with ledger(config) as store, store.write() as books:
        said = words(books, actor(), SystemClock().now())
    print(said)
    return 0
