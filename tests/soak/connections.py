"""`python -m tests.soak.connections URL N`: one stream that connects N times; prints what the process holds now and then.

`counted CONNECTIONS THREADS DESCRIPTORS KIB`, after each fifty, when all threads have ended; it fails when they do not. How a
connection ends is told by its number, here and by the server: see `ENDINGS`.
"""

from __future__ import annotations

import gc
import queue
import sys
import threading
from pathlib import Path

from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.clock import SystemClock, host_monotonic
from runbook.feed.events import Closed, ConnectFailed, StreamEvent, Ticks
from runbook.market import Instrument
from tests.adapters.replay import KEY

NIFTY, BANK = Instrument("NIFTY", "NSE_INDEX"), Instrument("BANKNIFTY", "NSE_INDEX")
ENDINGS = ("closed by us", "dropped by us", "replaced by us", "closed", "reset", "refused", "cut in a frame", "broken")
_PATIENCE = 10.0


def main(url: str, number: int) -> None:
    heard: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()
    stream = OpenAlgoStream(url, KEY, SystemClock(), Patience(frame=0.2))
    for n in range(number):
        stream.connect(n + 1, [NIFTY], heard.put)
        ending = ENDINGS[n % len(ENDINGS)]
        theirs = ending not in ("closed by us", "dropped by us", "replaced by us")
        while True:
            event = heard.get(timeout=_PATIENCE)
            assert event.generation == n + 1, f"{ending}: {event}"
            if isinstance(event, Ticks) and not theirs:
                stream.follow([BANK])
                break
            if isinstance(event, Closed | ConnectFailed):
                assert theirs, f"{ending}: {event}"
                break
        if ending == "closed by us":
            stream.close()
        elif ending == "dropped by us":
            stream.drop()
        while not heard.empty():  # what it still said of a follow before it was silenced
            heard.get()
        if (n + 1) % 50 == 0:
            count(n + 1)
    stream.close()
    count(number)


def count(connections: int) -> None:
    until, pause = host_monotonic() + _PATIENCE, threading.Event()
    while threading.active_count() > 1:
        if host_monotonic() > until:
            sys.exit(f"threads that do not end: {[t.name for t in threading.enumerate()]}")
        pause.wait(0.01)
    gc.collect()
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    print("counted", connections, threading.active_count(), descriptors, int(resident.split()[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
