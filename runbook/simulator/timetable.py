"""OpenAlgo's own holiday table and session times: seeded for 2026 only, and not always right, like the real one."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from runbook.simulator.market import IST

ZONE = "Asia/Kolkata"
_EQUITY = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD")
_ALL = (*_EQUITY, "MCX")
_EVENING = (("MCX", time(17, 0), time(23, 55)),)
_MUHURAT = (*((exchange, time(18, 0), time(19, 15)) for exchange in _EQUITY), ("MCX", time(18, 0), time(0, 15)))
_SATURDAY = 5
Hours = tuple[tuple[str, time, time], ...]

_USUAL: Hours = (
    ("NSE", time(9, 15), time(15, 30)),
    ("BSE", time(9, 15), time(15, 30)),
    ("NFO", time(9, 15), time(15, 40)),
    ("BFO", time(9, 15), time(15, 40)),
    ("MCX", time(9, 0), time(23, 55)),
    ("BCD", time(9, 0), time(17, 0)),
    ("CDS", time(9, 0), time(17, 0)),
    ("NCO", time(9, 0), time(23, 55)),
)
_CRYPTO: Hours = (("CRYPTO", time(0, 0), time(23, 59, 59)),)

# date, what for, kind, who is shut, who opens all the same
_SEEDED: tuple[tuple[str, str, str, tuple[str, ...], Hours], ...] = (
    ("2026-01-15", "Municipal Corporation Election - Maharashtra", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-01-26", "Republic Day", "TRADING_HOLIDAY", _ALL, ()),
    ("2026-03-03", "Holi", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-03-26", "Shri Ram Navami", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-03-31", "Shri Mahavir Jayanti", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-04-03", "Good Friday", "TRADING_HOLIDAY", _ALL, ()),
    ("2026-04-14", "Dr. Baba Saheb Ambedkar Jayanti", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-05-01", "Maharashtra Day", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-10-02", "Mahatma Gandhi Jayanti", "TRADING_HOLIDAY", _ALL, ()),
    ("2026-11-08", "Diwali Laxmi Pujan (Muhurat Trading)", "SPECIAL_SESSION", (), _MUHURAT),
    ("2026-11-24", "Prakash Gurpurb Sri Guru Nanak Dev", "TRADING_HOLIDAY", _EQUITY, _EVENING),
    ("2026-12-25", "Christmas", "TRADING_HOLIDAY", _ALL, ()),
)


def holidays(year: int) -> list[dict[str, object]]:
    """The seeded holidays of a year; a year nobody seeded has none, which is no news about that year."""
    return [
        {
            "closed_exchanges": list(shut),
            "date": day,
            "description": what,
            "holiday_type": kind,
            "open_exchanges": _rows(date.fromisoformat(day), open_hours),
        }
        for day, what, kind, shut, open_hours in _SEEDED
        if day.startswith(f"{year}-")
    ]


def timings(day: date) -> list[dict[str, object]]:
    """Who trades on a day and when, in epoch milliseconds."""
    for seeded, _, _, _, open_hours in _SEEDED:
        if seeded == day.isoformat():
            return _rows(day, open_hours)
    return _rows(day, _CRYPTO if day.weekday() >= _SATURDAY else (*_USUAL, *_CRYPTO))


def _rows(day: date, hours: Hours) -> list[dict[str, object]]:
    return [
        {"end_time": _millis(day, end, later=end < start), "exchange": exchange, "start_time": _millis(day, start)}
        for exchange, start, end in hours
    ]


def _millis(day: date, at: time, *, later: bool = False) -> int:
    return int((datetime.combine(day, at, IST) + timedelta(days=1 if later else 0)).timestamp() * 1000)
