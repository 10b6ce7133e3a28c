"""Ticks from the socket into the state machine: what runbook takes of the CPU, against the official SDK's bare receive.

    .venv/bin/python bench/bench_ingest.py [rounds] [ticks]

Both read the same frames from the same server, in turn, each in a process of its own whose CPU time is what counts. The SDK
(openalgo 1.0.47, what Python 3.11 gets) only receives: no callback is set. It is installed into an environment made for this
run, in a temporary folder; BENCH_SDK=folder names one that is there already. runbook's side is the real stream and the real
monitor: read, understood, judged, folded into the state; only nothing is recorded. `flood` is as fast as it is taken, `1000/s`
one frame a send, evenly spread.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SDK = "openalgo==1.0.47"
GOAL = 7.0
NAMES = [("NIFTY", "NSE_INDEX"), ("BANKNIFTY", "NSE_INDEX"), ("NIFTY24NOV26FUT", "NFO"), ("NIFTY24NOV2626000CE", "NFO"),
         ("NIFTY24NOV2626000PE", "NFO")]  # fmt: skip
KEY = "bench" * 12

# What runs in the SDK's own environment; now and then it is asked for the newest tick it holds.
_SDK_CHILD = """
import sys, time
from openalgo import api
url, last, key = sys.argv[1], int(sys.argv[2]), sys.argv[3]
names = [one.split("|") for one in sys.argv[4:]]
client = api(api_key=key, host="http://127.0.0.1:1", ws_url=url)
assert client.connect(), "the SDK did not connect"
begun = time.process_time()
assert client.subscribe_ltp([{"symbol": s, "exchange": e} for s, e in names])
while max([v["timestamp"] for v in list(client.ltp_data.values())], default=0) < last:
    time.sleep(0.05)
print(time.process_time() - begun)
"""


class Null:
    """Keeps nothing."""

    dropped = written = 0
    fault: str | None = None

    def record(self, *_: object) -> bool:
        return True

    def record_all(self, *_: object) -> bool:
        return True

    def close(self, timeout: float = 5.0) -> bool:  # noqa: ARG002 - the form of a Keeper
        return True


def ours(url: str, number: int, kind: str) -> None:
    """A child: the real stream and monitor; prints the CPU seconds from connecting to the last tick in the state."""
    from runbook.adapters.ticks import OpenAlgoStream, dialogue
    from runbook.clock import SystemClock
    from runbook.feed.policy import Policy
    from runbook.market import Instrument
    from runbook.monitor import FeedParts, Monitor
    from runbook.session import Session

    if kind == "json":
        dialogue._PLAIN = lambda _payload: None  # type: ignore[assignment]  # noqa: SLF001 - switched off, to show what it saves
    clock = SystemClock()
    stream = OpenAlgoStream(url, KEY, clock)
    stream.hurry(kind == "hurry")
    anything: Any = Null()
    parts = FeedParts(
        clock, stream, anything, Policy(), lambda _session: anything, lambda _news: None, "live", listened=lambda: False
    )
    now = datetime.now(UTC)
    session = Session("NFO", now.date(), ((now - timedelta(hours=1), now + timedelta(hours=5)),))
    begun = time.process_time()
    monitor = Monitor(parts)
    monitor.start(session, [Instrument(s, e) for s, e in NAMES])
    pause = threading.Event()
    while True:
        state = monitor.view().state
        if state is not None and sum(c.ticks for c in state.ticks.values()) >= number:
            break
        pause.wait(0.05)
    print(time.process_time() - begun, flush=True)
    monitor.stop()


def run(command: list[str], number: int, rate: float, *, sdk: bool) -> float:
    """CPU seconds of one child beside a server of its own."""
    wire = [sys.executable, str(Path(__file__).with_name("wire.py")), str(number), str(rate), str(len(NAMES))]
    with subprocess.Popen(wire, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port, first = map(int, server.stdout.readline().split())
            url = f"ws://127.0.0.1:{port}"
            last = [str(first + number - 1), KEY, *("|".join(n) for n in NAMES)] if sdk else [str(number)]
            child = [*command[:-1], url, *last] if sdk else [*command[:-1], url, *last, command[-1]]
            done = subprocess.run(child, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            return float(done.stdout.split()[-1])
        finally:
            server.kill()


def sdk_python(folder: str) -> str:
    """The interpreter of an environment with the SDK in it."""
    given = os.environ.get("BENCH_SDK")
    if given:
        return str(Path(given) / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(Path(folder) / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    return python


def main(rounds: int, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sdk = [sdk_python(folder), "-c", _SDK_CHILD, ""]
        me = [sys.executable, __file__, "--child"]
        rows: list[tuple[str, list[str], bool]] = [
            ("SDK, received only", sdk, True),
            ("runbook", [*me, "batch"], False),
            ("runbook, in a hurry", [*me, "hurry"], False),
            ("runbook, JSON reader only", [*me, "json"], False),
        ]
        for title, many, rate in (("flood", number, 0.0), ("1000/s", 10_000, 1000.0)):
            spent: dict[str, list[float]] = {name: [] for name, _, _ in rows}
            for _ in range(rounds):
                for name, command, is_sdk in rows:
                    spent[name].append(run(command, many, rate, sdk=is_sdk))
            print(f"\n{title}: {many:,} ticks, {rounds} rounds, medians")
            print(f"{'':28}{'us/tick':>9}{'ticks per CPU s':>18}{'% of a core at that rate':>26}{'x SDK':>8}")
            base = statistics.median(spent["SDK, received only"])
            for name, _, _ in rows:
                cost = statistics.median(spent[name])
                share = f"{cost / many * rate * 100:.1f}" if rate else "-"
                print(f"{name:28}{cost / many * 1e6:>9.2f}{many / cost:>18,.0f}{share:>26}{base / cost:>8.1f}")
            if not rate:
                reached = base / statistics.median(spent["runbook"])
                print(f"goal {GOAL:g}x the SDK: {'reached' if reached >= GOAL else 'MISSED'} ({reached:.1f}x)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        ours(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, int(sys.argv[2]) if len(sys.argv) > 2 else 50_000)
