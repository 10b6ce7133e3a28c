"""The form of `config.yaml`: every key, its type, its default, and what is accepted in words."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from runbook.alert import Severity
from runbook.config.acting import Command, Remedy
from runbook.config.acting import Name as CommandName
from runbook.config.alerting import Alerts
from runbook.config.base import AnchorText, Duration, Name, UnitName, text
from runbook.config.base import Model as _Model
from runbook.config.question import Question, StandingQuestion
from runbook.fault import Unfit
from runbook.job import IfLate, JobSpec, OnAbandoned, Retries, target
from runbook.symbols import Symbol, parse_symbol
from runbook.trigger import Anchor, At, Every, format_duration, order_fault, room


class Mode(StrEnum):
    """What the bot is declared to do, and so where its orders should be found.

    local_paper: the bot fills paper orders itself; the gateway is live and its books stay empty.
    analyzer: the bot sends orders to OpenAlgo's sandbox. live: to the broker.
    """

    LOCAL_PAPER = "local_paper"
    ANALYZER = "analyzer"
    LIVE = "live"

    @property
    def gateway(self) -> str:
        """The switch OpenAlgo must stand on: live, or analyze."""
        return "analyze" if self is Mode.ANALYZER else "live"


SymbolText = Annotated[Symbol, BeforeValidator(parse_symbol), text]


def _url(schemes: tuple[str, ...], example: str) -> BeforeValidator:
    def check(value: object) -> str:
        accepted = f"an address that begins with {' or '.join(f'{s}://' for s in schemes)}"
        try:
            parts = urlsplit(value if isinstance(value, str) else "")
            good = parts.scheme in schemes and parts.hostname and parts.port != 0
        except ValueError:  # a port that is none, half an IPv6 address
            good = False
        if not isinstance(value, str) or not good:
            raise Unfit("it is no address of that kind", accepted=accepted, example=example)
        if parts.username is not None:
            raise Unfit("it holds a user or a password", accepted=f"{accepted}, without either", example=example)
        return value.rstrip("/")

    return BeforeValidator(check)


def _anchors(value: object) -> tuple[Anchor, ...]:
    return At(tuple(Anchor.parse(item) for item in (value if isinstance(value, list) else [value]))).anchors


def _run(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{value!r} names no step", accepted="folder.file:function", example="jobs.check_feed:check")
    target(value)
    return value


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise Unfit(f"{value!r} is no time zone", accepted="a name of the tz database", example="Asia/Kolkata") from exc


class OpenAlgo(_Model):
    """Where the gateway is. `stream` and `dashboard` follow from `url` unless given; `unit` is what systemd calls it there."""

    url: Annotated[str, _url(("http", "https"), "http://127.0.0.1:5000")]
    api_key: str | None = Field(
        None, description="the key from OpenAlgo's API Key page", examples=["${OPENALGO_API_KEY}"]
    )
    api_key_file: str | None = Field(None, description="a file that holds the key, readable by you alone")
    stream: Annotated[str, _url(("ws", "wss"), "ws://127.0.0.1:8765")] | None = None
    dashboard: Annotated[str, _url(("http", "https"), "https://algo.example.in")] | None = None
    unit: UnitName = "openalgo"


class Trades(_Model):
    """The bot's own trade log."""

    files: str
    format: Literal["csv", "jsonl"] = "csv"
    zone: Annotated[ZoneInfo, BeforeValidator(_zone), text] = ZoneInfo("Asia/Kolkata")
    fields: dict[str, str] = Field(default_factory=dict)
    trust: dict[Literal["time"], Literal["exact", "second", "logged_late", "unknown"]] = Field(default_factory=dict)


