"""The keep of the database: copies that are proved, old repeats that are rolled up, and the way back."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from runbook import app
from runbook.adapters.lock import DatabaseLock
from runbook.adapters.store import Proof, Store, prove, prune, schema
from runbook.agenda import agenda
from runbook.app import upkeep
from runbook.config import Config, parse
from runbook.errors import AlreadyRunning, StoreError, StoreNewer, UsageError
from runbook.growth import of_session
from runbook.job import Verdict
from runbook.session import INDIA
from runbook.upkeep import render_health
from tests import report_days
from tests.fakes import at, calendar, ledger_file, session

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
LEASE = timedelta(seconds=15)
SITE = """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:5000"}
symbols: [NIFTY]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    from runbook.adapters.files import parse_yaml

    ledger_file(tmp_path)
    more = "backup: {keep: 2}\nretention: {repeats_sessions: 10}\n"
    return parse(parse_yaml(SITE + more, "config.yaml"), tmp_path, {})


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    made = app.open_store(config)
    yield made
    made.close()


# -- the day's backup ---------------------------------------------------------------------------------------------------


def twelve_days(store: Store) -> list[date]:
    facts = report_days.clean_day()
    days = [facts.day.date - timedelta(days=n) for n in range(11, -1, -1)]
    for day in days:
        report_days.keep(store, facts.entries[:60], day)
    return days


def test_the_backup_is_proved_named_pruned_and_then_old_repeats_go(config, store):
    days = twelve_days(store)
    folder = config.site / "backups"
    folder.mkdir()
    for name in (
        "runbook-2025-01-01.db",
        "runbook-2025-01-02.db",
        "runbook-2025-01-02-101500.db",
        "other-2025-01-01.db",
    ):
        (folder / name).write_text("old")
    done = upkeep.back_up(config, store, days[-1])
    assert done.file == f"backups/runbook-{days[-1]}.db"
    assert sorted(f.name for f in folder.iterdir()) == sorted(
        ["other-2025-01-01.db", "runbook-2025-01-02-101500.db", "runbook-2025-01-02.db", f"runbook-{days[-1]}.db"]
    )
    assert done.pruned == ("runbook-2025-01-01.db",)
    assert list(done.rolled) == days[:2]
    assert not done.fault
    copied = prove(folder / f"runbook-{days[-1]}.db")
    assert copied.rows["occurrence"] == 12 * 60  # it was made before anything went
    assert done.rows == prove(folder / f"runbook-{days[-1]}.db", days[-1]).total > 60
    with store.read() as books:
        assert sum(len(books.ledger.states(day)) for day in days) == 12 * 60 - sum(done.rolled.values())
    found = done.found()
    assert found.verdict is Verdict.OK
    assert f"{sum(done.rolled.values())} checks of 2 sessions rolled up" in found.summary
    assert found.facts["file"] == done.file


def test_a_backup_that_cannot_be_made_removes_nothing(config, store):
    """The folder is a file: no copy, and so no pruning and no rolling up."""
    days = twelve_days(store)
    (config.site / "backups").write_text("in the way")
    with pytest.raises(StoreError, match="backups"):
        upkeep.back_up(config, store, days[-1])
    with store.read() as books:
        assert sum(len(books.ledger.states(day)) for day in days) == 12 * 60


