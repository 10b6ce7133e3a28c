"""A whole site, parsed once: defaults under the file, faults of all parts together, secrets apart."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from runbook.alert import AlertPolicy
from runbook.ask import Standing
from runbook.command import CommandSpec
from runbook.config import allowed, defaults
from runbook.config.channels import Channel
from runbook.config.form import OpenAlgo, Settings, is_loopback
from runbook.config.secrets import Expander, Secrets, gather, mapping, mask_url
from runbook.errors import ConfigError
from runbook.fault import Document, Fault, Unfit, faults_from_validation, nearest
from runbook.fault import Path as Key
from runbook.job import JobSpec, load
from runbook.remedy import Remedy


@dataclass(frozen=True, slots=True)
class Config:
    """A site that loaded. Nothing in `settings` is a secret; those are in `secrets` and leave only through doors."""

    site: Path
    settings: Settings
    jobs: tuple[JobSpec, ...]
    secrets: Secrets = field(repr=False)
    hash: str = ""
    notes: tuple[str, ...] = ()
    asks: tuple[Standing, ...] = ()

    def job(self, name: str) -> JobSpec | None:
        return next((job for job in self.jobs if job.name == name), None)

    @property
    def commands(self) -> dict[str, CommandSpec]:
        """The allow-list by name."""
        return {name: command.spec(name) for name, command in self.settings.commands.items()}

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        return tuple(remedy.spec(self.settings.commands) for remedy in self.settings.remedies)

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

    @property
    def alert_policy(self) -> AlertPolicy:
        """Who is told when; a gateway on this host can be reached without a network."""
        return self.settings.alerts.policy(remote=not is_loopback(self.settings.openalgo.url))

    def merged(self) -> dict[str, Any]:
        """The file with every default filled in and secrets masked, for `config show` and the ledger."""
        shown = self.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
        shown["openalgo"]["stream"] = self.stream_url
        if self.secrets.api_key or "api_key" in shown["openalgo"]:
            shown["openalgo"]["api_key"] = "***"
        for name in {"ping", "milestones"} & shown["watch"].keys():
            shown["watch"][name] = mask_url(self.secrets.pings.get(name, ""))
        shown["notify"] = {
            name: mask_url(self.secrets.channels.get(name, ""))
            if channel.telegram is None
            else {"telegram": shown["notify"][name]["telegram"]}
            for name, channel in self.settings.notify.items()
        }
        return shown


def derived_stream(url: str) -> str:
    """The stream's address where none is given: bare http means port 8765 beside it, https means nginx's /ws."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.scheme == "https":
        return f"wss://{host}{f':{parts.port}' if parts.port else ''}/ws"
    return f"ws://{host}:8765"


def parse(document: Document, site: Path, environment: Mapping[str, str]) -> Config:
    """A Config from a document; raises ConfigError with every fault that can be found.

    A missing secret is no fault here: it is listed in `secrets.missing`, and only what needs it refuses to go on.
    """
    expander = Expander(document, environment)
    data = expander.expand(document.data)
    places: dict[str, list[int | None]] = {}
    where = document
    for part, shipped in (("jobs", defaults.JOBS), ("asks", defaults.ASKS)):
        entries, places[part] = _with_defaults(data.get(part), shipped)
        written, _ = _with_defaults(document.data.get(part), shipped)  # as it stands in the file: what faults may quote
        if entries is not None:
            data |= {part: entries}
        held = where.data | ({part: written} if written is not None else {})
        where = Document(document.path, held, _shifted(where, part, places[part]))
    settings: Settings | None = None
    faults: list[Fault] = []
    try:
        settings = Settings.model_validate(data)
    except ValidationError as exc:
        faults += faults_from_validation(exc, where, Settings)
    secrets, more = gather(data, expander, where, site)
    more += [*allowed.crossed(data, where, expander), *allowed.bare(where, secrets)]
    refused = {fault.path for fault in faults}
    faults += [fault for fault in (*_crossed(data, where, site), *more) if fault.path not in refused]
    if settings is None or faults:
        raise ConfigError(_as_written(faults, places, data, expander.missing))
    specs = tuple(job.spec() for job in settings.jobs if job.enabled)
    asks = tuple(_about(ask.standing(), settings.openalgo) for ask in settings.asks if ask.enabled)
    shown = Config(site, _masked(settings, expander.filled, places["jobs"]), specs, secrets, asks=asks)
    digest = hashlib.sha256(json.dumps(shown.merged(), sort_keys=True).encode()).hexdigest()[:12]
    return replace(shown, hash=digest, notes=tuple(_notes(settings)))


def _about(ask: Standing, openalgo: OpenAlgo) -> Standing:
    """The question with this site's unit and dashboard in it."""
    how = tuple(re.sub(r"\bUNIT\b", openalgo.unit, text) for text in ask.spec.how)
    return replace(ask, spec=replace(ask.spec, how=how, link=ask.spec.link or openalgo.dashboard or openalgo.url))