def _tick_file(value: object) -> str:
    """A path, a glob, or `path.db::table.column`."""
    _, mark, column = str(value).partition("::")
    if (
        not isinstance(value, str)
        or not value.strip()
        or (mark and not re.fullmatch(r"[A-Za-z_]\w*\.[A-Za-z_]\w*", column))
    ):
        accepted = "a file that grows with each tick, a pattern of them, or FILE::TABLE.COLUMN of an SQLite file"
        raise Unfit(f"{value!r} is no tick file", accepted=accepted, example="~/OA/data/ticks.db::ticks.id")
    return value


def _trades(value: object) -> object:
    return {"files": value} if isinstance(value, str) else value


class Bot(_Model):
    """What runbook may look at of the bot; all optional."""

    trades: Annotated[Trades, BeforeValidator(_trades)] | None = None
    ticks: Annotated[str, BeforeValidator(_tick_file)] | None = None
    heartbeat: Annotated[str, _url(("http", "https"), "http://127.0.0.1:8080/health")] | None = None
    log: str | None = None
    unit: UnitName | None = None


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


class Rest(_Model):
    """The share of the broker's quota that all REST polling of runbook may use."""

    max_per_hour: int = Field(2000, ge=60, le=100_000, description="60 to 100000 requests an hour", examples=[2000])


def _relay(value: object) -> str:
    """An address to listen on: ws://HOST:PORT and nothing more."""
    accepted, example = "ws://HOST:PORT, without a path", "ws://127.0.0.1:8766"
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        port = parts.port
    except ValueError:  # a port that is none, half an IPv6 address
        parts, port = urlsplit(""), None
    if parts.username is not None:  # not quoted: it may hold a password
        raise Unfit("an address with a user in it", accepted=accepted, example=example)
    if parts.scheme != "ws" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise Unfit(f"{value!r:.80} is no address to listen on", accepted=accepted, example=example)
    if not port:
        raise Unfit(f"{value!r:.80} names no port", accepted=f"{accepted}, a port from 1 to 65535", example=example)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"ws://{host}:{port}"


def is_loopback(address: str) -> bool:
    """Whether only this host can reach `address`."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Feed(_Model):
    """How a silent feed is found, the guide's figures, which need no probe and hold either way, and where the bot is served."""

    detect: Literal["probe", "timers"] = Field(
        "probe", description="probe (REST is asked about a silence) or timers (the guide's 60 s and 120 s alone)",
        examples=["probe"],
    )  # fmt: skip
    warn_after: Duration = timedelta(seconds=60)
    fallback_after: Duration = timedelta(seconds=120)
    poll_every: Duration = timedelta(seconds=1.5)
    bot_served: bool = False
    stay_away: Duration | None = Field(
        None, description="how long the socket stays closed when reopening is the cure, so that the bot's own reconnect finds nobody else there; 75s, or 2s beside a relay",
        examples=["75s"],
    )  # fmt: skip
    follow: tuple[Literal["orders", "bot"], ...] = Field(
        ("bot",), description="a list: orders (OpenAlgo's order book and stream), bot (its log and trade log); [] for none",
        examples=["[orders, bot]"],
    )  # fmt: skip
    relay: Annotated[str, BeforeValidator(_relay)] | None = Field(
        None, description="where to serve the bot: ws://HOST:PORT", examples=["ws://127.0.0.1:8766"]
    )
    relay_public: bool = False

    @model_validator(mode="after")
    def _near(self) -> Feed:
        if self.relay is not None and not self.relay_public and not is_loopback(self.relay):
            raise Unfit(
                f"relay {self.relay} can be reached from other hosts, and the API key would travel in clear",
                accepted="an address of this host alone, or relay_public: true beside it",
                example="relay: ws://127.0.0.1:8766",
            )
        return self

    @model_validator(mode="after")
    def _ordered(self) -> Feed:
        if not self.warn_after < self.fallback_after:
            raise Unfit(
                "warn_after is not before fallback_after",
                accepted="a warning before the fallback",
                example="60s and 120s",
            )
        return self


