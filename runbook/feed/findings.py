"""What a calibration found, as a person reads it and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runbook.feed.calibration import GIVE_UP, Alarm, Figures, Gaps, quantile
from runbook.feed.replay import ANSWER

_MOST = 20  # alarms and symbols that are listed in print; JSON has them all


@dataclass(frozen=True, slots=True)
class Record:
    """One session that was replayed: how much of it there is, and what the recorder had to drop. `opened` is local."""

    name: str
    opened: datetime
    ticks: int
    first: datetime
    last: datetime
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a calibration found; `settings` is what was tried, in the order in which it is shown."""

    records: Sequence[Record]
    settings: Mapping[str, Figures]
    gaps: Sequence[Gaps]
    skipped: Mapping[str, str]  # sessions that could not be used, and why
    symbol: str = ""  # whose loss was tried alone


def render(found: Findings) -> str:
    """The findings for a screen."""
    figures = list(found.settings.values())
    ticks = sum(record.ticks for record in found.records)
    cuts = figures[0].cuts + figures[0].skipped
    rests = f"{_number(len(found.records), 'session')}, {ticks:,} ticks of {_number(len(found.gaps), 'symbol')}"
    lines = [
        f"{rests}; {_number(cuts, 'loss', 'losses')}, made by cutting the record off",
        *(
            f"  {r.name}  {r.first:%H:%M:%S} to {r.last:%H:%M:%S}, {r.ticks:,} ticks{_dropped(r)}"
            for r in found.records
        ),
        *(f"  {name}  left out: {why}" for name, why in found.skipped.items()),
        f"REST is taken to answer in {ANSWER:g} s and to move all the time: an alarm is a silence of the socket, the market's included.",
        "",
        *_table(found),
    ]
    for name, of in found.settings.items():
        lines += _alarms(name, of.alarms, {r.name: r.opened for r in found.records})
    return "\n".join([*lines, "", *_gaps(found)])


def to_json(found: Findings) -> dict[str, Any]:
    """The findings as plain values; the keys are in docs/json.md."""
    opened = {record.name: record.opened for record in found.records}
    return {
        "sessions": [
            {
                "session": r.name, "ticks": r.ticks, "from": r.first.isoformat(), "to": r.last.isoformat(),
                "dropped": r.dropped,
            }
            for r in found.records
        ],
        "left_out": [{"session": name, "why": why} for name, why in found.skipped.items()],
        "settings": [_setting(name, of, opened, found.symbol) for name, of in found.settings.items()],
        "gaps": [
            {
                "symbol": str(g.instrument), "ticks": g.ticks, "median": _round(g.median), "p99": _round(g.p99),
                "longest": _round(g.longest), "longest_at": _stamp(opened, g.longest_on, g.longest_at),
            }
            for g in found.gaps
        ],
    }  # fmt: skip


def _setting(name: str, of: Figures, opened: Mapping[str, datetime], symbol: str) -> dict[str, Any]:
    return {
        "name": name,
        "cuts": of.cuts,
        "skipped": of.skipped,
        "missed": of.missed,
        "detection": {"median": _round(quantile(of.detection, 0.5)), "p99": _round(quantile(of.detection, 0.99))},
        "symbol": {
            "name": symbol, "cuts": len(of.symbol) + of.symbol_missed, "missed": of.symbol_missed,
            "median": _round(quantile(of.symbol, 0.5)), "p99": _round(quantile(of.symbol, 0.99)),
            "late_per_session": round(of.per_session(of.symbol_alarms), 3),
        } if symbol else None,
        "alarms_per_session": round(of.per_session(len(of.alarms)), 3),
        "doubts_per_session": round(of.per_session(of.doubts), 3),
        "without_price_per_session": round(of.per_session(of.blind), 1),
        "outside": of.outside,
        "alarms": [
            {"at": _stamp(opened, a.tape, a.at), "silence": _round(a.silence), "reason": a.reason, "left_then": a.taken}
            for a in of.alarms
        ],
    }  # fmt: skip


