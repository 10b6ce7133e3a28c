"""What the whole daemon takes of a core: `runbook serve`, its recorder on, on a mute stream, at 1,000 ticks a second, and with a relay client.

    .venv/bin/python bench/bench_daemon.py [seconds] [rate]

A real `runbook serve` on a site whose calendar opens a session around now; REST is the simulator's, the stream `wire.py`, one
frame a send, evenly spread. Counted is /proc/PID/stat of the daemon (user and system, all threads) over `seconds` (30), from
when its feed is LIVE, or on a mute one ARMED (it then asks REST and heals the socket, as it should); and beside it the
scheduler's own count, which knows no clock ticks. The ticks that its recorder wrote are counted afterwards: none may be missing.
The third row has one bot on the relay that hears every tick, for which the stream hands them over within four milliseconds.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runbook.adapters.recorder import RecordedTicks  # noqa: E402 - this checkout's, and its tests' served day: see the path above
from runbook.clock import host_monotonic  # noqa: E402 - as above
from runbook.simulator import Simulator  # noqa: E402 - as above
from tests.scenarios.serving import Serving, Site, wait_until  # noqa: E402 - as above

GOAL, GOAL_RELAY = 3.0, 12.0
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def bot(site: Site, key: str, port: int, seconds: float) -> subprocess.Popen[str]:
    """One client of the relay that follows all that is watched."""
    at = {"NIFTY": "NSE_INDEX", "BANKNIFTY": "NSE_INDEX", "RELIANCE": "NSE", "SBIN": "NSE"}
    wait_until("the daemon says what it watches", lambda: "symbols" in site.state().get("feed", {}))
    names = [f"{at.get(symbol, 'NFO')}:{symbol}" for symbol in site.state()["feed"]["symbols"]]
    command = [sys.executable, str(ROOT / "bench" / "bench_relay.py"), "hear", str(port), str(seconds), *names]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "BENCH_KEY": key})
    assert made.stdout is not None
    assert made.stdout.readline().strip() == "ready"
    return made


def late(took: list[int], rate: float) -> float:
    """ms that 99 of 100 ticks took longer from the stream's source to the bot than the fastest one: what we add, for the most part."""
    ways = sorted(one + k * (1 - 1e9 / rate) for k, one in enumerate(took))  # the trade time moves by one a tick
    return (ways[len(ways) * 99 // 100] - ways[0]) / 1e6


def measure(folder: Path, seconds: float, rate: float, *, relay: bool = False) -> tuple[float, float, int, int, float]:
    """(% of a core by stat, % by the scheduler, ticks sent in all, ticks recorded, ms by which they reached the bot late)."""
    number = int(rate * (seconds + 25))
    at = free_port()
    wire = [sys.executable, str(ROOT / "bench" / "wire.py"), str(number), str(rate), str(len(SYMBOLS))]
    with Simulator(mode="analyze") as sim, subprocess.Popen(wire, stdout=subprocess.PIPE, text=True) as source:
        assert source.stdout is not None
        port = source.stdout.readline().split()[0]
        site = Site(folder, sim, extra=f'feed: {{relay: "ws://127.0.0.1:{at}"}}\n' if relay else "")
        config = folder / "config.yaml"
        text = config.read_text().replace(sim.stream_url, f"ws://127.0.0.1:{port}")
        names = "[" + ", ".join(f'"{s}"' for s in SYMBOLS) + "]"
        config.write_text(text.replace('[NIFTY, "NIFTY:fut"]', names))
        serving = Serving(site, debug=False)
        try:
            serving.ready()
            serving.feed("LIVE" if rate else "ARMED")
            pause = threading.Event()
            listener = bot(site, sim.api_key, at, seconds + 4.0) if relay else None
            pause.wait(3.0)  # the steps of the start
            before, began = spent(serving.pid), host_monotonic()
            pause.wait(seconds)
            after, took = spent(serving.pid), host_monotonic() - began
            added = 0.0
            if listener is not None:
                heard = json.loads(listener.communicate(timeout=60)[0])
                assert len(heard) >= 0.98 * rate * seconds, f"the bot heard {len(heard)} ticks"
                added = late(heard, rate)
            if number:
                wait_until("all was sent", lambda: source.poll() is None and recorded(site) >= number, seconds + 60)
            return (
                (after[0] - before[0]) / took * 100,
                (after[1] - before[1]) / took * 100,
                number,
                recorded(site),
                added,
            )
        finally:
            serving.kill()
            site.phone.stop()
            source.kill()


def main(seconds: float, rate: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = [
            (label, at, measure(Path(name) / f"site-{n}", seconds, at, relay=label != ""))
            for n, (label, at) in enumerate((("", 0.0), ("", rate), ("a bot on the relay", rate)))
        ]
    print(f"runbook serve over {seconds:g} s, {len(SYMBOLS)} symbols, recorder on")
    print(
        f"{'ticks/s':>10}{'% of a core (stat)':>20}{'by the scheduler':>18}{'sent':>10}{'recorded':>10}{'p99 late ms':>13}"
    )
    for label, at, (stat, exact, sent, kept, added) in rows:
        lag = f"{added:.1f}" if label else "-"
        print(f"{at:>10,.0f}{stat:>20.2f}{exact:>18.2f}{sent:>10,}{kept:>10,}{lag:>13}  {label}")
    for (label, _, (stat, _, sent, kept, _)), goal in zip(rows[1:], (GOAL, GOAL_RELAY), strict=True):
        said = "reached" if stat <= goal and kept >= sent else "MISSED"
        print(f"goal at most {goal:g} %{f' with {label}' if label else ''}: {said}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0, float(sys.argv[2]) if len(sys.argv) > 2 else 1000.0)
