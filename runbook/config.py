"""The site's `config.yaml`, parsed once into frozen types; one error lists every fault with its line and an example."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from runbook import defaults
from runbook.alert import Severity
from runbook.errors import ConfigError
from runbook.fault import Document, Fault, Unfit, faults_from_validation, nearest
from runbook.fault import Path as Key
from runbook.job import IfLate, JobSpec, OnAbandoned, load, target
from runbook.symbols import Symbol, parse_symbol
from runbook.trigger import Anchor, At, Every, format_duration, order_fault, parse_duration


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


_text = PlainSerializer(str)
Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
AnchorText = Annotated[Anchor, BeforeValidator(Anchor.parse), _text]
SymbolText = Annotated[Symbol, BeforeValidator(parse_symbol), _text]


def _url(schemes: tuple[str, ...], example: str) -> BeforeValidator:
    def check(value: object) -> str:
        if isinstance(value, str):
            parts = urlsplit(value)
            if parts.scheme in schemes and parts.hostname:
                return value.rstrip("/")
        accepted = f"an address that begins with {' or '.join(f'{s}://' for s in schemes)}"
        raise Unfit("it is no address of that kind", accepted=accepted, example=example)

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


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False)


class OpenAlgo(_Model):
    """Where the gateway is. `stream` and `dashboard` follow from `url` unless given."""

    url: Annotated[str, _url(("http", "https"), "http://127.0.0.1:5000")]
    api_key: str | None = Field(
        None, description="the key from OpenAlgo's API Key page", examples=["${OPENALGO_API_KEY}"]
    )
    api_key_file: str | None = Field(None, description="a file that holds the key, readable by you alone")
    stream: Annotated[str, _url(("ws", "wss"), "ws://127.0.0.1:8765")] | None = None
    dashboard: Annotated[str, _url(("http", "https"), "https://algo.example.in")] | None = None


class Trades(_Model):
    """The bot's own trade log."""

    files: str
    format: Literal["csv", "jsonl"] = "csv"
    zone: Annotated[ZoneInfo, BeforeValidator(_zone), _text] = ZoneInfo("Asia/Kolkata")
    fields: dict[str, str] = Field(default_factory=dict)
    trust: dict[Literal["time"], Literal["exact", "second", "logged_late", "unknown"]] = Field(default_factory=dict)


def _trades(value: object) -> object:
    return {"files": value} if isinstance(value, str) else value


class Bot(_Model):
    """What runbook may look at of the bot; all optional."""

    trades: Annotated[Trades, BeforeValidator(_trades)] | None = None
    unit: str | None = None
    log: str | None = None


class Channel(_Model):
    """One way to reach a person: any Apprise URL, given or in a file."""

    url: str | None = Field(None, json_schema_extra={"secret": True})
    url_file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Channel:
        if (self.url is None) == (self.url_file is None):
            raise Unfit(
                "neither or both of url and url_file", accepted="one of them", example="url_file: ~/.runbook/phone"
            )
        return self


