"""`feed calibrate`: recorded sessions are played to the detector, as configured and as it might be."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from pydantic import ValidationError

from runbook import app
from runbook.almanac import quieted
from runbook.commands.calendars import ledger
from runbook.config import Config
from runbook.config.form import Feed
from runbook.errors import ConfigError, StoreError, UsageError
from runbook.fault import Document, faults_from_validation
from runbook.feed.calibration import Figures, GapTable
from runbook.feed.calibration import calibrate as played
from runbook.feed.findings import Findings, Record, render, to_json
from runbook.feed.policy import Policy
from runbook.feed.tape import Tape, recorded
from runbook.session import SessionCalendar

_LAST = 5
_MOST_CUTS = 1000
_HOW = "`runbook serve` through a session leaves ticks/DATE.db beside the ledger; one session is enough to begin with"


def calibrate(args: argparse.Namespace) -> int:
    """Alarms, time to see a loss, and gaps by symbol: what the record says, and on how much that rests."""
    config = app.load_config(args.site)
    if not 0 <= args.cuts <= _MOST_CUTS:
        raise UsageError(f"--cuts {args.cuts}: accepted are 0 to {_MOST_CUTS} losses a session, for example --cuts 40")
    policies = _policies(config, args.sets)
    skipped: dict[str, str] = {}
    records: list[Record] = []
    found = dict.fromkeys(policies, Figures())
    gaps = GapTable()
    futures: dict[str, None] = {}  # another one each month
    for record, tape in _tapes(config, _chosen(config, args), skipped):  # one at a time: a session is some 60 MB
        records.append(record)
        gaps.add(tape)
        future = next((i for i in tape.instruments if i.is_future), None)
        futures |= {} if future is None else {str(future): None}
        for name, policy in policies.items():
            print(f"replaying {tape.name} {name} ...", file=sys.stderr)
            found[name] += played([tape], policy, cuts=args.cuts, symbol=future)
        del tape  # before the next one is read
    if not records:
        why = "; ".join(f"{day}: {reason}" for day, reason in skipped.items())
        raise StoreError(f"no recorded session can be replayed ({why})", hint=_HOW)
    findings = Findings(records, found, gaps.rows(), skipped, " or ".join(futures))
    print(json.dumps(to_json(findings), indent=1) if args.json else render(findings))
    return 0


def _chosen(config: Config, args: argparse.Namespace) -> list[date]:
    days = app.recorded_sessions(config)
    if args.session is not None and args.last is not None:
        raise UsageError("choose one: --session D or --last N, for example --last 5")
    if not days:
        raise StoreError("no session has been recorded here yet", hint=_HOW)
    if args.session is not None:
        if args.session not in days:
            raise StoreError(f"{args.session} was not recorded; there is {_spoken(days)}", hint=_HOW)
        return [args.session]
    last = _LAST if args.last is None else args.last
    if last < 1:
        raise UsageError(f"--last {last}: accepted is 1 or more sessions, for example --last 5")
    return days[-last:]


def _spoken(days: list[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{len(days)} sessions from {days[0]} to {days[-1]}"


def _policies(config: Config, sets: list[str]) -> dict[str, Policy]:
    """The feed as config.yaml has it, and with what was set on the command line."""
    made = {"as configured": app.policy_of(config)}
    if sets:
        given = dict(_pair(text) for text in sets)
        feed = _feed(config, given)
        other = replace(config, settings=config.settings.model_copy(update={"feed": feed}))
        made["with " + " ".join(f"{key}={value}" for key, value in given.items())] = app.policy_of(other)
    return made


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise UsageError(f"--set {text!r}: accepted is KEY=VALUE, for example --set fallback_after=90s")
    return key.strip().removeprefix("feed."), value.strip()


def _feed(config: Config, given: dict[str, str]) -> Feed:
    """The `feed:` of config.yaml with other values, looked at as if they stood there."""
    data: dict[str, Any] = config.settings.feed.model_dump(mode="json") | given
    try:
        return Feed.model_validate(data)
    except ValidationError as exc:
        faults = faults_from_validation(exc, Document("--set", data), Feed)
        raise ConfigError(
            [replace(fault, line=None) for fault in faults], hint="the keys are those under `feed:`"
        ) from exc


def _tapes(config: Config, days: list[date], skipped: dict[str, str]) -> Iterator[tuple[Record, Tape]]:
    """The records of `days` that can be replayed; why the others cannot is put into `skipped`."""
    with ledger(config) as store:
        if store is None:
            raise StoreError("there is no ledger here, so the hours of sessions are not known", hint="`runbook init`")
        calendar = app.almanac(config, store).calendar()
    for day in days:
        try:
            made = _tape(config, day, calendar)
        except StoreError as exc:
            made = str(exc)
        if isinstance(made, str):
            skipped[day.isoformat()] = made
        else:
            yield made
        del made


def _tape(config: Config, day: date, calendar: SessionCalendar) -> tuple[Record, Tape] | str:
    session = calendar.session_of(day)
    if session is None:
        return f"the calendar has no session of {calendar.exchange} on it ({calendar.day(day).reason})"
    held = app.open_record(config, day)
    if held is None:
        return "nothing was written"
    with held:
        tape = recorded(session, held.rows(), lambda now, watched: quieted(session, now, watched))
        span, dropped = held.span(), held.dropped
    if tape is None or span is None:
        return "no tick of the socket is in it"
    first, last = (instant.astimezone(calendar.zone) for instant in span)
    opened = session.open.astimezone(calendar.zone)
    return Record(tape.name, opened, len(tape.ticks), first, last, dropped), tape
