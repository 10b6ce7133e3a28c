"""`remedy`: what may be done about an alert, whether it may be done now and why not, and one run of it by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbook import app
from runbook.clock import SystemClock
from runbook.command import preflight
from runbook.commands.ledger import actor, answer_to, ledger
from runbook.config import Config
from runbook.errors import JobFailed, UsageError
from runbook.fault import nearest
from runbook.remedy import KIND, Action, Gate, Remedy, as_json, gates, market_at, words
from runbook.report.layout import WIDTH, clock, wrap
from runbook.session import SessionCalendar


@dataclass(frozen=True, slots=True)
class _Stands:
    """One remedy as it stands now."""

    remedy: Remedy
    gates: tuple[Gate, ...]
    rows: tuple[Action, ...]

    @property
    def allowed(self) -> bool:
        return all(gate.passes for gate in self.gates)


def show(args: argparse.Namespace) -> int:
    """All remedies, each with its gates as they stand now."""
    config = app.load_config(args.site)
    calendar, stands = _stands(config, config.remedies)
    if args.json:
        print(json.dumps([_json(one, calendar) for one in stands], indent=1))
        return 0
    if not stands:
        print(
            "no remedies: in config.yaml, `commands:` is the allow-list and `remedies:` say which alert may bring one about"
        )
    for one in stands:
        print("\n".join(_lines(one, calendar)))
    return 0


def run(args: argparse.Namespace) -> int:
    """One run by hand, within the same gates; `--dry-run` prints the words and the gates and starts nothing."""
    config = app.load_config(args.site)
    found = next((one for one in config.remedies if one.name == args.name), None)
    if found is None:
        names = [one.name for one in config.remedies]
        listed = f"{nearest(args.name, names)}{', '.join(names)}" or "none, since `remedies:` is empty"
        raise UsageError(f"no remedy {args.name!r}; accepted: {listed}")
    if args.dry_run:
        calendar, (one,) = _stands(config, [found])
        print(json.dumps(_json(one, calendar), indent=1) if args.json else "\n".join(_lines(one, calendar)))
        return 0 if one.allowed else 1
    if not app.locked(config):
        raise JobFailed(
            "no daemon runs, and only it keeps the limits of a remedy",
            hint=f"start `runbook serve`, or by hand: {found.command.shown}",
        )
    return _ask_daemon(config, found, args.reason)


def _ask_daemon(config: Config, found: Remedy, reason: str) -> int:
    with ledger(config) as store:
        said = answer_to(store, KIND, {"name": found.name}, actor(reason))
    if said is None:
        print("the daemon has not taken it yet; its next pulse will", file=sys.stderr)
        return 1
    print(said)
    return 0 if said.startswith("started") else 1


def _stands(config: Config, remedies: Sequence[Remedy]) -> tuple[SessionCalendar, list[_Stands]]:
    now = SystemClock().now()
    with ledger(config) as store:
        calendar = app.almanac(config, store).calendar()
        today = calendar.today(now)
        with store.read() as books:
            rows = {one.name: books.actions.of(one.name, today) for one in remedies}
    door = app.commands(config)
    market = market_at(calendar, now)
    return calendar, [
        _Stands(
            one, gates(one, rows[one.name], market, preflight(one.command, door), today, now), tuple(rows[one.name])
        )
        for one in remedies
    ]


def _lines(one: _Stands, calendar: SessionCalendar) -> list[str]:
    remedy, now = one.remedy, SystemClock().now()
    hop = f" at {remedy.hop}" if remedy.hop else ""
    by = "by itself while the exchange is shut" if remedy.when == "market_closed" else "when a person approves"
    out = [f"{remedy.name}: on {remedy.alert}{hop}, {by}"]
    out += wrap(remedy.command.shown, WIDTH, "  runs     ")
    out += wrap(f"{remedy.verify} must be ok within {remedy.within.total_seconds():g} s", WIDTH, "  verify   ")
    for gate in one.gates:
        word = "allowed" if gate.passes else "not known" if gate.passes is None else "NO"
        out += wrap(gate.why, WIDTH, f"  {gate.name:<9} {word:<10}")
    for row in one.rows:
        out += wrap(f"{words(row)} (by {row.by})", WIDTH, f"  {_at(row.started, calendar, now):<9} ")
    return out


def _at(at: datetime, calendar: SessionCalendar, now: datetime) -> str:
    return clock(at, calendar.zone, calendar.today(now))


def _json(one: _Stands, calendar: SessionCalendar) -> dict[str, Any]:
    remedy = one.remedy

    def iso(at: datetime | None) -> str | None:
        return at.astimezone(calendar.zone).isoformat() if at else None

    return {
        "name": remedy.name, "alert": remedy.alert, "hop": remedy.hop, "when": str(remedy.when), "argv": list(remedy.command.words),
        "verify": remedy.verify, "within": remedy.within.total_seconds(), "allowed": one.allowed,
        "gates": [{"gate": g.name, "passes": g.passes, "why": g.why, "until": iso(g.until)} for g in one.gates],
        "actions": [as_json(row) | {"started": iso(row.started), "ended": iso(row.ended)} for row in one.rows],
    }  # fmt: skip