def _channel(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class Rest(_Model):
    """The share of the broker's quota that all REST polling of runbook may use."""

    max_per_hour: int = Field(2000, ge=60, le=100_000, description="60 to 100000 requests an hour", examples=[2000])


class Feed(_Model):
    """The guide's figures."""

    detect: Literal["timers"] = Field("timers", description="timers (the guide's 60 s and 120 s)", examples=["timers"])
    warn_after: Duration = timedelta(seconds=60)
    fallback_after: Duration = timedelta(seconds=120)
    poll_every: Duration = timedelta(seconds=1.5)
    bot_served: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Feed:
        if not self.warn_after < self.fallback_after:
            raise Unfit(
                "warn_after is not before fallback_after",
                accepted="a warning before the fallback",
                example="60s and 120s",
            )
        return self


class AlertTo(_Model):
    """How loud a job's failure is, and who is told; every channel unless `to` names some."""

    severity: Severity = Severity.WARNING
    to: tuple[str, ...] | None = None


class Job(_Model):
    """One entry of `jobs:`."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", description="small letters, digits and _", examples=["check_feed"]
    )
    run: Annotated[str, BeforeValidator(_run)]
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
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    if_late: IfLate = IfLate.RUN
    on_abandoned: OnAbandoned = OnAbandoned.RERUN
    catch_up_sessions: int = Field(0, ge=0, le=20)
    resident: bool = False
    enabled: bool = True
    alert: AlertTo = AlertTo()
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

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
        if self.at is not None and self.latest_start is not None:
            for anchor in self.at:
                if fault := order_fault(anchor, self.latest_start):
                    raise Unfit(f"{self.name}: {fault}", accepted="latest_start after each anchor", example="close-15m")
        return self

    def spec(self) -> JobSpec:
        """The entry as the engine uses it."""
        trigger: At | Every
        if self.every is not None and self.from_ is not None and self.until is not None:
            trigger = Every(self.every, self.from_, self.until)
        else:
            trigger = At(self.at or ())
        return JobSpec(
            self.name, self.run, trigger, self.timeout.total_seconds(), self.latest_start, self.deadline,
            self.repeat_until_ok, self.needs, self.after, self.if_late, self.on_abandoned, self.catch_up_sessions,
            self.resident, self.alert.severity, self.alert.to, self.with_,
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
    notify: dict[str, Annotated[Channel, BeforeValidator(_channel)]] = Field(default_factory=dict)
    database: str = Field(
        "sqlite:///runbook.db", description="an SQLAlchemy URL of SQLite", examples=["sqlite:///runbook.db"]
    )
    rest: Rest = Field(default_factory=Rest)
    feed: Feed = Field(default_factory=Feed)
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must never be shown. `missing` lists what the file asks for and the environment does not hold."""

    api_key: str | None
    channels: Mapping[str, str]
    missing: tuple[Fault, ...] = ()

    def values(self) -> Iterator[str]:
        """Each secret text, for the redactor: the URLs whole, and their parts that carry a token."""
        if self.api_key:
            yield self.api_key
        for url in self.channels.values():
            yield url
            parts = urlsplit(url)
            yield from (
                text for text in (parts.password, parts.netloc, parts.path.strip("/")) if text and len(text) >= 8
            )


@dataclass(frozen=True, slots=True)
class Config:
    """A site that loaded. Nothing in `settings` is a secret; those are in `secrets` and leave only through doors."""

    site: Path
    settings: Settings
    jobs: tuple[JobSpec, ...]
    secrets: Secrets = field(repr=False)
    hash: str = ""
    notes: tuple[str, ...] = ()

    def job(self, name: str) -> JobSpec | None:
        return next((job for job in self.jobs if job.name == name), None)

    @property
    def stream_url(self) -> str:
        return self.settings.openalgo.stream or derived_stream(self.settings.openalgo.url)

    @property
    def dashboard(self) -> str:
        return self.settings.openalgo.dashboard or self.settings.openalgo.url

    @property
    def database_path(self) -> Path:
        """The SQLite file, beside config.yaml unless the URL is absolute."""
        return (self.site / self.settings.database.removeprefix("sqlite:///")).resolve()

    def merged(self) -> dict[str, Any]:
        """The file with every default filled in and secrets masked, for `config show` and the ledger."""
        shown = self.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
        shown["openalgo"]["stream"] = self.stream_url
        if self.secrets.api_key or "api_key" in shown["openalgo"]:
            shown["openalgo"]["api_key"] = "***"
        shown["notify"] = {name: mask_url(self.secrets.channels.get(name, "")) for name in self.settings.notify}
        return shown


def derived_stream(url: str) -> str:
    """The stream's address where none is given: bare http means port 8765 beside it, https means nginx's /ws."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.scheme == "https":
        return f"wss://{host}{f':{parts.port}' if parts.port else ''}/ws"
    return f"ws://{host}:8765"


def mask_url(url: str) -> str:
    """The kind of a channel and nothing of its secrets: `tgram://***`."""
    return f"{url.partition('://')[0]}://***" if "://" in url else "not set"


_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Za-z_]\w*)(?::\?(?P<message>[^}]*))?\}", re.ASCII)


class _Expander:
    """Fills in `${ENV}`; remembers which values came from outside, and which are missing."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self.missing: list[Fault] = []
        self.filled: set[Key] = set()

    def expand(self, value: Any, path: Key = ()) -> Any:
        if isinstance(value, dict):
            return {k: self.expand(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*path, i)) for i, v in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return _VARIABLE.sub(lambda m: self._one(m, path), value)
        return value

    def _one(self, match: re.Match[str], path: Key) -> str:
        if match[0] == "$$":
            return "$"
        self.filled.add(path)
        if found := self._environment.get(match["name"]):
            return found
        why = match["message"] or f"environment variable {match['name']} is not set"
        self.missing.append(
            self._document.fault(
                path, f"missing secret: {why}", "the variable in the environment", f"export {match['name']}=..."
            )
        )
        return match[0]


def parse(document: Document, site: Path, environment: Mapping[str, str]) -> Config:
    """A Config from a document; raises ConfigError with every fault that can be found.

    A missing secret is no fault here: it is listed in `secrets.missing`, and only what needs it refuses to go on.
    """
    expander = _Expander(document, environment)
    data = expander.expand(document.data)
    faults: list[Fault] = []
    jobs, lines = _with_defaults(data.get("jobs"))
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(data | ({"jobs": jobs} if jobs is not None else {}))
    except ValidationError as exc:
        shadow = Document(
            document.path, document.data | ({"jobs": jobs} if jobs is not None else {}), _shifted(document, lines)
        )
        faults += faults_from_validation(exc, shadow, Settings)
    if settings is None:
        raise ConfigError(faults)
    where = Document(document.path, document.data, _shifted(document, lines))
    faults += _crossed(settings, where, site)
    secrets, more = _secrets(settings, expander, where, site)
    faults += more
    if faults:
        raise ConfigError(sorted(faults, key=lambda f: f.line or 0))
    specs = tuple(job.spec() for job in settings.jobs if job.enabled)
    shown = Config(site, settings, specs, secrets)
    digest = hashlib.sha256(json.dumps(shown.merged(), sort_keys=True).encode()).hexdigest()[:12]
    return Config(site, settings, specs, secrets, digest, tuple(_notes(settings)))


def _with_defaults(given: object) -> tuple[list[Any] | None, list[int | None]]:
    """The shipped jobs with the operator's entries laid over them by name; and for each, its place in the file."""
    if given is not None and not isinstance(given, list):
        return None, []
    entries: list[Any] = [dict(job) for job in defaults.JOBS]
    places: list[int | None] = [None] * len(entries)
    names = {job["name"]: i for i, job in enumerate(entries)}
    for i, entry in enumerate(given or []):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in names and places[names[name]] is None:
            base = entries[names[name]]
            if {"at", "every"} & entry.keys():  # a new trigger replaces the old one whole
                base = {k: v for k, v in base.items() if k not in ("at", "every", "from", "until")}
            entries[names[name]] = base | entry
            places[names[name]] = i
        else:
            entries.append(entry)
            places.append(i)
    return entries, places


def _shifted(document: Document, places: list[int | None]) -> dict[Key, int]:
    """The lines of the file, with those of `jobs` moved to where each entry lies after the defaults were laid under."""
    lines = {path: line for path, line in document.lines.items() if path[:1] != ("jobs",) or len(path) == 1}
    for new, old in enumerate(places):
        if old is not None:
            moved = (p for p in document.lines if p[:2] == ("jobs", old))
            lines |= {("jobs", new, *p[2:]): document.lines[p] for p in moved}
    return lines


def _crossed(settings: Settings, where: Document, site: Path) -> Iterator[Fault]:
    """Faults that only show when two parts of the file are held against each other, or against the site's folder."""
    names = [job.name for job in settings.jobs]
    for i, job in enumerate(settings.jobs):
        if names.index(job.name) != i:
            yield where.fault(("jobs", i, "name"), f"{job.name!r} stands twice", "each name once")
        for key, wanted in (("needs", job.needs), ("after", job.after)):
            for name in wanted:
                if name not in names or name == job.name:
                    others = [n for n in names if n != job.name]
                    yield where.fault(("jobs", i, key), f"no job {name!r}", nearest(name, others) + ", ".join(others))
        for channel in job.alert.to or ():
            if channel not in settings.notify:
                known = list(settings.notify)
                accepted = nearest(channel, known) + (", ".join(known) or "a channel of `notify:` (there is none yet)")
                yield where.fault(("jobs", i, "alert", "to"), f"no channel {channel!r}", accepted)
        if job.enabled:
            try:
                load(job.run, site)
            except Unfit as exc:
                yield where.fault(
                    ("jobs", i, "run"), str(exc.args[0]), exc.accepted, exc.example or "jobs.check_feed:check"
                )
            except ConfigError as exc:
                yield from (where.fault(("jobs", i, "run"), f.found, f.accepted) for f in exc.faults)
    if not settings.database.startswith("sqlite:///"):
        yield where.fault(("database",), "not SQLite", "sqlite:/// and a path", "sqlite:///runbook.db")


def _secrets(settings: Settings, expander: _Expander, where: Document, site: Path) -> tuple[Secrets, list[Fault]]:
    faults: list[Fault] = []
    missing = list(expander.missing)
    key: str | None = settings.openalgo.api_key
    unset = {fault.path for fault in missing}
    if settings.openalgo.api_key_file is not None:
        if key is not None:
            faults.append(where.fault(("openalgo", "api_key_file"), "both api_key and api_key_file", "one of them"))
        key = _secret_file(settings.openalgo.api_key_file, ("openalgo", "api_key_file"), where, site, faults, missing)
    elif key is None:
        found = "missing secret: no api_key"
        missing.append(
            where.fault(
                ("openalgo", "api_key"), found, "the key from OpenAlgo's API Key page", "api_key: ${OPENALGO_API_KEY}"
            )
        )
    channels: dict[str, str] = {}
    for name, channel in settings.notify.items():
        url = channel.url
        if channel.url_file is not None:
            url = _secret_file(channel.url_file, ("notify", name, "url_file"), where, site, faults, missing)
        if url and f"notify.{name}" not in unset and f"notify.{name}.url" not in unset:
            channels[name] = url
    literal = [("openalgo", "api_key")] if settings.openalgo.api_key else []
    literal += [("notify", n) for n, c in settings.notify.items() if c.url]
    held = [p for p in literal if not any(f[: len(p)] == p for f in expander.filled)]
    if held and _world_readable(site / "config.yaml"):
        accepted = "mode 600, or the secret in the environment"
        faults += [
            where.fault(p, "a secret in a file that everyone on this host can read", accepted, "chmod 600 config.yaml")
            for p in held
        ]
    return Secrets(None if "openalgo.api_key" in unset else key, channels, tuple(missing)), faults


def _secret_file(
    name: str, path: Key, where: Document, site: Path, faults: list[Fault], missing: list[Fault]
) -> str | None:
    file = site / Path(name).expanduser()
    try:
        if _world_readable(file):
            faults.append(
                where.fault(path, f"{name} can be read by everyone on this host", "mode 600", f"chmod 600 {name}")
            )
            return None
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        missing.append(
            where.fault(path, f"missing secret: {name} cannot be read: {why}", "a file with the secret on one line")
        )
        return None
    if not text or "\n" in text:
        missing.append(
            where.fault(path, f"missing secret: {name} does not hold one line", "the secret alone on one line")
        )
        return None
    return text


def _world_readable(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def _notes(settings: Settings) -> Iterator[str]:
    """What is allowed, but should be known."""
    if not settings.notify:
        yield "notify: no channel, so nobody will be told of anything"
    if settings.bot.unit or settings.bot.log:
        yield "bot.unit and bot.log are kept, but this version does not look at them yet"
    if settings.bot.trades is None:
        yield "bot.trades: none, so paper trades cannot be reconciled"
    if settings.exchange == "NSE":
        yield "exchange NSE is the cash market: options trade on NFO, whose close differs since 2026-08-03"


def environment() -> Mapping[str, str]:
    """The process environment, read in one place."""
    return os.environ