def _as_written(
    faults: list[Fault], places: Mapping[str, list[int | None]], data: Mapping[str, Any], missing: list[Fault]
) -> list[Fault]:
    """The faults in the order of the file, each entry by its place there; a shipped one that is not there by its name.

    What is wrong only because its variable is not set says so.
    """

    def placed(match: re.Match[str]) -> str:
        part, i = match[1], int(match[2])
        there = places[part][i]
        return f"{part}[{data[part][i]['name'] if there is None else there}]"

    unset = {fault.path: fault for fault in missing}
    renamed = [replace(f, path=re.sub(r"^(jobs|asks)\[(\d+)\]", placed, f.path)) for f in faults]
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
    channels = {name: _masked_channel(channel) for name, channel in settings.notify.items()}
    pings = {
        name: given.model_copy(update={"url": mask_url(given.url)})
        for name in ("ping", "milestones")
        if (given := getattr(settings.watch, name)) is not None and given.url is not None
    }
    return settings.model_copy(
        update={
            "watch": settings.watch.model_copy(update=pings),
            "jobs": tuple(jobs),
            "openalgo": settings.openalgo.model_copy(update=key),
            "notify": channels,
        }
    )


def _masked_channel(channel: Channel) -> Channel:
    if channel.url is not None:
        return channel.model_copy(update={"url": mask_url(channel.url)})
    if channel.telegram is not None and channel.telegram.token is not None:
        return channel.model_copy(update={"telegram": channel.telegram.model_copy(update={"token": "***"})})
    return channel


def _with_defaults(given: object, shipped: Sequence[Mapping[str, Any]]) -> tuple[list[Any] | None, list[int | None]]:
    """The shipped entries with the operator's laid over them by name; and for each, its place in the file."""
    if given is not None and not isinstance(given, list):
        return None, []
    entries: list[Any] = [dict(one) for one in shipped]
    places: list[int | None] = [None] * len(entries)
    names = {one["name"]: i for i, one in enumerate(entries)}
    for i, entry in enumerate(given or []):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in names and places[names[name]] is None:
            base = entries[names[name]]
            if {"at", "every"} & entry.keys():  # a new trigger replaces the old one whole
                base = {k: v for k, v in base.items() if k not in ("at", "every", "from", "until")}
            if entry.get("kind", "step") != "step":  # something else is done in the shipped step's place
                base = {k: v for k, v in base.items() if k != "run"}
            entries[names[name]] = base | entry
            places[names[name]] = i
        else:
            entries.append(entry)
            places.append(i)
    return entries, places


def _shifted(document: Document, part: str, places: list[int | None]) -> dict[Key, int]:
    """The lines of the file, with those of `part` moved to where each entry lies after the defaults were laid under."""
    lines = {path: line for path, line in document.lines.items() if path[:1] != (part,) or len(path) == 1}
    for new, old in enumerate(places):
        if old is not None:
            moved = (p for p in document.lines if p[:2] == (part, old))
            lines |= {(part, new, *p[2:]): document.lines[p] for p in moved}
    return lines


def _crossed(data: Mapping[str, Any], where: Document, site: Path) -> Iterator[Fault]:
    """Faults that only show when two parts of the file are held against each other, or against the site's folder.

    Looks at the plain data, so that one wrong value elsewhere hides none of these.
    """
    given = data.get("jobs")
    jobs = [mapping(job) for job in given] if isinstance(given, list) else []
    names = [str(job.get("name")) for job in jobs]
    channels = list(mapping(data.get("notify")))
    for i, job in enumerate(jobs):
        if names.index(names[i]) != i and "name" in job:
            yield where.fault(("jobs", i, "name"), f"{names[i]!r} stands twice", "each name once")
        for key in ("needs", "after"):
            for name in _texts(job.get(key)):
                if name not in names or name == names[i]:
                    others = [n for n in names if n != names[i]]
                    yield where.fault(("jobs", i, key), f"no job {name!r}", nearest(name, others) + ", ".join(others))
        yield from _no_channel(mapping(job.get("alert")), channels, ("jobs", i, "alert"), where)
        if job.get("enabled") is not False and isinstance(job.get("run"), str):
            try:
                load(job["run"], site)
            except Unfit as exc:
                yield where.fault(
                    ("jobs", i, "run"), str(exc.args[0]), exc.accepted, exc.example or "jobs.check_feed:check"
                )
            except ConfigError as exc:
                yield from (where.fault(("jobs", i, "run"), f.found, f.accepted) for f in exc.faults)
    yield from _levels(data, where, channels)
    yield from _no_channel(mapping(data.get("watch")), channels, ("watch",), where)
    yield from _looks_again(data, where, names)
    yield from _own_stream(data, where)
    yield from _own_bot(data, where)
    database = data.get("database")
    if isinstance(database, str) and not re.fullmatch(r"sqlite:///.*[^/]", database):
        yield where.fault(("database",), "no file of SQLite", "sqlite:/// and a path", "sqlite:///runbook.db")


