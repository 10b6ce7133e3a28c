"""Whether a remedy may run, where a person has to say so: a question, its answer, and what is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from runbook.alert import Notice
from runbook.ask import Ask, AskKind
from runbook.engine.alerting import Alerting
from runbook.engine.planner import Planner
from runbook.remedy import Said

if TYPE_CHECKING:
    from runbook.adapters.store import Books


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked; without an answer by `deadline` it is `default`, the safe side."""

    key: str
    text: str
    choices: tuple[str, ...]
    default: str
    deadline: datetime | None
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Approvals(Protocol):
    """Where questions go and answers come from."""

    def ask(self, books: Books, question: Question, now: datetime) -> None:
        """Ask once: the key makes it so."""
        ...

    def answer(self, books: Books, key: str) -> Said | None:
        """What was answered; None while nothing is."""
        ...

    def stale(self, books: Books, name: str, keep: str) -> bool:
        """Whether another question of the remedy than `keep` is still open."""
        ...

    def withdraw(self, books: Books, name: str, keep: str, why: str, now: datetime) -> None:
        """Take those back: what they were asked about is no longer so."""
        ...


class ByAsks:
    """Asks by rows of `ask`, which people answer on the command line and on the phone; nobody's answer is the safe one."""

    def __init__(self, alerting: Alerting, planner: Planner) -> None:
        self._alerting = alerting
        self._planner = planner

    def ask(self, books: Books, question: Question, now: datetime) -> None:
        calendar, name = self._planner.calendar, question.key.split("@")[1]
        made = books.asks.open(
            Ask(
                question.key, AskKind.APPROVAL, calendar.today(now), name, question.text, question.choices, question.default,
                question.evidence, now, question.deadline,
            )
        )  # fmt: skip
        if made is not None:
            notice = Notice(f"ask@{made.number}", f"[ASK] {name} #{made.number}", made.lines(calendar.zone))
            self._alerting.notice(books, notice, now, made.session)

    def answer(self, books: Books, key: str) -> Said | None:
        held = books.asks.by_key(key)
        if held is None or held.answer is None:
            return None
        return Said(held.answer, held.by or "nobody", held.number)

    def withdraw(self, books: Books, name: str, keep: str, why: str, now: datetime) -> None:
        for held in _stale(books, name, keep):
            books.asks.store(held.void(why, now))

    def stale(self, books: Books, name: str, keep: str) -> bool:
        return bool(_stale(books, name, keep))


def _stale(books: Books, name: str, keep: str) -> list[Ask]:
    """The open questions of a remedy but the one that holds."""
    waiting = books.asks.waiting()
    return [held for held in waiting if held.kind is AskKind.APPROVAL and held.name == name and held.key != keep]
