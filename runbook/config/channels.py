"""The form of what reaches people and the outside: `notify:` and `watch:`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from runbook.config.base import Model as _Model
from runbook.fault import Unfit


def _user(value: object) -> int:
    """The id of a person at Telegram: never a name, which can change hands."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{2,15}", text, re.ASCII):
        accepted = "the number of a person, as `runbook notify setup telegram` prints it"
        raise Unfit(f"{value!r:.40} is no user id", accepted=accepted, example="users: [123456789]")
    return int(text)


def _chat(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"-?[1-9][0-9]{2,15}", text, re.ASCII):
        accepted = "the number of a chat, negative for a group, as `runbook notify setup telegram` prints it"
        raise Unfit(f"{value!r:.40} is no chat id", accepted=accepted, example="chat: 123456789")
    return int(text)


class Telegram(_Model):
    """A bot of runbook's own: it sends with buttons, and listens to `users` and nobody else."""

    token: str | None = Field(None, json_schema_extra={"secret": True})
    token_file: str | None = Field(None, description="a file that holds the token, readable by you alone")
    chat: Annotated[int, BeforeValidator(_chat)] | None = Field(
        None, description="the chat to send to", examples=[123456789]
    )
    users: tuple[Annotated[int, BeforeValidator(_user)], ...] = Field(
        (), description="a list of the user ids that are listened to; [] for nobody", examples=["[123456789]"]
    )

    @model_validator(mode="after")
    def _one(self) -> Telegram:
        if (self.token is None) == (self.token_file is None):
            example = "token_file: ~/.runbook/bot"
            raise Unfit("neither or both of token and token_file", accepted="one of them", example=example)
        return self


class Channel(_Model):
    """One way to reach a person: any Apprise URL, given or in a file; or a bot of runbook's own."""

    url: str | None = Field(None, json_schema_extra={"secret": True})
    url_file: str | None = None
    telegram: Telegram | None = None

    @model_validator(mode="after")
    def _one(self) -> Channel:
        if sum(given is not None for given in (self.url, self.url_file, self.telegram)) != 1:
            raise Unfit(
                "none or several of url, url_file and telegram",
                accepted="one of them",
                example="url_file: ~/.runbook/phone",
            )
        return self


def as_channel(value: object) -> object:
    """A channel given as a bare URL, in the long form."""
    return {"url": value} if isinstance(value, str) else value


class PingUrl(_Model):
    """The address of a check of a dead-man's switch, given or in a file."""

    url: str | None = Field(None, json_schema_extra={"secret": True})
    url_file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> PingUrl:
        if (self.url is None) == (self.url_file is None):
            raise Unfit("neither or both of url and url_file", accepted="one of them", example="url_file: ping")
        return self


class WatchTheWatcher(_Model):
    """Who notices that runbook itself is gone: a dead-man's switch outside, and a second process on this host."""

    ping: Annotated[PingUrl, BeforeValidator(as_channel)] | None = Field(
        None,
        description="a ping URL as healthchecks has them, asked each minute of every day",
        examples=["${PING_URL}"],
    )
    milestones: Annotated[PingUrl, BeforeValidator(as_channel)] | None = Field(
        None, description="a second one, for each day: /start, ready or /fail, closed", examples=["${MILESTONES_URL}"]
    )
    to: tuple[str, ...] | None = Field(
        None, description="the channels that `runbook watch` uses; all of notify: unless given", examples=["[phone]"]
    )
