"""What every part of the form is made of."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from runbook.fault import Unfit
from runbook.trigger import format_duration, parse_duration


class Model(BaseModel):
    """Frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False)


def _length(value: object) -> timedelta:
    length = parse_duration(value)
    if not length:
        raise Unfit(f"{value!r} is no time at all", accepted="more than nothing", example="30s")
    return length


Duration = Annotated[timedelta, BeforeValidator(_length), PlainSerializer(format_duration)]


def _unit(value: object) -> str:
    """A systemd unit; nothing else may reach a command line."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9@_.:-]{0,200}", value):
        accepted = "letters, digits and @ _ . : -"
        raise Unfit(f"{value!r} is no unit of systemd", accepted=accepted, example="openalgo.service")
    return value


UnitName = Annotated[str, BeforeValidator(_unit)]
