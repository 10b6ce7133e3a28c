"""How soon a dead feed is seen, and at what price in false alarms: the guide's timers beside the probe, in one run.

    .venv/bin/python bench/bench_detect.py [sessions] [cuts]

Every session is a seeded day of the synthetic watch list (an index, a future, eight stocks, ten options, stalls common to
all; see runbook/feed/synthetic.py: the rates and shapes are assumptions, not exchange data). The machine is the real one;
time is virtual and REST answers in 0.2 s. Detection is from the loss to leaving the socket. All settings see the same
sessions and the same losses. About 10 s a session.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runbook.feed import synthetic
from runbook.feed.calibration import Alarm, Figures, Flapping, calibrate, flap, quantile
from runbook.feed.policy import Policy
from runbook.feed.synthetic import Stall

REAL_STALL = 8.5  # seconds: what a prompt detector cannot tell from a loss
FLAPS = [Stall(3600.0 + 75 * i + 45, 3600.0 + 75 * (i + 1)) for i in range(24)]  # 45 s up, 30 s down, for 30 minutes


@dataclass
class Row:
    figures: Figures
    flaps: list[Flapping]
    took: float
    unexplained: int  # alarms without a stall of that length


def settings() -> Mapping[str, Policy]:
    return {"timers": Policy(detect="timers"), "probe": Policy(detect="probe")}


def explained(alarm: Alarm, stalls: tuple[Stall, ...]) -> bool:
    """True when a real stall of more than 8.5 s was on, or had just ended, when the socket was left."""
    return any(s.length > REAL_STALL and s.start <= alarm.at <= s.end + 3 for s in stalls)


def play(sessions: int, cuts: int) -> Mapping[str, Row]:
    rows = {name: Row(Figures(), [], 0.0, 0) for name in settings()}
    future = next(i for i, _ in synthetic.WATCH_LIST if i.is_future)
    for seed in range(sessions):
        day = synthetic.day(seed)
        tape, flapping = synthetic.tape(day), synthetic.tape(day, FLAPS)
        for name, policy in settings().items():
            row, began = rows[name], time.process_time()
            found = calibrate([tape], policy, cuts=cuts, symbol=future)
            row.figures += found
            row.unexplained += sum(not explained(alarm, day.stalls) for alarm in found.alarms)
            row.flaps.append(flap(flapping, policy, FLAPS[0].start - 45, FLAPS[-1].end))
            row.took += time.process_time() - began
        print(f"\r{seed + 1} of {sessions} sessions", end="", file=sys.stderr)
    print(file=sys.stderr)
    return rows


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def mean(row: Row, of: Callable[[Flapping], float]) -> str:
    return f"{sum(of(f) for f in row.flaps) / len(row.flaps):.1f}"


def main(sessions: int, cuts: int) -> None:
    rows = play(sessions, cuts)
    every: list[tuple[str, str, Callable[[Row], str]]] = [
        ("whole feed lost: median s", "<= 9.5", lambda r: seconds(quantile(r.figures.detection, 0.5))),
        ("  p99 s", "<= 10.5", lambda r: seconds(quantile(r.figures.detection, 0.99))),
        ("  longest s", "", lambda r: seconds(max(r.figures.detection, default=None))),
        ("  losses, never seen", "0", lambda r: f"{r.figures.cuts}, {r.figures.missed}"),
        ("  first REST price after it: longest s", "<= 2", lambda r: seconds(max(r.figures.first_price, default=None))),
        ("left the socket on healthy sessions, a session", "<= 0.5", lambda r: per(r, len(r.figures.alarms))),
        (f"  of these without a real stall > {REAL_STALL} s", "0", lambda r: str(r.unexplained)),
        ("doubts on healthy sessions, a session", "", lambda r: per(r, r.figures.doubts)),
        ("doubts and alarms outside the session", "0", lambda r: str(r.figures.outside)),
        ("one symbol lost (the future): median s", "", lambda r: seconds(quantile(r.figures.symbol, 0.5))),
        ("  p99 s", "<= 50", lambda r: seconds(quantile(r.figures.symbol, 0.99))),
        (
            "  losses, never seen",
            "0",
            lambda r: f"{len(r.figures.symbol) + r.figures.symbol_missed}, {r.figures.symbol_missed}",
        ),
        ("  symbols called late on healthy sessions, a session", "<= 0.05", lambda r: per(r, r.figures.symbol_alarms)),
        ("45 s up, 30 s down, 30 min: switches", "<= 8", lambda r: mean(r, lambda f: f.switches)),
        ("  seconds without a fresh price", "<= 45", lambda r: mean(r, lambda f: f.blind)),
        ("  seconds the machine booked so", "", lambda r: mean(r, lambda f: f.booked)),
        ("  messages, most of a session", "<= 3", lambda r: str(max(f.messages for f in r.flaps))),
        ("CPU s a session (all of the above)", "", lambda r: f"{r.took / sessions:.1f}"),
    ]
    print(f"{sessions} synthetic sessions of the watch list, {cuts} losses in each; times in seconds")
    print(f"{'':54}{'goal':>9}" + "".join(f"{name:>14}" for name in rows))
    for title, goal, show in every:
        print(f"{title:54}{goal:>9}" + "".join(f"{show(row):>14}" for row in rows.values()))


def per(row: Row, number: float) -> str:
    return f"{row.figures.per_session(number):.2f}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12, int(sys.argv[2]) if len(sys.argv) > 2 else 40)
