"""What a bundle for support holds: the doctor's word, the site with its secrets masked, versions, the log's end, the ledger's last."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from runbook import app
from runbook.clock import SystemClock
from runbook.config import Config
from runbook.errors import RunbookError
from runbook.redact import Redactor, careful

_LINES = 500  # of the log
_DAYS = 7
_MOST = 60  # changes of mode, alerts

_README = """\
What this is: a bundle that `runbook doctor --bundle` packed for support. Nothing in it should be a secret: the API key, the
channels' addresses and whatever looks like a token were replaced by ***. Prices, symbols, paths and host names are in it: look
through it before you hand it on.
"""


def texts(config: Config, told: Mapping[str, Any], log: Path | None) -> dict[str, str]:
    """The files of the bundle by name, each redacted."""
    redact = careful(Redactor(config.secrets.values()))
    return {
        "README.txt": _README,
        "doctor.json": _json(told, redact),
        "config.json": _json(config.merged(), redact),
        "versions.txt": _versions(),
        "ledger.json": _json(_ledger(config), redact),
        "pulse.json": _json(app.pulse_file(config).read(), redact),
        "log.txt": redact(app.log_tail(log, _LINES)) if log else "no log file is known: name it with --log, or see the journal of its unit\n",
    }  # fmt: skip


def _json(value: object, redact: Callable[[str], str]) -> str:
    """Redacted value by value: a pattern must not eat the quotes between two of them."""

    def clean(held: object) -> object:
        if isinstance(held, str):
            return redact(held)
        if isinstance(held, Mapping):
            return {redact(str(k)): clean(v) for k, v in held.items()}
        if isinstance(held, list | tuple):
            return [clean(v) for v in held]
        return held

    return json.dumps(clean(value), indent=1, default=str) + "\n"


def _versions() -> str:
    found = [
        f"runbook {importlib.metadata.version('openalgo-runbook')}",
        f"python {sys.version.split()[0]}",
        platform.platform(),
    ]
    for line in importlib.metadata.requires("openalgo-runbook") or []:
        name = re.split(r"[<>=!\[; ]", line, maxsplit=1)[0]
        if "extra ==" not in line:
            try:
                found.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                found.append(f"{name} is not installed")
    return "\n".join(found) + "\n"


def _ledger(config: Config) -> dict[str, Any]:
    """The last changes of the feed's mode and the last alerts; why there are none, where the ledger cannot be read."""
    store = app.open_store(config, busy_seconds=5)
    try:
        if not store.exists:
            return {"fault": "no ledger here yet"}
        store.check()
        today = app.almanac(config, store).calendar().today(SystemClock().now())
        days = [today - timedelta(days=n) for n in range(_DAYS - 1, -1, -1)]
        with store.read() as books:
            changes = [(day, change) for day in days for change in books.feed.changes(day)][-_MOST:]
            alerts = [alert for day in days for alert in books.alerts.of_session(day)][-_MOST:]
    except RunbookError as exc:
        return {"fault": str(exc)}
    finally:
        store.close()
    return {
        "changes": [
            {"session": str(day), "at": c.at.isoformat(), "was": c.was, "now": c.now, "reason": c.reason, "hint": c.hint,
             "evidence": dict(c.evidence)}
            for day, c in changes
        ],
        "alerts": [json.loads(alert.dump()) | {"number": alert.number} for alert in alerts],
    }  # fmt: skip
