"""The simulator as a command of its own: addresses on the screen, faults at the control address, until Ctrl+C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from runbook.clock import Clock, SystemClock
from runbook.errors import RunbookError, UsageError
from runbook.simulator.faults import ARGUMENTS, OPPOSITES, Fault
from runbook.simulator.market import IST, Window
from runbook.simulator.script import EXAMPLE, Step, read
from runbook.simulator.simulator import Simulator

_DAYS = 14
_SATURDAY = 5
_REST_PORT, _STREAM_PORT, _CONTROL_PORT = 5600, 8865, 5601


def main(argv: Sequence[str] | None = None, *, clock: Clock | None = None, stop: threading.Event | None = None) -> int:
    """Run until a signal, or until `stop` is set; 2 when the command line or the script is wrong, 1 when a port is taken."""
    parser = _parser()
    given = parser.parse_args(argv)
    clock = clock or SystemClock()
    stop = stop or threading.Event()
    try:
        script: list[Step] = read(given.script) if given.script else []
        session = _hours(given.hours, clock.now()) if given.hours else None
        simulator = Simulator(
            clock=clock,
            seed=given.seed,
            session=session,
            mode=given.mode,
            rest_port=given.rest_port,
            stream_port=given.stream_port,
            control_port=given.control_port,
            script=script,
        )
        with simulator:
            print(_greeting(simulator, given.hours, len(script)), flush=True)
            _until(stop)
    except RunbookError as error:
        print(f"simulator: {error}" + (f"\n{error.hint}" if error.hint else ""), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _until(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        before = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    else:
        before = {}
    try:
        with suppress(KeyboardInterrupt):
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runbook simulator",
        description="An OpenAlgo that lives on this machine: REST, WebSocket, a seeded market, faults by name.",
        epilog=f"a script of faults (YAML, or the same as JSON lines), times counted from the start:\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rest-port", type=_port, default=_REST_PORT, metavar="N", help="0: any (default %(default)s)")
    parser.add_argument("--stream-port", type=_port, default=_STREAM_PORT, metavar="N", help="(default %(default)s)")
    parser.add_argument("--control-port", type=_port, default=_CONTROL_PORT, metavar="N", help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="same seed, same market (default %(default)s)")
    parser.add_argument("--mode", choices=("live", "analyze"), default="analyze", help="(default %(default)s)")
    parser.add_argument("--hours", metavar="HH:MM-HH:MM", help="weekday hours in IST; default: the market never shuts")
    parser.add_argument("--script", type=Path, metavar="FILE", help="faults by the clock")
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return number


def _hours(text: str, now: datetime) -> list[Window]:
    """The sessions of the coming two weeks; a simulator that lives longer is started again."""
    try:
        first, last = (datetime.strptime(part, "%H:%M").time() for part in text.split("-"))  # noqa: DTZ007 - a time of day has no zone
    except ValueError:
        raise UsageError(f"--hours {text!r} is not a span of the day; for example --hours 09:15-15:40") from None
    if first >= last:
        raise UsageError(f"--hours {text!r} ends before it begins; for example --hours 09:15-15:40")
    today = now.astimezone(IST).date()
    days = (today + timedelta(days=n) for n in range(-4, _DAYS))
    return [
        (datetime.combine(day, first, IST), datetime.combine(day, last, IST))
        for day in days
        if day.weekday() < _SATURDAY
    ]


def _greeting(sim: Simulator, hours: str | None, steps: int) -> str:
    market = sim.market
    names = ", ".join(str(i) for i in (market.near_future, market.call, market.put))
    when = f"weekdays {hours} IST" if hours else "always open, nights and Sundays too (--hours 09:15-15:40 shuts it)"
    width = max(len(f) for f in Fault)
    faults = "\n".join(f"  {f!s:<{width}}  {f.says}{_takes(f)}" for f in Fault)
    return f"""\
A simulated OpenAlgo is up. Nothing here reaches a broker; every price is made up from the seed.
  REST     {sim.rest_url}
  stream   {sim.stream_url}
  key      {sim.api_key}
  mode     {sim.mode}
  market   {when}
  symbols  NSE_INDEX:NIFTY, NSE_INDEX:BANKNIFTY, NSE:RELIANCE, NSE:SBIN, {names}, ...
  script   {f"{steps} steps" if steps else "none"}

Faults at run time:
  curl -X POST   {sim.control_url}/fault/mute       # arguments as ?seconds=3 or as JSON
  curl -X DELETE {sim.control_url}/fault/mute       # or /faults for all
  curl           {sim.control_url}/faults
{faults}
  opposites: {", ".join(OPPOSITES)}
Ctrl+C ends it."""


def _takes(fault: Fault) -> str:
    taken = ARGUMENTS.get(fault)
    return f" [{', '.join(f'{k}={v}' for k, v in taken.items())}]" if taken else ""
