"""How long, how long ago and what share of it, as a person reads them: `3m04s`, `in 5h26m`, `99.1%`."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def span(seconds: float) -> str:
    """A stretch of time in its two largest units: 45s, 3m04s, 6h15m, 3d2h; what is above nothing never reads 0s."""
    if 0 < abs(seconds) < 1:
        return "under 1s"
    whole = round(abs(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR}h"


def took(seconds: float) -> str:
    """How long a run lasted: tenths below ten seconds, since a slow check is told by them."""
    if seconds < 0.05:
        return "<0.1s"
    return f"{seconds:.1f}s" if seconds < 9.95 else span(seconds)


def ago(seconds: float) -> str:
    """`4s ago`; a stamp from the future is `just now`, since two clocks never agree to the second."""
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def ahead(seconds: float) -> str:
    """`in 5h26m`; what is due is `due now`."""
    return "due now" if seconds < 1 else f"in {span(seconds)}"


def share(part: float, whole: float) -> str:
    """A part in percent to one decimal, cut and never rounded up: 100% is all of it, and 0% is none of it."""
    if whole <= 0:
        return "no data"
    tenths = int(part / whole * 1000 + 1e-9)
    if part >= whole:
        return "100%"
    if tenths == 0:
        return "0%" if part <= 0 else "under 0.1%"
    return f"{tenths / 10:.1f}%"
