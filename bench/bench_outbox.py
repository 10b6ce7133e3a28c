"""What a channel that hangs costs the others: from the outbox to a receiver on loopback, alone and beside five that hang.

Real sender, real children, real sockets; the two runs stand side by side. `python bench/bench_outbox.py [MESSAGES]`.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the targets of the tests are what is sent to

from runbook.adapters.notify import ChildNotifier  # noqa: E402 - as above
from runbook.adapters.store import Store  # noqa: E402 - as above
from runbook.clock import SystemClock  # noqa: E402 - as above
from runbook.outbox import PER_WINDOW, Kind, enqueue  # noqa: E402 - as above
from runbook.ports import Message  # noqa: E402 - as above
from runbook.teller import Teller  # noqa: E402 - as above
from tests.adapters.targets import Receiver, Tarpit, running  # noqa: E402 - as above
from tests.fakes import MONDAY, until  # noqa: E402 - as above

HANGING = 5
APART = 1.2  # seconds; a channel takes one message a second


def measure(hanging: int, messages: int) -> tuple[list[float], list[float]]:
    """(seconds from the commit to the receiver, seconds of the commit itself) of each message on the channel that works."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = Receiver()
        stack.enter_context(running(receiver.server))
        pits = [Tarpit() for _ in range(hanging)]
        for pit in pits:
            stack.callback(pit.close)
        names = {"good": f"json://127.0.0.1:{receiver.port}/"}
        names |= {f"dead{n}": f"json://127.0.0.1:{pit.port}/?rto=20" for n, pit in enumerate(pits)}
        store = Store(folder / "runbook.db")
        store.migrate()
        teller = Teller(store, ChildNotifier(names), list(names), SystemClock())
        teller.start()
        stack.callback(store.close)
        stack.callback(teller.stop)

        def tell(text: str) -> tuple[float, float]:
            now = datetime.now(UTC)
            began = time.monotonic()
            with store.write() as books:
                rows = enqueue(
                    text, names, Kind.NOTICE, 0, Message(text, ""), now=now, expires_at=now + timedelta(hours=1)
                )
                books.alerts.enqueue(rows, MONDAY)
            written = time.monotonic()
            teller.nudge()
            until(lambda: any(text in str(got) for got in receiver.got), f"{text} does not arrive", 30)
            return time.monotonic() - written, written - began

        tell("the first, which starts the sending process")
        for pit in pits:
            pit.reached.wait(10)
        pause = threading.Event()
        taken = []
        for n in range(messages):
            pause.wait(APART)
            taken.append(tell(f"message {n}"))
    return [arrived for arrived, _ in taken], [written for _, written in taken]


def main() -> None:
    logging.disable()  # that the hanging ones are tried again is no news here
    messages = min(int(sys.argv[1]) if len(sys.argv) > 1 else 12, PER_WINDOW - 2)  # more a minute the outbox holds back
    print(f"{messages} messages, {APART:g} s apart; seconds from the commit to the receiver, and of the commit\n")
    print(f"{'beside it':<16} {'median':>8} {'longest':>8} {'commit':>8}")
    for hanging in (0, HANGING):
        arrived, written = measure(hanging, messages)
        name = f"{hanging} that hang" if hanging else "nobody"
        print(f"{name:<16} {statistics.median(arrived):8.3f} {max(arrived):8.3f} {statistics.median(written):8.3f}")


if __name__ == "__main__":
    main()