class Ticks(_Model):
    """What becomes of recorded ticks; about 3 MB a session once it is over."""

    keep_sessions: int = Field(60, ge=1, le=5000, description="1 to 5000 sessions", examples=[60])


def _span(left: timedelta) -> str:
    return format_duration(left) if left > timedelta() else "none"


def _folder(value: object) -> str:
    """A folder; a relative one lies beside the database."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        accepted = "a folder, relative to the database or absolute"
        raise Unfit(f"{value!r} is no folder", accepted=accepted, example="backups")
    return value.strip()


class BackupTo(_Model):
    """The day's copy of the database, which the step backup_db makes after the close."""

    keep: int = Field(14, ge=1, le=1000, description="1 to 1000 daily copies", examples=[14])
    folder: Annotated[str, BeforeValidator(_folder)] = Field(
        "backups", description="a folder, relative to the database or absolute", examples=["~/backups/runbook"]
    )


class Retention(_Model):
    """What becomes of old rows. Nothing is removed before a backup of it was proved."""

    repeats_sessions: int = Field(
        30, ge=10, le=5000, description="10 to 5000 sessions whose repeats are kept row by row", examples=[30]
    )


class AlertTo(_Model):
    """How loud a job's failure is, and who is told; every channel unless `to` names some."""

    severity: Severity = Severity.WARNING
    to: tuple[str, ...] | None = None


class Again(_Model):
    """How often a failed attempt is made again: `max` times, `backoff` and then twice as long after each, never after `until`."""

    max: int = Field(ge=1, le=10, description="1 to 10 further attempts", examples=[3])
    backoff: Duration = timedelta(seconds=30)
    until: AnchorText | None = None


