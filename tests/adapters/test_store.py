"""The ledger as a file of SQLite: how it comes to be, what makes it durable, what is refused, and its copies."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from runbook.adapters.store import Store, schema
from runbook.agenda import agenda
from runbook.errors import StoreError
from runbook.job import JobSpec
from runbook.trigger import Anchor, At
from tests.fakes import MONDAY, ledger_file, session

ONCE = JobSpec("verify", "jobs.a:b", At((Anchor.parse("open-60m"),)), 20.0, Anchor.parse("close-15m"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(ledger_file(tmp_path), busy_seconds=10.0)
    yield made
    made.close()


def planned(store: Store, day: date = MONDAY) -> None:
    with store.write() as books:
        books.ledger.plan(agenda([ONCE], [session(day)]), "abc")


def test_a_file_from_nothing_has_the_tables_of_the_code(tmp_path):
    store = Store(tmp_path / "deep" / "runbook.db")
    assert not store.exists
    store.migrate()
    assert store.exists
    assert store.differences() == []
    assert store.version() == schema.HEAD
    store.check()
    store.migrate()  # and a second time is nothing
    assert not list((tmp_path / "deep").glob("*.before-*"))
    store.close()


def test_differences_are_seen(store):
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("ALTER TABLE lease ADD COLUMN more TEXT")
    assert store.differences() != []


def test_head_is_the_newest_migration_and_each_names_the_one_before():
    folder = Path(schema.__file__).parent / "migrations" / "versions"
    said = {}
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        number = re.search(r'^revision = "(\w+)"', text, re.MULTILINE)
        before = re.search(r'^down_revision = (?:"(\w+)"|None)', text, re.MULTILINE)
        assert number is not None
        assert before is not None
        assert file.name.startswith(number[1])
        said[number[1]] = before[1]
    ordered = sorted(said)
    assert ordered[-1] == schema.HEAD
    assert [said[n] for n in ordered] == [None, *ordered[:-1]]


def test_every_connection_is_durable_and_patient(store):
    wanted = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000, "foreign_keys": 1}
    assert store.pragmas() == wanted
    seen = []
    thread = threading.Thread(target=lambda: seen.append(store.pragmas()))  # another thread, another connection
    thread.start()
    thread.join()
    assert seen == [wanted]


def test_an_older_file_is_copied_before_it_is_changed(tmp_path):
    """A file as the first runbook left it, a row in it."""
    file = tmp_path / "runbook.db"
    folder = Path(schema.__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder))
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO config_version VALUES ('abc', 0, '{}')")
    engine.dispose()
    older = Store(file)
    with pytest.raises(StoreError, match="no tables of this version"):
        older.check()
    older.migrate()
    assert older.version() == schema.HEAD
    assert older.differences() == []
    older.close()
    with closing(sqlite3.connect(file.with_suffix(f".before-{schema.HEAD}.db"))) as copy:
        assert copy.execute("SELECT hash FROM config_version").fetchall() == [("abc",)]
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


def test_a_file_that_is_no_database_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "runbook.db"
    file.write_text("this is a diary, and not a database at all\n" * 100)
    store = Store(file)
    for refused in (store.migrate, store.check):
        with pytest.raises(StoreError, match="not a database") as caught:
            refused()
        assert "move the file away" in (caught.value.hint or "")
    assert file.read_text().startswith("this is a diary")


def test_a_folder_that_is_not_there_is_told_as_what_to_look_at(tmp_path):
    with pytest.raises(StoreError) as caught, Store(tmp_path / "gone" / "runbook.db").write():
        pass
    assert "can be written to" not in str(caught.value)
    assert "be written to" in (caught.value.hint or "")


def test_a_backup_is_a_whole_database(store, tmp_path):
    planned(store)
    copy = tmp_path / "copy.db"
    store.backup(copy)
    other = Store(copy)
    other.check()
    with other.read() as books:
        assert books.ledger.sessions(2) == [MONDAY]
    other.close()
