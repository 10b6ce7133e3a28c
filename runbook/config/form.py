"""The form of `config.yaml`: every key, its type, its default, and what is accepted in words."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from runbook.config.acting import Command, Remedy
from runbook.config.acting import Name as CommandName
from runbook.config.alerting import Alerts
from runbook.config.base import Duration, UnitName, text
from runbook.config.base import Model as _Model
from runbook.config.channels import Channel, WatchTheWatcher, as_channel
from runbook.config.jobs import Job
from runbook.config.question import StandingQuestion
from runbook.fault import Unfit
from runbook.symbols import Symbol, parse_symbol


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
