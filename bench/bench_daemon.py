"""What the whole daemon takes of a core: `runbook serve` as it stands, its recorder on, on a mute stream and at 1,000 ticks a second.

    .venv/bin/python bench/bench_daemon.py [seconds] [rate]

A real `runbook serve` on a site whose calendar opens a session around now; REST is the simulator's, the stream `wire.py`, one
frame a send, evenly spread. Counted is /proc/PID/stat of the daemon (user and system, all threads) over `seconds` (30), from
when its feed is LIVE, or on a mute one ARMED (it then asks REST and heals the socket, as it should); and beside it the scheduler's own count, which knows no clock ticks. The
ticks that its recorder wrote are counted afterwards: none may be missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runbook.adapters.recorder import RecordedTicks  # noqa: E402
from runbook.clock import host_monotonic  # noqa: E402
from runbook.simulator import Simulator  # noqa: E402
from tests.scenarios.serving import Serving, Site, wait_until  # noqa: E402

GOAL = 3.0
SYMBOLS = ["NIFTY", "NIFTY:fut", "BANKNIFTY", "NSE:RELIANCE", "NSE:SBIN"]


def spent(pid: int) -> tuple[float, float]:
    """CPU seconds of a process: from its stat, and as the scheduler counted them for each thread."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    threads = Path(f"/proc/{pid}/task").iterdir()
    exact = sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), exact


def recorded(site: Site) -> int:
    """Ticks in the day's file."""
    files = sorted(site.folder.glob("**/ticks/*.db"))
    if not files:
        return 0
    read = RecordedTicks.open(files[-1].parent, datetime.fromisoformat(files[-1].stem).replace(tzinfo=UTC).date())
    if read is None:
        return 0
    with read:
        return read.count()


def measure(folder: Path, seconds: float, rate: float) -> tuple[float, float, int, int]:
    """(% of a core by stat, % by the scheduler, ticks sent in all, ticks recorded)."""
    number = int(rate * (seconds + 25))
    wire = [sys.executable, str(ROOT / "bench" / "wire.py"), str(number), str(rate), str(len(SYMBOLS))]
    with Simulator(mode="analyze") as sim, subprocess.Popen(wire, stdout=subprocess.PIPE, text=True) as source:
        assert source.stdout is not None
        port = source.stdout.readline().split()[0]
        site = Site(folder, sim)
        config = folder / "config.yaml"
        text = config.read_text().replace(sim.stream_url, f"ws://127.0.0.1:{port}")
        names = "[" + ", ".join(f'"{s}"' for s in SYMBOLS) + "]"
        config.write_text(text.replace('[NIFTY, "NIFTY:fut"]', names))
        serving = Serving(site, debug=False)
        try:
            serving.ready()
            serving.feed("LIVE" if rate else "ARMED")
            pause = threading.Event()
            pause.wait(3.0)  # the steps of the start
            before, began = spent(serving.pid), host_monotonic()
            pause.wait(seconds)
            after, took = spent(serving.pid), host_monotonic() - began
            if number:
                wait_until("all was sent", lambda: source.poll() is None and recorded(site) >= number, seconds + 60)
            return (
                (after[0] - before[0]) / took * 100,
                (after[1] - before[1]) / took * 100,
                number,
                recorded(site),
            )
        finally:
            serving.kill()
            site.phone.stop()
            source.kill()


def main(seconds: float, rate: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = [(at, measure(Path(name) / f"site-{at:.0f}", seconds, at)) for at in (0.0, rate)]
    print(f"runbook serve over {seconds:g} s, {len(SYMBOLS)} symbols, recorder on, no relay")
    print(f"{'ticks/s':>10}{'% of a core (stat)':>20}{'by the scheduler':>18}{'sent':>10}{'recorded':>10}")
    for at, (stat, exact, sent, kept) in rows:
        print(f"{at:>10,.0f}{stat:>20.2f}{exact:>18.2f}{sent:>10,}{kept:>10,}")
    stat, _, sent, kept = rows[-1][1]
    print(f"goal at most {GOAL:g} %: {'reached' if stat <= GOAL and kept >= sent else 'MISSED'}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0, float(sys.argv[2]) if len(sys.argv) > 2 else 1000.0)