def _table(found: Findings) -> list[str]:
    rows: list[tuple[str, list[str]]] = []

    def row(title: str, values: list[str]) -> None:
        rows.append((title, values))

    all_of = list(found.settings.values())
    row("a loss of the whole feed is seen after, median s", [_seconds(quantile(f.detection, 0.5)) for f in all_of])
    row("  99 of 100 within s", [_seconds(quantile(f.detection, 0.99)) for f in all_of])
    row(f"  not within {GIVE_UP:g} s", [f"{f.missed} of {f.cuts}" for f in all_of])
    if any(f.skipped for f in all_of):
        row("  cut while the feed was not live anyhow", [str(f.skipped) for f in all_of])
    if found.symbol:
        row(f"a loss of {found.symbol} alone, median s", [_seconds(quantile(f.symbol, 0.5)) for f in all_of])
        row("  99 of 100 within s", [_seconds(quantile(f.symbol, 0.99)) for f in all_of])
        row("  symbols called late, a session", [f"{f.per_session(f.symbol_alarms):.2f}" for f in all_of])
    row("alarms on the record as it is, a session", [f"{f.per_session(len(f.alarms)):.2f}" for f in all_of])
    row("  of these runbook had left the socket then", [str(sum(a.taken for a in f.alarms)) for f in all_of])
    row("doubts that came to nothing or to an alarm, a session", [f"{f.per_session(f.doubts):.2f}" for f in all_of])
    row("seconds without a fresh price, a session", [f"{f.per_session(f.blind):.0f}" for f in all_of])
    width = max(len(title) for title, _ in rows)
    columns = [max(len(name), 10) for name in found.settings]
    head = " " * width + "".join(f"  {name:>{w}}" for name, w in zip(found.settings, columns, strict=True))
    body = [
        f"{title:{width}}" + "".join(f"  {value:>{w}}" for value, w in zip(values, columns, strict=True))
        for title, values in rows
    ]
    return [head, *body]


def _alarms(name: str, alarms: Sequence[Alarm], opened: Mapping[str, datetime]) -> list[str]:
    if not alarms:
        return []
    lines = ["", f"alarms {name}:"]
    for alarm in alarms[:_MOST]:
        at = opened[alarm.tape] + timedelta(seconds=alarm.at)
        then = "; runbook had left the socket then" if alarm.taken else ""
        lines.append(f"  {at:%Y-%m-%d %H:%M:%S}  {alarm.silence:.0f} s without a tick{then}")
    if len(alarms) > _MOST:
        lines.append(f"  and {len(alarms) - _MOST} more; --json lists all")
    return lines


def _gaps(found: Findings) -> list[str]:
    opened = {record.name: record.opened for record in found.records}
    head = "gaps between ticks, s"
    width = max([len(head), *(len(str(g.instrument)) for g in found.gaps[:_MOST])])
    lines = [f"{head:{width}}  {'ticks':>10}  {'median':>7}  {'p99':>7}  {'longest':>7}"]
    for g in found.gaps[:_MOST]:
        at = opened[g.longest_on] + timedelta(seconds=g.longest_at) if g.longest_at is not None else None
        told = f"  from {at:%Y-%m-%d %H:%M:%S}" if at else ""
        values = "".join(f"  {_seconds(value):>7}" for value in (g.median, g.p99, g.longest))
        lines.append(f"{g.instrument!s:{width}}  {g.ticks:>10,}{values}{told}")
    if len(found.gaps) > _MOST:
        lines.append(f"and {len(found.gaps) - _MOST} more; --json lists all")
    return lines


def _stamp(opened: Mapping[str, datetime], name: str, at: float | None) -> str | None:
    return None if at is None else (opened[name] + timedelta(seconds=at)).isoformat(timespec="seconds")


def _dropped(record: Record) -> str:
    return f"; the recorder dropped {record.dropped:,}" if record.dropped else ""


def _number(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
