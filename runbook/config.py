"""The site's `config.yaml`, parsed once into frozen types; one error lists every fault with its line and an example."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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


def _length(value: object) -> timedelta:
    length = parse_duration(value)
    if not length:
        raise Unfit(f"{value!r} is no time at all", accepted="more than nothing", example="30s")
    return length


Duration = Annotated[timedelta, BeforeValidator(_length), PlainSerializer(format_duration)]
AnchorText = Annotated[Anchor, BeforeValidator(Anchor.parse), _text]
SymbolText = Annotated[Symbol, BeforeValidator(parse_symbol), _text]


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
        if self.repeat_until_ok is not None and self.repeat_until_ok < timedelta(seconds=1):
            raise Unfit(f"{self.name}: repeat_until_ok is too often", accepted="at least 1s", example="1m")
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
    """What must never be shown. `missing` lists what the file asks for and the environment does not hold.

    `given` is what the environment put into the `with:` of jobs: nobody here knows what a step needs a token for.
    """

    api_key: str | None
    channels: Mapping[str, str]
    missing: tuple[Fault, ...] = ()
    given: tuple[str, ...] = ()

    def values(self) -> Iterator[str]:
        """Each secret text, for the redactor: the URLs whole, and their parts that carry a token."""
        if self.api_key:
            yield self.api_key
        yield from self.given
        for url in self.channels.values():
            yield url
            try:
                parts = urlsplit(url)
            except ValueError:  # no URL at all: `config check` says so
                continue
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
        self.given: list[str] = []  # what was filled into the `with:` of a job

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
            if path[0] == "jobs" and path[2:3] == ("with",):
                self.given.append(found)
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
    jobs, places = _with_defaults(data.get("jobs"))
    written, _ = _with_defaults(document.data.get("jobs"))  # as it stands in the file: what faults may quote
    if jobs is not None:
        data |= {"jobs": jobs}
    where = Document(
        document.path, document.data | ({"jobs": written} if written is not None else {}), _shifted(document, places)
    )
    settings: Settings | None = None
    faults: list[Fault] = []
    try:
        settings = Settings.model_validate(data)
    except ValidationError as exc:
        faults += faults_from_validation(exc, where, Settings)
    secrets, more = _secrets(data, expander, where, site)
    refused = {fault.path for fault in faults}
    faults += [fault for fault in (*_crossed(data, where, site), *more) if fault.path not in refused]
    if settings is None or faults:
        raise ConfigError(_as_written(faults, places, data, expander.missing))
    specs = tuple(job.spec() for job in settings.jobs if job.enabled)
    shown = Config(site, _masked(settings, expander.filled, places), specs, secrets)
    digest = hashlib.sha256(json.dumps(shown.merged(), sort_keys=True).encode()).hexdigest()[:12]
    return replace(shown, hash=digest, notes=tuple(_notes(settings)))


def _as_written(
    faults: list[Fault], places: list[int | None], data: Mapping[str, Any], missing: list[Fault]
) -> list[Fault]:
    """The faults in the order of the file, each job by its place there; a shipped one that is not there by its name.

    What is wrong only because its variable is not set says so.
    """

    def placed(match: re.Match[str]) -> str:
        i = int(match[1])
        return f"jobs[{data['jobs'][i]['name'] if places[i] is None else places[i]}]"

    unset = {fault.path: fault for fault in missing}
    renamed = [replace(f, path=re.sub(r"^jobs\[(\d+)\]", placed, f.path)) for f in faults]
    return sorted((unset.get(f.path, f) for f in renamed), key=lambda f: f.line or 0)


def _masked(settings: Settings, filled: set[Key], places: list[int | None]) -> Settings:
    """The settings without a secret in them."""

    def mask(value: Any, path: Key) -> Any:
        if isinstance(value, dict):
            return {k: mask(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [mask(v, (*path, i)) for i, v in enumerate(value)]
        return "***" if path in filled else value

    jobs = [
        job if place is None else job.model_copy(update={"with_": mask(job.with_, ("jobs", place, "with"))})
        for job, place in zip(settings.jobs, places, strict=True)
    ]
    key = {} if settings.openalgo.api_key is None else {"api_key": "***"}
    channels = {
        name: channel if channel.url is None else channel.model_copy(update={"url": mask_url(channel.url)})
        for name, channel in settings.notify.items()
    }
    return settings.model_copy(
        update={"jobs": tuple(jobs), "openalgo": settings.openalgo.model_copy(update=key), "notify": channels}
    )


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


def _crossed(data: Mapping[str, Any], where: Document, site: Path) -> Iterator[Fault]:
    """Faults that only show when two parts of the file are held against each other, or against the site's folder.

    Looks at the plain data, so that one wrong value elsewhere hides none of these.
    """
    given = data.get("jobs")
    jobs = [_mapping(job) for job in given] if isinstance(given, list) else []
    names = [str(job.get("name")) for job in jobs]
    channels = list(_mapping(data.get("notify")))
    for i, job in enumerate(jobs):
        if names.index(names[i]) != i and "name" in job:
            yield where.fault(("jobs", i, "name"), f"{names[i]!r} stands twice", "each name once")
        for key in ("needs", "after"):
            for name in _texts(job.get(key)):
                if name not in names or name == names[i]:
                    others = [n for n in names if n != names[i]]
                    yield where.fault(("jobs", i, key), f"no job {name!r}", nearest(name, others) + ", ".join(others))
        for channel in _texts(_mapping(job.get("alert")).get("to")):
            if channel not in channels:
                accepted = nearest(channel, channels)
                accepted += ", ".join(channels) or "a channel of `notify:` (there is none yet)"
                yield where.fault(("jobs", i, "alert", "to"), f"no channel {channel!r}", accepted)
        if job.get("enabled") is not False and isinstance(job.get("run"), str):
            try:
                load(job["run"], site)
            except Unfit as exc:
                yield where.fault(
                    ("jobs", i, "run"), str(exc.args[0]), exc.accepted, exc.example or "jobs.check_feed:check"
                )
            except ConfigError as exc:
                yield from (where.fault(("jobs", i, "run"), f.found, f.accepted) for f in exc.faults)
    database = data.get("database")
    if isinstance(database, str) and not re.fullmatch(r"sqlite:///.*[^/]", database):
        yield where.fault(("database",), "no file of SQLite", "sqlite:/// and a path", "sqlite:///runbook.db")


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _secrets(data: Mapping[str, Any], expander: _Expander, where: Document, site: Path) -> tuple[Secrets, list[Fault]]:
    faults: list[Fault] = []
    missing = list(expander.missing)
    unset = {fault.path for fault in missing}
    openalgo = _mapping(data.get("openalgo"))
    key, key_file = (_text_of(openalgo, name) for name in ("api_key", "api_key_file"))
    if key_file is not None:
        if key is not None:
            faults.append(where.fault(("openalgo", "api_key_file"), "both api_key and api_key_file", "one of them"))
        key = _secret_file(key_file, ("openalgo", "api_key_file"), where, site, faults, missing)
    elif key is None:
        accepted, example = "the key from OpenAlgo's API Key page", "api_key: ${OPENALGO_API_KEY}"
        missing.append(where.fault(("openalgo", "api_key"), "missing secret: no api_key", accepted, example))
    channels: dict[str, str] = {}
    literal: list[Key] = [("openalgo", "api_key")] if _text_of(openalgo, "api_key") else []
    for name, given in _mapping(data.get("notify")).items():
        channel = _mapping(_channel(given))
        url, url_file = _text_of(channel, "url"), _text_of(channel, "url_file")
        if url:
            literal.append(("notify", name))
        if url_file is not None:
            url = _secret_file(url_file, ("notify", name, "url_file"), where, site, faults, missing)
        if url and f"notify.{name}" not in unset and f"notify.{name}.url" not in unset:
            channels[name] = url
    held = [p for p in literal if not any(f[: len(p)] == p for f in expander.filled)]
    if held and _world_readable(site / "config.yaml"):
        accepted = "mode 600, or the secret in the environment"
        faults += [
            where.fault(p, "a secret in a file that everyone on this host can read", accepted, "chmod 600 config.yaml")
            for p in held
        ]
    key = None if "openalgo.api_key" in unset else key
    return Secrets(key, channels, tuple(missing), tuple(expander.given)), faults


def _text_of(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


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