class Job(_Model):
    """One entry of `jobs:`."""

    name: Name
    kind: Literal["step", "command", "manual"] = Field(
        "step", description="step (a function runs it), command (an entry of `commands:`) or manual (a person does it, and is asked)",
        examples=["manual"],
    )  # fmt: skip
    command: str | None = Field(None, description="a name under `commands:`", examples=["restart_openalgo"])
    run: Annotated[str, BeforeValidator(_run)] | None = Field(None, validate_default=True)
    ask: Question | None = None
    at: (
        Annotated[tuple[Anchor, ...], BeforeValidator(_anchors), PlainSerializer(lambda v: [str(a) for a in v])] | None
    ) = None
    every: Duration | None = None
    from_: AnchorText | None = Field(None, alias="from")
    until: AnchorText | None = None
    repeat_until_ok: Duration | None = None
    latest_start: AnchorText | None = None
    deadline: AnchorText | None = None
    timeout: Duration = timedelta(seconds=60)
    retries: Again | None = None
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    if_late: IfLate = IfLate.RUN
    on_abandoned: OnAbandoned = OnAbandoned.RERUN
    catch_up_sessions: int = Field(0, ge=0, le=20)
    resident: bool = False
    acts: bool = False
    enabled: bool = True
    alert: AlertTo = AlertTo()
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

    @field_validator("run", mode="before")
    @classmethod
    def _needed(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.data.get("kind") == "step" and info.data.get("command") is None:
            raise PydanticKnownError("missing")
        return value

    @model_validator(mode="after")
    def _what(self) -> Job:
        """An entry of the allow-list, or none of it."""
        if self.kind == "command":
            if self.command is None or self.run is not None:
                found = f"{self.name}: kind: command with {'run' if self.run else 'neither run nor command'}"
                raise Unfit(
                    found,
                    accepted="`command:`, a name under `commands:`, and no `run:`",
                    example="command: restart_openalgo",
                )
            again = "repeat_until_ok" if self.repeat_until_ok else ""
            again = again or ("on_abandoned: rerun" if self._or("on_abandoned", None) is OnAbandoned.RERUN else "")
            if self.acts and again:
                raise Unfit(
                    f"{self.name}: acts with {again}",
                    accepted="a command that acts runs once",
                    example="on_abandoned: fail",
                )
        elif self.command is not None:
            example = "{name: mend, kind: command, command: restart_openalgo, at: close+30m}"
            raise Unfit(
                f"{self.name}: command without kind: command", accepted="kind: command beside it", example=example
            )
        return self

    def _or(self, key: str, of_commands: Any) -> Any:
        """What is said under `key`; where nothing is, commands have a default of their own: one is not run by itself again."""
        return of_commands if self.kind == "command" and key not in self.model_fields_set else getattr(self, key)

    @model_validator(mode="after")
    def _whose(self) -> Job:
        """A person or a function, and not both."""
        question = "ask: {question: ..., default: not_done, deadline: open-5m}"
        if self.kind != "manual":
            if self.ask is not None:
                raise Unfit(
                    f"{self.name}: ask goes with kind: manual",
                    accepted="kind: manual with ask, and no run",
                    example=question,
                )
        elif self.ask is None or self.run is not None:
            raise Unfit(
                f"{self.name}: a manual step has {'no run' if self.run else 'ask'}",
                accepted="ask, and no run",
                example=question,
            )
        elif self.every is not None or self.repeat_until_ok is not None:
            raise Unfit(
                f"{self.name}: nobody can be asked again and again",
                accepted="at, without every and repeat_until_ok",
                example="at: [open-45m]",
            )
        else:
            for anchor in self.at or ():
                if fault := order_fault(anchor, self.ask.deadline):
                    raise Unfit(
                        f"{self.name}: ask.deadline: {fault}",
                        accepted="a deadline after each anchor",
                        example="open-5m",
                    )
        if self.every is not None and (self.if_late is IfLate.ASK or self.on_abandoned is OnAbandoned.ASK):
            raise Unfit(
                f"{self.name}: a repeat asks nobody",
                accepted="if_late and on_abandoned: ask with at",
                example="if_late: run",
            )
        return self

    @model_validator(mode="after")
    def _when(self) -> Job:
        example = "`at: [open-45m]`, or `every: 30s` with `from: open` and `until: close`"
        if (self.at is None) == (self.every is None):
            raise Unfit(
                f"{self.name} says not once when it runs",
                accepted="either at, or every with from and until",
                example=example,
            )
        if self.every is not None and (self.from_ is None or self.until is None):
            raise Unfit(f"{self.name}: every needs from and until", accepted="both", example=example)
        if self.every is None and (self.from_ is not None or self.until is not None):
            raise Unfit(
                f"{self.name}: from and until go with every", accepted="every, from, until together", example=example
            )
        if self.every is not None and self.from_ is not None and self.until is not None:
            if fault := order_fault(self.from_, self.until):
                raise Unfit(f"{self.name}: {fault}", accepted="from before until", example=example)
            Every(self.every, self.from_, self.until)
        if self.repeat_until_ok is not None and self.repeat_until_ok < timedelta(seconds=1):
            raise Unfit(f"{self.name}: repeat_until_ok is too often", accepted="at least 1s", example="1m")
        if self.at is not None and self.latest_start is not None:
            for anchor in self.at:
                if fault := order_fault(anchor, self.latest_start):
                    raise Unfit(f"{self.name}: {fault}", accepted="latest_start after each anchor", example="close-15m")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Job:
        """A step that cannot end in its time even when all goes as written is a fault of the file."""
        if self.every is not None and self.timeout > self.every:
            found = f"{self.name}: timeout {format_duration(self.timeout)} is longer than every {format_duration(self.every)}"
            raise Unfit(found, accepted="an attempt that ends before the next is due", example="timeout: 10s")
        if self.retries is not None and (why := self._no_retries()):
            raise Unfit(f"{self.name}: {why}", accepted="retries of a step that runs at an anchor and only looks",
                        example="retries: {max: 3, backoff: 30s}")  # fmt: skip
        retries = self.spec().retries
        attempts = 1 if retries is None else 1 + retries.most
        needed = attempts * self.timeout + (retries.waits if retries else timedelta())
        ends = {"latest_start": self.latest_start, "retries.until": retries.until if retries else None}
        for anchor in self.at or ():
            for name, end in ends.items():
                # the last attempt must be able to begin; what it then takes is its own
                if retries and end is not None and (left := room(anchor, end)) is not None and needed > left:
                    found = f"{self.name}: {attempts} attempts of {format_duration(self.timeout)} and the waits between them need {format_duration(needed)}"
                    raise Unfit(
                        f"{found}, and from {anchor} to {name} {end} there are {_span(left)}",
                        accepted="less retries, a shorter timeout or backoff, or a later end", example="retries: {max: 2, backoff: 30s}",
                    )  # fmt: skip
            left = None if self.deadline is None else room(anchor, self.deadline)
            if len(self.at or ()) == 1 and left is not None and self.timeout > left:
                found = f"{self.name}: timeout {format_duration(self.timeout)}, and from {anchor} to the deadline {self.deadline} there are {_span(left)}"
                raise Unfit(found, accepted="a deadline that one attempt can keep", example="deadline: open-5m")
        return self

    def _no_retries(self) -> str | None:
        if self.every is not None:
            return "`every` has its next firing, and no retries"
        if self.repeat_until_ok is not None:
            return "repeat_until_ok tries again already"
        return "what acts is not done again by itself after a failure" if self.acts else None

    def spec(self) -> JobSpec:
        """The entry as the engine uses it."""
        trigger: At | Every
        if self.every is not None and self.from_ is not None and self.until is not None:
            trigger = Every(self.every, self.from_, self.until)
        else:
            trigger = At(self.at or ())
        asks = self.ask.spec() if self.ask is not None else None
        latest = self.latest_start if asks is None else asks.deadline
        return JobSpec(
            self.name, f"command {self.command}" if self.command else self.run or "", trigger, self.timeout.total_seconds(), latest, self.deadline,
            self.repeat_until_ok, self.needs, self.after, self._or("if_late", IfLate.SKIP), self._or("on_abandoned", OnAbandoned.FAIL), self.catch_up_sessions,
            self.resident, self.acts, self.alert.severity, self.alert.to, self.with_,
            Retries(self.retries.max, self.retries.backoff, self.retries.until) if self.retries else None, asks, self.command,
        )  # fmt: skip


class Settings(_Model):
    """The whole file."""

    version: Literal[1] = Field(description="1, the only version there is", examples=[1])
    exchange: str = Field(
        "NFO", pattern=r"^[A-Z0-9/_]{1,12}$", description="the timetable that open and close mean", examples=["NFO"]
    )
    mode: Mode = Field(
        description="local_paper, analyzer or live: what the bot is declared to do", examples=["local_paper"]
    )
    openalgo: OpenAlgo
    symbols: tuple[SymbolText, ...] = Field(
        min_length=1, description="at least one symbol", examples=['[NIFTY, "NIFTY:fut"]']
    )
    bot: Bot = Bot()
    notify: dict[str, Annotated[Channel, BeforeValidator(as_channel)]] = Field(default_factory=dict)
    alerts: Alerts = Field(default_factory=Alerts)
    database: str = Field(
        "sqlite:///runbook.db", description="an SQLAlchemy URL of SQLite", examples=["sqlite:///runbook.db"]
    )
    rest: Rest = Field(default_factory=Rest)
    feed: Feed = Field(default_factory=Feed)
    ticks: Ticks = Field(default_factory=Ticks)
    watch: WatchTheWatcher = WatchTheWatcher()
    backup: BackupTo = Field(default_factory=BackupTo)
    retention: Retention = Field(default_factory=Retention)
    jobs: tuple[Job, ...] = ()
    asks: tuple[StandingQuestion, ...] = ()
    commands: dict[CommandName, Command] = Field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()