def _no_channel(data: Mapping[str, Any], channels: list[str], path: Key, where: Document) -> Iterator[Fault]:
    """Names under `to:` that are no channel."""
    for channel in _texts(data.get("to")):
        if channel not in channels:
            accepted = nearest(channel, channels)
            accepted += ", ".join(channels) or "a channel of `notify:` (there is none yet)"
            yield where.fault((*path, "to"), f"no channel {channel!r}", accepted)


def _looks_again(data: Mapping[str, Any], where: Document, names: list[str]) -> Iterator[Fault]:
    """The job that `verify` names must exist and be one that can look; a name stands once under `asks`."""
    given = {part: data.get(part) for part in ("jobs", "asks")}
    jobs = [mapping(job) for job in given["jobs"]] if isinstance(given["jobs"], list) else []
    asks = [mapping(ask) for ask in given["asks"]] if isinstance(given["asks"], list) else []
    look = [
        n for n, job in zip(names, jobs, strict=True) if job.get("kind") != "manual" and job.get("enabled") is not False
    ]
    places: list[tuple[Key, Any]] = [
        (("jobs", i, "ask", "verify"), mapping(job.get("ask")).get("verify")) for i, job in enumerate(jobs)
    ]
    shipped = [
        (ask["name"], ask.get("verify")) for ask in defaults.ASKS
    ]  # whose job may have been switched off: then nobody looks
    places += [
        (("asks", i, "verify"), ask.get("verify"))
        for i, ask in enumerate(asks)
        if ask.get("enabled") is not False and (ask.get("name"), ask.get("verify")) not in shipped
    ]
    for path, verify in places:
        if isinstance(verify, str) and verify not in look:
            yield where.fault(path, f"no job {verify!r} that could look", nearest(verify, look) + ", ".join(look))
    called = [ask.get("name") for ask in asks]
    for i, name in enumerate(called):
        if name is not None and (called.index(name) != i or name in names):
            yield where.fault(("asks", i, "name"), f"{name!r} stands twice", "each name once, among asks and jobs")


def _levels(data: Mapping[str, Any], where: Document, channels: list[str]) -> Iterator[Fault]:
    """Every level of `alerts.escalate` names channels that there are."""
    given = mapping(data.get("alerts")).get("escalate")
    for i, level in enumerate(given if isinstance(given, list) else []):
        for channel in _texts(level if isinstance(level, list) else [level]):
            if channel not in channels:
                accepted = nearest(channel, channels)
                accepted += ", ".join(channels) or "a channel of `notify:` (there is none yet)"
                yield where.fault(("alerts", "escalate", i), f"no channel {channel!r}", accepted)


def _own_stream(data: Mapping[str, Any], where: Document) -> Iterator[Fault]:
    """The relay must not take the port of the stream it relays."""
    openalgo, relay = mapping(data.get("openalgo")), mapping(data.get("feed")).get("relay")
    url, stream = openalgo.get("url"), openalgo.get("stream")
    if not isinstance(relay, str) or not isinstance(url, str):
        return
    try:
        theirs = urlsplit(stream if isinstance(stream, str) else derived_stream(url))
        ours = urlsplit(relay)
        near = ours.hostname == theirs.hostname or (is_loopback(relay) and is_loopback(theirs.geturl()))
        same = near and ours.port is not None and ours.port == theirs.port
    except ValueError:  # an address that is none: another fault says so
        return
    if same:
        yield where.fault(
            ("feed", "relay"), "that is OpenAlgo's own stream", "another port", f"ws://127.0.0.1:{(ours.port or 0) + 1}"
        )


def _own_bot(data: Mapping[str, Any], where: Document) -> Iterator[Fault]:
    """One token has room for one listener: two that listen with the same would end each other's calls."""
    seen: dict[str, str] = {}
    for name, given in mapping(data.get("notify")).items():
        bot = mapping(mapping(given).get("telegram"))
        source = str(bot.get("token") or bot.get("token_file"))
        if not bot.get("users"):
            continue
        if source in seen:
            found = f"users of a second channel with the bot of {seen[source]!r}"
            yield where.fault(
                ("notify", name, "telegram", "users"), found, "one channel of a bot that listens", "users: []"
            )
        seen.setdefault(source, name)


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _notes(settings: Settings) -> Iterator[str]:
    """What is allowed, but should be known."""
    if not settings.notify:
        yield "notify: no channel, so nobody will be told of anything"
    if settings.bot.trades is None:
        yield "bot.trades: none, so paper trades cannot be reconciled"
    if settings.feed.relay is not None and not is_loopback(settings.feed.relay):
        yield f"feed.relay: {settings.feed.relay} is open to other hosts: prices and the API key travel in clear"
    if settings.exchange == "NSE":
        yield "exchange NSE is the cash market: options trade on NFO, whose close differs since 2026-08-03"


def environment() -> Mapping[str, str]:
    """The process environment, read in one place."""
    return os.environ
