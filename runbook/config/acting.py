"""The form of what acts: `commands:` is the allow-list, `remedies:` say which alert may bring which command about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from runbook.alert import RULES
from runbook.command import CommandSpec, fit, unit_of
from runbook.config.base import Duration, Model, UnitName
from runbook.fault import Unfit, nearest
from runbook.remedy import Remedy as RemedySpec
from runbook.remedy import When


def _called(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value):
        raise Unfit(f"{value!r:.60} is no name", accepted="small letters, digits and _", example="restart_openalgo")
    return value


Name = Annotated[str, BeforeValidator(_called)]


def _variable(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,100}", value):
        raise Unfit(
            f"{value!r:.60} names no variable",
            accepted="names of environment variables",
            example="env: [XDG_RUNTIME_DIR]",
        )
    return value


def _rule(value: object) -> str:
    if not isinstance(value, str) or value not in RULES:
        raise Unfit(
            f"no alert {value!r:.60}",
            accepted=nearest(str(value), list(RULES)) + ", ".join(RULES),
            example="feed.blind",
        )
    return value


class Command(Model):
    """One command that may be run: its words, never a line for a shell."""

    argv: Annotated[tuple[str, ...], BeforeValidator(fit)] = Field(
        description="a list of words; no shell, no pattern, no order", examples=["[systemctl, restart, openalgo]"]
    )
    timeout: Duration = timedelta(seconds=30)
    unit: UnitName | None = Field(
        None,
        description="the unit that must exist; read from `systemctl restart UNIT` where it is not given",
        examples=["openalgo"],
    )
    env: tuple[Annotated[str, BeforeValidator(_variable)], ...] = Field(
        (),
        description="names of variables that are handed on; never one that holds a secret of this site",
        examples=["[LANG]"],
    )

    def spec(self, name: str) -> CommandSpec:
        """The entry as the engine uses it."""
        return CommandSpec(name, self.argv, self.timeout.total_seconds(), self.unit or unit_of(self.argv), self.env)


class Remedy(Model):
    """One remedy: an alert, a command, and the limits within which the one may bring about the other."""

    name: Name | None = None
    alert: Annotated[str, BeforeValidator(_rule)]
    hop: Literal["H0", "H1", "H2", "H3", "H4", "H5", "H6"] | None = Field(
        None, description="only when the alert names this hop as the first broken one: H0 to H6", examples=["H2"]
    )
    command: str
    when: When = Field(
        When.APPROVED, description="market_closed (by itself, while the exchange is shut) or approved (a person says so each time)",
        examples=["approved"],
    )  # fmt: skip
    budget: int = Field(2, ge=1, le=20, description="1 to 20 runs a session", examples=[2])
    min_gap: Duration = timedelta(minutes=10)
    verify: str
    within: Duration = timedelta(seconds=60)

    @property
    def called(self) -> str:
        return self.name or self.command

    def spec(self, commands: Mapping[str, Command]) -> RemedySpec:
        """The entry as the engine uses it."""
        return RemedySpec(
            self.called, self.alert, commands[self.command].spec(self.command), self.verify, self.when, self.hop, self.budget,
            self.min_gap, self.within,
        )  # fmt: skip
