"""The tables. Instants are stored as whole milliseconds since 1970 UTC, dates as ISO text, everything nested as JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

HEAD = "0002"  # the newest migration; a test holds it against the files

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime as milliseconds since 1970 UTC; comes back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no zone")
        return (value - _EPOCH) // _MS

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else _EPOCH + value * _MS


class Day(TypeDecorator[date]):
    """A date as ISO text, so that a person with a database browser reads it."""

    impl = String(10)
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        del dialect
        return None if value is None else date.fromisoformat(value)


class Text(TypeDecorator[str]):
    """Words of whatever origin: a step's, a broker's, a command's. PostgreSQL takes no NUL in a text; it is written out."""

    impl = sqlalchemy.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        del dialect
        return value.replace("\0", "\\x00") if value else value


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_AUTO = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself in SQLite

calendar_day = Table(
    "calendar_day", metadata,
    Column("exchange", String(12), nullable=False),
    Column("date", Day, nullable=False),
    Column("status", String(8), nullable=False),
    Column("row", JSON, nullable=False),
    PrimaryKeyConstraint("exchange", "date"),
)  # fmt: skip

calendar_source = Table(
    "calendar_source", metadata,
    Column("exchange", String(12), primary_key=True),
    Column("zone", String(40), nullable=False),
    Column("known_until", Day, nullable=False),
    Column("provenance", JSON, nullable=False),
    Column("computed_at", Instant, nullable=False),
)  # fmt: skip

calendar_library = Table(
    "calendar_library", metadata,
    Column("name", String(12), primary_key=True),
    Column("said", JSON, nullable=False),
    Column("asked_at", Instant, nullable=False),
)  # fmt: skip

occurrence = Table(
    "occurrence", metadata,
    Column("session", Day, nullable=False),
    Column("job", String(40), nullable=False),
    Column("slot", String(24), nullable=False),
    Column("repeating", Boolean, nullable=False),
    Column("planned_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("latest_start", Instant, nullable=False),
    Column("deadline", Instant),
    Column("state", String(12), nullable=False),
    Column("verdict", String(12)),
    Column("reason", Text, nullable=False, server_default=""),
    Column("config_hash", String(12), nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("session", "job", "slot"),
    Index("ix_occurrence_waiting", "state", "due_at"),
)  # fmt: skip

attempt = Table(
    "attempt", metadata,
    Column("session", Day, nullable=False),
    Column("job", String(40), nullable=False),
    Column("slot", String(24), nullable=False),
    Column("n", Integer, nullable=False),
    Column("actor", String(60), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String(12)),
    Column("verdict", String(12)),
    Column("reason", Text, nullable=False, server_default=""),
    Column("hint", Text),
    Column("facts", JSON),
    Column("error_class", String(80)),
    Column("epoch", BigInteger, nullable=False),
    PrimaryKeyConstraint("session", "job", "slot", "n"),
    ForeignKeyConstraint(["session", "job", "slot"], ["occurrence.session", "occurrence.job", "occurrence.slot"]),
)  # fmt: skip

alert = Table(
    "alert", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("fingerprint", String(120), nullable=False),
    Column("session", Day),
    Column("state", String(10), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("data", JSON, nullable=False),
    Index("ix_alert_unresolved", "fingerprint", unique=True,
          sqlite_where=text("state != 'resolved'"), postgresql_where=text("state != 'resolved'")),
)  # fmt: skip

alert_event = Table(
    "alert_event", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("alert_id", ForeignKey("alert.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("data", JSON, nullable=False),
)  # fmt: skip

outbox = Table(
    "outbox", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("key", String(160), nullable=False),
    Column("channel", String(40), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("session", Day),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("delayed", Text, nullable=False, server_default=""),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("repeat", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("changed_at", Instant),
    Column("reason", Text, nullable=False, server_default=""),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("key", "channel", "kind", "seq"),
    Index("ix_outbox_waiting", "channel", "state"),
)  # fmt: skip

feed_event = Table(
    "feed_event", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("session", Day, nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("from_mode", String(12), nullable=False),
    Column("to_mode", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("hint", Text),
    Column("evidence", JSON, nullable=False),
)  # fmt: skip

feed_sample = Table(
    "feed_sample", metadata,
    Column("session", Day, nullable=False),
    Column("at", Instant, nullable=False),
    Column("data", JSON, nullable=False),
    PrimaryKeyConstraint("session", "at"),
)  # fmt: skip

lease = Table(
    "lease", metadata,
    Column("name", String(20), primary_key=True),
    Column("holder", String(120), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", String(120), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("since", Instant, nullable=False),
    Column("renewed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("data", JSON, nullable=False),
)  # fmt: skip

config_version = Table(
    "config_version", metadata,
    Column("hash", String(12), primary_key=True),
    Column("first_seen", Instant, nullable=False),
    Column("merged", JSON, nullable=False),
)  # fmt: skip

request = Table(
    "request", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("data", JSON, nullable=False),
    Column("asked_by", String(60), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("taken_at", Instant),
    Column("answer", Text),
)  # fmt: skip

ask = Table(
    "ask", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("key", String(160), nullable=False, unique=True),
    Column("kind", String(12), nullable=False),
    Column("session", Day, nullable=False, index=True),
    Column("name", String(40), nullable=False),
    Column("slot", String(24)),
    Column("question", Text, nullable=False),
    Column("choices", JSON, nullable=False),
    Column("safe_default", String(40), nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("evidence_hash", String(64), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("deadline", Instant),
    Column("state", String(10), nullable=False, index=True),
    Column("answer", String(40)),
    Column("answered_by", String(60)),
    Column("answered_at", Instant),
    Column("note", Text, nullable=False, server_default=""),
    Column("verify_at", Instant, index=True),
    Column("verified", Text, nullable=False, server_default=""),
    Column("data", JSON, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
)  # fmt: skip

pause = Table(
    "pause", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("job", String(40), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("reason", Text, nullable=False),
    Column("by", String(60), nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(60)),
)  # fmt: skip

silence = Table(
    "silence", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("pattern", String(120), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(60), nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(60)),
)  # fmt: skip

phone = Table(
    "phone", metadata,
    Column("bot", BigInteger, primary_key=True, autoincrement=False),
    Column("after", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)  # fmt: skip

action = Table(
    "action", metadata,
    Column("id", _AUTO, primary_key=True),
    Column("name", String(40), nullable=False),
    Column("session", Day, nullable=False),
    Column("cause", String(160), nullable=False),
    Column("argv", JSON, nullable=False),
    Column("by", String(60), nullable=False),
    Column("ask_id", ForeignKey("ask.id")),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String(12)),
    Column("exit_code", Integer),
    Column("output", Text, nullable=False, server_default=""),
    Column("verified", String(12)),
    Column("reason", Text, nullable=False, server_default=""),
    Column("epoch", BigInteger, nullable=False),
    Index("ix_action_budget", "session", "name"),
)  # fmt: skip

tally = Table(
    "tally", metadata,
    Column("session", Day, nullable=False),
    Column("job", String(40), nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("session", "job", "first_at"),
)  # fmt: skip

milestone = Table(
    "milestone", metadata,
    Column("session", Day, nullable=False),
    Column("word", String(10), nullable=False),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False, index=True),
    Column("reason", Text, nullable=False, server_default=""),
    Column("changed_at", Instant, nullable=False),
    PrimaryKeyConstraint("session", "word"),
)  # fmt: skip
