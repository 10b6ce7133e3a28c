"""What an open ask rests on as the ledger has it now; held against the evidence it was asked with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from runbook.alert.lifecycle import BROKER_JOB
from runbook.ask import Ask, AskKind, about_occurrence
from runbook.finding import Seen, findings
from runbook.job import Key
from runbook.run import Entry, State

if TYPE_CHECKING:
    from runbook.adapters.store import Books


def current(books: Books, ask: Ask) -> Mapping[str, Any] | None:
    """The evidence of `ask` as it is now; None for an approval, which whoever asked for it minds himself."""
    if ask.kind is AskKind.APPROVAL:
        return None
    if ask.kind is AskKind.FINDING:
        held = [seen.evidence() for seen in found(books, ask.session)]
        if dict(ask.evidence) in held:
            return ask.evidence
        return held[0] if held else {"finding": "none"}
    entry = books.ledger.entry(Key(ask.session, ask.name, ask.slot or ""))
    if entry is None or entry.state is not State.WAITING_HUMAN:
        return {"about": "nothing", "state": str(entry.state) if entry else "not planned"}
    return of_row(entry, ask.kind)


def of_row(entry: Entry, kind: AskKind) -> dict[str, Any]:
    """The evidence of an ask about an occurrence."""
    return about_occurrence(kind, entry.occurrence.planned, entry.occurrence.latest_start, len(entry.tries))


def found(books: Books, session: date) -> tuple[Seen, ...]:
    """What the newest broker check and the feed of a session say that a person has to put right."""
    checks, changes = books.ledger.of_job(session, BROKER_JOB), books.feed.changes(session)
    return findings(checks, changes, ever_live=books.feed.ever_live())
