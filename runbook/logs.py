"""The log: one line per record on stderr (and in a file), in UTC, with every secret taken out."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbook.redact import Redactor

# At DEBUG these print addresses with tokens in them, or frames with the key.
TALKATIVE = ("apprise", "urllib3", "requests", "websocket")
# These tell of every wake-up and plug-in at INFO.
CHATTY = ("apscheduler", "alembic", "uvicorn", "asyncio")


def setup(level: int | str, redactor: Redactor, file: Path | None = None) -> None:
    """Log records of `level` and above to stderr, and to `file`; a second call replaces what the first set up."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h.formatter, Line)]:
        root.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:  # reopened when logrotate has moved it away
        handlers.append(logging.handlers.WatchedFileHandler(file, encoding="utf-8", errors="backslashreplace"))
    for handler in handlers:
        handler.setFormatter(Line(redactor))
        root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    install_redaction(redactor)


def install_redaction(redactor: Redactor) -> None:
    """Redact on every handler of the root and on the talkative libraries' loggers, and keep those from DEBUG."""
    root = logging.getLogger()
    for target in (*root.handlers, *map(logging.getLogger, TALKATIVE)):
        for old in [f for f in target.filters if isinstance(f, RedactingFilter)]:
            target.removeFilter(old)
        target.addFilter(RedactingFilter(redactor))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class RedactingFilter(logging.Filter):
    """Rewrites a record in place, message and traceback, so that every later reader of it gets the redacted one."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            said = record.getMessage()
        except Exception as e:  # noqa: BLE001  a wrong %-placeholder must not lose the line, nor print its arguments raw
            said = f"{record.msg} [arguments do not fit: {type(e).__name__}]"
        record.msg, record.args = self._redact(said), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = self._redact(record.exc_text), None
        if record.stack_info:
            record.stack_info = self._redact(record.stack_info)
        return True


class Line(logging.Formatter):
    """`2026-11-23T03:45:00.123Z WARNING runbook.feed: what happened`, on one line whatever was logged."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = redactor

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  the library's name
        del datefmt
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return stamp.removesuffix("+00:00") + "Z"

    def format(self, record: logging.LogRecord) -> str:
        # once more: a record may reach a handler that was added after the filters
        return self._redact(" | ".join(super().format(record).splitlines()))
