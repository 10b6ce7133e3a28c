"""The report of a session: `build` says it once, the views lay that one value out.

parts      the report as a frozen value
build      what the ledger knows of a day -> Report; steps, feed, trades, delivery, readiness, ahead each make their part
headline   the verdict in one sentence
phrases    each part in words; text, markdown and message lay them out, jsonable gives the values
"""

from runbook.report.build import build
from runbook.report.jsonable import to_json
from runbook.report.markdown import render_markdown
from runbook.report.message import short
from runbook.report.parts import Headline, Readiness, Report, Seen, Stage, Word
from runbook.report.text import render_text

__all__ = [
    "Headline",
    "Readiness",
    "Report",
    "Seen",
    "Stage",
    "Word",
    "build",
    "render_markdown",
    "render_text",
    "short",
    "to_json",
]
