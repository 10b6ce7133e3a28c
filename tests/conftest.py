"""Figures that tests took, printed at the end: `record_property("figure", "12 days/s")`, also from workers."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest

from runbook.logs import Line

# A script that runs the suite in its background hands down an ignored Ctrl-C, and with it to every program a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """A command that a test runs in this process sets up the log; the next test's threads are not to write into its closed stream."""
    yield
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h.formatter, Line)]:
        root.removeHandler(handler)
        handler.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)
