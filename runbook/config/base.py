"""What the forms of the site's parts are made of: the strict model, and the kinds of value they share."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from runbook.fault import Unfit
from runbook.trigger import Anchor, format_duration, parse_duration

text = PlainSerializer(str)


class Model(BaseModel):
    """Frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False)


def _length(value: object) -> timedelta:
    length = parse_duration(value)
    if not length:
        raise Unfit(f"{value!r} is no time at all", accepted="more than nothing", example="30s")
    return length


Duration = Annotated[timedelta, BeforeValidator(_length), PlainSerializer(format_duration)]
AnchorText = Annotated[Anchor, BeforeValidator(Anchor.parse), text]
Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="small letters, digits and _", examples=["check_feed"])
]


def _unit(value: object) -> str:
    """A systemd unit; nothing else may reach a command line."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9@_.:-]{0,200}", value):
        accepted = "letters, digits and @ _ . : -"
        raise Unfit(f"{value!r} is no unit of systemd", accepted=accepted, example="openalgo.service")
    return value


UnitName = Annotated[str, BeforeValidator(_unit)]
