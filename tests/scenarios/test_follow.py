"""The strikes that a bot chooses during the day are watched and recorded: a real daemon, a log that is rotated, an order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from runbook.adapters.recorder import RecordedTicks
from runbook.market import Instrument, Source
from runbook.simulator import Simulator, Ticket
from runbook.simulator.contracts import Kind, Master
from tests.scenarios.serving import Serving, Site, wait_until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Simulator, Site, Serving]]:
    with Simulator(seed=6, mode="analyze") as sim:
        site = Site(tmp_path / "site", sim, extra="feed: {follow: [orders, bot]}\n")
        file = site.folder / "config.yaml"
        file.write_text(file.read_text().replace("trades: trades.csv", "trades: trades.csv, log: bot.log"))
        serving = site.serve()
        try:
            yield sim, site, serving
        finally:
            serving.kill()
            site.phone.stop()


def strikes(day: date, number: int) -> list[Instrument]:
    """Some options of the NIFTY that live on `day`."""
    rows = Master(day).search("NIFTY", "NFO")
    return [row.instrument for row in rows if row.kind is Kind.CALL and row.instrument.symbol.startswith("NIFTY")][
        :number
    ]


def test_strikes_of_the_log_and_of_an_order_are_subscribed_and_recorded(desk):
    sim, site, serving = desk
    by_log, by_rotated_log, by_order = strikes(site.today, 3)
    log = site.folder / "bot.log"
    log.write_text("started\n")
    serving.ready().feed("LIVE")

    def recorded(instrument: Instrument) -> bool:
        read = RecordedTicks.open(site.folder / "ticks", site.today)
        if read is None:
            return False
        with read:
            return any(row.instrument == instrument and row.source is Source.WEBSOCKET for row in read.rows())

    # its first look passes over what stands in the log, and asks for the order book
    wait_until("the follower has begun", lambda: any("orderbook" in path for _, _, path in sim.calls))
    with log.open("a") as file:
        file.write(f"10:15:02 INFO secret-of-the-bot BUY {by_log.symbol} 75 @ 145.10\n")
    wait_until("a strike of the log is recorded", lambda: recorded(by_log), 30)
    log.rename(log.with_suffix(".log.1"))
    log.write_text(f"10:16:02 INFO SELL {by_rotated_log.symbol} 75\n")
    wait_until("a strike of the rotated log is recorded", lambda: recorded(by_rotated_log), 30)
    sim.book_paper(Ticket(by_order, "BUY", 75), sim.price(by_order))
    wait_until("a strike that was ordered is recorded", lambda: recorded(by_order), 30)

    code, _ = serving.end(signal.SIGTERM)
    assert code == 0
    assert "secret-of-the-bot" not in serving.said()
    assert "an order was seen" in serving.said(), "the stream tells of it long before the order book is read again"
