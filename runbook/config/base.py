"""What the forms of the site's parts are made of: the strict model, and the kinds of value they share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from runbook.fault import Unfit
from runbook.trigger import Anchor, format_duration, parse_duration

text = PlainSerializer(str)


class Model(BaseModel):
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
