"""Silences: what a person has asked not to be told of for a while. What is silenced lives on and is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from runbook.alert.rules import RULES, AlertRule, Severity
from runbook.alert.state import Alert
from runbook.fault import Unfit, nearest


@dataclass(frozen=True, slots=True)
class Pattern:
    """`feed` (every rule under it), `feed.symbol` (one rule), `job{job=check_feed}` (a fingerprint, or some of its labels)."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pattern that `text` is; raises Unfit when it names no rule, or its labels cannot be read."""
        name, brace, tail = text.strip().partition("{")
        example = "feed.symbol, or job{job=check_feed}"
        if name not in _names():
            known = sorted(RULES)
            raise Unfit(
                f"no rule {name!r}", accepted=nearest(name, sorted(_names())) + ", ".join(known), example=example
            )
        if not brace:
            return cls(name)
        parts = [part.partition("=") for part in tail.removesuffix("}").split(",")] if tail != "}" else []
        if not tail.endswith("}") or any(
            not key.strip() or not mark or not value.strip() for key, mark, value in parts
        ):
            raise Unfit(f"{text!r} has labels that cannot be read", accepted="NAME{LABEL=VALUE,...}", example=example)
        return cls(name, tuple(sorted((key.strip(), value.strip()) for key, _, value in parts)))

    def __str__(self) -> str:
        labels = ",".join(f"{k}={v}" for k, v in self.labels)
        return f"{self.name}{{{labels}}}" if labels else self.name

    def rules(self) -> list[AlertRule]:
        """The rules it can be about."""
        return [rule for rule in RULES.values() if self._names(rule)]

    def matches(self, alert: Alert) -> bool:
        return self._names(RULES[alert.rule]) and set(self.labels) <= set(alert.labels)

    @property
    def critical(self) -> tuple[AlertRule, ...]:
        """The rules it can be about that are ever critical."""
        return tuple(r for r in self.rules() if {r.live, r.paper} & {Severity.CRITICAL, None})

    def _names(self, rule: AlertRule) -> bool:
        return self.name in (rule.name, rule.incident) or rule.name.startswith(f"{self.name}.")


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence; `number` is the store's. It is over at `until`, or when somebody ended it."""

    number: int
    pattern: Pattern
    since: datetime
    until: datetime
    reason: str
    by: str
    ended_at: datetime | None = None
    ended_by: str = ""

    def holds(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.until


def silencer(alert: Alert, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that holds for `alert` now, the one that lasts longest."""
    found = [s for s in silences if s.holds(now) and s.pattern.matches(alert)]
    return max(found, key=lambda s: s.until, default=None)


def _names() -> set[str]:
    found = {rule.incident for rule in RULES.values()} | set(RULES)
    return found | {name.partition(".")[0] for name in RULES}
