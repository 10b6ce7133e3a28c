"""The form of `alerts:` in config.yaml."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from runbook.alert import AlertPolicy
from runbook.config.base import Duration, Model
from runbook.fault import Unfit


def _levels(value: object) -> object:
    """`[phone, mail]` is short for one channel to a level."""
    if isinstance(value, list):
        return [[item] if isinstance(item, str) else item for item in value]
    return value


class Alerts(Model):
    """Who is told when: the order of the channels, how soon the next is called, and the hours in which only the critical rings."""

    escalate: Annotated[tuple[tuple[str, ...], ...], BeforeValidator(_levels)] = Field(
        (), description="a list of levels, each a list of channels; [] tells every channel at once",
        examples=["[[phone], [mail]]"],
    )  # fmt: skip
    after: Duration = Field(
        timedelta(minutes=5), description="how long a critical alert may stay unacknowledged", examples=["5m"]
    )
    undelivered: Duration = Field(
        timedelta(seconds=60), description="how long a message may be on its way", examples=["60s"]
    )
    quiet: Literal["sessions", "never"] = Field(
        "sessions", description="sessions (outside of them only what is critical rings, the rest comes as one digest) or never",
        examples=["sessions"],
    )  # fmt: skip
    around: Duration = Field(
        timedelta(minutes=60),
        description="how long before an open and after a close everything rings",
        examples=["60m"],
    )

    @model_validator(mode="after")
    def _once(self) -> Alerts:
        example = "escalate: [[phone], [mail]]"
        names = [name for level in self.escalate for name in level]
        if any(not level for level in self.escalate):
            raise Unfit("escalate has a level without a channel", accepted="channels of `notify:`", example=example)
        if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
            raise Unfit(f"escalate names {twice!r} twice", accepted="each channel once", example=example)
        return self

    def policy(self, *, remote: bool) -> AlertPolicy:
        """These settings as the engine uses them; `remote`: OpenAlgo is on another host."""
        return AlertPolicy(
            self.escalate,
            self.after,
            self.undelivered,
            quiet=self.quiet == "sessions",
            around=self.around,
            remote=remote,
        )