def test_a_copy_of_a_damaged_database_never_gets_the_name_and_the_one_before_stays(config, store):
    twelve_days(store)
    target = config.site / "backups" / "runbook-2025-12-26.db"
    store.backup(target)
    good = target.read_bytes()
    store.close()
    with closing(sqlite3.connect(config.database_path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_occurrence_waiting'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    with config.database_path.open("r+b") as file:  # an index page that says something else than its table
        file.seek((root - 1) * size + size - 300)
        file.write(b"\x05" * 300)
    with pytest.raises(StoreError):
        store.backup(target)
    assert target.read_bytes() == good
    assert [f.name for f in target.parent.iterdir()] == [target.name]


def test_a_backup_is_made_while_a_writer_is_in_mid_transaction_and_has_none_of_it(config, store):
    report_days.keep(store, report_days.clean_day().entries[:10])
    with store.write() as books:
        books.desk.ask("run", {}, "cli:me", NOW)
        proof = store.backup(config.site / "copy.db")
    assert (proof.rows["occurrence"], proof.rows["request"]) == (10, 0)


def test_backups_and_writers_do_not_wait_for_each_other(config, store):
    """Ten copies while another thread writes: each is whole, and every write went through."""
    report_days.keep(store, report_days.clean_day().entries)
    stop, wrote = threading.Event(), [0]
    writer = Store(config.database_path, busy_seconds=5.0)

    def write() -> None:
        while not stop.is_set():
            with writer.write() as books:
                books.desk.ask("run", {}, "cli:me", NOW)
            wrote[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        proofs = [store.backup(config.site / "copy.db") for _ in range(10)]
    finally:
        stop.set()
        thread.join()
        writer.close()
    counts = [proof.rows["request"] for proof in proofs]
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert wrote[0] >= counts[-1]


def test_pruning_keeps_the_newest_by_date_and_takes_nothing_else(tmp_path):
    names = [f"runbook-2026-11-{day:02d}.db" for day in (5, 3, 4)]
    for name in (*names, "runbook.db", "runbook-2026-11-03.db.part", "runbook-2026-11-3.db", "notes.txt"):
        (tmp_path / name).touch()
    assert prune(tmp_path, "runbook", 5) == []
    assert prune(tmp_path, "runbook", 1) == ["runbook-2026-11-03.db", "runbook-2026-11-04.db"]
    assert "runbook-2026-11-3.db" in [f.name for f in tmp_path.iterdir()]


# -- check --------------------------------------------------------------------------------------------------------------


def test_a_look_at_a_sound_database_finds_no_trouble(config, store):
    days = twelve_days(store)
    health = app.examine(config)
    assert health.trouble == ()
    assert (health.version, health.sessions) == (schema.HEAD, 12)
    assert health.rollable is not None
    assert list(health.rollable) == days[:2]
    assert health.per_session is not None
    assert health.per_session > 5_000
    with store.write() as books:
        books.repeats.roll_up(days[0])
    assert list(app.examine(config).rollable or ()) == days[1:2]


def test_before_there_are_sessions_to_judge_by_the_growth_is_foretold_from_the_configuration(config, store):
    assert app.examine(config).foretold is None  # no session is known
    with store.write() as books:
        books.ledger.plan(agenda(config.jobs, [session()]), "abc")
        books.calendars.keep(calendar(), {}, at("08:00"))
    health = app.examine(config)
    assert health.per_session is None
    assert health.foretold == of_session(config.jobs, session(), 0).bytes > 500_000
    assert "growth     foretold 0.6 MB a session by this configuration" in render_health(health, INDIA)


def test_damage_a_wrong_reference_and_another_version_are_trouble(config, store):
    report_days.keep(store, report_days.clean_day().entries[:10])
    store.close()
    with closing(sqlite3.connect(config.database_path)) as db, db:
        db.execute("INSERT INTO attempt VALUES ('2026-11-23','ghost','x',1,'a',0,NULL,NULL,NULL,'',NULL,NULL,NULL,1)")
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    health = app.examine(config)
    assert "a row of attempt belongs to none of occurrence" in health.trouble
    assert "it is of version 9999, this runbook knows 0002" in health.trouble
    assert health.rollable is None


@pytest.mark.parametrize("what", ["no file", "no database", "no ledger"])
def test_what_is_no_ledger_is_refused_with_what_to_do(tmp_path, what):
    file = tmp_path / "runbook.db"
    if what == "no database":
        file.write_text("a diary, and not a database at all\n" * 100)
    elif what == "no ledger":
        with closing(sqlite3.connect(file)) as db, db:
            db.execute("CREATE TABLE diary (line TEXT)")
    with pytest.raises(StoreError) as caught:
        prove(file)
    assert caught.value.hint
    assert file.exists() is (what != "no file")


# -- restore ------------------------------------------------------------------------------------------------------------


class Agreed:
    """Agrees, and keeps what it was told: the rows of the copy, and those that are lost."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Mapping[str, int] | None]] = []

    def __call__(self, proof: Proof, lost: Mapping[str, int] | None) -> bool:
        self.heard.append((proof.total, lost))
        return True


def test_a_restored_ledger_is_the_copy_and_the_present_one_is_kept(config, store):
    facts = report_days.clean_day()
    report_days.keep(store, facts.entries[:10])
    with store.write() as books:
        books.desk.take("one", 1, "here", NOW, LEASE)
        books.desk.ask("run", {}, "cli:me", NOW)
    copied = store.backup(config.site / "copy.db").file
    with store.write() as books:
        books.desk.take("two", 2, "here", NOW, LEASE, dead=True)
        books.desk.ask("run", {}, "cli:me", NOW + timedelta(minutes=1))
        books.desk.ask("run", {}, "cli:me", NOW + timedelta(minutes=2))
    store.close()
    agreed = Agreed()
    aside = app.restore(config, copied, NOW, agreed)
    assert agreed.heard == [(prove(copied).total, {"request": 2})]
    assert aside is not None
    with closing(Store(config.database_path)) as restored, restored.read() as books:
        assert len(books.ledger.session(facts.day.date)) == 10
        assert books.desk.open_requests() == []  # what was asked that day is not done today
        answered = books.desk.request(1)
        assert answered is not None
        assert "restored from a backup" in (answered.answer or "")
        held = books.desk.lease()
        assert held is not None
        assert held.epoch == 2  # never smaller than it was
    with closing(Store(aside)) as before, before.read() as books:
        assert len(books.desk.open_requests()) == 3
    assert prove(config.database_path).faults == ()


def test_nothing_is_restored_while_a_daemon_holds_the_database(config, store):
    copied = store.backup(config.site / "copy.db").file
    before = config.database_path.read_bytes()
    lock = DatabaseLock(config.database_path)
    lock.take("pid 7, a daemon")
    try:
        with pytest.raises(AlreadyRunning, match="pid 7, a daemon"):
            app.restore(config, copied, NOW, lambda _proof, _lost: True)
    finally:
        lock.release()
    assert config.database_path.read_bytes() == before


def test_a_copy_of_a_newer_runbook_or_a_damaged_one_is_refused_and_the_present_one_stays(config, store):
    copied = store.backup(config.site / "copy.db").file
    store.close()
    before = config.database_path.read_bytes()
    with closing(sqlite3.connect(copied)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreNewer):
        app.restore(config, copied, NOW, lambda _proof, _lost: True)
    copied.write_bytes(before[:5000])
    with pytest.raises(StoreError):
        app.restore(config, copied, NOW, lambda _proof, _lost: True)
    assert config.database_path.read_bytes() == before
    assert not app.locked(config)


def test_what_was_not_agreed_changes_nothing(config, store):
    copied = store.backup(config.site / "copy.db").file
    before = sorted(f.name for f in config.site.iterdir())
    assert app.restore(config, copied, NOW, lambda _proof, _lost: False) is None
    assert {f.name for f in config.site.iterdir()} - set(before) <= {"runbook.db.lock"}


def test_a_database_that_cannot_be_read_is_replaced_and_kept_all_the_same(config, store):
    copied = store.backup(config.site / "copy.db").file
    store.close()
    config.database_path.write_text("nothing of it can be read\n" * 50)
    agreed = Agreed()
    aside = app.restore(config, copied, NOW, agreed)
    assert [lost for _, lost in agreed.heard] == [None]
    assert aside is not None
    assert aside.read_text().startswith("nothing of it")
    with closing(Store(config.database_path)) as restored:
        restored.check()


def test_where_there_is_no_database_a_copy_becomes_it(config, store):
    copied = store.backup(config.site / "copy.db").file
    store.close()
    for file in config.site.glob("runbook.db*"):
        file.unlink()
    assert app.restore(config, copied, NOW, lambda _proof, lost: lost == {}) is None
    with closing(Store(config.database_path)) as restored:
        restored.check()


def test_a_copy_by_hand_takes_no_name_that_is_taken(config, store):
    first = app.back_up_now(config, None, NOW)
    assert first.file == config.site / "backups" / "runbook-2026-11-24-060000.db"
    with pytest.raises(UsageError, match="there already"):
        app.back_up_now(config, first.file, NOW)
    shutil.rmtree(first.file.parent)
